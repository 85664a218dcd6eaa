/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Obituaries of a queue's consumers, in virtual time: before, after, too late, twice, for whom nobody waits. A delivery is
 * written as MESSAGE^CRASHES/SIGNAL behind who gets it. */
#include "broker/core.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "broker/obituary.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define TOKEN "00112233445566778899aabbccddeeff"
#define OTHER "ffeeddccbbaa99887766554433221100"

enum { MS = 1000000, PEERS = 4 };

static struct trp_core *core;
static uint64_t now_ns;
static struct client {
    const char *name;
    struct trp_peer *peer;
} clients[PEERS];
static char trace[4096];

/* ---- what the core says ---- */

static void say(const char *fmt, ...) {
    va_list ap;
    size_t n = strlen(trace);
    va_start(ap, fmt);
    vsnprintf(trace + n, sizeof trace - n, fmt, ap);
    va_end(ap);
}

static void on_item(void *ctx, void *user, uint64_t sid, uint64_t token, const struct trp_message *m, struct trp_slice info) {
    uint64_t crashes = 0, signal = 0;
    (void)ctx, (void)sid, (void)token;
    say("%s:%d", ((struct client *)user)->name, m->raw.p[m->raw.n - 1]);
    if (trp_map_uint(info, "t-crashes", &crashes) && trp_map_uint(info, "t-signal", &signal))
        say("^%" PRIu64 "/%" PRIu64, crashes, signal);
    say(" ");
}

static void on_ok(void *ctx, void *user, uint64_t id, uint64_t level, uint64_t count) {
    (void)ctx, (void)user, (void)level;
    if (id == 9)
        say("told:%" PRIu64 " ", count);
}

static void on_err(void *ctx, void *user, uint64_t id, const char *code, const char *text) {
    (void)ctx, (void)user, (void)id, (void)text;
    say("%s ", code);
}

static void on_welcome(void *ctx, void *user, uint64_t session, struct trp_slice inbox) {
    (void)ctx, (void)user, (void)session, (void)inbox;
}

static void on_close(void *ctx, void *user, const char *code, const char *text) {
    (void)ctx, (void)user, (void)text;
    say("close:%s ", code);
}

static void on_ended(void *ctx, void *user, uint64_t sid) {
    (void)ctx, (void)sid;
    say("%s:ended ", ((struct client *)user)->name);
}

static const struct trp_sink sink = {
    .ok = on_ok, .err = on_err, .welcome = on_welcome, .close = on_close, .item = on_item, .ended = on_ended};

#define SAYS(...)                                                                                                              \
    do {                                                                                                                       \
        ck_assert_str_eq(trace, __VA_ARGS__);                                                                                  \
        trace[0] = 0;                                                                                                          \
    } while (0)

/* ---- what peers say ---- */

static void tell(struct client *c, struct trp_envelope e) {
    trp_core_feed(core, now_ns, c->peer, &e);
}

static struct trp_slice pair(uint8_t *buf, const char *key, uint64_t v) {
    uint8_t *p = trp_pack_uint(trp_pack_str(trp_pack_map(buf, 1), trp_slice_str(key)), v);
    return (struct trp_slice){buf, (size_t)(p - buf)};
}

/* `token` NULL: nobody will say how it dies. */
static struct client *join(const char *name, const char *token) {
    static const uint8_t nonce[12];
    struct client *c = clients;
    uint8_t buf[64], *p = trp_pack_map(buf, token ? 1 : 0);
    while (c->peer)
        c++;
    c->name = name;
    if (token)
        p = trp_pack_str(trp_pack_str(p, trp_slice_str("obituary")), trp_slice_str(token));
    ck_assert_int_eq(trp_core_attach(core, now_ns, TRP_PEER_FULL, nonce, c, &c->peer), TROUPE_OK);
    tell(c, (struct trp_envelope){.op = TRP_HELLO, .options = {buf, (size_t)(p - buf)}});
    return c;
}

static void verb(struct client *c, const char *what, const char *name) {
    tell(c, (struct trp_envelope){.op = TRP_QUEUE, .id = 1, .code = trp_slice_str(what), .text = trp_slice_str(name)});
}

static void consume(struct client *c, uint64_t sid) {
    tell(c, (struct trp_envelope){.op = TRP_SUB, .sid = sid, .text = trp_slice_str("_q.q")});
}

static void put(struct client *c, uint8_t n) {
    uint8_t wire[16], *p = trp_pack_str(trp_pack_array(wire, 4), trp_slice_str("_q.q"));
    struct trp_envelope e = {.op = TRP_PUB};
    const char *why;
    size_t used;
    *p++ = 0xc0;
    *p++ = 0xc0;
    *p++ = n;
    ck_assert_int_eq(trp_message_read(wire, (size_t)(p - wire), &e.msg, &used, &why), TROUPE_OK);
    tell(c, e);
}

static void obituary(struct client *c, const char *token, uint64_t signal) {
    uint8_t buf[32];
    tell(c, (struct trp_envelope){.op = TRP_QUEUE,
                                  .id = 9,
                                  .code = trp_slice_str("obituary"),
                                  .text = trp_slice_str(token),
                                  .options = pair(buf, "signal", signal)});
}

static void leave(struct client *c) {
    trp_core_detach(core, now_ns, c->peer);
    c->peer = NULL;
}

/* Its connection is broken off. */
static void die(struct client *c) {
    trp_core_crashed(c->peer);
    leave(c);
}

static void pass(uint64_t ms) {
    now_ns += ms * MS;
    while (trp_core_deadline(core) <= now_ns)
        trp_core_tick(core, now_ns, 10);
}

/* ---- a queue, somebody who has 1 in hand, and somebody to get it next ---- */

static struct client *prod, *victim, *heir;

static void up(void) {
    now_ns = MS;
    ck_assert_int_eq(trp_core_new(&core, &(struct trp_core_opts){.queues = true}, &sink, NULL), TROUPE_OK);
    prod = join("p", NULL);
    verb(prod, "declare", "q");
    victim = join("a", TOKEN);
    consume(victim, 1);
    put(prod, 1);
    heir = join("b", NULL);
    consume(heir, 1);
    SAYS("a:1 ");
}

static void down(void) {
    for (struct client *c = clients; c < clients + PEERS; c++)
        if (c->peer)
            leave(c);
    trp_core_free(core);
}

START_TEST(an_obituary_after_the_end) {
    die(victim);
    SAYS("");
    pass(TRP_OBITUARY_MS - 1);
    obituary(prod, TOKEN, 11);
    SAYS("b:1^1/11 told:1 ");
    pass(10 * TRP_OBITUARY_MS);
    SAYS("");
}
END_TEST

START_TEST(an_obituary_before_the_end) {
    obituary(prod, TOKEN, 9);
    SAYS("told:0 ");
    pass(10 * TRP_OBITUARY_MS);
    die(victim);
    SAYS("b:1^1/9 ");
}
END_TEST

START_TEST(an_obituary_that_names_no_signal) {
    die(victim);
    obituary(prod, TOKEN, 0);
    SAYS("b:1^1/0 told:1 ");
}
END_TEST

START_TEST(an_obituary_too_late) {
    die(victim);
    pass(TRP_OBITUARY_MS - 1);
    SAYS("");
    pass(1);
    SAYS("b:1^1/0 ");
    obituary(prod, TOKEN, 11);
    SAYS("told:0 ");
}
END_TEST

START_TEST(an_obituary_of_somebody_else) {
    die(victim);
    obituary(prod, OTHER, 11);
    SAYS("told:0 ");
    obituary(prod, TOKEN, 11);
    obituary(prod, TOKEN, 7); /* said twice, the first counts */
    SAYS("b:1^1/11 told:1 told:0 ");
}
END_TEST

START_TEST(an_obituary_that_makes_no_sense) {
    obituary(prod, "short", 11);
    obituary(prod, TOKEN, 256);
    SAYS("INVALID INVALID ");
    die(victim);
    pass(TRP_OBITUARY_MS);
    SAYS("b:1^1/0 ");
}
END_TEST

/* Who says goodbye, or who has nobody to tell of him, is not waited for. */
START_TEST(who_is_not_missed) {
    tell(victim, (struct trp_envelope){.op = TRP_CLOSE});
    SAYS("close:BYE b:1 ");
    obituary(prod, TOKEN, 11);
    SAYS("told:0 ");
    struct client *next = join("c", "not thirty-two bytes");
    consume(next, 1);
    die(heir);
    SAYS("c:1^1/0 ");
    die(next);
    consume(prod, 1);
    SAYS("p:1^2/0 ");
}
END_TEST

static void obituaries_of_others(int n) {
    char token[TRP_OBITUARY_TOKEN + 1];
    for (int i = 0; i < n; i++) {
        snprintf(token, sizeof token, "%032d", i);
        obituary(prod, token, 6);
    }
    trace[0] = 0;
}

START_TEST(the_newest_are_kept) {
    obituary(prod, TOKEN, 11);
    obituaries_of_others(TRP_OBITUARIES_KEPT - 1);
    die(victim);
    SAYS("b:1^1/11 ");
}
END_TEST

START_TEST(an_older_one_is_forgotten) {
    obituary(prod, TOKEN, 11);
    obituaries_of_others(TRP_OBITUARIES_KEPT);
    die(victim);
    SAYS("");
    pass(TRP_OBITUARY_MS);
    SAYS("b:1^1/0 ");
}
END_TEST

/* All that one session had, whatever the subscription; in the order in which it was put. */
START_TEST(all_of_a_session) {
    leave(heir);
    consume(victim, 2);
    put(prod, 2);
    SAYS("a:2 ");
    die(victim);
    obituary(prod, TOKEN, 6);
    SAYS("told:2 ");
    tell(prod, (struct trp_envelope){.op = TRP_SUB, .sid = 1, .text = trp_slice_str("_q.q")});
    tell(prod, (struct trp_envelope){.op = TRP_SUB, .sid = 2, .text = trp_slice_str("_q.q")});
    SAYS("p:1^1/6 p:2^1/6 ");
}
END_TEST

/* An orphan gets nothing more, and a queue does not wait for its orphans to be deleted. */
START_TEST(an_orphans_queue_is_deleted) {
    leave(heir);
    put(prod, 2);
    die(victim);
    pass(1);
    SAYS("");
    verb(prod, "delete", "q");
    pass(TRP_OBITUARY_MS);
    verb(prod, "declare", "q");
    obituary(prod, TOKEN, 11);
    SAYS("told:0 ");
}
END_TEST

START_TEST(a_broker_that_stops_waits_for_no_obituary) {
    die(victim);
    trp_core_drain(core);
    ck_assert_uint_gt(trp_core_deadline(core), now_ns + (uint64_t)TRP_OBITUARY_MS * MS);
    obituary(prod, TOKEN, 11);
    SAYS("told:0 ");
}
END_TEST

START_TEST(without_memory_to_wait_it_goes_back_at_once) {
    faults_fail_at(1);
    die(victim);
    faults_off();
    SAYS("b:1^1/0 ");
}
END_TEST

int main(void) {
    const TTest *const all[] = {an_obituary_after_the_end,
                                an_obituary_before_the_end,
                                an_obituary_that_names_no_signal,
                                an_obituary_too_late,
                                an_obituary_of_somebody_else,
                                an_obituary_that_makes_no_sense,
                                who_is_not_missed,
                                the_newest_are_kept,
                                an_older_one_is_forgotten,
                                all_of_a_session,
                                an_orphans_queue_is_deleted,
                                a_broker_that_stops_waits_for_no_obituary,
                                without_memory_to_wait_it_goes_back_at_once};
    Suite *s = suite_create("obituary");
    TCase *c = run_case(s, "obituaries", all, sizeof all / sizeof *all);
    tcase_add_checked_fixture(c, up, down);
    return run_suite(s);
}
