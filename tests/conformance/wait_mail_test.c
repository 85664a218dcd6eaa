/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Waiting for a descriptor and for mail at once: whichever comes is told, for every kind, and neither hides the other. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <troupe/future.h>
#include <troupe/handler.h>
#include <troupe/monitor.h>
#include <troupe/stream.h>

#include "tests/support/actors.h"

enum { KINDS = 3, BOTH = TROUPE_READABLE | TROUPE_MAIL, BYTE = 1000, DOWN = 5000, CLOSED = -1, FAULT = -2, TOLD = 6000 };

static char path[64];
static int pipe_in;

/* A named pipe: the bodies of processes have not inherited anything. */
static void up(void) {
    snprintf(path, sizeof path, "/tmp/troupe-wait-%d", (int)getpid());
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    pipe_in = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(pipe_in, 0);
    system_up();
}

static void down(void) {
    system_down();
    close(pipe_in);
    unlink(path);
}

static void write_byte(char c) {
    ck_assert_int_eq(write(pipe_in, &c, 1), 1);
}

struct job {
    troupe_ref test, watched;
    char path[64];
};

static struct job job_new(void) {
    struct job job = {.test = troupe_self_ref(me)};
    memcpy(job.path, path, sizeof path);
    return job;
}

/* --- a body that waits for both --- */

static int64_t byte_here(int fd) {
    char c;
    return read(fd, &c, 1) == 1 ? BYTE + c : FAULT;
}

/* What a receive says that does not wait. */
static int64_t mail_here(troupe_self *self) {
    troupe_msg *m;
    int64_t n = FAULT;
    troupe_status st = troupe_receive(self, 0, &m);
    if (st == TROUPE_CLOSED)
        return CLOSED;
    if (st != TROUPE_OK)
        return FAULT;
    if (troupe_msg_down(m, NULL))
        n = DOWN;
    else
        (void)troupe_msg_int(m, &n);
    troupe_msg_free(&m);
    return n;
}

/* Says what comes, until it is closed. */
static void waits(troupe_self *self, void *arg) {
    const struct job *job = arg;
    int fd = open(job->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    troupe_watch watch;
    unsigned ready = 0;
    int64_t said = 0;
    if (job->watched.id && troupe_monitor(self, job->watched, &watch) != TROUPE_OK)
        said = FAULT;
    if (troupe_wait_fd(self, fd, BOTH, 0, &ready) != TROUPE_TIMEOUT ||
        troupe_wait_fd(self, fd, BOTH, 5, &ready) != TROUPE_TIMEOUT)
        said = FAULT;
    say(self, job->test, said);
    while (said != CLOSED && troupe_wait_fd(self, fd, BOTH, TROUPE_FOREVER, &ready) == TROUPE_OK) {
        if (ready & TROUPE_READABLE)
            say(self, job->test, byte_here(fd));
        if (ready & TROUPE_MAIL)
            say(self, job->test, said = mail_here(self));
    }
    close(fd);
}

static troupe_ref waiter(int kind, const struct job *job, size_t mailbox) {
    troupe_ref ref;
    troupe_spawn_opts opts = {.kind = (troupe_kind)kind, .mailbox = mailbox};
    ck_assert_int_eq(troupe_spawn(me, &opts, waits, job, sizeof *job, &ref), TROUPE_OK);
    ck_assert_int_eq(hear(), 0);
    return ref;
}

static void send(troupe_ref to, int64_t n) {
    ck_assert_int_eq(troupe_send(me, to, troupe_int(n)), TROUPE_OK);
}

START_TEST(whichever_comes_is_told) {
    struct job job = job_new();
    troupe_ref ref = waiter(_i, &job, 0);
    for (int i = 1; i < 100; i++) {
        if (i % 3 != 0)
            send(ref, i);
        if (i % 3 != 1)
            write_byte('a');
        int64_t sum = (i % 3 != 0 ? i : 0) + (i % 3 != 1 ? BYTE + 'a' : 0);
        for (int n = 1 + (i % 3 == 2); n > 0; n--)
            sum -= hear();
        ck_assert_int_eq(sum, 0);
    }
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK);
    ck_assert_int_eq(hear(), CLOSED);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

static void sits(troupe_self *self, void *arg) {
    (void)arg;
    (void)!troupe_sleep(self, 3600 * 1000);
}

/* What is no mail of the ordinary sort: an end that it watches, and its own. */
START_TEST(ends_are_told) {
    struct job job = job_new();
    job.watched = spawn(TROUPE_COROUTINE, sits, NULL, 0);
    troupe_ref ref = waiter(_i, &job, 0);
    ck_assert_int_eq(troupe_kill(me, job.watched), TROUPE_OK);
    ck_assert_int_eq(hear(), DOWN);
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK);
    ends(ref, TROUPE_END_KILLED);
}
END_TEST

/* Senders that wait for room are let in. */
START_TEST(a_full_mailbox_empties) {
    struct job job = job_new();
    troupe_ref ref = waiter(_i, &job, 2);
    for (int i = 0; i < 300; i++)
        send(ref, i);
    for (int i = 0; i < 300; i++)
        ck_assert_int_eq(hear(), i);
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK);
    ck_assert_int_eq(hear(), CLOSED);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

/* A descriptor that is always ready, by a body that never reads it. */
static void ignores(troupe_self *self, void *arg) {
    const struct job *job = arg;
    int fd = open(job->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    unsigned ready = 0;
    troupe_status st = TROUPE_OK;
    say(self, job->test, 0);
    while (st == TROUPE_OK && !(ready & TROUPE_MAIL))
        st = troupe_wait_fd(self, fd, BOTH, TROUPE_FOREVER, &ready);
    say(self, job->test, st == TROUPE_OK && (ready & TROUPE_READABLE) ? mail_here(self) : FAULT);
    close(fd);
}

START_TEST(what_is_always_ready_hides_nothing) {
    struct job job = job_new();
    write_byte('x');
    troupe_ref ref = spawn(_i, ignores, &job, sizeof job);
    ck_assert_int_eq(hear(), 0);
    send(ref, 7);
    ck_assert_int_eq(hear(), 7);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

/* Who may receive no more in this life is told so, and begins anew. */
START_TEST(one_that_is_used_up_is_told) {
    struct job job = job_new();
    troupe_ref ref;
    troupe_spawn_opts opts = {.kind = (troupe_kind)_i, .max_messages = 1};
    ck_assert_int_eq(troupe_spawn(me, &opts, waits, &job, sizeof job, &ref), TROUPE_OK);
    for (int i = 1; i < 4; i++) {
        ck_assert_int_eq(hear(), 0);
        send(ref, i);
        ck_assert_int_eq(hear(), i);
        ck_assert_int_eq(hear(), CLOSED);
    }
    ck_assert_int_eq(hear(), 0);
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK);
    ck_assert_int_eq(hear(), CLOSED);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

/* --- handlers, functions of futures --- */

static void on_message(troupe_self *self, void *state, troupe_msg **m) {
    (void)m;
    waits(self, state);
}

START_TEST(a_handler_waits_for_both) {
    static const troupe_handler handler = {.on_message = on_message};
    struct job job = job_new();
    troupe_ref ref;
    ck_assert_int_eq(troupe_spawn_handler(me, &(troupe_spawn_opts){.kind = (troupe_kind)_i}, &handler, &job, sizeof job, &ref),
                     TROUPE_OK);
    send(ref, 0);
    ck_assert_int_eq(hear(), 0);
    send(ref, 3);
    ck_assert_int_eq(hear(), 3);
    write_byte('b');
    ck_assert_int_eq(hear(), BYTE + 'b');
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK);
    ck_assert_int_eq(hear(), CLOSED);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

static void answers(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)arg;
    if (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        (void)!troupe_reply(self, m, troupe_int(TOLD));
        troupe_msg_free(&m);
    }
}

static void then(troupe_self *self, troupe_status st, troupe_msg *answer, void *arg) {
    (void)self;
    *(troupe_status *)arg = st;
    troupe_msg_free(&answer);
}

/* A function that waits for an answer is called here as it would be by receive. */
START_TEST(functions_of_futures_are_called) {
    troupe_ref ref = spawn(_i, answers, NULL, 0);
    troupe_status said = TROUPE_TIMEOUT;
    troupe_future *f;
    unsigned ready;
    ck_assert_int_eq(troupe_ask_async(me, ref, troupe_nil(), &f), TROUPE_OK);
    troupe_future_then(&f, then, &said);
    for (int i = 0; i < PATIENCE_MS / 10 && said == TROUPE_TIMEOUT; i++)
        ck_assert_int_eq(troupe_wait_fd(me, pipe_in, BOTH, 10, &ready), TROUPE_TIMEOUT);
    ck_assert_int_eq(said, TROUPE_OK);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

START_TEST(mail_alone_is_for_receive) {
    ck_assert_int_eq(troupe_wait_fd(me, pipe_in, TROUPE_MAIL, 0, NULL), TROUPE_INVALID);
    ck_assert_int_eq(troupe_wait_fd(me, pipe_in, 8, 0, NULL), TROUPE_INVALID);
}
END_TEST

int main(void) {
    Suite *s = suite_create("wait for mail");
    const TTest *const once[] = {mail_alone_is_for_receive};
    TCase *c = run_case(s, "wait", once, sizeof once / sizeof *once);
    tcase_add_checked_fixture(c, up, down);
    tcase_set_timeout(c, 60);
    const TTest *const kinds[] = {whichever_comes_is_told,        ends_are_told,
                                  a_full_mailbox_empties,         what_is_always_ready_hides_nothing,
                                  one_that_is_used_up_is_told,    a_handler_waits_for_both,
                                  functions_of_futures_are_called};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        tcase_add_loop_test(c, kinds[i], 0, KINDS);
    return run_suite(s);
}
