/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * fib-actor: workers that answer Fibonacci numbers, slowly on purpose. The classic test of a concurrent service: many
 * tiny requests must keep flowing while somebody's huge one burns a core.
 *
 * The workers share one group with credit 1, so the broker never queues a request behind one that is being computed:
 * it keeps the rest itself and gives each to the first worker that is free. A worker that crashes is started again; the
 * requester it leaves behind hears WORKER_LOST at once. */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <troupe/actor.h>
#include <troupe/log.h>
#include <troupe/version.h>
#include <unistd.h>

struct config {
    char topic[256], group[256];
    int64_t max_n;
};

/* The double recursion, as slow as it is meant to be: 1.6 times the work for each n more. */
__attribute__((noinline)) static uint64_t fib(int64_t n) {
    return n <= 2 ? 1 : fib(n - 1) + fib(n - 2);
}

static troupe_status answer(troupe_self *self, troupe_msg *msg, const struct config *c) {
    int64_t n;
    char why[96];
    if (troupe_msg_value(msg).kind == TROUPE_UINT)
        n = INT64_MAX; /* larger than that */
    else if (!troupe_msg_int(msg, &n))
        return troupe_reply_error(self, msg, "NOT_A_NUMBER", "send a decimal number");
    if (n > c->max_n) {
        snprintf(why, sizeof why, "the largest n computed here is %" PRId64, c->max_n);
        return troupe_reply_error(self, msg, "TOO_BIG", why);
    }
    return troupe_reply(self, msg, troupe_uint(fib(n)));
}

static void fib_main(troupe_self *self, void *arg) {
    const struct config *c = arg;
    troupe_msg *msg;
    if (troupe_subscribe(self, c->topic, &(troupe_sub_opts){.group = c->group, .credit = 1}) != TROUPE_OK)
        return;
    while (troupe_receive(self, TROUPE_FOREVER, &msg) == TROUPE_OK) {
        troupe_status st = answer(self, msg, c);
        if (st < 0)
            fprintf(stderr, "fib-actor: no answer could be given: %s\n", troupe_status_text(st));
        troupe_msg_free(&msg);
    }
}

/* --- the command line --- */

const char *argp_program_version = "fib-actor " TROUPE_VERSION;
static const char doc[] =
    "Answers Fibonacci numbers on a topic of a broker, by naive recursion.\v"
    "Kinds: a process worker that crashes or is killed is replaced and takes nobody along; thread workers use every core in "
    "one process; coroutine workers are the cheapest, but one that computes holds up all that share its thread. So each "
    "coroutine gets a thread of its own here unless --threads says less: with --threads=1 one long computation delays "
    "everybody, and process or thread is the cure.\n\n"
    "Exit status: 0 stopped by SIGTERM or SIGINT, 1 something failed, 64 wrong usage, 77 authentication failed, 78 the "
    "authkey file cannot be used.";

enum {
    OPT_KIND = 'k',
    OPT_WORKERS = 'w',
    OPT_THREADS = 't',
    OPT_BROKER = 'b',
    OPT_TOPIC = 256,
    OPT_GROUP,
    OPT_MAX,
    OPT_AUTHKEY
};

static const struct argp_option options[] = {
    {"kind", OPT_KIND, "KIND", 0, "process (default), thread or coroutine", 0},
    {"workers", OPT_WORKERS, "N", 0, "How many workers (default: one per CPU)", 0},
    {"threads", OPT_THREADS, "M", 0, "Threads that coroutine workers run on (default: as many as workers)", 0},
    {"broker", OPT_BROKER, "URL", 0, "The broker (default: TROUPE_BROKER, or " TROUPE_DEFAULT_BROKER ")", 0},
    {"authkey-file", OPT_AUTHKEY, "FILE", 0, "The key that the broker asks for (default: TROUPE_AUTHKEY_FILE, or none)", 0},
    {"topic", OPT_TOPIC, "TOPIC", 0, "Topic of the requests (default fib)", 0},
    {"group", OPT_GROUP, "NAME", 0, "Group that the workers share (default workers)", 0},
    {"max-n", OPT_MAX, "N", 0, "Largest number computed (default 50, at most 93)", 0},
    {0},
};

struct args {
    struct config fib;
    troupe_kind kind;
    const char *broker, *authkey;
    unsigned workers, threads;
};

_Noreturn static void usage(const char *flag, const char *value, const char *instead) {
    fprintf(stderr, "fib-actor: --%s=%s: it takes %s; see fib-actor --help\n", flag, value, instead);
    exit(EX_USAGE);
}

static int64_t number(const char *flag, const char *text, int64_t least, int64_t most, const char *instead) {
    char *end;
    long long n = strtoll(text, &end, 10);
    if (end == text || *end || n < least || n > most)
        usage(flag, text, instead);
    return n;
}

static void name(const char *flag, const char *text, char out[256]) {
    if (!*text || strlen(text) > 255)
        usage(flag, text, "a name of 1 to 255 bytes");
    memcpy(out, text, strlen(text) + 1);
}

static error_t parse(int key, char *text, struct argp_state *state) {
    struct args *a = state->input;
    switch (key) {
    case OPT_KIND:
        if (troupe_kind_parse(text, &a->kind) != TROUPE_OK)
            usage("kind", text, "process, thread or coroutine");
        return 0;
    case OPT_WORKERS:
        a->workers = (unsigned)number("workers", text, 1, 10000, "a number from 1 to 10000");
        return 0;
    case OPT_THREADS:
        a->threads = (unsigned)number("threads", text, 1, 1000, "a number from 1 to 1000");
        return 0;
    case OPT_BROKER:
        a->broker = text;
        return 0;
    case OPT_AUTHKEY:
        a->authkey = text;
        return 0;
    case OPT_TOPIC:
        name("topic", text, a->fib.topic);
        return 0;
    case OPT_GROUP:
        name("group", text, a->fib.group);
        return 0;
    case OPT_MAX:
        a->fib.max_n = number("max-n", text, 1, 93, "a number from 1 to 93, the last that fits 64 bits");
        return 0;
    case ARGP_KEY_ARG:
        fprintf(stderr, "fib-actor: '%s' is not understood: it takes flags only; see fib-actor --help\n", text);
        exit(EX_USAGE);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int fail(const char *what, troupe_status st) {
    fprintf(stderr, "fib-actor: %s: %s\n", what, troupe_status_text(st));
    if (st == TROUPE_BAD_KEY)
        return EX_CONFIG;
    return st == TROUPE_BAD_URL || st == TROUPE_UNSUPPORTED ? EX_USAGE : EXIT_FAILURE;
}

/* Workers go on trying whatever their broker says, as services do. But a key that is wrong now was given wrong, and who
 * gave it should hear of it. A broker that is not there yet is waited for by the workers. */
static int check_broker(const struct args *a) {
    troupe_client *c = NULL;
    troupe_client_opts opts = {.url = a->broker, .authkey_file = a->authkey, .connect_timeout_ms = 250};
    troupe_status st = troupe_client_open(&c, &opts);
    troupe_client_close(&c);
    if (st != TROUPE_REFUSED && st != TROUPE_BAD_URL && st != TROUPE_UNSUPPORTED)
        return EXIT_SUCCESS; /* a broker that is not there yet is waited for */
    fprintf(stderr, "fib-actor: %s: %s\n", a->broker, troupe_client_why(NULL));
    return st == TROUPE_REFUSED ? EX_NOPERM : EX_USAGE;
}

/* Does its work until it is told to stop. *stuck: somebody still computes, and can't be stopped but with the whole process. */
static int run(troupe_system *sys, const struct args *a, bool *stuck) {
    troupe_self *me = troupe_system_self(sys);
    for (unsigned i = 0; i < a->workers; i++) {
        char who[32];
        snprintf(who, sizeof who, "fib-%u", i + 1);
        troupe_spawn_opts opts = {.kind = a->kind, .name = who, .restart = TROUPE_TRANSIENT};
        troupe_status st = troupe_spawn(me, &opts, fib_main, &a->fib, sizeof a->fib, NULL);
        if (st != TROUPE_OK)
            return fail("a worker could not be started", st);
    }
    printf("fib-actor: %u %s worker%s on topic %s of %s, n up to %" PRId64 "\n", a->workers, troupe_kind_name(a->kind),
           a->workers == 1 ? "" : "s", a->fib.topic, a->broker, a->fib.max_n);
    fflush(stdout);
    troupe_status st = troupe_system_run(sys, 0);
    *stuck = st == TROUPE_TIMEOUT;
    return st == TROUPE_OK || st == TROUPE_TIMEOUT ? EXIT_SUCCESS : fail("the workers ended", st);
}

int main(int argc, char **argv) {
    static const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    const char *broker = getenv("TROUPE_BROKER");
    struct args a = {.fib = {"fib", "workers", 50}, .kind = TROUPE_PROCESS, .workers = cpus > 0 ? (unsigned)cpus : 1};
    a.broker = broker && *broker ? broker : TROUPE_DEFAULT_BROKER;
    a.authkey = getenv("TROUPE_AUTHKEY_FILE");
    argp_err_exit_status = EX_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    troupe_log_set(troupe_log_stderr, NULL, TROUPE_LOG_INFO);
    troupe_system *sys;
    troupe_system_opts opts = {
        .threads = a.threads ? a.threads : a.workers, .broker = a.broker, .name = "fib-actor", .authkey_file = a.authkey};
    troupe_status st = troupe_system_open(&sys, &opts);
    if (st != TROUPE_OK)
        return fail("the actor system could not be opened", st);
    bool stuck = false;
    int code = check_broker(&a);
    if (code == EXIT_SUCCESS)
        code = run(sys, &a, &stuck);
    if (!stuck)
        troupe_system_close(&sys); /* it would wait for a thread that computes */
    return code;
}
