/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * One peer's handshake where an authkey is asked for. Pure: envelopes and random bytes in, a verdict out.
 *
 *     HELLO {nonce}     ->                            state   HELLO
 *                       <-  CHALLENGE {nonce, proof}          PROOF
 *     AUTH {proof}      ->                                    OVER
 *                       <-  WELCOME, said by the core, which hears of the HELLO now
 *
 * Each state takes the one envelope that belongs there. Whatever else comes ends the handshake, and nothing goes on
 * after its end: a peer that failed begins anew with a connection, and so with another nonce. */
#ifndef TRP_BROKER_AUTH_H
#define TRP_BROKER_AUTH_H

#include "transports/authkey.h"
#include "transports/envelope.h"

enum trp_auth_state { TRP_AUTH_HELLO, TRP_AUTH_PROOF, TRP_AUTH_OVER };

enum trp_auth_verdict {
    TRP_AUTH_CHALLENGE, /* the CHALLENGE has been appended to out */
    TRP_AUTH_PASS,      /* it knows the key */
    TRP_AUTH_MISSING,   /* it does not take part: ERR AUTH_REQUIRED */
    TRP_AUTH_WRONG,     /* its proof proves nothing: ERR AUTH_FAILED */
    TRP_AUTH_LEFT,      /* it says goodbye */
    TRP_AUTH_NO_MEMORY,
};

struct trp_auth {
    enum trp_auth_state state;
    struct trp_nonces nonces;
    struct trp_buf hello; /* the HELLO's info, kept for the core */
};

/* The nonce is for this handshake alone: fresh random bytes (trp_nonce_make). */
void trp_auth_init(struct trp_auth *a, const uint8_t nonce[TRP_AUTH_BYTES]);
/* One envelope from the peer. All but CHALLENGE end the handshake: this is not called again. */
enum trp_auth_verdict trp_auth_feed(struct trp_auth *a, const struct trp_authkey *key, const struct trp_envelope *e,
                                    struct trp_buf *out);
/* The HELLO that it began with, for the core. Borrows from a. */
struct trp_envelope trp_auth_hello(const struct trp_auth *a);
/* Harmless on one that is all zeros. */
void trp_auth_fini(struct trp_auth *a);

#endif
