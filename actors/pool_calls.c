/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A pool from outside: what its workers run, and the calls of who uses it. */
#include <stddef.h>
#include <troupe/pool.h>
#include <unistd.h>

#include "actors/deadline.h"
#include "actors/pool.h"
#include "actors/self.h"
#include "transports/alloc.h"

enum { BACKLOG = 1024, RESTART_MIN_MS = 10, RESTART_MAX_MS = 1000 };

/* --- a worker --- */

struct job {
    troupe_ref pool;
    troupe_task *task;
    uint64_t max_messages;
    bool has_arg;
    max_align_t arg[];
};

/* One that is about to be recycled is given nothing more: its next receive says CLOSED. */
static bool is_ready(troupe_self *self, const struct job *job, uint64_t handled) {
    bool last = job->max_messages > 0 && handled >= job->max_messages;
    return last || trp_word_send(self, job->pool, TRP_WORD_READY, 0) == TROUPE_OK;
}

static void work(troupe_self *self, void *arg) {
    struct job *job = arg;
    troupe_msg *m;
    /* A pool that is gone, or no memory to reach it: there is nothing to do, or another life does it. */
    for (uint64_t n = 0; is_ready(self, job, n) && troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK; n++) {
        job->task(self, m, job->has_arg ? job->arg : NULL);
        if (trp_actor_killed(self->actor))
            return; /* the task was cut short: with it in hand, its asker is told DIED */
        if (troupe_msg_wants_reply(m))
            (void)(troupe_reply(self, m, troupe_nil()) == TROUPE_OK);
        troupe_msg_free(&m);
    }
}

/* --- opening --- */

static troupe_status hire(troupe_self *self, const troupe_pool_opts *o, const struct job *job, size_t size) {
    /* Its mailbox holds one task, and another if it died before it received it; what it has received may count there a little
     * longer. */
    troupe_spawn_opts opts = {.kind = o->kind,
                              .name = o->name,
                              .overflow = TROUPE_FAIL,
                              .stack = o->stack,
                              .max_messages = job->max_messages,
                              .deadline_ms = o->deadline_ms,
                              .restart = TROUPE_PERMANENT,
                              .backoff_min_ms = RESTART_MIN_MS,
                              .backoff_max_ms = RESTART_MAX_MS};
    troupe_ref ref;
    troupe_status st = troupe_spawn(self, &opts, work, job, size, &ref);
    if (st != TROUPE_OK)
        return st;
    st = trp_word_send(self, job->pool, TRP_WORD_WORKER, ref.id);
    if (st != TROUPE_OK)
        (void)(troupe_kill(self, ref) == TROUPE_OK);
    return st;
}

static troupe_status hire_all(troupe_self *self, const troupe_pool_opts *o, unsigned n, const struct job *job, size_t size) {
    troupe_status st = TROUPE_OK;
    for (unsigned i = 0; i < n && st == TROUPE_OK; i++)
        st = hire(self, o, job, size);
    return st;
}

static unsigned count_workers(int given) {
    long cpus = given > 0 ? given : sysconf(_SC_NPROCESSORS_ONLN);
    return cpus > 0 ? (unsigned)cpus : 1;
}

static struct job *job_new(troupe_task *task, const void *arg, size_t arg_size) {
    struct job *job = arg_size < SIZE_MAX / 4 ? trp_calloc(1, sizeof *job + arg_size) : NULL;
    if (!job)
        return NULL;
    job->task = task;
    job->has_arg = arg_size > 0;
    if (arg_size)
        memcpy(job->arg, arg, arg_size);
    return job;
}

troupe_status troupe_pool_open(troupe_self *self, const troupe_pool_opts *opts, troupe_task *task, const void *arg,
                               size_t arg_size, troupe_pool *out) {
    static const troupe_pool_opts defaults;
    const troupe_pool_opts *o = opts ? opts : &defaults;
    if (!task || o->workers < 0 || o->workers > TRP_POOL_WORKERS_MOST || o->max_tasks < 0 || o->deadline_ms < 0 ||
        (arg_size && !arg))
        return TROUPE_INVALID;
    struct job *job = job_new(task, arg, arg_size);
    if (!job)
        return TROUPE_NO_MEMORY;
    job->max_messages = (uint64_t)o->max_tasks;
    struct trp_pool_seed seed = {count_workers(o->workers), o->backlog ? o->backlog : BACKLOG};
    troupe_status st = trp_object_new(self, TRP_NOUN_POOL, o->name, &seed, sizeof seed, &job->pool);
    if (st == TROUPE_OK) {
        st = hire_all(self, o, seed.workers, job, sizeof *job + arg_size);
        if (st != TROUPE_OK)
            (void)(troupe_kill(self, job->pool) == TROUPE_OK);
    }
    if (st == TROUPE_OK)
        out->ref = job->pool;
    trp_free(job);
    return st;
}

/* --- using it --- */

static int64_t left(int64_t deadline) {
    return trp_deadline_ms(deadline, trp_now());
}

/* Until there may be room in the backlog. */
static troupe_status room(troupe_self *self, troupe_pool pool, int64_t deadline) {
    troupe_msg *yes;
    troupe_status st = trp_word_ask(self, pool.ref, TRP_WORD_WAIT, left(deadline), &yes);
    if (st == TROUPE_OK)
        troupe_msg_free(&yes);
    return st;
}

static troupe_status submit_and_forget(troupe_self *self, troupe_pool pool, troupe_value v, int64_t deadline) {
    troupe_status st = troupe_try_send(self, pool.ref, v);
    while (st == TROUPE_FULL) {
        st = room(self, pool, deadline);
        if (st == TROUPE_OK)
            st = troupe_try_send(self, pool.ref, v);
    }
    return st;
}

troupe_status troupe_pool_submit(troupe_self *self, troupe_pool pool, troupe_value v, int64_t timeout_ms,
                                 troupe_future **future) {
    int64_t deadline = trp_deadline(timeout_ms);
    if (!future)
        return trp_or_closed(submit_and_forget(self, pool, v, deadline));
    troupe_status st = room(self, pool, deadline);
    if (st == TROUPE_OK)
        st = troupe_ask_async(self, pool.ref, v, future);
    return trp_or_closed(st);
}

static void keep_first(troupe_status *first, troupe_status st) {
    if (*first == TROUPE_OK)
        *first = st;
}

static troupe_status submit_all(troupe_self *self, troupe_pool pool, const troupe_value *values, size_t n, int64_t deadline,
                                troupe_future **futures) {
    troupe_status st = TROUPE_OK;
    for (size_t i = 0; i < n && st == TROUPE_OK; i++)
        st = troupe_pool_submit(self, pool, values[i], left(deadline), &futures[i]);
    return st;
}

troupe_status troupe_pool_map(troupe_self *self, troupe_pool pool, const troupe_value *values, size_t n, int64_t timeout_ms,
                              troupe_msg **answers) {
    int64_t deadline = trp_deadline(timeout_ms);
    troupe_future **futures = trp_calloc(n ? n : 1, sizeof *futures);
    if (!futures)
        return TROUPE_NO_MEMORY;
    troupe_status first = submit_all(self, pool, values, n, deadline, futures);
    for (size_t i = 0; i < n; i++) {
        answers[i] = NULL;
        if (futures[i])
            keep_first(&first, troupe_future_await(self, &futures[i], left(deadline), &answers[i]));
        troupe_future_free(&futures[i]);
    }
    trp_free((void *)futures);
    return first;
}

troupe_status troupe_pool_close(troupe_self *self, troupe_pool pool) {
    return trp_or_closed(troupe_close(self, pool.ref));
}

troupe_status troupe_pool_join(troupe_self *self, troupe_pool pool, int64_t timeout_ms) {
    troupe_msg *yes;
    troupe_status st = trp_word_ask(self, pool.ref, TRP_WORD_JOIN, TROUPE_FOREVER, &yes);
    if (st == TROUPE_OK)
        troupe_msg_free(&yes);
    else if (st != TROUPE_NOT_FOUND)
        return st;
    return troupe_join(self, pool.ref, timeout_ms, NULL);
}
