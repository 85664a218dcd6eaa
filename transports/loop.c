/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * libuv runs a turn as timers, prepare, wait, read callbacks, check, close callbacks, and (for one turn at a time)
 * timers again. Output may be written in any of them, so it is flushed in prepare, which covers timers and whatever
 * was said between two turns, in check, which covers what was read, and at the end of trp_loop_once. A flush with
 * nothing to do is one comparison. */
#include "transports/loop.h"

#include "transports/alloc.h"
#include "transports/assert.h"
#include "transports/link_private.h"
#include "transports/transport.h"
#include <limits.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

void trp_loop_flush(struct trp_loop *l) {
    while (l->dirty) {
        struct trp_link *link = l->dirty;
        trp_link_clean(link);
        trp_link_flush(link);
    }
}

/* A timer that ran at the beginning of this turn may have done what the caller of trp_loop_once waits for: libuv
 * would now wait for the next event all the same, so it is told not to. */
static void on_prepare(uv_prepare_t *prepare) {
    struct trp_loop *l = prepare->data;
    trp_loop_flush(l);
    if (uv_now(&l->uv) >= l->timer_due)
        uv_stop(&l->uv);
}

static void on_check(uv_check_t *check) {
    struct trp_loop *l = check->data;
    if (l->turn)
        l->turn(l->turn_ctx);
    trp_loop_flush(l);
}

static void on_waited(uv_timer_t *wait) {
    (void)wait;
}

static void ignore_sigpipe(void) {
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

/* libuv 1.44 aborts the program, or loses a descriptor, when there are none left for a loop. One takes four (epoll, a pipe, its
 * own bell), ours one, and the first one of a program two more. */
static bool has_descriptors(void) {
    enum { SOME = 7 };
    int fds[SOME], n = 0;
    while (n < SOME && (fds[n] = eventfd(0, EFD_CLOEXEC)) >= 0)
        n++;
    bool enough = n == SOME;
    while (n > 0)
        close(fds[--n]);
    return enough;
}

/* None of these can fail but the wake, which takes a descriptor. */
static int open_handles(struct trp_loop *l) {
    uv_prepare_init(&l->uv, &l->prepare);
    uv_check_init(&l->uv, &l->check);
    uv_timer_init(&l->uv, &l->wait);
    l->prepare.data = l->check.data = l;
    uv_prepare_start(&l->prepare, on_prepare);
    uv_check_start(&l->check, on_check);
    int err = trp_bell_open(&l->wake, &l->uv);
    l->wakes = err == 0;
    return err;
}

troupe_status trp_loop_init(struct trp_loop *l) {
    *l = (struct trp_loop){.timer_due = UINT64_MAX};
    l->dirty_end = &l->dirty;
    ignore_sigpipe();
    int err = UV_ENOMEM;
    l->chunk = trp_malloc(TRP_READ_CHUNK);
    if (!l->chunk)
        goto fail;
    err = has_descriptors() ? uv_loop_init(&l->uv) : UV_EMFILE;
    if (err)
        goto fail;
    l->open = true;
    err = open_handles(l);
    if (err)
        goto fail;
    return TROUPE_OK;
fail:
    trp_loop_fini(l);
    return trp_status_from_uv(err);
}

/* Runs until nothing but our own handles is left: last words are written, deadlines pass, names get resolved. */
static void run_out(struct trp_loop *l) {
    l->timer_due = UINT64_MAX;
    trp_loop_flush(l);
    uv_unref((uv_handle_t *)&l->prepare);
    uv_unref((uv_handle_t *)&l->check);
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

static void close_handles(struct trp_loop *l) {
    uv_close((uv_handle_t *)&l->prepare, NULL);
    uv_close((uv_handle_t *)&l->check, NULL);
    uv_close((uv_handle_t *)&l->wait, NULL);
    if (l->wakes)
        trp_bell_close(&l->wake);
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

void trp_loop_fini(struct trp_loop *l) {
    if (l->open) {
        trp_assert(l->owned == 0);
        run_out(l);
        close_handles(l);
        trp_assert(!l->dirty);
        trp_assert(uv_loop_close(&l->uv) == 0);
    }
    trp_chunk_pool_fini(&l->pool);
    trp_free(l->chunk);
    *l = (struct trp_loop){0};
}

/* The time is fresh before the timer is set: a caller may have been elsewhere for long. */
static void bound_wait(struct trp_loop *l, int64_t ms) {
    uv_update_time(&l->uv);
    uv_timer_start(&l->wait, on_waited, (uint64_t)ms, 0);
}

void trp_loop_once(struct trp_loop *l, int64_t ms) {
    if (ms > 0)
        bound_wait(l, ms);
    int next = uv_backend_timeout(&l->uv);
    l->timer_due = next < 0 ? UINT64_MAX : uv_now(&l->uv) + (uint64_t)next;
    uv_run(&l->uv, ms == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    if (ms > 0)
        uv_timer_stop(&l->wait);
    trp_loop_flush(l);
}

void trp_loop_wake(struct trp_loop *l) {
    /* To come out of the wait is all it is for: check does the rest. */
    trp_bell_ring(&l->wake);
}
