/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a message costs, counted and not timed: no allocation once things are under way, no system call between those that
 * are busy, and one wake for who sleeps. Allocations are counted in malloc itself, which is ours in this program
 * (sanitizers have their own, and there the lists of blocks are not used); system calls by a tracer. */
#include <stdatomic.h>

#include "actors/sanitizer.h"
#include "tests/support/actors.h"
#include "tests/support/echo.h"
#include "tests/support/processor.h"
#include "tests/support/traced.h"

enum { SANITIZED = TRP_ASAN || TRP_TSAN };

/* --- malloc --- */

static atomic_long allocations;

#if !(TRP_ASAN || TRP_TSAN)
/* What the C library calls its own. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size) {
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return __libc_realloc(old, size);
}
#endif

/* --- who talks --- */

enum { WARM = 4000, TRIPS = SANITIZED ? 2000 : 50000, FEW = 1000 };

static void up(void) {
    system_up_with(&(troupe_system_opts){.threads = 2, .no_processes = true});
}

static void down(void) {
    troupe_system_close(&sys);
}

/* What is counted: called by the body that leads, when it has warmed up and when it is done. */
struct meter {
    void (*begin)(void), (*end)(void);
};

struct talk {
    troupe_ref peer, tell;
    const struct meter *meter;
    int64_t trips;
    bool asks;
};

static bool trip(troupe_self *self, const struct talk *t, int64_t n) {
    troupe_msg *m;
    troupe_status st;
    if (t->asks) {
        st = troupe_ask(self, t->peer, troupe_int(n), PATIENCE_MS, &m);
    } else {
        st = troupe_send(self, t->peer, troupe_int(n));
        if (st == TROUPE_OK)
            st = troupe_receive(self, PATIENCE_MS, &m);
    }
    if (st == TROUPE_OK)
        troupe_msg_free(&m);
    return st == TROUPE_OK;
}

static void leads(troupe_self *self, void *arg) {
    const struct talk *t = arg;
    troupe_msg *go;
    bool ok = troupe_receive(self, PATIENCE_MS, &go) == TROUPE_OK;
    if (ok)
        troupe_msg_free(&go);
    for (int64_t i = 0; ok && i < WARM; i++)
        ok = trip(self, t, i);
    t->meter->begin();
    for (int64_t i = 0; ok && i < t->trips; i++)
        ok = trip(self, t, i);
    t->meter->end();
    say(self, t->tell, ok);
}

/* Who leads and who echoes: a kind, or HANDLER. */
enum { HANDLER = 3 };

static const struct pair {
    int leads, echoes;
    bool asks;
} pairs[] = {
    {TROUPE_COROUTINE, TROUPE_COROUTINE, false}, {TROUPE_COROUTINE, TROUPE_COROUTINE, true},
    {TROUPE_COROUTINE, HANDLER, false},          {TROUPE_COROUTINE, HANDLER, true},
    {TROUPE_THREAD, TROUPE_THREAD, false},       {TROUPE_THREAD, TROUPE_THREAD, true},
    {TROUPE_THREAD, TROUPE_COROUTINE, false},    {TROUPE_THREAD, HANDLER, true},
};
enum { PAIRS = sizeof pairs / sizeof *pairs, OF_COROUTINES = 4, OF_THREADS = 6 }; /* those before */

/* Nothing is checked while it counts: a check allocates. */
static void talk(const struct pair *p, const struct meter *meter, int64_t trips) {
    struct talk t = {.tell = troupe_self_ref(me), .meter = meter, .trips = trips, .asks = p->asks};
    if (p->echoes == HANDLER)
        ck_assert_int_eq(troupe_spawn_handler(me, NULL, &echoing, NULL, 0, &t.peer), TROUPE_OK);
    else
        t.peer = spawn(p->echoes, echoes, NULL, 0);
    troupe_ref leader = spawn(p->leads, leads, &t, sizeof t);
    say(me, leader, 1);
    ck_assert_int_eq(hear(), 1);
}

/* --- allocations --- */

static atomic_long allocated;

static void allocations_begin(void) {
    atomic_store(&allocated, -atomic_load(&allocations));
}

static void allocations_end(void) {
    atomic_fetch_add(&allocated, atomic_load(&allocations));
}

static const struct meter in_malloc = {allocations_begin, allocations_end};

START_TEST(a_message_allocates_nothing) {
    up();
    talk(&pairs[_i], &in_malloc, TRIPS);
    down();
    ck_assert_int_gt(allocations, SANITIZED ? -1 : 0); /* malloc is ours */
    /* None a message. Where processors are scarce a worker may change hands meanwhile, and its new thread has no blocks yet. */
    ck_assert_int_le(allocated, TRIPS / 1000);
}
END_TEST

/* One way, from one thread to the other: who frees is not who makes. */
struct stream {
    troupe_ref to, tell;
    int64_t warm, count;
    const struct meter *meter;
};

static void drinks(troupe_self *self, void *arg) {
    const struct stream *s = arg;
    troupe_msg *m;
    for (int64_t i = 0; i < s->warm + s->count && troupe_receive(self, PATIENCE_MS, &m) == TROUPE_OK; i++) {
        troupe_msg_free(&m);
        if (i == s->warm)
            s->meter->begin();
    }
    s->meter->end();
    say(self, s->tell, 1);
}

static void pours(troupe_self *self, void *arg) {
    const struct stream *s = arg;
    for (int64_t i = 0; i < s->warm + s->count; i++)
        say(self, s->to, i);
}

START_TEST(a_stream_allocates_next_to_nothing) {
    struct stream s = {.warm = TRIPS, .count = TRIPS, .meter = &in_malloc};
    up();
    s.tell = troupe_self_ref(me);
    s.to = spawn(TROUPE_THREAD, drinks, &s, sizeof s);
    (void)spawn(_i ? TROUPE_THREAD : TROUPE_COROUTINE, pours, &s, sizeof s);
    ck_assert_int_eq(hear(), 1);
    down();
    /* What is under way at most, when the two are for the first time as far apart as the mailbox lets them be. */
    ck_assert_int_le(allocated, 1024 + 4 * 128);
}
END_TEST

/* --- system calls --- */

static const struct meter of_the_kernel = {traced_begin, traced_end};

static void talk_traced(void *pair) {
    up();
    talk(pair, &of_the_kernel, TRIPS);
    down();
}

/* Their worker looks at its loop once in a slice of a thousand turns. The rest goes by time, which sanitizers stretch. */
START_TEST(coroutines_talk_without_the_kernel) {
    struct pair p = pairs[_i];
    struct traced t;
    if (!traced_run(talk_traced, &p, &t))
        return;
    ck_assert_int_eq(t.pieces, 1);
    ck_assert_int_le(t.all, 2 * TRIPS / (SANITIZED ? 10 : 100));
}
END_TEST

static void talk_on_one_processor(void *pair) {
    stay_on_one_processor();
    system_up_with(&(troupe_system_opts){.threads = 1});
    talk(pair, &of_the_kernel, FEW);
    down();
}

/* One sleeps and one wakes it, and nobody looks at a loop that has nothing to bring. */
START_TEST(threads_on_one_processor_take_two_calls) {
    struct pair p = pairs[_i];
    struct traced t;
    if (!traced_run(talk_on_one_processor, &p, &t))
        return;
    ck_assert_int_eq(t.pieces, 1);
    /* A message goes each way. Sanitizers have locks of their own. */
    ck_assert_int_le(t.all, 2 * FEW * 2 + FEW * (SANITIZED ? 2 : 0) + 100);
}
END_TEST

/* Those of the process are not seen. Per trip the thread wakes it and sleeps, or gives way once; the steward has no part in it.
 */
START_TEST(a_thread_and_a_process_wake_nobody_else) {
    static struct pair p = {TROUPE_THREAD, TROUPE_PROCESS, false};
    struct traced t;
    if (!traced_run(talk_on_one_processor, &p, &t))
        return;
    ck_assert_int_eq(t.pieces, 1);
    ck_assert_int_le(t.all, 2 * FEW + FEW * (SANITIZED ? 2 : 0) + FEW / 2);
}
END_TEST

static atomic_bool over;

static void stays_awake(troupe_self *self, void *arg) {
    (void)arg;
    while (!atomic_load(&over))
        troupe_yield(self);
}

static void pours_traced(troupe_self *self, void *arg) {
    traced_begin();
    pours(self, arg);
    traced_end();
}

static void nothing(void) {}

enum { POURED = 5000 };

/* The mailbox takes all of them, so that nobody waits for room. */
static void pour_over_busy_workers(void *unused) {
    static const struct meter none = {nothing, nothing};
    struct stream s = {.count = POURED, .meter = &none};
    (void)unused;
    up();
    s.tell = troupe_self_ref(me);
    for (int i = 0; i < 2; i++)
        (void)spawn(TROUPE_COROUTINE, stays_awake, NULL, 0);
    troupe_spawn_opts roomy = {.mailbox = POURED + 1};
    ck_assert_int_eq(troupe_spawn(me, &roomy, drinks, &s, sizeof s, &s.to), TROUPE_OK);
    (void)spawn(TROUPE_THREAD, pours_traced, &s, sizeof s);
    ck_assert_int_eq(hear(), 1);
    atomic_store(&over, true);
    down();
}

START_TEST(nobody_wakes_a_worker_that_is_busy) {
    struct traced t;
    if (!traced_run(pour_over_busy_workers, NULL, &t))
        return;
    ck_assert_int_eq(t.pieces, 1);
    ck_assert_int_le(t.wakes, POURED / 100);
}
END_TEST

enum { WAKES = 200 };

static void wake_again_and_again(void *kind) {
    struct talk t = {0};
    int what = *(int *)kind;
    troupe_msg *m;
    system_up_with(&(troupe_system_opts){.threads = 1, .no_processes = true});
    if (what == HANDLER)
        ck_assert_int_eq(troupe_spawn_handler(me, NULL, &echoing, NULL, 0, &t.peer), TROUPE_OK);
    else
        t.peer = spawn(what, echoes, NULL, 0);
    ck_assert(trip(me, &t, 0));
    for (int64_t i = 0; i < WAKES; i++) {
        traced_begin();
        troupe_status st = troupe_send(me, t.peer, troupe_int(i));
        traced_end();
        ck_assert_int_eq(st, TROUPE_OK);
        ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
        troupe_msg_free(&m);
    }
    down();
}

START_TEST(who_sleeps_is_woken_by_one_call) {
    int what = _i;
    struct traced t;
    if (!traced_run(wake_again_and_again, &what, &t))
        return;
    ck_assert_int_eq(t.pieces, WAKES);
    ck_assert(t.most <= 1 || TRP_TSAN); /* which has locks of its own */
    ck_assert_int_gt(what == TROUPE_THREAD ? t.words : t.wakes, 0);
}
END_TEST

int main(void) {
    Suite *s = suite_create("costs");
    TCase *c = tcase_create("messages");
    tcase_set_timeout(c, 60);
    if (!SANITIZED) {
        tcase_add_loop_test(c, a_message_allocates_nothing, 0, PAIRS);
        tcase_add_loop_test(c, a_stream_allocates_next_to_nothing, 0, 2);
    }
    tcase_add_loop_test(c, coroutines_talk_without_the_kernel, 0, OF_COROUTINES);
    tcase_add_loop_test(c, threads_on_one_processor_take_two_calls, OF_COROUTINES, OF_THREADS);
    tcase_add_test(c, a_thread_and_a_process_wake_nobody_else);
    tcase_add_test(c, nobody_wakes_a_worker_that_is_busy);
    for (int what = TROUPE_COROUTINE; what <= HANDLER; what++) {
        if (what != TROUPE_PROCESS)
            tcase_add_loop_test(c, who_sleeps_is_woken_by_one_call, what, what + 1);
    }
    suite_add_tcase(s, c);
    return run_suite(s);
}
