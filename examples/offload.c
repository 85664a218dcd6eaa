/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * offload: coroutines for waiting, a process for computing. A coroutine that needs a long computation asks a process
 * actor for it and parks; the others on its thread go on: here the process itself asks one of them for what it needs.
 * Computed by the coroutine itself, the same work would stop them all. */
#include <inttypes.h>
#include <stdio.h>
#include <troupe/actor.h>

static uint64_t fib(int64_t n) {
    return n <= 2 ? 1 : fib(n - 1) + fib(n - 2);
}

/* A coroutine: knows what is to be computed. */
static void clerk(troupe_self *self, void *arg) {
    (void)arg;
    troupe_msg *question;
    while (troupe_receive(self, TROUPE_FOREVER, &question) == TROUPE_OK) {
        puts("the clerk is asked, while the other coroutine waits");
        if (troupe_reply(self, question, troupe_int(32)) != TROUPE_OK)
            fprintf(stderr, "nobody waits for the number\n");
        troupe_msg_free(&question);
    }
}

/* A process. */
static void computer(troupe_self *self, void *arg) {
    const troupe_ref *asked = arg;
    troupe_msg *order, *number;
    int64_t n;
    while (troupe_receive(self, TROUPE_FOREVER, &order) == TROUPE_OK) {
        if (troupe_ask(self, *asked, troupe_text("which?"), 60000, &number) == TROUPE_OK) {
            if (troupe_msg_int(number, &n) && troupe_reply(self, order, troupe_uint(fib(n))) != TROUPE_OK)
                fprintf(stderr, "nobody waits for the answer\n");
            troupe_msg_free(&number);
        }
        troupe_msg_free(&order);
    }
}

/* A coroutine on the clerk's thread. */
static void waits(troupe_self *self, void *arg) {
    const troupe_ref *asked = arg;
    troupe_msg *answer;
    if (troupe_ask(self, *asked, troupe_text("compute"), 60000, &answer) != TROUPE_OK)
        return;
    printf("the answer is %" PRId64 "\n", troupe_msg_value(answer).i);
    troupe_msg_free(&answer);
}

int main(void) {
    troupe_system *sys;
    troupe_ref a, b, c;
    if (troupe_system_open(&sys, &(troupe_system_opts){.threads = 1}) != TROUPE_OK)
        return 1;
    troupe_self *me = troupe_system_self(sys);
    if (troupe_spawn(me, NULL, clerk, NULL, 0, &a) != TROUPE_OK ||
        troupe_spawn(me, &(troupe_spawn_opts){.kind = TROUPE_PROCESS}, computer, &a, sizeof a, &b) != TROUPE_OK ||
        troupe_spawn(me, NULL, waits, &b, sizeof b, &c) != TROUPE_OK || troupe_join(me, c, TROUPE_FOREVER, NULL) != TROUPE_OK)
        return 1;
    troupe_system_close(&sys);
    return 0;
}
