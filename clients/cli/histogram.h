/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Latencies, many of them, in fixed memory: see histogram.c. Not thread-safe; plain data, may be copied and sent. */
#ifndef TRP_CLI_HISTOGRAM_H
#define TRP_CLI_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB = 64,                     /* buckets a doubling: a value is off by 1/64 at most */
    HISTOGRAM_BUCKETS = HISTOGRAM_SUB * 36, /* up to 2^41: 36 minutes in nanoseconds; above counts as that */
};

/* Zero-initialise. */
struct histogram {
    uint64_t count, min, max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value);
/* Everything in `from` as well. */
void histogram_merge(struct histogram *h, const struct histogram *from);
/* The value that a share of them (0.99) does not exceed; 0 when there is none. */
uint64_t histogram_at(const struct histogram *h, double share);

#endif
