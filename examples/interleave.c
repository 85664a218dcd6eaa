/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * interleave: two coroutines on one thread give way to each other where they say so, and nowhere else. So the order is
 * always 1 2 x y 3 z, without a lock. */
#include <stdio.h>
#include <troupe/actor.h>

static void b(troupe_self *self, void *arg) {
    (void)arg;
    troupe_msg *question;
    if (troupe_receive(self, TROUPE_FOREVER, &question) != TROUPE_OK)
        return;
    troupe_msg_free(&question); /* which answers it, too: a may begin */
    troupe_yield(self);
    puts("x");
    puts("y");
    troupe_yield(self);
    puts("z");
}

static void a(troupe_self *self, void *arg) {
    (void)arg;
    troupe_ref other;
    troupe_msg *answer;
    if (troupe_spawn(self, NULL, b, NULL, 0, &other) != TROUPE_OK ||
        troupe_ask(self, other, troupe_text("are you there?"), TROUPE_FOREVER, &answer) != TROUPE_OK)
        return;
    troupe_msg_free(&answer);
    puts("1");
    puts("2");
    troupe_yield(self);
    puts("3");
}

int main(void) {
    troupe_system *sys;
    if (troupe_system_open(&sys, &(troupe_system_opts){.threads = 1}) != TROUPE_OK ||
        troupe_spawn(troupe_system_self(sys), NULL, a, NULL, 0, NULL) != TROUPE_OK)
        return 1;
    troupe_status st = troupe_system_run(sys, 0); /* until both have ended */
    troupe_system_close(&sys);
    return st == TROUPE_OK ? 0 : 1;
}
