/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What peers and machines do to a transport: strangers, liars, silence, resets, no memory, no descriptors. The
 * listener lives through all of it. */
#include "tests/support/faults.h"
#include "tests/support/link_rig.h"
#include "tests/support/run.h"
#include "transports/log.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

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
    rig_still_listens();
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
    rig_still_listens();
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
    rig_still_listens();
}
END_TEST

static void raise_limit(struct end *e, struct trp_slice body) {
    trp_link_limit(e->link, body.n + 1);
}

START_TEST(the_limit_can_be_raised) {
    rig.opts.max_frame = 10;
    rig.near.on_frame = raise_limit;
    rig_listen(_i);
    int fd = raw_connect(rig.url);
    raw_greet(fd, TRP_SP_PAIR0);
    for (size_t n = 10; n < 20; n++)
        raw_frame(fd, _i, "0123456789012345678901", n);
    raw_frame(fd, _i, "0123456789012345678901", 21);
    RIG_WAIT(first()->breaks == 1);
    ck_assert_int_eq(first()->frames, 10);
    ck_assert_int_eq(first()->broken_with, TROUPE_TOO_BIG);
    close(fd);
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
    rig_still_listens();
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
    rig_still_listens();
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

/* Nobody accepts, and the kernel has no more room for those who wait: tcp drops the first packet in silence, a unix
 * socket says so. */
START_TEST(a_full_backlog_is_given_up_on) {
    enum { MANY = 20 };
    static struct end many[MANY];
    char url[128];
    int fd = raw_listen(_i, url, sizeof url), downs = 0;
    struct trp_link_opts opts = {.greeting_ms = 100};
    listen(fd, 1);
    for (int i = 0; i < MANY; i++)
        rig_dial_to(&many[i], url, &opts);
    for (int i = 0; i < MANY; i++) {
        RIG_WAIT(many[i].downs == 1 || many[i].link->state == TRP_LINK_LINGERING);
        downs += many[i].downs;
        if (many[i].downs)
            ck_assert_int_eq(many[i].status, _i == RIG_IPC ? TROUPE_AGAIN : TROUPE_TIMEOUT);
        else
            trp_link_close(many[i].link, 0);
    }
    ck_assert_int_gt(downs, 10);
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
    rig_still_listens();
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
    rig_still_listens();
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
        rig_still_listens();
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
    rig_still_listens();
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
    rig_still_listens();
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
    rig_still_listens();
}
END_TEST

int main(void) {
    Suite *s = suite_create("transport faults");
    const TTest *const every[] = {
        a_stranger_is_told_and_hung_up_on,
        a_stranger_may_be_hung_up_on_in_silence,
        frames_over_the_limit_are_refused_before_memory_is_taken,
        the_limit_can_be_raised,
        a_claim_within_the_limit_takes_what_came,
        last_words_reach_a_peer_that_goes_on_talking,
        a_peer_that_talks_for_ever_is_cut_off,
        a_greeting_has_a_deadline,
        a_dialler_has_a_deadline,
        a_full_backlog_is_given_up_on,
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
    rig_case(s, "every transport", every, sizeof every / sizeof *every, RIG_TRANSPORTS);
    const TTest *const loop[] = {no_memory_for_the_loop};
    rig_case(s, "loop", loop, 1, 1);
    return run_suite(s);
}
