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

enum { CLASSES = 2, BATCH = 128, DEPOT_MOST = 64 };
static const size_t sizes[CLASSES] = {TRP_BLOCK_TINY, TRP_BLOCK_SMALL};

struct block {
    struct block *next;
    struct block *batch; /* of the first of a list in the depot: the next list */
};

struct list {
    struct block *first;
    unsigned count;
};

/* The model spares a call at each access; its cost is room in the block that every thread has anyway. */
static _Thread_local __attribute__((tls_model("initial-exec"))) struct {
    struct list hand[CLASSES], full[CLASSES];
    bool known; /* thread_ends has been announced for this thread */
} own;

static struct {
    pthread_mutex_t lock;
    struct block *lists[CLASSES]; /* (m) each of BATCH blocks */
    unsigned count[CLASSES];      /* (m) */
} depot = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool key_made;

static void list_free(struct list *l) {
    while (l->first) {
        struct block *b = l->first;
        l->first = b->next;
        trp_free(b);
    }
    l->count = 0;
}

static void thread_ends(void *unused) {
    (void)unused;
    for (unsigned c = 0; c < CLASSES; c++) {
        list_free(&own.hand[c]);
        list_free(&own.full[c]);
    }
    own.known = false; /* another key's destructor may still free messages: then this one runs again */
}

static void key_make(void) {
    key_made = pthread_key_create(&key, thread_ends) == 0;
}

/* Has this thread's end been arranged for? */
static bool thread_known(void) {
    if (own.known)
        return true;
    (void)pthread_once(&once, key_make);
    own.known = key_made && pthread_setspecific(key, &own) == 0;
    return own.known;
}

/* --- the depot --- */

static struct list depot_take(unsigned c) {
    struct list l = {0};
    pthread_mutex_lock(&depot.lock);
    if ((l.first = depot.lists[c])) {
        depot.lists[c] = l.first->batch;
        depot.count[c]--;
        l.count = BATCH;
    }
    pthread_mutex_unlock(&depot.lock);
    return l;
}

static void depot_give(unsigned c, struct list *l) {
    pthread_mutex_lock(&depot.lock);
    if (depot.count[c] < DEPOT_MOST) {
        l->first->batch = depot.lists[c];
        depot.lists[c] = l->first;
        depot.count[c]++;
        *l = (struct list){0};
    }
    pthread_mutex_unlock(&depot.lock);
    list_free(l);
}

void trp_block_trim(void) {
    for (unsigned c = 0; c < CLASSES; c++) {
        for (struct list l; (l = depot_take(c)).first;)
            list_free(&l);
    }
}

/* --- getting and putting --- */

static unsigned class_of(size_t size) {
    return size > TRP_BLOCK_TINY;
}

__attribute__((noinline)) static void *refill(unsigned c) {
    if (own.full[c].first) {
        own.hand[c] = own.full[c];
        own.full[c] = (struct list){0};
    } else if (own.known) { /* who has never put any has no right to keep some */
        own.hand[c] = depot_take(c);
    }
    struct block *b = own.hand[c].first;
    if (!b)
        return trp_malloc(sizes[c]);
    own.hand[c].first = b->next;
    own.hand[c].count--;
    return b;
}

void *trp_block_get(size_t size) {
    if (size > TRP_BLOCK_SMALL || !POOLED)
        return trp_malloc(size);
    unsigned c = class_of(size);
    struct block *b = own.hand[c].first;
    if (!b) {
        (void)thread_known();
        return refill(c);
    }
    own.hand[c].first = b->next;
    own.hand[c].count--;
    return b;
}

__attribute__((noinline)) static void put_slowly(struct block *b, unsigned c) {
    if (!thread_known()) {
        trp_free(b);
        return;
    }
    if (own.hand[c].count >= BATCH) {
        if (own.full[c].first)
            depot_give(c, &own.full[c]);
        own.full[c] = own.hand[c];
        own.hand[c] = (struct list){0};
    }
    b->next = own.hand[c].first;
    own.hand[c].first = b;
    own.hand[c].count++;
}

void trp_block_put(void *block, size_t size) {
    if (size > TRP_BLOCK_SMALL || !POOLED) {
        trp_free(block);
        return;
    }
    unsigned c = class_of(size);
    struct block *b = block;
    if (own.hand[c].count >= BATCH || !own.known) {
        put_slowly(b, c);
        return;
    }
    b->next = own.hand[c].first;
    own.hand[c].first = b;
    own.hand[c].count++;
}
