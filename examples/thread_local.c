/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * thread-local: a variable of which each thread actor has its own. What belongs to one actor is better a local of its
 * body, which works for every kind; thread-locals are for code that is called far below it. */
#include <stdio.h>
#include <troupe/actor.h>

static _Thread_local const char *student;

static void process_student(const troupe_self *self) {
    printf("Hello, %s (in %s)\n", student, troupe_self_name(self));
}

static void process_thread(troupe_self *self, void *name) {
    student = name;
    process_student(self);
}

static int greet(troupe_self *me, const char *thread, const char *name, size_t size) {
    troupe_ref ref;
    troupe_spawn_opts opts = {.kind = TROUPE_THREAD, .name = thread};
    return troupe_spawn(me, &opts, process_thread, name, size, &ref) != TROUPE_OK ||
           troupe_join(me, ref, TROUPE_FOREVER, NULL) != TROUPE_OK;
}

int main(void) {
    troupe_system *sys;
    if (troupe_system_open(&sys, NULL) != TROUPE_OK)
        return 1;
    troupe_self *me = troupe_system_self(sys);
    int failed = greet(me, "Thread-A", "Alice", sizeof "Alice") || greet(me, "Thread-B", "Bob", sizeof "Bob");
    troupe_system_close(&sys);
    return failed;
}
