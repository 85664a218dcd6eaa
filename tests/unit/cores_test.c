/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What is made of the kernel's word about who wants to run. */
#include "actors/cores.h"

#include "actors/deadline.h"
#include "tests/support/run.h"

START_TEST(the_fourth_word_up_to_the_slash) {
    ck_assert_uint_eq(trp_cores_wanted("0.52 0.58 0.59 3/467 11206\n"), 3);
    ck_assert_uint_eq(trp_cores_wanted("10.40 11.65 10.79 115/1400 12437\n"), 115);
}
END_TEST

START_TEST(anything_else_says_nothing) {
    ck_assert_uint_eq(trp_cores_wanted(""), 0);
    ck_assert_uint_eq(trp_cores_wanted("0.52 0.58"), 0);
    ck_assert_uint_eq(trp_cores_wanted("0.52 0.58 0.59 "), 0);
    ck_assert_uint_eq(trp_cores_wanted("0.52 0.58 0.59 467"), 0);
}
END_TEST

/* One look serves for a while: at the same moment it is the same. */
START_TEST(is_the_same_for_all_at_a_time) {
    int64_t now = trp_now();
    bool first = trp_cores_are_free(now);
    for (int i = 0; i < 100; i++)
        ck_assert(trp_cores_are_free(now) == first);
    ck_assert_uint_ge(trp_cores(), 1);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {the_fourth_word_up_to_the_slash, anything_else_says_nothing, is_the_same_for_all_at_a_time};
    Suite *s = suite_create("cores");
    TCase *c = tcase_create("cores");
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(c, tests[i]);
    suite_add_tcase(s, c);
    return run_suite(s);
}
