/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A stress of so many turns, in which threads get in each other's way; or of as many as there are in a second, since each turn
 * may cost one of the scheduler's, which are long where other programs have the processors:
 *
 *     for (struct stress s = stress_of(20000); stress_goes_on(&s);)
 *         turn();
 *     ... s.done of them */
#ifndef TESTS_STRESS_H
#define TESTS_STRESS_H

#include <stdbool.h>
#include <time.h>

struct stress {
    long turns, done;
    struct timespec began;
};

static inline struct stress stress_of(long turns) {
    struct stress s = {.turns = turns, .done = -1};
    clock_gettime(CLOCK_MONOTONIC, &s.began);
    return s;
}

static inline bool stress_goes_on(struct stress *s) {
    struct timespec now;
    if (++s->done == s->turns)
        return false;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec - s->began.tv_sec + (now.tv_nsec - s->began.tv_nsec) / 1e9 < 1;
}

#endif
