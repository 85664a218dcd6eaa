/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Modes pub and sub: the publisher here, each subscriber a process. The window is kept over the broker, too: a
 * subscriber says every quarter of a window how far it is, and the publisher stays within a window of the slowest. */
#include <stdlib.h>
#include <sysexits.h>

#include "clients/cli/bench.h"

/* --- a subscriber --- */

static uint64_t quarter(const struct bench *b) {
    return b->outstanding / 4 ? b->outstanding / 4 : 1;
}

static void subscribe(struct bench *b, troupe_client *c, const char *topic) {
    troupe_status st = troupe_client_subscribe(c, topic, NULL, NULL);
    if (st != TROUPE_OK)
        bench_die(b, st, troupe_client_why(c));
}

/* "I, number `index`, have had `so_far`." */
static void tell_progress(struct bench *b, troupe_client *c, size_t index, uint64_t so_far) {
    troupe_status st = troupe_client_publish(c, b->credit, bench_payload(b, index, so_far), NULL);
    if (st != TROUPE_OK)
        bench_die(b, st, troupe_client_why(c));
}

static void take(struct bench_result *r, const troupe_msg *m) {
    uint64_t number, sent_ns;
    r->last_ns = bench_now_ns();
    if (!bench_read(m, &number, &sent_ns) || number != r->received)
        r->wrong++;
    else
        histogram_add(&r->latency, r->last_ns > sent_ns ? r->last_ns - sent_ns : 0);
    r->received++;
}

static int subscriber(struct bench *b, size_t index, int out) {
    static struct bench_result r;
    troupe_client *c = cli_open(b->cli);
    troupe_msg *m;
    subscribe(b, c, b->topic);
    bench_tell(out, "r", 1);
    while (r.received < b->count) {
        troupe_status st = troupe_client_receive(c, b->rate ? TROUPE_FOREVER : BENCH_PATIENCE_MS, &m);
        if (st != TROUPE_OK)
            bench_die(b, st, "the messages stopped coming");
        take(&r, m);
        troupe_msg_free(&m);
        if (r.received % quarter(b) == 0)
            tell_progress(b, c, index, r.received);
    }
    bench_tell(out, &r, sizeof r);
    troupe_client_close(&c);
    return EX_OK;
}

/* --- the publisher --- */

struct window {
    uint64_t had[BENCH_PEERS]; /* by each subscriber */
    uint64_t slowest;
};

static void window_move(struct bench *b, struct window *w, const troupe_msg *m) {
    uint64_t index, so_far;
    if (!bench_read(m, &index, &so_far) || index >= b->subscribers)
        return;
    w->had[index] = so_far;
    w->slowest = so_far;
    for (uint64_t i = 0; i < b->subscribers; i++)
        if (w->had[i] < w->slowest)
            w->slowest = w->had[i];
}

/* Waits until message `number` is within the window. */
static void window_wait(struct bench *b, struct window *w, troupe_client *c, uint64_t number) {
    troupe_msg *m;
    while (number - w->slowest >= b->outstanding) {
        troupe_status st = troupe_client_receive(c, BENCH_PATIENCE_MS, &m);
        if (st != TROUPE_OK)
            bench_die(b, st, "the subscribers stopped");
        window_move(b, w, m);
        troupe_msg_free(&m);
    }
}

static void publish_all(struct bench *b, troupe_client *c, uint64_t start_ns) {
    static struct window w;
    for (uint64_t i = 0; i < b->count; i++) {
        window_wait(b, &w, c, i);
        uint64_t ns = bench_due(b, c, start_ns, i);
        troupe_status st = troupe_client_publish(c, b->topic, bench_payload(b, i, ns), &(troupe_pub_opts){.more = true});
        if (st != TROUPE_OK)
            bench_die(b, st, troupe_client_why(c));
        if (i % 1024 == 0)
            bench_progress(b, i, start_ns);
    }
    if (troupe_client_flush(c) != TROUPE_OK)
        bench_die(b, TROUPE_DISCONNECTED, troupe_client_why(c));
}

void bench_pub(struct bench *b, struct bench_result *result, uint64_t *start_ns) {
    for (size_t i = 0; i < b->subscribers; i++)
        bench_spawn(b, subscriber, i);
    bench_ready(b);
    troupe_client *c = cli_open(b->cli);
    subscribe(b, c, b->credit);
    *start_ns = bench_now_ns();
    publish_all(b, c, *start_ns);
    bench_results(b, result);
    troupe_client_close(&c);
}
