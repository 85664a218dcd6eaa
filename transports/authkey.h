/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The authkey: a secret that a broker and its clients have in common, and the proofs by which each shows the other that
 * it has it, without saying it. A proof is
 *
 *     HMAC-SHA256(key, role || client's nonce || broker's nonce)
 *
 * The roles ("troupe broker 1", "troupe client 1") differ, so that a proof sent back to whoever made it proves nothing;
 * each side brings a fresh nonce of its own, so that one heard earlier proves nothing either. PROTOCOL.md has the
 * handshake.
 *
 * The key's bytes leave this file for OpenSSL only, and are wiped before their memory is given back.
 *
 * Context: any thread, for all of it; a key that is not being freed may be used by several. */
#ifndef TRP_AUTHKEY_H
#define TRP_AUTHKEY_H

#include "transports/buf.h"

enum {
    TRP_AUTH_BYTES = 32,    /* of a nonce and of a proof */
    TRP_AUTHKEY_MOST = 4096 /* of a key */
};

enum trp_auth_role { TRP_AUTH_BROKER, TRP_AUTH_CLIENT };

/* What two sides have told each other. */
struct trp_nonces {
    uint8_t client[TRP_AUTH_BYTES], broker[TRP_AUTH_BYTES];
};

struct trp_authkey;

/* A copy of 1 to TRP_AUTHKEY_MOST bytes. BAD_KEY: none, or more; NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_authkey_new(struct trp_authkey **out, const void *p, size_t n);
/* The content of a file without the newline at its end. It must be a plain file of this process's user with mode 0600 or
 * 0400: a secret that others can read or replace is none. BAD_KEY: it is not, it can't be read, it is empty or too long;
 * *why is a sentence that names it, in a buffer of this thread, good until the next one. NO_MEMORY. May block on the file
 * system. */
TROUPE_NODISCARD troupe_status trp_authkey_load(struct trp_authkey **out, const char *path, const char **why);
/* Wipes it. Accepts NULL inside. */
void trp_authkey_free(struct trp_authkey **key);

/* The file that a client is to use when it was told `path`: NULL is the environment's TROUPE_AUTHKEY_FILE. NULL: none,
 * which an empty name says, too. */
const char *trp_authkey_path(const char *path);

TROUPE_NODISCARD troupe_status trp_authkey_hmac(const struct trp_authkey *key, struct trp_slice message,
                                                uint8_t out[TRP_AUTH_BYTES]);
/* NO_MEMORY: OpenSSL had none. */
TROUPE_NODISCARD troupe_status trp_authkey_prove(const struct trp_authkey *key, enum trp_auth_role role,
                                                 const struct trp_nonces *nonces, uint8_t proof[TRP_AUTH_BYTES]);
/* Is that the proof of this role? In a time that does not tell how much of it was right. */
bool trp_authkey_proves(const struct trp_authkey *key, enum trp_auth_role role, const struct trp_nonces *nonces,
                        const uint8_t proof[TRP_AUTH_BYTES]);

/* Fresh random bytes. SYSTEM. */
TROUPE_NODISCARD troupe_status trp_nonce_make(uint8_t out[TRP_AUTH_BYTES]);

/* An entry of HELLO's, CHALLENGE's and AUTH's info: a name ("nonce", "proof") and TRP_AUTH_BYTES bytes. Put writes at p,
 * at most TRP_AUTH_ENTRY bytes, and returns the byte behind. Get is false when there is none of that type and length. */
enum { TRP_AUTH_ENTRY = 8 + 2 + TRP_AUTH_BYTES };
uint8_t *trp_auth_put(uint8_t *p, const char *name, const uint8_t bytes[TRP_AUTH_BYTES]);
bool trp_auth_get(struct trp_slice info, const char *name, uint8_t bytes[TRP_AUTH_BYTES]);

#endif
