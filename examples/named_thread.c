/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * named-thread: a thread with a name, which debuggers and top show, too; started, and joined. */
#include <pthread.h>
#include <stdio.h>
#include <troupe/actor.h>

static void loop(troupe_self *self, void *arg) {
    (void)arg;
    char system_name[16];
    pthread_getname_np(pthread_self(), system_name, sizeof system_name);
    printf("thread %s is running (the system calls it %s)...\n", troupe_self_name(self), system_name);
    for (int n = 1; n <= 5; n++) {
        printf("thread %s >>> %d\n", troupe_self_name(self), n);
        if (troupe_sleep(self, 10) != TROUPE_OK)
            return; /* killed */
    }
    printf("thread %s ended.\n", troupe_self_name(self));
}

int main(void) {
    troupe_system *sys;
    troupe_ref t;
    if (troupe_system_open(&sys, NULL) != TROUPE_OK)
        return 1;
    troupe_self *me = troupe_system_self(sys);
    printf("thread %s is running...\n", troupe_self_name(me));
    if (troupe_spawn(me, &(troupe_spawn_opts){.kind = TROUPE_THREAD, .name = "LoopThread"}, loop, NULL, 0, &t) != TROUPE_OK ||
        troupe_join(me, t, TROUPE_FOREVER, NULL) != TROUPE_OK)
        return 1;
    printf("thread %s ended.\n", troupe_self_name(me));
    troupe_system_close(&sys);
    return 0;
}
