/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Chance that can be repeated: a random test prints what it began with, and begins with TROUPE_SEED where that is set.
 *
 *     chance_begin(seed_of_run());
 *     ... roll(6) ... */
#ifndef TESTS_CHANCE_H
#define TESTS_CHANCE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* For what is to be the same in each run, but for TROUPE_SEED. */
static inline uint64_t seed_or(uint64_t otherwise) {
    const char *given = getenv("TROUPE_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : otherwise;
    printf("TROUPE_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout); /* a crash is what it is wanted for */
    return seed;
}

static inline uint64_t seed_of_run(void) {
    return seed_or((uint64_t)time(NULL));
}

static uint64_t chance_state;

static inline void chance_begin(uint64_t seed) {
    chance_state = seed;
}

static inline uint64_t random64(void) {
    chance_state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = chance_state;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* 0 to n - 1. */
static inline uint32_t roll(uint64_t n) {
    return (uint32_t)(random64() % n);
}

#endif
