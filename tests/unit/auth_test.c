/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The broker's half of the handshake, step by step, and the gate that strangers wait in. */
#include "broker/auth.h"

#include "broker/gate.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

static struct trp_authkey *key, *other;
static struct trp_auth auth;
static struct trp_buf out;
static uint8_t client_nonce[TRP_AUTH_BYTES];
static uint8_t bytes[1024];

static void begin(void) {
    uint8_t nonce[TRP_AUTH_BYTES];
    trp_auth_fini(&auth);
    ck_assert_int_eq(trp_nonce_make(nonce), TROUPE_OK);
    ck_assert_int_eq(trp_nonce_make(client_nonce), TROUPE_OK);
    trp_auth_init(&auth, nonce);
    out.n = 0;
}

static void set_up(void) {
    ck_assert_int_eq(trp_authkey_new(&key, "the key", 7), TROUPE_OK);
    ck_assert_int_eq(trp_authkey_new(&other, "another", 7), TROUPE_OK);
    begin();
}

static void tear_down(void) {
    trp_auth_fini(&auth);
    trp_buf_fini(&out);
    trp_authkey_free(&key);
    trp_authkey_free(&other);
}

/* An envelope as it comes from the wire: an op with info of one entry, or with none. */
static struct trp_envelope wire(enum trp_op op, const char *name, const uint8_t *entry) {
    uint8_t info[64], *p = trp_pack_map(info, entry ? 1 : 0);
    struct trp_buf b = {.p = bytes, .cap = sizeof bytes};
    struct trp_envelope e;
    size_t used;
    const char *why;
    if (entry)
        p = trp_auth_put(p, name, entry);
    ck_assert_int_eq(trp_put_info(&b, op, (struct trp_slice){info, (size_t)(p - info)}), TROUPE_OK);
    ck_assert_int_eq(trp_envelope_read(b.p, b.n, &e, &used, &why), TROUPE_OK);
    return e;
}

/* Whatever the verdict, it is over then, unless it is a CHALLENGE. */
static enum trp_auth_verdict say(struct trp_envelope e) {
    enum trp_auth_verdict v = trp_auth_feed(&auth, key, &e, &out);
    ck_assert_int_eq(auth.state, v == TRP_AUTH_CHALLENGE ? TRP_AUTH_PROOF : TRP_AUTH_OVER);
    return v;
}

static enum trp_auth_verdict hello(void) {
    return say(wire(TRP_HELLO, "nonce", client_nonce));
}

/* What the last CHALLENGE said. */
static void challenge(struct trp_nonces *n, uint8_t proof[TRP_AUTH_BYTES]) {
    struct trp_envelope e;
    size_t used;
    const char *why;
    ck_assert_int_eq(trp_envelope_read(out.p, out.n, &e, &used, &why), TROUPE_OK);
    ck_assert_uint_eq(used, out.n);
    ck_assert_int_eq(e.op, TRP_CHALLENGE);
    ck_assert(trp_auth_get(e.options, "nonce", n->broker));
    ck_assert(trp_auth_get(e.options, "proof", proof));
    memcpy(n->client, client_nonce, TRP_AUTH_BYTES);
}

/* The proof that a client with this key gives now. */
static void prove(const struct trp_authkey *with, enum trp_auth_role role, uint8_t proof[TRP_AUTH_BYTES]) {
    struct trp_nonces n;
    challenge(&n, proof);
    ck_assert_int_eq(trp_authkey_prove(with, role, &n, proof), TROUPE_OK);
}

static enum trp_auth_verdict answer(const uint8_t proof[TRP_AUTH_BYTES]) {
    return say(wire(TRP_AUTH, "proof", proof));
}

START_TEST(who_knows_the_key_passes) {
    struct trp_nonces n;
    uint8_t proof[TRP_AUTH_BYTES], nonce[TRP_AUTH_BYTES];
    ck_assert_int_eq(hello(), TRP_AUTH_CHALLENGE);
    challenge(&n, proof);
    ck_assert(trp_authkey_proves(key, TRP_AUTH_BROKER, &n, proof));
    ck_assert(!trp_authkey_proves(other, TRP_AUTH_BROKER, &n, proof));
    prove(key, TRP_AUTH_CLIENT, proof);
    ck_assert_int_eq(answer(proof), TRP_AUTH_PASS);
    struct trp_envelope kept = trp_auth_hello(&auth);
    ck_assert_int_eq(kept.op, TRP_HELLO);
    ck_assert(trp_auth_get(kept.options, "nonce", nonce));
    ck_assert_mem_eq(nonce, client_nonce, TRP_AUTH_BYTES);
}
END_TEST

START_TEST(who_does_not_is_wrong) {
    uint8_t proof[TRP_AUTH_BYTES];
    ck_assert_int_eq(hello(), TRP_AUTH_CHALLENGE);
    prove(other, TRP_AUTH_CLIENT, proof);
    ck_assert_int_eq(answer(proof), TRP_AUTH_WRONG);
}
END_TEST

START_TEST(one_wrong_bit_is_wrong) {
    for (unsigned bit = 0; bit < TRP_AUTH_BYTES * 8; bit++) {
        uint8_t proof[TRP_AUTH_BYTES];
        begin();
        ck_assert_int_eq(hello(), TRP_AUTH_CHALLENGE);
        prove(key, TRP_AUTH_CLIENT, proof);
        proof[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_int_eq(answer(proof), TRP_AUTH_WRONG);
    }
}
END_TEST

START_TEST(the_brokers_own_proof_is_wrong) {
    struct trp_nonces n;
    uint8_t proof[TRP_AUTH_BYTES];
    ck_assert_int_eq(hello(), TRP_AUTH_CHALLENGE);
    challenge(&n, proof);
    ck_assert_int_eq(answer(proof), TRP_AUTH_WRONG);
    /* With the broker's nonce for one's own, as a mirror would have it. */
    begin();
    memcpy(client_nonce, auth.nonces.broker, TRP_AUTH_BYTES);
    ck_assert_int_eq(hello(), TRP_AUTH_CHALLENGE);
    challenge(&n, proof);
    ck_assert_int_eq(answer(proof), TRP_AUTH_WRONG);
}
END_TEST

START_TEST(a_proof_that_was_right_once_is_wrong) {
    uint8_t proof[TRP_AUTH_BYTES], same[TRP_AUTH_BYTES];
    ck_assert_int_eq(hello(), TRP_AUTH_CHALLENGE);
    prove(key, TRP_AUTH_CLIENT, proof);
    ck_assert_int_eq(answer(proof), TRP_AUTH_PASS);
    memcpy(same, client_nonce, sizeof same);
    begin();
    memcpy(client_nonce, same, sizeof same);
    ck_assert_int_eq(hello(), TRP_AUTH_CHALLENGE);
    ck_assert_int_eq(answer(proof), TRP_AUTH_WRONG);
}
END_TEST

START_TEST(a_proof_of_another_form_is_wrong) {
    static const struct {
        const char *map;
        size_t n;
    } maps[] = {
#define M(s) {s, sizeof s - 1}
        M("\x80"),
        M("\x81\xa5proof\xc4\x00"),
        M("\x81\xa5proof\xc0"),
        M("\x81\xa5proof\xc4\x01x"),
        M("\x81\xa5proof\xd9\x20"
          "01234567890123456789012345678901"),
        M("\x81\xa5nonce\xc4\x20"
          "01234567890123456789012345678901"),
        M("\x81\xa5proof\xc4\x21"
          "012345678901234567890123456789012"),
        M("\x81\xa5proof\xc3"),
    };
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        begin();
        ck_assert_int_eq(hello(), TRP_AUTH_CHALLENGE);
        struct trp_envelope e = {.op = TRP_AUTH, .options = {(const uint8_t *)maps[i].map, maps[i].n}};
        ck_assert_int_eq(say(e), TRP_AUTH_WRONG);
    }
    begin();
    ck_assert_int_eq(hello(), TRP_AUTH_CHALLENGE);
    ck_assert_int_eq(say((struct trp_envelope){.op = TRP_AUTH}), TRP_AUTH_WRONG); /* nil */
}
END_TEST

START_TEST(nothing_else_is_heard_before) {
    for (int op = TRP_HELLO; op <= TRP_CLOSE; op++) {
        enum trp_auth_verdict wanted = op == TRP_CLOSE ? TRP_AUTH_LEFT : TRP_AUTH_MISSING;
        begin(); /* as the first word; a HELLO has no nonce here */
        ck_assert_int_eq(say((struct trp_envelope){.op = (enum trp_op)op}), wanted);
        if (op == TRP_AUTH)
            continue;
        begin(); /* after the CHALLENGE */
        ck_assert_int_eq(hello(), TRP_AUTH_CHALLENGE);
        ck_assert_int_eq(say(wire((enum trp_op)(op == TRP_HELLO ? op : TRP_WELCOME), "nonce", client_nonce)), TRP_AUTH_MISSING);
        begin();
        ck_assert_int_eq(hello(), TRP_AUTH_CHALLENGE);
        ck_assert_int_eq(say((struct trp_envelope){.op = (enum trp_op)op}), wanted);
    }
}
END_TEST

START_TEST(a_nonce_in_another_envelope_is_no_hello) {
    for (int op = TRP_CHALLENGE; op <= TRP_WELCOME; op++) {
        begin();
        ck_assert_int_eq(say(wire((enum trp_op)op, "nonce", client_nonce)), TRP_AUTH_MISSING);
    }
}
END_TEST

START_TEST(an_auth_without_a_hello_is_nothing) {
    struct trp_nonces n = {0};
    uint8_t proof[TRP_AUTH_BYTES];
    memcpy(n.broker, auth.nonces.broker, TRP_AUTH_BYTES); /* even if it could be guessed */
    ck_assert_int_eq(trp_authkey_prove(key, TRP_AUTH_CLIENT, &n, proof), TROUPE_OK);
    ck_assert_int_eq(answer(proof), TRP_AUTH_MISSING);
}
END_TEST

START_TEST(out_of_memory) {
    for (long n = 1;; n++) {
        begin();
        trp_buf_fini(&out);
        struct trp_envelope e = wire(TRP_HELLO, "nonce", client_nonce);
        faults_fail_at(n);
        enum trp_auth_verdict v = say(e);
        faults_off();
        if (v == TRP_AUTH_CHALLENGE)
            break;
        ck_assert_int_eq(v, TRP_AUTH_NO_MEMORY);
        ck_assert_uint_eq(out.n, 0);
    }
}
END_TEST

/* --- the gate --- */

static uv_loop_t loop;
static struct trp_gate gate;
static int waited, held;
static void *last;

static void on_due(void *user, bool was_held) {
    last = user;
    *(was_held ? &held : &waited) += 1;
}

static void gate_up(int64_t patience_ms) {
    struct trp_authkey *k;
    waited = held = 0;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(trp_authkey_new(&k, "key", 3), TROUPE_OK);
    trp_gate_init(&gate, &loop, &k, patience_ms, on_due);
    ck_assert_ptr_null(k);
}

static void gate_down(void) {
    trp_gate_fini(&gate);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

/* The time since then is at least what a deadline was set to from now on: the loop's clock is the same, or ahead. */
static uint64_t stopwatch(void) {
    uint64_t began = uv_hrtime();
    uv_update_time(&loop);
    return began;
}

static struct trp_visitor *enter(void *user) {
    struct trp_visitor *v = trp_gate_enter(&gate, user);
    ck_assert_ptr_nonnull(v);
    return v;
}

START_TEST(each_has_a_deadline_and_a_nonce) {
    int a, b;
    gate_up(20);
    uint64_t began = stopwatch();
    struct trp_visitor *first = enter(&a), *second = enter(&b);
    ck_assert_mem_ne(first->auth.nonces.broker, second->auth.nonces.broker, TRP_AUTH_BYTES);
    while (waited < 2)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_uint_ge(uv_hrtime() - began, 18 * 1000000u);
    ck_assert_ptr_eq(last, &b);
    trp_gate_leave(&gate, &first);
    trp_gate_leave(&gate, &second);
    ck_assert_ptr_null(first);
    trp_gate_leave(&gate, &first);
    gate_down();
}
END_TEST

/* A hold is shorter than the patience with those who came earlier; the timer must not wait for them. */
START_TEST(a_hold_ends_before_longer_deadlines) {
    int a, b;
    gate_up(60000);
    struct trp_visitor *first = enter(&a), *second = enter(&b);
    uint64_t began = stopwatch();
    ck_assert(trp_gate_hold(&gate, second));
    while (!held)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_uint_ge(uv_hrtime() - began, (TRP_GATE_HOLD_MS - 5) * 1000000u);
    ck_assert_uint_lt(uv_hrtime() - began, 5000u * 1000000u);
    ck_assert_ptr_eq(last, &b);
    ck_assert_int_eq(waited, 0);
    trp_gate_leave(&gate, &first);
    trp_gate_leave(&gate, &second);
    gate_down();
}
END_TEST

START_TEST(so_many_are_held_and_no_more) {
    static struct trp_visitor *all[TRP_GATE_HELD + 1];
    gate_up(60000);
    for (int i = 0; i <= TRP_GATE_HELD; i++) {
        all[i] = enter(NULL);
        ck_assert_int_eq(trp_gate_hold(&gate, all[i]), i < TRP_GATE_HELD);
    }
    trp_gate_leave(&gate, &all[7]); /* from the middle */
    ck_assert(trp_gate_hold(&gate, all[TRP_GATE_HELD]));
    while (held < TRP_GATE_HELD)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_uint_eq(gate.held_count, 0);
    for (int i = 0; i <= TRP_GATE_HELD; i++)
        trp_gate_leave(&gate, &all[i]);
    gate_down();
}
END_TEST

START_TEST(a_gate_without_a_key_is_no_gate) {
    struct trp_authkey *none = NULL;
    trp_gate_init(&gate, NULL, &none, 10, on_due);
    ck_assert_ptr_null(gate.key);
    trp_gate_fini(&gate);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {each_has_a_deadline_and_a_nonce, a_hold_ends_before_longer_deadlines,
                                  so_many_are_held_and_no_more, a_gate_without_a_key_is_no_gate};
    Suite *s = suite_create("auth");
    TCase *steps = tcase_create("handshake");
    tcase_add_checked_fixture(steps, set_up, tear_down);
    tcase_add_test(steps, who_knows_the_key_passes);
    tcase_add_test(steps, who_does_not_is_wrong);
    tcase_add_test(steps, one_wrong_bit_is_wrong);
    tcase_add_test(steps, the_brokers_own_proof_is_wrong);
    tcase_add_test(steps, a_proof_that_was_right_once_is_wrong);
    tcase_add_test(steps, a_proof_of_another_form_is_wrong);
    tcase_add_test(steps, nothing_else_is_heard_before);
    tcase_add_test(steps, a_nonce_in_another_envelope_is_no_hello);
    tcase_add_test(steps, an_auth_without_a_hello_is_nothing);
    tcase_add_test(steps, out_of_memory);
    suite_add_tcase(s, steps);
    run_case(s, "gate", tests, sizeof tests / sizeof *tests);
    return run_suite(s);
}
