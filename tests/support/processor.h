/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Where a test runs. */
#ifndef TESTS_PROCESSOR_H
#define TESTS_PROCESSOR_H

#include <check.h>
#include <sched.h>

/* The calling thread, and all threads and processes that it begins from now on, share the processor that it is on. */
static inline void stay_on_one_processor(void) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((unsigned)sched_getcpu(), &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
}

#endif
