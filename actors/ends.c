/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A share is a ring of ends, oldest overwritten, with a hash table of chains through the ring: both of fixed size, so that the
 * end of an actor never allocates. The memory is touched as it is used. Ends are numbered, and chained by their numbers, which
 * say how old they are: what is overwritten is not taken out of its chain, since it is the last of it. */
#include "actors/ends.h"

#include "actors/actor.h"
#include "transports/alloc.h"

troupe_status trp_ends_init(struct trp_ends *e) {
    e->share = trp_calloc(TRP_ENDS_SHARES, sizeof *e->share);
    return e->share ? TROUPE_OK : TROUPE_NO_MEMORY;
}

void trp_ends_fini(struct trp_ends *e) {
    trp_free(e->share);
    e->share = NULL;
}

/* The calling thread's: threads take turns in choosing one, and stay with it. */
static struct trp_ends_share *share_here(struct trp_ends *e) {
    static atomic_uint threads;
    static _Thread_local unsigned own; /* + 1; 0: not chosen */
    if (!own)
        own = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % TRP_ENDS_SHARES + 1;
    return &e->share[own - 1];
}

/* Slots are dense, generations are not: both go in. */
static uint32_t *bucket(struct trp_ends_share *s, uint64_t id) {
    return &s->buckets[(id ^ id >> 32) % TRP_ENDS];
}

static struct trp_end *place(struct trp_ends_share *s, uint32_t number) {
    return &s->ring[number % TRP_ENDS];
}

void trp_ends_add(struct trp_ends *e, uint64_t id, const troupe_exit *exit) {
    struct trp_ends_share *s = share_here(e);
    bool plain = trp_exit_is_plain(exit);
    trp_spinlock_lock(&s->lock);
    uint32_t number = atomic_load_explicit(&s->count, memory_order_relaxed), *first = bucket(s, id);
    *place(s, number) = (struct trp_end){.id = id, .next = *first, .plain = plain};
    if (!plain)
        s->words[number % TRP_ENDS] = *exit;
    *first = number;
    atomic_store_explicit(&s->count, number + 1, memory_order_relaxed);
    trp_spinlock_unlock(&s->lock);
}

/* A chain leads to ever older ones. Where it comes to one that has been overwritten, all behind that have been, too. Under the
 * lock. */
static bool look_up(struct trp_ends_share *s, uint64_t id, troupe_exit *out) {
    uint32_t count = atomic_load_explicit(&s->count, memory_order_relaxed), number = *bucket(s, id), age = 0;
    while (count - number - 1 >= age && count - number - 1 < TRP_ENDS) {
        const struct trp_end *end = place(s, number);
        if (end->id == id) {
            *out = end->plain ? trp_exit_normal() : s->words[number % TRP_ENDS];
            return true;
        }
        age = count - number; /* at least, of the next */
        number = end->next;
    }
    return false;
}

bool trp_ends_find(struct trp_ends *e, uint64_t id, troupe_exit *out) {
    bool found = false;
    for (unsigned i = 0; i < TRP_ENDS_SHARES && !found; i++) {
        struct trp_ends_share *s = &e->share[i];
        /* Relaxed: whoever asks has learnt of the end, so of the first add to that share as well. */
        if (!atomic_load_explicit(&s->count, memory_order_relaxed))
            continue;
        trp_spinlock_lock(&s->lock);
        found = look_up(s, id, out);
        trp_spinlock_unlock(&s->lock);
    }
    return found;
}
