/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Due alarms are taken out of heap and table under the lock, one by one, and sent without it: from then on they can't be
 * cancelled. */
#include "actors/alarm.h"

#include <troupe/timer.h>

#include "actors/clock.h"
#include "actors/object.h"
#include "actors/self.h"
#include "actors/system.h"
#include "transports/alloc.h"

enum { PLACES_FIRST = 64 };

struct trp_alarm {
    struct trp_timer timer; /* first */
    struct troupe_msg *msg;
    uint64_t to;
    uint32_t place;
};

void trp_alarms_init(struct trp_alarms *as, troupe_system *sys) {
    pthread_condattr_t attr;
    *as = (struct trp_alarms){.sys = sys};
    pthread_mutex_init(&as->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&as->sooner, &attr);
    pthread_condattr_destroy(&attr);
}

/* --- places, under the lock --- */

static troupe_status places_grow(struct trp_alarms *as) {
    uint32_t size = as->size ? as->size * 2 : PLACES_FIRST;
    struct trp_alarm_place *places = size > as->size ? trp_realloc(as->places, size * sizeof *places) : NULL;
    if (!places)
        return TROUPE_NO_MEMORY;
    as->places = places;
    as->size = size;
    if (as->used == 0)
        as->used = 1; /* no number is 0 */
    return TROUPE_OK;
}

static troupe_status place_take(struct trp_alarms *as, struct trp_alarm *al) {
    if (!as->free && as->used == as->size && places_grow(as) != TROUPE_OK)
        return TROUPE_NO_MEMORY;
    al->place = as->free ? as->free : as->used++;
    struct trp_alarm_place *p = &as->places[al->place];
    if (as->free)
        as->free = p->next_free;
    else
        *p = (struct trp_alarm_place){0};
    p->alarm = al;
    return TROUPE_OK;
}

static void place_give(struct trp_alarms *as, struct trp_alarm *al) {
    struct trp_alarm_place *p = &as->places[al->place];
    p->alarm = NULL;
    p->generation++;
    p->next_free = as->free;
    as->free = al->place;
}

static uint64_t number(const struct trp_alarms *as, const struct trp_alarm *al) {
    return (uint64_t)as->places[al->place].generation << 32 | al->place;
}

static struct trp_alarm *find(struct trp_alarms *as, uint64_t id) {
    uint32_t place = (uint32_t)id;
    if (place == 0 || place >= as->used || as->places[place].generation != id >> 32)
        return NULL;
    return as->places[place].alarm;
}

/* --- sending --- */

/* The memory is there, so a mailbox that is full of others takes it all the same. */
static void deliver(struct trp_alarms *as, struct trp_alarm *al) {
    struct trp_actor *to = trp_registry_get(&as->sys->registry, al->to);
    struct trp_send s = {.msg = al->msg};
    troupe_status st = to ? trp_actor_send(to, &s, false) : TROUPE_NOT_FOUND;
    if (st == TROUPE_FULL && to->backend != &trp_object_backend) {
        trp_actor_deliver(to, s.msg, true);
    } else if (st != TROUPE_OK) {
        s.msg->to = al->to;
        s.msg->next = NULL;
        trp_letters_bury(as->sys, to, s.msg, st);
    }
    if (to)
        trp_actor_unref(to);
    trp_free(al);
}

/* The next that is due, out of all that could find it. */
static struct trp_alarm *take_due(struct trp_alarms *as, int64_t now) {
    struct trp_alarm *al = trp_timers_next(&as->timers) <= now ? (struct trp_alarm *)as->timers.first : NULL;
    if (al) {
        trp_timer_stop(&as->timers, &al->timer);
        place_give(as, al);
    }
    return al;
}

void trp_alarms_run(struct trp_alarms *as, int64_t now) {
    struct trp_alarm *al;
    do {
        pthread_mutex_lock(&as->lock);
        al = take_due(as, now);
        pthread_mutex_unlock(&as->lock);
        if (al)
            deliver(as, al);
    } while (al);
}

int64_t trp_alarms_next(struct trp_alarms *as) {
    pthread_mutex_lock(&as->lock);
    int64_t next = trp_timers_next(&as->timers);
    pthread_mutex_unlock(&as->lock);
    return next;
}

/* Until the earliest is due, or something has changed. With the lock. */
static void wait_next(struct trp_alarms *as, int64_t next) {
    struct timespec t = {.tv_sec = next / 1000000000, .tv_nsec = next % 1000000000};
    if (next == TRP_NEVER)
        pthread_cond_wait(&as->sooner, &as->lock);
    else
        pthread_cond_timedwait(&as->sooner, &as->lock, &t);
}

static void *alarms_main(void *arg) {
    struct trp_alarms *as = arg;
    trp_thread_name("alarms");
    pthread_mutex_lock(&as->lock);
    while (!as->over) {
        int64_t next = trp_timers_next(&as->timers), now = trp_now();
        if (next > now) {
            wait_next(as, next);
            continue;
        }
        pthread_mutex_unlock(&as->lock);
        trp_alarms_run(as, now);
        pthread_mutex_lock(&as->lock);
    }
    pthread_mutex_unlock(&as->lock);
    return NULL;
}

/* --- setting --- */

/* Under the lock, for which the thread waits first. */
static troupe_status serve(struct trp_alarms *as) {
    if (as->served || trp_clock_is_made())
        return TROUPE_OK;
    troupe_status st = trp_thread_start(&as->thread, alarms_main, as, 0);
    as->served = st == TROUPE_OK;
    return st;
}

static troupe_status set(struct trp_alarms *as, struct trp_alarm *al, int64_t deadline, uint64_t *id) {
    pthread_mutex_lock(&as->lock);
    troupe_status st = serve(as);
    if (st == TROUPE_OK)
        st = place_take(as, al);
    if (st == TROUPE_OK) {
        trp_timer_start(&as->timers, &al->timer, deadline);
        *id = number(as, al);
        if (as->timers.first == &al->timer)
            pthread_cond_signal(&as->sooner);
    }
    pthread_mutex_unlock(&as->lock);
    return st;
}

troupe_status trp_alarm_set(struct trp_alarms *as, int64_t ms, uint64_t to, struct troupe_msg **m, uint64_t *id) {
    struct trp_alarm *al;
    struct trp_actor *there = trp_registry_get(&as->sys->registry, to);
    if (!there)
        return TROUPE_NOT_FOUND;
    trp_actor_unref(there);
    al = trp_malloc(sizeof *al);
    if (!al)
        return TROUPE_NO_MEMORY;
    *al = (struct trp_alarm){.msg = *m, .to = to};
    int64_t deadline = trp_deadline(ms);
    troupe_status st = set(as, al, deadline == TRP_NEVER ? TRP_NEVER - 1 : deadline, id);
    if (st == TROUPE_OK)
        *m = NULL;
    else
        trp_free(al);
    return st;
}

static void drop(struct trp_alarm *al) {
    trp_msg_drop(al->msg);
    trp_free(al);
}

troupe_status trp_alarm_cancel(struct trp_alarms *as, uint64_t id) {
    pthread_mutex_lock(&as->lock);
    struct trp_alarm *al = find(as, id);
    if (al) {
        trp_timer_stop(&as->timers, &al->timer);
        place_give(as, al);
    }
    pthread_mutex_unlock(&as->lock);
    if (!al)
        return TROUPE_NOT_FOUND;
    drop(al);
    return TROUPE_OK;
}

static void thread_end(struct trp_alarms *as) {
    pthread_mutex_lock(&as->lock);
    bool served = as->served;
    as->over = true;
    pthread_cond_signal(&as->sooner);
    pthread_mutex_unlock(&as->lock);
    if (served)
        pthread_join(as->thread, NULL);
}

void trp_alarms_fini(struct trp_alarms *as) {
    struct trp_alarm *al;
    if (!as->sys)
        return;
    thread_end(as);
    while ((al = take_due(as, TRP_NEVER)))
        drop(al);
    trp_free(as->places);
    pthread_cond_destroy(&as->sooner);
    pthread_mutex_destroy(&as->lock);
}

/* --- what a body calls --- */

troupe_status troupe_send_after(troupe_self *self, int64_t ms, troupe_ref to, troupe_value v, troupe_timer *out) {
    struct troupe_msg *m;
    uint64_t id;
    if (ms < 0)
        return TROUPE_INVALID;
    troupe_status st = trp_self_may(self);
    if (st != TROUPE_OK)
        return st;
    st = trp_msg_from_value(&m, v, (struct trp_slice){0});
    if (st != TROUPE_OK)
        return st;
    trp_self_spend(self);
    m->from = trp_actor_id(self->actor);
    st = self->reach->send_after(self, ms, to, &m, &id);
    trp_msg_drop(m);
    if (st == TROUPE_OK && out)
        out->id = id;
    return st;
}

troupe_status troupe_cancel(troupe_self *self, troupe_timer timer) {
    troupe_status st = trp_self_may(self);
    return st == TROUPE_OK ? self->reach->cancel(self, timer.id) : st;
}
