/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Memory for a crowd, which only grows: cut from large mappings that ask for huge pages. The kernel then makes two megabytes of
 * it present at once, where each page of four kilobytes would cost a fault of its own, a fifth of what it takes to spawn an
 * actor, and going through a million of them misses the TLB less. */
#ifndef TRP_EXPANSE_H
#define TRP_EXPANSE_H

#include <stddef.h>

struct trp_expanse_part;

/* Zero it. Its owner sees to it that one thread at a time uses it. */
struct trp_expanse {
    struct trp_expanse_part *all; /* the latest first */
    char *at;                     /* in the latest: what is left of it */
    size_t left;
};

/* `size` bytes, zeroed, aligned for anything, at most a few megabytes. NULL: no memory. */
void *trp_expanse_get(struct trp_expanse *c, size_t size);
/* All of it at once. */
void trp_expanse_free(struct trp_expanse *c);

#endif
