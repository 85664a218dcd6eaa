/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a process actor and all that it starts may use together, by a control group of its own; and that no group is left,
 * whoever dies. Each test says so and does nothing where no group can be made. */
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "actors/cgroup.h"
#include "actors/sanitizer.h"
#include "tests/support/actors.h"

static struct trp_cgroups groups;

static bool can(enum trp_cgroup_kind kind) {
    static const char *const names[] = {"memory", "cpu", "pids"};
    trp_cgroups_find(&groups, "/proc/self", getenv("TROUPE_CGROUP"));
    if (groups.in[kind].folder[0])
        return true;
    printf("skipped: no control group for %s can be made here\n", names[kind]);
    return false;
}

/* Groups of actors there, whosever: the tests of other programs run beside this one, so a maker is named. */
static int count_groups(pid_t nursery) {
    int n = 0;
    for (int i = 0; i < TRP_CGROUP_KINDS; i++) {
        DIR *dir = groups.in[i].folder[0] ? opendir(groups.in[i].folder) : NULL;
        for (const struct dirent *e; dir && (e = readdir(dir));) {
            int maker = 0;
            n += sscanf(e->d_name, "troupe-%d-", &maker) == 1 && maker == nursery;
        }
        if (dir)
            closedir(dir);
    }
    return n;
}

static void until_no_groups(pid_t nursery) {
    for (int i = 0; i < 2000 && count_groups(nursery) > 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    ck_assert_int_eq(count_groups(nursery), 0);
}

/* The body's parent is the nursery. */
static void tells_nursery(troupe_self *self, troupe_ref to) {
    say(self, to, getppid());
}

static troupe_ref start(troupe_body *body, const troupe_limits *limits) {
    troupe_ref to = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.kind = TROUPE_PROCESS, .limits = *limits};
    ck_assert_int_eq(troupe_spawn(me, &opts, body, &to, sizeof to, &ref), TROUPE_OK);
    return ref;
}

/* --- memory --- */

enum { MIB = 1 << 20 };

/* A child that touches so much, and stays. */
static void child_that_touches(size_t bytes, int done) {
    if (fork() != 0)
        return;
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED)
        memset(p, 1, bytes);
    (void)!write(done, "x", 1);
    for (;;)
        pause();
}

/* No process of it is at its limit of address space; all together are beyond what they may touch. */
static void touches_with_children(troupe_self *self, void *arg) {
    int pipes[2];
    char x;
    tells_nursery(self, *(troupe_ref *)arg);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (pipe(pipes) != 0)
        return;
    for (int i = 0; i < 6; i++) {
        child_that_touches(12 * MIB, pipes[1]);
        (void)!read(pipes[0], &x, 1);
    }
    char *p = mmap(NULL, 55 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED)
        memset(p, 1, 55 * MIB);
    (void)!troupe_sleep(self, 1); /* the largest of them: it is killed before it gets here */
}

START_TEST(all_that_it_starts_counts) {
    if (!can(TRP_CGROUP_MEMORY))
        return;
    if (TRP_ASAN || TRP_TSAN)
        return; /* no limit of address space there */
    troupe_ref ref = start(touches_with_children, &(troupe_limits){.memory = 64 * MIB});
    pid_t nursery = (pid_t)hear();
    troupe_exit exit = ends(ref, TROUPE_END_SIGNAL);
    ck_assert_str_eq(exit.text, "SIGKILL (memory limit)");
    until_no_groups(nursery); /* its children have been killed, too */
}
END_TEST

/* --- processors and tasks --- */

static int64_t ms_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Computes for a second; tells how much of it in its own time. */
static void computes(troupe_self *self, void *arg) {
    int64_t began = ms_of(CLOCK_MONOTONIC), before = ms_of(CLOCK_PROCESS_CPUTIME_ID), end;
    while ((end = ms_of(CLOCK_MONOTONIC)) < began + 1000)
        ;
    say(self, *(troupe_ref *)arg, (ms_of(CLOCK_PROCESS_CPUTIME_ID) - before) * 100 / (end - began));
}

START_TEST(a_share_of_a_processor) {
    if (!can(TRP_CGROUP_CPU))
        return;
    troupe_ref ref = start(computes, &(troupe_limits){.cpu_percent = 20});
    ck_assert_int_le(hear(), 35); /* it may begin with what is left of a tenth of a second, and end with a new one */
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

static void forks(troupe_self *self, void *arg) {
    int n = 0;
    for (pid_t pid; n < 50 && (pid = fork()) >= 0; n++) {
        if (pid == 0) {
            for (;;)
                pause();
        }
    }
    tells_nursery(self, *(troupe_ref *)arg);
    say(self, *(troupe_ref *)arg, n);
}

/* Those it leaves behind are ended with it. */
START_TEST(so_many_tasks) {
    if (!can(TRP_CGROUP_TASKS))
        return;
    troupe_ref ref = start(forks, &(troupe_limits){.tasks = 10});
    pid_t nursery = (pid_t)hear();
    int64_t n = hear();
    ck_assert(n > 3 && n < 10);
    ends(ref, TROUPE_END_NORMAL);
    until_no_groups(nursery);
}
END_TEST

/* --- what is left --- */

static void waits(troupe_self *self, void *arg) {
    troupe_msg *m;
    tells_nursery(self, *(troupe_ref *)arg);
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK)
        troupe_msg_free(&m);
}

static const troupe_limits some = {.memory = 256 * MIB, .cpu_percent = 90, .tasks = 20};

START_TEST(a_group_for_each_life) {
    if (!can(TRP_CGROUP_MEMORY))
        return;
    if (TRP_ASAN || TRP_TSAN)
        return;
    troupe_ref ref = start(waits, &some), other = start(waits, &(troupe_limits){.files = 100});
    pid_t nursery = (pid_t)hear();
    ck_assert_int_eq(hear(), nursery);
    ck_assert_int_ge(count_groups(nursery), 1);
    ck_assert_int_le(count_groups(nursery), TRP_CGROUP_KINDS);
    stop(ref);
    until_no_groups(nursery);
    stop(other);
}
END_TEST

/* In a program of its own, which is then killed: it tells its nursery and waits. */
static void program(int out) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    system_up();
    (void)start(waits, &(troupe_limits){.cpu_percent = 90, .tasks = 100});
    int64_t nursery = hear();
    (void)!write(out, &nursery, sizeof nursery);
    for (;;)
        pause();
}

static pid_t start_program(int64_t *nursery) {
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0)
        program(fds[1]);
    close(fds[1]);
    ck_assert_int_eq(read(fds[0], nursery, sizeof *nursery), sizeof *nursery);
    close(fds[0]);
    return pid;
}

static void end_program(pid_t pid) {
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(a_killed_program_leaves_no_group) {
    if (!can(TRP_CGROUP_CPU))
        return;
    int64_t nursery;
    pid_t pid = start_program(&nursery);
    ck_assert_int_ge(count_groups((pid_t)nursery), 1);
    end_program(pid);
    until_no_groups((pid_t)nursery);
}
END_TEST

/* Or waited for by whoever adopts it. */
static void until_dead(pid_t pid) {
    char path[64], line[512], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    for (int i = 0; i < 2000; i++) {
        FILE *f = fopen(path, "re");
        bool there = f && fgets(line, sizeof line, f);
        if (f)
            fclose(f);
        const char *end = there ? strrchr(line, ')') : NULL;
        state = end ? end[2] : 'X';
        if (state == 'Z' || state == 'X')
            return;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    ck_abort_msg("process %d lives on: %c", (int)pid, state);
}

/* With its nursery, which would have seen to it: the next one does (here, or of a test that runs beside this). */
START_TEST(the_next_nursery_cleans_up) {
    if (!can(TRP_CGROUP_CPU))
        return;
    int64_t nursery, other;
    pid_t pid = start_program(&nursery);
    ck_assert_int_ge(count_groups((pid_t)nursery), 1);
    kill((pid_t)nursery, SIGKILL);
    until_dead((pid_t)nursery);
    end_program(pid);
    pid = start_program(&other);
    until_no_groups((pid_t)nursery);
    end_program(pid);
    until_no_groups((pid_t)other);
}
END_TEST

int main(void) {
    Suite *s = suite_create("process_group");
    TCase *c = tcase_create("limits"), *p = tcase_create("programs");
    tcase_add_checked_fixture(c, system_up, system_down);
    tcase_add_test(c, all_that_it_starts_counts);
    tcase_add_test(c, a_share_of_a_processor);
    tcase_add_test(c, so_many_tasks);
    tcase_add_test(c, a_group_for_each_life);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    tcase_add_test(p, a_killed_program_leaves_no_group);
    tcase_add_test(p, the_next_nursery_cleans_up);
    tcase_set_timeout(p, 60);
    suite_add_tcase(s, p);
    return run_suite(s);
}
