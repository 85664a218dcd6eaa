/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What peers and machines do to a transport: strangers, liars, silence, resets, no memory, no descriptors, bad
 * addresses. The listener lives through all of it. */
#include "tests/support/faults.h"
#include "tests/support/link_rig.h"
#include "tests/support/run.h"
#include "transports/log.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct end far; /* the dialler's */

static void setup(void) {
    rig_setup();
    far = (struct end){0};
}

static void teardown(void) {
    if (far.link)
        trp_link_close(far.link, 0);
    rig_teardown();
    trp_buf_fini(&far.got);
}

/* The accepted end, from this one on, to which somebody said hello: others may still be in the backlog. */
static struct end *greeted(int from) {
    for (int i = from; i < rig.accepts; i++)
        if (rig.accepted[i]->got.n == 5 && memcmp(rig.accepted[i]->got.p, "hello", 5) == 0)
            return rig.accepted[i];
    return NULL;
}

/* The listener takes somebody in and listens to him. */
static void still_listens(void) {
    struct end friend = {0};
    int known = rig.accepts;
    rig_dial(&friend);
    trp_link_send(friend.link, "hello", 5);
    RIG_WAIT(friend.ups == 1 && greeted(known));
    trp_link_close(friend.link, 0);
    RIG_WAIT(friend.downs == 1 && greeted(known)->downs == 1);
}

/* What a broker does with a peer that breaks the rules. */
static void last_words(struct end *e) {
    if (e->ups == 0)
        trp_link_greet(e->link, TRP_SP_PAIR0);
    trp_link_send(e->link, "you broke it", 12);
}

/* The peer's socket gets a greeting, the last words in a frame, and the end. */
static void hears_last_words(int fd, int transport) {
    uint8_t got[64];
    size_t head = transport == RIG_IPC ? 9 : 8, n = TRP_GREETING_SIZE + head + 12;
    ck_assert_uint_eq(raw_read(fd, got, sizeof got), n);
    ck_assert_mem_eq(got, "\0SP\0\0\x10\0\0", 8);
    ck_assert_mem_eq(got + 8 + head, "you broke it", 12);
}

static struct end *first(void) {
    RIG_WAIT(rig.accepts > 0);
    return rig.accepted[0];
}

/* --- strangers and liars --- */

START_TEST(a_stranger_is_told_and_hung_up_on) {
    static const char *const said[] = {"GET / HTTP/1.1\r\n\r\n", "G", "\0SP\1", "\x16\x03\x01\x02\0\1\0\1\xfc\3\3"};
    rig.near.on_broken = last_words;
    rig_listen(_i);
    for (int i = 0; i < 4; i++) {
        int fd = raw_connect(rig.url);
        raw_write(fd, said[i], i == 2 ? 4 : strlen(said[i]));
        hears_last_words(fd, _i);
        close(fd);
        struct end *e = rig.accepted[i];
        RIG_WAIT(e->downs == 1);
        ck_assert_int_eq(e->breaks, 1);
        ck_assert_int_eq(e->ups, 0);
        ck_assert_int_eq(e->broken_with, TROUPE_PROTOCOL);
        ck_assert_int_eq(e->status, TROUPE_PROTOCOL);
    }
    still_listens();
}
END_TEST

/* Without last words there is nothing to wait for. */
START_TEST(a_stranger_may_be_hung_up_on_in_silence) {
    rig_listen(_i);
    int fd = raw_connect(rig.url);
    raw_write(fd, "hello\r\n", 7);
    char c;
    ck_assert_uint_eq(raw_read(fd, &c, 1), 0);
    RIG_WAIT(first()->downs == 1);
    close(fd);
    still_listens();
}
END_TEST

static size_t largest;

static void *measuring_realloc(void *ctx, void *old, size_t size) {
    (void)ctx;
    if (size > largest)
        largest = size;
    return realloc(old, size);
}

static void plain_free(void *ctx, void *p) {
    (void)ctx;
    free(p);
}

START_TEST(frames_over_the_limit_are_refused_before_memory_is_taken) {
    static const troupe_allocator measuring = {.realloc = measuring_realloc, .free = plain_free};
    static const uint64_t claims[] = {4097, UINT64_C(1) << 31, UINT64_C(1) << 60, UINT64_C(1) << 63, UINT64_MAX};
    enum trp_framing kind = _i == RIG_IPC ? TRP_FRAMING_IPC : TRP_FRAMING_TCP;
    rig.opts.max_frame = 4096;
    rig.near.on_broken = last_words;
    rig_listen(_i);
    troupe_alloc_set(&measuring);
    for (int i = 0; i < 5; i++) {
        uint8_t head[TRP_FRAME_HEAD_MAX], body[4096] = {0};
        int fd = raw_connect(rig.url);
        raw_greet(fd, TRP_SP_PAIR0);
        raw_frame(fd, _i, body, sizeof body);
        raw_write(fd, head, (size_t)(trp_frame_head(head, kind, claims[i]) - head));
        hears_last_words(fd, _i);
        close(fd);
        struct end *e = rig.accepted[i];
        RIG_WAIT(e->downs == 1);
        ck_assert_int_eq(e->frames, 1);
        ck_assert_uint_eq(e->got.n, 4096);
        ck_assert_int_eq(e->status, TROUPE_TOO_BIG);
    }
    ck_assert_uint_lt(largest, 64 * 1024);
    troupe_alloc_set(NULL);
    rig.opts.max_frame = 0;
    still_listens();
}
END_TEST

START_TEST(a_claim_within_the_limit_takes_what_came) {
    static const troupe_allocator measuring = {.realloc = measuring_realloc, .free = plain_free};
    uint8_t head[TRP_FRAME_HEAD_MAX];
    enum trp_framing kind = _i == RIG_IPC ? TRP_FRAMING_IPC : TRP_FRAMING_TCP;
    rig.opts.max_frame = SIZE_MAX / 4;
    rig_listen(_i);
    troupe_alloc_set(&measuring);
    int fd = raw_connect(rig.url);
    raw_greet(fd, TRP_SP_PAIR0);
    raw_write(fd, head, (size_t)(trp_frame_head(head, kind, UINT64_C(1) << 40) - head));
    raw_write(fd, "a few bytes", 11);
    RIG_WAIT(first()->ups == 1);
    shutdown(fd, SHUT_WR);
    RIG_WAIT(first()->downs == 1);
    ck_assert_int_eq(first()->status, TROUPE_TRUNCATED);
    ck_assert_uint_lt(largest, 64 * 1024);
    troupe_alloc_set(NULL);
    close(fd);
}
END_TEST

/* Our last words must not be lost in a reset because the peer goes on talking. */
START_TEST(last_words_reach_a_peer_that_goes_on_talking) {
    rig.near.on_broken = last_words;
    rig_listen(_i);
    int fd = raw_connect(rig.url);
    static uint8_t babble[1024 * 1024];
    memset(babble, 'x', sizeof babble);
    raw_write(fd, babble, sizeof babble);
    RIG_WAIT(first()->breaks == 1);
    raw_write(fd, babble, sizeof babble);
    hears_last_words(fd, _i);
    close(fd);
}
END_TEST

static void write_until_refused(int fd) {
    static uint8_t babble[65536];
    int64_t end = rig_deadline();
    for (;;) {
        ssize_t k = send(fd, babble, sizeof babble, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (k < 0 && errno != EAGAIN)
            return;
        trp_loop_once(&rig.loop, 0);
        ck_assert(!rig_is_over(end));
    }
}

START_TEST(a_peer_that_talks_for_ever_is_cut_off) {
    rig.near.on_broken = last_words;
    rig_listen(_i);
    int fd = raw_connect(rig.url);
    write_until_refused(fd);
    RIG_WAIT(first()->downs == 1);
    close(fd);
    still_listens();
}
END_TEST

/* --- silence: all clocks are those of the loop --- */

static int drip_fd;

static void on_drip(uv_timer_t *timer) {
    static const char drops[] = "\0SP\0\0\x10\0";
    size_t i = (size_t)(uintptr_t)timer->data;
    if (i < sizeof drops - 1)
        (void)!send(drip_fd, drops + i, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    timer->data = (void *)(uintptr_t)(i + 1);
}

static uv_timer_t drip;

static void start_drip(int fd, size_t from) {
    drip_fd = fd;
    uv_timer_init(&rig.loop.uv, &drip);
    drip.data = (void *)(uintptr_t)from;
    uv_timer_start(&drip, on_drip, 20, 20);
}

START_TEST(a_greeting_has_a_deadline) {
    rig.opts.greeting_ms = 100;
    rig.near.on_broken = last_words;
    rig_listen(_i);
    int fd = raw_connect(rig.url), silent = raw_connect(rig.url);
    start_drip(fd, 0);
    hears_last_words(fd, _i);
    hears_last_words(silent, _i);
    close(fd);
    close(silent);
    for (int i = 0; i < 2; i++) {
        RIG_WAIT(rig.accepted[i]->downs == 1);
        ck_assert_int_eq(rig.accepted[i]->status, TROUPE_TIMEOUT);
        ck_assert_int_eq(rig.accepted[i]->broken_with, TROUPE_TIMEOUT);
    }
    uv_close((uv_handle_t *)&drip, NULL);
    still_listens();
}
END_TEST

START_TEST(a_dialler_has_a_deadline) {
    char url[128];
    int fd = raw_listen(_i, url, sizeof url);
    struct trp_link_opts opts = {.greeting_ms = 50};
    rig_dial_to(&far, url, &opts);
    RIG_WAIT(far.breaks == 0 && far.link && far.link->state == TRP_LINK_GREETING);
    int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(peer, 0);
    uint8_t greeting[TRP_GREETING_SIZE];
    ck_assert_uint_eq(raw_read(peer, greeting, sizeof greeting), sizeof greeting);
    shutdown(peer, SHUT_RD);
    RIG_WAIT(far.link->state == TRP_LINK_LINGERING);
    close(peer);
    RIG_WAIT(far.downs == 1);
    ck_assert_int_eq(far.status, TROUPE_TIMEOUT);
    ck_assert_int_eq(far.ups, 0);
    close(fd);
    if (_i == RIG_IPC)
        unlink(rig_url_for(_i) + strlen("ipc://"));
}
END_TEST

START_TEST(a_frame_has_a_deadline) {
    rig.opts.frame_ms = 100;
    rig.near.on_broken = last_words;
    rig_listen(_i);
    int fd = raw_connect(rig.url);
    raw_greet(fd, TRP_SP_PAIR0);
    raw_frame(fd, _i, "in time", 7);
    RIG_WAIT(first()->frames == 1);
    raw_write(fd, _i == RIG_IPC ? "\1" : "\0", 1);
    uint8_t answer[64];
    ck_assert_uint_eq(raw_read(fd, answer, TRP_GREETING_SIZE), TRP_GREETING_SIZE);
    start_drip(fd, 100); /* nothing: the loop has to wake up for its own deadline */
    size_t head = _i == RIG_IPC ? 9 : 8;
    ck_assert_uint_eq(raw_read(fd, answer, sizeof answer), head + 12);
    close(fd);
    RIG_WAIT(first()->downs == 1);
    ck_assert_int_eq(first()->status, TROUPE_TIMEOUT);
    uv_close((uv_handle_t *)&drip, NULL);
}
END_TEST

/* Each frame is late for the deadline of the one before, but not for its own. */
START_TEST(a_slow_stream_is_not_a_late_frame) {
    rig.opts.frame_ms = 1000;
    rig_listen(_i);
    int fd = raw_connect(rig.url);
    raw_greet(fd, TRP_SP_PAIR0);
    uint8_t frame[16] = {0}, *end = trp_frame_head(frame, _i == RIG_IPC ? TRP_FRAMING_IPC : TRP_FRAMING_TCP, 1);
    *end++ = 'x';
    raw_write(fd, frame, 3);
    for (int i = 0; i < 5; i++) {
        int64_t until = trp_loop_now(&rig.loop) + 250;
        while (trp_loop_now(&rig.loop) < until)
            trp_loop_once(&rig.loop, until - trp_loop_now(&rig.loop));
        raw_write(fd, frame + 3, (size_t)(end - frame) - 3);
        raw_write(fd, frame, 3);
    }
    RIG_WAIT(first()->frames == 5);
    ck_assert_int_eq(first()->breaks, 0);
    close(fd);
}
END_TEST

/* The program is away from its loop for longer than the deadline; the rest of the frame has come in time. */
START_TEST(a_frame_that_waits_for_us_is_not_late) {
    rig.opts.frame_ms = 50;
    rig_listen(_i);
    int fd = raw_connect(rig.url);
    uint8_t frame[16] = {0}, *end = trp_frame_head(frame, _i == RIG_IPC ? TRP_FRAMING_IPC : TRP_FRAMING_TCP, 1);
    *end++ = 'x';
    raw_greet(fd, TRP_SP_PAIR0);
    raw_write(fd, frame, 3);
    RIG_WAIT(first()->ups == 1);
    while (!trp_deframer_partial(&first()->link->in))
        trp_loop_once(&rig.loop, 1);
    raw_write(fd, frame + 3, (size_t)(end - frame) - 3);
    uv_sleep(120);
    RIG_WAIT(first()->frames == 1);
    ck_assert_int_eq(first()->breaks, 0);
    close(fd);
}
END_TEST

START_TEST(a_paused_frame_is_not_late) {
    rig.opts.frame_ms = 50;
    rig_listen(_i);
    struct end *near = rig_pair(&far);
    int fd = raw_connect(rig.url);
    raw_greet(fd, TRP_SP_PAIR0);
    raw_write(fd, _i == RIG_IPC ? "\1" : "\0", 1);
    RIG_WAIT(rig.accepts == 2 && rig.accepted[1]->ups == 1);
    trp_link_pause(rig.accepted[1]->link, true);
    trp_link_pause(near->link, true);
    int64_t until = trp_loop_now(&rig.loop) + 150;
    while (trp_loop_now(&rig.loop) < until)
        trp_loop_once(&rig.loop, 10);
    ck_assert_int_eq(rig.accepted[1]->breaks, 0);
    trp_link_pause(rig.accepted[1]->link, false);
    RIG_WAIT(rig.accepted[1]->breaks == 1);
    ck_assert_int_eq(near->breaks, 0);
    close(fd);
}
END_TEST

/* --- resets --- */

START_TEST(resets_before_the_greeting_do_no_harm) {
    enum { MANY = 200 };
    rig_listen(_i);
    for (int i = 0; i < MANY; i++) {
        int fd = raw_connect(rig.url);
        if (i % 3 == 1)
            raw_write(fd, "\0SP", 3);
        if (i % 3 == 2)
            trp_loop_once(&rig.loop, 0);
        raw_reset(fd);
    }
    still_listens();
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(rig.accepted[i]->downs, 1);
}
END_TEST

START_TEST(a_reset_amid_output_is_noticed) {
    rig_listen(_i);
    int fd = raw_connect(rig.url);
    raw_greet(fd, TRP_SP_PAIR0);
    RIG_WAIT(first()->ups == 1);
    static uint8_t much[100000];
    for (int i = 0; i < 100; i++)
        trp_link_send(first()->link, much, sizeof much);
    trp_loop_once(&rig.loop, 0);
    ck_assert_uint_gt(trp_link_pending(first()->link), 0);
    raw_reset(fd);
    RIG_WAIT(first()->downs == 1);
    ck_assert_int_lt(first()->frames, 1);
    still_listens();
}
END_TEST

START_TEST(writing_to_a_reset_connection_raises_no_signal) {
    rig_listen(_i);
    int fd = raw_connect(rig.url);
    raw_greet(fd, TRP_SP_PAIR0);
    RIG_WAIT(first()->ups == 1);
    trp_link_pause(first()->link, true);
    raw_reset(fd);
    while (first()->link) {
        trp_link_send(first()->link, "x", 1);
        trp_loop_once(&rig.loop, 0);
    }
    ck_assert_int_eq(first()->status, TROUPE_DISCONNECTED);
}
END_TEST

/* --- no memory --- */

START_TEST(no_memory_to_listen) {
    const char *url = rig_url_for(_i);
    for (long n = 1;; n++) {
        struct trp_listener *s = NULL;
        const char *why = NULL;
        faults_fail_at(n);
        troupe_status st = trp_listen(&s, &rig.loop, url, NULL, &rig_handler, NULL, NULL, &why);
        faults_off();
        trp_listener_close(&s);
        trp_loop_once(&rig.loop, 0);
        if (st == TROUPE_OK)
            break;
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
        ck_assert_ptr_nonnull(why);
    }
}
END_TEST

START_TEST(no_memory_to_dial) {
    rig_listen(_i);
    for (long n = 1; far.ups == 0; n++) {
        const char *why = NULL;
        far = (struct end){0};
        trp_chunk_pool_fini(&rig.loop.pool);
        faults_fail_at(n);
        troupe_status st = trp_link_dial(&far.link, &rig.loop, rig.url, NULL, &rig_handler, &far, &why);
        bool failed = faults.calls >= n;
        faults_off();
        if (failed) {
            ck_assert_int_eq(st, TROUPE_NO_MEMORY);
            ck_assert_ptr_nonnull(why);
            ck_assert_ptr_null(far.link);
            trp_loop_once(&rig.loop, 0);
            ck_assert_int_eq(far.downs, 0);
        } else
            RIG_WAIT(far.ups + far.downs > 0);
    }
}
END_TEST

/* Each allocation of accepting, greeting and answering fails once; the one whose turn it is goes, and the rest stay. */
START_TEST(no_memory_to_accept_or_to_talk) {
    rig_listen(_i);
    for (long n = 1; n < 12; n++) {
        int fds[3], known = rig.accepts;
        trp_chunk_pool_fini(&rig.loop.pool);
        faults_fail_at(n);
        for (int i = 0; i < 3; i++) {
            fds[i] = raw_connect(rig.url);
            raw_greet(fds[i], TRP_SP_PAIR0);
            raw_write(fds[i], _i == RIG_IPC ? "\1" : "\0", 1);
        }
        for (int i = 0; i < 3; i++) {
            uint8_t greeting[TRP_GREETING_SIZE];
            raw_read(fds[i], greeting, sizeof greeting);
        }
        for (int i = known; i < rig.accepts; i++)
            if (rig.accepted[i]->downs)
                ck_assert_int_eq(rig.accepted[i]->status, TROUPE_NO_MEMORY);
        for (int i = 0; i < 3; i++)
            close(fds[i]);
        faults_off();
        ck_assert_int_ge(rig.accepts, known + 2);
        still_listens();
    }
}
END_TEST

static bool starving;

static void *starving_realloc(void *ctx, void *old, size_t size) {
    (void)ctx;
    return starving ? NULL : realloc(old, size);
}

START_TEST(no_memory_at_all_to_accept) {
    enum { MANY = 20 };
    static const troupe_allocator allocator = {.realloc = starving_realloc, .free = plain_free};
    int fds[MANY];
    rig_listen(_i);
    troupe_alloc_set(&allocator);
    for (int i = 0; i < MANY; i++)
        fds[i] = raw_connect(rig.url);
    starving = true;
    for (int i = 0; i < MANY; i++) {
        char c;
        ck_assert_uint_eq(raw_read(fds[i], &c, 1), 0);
        close(fds[i]);
    }
    starving = false;
    ck_assert_int_eq(rig.accepts, 0);
    still_listens();
}
END_TEST

START_TEST(no_memory_for_output_ends_the_link) {
    rig_listen(_i);
    struct end *near = rig_pair(&far);
    trp_chunk_pool_fini(&rig.loop.pool);
    faults_fail_at(1);
    ck_assert_ptr_null(trp_link_reserve(far.link, 10));
    faults_off();
    ck_assert_int_eq(far.downs, 0);
    ck_assert_ptr_null(trp_link_reserve(far.link, 10));
    trp_link_send(far.link, "nothing", 7);
    RIG_WAIT(far.downs == 1 && near->downs == 1);
    ck_assert_int_eq(far.status, TROUPE_NO_MEMORY);
}
END_TEST

START_TEST(no_memory_for_the_loop) {
    struct trp_loop *l = malloc(sizeof *l);
    faults_fail_at(1);
    ck_assert_int_eq(trp_loop_init(l), TROUPE_NO_MEMORY);
    faults_off();
    free(l);
}
END_TEST

/* --- no descriptors --- */

static int warnings;

static void count_warnings(void *ctx, troupe_log_level level, const char *event, const char *text) {
    (void)ctx;
    (void)text;
    warnings += level == TROUPE_LOG_WARN && strncmp(event, "listener.", 9) == 0;
}

static struct rlimit limit_descriptors(int most) {
    struct rlimit limit, before;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    limit.rlim_cur = (rlim_t)most;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return before;
}

/* Connections of another process, so that only the listener's side runs out. */
static pid_t besiege(int many) {
    pid_t child = fork();
    if (child != 0)
        return child;
    for (int i = 0; i < many; i++)
        (void)!send(raw_connect(rig.url), "\0SP\0\0\x10\0", 8, MSG_NOSIGNAL);
    pause();
    _exit(0);
}

START_TEST(running_out_of_descriptors_refuses_and_recovers) {
    troupe_log_set(count_warnings, NULL, TROUPE_LOG_DEBUG);
    rig_listen(_i);
    pid_t child = besiege(200);
    struct rlimit before = limit_descriptors(rig.descriptors + 40);
    uint64_t start = uv_hrtime();
    RIG_WAIT(warnings > 0);
    for (int i = 0; i < 200; i++)
        trp_loop_once(&rig.loop, 1);
    ck_assert_int_le(warnings, 2 + (int)((uv_hrtime() - start) / 1000000000)); /* one a second */
    ck_assert_int_gt(rig.accepts, 20);
    int spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(spare, 0); /* we can still open a file */
    close(spare);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    RIG_WAIT(rig.accepted[0]->downs == 1);
    still_listens();
    setrlimit(RLIMIT_NOFILE, &before);
    troupe_log_set(NULL, NULL, TROUPE_LOG_ERROR);
}
END_TEST

/* Somebody else has taken all descriptors: libuv's spare one has to do. */
START_TEST(no_descriptor_at_all_does_not_spin) {
    enum { MANY = 1000 };
    int taken[MANY], n = 0;
    rig_listen(_i);
    int fd = raw_connect(rig.url);
    struct rlimit before = limit_descriptors(rig.descriptors + 20);
    while (n < MANY && (taken[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        n++;
    for (int i = 0; i < 20; i++)
        trp_loop_once(&rig.loop, 1);
    while (n > 0)
        close(taken[--n]);
    close(fd);
    setrlimit(RLIMIT_NOFILE, &before);
    still_listens();
}
END_TEST

/* --- addresses --- */

static void bad_listen(const char *url, troupe_status expected, const char *part) {
    struct trp_listener *s = NULL;
    const char *why = "";
    ck_assert_int_eq(trp_listen(&s, &rig.loop, url, NULL, &rig_handler, NULL, NULL, &why), expected);
    ck_assert_msg(strstr(why, part) != NULL, "%s: %s", url, why);
    ck_assert_ptr_null(s);
}

static void bad_dial(const char *url, troupe_status expected, const char *part) {
    const char *why = "";
    ck_assert_int_eq(trp_link_dial(&far.link, &rig.loop, url, NULL, &rig_handler, &far, &why), expected);
    ck_assert_msg(strstr(why, part) != NULL, "%s: %s", url, why);
    ck_assert_ptr_null(far.link);
}

START_TEST(bad_urls_are_explained) {
    char url[600] = "ipc:///tmp/";
    memset(url + strlen(url), 'x', 200);
    bad_listen("nonsense", TROUPE_BAD_URL, "");
    bad_listen("tcp://127.0.0.1", TROUPE_BAD_URL, "port");
    bad_listen("wss://127.0.0.1:80", TROUPE_UNSUPPORTED, "tcp://, ipc://");
    bad_listen("tcp://no.such.host.invalid:1", TROUPE_NOT_FOUND, "cannot be looked up");
    bad_listen("tcp://192.0.2.1:80", TROUPE_SYSTEM, "192.0.2.1");
    bad_listen(url, TROUPE_BAD_URL, "107");
    bad_listen("ipc:///no/such/folder/s", TROUPE_SYSTEM, "/no/such/folder/s");
    bad_dial("nonsense", TROUPE_BAD_URL, "");
    bad_dial("wss://127.0.0.1:80", TROUPE_UNSUPPORTED, "tcp://, ipc://");
    bad_dial("tcp://*:80", TROUPE_BAD_URL, "not dialled");
    bad_dial("tcp://127.0.0.1:0", TROUPE_BAD_URL, "not dialled");
    bad_dial(url, TROUPE_BAD_URL, "107");
    trp_loop_once(&rig.loop, 0);
}
END_TEST

static void dialled_in_vain(const char *url, troupe_status expected) {
    far = (struct end){0};
    rig_dial_to(&far, url, NULL);
    RIG_WAIT(far.downs == 1);
    ck_assert_int_eq(far.status, expected);
    ck_assert_int_gt((int)strlen(far.why), 5);
}

START_TEST(a_name_that_is_not_there_comes_as_down) {
    far = (struct end){0};
    rig_dial_to(&far, "tcp://no.such.host.invalid:4747", NULL);
    RIG_WAIT(far.downs == 1);
    ck_assert(far.status == TROUPE_NOT_FOUND || far.status == TROUPE_AGAIN);
}
END_TEST

START_TEST(a_name_may_be_given_up_while_it_is_looked_up) {
    rig_dial_to(&far, "tcp://no.such.host.invalid:4747", NULL);
    trp_link_close(far.link, 0);
    RIG_WAIT(far.downs == 1);
}
END_TEST

/* Every address of a name is tried: the listener has only one of localhost's. */
START_TEST(localhost_is_found_on_either_address) {
    char url[64];
    rig_listen(_i);
    snprintf(url, sizeof url, "tcp://localhost%s", strrchr(rig.url, ':'));
    rig_dial_to(&far, url, NULL);
    RIG_WAIT(far.ups + far.downs == 1);
    if (_i == RIG_TCP6 && far.downs)
        ck_assert_int_eq(far.status, TROUPE_REFUSED); /* a machine whose localhost is IPv4 only */
    else
        ck_assert_str_eq(trp_link_peer(far.link), rig.url);
}
END_TEST

START_TEST(nobody_on_any_address_of_localhost) {
    dialled_in_vain("tcp://localhost:1", TROUPE_REFUSED);
}
END_TEST

START_TEST(a_star_takes_both_families) {
    const char *why = "";
    char url[64];
    struct trp_listener *s;
    ck_assert_int_eq(trp_listen(&s, &rig.loop, "tcp://*:0", NULL, &rig_handler, NULL, NULL, &why), TROUPE_OK);
    static const char *const hosts[] = {"127.0.0.1", "[::1]"};
    for (int i = 0; i < 2; i++) {
        snprintf(url, sizeof url, "tcp://%s%s", hosts[i], strrchr(trp_listener_url(s), ':'));
        close(raw_connect(url));
    }
    trp_listener_close(&s);
}
END_TEST

/* --- ipc paths --- */

static char *ipc_path(void) {
    static char path[128];
    snprintf(path, sizeof path, "%s/s", rig.folder);
    return path;
}

START_TEST(a_stale_ipc_path_is_taken_over) {
    char url[128];
    int fd = raw_listen(RIG_IPC, url, sizeof url);
    close(fd);
    ck_assert_int_eq(access(ipc_path(), F_OK), 0);
    dialled_in_vain(url, TROUPE_REFUSED);
    far.link = NULL;
    rig_listen(RIG_IPC);
    still_listens();
    trp_listener_close(&rig.listener);
    trp_loop_once(&rig.loop, 0);
    ck_assert_int_ne(access(ipc_path(), F_OK), 0);
}
END_TEST

START_TEST(what_is_not_a_socket_is_left_alone) {
    int fd = open(ipc_path(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, "data", 4), 4);
    close(fd);
    bad_listen(rig_url_for(RIG_IPC), TROUPE_ADDRESS_IN_USE, "not a socket");
    ck_assert_int_eq(access(ipc_path(), F_OK), 0);
    unlink(ipc_path());
}
END_TEST

/* Of many that start at once on a stale path exactly one gets it, and it is the one that answers. */
START_TEST(only_one_takes_a_stale_path_over) {
    enum { MANY = 8 };
    char url[128], got[MANY];
    int results[2], go[2], won = 0;
    close(raw_listen(RIG_IPC, url, sizeof url));
    ck_assert_int_eq(pipe2(results, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(go, O_CLOEXEC), 0);
    pid_t children[MANY];
    for (int i = 0; i < MANY; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct trp_listener *s = NULL;
            const char *why;
            char c;
            close(go[1]);
            (void)!read(go[0], &c, 1);
            ck_assert_int_eq(uv_loop_fork(&rig.loop.uv), 0);
            c = trp_listen(&s, &rig.loop, url, NULL, &rig_handler, NULL, NULL, &why) == TROUPE_OK ? 'y' : 'n';
            (void)!write(results[1], &c, 1);
            pause();
            _exit(0);
        }
    }
    close(go[1]);
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(read(results[0], got + i, 1), 1);
    for (int i = 0; i < MANY; i++)
        won += got[i] == 'y';
    ck_assert_int_eq(won, 1);
    close(raw_connect(url));
    for (int i = 0; i < MANY; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    unlink(ipc_path());
    close(go[0]);
    close(results[0]);
    close(results[1]);
}
END_TEST

static TCase *new_case(Suite *s, const char *name, const TTest *const *tests, size_t n, int transports) {
    TCase *t = tcase_create(name);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    for (size_t i = 0; i < n; i++)
        tcase_add_loop_test(t, tests[i], 0, transports);
    suite_add_tcase(s, t);
    return t;
}

int main(void) {
    Suite *s = suite_create("transport faults");
    const TTest *const every[] = {
        a_stranger_is_told_and_hung_up_on,
        a_stranger_may_be_hung_up_on_in_silence,
        frames_over_the_limit_are_refused_before_memory_is_taken,
        a_claim_within_the_limit_takes_what_came,
        last_words_reach_a_peer_that_goes_on_talking,
        a_peer_that_talks_for_ever_is_cut_off,
        a_greeting_has_a_deadline,
        a_dialler_has_a_deadline,
        a_frame_has_a_deadline,
        a_slow_stream_is_not_a_late_frame,
        a_frame_that_waits_for_us_is_not_late,
        a_paused_frame_is_not_late,
        resets_before_the_greeting_do_no_harm,
        a_reset_amid_output_is_noticed,
        writing_to_a_reset_connection_raises_no_signal,
        no_memory_to_listen,
        no_memory_to_dial,
        no_memory_to_accept_or_to_talk,
        no_memory_at_all_to_accept,
        no_memory_for_output_ends_the_link,
        running_out_of_descriptors_refuses_and_recovers,
        no_descriptor_at_all_does_not_spin,
    };
    const TTest *const tcp[] = {localhost_is_found_on_either_address};
    const TTest *const once[] = {
        no_memory_for_the_loop,
        bad_urls_are_explained,
        a_name_that_is_not_there_comes_as_down,
        a_name_may_be_given_up_while_it_is_looked_up,
        nobody_on_any_address_of_localhost,
        a_star_takes_both_families,
        a_stale_ipc_path_is_taken_over,
        what_is_not_a_socket_is_left_alone,
        only_one_takes_a_stale_path_over,
    };
    new_case(s, "every transport", every, sizeof every / sizeof *every, RIG_TRANSPORTS);
    new_case(s, "tcp", tcp, sizeof tcp / sizeof *tcp, RIG_IPC);
    new_case(s, "addresses", once, sizeof once / sizeof *once, 1);
    return run_suite(s);
}
