/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Who runs where: coroutines that spread over workers, pairs that stay together, and a body that computes while others of
 * its worker go on. What is computed is a wait for the clock, or for what others do meanwhile. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include <troupe/log.h>
#include <troupe/stream.h>

#include "actors/deadline.h"
#include "tests/support/actors.h"

static void up(unsigned threads) {
    system_up_with(&(troupe_system_opts){.threads = threads, .no_processes = true});
}

static void compute_until(int64_t deadline) {
    while (trp_now() < deadline)
        ;
}

/* pthread_self() is declared to be constant, and a coroutine is where that is not true: compilers would ask once. */
static __attribute__((noinline)) uintptr_t this_thread(void) {
    __asm__ volatile("");
    return (uintptr_t)pthread_self();
}

/* --- stealing --- */

static atomic_int together;

/* Neither ends before the other has begun, and neither makes a call. */
static void meets(troupe_self *self, void *arg) {
    int64_t deadline = trp_deadline(PATIENCE_MS);
    atomic_fetch_add(&together, 1);
    while (atomic_load(&together) < 2 && trp_now() < deadline)
        ;
    say(self, *(troupe_ref *)arg, atomic_load(&together));
}

/* Both are born on the worker of their parent. */
static void parent_of_two(troupe_self *self, void *arg) {
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(troupe_spawn(self, NULL, meets, arg, sizeof(troupe_ref), NULL), TROUPE_OK);
}

START_TEST(an_idle_worker_takes_what_waits_behind_a_long_body) {
    up(2);
    troupe_ref home = troupe_self_ref(me);
    spawn(TROUPE_COROUTINE, parent_of_two, &home, sizeof home);
    ck_assert_int_eq(hear(), 2);
    ck_assert_int_eq(hear(), 2);
    system_down();
}
END_TEST

enum { CROWD = 200, ROUNDS = 50 };

/* Works a little, in turns with the others, and tells how often the thread under it was another. */
static void wanders(troupe_self *self, void *arg) {
    uintptr_t was = this_thread();
    int64_t moves = 0;
    for (int i = 0; i < ROUNDS; i++) {
        compute_until(trp_now() + 20000);
        if (i % 2)
            troupe_yield(self);
        else
            (void)!troupe_sleep(self, 1);
        moves += was != this_thread();
        was = this_thread();
    }
    say(self, *(troupe_ref *)arg, moves);
}

static void parent_of_many(troupe_self *self, void *arg) {
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(troupe_spawn(self, NULL, wanders, arg, sizeof(troupe_ref), NULL), TROUPE_OK);
}

START_TEST(coroutines_wander_between_threads_and_lose_no_deadline) {
    up(4);
    troupe_ref home = troupe_self_ref(me);
    spawn(TROUPE_COROUTINE, parent_of_many, &home, sizeof home);
    int64_t moves = 0;
    for (int i = 0; i < CROWD; i++)
        moves += hear();
    ck_assert_int_gt(moves, 0);
    system_down();
}
END_TEST

/* --- pairs --- */

struct pair {
    troupe_ref home;
    int64_t rounds;
};

static atomic_uint switches; /* times that a message came from another thread */
static _Atomic(uintptr_t) last_thread;

static void note_thread(void) {
    uintptr_t here = this_thread();
    if (atomic_exchange(&last_thread, here) != here)
        atomic_fetch_add(&switches, 1);
}

static void returns_each(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        note_thread();
        (void)!troupe_reply(self, m, troupe_nil());
        troupe_msg_free(&m);
    }
}

static void asks_on(troupe_self *self, void *arg) {
    const struct pair *p = arg;
    troupe_ref peer;
    troupe_msg *m, *answer;
    /* The peer is born elsewhere: by the opener, on the next worker. */
    ck_assert_int_eq(troupe_receive(self, TROUPE_FOREVER, &m), TROUPE_OK);
    peer = troupe_msg_sender(m);
    troupe_msg_free(&m);
    for (int64_t i = 0; i < p->rounds; i++) {
        note_thread();
        if (troupe_ask(self, peer, troupe_int(i), TROUPE_FOREVER, &answer) != TROUPE_OK)
            return;
        troupe_msg_free(&answer);
    }
    say(self, p->home, atomic_load(&switches));
}

static void greets(troupe_self *self, void *arg) {
    say(self, *(troupe_ref *)arg, 0);
    returns_each(self, NULL);
}

START_TEST(a_pair_ends_up_on_one_worker) {
    up(2);
    struct pair p = {troupe_self_ref(me), 20000};
    troupe_ref asker = spawn(TROUPE_COROUTINE, asks_on, &p, sizeof p);
    spawn(TROUPE_COROUTINE, greets, &asker, sizeof asker);
    /* Parted at times where the machine has others to run, but not at each message. */
    ck_assert_int_lt(hear(), 2000);
    system_down();
}
END_TEST

/* --- hogs --- */

static struct {
    pthread_mutex_t lock;
    char text[256];
    int count;
} hogs = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void on_log(void *user, troupe_log_level level, const char *id, const char *text) {
    (void)user, (void)level;
    if (strcmp(id, "actor.hog") != 0 || !strstr(text, "the-hog"))
        return;
    pthread_mutex_lock(&hogs.lock);
    snprintf(hogs.text, sizeof hogs.text, "%s", text);
    hogs.count++;
    pthread_mutex_unlock(&hogs.lock);
}

struct hog {
    troupe_ref home;
    atomic_int *enough; /* computes until it is so */
    int most;
};

static atomic_int answers, ticks;
static atomic_bool computing; /* a hog has begun to */

static void hog(troupe_self *self, void *arg) {
    const struct hog *h = arg;
    int64_t deadline = trp_deadline(PATIENCE_MS);
    atomic_store(&computing, true);
    while (atomic_load(h->enough) < h->most && trp_now() < deadline)
        ;
    int64_t got = atomic_load(h->enough);
    /* It goes on as if nothing had been: its deadline, its mail, and what it says. */
    ck_assert_int_eq(troupe_sleep(self, 1), TROUPE_OK);
    say(self, h->home, got);
}

static void computes_for_a_while(troupe_self *self, void *arg) {
    (void)arg;
    compute_until(trp_deadline(200));
    (void)!troupe_sleep(self, 0); /* CLOSED, most likely */
}

static void answers_each(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        atomic_fetch_add(&answers, 1);
        (void)!troupe_reply(self, m, troupe_nil());
        troupe_msg_free(&m);
    }
}

static void ticks_on(troupe_self *self, void *arg) {
    (void)arg;
    while (troupe_sleep(self, 2) == TROUPE_OK)
        atomic_fetch_add(&ticks, 1);
}

static troupe_ref spawn_hog(atomic_int *enough, int most) {
    struct hog h = {troupe_self_ref(me), enough, most};
    troupe_ref ref;
    troupe_spawn_opts opts = {.name = "the-hog"};
    ck_assert_int_eq(troupe_spawn(me, &opts, hog, &h, sizeof h, &ref), TROUPE_OK);
    return ref;
}

/* One worker: who is behind the hog can only be run by somebody that has taken the worker over. */
START_TEST(others_answer_while_one_computes) {
    troupe_log_set(on_log, NULL, TROUPE_LOG_WARN);
    up(1);
    enum { QUESTIONS = 100 };
    troupe_ref answerer = spawn(TROUPE_COROUTINE, answers_each, NULL, 0);
    spawn_hog(&answers, QUESTIONS);
    while (!atomic_load(&computing))
        ck_assert_int_eq(troupe_sleep(me, 1), TROUPE_OK);
    for (int i = 0; i < QUESTIONS; i++) {
        troupe_msg *m;
        ck_assert_int_eq(troupe_ask(me, answerer, troupe_int(i), PATIENCE_MS, &m), TROUPE_OK);
        troupe_msg_free(&m);
    }
    ck_assert_int_eq(hear(), QUESTIONS);
    pthread_mutex_lock(&hogs.lock);
    ck_assert_int_eq(hogs.count, 1);
    ck_assert_msg(strstr(hogs.text, "the-hog") && strstr(hogs.text, " ms"), "%s", hogs.text);
    pthread_mutex_unlock(&hogs.lock);
    system_down();
    troupe_log_set(NULL, NULL, TROUPE_LOG_WARN);
}
END_TEST

START_TEST(deadlines_pass_while_one_computes) {
    up(1);
    spawn(TROUPE_COROUTINE, ticks_on, NULL, 0);
    spawn_hog(&ticks, 20);
    ck_assert_int_ge(hear(), 20);
    system_down();
}
END_TEST

static int ends_of_pipe[2];

static void reads_bytes(troupe_self *self, void *arg) {
    unsigned ready;
    char byte;
    (void)arg;
    while (troupe_wait_fd(self, ends_of_pipe[0], TROUPE_READABLE, TROUPE_FOREVER, &ready) == TROUPE_OK) {
        if (read(ends_of_pipe[0], &byte, 1) == 1)
            atomic_fetch_add(&answers, 1);
    }
}

START_TEST(descriptors_are_heard_while_one_computes) {
    enum { BYTES = 20 };
    ck_assert_int_eq(pipe2(ends_of_pipe, O_NONBLOCK | O_CLOEXEC), 0);
    up(1);
    spawn(TROUPE_COROUTINE, reads_bytes, NULL, 0);
    spawn_hog(&answers, BYTES);
    for (int i = 0; i < BYTES; i++) {
        ck_assert_int_eq(write(ends_of_pipe[1], "x", 1), 1);
        ck_assert_int_eq(troupe_sleep(me, 2), TROUPE_OK); /* so that each is waited for anew, most likely */
    }
    ck_assert_int_eq(hear(), BYTES);
    system_down();
    close(ends_of_pipe[0]);
    close(ends_of_pipe[1]);
}
END_TEST

/* --- short bodies, each for a descriptor --- */

enum { PATRONS = 2, WINDOW = 100, BODY_NS = 150000 };
static struct patron {
    int ours, theirs;
    pthread_t thread;
    _Atomic uintptr_t where; /* the thread that it was served on last */
} patrons[PATRONS];
static atomic_int apart;
static atomic_bool enough;

/* Is this another thread than the other patron is served on? */
static void look_where(struct patron *p) {
    const struct patron *other = &patrons[p == patrons];
    atomic_store(&p->where, this_thread());
    atomic_fetch_add(&apart, atomic_load(&other->where) != 0 && atomic_load(&other->where) != this_thread());
}

static void serves_patron(troupe_self *self, void *arg) {
    struct patron *p = *(struct patron **)arg;
    int fd = p->theirs;
    unsigned ready;
    char byte;
    while (troupe_wait_fd(self, fd, TROUPE_READABLE, TROUPE_FOREVER, &ready) == TROUPE_OK && read(fd, &byte, 1) == 1) {
        look_where(p);
        compute_until(trp_now() + BODY_NS);
        ck_assert_int_eq(write(fd, &byte, 1), 1);
    }
}

/* Both are born on the worker of their parent. */
static void parent_of_servers(troupe_self *self, void *arg) {
    (void)arg;
    for (struct patron *p = patrons; p < patrons + PATRONS; p++)
        ck_assert_int_eq(troupe_spawn(self, NULL, serves_patron, &p, sizeof p, NULL), TROUPE_OK);
}

/* One request at a time, and the next as soon as that is answered. */
static void *asks_and_asks(void *arg) {
    struct patron *p = arg;
    char byte = 'x';
    int64_t deadline = trp_deadline(PATIENCE_MS);
    while (!atomic_load(&enough) && trp_now() < deadline) {
        for (int i = 0; i < WINDOW; i++) {
            if (write(p->ours, &byte, 1) != 1 || read(p->ours, &byte, 1) != 1)
                return p;
        }
        /* Of the last some hundred, most. */
        if (atomic_exchange(&apart, 0) > PATRONS * WINDOW / 2)
            atomic_store(&enough, true);
    }
    close(p->ours);
    return NULL;
}

/* The worker hears the next descriptor when a body is over, and never finds two: nobody ever waits in its queue. */
START_TEST(who_computes_for_descriptors_spreads) {
    void *failed;
    for (int i = 0; i < PATRONS; i++) {
        int ends[2];
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        patrons[i] = (struct patron){.ours = ends[0], .theirs = ends[1]};
    }
    up(2);
    spawn(TROUPE_COROUTINE, parent_of_servers, NULL, 0);
    for (int i = 0; i < PATRONS; i++)
        ck_assert_int_eq(pthread_create(&patrons[i].thread, NULL, asks_and_asks, &patrons[i]), 0);
    for (int i = 0; i < PATRONS; i++) {
        ck_assert_int_eq(pthread_join(patrons[i].thread, &failed), 0);
        ck_assert_ptr_null(failed);
    }
    ck_assert(atomic_load(&enough));
    system_down();
    for (int i = 0; i < PATRONS; i++)
        close(patrons[i].theirs);
}
END_TEST

/* Bound to its worker by a subscription: the worker can't be taken from under it, but what roams there can. */
static void bound_hog(troupe_self *self, void *arg) {
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(troupe_spawn(self, NULL, ticks_on, NULL, 0, NULL), TROUPE_OK);
    ck_assert_int_eq(troupe_subscribe(self, "nothing", NULL), TROUPE_OK);
    ck_assert_int_eq(troupe_sleep(self, 5), TROUPE_OK); /* those have their deadlines on this worker by then */
    hog(self, arg);
}

START_TEST(others_leave_a_worker_whose_hog_is_bound) {
    system_up_with(&(troupe_system_opts){.threads = 2, .no_processes = true, .broker = "tcp://127.0.0.1:1"});
    struct hog h = {troupe_self_ref(me), &ticks, 100};
    spawn(TROUPE_COROUTINE, bound_hog, &h, sizeof h);
    ck_assert_int_ge(hear(), 100);
    system_down();
}
END_TEST

/* More hogs than workers, one after the other taken over from; then the last one ends them all. */
START_TEST(several_hogs_at_once) {
    enum { HOGS = 6 };
    up(2);
    spawn(TROUPE_COROUTINE, ticks_on, NULL, 0);
    for (int i = 0; i < HOGS; i++)
        spawn_hog(&ticks, 50);
    for (int i = 0; i < HOGS; i++)
        ck_assert_int_ge(hear(), 50);
    system_down();
}
END_TEST

/* Kill while it computes: it is waited for, and nothing is left of the thread that it kept. */
START_TEST(a_system_closes_over_a_hog) {
    up(1);
    spawn(TROUPE_COROUTINE, ticks_on, NULL, 0);
    spawn(TROUPE_COROUTINE, computes_for_a_while, NULL, 0);
    while (atomic_load(&ticks) < 5)
        ck_assert_int_eq(troupe_sleep(me, 1), TROUPE_OK);
    system_down();
}
END_TEST

static void reset(void) {
    atomic_store(&answers, 0);
    atomic_store(&ticks, 0);
    atomic_store(&computing, false);
    hogs.count = 0;
}

int main(void) {
    Suite *s = suite_create("sched");
    TCase *tc = tcase_create("sched");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, reset, NULL);
    tcase_add_test(tc, an_idle_worker_takes_what_waits_behind_a_long_body);
    tcase_add_test(tc, coroutines_wander_between_threads_and_lose_no_deadline);
    tcase_add_test(tc, a_pair_ends_up_on_one_worker);
    tcase_add_test(tc, others_answer_while_one_computes);
    tcase_add_test(tc, deadlines_pass_while_one_computes);
    tcase_add_test(tc, descriptors_are_heard_while_one_computes);
    tcase_add_test(tc, who_computes_for_descriptors_spreads);
    tcase_add_test(tc, others_leave_a_worker_whose_hog_is_bound);
    tcase_add_test(tc, several_hogs_at_once);
    tcase_add_test(tc, a_system_closes_over_a_hog);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
