/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Memory that runs out: the n-th allocation from now on fails, through the seam of <troupe/alloc.h>. The way to use
 * it is a loop that lets the first call fail, then the second, until the thing under test gets through:
 *
 *     for (long n = 1;; n++) {
 *         faults_fail_at(n);
 *         troupe_status st = thing_new(&t);
 *         faults_off();
 *         if (st == TROUPE_OK)
 *             break;
 *         ck_assert_int_eq(st, TROUPE_NO_MEMORY);
 *     }
 *
 * Memory comes from malloc(3) all the same, so a block may be freed after the faults are off. For one thread; where
 * there are others, see tests/support/scarce.h. */
#ifndef TESTS_FAULTS_H
#define TESTS_FAULTS_H

#include <stdbool.h>
#include <stdlib.h>
#include <troupe/alloc.h>

struct faults {
    long fail_at, calls; /* fail_at 0: never */
    long live;           /* blocks allocated and not freed since faults_fail_at */
};

static struct faults faults;

static inline void *faults_realloc(void *ctx, void *old, size_t size) {
    struct faults *f = ctx;
    if (++f->calls == f->fail_at)
        return NULL;
    void *p = realloc(old, size);
    f->live += p && !old;
    return p;
}

static inline void faults_free(void *ctx, void *p) {
    ((struct faults *)ctx)->live--;
    free(p);
}

static inline void faults_fail_at(long n) {
    static const troupe_allocator allocator = {.realloc = faults_realloc, .free = faults_free, .ctx = &faults};
    faults = (struct faults){.fail_at = n};
    troupe_alloc_set(&allocator);
}

static inline void faults_off(void) {
    troupe_alloc_set(NULL);
}

#endif
