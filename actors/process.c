/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Processes. Here, in the system, such an actor is a proxy, woken like any actor. What there is to do then depends:
 *
 *     mail alone: whoever wakes it moves the messages into the ring to the body, on its own thread (deliver)
 *     anything else: the steward runs it, in this order, and parks it: attach the channel of a new life; read what the body
 *     says and answer its calls that are done; kill, if that has been asked for; end the life whose end has been reported; mail
 *
 * The word of waking (actor.h) sees to it that it is run by one thread at a time. Its mail is process_mail.c's, what its body
 * says process_hear.c's and far.c's. */
#include "actors/process.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actors/system.h"
#include "transports/alloc.h"
#include "transports/log.h"

enum { PENDING_MOST = 256 * 1024 };

/* --- one life --- */

static void drop_channel(struct trp_proxy *p) {
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    trp_shared_unmap(&p->shared);
    trp_lanes_door_drop(&p->actor->sys->lanes, p->door);
    p->door = 0;
}

/* The near ends of a new channel in p; *far is the body's. */
static troupe_status make_channel(struct trp_proxy *p, int *far) {
    struct trp_lanes *lanes = &p->actor->sys->lanes;
    int fds[2], memory;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return TROUPE_SYSTEM;
    troupe_status st = trp_shared_new(&p->shared, &memory);
    if (st == TROUPE_OK) {
        p->door = trp_lanes_door_take(lanes);
        p->shared.words->door = p->door;
        p->shared.door = p->door ? trp_lanes_door(lanes, p->door) : NULL;
        st = trp_shared_send(fds[0], memory);
        close(memory);
    }
    if (st != TROUPE_OK) {
        close(fds[0]);
        close(fds[1]);
        drop_channel(p);
        return st;
    }
    p->fd = fds[0];
    *far = fds[1];
    return TROUPE_OK;
}

/* All is set before the order is sent: the report of the life's end may be there before this returns. */
static troupe_status fork_life(struct trp_proxy *p) {
    struct trp_actor *a = p->actor;
    int far;
    troupe_status st = make_channel(p, &far);
    if (st != TROUPE_OK)
        return st;
    p->life++;
    p->pid = 0;
    p->alive = true;
    p->kill_sent = p->close_sent = p->wants = false;
    atomic_store_explicit(&p->blocked, false, memory_order_relaxed);
    p->taken = p->accepted = 0;
    p->given = trp_exit_normal();
    p->watch.overdue = false;
    p->mark = TRP_MARK_NONE;
    atomic_store(&p->over, false);
    st = trp_nursery_fork(&a->sys->nursery, trp_actor_id(a), p->life, a->birth, far);
    close(far);
    if (st != TROUPE_OK) {
        p->alive = false;
        drop_channel(p);
    }
    return st;
}

static void attach(struct trp_proxy *p) {
    struct trp_channel *ch = NULL;
    int fd = p->fd;
    if (fd < 0)
        return;
    p->fd = -1;
    if (trp_channel_new(&ch, &p->actor->worker->loop, fd, p->shared, TRP_SIDE_SYSTEM, &trp_proxy_handler, p) != TROUPE_OK)
        trp_nursery_kill(&p->actor->sys->nursery, trp_actor_id(p->actor), p->life);
    p->shared = (struct trp_shared){0};
    pthread_mutex_lock(&p->up);
    pthread_mutex_lock(&p->down);
    p->channel = ch;
    pthread_mutex_unlock(&p->down);
    pthread_mutex_unlock(&p->up);
    trp_overdue_begin(p);
}

/* --- reports of the nursery --- */

static struct trp_proxy *proxy_of(struct trp_actor *a) {
    return a->backend == &trp_process_backend ? a->run : NULL;
}

static void end_reported(struct trp_proxy *p, troupe_exit exit, bool ran_out) {
    if (atomic_load(&p->over))
        return;
    p->exit = exit;
    p->ran_out = ran_out && exit.code == SIGKILL;
    atomic_store(&p->over, true);
    trp_actor_unpark(p->actor);
}

static void report(struct trp_proxy *p, const struct trp_report *r) {
    switch ((enum trp_report_what)r->what) {
    case TRP_REPORT_FORKED:
        p->pid = r->value;
        trp_log(TROUPE_LOG_DEBUG, "actor.forked", "%s: pid %d", p->actor->birth->name, (int)p->pid);
        break;
    case TRP_REPORT_FAILED:
        end_reported(p, trp_exit_unborn(strerror(r->value)), false);
        break;
    case TRP_REPORT_ENDED:
        end_reported(p, trp_exit_status(r->value), r->ran_out);
        break;
    }
}

void trp_process_report(troupe_system *sys, const struct trp_report *r) {
    struct trp_actor *a = trp_registry_get(&sys->registry, r->id);
    struct trp_proxy *p = a ? proxy_of(a) : NULL;
    if (p && p->life == r->life)
        report(p, r);
    if (a)
        trp_actor_unref(a);
}

static void nursery_gone(struct trp_actor *a, void *ctx) {
    struct trp_proxy *p = proxy_of(a);
    (void)ctx;
    if (p)
        end_reported(p, trp_exit_status(SIGKILL), false); /* a wait status that is a bare number is a signal's */
}

void trp_process_nursery_gone(troupe_system *sys) {
    trp_registry_each(&sys->registry, nursery_gone, NULL);
}

/* --- from life to life --- */

static void on_restart(struct trp_timer *t) {
    struct trp_proxy *p = (struct trp_proxy *)((char *)t - offsetof(struct trp_proxy, restart));
    trp_actor_unpark(p->actor);
}

/* What the last life leaves behind. Nobody else delivers meanwhile: this runs the actor. */
static void clear_away(struct trp_proxy *p) {
    pthread_mutex_lock(&p->up);
    trp_overdue_end(p);
    p->epitaph[0] = 0;
    if (p->channel) {
        trp_channel_read(p->channel); /* its last words: they were written before it died */
        p->mark = atomic_load(&trp_channel_words(p->channel)->mark);
        memcpy(p->epitaph, trp_channel_words(p->channel)->epitaph, sizeof p->epitaph - 1); /* its process is gone */
        (void)trp_proxy_settle(p, false);
    }
    pthread_mutex_lock(&p->down);
    trp_channel_close(&p->channel);
    pthread_mutex_unlock(&p->down);
    trp_proxy_return_lent(p, trp_proxy_lanes_leave(p) > 0);
    trp_errands_abandon(&p->errands, NULL);
    p->streams = false;
    pthread_mutex_unlock(&p->up);
    trp_timer_stop(&p->actor->worker->timers, &p->tick);
    drop_channel(p);
    p->alive = false;
}

static enum trp_ran end(struct trp_proxy *p) {
    trp_timer_stop(&p->actor->worker->timers, &p->restart);
    trp_actor_end(p->actor, &p->exit);
    return TRP_RAN_GONE;
}

/* Why it broke down, where that is known. */
static void explain(struct trp_proxy *p) {
    char hint[40];
    if (p->watch.overdue) {
        snprintf(hint, sizeof hint, "deadline of %lld ms", (long long)p->actor->birth->deadline_ms);
        trp_exit_hint(&p->exit, hint);
    } else if (p->mark == TRP_MARK_MEMORY || p->ran_out) {
        trp_exit_hint(&p->exit, "memory limit");
    } else if (p->exit.code == SIGXCPU && p->actor->birth->limits.cpu_seconds) {
        trp_exit_hint(&p->exit, "CPU limit");
    }
    trp_log(TROUPE_LOG_DEBUG, "actor.broke_down", "%s (pid %d): %s", p->actor->birth->name, (int)p->pid, p->exit.text);
}

static enum trp_ran begin_life(struct trp_proxy *p);

static enum trp_ran life_over(struct trp_proxy *p) {
    struct trp_actor *a = p->actor;
    int64_t ms;
    clear_away(p);
    trp_epitaph_say(&a->worker->bus, p->epitaph, &p->exit);
    if (trp_actor_killed(a))
        p->exit = trp_exit_killed();
    else if (p->exit.how == TROUPE_END_NORMAL)
        p->exit = p->given;
    else if (p->exit.how == TROUPE_END_SIGNAL || p->mark == TRP_MARK_MEMORY)
        explain(p);
    if (p->mark == TRP_MARK_RECYCLE && p->exit.how == TROUPE_END_NORMAL && trp_actor_recycle(a))
        return begin_life(p);
    if (!trp_actor_leave(a, &p->exit, &ms))
        return end(p);
    trp_timer_start(&a->worker->timers, &p->restart, trp_deadline(ms));
    return TRP_RAN_PARKED;
}

/* Between two lives. */
static enum trp_ran try_again(struct trp_proxy *p) {
    if (trp_actor_is_closing(p->actor))
        return end(p);
    return trp_timer_runs(&p->restart) ? TRP_RAN_PARKED : begin_life(p);
}

static enum trp_ran begin_life(struct trp_proxy *p) {
    if (!trp_actor_enter(p->actor))
        return end(p);
    troupe_status st = fork_life(p);
    if (st == TROUPE_OK)
        return TRP_RAN_YIELDED; /* to attach it */
    p->exit = trp_exit_unborn(troupe_status_text(st));
    if (st == TROUPE_NO_NURSERY)
        (void)(trp_actor_close(p->actor) == TROUPE_OK); /* there is no use in trying again */
    return life_over(p);
}

static enum trp_ran process_run(struct trp_actor **which) {
    struct trp_actor *a = *which;
    struct trp_proxy *p = a->run;
    if (!p->alive)
        return try_again(p);
    attach(p);
    atomic_store(&p->rung, false);
    trp_proxy_listen(p);
    if (atomic_load(&p->over))
        return life_over(p);
    if (trp_actor_killed(a)) {
        if (!p->kill_sent)
            trp_nursery_kill(&a->sys->nursery, trp_actor_id(a), p->life);
        p->kill_sent = true;
        return TRP_RAN_PARKED;
    }
    if (p->channel) {
        if (atomic_load_explicit(&p->blocked, memory_order_relaxed))
            trp_proxy_settle_line(p);
        trp_proxy_deliver(p);
    }
    trp_proxy_tick(p);
    return TRP_RAN_PARKED;
}

/* Is mail all there can be to see to? Whoever brings anything else notes it before it wakes the actor. */
static bool has_mail_alone(struct trp_proxy *p) {
    struct trp_actor *a = p->actor;
    return p->alive && p->channel && !atomic_load(&p->over) && !atomic_load(&p->rung) && !trp_actor_killed(a) &&
           !atomic_load(&a->finished);
}

/* --- the backend --- */

static void process_free(struct trp_actor *a) {
    struct trp_proxy *p = a->run;
    if (!p)
        return;
    drop_channel(p);
    pthread_mutex_destroy(&p->down);
    pthread_mutex_destroy(&p->up);
    trp_free(p);
}

static troupe_status process_start(struct trp_actor *a) {
    struct trp_proxy *p = trp_calloc(1, sizeof *p);
    if (!p)
        return TROUPE_NO_MEMORY;
    p->actor = a;
    p->fd = -1;
    p->tail = &p->lent;
    trp_far_init(p);
    pthread_mutex_init(&p->down, NULL);
    pthread_mutex_init(&p->up, NULL);
    p->restart.fire = on_restart;
    p->tick.fire = trp_proxy_on_tick;
    p->exit = trp_exit_killed();
    a->run = p;
    troupe_status st = trp_system_steward(a->sys, &a->worker);
    if (st != TROUPE_OK)
        return st;
    /* False: the system is closing, and has found it already. */
    if (trp_actor_enter(a))
        st = fork_life(p);
    if (st != TROUPE_OK)
        return st;
    /* Relaxed: the push publishes it. */
    atomic_store_explicit(&a->wake, TRP_NOTIFIED, memory_order_relaxed);
    trp_worker_push(a->worker, a);
    return TROUPE_OK;
}

/* On the thread of whoever has woken it, if there is nothing to do but to deliver: then a message costs no thread in between.
 */
static void process_resume(struct trp_actor *a) {
    unsigned awake;
    do {
        /* Acquire pairs with the release in trp_actor_unpark: what it was woken for can be seen. */
        atomic_exchange_explicit(&a->wake, TRP_AWAKE, memory_order_acquire);
        if (!has_mail_alone(a->run)) {
            /* Relaxed: the push publishes it. */
            atomic_store_explicit(&a->wake, TRP_NOTIFIED, memory_order_relaxed);
            trp_worker_push(a->worker, a);
            return;
        }
        trp_proxy_deliver(a->run);
        awake = TRP_AWAKE;
        /* Release pairs with the acquire in trp_actor_unpark: all that was done here comes before its next run. */
    } while (
        !atomic_compare_exchange_strong_explicit(&a->wake, &awake, TRP_PARKED, memory_order_release, memory_order_relaxed));
}

static void process_measure(struct trp_actor *a, struct trp_measure *out) {
    const struct trp_proxy *p = a->run;
    out->pid = p->pid;
    trp_proxy_lanes_look(p, &out->straight_bytes, &out->straight);
}

const struct trp_backend trp_process_backend = {
    .kind = TROUPE_PROCESS,
    .start = process_start,
    .resume = process_resume,
    .run = process_run,
    .measure = process_measure,
    .free = process_free,
};
