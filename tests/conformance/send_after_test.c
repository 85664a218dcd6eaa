/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Messages that are sent later, by actors of every kind to actors of every kind. No test asserts that something comes in time,
 * only that it does not come before, and in which order. */
#include <stdatomic.h>
#include <troupe/timer.h>

#include "actors/deadline.h"
#include "tests/support/actors.h"

enum { KINDS = 3 };

/* --- from every kind --- */

/* Three to the test, in another order than they are due; the middle one is called back. */
static void sends_later(troupe_self *self, void *arg) {
    troupe_ref home = *(troupe_ref *)arg;
    troupe_timer middle = {0};
    if (troupe_send_after(self, 300, home, troupe_int(3), NULL) != TROUPE_OK ||
        troupe_send_after(self, 290, home, troupe_int(2), &middle) != TROUPE_OK ||
        troupe_send_after(self, 1, home, troupe_int(1), NULL) != TROUPE_OK)
        say(self, home, -1);
    if (troupe_cancel(self, middle) != TROUPE_OK || troupe_cancel(self, middle) != TROUPE_NOT_FOUND)
        say(self, home, -2);
    if (troupe_send_after(self, -1, home, troupe_int(9), NULL) != TROUPE_INVALID ||
        troupe_send_after(self, 1, (troupe_ref){12345}, troupe_int(9), NULL) != TROUPE_NOT_FOUND)
        say(self, home, -3);
    /* It ends; what it has sent does not. */
}

START_TEST(come_in_the_order_of_their_times) {
    troupe_ref home = troupe_self_ref(me);
    int64_t began = trp_now();
    troupe_ref ref = spawn(_i, sends_later, &home, sizeof home);
    ends(ref, TROUPE_END_NORMAL);
    ck_assert_int_eq(hear(), 1);
    ck_assert_int_eq(hear(), 3);
    ck_assert_int_ge(trp_now() - began, 300 * TRP_NS_PER_MS);
}
END_TEST

/* --- to every kind --- */

static void repeats(troupe_self *self, void *arg) {
    troupe_msg *m;
    int64_t n;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        say(self, *(troupe_ref *)arg, troupe_msg_int(m, &n) && troupe_msg_sender(m).id ? n : -1);
        troupe_msg_free(&m);
    }
}

START_TEST(are_mail_like_any_other) {
    troupe_ref home = troupe_self_ref(me);
    troupe_ref ref = spawn(_i, repeats, &home, sizeof home);
    int64_t seen = 0;
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(troupe_send_after(me, i, ref, troupe_int(1 << i), NULL), TROUPE_OK);
    for (int i = 0; i < 5; i++)
        seen += hear();
    ck_assert_int_eq(seen, 31);
    stop(ref);
}
END_TEST

/* A clock of its own: each tick sets the next. */
static void ticks(troupe_self *self, void *arg) {
    troupe_msg *m;
    for (int left = 5; left > 0; left--) {
        if (troupe_send_after(self, 2, troupe_self_ref(self), troupe_int(left), NULL) != TROUPE_OK)
            return;
        if (troupe_receive(self, PATIENCE_MS, &m) != TROUPE_OK)
            return;
        troupe_msg_free(&m);
    }
    say(self, *(troupe_ref *)arg, 5);
}

START_TEST(an_actor_wakes_itself) {
    troupe_ref home = troupe_self_ref(me);
    spawn(_i, ticks, &home, sizeof home);
    ck_assert_int_eq(hear(), 5);
}
END_TEST

/* --- mailboxes, ends, crowds --- */

static atomic_bool all_sent;

/* Receives nothing before all have been sent. */
static void counts_late(troupe_self *self, void *arg) {
    troupe_msg *m;
    int64_t count = 0;
    while (!atomic_load(&all_sent) && troupe_sleep(self, 1) == TROUPE_OK)
        ;
    for (; troupe_receive(self, 0, &m) == TROUPE_OK; count++)
        troupe_msg_free(&m);
    say(self, *(troupe_ref *)arg, count);
}

START_TEST(a_full_mailbox_takes_them) {
    troupe_ref ref, home = troupe_self_ref(me);
    troupe_spawn_opts opts = {.kind = TROUPE_COROUTINE, .mailbox = 1, .overflow = TROUPE_FAIL};
    ck_assert_int_eq(troupe_spawn(me, &opts, counts_late, &home, sizeof home, &ref), TROUPE_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(troupe_send_after(me, 1, ref, troupe_int(i), NULL), TROUPE_OK);
    ck_assert_int_eq(troupe_send_after(me, 2, home, troupe_int(-1), NULL), TROUPE_OK);
    ck_assert_int_eq(hear(), -1); /* the others came before */
    atomic_store(&all_sent, true);
    ck_assert_int_eq(hear(), 3);
}
END_TEST

START_TEST(who_has_ended_gets_nothing) {
    troupe_ref home = troupe_self_ref(me), ref = spawn(TROUPE_COROUTINE, repeats, &home, sizeof home);
    ck_assert_int_eq(troupe_send_after(me, 20, ref, troupe_int(1), NULL), TROUPE_OK);
    stop(ref);
    ck_assert_int_eq(troupe_send_after(me, 40, home, troupe_int(2), NULL), TROUPE_OK);
    ck_assert_int_eq(hear(), 2);
}
END_TEST

enum { MANY = 3000 };

/* Numbers are not used again while their places are. */
START_TEST(many_are_set_and_cancelled) {
    static troupe_timer timers[MANY];
    troupe_ref home = troupe_self_ref(me);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++)
            ck_assert_int_eq(troupe_send_after(me, 60000 + i * 7919 % MANY, home, troupe_int(i), &timers[i]), TROUPE_OK);
        for (int i = 0; i < MANY; i++)
            ck_assert_int_eq(troupe_cancel(me, timers[i * 7 % MANY]), TROUPE_OK);
        for (int i = 0; i < MANY; i++)
            ck_assert_int_eq(troupe_cancel(me, timers[i]), TROUPE_NOT_FOUND);
    }
    ck_assert_int_eq(troupe_cancel(me, (troupe_timer){0}), TROUPE_NOT_FOUND);
    ck_assert_int_eq(troupe_cancel(me, (troupe_timer){UINT64_MAX}), TROUPE_NOT_FOUND);
    /* What is left when the system closes is dropped. */
    ck_assert_int_eq(troupe_send_after(me, 3600000, home, troupe_int(1), NULL), TROUPE_OK);
    ck_assert_int_eq(troupe_send_after(me, INT64_MAX, home, troupe_int(1), NULL), TROUPE_OK);
}
END_TEST

/* Cancelling races with sending: each comes, or is cancelled; never both, never neither. */
START_TEST(cancelled_or_sent) {
    troupe_timer timers[100];
    troupe_ref home = troupe_self_ref(me);
    int cancelled = 0, heard = 0;
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(troupe_send_after(me, i / 20, home, troupe_int(i), &timers[i]), TROUPE_OK);
    for (int i = 99; i >= 0; i--)
        cancelled += troupe_cancel(me, timers[i]) == TROUPE_OK;
    /* Behind all that was sent. */
    ck_assert_int_eq(troupe_send_after(me, 50, home, troupe_int(-1), NULL), TROUPE_OK);
    while (hear() >= 0)
        heard++;
    ck_assert_int_eq(cancelled + heard, 100);
}
END_TEST

static void down(void) {
    system_down();
}

int main(void) {
    Suite *s = suite_create("send_after");
    TCase *c = tcase_create("every kind");
    tcase_add_checked_fixture(c, system_up, down);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, come_in_the_order_of_their_times, 0, KINDS);
    tcase_add_loop_test(c, are_mail_like_any_other, 0, KINDS);
    tcase_add_loop_test(c, an_actor_wakes_itself, 0, KINDS);
    suite_add_tcase(s, c);
    c = tcase_create("one kind");
    tcase_add_checked_fixture(c, system_up, down);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_full_mailbox_takes_them);
    tcase_add_test(c, who_has_ended_gets_nothing);
    tcase_add_test(c, many_are_set_and_cancelled);
    tcase_add_test(c, cancelled_or_sent);
    suite_add_tcase(s, c);
    return run_suite(s);
}
