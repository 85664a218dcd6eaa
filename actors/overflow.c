/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The handler does nothing that is not safe in one: it reads what its own thread has set, and writes. */
#include "actors/overflow.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "actors/coroutine.h"
#include "actors/self.h"

/* How far from the stack pointer a frame may reach: a call pushes below it, a large frame is first touched above. */
enum { BELOW = 64 * 1024, ABOVE = 1024 * 1024, STACK = 16 * 1024 };

static _Thread_local const char *thread_name;
static _Thread_local void *signal_stack;

/* 0: not known on this machine. */
static uintptr_t stack_pointer(const ucontext_t *u) {
#if defined(__x86_64__)
    return (uintptr_t)u->uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
    return (uintptr_t)u->uc_mcontext.sp;
#else
    (void)u;
    return 0;
#endif
}

static const char *whose(void) {
    const struct trp_runner *r = thread_name ? NULL : trp_runner_here();
    const struct trp_actor *a = r && r->running ? r->running->self.actor : NULL;
    return a ? a->birth->name : thread_name;
}

static char *append(char *at, const char *end, const char *s) {
    while (*s && at < end)
        *at++ = *s++;
    return at;
}

static void say(const char *name) {
    char line[160], *at = line, *end = line + sizeof line;
    at = append(at, end, "troupe: actor ");
    at = append(at, end, name);
    at = append(at, end, " has overflowed its stack: give it more (.stack of troupe_spawn_opts)\n");
    (void)!write(STDERR_FILENO, line, (size_t)(at - line));
}

static void on_fault(int number, siginfo_t *info, void *context) {
    uintptr_t at = (uintptr_t)info->si_addr, sp = stack_pointer(context);
    const char *name = whose();
    bool sent = info->si_code <= 0; /* by somebody: there is no address, and nothing that would happen again */
    if (!sent && name && sp && at + BELOW >= sp && at < sp + ABOVE)
        say(name);
    /* Back to where it happened, which then happens to a process that does not mind. */
    signal(number, SIG_DFL);
    if (sent)
        raise(number);
}

void trp_overflow_install(void) {
    struct sigaction now, ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    if (sigaction(SIGSEGV, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL)
        (void)sigaction(SIGSEGV, &ours, NULL);
}

void trp_overflow_begin(const char *name) {
    stack_t now, ours = {.ss_size = STACK};
    thread_name = name;
    if (signal_stack || sigaltstack(NULL, &now) != 0 || !(now.ss_flags & SS_DISABLE))
        return;
    void *p = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return;
    ours.ss_sp = p;
    if (sigaltstack(&ours, NULL) == 0)
        signal_stack = p;
    else
        munmap(p, STACK);
}

void trp_overflow_end(void) {
    stack_t off = {.ss_flags = SS_DISABLE};
    thread_name = NULL;
    if (signal_stack && sigaltstack(&off, NULL) == 0)
        munmap(signal_stack, STACK);
    signal_stack = NULL;
}
