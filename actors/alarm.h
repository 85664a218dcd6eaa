/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Messages to be sent later (<troupe/timer.h>): one heap of deadlines a system, and a thread that waits for the earliest,
 * started with the first. Not the workers' own deadlines: an actor that computes must not hold up what it has sent to others,
 * and anybody may cancel.
 *
 * An alarm is known by a number: its place in a table, and how often that place has been used. */
#ifndef TRP_ALARM_H
#define TRP_ALARM_H

#include <pthread.h>

#include <troupe/actor.h>

#include "actors/timer.h"

struct troupe_msg;
struct trp_alarm;

struct trp_alarm_place {
    struct trp_alarm *alarm; /* NULL: free */
    uint32_t generation, next_free;
};

/* (m) under lock, (c) constant */
struct trp_alarms {
    troupe_system *sys; /* (c) */
    pthread_mutex_t lock;
    pthread_cond_t sooner;          /* with lock, of the monotonic clock: the earliest is another, or it is over */
    struct trp_timers timers;       /* (m) */
    struct trp_alarm_place *places; /* (m) from 1 on */
    uint32_t size, used, free;      /* (m) of places */
    bool served, over;              /* (m) it has a thread; that is to end */
    pthread_t thread;               /* (m) */
};

void trp_alarms_init(struct trp_alarms *as, troupe_system *sys);
/* What has not been sent is dropped. No actor is left. */
void trp_alarms_fini(struct trp_alarms *as);

/* Takes the message with OK. NOT_FOUND; NO_MEMORY, SYSTEM. Any thread. */
TROUPE_NODISCARD troupe_status trp_alarm_set(struct trp_alarms *as, int64_t ms, uint64_t to, struct troupe_msg **m,
                                             uint64_t *id);
/* NOT_FOUND. Any thread. */
TROUPE_NODISCARD troupe_status trp_alarm_cancel(struct trp_alarms *as, uint64_t id);

/* For a system whose time is made: what is due is sent; when the next will be. */
void trp_alarms_run(struct trp_alarms *as, int64_t now);
int64_t trp_alarms_next(struct trp_alarms *as);

#endif
