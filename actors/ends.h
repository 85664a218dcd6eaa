/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * How actors have ended: the last TRP_ENDS of them, found by number, so that who joins late still learns it. */
#ifndef TRP_ENDS_H
#define TRP_ENDS_H

#include <pthread.h>
#include <troupe/actor.h>

enum { TRP_ENDS = 4096 };

struct trp_end {
    uint64_t id;   /* 0: empty */
    uint32_t next; /* of its bucket; index + 1 */
    troupe_exit exit;
};

struct trp_ends {
    pthread_mutex_t lock;
    uint32_t count;       /* (m) ever; the next place is count % TRP_ENDS */
    struct trp_end *ring; /* (m) */
    uint32_t *buckets;    /* (m) TRP_ENDS chains; index + 1, 0: empty */
};

TROUPE_NODISCARD troupe_status trp_ends_init(struct trp_ends *e);
void trp_ends_fini(struct trp_ends *e);
/* Forgets the oldest. Any thread. */
void trp_ends_add(struct trp_ends *e, uint64_t id, const troupe_exit *exit);
/* False: not known, or not any more. Any thread. */
bool trp_ends_find(struct trp_ends *e, uint64_t id, troupe_exit *out);

#endif
