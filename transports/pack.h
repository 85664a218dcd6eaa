/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * msgpack, as far as the wire's hot path needs it: step over a value under limits, read a scalar, write a scalar.
 * Pure: bytes in, bytes out, nothing is allocated for a claimed length. Whatever walks into maps and arrays beyond
 * this uses msgpack-c after trp_pack_scan has accepted the bytes (msgpack-c 4.0.0 trusts claimed lengths). */
#ifndef TRP_PACK_H
#define TRP_PACK_H

#include <troupe/value.h>

#include "transports/buf.h"

enum { TRP_PACK_DEPTH = 32 }; /* the deepest nesting accepted; a scalar has depth 0, [] has 1 */

struct trp_pack_limits {
    uint32_t depth;    /* 0: TRP_PACK_DEPTH, which is also the most */
    uint32_t elements; /* values in all, counted at every level; 0: 1 << 20 */
};

/* Length of the one value at the start of p, in *len. lim NULL: the defaults.
 * TRUNCATED: p ends inside the value. TOO_DEEP, TOO_BIG (elements): over the limit. PROTOCOL: the byte 0xc1. */
TROUPE_NODISCARD troupe_status trp_pack_scan(const uint8_t *p, size_t n, const struct trp_pack_limits *lim, size_t *len);

/* Readers: take the value at *p (not past end), move *p behind it. False leaves *p where it was: wrong type or
 * truncated. Integers of any width are taken; negative ones are no uint. */
bool trp_unpack_uint(const uint8_t **p, const uint8_t *end, uint64_t *v);
bool trp_unpack_str(const uint8_t **p, const uint8_t *end, struct trp_slice *s);
bool trp_unpack_nil(const uint8_t **p, const uint8_t *end);
bool trp_unpack_array(const uint8_t **p, const uint8_t *end, uint32_t *count);
bool trp_unpack_map(const uint8_t **p, const uint8_t *end, uint32_t *count);
/* One whole value as the public type; borrows from p. PROTOCOL/TRUNCATED as trp_pack_scan. */
TROUPE_NODISCARD troupe_status trp_unpack_value(const uint8_t **p, const uint8_t *end, troupe_value *v);

/* Writers: shortest form, at most TRP_PACK_MAX_HEAD bytes written at p, return the byte behind. No bounds are
 * checked: reserve first. */
enum { TRP_PACK_MAX_HEAD = 9 };
uint8_t *trp_pack_uint(uint8_t *p, uint64_t v);
uint8_t *trp_pack_int(uint8_t *p, int64_t v);
uint8_t *trp_pack_array(uint8_t *p, uint32_t count);
uint8_t *trp_pack_map(uint8_t *p, uint32_t count);
uint8_t *trp_pack_str_head(uint8_t *p, uint32_t n);
uint8_t *trp_pack_bin_head(uint8_t *p, uint32_t n);
uint8_t *trp_pack_str(uint8_t *p, struct trp_slice s); /* head and bytes: 5 + s.n at most */

/* A whole value into a buffer. INVALID: a TROUPE_PACKED value that is not exactly one good value. TOO_BIG: 4 GiB, or
 * too many elements. TOO_DEEP: nested too deep. NO_MEMORY. On a fault the buffer is as it was. */
TROUPE_NODISCARD troupe_status trp_pack_value(struct trp_buf *b, troupe_value v);

/* The two halves of it, for a writer with a buffer of its own: the check gives the most bytes that the value takes;
 * the other writes a checked value at p and returns the byte behind. */
TROUPE_NODISCARD troupe_status trp_pack_check(troupe_value v, const struct trp_pack_limits *lim, size_t *most);
uint8_t *trp_pack_checked(uint8_t *p, troupe_value v);

#endif
