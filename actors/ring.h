/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Bytes from one process to another through memory that both have mapped: one writes, one reads, nobody locks.
 *
 *     writer:  place -> (fill) -> publish          head and tail count bytes for ever; the data is mapped twice, one after
 *     reader:  peek  -> (use)  -> consume          the other, so that whatever lies there lies in one piece
 *
 * Each end has its own position in memory of its own; what is shared is a copy for the other end to read. So the other
 * end, dead in the middle of a step or mad, can do no more than claim a position: one that cannot be (more than fits, or
 * behind what it said before) makes the ring broken for good, and it says that there is nothing and no room. What has
 * not been published is never seen: a writer killed at any instruction leaves whole steps behind. */
#ifndef TRP_RING_H
#define TRP_RING_H

#include <stdalign.h>
#include <stdatomic.h>

#include "actors/line.h"
#include "transports/buf.h"

/* In shared memory. */
struct trp_ring_words {
    alignas(TRP_APART) _Atomic uint64_t head;    /* stored by the writer alone */
    alignas(TRP_APART) _Atomic uint64_t tail;    /* stored by the reader alone */
    alignas(TRP_APART) _Atomic uint32_t starved; /* the writer waits for room: set by it, taken by the reader */
};

/* One end. */
struct trp_ring {
    struct trp_ring_words *words;
    uint8_t *data; /* 2 * size bytes, the second half the first again */
    size_t size;
    uint64_t at;   /* this end's position */
    uint64_t seen; /* the other's, when it was looked at last */
    bool broken;
};

/* An end of an empty ring, which no other of this side has used before. size: a power of 2. */
void trp_ring_init(struct trp_ring *r, struct trp_ring_words *words, uint8_t *data, size_t size);

/* --- the writer's --- */

/* Bytes that may be written now. Looks at the reader's position only when `want` do not fit by the last look. */
size_t trp_ring_room(struct trp_ring *r, size_t want);
/* Where the next byte goes; as many as there is room for may be written from there. */
static inline uint8_t *trp_ring_place(const struct trp_ring *r) {
    return r->data + r->at % r->size;
}
/* The n bytes there are the reader's. Sequentially consistent, before a look at whether it sleeps. */
void trp_ring_publish(struct trp_ring *r, size_t n);

/* --- the reader's --- */

/* All that is there, in one piece; it stays until it is consumed, but the writer can change it if it has lost its mind: copy
 * first, then judge. */
struct trp_slice trp_ring_peek(struct trp_ring *r);
void trp_ring_consume(struct trp_ring *r, size_t n);
/* Is there anything? Sequentially consistent, after the reader has said that it sleeps. */
bool trp_ring_has(struct trp_ring *r);

#endif
