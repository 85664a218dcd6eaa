/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What the queues themselves cost: nanoseconds from a put to the end of its ack, with a sink that only counts, and a log
 * that only takes the bytes. Each line is the median and the p99 of batches; then bytes of memory a waiting message, and
 * the time a million messages take to come back from their records.
 *
 *     queue_bench                    all
 *     queue_bench --only=durable     the cases whose names begin so
 *     queue_bench --messages=100000  so many in the cases with a backlog, for memory and recovery
 *     valgrind --tool=callgrind --toggle-collect='trp_queue_put' queue_bench --brief --only=memory */
#include "broker/queue.h"
#include "tests/bench/batches.h"
#include "transports/assert.h"
#include "transports/pack.h"
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PAYLOAD = 128, QUEUES = 1000, CONSUMERS = 4 };

static struct {
    const char *only;
    uint64_t batches, ops, messages;
    bool json;
} how = {.only = "", .batches = 200, .ops = 5000, .messages = 1000000};

static struct trp_queues *set;
static struct trp_queue *queues[QUEUES];
static struct trp_consumer *consumers[QUEUES][CONSUMERS];
static size_t n_queues, n_consumers;
static struct trp_when now;
static struct trp_slice message;
static uint64_t delivered, lapsed;

static struct {
    struct trp_consumer *who;
    uint64_t token;
} last;

/* ---- the sink ---- */

static struct trp_buf log_bytes; /* length(4) head body, when kept */
static uint64_t log_at;
static bool log_kept;

static void on_deliver(void *ctx, void *user, uint64_t token, const struct trp_queue_message *m) {
    (void)ctx, (void)m;
    delivered++;
    last.who = *(struct trp_consumer **)user;
    last.token = token;
}

static void on_lapsed(void *ctx, void *user, uint64_t token) {
    (void)ctx, (void)user, (void)token;
    lapsed++;
}

static void on_empty(void *ctx, void *user) {
    (void)ctx, (void)user;
}

static void keep(struct trp_slice head, struct trp_slice body) {
    uint32_t n = (uint32_t)(head.n + body.n);
    trp_assert(!trp_buf_put(&log_bytes, &n, sizeof n) && !trp_buf_put(&log_bytes, head.p, head.n));
    trp_assert(!trp_buf_put(&log_bytes, body.p, body.n));
}

/* What a log does at least: the bytes are copied once. */
static troupe_status on_record(void *ctx, struct trp_slice head, struct trp_slice body, bool must, uint64_t *lsn,
                               uint64_t *segment) {
    static uint8_t page[1 << 16];
    (void)ctx, (void)must;
    size_t at = log_at & (sizeof page / 2 - 1);
    memcpy(page + at, head.p, head.n);
    if (body.n)
        memcpy(page + at + head.n, body.p, body.n);
    log_at += head.n + body.n;
    if (log_kept)
        keep(head, body);
    *lsn = log_at;
    *segment = 1;
    return TROUPE_OK;
}

static const struct trp_queue_sink sink = {on_deliver, on_lapsed, on_empty, on_empty, on_record};

/* ---- what is measured ---- */

static void open_set(void) {
    trp_assert(!trp_queues_new(&set, &(struct trp_queues_opts){.seed = 42}, &sink, NULL));
    now = (struct trp_when){1000000000, 1700000000000};
}

static void open_queues(size_t n, bool durable, size_t each) {
    n_queues = n;
    n_consumers = each;
    for (size_t i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "bench.%zu", i);
        struct trp_queue_config c = trp_queue_config(trp_slice_str(name));
        uint64_t lsn;
        const char *why;
        c.durable = durable;
        c.max_messages = c.max_bytes = UINT64_MAX / 2;
        trp_assert(!trp_queues_declare(set, &c, &queues[i], &lsn, &why));
        for (size_t k = 0; k < each; k++)
            trp_assert(!trp_queue_attach(queues[i], now, 16, &consumers[i][k], &consumers[i][k]));
    }
}

static void close_set(void) {
    for (size_t i = 0; i < n_queues; i++)
        for (size_t k = 0; k < n_consumers; k++)
            trp_consumer_detach(&consumers[i][k], now, TRP_CONSUMER_LEFT, 0);
    trp_queues_free(set);
    set = NULL;
    n_queues = n_consumers = 0;
}

static void put(struct trp_queue *q, uint64_t delay_ms, uint64_t ttl_ms, unsigned priority) {
    struct trp_queue_put p = {.raw = message, .delay_ms = delay_ms, .ttl_ms = ttl_ms, .priority = priority};
    uint64_t lsn;
    now.mono_ns += 1000;
    trp_assert(!trp_queue_put(q, now, &p, &lsn));
}

static void ack_last(void) {
    uint64_t lsn;
    trp_assert(!trp_consumer_ack(last.who, now, last.token, &lsn));
}

static void put_ack(uint64_t i) {
    (void)i;
    put(queues[0], 0, 0, TRP_QUEUE_PRIORITY);
    ack_last();
}

static void put_ack_priority(uint64_t i) {
    put(queues[0], 0, 0, i % 10);
    ack_last();
}

static void put_ack_ttl(uint64_t i) {
    (void)i;
    put(queues[0], 0, 3600000, TRP_QUEUE_PRIORITY);
    ack_last();
}

static void put_ack_many(uint64_t i) {
    put(queues[i * 7919 % QUEUES], 0, 0, TRP_QUEUE_PRIORITY);
    ack_last();
}

static void put_ack_id(uint64_t i) {
    struct trp_queue_put p = {.raw = message, .dedup = {(const uint8_t *)&i, sizeof i}, .priority = TRP_QUEUE_PRIORITY};
    uint64_t lsn;
    now.mono_ns += 1000;
    trp_assert(!trp_queue_put(queues[0], now, &p, &lsn));
    ack_last();
}

static void nack_last(uint64_t i) {
    (void)i;
    trp_assert(!trp_consumer_nack(last.who, now, last.token, 0));
}

static void delay_and_tick(uint64_t i) {
    put(queues[0], 1 + i * 7919 % 1000, 0, TRP_QUEUE_PRIORITY);
    now.mono_ns += 1000000;
    for (uint64_t before = delivered; trp_queues_tick(set, now, 1); before = delivered)
        if (delivered != before)
            ack_last();
}

static void start_memory(void) {
    open_queues(1, false, CONSUMERS);
}

static void start_durable(void) {
    open_queues(1, true, CONSUMERS);
}

static void start_many(void) {
    open_queues(QUEUES, false, CONSUMERS);
}

/* All hands are full: a put waits, and an ack gives another away. */
static void start_backlog(void) {
    start_memory();
    for (uint64_t i = 0; i < how.messages; i++)
        put(queues[0], 0, 0, TRP_QUEUE_PRIORITY);
}

static void start_durable_backlog(void) {
    start_durable();
    for (uint64_t i = 0; i < how.messages; i++)
        put(queues[0], 0, 0, TRP_QUEUE_PRIORITY);
}

static void start_delays(void) {
    start_memory();
    for (uint64_t i = 0; i < how.messages; i++)
        put(queues[0], 3600000 + i * 7919 % 1000000, 0, TRP_QUEUE_PRIORITY);
}

static void start_unlimited(void) {
    struct trp_queue_config c = trp_queue_config(trp_slice_str("bench.0"));
    uint64_t lsn;
    const char *why;
    c.max_deliveries = 0;
    trp_assert(!trp_queues_declare(set, &c, &queues[0], &lsn, &why));
    n_queues = n_consumers = 1;
    trp_assert(!trp_queue_attach(queues[0], now, 1, &consumers[0][0], &consumers[0][0]));
    for (uint64_t i = 0; i < 1000; i++)
        put(queues[0], 0, 0, TRP_QUEUE_PRIORITY);
}

static const struct {
    const char *name;
    void (*start)(void);
    void (*run)(uint64_t i);
} cases[] = {
    {"memory: put, deliver, ack", start_memory, put_ack},
    {"memory, backlog: put, deliver, ack", start_backlog, put_ack},
    {"memory, priorities: put, deliver, ack", start_memory, put_ack_priority},
    {"memory, ttl: put, deliver, ack", start_memory, put_ack_ttl},
    {"memory, dedup id: put, deliver, ack", start_memory, put_ack_id},
    {"memory, 1000 queues: put, deliver, ack", start_many, put_ack_many},
    {"memory, 1000 waiting: nack, deliver", start_unlimited, nack_last},
    {"durable: put, deliver, ack", start_durable, put_ack},
    {"durable, backlog: put, deliver, ack", start_durable_backlog, put_ack},
    {"delays: put, due, deliver, ack", start_memory, delay_and_tick},
    {"delays, a million: put, due, deliver, ack", start_delays, delay_and_tick},
};

/* ---- measuring ---- */

static void measure(const char *name, void (*run)(uint64_t)) {
    struct batches ns = batches_measure(how.batches, how.ops, run);
    if (how.json)
        printf("{\"bench\":\"queue\",\"case\":\"%s\",\"median_ns\":%.1f,\"p99_ns\":%.1f}\n", name, ns.median, ns.p99);
    else
        printf("%-46s %8.1f ns %8.1f ns p99\n", name, ns.median, ns.p99);
}

static void run_case(size_t i) {
    open_set();
    cases[i].start();
    measure(cases[i].name, cases[i].run);
    close_set();
}

static void tell(const char *name, double value, const char *unit) {
    if (how.json)
        printf("{\"bench\":\"queue\",\"case\":\"%s\",\"messages\":%" PRIu64 ",\"%s\":%.3f}\n", name, how.messages, unit, value);
    else
        printf("%-46s %8.3f %s (%" PRIu64 " messages)\n", name, value, unit, how.messages);
}

/* ---- memory and recovery ---- */

static double resident(void) {
    unsigned long size = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%lu %lu", &size, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void fill(bool durable, uint64_t delay_ms) {
    open_queues(1, durable, 0);
    for (uint64_t i = 0; i < how.messages; i++)
        put(queues[0], delay_ms, 0, TRP_QUEUE_PRIORITY);
}

static void weigh(const char *name, bool durable, uint64_t delay_ms) {
    malloc_trim(0);
    double before = resident();
    open_set();
    fill(durable, delay_ms);
    tell(name, (resident() - before) / (double)how.messages, "bytes");
    close_set();
}

static void recover(void) {
    open_set();
    log_kept = true;
    fill(true, 0);
    log_kept = false;
    close_set();
    open_set();
    uint64_t from = now_ns(), lsn = 0;
    const char *why;
    for (size_t at = 0; at < log_bytes.n;) {
        uint32_t n;
        memcpy(&n, log_bytes.p + at, sizeof n);
        trp_assert(!trp_queues_apply(set, now, (struct trp_slice){log_bytes.p + at + sizeof n, n}, lsn += n, 1, &why));
        at += sizeof n + n;
    }
    trp_queues_recovered(set);
    tell("recovery from records in memory", (double)(now_ns() - from) / 1e9, "seconds");
    close_set();
    trp_buf_fini(&log_bytes);
}

static bool is_wanted(const char *name) {
    return strncmp(name, how.only, strlen(how.only)) == 0;
}

static void run_all(void) {
    if (is_wanted("weight")) {
        weigh("weight of a message waiting, memory", false, 0);
        weigh("weight of a message waiting, durable", true, 0);
        weigh("weight of a message delayed, memory", false, 3600000);
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (is_wanted(cases[i].name))
            run_case(i);
    if (is_wanted("recovery"))
        recover();
}

/* ["bench.topic", nil, nil, 128 bytes] */
static void make_message(void) {
    static uint8_t bytes[256];
    uint8_t *p = trp_pack_str(trp_pack_array(bytes, 4), trp_slice_str("bench.topic"));
    *p++ = 0xc0;
    *p++ = 0xc0;
    p = trp_pack_bin_head(p, PAYLOAD) + PAYLOAD;
    message = (struct trp_slice){bytes, (size_t)(p - bytes)};
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--only=", 7) == 0)
            how.only = argv[i] + 7;
        else if (strncmp(argv[i], "--messages=", 11) == 0)
            how.messages = strtoull(argv[i] + 11, NULL, 10);
        else if (strcmp(argv[i], "--json") == 0)
            how.json = true;
        else if (strcmp(argv[i], "--brief") == 0)
            how.batches = 5, how.ops = 1000, how.messages = 10000;
        else
            return fprintf(stderr, "usage: queue_bench [--only=CASE] [--messages=N] [--json] [--brief]\n"), 2;
    }
    make_message();
    run_all();
    return 0;
}
