/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What only processes can do: crash alone, be killed in mid-computation, leave nothing behind. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "actors/sanitizer.h"
#include "tests/support/actors.h"
#include "tests/support/chance.h"

/* --- looking at processes --- */

static void short_pause(void) {
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* The children of a process, as the kernel lists them; zombies, too. */
static size_t children_of(pid_t pid, pid_t *out, size_t most) {
    char path[64];
    size_t n = 0;
    int child;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *f = fopen(path, "re");
    ck_assert_ptr_nonnull(f);
    while (n < most && fscanf(f, "%d", &child) == 1)
        out[n++] = child;
    fclose(f);
    return n;
}

static pid_t nursery(void) {
    pid_t pid = 0;
    ck_assert_uint_eq(children_of(getpid(), &pid, 1), 1);
    return pid;
}

static size_t count_fds(pid_t pid) {
    char path[64];
    size_t n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path); /* bodies count, too, so nothing is asserted here */
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

/* How many this process has, when there are no more than that or it has taken too long: the steward closes a channel in its own
 * time. Not to be counted once more: threads have a file open for a moment now and then. */
static size_t fds_settled(size_t most) {
    size_t n = count_fds(getpid());
    for (int i = 0; i < 1000 && n > most; i++) {
        short_pause();
        n = count_fds(getpid());
    }
    return n;
}

/* 0: there is none. */
static char state_of(pid_t pid) {
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    char *got = fgets(line, sizeof line, f);
    fclose(f);
    const char *end = got ? strrchr(line, ')') : NULL;
    return end ? end[2] : 0;
}

/* Dead: at most waiting for whoever adopted it. */
static bool is_dead(pid_t pid) {
    char state = state_of(pid);
    return state == 0 || state == 'Z' || state == 'X';
}

static void until_dead(pid_t pid, int ms) {
    for (int i = 0; i < ms / 2 && !is_dead(pid); i++)
        short_pause();
    ck_assert_msg(is_dead(pid), "process %d lives on", (int)pid);
}

/* The nursery has no child left, not even a dead one. */
static void nursery_is_empty(void) {
    pid_t one;
    for (int i = 0; i < 2000 && children_of(nursery(), &one, 1); i++)
        short_pause();
    ck_assert_uint_eq(children_of(nursery(), &one, 1), 0);
}

/* --- ways to end --- */

enum { RETURN, EXIT_3, ABORT, NULL_POINTER, KILLED_9, STOPPED_THEN_KILLED, WAYS };

static const struct {
    troupe_end how;
    int code;
    const char *text;
} expected[WAYS] = {
    [RETURN] = {TROUPE_END_NORMAL, 0, "normal"},          [EXIT_3] = {TROUPE_END_EXIT, 3, "exit status 3"},
    [ABORT] = {TROUPE_END_SIGNAL, SIGABRT, "SIGABRT"},    [NULL_POINTER] = {TROUPE_END_SIGNAL, SIGSEGV, "SIGSEGV"},
    [KILLED_9] = {TROUPE_END_SIGNAL, SIGKILL, "SIGKILL"}, [STOPPED_THEN_KILLED] = {TROUPE_END_SIGNAL, SIGKILL, "SIGKILL"},
};

struct order {
    troupe_ref tell;
    int how;
};

/* No core files, and no reports by sanitizers: these deaths are meant. */
static void die_quietly(int sig) {
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    signal(sig, SIG_DFL);
}

static void ends_somehow(troupe_self *self, void *arg) {
    const struct order *o = arg;
    say(self, o->tell, getpid());
    switch (o->how) {
    case EXIT_3:
        _exit(3);
    case ABORT:
        die_quietly(SIGABRT);
        abort();
    case NULL_POINTER:
        die_quietly(SIGSEGV);
        raise(SIGSEGV);
        break;
    case KILLED_9:
        kill(getpid(), SIGKILL);
        break;
    case STOPPED_THEN_KILLED:
        kill(getpid(), SIGSTOP);
        break;
    default:
        break;
    }
}

START_TEST(an_end_says_how) {
    struct order o = {troupe_self_ref(me), _i};
    troupe_ref ref = spawn(TROUPE_PROCESS, ends_somehow, &o, sizeof o);
    pid_t pid = (pid_t)hear();
    ck_assert_int_ne(pid, getpid());
    if (_i == STOPPED_THEN_KILLED) {
        ck_assert_int_eq(troupe_join(me, ref, 50, NULL), TROUPE_TIMEOUT);
        kill(pid, SIGKILL);
    }
    troupe_exit exit = ends(ref, expected[_i].how);
    ck_assert_int_eq(exit.code, expected[_i].code);
    ck_assert_mem_eq(exit.text, expected[_i].text, strlen(expected[_i].text));
    ck_assert_int_eq(state_of(pid), 0);
    nursery_is_empty();
}
END_TEST

static void computes(troupe_self *self, void *arg) {
    say(self, *(troupe_ref *)arg, getpid());
    for (volatile uint64_t n = 0;; n++)
        ;
}

START_TEST(a_kill_ends_a_computation) {
    troupe_ref to = troupe_self_ref(me), ref = spawn(TROUPE_PROCESS, computes, &to, sizeof to);
    pid_t pid = (pid_t)hear();
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK);
    troupe_exit exit = ends(ref, TROUPE_END_KILLED);
    ck_assert_str_eq(exit.text, "killed");
    ck_assert_int_eq(state_of(pid), 0);
}
END_TEST

/* --- restarts after crashes --- */

enum { CRASH = 1 };

static void crashes_on_demand(troupe_self *self, void *arg) {
    const struct order *o = arg;
    troupe_msg *m;
    int64_t n;
    say(self, o->tell, getpid());
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        if (troupe_msg_int(m, &n) && n == CRASH)
            ends_somehow(self, arg);
        (void)!troupe_reply(self, m, troupe_int(n));
        troupe_msg_free(&m);
    }
}

START_TEST(a_crash_is_followed_by_a_restart) {
    struct order o = {troupe_self_ref(me), _i};
    troupe_spawn_opts opts = {.kind = TROUPE_PROCESS, .restart = TROUPE_TRANSIENT, .backoff_min_ms = 5, .backoff_max_ms = 50};
    troupe_ref ref;
    troupe_msg *m;
    pid_t before = 0;
    ck_assert_int_eq(troupe_spawn(me, &opts, crashes_on_demand, &o, sizeof o, &ref), TROUPE_OK);
    for (int life = 0; life < 5; life++) {
        pid_t pid = (pid_t)hear();
        ck_assert_int_ne(pid, before);
        before = pid;
        ck_assert_int_eq(troupe_ask(me, ref, troupe_int(CRASH), PATIENCE_MS, &m), TROUPE_DIED);
        ck_assert_int_eq(hear(), pid); /* said again by the one that crashes */
    }
    (void)hear();
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(9), PATIENCE_MS, &m), TROUPE_OK);
    troupe_msg_free(&m);
    stop(ref);
    nursery_is_empty();
}
END_TEST

START_TEST(what_was_not_handed_over_survives_the_crash) {
    enum { MANY = 500 };
    struct order o = {troupe_self_ref(me), KILLED_9};
    troupe_spawn_opts opts = {.kind = TROUPE_PROCESS, .restart = TROUPE_TRANSIENT, .backoff_min_ms = 1};
    troupe_ref ref;
    troupe_msg *m;
    ck_assert_int_eq(troupe_spawn(me, &opts, crashes_on_demand, &o, sizeof o, &ref), TROUPE_OK);
    pid_t pid = (pid_t)hear();
    kill(pid, SIGSTOP);
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(troupe_send(me, ref, troupe_int(100 + i)), TROUPE_OK);
    kill(pid, SIGKILL);
    (void)hear();
    /* Behind all that was queued. */
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(7), PATIENCE_MS, &m), TROUPE_OK);
    troupe_msg_free(&m);
    stop(ref);
}
END_TEST

static void dies_at_once(troupe_self *self, void *arg) {
    (void)self, (void)arg;
    _exit(1);
}

/* It waits before it begins anew, and a close ends that wait: `ends` has no patience for the whole of it. */
START_TEST(a_crash_loop_backs_off) {
    troupe_spawn_opts opts = {.kind = TROUPE_PROCESS,
                              .restart = TROUPE_TRANSIENT,
                              .backoff_min_ms = 3 * PATIENCE_MS,
                              .backoff_max_ms = 3 * PATIENCE_MS};
    troupe_ref ref;
    ck_assert_int_eq(troupe_spawn(me, &opts, dies_at_once, NULL, 0, &ref), TROUPE_OK);
    ck_assert_int_eq(troupe_join(me, ref, 100, NULL), TROUPE_TIMEOUT);
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK);
    ends(ref, TROUPE_END_EXIT);
}
END_TEST

/* --- what comes along, and what doesn't --- */

static void counts_its_descriptors(troupe_self *self, void *arg) {
    say(self, *(troupe_ref *)arg, (int64_t)count_fds(getpid()));
    say(self, *(troupe_ref *)arg, getppid());
}

START_TEST(a_process_inherits_no_descriptors) {
    troupe_ref to = troupe_self_ref(me);
    ends(spawn(TROUPE_PROCESS, counts_its_descriptors, &to, sizeof to), TROUPE_END_NORMAL);
    int64_t fds = hear();
    ck_assert_int_eq(hear(), nursery());
    /* 0, 1, 2; the channel, and the spare one; of its loop: epoll, the wake, libuv's own wake, and the signal pipe, that of
     * libuv itself; the directory that is read, . and .. */
    ck_assert_int_le(fds, 3 + 2 + 3 + 2 + 2 + 1 + 2);
}
END_TEST

static void checks_signals(troupe_self *self, void *arg) {
    struct sigaction sa;
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    sigaction(SIGINT, NULL, &sa);
    say(self, *(troupe_ref *)arg, sa.sa_handler == SIG_IGN);
    sigaction(SIGUSR1, NULL, &sa);
    say(self, *(troupe_ref *)arg, sa.sa_handler == SIG_DFL);
    say(self, *(troupe_ref *)arg, sigismember(&mask, SIGTERM) + sigismember(&mask, SIGCHLD));
}

static void on_usr1(int sig) {
    (void)sig;
}

START_TEST(signals_are_as_by_default) {
    troupe_system_close(&sys);
    signal(SIGUSR1, on_usr1);
    system_up();
    troupe_ref to = troupe_self_ref(me);
    ends(spawn(TROUPE_PROCESS, checks_signals, &to, sizeof to), TROUPE_END_NORMAL);
    ck_assert_int_eq(hear(), 1);
    ck_assert_int_eq(hear(), 1);
    ck_assert_int_eq(hear(), 0);
}
END_TEST

struct heavy {
    troupe_ref tell;
    uint8_t bytes[3 << 20];
};

static void weighs(troupe_self *self, void *arg) {
    const struct heavy *h = arg;
    int64_t sum = 0;
    for (size_t i = 0; i < sizeof h->bytes; i++)
        sum += h->bytes[i];
    say(self, h->tell, sum);
}

START_TEST(an_argument_may_be_large) {
    static struct heavy heavy;
    heavy.tell = troupe_self_ref(me);
    memset(heavy.bytes, 2, sizeof heavy.bytes);
    struct order o = {heavy.tell, RETURN};
    ends(spawn(TROUPE_PROCESS, ends_somehow, &o, sizeof o), TROUPE_END_NORMAL); /* by then the nursery has settled in */
    (void)hear();
    size_t before = count_fds(getpid()), at_nursery = count_fds(nursery());
    ends(spawn(TROUPE_PROCESS, weighs, &heavy, sizeof heavy), TROUPE_END_NORMAL);
    ck_assert_int_eq(hear(), 2 * (int64_t)sizeof heavy.bytes);
    ck_assert_uint_eq(count_fds(nursery()), at_nursery);
    ck_assert_uint_le(fds_settled(before), before);
}
END_TEST

static void writes_and_returns(troupe_self *self, void *arg) {
    (void)self, (void)arg;
    printf("from the body");
}

/* What stdio held when the system was opened is written once; what a body leaves there is written, too. */
START_TEST(stdio_is_neither_doubled_nor_lost) {
    char text[64] = "";
    troupe_system_close(&sys);
    FILE *tmp = tmpfile();
    int out = dup(STDOUT_FILENO);
    fflush(stdout);
    dup2(fileno(tmp), STDOUT_FILENO);
    printf("before,");
    system_up();
    ends(spawn(TROUPE_PROCESS, writes_and_returns, NULL, 0), TROUPE_END_NORMAL);
    troupe_system_close(&sys);
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    close(out);
    rewind(tmp);
    ck_assert_ptr_nonnull(fgets(text, sizeof text, tmp));
    ck_assert_str_eq(text, "before,from the body");
    fclose(tmp);
}
END_TEST

/* --- many --- */

static void waits(troupe_self *self, void *arg) {
    troupe_msg *m;
    say(self, *(troupe_ref *)arg, getpid());
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        (void)!troupe_reply(self, m, troupe_msg_value(m));
        troupe_msg_free(&m);
    }
}

START_TEST(each_random_death_is_reported_once) {
    enum { MANY = 50 };
    troupe_ref to = troupe_self_ref(me), refs[MANY];
    pid_t pids[MANY];
    bool dead[MANY] = {false};
    srand((unsigned)seed_of_run());
    size_t fds = 0, at_nursery = 0;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            refs[i] = spawn(TROUPE_PROCESS, waits, &to, sizeof to);
            pids[i] = (pid_t)hear();
        }
        for (int i = 0; i < MANY; i++) {
            dead[i] = rand() % 2;
            if (dead[i])
                kill(pids[i], SIGKILL);
        }
        for (int i = 0; i < MANY; i++) {
            if (!dead[i])
                ck_assert_int_eq(troupe_close(me, refs[i]), TROUPE_OK);
            ends(refs[i], dead[i] ? TROUPE_END_SIGNAL : TROUPE_END_NORMAL);
            ck_assert_int_eq(state_of(pids[i]), 0);
        }
        nursery_is_empty();
        if (round == 0) {
            fds = count_fds(getpid());
            at_nursery = count_fds(nursery());
        }
    }
    ck_assert_uint_eq(count_fds(nursery()), at_nursery);
    ck_assert_uint_le(fds_settled(fds), fds);
}
END_TEST

/* Askers in mid-question while processes die: every question ends. */
struct pair {
    troupe_ref to, tell;
};

static void asks_until_it_dies(troupe_self *self, void *arg) {
    const struct pair *p = arg;
    troupe_status st = TROUPE_OK;
    troupe_msg *answer;
    while (st == TROUPE_OK) {
        st = troupe_ask(self, p->to, troupe_int(1), PATIENCE_MS, &answer);
        if (st == TROUPE_OK)
            troupe_msg_free(&answer);
    }
    say(self, p->tell, st);
}

START_TEST(no_question_is_left_hanging) {
    enum { MANY = 12 };
    struct pair pairs[MANY];
    troupe_ref to = troupe_self_ref(me), askers[MANY];
    for (int i = 0; i < MANY; i++) {
        pairs[i] = (struct pair){spawn(TROUPE_PROCESS, waits, &to, sizeof to), to};
        (void)hear();
        askers[i] = spawn(i % 3, asks_until_it_dies, &pairs[i], sizeof pairs[i]);
    }
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(troupe_kill(me, pairs[i].to), TROUPE_OK);
    for (int i = 0; i < MANY; i++) {
        int64_t st = hear();
        ck_assert_msg(st == TROUPE_DIED || st == TROUPE_NOT_FOUND || st == TROUPE_CLOSED, "%d", (int)st);
    }
    for (int i = 0; i < MANY; i++)
        ends(askers[i], TROUPE_END_NORMAL);
}
END_TEST

/* --- floods --- */

struct flood {
    troupe_ref to, tell;
    int64_t count;
};

static void pours(troupe_self *self, void *arg) {
    const struct flood *f = arg;
    for (int64_t i = 0; i < f->count; i++) {
        if (troupe_send(self, f->to, troupe_int(i)) != TROUPE_OK)
            break;
    }
}

static void drinks(troupe_self *self, void *arg) {
    const struct flood *f = arg;
    int64_t next = 0, n = -1;
    troupe_msg *m;
    while (next < f->count && troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        if (!troupe_msg_int(m, &n) || n != next++)
            next = f->count;
        troupe_msg_free(&m);
    }
    say(self, f->tell, n);
}

/* Through full mailboxes of all sizes, from every kind to a process: all of it, in order, and no wake is lost. */
START_TEST(a_flood_gets_through) {
    static const size_t sizes[] = {1, 2, 7, 100, 1024, 5000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct flood f = {.tell = troupe_self_ref(me), .count = TRP_ASAN || TRP_TSAN ? 2000 : 20000};
        troupe_spawn_opts opts = {.kind = TROUPE_PROCESS, .mailbox = sizes[i]};
        ck_assert_int_eq(troupe_spawn(me, &opts, drinks, &f, sizeof f, &f.to), TROUPE_OK);
        if (_i == TROUPE_THREAD) /* this one */
            pours(me, &f);
        else
            (void)spawn(_i, pours, &f, sizeof f);
        ck_assert_int_eq(hear(), f.count - 1);
        ends(f.to, TROUPE_END_NORMAL);
    }
}
END_TEST

/* --- deaths of others --- */

START_TEST(the_nursery_s_death_is_the_death_of_its_children) {
    troupe_ref to = troupe_self_ref(me), refs[3];
    troupe_spawn_opts opts = {.kind = TROUPE_PROCESS, .restart = TROUPE_TRANSIENT, .backoff_min_ms = 1};
    pid_t pids[3];
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(troupe_spawn(me, &opts, waits, &to, sizeof to, &refs[i]), TROUPE_OK);
        pids[i] = (pid_t)hear();
    }
    kill(nursery(), SIGKILL);
    for (int i = 0; i < 3; i++) {
        troupe_exit exit;
        ck_assert_int_eq(troupe_join(me, refs[i], PATIENCE_MS, &exit), TROUPE_OK);
        ck_assert_int_ne(exit.how, TROUPE_END_NORMAL);
        until_dead(pids[i], 2000);
    }
    ck_assert_int_eq(troupe_spawn(me, &opts, waits, &to, sizeof to, NULL), TROUPE_NO_NURSERY);
    /* The other kinds go on. */
    troupe_ref ref = spawn(TROUPE_THREAD, waits, &to, sizeof to);
    (void)hear();
    stop(ref);
}
END_TEST

/* A whole program of three processes, killed from outside. */
static void program(int out) {
    troupe_ref to;
    system_up();
    to = troupe_self_ref(me);
    for (int i = 0; i < 3; i++) {
        (void)spawn(TROUPE_PROCESS, i == 2 ? computes : waits, &to, sizeof to);
        pid_t pid = (pid_t)hear();
        ck_assert_int_eq(write(out, &pid, sizeof pid), sizeof pid);
    }
    pid_t pid = nursery();
    ck_assert_int_eq(write(out, &pid, sizeof pid), sizeof pid);
    pause();
}

START_TEST(nothing_survives_a_killed_program) {
    int fds[2];
    pid_t pids[4];
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        program(fds[1]);
        _exit(0);
    }
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(read(fds[0], &pids[i], sizeof pids[i]), sizeof pids[i]);
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    for (int i = 0; i < 4; i++)
        until_dead(pids[i], 1000);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

/* --- opening --- */

START_TEST(systems_may_follow_each_other) {
    for (int i = 0; i < 3; i++) {
        system_up();
        troupe_ref to = troupe_self_ref(me);
        for (int kind = TROUPE_COROUTINE; kind <= TROUPE_PROCESS; kind++) {
            troupe_ref ref = spawn(kind, waits, &to, sizeof to);
            (void)hear();
            if (i % 2)
                stop(ref);
        }
        system_down();
    }
}
END_TEST

START_TEST(without_processes) {
    troupe_ref to;
    system_up_with(&(troupe_system_opts){.no_processes = true});
    to = troupe_self_ref(me);
    ck_assert_int_eq(troupe_spawn(me, &(troupe_spawn_opts){.kind = TROUPE_PROCESS}, waits, &to, sizeof to, NULL),
                     TROUPE_UNSUPPORTED);
    troupe_ref ref = spawn(TROUPE_THREAD, waits, &to, sizeof to);
    (void)hear();
    stop(ref);
    system_down();
}
END_TEST

static void *idles(void *arg) {
    pthread_mutex_lock(arg);
    pthread_mutex_unlock(arg);
    return NULL;
}

START_TEST(a_threaded_program_is_refused) {
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_t thread;
    troupe_system *none = NULL;
    pthread_mutex_lock(&lock);
    ck_assert_int_eq(pthread_create(&thread, NULL, idles, &lock), 0);
    if (!TRP_TSAN) /* which has threads of its own: there it can't be told */
        ck_assert_int_eq(troupe_system_open(&none, NULL), TROUPE_INVALID);
    ck_assert_int_eq(troupe_system_open(&none, &(troupe_system_opts){.no_processes = true}), TROUPE_OK);
    troupe_system_close(&none);
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL);
}
END_TEST

/* --- running --- */

START_TEST(run_returns_when_all_have_ended) {
    struct order o = {troupe_self_ref(me), RETURN};
    (void)spawn(TROUPE_PROCESS, ends_somehow, &o, sizeof o);
    ck_assert_int_eq(troupe_system_run(sys, 0), TROUPE_OK);
    o.how = EXIT_3;
    (void)spawn(TROUPE_PROCESS, ends_somehow, &o, sizeof o);
    ck_assert_int_eq(troupe_system_run(sys, 0), TROUPE_DIED);
}
END_TEST

static void signals_the_program(troupe_self *self, void *arg) {
    troupe_msg *m;
    struct sigaction sa;
    do { /* until the program listens */
        (void)!troupe_sleep(self, 1);
        sigaction(SIGTERM, NULL, &sa);
    } while (sa.sa_handler == SIG_DFL);
    kill(getpid(), SIGTERM);
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK)
        troupe_msg_free(&m);
}

START_TEST(run_drains_at_a_signal) {
    troupe_ref to = troupe_self_ref(me);
    signal(SIGTERM, SIG_DFL);
    for (int kind = TROUPE_COROUTINE; kind <= TROUPE_PROCESS; kind++) {
        (void)spawn(kind, waits, &to, sizeof to);
        (void)hear();
    }
    (void)spawn(TROUPE_COROUTINE, signals_the_program, &to, sizeof to);
    ck_assert_int_eq(troupe_system_run(sys, 0), TROUPE_OK);
    ck_assert_int_eq(troupe_spawn(me, NULL, waits, &to, sizeof to, NULL), TROUPE_CLOSED);
}
END_TEST

START_TEST(run_kills_who_does_not_end) {
    troupe_ref to = troupe_self_ref(me);
    signal(SIGTERM, SIG_DFL);
    (void)spawn(TROUPE_PROCESS, computes, &to, sizeof to);
    pid_t pid = (pid_t)hear();
    (void)spawn(TROUPE_THREAD, signals_the_program, &to, sizeof to);
    ck_assert_int_eq(troupe_system_run(sys, 50), TROUPE_TIMEOUT);
    until_dead(pid, 1000);
}
END_TEST

int main(void) {
    Suite *s = suite_create("process");
    TCase *c = tcase_create("with a system");
    tcase_add_checked_fixture(c, system_up, system_down);
    tcase_add_loop_test(c, an_end_says_how, 0, WAYS);
    tcase_add_test(c, a_kill_ends_a_computation);
    tcase_add_loop_test(c, a_crash_is_followed_by_a_restart, EXIT_3, STOPPED_THEN_KILLED);
    tcase_add_test(c, what_was_not_handed_over_survives_the_crash);
    tcase_add_test(c, a_crash_loop_backs_off);
    tcase_add_test(c, a_process_inherits_no_descriptors);
    tcase_add_test(c, signals_are_as_by_default);
    tcase_add_test(c, an_argument_may_be_large);
    tcase_add_test(c, stdio_is_neither_doubled_nor_lost);
    tcase_add_test(c, each_random_death_is_reported_once);
    tcase_add_test(c, no_question_is_left_hanging);
    tcase_add_loop_test(c, a_flood_gets_through, TROUPE_COROUTINE, TROUPE_PROCESS + 1);
    tcase_add_test(c, the_nursery_s_death_is_the_death_of_its_children);
    tcase_add_test(c, run_returns_when_all_have_ended);
    tcase_add_test(c, run_drains_at_a_signal);
    tcase_add_test(c, run_kills_who_does_not_end);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    c = tcase_create("alone");
    tcase_add_test(c, nothing_survives_a_killed_program);
    tcase_add_test(c, systems_may_follow_each_other);
    tcase_add_test(c, without_processes);
    tcase_add_test(c, a_threaded_program_is_refused);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    return run_suite(s);
}
