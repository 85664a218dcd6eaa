/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * One message to many: a coroutine, a thread and a process listen to the same topic. It begins with "local.", so it stays
 * in this system; any other name goes to a broker, with the same calls. */
#include <stdio.h>
#include <troupe/actor.h>

static void listener(troupe_self *self, void *arg) {
    troupe_msg *m;
    if (troupe_subscribe(self, "local.news.*", NULL) != TROUPE_OK ||
        troupe_send(self, *(troupe_ref *)arg, troupe_nil()) != TROUPE_OK) /* it is there now */
        return;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        troupe_value v = troupe_msg_value(m);
        printf("%s, by a %s: %.*s\n", troupe_msg_topic(m), troupe_kind_name(troupe_self_kind(self)), (int)v.size,
               (const char *)v.data);
        troupe_msg_free(&m);
    }
}

int main(void) {
    troupe_system *sys;
    troupe_ref refs[3];
    troupe_msg *ready;
    setvbuf(stdout, NULL, _IOLBF, 0); /* two processes write to it, line by line */
    if (troupe_system_open(&sys, NULL) != TROUPE_OK)
        return 1;
    troupe_self *me = troupe_system_self(sys);
    troupe_ref here = troupe_self_ref(me);
    for (int kind = TROUPE_COROUTINE; kind <= TROUPE_PROCESS; kind++) {
        troupe_spawn_opts opts = {.kind = (troupe_kind)kind};
        if (troupe_spawn(me, &opts, listener, &here, sizeof here, &refs[kind]) != TROUPE_OK ||
            troupe_receive(me, TROUPE_FOREVER, &ready) != TROUPE_OK)
            return 1;
        troupe_msg_free(&ready);
    }
    if (troupe_publish(me, "local.news.weather", troupe_text("it rains"), 0) != TROUPE_OK ||
        troupe_publish(me, "local.news.sport", troupe_text("a draw"), 0) != TROUPE_OK ||
        troupe_publish(me, "local.gossip", troupe_text("nobody listens"), 0) != TROUPE_OK)
        return 1;
    for (int i = 0; i < 3; i++) {
        if (troupe_close(me, refs[i]) != TROUPE_OK || troupe_join(me, refs[i], TROUPE_FOREVER, NULL) != TROUPE_OK)
            return 1;
    }
    troupe_system_close(&sys);
    return 0;
}
