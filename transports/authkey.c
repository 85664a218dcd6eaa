/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The key and its file. The file is opened first and looked at after, by its descriptor, so that what was checked is
 * what is read; O_NONBLOCK, because opening a FIFO would wait for its writer. */
#include "transports/authkey.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transports/alloc.h"
#include "transports/assert.h"
#include "transports/envelope.h"
#include "transports/transport.h"

struct trp_authkey {
    size_t n;
    uint8_t p[];
};

troupe_status trp_authkey_new(struct trp_authkey **out, const void *p, size_t n) {
    if (n == 0 || n > TRP_AUTHKEY_MOST)
        return TROUPE_BAD_KEY;
    struct trp_authkey *key = trp_malloc(sizeof *key + n);
    if (!key)
        return TROUPE_NO_MEMORY;
    key->n = n;
    memcpy(key->p, p, n);
    *out = key;
    return TROUPE_OK;
}

void trp_authkey_free(struct trp_authkey **key) {
    if (!*key)
        return;
    OPENSSL_cleanse((*key)->p, (*key)->n);
    trp_free(*key);
    *key = NULL;
}

/* --- the file --- */

static troupe_status bad_file(const char **why, const char *path, const char *what) {
    *why = trp_why("%s: %s", path, what);
    return TROUPE_BAD_KEY;
}

static troupe_status check_file(int fd, const char *path, const char **why) {
    struct stat s;
    if (fstat(fd, &s) != 0)
        return bad_file(why, path, strerror(errno));
    if (!S_ISREG(s.st_mode))
        return bad_file(why, path, "this is no plain file");
    unsigned mode = s.st_mode & 07777;
    if (mode != 0600 && mode != 0400) {
        *why = trp_why("%s: an authkey must be its owner's alone, mode 0600 or 0400, and this has 0%03o", path, mode);
        return TROUPE_BAD_KEY;
    }
    if (s.st_uid == geteuid())
        return TROUPE_OK;
    *why = trp_why("%s: this belongs to user %u, and we are user %u", path, (unsigned)s.st_uid, (unsigned)geteuid());
    return TROUPE_BAD_KEY;
}

/* As much as there is, up to cap. -1: errno. */
static ssize_t read_all(int fd, uint8_t *p, size_t cap) {
    size_t n = 0;
    while (n < cap) {
        ssize_t got = read(fd, p + n, cap - n);
        if (got == 0)
            break;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        n += (size_t)got;
    }
    return (ssize_t)n;
}

static troupe_status read_file(struct trp_authkey **out, int fd, const char *path, const char **why) {
    uint8_t bytes[TRP_AUTHKEY_MOST + 2]; /* the newline, and one to see that it is too long */
    ssize_t n = read_all(fd, bytes, sizeof bytes);
    troupe_status st = TROUPE_BAD_KEY;
    if (n < 0) {
        st = bad_file(why, path, strerror(errno));
    } else {
        if (n > 0 && bytes[n - 1] == '\n')
            n--;
        *why = troupe_status_text(TROUPE_NO_MEMORY);
        st = trp_authkey_new(out, bytes, (size_t)n);
        if (st == TROUPE_BAD_KEY)
            st = bad_file(why, path, n ? "an authkey has at most 4096 bytes, and this has more" : "the authkey is empty");
    }
    OPENSSL_cleanse(bytes, sizeof bytes);
    return st;
}

troupe_status trp_authkey_load(struct trp_authkey **out, const char *path, const char **why) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return bad_file(why, path, strerror(errno));
    troupe_status st = check_file(fd, path, why);
    if (st == TROUPE_OK)
        st = read_file(out, fd, path, why);
    (void)close(fd);
    return st;
}

const char *trp_authkey_path(const char *path) {
    if (!path)
        path = getenv("TROUPE_AUTHKEY_FILE");
    return path && *path ? path : NULL;
}

/* --- proofs --- */

troupe_status trp_authkey_hmac(const struct trp_authkey *key, struct trp_slice message, uint8_t out[TRP_AUTH_BYTES]) {
    unsigned n = 0;
    if (!HMAC(EVP_sha256(), key->p, (int)key->n, message.p, message.n, out, &n))
        return TROUPE_NO_MEMORY; /* the one thing that can go wrong with a digest that is built in */
    trp_assert(n == TRP_AUTH_BYTES);
    return TROUPE_OK;
}

enum { ROLE_BYTES = 15 };

static const char roles[][ROLE_BYTES + 1] = {[TRP_AUTH_BROKER] = "troupe broker 1", [TRP_AUTH_CLIENT] = "troupe client 1"};

troupe_status trp_authkey_prove(const struct trp_authkey *key, enum trp_auth_role role, const struct trp_nonces *nonces,
                                uint8_t proof[TRP_AUTH_BYTES]) {
    uint8_t message[ROLE_BYTES + 2 * TRP_AUTH_BYTES];
    memcpy(message, roles[role], ROLE_BYTES);
    memcpy(message + ROLE_BYTES, nonces->client, TRP_AUTH_BYTES);
    memcpy(message + ROLE_BYTES + TRP_AUTH_BYTES, nonces->broker, TRP_AUTH_BYTES);
    return trp_authkey_hmac(key, (struct trp_slice){message, sizeof message}, proof);
}

bool trp_authkey_proves(const struct trp_authkey *key, enum trp_auth_role role, const struct trp_nonces *nonces,
                        const uint8_t proof[TRP_AUTH_BYTES]) {
    uint8_t wanted[TRP_AUTH_BYTES];
    bool right = trp_authkey_prove(key, role, nonces, wanted) == TROUPE_OK && CRYPTO_memcmp(wanted, proof, sizeof wanted) == 0;
    OPENSSL_cleanse(wanted, sizeof wanted);
    return right;
}

troupe_status trp_nonce_make(uint8_t out[TRP_AUTH_BYTES]) {
    ssize_t n;
    do
        n = getrandom(out, TRP_AUTH_BYTES,
                      0); /* so few bytes come whole, or are interrupted at boot, before there is entropy */
    while (n < 0 && errno == EINTR);
    return n == TRP_AUTH_BYTES ? TROUPE_OK : TROUPE_SYSTEM;
}

/* --- on the wire --- */

uint8_t *trp_auth_put(uint8_t *p, const char *name, const uint8_t bytes[TRP_AUTH_BYTES]) {
    p = trp_pack_str(p, trp_slice_str(name));
    p = trp_pack_bin_head(p, TRP_AUTH_BYTES);
    memcpy(p, bytes, TRP_AUTH_BYTES);
    return p + TRP_AUTH_BYTES;
}

bool trp_auth_get(struct trp_slice info, const char *name, uint8_t bytes[TRP_AUTH_BYTES]) {
    troupe_value v;
    if (!trp_map_value(info, name, &v) || v.kind != TROUPE_BYTES || v.size != TRP_AUTH_BYTES)
        return false;
    memcpy(bytes, v.data, TRP_AUTH_BYTES);
    return true;
}
