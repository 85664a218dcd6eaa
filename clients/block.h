/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Blocks of memory for messages: two sizes that are pooled, anything larger from the allocator. Each thread has a list of each
 * size; threads that only make and threads that only free meet in a depot where whole lists change hands, so that in the steady
 * state nothing is allocated, whoever frees. */
#ifndef TRP_BLOCK_H
#define TRP_BLOCK_H

#include <stdbool.h>
#include <stddef.h>

enum { TRP_BLOCK_TINY = 256, TRP_BLOCK_SMALL = 512, TRP_BLOCK_CLASSES = 2 };

/* What the pool itself writes into a block that it has. */
struct trp_block {
    struct trp_block *next;
    struct trp_block *batch; /* of the first of a list in the depot: the next list */
};

struct trp_block_list {
    struct trp_block *first;
    unsigned count;
};

/* The calling thread's. The model spares a call at each access; its cost is room in the block that every thread has anyway. */
struct trp_blocks_near {
    struct trp_block_list hand[TRP_BLOCK_CLASSES], full[TRP_BLOCK_CLASSES];
    bool known; /* its end has been arranged for */
};
extern _Thread_local __attribute__((tls_model("initial-exec"))) struct trp_blocks_near trp_blocks_near;

/* `size` bytes, aligned for anything. NULL: no memory. Any thread. Up to TRP_BLOCK_SMALL bytes they are zero when they are got
 * for the first time, and later what they were when they were put, but for the first two words. */
void *trp_block_get(size_t size);
/* The same of TRP_BLOCK_TINY bytes, if the calling thread has them at hand; NULL.
 * Not by a function that may come back on another thread. */
static inline void *trp_block_at_hand(void) {
    struct trp_block *b = trp_blocks_near.hand[0].first;
    if (b) {
        trp_blocks_near.hand[0].first = b->next;
        trp_blocks_near.hand[0].count--;
    }
    return b;
}
/* The same wherever they come from. */
static inline void *trp_block_get_tiny(void) {
    void *b = trp_block_at_hand();
    return b ? b : trp_block_get(TRP_BLOCK_TINY);
}
/* Gives back what was got with the same size. Any thread. */
void trp_block_put(void *block, size_t size);
enum { TRP_BLOCK_BATCH = 128 };
static inline void trp_block_put_tiny(void *block) {
    struct trp_block *b = block;
    struct trp_block_list *hand = &trp_blocks_near.hand[0];
    if (hand->count >= TRP_BLOCK_BATCH || !trp_blocks_near.known) {
        trp_block_put(block, TRP_BLOCK_TINY);
        return;
    }
    b->next = hand->first;
    hand->first = b;
    hand->count++;
}
/* Gives what the depot holds back to the allocator; threads keep theirs. Any thread. */
void trp_block_trim(void);

#endif
