/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The deadline of a process actor: how long it may have one message in hand. The body notes how many messages it has received
 * and whether it is at one; the steward looks now and then, and has the process killed when the number has not changed for too
 * long. Nothing that the body does, or that is done to it (SIGSTOP), can keep that from happening. One that should be waiting
 * for messages, and does not take what has been sent to it, is not there either. */
#include <stddef.h>

#include "actors/process.h"
#include "actors/system.h"
#include "transports/log.h"

enum { LOOKS = 8, LOOK_LEAST_MS = 2 }; /* in the time of a deadline */

static int64_t look_ms(const struct trp_proxy *p) {
    int64_t ms = p->actor->birth->deadline_ms / LOOKS;
    return ms > LOOK_LEAST_MS ? ms : LOOK_LEAST_MS;
}

static bool has_untaken(struct trp_proxy *p, const struct trp_shared_words *w) {
    pthread_mutex_lock(&p->down);
    bool some = atomic_load_explicit(&w->taken, memory_order_relaxed) - p->taken < p->count;
    pthread_mutex_unlock(&p->down);
    size_t bytes;
    uint64_t received;
    trp_proxy_lanes_look(p, &bytes, &received);
    return some || bytes > 0;
}

static bool is_at_work(struct trp_proxy *p, const struct trp_shared_words *w) {
    switch ((enum trp_doing)atomic_load_explicit(&w->doing, memory_order_relaxed)) {
    case TRP_DOING_MESSAGE:
        return true;
    case TRP_DOING_RECEIVE:
        return has_untaken(p, w);
    case TRP_DOING_OTHER:
        break;
    }
    return false;
}

static void look(struct trp_proxy *p) {
    const struct trp_shared_words *w = trp_channel_words(p->channel);
    uint64_t handled = atomic_load_explicit(&w->handled, memory_order_relaxed);
    int64_t now = trp_now();
    if (!is_at_work(p, w) || handled != p->watch.handled) {
        p->watch.handled = handled;
        p->watch.since = now;
    } else if (now - p->watch.since >= p->actor->birth->deadline_ms * TRP_NS_PER_MS) {
        p->watch.overdue = true;
        trp_log(TROUPE_LOG_WARN, "actor.overdue", "%s (pid %d): a message for more than %lld ms; it is killed",
                p->actor->birth->name, (int)p->pid, (long long)p->actor->birth->deadline_ms);
        trp_nursery_kill(&p->actor->sys->nursery, trp_actor_id(p->actor), p->life);
    }
}

static void on_look(struct trp_timer *t) {
    struct trp_proxy *p = (struct trp_proxy *)((char *)t - offsetof(struct trp_proxy, watch.timer));
    look(p);
    if (!p->watch.overdue)
        trp_timer_start(&p->actor->worker->timers, t, trp_deadline(look_ms(p)));
}

void trp_overdue_begin(struct trp_proxy *p) {
    if (!p->actor->birth->deadline_ms || !p->channel)
        return;
    p->watch.handled = 0;
    p->watch.since = trp_now();
    p->watch.timer.fire = on_look;
    trp_timer_start(&p->actor->worker->timers, &p->watch.timer, trp_deadline(look_ms(p)));
}

void trp_overdue_end(struct trp_proxy *p) {
    trp_timer_stop(&p->actor->worker->timers, &p->watch.timer);
}
