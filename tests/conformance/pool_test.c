/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Futures and pools, for every kind of asker and of worker. Bodies tell the test what they have seen. */
#include <signal.h>
#include <troupe/handler.h>
#include <troupe/log.h>
#include <troupe/pool.h>
#include <unistd.h>

#include "tests/support/actors.h"
#include "tests/support/faults.h"

enum { KINDS = TROUPE_PROCESS + 1, PAIRS = KINDS * KINDS, NOBODY = -1000 };

/* --- actors to ask --- */

/* Answers with the square; 0: with an error; below: never, but holds the question until it is told a plain word. */
static void squares(troupe_self *self, void *arg) {
    (void)arg;
    troupe_msg *m, *held = NULL;
    int64_t n = 0;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        bool number = troupe_msg_int(m, &n);
        if (number && n < 0) {
            held = m;
            continue;
        }
        if (!number && held) {
            (void)!troupe_reply(self, held, troupe_int(NOBODY));
            troupe_msg_free(&held);
        } else if (n == 0) {
            (void)!troupe_reply_error(self, m, "ZERO", "there is nothing to square");
        } else {
            (void)!troupe_reply(self, m, troupe_int(n * n));
        }
        troupe_msg_free(&m);
    }
    /* What it still holds is in its hand when it dies. */
}

struct job {
    troupe_ref test, to;
    troupe_pool pool;
};

static void tell(troupe_self *self, troupe_ref test, troupe_status st, troupe_msg *answer) {
    int64_t n = 0;
    say(self, test, st != TROUPE_OK ? -(int64_t)st : troupe_msg_error(answer) ? NOBODY : troupe_msg_int(answer, &n) ? n : 0);
    if (st == TROUPE_OK)
        troupe_msg_free(&answer);
}

static void awaits(troupe_self *self, const struct job *job, troupe_future **f, int64_t timeout_ms) {
    troupe_msg *answer = NULL;
    troupe_status st = troupe_future_await(self, f, timeout_ms, &answer);
    tell(self, job->test, st, answer);
}

static void ask(troupe_self *self, troupe_ref to, int64_t n, troupe_future **f) {
    if (troupe_ask_async(self, to, troupe_int(n), f) != TROUPE_OK)
        *f = NULL;
}

/* --- futures --- */

static void asks_three_and_awaits_backwards(troupe_self *self, void *arg) {
    const struct job *job = arg;
    troupe_future *f[3];
    for (int i = 0; i < 3; i++)
        ask(self, job->to, i + 1, &f[i]);
    for (int i = 3; i-- > 0;)
        awaits(self, job, &f[i], PATIENCE_MS);
    say(self, job->test, !f[0] && !f[1] && !f[2]);
}

START_TEST(every_kind_asks_every_kind_at_once) {
    struct job job = {.test = troupe_self_ref(me), .to = spawn(_i % KINDS, squares, NULL, 0)};
    troupe_ref a = spawn(_i / KINDS, asks_three_and_awaits_backwards, &job, sizeof job);
    ck_assert_int_eq(hear(), 9);
    ck_assert_int_eq(hear(), 4);
    ck_assert_int_eq(hear(), 1);
    ck_assert_int_eq(hear(), 1);
    ends(a, TROUPE_END_NORMAL);
    stop(job.to);
}
END_TEST

static void awaits_one_all_any(troupe_self *self, void *arg) {
    const struct job *job = arg;
    troupe_future *f[3] = {NULL};
    size_t which = 9;
    ask(self, job->to, -1, &f[0]); /* held back */
    ask(self, job->to, 5, &f[1]);
    ask(self, job->to, 0, &f[2]);
    say(self, job->test, troupe_future_all(self, f + 1, 2, PATIENCE_MS));
    say(self, job->test, troupe_future_any(self, f, 3, PATIENCE_MS, &which));
    say(self, job->test, (int64_t)which);
    say(self, job->test, troupe_future_ready(self, f[0]));
    say(self, job->test, troupe_future_all(self, f, 3, 20));
    say(self, job->test, troupe_future_any(self, f, 1, 20, &which));
    awaits(self, job, &f[0], 20); /* TIMEOUT: it is still there */
    (void)!troupe_send(self, job->to, troupe_nil());
    awaits(self, job, &f[0], PATIENCE_MS);
    while (!troupe_future_ready(self, f[1]))
        ;
    awaits(self, job, &f[1], 0);
    awaits(self, job, &f[2], 0);
    say(self, job->test, troupe_future_any(self, f, 3, 0, &which));
    say(self, job->test, troupe_future_all(self, f, 3, 0));
}

START_TEST(one_all_and_any_are_awaited) {
    const int64_t said[] = {TROUPE_OK,       TROUPE_OK, 1,  false,  TROUPE_TIMEOUT,   TROUPE_TIMEOUT,
                            -TROUPE_TIMEOUT, NOBODY,    25, NOBODY, TROUPE_NOT_FOUND, TROUPE_OK};
    struct job job = {.test = troupe_self_ref(me), .to = spawn(TROUPE_THREAD, squares, NULL, 0)};
    troupe_ref a = spawn(_i, awaits_one_all_any, &job, sizeof job);
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        int64_t n = hear();
        ck_assert_msg(n == said[i], "%zu: %lld", i, (long long)n);
    }
    ends(a, TROUPE_END_NORMAL);
    stop(job.to);
}
END_TEST

static void awaits_the_dead(troupe_self *self, void *arg) {
    const struct job *job = arg;
    troupe_future *held, *after;
    ask(self, job->to, -1, &held);
    say(self, job->test, troupe_kill(self, job->to));
    awaits(self, job, &held, PATIENCE_MS);
    (void)!troupe_join(self, job->to, PATIENCE_MS, NULL);
    ask(self, job->to, 1, &after);
    awaits(self, job, &after, PATIENCE_MS);
}

/* A kill may come before the question has been received: that it died is said all the same. */
START_TEST(a_future_hears_of_death) {
    struct job job = {.test = troupe_self_ref(me), .to = spawn(_i % KINDS, squares, NULL, 0)};
    troupe_ref a = spawn(_i / KINDS, awaits_the_dead, &job, sizeof job);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_eq(hear(), -TROUPE_DIED);
    ck_assert_int_eq(hear(), -TROUPE_NOT_FOUND);
    ends(a, TROUPE_END_NORMAL);
}
END_TEST

static void was_called(troupe_self *self, troupe_status st, troupe_msg *answer, void *arg) {
    tell(self, *(troupe_ref *)arg, st, answer);
}

static void has_a_function_called(troupe_self *self, void *arg) {
    struct job *job = arg;
    troupe_future *f;
    troupe_msg *m;
    for (int i = 1; i <= 3; i++) {
        ask(self, job->to, i, &f);
        troupe_future_then(&f, was_called, &job->test);
    }
    /* Closed by the test when it has heard of all. */
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK)
        troupe_msg_free(&m);
}

START_TEST(a_function_is_called_with_the_answer) {
    struct job job = {.test = troupe_self_ref(me), .to = spawn(TROUPE_COROUTINE, squares, NULL, 0)};
    troupe_ref a = spawn(_i, has_a_function_called, &job, sizeof job);
    ck_assert_int_eq(hear() + hear() + hear(), 14);
    stop(a);
    stop(job.to);
}
END_TEST

static void asks_on(troupe_self *self, void *state, troupe_msg **m) {
    struct job *job = state;
    troupe_future *f;
    int64_t n = 0;
    (void)troupe_msg_int(*m, &n);
    ask(self, job->to, n, &f);
    troupe_future_then(&f, was_called, &job->test);
}

START_TEST(a_handler_is_called_back) {
    static const troupe_handler handler = {.on_message = asks_on};
    struct job job = {.test = troupe_self_ref(me), .to = spawn(TROUPE_THREAD, squares, NULL, 0)};
    troupe_spawn_opts opts = {.kind = (troupe_kind)_i};
    troupe_ref a;
    ck_assert_int_eq(troupe_spawn_handler(me, &opts, &handler, &job, sizeof job, &a), TROUPE_OK);
    for (int i = 1; i <= 3; i++) {
        ck_assert_int_eq(troupe_send(me, a, troupe_int(i)), TROUPE_OK);
        ck_assert_int_eq(hear(), (int64_t)i * i);
    }
    stop(a);
    stop(job.to);
}
END_TEST

static void leaves_its_futures(troupe_self *self, void *arg) {
    const struct job *job = arg;
    troupe_future *f;
    ask(self, job->to, -1, &f);
    ask(self, job->to, 2, &f);
    if (troupe_self_kind(self) != TROUPE_PROCESS)
        while (!troupe_future_ready(self, f))
            ;
    ask(self, job->to, 3, &f);
    troupe_future_free(&f);
    ck_assert_ptr_null(f);
    troupe_future_free(&f);
}

START_TEST(futures_end_with_their_body) {
    struct job job = {.test = troupe_self_ref(me), .to = spawn(TROUPE_THREAD, squares, NULL, 0)};
    ends(spawn(_i, leaves_its_futures, &job, sizeof job), TROUPE_END_NORMAL);
    ck_assert_int_eq(troupe_send(me, job.to, troupe_nil()), TROUPE_OK); /* answers who is gone */
    stop(job.to);
}
END_TEST

/* --- pools --- */

/* A number: its square. -1: SIGSEGV. -2: an error. -3: nothing said. -4: its own pid. -5: waits for the test's word. */
static void task(troupe_self *self, troupe_msg *m, void *arg) {
    int64_t n = 0;
    troupe_msg *go;
    const struct job *job = arg;
    (void)troupe_msg_int(m, &n);
    if (n == -1)
        raise(SIGSEGV);
    else if (n == -2)
        (void)!troupe_reply_error(self, m, "NO", "not that one");
    else if (n == -4)
        (void)!troupe_reply(self, m, troupe_int(getpid()));
    else if (n == -5 && troupe_ask(self, job->test, troupe_int(n), TROUPE_FOREVER, &go) == TROUPE_OK)
        troupe_msg_free(&go);
    else if (n >= 0)
        (void)!troupe_reply(self, m, troupe_int(n * n));
}

static troupe_pool pool(int kind, int workers, size_t backlog) {
    struct job job = {.test = troupe_self_ref(me)};
    troupe_pool_opts opts = {.kind = (troupe_kind)kind, .workers = workers, .backlog = backlog, .name = "worker"};
    troupe_pool p;
    ck_assert_int_eq(troupe_pool_open(me, &opts, task, &job, sizeof job, &p), TROUPE_OK);
    return p;
}

static troupe_future *submit(troupe_pool p, int64_t n) {
    troupe_future *f;
    ck_assert_int_eq(troupe_pool_submit(me, p, troupe_int(n), PATIENCE_MS, &f), TROUPE_OK);
    return f;
}

static int64_t result(troupe_future *f) {
    troupe_msg *m;
    int64_t n = NOBODY;
    ck_assert_int_eq(troupe_future_await(me, &f, PATIENCE_MS, &m), TROUPE_OK);
    if (!troupe_msg_error(m))
        (void)troupe_msg_int(m, &n);
    troupe_msg_free(&m);
    return n;
}

static void finish(troupe_pool p) {
    ck_assert_int_eq(troupe_pool_close(me, p), TROUPE_OK);
    ck_assert_int_eq(troupe_pool_join(me, p, PATIENCE_MS), TROUPE_OK);
}

static void maps(troupe_self *self, void *arg) {
    enum { N = 300 };
    const struct job *job = arg;
    troupe_value values[N];
    troupe_msg *answers[N];
    int64_t n, good = 0;
    for (int i = 0; i < N; i++)
        values[i] = troupe_int(i);
    say(self, job->test, troupe_pool_map(self, job->pool, values, N, PATIENCE_MS, answers));
    for (int i = 0; i < N; i++) {
        good += answers[i] && troupe_msg_int(answers[i], &n) && n == (int64_t)i * i;
        troupe_msg_free(&answers[i]);
    }
    say(self, job->test, good);
}

/* The pool's kind, and that of who uses it. A backlog smaller than the work. */
START_TEST(results_come_in_order) {
    struct job job = {.test = troupe_self_ref(me), .pool = pool(_i % KINDS, 3, 16)};
    troupe_ref a = spawn(_i / KINDS, maps, &job, sizeof job);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_eq(hear(), 300);
    ends(a, TROUPE_END_NORMAL);
    finish(job.pool);
}
END_TEST

START_TEST(closing_does_what_is_there_and_takes_no_more) {
    troupe_pool p = pool(_i, 2, 0);
    troupe_future *f[20], *late;
    ck_assert_int_eq(troupe_pool_join(me, p, 0), TROUPE_INVALID);
    for (int i = 0; i < 20; i++)
        f[i] = submit(p, i);
    ck_assert_int_eq(troupe_pool_close(me, p), TROUPE_OK);
    ck_assert_int_eq(troupe_pool_submit(me, p, troupe_int(1), 0, &late), TROUPE_CLOSED);
    ck_assert_int_eq(troupe_pool_submit(me, p, troupe_int(1), 0, NULL), TROUPE_CLOSED);
    ck_assert_int_eq(troupe_pool_join(me, p, PATIENCE_MS), TROUPE_OK);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(result(f[i]), (int64_t)i * i);
    ck_assert_int_eq(troupe_pool_join(me, p, 0), TROUPE_OK);
    ck_assert_int_eq(troupe_pool_close(me, p), TROUPE_CLOSED);
}
END_TEST

START_TEST(a_pool_with_nothing_to_do_ends) {
    finish(pool(_i, 4, 0));
}
END_TEST

START_TEST(whoever_is_asked_answers) {
    troupe_pool p = pool(_i, 1, 0);
    troupe_msg *m;
    ck_assert_int_eq(troupe_ask(me, p.ref, troupe_int(9), PATIENCE_MS, &m), TROUPE_OK); /* submit and wait in one */
    ck_assert_int_eq(troupe_msg_value(m).i, 81);
    troupe_msg_free(&m);
    ck_assert_int_eq(result(submit(p, -2)), NOBODY);
    ck_assert_int_eq(troupe_ask(me, p.ref, troupe_int(-3), PATIENCE_MS, &m), TROUPE_OK);
    ck_assert_int_eq(troupe_msg_value(m).kind, TROUPE_NIL);
    troupe_msg_free(&m);
    finish(p);
}
END_TEST

/* The question of a task that waits for the test. */
static troupe_msg *a_worker_waits(void) {
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    ck_assert(troupe_msg_wants_reply(m));
    return m;
}

static void go_on(troupe_msg *m) {
    ck_assert_int_eq(troupe_reply(me, m, troupe_nil()), TROUPE_OK);
    troupe_msg_free(&m);
}

START_TEST(a_long_task_keeps_one_worker) {
    troupe_pool p = pool(_i, 2, 0);
    troupe_future *slow = submit(p, -5);
    troupe_msg *m = a_worker_waits();
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(result(submit(p, i)), (int64_t)i * i);
    go_on(m);
    (void)result(slow);
    finish(p);
}
END_TEST

START_TEST(a_full_backlog_makes_wait) {
    troupe_pool p = pool(_i, 1, 2);
    troupe_future *slow = submit(p, -5), *f[2], *more;
    troupe_msg *m = a_worker_waits();
    for (int i = 0; i < 2; i++)
        f[i] = submit(p, i + 2);
    ck_assert_int_eq(troupe_pool_submit(me, p, troupe_int(4), 0, &more), TROUPE_TIMEOUT);
    ck_assert_int_eq(troupe_pool_submit(me, p, troupe_int(4), 20, NULL), TROUPE_TIMEOUT);
    ck_assert_int_eq(troupe_try_send(me, p.ref, troupe_int(4)), TROUPE_FULL);
    go_on(m);
    ck_assert_int_eq(troupe_pool_submit(me, p, troupe_int(4), PATIENCE_MS, &more), TROUPE_OK);
    ck_assert_int_eq(result(f[0]), 4);
    ck_assert_int_eq(result(f[1]), 9);
    ck_assert_int_eq(result(more), 16);
    (void)result(slow);
    finish(p);
}
END_TEST

START_TEST(a_killed_pool_answers_all) {
    troupe_pool p = pool(_i, 1, 0);
    troupe_future *f[5];
    troupe_msg *m, *answer;
    f[0] = submit(p, -5);
    m = a_worker_waits();
    for (int i = 1; i < 5; i++)
        f[i] = submit(p, i);
    ck_assert_int_eq(troupe_kill(me, p.ref), TROUPE_OK);
    for (int i = 0; i < 5; i++) {
        troupe_status st = troupe_future_await(me, &f[i], PATIENCE_MS, &answer);
        ck_assert_msg(st == TROUPE_DIED || st == TROUPE_CLOSED, "%d: %s", i, troupe_status_name(st));
    }
    troupe_msg_free(&m);
    ck_assert_int_eq(troupe_pool_join(me, p, PATIENCE_MS), TROUPE_OK);
}
END_TEST

START_TEST(a_crash_is_one_tasks_own) {
    troupe_pool p = pool(TROUPE_PROCESS, 2, 0);
    troupe_future *f[40];
    troupe_msg *m;
    for (int i = 0; i < 40; i++)
        f[i] = submit(p, i % 10 == 5 ? -1 : i);
    for (int i = 0; i < 40; i++) {
        if (i % 10 == 5)
            ck_assert_int_eq(troupe_future_await(me, &f[i], PATIENCE_MS, &m), TROUPE_DIED);
        else
            ck_assert_int_eq(result(f[i]), (int64_t)i * i);
    }
    finish(p);
}
END_TEST

/* killed -9 from outside, again and again, while it works. */
START_TEST(nobody_waits_in_vain_for_killed_workers) {
    enum { N = 120 };
    troupe_pool p = pool(TROUPE_PROCESS, 3, 0);
    troupe_future *f[N];
    troupe_msg *m;
    int died = 0, done = 0;
    for (int round = 0; round < 4; round++) {
        pid_t pid = (pid_t)result(submit(p, -4));
        for (int i = 0; i < N; i++)
            f[i] = submit(p, i);
        ck_assert_int_eq(kill(pid, SIGKILL), 0);
        for (int i = 0; i < N; i++) {
            troupe_status st = troupe_future_await(me, &f[i], PATIENCE_MS, &m);
            ck_assert_msg(st == TROUPE_OK || st == TROUPE_DIED, "%s", troupe_status_name(st));
            died += st == TROUPE_DIED;
            done += st == TROUPE_OK;
            if (st == TROUPE_OK)
                troupe_msg_free(&m);
        }
    }
    ck_assert_int_le(died, 4);
    ck_assert_int_eq(died + done, 4 * N);
    finish(p);
}
END_TEST

/* How many tasks its life has had. */
static void counts_its_tasks(troupe_self *self, troupe_msg *m, void *arg) {
    int *n = arg;
    (void)!troupe_reply(self, m, troupe_int(++*n));
}

START_TEST(workers_are_recycled) {
    enum { N = 60, MOST = 3 };
    int zero = 0;
    troupe_pool p;
    troupe_pool_opts opts = {.kind = (troupe_kind)_i, .workers = 2, .max_tasks = MOST};
    ck_assert_int_eq(troupe_pool_open(me, &opts, counts_its_tasks, &zero, sizeof zero, &p), TROUPE_OK);
    troupe_future *f[N];
    int seen[MOST + 1] = {0};
    for (int i = 0; i < N; i++)
        f[i] = submit(p, i);
    for (int i = 0; i < N; i++) {
        int64_t n = result(f[i]); /* none is lost */
        ck_assert(n >= 1 && n <= MOST);
        seen[n]++;
    }
    for (int i = 1; i <= MOST; i++) /* whole lives, but for the last of each */
        ck_assert_int_ge(seen[i], N / MOST - 2);
    finish(p);
}
END_TEST

static void hangs_on_one(troupe_self *self, troupe_msg *m, void *arg) {
    int64_t n = 0;
    (void)arg;
    (void)troupe_msg_int(m, &n);
    while (n == 1)
        ; /* for ever */
    (void)!troupe_reply(self, m, troupe_int(n));
}

START_TEST(a_task_has_its_time) {
    troupe_pool p;
    troupe_pool_opts opts = {.kind = TROUPE_PROCESS, .workers = 2, .deadline_ms = 200};
    ck_assert_int_eq(troupe_pool_open(me, &opts, hangs_on_one, NULL, 0, &p), TROUPE_OK);
    troupe_future *bad = submit(p, 1);
    troupe_msg *m;
    for (int i = 2; i < 20; i++)
        ck_assert_int_eq(result(submit(p, i)), i);
    ck_assert_int_eq(troupe_future_await(me, &bad, PATIENCE_MS, &m), TROUPE_DIED);
    finish(p);
}
END_TEST

static char logged[8][160];
static _Atomic int logs;

static void keep_unread(void *ctx, troupe_log_level level, const char *event, const char *text) {
    (void)ctx, (void)level;
    if (strcmp(event, "actor.error_unread") == 0 && logs < 8) {
        snprintf(logged[logs], sizeof *logged, "%s", text);
        logs++;
    }
}

START_TEST(an_error_that_nobody_reads_is_logged) {
    troupe_log_set(keep_unread, NULL, TROUPE_LOG_WARN); /* before the first thread, and for good */
    logs = 0;
    troupe_pool p = pool(_i, 1, 0);
    troupe_future *f = submit(p, -2);
    while (!troupe_future_ready(me, f))
        ;
    troupe_future_free(&f); /* it was there, and was not read */
    ck_assert_int_eq(logs, 1);
    ck_assert_ptr_nonnull(strstr(logged[0], "NO: not that one"));
    f = submit(p, -5);
    troupe_msg *m = a_worker_waits();
    troupe_future *second = submit(p, -2);
    troupe_future_free(&second); /* before it is there */
    go_on(m);
    (void)result(f);
    finish(p);
    ck_assert_int_eq(logs, 2);
    ck_assert_ptr_nonnull(strstr(logged[1], "NO: not that one"));
}
END_TEST

START_TEST(options_are_checked) {
    troupe_pool p;
    ck_assert_int_eq(troupe_pool_open(me, &(troupe_pool_opts){.workers = -1}, task, NULL, 0, &p), TROUPE_INVALID);
    ck_assert_int_eq(troupe_pool_open(me, &(troupe_pool_opts){.workers = 1 << 20}, task, NULL, 0, &p), TROUPE_INVALID);
    ck_assert_int_eq(troupe_pool_open(me, &(troupe_pool_opts){.max_tasks = -1}, task, NULL, 0, &p), TROUPE_INVALID);
    ck_assert_int_eq(troupe_pool_open(me, NULL, NULL, NULL, 0, &p), TROUPE_INVALID);
    ck_assert_int_eq(troupe_pool_open(me, NULL, task, NULL, 1, &p), TROUPE_INVALID);
    ck_assert_int_eq(troupe_pool_open(me, &(troupe_pool_opts){.kind = (troupe_kind)7}, task, NULL, 0, &p), TROUPE_INVALID);
}
END_TEST

START_TEST(without_memory_there_is_no_future_and_no_pool) {
    troupe_status st = TROUPE_NO_MEMORY;
    troupe_future *f;
    for (long n = 1; st != TROUPE_OK; n++) {
        faults_fail_at(n);
        st = troupe_ask_async(me, troupe_self_ref(me), troupe_int(1), &f);
        faults_off();
        ck_assert(st == TROUPE_OK || (st == TROUPE_NO_MEMORY && n < 20));
    }
    troupe_future_free(&f);
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, 0, &m), TROUPE_OK);
    troupe_msg_free(&m);
    troupe_pool p;
    /* No further: then there is a worker, whose thread allocates, too. */
    for (long n = 1; n <= 5; n++) {
        faults_fail_at(n);
        st = troupe_pool_open(me, &(troupe_pool_opts){.workers = 2}, task, NULL, 0, &p);
        faults_off();
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
    }
    ck_assert_int_eq(troupe_pool_open(me, &(troupe_pool_opts){.workers = 2}, task, NULL, 0, &p), TROUPE_OK);
    finish(p);
}
END_TEST

static void alone_up(void) {
    system_up_with(&(troupe_system_opts){.threads = 1, .no_processes = true});
}

int main(void) {
    Suite *s = suite_create("pool");
    TCase *c = tcase_create("every kind");
    tcase_add_checked_fixture(c, system_up, system_down);
    tcase_add_loop_test(c, every_kind_asks_every_kind_at_once, 0, PAIRS);
    tcase_add_loop_test(c, one_all_and_any_are_awaited, 0, KINDS);
    tcase_add_loop_test(c, a_future_hears_of_death, 0, PAIRS);
    tcase_add_loop_test(c, a_function_is_called_with_the_answer, 0, KINDS);
    tcase_add_loop_test(c, a_handler_is_called_back, 0, KINDS);
    tcase_add_loop_test(c, futures_end_with_their_body, 0, KINDS);
    tcase_add_loop_test(c, results_come_in_order, 0, PAIRS);
    tcase_add_loop_test(c, closing_does_what_is_there_and_takes_no_more, 0, KINDS);
    tcase_add_loop_test(c, a_pool_with_nothing_to_do_ends, 0, KINDS);
    tcase_add_loop_test(c, whoever_is_asked_answers, 0, KINDS);
    tcase_add_loop_test(c, a_long_task_keeps_one_worker, 0, KINDS);
    tcase_add_loop_test(c, a_full_backlog_makes_wait, 0, KINDS);
    tcase_add_loop_test(c, a_killed_pool_answers_all, 0, KINDS);
    tcase_add_test(c, a_crash_is_one_tasks_own);
    tcase_add_test(c, nobody_waits_in_vain_for_killed_workers);
    tcase_add_loop_test(c, workers_are_recycled, 0, KINDS);
    tcase_add_test(c, a_task_has_its_time);
    tcase_add_loop_test(c, an_error_that_nobody_reads_is_logged, 0, KINDS);
    tcase_add_test(c, options_are_checked);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    TCase *m = tcase_create("memory");
    tcase_add_checked_fixture(m, alone_up, system_down);
    tcase_add_test(m, without_memory_there_is_no_future_and_no_pool);
    suite_add_tcase(s, m);
    return run_suite(s);
}
