/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Bytes: a borrowed slice, a growable buffer, and a shared immutable blob. */
#ifndef TRP_BUF_H
#define TRP_BUF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <troupe/status.h>

/* Somebody else's bytes. p may be NULL when n is 0. */
struct trp_slice {
    const uint8_t *p;
    size_t n;
};

static inline bool trp_slice_eq(struct trp_slice a, struct trp_slice b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline struct trp_slice trp_slice_str(const char *s) {
    return (struct trp_slice){(const uint8_t *)s, strlen(s)};
}

/* Growable bytes. Zero-initialise; fini gives the memory back and zeroes it again. */
struct trp_buf {
    uint8_t *p;
    size_t n, cap;
};

void trp_buf_fini(struct trp_buf *b);
/* Makes room for `more` bytes after n; NO_MEMORY leaves the buffer as it was. Grows by doubling. */
TROUPE_NODISCARD troupe_status trp_buf_room(struct trp_buf *b, size_t more);
TROUPE_NODISCARD troupe_status trp_buf_put(struct trp_buf *b, const void *p, size_t n);
/* Drops the first n bytes (memmove). */
void trp_buf_drop(struct trp_buf *b, size_t n);

/* Immutable bytes shared by reference count; any thread may hold and drop one, the last drop frees. */
struct trp_blob {
    atomic_uint refs;
    size_t n;
    uint8_t p[];
};

struct trp_blob *trp_blob_new(const void *p, size_t n); /* a copy with one reference; NULL: no memory */
struct trp_blob *trp_blob_ref(struct trp_blob *b);
void trp_blob_unref(struct trp_blob *b); /* accepts NULL */

#endif
