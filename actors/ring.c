/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/ring.h"

#include "transports/assert.h"

void trp_ring_init(struct trp_ring *r, struct trp_ring_words *words, uint8_t *data, size_t size) {
    trp_assert(size && (size & (size - 1)) == 0);
    *r = (struct trp_ring){.words = words, .data = data, .size = size};
}

/* --- writing --- */

/* The reader's position can't be behind what it was, nor before ours. */
static void see_tail(struct trp_ring *r) {
    /* Acquire pairs with the release in consume: the reader is done with the bytes that are written over. */
    uint64_t tail = atomic_load_explicit(&r->words->tail, memory_order_acquire);
    if (tail - r->seen > r->at - r->seen)
        r->broken = true;
    else
        r->seen = tail;
}

size_t trp_ring_room(struct trp_ring *r, size_t want) {
    if (r->size - (r->at - r->seen) < want)
        see_tail(r);
    return r->broken ? 0 : r->size - (r->at - r->seen);
}

void trp_ring_publish(struct trp_ring *r, size_t n) {
    r->at += n;
    atomic_store(&r->words->head, r->at);
}

/* --- reading --- */

/* The writer's position can't be behind what it was, nor further from ours than fits. */
static void see_head(struct trp_ring *r, uint64_t head) {
    if (head - r->at < r->seen - r->at || head - r->at > r->size)
        r->broken = true;
    else
        r->seen = head;
}

struct trp_slice trp_ring_peek(struct trp_ring *r) {
    /* Acquire pairs with the store in publish: the bytes are there. */
    see_head(r, atomic_load_explicit(&r->words->head, memory_order_acquire));
    return (struct trp_slice){r->data + r->at % r->size, r->broken ? 0 : (size_t)(r->seen - r->at)};
}

void trp_ring_consume(struct trp_ring *r, size_t n) {
    trp_assert(n <= r->seen - r->at);
    r->at += n;
    /* Pairs with the acquire in see_tail; sequentially consistent, before a look at `starved`. */
    atomic_store(&r->words->tail, r->at);
}

bool trp_ring_has(struct trp_ring *r) {
    see_head(r, atomic_load(&r->words->head));
    return r->broken || r->seen != r->at;
}
