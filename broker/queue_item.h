/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A queue's message in memory: one block, 72 bytes before the message's own. A million of them wait in 256 MB, so each
 * field earns its place, what only one state needs lies where another state keeps something else, and what only some
 * messages have lies before the head of those:
 *
 *     [expires 8] [links 16] [head 72] [bytes | a reference to large shared ones] [death]
 *      mortal      durable
 *
 * The links are the list of all that lives in the log, in the order of their records, for copying the oldest forward. */
#ifndef TRP_BROKER_QUEUE_ITEM_H
#define TRP_BROKER_QUEUE_ITEM_H

#include "broker/queue.h"
#include "broker/queue_timers.h"

struct trp_queue_item {
    struct trp_queue_item *prev, *next; /* of the list it stands in; ready in the tree: left and right */
    union {
        struct trp_queue *queue;     /* ready, delayed, buried */
        struct trp_consumer *holder; /* in hand */
    };
    union {
        struct trp_queue_item *up; /* ready in the tree */
        uint64_t due;              /* delayed */
        uint64_t deadline;         /* in hand: of its ack */
    };
    union {
        struct trp_timer timer; /* ready: ttl; delayed */
        uint64_t token;         /* in hand */
    };
    uint64_t seq;
    uint64_t first_seen : 48, priority : 4, state : 2;
    uint64_t in_tree : 1;
    uint64_t timed : 1; /* has a timer reserved */
    uint64_t durable : 1;
    uint64_t large : 1;
    uint64_t dead : 1;   /* has a death behind its bytes */
    uint64_t mortal : 1; /* has a time to live, or may get one */
    uint32_t size;       /* of the message */
    uint32_t segment;    /* durable: where its last PUT lies */
    uint32_t deliveries;
    uint16_t crashes;
    uint8_t signal;
    uint8_t reason; /* enum trp_queue_reason; buried or dead */
    uint8_t bytes[];
};

/* Why a message died. What has a text of its own says BURIED and keeps the text in its death. */
enum trp_queue_reason {
    TRP_REASON_NONE,
    TRP_REASON_EXPIRED,
    TRP_REASON_OVERFLOW,
    TRP_REASON_MAX_DELIVERIES,
    TRP_REASON_CRASHED,
    TRP_REASON_BURIED,
    TRP_REASONS,
};
const char *trp_queue_reason_name(enum trp_queue_reason r);

/* What makes an item. */
struct trp_queue_item_spec {
    struct trp_slice raw;
    struct trp_blob *blob; /* may be NULL */
    bool durable, mortal;
    enum trp_queue_reason reason;
    const struct trp_death *death; /* NULL: it is no dead letter */
};

/* In no state yet. NULL: no memory. */
struct trp_queue_item *trp_queue_item_new(const struct trp_queue_item_spec *spec);
void trp_queue_item_free(struct trp_queue_item *it);

static inline uint64_t *trp_queue_item_ttl(const struct trp_queue_item *it) {
    return (uint64_t *)(uintptr_t)it - (it->durable ? 3 : 1);
}
/* When it does, monotonic, or NEVER. */
static inline uint64_t trp_queue_item_expires(const struct trp_queue_item *it) {
    return it->mortal ? *trp_queue_item_ttl(it) : TRP_QUEUE_NEVER;
}
/* For a mortal one; one that is not expires NEVER. */
void trp_queue_item_expire_at(struct trp_queue_item *it, uint64_t at);

/* The message's bytes, and in *blob (may be NULL) where they lie shared, or NULL. */
struct trp_slice trp_queue_item_raw(const struct trp_queue_item *it, struct trp_blob **blob);
/* Of a dead letter; the reason is empty if it has no text of its own. */
struct trp_death trp_queue_item_epitaph(const struct trp_queue_item *it);
/* The same with a reason always; all empty if it is neither dead nor buried. */
struct trp_death trp_queue_item_death(const struct trp_queue_item *it);

/* ---- lists ---- */

struct trp_queue_items {
    struct trp_queue_item *first, *last;
};

void trp_queue_items_push(struct trp_queue_items *l, struct trp_queue_item *it);       /* last */
void trp_queue_items_push_front(struct trp_queue_items *l, struct trp_queue_item *it); /* first */
void trp_queue_items_remove(struct trp_queue_items *l, struct trp_queue_item *it);

/* The same for durable items by their links. */
void trp_queue_items_push_live(struct trp_queue_items *l, struct trp_queue_item *it);
void trp_queue_items_remove_live(struct trp_queue_items *l, struct trp_queue_item *it);

#endif
