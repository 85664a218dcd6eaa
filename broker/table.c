/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Linear probing. Invariant: from an element's home slot to the element there is no free slot. */
#include "broker/table.h"
#include "transports/alloc.h"
#include "transports/assert.h"

enum { SLOTS_MIN = 8 };

void *trp_table_find(const struct trp_table *t, uint64_t hash, trp_table_same *same, const void *want) {
    if (!t->slots)
        return NULL;
    for (size_t i = hash & t->mask; t->slots[i].value; i = (i + 1) & t->mask)
        if (t->slots[i].hash == hash && same(t->slots[i].value, want))
            return t->slots[i].value;
    return NULL;
}

static void place(struct trp_table_slot *slots, size_t mask, struct trp_table_slot s) {
    size_t i = s.hash & mask;
    while (slots[i].value)
        i = (i + 1) & mask;
    slots[i] = s;
}

static troupe_status grow(struct trp_table *t) {
    size_t n = t->slots ? (t->mask + 1) * 2 : SLOTS_MIN;
    struct trp_table_slot *slots = trp_calloc(n, sizeof *slots);
    if (!slots)
        return TROUPE_NO_MEMORY;
    for (size_t i = 0; t->slots && i <= t->mask; i++)
        if (t->slots[i].value)
            place(slots, n - 1, t->slots[i]);
    trp_free(t->slots);
    t->slots = slots;
    t->mask = n - 1;
    return TROUPE_OK;
}

troupe_status trp_table_reserve(struct trp_table *t) {
    if (t->slots && (t->count + 1) * 4 <= (t->mask + 1) * 3)
        return TROUPE_OK;
    return grow(t);
}

void trp_table_add(struct trp_table *t, uint64_t hash, void *value) {
    trp_assert(t->slots && t->count < t->mask);
    place(t->slots, t->mask, (struct trp_table_slot){hash, value});
    t->count++;
}

/* Moves back into the hole at i whatever would no longer be found behind it. */
static void close_hole(struct trp_table *t, size_t i) {
    for (size_t j = (i + 1) & t->mask; t->slots[j].value; j = (j + 1) & t->mask) {
        size_t home = t->slots[j].hash & t->mask;
        if (((j - home) & t->mask) >= ((j - i) & t->mask)) {
            t->slots[i] = t->slots[j];
            i = j;
        }
    }
    t->slots[i].value = NULL;
}

void trp_table_remove(struct trp_table *t, uint64_t hash, const void *value) {
    trp_assert(t->count > 0);
    size_t i = hash & t->mask;
    while (t->slots[i].value != value) {
        trp_assert(t->slots[i].value);
        i = (i + 1) & t->mask;
    }
    close_hole(t, i);
    t->count--;
}

void trp_table_fini(struct trp_table *t) {
    trp_free(t->slots);
    *t = (struct trp_table){0};
}
