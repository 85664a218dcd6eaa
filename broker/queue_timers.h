/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The deadlines of a set of queues in one heap: four children a node, 16 bytes a timer, the earliest on top. A timer is
 * embedded in what it belongs to and knows its place, so that it can be moved and taken out.
 *
 * Room is promised before it is needed: whatever may want a timer some day reserves one when it is made, and arming it
 * then cannot fail in the middle of an event.
 *
 * Equal deadlines go by kind, then by rank; so what happens does not depend on the heap's history. */
#ifndef TRP_BROKER_QUEUE_TIMERS_H
#define TRP_BROKER_QUEUE_TIMERS_H

#include <stdbool.h>
#include <stdint.h>
#include <troupe/status.h>

enum trp_timer_kind { TRP_TIMER_ITEM, TRP_TIMER_CONSUMER, TRP_TIMER_QUEUE };

/* Zero-initialise but for the kind. */
struct trp_timer {
    uint32_t place; /* from 1; 0: not armed */
    uint32_t kind;
};

struct trp_timer_slot {
    uint64_t at;
    struct trp_timer *timer;
};

typedef uint64_t trp_timer_rank(const struct trp_timer *t);

struct trp_timers {
    struct trp_timer_slot *slots; /* the first is not used, so that place 0 is nowhere */
    uint32_t n, cap;              /* cap without the first */
    uint32_t reserved;
    trp_timer_rank *rank;
};

void trp_timers_init(struct trp_timers *ts, trp_timer_rank *rank);
void trp_timers_fini(struct trp_timers *ts);

/* One more will fit. NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_timers_reserve(struct trp_timers *ts);
/* One less is needed; fewer than those are armed. */
void trp_timers_release(struct trp_timers *ts);

/* Arms it, or moves it if it is armed. */
void trp_timer_arm(struct trp_timers *ts, struct trp_timer *t, uint64_t at);
/* Nothing happens if it is not armed. */
void trp_timer_disarm(struct trp_timers *ts, struct trp_timer *t);
/* The earliest, still armed, if it is due by now; NULL: none. */
struct trp_timer *trp_timers_due(const struct trp_timers *ts, uint64_t now);
/* UINT64_MAX: none. */
uint64_t trp_timers_first(const struct trp_timers *ts);

static inline bool trp_timer_is_armed(const struct trp_timer *t) {
    return t->place != 0;
}
/* It is armed. */
static inline uint64_t trp_timer_at(const struct trp_timers *ts, const struct trp_timer *t) {
    return ts->slots[t->place].at;
}

#endif
