/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The client's half of the handshake over an authkey; the broker's is broker/auth.h.
 *
 *     HELLO {nonce} ->   <- CHALLENGE {nonce, proof}   AUTH {proof} ->   <- WELCOME
 *
 * The broker proves first that it knows the key: a client with a key says nothing else, and proves nothing, to one that
 * does not. */
#ifndef TRP_CLIENTS_AUTH_H
#define TRP_CLIENTS_AUTH_H

#include "transports/authkey.h"
#include "transports/envelope.h"

struct trp_conn;

struct trp_conn_auth {
    char *path; /* (c) the key's file; NULL: no key */
    struct trp_authkey *key;
    struct trp_nonces nonces; /* of this connection's handshake */
    bool proved;              /* the broker has shown that it knows the key, and we have said our proof */
    bool denied;              /* the last try has failed over the key */
};

/* As troupe_client_opts.authkey_file says. BAD_KEY (*why), NO_MEMORY. On a fault nothing is left. */
TROUPE_NODISCARD troupe_status trp_conn_auth_init(struct trp_conn_auth *a, const char *file, const char **why);
void trp_conn_auth_fini(struct trp_conn_auth *a);

/* A connection begins: a fresh nonce, and after a denial the file is read again (a file that can't be used now leaves the
 * key as it is). SYSTEM: no random bytes. */
TROUPE_NODISCARD troupe_status trp_conn_auth_begin(struct trp_conn_auth *a);
/* The broker's CHALLENGE, at the connection's dispatch. */
void trp_conn_challenged(struct trp_conn *c, const struct trp_envelope *e);
/* May a WELCOME be believed? If not, the connection has been given up. */
bool trp_conn_auth_done(struct trp_conn *c);

#endif
