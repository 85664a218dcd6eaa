/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The names of a system's actors: a hash table under a lock of its own. The actor has a list of its names, so that its
 * end finds them. */
#ifndef TRP_NAMES_H
#define TRP_NAMES_H

#include <pthread.h>
#include <troupe/names.h>

struct trp_actor;
struct trp_name;

struct trp_names {
    pthread_mutex_t lock;
    struct trp_name **chains; /* (m) `size` of them, a power of two; NULL: none yet */
    size_t size, count;       /* (m) */
};

void trp_names_init(struct trp_names *n);
/* All actors have ended. */
void trp_names_fini(struct trp_names *n);

/* The name is valid. EXISTS; NOT_FOUND: it has ended; NO_MEMORY. Any thread, for these. */
TROUPE_NODISCARD troupe_status trp_names_add(struct trp_names *n, const char *name, struct trp_actor *a);
TROUPE_NODISCARD troupe_status trp_names_remove(struct trp_names *n, const char *name);
TROUPE_NODISCARD troupe_status trp_names_find(struct trp_names *n, const char *name, uint64_t *out);
/* It has no names any more; when it is ENDED, it gets none, either. */
void trp_names_end(struct trp_names *n, struct trp_actor *a);

#endif
