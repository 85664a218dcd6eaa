/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Mode queue: the producer here, each consumer a process. A message's way is put, confirmed; delivered, acknowledged. The
 * producer has --in-flight puts unconfirmed at most. When all are confirmed it puts as many last words as there are consumers,
 * behind everything by their priority, and a consumer ends with the first that it gets; those that it has got besides go back
 * to the others. */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "clients/cli/bench.h"

enum { CREDIT = 64, SENT = 65536, LAST_PRIORITY = 9, LEFTOVERS_MS = 3600 * 1000 };

/* --- a consumer --- */

/* Of one consumer, messages come in the order put; a number that is not above the last came twice. */
static void take(struct bench_result *r, const troupe_msg *m, uint64_t *least) {
    uint64_t number, put_ns;
    r->last_ns = bench_now_ns();
    if (!bench_read(m, &number, &put_ns) || number < *least)
        r->wrong++;
    else
        histogram_add(&r->latency, r->last_ns > put_ns ? r->last_ns - put_ns : 0);
    *least = number + 1;
    r->received++;
}

static int consumer(struct bench *b, size_t index, int out) {
    static struct bench_result r;
    troupe_client *c = cli_open(b->cli);
    troupe_msg *m;
    uint64_t least = 0;
    (void)index;
    troupe_status st = troupe_queue_consume(c, b->topic, CREDIT, NULL);
    if (st == TROUPE_OK)
        bench_tell(out, "r", 1);
    for (bool last = false; st == TROUPE_OK && !last;) {
        st = troupe_client_receive(c, b->rate ? TROUPE_FOREVER : BENCH_PATIENCE_MS, &m);
        if (st != TROUPE_OK)
            break;
        last = troupe_msg_value(m).kind == TROUPE_NIL;
        if (!last)
            take(&r, m, &least);
        st = troupe_queue_ack(c, &m);
    }
    if (st != TROUPE_OK)
        bench_die(b, st, st == TROUPE_TIMEOUT ? "the messages stopped coming" : troupe_client_why(c));
    bench_tell(out, &r, sizeof r);
    troupe_client_close(&c);
    return EX_OK;
}

/* --- the producer --- */

struct producer {
    troupe_client *c;
    troupe_put_opts opts;
    uint64_t put, confirmed;
    uint64_t sent_ns[SENT]; /* by the number of the put; those in flight are never so far apart */
    struct histogram confirms;
};

static void put(struct bench *b, struct producer *p, uint64_t start_ns) {
    uint64_t number, ns = bench_due(b, p->c, start_ns, p->put);
    troupe_status st = troupe_queue_submit(p->c, b->topic, bench_payload(b, p->put, ns), b->level ? &p->opts : NULL,
                                           b->outstanding > 1, &number);
    if (st != TROUPE_OK)
        bench_die(b, st, troupe_client_why(p->c));
    p->sent_ns[number % SENT] = ns;
    p->put++;
}

static void collect(struct bench *b, struct producer *p) {
    uint64_t number;
    troupe_msg *none;
    troupe_status st = troupe_client_collect(p->c, BENCH_PATIENCE_MS, &number, &none);
    if (st != TROUPE_OK)
        bench_die(b, st, troupe_client_why(p->c));
    uint64_t now = bench_now_ns(), sent = p->sent_ns[number % SENT];
    histogram_add(&p->confirms, now > sent ? now - sent : 0);
    p->confirmed++;
}

static void put_all(struct bench *b, struct producer *p, uint64_t start_ns) {
    while (p->confirmed < b->count) {
        while (p->put < b->count && p->put - p->confirmed < b->outstanding)
            put(b, p, start_ns);
        collect(b, p);
        if (p->confirmed % 1024 == 0)
            bench_progress(b, p->confirmed, start_ns);
    }
}

static void put_last_words(struct bench *b, struct producer *p) {
    troupe_put_opts last = {.priority = TROUPE_PRIORITY(LAST_PRIORITY)};
    for (uint64_t i = 0; i < b->subscribers; i++)
        if (troupe_queue_put(p->c, b->topic, troupe_nil(), &last, NULL) != TROUPE_OK)
            bench_die(b, TROUPE_REFUSED, troupe_client_why(p->c));
}

/* A queue of this run. Of a run that was killed nothing stays for more than an hour. */
static void declare(struct bench *b, troupe_client *c) {
    troupe_queue_opts opts = {.durable = b->durable,
                              .max_messages = b->count + b->subscribers,
                              .max_bytes = TROUPE_NONE,
                              .ttl_ms = LEFTOVERS_MS,
                              .dead = ""};
    troupe_status st = troupe_queue_declare(c, b->topic, &opts);
    if (st != TROUPE_OK)
        bench_die(b, st, troupe_client_why(c));
}

void bench_queue(struct bench *b, struct bench_result *result, uint64_t *start_ns) {
    static struct producer p;
    p.opts.level = b->level;
    troupe_client *declarer = cli_open(b->cli);
    declare(b, declarer);
    troupe_client_close(&declarer); /* a client does not go along into the consumers */
    for (size_t i = 0; i < b->subscribers; i++)
        bench_spawn(b, consumer, i);
    bench_ready(b);
    p.c = cli_open(b->cli);
    *start_ns = bench_now_ns();
    put_all(b, &p, *start_ns);
    put_last_words(b, &p);
    bench_results(b, result);
    if (result->received != b->count)
        result->wrong++;
    b->confirms = &p.confirms;
    if (troupe_queue_delete(p.c, b->topic) != TROUPE_OK)
        bench_die(b, TROUPE_REFUSED, troupe_client_why(p.c));
    troupe_client_close(&p.c);
}
