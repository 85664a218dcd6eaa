/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * No descriptors, processes or threads are left, here or in the nursery, when something is begun that needs some: whoever asked
 * is told, nobody waits for ever, what is there goes on, and as soon as there are some again all is as before. Nothing that was
 * half made is left. */
#include <pthread.h>
#include <sys/resource.h>
#include <troupe/attach.h>
#include <troupe/command.h>
#include <troupe/names.h>
#include <unistd.h>

#include "tests/support/actors.h"
#include "tests/support/descriptors.h"
#include "tests/support/echo.h"
#include "tests/support/scene.h"

enum { KINDS = 3, DESCRIPTORS = 40, WATCHED = 3 /* by the nursery, all the time */ };

/* --- scarcity --- */

/* So many more descriptors can be had, and no more. */
static void leave_descriptors(int n) {
    int free = dup(STDERR_FILENO);
    struct rlimit now;
    ck_assert_int_ge(free, 0);
    close(free);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &now), 0);
    now.rlim_cur = (rlim_t)(free + n);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
}

static void leave_plenty(void) {
    struct rlimit now;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &now), 0);
    now.rlim_cur = now.rlim_max < 1024 ? now.rlim_max : 1024;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
}

/* Our only child. */
static pid_t nursery(void) {
    char path[64];
    int pid = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "re");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%d", &pid), 1);
    fclose(f);
    return pid;
}

static void limit_nursery(rlim_t most) {
    struct rlimit now;
    ck_assert_int_eq(prlimit(nursery(), RLIMIT_NOFILE, NULL, &now), 0);
    now.rlim_cur = most < now.rlim_max ? most : now.rlim_max;
    ck_assert_int_eq(prlimit(nursery(), RLIMIT_NOFILE, &now, NULL), 0);
}

/* --- all is as before --- */

static void answers(troupe_ref ref) {
    troupe_msg *m;
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(7), PATIENCE_MS, &m), TROUPE_OK);
    troupe_msg_free(&m);
}

static void goes_on(void) {
    for (int kind = 0; kind < KINDS; kind++) {
        troupe_ref ref = spawn(kind, echoes, NULL, 0);
        answers(ref);
        stop(ref);
    }
}

static void until_descriptors(int n) {
    for (int i = 0; i < 5000 && descriptors() > n; i++)
        ck_assert_int_eq(troupe_sleep(me, 1), TROUPE_OK);
    ck_assert_int_le(descriptors(), n);
}

/* --- what needs some --- */

/* It has been spawned: it answers, or has ended since it could not be started. */
static troupe_status lives_or_not(troupe_ref ref) {
    troupe_msg *m;
    troupe_exit exit;
    troupe_status st = troupe_ask(me, ref, troupe_int(7), PATIENCE_MS, &m);
    if (st == TROUPE_OK) {
        troupe_msg_free(&m);
        stop(ref);
        return TROUPE_OK;
    }
    ck_assert_msg(st == TROUPE_DIED || st == TROUPE_NOT_FOUND, "%s", troupe_status_text(st));
    TRY(troupe_join(me, ref, PATIENCE_MS, &exit));
    ck_assert_int_eq(exit.how, TROUPE_END_EXIT);
    return TROUPE_SYSTEM;
}

static troupe_status one_of(troupe_kind kind) {
    troupe_ref ref;
    TRY(troupe_spawn(me, &(troupe_spawn_opts){.kind = kind}, echoes, NULL, 0, &ref));
    return lives_or_not(ref);
}

static troupe_status a_coroutine(void) {
    return one_of(TROUPE_COROUTINE);
}

static troupe_status a_thread(void) {
    return one_of(TROUPE_THREAD);
}

static troupe_status a_process(void) {
    return one_of(TROUPE_PROCESS);
}

static troupe_status a_process_with_much_to_say(void) {
    static const uint8_t much[100 * 1024];
    troupe_ref ref;
    TRY(troupe_spawn(me, &(troupe_spawn_opts){.kind = TROUPE_PROCESS}, echoes, much, sizeof much, &ref));
    return lives_or_not(ref);
}

static troupe_status a_program(void) {
    static const char *const argv[] = {"cat", NULL};
    troupe_msg *m = NULL;
    troupe_exit exit;
    TRY(troupe_command_run(me, NULL, argv, troupe_text("words"), PATIENCE_MS, &m, &exit));
    troupe_msg_free(&m);
    return exit.how == TROUPE_END_NORMAL ? TROUPE_OK : TROUPE_SYSTEM;
}

static void *attaches(void *arg) {
    troupe_status *st = arg;
    troupe_self *self;
    *st = troupe_attach(sys, "guest", &self);
    if (*st == TROUPE_OK)
        troupe_detach(&self);
    return NULL;
}

static troupe_status a_guest(void) {
    troupe_status st = TROUPE_BUG;
    pthread_t t;
    if (pthread_create(&t, NULL, attaches, &st) != 0)
        return TROUPE_SYSTEM;
    pthread_join(t, NULL);
    return st;
}

/* A large message each way needs one, or goes without. */
static troupe_status a_large_message(void) {
    static uint8_t huge[3 << 20];
    troupe_ref ref;
    troupe_msg *m;
    TRY(troupe_whereis(me, "there", &ref));
    TRY(troupe_ask(me, ref, troupe_bytes(huge, sizeof huge), PATIENCE_MS, &m));
    ck_assert_uint_eq(troupe_msg_value(m).size, sizeof huge);
    troupe_msg_free(&m);
    return TROUPE_OK;
}

static const struct {
    const char *name;
    troupe_status (*play)(void);
    bool may_fail;
} needs[] = {{"coroutine", a_coroutine, true},
             {"thread", a_thread, true},
             {"process", a_process, true},
             {"process with much to say", a_process_with_much_to_say, true},
             {"program", a_program, true},
             {"guest", a_guest, true},
             {"large message", a_large_message, false}};
enum { NEEDS = sizeof needs / sizeof *needs };

static bool is_excuse(troupe_status st) {
    return st == TROUPE_SYSTEM || st == TROUPE_NO_MEMORY;
}

/* With n descriptors. True: those were enough. */
static bool play(int which, int n) {
    int before = descriptors();
    leave_descriptors(n);
    troupe_status st = needs[which].play();
    leave_plenty();
    ck_assert_msg(st == TROUPE_OK || (needs[which].may_fail && is_excuse(st)), "%s with %d: %s", needs[which].name, n,
                  troupe_status_text(st));
    until_descriptors(before);
    return st == TROUPE_OK;
}

START_TEST(without_descriptors) {
    troupe_ref there;
    system_up();
    ck_assert_int_eq(troupe_spawn(me, &(troupe_spawn_opts){.kind = TROUPE_PROCESS, .name = "there", .registered = true}, echoes,
                                  NULL, 0, &there),
                     TROUPE_OK);
    goes_on(); /* what is made when it is first needed is there */
    ck_assert(play(_i, DESCRIPTORS));
    int n = 0;
    while (!play(_i, n))
        ck_assert_int_lt(++n, DESCRIPTORS);
    answers(there);
    goes_on();
    system_down();
}
END_TEST

/* However few it has, none of its orders is forgotten. */
START_TEST(a_nursery_without_descriptors) {
    system_up();
    goes_on();
    limit_nursery(WATCHED);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(a_process(), TROUPE_SYSTEM);
    ck_assert_int_eq(a_process_with_much_to_say(), TROUPE_SYSTEM);
    ck_assert_int_eq(a_program(), TROUPE_SYSTEM);
    limit_nursery(RLIM_INFINITY);
    goes_on();
    ck_assert_int_eq(a_program(), TROUPE_OK);
    system_down();
}
END_TEST

/* Processor time of the nursery so far, in nanoseconds. */
static long long nursery_ns(void) {
    char path[64];
    long long ns;
    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)nursery());
    FILE *f = fopen(path, "re");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%lld", &ns), 1);
    fclose(f);
    return ns;
}

/* poll(2) refuses more descriptors than one may have: then it looks again now and then, and burns nothing. */
START_TEST(a_nursery_that_may_not_look) {
    system_up();
    goes_on();
    long long before = nursery_ns();
    limit_nursery(0);
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    ck_assert_int_lt(nursery_ns() - before, 100000000);
    limit_nursery(RLIM_INFINITY);
    goes_on();
    system_down();
}
END_TEST

static void dies_of_nil(troupe_self *self, void *arg) {
    troupe_msg *m;
    say(self, *(troupe_ref *)arg, 1);
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        if (troupe_msg_value(m).kind == TROUPE_NIL)
            _exit(1);
        echo(self, m);
        troupe_msg_free(&m);
    }
}

/* One that is to be started again is, when there are some; its mail waits. */
START_TEST(it_comes_back_when_there_are_some) {
    troupe_ref test, ref;
    troupe_msg *m;
    troupe_spawn_opts opts = {.kind = TROUPE_PROCESS, .restart = TROUPE_TRANSIENT, .backoff_min_ms = 1, .backoff_max_ms = 5};
    system_up();
    test = troupe_self_ref(me);
    ck_assert_int_eq(troupe_spawn(me, &opts, dies_of_nil, &test, sizeof test, &ref), TROUPE_OK);
    ck_assert_int_eq(hear(), 1);
    if (_i)
        limit_nursery(WATCHED);
    else
        leave_descriptors(0);
    ck_assert_int_eq(troupe_send(me, ref, troupe_nil()), TROUPE_OK);
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(1), 100, &m), TROUPE_TIMEOUT);
    if (_i)
        limit_nursery(RLIM_INFINITY);
    else
        leave_plenty();
    ck_assert_int_eq(hear(), 1);
    answers(ref);
    stop(ref);
    system_down();
}
END_TEST

static troupe_status open_with(int n) {
    leave_descriptors(n);
    troupe_status st = troupe_system_open(&sys, &(troupe_system_opts){.threads = 2});
    leave_plenty();
    if (st == TROUPE_OK)
        system_down();
    return st;
}

/* A system is opened, or not. The first one of a program leaves something of libuv's behind. */
START_TEST(a_system_without_descriptors) {
    for (int round = 0; round < 2; round++) {
        troupe_status st = TROUPE_SYSTEM;
        for (int n = 0; st != TROUPE_OK; n++) {
            int before = descriptors();
            ck_assert_int_lt(n, 2 * DESCRIPTORS);
            st = open_with(n);
            ck_assert_msg(st == TROUPE_OK || is_excuse(st), "with %d: %s", n, troupe_status_text(st));
            ck_assert(round == 0 || descriptors() == before);
        }
    }
}
END_TEST

/* --- processes, threads --- */

static void limit_processes(pid_t pid, rlim_t most) {
    struct rlimit now;
    ck_assert_int_eq(prlimit(pid, RLIMIT_NPROC, NULL, &now), 0);
    now.rlim_cur = most < now.rlim_max ? most : now.rlim_max;
    ck_assert_int_eq(prlimit(pid, RLIMIT_NPROC, &now, NULL), 0);
}

/* For somebody whom the kernel holds to that. */
static void leave_processes(void) {
    if (geteuid() == 0)
        ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
    limit_processes(getpid(), 0);
}

START_TEST(without_processes) {
    if (geteuid() == 0)
        ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
    system_up();
    goes_on();
    limit_processes(nursery(), 0);
    limit_processes(getpid(), 0);
    ck_assert_int_eq(a_process(), TROUPE_SYSTEM);
    ck_assert_int_eq(a_program(), TROUPE_SYSTEM);
    ck_assert(is_excuse(a_thread()));
    ck_assert_int_eq(a_coroutine(), TROUPE_OK);
    limit_processes(nursery(), RLIM_INFINITY);
    limit_processes(getpid(), RLIM_INFINITY);
    goes_on();
    system_down();
}
END_TEST

START_TEST(a_system_without_processes) {
    leave_processes();
    int before = descriptors();
    ck_assert(is_excuse(troupe_system_open(&sys, NULL)));
    ck_assert_int_eq(descriptors(), before);
    limit_processes(getpid(), RLIM_INFINITY);
    system_up();
    goes_on();
    system_down();
}
END_TEST

/* A stack that nobody has. */
START_TEST(without_a_stack) {
    troupe_ref ref;
    system_up();
    int before = descriptors();
    for (int kind = TROUPE_COROUTINE; kind <= TROUPE_THREAD; kind++) {
        for (int bits = 48; bits < 64; bits++) {
            troupe_spawn_opts opts = {.kind = (troupe_kind)kind, .stack = (size_t)1 << bits};
            troupe_status st = troupe_spawn(me, &opts, echoes, NULL, 0, &ref);
            ck_assert_msg(is_excuse(st) || st == TROUPE_INVALID, "%d bits: %s", bits, troupe_status_text(st));
        }
    }
    until_descriptors(before);
    goes_on();
    system_down();
}
END_TEST

int main(void) {
    Suite *s = suite_create("exhausted");
    const TTest *const once[] = {a_nursery_without_descriptors, a_nursery_that_may_not_look,
                                 a_system_without_descriptors,  without_processes,
                                 a_system_without_processes,    without_a_stack};
    TCase *c = run_case(s, "exhausted", once, sizeof once / sizeof *once);
    tcase_add_loop_test(c, without_descriptors, 0, NEEDS);
    tcase_add_loop_test(c, it_comes_back_when_there_are_some, 0, 2);
    tcase_set_timeout(c, 60);
    return run_suite(s);
}
