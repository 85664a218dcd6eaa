/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What the router itself costs: nanoseconds from an envelope that is already read to the effects, with a sink that only
 * counts. No system call is made. Each line is the median and the p99 of batches.
 *
 *     core_bench                      all
 *     core_bench --only=request       the cases whose names begin so
 *     core_bench --subs=1000000       with so many other subscriptions in the trie
 *     valgrind --tool=callgrind --toggle-collect='trp_core_*' core_bench --brief --only=plain */
#include "broker/core.h"
#include "tests/bench/batches.h"
#include "transports/assert.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAYLOAD = 128, TOPICS = 4096, WORKERS = 4 };

static struct {
    const char *only;
    uint64_t batches, ops, subs;
    bool json;
} how = {.only = "", .batches = 200, .ops = 5000};

static struct trp_core *core;
static struct trp_peer *publisher, *filler, *worker[8];
static uint64_t delivered;

/* The last delivery to a worker and to the publisher: what an echoing service would look at. */
static struct {
    struct trp_peer *peer;
    uint64_t sid, token;
} last;

static void on_msg(void *ctx, void *user, uint64_t sid, uint64_t token, const struct trp_message *m) {
    (void)ctx, (void)m;
    delivered++;
    last.peer = *(struct trp_peer **)user;
    last.sid = sid;
    last.token = token;
}

static void on_ok(void *ctx, void *user, uint64_t id, uint64_t level, uint64_t count) {
    (void)ctx, (void)user, (void)id, (void)level, (void)count;
}

static void on_fault(void *ctx, void *user, uint64_t id, const char *code, const char *text) {
    (void)ctx, (void)user;
    fprintf(stderr, "core_bench: id %" PRIu64 " %s: %s\n", id, code, text);
    exit(1);
}

static void on_welcome(void *ctx, void *user, uint64_t session, struct trp_slice inbox) {
    (void)ctx, (void)user, (void)session, (void)inbox;
}

static void on_pong(void *ctx, void *user, uint64_t id) {
    (void)ctx, (void)user, (void)id;
}

static void on_close(void *ctx, void *user, const char *code, const char *text) {
    on_fault(ctx, user, 0, code, text);
}

static const struct trp_sink sink = {on_msg, on_ok, on_fault, on_welcome, on_pong, on_close};

/* ---- envelopes ---- */

struct ready {
    uint8_t wire[512];
    struct trp_envelope e;
};

static void prepare(struct ready *r, uint64_t id, const char *topic, struct trp_slice reply) {
    uint8_t *p = trp_pack_str(trp_pack_array(r->wire, 4), trp_slice_str(topic));
    p = reply.n ? trp_pack_str(p, reply) : (*p = 0xc0, p + 1);
    *p++ = 0xc0;
    p = trp_pack_bin_head(p, PAYLOAD);
    memset(p, 'x', PAYLOAD);
    p += PAYLOAD;
    const char *why;
    size_t used;
    r->e = (struct trp_envelope){.op = TRP_PUB, .id = id};
    trp_assert(trp_message_read(r->wire, (size_t)(p - r->wire), &r->e.msg, &used, &why) == TROUPE_OK);
}

static void attach(struct trp_peer **p) {
    static uint8_t nonce[12];
    nonce[11]++;
    trp_assert(trp_core_attach(core, 0, TRP_PEER_FULL, nonce, p, p) == TROUPE_OK);
}

static void sub(struct trp_peer *p, uint64_t sid, const char *pattern, const char *group, uint64_t credit) {
    uint8_t map[64], *end = map;
    if (group) {
        end = trp_pack_str(trp_pack_str(trp_pack_map(map, 2), trp_slice_str("group")), trp_slice_str(group));
        end = trp_pack_uint(trp_pack_str(end, trp_slice_str("credit")), credit);
    }
    struct trp_envelope e = {
        .op = TRP_SUB, .id = 1, .sid = sid, .text = trp_slice_str(pattern), .options = {map, (size_t)(end - map)}};
    trp_core_feed(core, 0, p, &e);
}

static void ack_last(void) {
    struct trp_envelope e = {.op = TRP_ACK, .sid = last.sid, .token = last.token};
    trp_core_feed(core, 0, last.peer, &e);
}

/* ---- cases ---- */

static struct ready message, request, reply;
static struct ready *many;

static void start_one(void) {
    attach(&worker[0]);
    sub(worker[0], 1, "bench.topic", NULL, 0);
    prepare(&message, 0, "bench.topic", (struct trp_slice){0});
}

static void start_eight(void) {
    for (size_t i = 0; i < 8; i++) {
        attach(&worker[i]);
        sub(worker[i], 1, i % 2 ? "bench.topic" : "bench.*", NULL, 0);
    }
    prepare(&message, 0, "bench.topic", (struct trp_slice){0});
}

static void start_none(void) {
    prepare(&message, 0, "bench.nobody", (struct trp_slice){0});
}

static void publish(uint64_t i) {
    (void)i;
    trp_core_feed(core, 0, publisher, &message.e);
}

static void start_many(void) {
    attach(&worker[0]);
    sub(worker[0], 1, "bench.*.topic", NULL, 0);
    many = calloc(TOPICS * 8, sizeof *many);
    trp_assert(many);
    for (size_t i = 0; i < (size_t)TOPICS * 8; i++) {
        char topic[64];
        snprintf(topic, sizeof topic, "bench.%zu.topic", i);
        prepare(&many[i], 0, topic, (struct trp_slice){0});
    }
}

static void publish_cached(uint64_t i) {
    trp_core_feed(core, 0, publisher, &many[i % TOPICS].e);
}

static void publish_uncached(uint64_t i) {
    trp_core_feed(core, 0, publisher, &many[i % (TOPICS * 8)].e);
}

static void start_group(void) {
    for (size_t i = 0; i < WORKERS; i++) {
        attach(&worker[i]);
        sub(worker[i], 1, "bench.job", "workers", 4);
    }
    prepare(&message, 0, "bench.job", (struct trp_slice){0});
}

static void publish_ack(uint64_t i) {
    (void)i;
    trp_core_feed(core, 0, publisher, &message.e);
    ack_last();
}

static void start_request(void) {
    char inbox[64];
    struct trp_slice prefix = trp_peer_inbox(publisher);
    start_group();
    snprintf(inbox, sizeof inbox, "%.*s1", (int)prefix.n, (const char *)prefix.p);
    prepare(&request, 1, "bench.job", trp_slice_str(inbox));
    prepare(&reply, 0, inbox, (struct trp_slice){0});
}

static void request_reply_ack(uint64_t i) {
    (void)i;
    trp_core_feed(core, 0, publisher, &request.e);
    struct trp_peer *who = last.peer;
    struct trp_envelope ack = {.op = TRP_ACK, .sid = last.sid, .token = last.token};
    trp_core_feed(core, 0, who, &reply.e);
    trp_core_feed(core, 0, who, &ack);
}

/* The workers are full: the message waits, and is given away by the ACK before it. */
static void start_backlog(void) {
    start_group();
    for (uint64_t i = 0; i < 4 * WORKERS + 1000; i++)
        publish(i);
}

static void start_sub_unsub(void) {
    attach(&worker[0]);
}

static void sub_unsub(uint64_t i) {
    (void)i;
    sub(worker[0], 1, "bench.some.topic", NULL, 0);
    struct trp_envelope e = {.op = TRP_UNSUB, .id = 1, .sid = 1};
    trp_core_feed(core, 0, worker[0], &e);
}

static const struct {
    const char *name;
    void (*start)(void);
    void (*run)(uint64_t i);
} cases[] = {
    {"nobody", start_none, publish},
    {"plain 1", start_one, publish},
    {"plain 8", start_eight, publish},
    {"topics, in the cache", start_many, publish_cached},
    {"topics, not in the cache", start_many, publish_uncached},
    {"group of 4: publish, ack", start_group, publish_ack},
    {"group of 4, backlog: publish, ack", start_backlog, publish_ack},
    {"request, reply, ack", start_request, request_reply_ack},
    {"sub, unsub", start_sub_unsub, sub_unsub},
};

/* ---- measuring ---- */

static void measure(const char *name, void (*run)(uint64_t)) {
    struct batches ns = batches_measure(how.batches, how.ops, run);
    if (how.json)
        printf("{\"bench\":\"core\",\"case\":\"%s\",\"subs\":%" PRIu64 ",\"median_ns\":%.1f,\"p99_ns\":%.1f}\n", name, how.subs,
               ns.median, ns.p99);
    else
        printf("%8" PRIu64 " subs  %-36s %8.1f ns %8.1f ns p99\n", how.subs, name, ns.median, ns.p99);
}

/* Subscriptions that the cases have nothing to do with, three tokens each. */
static void fill(void) {
    attach(&filler);
    for (uint64_t i = 0; i < how.subs; i++) {
        char pattern[64];
        snprintf(pattern, sizeof pattern, i % 10 ? "fill.%" PRIu64 ".%" PRIu64 : "fill.%" PRIu64 ".*.%" PRIu64, i % 1000, i);
        sub(filler, i + 1, pattern, NULL, 0);
    }
}

static void run_case(size_t i) {
    struct trp_core_opts opts = {.max_subs = UINT32_MAX, .seed = 42};
    trp_assert(trp_core_new(&core, &opts, &sink, NULL) == TROUPE_OK);
    attach(&publisher);
    fill();
    cases[i].start();
    measure(cases[i].name, cases[i].run);
    for (size_t w = 0; w < 8; w++)
        if (worker[w]) {
            trp_core_detach(core, 0, worker[w]);
            worker[w] = NULL;
        }
    trp_core_detach(core, 0, publisher);
    trp_core_detach(core, 0, filler);
    trp_core_free(core);
    free(many);
    many = NULL;
}

static void run_all(void) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (strncmp(cases[i].name, how.only, strlen(how.only)) == 0)
            run_case(i);
}

int main(int argc, char **argv) {
    bool subs_given = false, brief = false;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--only=", 7) == 0)
            how.only = argv[i] + 7;
        else if (strncmp(argv[i], "--subs=", 7) == 0)
            how.subs = strtoull(argv[i] + 7, NULL, 10), subs_given = true;
        else if (strcmp(argv[i], "--json") == 0)
            how.json = true;
        else if (strcmp(argv[i], "--brief") == 0)
            how.batches = 5, how.ops = 1000, brief = true;
        else
            return fprintf(stderr, "usage: core_bench [--only=CASE] [--subs=N] [--json] [--brief]\n"), 2;
    }
    static const uint64_t sizes[] = {1, 1000, 1000000};
    for (size_t i = 0; i < (subs_given ? 1 : brief ? 2 : 3); i++) {
        if (!subs_given)
            how.subs = sizes[i];
        run_all();
    }
    return 0;
}
