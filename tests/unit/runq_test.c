/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Who runs next. Of actors only what a queue touches is there: their place in a list, and whether they roam. */
#include "actors/runq.h"

#include <string.h>

#include "actors/backend.h"
#include "tests/support/run.h"

enum { CROWD = 1000 };

static struct trp_runq q;
static struct trp_actor crowd[CROWD], some[4];

static void up(void) {
    memset(crowd, 0, sizeof crowd);
    memset(some, 0, sizeof some);
    for (int i = 0; i < CROWD; i++)
        crowd[i].roams = true;
    for (int i = 0; i < 4; i++)
        some[i].roams = true;
    trp_runq_init(&q);
}

static void post_crowd(void) {
    for (int i = 0; i < CROWD; i++)
        ck_assert(!trp_runq_post(&q, &crowd[i]));
}

START_TEST(in_the_order_of_their_arrival) {
    up();
    post_crowd();
    for (int i = 0; i < CROWD; i++)
        ck_assert_ptr_eq(trp_runq_take(&q), &crowd[i]);
    ck_assert_ptr_null(trp_runq_take(&q));
    ck_assert_uint_eq(trp_runq_waiting(&q), 0);
}
END_TEST

/* A hundred thousand answers to one who collects them must not all lie in its mailbox before it gets to run. */
START_TEST(a_crowd_from_elsewhere_does_not_hold_up_whom_it_wakes) {
    up();
    post_crowd();
    int turns = 0, taken = 0;
    struct trp_actor *collector = &some[0];
    trp_runq_add(&q, collector, TRP_RUN_READY);
    while (taken < CROWD) {
        struct trp_actor *a = trp_runq_take(&q);
        if (a == collector) {
            trp_runq_add(&q, collector, TRP_RUN_READY); /* the next of the crowd has answered */
            turns++;
        } else {
            ck_assert_ptr_eq(a, &crowd[taken]);
            taken++;
        }
    }
    ck_assert_int_ge(turns, 20);
}
END_TEST

START_TEST(who_has_arrived_is_counted_and_can_be_stolen) {
    struct trp_runs loot;
    up();
    post_crowd();
    ck_assert_ptr_eq(trp_runq_take(&q), &crowd[0]);
    ck_assert_uint_eq(trp_runq_waiting(&q), CROWD - 1);
    ck_assert_uint_gt(trp_runq_split(&q, false, &loot), 0);
    ck_assert_ptr_eq(loot.head, &crowd[1]);
    ck_assert_uint_eq(trp_runq_waiting(&q) + loot.count, CROWD - 1);
    trp_runq_join(&q, &loot);
    ck_assert_uint_eq(trp_runq_roaming(&q), CROWD - 1);
}
END_TEST

START_TEST(the_lists_take_turns) {
    up();
    some[2].roams = false;
    trp_runq_add(&q, &some[0], TRP_RUN_BIRTH);
    trp_runq_add(&q, &some[1], TRP_RUN_BIRTH);
    trp_runq_add(&q, &some[2], TRP_RUN_BOUND);
    trp_runq_add(&q, &some[3], TRP_RUN_READY);
    struct trp_actor *a = trp_runq_take(&q), *b = trp_runq_take(&q);
    ck_assert((a == &some[2] && b == &some[3]) || (a == &some[3] && b == &some[2]));
    ck_assert_ptr_eq(trp_runq_take(&q), &some[1]); /* the last born is the first */
    ck_assert_ptr_eq(trp_runq_take(&q), &some[0]);
}
END_TEST

START_TEST(newborns_are_not_starved) {
    up();
    for (int i = 0; i < CROWD; i++)
        trp_runq_add(&q, &crowd[i], TRP_RUN_READY);
    trp_runq_add(&q, &some[0], TRP_RUN_BIRTH);
    int turns = 1;
    while (trp_runq_take(&q) != &some[0])
        turns++;
    ck_assert_int_le(turns, 4);
}
END_TEST

START_TEST(whoever_posts_to_a_sleeper_wakes_it_once) {
    up();
    ck_assert(trp_runq_sleep(&q));
    ck_assert(trp_runq_post(&q, &some[0]));
    ck_assert(!trp_runq_post(&q, &some[1]));
    ck_assert(!trp_runq_rouse(&q));
    ck_assert(!trp_runq_sleep(&q));
    ck_assert_ptr_eq(trp_runq_take(&q), &some[0]);
    ck_assert(!trp_runq_sleep(&q));
    ck_assert_ptr_eq(trp_runq_take(&q), &some[1]);
    ck_assert(trp_runq_sleep(&q));
    ck_assert(trp_runq_rouse(&q));
}
END_TEST

/* What a coroutine goes on to by itself: nothing else may wait for a decision. */
START_TEST(the_next_coroutine_at_once_or_nobody) {
    static const struct trp_backend backend, other;
    up();
    for (int i = 0; i < 4; i++)
        some[i].backend = &backend;
    ck_assert_ptr_null(trp_runq_take_ready(&q, &backend));
    trp_runq_add(&q, &some[0], TRP_RUN_READY);
    ck_assert_ptr_null(trp_runq_take_ready(&q, &other));
    ck_assert(!trp_runq_post(&q, &some[1]));
    ck_assert_ptr_null(trp_runq_take_ready(&q, &backend));
    trp_runq_fetch(&q);
    ck_assert_ptr_eq(trp_runq_take_ready(&q, &backend), &some[0]);
    ck_assert_ptr_eq(trp_runq_take_ready(&q, &backend), &some[1]);
    trp_runq_add(&q, &some[2], TRP_RUN_READY);
    trp_runq_add(&q, &some[3], TRP_RUN_BIRTH);
    ck_assert_ptr_null(trp_runq_take_ready(&q, &backend));
}
END_TEST

int main(void) {
    Suite *s = suite_create("runq");
    const TTest *const tests[] = {
        in_the_order_of_their_arrival,
        a_crowd_from_elsewhere_does_not_hold_up_whom_it_wakes,
        who_has_arrived_is_counted_and_can_be_stolen,
        the_lists_take_turns,
        newborns_are_not_starved,
        whoever_posts_to_a_sleeper_wakes_it_once,
        the_next_coroutine_at_once_or_nobody,
    };
    run_case(s, "runq", tests, sizeof tests / sizeof *tests);
    return run_suite(s);
}
