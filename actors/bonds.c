/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/bonds.h"

#include "transports/alloc.h"
#include "transports/assert.h"

/* --- knots --- */

void trp_knot_unref(struct trp_knot *t) {
    /* Release what this thread did with it, acquire what the others did. */
    if (atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (unsigned i = 0; i < t->count; i++) {
        trp_assert(!t->bond[i].end[TRP_WATCHER].link && !t->bond[i].end[TRP_WATCHED].link);
        trp_msg_drop(t->bond[i].note);
    }
    trp_free(t);
}

void trp_knot_ref(struct trp_knot *t) {
    /* Relaxed: whoever takes a reference holds one already. */
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
}

static bool bond_init(struct trp_knot *t, unsigned i, enum trp_note_kind kind, uint64_t watcher, uint64_t watched) {
    t->bond[i] =
        (struct trp_bond){.knot = t, .kind = kind, .key = watched, .who = {watcher, watched}, .note = trp_note_new(kind)};
    return t->bond[i].note != NULL;
}

struct trp_knot *trp_knot_new(enum trp_note_kind kind, uint64_t watcher, uint64_t watched) {
    struct trp_knot *t = trp_calloc(1, sizeof *t);
    if (!t)
        return NULL;
    atomic_init(&t->refs, 1);
    t->count = kind == TRP_NOTE_EXIT ? 2 : 1;
    bool ok = bond_init(t, 0, kind, watcher, watched);
    if (ok && t->count == 2)
        ok = bond_init(t, 1, kind, watched, watcher);
    if (ok)
        return t;
    trp_knot_unref(t);
    return NULL;
}

/* --- an actor's bonds: under its lock --- */

struct trp_bonds *trp_bonds_of(struct trp_actor *a) {
    struct trp_bonds *b = a->bonds;
    if (b)
        return b;
    b = trp_calloc(1, sizeof *b);
    if (b) {
        b->mine = &b->few;
        b->size = 1;
        b->on_me_end = &b->on_me;
        a->bonds = b;
    }
    return b;
}

static struct trp_bond **chain(struct trp_bonds *b, uint64_t key) {
    /* Slots and numbers are dense in their low bits, generations lie above. */
    return &b->mine[(key ^ key >> 32) & (b->size - 1)];
}

static void push(struct trp_bond **at, struct trp_bond *bond, int side) {
    struct trp_bond_end *e = &bond->end[side];
    e->next = *at;
    e->link = at;
    if (e->next)
        e->next->end[side].link = &e->next;
    *at = bond;
}

static void take_off(struct trp_bond *bond, int side) {
    struct trp_bond_end *e = &bond->end[side];
    *e->link = e->next;
    if (e->next)
        e->next->end[side].link = e->link;
    e->link = NULL;
    e->next = NULL;
}

/* No memory: the chains get longer. */
static void grow(struct trp_bonds *b) {
    struct trp_bond **old = b->mine, **table = trp_calloc(b->size * 8, sizeof *table);
    size_t was = b->size;
    if (!table)
        return;
    b->mine = table;
    b->size *= 8;
    for (size_t i = 0; i < was; i++) {
        while (old[i]) {
            struct trp_bond *bond = old[i];
            take_off(bond, TRP_WATCHER);
            push(chain(b, bond->key), bond, TRP_WATCHER);
        }
    }
    if (old != &b->few)
        trp_free((void *)old);
}

void trp_bonds_hang(struct trp_bonds *b, struct trp_bond *bond, int side) {
    if (bond->end[side].closed)
        return;
    if (side == TRP_WATCHER && ++b->count > b->size * 2)
        grow(b);
    push(side == TRP_WATCHER ? chain(b, bond->key) : b->on_me_end, bond, side);
    if (side == TRP_WATCHED)
        b->on_me_end = &bond->end[side].next;
    trp_knot_ref(bond->knot);
}

bool trp_bonds_shut_end(struct trp_actor *a, struct trp_bond *bond, int side, bool *held) {
    struct trp_bond_end *e = &bond->end[side];
    bool open = !e->closed;
    e->closed = true;
    *held = e->link != NULL;
    if (*held) {
        if (side == TRP_WATCHED && !e->next)
            a->bonds->on_me_end = e->link;
        take_off(bond, side);
        a->bonds->count -= side == TRP_WATCHER;
    }
    return open;
}

struct trp_bond *trp_bonds_find(struct trp_bonds *b, enum trp_note_kind kind, uint64_t key) {
    struct trp_bond *bond = b ? *chain(b, key) : NULL;
    while (bond && (bond->kind != kind || bond->key != key))
        bond = bond->end[TRP_WATCHER].next;
    return bond;
}

struct trp_name **trp_bonds_names(struct trp_actor *a) {
    struct trp_bonds *b = trp_bonds_of(a);
    return b ? &b->names : NULL;
}

struct trp_own **trp_bonds_own(struct trp_actor *a) {
    struct trp_bonds *b = trp_bonds_of(a);
    return b ? &b->own : NULL;
}

struct trp_bond *trp_bonds_first(struct trp_bonds *b, size_t *at) {
    while (*at < b->size && !b->mine[*at])
        ++*at;
    return *at < b->size ? b->mine[*at] : NULL;
}

void trp_bonds_free(struct trp_bonds *b) {
    if (!b)
        return;
    trp_assert(!b->on_me && b->count == 0 && !b->names && !b->own);
    if (b->mine != &b->few)
        trp_free((void *)b->mine);
    trp_free(b);
}
