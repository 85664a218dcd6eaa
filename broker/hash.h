/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The seeded hash of the router's tables. Peers choose topics, tokens and subscription ids, so the secret words keep
 * them from aiming at one bucket. Multiply and fold: two words in, the 128-bit product's halves xored out. */
#ifndef TRP_BROKER_HASH_H
#define TRP_BROKER_HASH_H

#include <stdint.h>
#include <string.h>

struct trp_hash_key {
    uint64_t a, b;
};

static inline uint64_t trp_hash_fold(uint64_t x, uint64_t y) {
#ifdef __SIZEOF_INT128__
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)x * y;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    uint64_t xl = (uint32_t)x, xh = x >> 32, yl = (uint32_t)y, yh = y >> 32;
    uint64_t low = xl * yl, mid = xh * yl + (low >> 32), cross = xl * yh + (uint32_t)mid;
    return ((cross << 32) | (uint32_t)low) ^ (xh * yh + (mid >> 32) + (cross >> 32));
#endif
}

static inline uint64_t trp_hash_load64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t trp_hash_load32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline struct trp_hash_key trp_hash_key(uint64_t seed) {
    uint64_t a = trp_hash_fold(seed + UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xd1342543de82ef95) ^ (seed << 1 | 1));
    uint64_t b = trp_hash_fold(a + UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xd1342543de82ef95) ^ seed);
    return (struct trp_hash_key){a, b};
}

/* Both factors carry a secret word: without it, one chosen word makes a product 0 and forgets all that came before. */
static inline uint64_t trp_hash_u64(const struct trp_hash_key *k, uint64_t v) {
    return trp_hash_fold(v ^ k->a, k->b | 1);
}

/* `from` chains: the hash of what stands before these bytes, or 0. */
static inline uint64_t trp_hash_bytes(const struct trp_hash_key *k, uint64_t from, const uint8_t *p, size_t n) {
    uint64_t h = k->a ^ from ^ (n * UINT64_C(0x9e3779b97f4a7c15)), x = 0, y = 0;
    for (; n > 16; p += 16, n -= 16)
        h = trp_hash_fold(trp_hash_load64(p) ^ k->b, trp_hash_load64(p + 8) ^ h);
    if (n >= 8) {
        x = trp_hash_load64(p);
        y = trp_hash_load64(p + n - 8);
    } else if (n >= 4) {
        x = trp_hash_load32(p);
        y = trp_hash_load32(p + n - 4);
    } else if (n > 0) {
        x = (uint64_t)p[0] << 16 | (uint64_t)p[n >> 1] << 8 | p[n - 1];
    }
    h = trp_hash_fold(x ^ k->b, y ^ h);
    return trp_hash_fold(h ^ k->b, UINT64_C(0xd1342543de82ef95));
}

#endif
