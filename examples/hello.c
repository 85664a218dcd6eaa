/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The first file to read: one body, run as a coroutine, as a thread and as a process, and asked a question each time.
 * No broker is needed. */
#include <stdio.h>
#include <troupe/actor.h>

static void greeter(troupe_self *self, void *arg) {
    (void)arg;
    troupe_msg *msg;
    char text[128];
    while (troupe_receive(self, TROUPE_FOREVER, &msg) == TROUPE_OK) {
        troupe_value name = troupe_msg_value(msg);
        snprintf(text, sizeof text, "Hello %.*s, says a %s.", (int)name.size, (const char *)name.data,
                 troupe_kind_name(troupe_self_kind(self)));
        if (troupe_reply(self, msg, troupe_text(text)) != TROUPE_OK)
            fprintf(stderr, "nobody waits for the answer\n");
        troupe_msg_free(&msg);
    }
}

int main(void) {
    troupe_system *sys;
    if (troupe_system_open(&sys, NULL) != TROUPE_OK)
        return 1;
    troupe_self *me = troupe_system_self(sys);
    for (int kind = TROUPE_COROUTINE; kind <= TROUPE_PROCESS; kind++) {
        troupe_ref actor;
        troupe_msg *answer;
        if (troupe_spawn(me, &(troupe_spawn_opts){.kind = (troupe_kind)kind}, greeter, NULL, 0, &actor) != TROUPE_OK ||
            troupe_ask(me, actor, troupe_text("world"), 5000, &answer) != TROUPE_OK)
            return 1;
        troupe_value v = troupe_msg_value(answer);
        printf("%.*s\n", (int)v.size, (const char *)v.data);
        troupe_msg_free(&answer);
    }
    troupe_system_close(&sys);
    return 0;
}
