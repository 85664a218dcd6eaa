/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The key, its file and its proofs: against the vectors of RFC 4231 and the example of PROTOCOL.md. */
#include "transports/authkey.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/faults.h"
#include "tests/support/run.h"
#include "transports/envelope.h"

static char folder[64], path[96];

static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "/tmp/troupe-key-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/key", folder);
}

static void tear_down(void) {
    (void)unlink(path);
    ck_assert_int_eq(rmdir(folder), 0);
}

static void write_file(const void *p, size_t n, unsigned mode) {
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, p, n), (ssize_t)n);
    ck_assert_int_eq(fchmod(fd, mode), 0);
    ck_assert_int_eq(close(fd), 0);
}

/* --- HMAC --- */

static size_t unhex(const char *text, uint8_t *out) {
    size_t n = 0;
    for (unsigned byte; sscanf(text, "%2x", &byte) == 1; text += 2)
        out[n++] = (uint8_t)byte;
    return n;
}

#define X10(s) s s s s s s s s s s

static const struct vector {
    const char *key, *data, *mac; /* hex; test case 5 is cut to 128 bits */
} vectors[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", X10("dddddddddd"),
     "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
    {"0102030405060708090a0b0c0d0e0f10111213141516171819", X10("cdcdcdcdcd"),
     "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
    {"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c", "546573742057697468205472756e636174696f6e",
     "a3b6167473100ee06e0c796c2955552b"},
    {X10("aaaaaaaaaaaaaaaaaaaaaaaaaa") "aa",
     "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b6579204669727374",
     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    {X10("aaaaaaaaaaaaaaaaaaaaaaaaaa") "aa",
     "5468697320697320612074657374207573696e672061206c6172676572207468616e20626c6f636b2d73697a65206b657920616e642061"
     "206c6172676572207468616e20626c6f636b2d73697a6520646174612e20546865206b6579206e6565647320746f2062652068617368"
     "6564206265666f7265206265696e6720757365642062792074686520484d414320616c676f726974686d2e",
     "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
};
enum { VECTORS = sizeof vectors / sizeof *vectors };

START_TEST(the_vectors_of_rfc_4231) {
    const struct vector *v = &vectors[_i];
    uint8_t key[160], data[160], mac[32], got[TRP_AUTH_BYTES];
    size_t n = unhex(v->mac, mac);
    struct trp_authkey *k;
    ck_assert_int_eq(trp_authkey_new(&k, key, unhex(v->key, key)), TROUPE_OK);
    ck_assert_int_eq(trp_authkey_hmac(k, (struct trp_slice){data, unhex(v->data, data)}, got), TROUPE_OK);
    ck_assert_mem_eq(got, mac, n);
    trp_authkey_free(&k);
    ck_assert_ptr_null(k);
    trp_authkey_free(&k);
}
END_TEST

/* --- proofs --- */

static struct trp_authkey *key_of(const char *text) {
    struct trp_authkey *k;
    ck_assert_int_eq(trp_authkey_new(&k, text, strlen(text)), TROUPE_OK);
    return k;
}

static struct trp_nonces counting(void) {
    struct trp_nonces n;
    for (unsigned i = 0; i < TRP_AUTH_BYTES; i++) {
        n.client[i] = (uint8_t)i;
        n.broker[i] = (uint8_t)(i + TRP_AUTH_BYTES);
    }
    return n;
}

START_TEST(a_proof_is_of_its_key_role_and_nonces) {
    struct trp_authkey *a = key_of("a"), *b = key_of("b");
    struct trp_nonces n = counting(), swapped;
    uint8_t proof[TRP_AUTH_BYTES];
    memcpy(swapped.client, n.broker, TRP_AUTH_BYTES);
    memcpy(swapped.broker, n.client, TRP_AUTH_BYTES);
    ck_assert_int_eq(trp_authkey_prove(a, TRP_AUTH_CLIENT, &n, proof), TROUPE_OK);
    ck_assert(trp_authkey_proves(a, TRP_AUTH_CLIENT, &n, proof));
    ck_assert(!trp_authkey_proves(b, TRP_AUTH_CLIENT, &n, proof));
    ck_assert(!trp_authkey_proves(a, TRP_AUTH_BROKER, &n, proof));
    ck_assert(!trp_authkey_proves(a, TRP_AUTH_CLIENT, &swapped, proof));
    for (unsigned bit = 0; bit < TRP_AUTH_BYTES * 8; bit++) {
        proof[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert(!trp_authkey_proves(a, TRP_AUTH_CLIENT, &n, proof));
        proof[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    trp_authkey_free(&a);
    trp_authkey_free(&b);
}
END_TEST

/* Is an envelope, as "92 01 ...", a line of the page's examples? */
static bool page_has(const struct trp_buf *b) {
    char wanted[1024] = "", line[1024];
    bool found = false;
    for (size_t i = 0; i < b->n; i++)
        (void)snprintf(wanted + 3 * i, sizeof wanted - 3 * i, "%02x ", b->p[i]);
    FILE *f = fopen(PROTOCOL_MD, "r");
    ck_assert_ptr_nonnull(f);
    while (!found && fgets(line, sizeof line, f))
        found = strncmp(line, wanted, strlen(wanted)) == 0;
    (void)fclose(f);
    return found;
}

static void check_page(enum trp_op op, const uint8_t nonce[TRP_AUTH_BYTES], const uint8_t proof[TRP_AUTH_BYTES]) {
    uint8_t info[1 + 2 * TRP_AUTH_ENTRY], *p = trp_pack_map(info, (nonce != NULL) + (proof != NULL));
    struct trp_buf b = {0};
    if (nonce)
        p = trp_auth_put(p, "nonce", nonce);
    if (proof)
        p = trp_auth_put(p, "proof", proof);
    ck_assert_int_eq(trp_put_info(&b, op, (struct trp_slice){info, (size_t)(p - info)}), TROUPE_OK);
    ck_assert_msg(page_has(&b), "PROTOCOL.md has another example of op %d", (int)op);
    trp_buf_fini(&b);
}

START_TEST(the_example_of_the_protocol_page) {
    struct trp_authkey *k = key_of("open sesame");
    struct trp_nonces n = counting();
    uint8_t broker[TRP_AUTH_BYTES], client[TRP_AUTH_BYTES];
    ck_assert_int_eq(trp_authkey_prove(k, TRP_AUTH_BROKER, &n, broker), TROUPE_OK);
    ck_assert_int_eq(trp_authkey_prove(k, TRP_AUTH_CLIENT, &n, client), TROUPE_OK);
    check_page(TRP_HELLO, n.client, NULL);
    check_page(TRP_CHALLENGE, n.broker, broker);
    check_page(TRP_AUTH, NULL, client);
    trp_authkey_free(&k);
}
END_TEST

START_TEST(nonces_are_fresh) {
    uint8_t seen[64][TRP_AUTH_BYTES];
    for (unsigned i = 0; i < 64; i++) {
        ck_assert_int_eq(trp_nonce_make(seen[i]), TROUPE_OK);
        for (unsigned j = 0; j < i; j++)
            ck_assert_mem_ne(seen[i], seen[j], TRP_AUTH_BYTES);
    }
}
END_TEST

START_TEST(entries_are_of_one_type_and_length) {
    static const char wrong[][64] = {
        "\x81\xa5proof\xc4\x00", /* empty */
        "\x81\xa5proof\xc4\x1f"
        "0123456789012345678901234567890", /* 31 */
        "\x81\xa5proof\xc4\x21"
        "012345678901234567890123456789012", /* 33 */
        "\x81\xa5proof\xd9\x20"
        "01234567890123456789012345678901", /* text */
        "\x81\xa5proof\xc0",                /* nil */
        "\x81\xa5nonce\xc4\x20"
        "01234567890123456789012345678901", /* another name */
        "\x80",
    };
    uint8_t bytes[TRP_AUTH_BYTES], info[1 + TRP_AUTH_ENTRY], *p = trp_pack_map(info, 1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        size_t n;
        ck_assert_int_eq(trp_pack_scan((const uint8_t *)wrong[i], sizeof wrong[i], NULL, &n), TROUPE_OK);
        ck_assert(!trp_auth_get((struct trp_slice){(const uint8_t *)wrong[i], n}, "proof", bytes));
    }
    ck_assert(!trp_auth_get((struct trp_slice){0}, "proof", bytes));
    p = trp_auth_put(p, "proof", (const uint8_t *)"01234567890123456789012345678901");
    ck_assert_int_le(p - info, (int)sizeof info);
    ck_assert(trp_auth_get((struct trp_slice){info, (size_t)(p - info)}, "proof", bytes));
    ck_assert_mem_eq(bytes, "01234567890123456789012345678901", TRP_AUTH_BYTES);
}
END_TEST

/* --- the file --- */

/* What the file's key proves, or what is wrong with it. */
static troupe_status load(uint8_t mac[TRP_AUTH_BYTES], const char **why) {
    struct trp_authkey *k = NULL;
    troupe_status st = trp_authkey_load(&k, path, why);
    if (st != TROUPE_OK) {
        ck_assert_ptr_null(k);
        ck_assert_msg(strncmp(*why, path, strlen(path)) == 0, "it names the file: %s", *why);
        return st;
    }
    ck_assert_int_eq(trp_authkey_hmac(k, trp_slice_str("x"), mac), TROUPE_OK);
    trp_authkey_free(&k);
    return TROUPE_OK;
}

static void check_is(const char *file, size_t n, const char *key, size_t key_n) {
    uint8_t got[TRP_AUTH_BYTES], wanted[TRP_AUTH_BYTES];
    const char *why = "";
    struct trp_authkey *k;
    write_file(file, n, 0600);
    ck_assert_int_eq(load(got, &why), TROUPE_OK);
    ck_assert_int_eq(trp_authkey_new(&k, key, key_n), TROUPE_OK);
    ck_assert_int_eq(trp_authkey_hmac(k, trp_slice_str("x"), wanted), TROUPE_OK);
    ck_assert_mem_eq(got, wanted, TRP_AUTH_BYTES);
    trp_authkey_free(&k);
}

START_TEST(the_key_is_the_content_but_one_newline) {
    check_is("secret", 6, "secret", 6);
    check_is("secret\n", 7, "secret", 6);
    check_is("secret\n\n", 8, "secret\n", 7);
    check_is("secret\r\n", 8, "secret\r", 7);
    check_is("\n\n", 2, "\n", 1);
    check_is("a\0b", 3, "a\0b", 3);
}
END_TEST

START_TEST(a_key_has_1_to_4096_bytes) {
    static char many[TRP_AUTHKEY_MOST + 64];
    uint8_t mac[TRP_AUTH_BYTES];
    const char *why = "";
    memset(many, 'k', sizeof many);
    check_is(many, TRP_AUTHKEY_MOST, many, TRP_AUTHKEY_MOST);
    write_file(many, TRP_AUTHKEY_MOST + 1, 0600);
    ck_assert_int_eq(load(mac, &why), TROUPE_BAD_KEY);
    ck_assert_ptr_nonnull(strstr(why, "4096"));
    write_file(many, sizeof many, 0600);
    ck_assert_int_eq(load(mac, &why), TROUPE_BAD_KEY);
    many[TRP_AUTHKEY_MOST] = '\n';
    check_is(many, TRP_AUTHKEY_MOST + 1, many, TRP_AUTHKEY_MOST);
    write_file("", 0, 0600);
    ck_assert_int_eq(load(mac, &why), TROUPE_BAD_KEY);
    ck_assert_ptr_nonnull(strstr(why, "empty"));
    write_file("\n", 1, 0600);
    ck_assert_int_eq(load(mac, &why), TROUPE_BAD_KEY);
}
END_TEST

START_TEST(its_mode_is_0600_or_0400) {
    uint8_t mac[TRP_AUTH_BYTES];
    const char *why = "";
    char said[8];
    for (unsigned mode = 0; mode < 01000; mode++) {
        write_file("secret", 6, mode);
        troupe_status st = load(mac, &why);
        if (st == TROUPE_OK) {
            ck_assert(mode == 0600 || mode == 0400);
        } else {
            ck_assert(mode != 0600 && mode != 0400);
            ck_assert_int_eq(st, TROUPE_BAD_KEY);
            (void)snprintf(said, sizeof said, "0%03o", mode);
            ck_assert_msg((geteuid() != 0 && !(mode & 0400)) || strstr(why, said), "it names the mode %s: %s", said, why);
        }
        ck_assert_int_eq(unlink(path), 0);
    }
    write_file("secret", 6, 04600);
    ck_assert_int_eq(load(mac, &why), TROUPE_BAD_KEY);
}
END_TEST

START_TEST(it_is_ours) {
    uint8_t mac[TRP_AUTH_BYTES];
    const char *why = "";
    write_file("secret", 6, 0600);
    if (chown(path, 12345, (gid_t)-1) != 0)
        return; /* only root can give it away */
    ck_assert_int_eq(load(mac, &why), TROUPE_BAD_KEY);
    ck_assert_ptr_nonnull(strstr(why, "12345"));
}
END_TEST

START_TEST(what_is_no_file_does_not_hang) {
    uint8_t mac[TRP_AUTH_BYTES];
    const char *why = "";
    ck_assert_int_eq(load(mac, &why), TROUPE_BAD_KEY); /* there is none */
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(load(mac, &why), TROUPE_BAD_KEY);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(load(mac, &why), TROUPE_BAD_KEY);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(symlink("/dev/zero", path), 0);
    ck_assert_int_eq(load(mac, &why), TROUPE_BAD_KEY);
}
END_TEST

START_TEST(out_of_memory) {
    const char *why = "";
    struct trp_authkey *k = NULL;
    write_file("secret", 6, 0600);
    faults_fail_at(1);
    troupe_status st = trp_authkey_load(&k, path, &why);
    faults_off();
    ck_assert_int_eq(st, TROUPE_NO_MEMORY);
    ck_assert_ptr_null(k);
}
END_TEST

START_TEST(the_environment_names_the_file) {
    (void)unsetenv("TROUPE_AUTHKEY_FILE");
    ck_assert_ptr_null(trp_authkey_path(NULL));
    ck_assert_str_eq(trp_authkey_path("k"), "k");
    (void)setenv("TROUPE_AUTHKEY_FILE", "e", 1);
    ck_assert_str_eq(trp_authkey_path(NULL), "e");
    ck_assert_str_eq(trp_authkey_path("k"), "k");
    ck_assert_ptr_null(trp_authkey_path(""));
    (void)setenv("TROUPE_AUTHKEY_FILE", "", 1);
    ck_assert_ptr_null(trp_authkey_path(NULL));
}
END_TEST

int main(void) {
    Suite *s = suite_create("authkey");
    TCase *proofs = tcase_create("proofs"), *file = tcase_create("file");
    tcase_add_loop_test(proofs, the_vectors_of_rfc_4231, 0, VECTORS);
    tcase_add_test(proofs, a_proof_is_of_its_key_role_and_nonces);
    tcase_add_test(proofs, the_example_of_the_protocol_page);
    tcase_add_test(proofs, nonces_are_fresh);
    tcase_add_test(proofs, entries_are_of_one_type_and_length);
    tcase_add_test(proofs, the_environment_names_the_file);
    tcase_add_checked_fixture(file, set_up, tear_down);
    tcase_add_test(file, the_key_is_the_content_but_one_newline);
    tcase_add_test(file, a_key_has_1_to_4096_bytes);
    tcase_add_test(file, its_mode_is_0600_or_0400);
    tcase_add_test(file, it_is_ours);
    tcase_add_test(file, what_is_no_file_does_not_hang);
    tcase_add_test(file, out_of_memory);
    suite_add_tcase(s, proofs);
    suite_add_tcase(s, file);
    return run_suite(s);
}
