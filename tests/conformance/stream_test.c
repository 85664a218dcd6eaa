/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Descriptors and streams, for every kind of actor. The test is the other end: it connects from the opener's thread,
 * by the same calls, or by plain sockets where the peer is to misbehave. After each test as many descriptors are open
 * as were before it. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <troupe/stream.h>
#include <unistd.h>
#include <uv.h>

#include "tests/support/actors.h"
#include "tests/support/descriptors.h"
#include "tests/support/faults.h"

static int open_before, test_pid;

/* libuv keeps a pipe of its own from its first loop on. */
static void up(void) {
    uv_loop_t loop;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    uv_loop_close(&loop);
    test_pid = (int)getpid();
    open_before = descriptors();
    system_up_with(&(troupe_system_opts){.threads = 1});
}

static void up_wide(void) {
    up();
    system_down();
    system_up_with(&(troupe_system_opts){.threads = 3});
}

static void down(void) {
    system_down();
    ck_assert_int_eq(descriptors(), open_before);
}

static void tell(troupe_self *self, troupe_ref to, const char *text) {
    (void)!troupe_send(self, to, troupe_text(text));
}

/* The next text that a body says. */
static const char *hear_text(void) {
    static char text[256];
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    troupe_value v = troupe_msg_value(m);
    ck_assert_int_eq(v.kind, TROUPE_TEXT);
    snprintf(text, sizeof text, "%.*s", (int)v.size, (const char *)v.data);
    troupe_msg_free(&m);
    return text;
}

/* --- the test's side --- */

static troupe_stream *dial(const char *url) {
    troupe_stream *s;
    ck_assert_int_eq(troupe_stream_connect(me, url, PATIENCE_MS, &s), TROUPE_OK);
    return s;
}

static void put(troupe_stream *s, const char *text) {
    ck_assert_int_eq(troupe_stream_write(me, s, text, strlen(text), PATIENCE_MS), TROUPE_OK);
}

static void reads(troupe_stream *s, const char *line) {
    const char *got;
    size_t n;
    ck_assert_int_eq(troupe_stream_read_line(me, s, 1000, PATIENCE_MS, &got, &n), TROUPE_OK);
    ck_assert_str_eq(got, line);
}

static void reads_eof(troupe_stream *s) {
    char c;
    size_t n;
    ck_assert_int_eq(troupe_stream_read(me, s, &c, 1, PATIENCE_MS, &n), TROUPE_EOF);
}

/* A plain socket, for peers that misbehave. */
static int plain(const char *url) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void reset(int fd) {
    struct linger now = {.l_onoff = 1};
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    close(fd);
}

/* --- servers --- */

/* Answers lines with themselves, and says how it ended. */
static troupe_status converse(troupe_self *self, troupe_stream *peer) {
    char answer[1100];
    const char *line;
    size_t n;
    troupe_status st;
    while ((st = troupe_stream_read_line(self, peer, 1000, TROUPE_FOREVER, &line, &n)) == TROUPE_OK) {
        int size = snprintf(answer, sizeof answer, "<%s>\n", line);
        st = troupe_stream_write(self, peer, answer, (size_t)size, TROUPE_FOREVER);
        if (st != TROUPE_OK)
            break;
    }
    return st;
}

/* What is done with who comes. False: nobody else is let in. */
typedef bool welcome(troupe_self *self, troupe_ref to, troupe_stream **peer);

/* Tells the URL, then lets them in until it is killed. */
static void serve(troupe_self *self, troupe_ref to, welcome *let_in) {
    troupe_listener *door;
    troupe_stream *peer;
    if (troupe_listener_open(self, "tcp://127.0.0.1:0", &door) != TROUPE_OK)
        return;
    tell(self, to, troupe_listener_url(door));
    while (troupe_listener_accept(self, door, TROUPE_FOREVER, &peer) == TROUPE_OK && let_in(self, to, &peer))
        ;
    troupe_listener_close(&door);
}

static bool in_turn(troupe_self *self, troupe_ref to, troupe_stream **peer) {
    say(self, to, converse(self, *peer));
    troupe_stream_close(peer);
    return true;
}

/* One after the other; tells the end of each. */
static void serves(troupe_self *self, void *arg) {
    serve(self, *(troupe_ref *)arg, in_turn);
}

static troupe_ref server(int kind, troupe_body *body, char url[256]) {
    troupe_ref to = troupe_self_ref(me), ref = spawn(kind, body, &to, sizeof to);
    snprintf(url, 256, "%s", hear_text());
    return ref;
}

static void kill_it(troupe_ref ref) {
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK);
    ends(ref, TROUPE_END_KILLED);
}

START_TEST(lines_go_to_and_fro) {
    char url[256];
    troupe_ref ref = server(_i, serves, url);
    troupe_stream *s = dial(url);
    put(s, "one\n");
    reads(s, "<one>");
    put(s, "two\r\nthree\nfo");
    reads(s, "<two>");
    reads(s, "<three>");
    put(s, "ur\n");
    reads(s, "<four>");
    troupe_stream_close(&s);
    ck_assert_int_eq(hear(), TROUPE_EOF);
    kill_it(ref);
}
END_TEST

START_TEST(who_has_finished_is_still_answered) {
    char url[256];
    troupe_ref ref = server(_i, serves, url);
    troupe_stream *s = dial(url);
    put(s, "no line end");
    ck_assert_int_eq(troupe_stream_finish(s), TROUPE_OK);
    reads(s, "<no line end>");
    reads_eof(s);
    troupe_stream_close(&s);
    ck_assert_int_eq(hear(), TROUPE_EOF);
    kill_it(ref);
}
END_TEST

START_TEST(a_reset_ends_one_connection) {
    char url[256];
    troupe_ref ref = server(_i, serves, url);
    reset(plain(url)); /* maybe before it is accepted */
    int fd = plain(url);
    ck_assert_int_eq(write(fd, "half a li", 9), 9);
    reset(fd);
    troupe_stream *s = dial(url);
    put(s, "still there?\n");
    reads(s, "<still there?>");
    troupe_stream_close(&s);
    for (int64_t end = 0; end != TROUPE_EOF;) {
        end = hear();
        ck_assert(end == TROUPE_RESET || end == TROUPE_EOF);
    }
    kill_it(ref);
}
END_TEST

/* Writes until the other side, which does not read, has had enough; tells how that was, once for each way of waiting. */
static void pours(troupe_self *self, void *arg) {
    static char lots[1 << 20];
    const troupe_ref *to = arg;
    troupe_listener *door;
    troupe_stream *peer;
    troupe_status st = TROUPE_OK;
    if (troupe_listener_open(self, "tcp://127.0.0.1:0", &door) != TROUPE_OK)
        return;
    tell(self, *to, troupe_listener_url(door));
    if (troupe_listener_accept(self, door, TROUPE_FOREVER, &peer) == TROUPE_OK) {
        for (int i = 0; i < 64 && st == TROUPE_OK; i++)
            st = troupe_stream_write(self, peer, lots, sizeof lots, 30);
        say(self, *to, st);
        say(self, *to, troupe_wait_fd(self, troupe_stream_fd(peer), TROUPE_WRITABLE, 0, NULL));
        say(self, *to, troupe_stream_write(self, peer, lots, sizeof lots, TROUPE_FOREVER)); /* the test goes away */
        troupe_stream_close(&peer);
    }
    troupe_listener_close(&door);
}

START_TEST(who_does_not_read_is_waited_for_as_long_as_was_said) {
    char url[256];
    troupe_ref ref = server(_i, pours, url);
    int fd = plain(url);
    ck_assert_int_eq(hear(), TROUPE_TIMEOUT);
    ck_assert_int_eq(hear(), TROUPE_TIMEOUT);
    reset(fd);
    ck_assert_int_eq(hear(), TROUPE_RESET);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

static void dials(troupe_self *self, void *arg) {
    struct {
        troupe_ref to;
        char url[128];
    } *where = arg;
    troupe_stream *s;
    troupe_status st = troupe_stream_connect(self, where->url, PATIENCE_MS, &s);
    say(self, where->to, st);
    if (st != TROUPE_OK)
        return;
    const char *line;
    size_t n;
    if (troupe_stream_write(self, s, "hello\n", 6, PATIENCE_MS) == TROUPE_OK &&
        troupe_stream_read_line(self, s, 100, PATIENCE_MS, &line, &n) == TROUPE_OK)
        tell(self, where->to, line);
    troupe_stream_close(&s);
}

static troupe_ref dialler(int kind, const char *url) {
    struct {
        troupe_ref to;
        char url[128];
    } where = {troupe_self_ref(me), ""};
    snprintf(where.url, sizeof where.url, "%s", url);
    return spawn(kind, dials, &where, sizeof where);
}

static void accept_and_answer(troupe_listener *door) {
    troupe_stream *s;
    ck_assert_int_eq(troupe_listener_accept(me, door, PATIENCE_MS, &s), TROUPE_OK);
    reads(s, "hello");
    put(s, "welcome\n");
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_str_eq(hear_text(), "welcome");
    troupe_stream_close(&s);
}

START_TEST(every_kind_dials) {
    troupe_listener *door;
    char url[256];
    ck_assert_int_eq(troupe_listener_open(me, "tcp://127.0.0.1:0", &door), TROUPE_OK);
    troupe_ref ref = dialler(_i, troupe_listener_url(door));
    accept_and_answer(door);
    ends(ref, TROUPE_END_NORMAL);
    snprintf(url, sizeof url, "tcp://localhost:%s", strrchr(troupe_listener_url(door), ':') + 1);
    ref = dialler(_i, url);
    accept_and_answer(door);
    ends(ref, TROUPE_END_NORMAL);
    snprintf(url, sizeof url, "%s", troupe_listener_url(door));
    troupe_listener_close(&door);
    ref = dialler(_i, url);
    ck_assert_int_eq(hear(), TROUPE_REFUSED);
    ends(ref, TROUPE_END_NORMAL);
    ref = dialler(_i, "tcp://nonsense");
    ck_assert_int_eq(hear(), TROUPE_BAD_URL);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

/* --- unix sockets --- */

static void temp_url(char url[256], const char *name) {
    snprintf(url, 256, "ipc:///tmp/troupe-stream-%d-%s", (int)getpid(), name);
}

START_TEST(unix_sockets_come_and_go) {
    troupe_listener *door, *other;
    troupe_stream *knock;
    char url[256];
    struct stat st;
    temp_url(url, "door");
    ck_assert_int_eq(troupe_listener_open(me, url, &door), TROUPE_OK);
    ck_assert_str_eq(troupe_listener_url(door), url);
    ck_assert_int_eq(troupe_listener_open(me, url, &other), TROUPE_ADDRESS_IN_USE);
    ck_assert_int_eq(troupe_listener_accept(me, door, PATIENCE_MS, &knock), TROUPE_OK); /* that one asked whether we live */
    troupe_stream_close(&knock);
    troupe_ref ref = dialler(_i, url);
    accept_and_answer(door);
    ends(ref, TROUPE_END_NORMAL);
    troupe_listener_close(&door);
    ck_assert_int_eq(stat(url + strlen("ipc://"), &st), -1);
    ref = dialler(_i, url);
    ck_assert_int_eq(hear(), TROUPE_NOT_FOUND);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

static void leaves_a_socket(troupe_self *self, void *arg) {
    troupe_listener *door;
    troupe_msg *m;
    struct {
        troupe_ref to;
        char url[256];
    } *where = arg;
    say(self, where->to, troupe_listener_open(self, where->url, &door));
    if (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK)
        troupe_msg_free(&m);
}

START_TEST(a_socket_left_by_the_dead_is_replaced) {
    struct {
        troupe_ref to;
        char url[256];
    } where = {troupe_self_ref(me), ""};
    troupe_listener *door;
    temp_url(where.url, "dead");
    troupe_ref ref = spawn(TROUPE_PROCESS, leaves_a_socket, &where, sizeof where);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_eq(troupe_listener_open(me, where.url, &door), TROUPE_ADDRESS_IN_USE);
    kill_it(ref);
    ck_assert_int_eq(troupe_listener_open(me, where.url, &door), TROUPE_OK);
    troupe_listener_close(&door);
}
END_TEST

/* --- waiting for descriptors --- */

static void waits_for_a_pipe(troupe_self *self, void *arg) {
    const troupe_ref *to = arg;
    unsigned ready = 0;
    int p[2], file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (pipe2(p, O_CLOEXEC) < 0)
        return;
    say(self, *to, troupe_wait_fd(self, p[0], TROUPE_READABLE, 0, &ready));
    say(self, *to, troupe_wait_fd(self, p[0], TROUPE_READABLE, 20, &ready));
    say(self, *to, troupe_wait_fd(self, p[1], TROUPE_READABLE | TROUPE_WRITABLE, TROUPE_FOREVER, &ready));
    say(self, *to, ready);
    say(self, *to, write(p[1], "x", 1));
    say(self, *to, troupe_wait_fd(self, p[0], TROUPE_READABLE, TROUPE_FOREVER, &ready));
    say(self, *to, ready);
    close(p[1]);
    say(self, *to, troupe_wait_fd(self, p[0], TROUPE_READABLE, TROUPE_FOREVER, &ready));
    say(self, *to, troupe_wait_fd(self, file, TROUPE_READABLE, TROUPE_FOREVER, &ready));
    say(self, *to, troupe_wait_fd(self, p[1], TROUPE_READABLE, TROUPE_FOREVER, &ready));
    say(self, *to, troupe_wait_fd(self, p[0], 0, TROUPE_FOREVER, &ready));
    close(p[0]);
    close(file);
}

START_TEST(a_wait_says_what_is_ready) {
    static const int64_t expected[] = {TROUPE_TIMEOUT, TROUPE_TIMEOUT,  TROUPE_OK, TROUPE_WRITABLE, 1,
                                       TROUPE_OK,      TROUPE_READABLE, TROUPE_OK, TROUPE_OK,       TROUPE_INVALID,
                                       TROUPE_INVALID};
    troupe_ref to = troupe_self_ref(me), ref = spawn(_i, waits_for_a_pipe, &to, sizeof to);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        ck_assert_msg(hear() == expected[i], "answer %zu", i);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

struct pipe_wait {
    troupe_ref to;
    int fd;
};

static void waits_for_ours(troupe_self *self, void *arg) {
    const struct pipe_wait *w = arg;
    char c;
    say(self, w->to, 1);
    say(self, w->to,
        troupe_wait_fd(self, w->fd, TROUPE_READABLE, TROUPE_FOREVER, NULL) == TROUPE_OK && read(w->fd, &c, 1) == 1);
}

/* All of them on one worker, all on one descriptor, one byte for each. */
START_TEST(many_wait_for_one_descriptor) {
    enum { MANY = 20 };
    int p[2];
    troupe_ref refs[MANY];
    ck_assert_int_eq(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
    struct pipe_wait w = {troupe_self_ref(me), p[0]};
    for (int i = 0; i < MANY; i++)
        refs[i] = spawn(i % 2 ? TROUPE_COROUTINE : TROUPE_THREAD, waits_for_ours, &w, sizeof w);
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(hear(), 1);
    char bytes[MANY] = {0};
    ck_assert_int_eq(write(p[1], bytes, MANY), MANY);
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(hear(), 1);
    }
    for (int i = 0; i < MANY; i++)
        ends(refs[i], TROUPE_END_NORMAL);
    close(p[0]);
    close(p[1]);
}
END_TEST

static void answers(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        (void)!troupe_reply(self, m, troupe_int(1));
        troupe_msg_free(&m);
    }
}

/* There is one worker: somebody on it waits for a byte that comes last. */
START_TEST(a_wait_parks_nobody_else) {
    int p[2];
    troupe_msg *answer;
    ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
    struct pipe_wait w = {troupe_self_ref(me), p[0]};
    troupe_ref waits = spawn(TROUPE_COROUTINE, waits_for_ours, &w, sizeof w);
    ck_assert_int_eq(hear(), 1);
    troupe_ref other = spawn(TROUPE_COROUTINE, answers, NULL, 0);
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(troupe_ask(me, other, troupe_nil(), PATIENCE_MS, &answer), TROUPE_OK);
        troupe_msg_free(&answer);
    }
    ck_assert_int_eq(write(p[1], "x", 1), 1);
    ck_assert_int_eq(hear(), 1);
    ends(waits, TROUPE_END_NORMAL);
    stop(other);
    close(p[0]);
    close(p[1]);
}
END_TEST

/* --- killed while waiting --- */

enum place { IN_ACCEPT, IN_READ, IN_LINE, IN_WRITE, IN_CONNECT, IN_WAIT, PLACES };

/* The same for the test and for a process that it has spawned. */
static const char *full_url(void) {
    static char url[64];
    if (!url[0])
        snprintf(url, sizeof url, "ipc:///tmp/troupe-stream-%d-full", test_pid);
    return url;
}

/* Lets in one or two, and never accepts them. */
static int full_socket(void) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(a.sun_path, sizeof a.sun_path, "%s", full_url() + strlen("ipc://"));
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(fd, 0), 0);
    return fd;
}

static troupe_status wait_at(troupe_self *self, enum place place, troupe_listener *door, troupe_stream *s) {
    static char lots[1 << 20];
    const char *line;
    size_t n;
    troupe_stream *none;
    troupe_status st = TROUPE_OK;
    switch (place) {
    case IN_ACCEPT:
        return troupe_listener_accept(self, door, TROUPE_FOREVER, &none);
    case IN_READ:
        return troupe_stream_read(self, s, lots, sizeof lots, TROUPE_FOREVER, &n);
    case IN_LINE:
        return troupe_stream_read_line(self, s, 100, TROUPE_FOREVER, &line, &n);
    case IN_WRITE:
        while (st == TROUPE_OK)
            st = troupe_stream_write(self, s, lots, sizeof lots, TROUPE_FOREVER);
        return st;
    case IN_CONNECT: /* nobody accepts: some are let in, then the backlog is full */
        while (st == TROUPE_OK && (st = troupe_stream_connect(self, full_url(), TROUPE_FOREVER, &none)) == TROUPE_OK)
            troupe_stream_close(&none);
        return st;
    default:
        return troupe_wait_fd(self, troupe_stream_fd(s), TROUPE_READABLE, TROUPE_FOREVER, NULL);
    }
}

struct task {
    troupe_ref to;
    enum place place;
};

/* Its peer is its own other end, which is never used. */
static void waits_somewhere(troupe_self *self, void *arg) {
    const struct task *t = arg;
    troupe_listener *door;
    troupe_stream *s, *peer;
    if (troupe_listener_open(self, "tcp://127.0.0.1:0", &door) != TROUPE_OK ||
        troupe_stream_connect(self, troupe_listener_url(door), PATIENCE_MS, &s) != TROUPE_OK ||
        troupe_listener_accept(self, door, PATIENCE_MS, &peer) != TROUPE_OK)
        return;
    say(self, t->to, 1);
    troupe_status st = wait_at(self, t->place, door, s);
    troupe_stream_close(&s);
    troupe_stream_close(&peer);
    troupe_listener_close(&door);
    if (st != TROUPE_CLOSED)
        abort();
}

START_TEST(a_kill_ends_every_wait_for_the_outside) {
    struct task t = {troupe_self_ref(me), (enum place)(_i % PLACES)};
    int full = t.place == IN_CONNECT ? full_socket() : -1;
    troupe_ref ref = spawn(_i / PLACES, waits_somewhere, &t, sizeof t);
    ck_assert_int_eq(hear(), 1);
    kill_it(ref);
    if (full >= 0) {
        close(full);
        unlink(full_url() + strlen("ipc://"));
    }
}
END_TEST

/* --- many --- */

static void serves_one(troupe_self *self, troupe_stream *peer, void *arg) {
    (void)arg;
    (void)converse(self, peer);
}

static bool side_by_side(troupe_self *self, troupe_ref to, troupe_stream **peer) {
    (void)to;
    return troupe_stream_spawn(self, NULL, serves_one, peer, NULL, 0, NULL) == TROUPE_OK;
}

static void serves_all(troupe_self *self, void *arg) {
    serve(self, *(troupe_ref *)arg, side_by_side);
}

static void need_descriptors(rlim_t n) {
    struct rlimit r;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &r), 0);
    if (r.rlim_cur < n)
        r.rlim_cur = n < r.rlim_max ? n : r.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
}

static void read_exactly(int fd, const char *expected) {
    char got[64] = "";
    for (size_t n = 0; n < strlen(expected);) {
        ssize_t more = read(fd, got + n, sizeof got - 1 - n);
        ck_assert_int_gt(more, 0);
        n += (size_t)more;
    }
    ck_assert_str_eq(got, expected);
}

START_TEST(a_thousand_streams_on_one_worker) {
    enum { MANY = 1000, ROUNDS = 3 };
    static int fds[MANY];
    char url[256], line[32], expected[32];
    need_descriptors(2 * MANY + 200);
    troupe_ref ref = server(TROUPE_COROUTINE, serves_all, url);
    for (int i = 0; i < MANY; i++)
        fds[i] = plain(url);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < MANY; i++) {
            int n = snprintf(line, sizeof line, "%d of %d\n", i, round);
            ck_assert_int_eq(write(fds[i], line, (size_t)n), n);
        }
        for (int i = 0; i < MANY; i++) {
            snprintf(expected, sizeof expected, "<%d of %d>\n", i, round);
            read_exactly(fds[i], expected);
        }
    }
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    kill_it(ref);
}
END_TEST

/* --- moving --- */

enum { ROUNDS = 200 };

/* Adds one to the number that comes, and gives way now and then, so that another worker may take it. */
static void plays(troupe_self *self, troupe_stream *peer, void *arg) {
    const bool *first = arg;
    int32_t n = 0;
    size_t got;
    if (*first && troupe_stream_write(self, peer, &n, sizeof n, PATIENCE_MS) != TROUPE_OK)
        return;
    while (n < ROUNDS && troupe_stream_read(self, peer, &n, sizeof n, PATIENCE_MS, &got) == TROUPE_OK && got == sizeof n) {
        n++;
        if (n % 7 == 0)
            troupe_yield(self);
        if (troupe_stream_write(self, peer, &n, sizeof n, PATIENCE_MS) != TROUPE_OK)
            return;
    }
    if (n < ROUNDS)
        abort();
}

START_TEST(streams_go_where_their_actors_go) {
    enum { PAIRS = 100 };
    static troupe_ref refs[2 * PAIRS];
    for (int i = 0; i < 2 * PAIRS; i += 2) {
        int fds[2];
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        for (int side = 0; side < 2; side++) {
            bool first = side == 0;
            troupe_stream *s;
            ck_assert_int_eq(troupe_stream_adopt(fds[side], &s), TROUPE_OK);
            ck_assert_int_eq(troupe_stream_spawn(me, NULL, plays, &s, &first, sizeof first, &refs[i + side]), TROUPE_OK);
        }
    }
    for (int i = 0; i < 2 * PAIRS; i++)
        ends(refs[i], TROUPE_END_NORMAL);
}
END_TEST

/* --- given away --- */

static void is_never_asked(troupe_self *self, troupe_stream *peer, void *arg) {
    char c;
    size_t n;
    (void)arg;
    (void)!troupe_stream_read(self, peer, &c, 1, TROUPE_FOREVER, &n);
}

START_TEST(a_stream_is_closed_with_its_actor_whenever_that_is_killed) {
    for (int i = 0; i < 50; i++) {
        int fds[2];
        troupe_stream *given, *ours;
        troupe_ref ref;
        troupe_spawn_opts opts = {.kind = i % 2 ? TROUPE_COROUTINE : TROUPE_THREAD};
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        ck_assert_int_eq(troupe_stream_adopt(fds[0], &given), TROUPE_OK);
        ck_assert_int_eq(troupe_stream_adopt(fds[1], &ours), TROUPE_OK);
        ck_assert_int_eq(troupe_stream_spawn(me, &opts, is_never_asked, &given, NULL, 0, &ref), TROUPE_OK);
        ck_assert_ptr_null(given);
        if (i % 3 == 0)
            troupe_yield(me);
        kill_it(ref);
        reads_eof(ours);
        troupe_stream_close(&ours);
    }
}
END_TEST

static void adds_up(troupe_self *self, troupe_stream *peer, void *arg) {
    const int *numbers = arg;
    char text[32];
    int n = snprintf(text, sizeof text, "%d\n", numbers[0] + numbers[1]);
    (void)!troupe_stream_write(self, peer, text, (size_t)n, PATIENCE_MS);
}

START_TEST(a_stream_comes_with_an_argument) {
    int fds[2], numbers[] = {40, 2};
    troupe_stream *given, *ours;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    ck_assert_int_eq(troupe_stream_adopt(fds[0], &given), TROUPE_OK);
    ck_assert_int_eq(troupe_stream_adopt(fds[1], &ours), TROUPE_OK);
    ck_assert_int_eq(troupe_stream_spawn(me, NULL, adds_up, &given, numbers, sizeof numbers, NULL), TROUPE_OK);
    reads(ours, "42");
    reads_eof(ours);
    troupe_stream_close(&ours);
}
END_TEST

START_TEST(a_process_is_given_no_stream) {
    int fds[2];
    troupe_stream *given;
    troupe_spawn_opts opts = {.kind = TROUPE_PROCESS};
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_int_eq(troupe_stream_adopt(fds[0], &given), TROUPE_OK);
    ck_assert_int_eq(troupe_stream_spawn(me, &opts, adds_up, &given, NULL, 0, NULL), TROUPE_INVALID);
    ck_assert_ptr_null(given);
    close(fds[1]);
}
END_TEST

/* --- lines --- */

static troupe_stream *line_pair(int *writer) {
    int fds[2];
    troupe_stream *s;
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_int_eq(troupe_stream_adopt(fds[0], &s), TROUPE_OK);
    *writer = fds[1];
    return s;
}

static void feed(int fd, const char *bytes, size_t n) {
    ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
}

START_TEST(lines_are_cut_where_they_end) {
    int w;
    const char *line;
    char rest[8];
    size_t n;
    troupe_stream *s = line_pair(&w);
    feed(w, "\n\r\na\rb\nz\0z\n", 11);
    reads(s, "");
    reads(s, "");
    reads(s, "a\rb");
    ck_assert_int_eq(troupe_stream_read_line(me, s, 3, 0, &line, &n), TROUPE_OK);
    ck_assert_uint_eq(n, 3);
    ck_assert_mem_eq(line, "z\0z", 4);
    feed(w, "begun", 5);
    ck_assert_int_eq(troupe_stream_read_line(me, s, 10, 10, &line, &n), TROUPE_TIMEOUT);
    feed(w, " ended\r\nbytes", 13);
    ck_assert_int_eq(troupe_stream_read_line(me, s, 11, 0, &line, &n), TROUPE_OK);
    ck_assert_str_eq(line, "begun ended");
    ck_assert_int_eq(troupe_stream_read(me, s, rest, 3, 0, &n), TROUPE_OK);
    ck_assert_uint_eq(n, 3);
    ck_assert_mem_eq(rest, "byt", 3);
    close(w);
    reads(s, "es");
    ck_assert_int_eq(troupe_stream_read_line(me, s, 11, 0, &line, &n), TROUPE_EOF);
    troupe_stream_close(&s);
}
END_TEST

START_TEST(a_line_has_a_largest_size) {
    int w;
    const char *line;
    size_t n;
    for (size_t length = 0; length < 12; length++) {
        troupe_stream *s = line_pair(&w);
        feed(w, "0123456789ab", length);
        feed(w, "\r\nnext\n", 7);
        if (length > 8) {
            ck_assert_int_eq(troupe_stream_read_line(me, s, 8, 0, &line, &n), TROUPE_TOO_BIG);
            ck_assert_int_eq(troupe_stream_read_line(me, s, 8, 0, &line, &n), TROUPE_TOO_BIG); /* it is still there */
        } else {
            ck_assert_int_eq(troupe_stream_read_line(me, s, 8, 0, &line, &n), TROUPE_OK);
            ck_assert_uint_eq(n, length);
            reads(s, "next");
        }
        close(w);
        troupe_stream_close(&s);
    }
}
END_TEST

START_TEST(a_line_may_come_byte_by_byte) {
    int w;
    const char *line;
    size_t n;
    char text[2000];
    troupe_stream *s = line_pair(&w);
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)('a' + i % 26);
        feed(w, &text[i], 1);
        ck_assert_int_eq(troupe_stream_read_line(me, s, sizeof text, 0, &line, &n), TROUPE_TIMEOUT);
    }
    feed(w, "\n", 1);
    ck_assert_int_eq(troupe_stream_read_line(me, s, sizeof text, 0, &line, &n), TROUPE_OK);
    ck_assert_uint_eq(n, sizeof text);
    ck_assert_mem_eq(line, text, n);
    close(w);
    troupe_stream_close(&s);
}
END_TEST

/* --- what runs out --- */

START_TEST(without_descriptors_it_waits_for_some) {
    troupe_listener *door;
    troupe_stream *s;
    struct rlimit before, none;
    ck_assert_int_eq(troupe_listener_open(me, "tcp://127.0.0.1:0", &door), TROUPE_OK);
    int fd = plain(troupe_listener_url(door));
    ck_assert_int_eq(troupe_wait_fd(me, fd, TROUPE_WRITABLE, PATIENCE_MS, NULL), TROUPE_OK);
    ck_assert_int_eq(troupe_listener_accept(me, door, PATIENCE_MS, &s), TROUPE_OK);
    troupe_stream_close(&s);
    close(fd);
    fd = plain(troupe_listener_url(door));
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3; /* all numbers that are free are above */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ck_assert_int_eq(troupe_listener_accept(me, door, 120, &s), TROUPE_TIMEOUT);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_int_eq(troupe_listener_accept(me, door, PATIENCE_MS, &s), TROUPE_OK);
    troupe_stream_close(&s);
    close(fd);
    troupe_listener_close(&door);
}
END_TEST

/* Everything that the opener's thread can do with a stream, until one step fails. */
static troupe_status all_steps(int fd) {
    troupe_listener *door = NULL;
    troupe_stream *s = NULL, *peer = NULL;
    const char *line;
    size_t n;
    int copy = dup(fd);
    troupe_status st = troupe_stream_adopt(copy, &s);
    if (st != TROUPE_OK)
        close(copy);
    if (st == TROUPE_OK && (st = troupe_stream_read_line(me, s, 10, 1, &line, &n)) == TROUPE_TIMEOUT)
        st = troupe_listener_open(me, "tcp://127.0.0.1:0", &door);
    troupe_stream_close(&s);
    if (st == TROUPE_OK)
        st = troupe_stream_connect(me, troupe_listener_url(door), PATIENCE_MS, &s);
    if (st == TROUPE_OK)
        st = troupe_listener_accept(me, door, PATIENCE_MS, &peer);
    troupe_stream_close(&peer);
    troupe_stream_close(&s);
    troupe_listener_close(&door);
    return st;
}

START_TEST(memory_that_runs_out_loses_nothing) {
    int p[2];
    ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
    for (long n = 1;; n++) {
        faults_fail_at(n);
        troupe_status st = all_steps(p[0]);
        long live = faults.live;
        faults_off();
        if (st == TROUPE_OK) {
            ck_assert_int_gt(n, 4);
            break;
        }
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
        ck_assert_int_le(live, 1); /* the worker keeps its epoll set */
    }
    close(p[0]);
    close(p[1]);
}
END_TEST

int main(void) {
    const TTest *const each_kind[] = {lines_go_to_and_fro,
                                      who_has_finished_is_still_answered,
                                      a_reset_ends_one_connection,
                                      who_does_not_read_is_waited_for_as_long_as_was_said,
                                      every_kind_dials,
                                      unix_sockets_come_and_go,
                                      a_wait_says_what_is_ready};
    const TTest *const once[] = {a_socket_left_by_the_dead_is_replaced,
                                 many_wait_for_one_descriptor,
                                 a_wait_parks_nobody_else,
                                 a_thousand_streams_on_one_worker,
                                 a_stream_is_closed_with_its_actor_whenever_that_is_killed,
                                 a_stream_comes_with_an_argument,
                                 a_process_is_given_no_stream,
                                 lines_are_cut_where_they_end,
                                 a_line_has_a_largest_size,
                                 a_line_may_come_byte_by_byte,
                                 without_descriptors_it_waits_for_some,
                                 memory_that_runs_out_loses_nothing};
    Suite *s = suite_create("stream");
    TCase *c = tcase_create("every kind");
    tcase_add_checked_fixture(c, up, down);
    for (size_t i = 0; i < sizeof each_kind / sizeof *each_kind; i++)
        tcase_add_loop_test(c, each_kind[i], TROUPE_COROUTINE, TROUPE_PROCESS + 1);
    tcase_add_loop_test(c, a_kill_ends_every_wait_for_the_outside, 0, 3 * PLACES);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    c = run_case(s, "once", once, sizeof once / sizeof *once);
    tcase_add_checked_fixture(c, up, down);
    tcase_set_timeout(c, 60);
    c = tcase_create("many workers");
    tcase_add_checked_fixture(c, up_wide, down);
    tcase_add_test(c, streams_go_where_their_actors_go);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    return run_suite(s);
}
