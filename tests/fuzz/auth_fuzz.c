/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The broker's half of the handshake: nobody gets in without the key. The input is what an attacker does, a byte an
 * act, who may open session after session, say any envelope, send back every nonce and proof that the broker has ever
 * sent to it, and listen to an honest client and say again what that said. Only in one act is the key used for it: the
 * right proof with a mask over one byte of it. That one gets in if the mask is zero and it was its turn; nothing else
 * does. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "broker/auth.h"

enum act { RAW, HELLO, AUTH, REFLECT, REPLAY, PROVE, AGAIN, MIRROR, ACTS };

struct world {
    const uint8_t *p, *end; /* the input */
    struct trp_authkey *key;
    struct trp_auth auth;
    uint64_t sessions;
    struct trp_nonces nonces;        /* as the attacker knows them */
    uint8_t heard[TRP_AUTH_BYTES];   /* the broker's last proof */
    uint8_t earlier[TRP_AUTH_BYTES]; /* a proof that was right in an earlier session */
    struct trp_buf out;
};

/* Bytes of the input; zeros behind its end. */
static void take(struct world *w, uint8_t *to, size_t n) {
    size_t left = (size_t)(w->end - w->p), got = n < left ? n : left;
    memset(to, 0, n);
    if (got)
        memcpy(to, w->p, got);
    w->p += got;
}

static uint8_t take_byte(struct world *w) {
    uint8_t byte;
    take(w, &byte, 1);
    return byte;
}

static void begin(struct world *w) {
    uint8_t nonce[TRP_AUTH_BYTES] = {0x5a};
    trp_auth_fini(&w->auth);
    w->sessions++;
    memcpy(nonce + 8, &w->sessions, sizeof w->sessions); /* fresh: never the same twice */
    trp_auth_init(&w->auth, nonce);
}

/* The attacker reads the CHALLENGE, which is whole and right. */
static void read_challenge(struct world *w) {
    struct trp_envelope e;
    size_t used;
    const char *why;
    assert(trp_envelope_read(w->out.p, w->out.n, &e, &used, &why) == TROUPE_OK && used == w->out.n && e.op == TRP_CHALLENGE);
    assert(trp_auth_get(e.options, "nonce", w->nonces.broker) && trp_auth_get(e.options, "proof", w->heard));
    assert(memcmp(w->nonces.broker, w->auth.nonces.broker, TRP_AUTH_BYTES) == 0);
    assert(trp_authkey_proves(w->key, TRP_AUTH_BROKER, &w->auth.nonces, w->heard));
}

static void say(struct world *w, const struct trp_envelope *e, bool may_pass) {
    enum trp_auth_state state = w->auth.state;
    if (state == TRP_AUTH_OVER)
        return;
    w->out.n = 0;
    enum trp_auth_verdict v = trp_auth_feed(&w->auth, w->key, e, &w->out);
    if (v == TRP_AUTH_CHALLENGE) {
        assert(state == TRP_AUTH_HELLO && e->op == TRP_HELLO && w->auth.state == TRP_AUTH_PROOF);
        assert(trp_auth_get(e->options, "nonce", w->nonces.client));
        read_challenge(w);
        return;
    }
    assert(w->auth.state == TRP_AUTH_OVER && w->out.n == 0);
    assert((v == TRP_AUTH_PASS) == (may_pass && state == TRP_AUTH_PROOF));
    assert(v != TRP_AUTH_WRONG || (state == TRP_AUTH_PROOF && e->op == TRP_AUTH));
    assert((v == TRP_AUTH_LEFT) == (e->op == TRP_CLOSE));
}

static void say_entry(struct world *w, enum trp_op op, const char *name, const uint8_t bytes[TRP_AUTH_BYTES], bool may_pass) {
    uint8_t info[1 + TRP_AUTH_ENTRY], *p = trp_pack_map(info, 1);
    p = trp_auth_put(p, name, bytes);
    struct trp_envelope e = {.op = op, .options = {info, (size_t)(p - info)}};
    say(w, &e, may_pass);
}

/* Any bytes, read as a session reads a frame. */
static void say_raw(struct world *w) {
    uint8_t body[256];
    size_t n = take_byte(w), used;
    const uint8_t *p = body;
    take(w, body, n);
    for (const uint8_t *end = body + n; p < end; p += used) {
        struct trp_envelope e;
        const char *why;
        if (trp_envelope_read(p, (size_t)(end - p), &e, &used, &why) != TROUPE_OK) {
            begin(w); /* its connection is closed */
            return;
        }
        say(w, &e, false);
    }
}

static void prove(struct world *w) {
    uint8_t proof[TRP_AUTH_BYTES], at = take_byte(w) % TRP_AUTH_BYTES, mask = take_byte(w);
    bool turn = w->auth.state == TRP_AUTH_PROOF;
    assert(trp_authkey_prove(w->key, TRP_AUTH_CLIENT, &w->nonces, proof) == TROUPE_OK);
    if (turn && mask == 0)
        memcpy(w->earlier, proof, sizeof proof);
    proof[at] ^= mask;
    say_entry(w, TRP_AUTH, "proof", proof, mask == 0);
}

static void act(struct world *w) {
    uint8_t bytes[TRP_AUTH_BYTES];
    switch ((enum act)(take_byte(w) % ACTS)) {
    case RAW:
        say_raw(w);
        break;
    case HELLO:
        take(w, bytes, sizeof bytes);
        say_entry(w, TRP_HELLO, "nonce", bytes, false);
        break;
    case AUTH:
        take(w, bytes, sizeof bytes);
        say_entry(w, TRP_AUTH, "proof", bytes, false);
        break;
    case REFLECT:
        say_entry(w, TRP_AUTH, "proof", w->heard, false);
        break;
    case REPLAY:
        say_entry(w, TRP_AUTH, "proof", w->earlier, false);
        break;
    case PROVE:
        prove(w);
        break;
    case MIRROR:
        say_entry(w, TRP_HELLO, "nonce", w->nonces.broker, false);
        break;
    case AGAIN:
    case ACTS:
        begin(w);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct world w = {.p = data, .end = data + size};
    troupe_status st = trp_authkey_new(&w.key, "the key of the broker", 21);
    assert(st == TROUPE_OK);
    begin(&w);
    while (w.p < w.end)
        act(&w);
    trp_auth_fini(&w.auth);
    trp_authkey_free(&w.key);
    trp_buf_fini(&w.out);
    return 0;
}
