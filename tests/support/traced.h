/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The system calls of a piece of a program, counted: a child runs it, and its parent, which traces it, is told by the kernel of
 * each call of each of its threads (ptrace). The child says where the piece begins and ends:
 *
 *     static void piece(void *arg) {
 *         ...
 *         traced_begin();
 *         ...                       // this is counted
 *         traced_end();             // by any thread
 *     }
 *
 *     if (traced_run(piece, arg, &t)) { ... t.all, t.wakes ... }
 *
 * Pieces add up. A child that fails a check ends by it, and so does the test. Linux 5.3. */
#ifndef TESTS_TRACED_H
#define TESTS_TRACED_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct traced {
    long pieces;
    long all;   /* calls of all threads between begin and end */
    long wakes; /* write(2) by the thread that said begin: what wakes a worker, and waits for nobody, however busy the machine
                   is */
    long words; /* the same of futex(2): what wakes a thread that sleeps on a word */
    long most;  /* either, of the piece that has most of them */
};

/* A call that means nothing to the kernel, and is no part of the piece. */
enum { TRACED_MARK = -7777, TRACED_BEGIN = 1, TRACED_END = 2 };

static inline void traced_begin(void) {
    (void)syscall(SYS_fcntl, TRACED_MARK, TRACED_BEGIN, 0);
}

static inline void traced_end(void) {
    (void)syscall(SYS_fcntl, TRACED_MARK, TRACED_END, 0);
}

struct tracer {
    struct traced *out;
    pid_t beginner; /* 0: outside */
    long wakes, words;
};

static inline void traced_mark(struct tracer *t, pid_t tid, int what) {
    if (what == TRACED_BEGIN) {
        t->beginner = tid;
        t->wakes = t->words = 0;
        return;
    }
    t->beginner = 0;
    t->out->pieces++;
    t->out->wakes += t->wakes;
    t->out->words += t->words;
    long both = t->wakes + t->words;
    t->out->most = both > t->out->most ? both : t->out->most;
}

static inline void traced_call(struct tracer *t, pid_t tid) {
    struct __ptrace_syscall_info info = {0};
    if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, (void *)sizeof info, &info) <= 0 || info.op != PTRACE_SYSCALL_INFO_ENTRY)
        return;
    if (info.entry.nr == SYS_fcntl && (int)info.entry.args[0] == TRACED_MARK) {
        traced_mark(t, tid, (int)info.entry.args[1]);
    } else if (t->beginner) {
        t->out->all++;
        bool mine = tid == t->beginner, futex = info.entry.nr == SYS_futex;
        t->wakes += mine && info.entry.nr == SYS_write;
        t->words += mine && futex && ((int)info.entry.args[1] & FUTEX_CMD_MASK) == FUTEX_WAKE;
    }
}

/* Of one stop: what is to be passed on to the thread. */
static inline int traced_stop(struct tracer *t, pid_t tid, int status) {
    int sig = WSTOPSIG(status);
    if (sig == (SIGTRAP | 0x80)) {
        traced_call(t, tid);
        return 0;
    }
    return sig == SIGTRAP || sig == SIGSTOP ? 0 : sig; /* a thread begins */
}

static inline void traced_follow(struct tracer *t, pid_t child) {
    int status;
    for (pid_t tid; (tid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR;) {
        if (tid < 0)
            continue;
        if (tid == child && !WIFSTOPPED(status)) {
            ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the traced child ended with %d", status);
            return;
        }
        if (WIFSTOPPED(status))
            (void)ptrace(PTRACE_SYSCALL, tid, NULL, (void *)(long)traced_stop(t, tid, status));
    }
}

/* False: nobody may trace here, and nothing has been run. */
static inline bool traced_run(void (*piece)(void *arg), void *arg, struct traced *out) {
    struct tracer t = {.out = out};
    int status;
    pid_t child = fork();
    *out = (struct traced){0};
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(77);
        (void)raise(SIGSTOP);
        piece(arg);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        fprintf(stderr, "nobody may trace here: system calls are not counted\n");
        return false;
    }
    ck_assert(WIFSTOPPED(status));
    long opts = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
    ck_assert_int_eq(ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)opts), 0);
    ck_assert_int_eq(ptrace(PTRACE_SYSCALL, child, NULL, NULL), 0);
    traced_follow(&t, child);
    return true;
}

#endif
