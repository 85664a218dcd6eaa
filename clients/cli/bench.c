/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * troupe bench: what a broker does, seen from outside. Every role is a process of its own, talking through the broker
 * alone, so that the figures are those of real programs; the peers are forked here before anything else happens.
 *
 * Each payload carries its number and the time it was sent (with --rate: the time it was due, so that a stall counts
 * against everything it delayed), on the clock that all processes of a machine share. */
#include "clients/cli/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "clients/cli/queue.h"

static const char doc[] =
    "Measures a broker that is running.\v"
    "Modes:\n"
    "  pub      one publisher, one subscriber: messages a second, and how long each takes\n"
    "  sub      the same with several subscribers, each of which gets every message\n"
    "  request  one requester, one service: requests a second, and how long an answer takes\n"
    "  queue    one producer, several consumers: each message put and confirmed, delivered and acknowledged\n\n"
    "Messages are lost nowhere: the publisher keeps --outstanding of them under way at most. Latencies of a run without "
    "--rate are those of a full pipe.";

enum {
    OPT_COUNT = 'n',
    OPT_SIZE = 's',
    OPT_RATE = 'r',
    OPT_OUTSTANDING = 'o',
    OPT_SUBSCRIBERS = 'S',
    OPT_JSON = 'j',
    OPT_DURABLE = 256,
    OPT_LEVEL,
};

static const struct argp_option options[] = {
    {"count", OPT_COUNT, "N", 0, "Messages (default 1000000; request: 100000)", 0},
    {"size", OPT_SIZE, "BYTES", 0, "Payload, from 16 (default 128)", 0},
    {"rate", OPT_RATE, "N", 0, "Messages a second (default: as fast as it goes)", 0},
    {"outstanding", OPT_OUTSTANDING, "N", 0,
     "Under way at a time (default 8192, less when they are large; request: 1; queue: 256 puts)", 0},
    {"in-flight", 0, NULL, OPTION_ALIAS, NULL, 0},
    {"subscribers", OPT_SUBSCRIBERS, "N", 0, "Modes sub and queue: how many (default 4)", 0},
    {"consumers", 0, NULL, OPTION_ALIAS, NULL, 0},
    {"durable", OPT_DURABLE, NULL, 0, "Mode queue: on disk", 0},
    {"level", OPT_LEVEL, "LEVEL", 0, "Mode queue: what is confirmed: memory, written or synced (default: what the queue gives)",
     0},
    {"json", OPT_JSON, NULL, 0, "One line of JSON", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct bench *b = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = b->cli;
        return 0;
    case OPT_COUNT:
        b->count = cli_number(b->cli, "count", arg, 1, UINT64_C(1) << 40);
        return 0;
    case OPT_SIZE:
        b->size = cli_number(b->cli, "size", arg, BENCH_LEAST, 1 << 26);
        return 0;
    case OPT_RATE:
        b->rate = cli_number(b->cli, "rate", arg, 1, 1000000000);
        return 0;
    case OPT_OUTSTANDING:
        b->outstanding = cli_number(b->cli, "outstanding", arg, 1, 65536);
        return 0;
    case OPT_SUBSCRIBERS:
        b->subscribers = cli_number(b->cli, "subscribers", arg, 1, BENCH_PEERS);
        return 0;
    case OPT_JSON:
        b->json = true;
        return 0;
    case OPT_DURABLE:
        b->durable = true;
        return 0;
    case OPT_LEVEL:
        b->level = cli_queue_level(b->cli, arg);
        return 0;
    case ARGP_KEY_ARG:
        if (b->mode)
            cli_usage(b->cli, "one mode at a time, not '%s' as well", arg);
        b->mode = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --- peers --- */

static void kill_peers(struct bench *b) {
    for (size_t i = 0; i < b->n_peers; i++)
        if (b->peers[i].pid > 0) {
            (void)kill(b->peers[i].pid, SIGKILL);
            (void)waitpid(b->peers[i].pid, NULL, 0);
        }
    b->n_peers = 0;
}

void bench_die(struct bench *b, troupe_status st, const char *why) {
    kill_peers(b);
    exit(cli_fail(st, why));
}

void bench_spawn(struct bench *b, int (*role)(struct bench *b, size_t index, int out), size_t index) {
    int ends[2];
    pid_t parent = getpid();
    if (pipe(ends) != 0)
        bench_die(b, TROUPE_SYSTEM, strerror(errno));
    pid_t pid = fork();
    if (pid < 0)
        bench_die(b, TROUPE_SYSTEM, strerror(errno));
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(EX_OSERR); /* it died before we could ask to be told */
        (void)close(ends[0]);
        b->n_peers = 0; /* they are the parent's */
        _exit(role(b, index, ends[1]));
    }
    (void)close(ends[1]);
    b->peers[b->n_peers++] = (struct bench_peer){pid, ends[0]};
}

/* Reads n bytes from a peer. One that ends before has said why on stderr; its exit status becomes ours. */
static void hear(struct bench *b, struct bench_peer *peer, void *to, size_t n) {
    char *p = to;
    while (n) {
        ssize_t got = read(peer->in, p, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            int status = 0;
            (void)waitpid(peer->pid, &status, 0);
            peer->pid = 0;
            kill_peers(b);
            exit(WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EX_SOFTWARE);
        }
        p += got;
        n -= (size_t)got;
    }
}

void bench_tell(int out, const void *bytes, size_t n) {
    const char *p = bytes;
    while (n) {
        ssize_t put = write(out, p, n);
        if (put < 0 && errno != EINTR)
            _exit(EX_SOFTWARE); /* nobody listens any more */
        p += put > 0 ? put : 0;
        n -= put > 0 ? (size_t)put : 0;
    }
}

void bench_ready(struct bench *b) {
    char ready;
    for (size_t i = 0; i < b->n_peers; i++)
        hear(b, &b->peers[i], &ready, 1);
}

void bench_results(struct bench *b, struct bench_result *sum) {
    static struct bench_result one;
    for (size_t i = 0; i < b->n_peers; i++) {
        hear(b, &b->peers[i], &one, sizeof one);
        sum->received += one.received;
        sum->wrong += one.wrong;
        if (one.last_ns > sum->last_ns)
            sum->last_ns = one.last_ns;
        histogram_merge(&sum->latency, &one.latency);
        (void)close(b->peers[i].in);
        (void)waitpid(b->peers[i].pid, NULL, 0);
    }
    b->n_peers = 0;
}

/* --- payloads and time --- */

uint64_t bench_now_ns(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

troupe_value bench_payload(struct bench *b, uint64_t number, uint64_t ns) {
    memcpy(b->payload, &number, sizeof number);
    memcpy(b->payload + sizeof number, &ns, sizeof ns);
    return troupe_bytes(b->payload, b->size);
}

bool bench_read(const troupe_msg *m, uint64_t *number, uint64_t *ns) {
    troupe_value v = troupe_msg_value(m);
    if (v.kind != TROUPE_BYTES || v.size < BENCH_LEAST)
        return false;
    memcpy(number, v.data, sizeof *number);
    memcpy(ns, (const char *)v.data + sizeof *number, sizeof *ns);
    return true;
}

uint64_t bench_due(struct bench *b, troupe_client *c, uint64_t start_ns, uint64_t number) {
    uint64_t now = bench_now_ns();
    if (b->rate == 0)
        return now;
    uint64_t due = start_ns + (uint64_t)((double)number * 1e9 / (double)b->rate);
    if (due <= now)
        return due;
    if (troupe_client_flush(c) != TROUPE_OK)
        bench_die(b, TROUPE_DISCONNECTED, troupe_client_why(c));
    struct timespec at = {.tv_sec = (time_t)(due / 1000000000u), .tv_nsec = (long)(due % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        continue;
    return due;
}

void bench_progress(struct bench *b, uint64_t done, uint64_t start_ns) {
    uint64_t now;
    if (!b->progress || (now = bench_now_ns()) - b->shown_ns < 200000000u)
        return;
    b->shown_ns = now;
    (void)fprintf(stderr, "\r%3.0f %%  %.0f messages/s ", 100.0 * (double)done / (double)b->count,
                  (double)done * 1e9 / (double)(now - start_ns));
}

/* --- the report --- */

static const struct {
    const char *name;
    double share;
} points[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};

static double microseconds(uint64_t ns) {
    return (double)ns / 1000.0;
}

static bool is_mode(const struct bench *b, const char *mode) {
    return strcmp(b->mode, mode) == 0;
}

static void latency_json(const char *name, const struct histogram *h) {
    (void)printf(",\"%s\":{\"min\":%.1f", name, microseconds(h->min));
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        (void)printf(",\"%s\":%.1f", points[i].name, microseconds(histogram_at(h, points[i].share)));
    (void)printf(",\"max\":%.1f}", microseconds(h->max));
}

static void latency_text(const char *name, const struct histogram *h) {
    (void)printf("  %s in us: min %.1f", name, microseconds(h->min));
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        (void)printf("  %s %.1f", points[i].name, microseconds(histogram_at(h, points[i].share)));
    (void)printf("  max %.1f\n", microseconds(h->max));
}

static void report_json(const struct bench *b, const struct bench_result *r, double seconds) {
    (void)printf("{\"mode\":\"%s\",\"size\":%" PRIu64 ",\"count\":%" PRIu64 ",\"rate\":%" PRIu64 ",\"outstanding\":%" PRIu64,
                 b->mode, b->size, b->count, b->rate, b->outstanding);
    if (!is_mode(b, "request"))
        (void)printf(",\"%s\":%" PRIu64, is_mode(b, "queue") ? "consumers" : "subscribers", b->subscribers);
    if (is_mode(b, "queue"))
        (void)printf(",\"durable\":%s,\"level\":%d", b->durable ? "true" : "false", (int)b->level);
    (void)printf(",\"wrong\":%" PRIu64 ",\"seconds\":%.6f,\"msgs_per_s\":%.1f,\"mib_per_s\":%.3f", r->wrong, seconds,
                 (double)r->received / seconds, (double)(r->received * b->size) / seconds / 1048576.0);
    latency_json("latency_us", &r->latency);
    if (b->confirms)
        latency_json("confirm_us", b->confirms);
    (void)puts("}");
}

static void report_text(const struct bench *b, const struct bench_result *r, double seconds) {
    (void)printf("%s: %" PRIu64 " messages of %" PRIu64 " bytes in %.3f s\n", b->mode, r->received, b->size, seconds);
    (void)printf("  %.0f messages/s   %.1f MiB/s\n", (double)r->received / seconds,
                 (double)(r->received * b->size) / seconds / 1048576.0);
    latency_text("latency", &r->latency);
    if (b->confirms)
        latency_text("confirmed", b->confirms);
    if (r->wrong)
        (void)printf("  %" PRIu64 " lost, doubled or out of order\n", r->wrong);
}

/* --- the run --- */

static uint64_t most_under_way(uint64_t size) {
    uint64_t n = (UINT64_C(8) << 20) / size;
    return n > 8192 ? 8192 : n < 2 ? 2 : n;
}

static void fill_in(struct bench *b) {
    bool request = is_mode(b, "request"), queue = is_mode(b, "queue");
    if (b->count == 0)
        b->count = request || b->durable ? 100000 : 1000000;
    if (b->outstanding == 0)
        b->outstanding = request ? 1 : queue ? 256 : most_under_way(b->size);
    if (b->subscribers == 0)
        b->subscribers = queue || is_mode(b, "sub") ? 4 : 1;
    b->progress = !b->json && !b->cli->quiet && isatty(STDERR_FILENO);
    (void)snprintf(b->topic, sizeof b->topic, "bench.%ld.data", (long)getpid());
    (void)snprintf(b->credit, sizeof b->credit, "bench.%ld.credit", (long)getpid());
    b->payload = calloc(1, b->size);
    if (!b->payload)
        bench_die(b, TROUPE_NO_MEMORY, troupe_status_text(TROUPE_NO_MEMORY));
}

static int run(struct bench *b) {
    static struct bench_result result;
    uint64_t start_ns = 0;
    if (is_mode(b, "request"))
        bench_request(b, &result, &start_ns);
    else if (is_mode(b, "queue"))
        bench_queue(b, &result, &start_ns);
    else
        bench_pub(b, &result, &start_ns);
    if (b->progress)
        (void)fprintf(stderr, "\r\033[K");
    double seconds = result.last_ns > start_ns ? (double)(result.last_ns - start_ns) / 1e9 : 1e-9;
    if (b->json)
        report_json(b, &result, seconds);
    else
        report_text(b, &result, seconds);
    cli_flush();
    return result.wrong ? EXIT_FAILURE : EX_OK;
}

static void check(struct bench *b) {
    static const char *const modes[] = {"pub", "sub", "request", "queue"};
    size_t i = 0, n = sizeof modes / sizeof *modes;
    if (!b->mode)
        cli_usage(b->cli, "the mode is missing: pub, sub, request or queue");
    while (i < n && strcmp(b->mode, modes[i]) != 0)
        i++;
    if (i == n)
        cli_usage(b->cli, "there is no mode '%s': it is one of pub, sub, request, queue", b->mode);
    if (b->subscribers && !is_mode(b, "sub") && !is_mode(b, "queue"))
        cli_usage(b->cli, "--subscribers is for the modes sub and queue");
    if ((b->durable || b->level) && !is_mode(b, "queue"))
        cli_usage(b->cli, "--durable and --level are for mode queue");
}

int cli_bench(struct cli *cli, int argc, char **argv) {
    static const struct argp_child children[] = {{&cli_common, 0, NULL, 0}, {0}};
    static const struct argp argp = {options, parse, "pub|sub|request|queue", doc, children, NULL, NULL};
    struct bench b = {.cli = cli, .size = 128};
    cli_parse(&argp, cli, argc, argv, &b);
    check(&b);
    fill_in(&b);
    int code = run(&b);
    free(b.payload);
    return code;
}
