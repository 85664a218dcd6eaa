/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The deadlines of one worker's actors: a pairing heap of nodes that live in their owners, so that parking with a
 * time-out allocates nothing and can't fail. Owner thread only. */
#ifndef TRP_TIMER_H
#define TRP_TIMER_H

#include <stdbool.h>

#include "actors/deadline.h"

/* Zero it first. */
struct trp_timer {
    int64_t deadline;
    void (*fire)(struct trp_timer *t);
    struct trp_timer *child, *next; /* the first child; the next sibling */
    struct trp_timer **link;        /* what points at this one; NULL: it is not running */
};

struct trp_timers {
    struct trp_timer *first; /* the earliest */
};

static inline bool trp_timer_runs(const struct trp_timer *t) {
    return t->link != NULL;
}
static inline int64_t trp_timers_next(const struct trp_timers *ts) {
    return ts->first ? ts->first->deadline : TRP_NEVER;
}

/* TRP_NEVER: does not run at all. */
void trp_timer_start(struct trp_timers *ts, struct trp_timer *t, int64_t deadline);
void trp_timer_stop(struct trp_timers *ts, struct trp_timer *t); /* harmless when it does not run */
/* Stops and fires what is due, earliest first. A timer may start others when it fires. */
void trp_timers_run(struct trp_timers *ts, int64_t now);

#endif
