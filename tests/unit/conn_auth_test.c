/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The client's half of the handshake over an authkey, against a broker that does whatever a test wants of it. */
#include "clients/auth.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clients/backoff.h"
#include "clients/conn.h"
#include "tests/support/fake_broker.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

/* How the broker answers a HELLO. */
enum manner {
    HONEST,     /* as PROTOCOL.md says */
    MIRROR,     /* with the client's proof for its own */
    NO_KEY,     /* WELCOME at once */
    REQUIRED,   /* AUTH_REQUIRED, whatever is said */
    FAILED,     /* AUTH_FAILED */
    TWICE,      /* another CHALLENGE after the AUTH */
    LATE,       /* another CHALLENGE after the WELCOME */
    MUTE,       /* nothing after the AUTH */
    BARE,       /* a CHALLENGE of nothing */
    NO_PROOF,   /* a CHALLENGE with a nonce alone */
    PLAIN_TEXT, /* a CHALLENGE whose nonce and proof are text */
};

static struct world {
    struct trp_loop loop;
    struct fake_broker broker;
    struct trp_conn *conn;
    char folder[64], file[96];
    enum manner manner;
    struct trp_authkey *key; /* the broker's */
    struct trp_nonces nonces;
    uint8_t earlier[TRP_AUTH_BYTES]; /* the client's nonce of the connection before */
    unsigned ups, losts, gones, auths, right;
    troupe_status status;
    bool fatal;
    char why[256];
} w;

#define OK(expr)   ck_assert_int_eq(expr, TROUPE_OK)
#define SAW(words) (strstr(fake_trace(&w.broker), words) != NULL)
#define WHY(words) ck_assert_msg(strstr(w.why, words) != NULL, "it says: %s", w.why)

#define UNTIL(condition) FAKE_UNTIL(&w.loop, &w.broker, w.why, condition)

/* --- the broker --- */

static void send_info(struct fake_session *s, enum trp_op op, const uint8_t *info, size_t n) {
    struct trp_buf b = {0};
    OK(trp_put_info(&b, op, (struct trp_slice){info, n}));
    fake_send(s, &b);
}

static void challenge(struct fake_session *s, enum trp_auth_role role) {
    uint8_t proof[TRP_AUTH_BYTES], info[1 + 2 * TRP_AUTH_ENTRY], *p = trp_pack_map(info, 2);
    OK(trp_nonce_make(w.nonces.broker));
    OK(trp_authkey_prove(w.key, role, &w.nonces, proof));
    p = trp_auth_put(p, "nonce", w.nonces.broker);
    p = trp_auth_put(p, "proof", proof);
    send_info(s, TRP_CHALLENGE, info, (size_t)(p - info));
}

static void on_hello(struct fake_session *s, const struct trp_envelope *e) {
    static const uint8_t text[] = "\x82\xa5nonce\xa3"
                                  "abc\xa5proof\xa3"
                                  "abc";
    uint8_t info[1 + TRP_AUTH_ENTRY], *p = trp_pack_map(info, 1);
    memcpy(w.earlier, w.nonces.client, TRP_AUTH_BYTES);
    (void)trp_auth_get(e->options, "nonce", w.nonces.client);
    switch (w.manner) {
    case NO_KEY:
        fake_welcome(s);
        break;
    case REQUIRED:
        fake_err(s, 0, "AUTH_REQUIRED", "no");
        break;
    case FAILED:
        fake_err(s, 0, "AUTH_FAILED", "no");
        break;
    case BARE:
        send_info(s, TRP_CHALLENGE, NULL, 0);
        break;
    case NO_PROOF:
        p = trp_auth_put(p, "nonce", w.nonces.client);
        send_info(s, TRP_CHALLENGE, info, (size_t)(p - info));
        break;
    case PLAIN_TEXT:
        send_info(s, TRP_CHALLENGE, text, sizeof text - 1);
        break;
    default:
        challenge(s, w.manner == MIRROR ? TRP_AUTH_CLIENT : TRP_AUTH_BROKER);
    }
}

static void on_auth(struct fake_session *s, const struct trp_envelope *e) {
    uint8_t proof[TRP_AUTH_BYTES];
    w.auths++;
    ck_assert(trp_auth_get(e->options, "proof", proof));
    if (trp_authkey_proves(w.key, TRP_AUTH_CLIENT, &w.nonces, proof))
        w.right++;
    if (w.manner == TWICE)
        challenge(s, TRP_AUTH_BROKER);
    else if (w.manner != MUTE)
        fake_welcome(s);
    if (w.manner == LATE)
        challenge(s, TRP_AUTH_BROKER);
}

static bool hook(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    (void)b;
    if (e->op == TRP_HELLO)
        on_hello(s, e);
    else if (e->op == TRP_AUTH)
        on_auth(s, e);
    return e->op == TRP_HELLO || e->op == TRP_AUTH;
}

static void broker_key(const char *text) {
    trp_authkey_free(&w.key);
    OK(trp_authkey_new(&w.key, text, strlen(text)));
}

/* --- the client --- */

static void on_up(void *user, struct trp_conn *c) {
    (void)user, (void)c;
    w.ups++;
}

static void on_lost(void *user, struct trp_conn *c, troupe_status st, const char *why, bool fatal) {
    (void)user, (void)c;
    w.losts++;
    w.status = st;
    w.fatal = fatal;
    (void)snprintf(w.why, sizeof w.why, "%s", why);
}

static void on_gone(void *user) {
    (void)user;
    w.gones++;
}

static const struct trp_conn_handler handler = {.up = on_up, .lost = on_lost, .gone = on_gone};

static void write_key(const char *text) {
    int fd = open(w.file, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(close(fd), 0);
}

static void set_up(void) {
    memset(&w, 0, sizeof w);
    (void)unsetenv("TROUPE_AUTHKEY_FILE");
    (void)snprintf(w.folder, sizeof w.folder, "/tmp/troupe-auth-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(w.folder));
    (void)snprintf(w.file, sizeof w.file, "%s/key", w.folder);
    write_key("the key\n");
    broker_key("the key");
    OK(trp_loop_init(&w.loop));
    w.broker.hook = hook;
    fake_broker_open(&w.broker, &w.loop, "tcp://127.0.0.1:0");
}

static void dial_with(struct trp_conn_opts opts) {
    const char *why = "";
    opts.url = w.broker.url;
    opts.name = "test";
    OK(trp_conn_new(&w.conn, &w.loop, &opts, &handler, NULL, &why));
}

static void dial(enum manner manner) {
    w.manner = manner;
    dial_with((struct trp_conn_opts){.authkey_file = w.file, .welcome_ms = manner == MUTE ? 50 : 0});
}

static void tear_down(void) {
    if (w.conn) {
        trp_conn_close(&w.conn, 0);
        UNTIL(w.gones == 1);
    }
    fake_broker_close(&w.broker);
    trp_loop_fini(&w.loop);
    trp_authkey_free(&w.key);
    (void)unlink(w.file);
    ck_assert_int_eq(rmdir(w.folder), 0);
}

/* --- tests --- */

START_TEST(both_know_the_key) {
    dial(HONEST);
    UNTIL(w.ups == 1);
    ck_assert_uint_eq(w.right, 1);
}
END_TEST

START_TEST(the_environment_names_the_file) {
    (void)setenv("TROUPE_AUTHKEY_FILE", w.file, 1);
    dial_with((struct trp_conn_opts){0});
    UNTIL(w.ups == 1);
    ck_assert_uint_eq(w.right, 1);
}
END_TEST

START_TEST(each_connection_has_its_nonce) {
    dial(HONEST);
    UNTIL(w.ups == 1);
    fake_broker_cut(&w.broker);
    UNTIL(w.ups == 2);
    ck_assert_uint_eq(w.right, 2);
    ck_assert_mem_ne(w.earlier, w.nonces.client, TRP_AUTH_BYTES);
}
END_TEST

/* Refused for good, and nothing was proved to whoever it was. */
static void refused(const char *words) {
    UNTIL(w.losts == 1);
    ck_assert_int_eq(w.status, TROUPE_REFUSED);
    ck_assert(w.fatal);
    ck_assert(trp_conn_is_dead(w.conn));
    ck_assert_uint_eq(w.auths, 0);
    ck_assert_uint_eq(w.ups, 0);
    ck_assert_int_eq(strncmp(w.why, "authentication failed: ", 23), 0);
    WHY(words);
}

START_TEST(a_broker_with_another_key) {
    broker_key("another");
    dial(HONEST);
    refused("does not know");
    UNTIL(SAW("CLOSE AUTH_FAILED"));
}
END_TEST

START_TEST(a_broker_that_is_a_mirror) {
    dial(MIRROR);
    refused("does not know");
}
END_TEST

START_TEST(a_broker_without_a_key) {
    dial(NO_KEY);
    refused("the broker has no authkey");
}
END_TEST

START_TEST(a_broker_that_asks_whom_it_should_not) {
    dial_with((struct trp_conn_opts){0});
    refused("asks for an authkey");
}
END_TEST

START_TEST(a_broker_that_says_no) {
    dial(_i ? FAILED : REQUIRED);
    refused("no");
}
END_TEST

START_TEST(no_key_where_one_is_required) {
    w.manner = REQUIRED;
    dial_with((struct trp_conn_opts){.authkey_file = ""});
    refused("asks for an authkey, and we have none");
}
END_TEST

/* Broken by the broker: told so, and tried again, as with any other fault of it. */
static void violated(const char *code) {
    UNTIL(w.losts >= 1);
    ck_assert_int_eq(w.status, TROUPE_PROTOCOL);
    ck_assert(!w.fatal);
    UNTIL(SAW(code));
}

START_TEST(a_challenge_without_its_fields) {
    dial((enum manner)(BARE + _i));
    violated("ERR 0 BAD_ENVELOPE CHALLENGE");
    ck_assert_uint_eq(w.auths, 0);
}
END_TEST

START_TEST(a_second_challenge) {
    dial(_i ? LATE : TWICE);
    violated("ERR 0 UNEXPECTED");
    ck_assert_uint_eq(w.auths, 1);
}
END_TEST

START_TEST(no_welcome_after_the_proof) {
    dial(MUTE);
    UNTIL(w.losts == 1);
    ck_assert_int_eq(w.status, TROUPE_TIMEOUT);
    ck_assert(!w.fatal);
}
END_TEST

/* A broker that has served us comes back with another key. The file is changed as well, and that is found. */
START_TEST(a_key_that_changes) {
    dial(HONEST);
    UNTIL(w.ups == 1);
    broker_key("the next key");
    fake_broker_cut(&w.broker);
    UNTIL(w.losts >= 2); /* the cut, and at least one refusal */
    ck_assert_int_eq(w.status, TROUPE_REFUSED);
    ck_assert(!w.fatal);
    write_key("the next key");
    UNTIL(w.ups == 2);
    ck_assert_uint_eq(w.right, 2);
}
END_TEST

/* A file that has become useless does not take the key away. */
START_TEST(a_file_that_goes) {
    dial(HONEST);
    UNTIL(w.ups == 1);
    ck_assert_int_eq(unlink(w.file), 0);
    broker_key("the next key");
    fake_broker_cut(&w.broker);
    UNTIL(w.losts >= 3);
    broker_key("the key");
    UNTIL(w.ups == 2);
}
END_TEST

START_TEST(a_service_goes_on_trying) {
    broker_key("another");
    dial_with((struct trp_conn_opts){.authkey_file = w.file, .keep_trying = true});
    UNTIL(w.losts == 2);
    ck_assert_int_eq(w.status, TROUPE_REFUSED);
    ck_assert(!w.fatal);
    broker_key("the key");
    UNTIL(w.ups == 1);
}
END_TEST

START_TEST(a_file_that_cannot_be_used) {
    const char *why = "";
    struct trp_conn_opts opts = {.url = w.broker.url, .authkey_file = w.file};
    ck_assert_int_eq(chmod(w.file, 0644), 0);
    ck_assert_int_eq(trp_conn_new(&w.conn, &w.loop, &opts, &handler, NULL, &why), TROUPE_BAD_KEY);
    ck_assert_ptr_null(w.conn);
    ck_assert_ptr_nonnull(strstr(why, w.file));
    ck_assert_ptr_nonnull(strstr(why, "0644"));
}
END_TEST

START_TEST(out_of_memory) {
    for (long n = 1;; n++) {
        struct trp_conn_auth a;
        const char *why = "";
        faults_fail_at(n);
        troupe_status st = trp_conn_auth_init(&a, w.file, &why);
        faults_off();
        if (st == TROUPE_OK) {
            trp_conn_auth_fini(&a);
            break;
        }
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
        ck_assert(!a.path && !a.key);
    }
}
END_TEST

START_TEST(waits_grow_to_half_a_minute) {
    struct trp_backoff b;
    int64_t longest = 0;
    trp_backoff_init(&b, 50, 2000, 1);
    trp_backoff_limit(&b, 30000);
    for (int i = 0; i < 64; i++) {
        int64_t ms = trp_backoff_next(&b);
        longest = ms > longest ? ms : longest;
        ck_assert_int_le(ms, 30000);
    }
    ck_assert_int_ge(longest, 15000);
    trp_backoff_limit(&b, 2000);
    ck_assert_int_le(trp_backoff_next(&b), 2000);
}
END_TEST

int main(void) {
    Suite *s = suite_create("conn_auth");
    TCase *c = tcase_create("conn_auth");
    tcase_set_timeout(c, 30);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, both_know_the_key);
    tcase_add_test(c, the_environment_names_the_file);
    tcase_add_test(c, each_connection_has_its_nonce);
    tcase_add_test(c, a_broker_with_another_key);
    tcase_add_test(c, a_broker_that_is_a_mirror);
    tcase_add_test(c, a_broker_without_a_key);
    tcase_add_test(c, a_broker_that_asks_whom_it_should_not);
    tcase_add_loop_test(c, a_broker_that_says_no, 0, 2);
    tcase_add_test(c, no_key_where_one_is_required);
    tcase_add_loop_test(c, a_challenge_without_its_fields, 0, 3);
    tcase_add_loop_test(c, a_second_challenge, 0, 2);
    tcase_add_test(c, no_welcome_after_the_proof);
    tcase_add_test(c, a_key_that_changes);
    tcase_add_test(c, a_file_that_goes);
    tcase_add_test(c, a_service_goes_on_trying);
    tcase_add_test(c, a_file_that_cannot_be_used);
    tcase_add_test(c, out_of_memory);
    tcase_add_test(c, waits_grow_to_half_a_minute);
    suite_add_tcase(s, c);
    return run_suite(s);
}
