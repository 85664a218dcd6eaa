/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Values passed both ways with a coroutine: the producer sends a number in and gets a word out, as with a generator. */
#include <stdio.h>
#include <troupe/actor.h>

static void consumer(troupe_self *self, void *arg) {
    troupe_msg *m;
    int64_t n;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        bool more = troupe_msg_int(m, &n);
        if (more) {
            printf("[CONSUMER] Consuming %d...\n", (int)n);
            more = troupe_reply(self, m, troupe_text("200 OK")) == TROUPE_OK;
        }
        troupe_msg_free(&m);
        if (!more)
            return;
    }
}

static bool produce(troupe_self *self, troupe_ref to, int n) {
    troupe_msg *answer;
    printf("[PRODUCER] Producing %d...\n", n);
    if (troupe_ask(self, to, troupe_int(n), TROUPE_FOREVER, &answer) != TROUPE_OK)
        return false;
    troupe_value v = troupe_msg_value(answer);
    printf("[PRODUCER] Consumer return: %.*s\n", (int)v.size, (const char *)v.data);
    troupe_msg_free(&answer);
    return true;
}

int main(void) {
    troupe_system *sys;
    troupe_ref c;
    if (troupe_system_open(&sys, NULL) != TROUPE_OK)
        return 1;
    troupe_self *me = troupe_system_self(sys);
    if (troupe_spawn(me, NULL, consumer, NULL, 0, &c) != TROUPE_OK)
        return 1;
    for (int n = 1; n <= 5; n++) {
        if (!produce(me, c, n))
            return 1;
    }
    if (troupe_close(me, c) != TROUPE_OK || troupe_join(me, c, TROUPE_FOREVER, NULL) != TROUPE_OK)
        return 1;
    troupe_system_close(&sys);
    return 0;
}
