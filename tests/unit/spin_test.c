/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "transports/spin.h"

#include <stdint.h>

#include "actors/drip.h"
#include "tests/support/run.h"

enum { MOST = 500, ROUNDS = 100 * TRP_SPIN_EXPLORE };

/* How often it spins in ROUNDS when either way takes so long. */
static int spins(unsigned slept, unsigned spun) {
    unsigned lately[2] = {0, 0}, turn = 0;
    int n = 0;
    for (int i = 0; i < ROUNDS; i++) {
        bool spin = trp_spin_choose(lately[0], lately[1], MOST, &turn);
        lately[spin] = trp_spin_learn(lately[spin], spin ? spun : slept);
        n += spin;
    }
    return n;
}

START_TEST(the_better_way_is_learnt) {
    ck_assert_int_gt(spins(100, 60), ROUNDS * 9 / 10);
    ck_assert_int_lt(spins(60, 100), ROUNDS / 10);
}
END_TEST

START_TEST(what_takes_too_long_is_slept_for) {
    ck_assert_int_lt(spins(10000, 5000), ROUNDS / 10);
}
END_TEST

START_TEST(the_other_way_is_tried_now_and_then) {
    ck_assert_int_ge(spins(60, 100), ROUNDS / TRP_SPIN_EXPLORE - 1);
    ck_assert_int_le(spins(100, 60), ROUNDS - ROUNDS / TRP_SPIN_EXPLORE + 10);
}
END_TEST

/* So many sleeps, with so many messages received between them; what is said to the last. */
static bool yields_after(struct trp_drip *d, uint64_t *received, int sleeps, unsigned each) {
    bool yields = false;
    for (int i = 0; i < sleeps; i++) {
        *received += each;
        yields = trp_drip_yields(d, *received);
    }
    return yields;
}

START_TEST(who_is_woken_for_each_lets_others_run) {
    struct trp_drip d = {0};
    uint64_t received = 0;
    ck_assert(!yields_after(&d, &received, TRP_DRIP_PATIENCE - 1, 1));
    ck_assert(yields_after(&d, &received, 1, 1));
    /* As long as that brings many. */
    ck_assert(yields_after(&d, &received, 1, TRP_DRIP_MANY));
    ck_assert(yields_after(&d, &received, 1, 400));
    ck_assert(!yields_after(&d, &received, 1, TRP_DRIP_MANY - 1));
}
END_TEST

START_TEST(who_receives_many_or_nothing_sleeps) {
    struct trp_drip d = {0};
    uint64_t received = 0;
    ck_assert(!yields_after(&d, &received, 100, 400));
    ck_assert(!yields_after(&d, &received, 100, 0));
    /* Nor who has seldom been woken for one. */
    for (int i = 0; i < 10; i++) {
        ck_assert(!yields_after(&d, &received, TRP_DRIP_PATIENCE - 1, 1));
        ck_assert(!yields_after(&d, &received, 1, 400));
    }
}
END_TEST

/* Of so many sleeps, with one message each: how often it let others run. */
static int tries(struct trp_drip *d, uint64_t *received, int sleeps) {
    int n = 0;
    while (sleeps-- > 0)
        n += yields_after(d, received, 1, 1);
    return n;
}

START_TEST(in_vain_it_is_tried_ever_less) {
    struct trp_drip d = {0};
    uint64_t received = 0;
    ck_assert_int_le(tries(&d, &received, 4 * TRP_DRIP_RARELY), 16);
    ck_assert_int_ge(tries(&d, &received, 4 * TRP_DRIP_RARELY), 1);
    while (tries(&d, &received, 1) == 0)
        ;
    /* Now it has brought many: it is as at the beginning. */
    ck_assert(yields_after(&d, &received, 1, TRP_DRIP_MANY));
    ck_assert(!yields_after(&d, &received, TRP_DRIP_PATIENCE, 1));
    ck_assert(yields_after(&d, &received, TRP_DRIP_PATIENCE, 1));
}
END_TEST

START_TEST(learning_reaches_what_is) {
    unsigned lately = 0;
    for (int i = 0; i < 40; i++)
        lately = trp_spin_learn(lately, 1000);
    ck_assert_uint_ge(lately, 999);
    for (int i = 0; i < 40; i++)
        lately = trp_spin_learn(lately, 0);
    ck_assert_uint_eq(lately, 0);
    ck_assert_uint_eq(trp_spin_learn(UINT32_MAX, UINT32_MAX), UINT32_MAX);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        the_better_way_is_learnt,           what_takes_too_long_is_slept_for, the_other_way_is_tried_now_and_then,
        learning_reaches_what_is,           in_vain_it_is_tried_ever_less,    who_is_woken_for_each_lets_others_run,
        who_receives_many_or_nothing_sleeps};
    Suite *s = suite_create("spin");
    run_case(s, "spin", tests, sizeof tests / sizeof *tests);
    return run_suite(s);
}
