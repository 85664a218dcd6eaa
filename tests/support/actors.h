/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * An open system around each test, the test as an actor of it, and the few things that tests do to actors. */
#ifndef TESTS_ACTORS_H
#define TESTS_ACTORS_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <troupe/actor.h>

#include "tests/support/run.h"

enum { PATIENCE_MS = 20000 };

static troupe_system *sys;
static troupe_self *me;

static inline void system_up_with(const troupe_system_opts *opts) {
    ck_assert_int_eq(troupe_system_open(&sys, opts), TROUPE_OK);
    me = troupe_system_self(sys);
}

/* Two workers: coroutines of one test meet on one thread and across threads. */
static inline void system_up(void) {
    system_up_with(&(troupe_system_opts){.threads = 2});
}

/* Nothing is left: no thread keeps the next system from being opened, no child is there to wait for. */
static inline void system_down(void) {
    troupe_system_close(&sys);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
}

static inline troupe_ref spawn(int kind, troupe_body *body, const void *arg, size_t size) {
    troupe_ref ref;
    ck_assert_int_eq(troupe_spawn(me, &(troupe_spawn_opts){.kind = (troupe_kind)kind}, body, arg, size, &ref), TROUPE_OK);
    return ref;
}

/* For bodies: what they have seen. A body that can't even send has been killed. */
static inline void say(troupe_self *self, troupe_ref to, int64_t n) {
    (void)!troupe_send(self, to, troupe_int(n));
}

/* The next number that a body says to the test. */
static inline int64_t hear(void) {
    troupe_msg *m;
    int64_t n;
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    ck_assert(troupe_msg_int(m, &n));
    troupe_msg_free(&m);
    return n;
}

/* It ends, and so. */
static inline troupe_exit ends(troupe_ref ref, troupe_end how) {
    troupe_exit exit;
    ck_assert_int_eq(troupe_join(me, ref, PATIENCE_MS, &exit), TROUPE_OK);
    ck_assert_msg(exit.how == how, "ended: %s", exit.text);
    return exit;
}

static inline void stop(troupe_ref ref) {
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK);
    ends(ref, TROUPE_END_NORMAL);
}

#endif
