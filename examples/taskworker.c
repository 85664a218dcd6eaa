/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * taskworker: takes tasks from a taskmaster's queue, on any machine, works on them, and puts the results. Any number of them
 * may come and go. One that dies loses nothing: what it had in hand goes back to the queue when its connection breaks.
 *
 * A task is acknowledged when its result is safe with the broker, and not before (troupe_ack_with). So it may be worked on
 * twice, when a worker or the broker dies between the two; its result carries the task's id, and is kept once.
 *
 * A second of work each, as by default, is taken one at a time. Work that takes no time is taken by the hundred, with results
 * and acknowledgements on their way while the next one is done: --credit says how many a worker has in hand. */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>
#include <time.h>
#include <troupe/actor_queue.h>
#include <troupe/log.h>
#include <troupe/version.h>
#include <unistd.h>

#include "examples/task.h"

enum {
    LOOK_AGAIN_MS = 50, /* for a queue that is not there yet */
    LAST_WORDS_MS = 5000,
    FILE_CHUNK = 16384,
    CREDIT_FAST = 256,
};

struct config {
    int64_t sleep_ms, idle_ms, connect_ms;
    int64_t touch_ms; /* a third of the queue's ack time-out */
    uint32_t credit;
    bool quiet;
    troupe_ref boss; /* is told how a worker ended */
};

/* How a worker ends: what it tells the main actor. */
enum ending { NO_MORE_TASKS, STOPPED, MASTER_GONE };

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- what a worker prints --- */

/* Whole lines, as many at a time as a pipe takes in one piece: workers share the program's output. */
struct lines {
    bool quiet, each;
    size_t n;
    char bytes[4096];
};

static void lines_flush(struct lines *out) {
    for (size_t at = 0; at < out->n;) {
        ssize_t n = write(STDOUT_FILENO, out->bytes + at, out->n - at);
        if (n < 0 && errno != EINTR)
            break; /* nobody reads it */
        at += n > 0 ? (size_t)n : 0;
    }
    out->n = 0;
}

static void lines_add(struct lines *out, const char *line, size_t n) {
    if (out->quiet)
        return;
    if (out->n + n > sizeof out->bytes)
        lines_flush(out);
    memcpy(out->bytes + out->n, line, n);
    out->n += n;
    if (out->each)
        lines_flush(out);
}

/* --- the work --- */

struct work {
    char run[256], result[512]; /* what is printed before, and what comes of it */
};

/* The square, exactly: numbers from elsewhere may be large. */
static void square(int64_t n, struct work *w) {
    snprintf(w->run, sizeof w->run, "run task %" PRId64 " * %" PRId64 "...\n", n, n);
    if (n > 3037000499 || n < -3037000499)
        snprintf(w->result, sizeof w->result, "%" PRId64 " * %" PRId64 ": too large", n, n);
    else
        snprintf(w->result, sizeof w->result, "%" PRId64 " * %" PRId64 " = %" PRId64, n, n, n * n);
}

/* The lines of a stream; a last one without an end counts. Lets others of its thread run between the pieces. */
static bool count_lines(troupe_self *self, FILE *f, uint64_t *lines) {
    char chunk[FILE_CHUNK], last = '\n';
    *lines = 0;
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0; troupe_yield(self)) {
        for (const char *at = chunk; (at = memchr(at, '\n', (size_t)(chunk + n - at))); at++)
            ++*lines;
        last = chunk[n - 1];
    }
    *lines += last != '\n';
    return !ferror(f);
}

static void count_file(troupe_self *self, troupe_value name, struct work *w) {
    char path[4096];
    uint64_t lines;
    int shown = (int)(name.size < 200 ? name.size : 200);
    const char *shown_from = (const char *)name.data + (name.size - (size_t)shown); /* the end of a long name tells more */
    snprintf(w->run, sizeof w->run, "run task %.*s...\n", shown, shown_from);
    snprintf(path, sizeof path, "%.*s", (int)(name.size < sizeof path ? name.size : sizeof path - 1), (const char *)name.data);
    FILE *f = name.size < sizeof path ? fopen(path, "r") : NULL;
    if (f && count_lines(self, f, &lines))
        snprintf(w->result, sizeof w->result, "%.*s: %" PRIu64 " lines", shown, shown_from, lines);
    else
        snprintf(w->result, sizeof w->result, "%.*s: cannot be read: %s", shown, shown_from,
                 name.size < sizeof path ? strerror(errno) : "the name is too long");
    if (f)
        fclose(f);
}

/* As long as a real one would take. The broker is told that we are still at it, else it would give the task to another. */
static troupe_status take_time(troupe_self *self, const struct config *c, troupe_msg *task) {
    troupe_status st = TROUPE_OK;
    int64_t ms = c->sleep_ms;
    for (; st == TROUPE_OK && ms > c->touch_ms; ms -= c->touch_ms) {
        st = troupe_sleep(self, c->touch_ms);
        if (st == TROUPE_OK && troupe_touch(self, task) == TROUPE_CLOSED)
            st = TROUPE_CLOSED;
    }
    return st == TROUPE_OK ? troupe_sleep(self, ms) : st;
}

/* The id of a task, for its result. False: it has none. */
static bool id_of(const troupe_msg *task, char id[TASK_ID_MAX]) {
    troupe_value v;
    if (!troupe_msg_header(task, "t-id", &v) || v.kind != TROUPE_TEXT || v.size == 0 || v.size >= TASK_ID_MAX)
        return false;
    memcpy(id, v.data, v.size);
    id[v.size] = 0;
    return true;
}

/* OK, also when the task was no good: that is not ours to mend. */
static troupe_status handle(troupe_self *self, const struct config *c, struct lines *out, troupe_msg **task) {
    struct work w;
    char id[TASK_ID_MAX];
    int64_t n;
    if (troupe_msg_int(*task, &n))
        square(n, &w);
    else if (troupe_msg_value(*task).kind == TROUPE_TEXT)
        count_file(self, troupe_msg_value(*task), &w);
    else
        return troupe_bury(self, task, "a task is a number or the name of a file");
    lines_add(out, w.run, strlen(w.run));
    troupe_status st = c->sleep_ms ? take_time(self, c, *task) : TROUPE_OK;
    if (st != TROUPE_OK)
        return st;
    troupe_put_opts opts = {.id = id_of(*task, id) ? id : NULL, .timeout_ms = c->connect_ms};
    return troupe_ack_with(self, task, RESULT_QUEUE, troupe_text(w.result), &opts);
}

/* --- a worker --- */

/* The queue may come a little later than its broker: after a restart, say. */
static troupe_status consume(troupe_self *self, const struct config *c, int64_t patience_ms) {
    int64_t until = now_ms() + patience_ms;
    troupe_status st = troupe_consume(self, TASK_QUEUE, c->credit);
    while (st == TROUPE_NOT_FOUND && now_ms() < until) {
        if (troupe_sleep(self, LOOK_AGAIN_MS) != TROUPE_OK)
            return TROUPE_CLOSED;
        st = troupe_consume(self, TASK_QUEUE, c->credit);
    }
    return st == TROUPE_DISCONNECTED ? TROUPE_OK : st; /* it is made when the broker is there */
}

/* The next task within the idle time. Before it waits, it prints what it has to say. */
static troupe_status next_task(troupe_self *self, const struct config *c, struct lines *out, troupe_msg **task) {
    troupe_status st = troupe_receive(self, 0, task);
    if (st == TROUPE_TIMEOUT) {
        lines_flush(out);
        st = troupe_receive(self, c->idle_ms, task);
    }
    if (st != TROUPE_NOT_FOUND)
        return st;
    st = consume(self, c, c->idle_ms);
    return st == TROUPE_OK ? troupe_receive(self, c->idle_ms, task) : st;
}

static enum ending work(troupe_self *self, const struct config *c, struct lines *out) {
    troupe_msg *task;
    troupe_status st = consume(self, c, c->connect_ms);
    if (st != TROUPE_OK)
        return st == TROUPE_CLOSED ? STOPPED : MASTER_GONE;
    while ((st = next_task(self, c, out, &task)) == TROUPE_OK) {
        st = handle(self, c, out, &task);
        troupe_msg_free(&task); /* unless its result is on its way: then another shall have it */
        if (st == TROUPE_CLOSED)
            return STOPPED;
        if (st != TROUPE_OK)
            return MASTER_GONE;
    }
    return st == TROUPE_CLOSED ? STOPPED : NO_MORE_TASKS;
}

static void worker_main(troupe_self *self, void *arg) {
    const struct config *c = arg;
    struct lines out = {.quiet = c->quiet, .each = c->sleep_ms > 0};
    enum ending how = work(self, c, &out);
    lines_flush(&out);
    troupe_status st = troupe_put_wait(self, LAST_WORDS_MS);
    if (how != STOPPED && (st == TROUPE_DISCONNECTED || st == TROUPE_TIMEOUT))
        fprintf(stderr, "taskworker: the last results may not have reached the master: their tasks are given to others\n");
    (void)!troupe_try_send(self, c->boss, troupe_int(how));
}

/* --- the command line --- */

const char *argp_program_version = "taskworker " TROUPE_VERSION;
static const char doc[] =
    "Takes tasks from a taskmaster (or from any brokerd with its queues), works on them, puts the results, and leaves when "
    "there are "
    "none.\v"
    "A TIME is a number with ms, s, m or h; a bare one is seconds. A worker that dies loses nothing: its task goes to another. "
    "A task is a number, whose square is the result, or the name of a file, whose lines are counted.\n\n"
    "Exit status: 0 no task came for the idle time, or stopped by SIGINT or SIGTERM; 64 wrong usage; 69 there is no master, or "
    "it went away "
    "with a result undelivered; 77 authentication failed; 78 the authkey file cannot be used.";

enum {
    OPT_CONNECT = 'c',
    OPT_KIND = 'k',
    OPT_WORKERS = 'w',
    OPT_QUIET = 'q',
    OPT_AUTHKEY = 256,
    OPT_SLEEP,
    OPT_IDLE,
    OPT_PATIENCE,
    OPT_CREDIT
};

static const struct argp_option options[] = {
    {"connect", OPT_CONNECT, "URL", 0, "The taskmaster, or its broker (default " TASK_URL ")", 0},
    {"authkey-file", OPT_AUTHKEY, "FILE", 0, "The key that both sides know (default: TROUPE_AUTHKEY_FILE, or none)", 0},
    {"kind", OPT_KIND, "KIND", 0, "process (default), thread or coroutine", 0},
    {"workers", OPT_WORKERS, "N", 0, "How many workers (default 1)", 0},
    {"sleep", OPT_SLEEP, "TIME", 0, "How long each task takes (default 1s); 0s is as fast as it goes", 0},
    {"idle-timeout", OPT_IDLE, "TIME", 0, "Leave when no task has come for so long (default 1s)", 0},
    {"connect-timeout", OPT_PATIENCE, "TIME", 0, "Wait so long for a master that is not there (default 10s)", 0},
    {"credit", OPT_CREDIT, "N", 0, "Tasks that a worker has in hand at a time (default 1; 256 with --sleep=0s)", 0},
    {"quiet", OPT_QUIET, NULL, 0, "Print no line for each task", 0},
    {0},
};

struct args {
    struct config config;
    troupe_kind kind;
    const char *url, *authkey;
    unsigned workers;
};

_Noreturn static void usage(const char *flag, const char *value, const char *instead) {
    fprintf(stderr, "taskworker: --%s=%s: it takes %s; see taskworker --help\n", flag, value, instead);
    exit(EX_USAGE);
}

static int64_t duration(const char *flag, const char *text) {
    int64_t ms;
    if (!task_duration(text, &ms))
        usage(flag, text, "a time, such as 500ms, 1s or 2m");
    return ms;
}

static unsigned number(const char *flag, const char *text, uint64_t most) {
    uint64_t n;
    char instead[64];
    snprintf(instead, sizeof instead, "a number from 1 to %" PRIu64, most);
    if (!task_number(text, 1, most, &n))
        usage(flag, text, instead);
    return (unsigned)n;
}

static error_t parse(int key, char *text, struct argp_state *state) {
    struct args *a = state->input;
    switch (key) {
    case OPT_CONNECT:
        a->url = text;
        return 0;
    case OPT_AUTHKEY:
        a->authkey = text;
        return 0;
    case OPT_KIND:
        if (troupe_kind_parse(text, &a->kind) != TROUPE_OK)
            usage("kind", text, "process, thread or coroutine");
        return 0;
    case OPT_WORKERS:
        a->workers = number("workers", text, 1000);
        return 0;
    case OPT_SLEEP:
        a->config.sleep_ms = duration("sleep", text);
        return 0;
    case OPT_IDLE:
        a->config.idle_ms = duration("idle-timeout", text);
        return 0;
    case OPT_PATIENCE:
        a->config.connect_ms = duration("connect-timeout", text);
        return 0;
    case OPT_CREDIT:
        a->config.credit = number("credit", text, 65535);
        return 0;
    case OPT_QUIET:
        a->config.quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        fprintf(stderr, "taskworker: '%s' is not understood: it takes flags only; see taskworker --help\n", text);
        exit(EX_USAGE);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --- beginning and end --- */

static int fail(const char *what, troupe_status st) {
    fprintf(stderr, "taskworker: %s: %s\n", what, troupe_status_text(st));
    return st == TROUPE_BAD_KEY ? EX_CONFIG : EXIT_FAILURE;
}

static int no_master(const struct args *a, troupe_status st) {
    double s = (double)a->config.connect_ms / 1000;
    switch (st) {
    case TROUPE_REFUSED:
        fprintf(stderr, "taskworker: %s: %s\n", a->url, troupe_client_why(NULL));
        return EX_NOPERM;
    case TROUPE_TIMEOUT:
        fprintf(stderr, "taskworker: no taskmaster at %s: waited %g s for one (%s)\n", a->url, s, troupe_client_why(NULL));
        return EX_UNAVAILABLE;
    default:
        fprintf(stderr, "taskworker: %s: %s\n", a->url, troupe_client_why(NULL));
        return st == TROUPE_BAD_KEY ? EX_CONFIG : st == TROUPE_BAD_URL || st == TROUPE_UNSUPPORTED ? EX_USAGE : EXIT_FAILURE;
    }
}

/* How long a worker may be silent, as the queue has it. */
static int64_t touch_every(troupe_msg *stat) {
    char *json = troupe_msg_json(stat);
    int64_t ms = json ? task_field(json, "ack_timeout") / 3 : 0;
    free(json);
    return ms > 0 ? ms : INT64_MAX;
}

/* The master may need a moment for its queue. */
static int wait_for_queue(struct args *a, troupe_client *c, int64_t until) {
    troupe_msg *stat, *none;
    troupe_status st = troupe_queue_stat(c, TASK_QUEUE, &stat);
    while (st == TROUPE_NOT_FOUND && now_ms() < until) {
        (void)!troupe_client_receive(c, LOOK_AGAIN_MS, &none); /* nothing comes: it only waits */
        st = troupe_queue_stat(c, TASK_QUEUE, &stat);
    }
    if (st != TROUPE_OK) {
        fprintf(stderr, "taskworker: no taskmaster at %s: %s\n", a->url, troupe_client_why(c));
        return EX_UNAVAILABLE;
    }
    a->config.touch_ms = touch_every(stat);
    troupe_msg_free(&stat);
    return EXIT_SUCCESS;
}

/* Waits until somebody serves there, and knows our key. The workers, which go on trying for ever, are only begun then. */
static int wait_for_master(struct args *a) {
    troupe_client *c = NULL;
    int64_t until = now_ms() + a->config.connect_ms;
    troupe_client_opts opts = {
        .url = a->url, .authkey_file = a->authkey, .name = "taskworker", .connect_timeout_ms = a->config.connect_ms};
    if (opts.connect_timeout_ms == 0)
        opts.connect_timeout_ms = 1; /* 0 is the client's own default */
    troupe_status st = troupe_client_open(&c, &opts);
    int code = st == TROUPE_OK ? wait_for_queue(a, c, until) : no_master(a, st);
    troupe_client_close(&c);
    return code;
}

/* What the workers have said at their ends. One that is stopped, or was killed too often, says nothing that counts. */
static int hear_out(troupe_self *me) {
    troupe_msg *msg;
    bool empty = false, gone = false;
    while (troupe_receive(me, 0, &msg) == TROUPE_OK) {
        int64_t how;
        if (troupe_msg_int(msg, &how)) {
            empty |= how == NO_MORE_TASKS;
            gone |= how == MASTER_GONE;
        }
        troupe_msg_free(&msg);
    }
    if (gone)
        fprintf(stderr, "taskworker: the master is gone\n");
    else if (empty)
        puts("task queue is empty.");
    puts("worker exit.");
    return gone ? EX_UNAVAILABLE : EXIT_SUCCESS;
}

/* *stuck: somebody still works, and can't be stopped but with the whole process. */
static int run(troupe_system *sys, struct args *a, bool *stuck) {
    troupe_self *me = troupe_system_self(sys);
    a->config.boss = troupe_self_ref(me);
    for (unsigned i = 0; i < a->workers; i++) {
        char who[32];
        snprintf(who, sizeof who, "worker-%u", i + 1);
        troupe_spawn_opts opts = {.kind = a->kind, .name = who, .restart = TROUPE_TRANSIENT};
        troupe_status st = troupe_spawn(me, &opts, worker_main, &a->config, sizeof a->config, NULL);
        if (st != TROUPE_OK)
            return fail("a worker could not be started", st);
    }
    troupe_status st = troupe_system_run(sys, LAST_WORDS_MS);
    *stuck = st == TROUPE_TIMEOUT;
    if (st != TROUPE_OK && st != TROUPE_TIMEOUT)
        return fail("the workers ended", st);
    return hear_out(me);
}

int main(int argc, char **argv) {
    static const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    struct args a = {.config = {.sleep_ms = 1000, .idle_ms = 1000, .connect_ms = 10000},
                     .kind = TROUPE_PROCESS,
                     .url = TASK_URL,
                     .workers = 1};
    argp_err_exit_status = EX_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    if (a.config.credit == 0)
        a.config.credit = a.config.sleep_ms ? 1 : CREDIT_FAST;
    troupe_log_set(troupe_log_stderr, NULL, TROUPE_LOG_ERROR);
    troupe_system *sys;
    troupe_system_opts opts = {.threads = a.workers, .broker = a.url, .name = "taskworker", .authkey_file = a.authkey};
    troupe_status st = troupe_system_open(&sys, &opts);
    if (st != TROUPE_OK)
        return fail("the actor system could not be opened", st);
    bool stuck = false;
    int code = wait_for_master(&a);
    if (code == EXIT_SUCCESS)
        code = run(sys, &a, &stuck);
    fflush(stdout);
    if (!stuck)
        troupe_system_close(&sys);
    return code;
}
