/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Somebody stops the nursery. Births are ordered as long as there is room for orders, and refused after that, so nobody waits
 * for ever; what is a process already goes on. When the nursery goes on, what was ordered is carried out, and what was refused
 * is not; when the system is closed, it goes on by itself. */
#include <signal.h>
#include <sys/socket.h>

#include <troupe/command.h>

#include "actors/system.h"
#include "tests/support/actors.h"

enum { MOST = 1000 /* more than there can be room for */ };

static void up(void) {
    const int least = 1;
    system_up();
    ck_assert_int_eq(setsockopt(sys->nursery.fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof least), 0);
    sys->nursery.patience_ms = 100;
}

/* It is seen to be stopped by whoever may wait for it. */
static void nursery_stops(void) {
    siginfo_t info;
    ck_assert_int_eq(kill(sys->nursery.pid, SIGSTOP), 0);
    ck_assert_int_eq(waitid(P_PID, (id_t)sys->nursery.pid, &info, WSTOPPED | WNOWAIT), 0);
}

static void nursery_goes_on(void) {
    ck_assert_int_eq(kill(sys->nursery.pid, SIGCONT), 0);
}

/* Says that it is there, and answers until it is closed. */
static void is_there(troupe_self *self, void *arg) {
    troupe_msg *m;
    say(self, *(troupe_ref *)arg, 1);
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        (void)!troupe_reply(self, m, troupe_nil());
        troupe_msg_free(&m);
    }
}

static troupe_status born(troupe_ref *ref) {
    troupe_ref test = troupe_self_ref(me);
    return troupe_spawn(me, &(troupe_spawn_opts){.kind = TROUPE_PROCESS}, is_there, &test, sizeof test, ref);
}

static troupe_ref one(void) {
    troupe_ref ref;
    ck_assert_int_eq(born(&ref), TROUPE_OK);
    ck_assert_int_eq(hear(), 1);
    return ref;
}

/* How many have found room. The next one did not. */
static int fill(troupe_ref refs[MOST]) {
    int n = 0;
    troupe_status st = TROUPE_OK;
    while (n < MOST && (st = born(&refs[n])) == TROUPE_OK)
        n++;
    ck_assert_int_eq(st, TROUPE_SYSTEM);
    return n;
}

static void answers(troupe_ref ref) {
    troupe_msg *answer;
    ck_assert_int_eq(troupe_ask(me, ref, troupe_nil(), PATIENCE_MS, &answer), TROUPE_OK);
    troupe_msg_free(&answer);
}

/* So many are born, and no more. */
static void are_born(const troupe_ref *refs, int n) {
    troupe_msg *m;
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(hear(), 1);
    for (int i = 0; i < n; i++) {
        answers(refs[i]);
        stop(refs[i]);
    }
    stop(one()); /* whatever was ordered before has been carried out by now */
    ck_assert_int_eq(troupe_receive(me, 0, &m), TROUPE_TIMEOUT);
}

START_TEST(what_is_refused_is_not_carried_out) {
    troupe_ref refs[MOST], refused, there;
    up();
    there = one();
    nursery_stops();
    int n = fill(refs);
    ck_assert_int_ge(n, 1);
    sys->nursery.patience_ms = 3600 * 1000; /* it is known by now: nobody waits again */
    ck_assert_int_eq(born(&refused), TROUPE_SYSTEM);
    answers(there);
    nursery_goes_on();
    are_born(refs, n);
    stop(there);
    system_down();
}
END_TEST

START_TEST(a_program_is_refused) {
    static const char *const argv[] = {"true", NULL};
    troupe_ref refs[MOST];
    troupe_exit exit;
    up();
    nursery_stops();
    int n = fill(refs);
    ck_assert_int_eq(troupe_command_run(me, NULL, argv, troupe_nil(), PATIENCE_MS, NULL, &exit), TROUPE_OK);
    ck_assert_int_eq(exit.how, TROUPE_END_EXIT);
    nursery_goes_on();
    are_born(refs, n);
    ck_assert_int_eq(troupe_command_run(me, NULL, argv, troupe_nil(), PATIENCE_MS, NULL, &exit), TROUPE_OK);
    ck_assert_int_eq(exit.how, TROUPE_END_NORMAL);
    system_down();
}
END_TEST

/* More kills than there is room for: each is carried out. */
START_TEST(no_kill_is_lost) {
    enum { KILLED = 12 };
    troupe_ref there[KILLED], refs[MOST];
    up();
    for (int i = 0; i < KILLED; i++)
        there[i] = one();
    nursery_stops();
    int n = fill(refs);
    for (int i = 0; i < KILLED; i++)
        ck_assert_int_eq(troupe_kill(me, there[i]), TROUPE_OK);
    ck_assert_int_eq(troupe_join(me, there[0], 50, NULL), TROUPE_TIMEOUT);
    nursery_goes_on();
    for (int i = 0; i < KILLED; i++)
        ends(there[i], TROUPE_END_KILLED);
    are_born(refs, n);
    system_down();
}
END_TEST

START_TEST(closing_wakes_it) {
    troupe_ref refs[MOST];
    up();
    (void)one();
    nursery_stops();
    (void)fill(refs);
    system_down();
}
END_TEST

START_TEST(closing_without_anybody_wakes_it) {
    up();
    nursery_stops();
    system_down();
}
END_TEST

int main(void) {
    Suite *s = suite_create("a stopped nursery");
    const TTest *const tests[] = {what_is_refused_is_not_carried_out, a_program_is_refused, no_kill_is_lost, closing_wakes_it,
                                  closing_without_anybody_wakes_it};
    TCase *c = run_case(s, "stopped", tests, sizeof tests / sizeof *tests);
    tcase_set_timeout(c, 60);
    return run_suite(s);
}
