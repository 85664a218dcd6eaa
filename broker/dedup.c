/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A table of ids and the list of their age. */
#include "broker/dedup.h"
#include "transports/alloc.h"
#include "transports/assert.h"

static bool same_id(const void *value, const void *want) {
    const struct trp_dedup_id *id = value;
    const struct trp_slice *text = want;
    return trp_slice_eq((struct trp_slice){id->text, id->n}, *text);
}

struct trp_dedup_id *trp_dedup_find(const struct trp_dedup *d, const struct trp_hash_key *k, struct trp_slice text) {
    return trp_table_find(&d->table, trp_hash_bytes(k, 0, text.p, text.n), same_id, &text);
}

struct trp_dedup_id *trp_dedup_prepare(struct trp_dedup *d, const struct trp_hash_key *k, struct trp_slice text) {
    trp_assert(text.n > 0 && text.n <= UINT8_MAX);
    if (trp_table_reserve(&d->table))
        return NULL;
    struct trp_dedup_id *id = trp_malloc(sizeof *id + text.n);
    if (!id)
        return NULL;
    *id = (struct trp_dedup_id){.hash = trp_hash_bytes(k, 0, text.p, text.n), .n = (uint8_t)text.n};
    memcpy(id->text, text.p, text.n);
    return id;
}

void trp_dedup_add(struct trp_dedup *d, struct trp_dedup_id *id) {
    trp_table_add(&d->table, id->hash, id);
    id->next = NULL;
    id->prev = d->last;
    *(d->last ? &d->last->next : &d->first) = id;
    d->last = id;
}

void trp_dedup_remove(struct trp_dedup *d, struct trp_dedup_id *id) {
    trp_table_remove(&d->table, id->hash, id);
    *(id->prev ? &id->prev->next : &d->first) = id->next;
    *(id->next ? &id->next->prev : &d->last) = id->prev;
    trp_free(id);
    /* The memory of a burst is given back. */
    if (d->table.count == 0)
        trp_table_fini(&d->table);
}

void trp_dedup_fini(struct trp_dedup *d) {
    trp_assert(!d->first && d->table.count == 0);
    trp_table_fini(&d->table); /* room was made for one that never came */
}

void trp_dedup_live_push(struct trp_dedup_live *l, struct trp_dedup_id *id) {
    id->live_next = NULL;
    id->live_prev = l->last;
    *(l->last ? &l->last->live_next : &l->first) = id;
    l->last = id;
}

void trp_dedup_live_remove(struct trp_dedup_live *l, struct trp_dedup_id *id) {
    *(id->live_prev ? &id->live_prev->live_next : &l->first) = id->live_next;
    *(id->live_next ? &id->live_next->live_prev : &l->last) = id->live_prev;
}
