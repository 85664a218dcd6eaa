/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 *     this thread:  [ at hand ] <--> [ full ]   <--->   depot: [ full ] [ full ] ...   <---> other threads
 *
 * A thread takes from and gives to the list at hand. Is that empty, it takes the full one it has kept, or one of the depot; has
 * it BATCH blocks, it becomes the full one, and that goes to the depot. So the depot's lock is taken once in BATCH messages at
 * most, by threads that only make or only free; a thread that does both never takes it. All is bounded: a thread keeps two
 * lists, the depot DEPOT_MOST, what is beyond goes to the allocator. A thread that ends gives its lists back. Under
 * AddressSanitizer there are no lists, since they would hide a use after free. */
#include "clients/block.h"

#include <pthread.h>
#include <stdbool.h>

#include "transports/alloc.h"

#if defined(__SANITIZE_ADDRESS__)
#define POOLED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOLED 0
#else
#define POOLED 1
#endif
#else
#define POOLED 1
#endif

enum { CLASSES = TRP_BLOCK_CLASSES, BATCH = TRP_BLOCK_BATCH, DEPOT_MOST = 64 };
static const size_t sizes[CLASSES] = {TRP_BLOCK_TINY, TRP_BLOCK_SMALL};

_Thread_local struct trp_blocks_near trp_blocks_near;

static struct {
    pthread_mutex_t lock;
    struct trp_block *lists[CLASSES]; /* (m) each of BATCH blocks */
    unsigned count[CLASSES];          /* (m) */
} depot = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool key_made;

static void list_free(struct trp_block_list *l) {
    while (l->first) {
        struct trp_block *b = l->first;
        l->first = b->next;
        trp_free(b);
    }
    l->count = 0;
}

static void thread_ends(void *unused) {
    (void)unused;
    for (unsigned c = 0; c < CLASSES; c++) {
        list_free(&trp_blocks_near.hand[c]);
        list_free(&trp_blocks_near.full[c]);
    }
    trp_blocks_near.known = false; /* another key's destructor may still free messages: then this one runs again */
}

static void key_make(void) {
    key_made = pthread_key_create(&key, thread_ends) == 0;
}

/* Has this thread's end been arranged for? */
static bool thread_known(void) {
    if (trp_blocks_near.known)
        return true;
    (void)pthread_once(&once, key_make);
    trp_blocks_near.known = key_made && pthread_setspecific(key, &trp_blocks_near) == 0;
    return trp_blocks_near.known;
}

/* --- the depot --- */

static struct trp_block_list depot_take(unsigned c) {
    struct trp_block_list l = {0};
    pthread_mutex_lock(&depot.lock);
    if ((l.first = depot.lists[c])) {
        depot.lists[c] = l.first->batch;
        depot.count[c]--;
        l.count = BATCH;
    }
    pthread_mutex_unlock(&depot.lock);
    return l;
}

static void depot_give(unsigned c, struct trp_block_list *l) {
    pthread_mutex_lock(&depot.lock);
    if (depot.count[c] < DEPOT_MOST) {
        l->first->batch = depot.lists[c];
        depot.lists[c] = l->first;
        depot.count[c]++;
        *l = (struct trp_block_list){0};
    }
    pthread_mutex_unlock(&depot.lock);
    list_free(l);
}

void trp_block_trim(void) {
    for (unsigned c = 0; c < CLASSES; c++) {
        for (struct trp_block_list l; (l = depot_take(c)).first;)
            list_free(&l);
    }
}

/* --- getting and putting --- */

static unsigned class_of(size_t size) {
    return size > TRP_BLOCK_TINY;
}

__attribute__((noinline)) static void *refill(unsigned c) {
    if (trp_blocks_near.full[c].first) {
        trp_blocks_near.hand[c] = trp_blocks_near.full[c];
        trp_blocks_near.full[c] = (struct trp_block_list){0};
    } else if (trp_blocks_near.known) { /* who has never put any has no right to keep some */
        trp_blocks_near.hand[c] = depot_take(c);
    }
    struct trp_block *b = trp_blocks_near.hand[c].first;
    if (!b)
        return trp_calloc(1, sizes[c]);
    trp_blocks_near.hand[c].first = b->next;
    trp_blocks_near.hand[c].count--;
    return b;
}

void *trp_block_get(size_t size) {
    if (size > TRP_BLOCK_SMALL)
        return trp_malloc(size);
    if (!POOLED)
        return trp_calloc(1, sizes[class_of(size)]);
    unsigned c = class_of(size);
    struct trp_block *b = trp_blocks_near.hand[c].first;
    if (!b) {
        (void)thread_known();
        return refill(c);
    }
    trp_blocks_near.hand[c].first = b->next;
    trp_blocks_near.hand[c].count--;
    return b;
}

__attribute__((noinline)) static void put_slowly(struct trp_block *b, unsigned c) {
    if (!thread_known()) {
        trp_free(b);
        return;
    }
    if (trp_blocks_near.hand[c].count >= BATCH) {
        if (trp_blocks_near.full[c].first)
            depot_give(c, &trp_blocks_near.full[c]);
        trp_blocks_near.full[c] = trp_blocks_near.hand[c];
        trp_blocks_near.hand[c] = (struct trp_block_list){0};
    }
    b->next = trp_blocks_near.hand[c].first;
    trp_blocks_near.hand[c].first = b;
    trp_blocks_near.hand[c].count++;
}

void trp_block_put(void *block, size_t size) {
    if (size > TRP_BLOCK_SMALL || !POOLED) {
        trp_free(block);
        return;
    }
    unsigned c = class_of(size);
    struct trp_block *b = block;
    if (trp_blocks_near.hand[c].count >= BATCH || !trp_blocks_near.known) {
        put_slowly(b, c);
        return;
    }
    b->next = trp_blocks_near.hand[c].first;
    trp_blocks_near.hand[c].first = b;
    trp_blocks_near.hand[c].count++;
}
