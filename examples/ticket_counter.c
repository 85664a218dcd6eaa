/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * 1,024 actors buy tickets from one counter until there are none. The counter is an actor: only it touches the number, one
 * message at a time, so there is nothing to lock, and it ends exactly at zero. */
#include <stdio.h>
#include <troupe/actor.h>

enum { TICKETS = 100000, BUYERS = 1024 };

static void counter(troupe_self *self, void *arg) {
    int64_t left = TICKETS;
    troupe_msg *m;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        /* A buyer that has gone takes no ticket along. */
        if (troupe_reply(self, m, troupe_bool(left > 0)) == TROUPE_OK && left > 0)
            left--;
        troupe_msg_free(&m);
    }
    printf("%d tickets left\n", (int)left);
}

struct buyer {
    troupe_ref counter, main;
};

static void buyer(troupe_self *self, void *arg) {
    const struct buyer *b = arg;
    troupe_msg *m;
    int64_t bought = 0;
    bool more = true;
    while (more && troupe_ask(self, b->counter, troupe_nil(), TROUPE_FOREVER, &m) == TROUPE_OK) {
        more = troupe_msg_value(m).b;
        bought += more;
        troupe_msg_free(&m);
    }
    if (troupe_send(self, b->main, troupe_int(bought)) != TROUPE_OK)
        fprintf(stderr, "nobody counts what I bought\n");
}

int main(void) {
    troupe_system *sys;
    int64_t sold = 0, n = 0;
    if (troupe_system_open(&sys, NULL) != TROUPE_OK)
        return 1;
    troupe_self *me = troupe_system_self(sys);
    struct buyer b = {.main = troupe_self_ref(me)};
    if (troupe_spawn(me, NULL, counter, NULL, 0, &b.counter) != TROUPE_OK)
        return 1;
    for (int i = 0; i < BUYERS; i++) {
        if (troupe_spawn(me, NULL, buyer, &b, sizeof b, NULL) != TROUPE_OK)
            return 1;
    }
    for (int i = 0; i < BUYERS; i++) {
        troupe_msg *m;
        if (troupe_receive(me, TROUPE_FOREVER, &m) != TROUPE_OK || !troupe_msg_int(m, &n))
            return 1;
        sold += n;
        troupe_msg_free(&m);
    }
    printf("%d tickets sold to %d buyers\n", (int)sold, BUYERS);
    if (troupe_close(me, b.counter) != TROUPE_OK || troupe_join(me, b.counter, TROUPE_FOREVER, NULL) != TROUPE_OK)
        return 1;
    troupe_system_close(&sys);
    return 0;
}
