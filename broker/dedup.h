/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The ids of messages that were put into a queue a short while ago, so that a producer that did not hear the confirmation
 * may put again. An id outlives its message; it is forgotten when its time is over, and never before.
 *
 * Ids stand in the order they came. All have the same time, so that is the order in which they end too; only after a
 * restart may an id that was copied forward stand behind younger ones, and be forgotten a little late. Whether it still
 * counts is always asked of the id itself. */
#ifndef TRP_BROKER_DEDUP_H
#define TRP_BROKER_DEDUP_H

#include "broker/hash.h"
#include "broker/table.h"
#include "transports/buf.h"

struct trp_queue;

struct trp_dedup_id {
    struct trp_dedup_id *prev, *next;           /* of the queue's */
    struct trp_dedup_id *live_prev, *live_next; /* of all that lie in the log, by their records */
    struct trp_queue *queue;
    uint64_t hash;
    uint64_t until; /* monotonic */
    uint64_t lsn;   /* of its message's PUT; 0: in memory only */
    uint32_t segment;
    uint8_t n;
    uint8_t text[];
};

/* Zero-initialise. */
struct trp_dedup {
    struct trp_table table;
    struct trp_dedup_id *first, *last;
};

static inline uint64_t trp_dedup_count(const struct trp_dedup *d) {
    return d->table.count;
}

/* NULL: it is not known. It may have ended. */
struct trp_dedup_id *trp_dedup_find(const struct trp_dedup *d, const struct trp_hash_key *k, struct trp_slice text);
/* An id that is not in it yet, and room for it. At most 255 bytes. NULL: no memory. */
struct trp_dedup_id *trp_dedup_prepare(struct trp_dedup *d, const struct trp_hash_key *k, struct trp_slice text);
/* Puts in what was prepared last; a prepared id that is not wanted is freed with trp_free. */
void trp_dedup_add(struct trp_dedup *d, struct trp_dedup_id *id);
/* Takes it out and frees it; it is in no other list. */
void trp_dedup_remove(struct trp_dedup *d, struct trp_dedup_id *id);
/* It is empty. */
void trp_dedup_fini(struct trp_dedup *d);

/* Those that lie in the log. Zero-initialise. */
struct trp_dedup_live {
    struct trp_dedup_id *first, *last;
};

void trp_dedup_live_push(struct trp_dedup_live *l, struct trp_dedup_id *id);
void trp_dedup_live_remove(struct trp_dedup_live *l, struct trp_dedup_id *id);

#endif
