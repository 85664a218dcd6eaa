/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Values below 128 have a bucket each; from there on every doubling is cut into 64 equal buckets, found by the position
 * of the highest bit and the six bits behind it. So a percentile is right to 1.6 percent whatever the range, and adding
 * one costs a few instructions. The least and the greatest value are kept exactly. */
#include "clients/cli/histogram.h"

#include <stddef.h>

enum { SUB_BITS = 6 };

static size_t bucket_of(uint64_t v) {
    if (v < HISTOGRAM_SUB * 2)
        return (size_t)v;
    unsigned shift = 63u - (unsigned)__builtin_clzll(v) - SUB_BITS;
    size_t i = (size_t)shift * HISTOGRAM_SUB + (size_t)(v >> shift);
    return i < HISTOGRAM_BUCKETS ? i : HISTOGRAM_BUCKETS - 1;
}

/* The largest value that falls into it. */
static uint64_t bucket_top(size_t i) {
    if (i < HISTOGRAM_SUB * 2)
        return i;
    size_t shift = i / HISTOGRAM_SUB - 1;
    return ((uint64_t)(i - shift * HISTOGRAM_SUB + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t value) {
    if (h->count == 0 || value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
    h->count++;
    h->buckets[bucket_of(value)]++;
}

void histogram_merge(struct histogram *h, const struct histogram *from) {
    if (from->count == 0)
        return;
    if (h->count == 0 || from->min < h->min)
        h->min = from->min;
    if (from->max > h->max)
        h->max = from->max;
    h->count += from->count;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        h->buckets[i] += from->buckets[i];
}

uint64_t histogram_at(const struct histogram *h, double share) {
    double wanted = share * (double)h->count;
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen && (double)seen >= wanted)
            return bucket_top(i) < h->max ? bucket_top(i) : h->max;
    }
    return h->max;
}
