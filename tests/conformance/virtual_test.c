/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Systems for tests: virtual time, and orders that are drawn from a seed. */
#include <time.h>
#include <troupe/handler.h>
#include <troupe/stream.h>
#include <troupe/test.h>
#include <troupe/timer.h>

#include "tests/support/actors.h"
#include "tests/support/faults.h"

enum { HOUR_MS = 3600 * 1000 };

static void up(uint64_t seed) {
    ck_assert_int_eq(troupe_test_open(&sys, seed), TROUPE_OK);
    me = troupe_system_self(sys);
}

static void down(void) {
    troupe_system_close(&sys);
}

/* What it really is. */
static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- time --- */

static void sleeps(troupe_self *self, void *arg) {
    const int64_t *ms = arg;
    if (troupe_sleep(self, *ms) == TROUPE_OK)
        say(self, (troupe_ref){(uint64_t)ms[1]}, *ms);
}

static void spawn_sleeper(int kind, int64_t ms) {
    int64_t arg[2] = {ms, (int64_t)troupe_self_ref(me).id};
    spawn(kind, sleeps, arg, sizeof arg);
}

START_TEST(hours_take_no_time) {
    double began = seconds();
    troupe_msg *m;
    up(1);
    for (int i = 10; i > 0; i--)
        spawn_sleeper(i % 3, (int64_t)i * HOUR_MS);
    for (int i = 1; i <= 10; i++) {
        ck_assert_int_eq(troupe_receive(me, 2 * HOUR_MS, &m), TROUPE_OK);
        troupe_msg_free(&m);
        ck_assert_int_eq(troupe_test_now(sys), (int64_t)i * HOUR_MS);
    }
    ck_assert_int_eq(troupe_receive(me, HOUR_MS, &m), TROUPE_TIMEOUT);
    ck_assert_int_eq(troupe_test_now(sys), (int64_t)11 * HOUR_MS);
    ck_assert_int_eq(troupe_sleep(me, 1), TROUPE_OK);
    ck_assert_int_eq(troupe_test_now(sys), (int64_t)11 * HOUR_MS + 1);
    down();
    ck_assert(seconds() - began < 60);
}
END_TEST

START_TEST(timers_follow_it) {
    troupe_timer t;
    up(2);
    ck_assert_int_eq(troupe_send_after(me, HOUR_MS, troupe_self_ref(me), troupe_int(1), NULL), TROUPE_OK);
    ck_assert_int_eq(troupe_send_after(me, HOUR_MS / 2, troupe_self_ref(me), troupe_int(2), &t), TROUPE_OK);
    ck_assert_int_eq(troupe_send_after(me, HOUR_MS / 4, troupe_self_ref(me), troupe_int(3), NULL), TROUPE_OK);
    ck_assert_int_eq(troupe_cancel(me, t), TROUPE_OK);
    troupe_msg *m;
    int64_t n;
    for (int expected = 3; expected > 0; expected -= 2) {
        ck_assert_int_eq(troupe_receive(me, TROUPE_FOREVER, &m), TROUPE_OK);
        ck_assert(troupe_msg_int(m, &n));
        ck_assert_int_eq(n, expected);
        ck_assert_int_eq(troupe_test_now(sys), expected == 3 ? HOUR_MS / 4 : HOUR_MS);
        troupe_msg_free(&m);
    }
    down();
}
END_TEST

static void dies_at_once(troupe_self *self, void *arg) {
    (void)self;
    ++**(int **)arg;
}

START_TEST(back_offs_follow_it) {
    int lives = 0, *counter = &lives;
    troupe_ref ref;
    troupe_spawn_opts opts = {.restart = TROUPE_PERMANENT, .backoff_min_ms = 1000, .backoff_max_ms = 8000};
    up(3);
    ck_assert_int_eq(troupe_spawn(me, &opts, dies_at_once, &counter, sizeof counter, &ref), TROUPE_OK);
    ck_assert_int_eq(troupe_sleep(me, 14999), TROUPE_OK);
    ck_assert_int_eq(lives, 4); /* at 0, 1, 3, 7 and, not yet, 15 seconds */
    ck_assert_int_eq(troupe_sleep(me, 2), TROUPE_OK);
    ck_assert_int_eq(lives, 5);
    down();
}
END_TEST

START_TEST(a_deadlock_is_a_time_out_at_once) {
    troupe_msg *m;
    up(4);
    ck_assert_int_eq(troupe_receive(me, TROUPE_FOREVER, &m), TROUPE_TIMEOUT);
    ck_assert_int_eq(troupe_test_now(sys), 0);
    down();
}
END_TEST

/* --- orders --- */

enum { TALKERS = 5, WORDS = 6, ALL = TALKERS * WORDS };

static void talks(troupe_self *self, void *arg) {
    const int64_t *a = arg;
    for (int i = 0; i < WORDS; i++) {
        say(self, (troupe_ref){(uint64_t)a[1]}, a[0]);
        if (i == WORDS / 2)
            (void)!troupe_sleep(self, 10);
    }
}

static void hear_order(uint64_t seed, int kind, int64_t *order) {
    up(seed);
    for (int64_t i = 0; i < TALKERS; i++) {
        int64_t arg[2] = {i, (int64_t)troupe_self_ref(me).id};
        spawn(kind, talks, arg, sizeof arg);
    }
    for (int i = 0; i < ALL; i++)
        order[i] = hear();
    down();
}

START_TEST(a_seed_is_an_order) {
    int64_t first[ALL], again[ALL], other[ALL];
    int different = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        hear_order(seed, _i, first);
        hear_order(seed, _i, again);
        ck_assert_mem_eq(first, again, sizeof first);
        hear_order(seed + 1, _i, other);
        different += memcmp(first, other, sizeof first) != 0;
    }
    ck_assert_int_gt(different, 15);
}
END_TEST

/* An account that is asked for its balance and then told the new one: two customers may both have read the old one. */
static void account(troupe_self *self, void *arg) {
    troupe_msg *m;
    int64_t balance = 0, n;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        if (troupe_msg_int(m, &n))
            balance = n;
        (void)!troupe_reply(self, m, troupe_int(balance));
        troupe_msg_free(&m);
    }
}

static int64_t ask(troupe_self *self, troupe_ref to, troupe_value v) {
    troupe_msg *answer;
    int64_t n;
    ck_assert_int_eq(troupe_ask(self, to, v, 1000, &answer), TROUPE_OK);
    ck_assert(troupe_msg_int(answer, &n));
    troupe_msg_free(&answer);
    return n;
}

static void customer(troupe_self *self, void *arg) {
    troupe_ref to = *(troupe_ref *)arg;
    (void)!troupe_sleep(self, 1000);
    int64_t balance = ask(self, to, troupe_nil());
    (void)ask(self, to, troupe_int(balance + 1));
}

static int64_t two_customers(uint64_t seed) {
    up(seed);
    troupe_ref to = spawn(TROUPE_COROUTINE, account, NULL, 0), a, b;
    a = spawn(TROUPE_COROUTINE, customer, &to, sizeof to);
    b = spawn(TROUPE_COROUTINE, customer, &to, sizeof to);
    ends(a, TROUPE_END_NORMAL);
    ends(b, TROUPE_END_NORMAL);
    int64_t balance = ask(me, to, troupe_nil());
    down();
    return balance;
}

/* Some orders lose a deposit, some don't, and each does the same again. */
START_TEST(a_race_is_found_by_some_seed) {
    int lost = 0, kept = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        int64_t balance = two_customers(seed);
        ck_assert_int_eq(two_customers(seed), balance);
        lost += balance == 1;
        kept += balance == 2;
    }
    ck_assert_int_gt(lost, 0);
    ck_assert_int_gt(kept, 0);
    ck_assert_int_eq(lost + kept, 50);
}
END_TEST

/* Handlers have no stack while they wait, and are drawn like all others. */
static void answers_after_an_hour(troupe_self *self, void *state, troupe_msg **m) {
    (void)state;
    (void)!troupe_sleep(self, HOUR_MS);
    (void)!troupe_reply(self, *m, troupe_msg_value(*m));
}

START_TEST(handlers_play_too) {
    static const troupe_handler handler = {.on_message = answers_after_an_hour};
    troupe_msg *answer;
    troupe_ref refs[3];
    up(6);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(troupe_spawn_handler(me, &(troupe_spawn_opts){.kind = (troupe_kind)i}, &handler, NULL, 0, &refs[i]),
                         TROUPE_OK);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(troupe_ask(me, refs[i], troupe_int(i), 2 * HOUR_MS, &answer), TROUPE_OK);
        troupe_msg_free(&answer);
        ck_assert_int_eq(troupe_test_now(sys), (int64_t)(i + 1) * HOUR_MS);
    }
    down();
}
END_TEST

/* --- what it is not --- */

START_TEST(the_world_outside_is_not_there) {
    troupe_system *second;
    unsigned ready;
    int fds[2];
    up(5);
    ck_assert_int_eq(troupe_test_open(&second, 0), TROUPE_INVALID);
    ck_assert_int_eq(troupe_subscribe(me, "a", NULL), TROUPE_UNSUPPORTED);
    ck_assert_int_eq(troupe_publish(me, "a", troupe_nil(), 1), TROUPE_UNSUPPORTED);
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(troupe_wait_fd(me, fds[0], TROUPE_READABLE, HOUR_MS, &ready), TROUPE_UNSUPPORTED);
    close(fds[0]);
    close(fds[1]);
    ck_assert_uint_ne(troupe_test_random(sys), troupe_test_random(sys));
    down();
    up(5); /* the thread is free again */
    down();
}
END_TEST

START_TEST(no_memory_to_open_one) {
    long n = 1;
    for (troupe_status st = TROUPE_NO_MEMORY; st != TROUPE_OK; n++) {
        faults_fail_at(n);
        st = troupe_test_open(&sys, 0);
        faults_off();
        ck_assert(st == TROUPE_OK || st == TROUPE_NO_MEMORY);
        if (st != TROUPE_OK)
            ck_assert_int_eq(faults.live, 0);
    }
    ck_assert_int_gt(n, 5);
    down();
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        hours_take_no_time,           timers_follow_it,
        back_offs_follow_it,          a_deadlock_is_a_time_out_at_once,
        a_race_is_found_by_some_seed, the_world_outside_is_not_there,
        no_memory_to_open_one,        handlers_play_too,
    };
    Suite *s = suite_create("virtual");
    TCase *c = tcase_create("virtual");
    tcase_set_timeout(c, 60);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(c, tests[i]);
    tcase_add_loop_test(c, a_seed_is_an_order, 0, 3);
    suite_add_tcase(s, c);
    return run_suite(s);
}
