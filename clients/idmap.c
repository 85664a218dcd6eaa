/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Because we choose the numbers, there is nothing to hash and nothing to probe: a number lives in slot `id % cap` or
 * nowhere. A new number is the next one whose slot is free, so one that stays for long (a subscription, a slow
 * request) is stepped over once each time the numbers come round. The table is kept at most half full, hence a free
 * slot is never far, and when it doubles no two numbers that were apart come together. */
#include "clients/idmap.h"

#include "transports/alloc.h"
#include "transports/assert.h"

enum { IDMAP_FIRST = 64 };

static struct trp_idslot *slot_of(const struct trp_idmap *m, uint64_t id) {
    return &m->slots[id & (m->cap - 1)];
}

void trp_idmap_fini(struct trp_idmap *m) {
    trp_assert(m->count == 0);
    trp_free(m->slots);
    *m = (struct trp_idmap){0};
}

static troupe_status idmap_grow(struct trp_idmap *m) {
    struct trp_idmap bigger = {.cap = m->cap ? m->cap * 2 : IDMAP_FIRST, .count = m->count, .last = m->last};
    bigger.slots = trp_calloc(bigger.cap, sizeof *bigger.slots);
    if (!bigger.slots)
        return TROUPE_NO_MEMORY;
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].id)
            *slot_of(&bigger, m->slots[i].id) = m->slots[i];
    trp_free(m->slots);
    *m = bigger;
    return TROUPE_OK;
}

troupe_status trp_idmap_add(struct trp_idmap *m, void *p, uint64_t *id) {
    trp_assert(p);
    if (m->count >= m->cap / 2) {
        troupe_status st = idmap_grow(m);
        if (st != TROUPE_OK)
            return st;
    }
    struct trp_idslot *s;
    do
        s = slot_of(m, ++m->last);
    while (s->id);
    s->id = *id = m->last;
    s->p = p;
    m->count++;
    return TROUPE_OK;
}

void *trp_idmap_get(const struct trp_idmap *m, uint64_t id) {
    if (id == 0 || m->cap == 0)
        return NULL;
    const struct trp_idslot *s = slot_of(m, id);
    return s->id == id ? s->p : NULL;
}

void *trp_idmap_take(struct trp_idmap *m, uint64_t id) {
    void *p = trp_idmap_get(m, id);
    if (p) {
        *slot_of(m, id) = (struct trp_idslot){0};
        m->count--;
    }
    return p;
}
