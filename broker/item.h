/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * An item: one message kept for one target, in a group's backlog or in the hand of the subscription that it was
 * delivered to, until that says ACK. It is one block: the head below and the message's bytes behind it, or, when the
 * message is large, a reference to bytes that all who keep it share.
 *
 * Blocks come in a few sizes and go back to free lists, so that a busy broker does not call the allocator; the lists
 * are bounded, so that the memory of a burst is given back. */
#ifndef TRP_BROKER_ITEM_H
#define TRP_BROKER_ITEM_H

#include "transports/envelope.h"

struct trp_ask;
struct trp_sub;

struct trp_item {
    struct trp_item *prev, *next; /* of the list it is in */
    struct trp_sub *sub;          /* who has it in hand; NULL: it waits */
    struct trp_ask *ask;          /* the request that it is a share of; NULL: a plain message */
    uint64_t token;               /* in hand: as delivered */
    size_t size;                  /* of the block */
    struct trp_message m;         /* raw.n == 0: a plain subscription's, which nobody delivers again */
    uint8_t bytes[];
};

struct trp_item_list {
    struct trp_item *first, *last;
    uint64_t n;
    uint64_t bytes; /* of the messages */
};

void trp_item_list_push(struct trp_item_list *l, struct trp_item *it);       /* last */
void trp_item_list_push_front(struct trp_item_list *l, struct trp_item *it); /* first */
void trp_item_list_remove(struct trp_item_list *l, struct trp_item *it);

/* 256 to 16,384 bytes, doubling. */
enum { TRP_ITEM_SIZES = 7 };

struct trp_items {
    struct {
        struct trp_item *first;
        size_t n;
    } free[TRP_ITEM_SIZES];
};

/* From here on a message is shared and not copied. */
enum { TRP_MESSAGE_LARGE = 16384 };

/* A message on its way to its targets. `m` is what to deliver and keep; a large one is moved into shared bytes once,
 * when the first asks for it. */
struct trp_parcel {
    const struct trp_message *m;
    struct trp_blob *own; /* the parcel's reference */
    struct trp_message shared;
};

static inline bool trp_message_is_large(const struct trp_message *m) {
    return m->raw.n >= TRP_MESSAGE_LARGE;
}
static inline void trp_parcel_init(struct trp_parcel *p, const struct trp_message *m) {
    p->m = m;
    p->own = NULL; /* `shared` is written when it is needed */
}
/* Makes a large message's bytes shared, if they are not; leaves a small one alone. */
TROUPE_NODISCARD troupe_status trp_parcel_share(struct trp_parcel *p);
void trp_parcel_fini(struct trp_parcel *p);

/* A copy (or reference) of the parcel's message in an item that is in no list; parcel NULL: without a message. NULL: no memory.
 */
struct trp_item *trp_item_new(struct trp_items *pool, struct trp_parcel *parcel);
void trp_item_free(struct trp_items *pool, struct trp_item *it);
void trp_items_fini(struct trp_items *pool);

#endif
