/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The blocking client against a scripted broker on a thread of its own. */
#include <troupe/client.h>

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <troupe/alloc.h>
#include <unistd.h>

#include "tests/support/fake_broker.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"
#include "tests/support/scarce.h"

static struct fake_thread t;
static troupe_client *c;

#define OK(expr)      ck_assert_int_eq(expr, TROUPE_OK)
#define STATUS(e, st) ck_assert_int_eq(e, TROUPE_##st)

static void open_with(troupe_client_opts o) {
    o.url = t.broker.url;
    o.name = "test";
    troupe_status st = troupe_client_open(&c, &o);
    ck_assert_msg(st == TROUPE_OK, "%s: %s", troupe_status_name(st), troupe_client_why(NULL));
}

static void set_up(void) {
    fake_thread_start(&t, "tcp://127.0.0.1:0", NULL, NULL);
    open_with((troupe_client_opts){0});
}

static void tear_down(void) {
    troupe_client_close(&c);
    ck_assert_ptr_null(c);
    fake_thread_stop(&t);
}

static void set_hook(struct fake_broker *b, void *hook) {
    b->hook = *(fake_hook **)hook;
}

static void hook(fake_hook *h) {
    fake_thread_do(&t, set_hook, &h);
}

static void cut(struct fake_broker *b, void *unused) {
    (void)unused;
    fake_broker_cut(b);
}

static void deaf_and_cut(struct fake_broker *b, void *unused) {
    (void)unused;
    fake_broker_deaf(b);
    fake_broker_cut(b);
}

static void listen_again(struct fake_broker *b, void *unused) {
    (void)unused;
    fake_broker_listen(b);
}

static int64_t receive_int(int64_t timeout_ms) {
    troupe_msg *m;
    int64_t n;
    OK(troupe_client_receive(c, timeout_ms, &m));
    ck_assert(troupe_msg_int(m, &n));
    troupe_msg_free(&m);
    return n;
}

static int64_t now_ms(void) {
    return (int64_t)(uv_hrtime() / 1000000);
}

/* --- opening --- */

START_TEST(nobody_is_there) {
    troupe_client *none = NULL;
    char url[128];
    int64_t began = now_ms();
    (void)snprintf(url, sizeof url, "%s", t.broker.url);
    fake_thread_do(&t, deaf_and_cut, NULL);
    STATUS(troupe_client_open(&none, &(troupe_client_opts){.url = url, .connect_timeout_ms = 120}), TIMEOUT);
    ck_assert_ptr_null(none);
    ck_assert_int_ge(now_ms() - began, 110);
    ck_assert_uint_gt(strlen(troupe_client_why(NULL)), 10);
    fake_thread_do(&t, listen_again, NULL);
}
END_TEST

START_TEST(bad_addresses) {
    troupe_client *none = NULL;
    STATUS(troupe_client_open(&none, &(troupe_client_opts){.url = "tcp://"}), BAD_URL);
    ck_assert_uint_gt(strlen(troupe_client_why(NULL)), 10);
    STATUS(troupe_client_open(&none, &(troupe_client_opts){.url = "what"}), BAD_URL);
    ck_assert_ptr_null(none);
}
END_TEST

START_TEST(the_environment_names_the_broker) {
    troupe_client *other;
    ck_assert_int_eq(setenv("TROUPE_BROKER", t.broker.url, 1), 0);
    OK(troupe_client_open(&other, NULL));
    fake_thread_saw(&t, "HELLO name=test\nHELLO name=client_test\n");
    troupe_client_close(&other);
}
END_TEST

static bool refuse_hello(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    (void)b;
    if (e->op == TRP_HELLO)
        fake_err(s, 0, "VERSION", "you are from the future");
    return true;
}

START_TEST(turned_away_for_good) {
    troupe_client *none = NULL;
    hook(refuse_hello);
    STATUS(troupe_client_open(&none, &(troupe_client_opts){.url = t.broker.url}), REFUSED);
    ck_assert_str_eq(troupe_client_why(NULL), "VERSION: you are from the future");
    fake_thread_do(&t, cut, NULL); /* the open one finds out when it comes back, and says so for ever */
    troupe_msg *m;
    STATUS(troupe_client_receive(c, 5000, &m), REFUSED);
    STATUS(troupe_client_publish(c, "a", troupe_nil(), NULL), REFUSED);
    STATUS(troupe_client_subscribe(c, "a", NULL, NULL), REFUSED);
}
END_TEST

static unsigned count_descriptors(void) {
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

START_TEST(opening_and_closing_leaves_nothing) {
    unsigned before = count_descriptors();
    for (int i = 0; i < 100; i++) {
        troupe_client *other;
        OK(troupe_client_open(&other, &(troupe_client_opts){.url = t.broker.url}));
        troupe_client_close(&other);
    }
    fake_thread_saw(&t, "DOWN 101\n");
    ck_assert_uint_eq(count_descriptors(), before);
}
END_TEST

/* The broker's thread allocates, too, and must not be the one to fail: nobody is there to answer. */
START_TEST(no_memory_to_open) {
    char url[128];
    (void)snprintf(url, sizeof url, "%s", t.broker.url);
    troupe_client_close(&c);
    fake_thread_stop(&t);
    unsigned before = count_descriptors();
    for (long n = 1;; n++) {
        troupe_client *none = NULL;
        faults_fail_at(n);
        troupe_status st = troupe_client_open(&none, &(troupe_client_opts){.url = url, .connect_timeout_ms = 20});
        long calls = faults.calls, live = faults.live;
        faults_off();
        ck_assert_ptr_null(none);
        ck_assert_int_eq(live, 0);
        ck_assert_uint_eq(count_descriptors(), before);
        ck_assert(st == TROUPE_NO_MEMORY || st == TROUPE_TIMEOUT);
        if (calls < n)
            break;
    }
    fake_thread_start(&t, "tcp://127.0.0.1:0", NULL, NULL);
}
END_TEST

/* --- publishing and receiving --- */

START_TEST(what_is_published_is_received) {
    troupe_sub sub;
    troupe_msg *m;
    OK(troupe_client_subscribe(c, "news.>", NULL, &sub));
    ck_assert_uint_ne(sub.id, 0);
    STATUS(troupe_client_receive(c, 0, &m), TIMEOUT);
    OK(troupe_client_publish(c, "news.a", troupe_text("hello"), NULL));
    OK(troupe_client_receive(c, 5000, &m));
    ck_assert_str_eq(troupe_msg_topic(m), "news.a");
    ck_assert_int_eq(troupe_msg_value(m).kind, TROUPE_TEXT);
    ck_assert(!troupe_msg_wants_reply(m));
    STATUS(troupe_client_reply(c, m, troupe_nil()), NOT_FOUND);
    troupe_msg_free(&m);
    OK(troupe_client_unsubscribe(c, sub));
    STATUS(troupe_client_unsubscribe(c, sub), NOT_FOUND);
}
END_TEST

START_TEST(a_receipt) {
    OK(troupe_client_publish(c, "a", troupe_int(1), &(troupe_pub_opts){.confirm = true}));
    STATUS(troupe_client_publish(c, "a", troupe_int(1), &(troupe_pub_opts){.confirm = true, .reply = "b"}), NO_RESPONDERS);
    OK(troupe_client_subscribe(c, "a", NULL, NULL));
    OK(troupe_client_publish(c, "a", troupe_int(1), &(troupe_pub_opts){.confirm = true, .reply = "b"}));
}
END_TEST

static bool mute_pub(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    (void)b, (void)s;
    return e->op == TRP_PUB;
}

START_TEST(no_receipt_in_time) {
    int64_t began = now_ms();
    hook(mute_pub);
    STATUS(troupe_client_publish(c, "a", troupe_int(1), &(troupe_pub_opts){.confirm = true, .timeout_ms = 50}), TIMEOUT);
    ck_assert_int_ge(now_ms() - began, 45);
}
END_TEST

START_TEST(bad_arguments) {
    static uint8_t big[(1 << 20) - 4];
    troupe_msg *m;
    uint64_t id;
    troupe_pub_opts bad_headers = {.headers = troupe_int(3)}, no_map = {.headers = troupe_packed("\x01", 1)};
    STATUS(troupe_client_publish(c, "a..b", troupe_nil(), NULL), INVALID);
    STATUS(troupe_client_publish(c, "a", troupe_bytes(big, sizeof big), NULL), TOO_BIG);
    STATUS(troupe_client_publish(c, "a", troupe_nil(), &bad_headers), INVALID);
    STATUS(troupe_client_publish(c, "a", troupe_nil(), &no_map), INVALID);
    STATUS(troupe_client_subscribe(c, "a.>.b", NULL, NULL), INVALID);
    STATUS(troupe_client_subscribe(c, "a", &(troupe_sub_opts){.credit = 1}, NULL), INVALID);
    STATUS(troupe_client_request(c, "*", troupe_nil(), 100, &m), INVALID);
    STATUS(troupe_client_submit(c, "", troupe_nil(), false, &id), INVALID);
    STATUS(troupe_client_collect(c, 0, &id, &m), EMPTY);
    STATUS(troupe_client_publish(NULL, "a", troupe_nil(), NULL), INVALID);
    OK(troupe_client_publish(c, "a", troupe_nil(), NULL));
}
END_TEST

START_TEST(headers_travel) {
    troupe_pub_opts o = {.headers = troupe_packed("\x81\xa1k\xa1v", 5)};
    troupe_msg *m;
    troupe_value v;
    OK(troupe_client_subscribe(c, "a", NULL, NULL));
    OK(troupe_client_publish(c, "a", troupe_nil(), &o));
    OK(troupe_client_receive(c, 5000, &m));
    ck_assert(troupe_msg_header(m, "k", &v));
    troupe_msg_free(&m);
}
END_TEST

static void drop_trace(struct fake_broker *b, void *unused) {
    (void)unused;
    b->trace.n = 0;
}

/* Far more than any buffer between us and the broker; nothing is lost and the order is kept. */
START_TEST(a_flood_arrives_in_order) {
    enum { N = 100000 };
    uint8_t bytes[128] = {0};
    OK(troupe_client_subscribe(c, "a", NULL, NULL));
    for (int i = 0; i < N; i++) {
        memcpy(bytes, &i, sizeof i);
        OK(troupe_client_publish(c, "a", troupe_bytes(bytes, sizeof bytes), &(troupe_pub_opts){.more = i % 1000 != 0}));
        if (i % 10000 == 0)
            fake_thread_do(&t, drop_trace, NULL);
    }
    OK(troupe_client_flush(c));
    for (int i = 0; i < N; i++) {
        troupe_msg *m;
        OK(troupe_client_receive(c, 10000, &m));
        ck_assert_int_eq(memcmp(troupe_msg_value(m).data, &i, sizeof i), 0);
        troupe_msg_free(&m);
    }
}
END_TEST

START_TEST(more_is_held_back_until_a_call_that_waits) {
    troupe_msg *m;
    OK(troupe_client_publish(c, "a", troupe_int(1), &(troupe_pub_opts){.more = true}));
    OK(troupe_client_publish(c, "a", troupe_int(2), &(troupe_pub_opts){.more = true}));
    fake_thread_do(&t, drop_trace, NULL); /* a turn of the broker has passed, and nothing had come */
    OK(troupe_client_subscribe(c, "b", NULL, NULL));
    fake_thread_saw(&t, "PUB 0 a = 1\nPUB 0 a = 2\nSUB 1 1 b\n");
    STATUS(troupe_client_receive(c, 0, &m), TIMEOUT);
}
END_TEST

START_TEST(values_of_every_size) {
    static uint8_t big[(1 << 20) - 5];
    OK(troupe_client_subscribe(c, "a", NULL, NULL));
    for (size_t n = 1; n; n = n == sizeof big ? 0 : n * 2 < sizeof big ? n * 2 : sizeof big) {
        troupe_msg *m;
        memset(big, (int)(n % 251), n);
        OK(troupe_client_publish(c, "a", troupe_bytes(big, n), NULL));
        OK(troupe_client_receive(c, 5000, &m));
        ck_assert_uint_eq(troupe_msg_value(m).size, n);
        ck_assert(n == 0 || memcmp(troupe_msg_value(m).data, big, n) == 0);
        troupe_msg_free(&m);
    }
}
END_TEST

static void deliver_many(struct fake_broker *b, void *count) {
    for (int i = 0; i < *(int *)count; i++)
        fake_msg(b->sessions, 1, 0, "a", "", troupe_int(i));
}

/* A client that is told more than it wants to keep stops reading, and goes on when it has been listened to. */
START_TEST(too_much_to_keep) {
    int n = 20000;
    troupe_msg *m;
    troupe_client_close(&c);
    open_with((troupe_client_opts){.max_queued = 1000});
    OK(troupe_client_subscribe(c, "a", NULL, NULL));
    fake_thread_do(&t, deliver_many, &n);
    STATUS(troupe_client_request(c, "nobody", troupe_nil(), 5000, &m), FULL); /* the answer is behind all that */
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(receive_int(5000), i);
    STATUS(troupe_client_request(c, "nobody", troupe_nil(), 5000, &m), NO_RESPONDERS);
}
END_TEST

/* --- asking and answering --- */

START_TEST(requests_one_at_a_time) {
    troupe_msg *answer;
    int64_t n;
    hook(fake_answer);
    for (int i = 0; i < 1000; i++) {
        OK(troupe_client_request(c, "fib", troupe_int(i), 5000, &answer));
        ck_assert(troupe_msg_int(answer, &n));
        ck_assert_int_eq(n, i);
        troupe_msg_free(&answer);
    }
}
END_TEST

START_TEST(requests_that_fail) {
    troupe_msg *answer = NULL;
    STATUS(troupe_client_request(c, "fib", troupe_int(1), 5000, &answer), NO_RESPONDERS);
    ck_assert_str_eq(troupe_client_why(c), "NO_RESPONDERS: nobody listens to that topic");
    hook(mute_pub);
    STATUS(troupe_client_request(c, "fib", troupe_int(1), 30, &answer), TIMEOUT);
    STATUS(troupe_client_request(c, "fib", troupe_int(1), 0, &answer), TIMEOUT);
    ck_assert_ptr_null(answer);
}
END_TEST

START_TEST(messages_that_come_while_one_asks_are_kept) {
    troupe_msg *answer;
    int64_t n;
    int count = 3;
    OK(troupe_client_subscribe(c, "a", NULL, NULL));
    hook(fake_answer);
    fake_thread_do(&t, deliver_many, &count);
    OK(troupe_client_request(c, "fib", troupe_int(9), 5000, &answer));
    ck_assert(troupe_msg_int(answer, &n) && n == 9);
    troupe_msg_free(&answer);
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(receive_int(0), i);
}
END_TEST

static bool cut_on_pub(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    (void)s;
    if (e->op != TRP_PUB)
        return false;
    b->hook = NULL;
    fake_broker_cut(b);
    return true;
}

START_TEST(a_request_ends_with_its_connection) {
    troupe_msg *answer;
    int64_t began = now_ms();
    hook(cut_on_pub);
    STATUS(troupe_client_request(c, "fib", troupe_int(1), 5000, &answer), DISCONNECTED);
    ck_assert_int_lt(now_ms() - began, 2000);
    STATUS(troupe_client_request(c, "fib", troupe_int(1), 5000, &answer), NO_RESPONDERS); /* waits for the new one */
}
END_TEST

START_TEST(many_in_flight) {
    enum { N = 1000 };
    uint64_t ids[N], id;
    troupe_msg *answer;
    int64_t n;
    hook(fake_answer);
    for (int i = 0; i < N; i++)
        OK(troupe_client_submit(c, "fib", troupe_int(i), i < N - 1, &ids[i]));
    for (int i = 0; i < N; i++) {
        OK(troupe_client_collect(c, 5000, &id, &answer));
        ck_assert_uint_eq(id, ids[i]);
        ck_assert(troupe_msg_int(answer, &n) && n == i);
        troupe_msg_free(&answer);
    }
    STATUS(troupe_client_collect(c, 5000, &id, &answer), EMPTY);
}
END_TEST

START_TEST(many_in_flight_that_fail) {
    uint64_t a, b, id;
    troupe_msg *answer;
    OK(troupe_client_submit(c, "nobody", troupe_int(1), false, &a));
    STATUS(troupe_client_collect(c, 5000, &id, &answer), NO_RESPONDERS);
    ck_assert_uint_eq(id, a);
    hook(mute_pub);
    OK(troupe_client_submit(c, "fib", troupe_int(1), true, &a));
    OK(troupe_client_submit(c, "fib", troupe_int(2), true, &b));
    STATUS(troupe_client_collect(c, 20, &id, &answer), TIMEOUT);
    fake_thread_saw(&t, "= 2\n");
    fake_thread_do(&t, cut, NULL);
    STATUS(troupe_client_collect(c, 5000, &id, &answer), DISCONNECTED);
    ck_assert_uint_eq(id, a);
    STATUS(troupe_client_collect(c, 5000, &id, &answer), DISCONNECTED);
    ck_assert_uint_eq(id, b);
    hook(fake_answer);
    do /* it says DISCONNECTED until it is back, and works on that while it says so */
        id = 0;
    while (troupe_client_submit(c, "fib", troupe_int(3), false, &id) == TROUPE_DISCONNECTED);
    OK(troupe_client_submit(c, "fib", troupe_int(4), false, &id)); /* closing with answers not collected is no leak */
}
END_TEST

START_TEST(answering) {
    troupe_client *asker;
    troupe_msg *m, *answer;
    uint64_t id;
    OK(troupe_client_open(&asker, &(troupe_client_opts){.url = t.broker.url}));
    OK(troupe_client_subscribe(c, "fib", &(troupe_sub_opts){.group = "g", .credit = 1}, NULL));
    OK(troupe_client_submit(asker, "fib", troupe_int(30), false, &id));
    OK(troupe_client_receive(c, 5000, &m));
    ck_assert(troupe_msg_wants_reply(m));
    OK(troupe_client_reply(c, m, troupe_int(832040)));
    STATUS(troupe_client_reply(c, m, troupe_int(1)), NOT_FOUND);
    OK(troupe_client_collect(asker, 5000, &id, &answer)); /* it was written at once: c does nothing meanwhile */
    ck_assert_ptr_null(troupe_msg_error(answer));
    troupe_msg_free(&answer);
    troupe_msg_free(&m);
    OK(troupe_client_submit(asker, "fib", troupe_text("x"), false, &id));
    OK(troupe_client_receive(c, 5000, &m));
    STATUS(troupe_client_reply_error(c, m, "not good", "no code"), INVALID);
    OK(troupe_client_reply_error(c, m, "NOT_A_NUMBER", "x is no number"));
    troupe_msg_free(&m);
    OK(troupe_client_collect(asker, 5000, &id, &answer));
    ck_assert_str_eq(troupe_msg_error(answer), "NOT_A_NUMBER");
    troupe_msg_free(&answer);
    troupe_client_close(&asker);
    fake_thread_saw(&t, "ACK 1 2\n");
}
END_TEST

START_TEST(freeing_acknowledges_and_nack_gives_back) {
    troupe_msg *m;
    OK(troupe_client_subscribe(c, "work", &(troupe_sub_opts){.group = "g", .credit = 4}, NULL));
    for (int i = 0; i < 4; i++) /* with the receipt of the last all are here */
        OK(troupe_client_publish(c, "work", troupe_int(i), &(troupe_pub_opts){.confirm = i == 3}));
    OK(troupe_client_receive(c, 5000, &m));
    troupe_msg_free(&m);
    OK(troupe_client_receive(c, 5000, &m));
    OK(troupe_client_nack(c, &m));
    ck_assert_ptr_null(m);
    OK(troupe_client_receive(c, 5000, &m)); /* in hand at the end: neither done nor given back */
    OK(troupe_client_flush(c));
    fake_thread_saw(&t, "ACK 1 1\nNACK 1 2\n");
    troupe_client_close(&c);
    fake_thread_saw(&t, "NACK 1 4\nCLOSE BYE\n"); /* and the one that was never received is given back */
    troupe_msg_free(&m);
}
END_TEST

/* Answers may gather while messages are queued, but not for long, and not when the last one has been handled. */
START_TEST(answers_do_not_stay_behind) {
    int count = 3;
    troupe_msg *m;
    OK(troupe_client_subscribe(c, "a", &(troupe_sub_opts){.group = "g"}, NULL));
    fake_thread_do(&t, deliver_many, &count);
    for (int i = 0; i < count; i++) {
        OK(troupe_client_publish(c, "a", troupe_int(i), NULL));
        OK(troupe_client_receive(c, 5000, &m));
        troupe_msg_free(&m);
    }
    while (troupe_client_receive(c, 200, &m) == TROUPE_OK)
        troupe_msg_free(&m);
    fake_thread_saw(&t, "ACK 1 3\n");
}
END_TEST

/* --- losing the broker --- */

START_TEST(receive_waits_for_the_broker_to_come_back) {
    int count = 1;
    OK(troupe_client_subscribe(c, "a", NULL, NULL));
    fake_thread_do(&t, cut, NULL);
    troupe_msg *m;
    STATUS(troupe_client_receive(c, 1, &m), TIMEOUT);
    while (troupe_client_publish(c, "a", troupe_int(5), &(troupe_pub_opts){.timeout_ms = 5000}) != TROUPE_OK)
        continue;
    ck_assert_int_eq(receive_int(5000), 5);
    fake_thread_do(&t, deliver_many, &count); /* under the number it had before */
    ck_assert_int_eq(receive_int(5000), 0);
}
END_TEST

START_TEST(calls_without_a_broker) {
    troupe_msg *m;
    troupe_sub sub;
    uint64_t id;
    int64_t began;
    fake_thread_do(&t, deaf_and_cut, NULL);
    STATUS(troupe_client_receive(c, 100, &m), TIMEOUT);
    STATUS(troupe_client_publish(c, "a", troupe_nil(), NULL), DISCONNECTED);
    ck_assert_uint_gt(strlen(troupe_client_why(c)), 5);
    STATUS(troupe_client_flush(c), DISCONNECTED);
    STATUS(troupe_client_submit(c, "a", troupe_nil(), false, &id), DISCONNECTED);
    STATUS(troupe_client_drain(c, 50), DISCONNECTED);
    began = now_ms();
    STATUS(troupe_client_request(c, "a", troupe_nil(), 50, &m), DISCONNECTED);
    STATUS(troupe_client_publish(c, "a", troupe_nil(), &(troupe_pub_opts){.timeout_ms = 50}), DISCONNECTED);
    ck_assert_int_ge(now_ms() - began, 90);
    troupe_client_close(&c);
    fake_thread_do(&t, listen_again, NULL);
    open_with((troupe_client_opts){0});
    OK(troupe_client_subscribe(c, "a", NULL, &sub));
    fake_thread_do(&t, deaf_and_cut, NULL);
    STATUS(troupe_client_receive(c, 100, &m), TIMEOUT);
    OK(troupe_client_unsubscribe(c, sub));
    fake_thread_do(&t, listen_again, NULL);
    OK(troupe_client_publish(c, "a", troupe_nil(), &(troupe_pub_opts){.timeout_ms = 5000}));
}
END_TEST

START_TEST(answering_a_lost_session) {
    troupe_msg *m;
    troupe_pub_opts patient = {.confirm = true, .timeout_ms = 5000};
    OK(troupe_client_subscribe(c, "a", NULL, NULL));
    OK(troupe_client_publish(c, "a", troupe_nil(), &(troupe_pub_opts){.reply = "b"}));
    OK(troupe_client_receive(c, 5000, &m));
    fake_thread_do(&t, cut, NULL);
    while (troupe_client_publish(c, "b", troupe_nil(), &patient) != TROUPE_OK)
        continue; /* once, for who does not know yet */
    STATUS(troupe_client_reply(c, m, troupe_nil()), DISCONNECTED);
    troupe_msg_free(&m);
}
END_TEST

/* --- the end --- */

START_TEST(draining) {
    int count = 3;
    troupe_msg *m;
    OK(troupe_client_subscribe(c, "a", NULL, NULL));
    OK(troupe_client_subscribe(c, "b", NULL, NULL));
    fake_thread_do(&t, deliver_many, &count);
    OK(troupe_client_publish(c, "c", troupe_nil(), &(troupe_pub_opts){.more = true}));
    OK(troupe_client_drain(c, 5000));
    fake_thread_saw(&t, "PUB 0 c = null\nUNSUB 3 1\nUNSUB 4 2\nPING 5\n");
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(receive_int(0), i);
    STATUS(troupe_client_receive(c, TROUPE_FOREVER, &m), CLOSED);
    STATUS(troupe_client_subscribe(c, "a", NULL, NULL), CLOSED);
    OK(troupe_client_publish(c, "a", troupe_nil(), NULL));
}
END_TEST

START_TEST(messages_outlive_their_client) {
    troupe_msg *m;
    OK(troupe_client_subscribe(c, "a", &(troupe_sub_opts){.group = "g", .credit = 1}, NULL));
    OK(troupe_client_publish(c, "a", troupe_int(4), NULL));
    OK(troupe_client_receive(c, 5000, &m));
    troupe_client_close(&c);
    int64_t n;
    ck_assert(troupe_msg_int(m, &n) && n == 4);
    troupe_msg_free(&m);
}
END_TEST

/* Everything published before a close is with the broker after it. */
START_TEST(closing_flushes) {
    enum { N = 5000 };
    for (int i = 0; i < N; i++)
        OK(troupe_client_publish(c, "a", troupe_int(i), &(troupe_pub_opts){.more = true}));
    fake_thread_do(&t, drop_trace, NULL);
    troupe_client_close(&c);
    fake_thread_saw(&t, "PUB 0 a = 4999\nCLOSE BYE\n");
}
END_TEST

/* In the child every call is refused, and nothing that the child does is felt by the parent. */
START_TEST(a_forked_child_keeps_its_hands_off) {
    troupe_msg *m, *held;
    OK(troupe_client_subscribe(c, "a", &(troupe_sub_opts){.group = "g"}, NULL));
    OK(troupe_client_publish(c, "a", troupe_int(1), NULL));
    OK(troupe_client_receive(c, 5000, &held));
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        uint64_t id;
        bool good = troupe_client_publish(c, "a", troupe_int(1), NULL) == TROUPE_INVALID &&
                    troupe_client_flush(c) == TROUPE_INVALID && troupe_client_receive(c, 0, &m) == TROUPE_INVALID &&
                    troupe_client_request(c, "a", troupe_nil(), 0, &m) == TROUPE_INVALID &&
                    troupe_client_submit(c, "a", troupe_nil(), false, &id) == TROUPE_INVALID &&
                    troupe_client_collect(c, 0, &id, &m) == TROUPE_INVALID &&
                    troupe_client_subscribe(c, "b", NULL, NULL) == TROUPE_INVALID &&
                    troupe_client_unsubscribe(c, (troupe_sub){1}) == TROUPE_INVALID &&
                    troupe_client_reply(c, held, troupe_nil()) == TROUPE_INVALID &&
                    troupe_client_drain(c, 0) == TROUPE_INVALID && troupe_client_fd(c) == -1;
        troupe_msg_free(&held);
        troupe_client_close(&c);
        _exit(good && !c ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    OK(troupe_client_publish(c, "a", troupe_int(2), NULL));
    ck_assert_int_eq(receive_int(5000), 2);
    troupe_msg_free(&held);
    fake_thread_saw(&t, "ACK 1 1\n");
}
END_TEST

START_TEST(in_a_loop_of_ones_own) {
    enum { N = 100 };
    int got = 0, count = N;
    OK(troupe_client_subscribe(c, "a", NULL, NULL));
    fake_thread_do(&t, deliver_many, &count);
    int64_t end = now_ms() + 10000;
    while (got < N) {
        struct pollfd p = {.fd = troupe_client_fd(c), .events = POLLIN};
        int64_t wait = troupe_client_wait_ms(c);
        ck_assert_int_lt(now_ms(), end);
        ck_assert_int_ge(poll(&p, 1, wait < 0 || wait > 1000 ? 1000 : (int)wait), 0);
        troupe_msg *m;
        while (troupe_client_receive(c, 0, &m) == TROUPE_OK) {
            troupe_msg_free(&m);
            got++;
        }
    }
}
END_TEST

/* --- memory --- */

static void set_up_scarce(void) {
    scarce_install();
    set_up();
}

static void one_of_each(void) {
    troupe_msg *m;
    uint64_t id;
    OK(troupe_client_request(c, "fib", troupe_int(1), 5000, &m));
    troupe_msg_free(&m);
    for (int i = 0; i < 20; i++)
        OK(troupe_client_submit(c, "fib", troupe_int(i), true, &id));
    for (int i = 0; i < 20; i++) {
        OK(troupe_client_collect(c, 5000, &id, &m));
        troupe_msg_free(&m);
    }
    for (int i = 0; i < 20; i++)
        OK(troupe_client_publish(c, "a", troupe_text("some text"), &(troupe_pub_opts){.more = true}));
    OK(troupe_client_publish(c, "a", troupe_text("the last"), &(troupe_pub_opts){.confirm = true}));
    for (int i = 0; i < 21; i++) {
        OK(troupe_client_receive(c, 5000, &m));
        troupe_msg_free(&m);
    }
}

START_TEST(the_steady_state_allocates_nothing) {
    OK(troupe_client_subscribe(c, "a", NULL, NULL));
    hook(fake_answer);
    for (int i = 0; i < 20; i++)
        one_of_each();
    scarce_at(0);
    for (int i = 0; i < 20; i++)
        one_of_each();
#if !defined(__SANITIZE_ADDRESS__) /* there, messages come fresh from the allocator: see msg.c */
    ck_assert_int_eq(scarce.calls, 0);
#endif
}
END_TEST

/* Opens, subscribes, asks, publishes, receives; stops at what goes wrong first. */
static troupe_status a_short_life(void) {
    troupe_client *other = NULL;
    troupe_msg *m = NULL;
    uint64_t id;
    troupe_status st = troupe_client_open(&other, &(troupe_client_opts){.url = t.broker.url, .connect_timeout_ms = 200});
    if (st == TROUPE_OK)
        st = troupe_client_subscribe(other, "b", NULL, NULL);
    if (st == TROUPE_OK)
        st = troupe_client_request(other, "fib", troupe_int(1), 200, &m);
    troupe_msg_free(&m);
    if (st == TROUPE_OK)
        st = troupe_client_submit(other, "fib", troupe_int(1), false, &id);
    if (st == TROUPE_OK)
        st = troupe_client_collect(other, 200, &id, &m);
    troupe_msg_free(&m);
    if (st == TROUPE_OK)
        st = troupe_client_publish(other, "b", troupe_int(1), &(troupe_pub_opts){.confirm = true, .timeout_ms = 200});
    if (st == TROUPE_OK)
        st = troupe_client_receive(other, 200, &m);
    troupe_msg_free(&m);
    troupe_client_close(&other);
    return st;
}

START_TEST(no_memory_at_any_moment) {
    hook(fake_answer);
    troupe_status st = TROUPE_NO_MEMORY;
    bool met = true;
    for (long n = 1; st != TROUPE_OK || met; n++) {
        unsigned before = count_descriptors();
        scarce_at(n);
        st = a_short_life();
        met = scarce_met();
        ck_assert_int_lt(n, 1000);
        ck_assert_msg(st == TROUPE_OK || st == TROUPE_NO_MEMORY || st == TROUPE_TIMEOUT || st == TROUPE_DISCONNECTED,
                      "at %ld: %s", n, troupe_status_name(st));
        ck_assert_uint_le(count_descriptors(), before + 1); /* the broker may not have let go of its end yet */
    }
}
END_TEST

int main(void) {
    const TTest *const memory[] = {the_steady_state_allocates_nothing, no_memory_at_any_moment};
    const TTest *const opening[] = {nobody_is_there,
                                    bad_addresses,
                                    the_environment_names_the_broker,
                                    turned_away_for_good,
                                    opening_and_closing_leaves_nothing,
                                    no_memory_to_open};
    const TTest *const flow[] = {what_is_published_is_received,
                                 a_receipt,
                                 no_receipt_in_time,
                                 bad_arguments,
                                 headers_travel,
                                 a_flood_arrives_in_order,
                                 more_is_held_back_until_a_call_that_waits,
                                 values_of_every_size,
                                 too_much_to_keep};
    const TTest *const asking[] = {requests_one_at_a_time,
                                   requests_that_fail,
                                   messages_that_come_while_one_asks_are_kept,
                                   a_request_ends_with_its_connection,
                                   many_in_flight,
                                   many_in_flight_that_fail,
                                   answering,
                                   freeing_acknowledges_and_nack_gives_back,
                                   answers_do_not_stay_behind};
    const TTest *const ends[] = {receive_waits_for_the_broker_to_come_back,
                                 calls_without_a_broker,
                                 answering_a_lost_session,
                                 draining,
                                 messages_outlive_their_client,
                                 closing_flushes,
                                 a_forked_child_keeps_its_hands_off,
                                 in_a_loop_of_ones_own};
    const struct {
        const char *name;
        const TTest *const *tests;
        size_t n;
    } cases[] = {{"opening", opening, sizeof opening / sizeof *opening},
                 {"flow", flow, sizeof flow / sizeof *flow},
                 {"asking", asking, sizeof asking / sizeof *asking},
                 {"ends", ends, sizeof ends / sizeof *ends}};
    Suite *s = suite_create("client");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TCase *tc = run_case(s, cases[i].name, cases[i].tests, cases[i].n);
        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_set_timeout(tc, 60);
    }
    TCase *tc = run_case(s, "memory", memory, sizeof memory / sizeof *memory);
    tcase_add_checked_fixture(tc, set_up_scarce, tear_down);
    tcase_set_timeout(tc, 60);
    return run_suite(s);
}
