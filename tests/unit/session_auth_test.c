/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A whole broker with an authkey, on a thread, and who comes to it: our own client with every key it may have, and raw
 * sockets that say the wrong thing. Nothing takes a second. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <troupe/broker.h>
#include <troupe/client.h>
#include <unistd.h>

#include "tests/support/run.h"
#include "transports/authkey.h"
#include "transports/envelope.h"
#include "transports/framing.h"

#define OK(expr)      ck_assert_int_eq(expr, TROUPE_OK)
#define STATUS(e, st) ck_assert_int_eq(e, TROUPE_##st)

static char folder[64], right[96], wrong[96];
static troupe_broker *broker;
static pthread_t thread;
static const char *url;
static struct trp_authkey *key;

static void write_key(const char *path, const char *text) {
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(close(fd), 0);
}

static void *run_broker(void *arg) {
    (void)arg;
    return (void *)(intptr_t)troupe_broker_run(broker);
}

static void start(const troupe_broker_opts *opts) {
    const char *why = "";
    OK(troupe_broker_new(&broker, opts));
    OK(troupe_broker_listen(broker, "tcp://127.0.0.1:0", &why));
    url = troupe_broker_address(broker, 0, NULL);
    ck_assert_int_eq(pthread_create(&thread, NULL, run_broker, NULL), 0);
}

static void set_up(void) {
    (void)unsetenv("TROUPE_AUTHKEY_FILE");
    (void)snprintf(folder, sizeof folder, "/tmp/troupe-auth-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(right, sizeof right, "%s/right", folder);
    (void)snprintf(wrong, sizeof wrong, "%s/wrong", folder);
    write_key(right, "the key\n");
    write_key(wrong, "another\n");
    OK(trp_authkey_new(&key, "the key", 7));
}

static troupe_broker_stats stop(void) {
    troupe_broker_stats s;
    void *st;
    troupe_broker_stop(broker);
    ck_assert_int_eq(pthread_join(thread, &st), 0);
    ck_assert_int_eq((int)(intptr_t)st, TROUPE_OK);
    troupe_broker_stats_get(broker, &s);
    ck_assert_uint_eq(s.connections, 0);
    troupe_broker_free(&broker);
    return s;
}

static void tear_down(void) {
    if (broker)
        (void)stop();
    trp_authkey_free(&key);
    (void)unlink(right);
    (void)unlink(wrong);
    ck_assert_int_eq(rmdir(folder), 0);
}

/* --- our own client --- */

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* As slow as this build may be. */
static int64_t a_second(void) {
    const char *slow = getenv("CK_TIMEOUT_MULTIPLIER");
    return 1000 * (slow ? atoi(slow) : 1);
}

static troupe_status come(const char *with) {
    troupe_client *c = NULL;
    int64_t began = now_ms();
    troupe_status st = troupe_client_open(&c, &(troupe_client_opts){.url = url, .authkey_file = with});
    ck_assert_int_lt(now_ms() - began, a_second());
    if (st == TROUPE_OK)
        OK(troupe_client_publish(c, "a", troupe_int(1), &(troupe_pub_opts){.confirm = true}));
    troupe_client_close(&c);
    return st;
}

static void refused(const char *with, const char *words) {
    STATUS(come(with), REFUSED);
    ck_assert_int_eq(strncmp(troupe_client_why(NULL), "authentication failed", 21), 0);
    ck_assert_msg(strstr(troupe_client_why(NULL), words) != NULL, "it says: %s", troupe_client_why(NULL));
}

START_TEST(keys_on_both_sides) {
    start(&(troupe_broker_opts){.authkey_file = right});
    OK(come(right));
    refused(wrong, "does not know");
    refused(NULL, "asks for an authkey");
    OK(come(right));
    ck_assert_uint_eq(stop().auth_failures, 2);
}
END_TEST

START_TEST(a_key_on_one_side) {
    start(NULL);
    refused(right, "the broker has no authkey");
    OK(come(NULL));
    ck_assert_uint_eq(stop().auth_failures, 0);
}
END_TEST

START_TEST(a_file_that_cannot_be_used) {
    ck_assert_int_eq(chmod(right, 0640), 0);
    STATUS(troupe_broker_new(&broker, &(troupe_broker_opts){.authkey_file = right}), BAD_KEY);
    ck_assert_ptr_null(broker);
    ck_assert_ptr_nonnull(strstr(troupe_broker_why(), right));
    ck_assert_ptr_nonnull(strstr(troupe_broker_why(), "0640"));
    start(NULL);
    STATUS(come(right), BAD_KEY);
    ck_assert_ptr_nonnull(strstr(troupe_client_why(NULL), right));
}
END_TEST

START_TEST(a_reconnect_proves_anew) {
    char address[128];
    const char *why = "";
    troupe_client *c;
    start(&(troupe_broker_opts){.authkey_file = right});
    (void)snprintf(address, sizeof address, "%s", url);
    OK(troupe_client_open(&c, &(troupe_client_opts){.url = address, .authkey_file = right}));
    (void)stop();
    OK(troupe_broker_new(&broker, &(troupe_broker_opts){.authkey_file = right}));
    OK(troupe_broker_listen(broker, address, &why));
    ck_assert_int_eq(pthread_create(&thread, NULL, run_broker, NULL), 0);
    troupe_pub_opts opts = {.confirm = true, .timeout_ms = 10000};
    troupe_status st = troupe_client_publish(c, "a", troupe_int(1), &opts);
    if (st == TROUPE_DISCONNECTED) /* it has found out by that */
        st = troupe_client_publish(c, "a", troupe_int(1), &opts);
    OK(st);
    troupe_client_close(&c);
}
END_TEST

/* --- raw sockets --- */

static int dial(uint16_t protocol) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1))};
    struct timeval patience = {.tv_sec = 10};
    uint8_t greeting[TRP_GREETING_SIZE];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    trp_greeting_write(greeting, protocol);
    ck_assert_int_eq(write(fd, greeting, sizeof greeting), (ssize_t)sizeof greeting);
    ck_assert_int_eq(recv(fd, greeting, sizeof greeting, MSG_WAITALL), (ssize_t)sizeof greeting);
    return fd;
}

static void send_frame(int fd, const void *p, size_t n) {
    uint8_t head[TRP_FRAME_HEAD_MAX];
    size_t head_n = (size_t)(trp_frame_head(head, TRP_FRAMING_TCP, n) - head);
    ck_assert_int_eq(send(fd, head, head_n, MSG_NOSIGNAL), (ssize_t)head_n);
    (void)send(fd, p, n, MSG_NOSIGNAL); /* it may hang up on a frame's head */
}

static void send_entry(int fd, enum trp_op op, const char *name, const uint8_t bytes[TRP_AUTH_BYTES]) {
    uint8_t info[1 + TRP_AUTH_ENTRY], *p = trp_pack_map(info, 1);
    struct trp_buf b = {0};
    p = trp_auth_put(p, name, bytes);
    OK(trp_put_info(&b, op, (struct trp_slice){info, (size_t)(p - info)}));
    send_frame(fd, b.p, b.n);
    trp_buf_fini(&b);
}

static struct trp_slice rest; /* of the last frame */

static bool next_frame(int fd) {
    static uint8_t body[4096];
    uint8_t head[8];
    size_t n = 0;
    ssize_t got = recv(fd, head, sizeof head, MSG_WAITALL);
    ck_assert_msg(got == (ssize_t)sizeof head || got == 0, "silence");
    for (int i = 0; i < got; i++)
        n = n << 8 | head[i];
    ck_assert_uint_le(n, sizeof body);
    if (n)
        ck_assert_int_eq(recv(fd, body, n, MSG_WAITALL), (ssize_t)n);
    rest = (struct trp_slice){body, n};
    return got > 0;
}

/* The next envelope, good until the frame after it is read. False: the end. */
static bool next(int fd, struct trp_envelope *e) {
    size_t used;
    const char *why;
    if (rest.n == 0 && !next_frame(fd))
        return false;
    OK(trp_envelope_read(rest.p, rest.n, e, &used, &why));
    rest.p += used;
    rest.n -= used;
    return true;
}

/* ERR 0 with this code, and the end. */
static void ended_with(int fd, const char *code) {
    struct trp_envelope e;
    ck_assert(next(fd, &e));
    ck_assert_int_eq(e.op, TRP_ERR);
    ck_assert_uint_eq(e.id, 0);
    ck_assert_msg(trp_slice_eq(e.code, trp_slice_str(code)), "%.*s", (int)e.code.n, (const char *)e.code.p);
    ck_assert(!next(fd, &e));
    ck_assert_int_eq(close(fd), 0);
}

/* A session up to the CHALLENGE. */
static int challenged(struct trp_nonces *n, uint8_t proof[TRP_AUTH_BYTES]) {
    struct trp_envelope e;
    int fd = dial(TRP_SP_PAIR0);
    OK(trp_nonce_make(n->client));
    send_entry(fd, TRP_HELLO, "nonce", n->client);
    ck_assert(next(fd, &e));
    ck_assert_int_eq(e.op, TRP_CHALLENGE);
    ck_assert(trp_auth_get(e.options, "nonce", n->broker));
    ck_assert(trp_auth_get(e.options, "proof", proof));
    return fd;
}

START_TEST(a_wrong_proof_is_answered_after_a_while) {
    struct trp_nonces n;
    uint8_t proof[TRP_AUTH_BYTES];
    start(&(troupe_broker_opts){.authkey_file = right});
    int fd = challenged(&n, proof);
    int64_t began = now_ms();
    send_entry(fd, TRP_AUTH, "proof", proof); /* a reflection */
    ended_with(fd, "AUTH_FAILED");
    ck_assert_int_ge(now_ms() - began, 95);
    ck_assert_int_lt(now_ms() - began, a_second());
    ck_assert_uint_eq(stop().auth_failures, 1);
}
END_TEST

/* What is said while the answer is put off is not heard, the right proof neither. */
START_TEST(a_right_proof_after_a_wrong_one) {
    struct trp_nonces n;
    uint8_t proof[TRP_AUTH_BYTES];
    start(&(troupe_broker_opts){.authkey_file = right});
    int fd = challenged(&n, proof);
    send_entry(fd, TRP_AUTH, "proof", proof);
    OK(trp_authkey_prove(key, TRP_AUTH_CLIENT, &n, proof));
    send_entry(fd, TRP_AUTH, "proof", proof);
    send_entry(fd, TRP_HELLO, "nonce", n.client);
    ended_with(fd, "AUTH_FAILED");
}
END_TEST

/* The frame behind an AUTH may be as large as any, the one before it may not. */
START_TEST(strangers_speak_briefly) {
    static uint8_t large[64 * 1024];
    struct trp_nonces n;
    struct trp_envelope e;
    uint8_t proof[TRP_AUTH_BYTES];
    struct trp_buf b = {0};
    start(&(troupe_broker_opts){.authkey_file = right});
    int fd = dial(TRP_SP_PAIR0);
    send_frame(fd, large, sizeof large);
    ended_with(fd, "TOO_BIG");
    fd = challenged(&n, proof);
    OK(trp_authkey_prove(key, TRP_AUTH_CLIENT, &n, proof));
    send_entry(fd, TRP_AUTH, "proof", proof);
    OK(trp_put_pub(&b, 7, trp_slice_str("a"), (struct trp_slice){0}, (struct trp_slice){0}, troupe_bytes(large, sizeof large)));
    send_frame(fd, b.p, b.n);
    trp_buf_fini(&b);
    ck_assert(next(fd, &e));
    ck_assert_int_eq(e.op, TRP_WELCOME);
    ck_assert(next(fd, &e));
    ck_assert_int_eq(e.op, TRP_OK);
    close(fd);
}
END_TEST

START_TEST(all_in_one_frame) {
    static const uint8_t ping[] = {0x92, TRP_PING, 9};
    struct trp_nonces n;
    struct trp_envelope e;
    uint8_t proof[TRP_AUTH_BYTES], info[1 + TRP_AUTH_ENTRY], *p = trp_pack_map(info, 1);
    struct trp_buf b = {0};
    start(&(troupe_broker_opts){.authkey_file = right});
    int fd = challenged(&n, proof);
    OK(trp_authkey_prove(key, TRP_AUTH_CLIENT, &n, proof));
    p = trp_auth_put(p, "proof", proof);
    OK(trp_put_info(&b, TRP_AUTH, (struct trp_slice){info, (size_t)(p - info)}));
    OK(trp_buf_put(&b, ping, sizeof ping));
    send_frame(fd, b.p, b.n);
    ck_assert(next(fd, &e));
    ck_assert_int_eq(e.op, TRP_WELCOME);
    ck_assert(next(fd, &e));
    ck_assert_int_eq(e.op, TRP_PONG);
    trp_buf_fini(&b);
    close(fd);
}
END_TEST

START_TEST(strangers_are_not_waited_for) {
    struct trp_nonces n;
    uint8_t proof[TRP_AUTH_BYTES];
    start(&(troupe_broker_opts){.authkey_file = right, .greeting_timeout_ms = 200});
    int silent = dial(TRP_SP_PAIR0), half = challenged(&n, proof);
    ended_with(silent, "TIMEOUT");
    ended_with(half, "TIMEOUT");
    ck_assert_uint_eq(stop().auth_failures, 2);
}
END_TEST

START_TEST(connections_that_cannot_prove) {
    static const uint16_t protocols[] = {TRP_SP_REQ0, TRP_SP_PUSH0};
    uint8_t byte;
    start(&(troupe_broker_opts){.authkey_file = right});
    int fd = dial(protocols[_i]);
    ck_assert_int_eq(recv(fd, &byte, 1, 0), 0);
    close(fd);
    ck_assert_uint_eq(stop().auth_failures, 1);
}
END_TEST

START_TEST(an_end_with_strangers_at_the_gate) {
    struct trp_nonces n;
    struct trp_envelope e;
    uint8_t proof[TRP_AUTH_BYTES];
    start(&(troupe_broker_opts){.authkey_file = right});
    int waiting = challenged(&n, proof), failed = challenged(&n, proof);
    send_entry(failed, TRP_AUTH, "proof", proof);
    (void)stop();
    ck_assert(next(waiting, &e));
    ck_assert_int_eq(e.op, TRP_CLOSE);
    close(waiting);
    close(failed);
}
END_TEST

int main(void) {
    Suite *s = suite_create("session_auth");
    TCase *c = tcase_create("session_auth");
    tcase_set_timeout(c, 30);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, keys_on_both_sides);
    tcase_add_test(c, a_key_on_one_side);
    tcase_add_test(c, a_file_that_cannot_be_used);
    tcase_add_test(c, a_reconnect_proves_anew);
    tcase_add_test(c, a_wrong_proof_is_answered_after_a_while);
    tcase_add_test(c, a_right_proof_after_a_wrong_one);
    tcase_add_test(c, strangers_speak_briefly);
    tcase_add_test(c, all_in_one_frame);
    tcase_add_test(c, strangers_are_not_waited_for);
    tcase_add_loop_test(c, connections_that_cannot_prove, 0, 2);
    tcase_add_test(c, an_end_with_strangers_at_the_gate);
    suite_add_tcase(s, c);
    return run_suite(s);
}
