/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * msgpack's bytes, inline: what pack.h promises, for the two files on the hot path (pack.c and envelope.c) where a
 * call a field would be a third of the cost. Others use pack.h.
 *
 * Readers take the value at *p, move *p behind it, and leave it alone when they return false (another type, or the
 * value is not whole before end). Writers write the shortest form and check no bounds. */
#ifndef TRP_PACK_WIRE_H
#define TRP_PACK_WIRE_H

#include "transports/pack.h"

/* --- big endian, any alignment --- */

static inline uint16_t trp_wire_get16(const uint8_t *p) {
    return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t trp_wire_get32(const uint8_t *p) {
    return (uint32_t)trp_wire_get16(p) << 16 | trp_wire_get16(p + 2);
}
static inline uint64_t trp_wire_get64(const uint8_t *p) {
    return (uint64_t)trp_wire_get32(p) << 32 | trp_wire_get32(p + 4);
}
static inline uint64_t trp_wire_get(const uint8_t *p, unsigned size) {
    switch (size) {
    case 1:
        return p[0];
    case 2:
        return trp_wire_get16(p);
    case 4:
        return trp_wire_get32(p);
    default:
        return trp_wire_get64(p);
    }
}

static inline uint8_t *trp_wire_put16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
    return p + 2;
}
static inline uint8_t *trp_wire_put32(uint8_t *p, uint32_t v) {
    return trp_wire_put16(trp_wire_put16(p, (uint16_t)(v >> 16)), (uint16_t)v);
}
static inline uint8_t *trp_wire_put64(uint8_t *p, uint64_t v) {
    return trp_wire_put32(trp_wire_put32(p, (uint32_t)(v >> 32)), (uint32_t)v);
}

/* --- readers --- */

/* The widths of uint8..64 and int8..64 are in the two low bits of their first bytes 0xcc.. and 0xd0.. */
static inline bool trp_wire_wide_uint(const uint8_t **pp, const uint8_t *end, uint64_t *v) {
    const uint8_t *p = *pp;
    uint8_t b = *p++;
    if (b < 0xcc || b > 0xd3)
        return false;
    unsigned size = 1u << (b & 3);
    if ((size_t)(end - p) < size || (b >= 0xd0 && *p >= 0x80))
        return false;
    *v = trp_wire_get(p, size);
    *pp = p + size;
    return true;
}

static inline bool trp_wire_read_uint(const uint8_t **p, const uint8_t *end, uint64_t *v) {
    if (*p == end)
        return false;
    if (**p >= 0x80)
        return trp_wire_wide_uint(p, end, v);
    *v = *(*p)++;
    return true;
}

/* The head of something whose length or count follows in 1, 2 or 4 bytes. */
static inline bool trp_wire_read_count(const uint8_t **pp, const uint8_t *end, unsigned size, uint32_t *n) {
    const uint8_t *p = *pp + 1;
    if ((size_t)(end - p) < size)
        return false;
    *n = (uint32_t)trp_wire_get(p, size);
    *pp = p + size;
    return true;
}

static inline bool trp_wire_read_str(const uint8_t **pp, const uint8_t *end, struct trp_slice *s) {
    const uint8_t *p = *pp;
    uint32_t n;
    if (p == end)
        return false;
    if ((*p & 0xe0) == 0xa0)
        n = *p++ & 0x1f;
    else if (*p < 0xd9 || *p > 0xdb || !trp_wire_read_count(&p, end, 1u << (*p - 0xd9), &n))
        return false;
    if ((size_t)(end - p) < n)
        return false;
    *s = (struct trp_slice){p, n};
    *pp = p + n;
    return true;
}

static inline bool trp_wire_read_nil(const uint8_t **p, const uint8_t *end) {
    if (*p == end || **p != 0xc0)
        return false;
    (*p)++;
    return true;
}

/* A count that the bytes left cannot hold is as bad as a missing one: nobody may reserve memory from it. */
static inline bool trp_wire_read_array(const uint8_t **pp, const uint8_t *end, uint32_t *count) {
    const uint8_t *p = *pp;
    uint32_t n;
    if (p == end)
        return false;
    if ((*p & 0xf0) == 0x90)
        n = *p++ & 0x0f;
    else if (*p < 0xdc || *p > 0xdd || !trp_wire_read_count(&p, end, *p == 0xdc ? 2 : 4, &n))
        return false;
    if ((size_t)(end - p) < n)
        return false;
    *count = n;
    *pp = p;
    return true;
}

static inline bool trp_wire_read_map(const uint8_t **pp, const uint8_t *end, uint32_t *count) {
    const uint8_t *p = *pp;
    uint32_t n;
    if (p == end)
        return false;
    if ((*p & 0xf0) == 0x80)
        n = *p++ & 0x0f;
    else if (*p < 0xde || *p > 0xdf || !trp_wire_read_count(&p, end, *p == 0xde ? 2 : 4, &n))
        return false;
    if ((size_t)(end - p) / 2 < n)
        return false;
    *count = n;
    *pp = p;
    return true;
}

/* --- writers --- */

static inline uint8_t *trp_wire_uint(uint8_t *p, uint64_t v) {
    if (v < 0x80) {
        *p++ = (uint8_t)v;
        return p;
    }
    if (v <= UINT8_MAX) {
        *p++ = 0xcc;
        *p++ = (uint8_t)v;
        return p;
    }
    if (v <= UINT16_MAX) {
        *p++ = 0xcd;
        return trp_wire_put16(p, (uint16_t)v);
    }
    if (v <= UINT32_MAX) {
        *p++ = 0xce;
        return trp_wire_put32(p, (uint32_t)v);
    }
    *p++ = 0xcf;
    return trp_wire_put64(p, v);
}

static inline uint8_t *trp_wire_array(uint8_t *p, uint32_t count) {
    if (count < 16) {
        *p++ = (uint8_t)(0x90 | count);
        return p;
    }
    if (count <= UINT16_MAX) {
        *p++ = 0xdc;
        return trp_wire_put16(p, (uint16_t)count);
    }
    *p++ = 0xdd;
    return trp_wire_put32(p, count);
}

static inline uint8_t *trp_wire_str_head(uint8_t *p, uint32_t n) {
    if (n < 32) {
        *p++ = (uint8_t)(0xa0 | n);
        return p;
    }
    if (n <= UINT8_MAX) {
        *p++ = 0xd9;
        *p++ = (uint8_t)n;
        return p;
    }
    if (n <= UINT16_MAX) {
        *p++ = 0xda;
        return trp_wire_put16(p, (uint16_t)n);
    }
    *p++ = 0xdb;
    return trp_wire_put32(p, n);
}

static inline uint8_t *trp_wire_bytes(uint8_t *p, const void *from, size_t n) {
    if (n)
        memcpy(p, from, n);
    return p + n;
}

static inline uint8_t *trp_wire_str(uint8_t *p, struct trp_slice s) {
    return trp_wire_bytes(trp_wire_str_head(p, (uint32_t)s.n), s.p, s.n);
}

#endif
