/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A pool: N actors of one kind behind one reference. Each has one task at a time, and the next task goes to the first that is
 * free: a long one keeps one worker busy, and nobody else waits for it.
 *
 *     static void square(troupe_self *self, troupe_msg *task, void *arg) {
 *         int64_t n;
 *         if (troupe_msg_int(task, &n))
 *             troupe_reply(self, task, troupe_int(n * n));
 *         else
 *             troupe_reply_error(self, task, "NOT_A_NUMBER", "a number is wanted");
 *     }
 *
 *     troupe_pool pool;
 *     troupe_pool_open(me, &(troupe_pool_opts){.kind = TROUPE_PROCESS, .workers = 4}, square, NULL, 0, &pool);
 *     troupe_pool_submit(me, pool, troupe_int(7), TROUPE_FOREVER, &future);        // await it as any (<troupe/future.h>)
 *     troupe_pool_map(me, pool, numbers, 100, TROUPE_FOREVER, answers);            // results in the order of the numbers
 *     troupe_ask(me, pool.ref, troupe_int(8), 1000, &answer);                      // submit and wait
 *     troupe_pool_close(me, pool);
 *     troupe_pool_join(me, pool, TROUPE_FOREVER);
 *
 *     tasks --> [ backlog, bounded ] --> worker 1..N, one task each --> answers to who submitted
 *
 *     open --close--> closed: no new tasks, those there are still done --> ended, with its workers
 *       `----kill, all workers killed, the end of the system------------> ended; who waits for an answer is told DIED or CLOSED
 *
 * A worker that crashes is started again; its task is answered DIED, so nobody waits in vain, and the others go on. An error
 * that nobody reads (of a task submitted without a future, or whose future is gone) is logged. A pool lives until it is closed,
 * not as long as who opened it; its reference is a value that any actor may use. */
#ifndef TROUPE_POOL_H
#define TROUPE_POOL_H

#include <troupe/future.h>

typedef struct troupe_pool {
    troupe_ref ref;
} troupe_pool;

/* Does one task, in a worker: answers it by troupe_reply or troupe_reply_error; if it does neither, the answer is nil. The task
 * is borrowed until it returns. arg: the worker's own copy of what was given to open;
 * what is written there stays for its next task. */
typedef void troupe_task(troupe_self *self, troupe_msg *task, void *arg);

typedef struct troupe_pool_opts {
    troupe_kind kind;
    int workers;         /* 0: one per CPU */
    size_t backlog;      /* tasks that wait for a worker; 0: 1,024 */
    int64_t max_tasks;   /* a worker begins anew after so many, with what it has collected gone; no task is lost. 0: never */
    int64_t deadline_ms; /* processes: a task that takes longer is killed, and answered DIED. 0: never */
    size_t stack;        /* of each worker, as in troupe_spawn_opts */
    const char *name;    /* for logs; NULL: "actor-N" */
} troupe_pool_opts;

/* Opens one; opts NULL: the defaults; arg_size bytes at arg are copied. INVALID: workers below 0 or above 4,096, another number
 * below 0, or no task. Otherwise as troupe_spawn. Context: self. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_pool_open(troupe_self *self, const troupe_pool_opts *opts, troupe_task *task,
                                                           const void *arg, size_t arg_size, troupe_pool *out);

/* Gives it a task. *future (its answer, or what came instead) is awaited or freed by the caller; future NULL: nobody wants to
 * know. TIMEOUT: the backlog was full for so long. CLOSED: the pool is closed, or this actor was killed. Faults: INVALID,
 * NO_MEMORY. Context: self; parks while the backlog is full. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_pool_submit(troupe_self *self, troupe_pool pool, troupe_value v,
                                                             int64_t timeout_ms, troupe_future **future);

/* Gives it n tasks and waits for all: answers[i], given, is that of values[i], and may be an error (troupe_msg_error). OK: all
 * are there. Otherwise the first thing that went wrong (DIED, TIMEOUT, CLOSED, FULL), and answers[i] is NULL where there is
 * none. Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_pool_map(troupe_self *self, troupe_pool pool, const troupe_value *values,
                                                          size_t n, int64_t timeout_ms, troupe_msg **answers);

/* No new tasks. CLOSED: it is gone already. Context: self; does not wait. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_pool_close(troupe_self *self, troupe_pool pool);

/* Waits until a closed pool has done its last task and its workers have ended. INVALID: it is not closed. TIMEOUT. CLOSED: this
 * actor was killed. OK also when it has ended long ago. Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_pool_join(troupe_self *self, troupe_pool pool, int64_t timeout_ms);

#endif
