/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Mode request: the requester here, the service a process that gives back what it is given. */
#include <string.h>
#include <sysexits.h>

#include "clients/cli/bench.h"

/* Answers until it is asked on the topic of its end. */
static int service(struct bench *b, size_t index, int out) {
    static struct bench_result nothing;
    troupe_client *c = cli_open(b->cli);
    troupe_msg *m;
    troupe_status st = troupe_client_subscribe(c, b->topic, NULL, NULL);
    (void)index;
    if (st == TROUPE_OK)
        st = troupe_client_subscribe(c, b->credit, NULL, NULL);
    if (st == TROUPE_OK)
        bench_tell(out, "r", 1);
    for (bool go_on = true; st == TROUPE_OK && go_on;) {
        st = troupe_client_receive(c, TROUPE_FOREVER, &m);
        if (st != TROUPE_OK)
            break;
        go_on = strcmp(troupe_msg_topic(m), b->credit) != 0;
        if (go_on)
            st = troupe_client_reply(c, m, troupe_msg_value(m));
        troupe_msg_free(&m);
    }
    if (st != TROUPE_OK)
        bench_die(b, st, troupe_client_why(c));
    bench_tell(out, &nothing, sizeof nothing);
    troupe_client_close(&c);
    return EX_OK;
}

static void ask(struct bench *b, troupe_client *c, uint64_t start_ns, uint64_t number) {
    uint64_t id, ns = bench_due(b, c, start_ns, number);
    troupe_status st = troupe_client_submit(c, b->topic, bench_payload(b, number, ns), b->outstanding > 1, &id);
    if (st != TROUPE_OK)
        bench_die(b, st, troupe_client_why(c));
}

static void collect(struct bench *b, troupe_client *c, struct bench_result *r) {
    uint64_t id, number, sent_ns;
    troupe_msg *answer;
    troupe_status st = troupe_client_collect(c, BENCH_PATIENCE_MS, &id, &answer);
    if (st != TROUPE_OK)
        bench_die(b, st, troupe_client_why(c));
    r->last_ns = bench_now_ns();
    if (!bench_read(answer, &number, &sent_ns) || number != r->received)
        r->wrong++;
    else
        histogram_add(&r->latency, r->last_ns > sent_ns ? r->last_ns - sent_ns : 0);
    r->received++;
    troupe_msg_free(&answer);
}

void bench_request(struct bench *b, struct bench_result *result, uint64_t *start_ns) {
    bench_spawn(b, service, 0);
    bench_ready(b);
    troupe_client *c = cli_open(b->cli);
    *start_ns = bench_now_ns();
    for (uint64_t asked = 0; result->received < b->count;) {
        while (asked < b->count && asked - result->received < b->outstanding)
            ask(b, c, *start_ns, asked++);
        collect(b, c, result);
        if (result->received % 256 == 0)
            bench_progress(b, result->received, *start_ns);
    }
    uint64_t last_ns = result->last_ns;
    if (troupe_client_publish(c, b->credit, troupe_nil(), NULL) != TROUPE_OK)
        bench_die(b, TROUPE_DISCONNECTED, troupe_client_why(c));
    bench_results(b, result);
    result->last_ns = last_ns;
    troupe_client_close(&c);
}
