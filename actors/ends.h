/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * How actors have ended: at least the last TRP_ENDS of them, found by number, so that who joins late still learns it.
 *
 * Threads remember in shares, so that workers do not wait for each other at each end; who looks looks into all of them. Nearly
 * all ends are plain ones, and those take a quarter of a cache line: only of the others the words are kept. */
#ifndef TRP_ENDS_H
#define TRP_ENDS_H

#include <troupe/actor.h>

#include "actors/spinlock.h"

enum { TRP_ENDS = 4096, TRP_ENDS_SHARES = 8 };

struct trp_end {
    uint64_t id;
    uint32_t next; /* of its bucket: a number */
    bool plain;    /* trp_exit_is_plain: there are no words */
};

/* (l) under lock, (a) also read without it */
struct trp_ends_share {
    struct trp_spinlock lock;
    atomic_uint count;             /* (a) ever: the number of the next, which has its place at that % TRP_ENDS */
    struct trp_end ring[TRP_ENDS]; /* (l) */
    uint32_t buckets[TRP_ENDS];    /* (l) the number of the latest; one that is too old: none */
    troupe_exit words[TRP_ENDS];   /* (l) how that of the ring has ended, if it isn't plain */
};

struct trp_ends {
    struct trp_ends_share *share; /* TRP_ENDS_SHARES of them */
};

TROUPE_NODISCARD troupe_status trp_ends_init(struct trp_ends *e);
void trp_ends_fini(struct trp_ends *e);
/* Forgets the oldest. Any thread. */
void trp_ends_add(struct trp_ends *e, uint64_t id, const troupe_exit *exit);
/* False: not known, or not any more. Any thread. */
bool trp_ends_find(struct trp_ends *e, uint64_t id, troupe_exit *out);

#endif
