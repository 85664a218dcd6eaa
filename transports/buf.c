/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Growable bytes and shared bytes. A buffer grows to the larger of twice its size and what is asked for, so that
 * appending costs a constant per byte; callers bound what they ask for, since they know their limits. */
#include "transports/buf.h"

#include "transports/alloc.h"
#include "transports/assert.h"

enum { BUF_FIRST = 64 };

/* Pointers into anything larger cannot be subtracted from each other. */
#define BYTES_MAX ((size_t)PTRDIFF_MAX)

void trp_buf_fini(struct trp_buf *b) {
    trp_free(b->p);
    *b = (struct trp_buf){0};
}

static troupe_status buf_grow(struct trp_buf *b, size_t more) {
    if (more > BYTES_MAX - b->n)
        return TROUPE_NO_MEMORY;
    size_t cap = b->cap <= BYTES_MAX / 2 ? b->cap * 2 : BYTES_MAX;
    if (cap < BUF_FIRST)
        cap = BUF_FIRST;
    if (cap < b->n + more)
        cap = b->n + more;
    uint8_t *p = trp_realloc(b->p, cap);
    if (!p)
        return TROUPE_NO_MEMORY;
    b->p = p;
    b->cap = cap;
    return TROUPE_OK;
}

troupe_status trp_buf_room(struct trp_buf *b, size_t more) {
    return b->cap - b->n >= more ? TROUPE_OK : buf_grow(b, more);
}

troupe_status trp_buf_put(struct trp_buf *b, const void *p, size_t n) {
    troupe_status st = trp_buf_room(b, n);
    if (st != TROUPE_OK || n == 0)
        return st;
    memcpy(b->p + b->n, p, n);
    b->n += n;
    return TROUPE_OK;
}

void trp_buf_drop(struct trp_buf *b, size_t n) {
    trp_assert(n <= b->n);
    b->n -= n;
    if (n && b->n)
        memmove(b->p, b->p + n, b->n);
}

struct trp_blob *trp_blob_new(const void *p, size_t n) {
    if (n > BYTES_MAX - sizeof(struct trp_blob))
        return NULL;
    struct trp_blob *b = trp_malloc(sizeof *b + n);
    if (!b)
        return NULL;
    atomic_init(&b->refs, 1);
    b->n = n;
    if (n)
        memcpy(b->p, p, n);
    return b;
}

struct trp_blob *trp_blob_ref(struct trp_blob *b) {
    /* Relaxed: whoever takes a reference holds one already, so nothing is published by this. */
    unsigned before = atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    trp_assert(before > 0 && before < UINT32_MAX);
    return b;
}

void trp_blob_unref(struct trp_blob *b) {
    if (!b)
        return;
    /* Release what this thread did with the bytes, acquire what the others did, before the last one frees them. */
    unsigned before = atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel);
    trp_assert(before > 0);
    if (before == 1)
        trp_free(b);
}
