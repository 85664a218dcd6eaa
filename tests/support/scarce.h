/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Memory that runs out for one thread: its n-th allocation from now on fails, those of all others are left alone. For programs
 * with threads; where there is one, tests/support/faults.h also counts what is left. Installed before anything is allocated:
 *
 *     scarce_install();
 *     ...
 *     scarce_at(n);                            // 0: none fails
 *     troupe_status st = thing_new(&t);
 *     bool met = scarce_met();                 // the n-th came; from here on there is memory again
 *
 * scarce.calls is how many this thread has asked for since scarce_at. */
#ifndef TESTS_SCARCE_H
#define TESTS_SCARCE_H

#include <stdbool.h>
#include <stdlib.h>
#include <troupe/alloc.h>

static _Thread_local struct { long fail_at, calls; } scarce;

static inline void *scarce_realloc(void *ctx, void *old, size_t size) {
    (void)ctx;
    return ++scarce.calls == scarce.fail_at ? NULL : realloc(old, size);
}

static inline void scarce_free(void *ctx, void *p) {
    (void)ctx;
    free(p);
}

static inline void scarce_install(void) {
    static const troupe_allocator allocator = {.realloc = scarce_realloc, .free = scarce_free};
    troupe_alloc_set(&allocator);
}

static inline void scarce_at(long n) {
    scarce.calls = 0;
    scarce.fail_at = n;
}

static inline bool scarce_met(void) {
    bool met = scarce.fail_at && scarce.calls >= scarce.fail_at;
    scarce.fail_at = 0;
    return met;
}

#endif
