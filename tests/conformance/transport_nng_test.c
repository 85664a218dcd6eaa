/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Somebody else's implementation of the wire: sockets of the nng library dial our listeners. nng is used inside the
 * forked tests only: it does not survive a fork. */
#include "tests/support/link_rig.h"
#include "tests/support/run.h"
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <nng/protocol/pair1/pair.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/reqrep0/req.h>

static const uint8_t one_hop[4] = {0, 0, 0, 1};
static nng_socket theirs;

static void hang_up(void) {
    nng_close(theirs);
    nng_fini();
}

static void must(int err) {
    ck_assert_msg(err == 0, "%s", nng_strerror(err));
}

/* Listens, and lets their socket dial. */
static struct end *meet(int transport, int opened) {
    must(opened);
    rig_listen(transport);
    must(nng_dial(theirs, rig.url, NULL, NNG_FLAG_NONBLOCK));
    RIG_WAIT(rig.accepts == 1 && rig.accepted[0]->ups == 1);
    return rig.accepted[0];
}

/* Without blocking: the listener's loop runs in this thread. */
static void they_send(const void *p, size_t n) {
    int err;
    RIG_POLL((err = nng_send(theirs, (void *)(uintptr_t)p, n, NNG_FLAG_NONBLOCK)) != NNG_EAGAIN);
    must(err);
}

static void they_receive(const void *p, size_t n) {
    char got[1024];
    size_t k;
    int err;
    RIG_POLL((k = sizeof got, err = nng_recv(theirs, got, &k, NNG_FLAG_NONBLOCK)) != NNG_EAGAIN);
    must(err);
    ck_assert_uint_eq(k, n);
    ck_assert_mem_eq(got, p, n);
}

static void echo(struct end *e, struct trp_slice body) {
    size_t hops = e->protocol == TRP_SP_PAIR1 ? sizeof one_hop : 0;
    ck_assert_uint_ge(body.n, hops);
    trp_link_send(e->link, body.p + hops, body.n - hops);
}

static void prefix_if_pair1(struct end *e) {
    if (e->protocol == TRP_SP_PAIR1)
        trp_link_prefix(e->link, one_hop, sizeof one_hop);
}

static void ping_pong(void) {
    uint8_t text[1000];
    for (size_t i = 1; i < 200; i++) {
        memset(text, (int)i, sizeof text);
        they_send(text, i * 5);
        they_receive(text, i * 5);
    }
}

START_TEST(pair0_dials_us) {
    rig.near.on_frame = echo;
    struct end *near = meet(_i, nng_pair0_open(&theirs));
    ck_assert_uint_eq(near->protocol, TRP_SP_PAIR0);
    ck_assert_int_eq(near->frames, 0);
    ping_pong();
}
END_TEST

START_TEST(pair1_dials_us) {
    rig.near.on_frame = echo;
    rig.near.on_up = prefix_if_pair1;
    struct end *near = meet(_i, nng_pair1_open(&theirs));
    ck_assert_uint_eq(near->protocol, TRP_SP_PAIR1);
    ping_pong();
}
END_TEST

/* A reply begins with the request's number, which has the highest bit set. */
static void reply(struct end *e, struct trp_slice body) {
    ck_assert_uint_gt(body.n, 4);
    ck_assert(body.p[0] & 0x80);
    trp_link_begin(e->link, body.p, 4);
    trp_link_send(e->link, body.p + 4, body.n - 4);
    trp_link_send(e->link, "!", 1);
    trp_link_end(e->link);
}

START_TEST(req0_asks_us) {
    rig.near.on_frame = reply;
    rig.near.answer = TRP_SP_REP0;
    struct end *near = meet(_i, nng_req0_open(&theirs));
    ck_assert_uint_eq(near->protocol, TRP_SP_REQ0);
    for (int i = 0; i < 100; i++) {
        they_send("how are you?", 12);
        they_receive("how are you?!", 13);
    }
}
END_TEST

START_TEST(push0_tells_us) {
    rig.near.answer = TRP_SP_PULL0;
    struct end *near = meet(_i, nng_push0_open(&theirs));
    ck_assert_uint_eq(near->protocol, TRP_SP_PUSH0);
    for (int i = 0; i < 100; i++)
        they_send("0123456789", 10);
    RIG_WAIT(near->got.n == 1000);
}
END_TEST

START_TEST(they_take_several_envelopes_in_a_frame) {
    struct end *near = meet(_i, nng_pair0_open(&theirs));
    for (int i = 0; i < 3; i++)
        trp_link_send(near->link, "abc", 3);
    they_receive("abcabcabc", 9);
}
END_TEST

START_TEST(their_close_is_an_end) {
    struct end *near = meet(_i, nng_pair0_open(&theirs));
    they_send("bye", 3);
    RIG_WAIT(near->frames == 1);
    must(nng_close(theirs));
    RIG_WAIT(near->downs == 1);
    ck_assert_int_eq(near->status, TROUPE_CLOSED);
}
END_TEST

START_TEST(they_dial_again_when_we_close) {
    rig.near.on_frame = echo;
    must(nng_pair0_open(&theirs));
    must(nng_socket_set_ms(theirs, NNG_OPT_RECONNMINT, 10));
    rig_listen(_i);
    must(nng_dial(theirs, rig.url, NULL, NNG_FLAG_NONBLOCK));
    for (int i = 0;; i++) {
        RIG_WAIT(rig.accepts == i + 1 && rig.accepted[i]->ups == 1);
        they_send("again", 5);
        they_receive("again", 5);
        if (i == 3)
            break; /* connected: nng 1.5.2 may panic when it is closed while it dials */
        trp_link_close(rig.accepted[i]->link, 1000);
        RIG_WAIT(rig.accepted[i]->downs == 1);
        ck_assert_int_eq(rig.accepted[i]->status, TROUPE_CLOSED);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("transport with nng");
    const TTest *const tests[] = {
        pair0_dials_us,
        pair1_dials_us,
        req0_asks_us,
        push0_tells_us,
        they_take_several_envelopes_in_a_frame,
        their_close_is_an_end,
        they_dial_again_when_we_close,
    };
    TCase *t = rig_case(s, "nng", tests, sizeof tests / sizeof *tests, RIG_TRANSPORTS);
    tcase_add_checked_fixture(t, NULL, hang_up); /* before the rig's: the latest teardown comes first */
    return run_suite(s);
}
