/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The router's promises, each as a readable trace: a script of what peers say, then what the core said to whom. An inbox
 * is printed as "@owner", so that traces do not depend on nonces. */
#include "broker/core.h"
#include "tests/support/run.h"
#include "tests/support/sub_options.h"
#include "transports/alloc.h"
#include "transports/assert.h"
#include "transports/envelope.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 16 };

struct client {
    const char *name;
    struct trp_peer *peer;
};

static struct trp_core *core;
static struct client clients[CLIENTS];
static size_t n_clients;
static char trace[65536];
static size_t trace_n;
static struct trp_blob *last_blob;

/* ---- the trace ---- */

static void say(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    trace_n += (size_t)vsnprintf(trace + trace_n, sizeof trace - trace_n, fmt, ap);
    va_end(ap);
    trp_assert(trace_n < sizeof trace);
}

static const struct client *owner_of(struct trp_slice topic) {
    for (size_t i = 0; i < n_clients; i++) {
        if (!clients[i].peer)
            continue;
        struct trp_slice prefix = trp_peer_inbox(clients[i].peer);
        if (topic.n > prefix.n && memcmp(topic.p, prefix.p, prefix.n) == 0)
            return &clients[i];
    }
    return NULL;
}

static void say_topic(const char *before, struct trp_slice topic) {
    const struct client *owner = owner_of(topic);
    size_t skip = owner ? trp_peer_inbox(owner->peer).n : 0;
    say("%s%s%s%.*s", before, owner ? "@" : "", owner ? owner->name : "", owner ? 0 : (int)topic.n, (const char *)topic.p);
    if (owner)
        say(".%.*s", (int)(topic.n - skip), (const char *)topic.p + skip);
}

static void say_payload(struct trp_slice payload) {
    const uint8_t *p = payload.p;
    troupe_value v;
    ck_assert_int_eq(trp_unpack_value(&p, p + payload.n, &v), TROUPE_OK);
    if (v.kind == TROUPE_INT)
        say(" %" PRId64, v.i);
    else if (v.kind == TROUPE_TEXT && v.size < 100)
        say(" %.*s", (int)v.size, (const char *)v.data);
    else
        say(" (%zu bytes)", v.size);
}

static void on_msg(void *ctx, void *user, uint64_t sid, uint64_t token, const struct trp_message *m) {
    (void)ctx;
    say("%s <- msg", ((struct client *)user)->name);
    if (sid)
        say(" sid=%" PRIu64, sid);
    if (token)
        say(" token=%" PRIu64, token);
    say_topic(" ", m->topic);
    if (m->reply.n)
        say_topic(" reply=", m->reply);
    say_payload(m->payload);
    say("\n");
    last_blob = m->blob;
}

static void on_ok(void *ctx, void *user, uint64_t id, uint64_t level, uint64_t count) {
    (void)ctx;
    ck_assert_uint_eq(level, 0);
    say("%s <- ok %" PRIu64 " count=%" PRIu64 "\n", ((struct client *)user)->name, id, count);
}

static void on_err(void *ctx, void *user, uint64_t id, const char *code, const char *text) {
    (void)ctx;
    ck_assert_uint_ne(id, 0);
    ck_assert(text && *text);
    say("%s <- err %" PRIu64 " %s\n", ((struct client *)user)->name, id, code);
}

static void on_welcome(void *ctx, void *user, uint64_t session, struct trp_slice inbox) {
    (void)ctx;
    const struct client *c = user;
    ck_assert_uint_eq(session, trp_peer_session(c->peer));
    ck_assert(trp_slice_eq(inbox, trp_peer_inbox(c->peer)));
    say("%s <- welcome\n", c->name);
}

static void on_pong(void *ctx, void *user, uint64_t id) {
    (void)ctx;
    say("%s <- pong %" PRIu64 "\n", ((struct client *)user)->name, id);
}

static void on_close(void *ctx, void *user, const char *code, const char *text) {
    (void)ctx;
    ck_assert(text && *text);
    say("%s <- close %s\n", ((struct client *)user)->name, code);
}

static const struct trp_sink sink = {on_msg, on_ok, on_err, on_welcome, on_pong, on_close};

/* What the core has said since the last call is exactly this. */
static void expect(const char *want) {
    ck_assert_str_eq(trace, want);
    trace[trace_n = 0] = 0;
}

/* ---- what peers say ---- */

static void start(const struct trp_core_opts *opts) {
    ck_assert_int_eq(trp_core_new(&core, opts, &sink, NULL), TROUPE_OK);
}

static struct client *join_as(const char *name, enum trp_peer_kind kind) {
    static uint8_t nonce[12];
    struct client *c = &clients[n_clients++];
    trp_assert(n_clients <= CLIENTS);
    nonce[0]++;
    c->name = name;
    return trp_core_attach(core, 0, kind, nonce, c, &c->peer) == TROUPE_OK ? c : NULL;
}

static struct client *join(const char *name) {
    struct client *c = join_as(name, TRP_PEER_FULL);
    ck_assert_ptr_nonnull(c);
    return c;
}

static void leave(struct client *c) {
    struct trp_peer *p = c->peer;
    trp_core_detach(core, 0, p);
    c->peer = NULL;
}

static void stop(void) {
    for (size_t i = 0; i < n_clients; i++)
        if (clients[i].peer)
            leave(&clients[i]);
    n_clients = 0;
    trp_core_free(core);
    core = NULL;
}

static void tell(struct client *c, struct trp_envelope e) {
    trp_core_feed(core, 0, c->peer, &e);
}

static void sub_id(struct client *c, uint64_t id, uint64_t sid, const char *pattern, const char *group, int64_t credit) {
    uint8_t buf[512];
    tell(c,
         (struct trp_envelope){
             .op = TRP_SUB, .id = id, .sid = sid, .text = trp_slice_str(pattern), .options = sub_options(buf, group, credit)});
}

static void sub(struct client *c, uint64_t sid, const char *pattern, const char *group, int64_t credit) {
    sub_id(c, 0, sid, pattern, group, credit);
}

static void unsub(struct client *c, uint64_t sid) {
    tell(c, (struct trp_envelope){.op = TRP_UNSUB, .sid = sid});
}

static void credit(struct client *c, uint64_t sid, uint64_t n) {
    tell(c, (struct trp_envelope){.op = TRP_CREDIT, .sid = sid, .token = n});
}

static void ack(struct client *c, uint64_t sid, uint64_t token) {
    tell(c, (struct trp_envelope){.op = TRP_ACK, .sid = sid, .token = token});
}

static void nack(struct client *c, uint64_t sid, uint64_t token) {
    tell(c, (struct trp_envelope){.op = TRP_NACK, .sid = sid, .token = token});
}

/* A topic as written in a script: "@name.token" is a topic of name's inbox. */
static struct trp_slice topic_of(const char *script, char out[256]) {
    if (script[0] != '@')
        return trp_slice_str(script);
    const char *dot = strchr(script, '.');
    for (size_t i = 0; i < n_clients; i++) {
        size_t n = strlen(clients[i].name);
        if (!clients[i].peer || n != (size_t)(dot - script - 1) || memcmp(clients[i].name, script + 1, n))
            continue;
        struct trp_slice prefix = trp_peer_inbox(clients[i].peer);
        snprintf(out, 256, "%.*s%s", (int)prefix.n, (const char *)prefix.p, dot + 1);
        return trp_slice_str(out);
    }
    return trp_slice_str("_r.nobody");
}

static void pub_value(struct client *c, uint64_t id, const char *topic, const char *reply, troupe_value v) {
    static uint8_t wire[1 << 17];
    char topic_buf[256], reply_buf[256];
    struct trp_slice t = topic_of(topic, topic_buf), r = reply ? topic_of(reply, reply_buf) : (struct trp_slice){0};
    uint8_t *p = trp_pack_str(trp_pack_array(wire, 4), t);
    p = trp_pack_str(p, r);
    *p++ = 0xc0;
    if (v.kind == TROUPE_INT) {
        p = trp_pack_int(p, v.i);
    } else {
        p = trp_pack_str(p, (struct trp_slice){v.data, v.size});
    }
    struct trp_envelope e = {.op = TRP_PUB, .id = id};
    const char *why;
    size_t used;
    ck_assert_int_eq(trp_message_read(wire, (size_t)(p - wire), &e.msg, &used, &why), TROUPE_OK);
    if (c->peer)
        tell(c, e);
    memset(wire, 0xee, (size_t)(p - wire)); /* borrowed until feed returned, and no longer */
}

static void pub(struct client *c, uint64_t id, const char *topic, int64_t n) {
    pub_value(c, id, topic, NULL, troupe_int(n));
}

static void request(struct client *c, uint64_t id, const char *topic, const char *reply, int64_t n) {
    pub_value(c, id, topic, reply, troupe_int(n));
}

static const struct trp_core_stats *stats(void) {
    return trp_core_stats(core);
}

/* ---- publish, subscribe ---- */

START_TEST(every_match_gets_it_once_in_order) {
    start(NULL);
    struct client *a = join("a"), *b = join("b");
    sub(a, 1, "log.>", NULL, 0);
    sub(b, 7, "log.disk", NULL, 0);
    sub(a, 2, "log.*", NULL, 0);
    sub(a, 3, "log.net", NULL, 0);
    pub(b, 5, "log.disk", 1);
    pub(a, 0, "log.disk", 2);
    expect("a <- msg sid=1 log.disk 1\n"
           "b <- msg sid=7 log.disk 1\n"
           "a <- msg sid=2 log.disk 1\n"
           "b <- ok 5 count=3\n"
           "a <- msg sid=1 log.disk 2\n"
           "b <- msg sid=7 log.disk 2\n"
           "a <- msg sid=2 log.disk 2\n");
    pub(b, 6, "log", 3);
    expect("b <- ok 6 count=0\n");
    ck_assert_uint_eq(stats()->unrouted, 1);
    unsub(a, 1);
    pub(b, 0, "log.disk", 4);
    expect("b <- msg sid=7 log.disk 4\n"
           "a <- msg sid=2 log.disk 4\n");
    leave(a);
    pub(b, 7, "log.disk", 5);
    expect("b <- msg sid=7 log.disk 5\n"
           "b <- ok 7 count=1\n");
    stop();
}
END_TEST

START_TEST(what_is_no_topic_is_refused) {
    start(&(struct trp_core_opts){.max_payload = 16});
    struct client *a = join("a");
    pub(a, 1, "a..b", 1);
    pub(a, 2, "a.*", 1);
    pub(a, 3, "", 1);
    pub(a, 0, "a b", 1);
    pub_value(a, 4, "big", NULL, troupe_text("0123456789abcdef"));
    pub_value(a, 5, "fits", NULL, troupe_text("0123456789abcde"));
    expect("a <- err 1 BAD_TOPIC\n"
           "a <- err 2 BAD_TOPIC\n"
           "a <- err 3 BAD_TOPIC\n"
           "a <- err 4 TOO_BIG\n"
           "a <- ok 5 count=0\n");
    ck_assert_uint_eq(stats()->protocol_errors, 5);
    ck_assert_uint_eq(stats()->published, 1);
    stop();
}
END_TEST

START_TEST(bad_subscriptions_get_an_err) {
    start(&(struct trp_core_opts){.max_subs = 2});
    struct client *a = join("a");
    char long_group[300];
    memset(long_group, 'g', sizeof long_group);
    long_group[256] = 0;
    sub_id(a, 1, 1, "a.>.b", NULL, 0);
    sub_id(a, 2, 1, "_r.>", NULL, 0);
    sub_id(a, 3, 1, "_r", NULL, 0);
    sub_id(a, 4, 1, "b", NULL, 0);
    sub_id(a, 5, 0, "b", NULL, 0);
    sub_id(a, 6, 2, "b", NULL, 5);
    sub_id(a, 7, 2, "b", "g", 65536);
    sub_id(a, 8, 2, "b", "g", -1);
    sub_id(a, 9, 2, "b", "", 1);
    sub_id(a, 10, 2, "b", long_group, 1);
    long_group[255] = 0;
    sub_id(a, 11, 2, "b", long_group, 65535);
    sub_id(a, 12, 3, "b", NULL, 0);
    expect("a <- err 1 BAD_TOPIC\n"
           "a <- err 2 RESERVED\n"
           "a <- ok 3 count=0\n"
           "a <- err 4 EXISTS\n"
           "a <- err 5 INVALID\n"
           "a <- err 6 INVALID\n"
           "a <- err 7 INVALID\n"
           "a <- err 8 INVALID\n"
           "a <- err 9 INVALID\n"
           "a <- err 10 INVALID\n"
           "a <- ok 11 count=0\n"
           "a <- err 12 LIMIT\n");
    tell(a, (struct trp_envelope){.op = TRP_UNSUB, .id = 13, .sid = 99});
    tell(a, (struct trp_envelope){.op = TRP_UNSUB, .id = 14, .sid = 2});
    tell(a, (struct trp_envelope){.op = TRP_QUEUE, .id = 15});
    expect("a <- err 13 NOT_FOUND\n"
           "a <- ok 14 count=0\n"
           "a <- err 15 UNSUPPORTED\n");
    stop();
}
END_TEST

START_TEST(without_an_id_a_bad_operation_closes) {
    start(NULL);
    struct client *a = join("a"), *b = join("b"), *c = join("c"), *d = join("d"), *e = join("e"), *f = join("f");
    sub(a, 1, "..", NULL, 0);
    sub(a, 1, "fine", NULL, 0);
    unsub(b, 4);
    sub(c, 1, "x", NULL, 0);
    credit(c, 1, 10);
    credit(d, 9, 65536);
    credit(e, 9, 1);
    ack(e, 9, 1);
    nack(e, 9, 1);
    tell(f, (struct trp_envelope){.op = TRP_QUEUE});
    expect("a <- close BAD_TOPIC\n"
           "b <- close NOT_FOUND\n"
           "c <- close INVALID\n"
           "d <- close INVALID\n"
           "f <- close UNSUPPORTED\n");
    ck_assert_uint_eq(stats()->subs, 0);
    ck_assert_uint_eq(stats()->stale_acks, 2);
    stop();
}
END_TEST

START_TEST(the_small_operations) {
    start(NULL);
    struct client *a = join("a"), *b = join("b");
    tell(a, (struct trp_envelope){.op = TRP_PING, .id = 3});
    tell(a, (struct trp_envelope){.op = TRP_PONG, .id = 3});
    tell(a, (struct trp_envelope){.op = TRP_HELLO});
    tell(a, (struct trp_envelope){.op = TRP_HELLO});
    tell(a, (struct trp_envelope){.op = TRP_PING, .id = 4});
    tell(b, (struct trp_envelope){.op = TRP_CLOSE});
    expect("a <- pong 3\n"
           "a <- welcome\n"
           "a <- close UNEXPECTED\n"
           "b <- close BYE\n");
    ck_assert_uint_eq(stats()->protocol_errors, 1);
    stop();
}
END_TEST

START_TEST(what_only_a_broker_says) {
    static const enum trp_op ops[] = {TRP_CHALLENGE, TRP_AUTH, TRP_WELCOME, TRP_MSG, TRP_OK, TRP_ERR};
    start(NULL);
    struct client *a = join("a");
    tell(a, (struct trp_envelope){.op = ops[_i], .id = 1});
    expect("a <- close UNEXPECTED\n");
    stop();
}
END_TEST

START_TEST(narrow_kinds) {
    start(NULL);
    struct client *w = join("w"), *ask = join_as("ask", TRP_PEER_ASK), *push = join_as("push", TRP_PEER_PUSH);
    struct client *push2 = join_as("push2", TRP_PEER_PUSH);
    sub(w, 1, "t", NULL, 0);
    request(ask, 1, "t", "@ask.1", 5);
    pub(w, 0, "@ask.1", 6);
    pub(push, 0, "t", 7);
    expect("w <- msg sid=1 token=1 t reply=@ask.1 5\n"
           "ask <- msg @ask.1 6\n"
           "w <- msg sid=1 t 7\n");
    pub(ask, 2, "t", 8);
    pub(push, 3, "t", 8);
    request(push2, 0, "t", "@push2.1", 8);
    expect("ask <- close UNEXPECTED\n"
           "push <- close UNEXPECTED\n"
           "push2 <- close UNEXPECTED\n");
    struct client *ask2 = join_as("ask2", TRP_PEER_ASK);
    sub(ask2, 1, "t", NULL, 0);
    expect("ask2 <- close UNEXPECTED\n");
    stop();
}
END_TEST

/* ---- groups ---- */

START_TEST(a_group_serves_the_idlest) {
    start(NULL);
    struct client *a = join("a"), *x = join("x"), *y = join("y");
    sub(x, 1, "job", "g", 2);
    sub(y, 1, "job", "g", 2);
    sub(y, 2, "job", "other", 9);
    for (int i = 1; i <= 5; i++)
        pub(a, 0, "job", i);
    expect("x <- msg sid=1 token=1 job 1\n"
           "y <- msg sid=2 token=1 job 1\n"
           "y <- msg sid=1 token=2 job 2\n"
           "y <- msg sid=2 token=3 job 2\n"
           "x <- msg sid=1 token=2 job 3\n"
           "y <- msg sid=2 token=4 job 3\n"
           "y <- msg sid=1 token=5 job 4\n"
           "y <- msg sid=2 token=6 job 4\n"
           "y <- msg sid=2 token=7 job 5\n");
    ck_assert_uint_eq(stats()->backlog, 1);
    ack(y, 1, 5);
    expect("y <- msg sid=1 token=8 job 5\n");
    ack(x, 1, 1);
    ack(x, 1, 2);
    ack(y, 1, 2);
    pub(a, 0, "job", 6);
    pub(a, 0, "job", 7);
    pub(a, 0, "job", 8);
    expect("x <- msg sid=1 token=3 job 6\n"
           "y <- msg sid=2 token=9 job 6\n"
           "y <- msg sid=1 token=10 job 7\n"
           "y <- msg sid=2 token=11 job 7\n"
           "x <- msg sid=1 token=4 job 8\n"
           "y <- msg sid=2 token=12 job 8\n");
    stop();
}
END_TEST

START_TEST(one_long_task_occupies_one_worker) {
    start(NULL);
    struct client *a = join("a"), *x = join("x"), *y = join("y");
    sub(x, 1, "fib", "w", 1);
    sub(y, 1, "fib", "w", 1);
    request(a, 1, "fib", "@a.1", 42);
    request(a, 2, "fib", "@a.2", 1);
    request(a, 3, "fib", "@a.3", 2);
    expect("x <- msg sid=1 token=1 fib reply=@a.1 42\n"
           "y <- msg sid=1 token=1 fib reply=@a.2 1\n");
    pub(y, 0, "@a.2", 1);
    ack(y, 1, 1);
    pub(y, 0, "@a.3", 1);
    ack(y, 1, 2);
    expect("a <- msg @a.2 1\n"
           "y <- msg sid=1 token=2 fib reply=@a.3 2\n"
           "a <- msg @a.3 1\n");
    ck_assert_uint_eq(trp_core_outstanding(core), 1);
    stop();
}
END_TEST

START_TEST(members_without_credit_take_turns) {
    start(NULL);
    struct client *a = join("a"), *x = join("x"), *y = join("y");
    sub(x, 1, "t", "g", 0);
    sub(y, 1, "t", "g", 0);
    for (int i = 1; i <= 3; i++)
        pub(a, 0, "t", i);
    request(a, 9, "t", "@a.9", 4);
    expect("x <- msg sid=1 t 1\n"
           "y <- msg sid=1 t 2\n"
           "x <- msg sid=1 t 3\n"
           "y <- msg sid=1 token=1 t reply=@a.9 4\n");
    nack(y, 1, 1);
    leave(x);
    expect("x <- msg sid=1 token=1 t reply=@a.9 4\n"
           "a <- err 9 WORKER_LOST\n");
    stop();
}
END_TEST

START_TEST(credit_can_change) {
    start(NULL);
    struct client *a = join("a"), *x = join("x");
    sub(x, 1, "t", "g", 1);
    for (int i = 1; i <= 4; i++)
        pub(a, 0, "t", i);
    credit(x, 1, 3);
    expect("x <- msg sid=1 token=1 t 1\n"
           "x <- msg sid=1 token=2 t 2\n"
           "x <- msg sid=1 token=3 t 3\n");
    credit(x, 1, 0);
    ack(x, 1, 1);
    ack(x, 1, 2);
    ack(x, 1, 3);
    expect("");
    credit(x, 1, 1);
    expect("x <- msg sid=1 token=4 t 4\n");
    stop();
}
END_TEST

START_TEST(the_backlog_is_bounded) {
    start(&(struct trp_core_opts){.backlog_messages = 2});
    struct client *a = join("a"), *x = join("x"), *z = join("z");
    sub(x, 1, "t", "g", 1);
    for (int i = 1; i <= 3; i++)
        pub(a, 0, "t", i);
    request(a, 4, "t", "@a.4", 4);
    pub(a, 5, "t", 5);
    pub(a, 0, "t", 6);
    expect("x <- msg sid=1 token=1 t 1\n"
           "a <- err 4 BUSY\n"
           "a <- err 5 BUSY\n");
    ck_assert_uint_eq(stats()->busy, 3);
    ck_assert_uint_eq(trp_core_outstanding(core), 0);
    sub(z, 1, "t", NULL, 0);
    request(a, 7, "t", "@a.7", 7);
    pub(a, 8, "t", 8);
    expect("z <- msg sid=1 token=1 t reply=@a.7 7\n"
           "z <- msg sid=1 t 8\n"
           "a <- err 8 BUSY\n");
    stop();
}
END_TEST

START_TEST(the_backlog_is_bounded_in_bytes) {
    char text[1001] = {0}, huge[3000] = {0};
    memset(text, 'x', 1000);
    start(&(struct trp_core_opts){.backlog_bytes = 2500});
    struct client *a = join("a"), *x = join("x");
    sub(x, 1, "t", "g", 1);
    for (uint64_t i = 1; i <= 4; i++)
        pub_value(a, i, "t", NULL, troupe_text(text));
    expect("x <- msg sid=1 token=1 t (1000 bytes)\n"
           "a <- ok 1 count=1\n"
           "a <- ok 2 count=1\n"
           "a <- ok 3 count=1\n"
           "a <- err 4 BUSY\n");
    ck_assert_uint_eq(stats()->backlog, 2);
    ck_assert_uint_gt(stats()->backlog_bytes, 2000);
    sub(join("y"), 1, "u", "g", 1); /* what need not wait is no matter of the backlog */
    memset(huge, 'h', sizeof huge - 1);
    pub_value(a, 0, "u", NULL, troupe_text(huge));
    expect("y <- msg sid=1 token=1 u (2999 bytes)\n");
    stop();
}
END_TEST

START_TEST(nack_goes_back_to_the_head) {
    start(NULL);
    struct client *a = join("a"), *x = join("x"), *y = join("y");
    sub(x, 1, "t", "g", 1);
    for (int i = 1; i <= 3; i++)
        pub(a, 0, "t", i);
    credit(x, 1, 0);
    nack(x, 1, 1);
    sub(y, 1, "t", "g", 3);
    expect("x <- msg sid=1 token=1 t 1\n"
           "y <- msg sid=1 token=1 t 1\n"
           "y <- msg sid=1 token=2 t 2\n"
           "y <- msg sid=1 token=3 t 3\n");
    ck_assert_uint_eq(stats()->requeued, 1);
    stop();
}
END_TEST

START_TEST(what_a_lost_worker_held_is_delivered_again_in_order) {
    start(NULL);
    struct client *a = join("a"), *x = join("x"), *y = join("y");
    sub(x, 1, "t", "g", 3);
    for (int i = 1; i <= 5; i++)
        pub(a, 0, "t", i);
    ack(x, 1, 2);
    expect("x <- msg sid=1 token=1 t 1\n"
           "x <- msg sid=1 token=2 t 2\n"
           "x <- msg sid=1 token=3 t 3\n"
           "x <- msg sid=1 token=4 t 4\n");
    sub(y, 1, "t", "g", 1);
    expect("y <- msg sid=1 token=1 t 5\n");
    leave(x);
    for (uint64_t token = 1; token <= 4; token++)
        ack(y, 1, token);
    expect("y <- msg sid=1 token=2 t 1\n"
           "y <- msg sid=1 token=3 t 3\n"
           "y <- msg sid=1 token=4 t 4\n");
    ck_assert_uint_eq(stats()->requeued, 3);
    ck_assert_uint_eq(stats()->held, 0);
    stop();
}
END_TEST

START_TEST(the_last_member_leaves) {
    start(NULL);
    struct client *a = join("a"), *x = join("x");
    sub(x, 1, "t", "g", 1);
    pub(a, 0, "t", 1);
    request(a, 2, "t", "@a.2", 2);
    pub(a, 0, "t", 3);
    unsub(x, 1);
    expect("x <- msg sid=1 token=1 t 1\n"
           "a <- err 2 NO_RESPONDERS\n");
    ck_assert_uint_eq(stats()->dropped, 1);
    ck_assert_uint_eq(stats()->groups, 1);
    pub(a, 4, "t", 4);
    expect("a <- ok 4 count=0\n");
    ack(x, 1, 1);
    ck_assert_uint_eq(stats()->groups, 0);
    stop();
}
END_TEST

START_TEST(after_unsub_what_is_in_hand_can_be_settled) {
    start(NULL);
    struct client *a = join("a"), *x = join("x"), *y = join("y");
    sub(x, 1, "t", "g", 2);
    pub(a, 0, "t", 1);
    pub(a, 0, "t", 2);
    request(a, 3, "t", "@a.3", 3);
    unsub(x, 1);
    expect("x <- msg sid=1 token=1 t 1\n"
           "x <- msg sid=1 token=2 t 2\n"
           "a <- err 3 NO_RESPONDERS\n");
    sub(x, 1, "other", "g", 1); /* the same number anew: its own credit */
    sub(y, 1, "t", "g", 1);     /* the group is the same that x left */
    nack(x, 1, 1);
    ack(x, 1, 2);
    pub(a, 0, "other", 4);
    expect("y <- msg sid=1 token=1 t 1\n"
           "x <- msg sid=1 token=3 other 4\n");
    stop();
}
END_TEST

/* ---- requests ---- */

START_TEST(nobody_there) {
    start(NULL);
    struct client *a = join("a");
    request(a, 1, "t", "@a.1", 1);
    request(a, 0, "t", "@a.2", 1);
    expect("a <- err 1 NO_RESPONDERS\n");
    ck_assert_uint_eq(stats()->no_responders, 2);
    stop();
}
END_TEST

START_TEST(a_worker_is_lost_with_a_request) {
    start(NULL);
    struct client *a = join("a"), *x = join("x"), *y = join("y");
    sub(x, 1, "t", "g", 2);
    sub(y, 1, "t", "g", 1);
    request(a, 1, "t", "@a.1", 1);
    request(a, 2, "t", "@a.2", 2);
    request(a, 3, "t", "@a.3", 3);
    request(a, 0, "t", "@a.4", 4);
    expect("x <- msg sid=1 token=1 t reply=@a.1 1\n"
           "y <- msg sid=1 token=1 t reply=@a.2 2\n"
           "x <- msg sid=1 token=2 t reply=@a.3 3\n");
    ck_assert_uint_eq(trp_core_outstanding(core), 4);
    leave(x);
    expect("a <- err 1 WORKER_LOST\n"
           "a <- err 3 WORKER_LOST\n");
    ck_assert_uint_eq(trp_core_outstanding(core), 2);
    tell(y, (struct trp_envelope){.op = TRP_CLOSE});
    expect("y <- close BYE\n"
           "a <- err 2 WORKER_LOST\n");
    ck_assert_uint_eq(trp_core_outstanding(core), 0);
    ck_assert_uint_eq(stats()->worker_lost, 3);
    ck_assert_uint_eq(stats()->no_responders, 1);
    stop();
}
END_TEST

START_TEST(a_request_with_several_holders_is_lost_with_the_last) {
    start(NULL);
    struct client *a = join("a"), *x = join("x"), *y = join("y"), *z = join("z");
    sub(x, 1, "t", NULL, 0);
    sub(y, 1, "t", NULL, 0);
    sub(z, 1, "t", "g", 1);
    request(a, 1, "t", "@a.1", 1);
    request(a, 2, "t", "@a.2", 2);
    expect("x <- msg sid=1 token=1 t reply=@a.1 1\n"
           "y <- msg sid=1 token=1 t reply=@a.1 1\n"
           "z <- msg sid=1 token=1 t reply=@a.1 1\n"
           "x <- msg sid=1 token=2 t reply=@a.2 2\n"
           "y <- msg sid=1 token=2 t reply=@a.2 2\n");
    ack(y, 1, 2);
    ck_assert_uint_eq(trp_core_outstanding(core), 1);
    leave(x);
    leave(y);
    expect("");
    leave(z);
    expect("a <- err 1 WORKER_LOST\n");
    ck_assert_uint_eq(trp_core_outstanding(core), 0);
    stop();
}
END_TEST

START_TEST(a_declined_request) {
    start(NULL);
    struct client *a = join("a"), *x = join("x"), *y = join("y");
    sub(x, 1, "t", NULL, 0);
    sub(y, 1, "t", NULL, 0);
    request(a, 1, "t", "@a.1", 1);
    nack(x, 1, 1);
    expect("x <- msg sid=1 token=1 t reply=@a.1 1\n"
           "y <- msg sid=1 token=1 t reply=@a.1 1\n");
    nack(y, 1, 1);
    expect("a <- err 1 NO_RESPONDERS\n");
    stop();
}
END_TEST

START_TEST(requests_of_who_has_left_are_skipped) {
    start(NULL);
    struct client *a = join("a"), *b = join("b"), *x = join("x");
    sub(x, 1, "t", "g", 1);
    request(b, 1, "t", "@b.1", 1);
    request(a, 1, "t", "@a.1", 2);       /* dropped with a */
    request(a, 2, "t", "@b.forward", 3); /* b waits for that one: a has passed it on */
    request(a, 3, "t", "results", 4);    /* whoever reads results wants it */
    pub(a, 0, "t", 5);
    leave(a);
    ck_assert_uint_eq(trp_core_outstanding(core), 3);
    for (uint64_t token = 1; token <= 4; token++)
        ack(x, 1, token);
    expect("x <- msg sid=1 token=1 t reply=@b.1 1\n"
           "x <- msg sid=1 token=2 t reply=@b.forward 3\n"
           "x <- msg sid=1 token=3 t reply=results 4\n"
           "x <- msg sid=1 token=4 t 5\n");
    ck_assert_uint_eq(stats()->abandoned, 1);
    ck_assert_uint_eq(trp_core_outstanding(core), 0);
    stop();
}
END_TEST

START_TEST(the_oldest_without_credit_is_forgotten) {
    start(&(struct trp_core_opts){.max_held = 2});
    struct client *a = join("a"), *x = join("x");
    sub(x, 1, "t", NULL, 0);
    for (uint64_t i = 1; i <= 3; i++)
        request(a, i, "t", "@a.x", (int64_t)i);
    expect("x <- msg sid=1 token=1 t reply=@a.x 1\n"
           "x <- msg sid=1 token=2 t reply=@a.x 2\n"
           "x <- msg sid=1 token=3 t reply=@a.x 3\n");
    ck_assert_uint_eq(stats()->forgotten, 1);
    ck_assert_uint_eq(trp_core_outstanding(core), 2);
    ack(x, 1, 1);
    ck_assert_uint_eq(stats()->stale_acks, 1);
    leave(x);
    expect("a <- err 2 WORKER_LOST\n"
           "a <- err 3 WORKER_LOST\n");
    stop();
}
END_TEST

START_TEST(a_delivery_held_long_lets_tokens_pass) {
    start(NULL);
    struct client *a = join("a"), *x = join("x");
    sub(x, 1, "t", "g", 2);
    pub(a, 0, "t", 0);
    expect("x <- msg sid=1 token=1 t 0\n");
    uint64_t token = 1;
    for (int64_t i = 1; i <= 1000; i++) {
        char want[64];
        pub(a, 0, "t", i);
        token += token % 8 == 0 ? 2 : 1; /* 8 places, of which token 1 keeps the second */
        snprintf(want, sizeof want, "x <- msg sid=1 token=%" PRIu64 " t %" PRId64 "\n", token, i);
        expect(want);
        ack(x, 1, token);
    }
    ack(x, 1, 1);
    ck_assert_uint_eq(stats()->held, 0);
    ck_assert_uint_eq(stats()->stale_acks, 0);
    stop();
}
END_TEST

/* ---- inboxes ---- */

START_TEST(answers_to_who_has_left) {
    start(NULL);
    struct client *a = join("a"), *b = join("b");
    char old[64];
    struct trp_slice inbox = trp_peer_inbox(a->peer);
    ck_assert_uint_eq(inbox.n, 26);
    snprintf(old, sizeof old, "%.*s7", (int)inbox.n, (const char *)inbox.p);
    pub(b, 1, old, 1);
    expect("a <- msg @a.7 1\n"
           "b <- ok 1 count=1\n");
    leave(a);
    struct client *c = join("c"); /* in the same slot */
    pub(b, 2, old, 1);
    pub(b, 0, old, 1);
    pub(b, 3, "_r.", 1);
    pub(b, 4, "_r.!!!!!!0123456789abcdef.1", 1);
    pub(b, 5, "_r.______0123456789abcdef.1", 1);
    expect("b <- err 2 NO_RESPONDERS\n"
           "b <- err 3 NO_RESPONDERS\n"
           "b <- err 4 NO_RESPONDERS\n"
           "b <- err 5 NO_RESPONDERS\n");
    ck_assert_uint_eq(stats()->stale_replies, 5);
    sub(b, 1, ">", NULL, 0);
    sub(b, 2, "*.>", NULL, 0);
    pub(b, 0, "@c.1", 1);
    expect("c <- msg @c.1 1\n");
    (void)c;
    stop();
}
END_TEST

START_TEST(peers_are_limited) {
    start(&(struct trp_core_opts){.max_peers = 3});
    struct client *a = join("a");
    join("b");
    join("c");
    static const uint8_t nonce[12];
    struct trp_peer *p = NULL;
    ck_assert_int_eq(trp_core_attach(core, 0, TRP_PEER_FULL, nonce, NULL, &p), TROUPE_FULL);
    uint64_t session = trp_peer_session(a->peer);
    leave(a);
    a = join("a2");
    ck_assert_uint_gt(trp_peer_session(a->peer), session);
    ck_assert_uint_eq(stats()->peers, 3);
    stop();
}
END_TEST

/* ---- drain ---- */

START_TEST(drain_lets_what_is_under_way_end) {
    start(NULL);
    struct client *a = join("a"), *x = join("x");
    sub(x, 1, "t", "g", 1);
    request(a, 1, "t", "@a.1", 1);
    request(a, 2, "t", "@a.2", 2);
    trp_core_drain(core);
    request(a, 3, "t", "@a.3", 3);
    pub(a, 4, "t", 4);
    pub(a, 0, "t", 5);
    pub(x, 0, "@a.1", 1);
    ack(x, 1, 1);
    expect("x <- msg sid=1 token=1 t reply=@a.1 1\n"
           "a <- err 3 SHUTDOWN\n"
           "a <- err 4 SHUTDOWN\n"
           "a <- msg @a.1 1\n"
           "x <- msg sid=1 token=2 t reply=@a.2 2\n");
    ck_assert_uint_eq(trp_core_outstanding(core), 1);
    ack(x, 1, 2);
    ck_assert_uint_eq(trp_core_outstanding(core), 0);
    stop();
}
END_TEST

/* ---- large messages ---- */

static char large[40000];

START_TEST(a_large_message_is_copied_once) {
    memset(large, 'L', sizeof large - 1);
    start(NULL);
    struct client *a = join("a"), *x = join("x"), *y = join("y");
    sub(x, 1, "t", NULL, 0);
    pub_value(a, 0, "t", NULL, troupe_text(large));
    ck_assert_ptr_null(last_blob); /* one plain target: no copy here */
    sub(x, 2, "t", "g", 1);
    sub(y, 1, "t", "h", 1);
    pub_value(a, 0, "t", NULL, troupe_text(large));
    ck_assert_ptr_nonnull(last_blob);
    struct trp_blob *blob = trp_blob_ref(last_blob);
    ck_assert_uint_eq(atomic_load(&blob->refs), 3); /* two hands, and this */
    pub_value(a, 0, "t", NULL, troupe_text(large));
    ck_assert_uint_eq(stats()->backlog, 2);
    ack(x, 2, 1);
    ck_assert_uint_eq(atomic_load(&blob->refs), 2);
    expect("x <- msg sid=1 t (39999 bytes)\n"
           "x <- msg sid=1 t (39999 bytes)\n"
           "x <- msg sid=2 token=1 t (39999 bytes)\n"
           "y <- msg sid=1 token=1 t (39999 bytes)\n"
           "x <- msg sid=1 t (39999 bytes)\n"
           "x <- msg sid=2 token=2 t (39999 bytes)\n");
    stop();
    ck_assert_uint_eq(atomic_load(&blob->refs), 1);
    trp_blob_unref(blob);
}
END_TEST

/* A large message in a block of the shell's is referenced there, if that is not mostly something else. */
START_TEST(a_block_of_the_shell_is_shared) {
    static uint8_t block[200000];
    start(NULL);
    struct client *a = join("a"), *x = join("x");
    sub(x, 1, "t", "g", 2);
    memset(large, 'L', sizeof large - 1);
    uint8_t *p = trp_pack_str(trp_pack_array(block, 4), trp_slice_str("t"));
    *p++ = 0xc0;
    *p++ = 0xc0;
    p = trp_pack_str(p, trp_slice_str(large));
    size_t sizes[] = {(size_t)(p - block), sizeof block};
    for (size_t i = 0; i < 2; i++) {
        struct trp_blob *blob = trp_blob_new(block, sizes[i]);
        struct trp_envelope e = {.op = TRP_PUB};
        const char *why;
        size_t used;
        ck_assert_int_eq(trp_message_read(blob->p, blob->n, &e.msg, &used, &why), TROUPE_OK);
        e.msg.blob = blob;
        tell(a, e);
        ck_assert((last_blob == blob) == (i == 0));
        ck_assert_uint_eq(atomic_load(&blob->refs), i == 0 ? 2 : 1);
        trp_blob_unref(blob);
    }
    expect("x <- msg sid=1 token=1 t (39999 bytes)\n"
           "x <- msg sid=1 token=2 t (39999 bytes)\n");
    stop();
}
END_TEST

/* ---- out of memory ---- */

static size_t live, calls, fail_at, fail_for; /* fail_at 0: never */

static void *counting_realloc(void *ctx, void *old, size_t size) {
    (void)ctx;
    calls++;
    if (fail_at && calls >= fail_at && calls < fail_at + fail_for)
        return NULL;
    void *p = realloc(old, size);
    if (p && !old)
        live++;
    return p;
}

static void counting_free(void *ctx, void *p) {
    (void)ctx;
    live--;
    free(p);
}

/* A bit of everything, and it must not mind what has failed before. */
static void script(void) {
    struct client *a = join_as("a", TRP_PEER_FULL), *x = join_as("x", TRP_PEER_FULL), *y = join_as("y", TRP_PEER_FULL);
    if (!a || !x || !y)
        return;
    sub_id(x, 1, 1, "fib", "w", 2);
    sub_id(y, 1, 1, "fib", "w", 1);
    sub(x, 2, "log.*.error", NULL, 0);
    sub(y, 2, "log.>", NULL, 0);
    sub_id(y, 3, 3, "fib", NULL, 0);
    for (uint64_t i = 0; i < 12; i++)
        sub_id(a, 0, 10 + i, "many", i % 2 ? "g" : NULL, 0);
    pub(a, 1, "log.disk.error", 1);
    pub(a, 2, "many", 2);
    for (uint64_t i = 1; i < 8; i++)
        request(a, 10 + i, "fib", "@a.r", (int64_t)i);
    pub(a, 20, "fib", 20);
    pub_value(a, 21, "fib", NULL, troupe_text(large));
    pub(x, 0, "@a.r", 1);
    ack(x, 1, 1);
    nack(y, 1, 1);
    ack(y, 1, 2);
    credit(x, 1, 10);
    tell(y, (struct trp_envelope){.op = TRP_UNSUB, .id = 2, .sid = 3});
    if (x->peer)
        leave(x);
    tell(y, (struct trp_envelope){.op = TRP_CLOSE});
}

static void run_script(void) {
    script();
    for (size_t i = 0; i < n_clients; i++)
        if (clients[i].peer)
            leave(&clients[i]);
    n_clients = 0;
}

static char good[sizeof trace];

/* The script with failing allocations, then without: whatever failed, nothing is left of it. */
static void run_script_twice(void) {
    run_script();
    fail_at = 0;
    const struct trp_core_stats *s = stats();
    ck_assert_uint_eq(s->peers + s->subs + s->groups + s->held + s->backlog + s->backlog_bytes, 0);
    ck_assert_uint_eq(trp_core_outstanding(core), 0);
    trace[trace_n = 0] = 0;
    run_script();
    ck_assert_str_eq(trace, good);
    stop();
}

/* One call fails, a few do, or from the n-th on all do. */
START_TEST(any_allocation_may_fail) {
    static const size_t lengths[] = {1, 2, 7, SIZE_MAX / 2};
    troupe_alloc_set(&(troupe_allocator){counting_realloc, counting_free, NULL});
    memset(large, 'L', sizeof large - 1);
    start(NULL);
    run_script();
    memcpy(good, trace, trace_n + 1);
    ck_assert_ptr_nonnull(strstr(good, "y <- close BYE"));
    stop();
    size_t total = calls;
    ck_assert_uint_gt(total, 50);
    for (size_t n = 1; n <= total + 1; n++) {
        calls = 0;
        fail_at = n;
        fail_for = lengths[_i];
        trace[trace_n = 0] = 0;
        if (trp_core_new(&core, NULL, &sink, NULL) == TROUPE_OK)
            run_script_twice();
        ck_assert_uint_eq(live, 0);
    }
    troupe_alloc_set(NULL);
}
END_TEST

/* A member for whose deliveries there is no memory is closed; the message goes to the next, and then what it had. */
START_TEST(a_member_without_memory_is_passed_over) {
    troupe_alloc_set(&(troupe_allocator){counting_realloc, counting_free, NULL});
    start(NULL);
    struct client *a = join("a"), *x = join("x"), *y = join("y");
    sub(x, 1, "t", "g", 9);
    sub(y, 1, "t", "g", 9);
    for (int i = 1; i <= 8; i++)
        pub(a, 0, "t", i);
    trace[trace_n = 0] = 0;
    calls = 0;
    fail_at = 2; /* the message is kept, but x's fifth delivery needs a larger table */
    fail_for = 1;
    pub(a, 9, "t", 9);
    expect("x <- close NO_MEMORY\n"
           "y <- msg sid=1 token=5 t 9\n"
           "a <- ok 9 count=1\n"
           "y <- msg sid=1 token=6 t 1\n"
           "y <- msg sid=1 token=7 t 3\n"
           "y <- msg sid=1 token=8 t 5\n"
           "y <- msg sid=1 token=9 t 7\n");
    stop();
    troupe_alloc_set(NULL);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("core");
    TCase *t = tcase_create("publish");
    tcase_add_test(t, every_match_gets_it_once_in_order);
    tcase_add_test(t, what_is_no_topic_is_refused);
    tcase_add_test(t, bad_subscriptions_get_an_err);
    tcase_add_test(t, without_an_id_a_bad_operation_closes);
    tcase_add_test(t, the_small_operations);
    tcase_add_loop_test(t, what_only_a_broker_says, 0, 6);
    tcase_add_test(t, narrow_kinds);
    suite_add_tcase(s, t);
    t = tcase_create("groups");
    tcase_add_test(t, a_group_serves_the_idlest);
    tcase_add_test(t, one_long_task_occupies_one_worker);
    tcase_add_test(t, members_without_credit_take_turns);
    tcase_add_test(t, credit_can_change);
    tcase_add_test(t, the_backlog_is_bounded);
    tcase_add_test(t, the_backlog_is_bounded_in_bytes);
    tcase_add_test(t, nack_goes_back_to_the_head);
    tcase_add_test(t, what_a_lost_worker_held_is_delivered_again_in_order);
    tcase_add_test(t, the_last_member_leaves);
    tcase_add_test(t, after_unsub_what_is_in_hand_can_be_settled);
    suite_add_tcase(s, t);
    t = tcase_create("requests");
    tcase_add_test(t, nobody_there);
    tcase_add_test(t, a_worker_is_lost_with_a_request);
    tcase_add_test(t, a_request_with_several_holders_is_lost_with_the_last);
    tcase_add_test(t, a_declined_request);
    tcase_add_test(t, requests_of_who_has_left_are_skipped);
    tcase_add_test(t, the_oldest_without_credit_is_forgotten);
    tcase_add_test(t, a_delivery_held_long_lets_tokens_pass);
    tcase_add_test(t, answers_to_who_has_left);
    tcase_add_test(t, peers_are_limited);
    tcase_add_test(t, drain_lets_what_is_under_way_end);
    suite_add_tcase(s, t);
    t = tcase_create("memory");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_large_message_is_copied_once);
    tcase_add_test(t, a_block_of_the_shell_is_shared);
    tcase_add_loop_test(t, any_allocation_may_fail, 0, 4);
    tcase_add_test(t, a_member_without_memory_is_passed_over);
    suite_add_tcase(s, t);
    return s;
}

int main(void) {
    return run_suite(suite());
}
