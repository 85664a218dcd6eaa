/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A master may die as well as a worker. What it would have to remember lies in a queue, too: `task.run` holds one message, the
 * record of the run (its id, the seed of its numbers, how many, and whether all have been put). The master has the record in
 * hand while it works, so that no second master begins beside it; when it dies the record goes back, and the next master goes
 * on:
 *
 *     no record -> put one, take it in hand -> put the tasks -> record "all put" -> gather the results -> acknowledge the
 * record a record -> take it in hand ------------^ (not all put)       ^ (all put)
 *
 * Putting a task a second time does no harm: its id is known, and it is dropped. Results that an earlier master has printed do
 * not come again; so a master that goes on can't count to the end, and looks whether both queues are empty instead. A worker
 * acknowledges its task after its result is kept: with no task left, all results are there.
 *
 * A broker that was restarted without its data has lost everything: then it all begins again, but for the results seen. */
#include "examples/task_run.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "examples/task.h"

enum {
    UNCONFIRMED_MOST = 4096, /* tasks on their way to the queue */
    LOOK_FOR_SIGNALS = 256,  /* puts between two looks */
    RESULTS_IN_HAND = 4096,
    IDLE_MS = 100, /* without a result: look how things stand */
    PROGRESS_MS = 100,
    LAST_ACKS_MS = 1000,
    NUMBERS = 10000, /* 0 to 9,999 */
    TASK_MOST = 4096,
};

#define DEDUP_MS UINT64_C(3600000) /* how long ids are remembered */

/* --- small things --- */

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The i-th number of a seed (splitmix64): the same in every master that goes on with a run. */
static int64_t number_of(uint64_t seed, uint64_t i) {
    uint64_t z = seed + (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (int64_t)((z ^ (z >> 31)) % NUMBERS);
}

/* What a status of the broker means for the run. */
static enum task_end ended_by(struct task_run *r, troupe_status st) {
    snprintf(r->why, sizeof r->why, "%s", troupe_client_why(r->client));
    return st == TROUPE_DISCONNECTED || st == TROUPE_TIMEOUT ? TASK_NO_BROKER : TASK_REFUSED;
}

static enum task_end refuse(struct task_run *r, const char *why) {
    snprintf(r->why, sizeof r->why, "%s", why);
    return TASK_REFUSED;
}

/* A signal that has come; a second one ends us at once, as it would have without us. */
static bool stopped(const struct task_run *r) {
    struct signalfd_siginfo info;
    if (read(r->signals, &info, sizeof info) != (ssize_t)sizeof info)
        return false;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    return true;
}

static bool late(const struct task_run *r) {
    return r->until && now_ms() >= r->until;
}

/* How many messages a queue has that are not done with; -1: it cannot be told now. */
static int64_t waiting_in(struct task_run *r, const char *queue) {
    troupe_msg *m;
    if (troupe_queue_stat(r->client, queue, &m) != TROUPE_OK)
        return -1;
    char *json = troupe_msg_json(m);
    int64_t n = json ? task_field(json, "ready") + task_field(json, "held") + task_field(json, "delayed") : -1;
    free(json);
    troupe_msg_free(&m);
    return n;
}

/* --- progress, on a terminal --- */

static void progress_hide(struct task_run *r) {
    if (r->shown)
        fputs("\r\033[K", stderr);
    r->shown = 0;
}

static void progress_show(struct task_run *r) {
    int64_t now = now_ms();
    if (!isatty(STDERR_FILENO) || now - r->shown < PROGRESS_MS)
        return;
    double s = (double)(now - r->began) / 1000;
    fprintf(stderr, "\r\033[K%" PRIu64 " of %" PRIu64 " results, %.0f a second", r->done, r->tasks,
            s > 0 ? (double)r->done / s : 0.0);
    r->shown = now;
}

/* --- the record --- */

static troupe_status record_put(struct task_run *r) {
    char text[128];
    snprintf(text, sizeof text, "run=%s seed=%" PRIu64 " tasks=%" PRIu64 " files=%d put=%d", r->id, r->seed, r->tasks,
             r->files != NULL, r->put);
    return troupe_queue_put(r->client, RUN_QUEUE, troupe_text(text), NULL, NULL);
}

static enum task_end record_read(struct task_run *r) {
    char text[128], id[sizeof r->id];
    uint64_t seed, tasks;
    int files, put;
    troupe_value v = troupe_msg_value(r->record);
    snprintf(text, sizeof text, "%.*s", v.kind == TROUPE_TEXT ? (int)(v.size < sizeof text ? v.size : 0) : 0,
             (const char *)v.data);
    if (sscanf(text, "run=%19s seed=%" SCNu64 " tasks=%" SCNu64 " files=%d put=%d", id, &seed, &tasks, &files, &put) != 5)
        return refuse(r, "the record of an earlier run, in the queue " RUN_QUEUE ", cannot be read");
    if (!put && (files != 0) != (r->files != NULL))
        return refuse(r, files ? "an earlier run of files was not all put: give its --file-list again"
                               : "an earlier run of numbers was not all put: run it to its end first, without --file-list");
    if (!put && files && tasks != r->tasks)
        return refuse(r, "an earlier run was not all put, and its --file-list had another number of files");
    if (r->id[0] && strcmp(r->id, id) != 0)
        return TASK_TAKEN;
    r->resumed |= r->id[0] == 0;
    memcpy(r->id, id, sizeof id);
    r->seed = seed;
    r->put = put;
    r->tasks = tasks;
    return TASK_DONE;
}

/* The newer record first: one that says "all put" follows its older self. */
static enum task_end record_take(struct task_run *r) {
    troupe_msg *m;
    troupe_status st;
    while ((st = troupe_queue_get(r->client, RUN_QUEUE, 0, &m)) == TROUPE_OK) {
        troupe_msg *older = r->record;
        r->record = m;
        if (older && troupe_queue_ack(r->client, &older) != TROUPE_OK)
            troupe_msg_free(&older);
    }
    if (st != TROUPE_TIMEOUT)
        return ended_by(r, st);
    return r->record ? record_read(r) : TASK_DONE;
}

static enum task_end record_begin(struct task_run *r) {
    troupe_msg_free(&r->record); /* of an earlier connection: it is in the queue, if that has been kept */
    enum task_end end = record_take(r);
    if (end != TASK_DONE || r->record)
        return end;
    int64_t others = waiting_in(r, RUN_QUEUE);
    if (others != 0)
        return others > 0 ? TASK_TAKEN : ended_by(r, TROUPE_DISCONNECTED);
    uint64_t id;
    if (r->id[0] == 0 && getrandom(&id, sizeof id, 0) == (ssize_t)sizeof id)
        snprintf(r->id, sizeof r->id, "%016" PRIx64, id);
    r->put = false;
    troupe_status st = record_put(r);
    return st == TROUPE_OK ? record_take(r) : ended_by(r, st);
}

/* All tasks are in the queue: a new record says so, and replaces the old one. */
static enum task_end record_all_put(struct task_run *r) {
    r->put = true;
    troupe_status st = record_put(r);
    return st == TROUPE_OK ? record_take(r) : ended_by(r, st);
}

/* The run is over. The record may have been lost with a connection: then it is taken once more. */
static enum task_end record_end(struct task_run *r) {
    troupe_status st = TROUPE_DISCONNECTED;
    if (r->record)
        st = troupe_queue_ack_confirm(r->client, &r->record, 5000);
    if (st == TROUPE_DISCONNECTED && troupe_queue_get(r->client, RUN_QUEUE, 1000, &r->record) == TROUPE_OK)
        st = troupe_queue_ack_confirm(r->client, &r->record, 5000);
    return st == TROUPE_OK ? TASK_DONE : ended_by(r, st);
}

/* --- queues --- */

static troupe_status declare_all(const struct task_run *r) {
    const troupe_queue_opts work = {
        .durable = r->durable, .dedup_window_ms = DEDUP_MS, .ack_timeout_ms = (uint64_t)r->ack_timeout_ms};
    const troupe_queue_opts results = {.durable = r->durable,
                                       .dedup_window_ms = DEDUP_MS,
                                       .ack_timeout_ms = TROUPE_NONE,
                                       .max_deliveries = TROUPE_NONE,
                                       .max_crashes = TROUPE_NONE};
    troupe_status st = troupe_queue_declare(r->client, RUN_QUEUE, &results);
    if (st == TROUPE_OK)
        st = troupe_queue_declare(r->client, RESULT_QUEUE, &results);
    if (st == TROUPE_OK)
        st = troupe_queue_declare(r->client, TASK_QUEUE, &work);
    return st;
}

static enum task_end declare(struct task_run *r) {
    troupe_status st = declare_all(r);
    if (st == TROUPE_OK)
        return TASK_DONE;
    enum task_end why = ended_by(r, st);
    if (st != TROUPE_REFUSED || !r->durable)
        return why;
    r->durable = false; /* that broker keeps nothing on disk, or they are there, and in memory */
    return declare_all(r) == TROUPE_OK ? TASK_DONE : why;
}

/* --- putting --- */

static bool was_seen(const struct task_run *r, uint64_t i) {
    return r->seen[i / 8] >> i % 8 & 1;
}

static troupe_status submit(struct task_run *r, uint64_t i) {
    char id[TASK_ID_MAX];
    uint64_t unused;
    troupe_put_opts opts = {.id = id};
    int64_t n = number_of(r->seed, i);
    snprintf(id, sizeof id, "%s-%" PRIu64, r->id, i);
    if (!r->quiet && r->files)
        printf("Put task %s...\n", r->files[i]);
    else if (!r->quiet)
        printf("Put task %" PRId64 "...\n", n);
    return troupe_queue_submit(r->client, TASK_QUEUE, r->files ? troupe_text(r->files[i]) : troupe_int(n), &opts, true,
                               &unused);
}

/* The confirmations, until at most so many are missing. */
static troupe_status collect(struct task_run *r, uint64_t *missing, uint64_t most) {
    troupe_status first = TROUPE_OK;
    uint64_t number;
    troupe_msg *none;
    while (*missing > most) {
        troupe_status st = troupe_client_collect(r->client, 5000, &number, &none);
        if (st == TROUPE_TIMEOUT)
            return TROUPE_DISCONNECTED;
        --*missing;
        if (st != TROUPE_OK && first == TROUPE_OK)
            first = st;
    }
    return first;
}

static enum task_end put_all(struct task_run *r) {
    uint64_t missing = 0;
    troupe_status st = TROUPE_OK;
    for (uint64_t i = 0; i < r->tasks && st == TROUPE_OK; i++) {
        if (was_seen(r, i))
            continue;
        if (i % LOOK_FOR_SIGNALS == 0 && stopped(r))
            return TASK_STOPPED;
        if (late(r))
            return TASK_LATE;
        if (missing >= UNCONFIRMED_MOST)
            st = collect(r, &missing, UNCONFIRMED_MOST / 2);
        if (st == TROUPE_OK)
            st = submit(r, i);
        missing += st == TROUPE_OK;
    }
    fflush(stdout);
    troupe_status last = collect(r, &missing, 0);
    st = st == TROUPE_OK ? last : st;
    return st == TROUPE_OK ? record_all_put(r) : ended_by(r, st);
}

/* --- results --- */

/* Whose result it is: the number behind our run's id. False: it is none of ours. */
static bool index_of(const struct task_run *r, const troupe_msg *m, uint64_t *i) {
    troupe_value v;
    char id[TASK_ID_MAX];
    size_t n = strlen(r->id);
    if (!troupe_msg_header(m, "t-id", &v) || v.kind != TROUPE_TEXT || v.size >= sizeof id || v.size < n + 2)
        return false;
    memcpy(id, v.data, v.size);
    id[v.size] = 0;
    return memcmp(id, r->id, n) == 0 && id[n] == '-' && task_number(id + n + 1, 0, r->tasks - 1, i);
}

static void show(struct task_run *r, const char *what, troupe_value v) {
    if (r->quiet)
        return;
    progress_hide(r);
    if (v.kind == TROUPE_INT)
        printf("%s: %" PRId64, what, v.i);
    else
        printf("%s: %.*s", what, v.kind == TROUPE_TEXT ? (int)v.size : 1, v.kind == TROUPE_TEXT ? (const char *)v.data : "?");
}

static void mark(struct task_run *r, uint64_t i) {
    r->seen[i / 8] |= (unsigned char)(1 << i % 8);
}

static troupe_status on_result(struct task_run *r, troupe_msg **m) {
    uint64_t i;
    if (!index_of(r, *m, &i))
        return troupe_queue_bury(r->client, m, "not of the run that is under way");
    if (!was_seen(r, i)) {
        mark(r, i);
        r->done++;
        show(r, "Result", troupe_msg_value(*m));
        if (!r->quiet)
            putchar('\n');
    }
    return troupe_queue_ack(r->client, m);
}

/* Waits for a result, a signal, or so long. */
static enum task_end wait_a_while(struct task_run *r) {
    int64_t ms = troupe_client_wait_ms(r->client);
    struct pollfd fds[] = {{.fd = troupe_client_fd(r->client), .events = POLLIN}, {.fd = r->signals, .events = POLLIN}};
    fflush(stdout);
    progress_show(r);
    poll(fds, 2, (int)(ms < 0 || ms > IDLE_MS ? IDLE_MS : ms));
    if (fds[1].revents && stopped(r))
        return TASK_STOPPED;
    return late(r) ? TASK_LATE : TASK_DONE;
}

/* Nothing is left, so that no more results can come. */
static bool all_empty(struct task_run *r) {
    return waiting_in(r, TASK_QUEUE) == 0 && waiting_in(r, RESULT_QUEUE) == 0;
}

static void on_dead(struct task_run *r, const troupe_msg *m, uint64_t i) {
    troupe_value why;
    mark(r, i);
    r->lost++;
    show(r, "Lost", troupe_msg_value(m));
    if (!r->quiet && troupe_msg_header(m, "t-reason", &why) && why.kind == TROUPE_TEXT)
        printf(" (%.*s)", (int)why.size, (const char *)why.data);
    if (!r->quiet)
        putchar('\n');
}

/* Tasks that nobody could do. Their messages stay in our hand, and so are back among the dead letters when we leave. A queue of
 * them is only there when there is one. */
static void look_for_dead(struct task_run *r) {
    troupe_msg *m;
    uint64_t i;
    while (troupe_queue_get(r->client, TASK_QUEUE ".dead", 0, &m) == TROUPE_OK) {
        troupe_msg **dead = realloc(r->dead, (r->dead_n + 1) * sizeof(*dead));
        bool ours = index_of(r, m, &i);
        if (!dead || (ours && was_seen(r, i))) { /* seen: it was too long in our hand, and has come again */
            r->dead = dead ? dead : r->dead;
            troupe_msg_free(&m);
            return;
        }
        r->dead = dead;
        r->dead[r->dead_n++] = m;
        if (ours)
            on_dead(r, m, i);
    }
}

static enum task_end gather(struct task_run *r) {
    troupe_msg *m;
    enum task_end end = TASK_DONE;
    int64_t looked = now_ms();
    while (end == TASK_DONE && r->done + r->lost < r->tasks) {
        troupe_status st = troupe_client_receive(r->client, 0, &m);
        if (st == TROUPE_OK) {
            st = on_result(r, &m);
            troupe_msg_free(&m); /* of a connection that is gone: it comes again */
            continue;
        }
        if (st != TROUPE_TIMEOUT)
            return st == TROUPE_NOT_FOUND ? TASK_AGAIN : ended_by(r, st);
        end = wait_a_while(r);
        if (now_ms() - looked < IDLE_MS)
            continue;
        if (r->resumed && all_empty(r))
            break;
        look_for_dead(r);
        looked = now_ms();
    }
    return end;
}

/* The last tasks may not have been acknowledged yet. In a queue that outlives us they would be done once more. */
static void wait_for_acks(struct task_run *r) {
    int64_t until = now_ms() + LAST_ACKS_MS;
    troupe_msg *m;
    while (waiting_in(r, TASK_QUEUE) > 0 && now_ms() < until)
        if (troupe_client_receive(r->client, 5, &m) == TROUPE_OK && on_result(r, &m) != TROUPE_OK)
            troupe_msg_free(&m);
}

/* --- the whole --- */

static enum task_end begin(struct task_run *r) {
    enum task_end end = declare(r);
    if (end == TASK_DONE)
        end = record_begin(r);
    if (end != TASK_DONE)
        return end;
    if (!r->seen && !(r->seen = calloc(1, r->tasks / 8 + 1)))
        return refuse(r, "out of memory");
    return r->put ? TASK_DONE : put_all(r);
}

static enum task_end once(struct task_run *r) {
    enum task_end end = begin(r);
    if (end != TASK_DONE)
        return end;
    troupe_status st = troupe_queue_consume(r->client, RESULT_QUEUE, RESULTS_IN_HAND, NULL);
    if (st != TROUPE_OK)
        return ended_by(r, st);
    end = gather(r);
    progress_hide(r);
    return end;
}

enum task_end task_run(struct task_run *r) {
    r->began = now_ms();
    r->until = r->timeout_ms ? r->began + r->timeout_ms : 0;
    enum task_end end;
    do
        end = once(r);
    while (end == TASK_AGAIN && !late(r));
    if (end != TASK_DONE)
        return end == TASK_AGAIN ? TASK_LATE : end;
    wait_for_acks(r);
    return record_end(r);
}

void task_run_free(struct task_run *r) {
    while (r->dead_n)
        troupe_msg_free(&r->dead[--r->dead_n]);
    troupe_msg_free(&r->record);
    free(r->dead);
    free(r->seen);
}
