/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The one allocation seam: set before first use, so that a program can bring its allocator and a test can fail the
 * n-th call. The idea is raft's.
 */
#ifndef TROUPE_ALLOC_H
#define TROUPE_ALLOC_H

#include <stddef.h>
#include <troupe/export.h>

typedef struct troupe_allocator {
    void *(*realloc)(void *ctx, void *old, size_t size); /* as realloc(3); old NULL allocates; size is never 0 */
    void (*free)(void *ctx, void *p);                    /* p is never NULL */
    void *ctx;
} troupe_allocator;

/* NULL goes back to malloc(3). Both functions are called from any thread.
 * Context: before the first other call into troupe. */
TROUPE_API void troupe_alloc_set(const troupe_allocator *a);

#endif
