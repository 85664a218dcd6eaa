/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Numbers we choose ourselves, each with a pointer: requests by id, subscriptions by sid. See idmap.c. */
#ifndef TRP_IDMAP_H
#define TRP_IDMAP_H

#include <stddef.h>
#include <stdint.h>
#include <troupe/status.h>

struct trp_idslot {
    uint64_t id; /* 0: free */
    void *p;
};

/* Zero-initialise. */
struct trp_idmap {
    struct trp_idslot *slots;
    size_t cap, count;
    uint64_t last; /* the newest id given out */
};

/* Nothing is in it any more. */
void trp_idmap_fini(struct trp_idmap *m);
/* Gives p a number that was never used before. p is not NULL. NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_idmap_add(struct trp_idmap *m, void *p, uint64_t *id);
/* NULL: no such number (0 is none). */
void *trp_idmap_get(const struct trp_idmap *m, uint64_t id);
void *trp_idmap_take(struct trp_idmap *m, uint64_t id);

#endif
