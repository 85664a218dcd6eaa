/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "tests/support/link_rig.h"

#include "transports/url.h"
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct rig rig;
struct end far;

enum { PATIENCE_MS = 20000 };

/* --- the handler --- */

static void on_up(void *user, struct trp_link *l, uint16_t protocol) {
    struct end *e = user;
    e->ups++;
    e->protocol = protocol;
    if (l->accepted)
        trp_link_greet(l, e->answer ? e->answer : protocol);
    if (e->on_up)
        e->on_up(e);
}

static void on_frame(void *user, struct trp_link *l, struct trp_slice body) {
    struct end *e = user;
    (void)l;
    ck_assert_int_eq(e->downs, 0);
    e->frames++;
    if (e->on_frame)
        e->on_frame(e, body);
    else
        ck_assert_int_eq(trp_buf_put(&e->got, body.p, body.n), TROUPE_OK);
}

static void on_down(void *user, struct trp_link *l, troupe_status st, const char *why) {
    struct end *e = user;
    ck_assert_ptr_eq(e->link, l);
    ck_assert_int_eq(e->downs, 0);
    ck_assert_int_ne(st, TROUPE_OK);
    e->downs++;
    e->status = st;
    snprintf(e->why, sizeof e->why, "%s", why);
    if (e->on_down)
        e->on_down(e);
    e->link = NULL;
}

static void on_drained(void *user, struct trp_link *l) {
    struct end *e = user;
    ck_assert_uint_eq(trp_link_pending(l), 0);
    e->drains++;
    if (e->on_drained)
        e->on_drained(e);
}

static void on_broken(void *user, struct trp_link *l, troupe_status st, const char *why) {
    struct end *e = user;
    (void)l;
    ck_assert_ptr_nonnull(why);
    e->breaks++;
    e->broken_with = st;
    if (e->on_broken)
        e->on_broken(e);
}

const struct trp_link_handler rig_handler = {
    .up = on_up,
    .frame = on_frame,
    .down = on_down,
    .drained = on_drained,
    .broken = on_broken,
};

static void *on_accept(void *ctx, struct trp_link *l) {
    (void)ctx;
    if (rig.refuse)
        return NULL;
    ck_assert_int_lt(rig.accepts, RIG_ACCEPTS);
    struct end *e = malloc(sizeof *e);
    *e = rig.near;
    e->link = l;
    rig.accepted[rig.accepts++] = e;
    return e;
}

/* --- the loop --- */

int count_descriptors(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* libuv opens two for the process with its first loop, and keeps them. */
static void open_what_stays(void) {
    ck_assert_int_eq(trp_loop_init(&rig.loop), TROUPE_OK);
    trp_loop_fini(&rig.loop);
}

void rig_setup(void) {
    open_what_stays();
    rig.descriptors = count_descriptors();
    strcpy(rig.folder, "/tmp/troupe-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(rig.folder));
    ck_assert_int_eq(trp_loop_init(&rig.loop), TROUPE_OK);
}

static void close_accepted(void) {
    for (int i = 0; i < rig.accepts; i++)
        if (rig.accepted[i]->link)
            trp_link_close(rig.accepted[i]->link, 0);
}

static void free_accepted(void) {
    for (int i = 0; i < rig.accepts; i++) {
        ck_assert_ptr_null(rig.accepted[i]->link);
        trp_buf_fini(&rig.accepted[i]->got);
        free(rig.accepted[i]);
    }
}

/* A peer's library closes what it had in threads of its own, a moment after it has said that it did. */
static void none_left_open(void) {
    int64_t deadline = rig_deadline();
    while (count_descriptors() != rig.descriptors && !rig_is_over(deadline))
        usleep(1000);
    ck_assert_int_eq(count_descriptors(), rig.descriptors);
}

void rig_teardown(void) {
    char path[128];
    if (far.link)
        trp_link_close(far.link, 0);
    trp_listener_close(&rig.listener);
    close_accepted();
    trp_loop_fini(&rig.loop);
    free_accepted();
    ck_assert_ptr_null(far.link);
    trp_buf_fini(&far.got);
    snprintf(path, sizeof path, "%s/s", rig.folder);
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_int_eq(rmdir(rig.folder), 0);
    none_left_open();
}

TCase *rig_case(Suite *s, const char *name, const TTest *const *tests, size_t count, int n) {
    TCase *t = tcase_create(name);
    tcase_add_checked_fixture(t, rig_setup, rig_teardown);
    tcase_set_timeout(t, 60);
    for (size_t i = 0; i < count; i++)
        tcase_add_loop_test(t, tests[i], 0, n);
    suite_add_tcase(s, t);
    return t;
}

int64_t rig_deadline(void) {
    return (int64_t)(uv_hrtime() / 1000000) + PATIENCE_MS;
}

bool rig_is_over(int64_t deadline) {
    return (int64_t)(uv_hrtime() / 1000000) > deadline;
}

const char *rig_url_for(int transport) {
    static char url[128];
    if (transport != RIG_IPC)
        return transport == RIG_TCP4 ? "tcp://127.0.0.1:0" : "tcp://[::1]:0";
    snprintf(url, sizeof url, "ipc://%s/s", rig.folder);
    return url;
}

void rig_listen(int transport) {
    const char *why = "";
    troupe_status st =
        trp_listen(&rig.listener, &rig.loop, rig_url_for(transport), &rig.opts, &rig_handler, on_accept, NULL, &why);
    ck_assert_msg(st == TROUPE_OK, "%s", why);
    rig.url = trp_listener_url(rig.listener);
}

void rig_dial_to(struct end *e, const char *url, const struct trp_link_opts *opts) {
    const char *why = "";
    troupe_status st = trp_link_dial(&e->link, &rig.loop, url, opts, &rig_handler, e, &why);
    ck_assert_msg(st == TROUPE_OK, "%s", why);
}

void rig_dial(struct end *e) {
    rig_dial_to(e, rig.url, NULL);
}

struct end *rig_pair(struct end *e) {
    int i = rig.accepts;
    rig_dial(e);
    RIG_WAIT(e->ups == 1 && rig.accepts == i + 1 && rig.accepted[i]->ups == 1);
    return rig.accepted[i];
}

/* The accepted end, from this one on, to which somebody said hello: others may still be in the backlog. */
static struct end *greeted(int from) {
    for (int i = from; i < rig.accepts; i++)
        if (rig.accepted[i]->got.n == 5 && memcmp(rig.accepted[i]->got.p, "hello", 5) == 0)
            return rig.accepted[i];
    return NULL;
}

void rig_still_listens(void) {
    struct end friend = {0};
    int known = rig.accepts;
    rig_dial(&friend);
    trp_link_send(friend.link, "hello", 5);
    RIG_WAIT(friend.ups == 1 && greeted(known));
    trp_link_close(friend.link, 0);
    RIG_WAIT(friend.downs == 1 && greeted(known)->downs == 1);
}

/* --- plain sockets --- */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
};

static socklen_t address_of(const char *url, union address *a) {
    struct trp_url u;
    const char *why;
    memset(a, 0, sizeof *a);
    ck_assert_int_eq(trp_url_parse(url, &u, &why), TROUPE_OK);
    if (strcmp(u.scheme, "ipc") == 0) {
        a->un.sun_family = AF_UNIX;
        snprintf(a->un.sun_path, sizeof a->un.sun_path, "%.100s", u.path);
        return sizeof a->un;
    }
    if (strchr(u.host, ':')) {
        ck_assert_int_eq(uv_ip6_addr(u.host, atoi(u.port), &a->v6), 0);
        return sizeof a->v6;
    }
    ck_assert_int_eq(uv_ip4_addr(u.host, atoi(u.port), &a->v4), 0);
    return sizeof a->v4;
}

int raw_connect(const char *url) {
    union address a;
    socklen_t n = address_of(url, &a);
    int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, &a.any, n), 0);
    return fd;
}

int raw_listen(int transport, char *url, size_t cap) {
    union address a;
    socklen_t n = address_of(rig_url_for(transport), &a);
    int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, &a.any, n), 0);
    ck_assert_int_eq(listen(fd, 10), 0);
    ck_assert_int_eq(getsockname(fd, &a.any, &n), 0);
    if (transport == RIG_IPC)
        snprintf(url, cap, "%s", rig_url_for(transport));
    else if (transport == RIG_TCP4)
        snprintf(url, cap, "tcp://127.0.0.1:%d", ntohs(a.v4.sin_port));
    else
        snprintf(url, cap, "tcp://[::1]:%d", ntohs(a.v6.sin6_port));
    return fd;
}

void raw_write(int fd, const void *p, size_t n) {
    const uint8_t *at = p;
    while (n > 0) {
        ssize_t k = send(fd, at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (k < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            trp_loop_once(&rig.loop, 0);
            continue;
        }
        at += k;
        n -= (size_t)k;
    }
}

void raw_greet(int fd, uint16_t protocol) {
    uint8_t greeting[TRP_GREETING_SIZE];
    trp_greeting_write(greeting, protocol);
    raw_write(fd, greeting, sizeof greeting);
}

void raw_frame(int fd, int transport, const void *body, size_t n) {
    uint8_t head[TRP_FRAME_HEAD_MAX];
    enum trp_framing kind = transport == RIG_IPC ? TRP_FRAMING_IPC : TRP_FRAMING_TCP;
    raw_write(fd, head, (size_t)(trp_frame_head(head, kind, n) - head));
    raw_write(fd, body, n);
}

/* Errors end the stream too: a reset is what some tests are about, and they look at what was read before. */
size_t raw_read(int fd, void *p, size_t n) {
    size_t got = 0;
    int64_t end = rig_deadline();
    while (got < n) {
        ssize_t k = recv(fd, (char *)p + got, n - got, MSG_DONTWAIT);
        if (k > 0)
            got += (size_t)k;
        else if (k < 0 && errno == EAGAIN)
            trp_loop_once(&rig.loop, 1);
        else
            break;
        ck_assert(!rig_is_over(end));
    }
    return got;
}

void raw_reset(int fd) {
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}
