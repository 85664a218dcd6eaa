/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The block of a message, and the two kinds of list that it stands in. */
#include "broker/queue_item.h"
#include "broker/item.h"
#include "transports/alloc.h"
#include "transports/assert.h"

struct links {
    struct trp_queue_item *prev, *next;
};

/* In place of the bytes of a large message. */
struct reference {
    struct trp_blob *blob;
    const uint8_t *p;
};

/* Behind the bytes: this, the queue's name, the reason's text. Not aligned, so it is copied in and out. */
struct epitaph {
    uint32_t deliveries;
    uint16_t crashes;
    uint8_t signal, queue_n, text_n;
};

_Static_assert(offsetof(struct trp_queue_item, bytes) == 72, "a message's head has grown");
_Static_assert(sizeof(struct links) == 16 && _Alignof(struct trp_queue_item) == 8, "what trp_queue_item_ttl counts on");

static const char *const reason_names[TRP_REASONS] = {"", "expired", "overflow", "max_deliveries", "crashed", "buried"};

const char *trp_queue_reason_name(enum trp_queue_reason r) {
    return reason_names[r];
}

static struct links *links_of(const struct trp_queue_item *it) {
    return (struct links *)(uintptr_t)it - 1;
}

/* ---- the block ---- */

static size_t before_head(bool durable, bool mortal) {
    return (durable ? sizeof(struct links) : 0) + (mortal ? sizeof(uint64_t) : 0);
}

static size_t bytes_size(const struct trp_queue_item *it) {
    return it->large ? sizeof(struct reference) : it->size;
}

/* Bytes in a block of more than four times their size are worth a copy: a queue would hold the block for long. */
static struct trp_blob *share(const struct trp_queue_item_spec *spec) {
    if (spec->blob && spec->blob->n / 4 <= spec->raw.n)
        return trp_blob_ref(spec->blob);
    return trp_blob_new(spec->raw.p, spec->raw.n);
}

static size_t epitaph_size(const struct trp_death *d) {
    return d ? sizeof(struct epitaph) + d->queue.n + d->reason.n : 0;
}

static void put_epitaph(uint8_t *p, const struct trp_death *d) {
    struct epitaph e = {d->deliveries, (uint16_t)d->crashes, (uint8_t)d->signal, (uint8_t)d->queue.n, (uint8_t)d->reason.n};
    memcpy(p, &e, sizeof e);
    if (d->queue.n)
        memcpy(p + sizeof e, d->queue.p, d->queue.n);
    if (d->reason.n)
        memcpy(p + sizeof e + d->queue.n, d->reason.p, d->reason.n);
}

static void put_bytes(struct trp_queue_item *it, const struct trp_queue_item_spec *spec, struct trp_blob *blob) {
    if (!blob) {
        memcpy(it->bytes, spec->raw.p, spec->raw.n);
        return;
    }
    struct reference r = {blob, blob == spec->blob ? spec->raw.p : blob->p};
    memcpy(it->bytes, &r, sizeof r);
}

struct trp_queue_item *trp_queue_item_new(const struct trp_queue_item_spec *spec) {
    bool large = spec->raw.n >= TRP_MESSAGE_LARGE;
    struct trp_blob *blob = large ? share(spec) : NULL;
    if (large && !blob)
        return NULL;
    size_t before = before_head(spec->durable, spec->mortal), bytes = large ? sizeof(struct reference) : spec->raw.n;
    uint8_t *block = trp_malloc(before + offsetof(struct trp_queue_item, bytes) + bytes + epitaph_size(spec->death));
    if (!block) {
        trp_blob_unref(blob);
        return NULL;
    }
    struct trp_queue_item *it = (struct trp_queue_item *)(void *)(block + before);
    memset(it, 0, offsetof(struct trp_queue_item, bytes));
    it->timer.kind = TRP_TIMER_ITEM;
    it->durable = spec->durable;
    it->mortal = spec->mortal;
    trp_queue_item_expire_at(it, TRP_QUEUE_NEVER);
    it->large = large;
    it->size = (uint32_t)spec->raw.n;
    it->reason = (uint8_t)spec->reason;
    it->dead = spec->death != NULL;
    put_bytes(it, spec, blob);
    if (spec->death)
        put_epitaph(it->bytes + bytes, spec->death);
    return it;
}

static struct reference reference_of(const struct trp_queue_item *it) {
    struct reference r;
    memcpy(&r, it->bytes, sizeof r);
    return r;
}

void trp_queue_item_free(struct trp_queue_item *it) {
    if (it->large)
        trp_blob_unref(reference_of(it).blob);
    trp_free((uint8_t *)it - before_head(it->durable, it->mortal));
}

void trp_queue_item_expire_at(struct trp_queue_item *it, uint64_t at) {
    trp_assert(it->mortal || at == TRP_QUEUE_NEVER);
    if (it->mortal)
        *trp_queue_item_ttl(it) = at;
}

struct trp_slice trp_queue_item_raw(const struct trp_queue_item *it, struct trp_blob **blob) {
    struct reference r = it->large ? reference_of(it) : (struct reference){NULL, it->bytes};
    if (blob)
        *blob = r.blob;
    return (struct trp_slice){r.p, it->size};
}

struct trp_death trp_queue_item_epitaph(const struct trp_queue_item *it) {
    const uint8_t *p = it->bytes + bytes_size(it);
    struct epitaph e;
    memcpy(&e, p, sizeof e);
    p += sizeof e;
    return (struct trp_death){{p, e.queue_n}, {p + e.queue_n, e.text_n}, e.deliveries, e.crashes, e.signal};
}

struct trp_death trp_queue_item_death(const struct trp_queue_item *it) {
    struct trp_death d = it->dead ? trp_queue_item_epitaph(it) : (struct trp_death){0};
    if (d.reason.n == 0 || it->state == TRP_QUEUE_BURIED)
        d.reason = trp_slice_str(trp_queue_reason_name(it->reason));
    return d;
}

/* ---- lists ---- */

void trp_queue_items_push(struct trp_queue_items *l, struct trp_queue_item *it) {
    it->next = NULL;
    it->prev = l->last;
    *(l->last ? &l->last->next : &l->first) = it;
    l->last = it;
}

void trp_queue_items_push_front(struct trp_queue_items *l, struct trp_queue_item *it) {
    it->prev = NULL;
    it->next = l->first;
    *(l->first ? &l->first->prev : &l->last) = it;
    l->first = it;
}

void trp_queue_items_remove(struct trp_queue_items *l, struct trp_queue_item *it) {
    *(it->prev ? &it->prev->next : &l->first) = it->next;
    *(it->next ? &it->next->prev : &l->last) = it->prev;
}

void trp_queue_items_push_live(struct trp_queue_items *l, struct trp_queue_item *it) {
    trp_assert(it->durable);
    *links_of(it) = (struct links){.prev = l->last};
    *(l->last ? &links_of(l->last)->next : &l->first) = it;
    l->last = it;
}

void trp_queue_items_remove_live(struct trp_queue_items *l, struct trp_queue_item *it) {
    struct links *k = links_of(it);
    *(k->prev ? &links_of(k->prev)->next : &l->first) = k->next;
    *(k->next ? &links_of(k->next)->prev : &l->last) = k->prev;
}
