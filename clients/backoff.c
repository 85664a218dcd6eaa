/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A thousand clients lose their broker in the same millisecond. The doubling keeps them from knocking all the time, the
 * jitter (between half of a step and all of it) keeps them from knocking together. Only a connection that lasted longer
 * than the wait before it starts the steps anew: a broker that takes us and throws us out again is no success. */
#include "clients/backoff.h"

#include <sys/random.h>
#include <time.h>

#include "transports/assert.h"

static uint64_t seed_make(void) {
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed || seed == 0) {
        /* No entropy yet, early at boot: jitter needs difference, not secrecy. */
        struct timespec now;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        seed = ((uint64_t)now.tv_nsec << 20) ^ (uint64_t)now.tv_sec ^ (uint64_t)(uintptr_t)&now;
    }
    return seed ? seed : 1;
}

void trp_backoff_init(struct trp_backoff *b, int64_t min, int64_t max, uint64_t seed) {
    trp_assert(min > 0 && min <= max);
    *b = (struct trp_backoff){.min = min, .max = max, .step = min, .random = seed ? seed : seed_make()};
}

static uint64_t random_next(uint64_t *state) { /* xorshift64 */
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

int64_t trp_backoff_next(struct trp_backoff *b) {
    int64_t half = b->step / 2;
    int64_t wait = b->step - half + (int64_t)(random_next(&b->random) % (uint64_t)(half + 1));
    b->step = b->step > b->max / 2 ? b->max : b->step * 2;
    return wait;
}

void trp_backoff_limit(struct trp_backoff *b, int64_t max) {
    trp_assert(max >= b->min);
    b->max = max;
    if (b->step > max)
        b->step = max;
}

void trp_backoff_lasted(struct trp_backoff *b, int64_t ms) {
    if (ms > b->step)
        b->step = b->min;
}
