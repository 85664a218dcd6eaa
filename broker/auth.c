/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The order of things is the point: the state moves before anything is looked at that came from the peer, so no way
 * through here leaves a handshake where the same step could be tried again. */
#include "broker/auth.h"

#include "transports/assert.h"

void trp_auth_init(struct trp_auth *a, const uint8_t nonce[TRP_AUTH_BYTES]) {
    *a = (struct trp_auth){.state = TRP_AUTH_HELLO};
    memcpy(a->nonces.broker, nonce, TRP_AUTH_BYTES);
}

void trp_auth_fini(struct trp_auth *a) {
    trp_buf_fini(&a->hello);
}

static troupe_status put_challenge(const struct trp_auth *a, const struct trp_authkey *key, struct trp_buf *out) {
    uint8_t proof[TRP_AUTH_BYTES], info[1 + 2 * TRP_AUTH_ENTRY], *p = trp_pack_map(info, 2);
    troupe_status st = trp_authkey_prove(key, TRP_AUTH_BROKER, &a->nonces, proof);
    if (st != TROUPE_OK)
        return st;
    p = trp_auth_put(p, "nonce", a->nonces.broker);
    p = trp_auth_put(p, "proof", proof);
    return trp_put_info(out, TRP_CHALLENGE, (struct trp_slice){info, (size_t)(p - info)});
}

static enum trp_auth_verdict on_hello(struct trp_auth *a, const struct trp_authkey *key, const struct trp_envelope *e,
                                      struct trp_buf *out) {
    if (e->op != TRP_HELLO || !trp_auth_get(e->options, "nonce", a->nonces.client))
        return TRP_AUTH_MISSING;
    if (trp_buf_put(&a->hello, e->options.p, e->options.n) != TROUPE_OK || put_challenge(a, key, out) != TROUPE_OK)
        return TRP_AUTH_NO_MEMORY;
    a->state = TRP_AUTH_PROOF;
    return TRP_AUTH_CHALLENGE;
}

static enum trp_auth_verdict on_auth(const struct trp_auth *a, const struct trp_authkey *key, const struct trp_envelope *e) {
    uint8_t proof[TRP_AUTH_BYTES];
    if (e->op != TRP_AUTH)
        return TRP_AUTH_MISSING;
    if (!trp_auth_get(e->options, "proof", proof) || !trp_authkey_proves(key, TRP_AUTH_CLIENT, &a->nonces, proof))
        return TRP_AUTH_WRONG;
    return TRP_AUTH_PASS;
}

enum trp_auth_verdict trp_auth_feed(struct trp_auth *a, const struct trp_authkey *key, const struct trp_envelope *e,
                                    struct trp_buf *out) {
    enum trp_auth_state state = a->state;
    trp_assert(state != TRP_AUTH_OVER);
    a->state = TRP_AUTH_OVER;
    if (e->op == TRP_CLOSE)
        return TRP_AUTH_LEFT;
    return state == TRP_AUTH_HELLO ? on_hello(a, key, e, out) : on_auth(a, key, e);
}

struct trp_envelope trp_auth_hello(const struct trp_auth *a) {
    return (struct trp_envelope){.op = TRP_HELLO, .options = {a->hello.p, a->hello.n}};
}
