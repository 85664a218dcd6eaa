/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a process actor may use, and for how long: limits, deadlines, recycling, a clean environment; and a program that forks
 * by itself. Beside each fault another actor goes on, and the fault is reported once. */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <troupe/future.h>
#include <troupe/monitor.h>
#include <troupe/names.h>
#include <troupe/supervisor.h>
#include <unistd.h>

#include "actors/sanitizer.h"
#include "tests/support/actors.h"
#include "tests/support/chance.h"

/* --- faults --- */

enum { SEGV, ABORT, LOOP, LOOP_OF_CPU, MEMORY, KILL, STOP, STOP_IDLE, FAULTS, WHO = 500 };

static const struct {
    const char *text; /* the beginning */
    const char *hint; /* somewhere in it */
} told[FAULTS] = {
    [SEGV] = {"SIGSEGV", ""},
    [ABORT] = {"SIGABRT", ""},
    [LOOP] = {"SIGKILL", "(deadline of 100 ms)"},
    [LOOP_OF_CPU] = {"SIGXCPU", "(CPU limit)"},
    [MEMORY] = {"SIGABRT", "(memory limit)"},
    [KILL] = {"SIGKILL", ""},
    [STOP] = {"SIGKILL", "(deadline of 100 ms)"},
    [STOP_IDLE] = {"SIGKILL", "(deadline of 100 ms)"},
};

/* No core files, and no reports by sanitizers: these deaths are meant. */
static void quietly(void) {
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (TRP_ASAN || TRP_TSAN) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGABRT, SIG_DFL);
    }
}

static void exhaust(void) {
    enum { PIECE = 1 << 20 };
    for (volatile char *p; (p = malloc(PIECE));)
        p[0] = 1; /* never freed: that is the point */
    abort();
}

static void computes(void) {
    for (volatile uint64_t n = 0;; n++)
        ;
}

static void goes_wrong(int how) {
    quietly();
    switch (how) {
    case SEGV:
        raise(SIGSEGV);
        break;
    case ABORT:
        abort();
    case LOOP:
    case LOOP_OF_CPU:
        computes();
        break;
    case MEMORY:
        exhaust();
        break;
    case KILL:
        kill(getpid(), SIGKILL);
        break;
    case STOP:
        kill(getpid(), SIGSTOP);
        break;
    default:
        break;
    }
}

/* A number below FAULTS is a way to go wrong, any other is answered; WHO by its process. */
static void serves(troupe_self *self, void *arg) {
    troupe_msg *m;
    int64_t n;
    say(self, *(troupe_ref *)arg, getpid());
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        if (troupe_msg_int(m, &n) && n < FAULTS)
            goes_wrong((int)n);
        (void)!troupe_reply(self, m, troupe_int(n == WHO ? getpid() : n));
        troupe_msg_free(&m);
    }
}

static troupe_ref spawn_serving(troupe_spawn_opts opts) {
    troupe_ref to = troupe_self_ref(me), ref;
    opts.kind = TROUPE_PROCESS;
    ck_assert_int_eq(troupe_spawn(me, &opts, serves, &to, sizeof to, &ref), TROUPE_OK);
    return ref;
}

static void answers(troupe_ref ref, int64_t n) {
    troupe_msg *m;
    int64_t got;
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(n), PATIENCE_MS, &m), TROUPE_OK);
    ck_assert(troupe_msg_int(m, &got));
    ck_assert_int_eq(got, n);
    troupe_msg_free(&m);
}

static troupe_spawn_opts limited(int how) {
    troupe_spawn_opts opts = {0};
    if (how == LOOP || how == STOP || how == STOP_IDLE)
        opts.deadline_ms = 100;
    if (how == LOOP_OF_CPU)
        opts.limits.cpu_seconds = 1;
    if (how == MEMORY)
        opts.limits.memory = 64 << 20;
    return opts;
}

START_TEST(each_fault_is_told_once_and_disturbs_nobody) {
    troupe_msg *m;
    if (_i == MEMORY && (TRP_ASAN || TRP_TSAN))
        return; /* a sanitizer ends a program that gets no memory, in words of its own */
    troupe_ref other = spawn_serving((troupe_spawn_opts){0});
    (void)hear();
    troupe_ref ref = spawn_serving(limited(_i));
    pid_t pid = (pid_t)hear();
    answers(ref, 1000);
    if (_i == STOP_IDLE) {
        answers(other, 1001); /* the first is back in its receive, or will be stopped on its way */
        kill(pid, SIGSTOP);
        ck_assert_int_eq(troupe_send(me, ref, troupe_int(1002)), TROUPE_OK);
    } else {
        ck_assert_int_eq(troupe_ask(me, ref, troupe_int(_i), PATIENCE_MS, &m), TROUPE_DIED);
    }
    answers(other, 1003);
    troupe_exit exit = ends(ref, TROUPE_END_SIGNAL);
    ck_assert_mem_eq(exit.text, told[_i].text, strlen(told[_i].text));
    ck_assert_msg(strstr(exit.text, told[_i].hint) != NULL, "%s", exit.text);
    ck_assert_int_eq(kill(pid, 0), -1); /* no zombie */
    answers(other, 1004);
    stop(other);
    /* Nothing more has been told. */
    ck_assert_int_eq(troupe_receive(me, 0, &m), TROUPE_TIMEOUT);
}
END_TEST

/* The same under a supervisor, which has a coroutine, the one that goes wrong, and a thread: those are started again that its
 * strategy says, and nobody else notices. */
static const struct {
    int fault;
    troupe_strategy strategy;
} supervised[] = {
    {SEGV, TROUPE_ONE_FOR_ONE},  {SEGV, TROUPE_ONE_FOR_ALL}, {SEGV, TROUPE_REST_FOR_ONE},       {ABORT, TROUPE_ONE_FOR_ALL},
    {LOOP, TROUPE_REST_FOR_ONE}, {LOOP, TROUPE_ONE_FOR_ONE}, {LOOP_OF_CPU, TROUPE_ONE_FOR_ONE}, {MEMORY, TROUPE_ONE_FOR_ALL},
    {KILL, TROUPE_REST_FOR_ONE}, {KILL, TROUPE_ONE_FOR_ALL}, {STOP, TROUPE_ONE_FOR_ONE},        {STOP_IDLE, TROUPE_ONE_FOR_ALL},
};
enum { SUPERVISED = sizeof supervised / sizeof *supervised, CHILDREN = 3 };
static const char *const children[CHILDREN] = {"before", "faulty", "behind"};

static troupe_ref supervise(int fault, troupe_strategy strategy) {
    static const troupe_kind kinds[CHILDREN] = {TROUPE_COROUTINE, TROUPE_PROCESS, TROUPE_THREAD};
    troupe_ref to = troupe_self_ref(me), ref;
    troupe_child list[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        list[i] = (troupe_child){.body = serves, .arg = &to, .arg_size = sizeof to};
        if (kinds[i] == TROUPE_PROCESS)
            list[i].opts = limited(fault);
        list[i].opts.kind = kinds[i];
        list[i].opts.name = children[i];
        list[i].opts.registered = true;
        list[i].opts.restart = TROUPE_TRANSIENT;
        list[i].opts.backoff_min_ms = 1;
    }
    troupe_supervisor_opts opts = {.strategy = strategy, .children = list, .count = CHILDREN};
    ck_assert_int_eq(troupe_supervise(me, NULL, &opts, &ref), TROUPE_OK);
    return ref;
}

static void find_children(troupe_ref *refs) {
    for (int i = 0; i < CHILDREN; i++) {
        ck_assert_int_eq(troupe_whereis(me, children[i], &refs[i]), TROUPE_OK);
        answers(refs[i], 1000 + i);
    }
}

static void let_it_go_wrong(troupe_ref ref, int fault) {
    troupe_msg *m;
    int64_t pid;
    if (fault != STOP_IDLE) {
        ck_assert_int_eq(troupe_ask(me, ref, troupe_int(fault), PATIENCE_MS, &m), TROUPE_DIED);
        return;
    }
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(WHO), PATIENCE_MS, &m), TROUPE_OK);
    ck_assert(troupe_msg_int(m, &pid));
    troupe_msg_free(&m);
    kill((pid_t)pid, SIGSTOP);
    ck_assert_int_eq(troupe_send(me, ref, troupe_int(1002)), TROUPE_OK);
}

START_TEST(a_supervisor_mends_each_fault) {
    int fault = supervised[_i].fault;
    troupe_strategy strategy = supervised[_i].strategy;
    troupe_ref before[CHILDREN], after[CHILDREN], other = spawn_serving((troupe_spawn_opts){0});
    troupe_msg *m;
    if (fault == MEMORY && (TRP_ASAN || TRP_TSAN))
        return;
    troupe_ref boss = supervise(fault, strategy);
    for (int i = 0; i < CHILDREN + 1; i++)
        (void)hear();
    find_children(before);
    let_it_go_wrong(before[1], fault);
    answers(other, 1003);
    troupe_exit exit = ends(before[1], TROUPE_END_SIGNAL);
    ck_assert_mem_eq(exit.text, told[fault].text, strlen(told[fault].text));
    ck_assert_msg(strstr(exit.text, told[fault].hint) != NULL, "%s", exit.text);
    int begun = strategy == TROUPE_ONE_FOR_ONE ? 1 : strategy == TROUPE_REST_FOR_ONE ? 2 : 3;
    for (int i = 0; i < begun; i++)
        (void)hear();
    find_children(after);
    ck_assert(after[1].id != before[1].id);
    ck_assert_int_eq(after[0].id != before[0].id, strategy == TROUPE_ONE_FOR_ALL);
    ck_assert_int_eq(after[2].id != before[2].id, strategy != TROUPE_ONE_FOR_ONE);
    answers(other, 1004);
    ck_assert_int_eq(troupe_receive(me, 0, &m), TROUPE_TIMEOUT); /* nobody else has been started */
    stop(boss);
    stop(other);
}
END_TEST

START_TEST(after_a_deadline_it_is_restarted) {
    troupe_msg *m;
    troupe_ref ref = spawn_serving((troupe_spawn_opts){.deadline_ms = 50, .restart = TROUPE_TRANSIENT, .backoff_min_ms = 1});
    (void)hear();
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(troupe_ask(me, ref, troupe_int(LOOP), PATIENCE_MS, &m), TROUPE_DIED);
        (void)hear();
        answers(ref, 1000 + i);
    }
    stop(ref);
}
END_TEST

/* The time is a message's: many in a row, or none at all, may take any. A moment without a processor is well below it. */
enum { DEADLINE_MS = 500, LONGER_MS = 600, MESSAGES = 8, EACH_MS = 80 };

static void takes_its_time(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)!troupe_sleep(self, LONGER_MS); /* before the first receive */
    for (int i = 0; i < MESSAGES && troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK; i++) {
        (void)!troupe_sleep(self, EACH_MS);
        troupe_msg_free(&m);
    }
    ck_assert_int_eq(troupe_receive(self, LONGER_MS, &m), TROUPE_TIMEOUT);
    say(self, *(troupe_ref *)arg, MESSAGES);
}

START_TEST(a_deadline_is_for_one_message) {
    enum { SLOW = TRP_ASAN || TRP_TSAN ? 10 : 1 };
    troupe_ref to = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.kind = TROUPE_PROCESS, .deadline_ms = DEADLINE_MS * SLOW};
    ck_assert_int_eq(troupe_spawn(me, &opts, takes_its_time, &to, sizeof to, &ref), TROUPE_OK);
    for (int i = 0; i < MESSAGES; i++)
        ck_assert_int_eq(troupe_send(me, ref, troupe_int(i)), TROUPE_OK);
    ck_assert_int_eq(hear(), MESSAGES);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

START_TEST(limits_are_for_processes) {
    troupe_spawn_opts opts[] = {{.deadline_ms = 1}, {.limits.memory = 1}, {.limits.files = 1}, {.clean_env = true}};
    troupe_ref to = troupe_self_ref(me);
    for (int kind = TROUPE_COROUTINE; kind < TROUPE_PROCESS; kind++) {
        for (size_t i = 0; i < sizeof opts / sizeof *opts; i++) {
            opts[i].kind = (troupe_kind)kind;
            ck_assert_int_eq(troupe_spawn(me, &opts[i], serves, &to, sizeof to, NULL), TROUPE_INVALID);
        }
    }
}
END_TEST

static void opens_files(troupe_self *self, void *arg) {
    int n = 0;
    while (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
        n++;
    say(self, *(troupe_ref *)arg, n);
    say(self, *(troupe_ref *)arg, getenv("TROUPE_TEST_KEPT") && getenv("PATH") && !getenv("SECRET_OF_THE_PARENT"));
}

START_TEST(descriptors_and_environment) {
    troupe_ref to, ref;
    troupe_system_close(&sys);
    setenv("SECRET_OF_THE_PARENT", "x", 1);
    setenv("TROUPE_TEST_KEPT", "x", 1);
    system_up();
    to = troupe_self_ref(me);
    troupe_spawn_opts opts = {.kind = TROUPE_PROCESS, .limits.files = 40, .clean_env = true};
    ck_assert_int_eq(troupe_spawn(me, &opts, opens_files, &to, sizeof to, &ref), TROUPE_OK);
    int64_t n = hear();
    ck_assert(n > 10 && n < 40);
    ck_assert_int_eq(hear(), 1);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

/* --- recycling --- */

struct batch {
    troupe_ref tell;
    int64_t lives;
};

/* Tells each message, and each of its ends. */
static void works_in_batches(troupe_self *self, void *arg) {
    troupe_msg *m;
    int64_t n;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        ck_assert(troupe_msg_int(m, &n));
        troupe_msg_free(&m);
        say(self, *(troupe_ref *)arg, n);
    }
    say(self, *(troupe_ref *)arg, -1);
}

START_TEST(recycled_after_so_many_messages) {
    enum { BATCH = 10, ALL = 95 };
    troupe_ref to = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.kind = (troupe_kind)_i, .max_messages = BATCH};
    ck_assert_int_eq(troupe_spawn(me, &opts, works_in_batches, &to, sizeof to, &ref), TROUPE_OK);
    for (int i = 0; i < ALL; i++)
        ck_assert_int_eq(troupe_send(me, ref, troupe_int(i)), TROUPE_OK);
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK); /* what is queued is for as many lives as it takes */
    for (int i = 0; i < ALL; i++) {
        ck_assert_int_eq(hear(), i);
        if (i % BATCH == BATCH - 1)
            ck_assert_int_eq(hear(), -1);
    }
    ck_assert_int_eq(hear(), -1);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

/* Askers do not notice. */
START_TEST(no_question_is_lost_by_recycling) {
    troupe_spawn_opts opts = {.max_messages = 3};
    troupe_ref ref = spawn_serving(opts);
    for (int i = 0; i < 20; i++)
        answers(ref, 1000 + i);
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK);
    ends(ref, TROUPE_END_NORMAL);
    for (int i = 0; i < 7; i++)
        (void)hear(); /* a pid each life */
}
END_TEST

/* --- a crowd --- */

/* 200 at once (fewer under sanitizers), used by three and killed at random for TROUPE_CROWD_MS: each death is told once, each
 * question has an end, nothing is left. */
enum { CROWD = TRP_ASAN || TRP_TSAN ? 40 : 200, ASKERS = 2 };

struct member {
    troupe_ref ref;
    pid_t pid;
    troupe_watch watch;
};

/* For the askers, which are a thread and a coroutine of this process. */
static _Atomic uint64_t asked[CROWD];
static atomic_bool asking;

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool is_an_end(troupe_status st) {
    return st == TROUPE_OK || st == TROUPE_DIED || st == TROUPE_NOT_FOUND || st == TROUPE_CLOSED;
}

/* Whoever is there, dead or alive. Tells how many questions were left without an end, or had a wrong answer. */
static void asks_around(troupe_self *self, void *arg) {
    unsigned at = 12345;
    int64_t lost = 0, got = 0;
    while (atomic_load(&asking)) {
        troupe_msg *m;
        at = at * 1103515245u + 12345u;
        troupe_ref ref = {atomic_load(&asked[(at >> 16) % CROWD])};
        troupe_status st = troupe_ask(self, ref, troupe_int(1000 + (int64_t)(at % 1000)), PATIENCE_MS, &m);
        lost += !is_an_end(st);
        if (st != TROUPE_OK)
            continue;
        lost += !troupe_msg_int(m, &got) || got != 1000 + (int64_t)(at % 1000);
        troupe_msg_free(&m);
    }
    say(self, *(troupe_ref *)arg, lost);
}

static void member_new(struct member *c) {
    c->ref = spawn_serving((troupe_spawn_opts){0});
    c->pid = (pid_t)hear();
    ck_assert_int_eq(troupe_monitor(me, c->ref, &c->watch), TROUPE_OK);
}

static void hear_down(const struct member *c) {
    troupe_down down;
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    ck_assert(troupe_msg_down(m, &down));
    ck_assert_uint_eq(down.ref.id, c->ref.id);
    troupe_msg_free(&m);
}

static void member_dies(const struct member *c) {
    bool told_by_us = rand() % 2;
    if (told_by_us)
        ck_assert_int_eq(troupe_kill(me, c->ref), TROUPE_OK);
    else
        kill(c->pid, SIGKILL);
    ends(c->ref, told_by_us ? TROUPE_END_KILLED : TROUPE_END_SIGNAL);
    ck_assert_int_eq(kill(c->pid, 0), -1);
    hear_down(c);
}

/* With a question in its hand, or on its way: that has an end, too. */
static void member_dies_asked(const struct member *c) {
    troupe_future *f;
    troupe_msg *m = NULL;
    ck_assert_int_eq(troupe_ask_async(me, c->ref, troupe_int(1000), &f), TROUPE_OK);
    member_dies(c);
    troupe_status st = troupe_future_await(me, &f, PATIENCE_MS, &m);
    ck_assert_msg(is_an_end(st), "%s", troupe_status_text(st));
    troupe_msg_free(&m);
}

static void crowd_lives(struct member *crowd, int64_t until) {
    for (unsigned n = 0; now_ms() < until; n++) {
        int i = rand() % CROWD;
        if (rand() % 4) {
            answers(crowd[i].ref, 1000 + n);
            continue;
        }
        (rand() % 2 ? member_dies : member_dies_asked)(&crowd[i]);
        member_new(&crowd[i]);
        atomic_store(&asked[i], crowd[i].ref.id);
    }
}

START_TEST(a_crowd_killed_at_random) {
    static struct member crowd[CROWD];
    const char *given = getenv("TROUPE_CROWD_MS");
    troupe_ref to = troupe_self_ref(me), askers[ASKERS];
    troupe_msg *m;
    srand((unsigned)seed_of_run());
    for (int i = 0; i < CROWD; i++) {
        member_new(&crowd[i]);
        atomic_store(&asked[i], crowd[i].ref.id);
    }
    atomic_store(&asking, true);
    for (int i = 0; i < ASKERS; i++)
        askers[i] = spawn(i % 2 ? TROUPE_COROUTINE : TROUPE_THREAD, asks_around, &to, sizeof to);
    crowd_lives(crowd, now_ms() + (given ? atoll(given) : 1500));
    atomic_store(&asking, false);
    for (int i = 0; i < ASKERS; i++) {
        ends(askers[i], TROUPE_END_NORMAL);
        ck_assert_int_eq(hear(), 0);
    }
    for (int i = 0; i < CROWD; i++)
        member_dies(&crowd[i]);
    ck_assert_int_eq(troupe_receive(me, 0, &m), TROUPE_TIMEOUT);
}
END_TEST

int main(void) {
    Suite *s = suite_create("process_limits");
    TCase *c = tcase_create("limits");
    tcase_add_checked_fixture(c, system_up, system_down);
    tcase_add_loop_test(c, each_fault_is_told_once_and_disturbs_nobody, 0, FAULTS);
    tcase_add_loop_test(c, a_supervisor_mends_each_fault, 0, SUPERVISED);
    tcase_add_test(c, after_a_deadline_it_is_restarted);
    tcase_add_test(c, a_deadline_is_for_one_message);
    tcase_add_test(c, limits_are_for_processes);
    tcase_add_test(c, descriptors_and_environment);
    tcase_add_loop_test(c, recycled_after_so_many_messages, TROUPE_COROUTINE, TROUPE_PROCESS + 1);
    tcase_add_test(c, no_question_is_lost_by_recycling);
    tcase_add_test(c, a_crowd_killed_at_random);
    tcase_set_timeout(c, 120);
    suite_add_tcase(s, c);
    return run_suite(s);
}
