/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * An actor that uses up its stack is named on stderr, and the process that it runs in dies of SIGSEGV: its own, for a process
 * actor, which goes on being an end like any other. Other faults are nobody's overflow. */
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "actors/sanitizer.h"
#include "tests/support/actors.h"

enum { OVERFLOW, NULL_POINTER };
static const char line[] = "troupe: actor glutton has overflowed its stack: give it more (.stack of troupe_spawn_opts)\n";

/* Not a loop, whatever the compiler sees in it. */
static int deeper(volatile int *n) {
    volatile char frame[512];
    frame[0] = (char)++*n;
    return *n > 0 ? deeper(n) + frame[0] : 0;
}

static void dies(troupe_self *self, void *arg) {
    volatile int n = 0;
    (void)self;
    if (*(int *)arg == OVERFLOW)
        (void)deeper(&n);
    else
        *(volatile int *)(intptr_t)n = 1;
}

/* Exit status 0: the actor's end was that of a process that has died of SIGSEGV. */
_Noreturn static void run(int kind, int how, int err) {
    dup2(err, STDERR_FILENO);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    setrlimit(RLIMIT_STACK, &(struct rlimit){1 << 20, 1 << 20});
    signal(SIGSEGV, SIG_DFL);
    system_up();
    troupe_spawn_opts opts = {.kind = (troupe_kind)kind, .name = "glutton"};
    troupe_ref ref;
    troupe_exit exit = {0};
    bool seen = troupe_spawn(me, &opts, dies, &how, sizeof how, &ref) == TROUPE_OK &&
                troupe_join(me, ref, PATIENCE_MS, &exit) == TROUPE_OK && exit.how == TROUPE_END_SIGNAL && exit.code == SIGSEGV;
    troupe_system_close(&sys);
    _exit(seen ? 0 : 1);
}

static void check(int kind, int how) {
    char said[512];
    int fds[2], status;
    ssize_t n;
    size_t got = 0;
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0)
        run(kind, how, fds[1]);
    close(fds[1]);
    while (got < sizeof said - 1 && (n = read(fds[0], said + got, sizeof said - 1 - got)) > 0)
        got += (size_t)n;
    said[got] = 0;
    close(fds[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    if (kind == TROUPE_PROCESS)
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    else
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    ck_assert_str_eq(said, how == OVERFLOW ? line : "");
}

START_TEST(who_overflows_is_named) {
    check(_i, OVERFLOW);
}
END_TEST

START_TEST(who_does_not_is_not) {
    check(_i, NULL_POINTER);
}
END_TEST

int main(void) {
    Suite *s = suite_create("overflow");
    TCase *c = tcase_create("every kind");
    if (!TRP_ASAN && !TRP_TSAN) { /* they report it themselves */
        tcase_add_loop_test(c, who_overflows_is_named, TROUPE_COROUTINE, TROUPE_PROCESS + 1);
        tcase_add_loop_test(c, who_does_not_is_not, TROUPE_COROUTINE, TROUPE_PROCESS + 1);
    }
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    return run_suite(s);
}
