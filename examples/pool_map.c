/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A pool of four processes: tasks from an array, results in its order. One task crashes its worker; that is its own
 * bad luck, and nobody else's. */
#include <signal.h>
#include <stdio.h>
#include <troupe/pool.h>

enum { TASKS = 8, BAD = 4 };

static void square(troupe_self *self, troupe_msg *task, void *arg) {
    int64_t n;
    (void)arg;
    if (!troupe_msg_int(task, &n) || troupe_reply(self, task, troupe_int(n * n)) != TROUPE_OK)
        raise(SIGSEGV);
}

int main(void) {
    troupe_system *sys;
    troupe_pool pool;
    troupe_value numbers[TASKS];
    troupe_msg *answers[TASKS];
    if (troupe_system_open(&sys, NULL) != TROUPE_OK)
        return 1;
    troupe_self *me = troupe_system_self(sys);
    troupe_pool_opts opts = {.kind = TROUPE_PROCESS, .workers = 4, .name = "worker"};
    if (troupe_pool_open(me, &opts, square, NULL, 0, &pool) != TROUPE_OK)
        return 1;
    for (int i = 0; i < TASKS; i++)
        numbers[i] = i == BAD ? troupe_text("this one crashes") : troupe_int(i);
    troupe_status st = troupe_pool_map(me, pool, numbers, TASKS, TROUPE_FOREVER, answers);
    printf("the first trouble: %s\n", troupe_status_text(st));
    for (int i = 0; i < TASKS; i++) {
        int64_t n;
        if (answers[i] && troupe_msg_int(answers[i], &n))
            printf("%d * %d = %d\n", i, i, (int)n);
        else
            printf("task %d has no result\n", i);
        troupe_msg_free(&answers[i]);
    }
    if (troupe_pool_close(me, pool) != TROUPE_OK || troupe_pool_join(me, pool, TROUPE_FOREVER) != TROUPE_OK)
        return 1;
    printf("All subprocesses done.\n");
    troupe_system_close(&sys);
    return 0;
}
