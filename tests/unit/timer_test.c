/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/timer.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/chance.h"
#include "tests/support/run.h"

enum { MANY = 500 };

static struct trp_timers timers;
static struct trp_timer many[MANY];
static int64_t last;
static unsigned fired;

static void in_order(struct trp_timer *t) {
    ck_assert_int_ge(t->deadline, last);
    ck_assert(!trp_timer_runs(t));
    last = t->deadline;
    fired++;
}

START_TEST(the_earliest_comes_first) {
    struct trp_timer a = {.fire = in_order}, b = a, c = a;
    ck_assert_int_eq(trp_timers_next(&timers), TRP_NEVER);
    trp_timer_start(&timers, &a, 30);
    trp_timer_start(&timers, &b, 10);
    trp_timer_start(&timers, &c, 20);
    ck_assert_int_eq(trp_timers_next(&timers), 10);
    trp_timers_run(&timers, 9);
    ck_assert_uint_eq(fired, 0);
    trp_timers_run(&timers, 20);
    ck_assert_uint_eq(fired, 2);
    ck_assert_int_eq(trp_timers_next(&timers), 30);
    trp_timer_stop(&timers, &a);
    trp_timer_stop(&timers, &a);
    ck_assert_int_eq(trp_timers_next(&timers), TRP_NEVER);
    trp_timer_start(&timers, &a, TRP_NEVER);
    ck_assert(!trp_timer_runs(&a));
}
END_TEST

/* Against the plainest model: an array that is searched. */
START_TEST(any_order_of_starts_and_stops) {
    int64_t model[MANY];
    unsigned expected = 0;
    srand((unsigned)seed_of_run());
    for (int i = 0; i < MANY; i++) {
        many[i].fire = in_order;
        model[i] = TRP_NEVER;
    }
    for (int step = 0; step < 200000; step++) {
        int i = rand() % MANY;
        if (model[i] == TRP_NEVER) {
            model[i] = last + rand() % 1000;
            trp_timer_start(&timers, &many[i], model[i]);
        } else if (rand() % 8) {
            model[i] = TRP_NEVER;
            trp_timer_stop(&timers, &many[i]);
        }
        if (step % 64)
            continue;
        int64_t now = last + rand() % 50, next = TRP_NEVER;
        for (int k = 0; k < MANY; k++) {
            if (model[k] <= now) {
                model[k] = TRP_NEVER;
                expected++;
            }
            next = model[k] < next ? model[k] : next;
        }
        trp_timers_run(&timers, now);
        ck_assert_uint_eq(fired, expected);
        ck_assert_int_eq(trp_timers_next(&timers), next);
    }
    ck_assert_uint_gt(fired, 1000);
}
END_TEST

static unsigned chained;

static void starts_another(struct trp_timer *t) {
    if (++chained < 5)
        trp_timer_start(&timers, t, t->deadline + 1);
}

START_TEST(a_timer_may_start_itself_again) {
    struct trp_timer t = {.fire = starts_another};
    trp_timer_start(&timers, &t, 1);
    trp_timers_run(&timers, 3);
    ck_assert_uint_eq(chained, 3);
    trp_timers_run(&timers, 100);
    ck_assert_uint_eq(chained, 5);
}
END_TEST

START_TEST(deadlines_do_not_overflow) {
    ck_assert_int_eq(trp_deadline(TROUPE_FOREVER), TRP_NEVER);
    ck_assert_int_eq(trp_deadline(INT64_MAX), TRP_NEVER);
    ck_assert_int_eq(trp_deadline_ms(TRP_NEVER, 5), TROUPE_FOREVER);
    ck_assert_int_eq(trp_deadline_ms(5, 5), 0);
    ck_assert_int_eq(trp_deadline_ms(5, 9), 0);
    ck_assert_int_eq(trp_deadline_ms(TRP_NS_PER_MS + 1, 0), 2); /* never too early */
    ck_assert_int_le(trp_now(), trp_deadline(0));
}
END_TEST

int main(void) {
    const TTest *const tests[] = {the_earliest_comes_first, any_order_of_starts_and_stops, a_timer_may_start_itself_again,
                                  deadlines_do_not_overflow};
    Suite *s = suite_create("timer");
    (void)run_case(s, "timer", tests, sizeof tests / sizeof *tests);
    return run_suite(s);
}
