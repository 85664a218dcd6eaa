/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The allocation seam. The allocator is set before the first other call and never changed, so that reading it needs
 * no lock. Every size that is a product goes through product(): a count that came from outside can't wrap around. */
#include "transports/alloc.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void *system_realloc(void *ctx, void *old, size_t size) {
    (void)ctx;
    return realloc(old, size);
}

static void system_free(void *ctx, void *p) {
    (void)ctx;
    free(p);
}

static const troupe_allocator system_allocator = {.realloc = system_realloc, .free = system_free};
static troupe_allocator allocator = {.realloc = system_realloc, .free = system_free};

void troupe_alloc_set(const troupe_allocator *a) {
    allocator = a ? *a : system_allocator;
}

static bool product(size_t count, size_t size, size_t *out) {
    if (size && count > SIZE_MAX / size)
        return false;
    *out = count * size;
    return true;
}

/* What an allocator does with size 0 differs from one to the next, so ours never sees it. */
void *trp_realloc(void *old, size_t size) {
    return allocator.realloc(allocator.ctx, old, size ? size : 1);
}

void *trp_malloc(size_t size) {
    return trp_realloc(NULL, size);
}

void *trp_calloc(size_t count, size_t size) {
    size_t n;
    if (!product(count, size, &n))
        return NULL;
    /* calloc(3) knows which pages are zero already. */
    if (allocator.realloc == system_realloc)
        return calloc(1, n ? n : 1);
    void *p = trp_malloc(n);
    if (p)
        memset(p, 0, n);
    return p;
}

void *trp_array(void *old, size_t count, size_t size) {
    size_t n;
    return product(count, size, &n) ? trp_realloc(old, n) : NULL;
}

char *trp_strndup(const char *s, size_t n) {
    char *copy = n < SIZE_MAX ? trp_malloc(n + 1) : NULL;
    if (!copy)
        return NULL;
    if (n)
        memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

char *trp_strdup(const char *s) {
    return trp_strndup(s, strlen(s));
}

void trp_free(void *p) {
    if (p)
        allocator.free(allocator.ctx, p);
}
