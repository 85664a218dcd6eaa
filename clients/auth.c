/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Whoever answers at the broker's address is a stranger until its proof is right. When it is not, we say why we go (our
 * reason is of use in the broker's log, and tells nothing of the key) and do not prove anything. */
#include "clients/auth.h"

#include "clients/conn_state.h"
#include "transports/alloc.h"
#include "transports/log.h"

troupe_status trp_conn_auth_init(struct trp_conn_auth *a, const char *file, const char **why) {
    const char *path = trp_authkey_path(file);
    *a = (struct trp_conn_auth){0};
    if (!path)
        return TROUPE_OK;
    *why = troupe_status_text(TROUPE_NO_MEMORY);
    a->path = trp_strdup(path);
    troupe_status st = a->path ? trp_authkey_load(&a->key, path, why) : TROUPE_NO_MEMORY;
    if (st != TROUPE_OK)
        trp_conn_auth_fini(a);
    return st;
}

void trp_conn_auth_fini(struct trp_conn_auth *a) {
    trp_authkey_free(&a->key);
    trp_free(a->path);
    a->path = NULL;
}

static void key_read_again(struct trp_conn_auth *a) {
    struct trp_authkey *key;
    const char *why = "";
    if (trp_authkey_load(&key, a->path, &why) != TROUPE_OK) {
        trp_log(TROUPE_LOG_WARN, "client.authkey", "%s", why);
        return;
    }
    trp_authkey_free(&a->key);
    a->key = key;
}

troupe_status trp_conn_auth_begin(struct trp_conn_auth *a) {
    a->proved = false;
    if (!a->key)
        return TROUPE_OK;
    if (a->denied)
        key_read_again(a);
    return trp_nonce_make(a->nonces.client);
}

/* For the broker's log. */
static void say_goodbye(struct trp_conn *c, const char *why) {
    struct trp_buf b;
    struct trp_slice code = trp_slice_str("AUTH_FAILED"), text = trp_slice_str(why);
    if (trp_conn_out(c, code.n + text.n, &b) == TROUPE_OK)
        trp_conn_out_end(c, &b, trp_put_close(&b, code, text));
}

static void refuse(struct trp_conn *c, const char *why) {
    say_goodbye(c, why);
    trp_conn_deny(c, why);
}

static void answer(struct trp_conn *c) {
    uint8_t proof[TRP_AUTH_BYTES], info[1 + TRP_AUTH_ENTRY], *p = trp_pack_map(info, 1);
    struct trp_buf b;
    if (trp_authkey_prove(c->auth.key, TRP_AUTH_CLIENT, &c->auth.nonces, proof) != TROUPE_OK) {
        trp_conn_lose(c, TROUPE_NO_MEMORY, false, "no memory");
        return;
    }
    p = trp_auth_put(p, "proof", proof);
    struct trp_slice map = {info, (size_t)(p - info)};
    c->auth.proved = true;
    if (trp_conn_out(c, map.n, &b) == TROUPE_OK)
        trp_conn_out_end(c, &b, trp_put_info(&b, TRP_AUTH, map));
}

void trp_conn_challenged(struct trp_conn *c, const struct trp_envelope *e) {
    uint8_t proof[TRP_AUTH_BYTES];
    struct trp_conn_auth *a = &c->auth;
    if (c->state != TRP_CONN_HELLO || a->proved) {
        trp_conn_violated(c, "UNEXPECTED", "a CHALLENGE after the first, or after WELCOME");
    } else if (!a->key) {
        refuse(c, "the broker asks for an authkey, and we have none");
    } else if (!trp_auth_get(e->options, "nonce", a->nonces.broker) || !trp_auth_get(e->options, "proof", proof)) {
        trp_conn_violated(c, "BAD_ENVELOPE", "CHALLENGE without a nonce and a proof of 32 bytes each");
    } else if (!trp_authkey_proves(a->key, TRP_AUTH_BROKER, &a->nonces, proof)) {
        refuse(c, "the broker does not know our authkey");
    } else {
        answer(c);
    }
}

bool trp_conn_auth_done(struct trp_conn *c) {
    if (c->auth.key && !c->auth.proved) {
        refuse(c, "the broker has no authkey");
        return false;
    }
    c->auth.denied = false;
    return true;
}
