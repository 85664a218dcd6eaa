/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The epoll set behind the loop. */
#include "actors/poller.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "actors/self.h"
#include "actors/system.h"
#include "transports/alloc.h"
#include "transports/assert.h"

/* What is left after so many is fetched in the next turn: the loop finds the set readable again. */
enum { BATCH = 64 };

/* --- the set --- */

static void poller_unref(struct trp_poller *p) {
    /* Release what this thread did with it, acquire what the others did, before it is freed. */
    if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) > 1)
        return;
    close(p->fd);
    pthread_mutex_destroy(&p->lock);
    trp_free(p);
}

static void on_ready(uv_poll_t *poll, int status, int events) {
    (void)status, (void)events;
    trp_poller_serve((struct trp_poller *)poll);
}

static void on_closed(uv_handle_t *poll) {
    poller_unref((struct trp_poller *)poll);
}

troupe_status trp_poller_new(struct trp_poller **out, struct trp_loop *loop) {
    struct trp_poller *p = trp_calloc(1, sizeof *p);
    if (!p)
        return TROUPE_NO_MEMORY;
    p->fd = epoll_create1(EPOLL_CLOEXEC);
    if (p->fd < 0 || uv_poll_init(&loop->uv, &p->poll, p->fd) != 0) {
        if (p->fd >= 0)
            close(p->fd);
        trp_free(p);
        return TROUPE_SYSTEM;
    }
    pthread_mutex_init(&p->lock, NULL);
    atomic_init(&p->refs, 1);
    p->forks = trp_copy_now();
    uv_poll_start(&p->poll, UV_READABLE, on_ready);
    *out = p;
    return TROUPE_OK;
}

void trp_poller_free(struct trp_poller *p) {
    if (p)
        uv_close((uv_handle_t *)&p->poll, on_closed);
}

static unsigned directions(uint32_t events) {
    if (events & (EPOLLHUP | EPOLLERR))
        return TRP_WATCH_IN | TRP_WATCH_OUT;
    return (events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI) ? TRP_WATCH_IN : 0) | (events & EPOLLOUT ? TRP_WATCH_OUT : 0);
}

/* Under the lock. Whom to unpark, with a reference, or NULL. */
static struct trp_actor *mark(struct trp_watch *w, unsigned said) {
    struct trp_actor *who = said & w->want ? w->who : NULL;
    if (who) {
        trp_actor_ref(who);
        w->who = NULL;
    }
    /* Pairs with the acquire of who looks. The last touch, if somebody was waiting: it may go now. */
    atomic_fetch_or_explicit(&w->ready, said, memory_order_release);
    return who;
}

void trp_poller_serve(struct trp_poller *p) {
    struct epoll_event said[BATCH];
    struct trp_actor *wake[BATCH];
    int n, wakes = 0;
    pthread_mutex_lock(&p->lock);
    n = epoll_wait(p->fd, said, BATCH, 0);
    for (int i = 0; i < n; i++) {
        struct trp_actor *who = mark(said[i].data.ptr, directions(said[i].events));
        if (who)
            wake[wakes++] = who;
    }
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < wakes; i++) {
        trp_actor_unpark(wake[i]);
        trp_actor_unref(wake[i]);
    }
}

/* --- watches --- */

static troupe_status refusal(int error) {
    switch (error) {
    case EEXIST:
        return TROUPE_EXISTS;
    case EPERM:
        return TROUPE_UNSUPPORTED;
    case EBADF:
    case EINVAL:
    case ELOOP:
        return TROUPE_INVALID;
    case ENOMEM:
        return TROUPE_NO_MEMORY;
    default:
        return TROUPE_SYSTEM;
    }
}

troupe_status trp_watch_open(struct trp_watch *w, int fd, struct trp_worker *worker) {
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = w};
    if (worker->sys->stage)
        return TROUPE_UNSUPPORTED;
    troupe_status st = worker->poller ? TROUPE_OK : trp_poller_new(&worker->poller, &worker->loop);
    if (st != TROUPE_OK || w->poller == worker->poller)
        return st;
    trp_watch_close(w);
    w->fd = fd;
    if (epoll_ctl(worker->poller->fd, EPOLL_CTL_ADD, fd, &e) < 0)
        return refusal(errno);
    w->poller = worker->poller;
    /* Relaxed: the worker's own reference is held by its thread, which is this one. */
    atomic_fetch_add_explicit(&w->poller->refs, 1, memory_order_relaxed);
    return TROUPE_OK;
}

void trp_watch_close(struct trp_watch *w) {
    struct trp_poller *p = w->poller;
    if (!p || p->forks != trp_copy_now())
        return; /* of a copy: the set is shared with the original */
    pthread_mutex_lock(&p->lock);
    trp_assert(!w->who);
    (void)epoll_ctl(p->fd, EPOLL_CTL_DEL, w->fd, NULL);
    pthread_mutex_unlock(&p->lock);
    w->poller = NULL;
    poller_unref(p);
}

void trp_watch_take(struct trp_watch *w, unsigned what) {
    /* An exchange that acquires: the call that follows sees at least what the mark was about. */
    atomic_fetch_and_explicit(&w->ready, ~what, memory_order_acquire);
}

static unsigned said(struct trp_watch *w, unsigned what) {
    /* Pairs with the release in mark. */
    return atomic_load_explicit(&w->ready, memory_order_acquire) & what;
}

unsigned trp_watch_want(struct trp_watch *w, unsigned what, struct trp_actor *who) {
    pthread_mutex_lock(&w->poller->lock);
    unsigned now = said(w, what);
    w->who = now ? NULL : who;
    w->want = what;
    pthread_mutex_unlock(&w->poller->lock);
    return now;
}

void trp_watch_leave(struct trp_watch *w) {
    if (!w->poller)
        return;
    pthread_mutex_lock(&w->poller->lock);
    w->who = NULL;
    pthread_mutex_unlock(&w->poller->lock);
}

troupe_status trp_watch_wait(struct trp_watch *w, unsigned what, troupe_self *self, int64_t deadline) {
    troupe_status st = TROUPE_OK;
    if (trp_watch_want(w, what, self->actor))
        return TROUPE_OK;
    while (st == TROUPE_OK && !said(w, what))
        st = trp_self_wait(self, deadline);
    if (st == TROUPE_OK)
        return TROUPE_OK; /* mark has taken us off */
    trp_watch_leave(w);
    return st == TROUPE_TIMEOUT && said(w, what) ? TROUPE_OK : st;
}
