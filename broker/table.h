/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A set of pointers found by a 64-bit hash: the router's trie edges, groups and subscription ids. Open addressing with
 * linear probing; the whole hash is stored, so that a comparison and a growth touch no element but the right one.
 *
 *     slots: | h p | h p |     | h p |      home = h & mask, load at most 3/4, removal shifts back (no tombstones) */
#ifndef TRP_BROKER_TABLE_H
#define TRP_BROKER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <troupe/status.h>

struct trp_table_slot {
    uint64_t hash;
    void *value; /* NULL: free */
};

/* Zero-initialise. */
struct trp_table {
    struct trp_table_slot *slots;
    size_t mask; /* slots - 1 */
    size_t count;
};

typedef bool trp_table_same(const void *value, const void *want);

/* The element with that hash of which same(element, want) is true; NULL: none. */
void *trp_table_find(const struct trp_table *t, uint64_t hash, trp_table_same *same, const void *want);
/* Makes room for one more element; after it the next trp_table_add cannot fail. */
TROUPE_NODISCARD troupe_status trp_table_reserve(struct trp_table *t);
/* A place has been reserved; value is not NULL and not in it yet. */
void trp_table_add(struct trp_table *t, uint64_t hash, void *value);
/* It is there. */
void trp_table_remove(struct trp_table *t, uint64_t hash, const void *value);
/* Gives the slots back; the elements are the caller's. */
void trp_table_fini(struct trp_table *t);

#endif
