/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * pids: where an actor runs, and what it shares. A process actor has a process of its own, forked by the system's
 * nursery and not by main, and a copy of every variable; threads and coroutines have main's. */
#include <stdio.h>
#include <troupe/actor.h>
#include <unistd.h>

static int counter;

static void body(troupe_self *self, void *arg) {
    pid_t main_pid = *(pid_t *)arg;
    counter++;
    printf("I am a %s in process %d, %s main's; my parent is %d.\n", troupe_kind_name(troupe_self_kind(self)), (int)getpid(),
           getpid() == main_pid ? "which is" : "not", (int)getppid());
}

int main(void) {
    troupe_system *sys;
    pid_t pid = getpid();
    if (troupe_system_open(&sys, NULL) != TROUPE_OK)
        return 1;
    troupe_self *me = troupe_system_self(sys);
    printf("Process %d starts.\n", (int)pid);
    fflush(stdout);
    for (int kind = TROUPE_COROUTINE; kind <= TROUPE_PROCESS; kind++) {
        troupe_ref ref;
        troupe_exit exit;
        if (troupe_spawn(me, &(troupe_spawn_opts){.kind = (troupe_kind)kind}, body, &pid, sizeof pid, &ref) != TROUPE_OK ||
            troupe_join(me, ref, TROUPE_FOREVER, &exit) != TROUPE_OK)
            return 1;
        printf("It ended: %s. The counter is %d here.\n", exit.text, counter);
        fflush(stdout);
    }
    troupe_system_close(&sys);
    return 0;
}
