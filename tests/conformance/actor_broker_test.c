/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Actors of every kind and a broker, which runs on a thread of this program. The test itself asks through the broker,
 * by the connection of the opener; coroutines share one by worker, threads and processes have one each. */
#include <stdio.h>
#include <troupe/dead_letter.h>
#include <unistd.h>

#include "tests/support/actors.h"
#include "tests/support/fake_broker.h"

static struct fake_thread fake;
static char url[64];

static bool pass(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    (void)b, (void)s, (void)e;
    return false;
}

/* The system first: it must be opened before there are threads. */
static void up_without_broker(void) {
    snprintf(url, sizeof url, "ipc:///tmp/troupe-test-%d.sock", (int)getpid());
    system_up_with(&(troupe_system_opts){.threads = 1, .broker = url, .name = "test"});
}

static void up(void) {
    up_without_broker();
    fake_thread_start(&fake, url, pass, NULL);
}

static void down(void) {
    troupe_system_close(&sys);
    fake_thread_stop(&fake);
    unlink(url + strlen("ipc://"));
}

/* Asks until somebody listens: subscribing takes its time. */
static troupe_status request(const char *topic, int64_t n, troupe_msg **answer) {
    troupe_status st = TROUPE_NO_RESPONDERS;
    for (int i = 0; i < 2000 && (st == TROUPE_NO_RESPONDERS || st == TROUPE_DISCONNECTED); i++) {
        if (i)
            ck_assert_int_eq(troupe_sleep(me, 2), TROUPE_OK);
        st = troupe_request(me, topic, troupe_int(n), PATIENCE_MS, answer);
    }
    return st;
}

static void answers(const char *topic, int64_t n, int64_t expected) {
    troupe_msg *answer;
    int64_t got;
    ck_assert_int_eq(request(topic, n, &answer), TROUPE_OK);
    ck_assert_ptr_null(troupe_msg_error(answer));
    ck_assert(troupe_msg_int(answer, &got));
    ck_assert_int_eq(got, expected);
    troupe_msg_free(&answer);
}

enum { FAIL = -1, LEAVE = -2, KEEP_AND_RETURN = -3, FORGET = -4 };

/* Doubles numbers on a topic, in a group. */
static void serves(troupe_self *self, void *arg) {
    troupe_msg *m;
    int64_t n;
    if (troupe_subscribe(self, "double", &(troupe_sub_opts){.group = "g", .credit = 1}) != TROUPE_OK)
        return;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        if (!troupe_msg_int(m, &n) || troupe_msg_sender(m).id != 0 || strcmp(troupe_msg_topic(m), "double") != 0)
            return;
        if (n == KEEP_AND_RETURN) {
            say(self, *(troupe_ref *)arg, KEEP_AND_RETURN);
            return;
        }
        if (n == FAIL)
            (void)!troupe_reply_error(self, m, "NO_LUCK", "not today");
        else if (n != FORGET)
            (void)!troupe_reply(self, m, troupe_int(n * 2));
        if (n == LEAVE)
            say(self, *(troupe_ref *)arg, troupe_unsubscribe(self, "double"));
        troupe_msg_free(&m);
    }
}

START_TEST(requests_are_answered) {
    troupe_ref to = troupe_self_ref(me), ref = spawn(_i, serves, &to, sizeof to);
    troupe_msg *answer;
    for (int i = 1; i < 50; i++)
        answers("double", i, i * 2);
    ck_assert_int_eq(request("double", FAIL, &answer), TROUPE_OK);
    ck_assert_str_eq(troupe_msg_error(answer), "NO_LUCK");
    troupe_msg_free(&answer);
    stop(ref);
    fake_thread_saw(&fake, "UNSUB");
    ck_assert_int_eq(troupe_request(me, "double", troupe_int(1), PATIENCE_MS, &answer), TROUPE_NO_RESPONDERS);
}
END_TEST

START_TEST(unsubscribing_ends_it) {
    troupe_ref to = troupe_self_ref(me), ref = spawn(_i, serves, &to, sizeof to);
    troupe_msg *answer;
    answers("double", LEAVE, LEAVE * 2);
    ck_assert_int_eq(hear(), TROUPE_OK);
    fake_thread_saw(&fake, "UNSUB");
    ck_assert_int_eq(troupe_request(me, "double", troupe_int(1), PATIENCE_MS, &answer), TROUPE_NO_RESPONDERS);
    stop(ref);
}
END_TEST

START_TEST(what_is_in_hand_is_given_back) {
    troupe_ref to = troupe_self_ref(me), ref = spawn(_i, serves, &to, sizeof to);
    troupe_msg *answer;
    answers("double", 2, 4);
    ck_assert_int_eq(troupe_request(me, "double", troupe_int(FORGET), 20, &answer), TROUPE_TIMEOUT);
    fake_thread_saw(&fake, "ACK ");
    ck_assert_int_eq(troupe_request(me, "double", troupe_int(KEEP_AND_RETURN), 20, &answer), TROUPE_TIMEOUT);
    ck_assert_int_eq(hear(), KEEP_AND_RETURN);
    ends(ref, TROUPE_END_NORMAL);
    fake_thread_saw(&fake, "NACK ");
}
END_TEST

static void publishes(troupe_self *self, void *arg) {
    troupe_ref to = *(troupe_ref *)arg;
    for (int i = 0; i < 300; i++) {
        troupe_status st = troupe_publish(self, "news.today", troupe_int(i), PATIENCE_MS);
        if (st != TROUPE_OK)
            say(self, to, -st);
    }
}

START_TEST(what_is_published_arrives_in_order) {
    troupe_ref to = troupe_self_ref(me);
    ck_assert_int_eq(troupe_subscribe(me, "news.>", NULL), TROUPE_OK);
    ck_assert_int_eq(troupe_publish(me, "hello", troupe_nil(), PATIENCE_MS), TROUPE_OK); /* waits for the connection */
    fake_thread_saw(&fake, "SUB");
    troupe_ref ref = spawn(_i, publishes, &to, sizeof to);
    for (int i = 0; i < 300; i++)
        ck_assert_int_eq(hear(), i);
    ends(ref, TROUPE_END_NORMAL);
    ck_assert_int_eq(troupe_unsubscribe(me, "news.>"), TROUPE_OK);
    ck_assert_int_eq(troupe_unsubscribe(me, "news.>"), TROUPE_NOT_FOUND);
}
END_TEST

/* A body that asks through the broker what another body answers through the broker. */
static void asks_the_broker(troupe_self *self, void *arg) {
    troupe_msg *answer;
    int64_t n = -1;
    troupe_status st = TROUPE_NO_RESPONDERS;
    while (st == TROUPE_NO_RESPONDERS) {
        st = troupe_request(self, "double", troupe_int(21), PATIENCE_MS, &answer);
        if (st == TROUPE_NO_RESPONDERS)
            (void)!troupe_sleep(self, 2);
    }
    if (st == TROUPE_OK) {
        (void)troupe_msg_int(answer, &n);
        troupe_msg_free(&answer);
    }
    say(self, *(troupe_ref *)arg, n);
}

static void count_subs(struct fake_broker *b, void *arg) {
    unsigned *count = arg;
    *count = 0;
    for (const struct fake_session *s = b->sessions; s; s = s->next)
        *count += s->n_subs;
}

/* This broker gives a question to whoever is subscribed, and forgets it when he goes: who has ended must be gone there, too. */
static void nobody_serves(void) {
    unsigned count = 1;
    for (int i = 0; i < PATIENCE_MS && count > 0; i++) {
        ck_assert_int_eq(troupe_sleep(me, 1), TROUPE_OK);
        fake_thread_do(&fake, count_subs, &count);
    }
    ck_assert_uint_eq(count, 0);
}

START_TEST(kinds_meet_at_the_broker) {
    troupe_ref to = troupe_self_ref(me);
    for (int kind = TROUPE_COROUTINE; kind <= TROUPE_PROCESS; kind++) {
        troupe_ref asker = spawn(_i, asks_the_broker, &to, sizeof to), server = spawn(kind, serves, &to, sizeof to);
        ck_assert_int_eq(hear(), 42);
        ends(asker, TROUPE_END_NORMAL);
        stop(server);
        nobody_serves();
    }
}
END_TEST

static void cut(struct fake_broker *b, void *arg) {
    (void)arg;
    fake_broker_cut(b);
}

START_TEST(a_lost_connection_comes_back_with_its_subscriptions) {
    troupe_ref to = troupe_self_ref(me), ref = spawn(_i, serves, &to, sizeof to);
    for (int i = 0; i < 3; i++) {
        answers("double", i, i * 2);
        fake_thread_do(&fake, cut, NULL);
    }
    answers("double", 9, 18);
    stop(ref);
}
END_TEST

static void speaks_to_nobody(troupe_self *self, void *arg) {
    troupe_ref to = *(troupe_ref *)arg;
    troupe_msg *answer;
    say(self, to, troupe_publish(self, "t", troupe_int(1), 20));
    say(self, to, troupe_request(self, "t", troupe_int(1), 20, &answer));
    say(self, to, troupe_subscribe(self, "t", NULL));
    say(self, to, troupe_unsubscribe(self, "t"));
    say(self, to, troupe_subscribe(self, "bad..pattern", NULL));
    say(self, to, troupe_publish(self, NULL, troupe_int(1), 20));
}

START_TEST(without_a_broker_it_is_said_in_time) {
    troupe_ref to = troupe_self_ref(me), ref = spawn(_i, speaks_to_nobody, &to, sizeof to);
    ck_assert_int_eq(hear(), TROUPE_DISCONNECTED);
    ck_assert_int_eq(hear(), TROUPE_DISCONNECTED);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_INVALID);
    ck_assert_int_eq(hear(), TROUPE_INVALID);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

START_TEST(a_broker_may_come_later) {
    troupe_ref to = troupe_self_ref(me), ref = spawn(_i, serves, &to, sizeof to);
    troupe_ref asker = spawn(_i, asks_the_broker, &to, sizeof to);
    ck_assert_int_eq(troupe_join(me, asker, 20, NULL), TROUPE_TIMEOUT);
    fake_thread_start(&fake, url, pass, NULL);
    ck_assert_int_eq(hear(), 42);
    ends(asker, TROUPE_END_NORMAL);
    stop(ref);
    fake_thread_stop(&fake);
}
END_TEST

static void waits_for_the_broker(troupe_self *self, void *arg) {
    const troupe_ref *to = arg;
    troupe_msg *answer;
    say(self, *to, 1);
    (void)!troupe_request(self, "t", troupe_int(1), TROUPE_FOREVER, &answer);
}

START_TEST(a_kill_ends_the_wait_for_a_broker) {
    troupe_ref to = troupe_self_ref(me), ref = spawn(_i, waits_for_the_broker, &to, sizeof to);
    ck_assert_int_eq(hear(), 1);
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK);
    ends(ref, TROUPE_END_KILLED);
}
END_TEST

static void mute(troupe_self *self, void *arg) {
    const troupe_ref *to = arg;
    troupe_msg *m;
    int64_t n, sum = 0;
    (void)!troupe_subscribe(self, "flood", NULL);
    if (troupe_ask(self, *to, troupe_nil(), TROUPE_FOREVER, &m) != TROUPE_OK)
        return;
    troupe_msg_free(&m);
    while (troupe_receive(self, 50, &m) == TROUPE_OK) {
        sum += troupe_msg_int(m, &n);
        troupe_msg_free(&m);
    }
    say(self, *to, sum);
}

/* A plain subscription to a mailbox that is full loses what there is no room for, and nothing else. */
START_TEST(a_flood_is_bounded_by_the_mailbox) {
    troupe_ref to = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.kind = (troupe_kind)_i, .mailbox = 8};
    troupe_msg *m;
    ck_assert_int_eq(troupe_spawn(me, &opts, mute, &to, sizeof to, &ref), TROUPE_OK);
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    fake_thread_saw(&fake, "SUB");
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(troupe_publish(me, "flood", troupe_int(i), PATIENCE_MS), TROUPE_OK);
    fake_thread_saw(&fake, "flood = 99");
    /* By now all have been delivered or are on their way: answered by the same broker, on the same connection, in order. */
    ck_assert_int_eq(troupe_sleep(me, 20), TROUPE_OK);
    ck_assert_int_eq(troupe_reply(me, m, troupe_nil()), TROUPE_OK);
    troupe_msg_free(&m);
    int64_t got = hear();
    ck_assert_int_ge(got, 8);
    ck_assert_int_lt(got, 100);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

enum { NEWS = 40 };

/* Room for one message of the broker's, and receives none. By one connection, so what it publishes comes back to it. */
static void hears_one(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)!troupe_subscribe(self, "news", NULL);
    for (int i = 0; i < NEWS; i++) {
        (void)!troupe_publish(self, "news", troupe_int(i), PATIENCE_MS);
        if (troupe_ask(self, *(troupe_ref *)arg, troupe_nil(), PATIENCE_MS, &m) == TROUPE_OK)
            troupe_msg_free(&m);
    }
    (void)!troupe_sleep(self, 3600 * 1000);
}

/* Says what dead letters say. */
static void reads_letters(troupe_self *self, void *arg) {
    troupe_msg *m;
    troupe_dead_letter d;
    say(self, *(troupe_ref *)arg, troupe_dead_letters(self, true));
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        if (troupe_msg_dead_letter(m, &d))
            say(self, *(troupe_ref *)arg, d.from.id ? -1 : d.value.i);
        troupe_msg_free(&m);
    }
}

/* One has been published, and that pushes the one before out: what it waits for is answered when that letter is here. */
static void published_and_told(int64_t before) {
    troupe_msg *m, *question = NULL;
    for (bool told = before < 0; !told || !question;) {
        int64_t n;
        ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
        if (troupe_msg_wants_reply(m)) {
            question = m;
            continue;
        }
        ck_assert(troupe_msg_int(m, &n));
        ck_assert_int_eq(n, before);
        troupe_msg_free(&m);
        told = true;
    }
    ck_assert_int_eq(troupe_reply(me, question, troupe_nil()), TROUPE_OK);
    troupe_msg_free(&question);
}

/* However many: a small mailbox is not filled by what has been received. */
START_TEST(letters_from_nobody_are_received_like_any) {
    troupe_ref test = troupe_self_ref(me), deaf, reader;
    troupe_spawn_opts one = {.mailbox = 1, .overflow = TROUPE_DROP_OLDEST}, some = {.kind = (troupe_kind)_i, .mailbox = 8};
    ck_assert_int_eq(troupe_spawn(me, &some, reads_letters, &test, sizeof test, &reader), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_eq(troupe_spawn(me, &one, hears_one, &test, sizeof test, &deaf), TROUPE_OK);
    for (int i = 0; i < NEWS; i++)
        published_and_told(i - 1);
    ck_assert_int_eq(troupe_kill(me, deaf), TROUPE_OK);
    ck_assert_int_eq(hear(), NEWS - 1);
    ck_assert_int_eq(troupe_close(me, reader), TROUPE_OK);
    ends(reader, TROUPE_END_NORMAL);
}
END_TEST

START_TEST(an_address_that_is_none) {
    troupe_system_close(&sys);
    system_up_with(&(troupe_system_opts){.broker = "pigeon://roof"});
    ck_assert_int_lt(troupe_subscribe(me, "t", NULL), 0);
    ck_assert_int_lt(troupe_publish(me, "t", troupe_int(1), 20), 0);
    troupe_system_close(&sys);
}
END_TEST

static void close_system(void) {
    troupe_system_close(&sys);
}

int main(void) {
    const TTest *const with[] = {requests_are_answered,
                                 unsubscribing_ends_it,
                                 what_is_in_hand_is_given_back,
                                 what_is_published_arrives_in_order,
                                 kinds_meet_at_the_broker,
                                 a_lost_connection_comes_back_with_its_subscriptions,
                                 a_flood_is_bounded_by_the_mailbox,
                                 letters_from_nobody_are_received_like_any};
    const TTest *const without[] = {without_a_broker_it_is_said_in_time, a_broker_may_come_later,
                                    a_kill_ends_the_wait_for_a_broker};
    Suite *s = suite_create("actor_broker");
    TCase *c = tcase_create("with a broker");
    tcase_add_checked_fixture(c, up, down);
    for (size_t i = 0; i < sizeof with / sizeof *with; i++)
        tcase_add_loop_test(c, with[i], TROUPE_COROUTINE, TROUPE_PROCESS + 1);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    c = tcase_create("without a broker");
    tcase_add_checked_fixture(c, up_without_broker, close_system);
    for (size_t i = 0; i < sizeof without / sizeof *without; i++)
        tcase_add_loop_test(c, without[i], TROUPE_COROUTINE, TROUPE_PROCESS + 1);
    tcase_add_test(c, an_address_that_is_none);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    return run_suite(s);
}
