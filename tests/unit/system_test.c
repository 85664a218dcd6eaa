/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A system that runs out of memory at any moment says so and leaves nothing behind, and one with a crowd in it. */
#include "actors/system.h"

#include "actors/sanitizer.h"
#include "tests/support/actors.h"
#include "tests/support/faults.h"
#include "tests/support/scarce.h"

static void returns(troupe_self *self, void *arg) {
    (void)self, (void)arg;
}

START_TEST(no_memory_to_open_a_system) {
    long n = 1;
    for (;; n++) {
        faults_fail_at(n);
        troupe_status st = troupe_system_open(&sys, NULL);
        faults_off();
        if (st == TROUPE_OK)
            break;
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
        ck_assert_int_eq(faults.live, 0);
    }
    ck_assert_int_gt(n, 5);
    system_down();
}
END_TEST

/* The steward may allocate meanwhile, for a process that has been spawned. */
START_TEST(no_memory_to_spawn) {
    char arg[100] = "";
    troupe_ref ref;
    long n = 1;
    scarce_install();
    for (;; n++) {
        system_up();
        scarce_at(n);
        troupe_status st = troupe_spawn(me, &(troupe_spawn_opts){.kind = (troupe_kind)_i}, returns, arg, sizeof arg, &ref);
        (void)scarce_met();
        if (st == TROUPE_OK)
            ends(ref, TROUPE_END_NORMAL);
        system_down();
        if (st == TROUPE_OK)
            break;
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
    }
    ck_assert_int_gt(n, 3);
}
END_TEST

START_TEST(no_memory_to_send) {
    troupe_ref to;
    system_up();
    to = troupe_self_ref(me);
    for (long n = 1;; n++) {
        static const uint8_t large[4096]; /* more than a block of the free list */
        troupe_msg *m;
        faults_fail_at(n);
        troupe_status st = troupe_send(me, to, troupe_bytes(large, sizeof large));
        faults_off();
        if (st == TROUPE_OK) {
            ck_assert_int_eq(troupe_receive(me, 0, &m), TROUPE_OK);
            troupe_msg_free(&m);
            break;
        }
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
        ck_assert_int_eq(troupe_receive(me, 0, &m), TROUPE_TIMEOUT);
    }
    system_down();
}
END_TEST

/* --- crowds --- */

static void tells(troupe_self *self, void *arg) {
    troupe_msg *m;
    say(self, *(troupe_ref *)arg, 1);
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        (void)!troupe_reply(self, m, troupe_msg_value(m));
        troupe_msg_free(&m);
    }
}

START_TEST(a_thousand_coroutines) {
    enum { MANY = 1000 };
    static troupe_ref refs[MANY];
    int64_t sum = 0;
    system_up();
    troupe_ref to = troupe_self_ref(me);
    for (int i = 0; i < MANY; i++)
        refs[i] = spawn(TROUPE_COROUTINE, tells, &to, sizeof to);
    for (int i = 0; i < MANY; i++)
        sum += hear();
    ck_assert_int_eq(sum, MANY);
    for (int i = 0; i < MANY; i++) {
        troupe_msg *answer;
        int64_t n;
        ck_assert_int_eq(troupe_ask(me, refs[i], troupe_int(i), PATIENCE_MS, &answer), TROUPE_OK);
        ck_assert(troupe_msg_int(answer, &n));
        ck_assert_int_eq(n, i);
        troupe_msg_free(&answer);
    }
    for (int i = 0; i < MANY; i++)
        stop(refs[i]);
    system_down();
}
END_TEST

START_TEST(a_hundred_threads) {
    enum { MANY = 100 };
    troupe_ref refs[MANY];
    system_up();
    troupe_ref to = troupe_self_ref(me);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++)
            refs[i] = spawn(TROUPE_THREAD, tells, &to, sizeof to);
        for (int i = 0; i < MANY; i++)
            ck_assert_int_eq(hear(), 1);
        for (int i = 0; i < MANY; i++)
            stop(refs[i]);
    }
    system_down();
}
END_TEST

/* Short lives, more of them than are remembered: slots and stacks are used again. */
START_TEST(ten_thousand_short_lives) {
    system_up();
    troupe_ref ref = spawn(TROUPE_COROUTINE, returns, NULL, 0);
    for (int i = 0; i < 10000; i++) {
        ends(ref, TROUPE_END_NORMAL);
        ref = spawn(TROUPE_COROUTINE, returns, NULL, 0);
    }
    ends(ref, TROUPE_END_NORMAL);
    ck_assert_uint_le(sys->registry.used, 256);
    system_down();
}
END_TEST

/* A ring of coroutines through which a number goes: each waits for its neighbour, on either worker. */

static void passes_on(troupe_self *self, void *arg) {
    troupe_ref next = *(troupe_ref *)arg;
    troupe_msg *m;
    int64_t n;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        (void)troupe_msg_int(m, &n);
        troupe_msg_free(&m);
        say(self, next, n + 1);
    }
}

START_TEST(a_ring) {
    enum { MANY = 200, ROUNDS = 20 };
    system_up();
    troupe_ref next = troupe_self_ref(me);
    for (int i = 0; i < MANY; i++)
        next = spawn(i % 50 ? TROUPE_COROUTINE : TROUPE_THREAD, passes_on, &next, sizeof next);
    int64_t n = 0;
    for (int i = 0; i < ROUNDS; i++) {
        ck_assert_int_eq(troupe_send(me, next, troupe_int(n)), TROUPE_OK);
        n = hear();
    }
    ck_assert_int_eq(n, MANY * ROUNDS);
    system_down();
}
END_TEST

/* A body that always finds mail lets its neighbours run all the same. */
static void plays_with_itself(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)arg;
    (void)!troupe_send(self, troupe_self_ref(self), troupe_int(0));
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        troupe_msg_free(&m);
        (void)!troupe_send(self, troupe_self_ref(self), troupe_int(0));
    }
}

START_TEST(a_busy_coroutine_starves_nobody) {
    system_up_with(&(troupe_system_opts){.threads = 1});
    troupe_ref to = troupe_self_ref(me), busy = spawn(TROUPE_COROUTINE, plays_with_itself, NULL, 0);
    troupe_ref ref = spawn(TROUPE_COROUTINE, tells, &to, sizeof to);
    ck_assert_int_eq(hear(), 1);
    stop(ref);
    ck_assert_int_eq(troupe_kill(me, busy), TROUPE_OK);
    ends(busy, TROUPE_END_KILLED);
    system_down();
}
END_TEST

int main(void) {
    const TTest *const tests[] = {no_memory_to_open_a_system,     no_memory_to_send,
                                  a_thousand_coroutines,          a_hundred_threads,
                                  ten_thousand_short_lives,       a_ring,
                                  a_busy_coroutine_starves_nobody};
    Suite *s = suite_create("system");
    TCase *c = run_case(s, "system", tests, sizeof tests / sizeof *tests);
    tcase_add_loop_test(c, no_memory_to_spawn, TROUPE_COROUTINE, TROUPE_PROCESS + 1);
    tcase_set_timeout(c, 60);
    return run_suite(s);
}
