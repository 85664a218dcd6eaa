/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * One connection and one scripted broker on the same loop, so that every test is one thread and the order of things is
 * the order they are written in. Nothing waits for a time to pass but for what the test is about. */
#include "clients/conn.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>

#include "tests/support/chance.h"
#include "tests/support/fake_broker.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

/* What the connection told, a line each, and what it is made of. */
static struct world {
    struct trp_loop loop;
    struct fake_broker broker;
    struct trp_conn *conn;
    char said[1 << 14];
    unsigned ups, losts, msgs, gones;
    struct troupe_msg *last; /* the last delivery, kept */
    bool keep;
    troupe_status lost_status;
    bool fatal;
    bool close_in_lost, close_in_msg, close_in_up;
} w;

static void say(const char *fmt, ...) TROUPE_PRINTF(1, 2);

static void say(const char *fmt, ...) {
    size_t n = strlen(w.said);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(w.said + n, sizeof w.said - n, fmt, ap);
    va_end(ap);
}

static void on_up(void *user, struct trp_conn *c) {
    (void)user, (void)c;
    w.ups++;
    if (w.close_in_up)
        trp_conn_close(&w.conn, 0);
}

static void on_lost(void *user, struct trp_conn *c, troupe_status st, const char *why, bool fatal) {
    (void)user, (void)c;
    ck_assert_uint_gt(strlen(why), 0);
    w.losts++;
    w.lost_status = st;
    w.fatal = fatal;
    say("lost\n");
    if (w.close_in_lost)
        trp_conn_close(&w.conn, 0);
}

static void on_msg(void *user, struct trp_conn *c, void *sub_user, struct troupe_msg *m) {
    char *json = troupe_msg_json(m);
    (void)user, (void)c;
    w.msgs++;
    say("msg %s %s %s\n", (const char *)sub_user, troupe_msg_topic(m), json);
    free(json);
    if (w.close_in_msg && w.conn)
        trp_conn_close(&w.conn, 0);
    if (!w.keep) {
        troupe_msg_free(&m);
        return;
    }
    troupe_msg_free(&w.last);
    w.last = m;
}

static void on_subscribed(void *user, struct trp_conn *c, void *sub_user, uint64_t sid, troupe_status st, const char *why) {
    (void)user, (void)c, (void)sid, (void)why;
    say("subscribed %s %s\n", (const char *)sub_user, troupe_status_name(st));
}

static void on_gone(void *user) {
    (void)user;
    w.gones++;
    say("gone\n");
}

static const struct trp_conn_handler handler = {
    .up = on_up, .lost = on_lost, .msg = on_msg, .subscribed = on_subscribed, .gone = on_gone};

#define UNTIL(condition) FAKE_UNTIL(&w.loop, &w.broker, w.said, condition)

#define SAW(words)    (strstr(fake_trace(&w.broker), words) != NULL)
#define SAID(words)   (strstr(w.said, words) != NULL)
#define SLICE(s)      trp_slice_str(s)
#define NONE          ((struct trp_slice){0})
#define OK(expr)      ck_assert_int_eq(expr, TROUPE_OK)
#define STATUS(e, st) ck_assert_int_eq(e, TROUPE_##st)

/* Under a name of one letter, which is what `sub_user` points to. */
static troupe_status subscribe(const char *pattern, const troupe_sub_opts *opts, char name, uint64_t *sid) {
    static char names[128][2];
    names[(int)name][0] = name;
    return trp_conn_subscribe(w.conn, pattern, opts, names[(int)name], sid);
}

static void set_up(void) {
    memset(&w, 0, sizeof w);
    OK(trp_loop_init(&w.loop));
    fake_broker_open(&w.broker, &w.loop, "tcp://127.0.0.1:0");
}

static void dial_with(struct trp_conn_opts opts) {
    const char *why = "";
    opts.url = w.broker.url;
    opts.name = "test";
    OK(trp_conn_new(&w.conn, &w.loop, &opts, &handler, NULL, &why));
}

static void dial(void) {
    dial_with((struct trp_conn_opts){0});
    UNTIL(trp_conn_is_up(w.conn));
}

static void tear_down(void) {
    if (w.conn) {
        trp_conn_close(&w.conn, 0);
        UNTIL(w.gones == 1);
    }
    troupe_msg_free(&w.last);
    fake_broker_close(&w.broker);
    trp_loop_fini(&w.loop);
}

/* --- requests of the tests --- */

struct ask {
    struct trp_request r;
    const char *name;
    bool done;
    troupe_status st;
    int64_t n;
};

static void ask_done(struct trp_request *r, troupe_status st, struct troupe_msg *answer, const char *why) {
    struct ask *a = r->user;
    ck_assert(!a->done);
    ck_assert_ptr_nonnull(why);
    a->done = true;
    a->st = st;
    if (answer)
        (void)troupe_msg_int(answer, &a->n);
    troupe_msg_free(&answer);
    say("%s %s\n", a->name, troupe_status_name(st));
}

static void ask_init(struct ask *a, const char *name) {
    *a = (struct ask){.name = name, .r = {.done = ask_done, .user = a}};
}

static void ask(struct ask *a, const char *name, const char *topic, int64_t n) {
    ask_init(a, name);
    OK(trp_conn_request(w.conn, SLICE(topic), NONE, troupe_int(n), &a->r));
    ck_assert(!a->done);
}

/* A broker that takes a request and does not answer. */
static bool swallow_pub(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    (void)b, (void)s;
    return e->op == TRP_PUB;
}

/* --- life --- */

START_TEST(hello_and_welcome) {
    dial();
    ck_assert_uint_eq(w.ups, 1);
    ck_assert_uint_eq(trp_conn_generation(w.conn), 1);
    ck_assert_str_eq(fake_trace(&w.broker), "HELLO name=test\n");
}
END_TEST

START_TEST(an_address_that_is_none) {
    struct trp_conn_opts opts = {.url = "nonsense"};
    const char *why = "";
    STATUS(trp_conn_new(&w.conn, &w.loop, &opts, &handler, NULL, &why), BAD_URL);
    ck_assert_uint_gt(strlen(why), 0);
    opts.url = "carrier-pigeon://127.0.0.1:1";
    ck_assert_int_lt(trp_conn_new(&w.conn, &w.loop, &opts, &handler, NULL, &why), 0);
    ck_assert_ptr_null(w.conn);
}
END_TEST

START_TEST(it_waits_for_a_broker_that_comes_later) {
    fake_broker_deaf(&w.broker);
    dial_with((struct trp_conn_opts){0});
    UNTIL(w.losts == 2);
    ck_assert(!w.fatal);
    ck_assert_uint_gt(strlen(trp_conn_why(w.conn)), 0);
    fake_broker_listen(&w.broker);
    UNTIL(w.ups == 1);
}
END_TEST

START_TEST(a_cut_is_mended_and_renewed) {
    uint64_t a, b, c;
    dial_with((struct trp_conn_opts){0});
    OK(subscribe("a.>", NULL, 'A', &a)); /* before it is up */
    UNTIL(SAID("subscribed A OK"));
    OK(subscribe("work", &(troupe_sub_opts){.group = "g", .credit = 3}, 'B', &b));
    OK(subscribe("gone", NULL, 'C', &c));
    UNTIL(SAID("subscribed C OK"));
    OK(trp_conn_unsubscribe(w.conn, c));
    UNTIL(strstr(w.said, "subscribed C OK\nsubscribed C OK\n"));
    w.broker.trace.n = 0;
    w.said[0] = 0;
    unsigned frames = w.broker.frames;
    fake_broker_cut(&w.broker);
    UNTIL(SAID("subscribed B OK"));
    ck_assert_str_eq(fake_trace(&w.broker), "DOWN 1\nHELLO name=test\nSUB 5 1 a.>\nSUB 6 2 work group=g credit=3\n");
    ck_assert_uint_eq(w.broker.frames - frames, 2); /* HELLO, and all the subscriptions together */
    ck_assert_uint_eq(trp_conn_generation(w.conn), 2);
    OK(trp_conn_publish(w.conn, SLICE("a.b"), NONE, NONE, troupe_int(1)));
    UNTIL(SAID("msg A a.b 1"));
}
END_TEST

static bool mute(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    (void)b, (void)s, (void)e;
    return true;
}

START_TEST(a_broker_that_does_not_welcome) {
    w.broker.hook = mute;
    dial_with((struct trp_conn_opts){.welcome_ms = 30});
    UNTIL(w.losts == 1);
    STATUS(w.lost_status, TIMEOUT);
    w.broker.hook = NULL;
    UNTIL(w.ups == 1);
}
END_TEST

START_TEST(a_broker_that_falls_silent) {
    dial_with((struct trp_conn_opts){.keepalive_ms = 20});
    UNTIL(w.ups == 1);
    UNTIL(SAW("PING 1\n")); /* answered */
    ck_assert_uint_eq(w.losts, 0);
    w.broker.hook = mute;
    UNTIL(w.losts == 1);
    STATUS(w.lost_status, TIMEOUT);
}
END_TEST

START_TEST(a_paused_connection_blames_nobody) {
    dial_with((struct trp_conn_opts){.keepalive_ms = 5});
    UNTIL(w.ups == 1);
    trp_conn_pause(w.conn, true);
    for (int i = 0; i < 20; i++)
        trp_loop_once(&w.loop, 5);
    ck_assert_uint_eq(w.losts, 0);
    trp_conn_pause(w.conn, false);
}
END_TEST

START_TEST(something_else_that_speaks_sp) {
    w.broker.protocol = TRP_SP_REP0;
    dial_with((struct trp_conn_opts){0});
    UNTIL(w.losts == 1);
    STATUS(w.lost_status, PROTOCOL);
    ck_assert_ptr_nonnull(strstr(trp_conn_why(w.conn), "no broker"));
}
END_TEST

static bool shut_down(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    if (e->op != TRP_PUB)
        return false;
    fake_close(s, "SHUTDOWN", "the broker is going down");
    b->hook = NULL;
    return true;
}

START_TEST(an_orderly_end_is_mended_too) {
    dial();
    w.broker.hook = shut_down;
    OK(trp_conn_publish(w.conn, SLICE("a"), NONE, NONE, troupe_nil()));
    UNTIL(w.losts == 1);
    STATUS(w.lost_status, CLOSED);
    ck_assert_str_eq(trp_conn_why(w.conn), "SHUTDOWN: the broker is going down");
    UNTIL(w.ups == 2);
}
END_TEST

/* What comes instead of WELCOME, and whether that is final. */
static const struct refusal {
    enum trp_op op;
    const char *code;
    uint64_t version;
    bool fatal;
} refusals[] = {
    {TRP_ERR, "AUTH_FAILED", 0, true}, {TRP_ERR, "VERSION", 0, true}, {TRP_ERR, "LIMIT", 0, false},
    {TRP_CHALLENGE, NULL, 0, true},    {TRP_WELCOME, NULL, 2, true},  {TRP_CLOSE, "SHUTDOWN", 0, false},
};

static bool refuse(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    const struct refusal *r = b->ctx;
    uint8_t map[32], *p = trp_pack_map(map, 1);
    struct trp_buf out = {0};
    if (e->op != TRP_HELLO)
        return false;
    p = trp_pack_uint(trp_pack_str(p, SLICE("version")), r->version);
    if (r->op == TRP_ERR)
        fake_err(s, 0, r->code, "go away");
    else if (r->op == TRP_CLOSE)
        fake_close(s, r->code, "go away");
    else
        OK(trp_put_info(&out, r->op, (struct trp_slice){map, (size_t)(p - map)}));
    fake_send(s, &out);
    return true;
}

START_TEST(turned_away) {
    static struct refusal r;
    r = refusals[_i];
    w.broker.hook = refuse;
    w.broker.ctx = &r;
    dial_with((struct trp_conn_opts){0});
    UNTIL(w.losts >= 1);
    ck_assert_int_eq(w.fatal, r.fatal);
    ck_assert_int_eq(trp_conn_is_dead(w.conn), r.fatal);
    if (r.fatal)
        STATUS(w.lost_status, REFUSED);
    else
        UNTIL(w.losts >= 2);
}
END_TEST

/* --- requests --- */

START_TEST(a_request_is_answered) {
    struct ask a;
    w.broker.hook = fake_answer;
    dial();
    ask(&a, "a", "fib", 30);
    UNTIL(a.done);
    STATUS(a.st, OK);
    ck_assert_int_eq(a.n, 30);
    ck_assert(SAW("PUB 1 fib -> _r.1.1 = 30\n"));
}
END_TEST

START_TEST(requests_of_one_turn_leave_in_one_frame) {
    enum { N = 500 };
    static struct ask asks[N];
    w.broker.hook = fake_answer;
    dial();
    unsigned frames = w.broker.frames;
    for (int i = 0; i < N; i++)
        ask(&asks[i], "a", "fib", i);
    UNTIL(asks[N - 1].done);
    ck_assert_uint_eq(w.broker.frames - frames, 1);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(asks[i].n, i);
}
END_TEST

START_TEST(nobody_listens) {
    struct ask a;
    dial();
    ask(&a, "a", "fib", 30);
    UNTIL(a.done);
    STATUS(a.st, NO_RESPONDERS);
}
END_TEST

static const struct {
    const char *code;
    troupe_status st;
} errors[] = {{"NO_RESPONDERS", TROUPE_NO_RESPONDERS},
              {"WORKER_LOST", TROUPE_WORKER_LOST},
              {"BUSY", TROUPE_BUSY},
              {"RESERVED", TROUPE_REFUSED},
              {"SHUTDOWN", TROUPE_REFUSED},
              {"", TROUPE_REFUSED}};

static bool fail_pub(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    if (e->op != TRP_PUB)
        return false;
    fake_err(s, e->id, b->ctx, "no");
    return true;
}

START_TEST(errors_become_conditions) {
    struct ask a, b;
    char code[32];
    (void)snprintf(code, sizeof code, "%s", errors[_i].code);
    w.broker.hook = fail_pub;
    w.broker.ctx = code;
    dial();
    ask(&a, "a", "fib", 30);
    ask_init(&b, "b");
    OK(trp_conn_confirm(w.conn, SLICE("fib"), NONE, NONE, troupe_nil(), &b.r));
    UNTIL(a.done && b.done);
    ck_assert_int_eq(a.st, errors[_i].st);
    ck_assert_int_eq(b.st, errors[_i].st);
}
END_TEST

START_TEST(a_cancelled_request_is_not_called) {
    struct ask a, b;
    w.broker.hook = fake_answer;
    dial();
    ask(&a, "a", "fib", 1);
    ask(&b, "b", "fib", 2);
    trp_conn_cancel(w.conn, &a.r);
    trp_conn_cancel(w.conn, &a.r);
    UNTIL(b.done);
    ck_assert(!a.done);
    ck_assert_int_eq(b.n, 2);
    trp_conn_cancel(w.conn, &b.r);
}
END_TEST

START_TEST(a_receipt_and_a_pong) {
    struct ask a, b, c;
    uint64_t sid;
    dial();
    OK(subscribe("x", NULL, 'X', &sid));
    ask_init(&a, "confirm");
    ask_init(&b, "confirm with reply");
    ask_init(&c, "ping");
    OK(trp_conn_confirm(w.conn, SLICE("x"), NONE, NONE, troupe_int(1), &a.r));
    OK(trp_conn_confirm(w.conn, SLICE("x"), SLICE("elsewhere"), NONE, troupe_int(2), &b.r));
    OK(trp_conn_ping(w.conn, &c.r));
    UNTIL(c.done);
    ck_assert_str_eq(w.said, "subscribed X OK\nmsg X x 1\nconfirm OK\nmsg X x 2\nconfirm with reply OK\nping OK\n");
}
END_TEST

START_TEST(a_confirmed_message_with_a_reply_that_nobody_takes) {
    struct ask a;
    dial();
    ask_init(&a, "a");
    OK(trp_conn_confirm(w.conn, SLICE("x"), SLICE("elsewhere"), NONE, troupe_int(2), &a.r));
    UNTIL(a.done);
    STATUS(a.st, NO_RESPONDERS);
}
END_TEST

START_TEST(a_loss_ends_requests_in_order_before_lost) {
    struct ask a, b, c;
    w.broker.hook = swallow_pub;
    dial();
    ask(&a, "a", "fib", 1);
    ask(&b, "b", "fib", 2);
    ask(&c, "c", "fib", 3);
    trp_conn_cancel(w.conn, &b.r);
    UNTIL(SAW("PUB 3"));
    fake_broker_cut(&w.broker);
    UNTIL(w.losts == 1);
    ck_assert_str_eq(w.said, "a DISCONNECTED\nc DISCONNECTED\nlost\n");
    ask_init(&a, "a");
    STATUS(trp_conn_request(w.conn, SLICE("fib"), NONE, troupe_nil(), &a.r), DISCONNECTED);
    STATUS(trp_conn_publish(w.conn, SLICE("fib"), NONE, NONE, troupe_nil()), DISCONNECTED);
    STATUS(trp_conn_ping(w.conn, &a.r), DISCONNECTED);
    UNTIL(w.ups == 2);
}
END_TEST

/* An answer under the old inbox, or under a number never given, goes nowhere. */
START_TEST(stray_answers_are_passed_over) {
    struct ask a;
    w.broker.hook = swallow_pub;
    dial();
    ask(&a, "a", "fib", 1);
    UNTIL(SAW("PUB 1"));
    const char *topics[] = {
        "_r.1.2", "_r.1.", "_r.1.1x", "_r.2.1", "_r.1.99999999999999999999999", "_r", "x", "_r.1.18446744073709551617"};
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
        fake_msg(w.broker.sessions, 0, 0, topics[i], "", troupe_int(5));
    fake_ok(w.broker.sessions, 1); /* no OK ends a request */
    fake_ok(w.broker.sessions, 12345);
    fake_msg(w.broker.sessions, 77, 0, "x", "", troupe_int(5));
    fake_msg(w.broker.sessions, 78, 4, "x", "", troupe_int(5)); /* counted: given back */
    UNTIL(SAW("NACK 78 4\n"));
    ck_assert(!a.done);
    fake_msg(w.broker.sessions, 0, 0, "_r.1.1", "", troupe_int(9));
    UNTIL(a.done);
    ck_assert_int_eq(a.n, 9);
    ck_assert_uint_eq(w.losts, 0);
}
END_TEST

/* --- what is refused here --- */

START_TEST(bad_arguments) {
    static uint8_t big[(1 << 20) - 4];
    struct ask a;
    uint64_t sid;
    const char *bad[] = {"", ".", "a.", ".a", "a..b", "a b", "a\n", "a.*", ">", "a>", "\x7f", "\xff\xfe"};
    char long_topic[300];
    memset(long_topic, 'a', sizeof long_topic - 1);
    long_topic[sizeof long_topic - 1] = 0;
    dial();
    ask_init(&a, "a");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        STATUS(trp_conn_publish(w.conn, SLICE(bad[i]), NONE, NONE, troupe_nil()), INVALID);
        STATUS(trp_conn_request(w.conn, SLICE(bad[i]), NONE, troupe_nil(), &a.r), INVALID);
        if (bad[i][0])
            STATUS(trp_conn_publish(w.conn, SLICE("a"), SLICE(bad[i]), NONE, troupe_nil()), INVALID);
    }
    STATUS(trp_conn_publish(w.conn, SLICE(long_topic), NONE, NONE, troupe_nil()), INVALID);
    STATUS(trp_conn_publish(w.conn, SLICE("a"), NONE, SLICE("x"), troupe_nil()), INVALID);
    STATUS(trp_conn_publish(w.conn, SLICE("a"), NONE, NONE, troupe_packed("\x92\x01", 2)), INVALID);
    STATUS(trp_conn_publish(w.conn, SLICE("a"), NONE, NONE, troupe_bytes(big, sizeof big)), TOO_BIG);
    STATUS(trp_conn_request(w.conn, SLICE("a"), NONE, troupe_packed("\xc1", 1), &a.r), INVALID);
    ck_assert_ptr_null(a.r.link);
    const char *patterns[] = {"", "a.>.b", "a*", "*a", ">>", "a..*", ".>"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        STATUS(trp_conn_subscribe(w.conn, patterns[i], NULL, NULL, &sid), INVALID);
    STATUS(trp_conn_subscribe(w.conn, "a", &(troupe_sub_opts){.credit = 1}, NULL, &sid), INVALID);
    STATUS(trp_conn_subscribe(w.conn, "a", &(troupe_sub_opts){.group = ""}, NULL, &sid), INVALID);
    STATUS(trp_conn_subscribe(w.conn, "a", &(troupe_sub_opts){.group = "g", .credit = 65536}, NULL, &sid), INVALID);
    STATUS(trp_conn_subscribe(w.conn, "a", &(troupe_sub_opts){.group = long_topic}, NULL, &sid), INVALID);
    STATUS(trp_conn_unsubscribe(w.conn, 4711), NOT_FOUND);
    OK(trp_conn_ping(w.conn, &a.r));
    UNTIL(a.done);
    ck_assert_str_eq(fake_trace(&w.broker), "HELLO name=test\nPING 2\n"); /* nothing of it has left */
}
END_TEST

START_TEST(patterns_and_topics_that_are_good) {
    const char *patterns[] = {"*", ">", "a.*.b", "*.*", "*.>", "a.b.c", "\xc3\xa4.>"};
    uint64_t sid;
    dial();
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        OK(subscribe(patterns[i], NULL, 'S', &sid));
    OK(trp_conn_publish(w.conn, SLICE("\xc3\xa4.x"), NONE, NONE, troupe_nil()));
}
END_TEST

/* --- subscriptions --- */

static bool refuse_sub(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    (void)b;
    if (e->op != TRP_SUB)
        return false;
    fake_err(s, e->id, "RESERVED", "not for you");
    return true;
}

START_TEST(a_refused_subscription_is_gone) {
    uint64_t sid;
    w.broker.hook = refuse_sub;
    dial();
    OK(subscribe("a", NULL, 'A', &sid));
    UNTIL(SAID("subscribed A REFUSED"));
    STATUS(trp_conn_unsubscribe(w.conn, sid), NOT_FOUND);
}
END_TEST

START_TEST(unsubscribing_before_the_receipt) {
    uint64_t sid;
    dial();
    OK(subscribe("a", NULL, 'A', &sid));
    OK(trp_conn_unsubscribe(w.conn, sid));
    STATUS(trp_conn_unsubscribe(w.conn, sid), NOT_FOUND);
    UNTIL(SAID("subscribed"));
    ck_assert_str_eq(w.said, "subscribed A OK\n");
    ck_assert(SAW("SUB 1 1 a\nUNSUB 2 1\n"));
}
END_TEST

START_TEST(unsubscribing_while_disconnected) {
    uint64_t sid;
    dial();
    OK(subscribe("a", NULL, 'A', &sid));
    UNTIL(SAID("subscribed A OK"));
    fake_broker_cut(&w.broker);
    UNTIL(w.losts == 1);
    STATUS(trp_conn_unsubscribe(w.conn, sid), DISCONNECTED);
    w.broker.trace.n = 0;
    UNTIL(w.ups == 2);
    ck_assert(!SAW("SUB"));
}
END_TEST

static bool no_receipts(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    (void)b, (void)s;
    return e->op == TRP_SUB || e->op == TRP_UNSUB;
}

START_TEST(a_loss_between_request_and_receipt) {
    uint64_t a, b;
    w.broker.hook = no_receipts;
    dial();
    OK(subscribe("a", NULL, 'A', &a));
    OK(subscribe("b", NULL, 'B', &b));
    OK(trp_conn_unsubscribe(w.conn, b));
    UNTIL(SAW("UNSUB"));
    w.broker.hook = NULL;
    w.broker.trace.n = 0;
    fake_broker_cut(&w.broker);
    UNTIL(SAID("subscribed A OK")); /* made at last; B is over */
    ck_assert_str_eq(w.said, "subscribed B OK\nlost\nsubscribed A OK\n");
    ck_assert(SAW("SUB 4 1 a\n") && !SAW(" b\n"));
}
END_TEST

START_TEST(all_end_before_the_ping) {
    struct ask p;
    uint64_t sid;
    dial();
    for (int i = 0; i < 10; i++)
        OK(subscribe("a", NULL, 'A', &sid));
    trp_conn_unsubscribe_all(w.conn);
    ask_init(&p, "ping");
    OK(trp_conn_ping(w.conn, &p.r));
    UNTIL(p.done);
    STATUS(trp_conn_unsubscribe(w.conn, sid), NOT_FOUND);
    ck_assert_str_eq(w.said + strlen(w.said) - 8, "ping OK\n");
}
END_TEST

/* --- deliveries --- */

static void deliver_counted(void) {
    uint64_t sid;
    w.keep = true;
    dial();
    OK(subscribe("fib", &(troupe_sub_opts){.group = "g", .credit = 1}, 'S', &sid));
    UNTIL(SAID("subscribed"));
    fake_msg(w.broker.sessions, sid, 7, "fib", "_r.9.1", troupe_int(30));
    UNTIL(w.msgs == 1);
}

START_TEST(freeing_acknowledges_once) {
    deliver_counted();
    troupe_msg_free(&w.last);
    UNTIL(SAW("ACK 1 7\n"));
}
END_TEST

START_TEST(an_answer_acknowledges_once) {
    deliver_counted();
    ck_assert(troupe_msg_wants_reply(w.last));
    OK(trp_conn_reply(w.conn, w.last, NULL, troupe_int(832040)));
    ck_assert(!troupe_msg_wants_reply(w.last));
    STATUS(trp_conn_reply(w.conn, w.last, NULL, troupe_int(1)), NOT_FOUND);
    troupe_msg_free(&w.last);
    UNTIL(SAW("ACK"));
    ck_assert_ptr_nonnull(strstr(fake_trace(&w.broker), "PUB 0 _r.9.1 = 832040\nACK 1 7\n"));
    struct ask p;
    ask_init(&p, "ping");
    OK(trp_conn_ping(w.conn, &p.r));
    UNTIL(p.done);
    ck_assert_ptr_eq(strstr(strstr(fake_trace(&w.broker), "ACK") + 1, "ACK"), NULL);
}
END_TEST

START_TEST(an_error_answer) {
    deliver_counted();
    STATUS(trp_conn_reply(w.conn, w.last, "no", troupe_text("lower case")), INVALID);
    STATUS(trp_conn_reply(w.conn, w.last, "", troupe_text("empty")), INVALID);
    STATUS(trp_conn_reply(w.conn, w.last, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF", troupe_text("long")), INVALID);
    OK(trp_conn_reply(w.conn, w.last, "NOT_A_NUMBER", troupe_text("what?")));
    UNTIL(SAW("ACK"));
    ck_assert(SAW("PUB 0 _r.9.1 {\"t-error\":\"NOT_A_NUMBER\"} = \"what?\"\nACK 1 7\n"));
}
END_TEST

START_TEST(a_nack_gives_back) {
    deliver_counted();
    trp_conn_settle(w.last, true);
    UNTIL(SAW("NACK 1 7\n"));
    trp_conn_settle(w.last, false);
    troupe_msg_free(&w.last);
}
END_TEST

START_TEST(what_is_owed_to_a_lost_session_is_forgotten) {
    deliver_counted();
    fake_broker_cut(&w.broker);
    UNTIL(w.ups == 2);
    STATUS(trp_conn_reply(w.conn, w.last, NULL, troupe_int(1)), DISCONNECTED);
    troupe_msg_free(&w.last);
    struct ask p;
    ask_init(&p, "ping");
    OK(trp_conn_ping(w.conn, &p.r));
    UNTIL(p.done);
    ck_assert(!SAW("ACK") && !SAW("PUB"));
}
END_TEST

START_TEST(messages_may_outlive_the_connection) {
    deliver_counted();
    trp_conn_close(&w.conn, 1000);
    UNTIL(w.gones == 1);
    ck_assert(SAW("CLOSE BYE"));
    ck_assert_str_eq(troupe_msg_topic(w.last), "fib");
    troupe_msg_free(&w.last); /* frees the rest of the connection: the leak checker knows */
}
END_TEST

START_TEST(a_ping_is_answered) {
    struct trp_buf b = {0};
    dial();
    OK(trp_put_ping(&b, TRP_PING, 99));
    fake_send(w.broker.sessions, &b);
    UNTIL(SAW("PONG 99\n"));
}
END_TEST

/* --- hostile brokers --- */

static const struct hostile {
    const char *name, *bytes;
    size_t n;
    bool early; /* said instead of WELCOME */
    const char *code;
} hostiles[] = {
#define H(name, bytes, early, code)                                                                                            \
    { name, bytes, sizeof(bytes) - 1, early, code }
    H("no array", "\x01", false, "BAD_ENVELOPE"),
    H("an empty array", "\x90", false, "BAD_ENVELOPE"),
    H("cut short", "\x94\x08\x01", false, "BAD_ENVELOPE"),
    H("an unknown op", "\x92\x63\x01", false, "UNKNOWN_OP"),
    H("an array of four thousand million", "\xdd\xff\xff\xff\xff\x08", false, "BAD_ENVELOPE"),
    H("a text of four thousand million bytes", "\x94\x10\x00\xdb\xff\xff\xff\xff", false, "BAD_ENVELOPE"),
    H("the byte that is never used", "\xc1", false, "BAD_ENVELOPE"),
    H("what only clients say", "\x93\x07\x01\x94\xa1x\xc0\xc0\xc0", false, "UNEXPECTED"),
    H("an ACK", "\x93\x09\x01\x01", false, "UNEXPECTED"),
    H("a second WELCOME", "\x92\x04\x81\xa5inbox\xa4_r.9", false, "UNEXPECTED"),
    H("a message before WELCOME", "\x94\x08\x01\x00\x94\xa1x\xc0\xc0\xc0", true, "UNEXPECTED"),
    H("WELCOME without an inbox", "\x92\x04\x80", true, "BAD_ENVELOPE"),
    H("WELCOME with an inbox that is a number", "\x92\x04\x81\xa5inbox\x05", true, "BAD_ENVELOPE"),
    H("WELCOME with nothing in it", "\x92\x04\xc0", true, "BAD_ENVELOPE"),
#undef H
};

static bool say_it(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    const struct hostile *h = b->ctx;
    if (e->op != (h->early ? TRP_HELLO : TRP_PING))
        return e->op == TRP_ERR;
    trp_link_send(s->link, h->bytes, h->n);
    return true;
}

START_TEST(hostile) {
    static struct hostile h;
    struct ask p;
    char expected[64];
    h = hostiles[_i];
    w.broker.hook = say_it;
    w.broker.ctx = &h;
    dial_with((struct trp_conn_opts){0});
    if (!h.early) {
        UNTIL(w.ups == 1);
        ask_init(&p, "ping");
        OK(trp_conn_ping(w.conn, &p.r));
    }
    UNTIL(w.losts == 1);
    ck_assert_msg(w.lost_status == TROUPE_PROTOCOL, "%s: %s", h.name, trp_conn_why(w.conn));
    ck_assert(!w.fatal);
    if (!h.early)
        STATUS(p.st, DISCONNECTED);
    (void)snprintf(expected, sizeof expected, "ERR 0 %s ", h.code);
    UNTIL(SAW(expected));
}
END_TEST

START_TEST(an_inbox_that_is_too_long) {
    static struct hostile h = {.name = "inbox", .early = true, .code = "BAD_ENVELOPE"};
    static char bytes[300] = "\x92\x04\x81\xa5inbox\xd9\xff";
    memset(bytes + 11, 'x', 255);
    h.bytes = bytes;
    h.n = 11 + 255;
    w.broker.hook = say_it;
    w.broker.ctx = &h;
    dial_with((struct trp_conn_opts){0});
    UNTIL(w.losts == 1);
    STATUS(w.lost_status, PROTOCOL);
}
END_TEST

/* Good envelopes with a few bits turned: whatever they say then, the connection lives on or is mended. */
START_TEST(flipped_bits) {
    chance_begin(seed_or((uint64_t)_i));
    struct trp_buf good = {0};
    uint64_t sid;
    dial();
    OK(subscribe("a", NULL, 'A', &sid));
    OK(trp_put_message(&good, SLICE("a"), SLICE("_r.1.1"), NONE, troupe_text("some text")));
    struct trp_buf frame = {0};
    OK(trp_put_msg_raw(&frame, sid, 5, (struct trp_slice){good.p, good.n}));
    OK(trp_put_ok(&frame, 1, 0, 1));
    OK(trp_put_err(&frame, 77, SLICE("BUSY"), SLICE("text")));
    OK(trp_put_ping(&frame, TRP_PING, 3));
    for (int round = 0; round < 300; round++) {
        UNTIL(trp_conn_is_up(w.conn) && w.broker.sessions);
        struct trp_buf bad = {0};
        OK(trp_buf_put(&bad, frame.p, frame.n));
        for (int i = 0; i < 1 + round % 3; i++) {
            bad.p[roll(bad.n)] ^= (uint8_t)(1u << roll(8));
        }
        fake_send(w.broker.sessions, &bad);
        unsigned losts = w.losts;
        struct ask p;
        ask_init(&p, "p");
        w.said[0] = 0;
        troupe_status st = trp_conn_ping(w.conn, &p.r);
        UNTIL(st != TROUPE_OK || p.done);
        if (w.losts > losts && round % 10) { /* back-off would make this slow: begin anew */
            trp_conn_close(&w.conn, 0);
            UNTIL(w.gones > 0);
            w.gones = 0;
            dial();
            OK(subscribe("a", NULL, 'A', &sid));
        }
        w.broker.trace.n = 0;
    }
    trp_buf_fini(&good);
    trp_buf_fini(&frame);
}
END_TEST

/* --- closing --- */

START_TEST(closing_ends_requests_and_is_said) {
    struct ask a;
    w.broker.hook = swallow_pub;
    dial();
    ask(&a, "a", "fib", 1);
    trp_conn_close(&w.conn, 1000);
    ck_assert(!a.done);
    UNTIL(w.gones == 1);
    ck_assert_str_eq(w.said, "a CLOSED\ngone\n");
    ck_assert(SAW("PUB 1 fib -> _r.1.1 = 1\nCLOSE BYE\n"));
}
END_TEST

START_TEST(closing_before_anything_came_of_it) {
    dial_with((struct trp_conn_opts){0});
    trp_conn_close(&w.conn, 1000);
    trp_conn_close(&w.conn, 1000);
    UNTIL(w.gones == 1);
}
END_TEST

START_TEST(closing_while_it_waits_to_dial_again) {
    fake_broker_deaf(&w.broker);
    dial_with((struct trp_conn_opts){0});
    UNTIL(w.losts == 1);
    trp_conn_close(&w.conn, 0);
    UNTIL(w.gones == 1);
}
END_TEST

START_TEST(closing_inside_up) {
    w.close_in_up = true;
    dial_with((struct trp_conn_opts){0});
    UNTIL(w.gones == 1);
}
END_TEST

START_TEST(closing_inside_lost) {
    w.close_in_lost = true;
    dial();
    fake_broker_cut(&w.broker);
    UNTIL(w.gones == 1);
    ck_assert_uint_eq(w.losts, 1);
}
END_TEST

START_TEST(closing_inside_a_delivery) {
    uint64_t sid;
    dial();
    OK(subscribe("a", NULL, 'A', &sid));
    UNTIL(SAID("subscribed"));
    w.close_in_msg = true;
    for (int i = 0; i < 3; i++)
        fake_msg(w.broker.sessions, sid, 0, "a", "", troupe_int(i));
    UNTIL(w.gones == 1);
    ck_assert_uint_eq(w.msgs, 1); /* the rest of the frame is not handed out */
}
END_TEST

static void close_done(struct trp_request *r, troupe_status st, struct troupe_msg *answer, const char *why) {
    (void)r, (void)why;
    say("first %s\n", troupe_status_name(st));
    troupe_msg_free(&answer);
    trp_conn_close(&w.conn, 0);
}

START_TEST(closing_inside_done) {
    struct trp_request first = {.done = close_done};
    struct ask second;
    w.broker.hook = swallow_pub;
    dial();
    OK(trp_conn_request(w.conn, SLICE("a"), NONE, troupe_nil(), &first));
    ask(&second, "second", "a", 1);
    fake_broker_cut(&w.broker);
    UNTIL(w.gones == 1);
    ck_assert_str_eq(w.said, "first DISCONNECTED\nsecond DISCONNECTED\ngone\n");
}
END_TEST

/* --- load, memory, descriptors --- */

START_TEST(large_payloads_both_ways) {
    static uint8_t big[(1 << 20) - 5]; /* and its head: 1 MiB packed */
    uint64_t sid;
    memset(big, 0xa5, sizeof big);
    w.keep = true;
    dial();
    OK(subscribe("a", NULL, 'A', &sid));
    for (size_t n = 1; n; n = n == sizeof big ? 0 : n * 4 < sizeof big ? n * 4 : sizeof big) {
        unsigned before = w.msgs;
        w.said[0] = 0;
        OK(trp_conn_publish(w.conn, SLICE("a"), NONE, NONE, troupe_bytes(big, n)));
        UNTIL(w.msgs == before + 1);
        ck_assert_uint_eq(troupe_msg_value(w.last).size, n);
        ck_assert_mem_eq(troupe_msg_value(w.last).data, big, n);
    }
}
END_TEST

/* More requests at a time than the table had room for at first, some of them never answered. */
static bool answer_odd(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    return e->op == TRP_PUB && e->id % 2 == 0 ? true : fake_answer(b, s, e);
}

START_TEST(many_requests_at_a_time) {
    enum { N = 20000 };
    static struct ask asks[N];
    w.broker.hook = answer_odd;
    dial();
    for (int round = 0; round < 2; round++) {
        int answered = 0;
        w.said[0] = 0;
        for (int i = 0; i < N; i++)
            ask(&asks[i], "a", "fib", i);
        struct ask p;
        ask_init(&p, "ping");
        OK(trp_conn_ping(w.conn, &p.r));
        UNTIL(p.done);
        w.broker.trace.n = 0;
        for (int i = 0; i < N; i++) {
            answered += asks[i].done;
            ck_assert_int_eq(asks[i].done, asks[i].r.id % 2);
            ck_assert(!asks[i].done || asks[i].n == i);
            trp_conn_cancel(w.conn, &asks[i].r);
        }
        ck_assert_int_ge(answered, N / 2 - 1);
    }
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

START_TEST(no_memory_at_any_moment) {
    const char *why = "";
    struct trp_conn_opts opts = {.url = w.broker.url, .name = "test"};
    unsigned before = count_descriptors();
    for (long n = 1;; n++) {
        faults_fail_at(n);
        troupe_status st = trp_conn_new(&w.conn, &w.loop, &opts, &handler, NULL, &why);
        faults_off();
        if (st == TROUPE_OK)
            break;
        STATUS(st, NO_MEMORY);
        ck_assert_ptr_null(w.conn);
        for (int i = 0; i < 5; i++)
            trp_loop_once(&w.loop, 0);
        ck_assert_uint_eq(count_descriptors(), before);
    }
    UNTIL(w.ups == 1);
}
END_TEST

START_TEST(no_memory_for_requests_and_subscriptions) {
    struct ask a;
    uint64_t sid;
    dial();
    for (long n = 1;; n++) {
        ask_init(&a, "a");
        faults_fail_at(n);
        troupe_status st = trp_conn_request(w.conn, SLICE("nobody"), NONE, troupe_nil(), &a.r);
        troupe_status sub = subscribe("a", NULL, 'A', &sid);
        faults_off();
        if (st == TROUPE_OK)
            UNTIL(a.done);
        if (st == TROUPE_OK && sub == TROUPE_OK)
            break;
        ck_assert(st == TROUPE_OK || st == TROUPE_NO_MEMORY || st == TROUPE_DISCONNECTED);
        UNTIL(trp_conn_is_up(w.conn));
    }
    UNTIL(SAID("subscribed A OK"));
}
END_TEST

int main(void) {
    const TTest *const life[] = {hello_and_welcome,
                                 an_address_that_is_none,
                                 it_waits_for_a_broker_that_comes_later,
                                 a_cut_is_mended_and_renewed,
                                 a_broker_that_does_not_welcome,
                                 a_broker_that_falls_silent,
                                 a_paused_connection_blames_nobody,
                                 something_else_that_speaks_sp,
                                 an_orderly_end_is_mended_too};
    const TTest *const requests[] = {a_request_is_answered,
                                     requests_of_one_turn_leave_in_one_frame,
                                     nobody_listens,
                                     a_cancelled_request_is_not_called,
                                     a_receipt_and_a_pong,
                                     a_confirmed_message_with_a_reply_that_nobody_takes,
                                     a_loss_ends_requests_in_order_before_lost,
                                     stray_answers_are_passed_over,
                                     bad_arguments,
                                     patterns_and_topics_that_are_good,
                                     many_requests_at_a_time};
    const TTest *const subs[] = {a_refused_subscription_is_gone,
                                 unsubscribing_before_the_receipt,
                                 unsubscribing_while_disconnected,
                                 a_loss_between_request_and_receipt,
                                 all_end_before_the_ping,
                                 freeing_acknowledges_once,
                                 an_answer_acknowledges_once,
                                 an_error_answer,
                                 a_nack_gives_back,
                                 what_is_owed_to_a_lost_session_is_forgotten,
                                 messages_may_outlive_the_connection,
                                 a_ping_is_answered,
                                 large_payloads_both_ways};
    const TTest *const ends[] = {closing_ends_requests_and_is_said,
                                 closing_before_anything_came_of_it,
                                 closing_while_it_waits_to_dial_again,
                                 closing_inside_up,
                                 closing_inside_lost,
                                 closing_inside_a_delivery,
                                 closing_inside_done,
                                 an_inbox_that_is_too_long,
                                 no_memory_at_any_moment,
                                 no_memory_for_requests_and_subscriptions};
    Suite *s = suite_create("conn");
    TCase *c = run_case(s, "life", life, sizeof life / sizeof *life);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, turned_away, 0, sizeof refusals / sizeof *refusals);
    c = run_case(s, "requests", requests, sizeof requests / sizeof *requests);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, errors_become_conditions, 0, sizeof errors / sizeof *errors);
    c = run_case(s, "subscriptions", subs, sizeof subs / sizeof *subs);
    tcase_add_checked_fixture(c, set_up, tear_down);
    c = run_case(s, "ends", ends, sizeof ends / sizeof *ends);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, hostile, 0, sizeof hostiles / sizeof *hostiles);
    tcase_add_loop_test(c, flipped_bits, 0, 3);
    tcase_set_timeout(c, 60);
    return run_suite(s);
}
