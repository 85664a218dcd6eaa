/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A payload: any msgpack value, seen from C without a msgpack library.
 *
 * A troupe_value is small and passed by value. Scalars are inside it; text, bytes and packed values point to memory
 * that somebody else owns: the caller while a call runs, or the message that the value was read from until that
 * message is freed. Nothing here allocates.
 *
 *     troupe_client_publish(c, "fib", troupe_int(30), NULL);
 *     troupe_client_publish(c, "greet", troupe_text("hello"), NULL);
 *
 *     troupe_value v = troupe_msg_value(msg);
 *     if (v.kind == TROUPE_INT)
 *         printf("%" PRId64 "\n", v.i);
 */
#ifndef TROUPE_VALUE_H
#define TROUPE_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <troupe/export.h>

typedef enum troupe_value_kind {
    TROUPE_NIL,
    TROUPE_BOOL,
    TROUPE_INT, /* fits int64_t; a msgpack unsigned above INT64_MAX is TROUPE_UINT */
    TROUPE_UINT,
    TROUPE_REAL,
    TROUPE_TEXT,   /* msgpack str; not terminated by a zero byte */
    TROUPE_BYTES,  /* msgpack bin */
    TROUPE_PACKED, /* an array, a map or an ext as the msgpack bytes themselves, one whole value */
} troupe_value_kind;

/* Sixteen bytes, so that it goes from call to call in two registers. */
typedef struct troupe_value {
    troupe_value_kind kind;
    /* Of the data; msgpack can't say more. TROUPE_VALUE_TOO_BIG: it is that or more, and no call takes it (TROUPE_TOO_BIG). */
    uint32_t size;
    union {
        bool b;
        int64_t i;
        uint64_t u;
        double r;
        const void *data; /* of TEXT, BYTES and PACKED */
    };
} troupe_value;

#define TROUPE_VALUE_TOO_BIG UINT32_MAX

static inline uint32_t troupe_value_size(size_t n) {
    return n < TROUPE_VALUE_TOO_BIG ? (uint32_t)n : TROUPE_VALUE_TOO_BIG;
}

static inline troupe_value troupe_nil(void) {
    return (troupe_value){.kind = TROUPE_NIL};
}
static inline troupe_value troupe_bool(bool b) {
    return (troupe_value){.kind = TROUPE_BOOL, .b = b};
}
static inline troupe_value troupe_int(int64_t i) {
    return (troupe_value){.kind = TROUPE_INT, .i = i};
}
static inline troupe_value troupe_uint(uint64_t u) {
    return (troupe_value){.kind = TROUPE_UINT, .u = u};
}
static inline troupe_value troupe_real(double r) {
    return (troupe_value){.kind = TROUPE_REAL, .r = r};
}
/* `s` is borrowed as long as the value is used; NULL counts as "". */
static inline troupe_value troupe_text(const char *s) {
    return (troupe_value){.kind = TROUPE_TEXT, .size = s ? troupe_value_size(strlen(s)) : 0, .data = s ? s : ""};
}
static inline troupe_value troupe_textn(const char *s, size_t n) {
    return (troupe_value){.kind = TROUPE_TEXT, .size = troupe_value_size(n), .data = s};
}
static inline troupe_value troupe_bytes(const void *p, size_t n) {
    return (troupe_value){.kind = TROUPE_BYTES, .size = troupe_value_size(n), .data = p};
}
/* `p` holds exactly one msgpack value, made with any msgpack library. A call that takes it checks it and returns
 * TROUPE_INVALID otherwise. */
static inline troupe_value troupe_packed(const void *p, size_t n) {
    return (troupe_value){.kind = TROUPE_PACKED, .size = troupe_value_size(n), .data = p};
}

#endif
