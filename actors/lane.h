/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Messages from one process actor straight to another, through memory that both may touch: whole messages, in a ring, where
 * each stays until the receiving body has got it. So there are three positions: where the writer is, up to where the reader
 * has copied, and up to where its body has received; what lies behind the last one is not lost when the reader dies.
 *
 *     [ received | copied, in the reader's mailbox | written | free ]
 *                ^ tail                                     ^ head        both shared, and count bytes for ever
 *
 * A message never lies across the end: what would is put at the beginning, and an empty piece says so. Each carries its
 * stretch: a writer that goes another way for a while (through the system) counts up when it comes back, so that the reader can
 * tell what belongs before and what after what came that way.
 *
 * As in ring.h, positions of the other are never trusted: one that cannot be makes the end broken, and it says that there is
 * nothing and no room. A writer killed at any instruction leaves whole messages behind. */
#ifndef TRP_LANE_H
#define TRP_LANE_H

#include "actors/ring.h"

enum {
    TRP_LANE_SIZE = 64 * 1024,
    TRP_LANE_PIECE = TRP_LANE_SIZE / 4, /* a message's bytes, at most */
};

/* In shared memory; all zero to begin with. */
struct trp_lane_words {
    alignas(TRP_APART) _Atomic uint64_t head; /* the writer's */
    alignas(TRP_APART) _Atomic uint64_t tail; /* the reader's: bytes that its body has received */
    _Atomic uint64_t taken;                   /* the reader's: messages, the same */
    alignas(TRP_APART) _Atomic uint64_t want; /* wake the writer when `taken` is there; 0: it does not wait */
    _Atomic uint32_t shut;                    /* the system's: the reader is gone */
};

/* Where a lane lies. */
struct trp_lane {
    struct trp_lane_words *words;
    uint8_t *data; /* TRP_LANE_SIZE */
};

/* --- the writer's end --- */

struct trp_lane_out {
    struct trp_lane lane;
    uint64_t at, seen; /* bytes: here; `tail` when it was looked at last */
    uint64_t sent;     /* messages */
    uint64_t taken;    /* messages, when it was looked at last */
    uint32_t most;     /* messages that the reader's body has not received */
    bool broken;
};

/* most: at least 1. */
void trp_lane_out_init(struct trp_lane_out *o, struct trp_lane lane, uint32_t most);
/* A message of at most TRP_LANE_PIECE bytes. Sequentially consistent, before a look at whether the reader sleeps, and at
 * `shut`. False: there is no room for it now. */
TROUPE_NODISCARD bool trp_lane_write(struct trp_lane_out *o, uint32_t stretch, struct trp_slice bytes);
/* The same in two steps, for who makes the bytes where they lie: where at most so many may go; NULL: there is no room for them
 * before the end, or none now. What is put there, as many as there are then, is the reader's after trp_lane_publish. */
uint8_t *trp_lane_place(struct trp_lane_out *o, size_t most);
void trp_lane_publish(struct trp_lane_out *o, uint32_t stretch, size_t bytes);
/* There was no room for so many bytes: the reader shall tell when most of what is there has been received: what is left
 * is what it has to do until the writer is awake. False: there is room
 * by now. */
TROUPE_NODISCARD bool trp_lane_want(struct trp_lane_out *o, size_t bytes);

/* Has the reader's body received all? */
static inline bool trp_lane_has_been_received(const struct trp_lane_out *o) {
    return atomic_load_explicit(&o->lane.words->taken, memory_order_relaxed) == o->sent;
}

/* --- the reader's end --- */

struct trp_lane_in {
    struct trp_lane lane;
    uint64_t at, seen;    /* bytes: copied; `head` when it was looked at last */
    uint64_t done, taken; /* bytes, messages: received */
    uint64_t told;        /* messages, when it was last looked whether the writer waits */
    bool owes;            /* it did, and for more */
    bool broken;
};

/* From where the body has received, by what is written there: for who comes after a reader that is gone, too. */
void trp_lane_in_init(struct trp_lane_in *in, struct trp_lane lane);
/* The next message that has not been copied; it stays until trp_lane_received. False: none. */
TROUPE_NODISCARD bool trp_lane_peek(struct trp_lane_in *in, uint32_t *stretch, struct trp_slice *bytes);
/* It has been copied. */
void trp_lane_step(struct trp_lane_in *in, struct trp_slice bytes);
/* The body has received the oldest one that has been copied; it had so many bytes. Release: it is never handed out twice. */
void trp_lane_received(struct trp_lane_in *in, size_t bytes);
/* Does the writer wait, and has what it waits for been received since this was asked last? Then it is to be woken. `all`: even
 * if it wants more. */
TROUPE_NODISCARD bool trp_lane_tell(struct trp_lane_in *in, bool all);
/* Has everything been received that was written? */
bool trp_lane_is_empty(struct trp_lane_in *in);
/* May there be something to peek at? Sequentially consistent, after the reader has said that it sleeps. */
bool trp_lane_has(struct trp_lane_in *in);
/* The same as a hint, and cheap. */
static inline bool trp_lane_stirs(const struct trp_lane_in *in) {
    return atomic_load_explicit(&in->lane.words->head, memory_order_relaxed) != in->at;
}

#endif
