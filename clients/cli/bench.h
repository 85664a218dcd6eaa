/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The inside of `troupe bench`: bench.c (options, processes, report), bench_pub.c, bench_request.c and bench_queue.c (work). */
#ifndef TRP_CLI_BENCH_H
#define TRP_CLI_BENCH_H

#include <sys/types.h>
#include <troupe/queue.h>

#include "clients/cli/cli.h"
#include "clients/cli/histogram.h"

enum {
    BENCH_LEAST = 16, /* bytes of a payload: its number and when it was sent */
    BENCH_PEERS = 256,
    BENCH_PATIENCE_MS = 10000, /* nothing at all for so long: it hangs */
};

/* What a peer process reports at its end. */
struct bench_result {
    uint64_t received, wrong; /* wrong: lost, doubled or out of order */
    uint64_t last_ns;         /* when the last one came */
    struct histogram latency;
};

struct bench {
    struct cli *cli;
    const char *mode;
    uint64_t size, count, rate, outstanding, subscribers; /* 0 of count and outstanding: the mode's default */
    bool json, progress;
    bool durable; /* mode queue, as the next two */
    troupe_level level;
    struct histogram *confirms; /* how long the confirmation of a put took; NULL: there are none */
    char topic[64], credit[64]; /* of this run */
    uint8_t *payload;
    /* The peers. */
    struct bench_peer {
        pid_t pid;
        int in; /* its pipe to us: a byte when it is ready, a result at its end */
    } peers[BENCH_PEERS];
    size_t n_peers;
    uint64_t shown_ns; /* the last progress line */
};

uint64_t bench_now_ns(void);
/* Starts a process that runs `role` with a pipe to write to, and ends with what it returns; ends the command when that
 * can't be. Before the first client is opened here. */
void bench_spawn(struct bench *b, int (*role)(struct bench *b, size_t index, int out), size_t index);
/* Waits until all have said that they are ready; reads the results of all. They end the command when a peer died. */
void bench_ready(struct bench *b);
void bench_results(struct bench *b, struct bench_result *sum);
/* In a peer. */
void bench_tell(int out, const void *p, size_t n);
/* Ends the command, and the peers. */
_Noreturn void bench_die(struct bench *b, troupe_status st, const char *why);

/* The payload of message `number`, scheduled or sent at `ns`. */
troupe_value bench_payload(struct bench *b, uint64_t number, uint64_t ns);
bool bench_read(const troupe_msg *m, uint64_t *number, uint64_t *ns);
/* With --rate: waits until message `number` is due and gives that time; else the time now. */
uint64_t bench_due(struct bench *b, troupe_client *c, uint64_t start_ns, uint64_t number);
void bench_progress(struct bench *b, uint64_t done, uint64_t start_ns);

/* The work: fills in the result. */
void bench_pub(struct bench *b, struct bench_result *result, uint64_t *start_ns);
void bench_request(struct bench *b, struct bench_result *result, uint64_t *start_ns);
void bench_queue(struct bench *b, struct bench_result *result, uint64_t *start_ns);

#endif
