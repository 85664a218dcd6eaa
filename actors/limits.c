/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Memory. The limit is one of address space, so that what is exhausted shows as a NULL from malloc, and what follows is the
 * program's: mostly a crash, some steps later. So that the crash can be told from others, its signal is caught first, and it is
 * looked whether a quarter of the limit could still be had. */
#include "actors/limits.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "actors/shared.h"
#include "transports/alloc.h"

/* --- the end by a lack of memory --- */

static const int numbers[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGTRAP};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

static struct {
    _Atomic uint32_t *mark;
    size_t probe;
    struct sigaction before[NUMBERS];
} memory;

/* Only calls that a signal handler may make. Then it is as if we had not been there: it happens again, to whoever was there
 * before. */
static void on_fault(int number, siginfo_t *info, void *context) {
    (void)context;
    if (mmap(NULL, memory.probe, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
        atomic_store(memory.mark, TRP_MARK_MEMORY);
    for (size_t i = 0; i < NUMBERS; i++)
        (void)sigaction(numbers[i], &memory.before[i], NULL);
    if (info->si_code <= 0)
        (void)raise(number); /* it was sent: it would not come again */
}

static void catch_faults(size_t limit, _Atomic uint32_t *mark) {
    static uint8_t stack[64 * 1024];
    struct sigaction ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    stack_t now, other = {.ss_sp = stack, .ss_size = sizeof stack};
    memory.mark = mark;
    memory.probe = limit / 4 + 1;
    if (sigaltstack(NULL, &now) == 0 && (now.ss_flags & SS_DISABLE))
        (void)sigaltstack(&other, NULL);
    for (size_t i = 0; i < NUMBERS; i++)
        (void)sigaction(numbers[i], &ours, &memory.before[i]);
}

/* Bytes of address space in use. 0: it can't be told. */
static size_t mapped(void) {
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%lu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* --- limits --- */

static troupe_status limit(int what, rlim_t soft, rlim_t hard) {
    return setrlimit(what, &(struct rlimit){soft, hard}) == 0 ? TROUPE_OK : TROUPE_SYSTEM;
}

static troupe_status limit_memory(size_t bytes, _Atomic uint32_t *mark) {
    size_t now = mapped();
    if (now == 0)
        return TROUPE_SYSTEM;
    catch_faults(bytes, mark);
    return limit(RLIMIT_AS, now + bytes, now + bytes);
}

troupe_status trp_limits_apply(const troupe_limits *l, _Atomic uint32_t *mark) {
    troupe_status st = TROUPE_OK;
    if (l->files)
        st = limit(RLIMIT_NOFILE, l->files, l->files);
    if (st == TROUPE_OK && l->cpu_seconds) /* SIGXCPU first, and SIGKILL for who ignores that */
        st = limit(RLIMIT_CPU, l->cpu_seconds, (rlim_t)l->cpu_seconds + 1);
    if (st == TROUPE_OK && l->memory)
        st = limit_memory(l->memory, mark);
    return st;
}

/* --- the environment --- */

static bool stays(const char *entry) {
    static const char *const names[] = {"PATH=", "HOME=", "USER=", "LANG=", "LC_", "TZ=", "TMPDIR=", "TERM=", "TROUPE_"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strncmp(entry, names[i], strlen(names[i])) == 0)
            return true;
    }
    return false;
}

troupe_status trp_limits_clean_env(void) {
    size_t n = 0, kept = 0;
    while (environ[n])
        n++;
    char **env = trp_calloc(n + 1, sizeof *env);
    if (!env)
        return TROUPE_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        if (stays(environ[i]))
            env[kept++] = environ[i];
    }
    environ = env; /* as long as the process */
    return TROUPE_OK;
}
