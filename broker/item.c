/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Items, the lists they stand in, and the free blocks. */
#include "broker/item.h"
#include "transports/alloc.h"
#include "transports/assert.h"

enum { SIZE_MIN = 256, FREE_BYTES = 1 << 20 }; /* of each size */

/* ---- lists ---- */

static void link_between(struct trp_item_list *l, struct trp_item *prev, struct trp_item *it, struct trp_item *next) {
    it->prev = prev;
    it->next = next;
    *(prev ? &prev->next : &l->first) = it;
    *(next ? &next->prev : &l->last) = it;
    l->n++;
    l->bytes += it->m.raw.n;
}

void trp_item_list_push(struct trp_item_list *l, struct trp_item *it) {
    link_between(l, l->last, it, NULL);
}

void trp_item_list_push_front(struct trp_item_list *l, struct trp_item *it) {
    link_between(l, NULL, it, l->first);
}

void trp_item_list_remove(struct trp_item_list *l, struct trp_item *it) {
    trp_assert(l->n > 0);
    *(it->prev ? &it->prev->next : &l->first) = it->next;
    *(it->next ? &it->next->prev : &l->last) = it->prev;
    l->n--;
    l->bytes -= it->m.raw.n;
}

/* ---- a message on its way ---- */

static struct trp_slice moved(struct trp_slice s, const uint8_t *from, const uint8_t *to) {
    return s.p ? (struct trp_slice){to + (s.p - from), s.n} : s;
}

/* The same message, its bytes now at `to`. */
static void message_move(struct trp_message *out, const struct trp_message *m, const uint8_t *to, struct trp_blob *blob) {
    const uint8_t *from = m->raw.p;
    out->raw = moved(m->raw, from, to);
    out->topic = moved(m->topic, from, to);
    out->reply = moved(m->reply, from, to);
    out->headers = moved(m->headers, from, to);
    out->payload = moved(m->payload, from, to);
    out->blob = blob;
}

/* Bytes that came in a block of more than four times their size are worth a copy: a backlog would hold the block. */
static bool is_worth_sharing(const struct trp_message *m) {
    return m->blob && m->blob->n / 4 <= m->raw.n;
}

troupe_status trp_parcel_share(struct trp_parcel *p) {
    if (p->own || !trp_message_is_large(p->m) || is_worth_sharing(p->m))
        return TROUPE_OK;
    p->own = trp_blob_new(p->m->raw.p, p->m->raw.n);
    if (!p->own)
        return TROUPE_NO_MEMORY;
    message_move(&p->shared, p->m, p->own->p, p->own);
    p->m = &p->shared;
    return TROUPE_OK;
}

void trp_parcel_fini(struct trp_parcel *p) {
    trp_blob_unref(p->own);
}

/* ---- blocks ---- */

/* Which of the kept sizes holds that many bytes; TRP_ITEM_SIZES: none. */
static unsigned size_index(size_t bytes) {
    unsigned i = 0;
    while (i < TRP_ITEM_SIZES && bytes > (size_t)SIZE_MIN << i)
        i++;
    return i;
}

static struct trp_item *block_new(struct trp_items *pool, size_t bytes) {
    unsigned i = size_index(bytes);
    struct trp_item *it = i < TRP_ITEM_SIZES ? pool->free[i].first : NULL;
    if (it) {
        pool->free[i].first = it->next;
        pool->free[i].n--;
        return it;
    }
    size_t size = i < TRP_ITEM_SIZES ? (size_t)SIZE_MIN << i : bytes;
    it = trp_malloc(size);
    if (it)
        it->size = size;
    return it;
}

static void block_free(struct trp_items *pool, struct trp_item *it) {
    unsigned i = size_index(it->size);
    if (i == TRP_ITEM_SIZES || (pool->free[i].n + 1) * it->size > FREE_BYTES) {
        trp_free(it);
        return;
    }
    it->next = pool->free[i].first;
    pool->free[i].first = it;
    pool->free[i].n++;
}

struct trp_item *trp_item_new(struct trp_items *pool, struct trp_parcel *parcel) {
    bool large = parcel && trp_message_is_large(parcel->m);
    if (large && trp_parcel_share(parcel))
        return NULL;
    struct trp_item *it = block_new(pool, sizeof *it + (parcel && !large ? parcel->m->raw.n : 0));
    if (!it)
        return NULL;
    it->sub = NULL;
    it->ask = NULL;
    if (!parcel) {
        it->m = (struct trp_message){0};
    } else if (large) {
        it->m = *parcel->m;
        trp_blob_ref(it->m.blob);
    } else {
        memcpy(it->bytes, parcel->m->raw.p, parcel->m->raw.n);
        message_move(&it->m, parcel->m, it->bytes, NULL);
    }
    return it;
}

void trp_item_free(struct trp_items *pool, struct trp_item *it) {
    trp_blob_unref(it->m.blob);
    block_free(pool, it);
}

void trp_items_fini(struct trp_items *pool) {
    for (unsigned i = 0; i < TRP_ITEM_SIZES; i++)
        for (struct trp_item *it = pool->free[i].first, *next; it; it = next) {
            next = it->next;
            trp_free(it);
        }
    *pool = (struct trp_items){0};
}
