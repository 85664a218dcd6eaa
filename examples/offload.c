/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * offload: coroutines for waiting, a process for computing. A coroutine that needs a long computation asks a process
 * actor for it and parks; the others on its thread go on. Computed by the coroutine itself, the same work would stop
 * them all. */
#include <inttypes.h>
#include <stdio.h>
#include <troupe/actor.h>

static uint64_t fib(int64_t n) {
    return n <= 2 ? 1 : fib(n - 1) + fib(n - 2);
}

/* A process. */
static void computes(troupe_self *self, void *arg) {
    (void)arg;
    troupe_msg *msg;
    int64_t n;
    while (troupe_receive(self, TROUPE_FOREVER, &msg) == TROUPE_OK) {
        if (troupe_msg_int(msg, &n) && troupe_reply(self, msg, troupe_uint(fib(n))) != TROUPE_OK)
            fprintf(stderr, "nobody waits for the answer\n");
        troupe_msg_free(&msg);
    }
}

struct order {
    troupe_ref computer, clerk;
};

/* A coroutine. */
static void asks(troupe_self *self, void *arg) {
    const struct order *o = arg;
    troupe_msg *answer;
    if (troupe_ask(self, o->computer, troupe_int(32), 60000, &answer) != TROUPE_OK)
        return;
    printf("fib(32) = %" PRId64 "\n", troupe_msg_value(answer).i);
    troupe_msg_free(&answer);
    if (troupe_close(self, o->clerk) != TROUPE_OK)
        fprintf(stderr, "the clerk has left\n");
}

/* Another coroutine on the same thread: does a little now and then, until it is closed. */
static void goes_on(troupe_self *self, void *arg) {
    (void)arg;
    int done = 0;
    troupe_msg *msg;
    while (troupe_receive(self, 1, &msg) == TROUPE_TIMEOUT)
        done++;
    puts(done > 0 ? "meanwhile the other coroutine went on" : "meanwhile the other coroutine stood still");
}

int main(void) {
    troupe_system *sys;
    struct order o;
    if (troupe_system_open(&sys, &(troupe_system_opts){.threads = 1}) != TROUPE_OK)
        return 1;
    troupe_self *me = troupe_system_self(sys);
    if (troupe_spawn(me, &(troupe_spawn_opts){.kind = TROUPE_PROCESS}, computes, NULL, 0, &o.computer) != TROUPE_OK ||
        troupe_spawn(me, NULL, goes_on, NULL, 0, &o.clerk) != TROUPE_OK)
        return 1;
    troupe_ref asker;
    if (troupe_spawn(me, NULL, asks, &o, sizeof o, &asker) != TROUPE_OK ||
        troupe_join(me, asker, TROUPE_FOREVER, NULL) != TROUPE_OK ||
        troupe_join(me, o.clerk, TROUPE_FOREVER, NULL) != TROUPE_OK)
        return 1;
    troupe_system_close(&sys);
    return 0;
}
