/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Records of durable queues. The input is a log: length (1 byte, or 255 and 2 bytes), record, and so on. Each record that
 * can be read is written again and read to the same. Then the whole log is applied to a set, which refuses it or is
 * rebuilt, and what was rebuilt works: it can be looked at, drained by a consumer, and copied forward into a log that
 * rebuilds as many messages. */
#include "broker/queue.h"
#include "broker/queue_record.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct trp_when now = {UINT64_C(1) << 40, UINT64_C(1700000000000)};

/* ---- decode, encode, decode ---- */

static void expect_same(const struct trp_queue_record *a, const struct trp_queue_record *b) {
    assert(a->kind == b->kind && a->queue == b->queue && a->seq == b->seq && a->was == b->was && a->at_ms == b->at_ms);
    assert(a->delay_ms == b->delay_ms && a->ttl_ms == b->ttl_ms && a->first_seen_ms == b->first_seen_ms);
    assert(a->priority == b->priority && a->deliveries == b->deliveries && a->crashes == b->crashes && a->signal == b->signal);
    assert(a->buried == b->buried && a->dead == b->dead && a->paused == b->paused && a->reason == b->reason);
    assert(trp_slice_eq(a->death.queue, b->death.queue) && trp_slice_eq(a->death.reason, b->death.reason));
    assert(trp_slice_eq(a->dedup, b->dedup) && trp_slice_eq(a->body, b->body));
}

static void check_codec(struct trp_slice record) {
    struct trp_queue_record r, again;
    const char *why;
    if (trp_queue_record_read(record, &r, &why))
        return;
    uint8_t *copy = malloc(TRP_QUEUE_RECORD_HEAD_MAX + r.body.n);
    assert(copy);
    uint8_t *p = trp_queue_record_write(copy, &r);
    if (r.body.n)
        memcpy(p, r.body.p, r.body.n);
    troupe_status st = trp_queue_record_read((struct trp_slice){copy, (size_t)(p - copy) + r.body.n}, &again, &why);
    assert(!st);
    expect_same(&r, &again);
    free(copy);
}

/* ---- the log ---- */

/* Moves *log behind the record. False: that was all. */
static bool next_record(struct trp_slice *log, struct trp_slice *record) {
    if (log->n == 0)
        return false;
    size_t head = 1, n = log->p[0];
    if (n == 255 && log->n >= 3) {
        head = 3;
        n = (size_t)log->p[1] << 8 | log->p[2];
    }
    n = n < log->n - head ? n : log->n - head;
    *record = (struct trp_slice){log->p + head, n};
    *log = (struct trp_slice){log->p + head + n, log->n - head - n};
    return true;
}

static struct trp_buf copied; /* length (4 bytes), record; what is copied forward */

static troupe_status on_record(void *ctx, struct trp_slice head, struct trp_slice body, bool must, uint64_t *lsn,
                               uint64_t *segment) {
    uint32_t n = (uint32_t)(head.n + body.n);
    (void)ctx, (void)must;
    troupe_status st = trp_buf_put(&copied, &n, sizeof n);
    st = st ? st : trp_buf_put(&copied, head.p, head.n);
    st = st ? st : trp_buf_put(&copied, body.p, body.n);
    assert(!st);
    *lsn = copied.n;
    *segment = 1000;
    return TROUPE_OK;
}

static uint64_t last_token;

static void on_deliver(void *ctx, void *user, uint64_t token, const struct trp_queue_message *m) {
    (void)ctx, (void)user;
    assert(m->raw.n > 0 && m->deliveries > 0 && m->priority < TRP_QUEUE_PRIORITIES);
    last_token = token;
}

static void on_lapsed(void *ctx, void *user, uint64_t token) {
    (void)ctx, (void)user, (void)token;
}

static void on_event(void *ctx, void *user) {
    (void)ctx, (void)user;
}

static struct trp_queues *new_set(void) {
    static const struct trp_queue_sink sink = {on_deliver, on_lapsed, on_event, on_event, on_record};
    struct trp_queues *s;
    troupe_status st = trp_queues_new(&s, &(struct trp_queues_opts){.seed = 1}, &sink, NULL);
    assert(!st);
    return s;
}

static bool apply(struct trp_queues *s, struct trp_slice log) {
    struct trp_slice record;
    for (uint64_t lsn = 1; next_record(&log, &record); lsn++) {
        const char *why = NULL;
        troupe_status st = trp_queues_apply(s, now, record, lsn, 1 + lsn / 16, &why);
        assert(!st || (st == TROUPE_PROTOCOL && why));
        if (st)
            return false;
    }
    trp_queues_recovered(s);
    return true;
}

/* ---- what was rebuilt ---- */

static uint64_t count(const struct trp_queues *s) {
    uint64_t n = 0;
    for (struct trp_queue *q = NULL; (q = trp_queues_next(s, q));) {
        struct trp_queue_stat st;
        trp_queue_stat(q, now, &st);
        for (int i = 0; i < TRP_QUEUE_STATES; i++)
            n += st.messages[i];
    }
    return n;
}

static void look(struct trp_queue *q) {
    struct trp_queue_message m;
    for (int state = 0; state < TRP_QUEUE_STATES; state++)
        for (uint64_t i = 0; trp_queue_peek(q, (enum trp_queue_state)state, i, &m) == TROUPE_OK; i++)
            assert(m.raw.n > 0 && m.state == (enum trp_queue_state)state);
}

static void drain(struct trp_queue *q) {
    struct trp_consumer *c;
    uint64_t lsn;
    last_token = 0;
    troupe_status st = trp_queue_attach(q, now, 1, NULL, &c);
    assert(!st);
    while (last_token) {
        uint64_t token = last_token;
        last_token = 0;
        st = trp_consumer_ack(c, now, token, &lsn);
        assert(!st);
    }
    trp_consumer_detach(&c, now, TRP_CONSUMER_LEFT, 0);
}

/* Catalog and everything that lives make a log of their own. */
static void copy_forward(struct trp_queues *s) {
    uint64_t before = count(s);
    bool done = false;
    troupe_status st = trp_queues_catalog(s);
    while (!st && !done)
        st = trp_queues_rewrite(s, now, 999, 3, &done);
    assert(!st);
    struct trp_queues *other = new_set();
    for (size_t at = 0; at < copied.n;) {
        uint32_t n;
        const char *why = NULL;
        memcpy(&n, copied.p + at, sizeof n);
        st = trp_queues_apply(other, now, (struct trp_slice){copied.p + at + sizeof n, n}, at + 1, 1000, &why);
        assert(!st);
        at += sizeof n + n;
    }
    trp_queues_recovered(other);
    assert(count(other) == before);
    trp_queues_free(other);
    trp_buf_fini(&copied);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct trp_slice log = {data, size}, record;
    while (next_record(&log, &record))
        check_codec(record);
    struct trp_queues *s = new_set();
    if (apply(s, (struct trp_slice){data, size})) {
        copy_forward(s);
        (void)trp_queues_tick(s, now, 1000);
        for (struct trp_queue *q = NULL; (q = trp_queues_next(s, q));) {
            look(q);
            drain(q);
        }
    }
    trp_queues_free(s);
    trp_buf_fini(&copied);
    return 0;
}
