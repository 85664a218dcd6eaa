/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/patience.h"

#include "tests/support/run.h"
#include "transports/spin.h"

enum { ROUNDS = 4096, ASLEEP_NS = 40000, LONG_NS = 180000 };

static int looks(struct trp_patience *p, int rounds) {
    int n = 0;
    for (int i = 0; i < rounds; i++)
        n += trp_patience_looks(p);
    return n;
}

static struct trp_patience learnt(int64_t slept, int64_t spun) {
    struct trp_patience p = {.processors = 2};
    for (int i = 0; i < 20; i++) {
        trp_patience_learn(&p, false, slept);
        trp_patience_learn(&p, true, spun);
    }
    return p;
}

START_TEST(where_nobody_may_nobody_looks) {
    struct trp_patience p = {0};
    ck_assert_int_eq(looks(&p, ROUNDS), 0);
}
END_TEST

START_TEST(who_is_answered_at_once_never_tries_to_sleep) {
    struct trp_patience p = learnt(ASLEEP_NS, LONG_NS);
    for (int i = 0; i < 5; i++)
        trp_patience_found(&p);
    ck_assert_int_eq(looks(&p, ROUNDS), ROUNDS);
}
END_TEST

START_TEST(some_long_waits_say_that_times_have_changed) {
    struct trp_patience p = learnt(ASLEEP_NS, 500);
    for (int i = 0; i < 25; i++)
        trp_patience_learn(&p, true, LONG_NS);
    ck_assert_int_le(looks(&p, ROUNDS), ROUNDS / TRP_SPIN_EXPLORE + 1);
}
END_TEST

START_TEST(one_long_wait_says_nothing) {
    struct trp_patience p = learnt(ASLEEP_NS, 500);
    trp_patience_learn(&p, true, LONG_NS);
    ck_assert_int_eq(looks(&p, ROUNDS), ROUNDS);
}
END_TEST

START_TEST(what_takes_long_is_slept_for) {
    struct trp_patience p = learnt(ASLEEP_NS, LONG_NS);
    ck_assert_int_le(looks(&p, ROUNDS), ROUNDS / TRP_SPIN_EXPLORE + 1);
}
END_TEST

/* --- a whole wait --- */

/* What is waited for: it comes by itself after so many looks, or when somebody sleeps for it. */
struct thing {
    int after, looks, sleeps;
};

static bool come(void *who) {
    struct thing *t = who;
    return ++t->looks > t->after;
}

static void nap(void *who, int64_t deadline) {
    ((struct thing *)who)->sleeps++;
    (void)deadline;
}

static const struct trp_patient how = {come, nap};

static struct thing waits(unsigned processors, int after, int times) {
    struct trp_patience p = {.processors = processors, .slept_ns = ASLEEP_NS};
    struct thing t = {.after = after};
    for (int i = 0; i < times; i++) {
        t.looks = 0;
        trp_patience_wait(&p, &how, &t, INT64_MAX);
    }
    return t;
}

START_TEST(what_comes_by_the_first_looks_is_not_slept_for) {
    struct thing t = waits(2, 1, ROUNDS);
    ck_assert_int_eq(t.sleeps, 0);
}
END_TEST

START_TEST(with_one_processor_one_look_is_all) {
    struct thing t = waits(1, 1, 1);
    ck_assert_int_eq(t.looks, 1);
    ck_assert_int_eq(t.sleeps, 1);
}
END_TEST

START_TEST(who_may_not_look_sleeps_at_once) {
    struct thing t = waits(0, 0, ROUNDS);
    ck_assert_int_eq(t.looks, 0);
    ck_assert_int_eq(t.sleeps, ROUNDS);
}
END_TEST

/* --- one processor --- */

enum { GIVEN_WAY_NS = 2000, WOKEN_NS = 3000, SLICE_NS = 4000000, ODD = 100 };

/* Of so many waits, how many gave way: each took so long, but for every `odd`th. */
static int gives_way(struct trp_patience *p, int waits, int64_t takes, int odd, int64_t takes_then) {
    int n = 0;
    for (int i = 0; i < waits; i++) {
        bool looks = trp_patience_looks(p);
        n += looks;
        trp_patience_learn(p, looks, !looks ? WOKEN_NS : n % odd == 0 ? takes_then : takes);
    }
    return n;
}

START_TEST(to_give_way_to_one_that_computes_is_tried_rarely) {
    struct trp_patience p = {.processors = 1};
    int n = gives_way(&p, 2 * TRP_PATIENCE_RARELY, SLICE_NS, 1, SLICE_NS);
    ck_assert_int_ge(n, 2);
    ck_assert_int_le(n, 9);
}
END_TEST

START_TEST(so_it_is_if_only_every_other_time_it_comes_back_late) {
    struct trp_patience p = {.processors = 1};
    ck_assert_int_le(gives_way(&p, 2 * TRP_PATIENCE_RARELY, GIVEN_WAY_NS, 2, SLICE_NS), 40);
}
END_TEST

START_TEST(what_is_late_once_in_a_while_is_forgiven) {
    struct trp_patience p = {.processors = 1};
    ck_assert_int_ge(gives_way(&p, ROUNDS, GIVEN_WAY_NS, ODD, SLICE_NS), ROUNDS * 3 / 4);
    ck_assert_int_ge(gives_way(&p, ROUNDS, GIVEN_WAY_NS, ODD, 7 * WOKEN_NS), ROUNDS * 3 / 4);
}
END_TEST

START_TEST(who_computed_and_does_no_more_is_forgotten) {
    struct trp_patience p = {.processors = 1};
    (void)gives_way(&p, 2 * TRP_PATIENCE_RARELY, SLICE_NS, 1, SLICE_NS);
    (void)gives_way(&p, 3 * TRP_PATIENCE_RARELY, GIVEN_WAY_NS, ODD, GIVEN_WAY_NS);
    ck_assert_int_ge(gives_way(&p, ROUNDS, GIVEN_WAY_NS, ODD, GIVEN_WAY_NS), ROUNDS * 3 / 4);
}
END_TEST

START_TEST(what_takes_longer_than_to_sleep_is_slept_for) {
    struct trp_patience p = {.processors = 1};
    ck_assert_int_le(gives_way(&p, ROUNDS, 2 * WOKEN_NS, 1, 2 * WOKEN_NS), ROUNDS / TRP_SPIN_EXPLORE + 9);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {where_nobody_may_nobody_looks,
                                  who_is_answered_at_once_never_tries_to_sleep,
                                  some_long_waits_say_that_times_have_changed,
                                  one_long_wait_says_nothing,
                                  what_takes_long_is_slept_for,
                                  what_comes_by_the_first_looks_is_not_slept_for,
                                  with_one_processor_one_look_is_all,
                                  who_may_not_look_sleeps_at_once,
                                  to_give_way_to_one_that_computes_is_tried_rarely,
                                  so_it_is_if_only_every_other_time_it_comes_back_late,
                                  what_is_late_once_in_a_while_is_forgiven,
                                  who_computed_and_does_no_more_is_forgotten,
                                  what_takes_longer_than_to_sleep_is_slept_for};
    Suite *s = suite_create("patience");
    run_case(s, "patience", tests, sizeof tests / sizeof *tests);
    return run_suite(s);
}
