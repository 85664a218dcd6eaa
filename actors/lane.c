/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/lane.h"

#include <string.h>

#include "transports/assert.h"

/* Before each message's bytes; all is a multiple of it, so that there is always room for one at the end. */
struct header {
    uint32_t size, stretch;
};
enum { SKIP = -1 }; /* size: the next one is at the beginning */

static size_t whole(size_t bytes) {
    return (sizeof(struct header) + bytes + sizeof(struct header) - 1) & ~(sizeof(struct header) - 1);
}

/* Where one of n bytes, header and all, goes that comes after `at`. */
static uint64_t place(uint64_t at, size_t n) {
    size_t left = TRP_LANE_SIZE - at % TRP_LANE_SIZE;
    return n <= left ? at : at + left;
}

static void header_put(const struct trp_lane *lane, uint64_t at, struct header h) {
    memcpy(lane->data + at % TRP_LANE_SIZE, &h, sizeof h);
}

/* --- writing --- */

void trp_lane_out_init(struct trp_lane_out *o, struct trp_lane lane, uint32_t most) {
    trp_assert(most > 0);
    *o = (struct trp_lane_out){.lane = lane, .most = most};
}

/* The reader's position can't be behind what it was, nor before ours. */
static void see_tail(struct trp_lane_out *o) {
    /* Acquire pairs with the release in trp_lane_received: the reader is done with the bytes that are written over. */
    uint64_t tail = atomic_load_explicit(&o->lane.words->tail, memory_order_acquire);
    if (tail - o->seen > o->at - o->seen)
        o->broken = true;
    else
        o->seen = tail;
}

static bool fits(const struct trp_lane_out *o, uint64_t end) {
    return end - o->seen <= TRP_LANE_SIZE;
}

/* What the reader says has been received can be wrong: then the bound is the bytes'. */
static bool is_crowded(struct trp_lane_out *o) {
    if (o->sent - o->taken >= o->most)
        o->taken = atomic_load_explicit(&o->lane.words->taken, memory_order_relaxed);
    return o->sent - o->taken >= o->most;
}

static bool has_room(struct trp_lane_out *o, uint64_t end) {
    if (!fits(o, end))
        see_tail(o);
    return !o->broken && fits(o, end) && !is_crowded(o);
}

static uint8_t *bytes_at(const struct trp_lane_out *o) {
    return o->lane.data + o->at % TRP_LANE_SIZE + sizeof(struct header);
}

uint8_t *trp_lane_place(struct trp_lane_out *o, size_t most) {
    size_t n = whole(most);
    bool fits_here = most <= TRP_LANE_PIECE && place(o->at, n) == o->at;
    return fits_here && has_room(o, o->at + n) ? bytes_at(o) : NULL;
}

void trp_lane_publish(struct trp_lane_out *o, uint32_t stretch, size_t bytes) {
    header_put(&o->lane, o->at, (struct header){(uint32_t)bytes, stretch});
    o->at += whole(bytes);
    o->sent++;
    atomic_store(&o->lane.words->head, o->at);
}

bool trp_lane_write(struct trp_lane_out *o, uint32_t stretch, struct trp_slice bytes) {
    size_t n = whole(bytes.n);
    uint64_t at = place(o->at, n);
    trp_assert(bytes.n <= TRP_LANE_PIECE);
    if (!has_room(o, at + n))
        return false;
    if (at != o->at)
        header_put(&o->lane, o->at, (struct header){.size = (uint32_t)SKIP});
    o->at = at;
    if (bytes.n)
        memcpy(bytes_at(o), bytes.p, bytes.n);
    trp_lane_publish(o, stretch, bytes.n);
    return true;
}

bool trp_lane_want(struct trp_lane_out *o, size_t bytes) {
    struct trp_lane_words *w = o->lane.words;
    uint64_t taken = atomic_load_explicit(&w->taken, memory_order_relaxed), end = place(o->at, whole(bytes)) + whole(bytes);
    /* Sequentially consistent, then a look at what has been received; over there it is the other way round. Without room then,
     * something is there that has not been received, so it is not wanted in vain. */
    atomic_store(&w->want, taken + 1 + (o->sent - taken) * 7 / 8);
    (void)atomic_load(&w->taken);
    if (!has_room(o, end))
        return true;
    atomic_store(&w->want, 0);
    return false;
}

/* --- reading --- */

void trp_lane_in_init(struct trp_lane_in *in, struct trp_lane lane) {
    uint64_t at = atomic_load_explicit(&lane.words->tail, memory_order_acquire);
    *in = (struct trp_lane_in){.lane = lane, .at = at, .seen = at, .done = at};
    in->taken = in->told = atomic_load_explicit(&lane.words->taken, memory_order_relaxed);
}

/* The writer's position can't be behind what it was, nor further from what has been received than fits. */
static void see_head(struct trp_lane_in *in, uint64_t head) {
    if (head - in->done < in->seen - in->done || head - in->done > TRP_LANE_SIZE)
        in->broken = true;
    else
        in->seen = head;
}

static struct header header_at(const struct trp_lane_in *in) {
    struct header h;
    memcpy(&h, in->lane.data + in->at % TRP_LANE_SIZE, sizeof h);
    return h;
}

/* Past the empty piece at the end, if there is one here. */
static void skip(struct trp_lane_in *in) {
    size_t left = TRP_LANE_SIZE - in->at % TRP_LANE_SIZE;
    if (in->seen - in->at >= left && header_at(in).size == (uint32_t)SKIP)
        in->at += left;
}

bool trp_lane_peek(struct trp_lane_in *in, uint32_t *stretch, struct trp_slice *bytes) {
    /* Acquire pairs with the store in trp_lane_write: the bytes are there. */
    if (in->at == in->seen)
        see_head(in, atomic_load_explicit(&in->lane.words->head, memory_order_acquire));
    if (in->broken || in->at == in->seen)
        return false;
    skip(in);
    struct header h = in->seen - in->at >= sizeof h ? header_at(in) : (struct header){.size = (uint32_t)SKIP};
    if (h.size > TRP_LANE_PIECE || whole(h.size) > in->seen - in->at || place(in->at, whole(h.size)) != in->at) {
        in->broken = true;
        return false;
    }
    *stretch = h.stretch;
    *bytes = (struct trp_slice){in->lane.data + in->at % TRP_LANE_SIZE + sizeof h, h.size};
    return true;
}

void trp_lane_step(struct trp_lane_in *in, struct trp_slice bytes) {
    in->at += whole(bytes.n);
}

void trp_lane_received(struct trp_lane_in *in, size_t bytes) {
    in->done = place(in->done, whole(bytes)) + whole(bytes);
    trp_assert(in->done - in->at == 0 || in->at - in->done <= TRP_LANE_SIZE);
    atomic_store_explicit(&in->lane.words->tail, in->done, memory_order_release);
    atomic_store_explicit(&in->lane.words->taken, ++in->taken, memory_order_relaxed);
}

bool trp_lane_tell(struct trp_lane_in *in, bool all) {
    struct trp_lane_words *w = in->lane.words;
    if (in->told == in->taken && !(all && in->owes))
        return false;
    in->told = in->taken;
    /* Sequentially consistent on both sides: either the writer sees it taken, or it is seen here that it waits. */
    atomic_store(&w->taken, in->taken);
    uint64_t want = atomic_load(&w->want);
    in->owes = want != 0 && in->taken < want && !all;
    if (want == 0 || in->owes)
        return false;
    atomic_store(&w->want, 0);
    return true;
}

bool trp_lane_is_empty(struct trp_lane_in *in) {
    see_head(in, atomic_load_explicit(&in->lane.words->head, memory_order_acquire));
    return in->broken || in->done == in->seen;
}

bool trp_lane_has(struct trp_lane_in *in) {
    return !in->broken && atomic_load(&in->lane.words->head) != in->at;
}
