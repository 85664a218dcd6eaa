/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Queues and events inside a system: every kind at both ends. */
#include <pthread.h>
#include <troupe/attach.h>
#include <troupe/bounded.h>
#include <troupe/event.h>

#include "tests/support/actors.h"
#include "tests/support/faults.h"

enum { KINDS = TROUPE_PROCESS + 1, PAIRS = KINDS * KINDS };

static troupe_queue queue(size_t messages) {
    troupe_queue q;
    ck_assert_int_eq(troupe_queue_open(me, &(troupe_queue_bounds){.messages = messages}, &q), TROUPE_OK);
    return q;
}

static troupe_status pop(troupe_self *self, troupe_queue q, int64_t timeout_ms, int64_t *n) {
    troupe_msg *m;
    troupe_status st = troupe_queue_pop(self, q, timeout_ms, &m);
    if (st != TROUPE_OK)
        return st;
    if (!troupe_msg_int(m, n))
        *n = -1;
    troupe_msg_free(&m);
    return TROUPE_OK;
}

static size_t length(troupe_queue q) {
    size_t n;
    ck_assert_int_eq(troupe_queue_length(me, q, &n), TROUPE_OK);
    return n;
}

struct job {
    troupe_queue q;
    troupe_event e;
    troupe_ref test;
    int64_t from, count, timeout_ms;
};

/* --- order, and the end --- */

static void pushes(troupe_self *self, void *arg) {
    const struct job *job = arg;
    for (int64_t i = 0; i < job->count; i++) {
        troupe_status st = troupe_queue_push(self, job->q, troupe_int(job->from + i), job->timeout_ms);
        if (st == TROUPE_TIMEOUT)
            i--;
        else if (st != TROUPE_OK)
            return;
    }
}

/* Says each number, and the status that ended it, below zero. */
static void pops(troupe_self *self, void *arg) {
    const struct job *job = arg;
    int64_t n;
    troupe_status st;
    while ((st = pop(self, job->q, job->timeout_ms, &n)) == TROUPE_OK)
        say(self, job->test, n);
    say(self, job->test, -(int64_t)st);
}

START_TEST(order_is_kept_from_every_kind_to_every_kind) {
    enum { COUNT = 200 };
    struct job job = {.q = queue(4), .test = troupe_self_ref(me), .count = COUNT, .timeout_ms = PATIENCE_MS};
    troupe_ref b = spawn(_i % KINDS, pops, &job, sizeof job), a = spawn(_i / KINDS, pushes, &job, sizeof job);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(hear(), i);
    ends(a, TROUPE_END_NORMAL);
    ck_assert_int_eq(troupe_close(me, job.q.ref), TROUPE_OK);
    ck_assert_int_eq(hear(), -TROUPE_CLOSED);
    ends(b, TROUPE_END_NORMAL);
    ends(job.q.ref, TROUPE_END_NORMAL);
}
END_TEST

START_TEST(an_empty_queue_is_a_clean_result) {
    struct job job = {.q = queue(0), .test = troupe_self_ref(me), .timeout_ms = 20};
    ck_assert_int_eq(troupe_queue_push(me, job.q, troupe_int(1), 0), TROUPE_OK);
    troupe_ref b = spawn(_i, pops, &job, sizeof job);
    ck_assert_int_eq(hear(), 1);
    ck_assert_int_eq(hear(), -TROUPE_TIMEOUT);
    ends(b, TROUPE_END_NORMAL);
    int64_t n;
    ck_assert_int_eq(pop(me, job.q, 0, &n), TROUPE_TIMEOUT);
}
END_TEST

static void pushes_until_full(troupe_self *self, void *arg) {
    const struct job *job = arg;
    troupe_status st;
    int64_t n = 0;
    while ((st = troupe_queue_push(self, job->q, troupe_int(n), job->timeout_ms)) == TROUPE_OK)
        n++;
    say(self, job->test, n);
    say(self, job->test, -(int64_t)st);
}

START_TEST(a_full_queue_is_full_for_every_kind) {
    struct job job = {.q = queue(3), .test = troupe_self_ref(me), .timeout_ms = 20};
    troupe_ref a = spawn(_i, pushes_until_full, &job, sizeof job);
    ck_assert_int_eq(hear(), 3);
    ck_assert_int_eq(hear(), -TROUPE_TIMEOUT);
    ends(a, TROUPE_END_NORMAL);
    ck_assert_uint_eq(length(job.q), 3);
    ck_assert_int_eq(troupe_try_send(me, job.q.ref, troupe_int(3)), TROUPE_FULL);
    /* The push that was given up has not come in behind. */
    int64_t n;
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(pop(me, job.q, 0, &n), TROUPE_OK);
        ck_assert_int_eq(n, i);
    }
    ck_assert_int_eq(pop(me, job.q, 0, &n), TROUPE_TIMEOUT);
}
END_TEST

START_TEST(bytes_bound_it_too) {
    static char kilobyte[1024];
    troupe_queue q;
    ck_assert_int_eq(troupe_queue_open(me, &(troupe_queue_bounds){.name = "narrow", .bytes = 1500}, &q), TROUPE_OK);
    ck_assert_int_eq(troupe_queue_push(me, q, troupe_bytes(kilobyte, sizeof kilobyte), 0), TROUPE_OK);
    ck_assert_int_eq(troupe_queue_push(me, q, troupe_bytes(kilobyte, sizeof kilobyte), 0), TROUPE_TIMEOUT);
    ck_assert_int_eq(troupe_queue_push(me, q, troupe_int(1), 0), TROUPE_OK);
    ck_assert_uint_eq(length(q), 2);
}
END_TEST

/* --- many at both ends --- */

/* Pops until it is closed, with hardly any patience each time; says the sum and the count. */
static void sums(troupe_self *self, void *arg) {
    const struct job *job = arg;
    int64_t sum = 0, count = 0, n;
    troupe_status st;
    for (;;) {
        st = pop(self, job->q, job->timeout_ms, &n);
        if (st == TROUPE_OK)
            sum += n, count++;
        else if (st != TROUPE_TIMEOUT)
            break;
    }
    say(self, job->test, sum);
    say(self, job->test, count);
}

/* Time-outs of a millisecond at both ends race with what they give up, in every kind. */
START_TEST(nothing_is_lost_nor_doubled_by_time_outs) {
    enum { EACH = 300, PEOPLE = 2 * KINDS };
    struct job job = {.q = queue(2), .test = troupe_self_ref(me), .count = EACH, .timeout_ms = 1};
    troupe_ref push[PEOPLE], take[PEOPLE];
    for (int i = 0; i < PEOPLE; i++) {
        job.from = i * EACH;
        push[i] = spawn(i % KINDS, pushes, &job, sizeof job);
        take[i] = spawn(i % KINDS, sums, &job, sizeof job);
    }
    for (int i = 0; i < PEOPLE; i++)
        ends(push[i], TROUPE_END_NORMAL);
    ck_assert_int_eq(troupe_close(me, job.q.ref), TROUPE_OK);
    int64_t all = 0;
    for (int i = 0; i < 2 * PEOPLE; i++)
        all += hear();
    const int64_t n = PEOPLE * EACH;
    ck_assert_int_eq(all, n * (n - 1) / 2 + n);
    for (int i = 0; i < PEOPLE; i++)
        ends(take[i], TROUPE_END_NORMAL);
}
END_TEST

/* Says it is there, then waits for one. */
static void waits_for_one(troupe_self *self, void *arg) {
    const struct job *job = arg;
    int64_t n = 0;
    say(self, job->test, 0);
    troupe_status st = pop(self, job->q, TROUPE_FOREVER, &n);
    say(self, job->test, st == TROUPE_OK ? n : -(int64_t)st);
}

START_TEST(who_waits_is_told_of_the_end) {
    struct job job = {.q = queue(1), .test = troupe_self_ref(me), .timeout_ms = PATIENCE_MS};
    troupe_ref b = spawn(_i % KINDS, waits_for_one, &job, sizeof job);
    ck_assert_int_eq(hear(), 0);
    ck_assert_int_eq(_i < KINDS ? troupe_close(me, job.q.ref) : troupe_kill(me, job.q.ref), TROUPE_OK);
    ck_assert_int_eq(hear(), -TROUPE_CLOSED);
    ends(b, TROUPE_END_NORMAL);
    ends(job.q.ref, _i < KINDS ? TROUPE_END_NORMAL : TROUPE_END_KILLED);
    int64_t n;
    ck_assert_int_eq(troupe_queue_push(me, job.q, troupe_int(1), 0), TROUPE_CLOSED);
    ck_assert_int_eq(pop(me, job.q, 0, &n), TROUPE_CLOSED);
}
END_TEST

START_TEST(who_waits_for_room_is_told_of_the_end) {
    struct job job = {.q = queue(1), .test = troupe_self_ref(me), .timeout_ms = PATIENCE_MS};
    troupe_ref a = spawn(_i, pushes_until_full, &job, sizeof job);
    int64_t n;
    while (length(job.q) == 0)
        troupe_yield(me);
    ck_assert_int_eq(troupe_close(me, job.q.ref), TROUPE_OK);
    ck_assert_int_eq(hear(), 1);
    ck_assert_int_eq(hear(), -TROUPE_CLOSED);
    ends(a, TROUPE_END_NORMAL);
    ck_assert_int_eq(pop(me, job.q, 0, &n), TROUPE_OK); /* what was in it is still handed out */
    ends(job.q.ref, TROUPE_END_NORMAL);
    ck_assert_int_eq(pop(me, job.q, 0, &n), TROUPE_CLOSED);
}
END_TEST

START_TEST(who_died_waiting_takes_nothing_along) {
    struct job job = {.q = queue(0), .test = troupe_self_ref(me)};
    troupe_ref b = spawn(_i, waits_for_one, &job, sizeof job);
    ck_assert_int_eq(hear(), 0);
    ck_assert_int_eq(troupe_kill(me, b), TROUPE_OK);
    ends(b, TROUPE_END_KILLED);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(troupe_queue_push(me, job.q, troupe_int(i), 0), TROUPE_OK);
    ck_assert_uint_eq(length(job.q), 3);
}
END_TEST

static void takes_one_and_hangs(troupe_self *self, void *arg) {
    const struct job *job = arg;
    troupe_msg *m, *never;
    if (troupe_queue_pop(self, job->q, TROUPE_FOREVER, &m) != TROUPE_OK)
        return;
    say(self, job->test, 1);
    (void)!troupe_receive(self, TROUPE_FOREVER, &never);
    troupe_msg_free(&m);
}

START_TEST(who_dies_with_one_in_hand_takes_only_that_along) {
    struct job job = {.q = queue(0), .test = troupe_self_ref(me)};
    troupe_ref b = spawn(_i, takes_one_and_hangs, &job, sizeof job);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(troupe_queue_push(me, job.q, troupe_int(i), 0), TROUPE_OK);
    ck_assert_int_eq(hear(), 1);
    ck_assert_int_eq(troupe_kill(me, b), TROUPE_OK);
    ends(b, TROUPE_END_KILLED);
    int64_t n;
    ck_assert_int_eq(pop(me, job.q, 0, &n), TROUPE_OK);
    ck_assert_int_eq(n, 1);
    ck_assert_uint_eq(length(job.q), 1);
}
END_TEST

/* The queue is opened by a body and outlives it; its reference travels in a message. */
static void opens(troupe_self *self, void *arg) {
    const struct job *job = arg;
    troupe_queue q;
    if (troupe_queue_open(self, NULL, &q) != TROUPE_OK || troupe_queue_push(self, q, troupe_int(7), 0) != TROUPE_OK)
        return;
    (void)!troupe_send(self, job->test, troupe_ref_value(q.ref));
}

START_TEST(every_kind_opens_one) {
    struct job job = {.test = troupe_self_ref(me)};
    troupe_ref ref = spawn(_i, opens, &job, sizeof job);
    troupe_queue q;
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    ck_assert(troupe_value_ref(troupe_msg_value(m), &q.ref));
    troupe_msg_free(&m);
    ends(ref, TROUPE_END_NORMAL);
    ck_assert_int_eq(troupe_queue_pop(me, q, 0, &m), TROUPE_OK);
    ck_assert_uint_eq(troupe_msg_sender(m).id, ref.id);
    troupe_msg_free(&m);
}
END_TEST

/* --- events --- */

static void waits_for_event(troupe_self *self, void *arg) {
    const struct job *job = arg;
    say(self, job->test, troupe_event_wait(self, job->e, 0));
    say(self, job->test, troupe_event_wait(self, job->e, 10));
    say(self, job->test, troupe_event_wait(self, job->e, PATIENCE_MS));
}

static void sets_event(troupe_self *self, void *arg) {
    const struct job *job = arg;
    say(self, job->test, troupe_event_set(self, job->e));
}

START_TEST(every_kind_signals_every_kind) {
    struct job job = {.test = troupe_self_ref(me)};
    ck_assert_int_eq(troupe_event_open(me, "bell", &job.e), TROUPE_OK);
    troupe_ref a = spawn(_i % KINDS, waits_for_event, &job, sizeof job);
    ck_assert_int_eq(hear(), TROUPE_TIMEOUT);
    ck_assert_int_eq(hear(), TROUPE_TIMEOUT);
    troupe_ref b = spawn(_i / KINDS, sets_event, &job, sizeof job);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ends(a, TROUPE_END_NORMAL);
    ends(b, TROUPE_END_NORMAL);
    /* It stays as it is until somebody clears it. */
    ck_assert_int_eq(troupe_event_wait(me, job.e, 0), TROUPE_OK);
    ck_assert_int_eq(troupe_event_clear(me, job.e), TROUPE_OK);
    ck_assert_int_eq(troupe_event_wait(me, job.e, 0), TROUPE_TIMEOUT);
}
END_TEST

/* An answer that does not come, and a word that nobody wants it any more: the first of the two is which. */
static void waits_for_either(troupe_self *self, void *arg) {
    const struct job *job = arg;
    troupe_future *f[2] = {NULL, NULL};
    troupe_msg *nothing = NULL;
    size_t which = 9;
    (void)!troupe_ask_async(self, job->test, troupe_int(7), &f[0]);
    (void)!troupe_event_wait_async(self, job->e, &f[1]);
    say(self, job->test, troupe_future_any(self, f, 2, 10, &which));
    say(self, job->test, troupe_future_any(self, f, 2, PATIENCE_MS, &which));
    say(self, job->test, (int64_t)which);
    say(self, job->test, troupe_future_await(self, &f[1], 0, &nothing));
    troupe_msg_free(&nothing);
    troupe_future_free(&f[0]);
}

START_TEST(an_event_is_waited_for_beside_others) {
    struct job job = {.test = troupe_self_ref(me)};
    bool ends_it = _i >= KINDS;
    troupe_msg *question;
    ck_assert_int_eq(troupe_event_open(me, NULL, &job.e), TROUPE_OK);
    troupe_ref a = spawn(_i % KINDS, waits_for_either, &job, sizeof job);
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &question), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_TIMEOUT);
    ck_assert_int_eq(ends_it ? troupe_close(me, job.e.ref) : troupe_event_set(me, job.e), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_eq(hear(), 1);
    ck_assert_int_eq(hear(), ends_it ? TROUPE_CLOSED : TROUPE_OK);
    ends(a, TROUPE_END_NORMAL);
    troupe_msg_free(&question);
}
END_TEST

START_TEST(an_event_that_ends_is_told) {
    struct job job = {.test = troupe_self_ref(me)};
    ck_assert_int_eq(troupe_event_open(me, NULL, &job.e), TROUPE_OK);
    troupe_ref a = spawn(_i, waits_for_event, &job, sizeof job);
    ck_assert_int_eq(hear(), TROUPE_TIMEOUT);
    ck_assert_int_eq(hear(), TROUPE_TIMEOUT);
    ck_assert_int_eq(troupe_close(me, job.e.ref), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_CLOSED);
    ends(a, TROUPE_END_NORMAL);
    ends(job.e.ref, TROUPE_END_NORMAL);
    ck_assert_int_eq(troupe_event_set(me, job.e), TROUPE_CLOSED);
    ck_assert_int_eq(troupe_event_wait(me, job.e, 0), TROUPE_CLOSED);
}
END_TEST

/* --- threads that are no actors --- */

struct outsider {
    struct job job;
    troupe_system *sys;
    int64_t heard;
    troupe_status again;
};

/* Pushes, takes one back from an actor, and is asked by nobody. */
static void *attaches(void *arg) {
    struct outsider *o = arg;
    troupe_self *self, *twice;
    troupe_msg *m;
    if (troupe_attach(o->sys, "outsider", &self) != TROUPE_OK)
        return NULL;
    o->again = troupe_attach(o->sys, NULL, &twice);
    pushes(self, &o->job);
    (void)!troupe_send(self, o->job.test, troupe_ref_value(troupe_self_ref(self)));
    if (troupe_receive(self, PATIENCE_MS, &m) == TROUPE_OK) {
        (void)troupe_msg_int(m, &o->heard);
        troupe_msg_free(&m);
    }
    troupe_detach(&self);
    troupe_detach(&self);
    return NULL;
}

START_TEST(any_thread_may_join_in) {
    struct outsider o = {.job = {.q = queue(4), .test = troupe_self_ref(me), .count = 50, .timeout_ms = PATIENCE_MS},
                         .sys = sys};
    troupe_ref b = spawn(_i, pops, &o.job, sizeof o.job), ref = {0};
    pthread_t t;
    ck_assert_int_eq(pthread_create(&t, NULL, attaches, &o), 0);
    for (int i = 0, next = 0; i < 51; i++) {
        int64_t n = hear();
        if (n > 1000)
            ref.id = (uint64_t)n; /* a reference is a larger number than any of these */
        else
            ck_assert_int_eq(n, next++);
    }
    ck_assert_int_eq(troupe_send(me, ref, troupe_int(42)), TROUPE_OK);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    ck_assert_int_eq(o.heard, 42);
    ck_assert_int_eq(o.again, TROUPE_INVALID);
    ends(ref, TROUPE_END_NORMAL);
    ck_assert_int_eq(troupe_close(me, o.job.q.ref), TROUPE_OK);
    ck_assert_int_eq(hear(), -TROUPE_CLOSED);
    ends(b, TROUPE_END_NORMAL);
}
END_TEST

/* Waits for ever in a queue; the system's end ends that. */
static void *attaches_and_waits(void *arg) {
    struct outsider *o = arg;
    troupe_self *self;
    int64_t n;
    if (troupe_attach(o->sys, NULL, &self) != TROUPE_OK)
        return NULL;
    say(self, o->job.test, 0);
    o->again = pop(self, o->job.q, TROUPE_FOREVER, &n);
    troupe_detach(&self);
    return NULL;
}

START_TEST(a_system_closes_when_all_have_detached) {
    struct outsider o[4];
    pthread_t t[4];
    troupe_queue q = queue(1);
    for (int i = 0; i < 4; i++) {
        o[i] = (struct outsider){.job = {.q = q, .test = troupe_self_ref(me)}, .sys = sys};
        ck_assert_int_eq(pthread_create(&t[i], NULL, attaches_and_waits, &o[i]), 0);
        ck_assert_int_eq(hear(), 0);
    }
    troupe_system_close(&sys);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_join(t[i], NULL), 0);
        ck_assert_int_eq(o[i].again, TROUPE_CLOSED);
    }
}
END_TEST

/* --- no loop --- */

START_TEST(the_system_does_not_wait_for_queues) {
    troupe_queue q = queue(0);
    struct job job = {.q = q, .timeout_ms = PATIENCE_MS, .count = 1};
    ends(spawn(TROUPE_COROUTINE, pushes, &job, sizeof job), TROUPE_END_NORMAL);
    ck_assert_int_eq(troupe_queue_push(me, q, troupe_int(1), 0), TROUPE_OK);
    ck_assert_int_eq(troupe_system_run(sys, 1000), TROUPE_OK);
}
END_TEST

static void *attaches_without_memory(void *unused) {
    troupe_status st = TROUPE_NO_MEMORY;
    troupe_self *self;
    for (long n = 1; st != TROUPE_OK; n++) {
        faults_fail_at(n);
        st = troupe_attach(sys, NULL, &self);
        faults_off();
        ck_assert(st == TROUPE_OK || (st == TROUPE_NO_MEMORY && n < 40));
    }
    troupe_detach(&self);
    return unused;
}

START_TEST(without_memory_none_is_opened) {
    troupe_queue q;
    troupe_event e;
    troupe_status st = TROUPE_NO_MEMORY;
    for (long n = 1; st != TROUPE_OK; n++) {
        faults_fail_at(n);
        st = troupe_queue_open(me, NULL, &q);
        faults_off();
        ck_assert(st == TROUPE_OK || (st == TROUPE_NO_MEMORY && n < 20));
    }
    st = TROUPE_NO_MEMORY;
    for (long n = 1; st != TROUPE_OK; n++) {
        faults_fail_at(n);
        st = troupe_event_open(me, NULL, &e);
        faults_off();
        ck_assert(st == TROUPE_OK || (st == TROUPE_NO_MEMORY && n < 20));
    }
    ck_assert_int_eq(troupe_queue_push(me, q, troupe_int(1), 0), TROUPE_OK);
    ck_assert_int_eq(troupe_event_wait(me, e, 0), TROUPE_TIMEOUT);
    pthread_t t;
    ck_assert_int_eq(pthread_create(&t, NULL, attaches_without_memory, NULL), 0);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
}
END_TEST

static void alone_up(void) {
    system_up_with(&(troupe_system_opts){.threads = 1, .no_processes = true});
}

int main(void) {
    Suite *s = suite_create("bounded");
    TCase *c = tcase_create("every kind");
    tcase_add_checked_fixture(c, system_up, system_down);
    tcase_add_loop_test(c, order_is_kept_from_every_kind_to_every_kind, 0, PAIRS);
    tcase_add_loop_test(c, an_empty_queue_is_a_clean_result, 0, KINDS);
    tcase_add_loop_test(c, a_full_queue_is_full_for_every_kind, 0, KINDS);
    tcase_add_test(c, bytes_bound_it_too);
    tcase_add_loop_test(c, nothing_is_lost_nor_doubled_by_time_outs, 0, 2);
    tcase_add_loop_test(c, who_waits_is_told_of_the_end, 0, 2 * KINDS);
    tcase_add_loop_test(c, who_waits_for_room_is_told_of_the_end, 0, KINDS);
    tcase_add_loop_test(c, who_died_waiting_takes_nothing_along, 0, KINDS);
    tcase_add_loop_test(c, who_dies_with_one_in_hand_takes_only_that_along, 0, KINDS);
    tcase_add_loop_test(c, every_kind_opens_one, 0, KINDS);
    tcase_add_loop_test(c, every_kind_signals_every_kind, 0, PAIRS);
    tcase_add_loop_test(c, an_event_is_waited_for_beside_others, 0, 2 * KINDS);
    tcase_add_loop_test(c, an_event_that_ends_is_told, 0, KINDS);
    tcase_add_loop_test(c, any_thread_may_join_in, 0, KINDS);
    tcase_add_test(c, a_system_closes_when_all_have_detached);
    tcase_add_test(c, the_system_does_not_wait_for_queues);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    TCase *m = tcase_create("memory");
    tcase_add_checked_fixture(m, alone_up, system_down);
    tcase_add_test(m, without_memory_none_is_opened);
    suite_add_tcase(s, m);
    return run_suite(s);
}
