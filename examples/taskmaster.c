/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * taskmaster: puts tasks into a queue, prints the results as they come, and ends when all are in. The workers (taskworker) are
 * wherever they like. The broker between them runs here, on a thread of its own; or it is any brokerd (--connect). With
 * --data=DIR its queues are on disk, and a master that was killed goes on where it was.
 *
 * This file is the command line and the broker; what a master does is in task_run.c. */
#include <argp.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <troupe/broker.h>
#include <troupe/log.h>
#include <troupe/version.h>
#include <unistd.h>

#include "examples/task.h"
#include "examples/task_run.h"

enum { TASKS_MOST = 1000000, NAME_MOST = 4096, CONNECT_MOST_MS = 5000 };

struct args {
    struct task_run run;
    const char *listen, *connect, *authkey, *data, *file_list;
    bool tasks_given, seed_given;
    size_t names; /* in the file list */
};

/* --- the command line --- */

const char *argp_program_version = "taskmaster " TROUPE_VERSION;
static const char doc[] =
    "Puts tasks into a queue for workers anywhere (see taskworker), prints their results, and ends when all are in.\v"
    "A task is a random number, whose square is wanted; or with --file-list the name of a file, whose lines are to be counted: "
    "large inputs go by name, not by value.\n\n"
    "A TIME is a number with ms, s, m or h; a bare one is seconds. With --data, or with a brokerd that has it, a master that "
    "was "
    "stopped or killed goes on when it is started again.\n\n"
    "Exit status: 0 all results are in; 1 some tasks could be done by nobody; 64 wrong usage; 69 there is no broker, or it "
    "cannot be; "
    "75 stopped, or the time was over, before all were in, or another taskmaster is at work there; 77 authentication failed; "
    "78 the "
    "authkey file cannot be used.";

enum {
    OPT_LISTEN = 'l',
    OPT_CONNECT = 'c',
    OPT_TASKS = 'n',
    OPT_QUIET = 'q',
    OPT_AUTHKEY = 256,
    OPT_SEED,
    OPT_TIMEOUT,
    OPT_DATA,
    OPT_FILES,
    OPT_ACK
};

static const struct argp_option options[] = {
    {"listen", OPT_LISTEN, "URL", 0, "Where workers find it (default " TASK_URL ")", 0},
    {"connect", OPT_CONNECT, "URL", 0, "Use this brokerd; listen nowhere", 0},
    {"authkey-file", OPT_AUTHKEY, "FILE", 0,
     "The key that both sides know (default with --connect: TROUPE_AUTHKEY_FILE, or none)", 0},
    {"tasks", OPT_TASKS, "N", 0, "How many (default 10)", 0},
    {"seed", OPT_SEED, "S", 0, "Of the random numbers (default: another one each time)", 0},
    {"file-list", OPT_FILES, "FILE", 0, "The tasks are the names in it, one a line", 0},
    {"timeout", OPT_TIMEOUT, "TIME", 0, "Give up after so long (default: never)", 0},
    {"data", OPT_DATA, "DIR", 0, "Keep the queues on disk", 0},
    {"ack-timeout", OPT_ACK, "TIME", 0, "Give a task to another worker when one has been silent for so long (default 30s)", 0},
    {"quiet", OPT_QUIET, NULL, 0, "Print no line for each task", 0},
    {0},
};

_Noreturn static void usage(const char *flag, const char *value, const char *instead) {
    fprintf(stderr, "taskmaster: --%s=%s: %s; see taskmaster --help\n", flag, value, instead);
    exit(EX_USAGE);
}

static uint64_t number(const char *flag, const char *text, uint64_t least, uint64_t most) {
    uint64_t n;
    char instead[96];
    snprintf(instead, sizeof instead, "it takes a number from %" PRIu64 " to %" PRIu64, least, most);
    if (!task_number(text, least, most, &n))
        usage(flag, text, instead);
    return n;
}

static int64_t duration(const char *flag, const char *text) {
    int64_t ms;
    if (!task_duration(text, &ms) || ms == 0)
        usage(flag, text, "it takes a time, such as 500ms, 1s or 2m");
    return ms;
}

static error_t parse(int key, char *text, struct argp_state *state) {
    struct args *a = state->input;
    switch (key) {
    case OPT_LISTEN:
        a->listen = text;
        return 0;
    case OPT_CONNECT:
        a->connect = text;
        return 0;
    case OPT_AUTHKEY:
        a->authkey = text;
        return 0;
    case OPT_DATA:
        a->data = text;
        return 0;
    case OPT_FILES:
        a->file_list = text;
        return 0;
    case OPT_TASKS:
        a->run.tasks = number("tasks", text, 1, TASKS_MOST);
        a->tasks_given = true;
        return 0;
    case OPT_SEED:
        a->run.seed = number("seed", text, 0, UINT64_MAX);
        a->seed_given = true;
        return 0;
    case OPT_TIMEOUT:
        a->run.timeout_ms = duration("timeout", text);
        return 0;
    case OPT_ACK:
        a->run.ack_timeout_ms = duration("ack-timeout", text);
        return 0;
    case OPT_QUIET:
        a->run.quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        fprintf(stderr, "taskmaster: '%s' is not understood: it takes flags only; see taskmaster --help\n", text);
        exit(EX_USAGE);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* What does not go together. */
static void check(const struct args *a) {
    if (a->connect && a->listen)
        usage("connect", a->connect, "it does not go with --listen");
    if (a->connect && a->data)
        usage("connect", a->connect, "it does not go with --data, which is the brokerd's then");
    if (a->file_list && (a->tasks_given || a->seed_given))
        usage("file-list", a->file_list, "it does not go with --tasks or --seed");
}

/* --- the list of files --- */

static bool list_add(struct args *a, char *name, size_t *room) {
    if (a->names == *room) {
        size_t more = *room ? *room * 2 : 64;
        char **files = realloc(a->run.files, more * sizeof *files);
        if (!files)
            return false;
        a->run.files = files;
        *room = more;
    }
    char *copy = strdup(name);
    if (copy)
        a->run.files[a->names++] = copy;
    return copy != NULL;
}

static int list_fail(const struct args *a, const char *why) {
    fprintf(stderr, "taskmaster: --file-list=%s: %s\n", a->file_list, why);
    return EX_USAGE;
}

/* Empty lines are none. */
static int list_read(struct args *a, FILE *f) {
    char *line = NULL;
    size_t cap = 0, room = 0;
    int code = 0;
    for (ssize_t n; code == 0 && (n = getline(&line, &cap, f)) >= 0;) {
        if (n > 0 && line[n - 1] == '\n')
            line[--n] = 0;
        if (n >= NAME_MOST || strlen(line) != (size_t)n)
            code = list_fail(a, "a line of it is no name of a file");
        else if (n > 0 && a->names == TASKS_MOST)
            code = list_fail(a, "it has more than a million names");
        else if (n > 0 && !list_add(a, line, &room))
            code = list_fail(a, strerror(ENOMEM));
    }
    free(line);
    a->run.tasks = a->names;
    if (code == 0 && a->names == 0)
        code = list_fail(a, ferror(f) ? strerror(errno) : "there is no name in it");
    return code;
}

static int list_load(struct args *a) {
    FILE *f = fopen(a->file_list, "r");
    if (!f)
        return list_fail(a, strerror(errno));
    int code = list_read(a, f);
    fclose(f);
    return code;
}

static void list_free(struct args *a) {
    for (size_t i = 0; i < a->names; i++)
        free(a->run.files[i]);
    free(a->run.files);
}

/* --- the broker --- */

struct house {
    troupe_broker *broker;
    pthread_t thread;
    bool running;
};

static void *broker_main(void *arg) {
    struct house *h = arg;
    (void)!troupe_broker_run(h->broker); /* what it cut off was a worker's, which has been told */
    return NULL;
}

static int broker_fail(const char *what, const char *why, troupe_status st) {
    fprintf(stderr, "taskmaster: %s: %s\n", what, why);
    if (st == TROUPE_BAD_KEY)
        return EX_CONFIG;
    return st == TROUPE_BAD_URL || st == TROUPE_UNSUPPORTED ? EX_USAGE : EX_UNAVAILABLE;
}

static int broker_open(struct house *h, const struct args *a) {
    const char *why = "", *url = a->listen ? a->listen : TASK_URL;
    troupe_broker_opts opts = {.data = a->data, .authkey_file = a->authkey};
    troupe_status st = troupe_broker_new(&h->broker, &opts);
    if (st != TROUPE_OK)
        return broker_fail("there can be no broker", troupe_broker_why(), st);
    st = troupe_broker_listen(h->broker, url, &why);
    if (st != TROUPE_OK)
        return broker_fail(url, why, st);
    if (pthread_create(&h->thread, NULL, broker_main, h) != 0)
        return broker_fail("there can be no broker", strerror(errno), TROUPE_SYSTEM);
    h->running = true;
    fprintf(stderr, "taskmaster: listening on %s\n", troupe_broker_address(h->broker, 0, NULL));
    return EXIT_SUCCESS;
}

/* Workers are told that it ends; what they were about to say is taken first. */
static void broker_close(struct house *h) {
    if (h->running) {
        troupe_broker_stop(h->broker);
        pthread_join(h->thread, NULL);
    }
    troupe_broker_free(&h->broker);
}

/* --- beginning and end --- */

/* They come by a descriptor from now on, in every thread made after this. */
static int signals_open(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int client_open(struct args *a, const char *url) {
    int64_t all = a->run.timeout_ms;
    troupe_client_opts opts = {.url = url,
                               .authkey_file = a->connect   ? a->authkey
                                               : a->authkey ? a->authkey
                                                            : "",
                               .name = "taskmaster",
                               .connect_timeout_ms = all && all < CONNECT_MOST_MS ? all : CONNECT_MOST_MS};
    troupe_status st = troupe_client_open(&a->run.client, &opts);
    if (st == TROUPE_OK)
        return EXIT_SUCCESS;
    fprintf(stderr, "taskmaster: %s: %s\n", url, troupe_client_why(NULL));
    if (st == TROUPE_REFUSED)
        return EX_NOPERM;
    if (st == TROUPE_BAD_KEY)
        return EX_CONFIG;
    return st == TROUPE_BAD_URL || st == TROUPE_UNSUPPORTED ? EX_USAGE : EX_UNAVAILABLE;
}

static int say_end(const struct args *a, enum task_end end) {
    const struct task_run *r = &a->run;
    uint64_t done = r->done;
    switch (end) {
    case TASK_DONE:
        if (r->lost)
            fprintf(stderr,
                    "taskmaster: %" PRIu64 " of %" PRIu64 " tasks could be done by nobody: see the queue " TASK_QUEUE ".dead\n",
                    r->lost, r->tasks);
        return r->lost ? EXIT_FAILURE : EXIT_SUCCESS;
    case TASK_STOPPED:
        fprintf(stderr, "taskmaster: stopped with %" PRIu64 " of %" PRIu64 " results\n", done, r->tasks);
        return EX_TEMPFAIL;
    case TASK_LATE:
        fprintf(stderr, "taskmaster: the time is over, with %" PRIu64 " of %" PRIu64 " results\n", done, r->tasks);
        return EX_TEMPFAIL;
    case TASK_TAKEN:
        fprintf(stderr, "taskmaster: another taskmaster is at work there\n");
        return EX_TEMPFAIL;
    default:
        fprintf(stderr, "taskmaster: %s\n", r->why);
        return EX_UNAVAILABLE;
    }
}

static int work(struct args *a, struct house *h) {
    int code = a->connect ? EXIT_SUCCESS : broker_open(h, a);
    if (code == EXIT_SUCCESS)
        code = client_open(a, a->connect ? a->connect : troupe_broker_address(h->broker, 0, NULL));
    if (code != EXIT_SUCCESS)
        return code;
    enum task_end end = task_run(&a->run);
    fflush(stdout);
    return say_end(a, end);
}

int main(int argc, char **argv) {
    static const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    struct args a = {.run = {.tasks = 10}};
    struct house house = {0};
    argp_err_exit_status = EX_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    check(&a);
    if (!a.seed_given && getrandom(&a.run.seed, sizeof a.run.seed, 0) < 0)
        a.run.seed = (uint64_t)getpid();
    int code = a.file_list ? list_load(&a) : EXIT_SUCCESS;
    if (code != EXIT_SUCCESS)
        return code;
    troupe_log_set(troupe_log_stderr, NULL, TROUPE_LOG_ERROR);
    a.run.durable = a.data || a.connect;
    a.run.signals = signals_open();
    code = work(&a, &house);
    task_run_free(&a.run);
    troupe_client_close(&a.run.client);
    broker_close(&house);
    list_free(&a);
    close(a.run.signals);
    return code;
}
