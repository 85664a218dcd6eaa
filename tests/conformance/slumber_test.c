/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A thread that stops waiting in the moment in which somebody wakes it: no message is lost or seen twice, no wake comes late,
 * and one may end where it is just being woken. All time-outs are about as long as what is waited for takes. */
#include <stdint.h>
#include <stdlib.h>

#include "actors/deadline.h"
#include "actors/sanitizer.h"
#include "tests/support/actors.h"
#include "tests/support/processor.h"

enum { SANITIZED = TRP_ASAN || TRP_TSAN, KINDS = 3, MESSAGES = 300, LIVES = SANITIZED ? 200 : 300, ASKS = 250, TOP_US = 1500 };

/* Computes for some time, up to TOP_US. */
static void compute(unsigned *seed) {
    int64_t until = trp_now() + (int64_t)(rand_r(seed) % TOP_US) * 1000;
    while (trp_now() < until)
        ;
}

/* --- time-outs that race with messages --- */

struct sender {
    troupe_ref to;
    int64_t base;
};

static void counts_up(troupe_self *self, void *arg) {
    const struct sender *s = arg;
    for (int64_t i = 0; i < MESSAGES; i++) {
        if (troupe_send(self, s->to, troupe_int(s->base + i)) != TROUPE_OK)
            return;
        (void)!troupe_sleep(self, 1);
    }
}

/* Is told so many numbers, each sender's in order; says how many came, or -1. */
static void hears_all(troupe_self *self, void *arg) {
    const troupe_ref *home = arg;
    int64_t next[KINDS] = {0}, n, seen = 0;
    while (seen >= 0 && seen < KINDS * MESSAGES) {
        troupe_msg *m;
        troupe_status st = troupe_receive(self, 1, &m);
        if (st == TROUPE_TIMEOUT)
            continue;
        bool ok = st == TROUPE_OK && troupe_msg_int(m, &n) && n % MESSAGES == next[n / MESSAGES]++;
        if (st == TROUPE_OK)
            troupe_msg_free(&m);
        seen = ok ? seen + 1 : -1;
    }
    say(self, *home, seen);
}

static void race_with_messages(void) {
    troupe_ref home = troupe_self_ref(me), to = spawn(TROUPE_THREAD, hears_all, &home, sizeof home);
    for (int kind = 0; kind < KINDS; kind++) {
        struct sender s = {.to = to, .base = kind * MESSAGES};
        (void)spawn(kind, counts_up, &s, sizeof s);
    }
    ck_assert_int_eq(hear(), KINDS * MESSAGES);
    ends(to, TROUPE_END_NORMAL);
}

START_TEST(a_time_out_loses_no_message) {
    if (_i)
        stay_on_one_processor();
    system_up();
    race_with_messages();
    system_down();
}
END_TEST

/* --- ends that race with wakes --- */

static void waits_a_little(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)arg;
    if (troupe_receive(self, 1, &m) == TROUPE_OK)
        troupe_msg_free(&m);
}

/* While it waits, has stopped waiting, or has ended; the next one may have its place by then. */
static void send_about_then(troupe_ref to, unsigned *seed) {
    compute(seed);
    troupe_status st = troupe_send(me, to, troupe_int(1));
    ck_assert(st == TROUPE_OK || st == TROUPE_NOT_FOUND);
}

START_TEST(one_may_end_while_it_is_woken) {
    unsigned seed = (unsigned)_i + 1;
    if (_i)
        stay_on_one_processor();
    system_up();
    for (int i = 0; i < LIVES; i++) {
        troupe_ref ref = spawn(TROUPE_THREAD, waits_a_little, NULL, 0);
        send_about_then(ref, &seed);
        ends(ref, TROUPE_END_NORMAL);
    }
    system_down();
}
END_TEST

/* --- answers that race with time-outs --- */

static void answers_late(troupe_self *self, void *arg) {
    unsigned seed = 7;
    troupe_msg *m;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        compute(&seed);
        (void)!troupe_reply(self, m, troupe_msg_value(m));
        troupe_msg_free(&m);
    }
}

START_TEST(an_answer_is_that_of_its_question) {
    int64_t n;
    if (_i)
        stay_on_one_processor();
    system_up();
    troupe_ref peer = spawn(TROUPE_THREAD, answers_late, NULL, 0);
    for (int64_t i = 0; i < ASKS; i++) {
        troupe_msg *m;
        troupe_status st = troupe_ask(me, peer, troupe_int(i), 1, &m);
        if (st == TROUPE_TIMEOUT)
            continue;
        ck_assert_int_eq(st, TROUPE_OK);
        ck_assert(troupe_msg_int(m, &n));
        ck_assert_int_eq(n, i);
        troupe_msg_free(&m);
    }
    stop(peer);
    system_down();
}
END_TEST

int main(void) {
    Suite *s = suite_create("slumber");
    TCase *c = tcase_create("races");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, a_time_out_loses_no_message, 0, 2);
    tcase_add_loop_test(c, one_may_end_while_it_is_woken, 0, 2);
    tcase_add_loop_test(c, an_answer_is_that_of_its_question, 0, 2);
    suite_add_tcase(s, c);
    return run_suite(s);
}
