/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The msgpack scanner against msgpack-c: the same bytes are one value of the same length for both, or for neither.
 * Then what was accepted goes through the value reader and writer and through JSON, and must come back.
 *
 * msgpack-c reserves memory from the counts that an array or map claims, so it is not asked about bytes in which a
 * count is larger than what follows it: our scan calls them TRUNCATED, and that is all there is to say. */
#include <msgpack.h>

#include "transports/assert.h"
#include "transports/json.h"
#include "transports/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Is each byte that could be the head of a container followed by at least as many bytes as it claims elements?
 * Bytes inside strings are looked at too, which only means that some inputs are not put to the oracle. */
static bool counts_are_modest(const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        size_t left = n - i - 1, width = p[i] == 0xdd || p[i] == 0xdf ? 4 : 2;
        uint64_t count = 0;
        if (p[i] < 0xdc || p[i] > 0xdf || left < width)
            continue;
        for (size_t k = 1; k <= width; k++)
            count = count << 8 | p[i + k];
        if (count > left)
            return false;
    }
    return true;
}

/* False: msgpack-c refuses. */
static bool oracle(const uint8_t *p, size_t n, size_t *len) {
    msgpack_unpacked unpacked;
    size_t off = 0;
    msgpack_unpacked_init(&unpacked);
    msgpack_unpack_return got = msgpack_unpack_next(&unpacked, (const char *)p, n, &off);
    msgpack_unpacked_destroy(&unpacked);
    *len = off;
    return got == MSGPACK_UNPACK_SUCCESS || got == MSGPACK_UNPACK_EXTRA_BYTES;
}

/* Some of our limits are tighter: an empty container is a level too, elements are counted. */
static void compare(const uint8_t *data, size_t size, troupe_status st, size_t len) {
    size_t theirs;
    if (st == TROUPE_OK) {
        trp_assert(oracle(data, size, &theirs));
        trp_assert(theirs == len);
    } else if (st != TROUPE_TOO_DEEP && st != TROUPE_TOO_BIG && counts_are_modest(data, size)) {
        trp_assert(!oracle(data, size, &theirs));
    }
}

/* value -> bytes -> value -> bytes: the second bytes are the first, in their shortest form. */
static void value_round_trip(const uint8_t *data, size_t len) {
    const uint8_t *p = data, *q;
    struct trp_buf first = {0}, second = {0};
    troupe_value v, again;
    trp_assert(trp_unpack_value(&p, data + len, &v) == TROUPE_OK && p == data + len);
    trp_assert(trp_pack_value(&first, v) == TROUPE_OK);
    trp_assert(first.n <= len + 4); /* a float becomes a double */
    q = first.p;
    trp_assert(trp_unpack_value(&q, first.p + first.n, &again) == TROUPE_OK && again.kind == v.kind);
    trp_assert(trp_pack_value(&second, again) == TROUPE_OK);
    trp_assert(first.n == second.n && memcmp(first.p, second.p, first.n) == 0);
    trp_buf_fini(&first);
    trp_buf_fini(&second);
}

/* What is printed is one line of UTF-8, of bounded size, and JSON when read again (but for what JSON readers refuse:
 * integers above int64, keys that repeat or hold a zero byte). */
static void json_round_trip(const uint8_t *data, size_t len) {
    struct trp_buf text = {0}, pack = {0}, again = {0};
    const char *why;
    trp_assert(trp_json_from_pack(&text, data, len) == TROUPE_OK);
    trp_assert(trp_utf8_valid(text.p, text.n) && !memchr(text.p, '\n', text.n));
    trp_assert(text.n <= 32 * len);
    if (trp_json_to_pack(&pack, (const char *)text.p, text.n, &why) == TROUPE_OK) {
        trp_assert(trp_json_from_pack(&again, pack.p, pack.n) == TROUPE_OK);
        /* A float's fewest digits may be another double's. */
        bool floats = memchr(data, 0xca, len) != NULL;
        trp_assert(floats || trp_slice_eq((struct trp_slice){again.p, again.n}, (struct trp_slice){text.p, text.n}));
    }
    trp_buf_fini(&text);
    trp_buf_fini(&pack);
    trp_buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t len = 0;
    troupe_status st = trp_pack_scan(data, size, NULL, &len);
    compare(data, size, st, len);
    if (st != TROUPE_OK)
        return 0;
    trp_assert(len > 0 && len <= size);
    size_t shorter;
    trp_assert(trp_pack_scan(data, len - 1, NULL, &shorter) == TROUPE_TRUNCATED);
    value_round_trip(data, len);
    json_round_trip(data, len);
    return 0;
}
