/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A 4-ary heap: half as deep as a binary one, and the children of a node lie in one cache line or two. The nodes are
 * 1 .. n; those of node i begin at 4i - 2. */
#include "broker/queue_timers.h"
#include "transports/alloc.h"
#include "transports/assert.h"
#include <stddef.h>

enum { WIDTH = 4, CAP_MIN = 64 };
#define CAP_MAX (UINT32_MAX / 8)

void trp_timers_init(struct trp_timers *ts, trp_timer_rank *rank) {
    *ts = (struct trp_timers){.rank = rank};
}

void trp_timers_fini(struct trp_timers *ts) {
    trp_assert(ts->n == 0);
    trp_free(ts->slots);
    *ts = (struct trp_timers){0};
}

/* ---- room ---- */

static troupe_status resize(struct trp_timers *ts, uint32_t cap) {
    struct trp_timer_slot *slots = trp_array(ts->slots, (size_t)cap + 1, sizeof *slots);
    if (!slots)
        return TROUPE_NO_MEMORY;
    ts->slots = slots;
    ts->cap = cap;
    return TROUPE_OK;
}

troupe_status trp_timers_reserve(struct trp_timers *ts) {
    if (ts->reserved == CAP_MAX)
        return TROUPE_NO_MEMORY;
    if (ts->reserved == ts->cap) {
        troupe_status st = resize(ts, ts->cap ? ts->cap * 2 : CAP_MIN);
        if (st)
            return st;
    }
    ts->reserved++;
    return TROUPE_OK;
}

void trp_timers_release(struct trp_timers *ts) {
    trp_assert(ts->reserved > ts->n);
    ts->reserved--;
    /* The memory of a burst is given back, unless there is none to do it with. */
    if (ts->cap > CAP_MIN && ts->reserved < ts->cap / 8)
        (void)resize(ts, ts->cap / 4);
}

/* ---- order ---- */

static bool comes_before(const struct trp_timers *ts, const struct trp_timer_slot *a, const struct trp_timer_slot *b) {
    if (a->at != b->at)
        return a->at < b->at;
    if (a->timer->kind != b->timer->kind)
        return a->timer->kind < b->timer->kind;
    return ts->rank(a->timer) < ts->rank(b->timer);
}

static uint32_t parent_of(uint32_t i) {
    return (i + 2) / WIDTH;
}

static void put_at(struct trp_timers *ts, uint32_t i, struct trp_timer_slot s) {
    ts->slots[i] = s;
    s.timer->place = i;
}

static void sift_up(struct trp_timers *ts, uint32_t i, struct trp_timer_slot s) {
    for (; i > 1 && comes_before(ts, &s, &ts->slots[parent_of(i)]); i = parent_of(i))
        put_at(ts, i, ts->slots[parent_of(i)]);
    put_at(ts, i, s);
}

/* The earliest child of i; 0: it has none. */
static uint32_t first_child(const struct trp_timers *ts, uint32_t i) {
    uint32_t child = WIDTH * i - 2, end = child + WIDTH, best = child;
    if (child > ts->n)
        return 0;
    for (child++; child < end && child <= ts->n; child++)
        if (comes_before(ts, &ts->slots[child], &ts->slots[best]))
            best = child;
    return best;
}

static void sift_down(struct trp_timers *ts, uint32_t i, struct trp_timer_slot s) {
    for (uint32_t child; (child = first_child(ts, i)) && comes_before(ts, &ts->slots[child], &s); i = child)
        put_at(ts, i, ts->slots[child]);
    put_at(ts, i, s);
}

/* s is to stand at i, or wherever it belongs above or below. */
static void settle(struct trp_timers *ts, uint32_t i, struct trp_timer_slot s) {
    if (i > 1 && comes_before(ts, &s, &ts->slots[parent_of(i)]))
        sift_up(ts, i, s);
    else
        sift_down(ts, i, s);
}

/* ---- timers ---- */

void trp_timer_arm(struct trp_timers *ts, struct trp_timer *t, uint64_t at) {
    struct trp_timer_slot s = {at, t};
    if (t->place) {
        settle(ts, t->place, s);
        return;
    }
    trp_assert(ts->n < ts->reserved);
    sift_up(ts, ++ts->n, s);
}

void trp_timer_disarm(struct trp_timers *ts, struct trp_timer *t) {
    uint32_t i = t->place;
    if (i == 0)
        return;
    struct trp_timer_slot last = ts->slots[ts->n--];
    t->place = 0;
    if (last.timer != t)
        settle(ts, i, last);
}

struct trp_timer *trp_timers_due(const struct trp_timers *ts, uint64_t now) {
    return ts->n > 0 && ts->slots[1].at <= now ? ts->slots[1].timer : NULL;
}

uint64_t trp_timers_first(const struct trp_timers *ts) {
    return ts->n > 0 ? ts->slots[1].at : UINT64_MAX;
}
