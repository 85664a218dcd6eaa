/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * print-actor: the classic first actor. It prints what it is sent; close lets it handle what is queued, then ends it;
 * join waits for that. Run it with the name of a kind: thread (as here by default), process or coroutine. */
#include <stdio.h>
#include <troupe/actor.h>

static void print_actor(troupe_self *self, void *arg) {
    (void)arg;
    troupe_msg *msg;
    while (troupe_receive(self, TROUPE_FOREVER, &msg) == TROUPE_OK) {
        troupe_value v = troupe_msg_value(msg);
        printf("Got: %.*s\n", (int)v.size, (const char *)v.data);
        troupe_msg_free(&msg);
    }
}

int main(int argc, char **argv) {
    troupe_spawn_opts opts = {.kind = TROUPE_THREAD};
    troupe_system *sys;
    troupe_ref p;
    if ((argc > 1 && troupe_kind_parse(argv[1], &opts.kind) != TROUPE_OK) || troupe_system_open(&sys, NULL) != TROUPE_OK)
        return 1;
    troupe_self *me = troupe_system_self(sys);
    if (troupe_spawn(me, &opts, print_actor, NULL, 0, &p) != TROUPE_OK ||
        troupe_send(me, p, troupe_text("Hello")) != TROUPE_OK || troupe_send(me, p, troupe_text("World")) != TROUPE_OK ||
        troupe_close(me, p) != TROUPE_OK || troupe_join(me, p, TROUPE_FOREVER, NULL) != TROUPE_OK)
        return 1;
    troupe_system_close(&sys);
    return 0;
}
