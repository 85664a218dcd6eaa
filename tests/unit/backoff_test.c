/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Waits between tries. */
#include "clients/backoff.h"

#include "tests/support/run.h"

START_TEST(it_doubles_with_jitter_up_to_the_most) {
    struct trp_backoff b;
    trp_backoff_init(&b, 50, 2000, 42);
    int64_t step = 50;
    for (int i = 0; i < 100; i++) {
        int64_t wait = trp_backoff_next(&b);
        ck_assert_int_ge(wait, step / 2);
        ck_assert_int_le(wait, step);
        step = step * 2 > 2000 ? 2000 : step * 2;
    }
}
END_TEST

START_TEST(only_what_lasted_begins_anew) {
    struct trp_backoff b;
    trp_backoff_init(&b, 50, 2000, 42);
    for (int i = 0; i < 10; i++)
        (void)trp_backoff_next(&b);
    trp_backoff_lasted(&b, 1999);
    ck_assert_int_ge(trp_backoff_next(&b), 1000);
    trp_backoff_lasted(&b, 2001);
    ck_assert_int_le(trp_backoff_next(&b), 50);
}
END_TEST

START_TEST(two_do_not_keep_step) {
    struct trp_backoff a, b;
    int same = 0;
    trp_backoff_init(&a, 1000, 1000000, 0);
    trp_backoff_init(&b, 1000, 1000000, 0);
    for (int i = 0; i < 10; i++)
        same += trp_backoff_next(&a) == trp_backoff_next(&b);
    ck_assert_int_lt(same, 5);
}
END_TEST

START_TEST(the_smallest) {
    struct trp_backoff b;
    trp_backoff_init(&b, 1, 1, 1);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(trp_backoff_next(&b), 1);
    trp_backoff_init(&b, INT64_MAX, INT64_MAX, 1);
    for (int i = 0; i < 10; i++)
        ck_assert_int_ge(trp_backoff_next(&b), INT64_MAX / 2);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {it_doubles_with_jitter_up_to_the_most, only_what_lasted_begins_anew, two_do_not_keep_step,
                                  the_smallest};
    Suite *s = suite_create("backoff");
    run_case(s, "backoff", tests, sizeof tests / sizeof *tests);
    return run_suite(s);
}
