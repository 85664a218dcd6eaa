/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Queues in virtual time, for tests: consumers are letters, messages are words, and what happens is a line of text.
 *
 *     a:1=m1          a gets message m1 by token 1       a:2=m1*2        ... for the second time
 *     a:1=m1!why@q    ... a dead letter from q           a:3=m2^2/11     ... two consumers crashed, the last by signal 11
 *     a:1 lapsed      a empty      a ended               (effects are parted by blanks)
 *
 * The log is a list of records in memory; it can refuse, begin segments, drop them, and be replayed into a new set. */
#ifndef TESTS_QUEUE_RIG_H
#define TESTS_QUEUE_RIG_H

#include "broker/queue.h"
#include <check.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RIG_CONSUMERS = 8, RIG_TRACE = 8192 };

struct rig_record {
    uint8_t *p;
    size_t n;
    uint64_t segment;
};

static struct {
    struct trp_queues *set;
    struct trp_queue *q; /* the one that is meant when none is named */
    struct trp_consumer *c[RIG_CONSUMERS];
    struct trp_when now;
    char trace[RIG_TRACE];
    size_t n;
    struct rig_record *log;
    size_t logged, cap;
    uint64_t segment, lsn;
    troupe_status refuse, refuse_must; /* what the log says to the one and the other */
    bool begin;                        /* a segment begins with the next record */
    bool in_memory;                    /* there is no log */
    uint64_t max_hand;
} rig;

/* ---- the trace ---- */

static inline void rig_say(const char *fmt, ...) {
    va_list args;
    if (rig.n)
        rig.trace[rig.n++] = ' ';
    va_start(args, fmt);
    rig.n += (size_t)vsnprintf(rig.trace + rig.n, sizeof rig.trace - rig.n, fmt, args);
    va_end(args);
    ck_assert_uint_lt(rig.n, sizeof rig.trace - 1);
}

static inline void rig_forget(void) {
    rig.n = 0;
    rig.trace[0] = '\0';
}

#define EXPECT(text)                                                                                                           \
    do {                                                                                                                       \
        ck_assert_str_eq(rig.trace, text);                                                                                     \
        rig_forget();                                                                                                          \
    } while (0)

static inline char rig_letter(void *user) {
    return (char)('a' + (struct trp_consumer **)user - rig.c);
}

static inline void rig_add(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    rig.n += (size_t)vsnprintf(rig.trace + rig.n, sizeof rig.trace - rig.n, fmt, args);
    va_end(args);
}

static inline void rig_deliver(void *ctx, void *user, uint64_t token, const struct trp_queue_message *m) {
    (void)ctx;
    ck_assert(m->user == user && m->state == TRP_QUEUE_HELD && m->deliveries > 0);
    rig_say("%c:%" PRIu64 "=%.*s", rig_letter(user), token, (int)(m->raw.n > 12 ? 12 : m->raw.n), (const char *)m->raw.p);
    if (m->deliveries > 1)
        rig_add("*%" PRIu32, m->deliveries);
    if (m->crashes)
        rig_add("^%" PRIu32 "/%d", m->crashes, m->signal);
    if (m->death.reason.n)
        rig_add("!%.*s@%.*s", (int)m->death.reason.n, (const char *)m->death.reason.p, (int)m->death.queue.n,
                (const char *)m->death.queue.p);
}

static inline void rig_lapsed(void *ctx, void *user, uint64_t token) {
    (void)ctx;
    rig_say("%c:%" PRIu64 " lapsed", rig_letter(user), token);
}

static inline void rig_empty(void *ctx, void *user) {
    (void)ctx;
    rig_say("%c empty", rig_letter(user));
}

static inline void rig_ended(void *ctx, void *user) {
    (void)ctx;
    rig_say("%c ended", rig_letter(user));
}

/* ---- the log ---- */

static inline troupe_status rig_record(void *ctx, struct trp_slice head, struct trp_slice body, bool must, uint64_t *lsn,
                                       uint64_t *segment) {
    (void)ctx;
    troupe_status st = must ? rig.refuse_must : rig.refuse;
    if (st)
        return st;
    if (rig.begin) {
        rig.begin = false;
        rig.segment++;
        ck_assert_int_eq(trp_queues_catalog(rig.set), TROUPE_OK);
    }
    if (rig.logged == rig.cap) {
        rig.cap = rig.cap ? rig.cap * 2 : 64;
        rig.log = realloc(rig.log, rig.cap * sizeof *rig.log);
        ck_assert_ptr_nonnull(rig.log);
    }
    struct rig_record r = {malloc(head.n + body.n), head.n + body.n, rig.segment};
    ck_assert_ptr_nonnull(r.p);
    memcpy(r.p, head.p, head.n);
    if (body.n)
        memcpy(r.p + head.n, body.p, body.n);
    rig.log[rig.logged++] = r;
    *lsn = rig.lsn += r.n;
    *segment = rig.segment;
    return TROUPE_OK;
}

/* The oldest segment is deleted. */
static inline void rig_drop_segment(uint64_t segment) {
    size_t kept = 0;
    for (size_t i = 0; i < rig.logged; i++) {
        ck_assert_uint_ge(rig.log[i].segment, segment);
        if (rig.log[i].segment == segment)
            free(rig.log[i].p);
        else
            rig.log[kept++] = rig.log[i];
    }
    rig.logged = kept;
}

/* ---- the set ---- */

static inline void rig_open(void) {
    const struct trp_queue_sink sink = {rig_deliver, rig_lapsed, rig_empty, rig_ended, rig.in_memory ? NULL : rig_record};
    ck_assert_int_eq(trp_queues_new(&rig.set, &(struct trp_queues_opts){.seed = 7, .max_hand = rig.max_hand}, &sink, NULL),
                     TROUPE_OK);
}

static inline void rig_start(void) {
    rig.now = (struct trp_when){UINT64_C(1000000000000), UINT64_C(1700000000000)};
    rig.segment = 0;
    rig.begin = true;
    rig_open();
}

static inline void rig_close_set(void) {
    for (int i = 0; i < RIG_CONSUMERS; i++)
        trp_consumer_detach(&rig.c[i], rig.now, TRP_CONSUMER_LEFT, 0);
    trp_queues_free(rig.set);
    rig.set = NULL;
    rig.q = NULL;
    rig_forget();
}

static inline void rig_stop(void) {
    rig_close_set();
    for (size_t i = 0; i < rig.logged; i++)
        free(rig.log[i].p);
    free(rig.log);
    memset(&rig, 0, sizeof rig);
}

/* The set dies without a word and is rebuilt from the log. PROTOCOL and the like: *why. */
static inline troupe_status rig_replay(const char **why) {
    for (size_t i = 0; i < rig.logged; i++) {
        const struct rig_record *r = &rig.log[i];
        troupe_status st = trp_queues_apply(rig.set, rig.now, (struct trp_slice){r->p, r->n}, i + 1, r->segment, why);
        if (st)
            return st;
    }
    trp_queues_recovered(rig.set);
    return TROUPE_OK;
}

static inline void rig_restart(void) {
    const char *why = "";
    rig.refuse = rig.refuse_must = TROUPE_NO_MEMORY; /* what the dying set still says is not heard */
    rig_close_set();
    rig.refuse = rig.refuse_must = TROUPE_OK;
    rig_open();
    troupe_status st = rig_replay(&why);
    ck_assert_msg(st == TROUPE_OK, "replay: %s", why);
}

/* ---- words ---- */

static inline struct trp_queue *rig_find(const char *name) {
    struct trp_queue *q = trp_queues_find(rig.set, trp_slice_str(name));
    ck_assert_msg(q != NULL, "there is no queue %s", name);
    return q;
}

static inline struct trp_queue *rig_declare(const struct trp_queue_config *c) {
    struct trp_queue *q;
    uint64_t lsn;
    const char *why = "";
    troupe_status st = trp_queues_declare(rig.set, c, &q, &lsn, &why);
    ck_assert_msg(st == TROUPE_OK, "%s: %s", troupe_status_name(st), why);
    return q;
}

static inline struct trp_queue_config rig_config(const char *name) {
    return trp_queue_config(trp_slice_str(name));
}

/* Without dead letters. */
static inline struct trp_queue_config rig_careless(const char *name) {
    struct trp_queue_config c = rig_config(name);
    c.dead_letter = trp_slice_str("");
    return c;
}

static inline void rig_use(const struct trp_queue_config *c) {
    rig.q = rig_declare(c);
}

static inline troupe_status rig_try_put(const char *text, struct trp_queue_put p, uint64_t *lsn) {
    p.raw = trp_slice_str(text);
    return trp_queue_put(rig.q, rig.now, &p, lsn);
}

static inline uint64_t rig_put_with(const char *text, struct trp_queue_put p) {
    uint64_t lsn;
    ck_assert_int_eq(rig_try_put(text, p, &lsn), TROUPE_OK);
    return lsn;
}

static inline void rig_put(const char *text) {
    (void)rig_put_with(text, (struct trp_queue_put){.priority = TRP_QUEUE_PRIORITY});
}

static inline void rig_put_priority(const char *text, unsigned priority) {
    (void)rig_put_with(text, (struct trp_queue_put){.priority = priority});
}

static inline void rig_put_delay(const char *text, uint64_t ms) {
    (void)rig_put_with(text, (struct trp_queue_put){.priority = TRP_QUEUE_PRIORITY, .delay_ms = ms});
}

static inline void rig_put_ttl(const char *text, uint64_t ms) {
    (void)rig_put_with(text, (struct trp_queue_put){.priority = TRP_QUEUE_PRIORITY, .ttl_ms = ms});
}

static inline troupe_status rig_try_put_id(const char *text, const char *id, uint64_t *lsn) {
    return rig_try_put(text, (struct trp_queue_put){.priority = TRP_QUEUE_PRIORITY, .dedup = trp_slice_str(id)}, lsn);
}

static inline void rig_attach(char letter, uint32_t credit) {
    struct trp_consumer **c = &rig.c[letter - 'a'];
    ck_assert_ptr_null(*c);
    ck_assert_int_eq(trp_queue_attach(rig.q, rig.now, credit, c, c), TROUPE_OK);
}

static inline struct trp_consumer *rig_at(char letter) {
    return rig.c[letter - 'a'];
}

static inline troupe_status rig_try_ack(char letter, uint64_t token) {
    uint64_t lsn;
    return trp_consumer_ack(rig_at(letter), rig.now, token, &lsn);
}

static inline void rig_ack(char letter, uint64_t token) {
    ck_assert_int_eq(rig_try_ack(letter, token), TROUPE_OK);
}

/* All of it in one step. */
static inline troupe_status rig_retry(struct trp_queue *q, uint64_t most, uint64_t *count) {
    struct trp_queue_retry r = trp_queue_retry_begin(q, most);
    return trp_queue_retry(q, rig.now, &r, UINT64_MAX, count);
}

static inline void rig_nack(char letter, uint64_t token, uint64_t delay_ms) {
    ck_assert_int_eq(trp_consumer_nack(rig_at(letter), rig.now, token, delay_ms), TROUPE_OK);
}

static inline void rig_leave(char letter) {
    trp_consumer_detach(&rig.c[letter - 'a'], rig.now, TRP_CONSUMER_LEFT, 0);
}

static inline void rig_crash(char letter, int signal) {
    trp_consumer_detach(&rig.c[letter - 'a'], rig.now, TRP_CONSUMER_CRASHED, signal);
}

static inline void rig_pull(char letter, uint64_t ms) {
    ck_assert_int_eq(trp_consumer_pull(rig_at(letter), rig.now, rig.now.mono_ns + ms * 1000000), TROUPE_OK);
}

/* Time goes by on both clocks, and what is due happens. */
static inline void rig_pass(uint64_t ms) {
    rig.now.mono_ns += ms * 1000000;
    rig.now.wall_ms += ms;
    while (trp_queues_tick(rig.set, rig.now, 100))
        ;
}

/* Counts by state, as "ready/in hand/delayed/buried". */
static inline const char *rig_counts(const char *name) {
    static char text[4][64];
    static int turn;
    struct trp_queue_stat st;
    char *out = text[turn++ % 4];
    trp_queue_stat(name ? rig_find(name) : rig.q, rig.now, &st);
    snprintf(out, sizeof text[0], "%" PRIu64 "/%" PRIu64 "/%" PRIu64 "/%" PRIu64, st.messages[0], st.messages[1],
             st.messages[2], st.messages[3]);
    return out;
}

static inline struct trp_queue_totals rig_totals(void) {
    struct trp_queue_stat st;
    trp_queue_stat(rig.q, rig.now, &st);
    return st.totals;
}

/* A queue whose messages die at once, and room for one of the dead. */
static inline void rig_use_one_grave(void) {
    struct trp_queue_config graves = rig_careless("graves"), c = rig_config("work");
    graves.max_messages = 1;
    (void)rig_declare(&graves);
    c.max_deliveries = 1;
    c.dead_letter = trp_slice_str("graves");
    rig_use(&c);
}

#endif
