/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a step costs: so many batches of so many steps, after one that nobody looks at. */
#ifndef TESTS_BATCHES_H
#define TESTS_BATCHES_H

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum { BATCHES_MAX = 400 };

/* Nanoseconds a step. */
struct batches {
    double median, p99;
};

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline int batches_by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Steps are numbered from 0. count: BATCHES_MAX at most. */
static inline struct batches batches_measure(uint64_t count, uint64_t steps, void (*step)(uint64_t i)) {
    static double ns[BATCHES_MAX];
    uint64_t i = 0;
    for (uint64_t n = 0; n < steps; n++)
        step(i++);
    for (uint64_t b = 0; b < count; b++) {
        uint64_t from = now_ns();
        for (uint64_t n = 0; n < steps; n++)
            step(i++);
        ns[b] = (double)(now_ns() - from) / (double)steps;
    }
    qsort(ns, count, sizeof *ns, batches_by_value);
    return (struct batches){.median = ns[count / 2], .p99 = ns[count * 99 / 100]};
}

#endif
