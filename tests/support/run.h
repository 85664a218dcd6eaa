/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The main of a suite: one test case a group of tests, exit status by the failures. CK_FORK=no runs it in one process,
 * CK_RUN_CASE picks a case. */
#ifndef TESTS_RUN_H
#define TESTS_RUN_H

#include <check.h>
#include <stdlib.h>

/* ck_assert, without a system call for each one that holds: for what is checked a million times. */
#define CHECK_MSG(expr, ...) ((expr) ? (void)0 : ck_abort_msg(__VA_ARGS__))
#define CHECK(expr)          CHECK_MSG(expr, "%s", #expr)

static inline TCase *run_case(Suite *s, const char *name, const TTest *const *tests, size_t n) {
    TCase *c = tcase_create(name);
    for (size_t i = 0; i < n; i++)
        tcase_add_test(c, tests[i]);
    suite_add_tcase(s, c);
    return c;
}

static inline int run_suite(Suite *s) {
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
