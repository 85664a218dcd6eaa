/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A ring of ends, oldest overwritten, with a hash table of chains through the ring: both of fixed size, so that the
 * end of an actor never allocates. The memory is touched as it is used. */
#include "actors/ends.h"

#include "transports/alloc.h"
#include "transports/assert.h"

troupe_status trp_ends_init(struct trp_ends *e) {
    *e = (struct trp_ends){.ring = trp_calloc(TRP_ENDS, sizeof *e->ring), .buckets = trp_calloc(TRP_ENDS, sizeof *e->buckets)};
    pthread_mutex_init(&e->lock, NULL);
    if (e->ring && e->buckets)
        return TROUPE_OK;
    trp_ends_fini(e);
    return TROUPE_NO_MEMORY;
}

void trp_ends_fini(struct trp_ends *e) {
    pthread_mutex_destroy(&e->lock);
    trp_free(e->ring);
    trp_free(e->buckets);
    *e = (struct trp_ends){0};
}

/* Slots are dense, generations are not: both go in. */
static uint32_t *bucket(struct trp_ends *e, uint64_t id) {
    return &e->buckets[(id ^ id >> 32) % TRP_ENDS];
}

static void forget(struct trp_ends *e, uint32_t index) {
    struct trp_end *old = &e->ring[index];
    if (!old->id)
        return;
    uint32_t *at = bucket(e, old->id);
    while (*at != index + 1) {
        trp_assert(*at);
        at = &e->ring[*at - 1].next;
    }
    *at = old->next;
}

void trp_ends_add(struct trp_ends *e, uint64_t id, const troupe_exit *exit) {
    pthread_mutex_lock(&e->lock);
    uint32_t index = e->count++ % TRP_ENDS, *at = bucket(e, id);
    forget(e, index);
    e->ring[index] = (struct trp_end){.id = id, .next = *at, .exit = *exit};
    *at = index + 1;
    pthread_mutex_unlock(&e->lock);
}

bool trp_ends_find(struct trp_ends *e, uint64_t id, troupe_exit *out) {
    pthread_mutex_lock(&e->lock);
    uint32_t at = *bucket(e, id);
    while (at && e->ring[at - 1].id != id)
        at = e->ring[at - 1].next;
    if (at)
        *out = e->ring[at - 1].exit;
    pthread_mutex_unlock(&e->lock);
    return at != 0;
}
