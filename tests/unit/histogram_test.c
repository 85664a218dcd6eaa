/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a histogram says, against what was put in. */
#include "clients/cli/histogram.h"

#include "tests/support/run.h"

START_TEST(an_empty_histogram) {
    static struct histogram h;
    ck_assert_uint_eq(histogram_at(&h, 0.5), 0);
}
END_TEST

START_TEST(small_values_are_exact) {
    static struct histogram h;
    for (uint64_t v = 1; v <= 100; v++)
        histogram_add(&h, v);
    ck_assert_uint_eq(h.min, 1);
    ck_assert_uint_eq(h.max, 100);
    ck_assert_uint_eq(histogram_at(&h, 0.5), 50);
    ck_assert_uint_eq(histogram_at(&h, 0.99), 99);
    ck_assert_uint_eq(histogram_at(&h, 1), 100);
}
END_TEST

START_TEST(any_value_is_right_to_two_percent) {
    for (uint64_t v = 1; v < UINT64_C(1) << 40; v = v * 9 / 7 + 1) {
        static struct histogram h;
        h = (struct histogram){0};
        histogram_add(&h, v);
        histogram_add(&h, v * 3);
        double got = (double)histogram_at(&h, 0.5);
        ck_assert_msg(got >= (double)v && got <= (double)v * 1.017, "%llu is said to be %.0f", (unsigned long long)v, got);
    }
}
END_TEST

START_TEST(huge_values_count_as_the_greatest) {
    static struct histogram h;
    histogram_add(&h, UINT64_MAX);
    histogram_add(&h, 5);
    ck_assert_uint_eq(h.max, UINT64_MAX);
    ck_assert_uint_eq(h.min, 5);
    ck_assert_uint_eq(h.count, 2);
}
END_TEST

START_TEST(merging_adds) {
    static struct histogram a, b, none;
    histogram_add(&a, 10);
    histogram_add(&b, 1000);
    histogram_add(&b, 2);
    histogram_merge(&a, &b);
    histogram_merge(&a, &none);
    ck_assert_uint_eq(a.count, 3);
    ck_assert_uint_eq(a.min, 2);
    ck_assert_uint_eq(a.max, 1000);
    ck_assert_uint_eq(histogram_at(&a, 0.5), 10);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {an_empty_histogram, small_values_are_exact, any_value_is_right_to_two_percent,
                                  huge_values_count_as_the_greatest, merging_adds};
    Suite *s = suite_create("histogram");
    run_case(s, "histogram", tests, sizeof tests / sizeof *tests);
    return run_suite(s);
}
