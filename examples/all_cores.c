/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * all-cores: two actors that only compute use two processors, of whatever kind they are, since nothing is locked for all. Two
 * endless loops in threads of a classic interpreter share one. Says how many processors each pair had, which is 2 where two
 * are free. */
#include <stdio.h>
#include <time.h>
#include <troupe/future.h>

enum { ACTORS = 2, FOR_MS = 200 };

static double seconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t fib(int n) {
    return n <= 2 ? 1 : fib(n - 1) + fib(n - 2);
}

/* Computes when it is told to, and says how much of a processor it had: what its thread has used in that time. */
static void computes(troupe_self *self, void *arg) {
    troupe_msg *go;
    (void)arg;
    if (troupe_receive(self, TROUPE_FOREVER, &go) != TROUPE_OK)
        return;
    double began = seconds(CLOCK_MONOTONIC), used = seconds(CLOCK_THREAD_CPUTIME_ID), took;
    uint64_t sum = 0;
    do
        sum += fib(20);
    while ((took = seconds(CLOCK_MONOTONIC) - began) < FOR_MS * 1e-3);
    used = seconds(CLOCK_THREAD_CPUTIME_ID) - used;
    if (sum > 0 && troupe_reply(self, go, troupe_real(used / took)) != TROUPE_OK)
        fprintf(stderr, "nobody wants to know\n");
    troupe_msg_free(&go);
}

/* Both are told before either has answered. */
static double together(troupe_self *me, troupe_kind kind) {
    troupe_future *f[ACTORS] = {NULL};
    troupe_msg *answer;
    troupe_ref who;
    double sum = 0;
    for (int i = 0; i < ACTORS; i++) {
        if (troupe_spawn(me, &(troupe_spawn_opts){.kind = kind}, computes, NULL, 0, &who) != TROUPE_OK ||
            troupe_ask_async(me, who, troupe_nil(), &f[i]) != TROUPE_OK)
            break;
    }
    for (int i = 0; i < ACTORS; i++) {
        if (f[i] && troupe_future_await(me, &f[i], 60000, &answer) == TROUPE_OK) {
            sum += troupe_msg_value(answer).r;
            troupe_msg_free(&answer);
        }
        troupe_future_free(&f[i]);
    }
    return sum;
}

int main(void) {
    static const troupe_kind kinds[] = {TROUPE_COROUTINE, TROUPE_THREAD, TROUPE_PROCESS};
    troupe_system *sys;
    if (troupe_system_open(&sys, NULL) != TROUPE_OK)
        return 1;
    for (int i = 0; i < 3; i++)
        printf("two of kind %s: %.1f processors\n", troupe_kind_name(kinds[i]), together(troupe_system_self(sys), kinds[i]));
    troupe_system_close(&sys);
    return 0;
}
