/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A ---> queue ---> B, and B signals back: A waits for each item until B has handled it. A is a coroutine, B a process;
 * any other two kinds do the same. B leaves when nothing has come for 5 seconds (or so many milliseconds as are given). */
#include <stdio.h>
#include <stdlib.h>
#include <troupe/bounded.h>
#include <troupe/event.h>

struct shop {
    troupe_queue items;
    troupe_event handled;
    int64_t patience_ms;
};

static void a_main(troupe_self *self, void *arg) {
    const struct shop *shop = arg;
    for (int i = 0; i < 10; i++) {
        printf("A puts %d\n", i);
        if (troupe_event_clear(self, shop->handled) != TROUPE_OK ||
            troupe_queue_push(self, shop->items, troupe_int(i), TROUPE_FOREVER) != TROUPE_OK ||
            troupe_event_wait(self, shop->handled, TROUPE_FOREVER) != TROUPE_OK)
            return;
    }
    printf("A is done\n");
}

static void b_main(troupe_self *self, void *arg) {
    const struct shop *shop = arg;
    troupe_msg *item;
    int64_t n;
    while (troupe_queue_pop(self, shop->items, shop->patience_ms, &item) == TROUPE_OK) {
        if (troupe_msg_int(item, &n))
            printf("B got %d\n", (int)n);
        troupe_msg_free(&item);
        if (troupe_event_set(self, shop->handled) != TROUPE_OK)
            return;
    }
    printf("B has waited long enough\n");
}

int main(int argc, char **argv) {
    troupe_system *sys;
    struct shop shop = {.patience_ms = argc > 1 ? atoi(argv[1]) : 5000};
    setvbuf(stdout, NULL, _IOLBF, 0); /* two processes write to it, line by line */
    if (troupe_system_open(&sys, NULL) != TROUPE_OK)
        return 1;
    troupe_self *me = troupe_system_self(sys);
    if (troupe_queue_open(me, NULL, &shop.items) != TROUPE_OK || troupe_event_open(me, NULL, &shop.handled) != TROUPE_OK ||
        troupe_spawn(me, &(troupe_spawn_opts){.kind = TROUPE_COROUTINE}, a_main, &shop, sizeof shop, NULL) != TROUPE_OK ||
        troupe_spawn(me, &(troupe_spawn_opts){.kind = TROUPE_PROCESS}, b_main, &shop, sizeof shop, NULL) != TROUPE_OK)
        return 1;
    troupe_status st = troupe_system_run(sys, 0); /* until both have returned */
    troupe_system_close(&sys);
    return st == TROUPE_OK ? 0 : 1;
}
