/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Random events in virtual time, given to the queues and to a model of them (tests/support/queue_model.c): the same
 * answers, the same effects and the same records in the same order, and now and then the same sight of everything. The
 * log begins segments, is full for a while, is copied forward and dropped, and the set dies and is rebuilt from what is
 * left of it.
 *
 * Run with TROUPE_SEED=n to repeat, TROUPE_EVENTS=n for longer. */
#include "broker/queue_config.h"
#include "broker/queue_record.h"
#include "tests/support/chance.h"
#include "tests/support/queue_model.h"
#include "tests/support/run.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { ROUND = 3000, EVENTS = 45000, HAND_MAX = 512 };

/* ---- chance ---- */

static uint64_t below(uint64_t n) {
    return random64() % n;
}

#define PICK(...) pick((const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static uint64_t pick(const uint64_t *of, size_t n) {
    return of[below(n)];
}

/* ---- the real ones, saying what they do ---- */

struct record {
    uint8_t *p;
    size_t n;
    uint64_t segment, lsn;
};

static struct trp_queues *set;
static struct trp_consumer *seats[MODEL_CONSUMERS];
static struct { uint64_t token, seq; } hands[MODEL_CONSUMERS][HAND_MAX];
static size_t n_hand[MODEL_CONSUMERS];
static uint64_t last_token[MODEL_CONSUMERS];
static char trace[MODEL_TRACE];
static size_t trace_n;
static struct record *records;
static size_t n_records, cap_records;
static uint64_t lsns, segment, oldest_segment;
static bool begins, dying;
static struct { uint64_t events, deliveries, lapsed, restarts, duplicates, full, drops, dug, stale; } seen;

static void say(const char *fmt, ...) {
    va_list args;
    if (dying)
        return;
    va_start(args, fmt);
    trace_n += (size_t)vsnprintf(trace + trace_n, sizeof trace - trace_n, fmt, args);
    va_end(args);
    ck_assert_uint_lt(trace_n, sizeof trace);
}

static int seat_of(void *user) {
    return (int)((struct trp_consumer **)user - seats);
}

static uint64_t let_go(int seat, uint64_t token) {
    for (size_t i = 0; i < n_hand[seat]; i++)
        if (hands[seat][i].token == token) {
            uint64_t seq = hands[seat][i].seq;
            hands[seat][i] = hands[seat][--n_hand[seat]];
            return seq;
        }
    ck_abort_msg("consumer %d has no token %" PRIu64, seat, token);
    return 0;
}

static uint64_t token_of(int seat, uint64_t seq) {
    for (size_t i = 0; i < n_hand[seat]; i++)
        if (hands[seat][i].seq == seq)
            return hands[seat][i].token;
    return 0;
}

static void on_deliver(void *ctx, void *user, uint64_t token, const struct trp_queue_message *m) {
    int seat = seat_of(user);
    (void)ctx;
    if (dying)
        return;
    ck_assert_uint_gt(token, last_token[seat]); /* never used before */
    last_token[seat] = token;
    ck_assert_uint_lt(n_hand[seat], HAND_MAX);
    hands[seat][n_hand[seat]].token = token;
    hands[seat][n_hand[seat]++].seq = m->seq;
    say("c%d=%" PRIu64 "*%" PRIu32, seat, m->seq, m->deliveries);
    if (m->crashes)
        say("^%" PRIu32 "/%d", m->crashes, m->signal);
    if (m->death.queue.n) {
        say("!%.*s@%.*s", (int)m->death.reason.n, (const char *)m->death.reason.p, (int)m->death.queue.n,
            (const char *)m->death.queue.p);
        say("(%" PRIu32 ",%" PRIu32 ",%d)", m->death.deliveries, m->death.crashes, m->death.signal);
    }
    say(" ");
    seen.deliveries++;
}

static void on_lapsed(void *ctx, void *user, uint64_t token) {
    int seat = seat_of(user);
    (void)ctx;
    if (dying)
        return;
    say("c%d-%" PRIu64 " lapsed ", seat, let_go(seat, token));
    seen.lapsed++;
}

static void on_empty(void *ctx, void *user) {
    (void)ctx;
    say("c%d empty ", seat_of(user));
}

static void on_ended(void *ctx, void *user) {
    (void)ctx;
    n_hand[seat_of(user)] = 0;
    say("c%d ended ", seat_of(user));
}

static void say_declare(const struct trp_queue_record *r) {
    struct trp_queue_config c;
    struct trp_slice patterns[TRP_QUEUE_PATTERNS_MAX];
    ck_assert(trp_queue_config_read(r->body, &c, patterns));
    say("DECLARE:%.*s ", (int)c.name.n, (const char *)c.name.p);
}

static void say_record(struct trp_slice bytes) {
    struct trp_queue_record r;
    const char *why;
    ck_assert_int_eq(trp_queue_record_read(bytes, &r, &why), TROUPE_OK);
    uint64_t seq = r.seq;
    switch (r.kind) {
    case TRP_QUEUE_RECORD_MARK:
        say("MARK%" PRIu64 " ", seq);
        return;
    case TRP_QUEUE_RECORD_DECLARE:
        say_declare(&r);
        return;
    case TRP_QUEUE_RECORD_DELETE:
        say("DELETE ");
        return;
    case TRP_QUEUE_RECORD_PUT:
        say("PUT%" PRIu64, seq);
        if (r.was)
            say("<%" PRIu64, r.was);
        say(" ");
        return;
    case TRP_QUEUE_RECORD_STATE:
        say("STATE%" PRIu64 " ", seq);
        return;
    case TRP_QUEUE_RECORD_DONE:
        say("DONE%" PRIu64, seq);
        while (trp_queue_record_next_done(&r, &seq))
            say(",%" PRIu64, seq);
        say(" ");
        return;
    case TRP_QUEUE_RECORD_DEDUP:
        say("DEDUP:%.*s ", (int)r.dedup.n, (const char *)r.dedup.p);
        return;
    }
}

static troupe_status on_record(void *ctx, struct trp_slice head, struct trp_slice body, bool must, uint64_t *lsn,
                               uint64_t *where) {
    (void)ctx;
    if (dying)
        return TROUPE_NO_MEMORY;
    if (model_log_full && !must)
        return TROUPE_FULL;
    if (begins) {
        begins = false;
        segment++;
        ck_assert_int_eq(trp_queues_catalog(set), TROUPE_OK);
    }
    if (n_records == cap_records) {
        cap_records = cap_records ? cap_records * 2 : 1024;
        records = realloc(records, cap_records * sizeof *records);
        ck_assert_ptr_nonnull(records);
    }
    struct record r = {malloc(head.n + body.n), head.n + body.n, segment, ++lsns};
    ck_assert_ptr_nonnull(r.p);
    memcpy(r.p, head.p, head.n);
    if (body.n)
        memcpy(r.p + head.n, body.p, body.n);
    say_record((struct trp_slice){r.p, r.n});
    records[n_records++] = r;
    *lsn = r.lsn;
    *where = segment;
    return TROUPE_OK;
}

static void open_set(void) {
    static const struct trp_queue_sink sink = {on_deliver, on_lapsed, on_empty, on_ended, on_record};
    ck_assert_int_eq(trp_queues_new(&set, &(struct trp_queues_opts){.seed = random64()}, &sink, NULL), TROUPE_OK);
}

static void close_set(void) {
    dying = true;
    for (int i = 0; i < MODEL_CONSUMERS; i++) {
        trp_consumer_detach(&seats[i], model_now, TRP_CONSUMER_LEFT, 0);
        n_hand[i] = 0;
        last_token[i] = 0;
    }
    trp_queues_free(set);
    dying = false;
}

/* ---- comparing ---- */

static void describe_state(struct trp_queue *q, enum trp_queue_state state, char *out, size_t cap, size_t *n) {
    struct trp_queue_message m;
    *n += (size_t)snprintf(out + *n, cap - *n, " |");
    trp_queue_look_at(q, state, 0);
    for (; trp_queue_look(q, &m) == TROUPE_OK; trp_queue_look_on(q))
        *n += (size_t)snprintf(out + *n, cap - *n, " %" PRIu64 "/%u*%" PRIu32 "^%" PRIu32 "@%" PRIu64, m.seq, m.priority,
                               m.deliveries, m.crashes, m.first_seen_ms);
}

/* Whatever came in is somewhere. */
static void check_books(const struct trp_queue_stat *st) {
    const struct trp_queue_totals *t = &st->totals;
    uint64_t here = st->messages[0] + st->messages[1] + st->messages[2] + st->messages[3];
    ck_assert_uint_eq(t->put + t->came, t->acked + t->dropped + t->purged + t->left + here);
    ck_assert_uint_eq(t->unrecorded, 0);
}

static void describe(char *out, size_t cap) {
    size_t n = 0;
    out[0] = '\0';
    for (struct trp_queue *q = NULL; (q = trp_queues_next(set, q));) {
        struct trp_queue_stat st;
        struct trp_slice name = trp_queue_config_of(q)->name;
        trp_queue_stat(q, model_now, &st);
        check_books(&st);
        n += (size_t)snprintf(out + n, cap - n, "%.*s%s %" PRIu64 " bytes %" PRIu64 " ids", (int)name.n, (const char *)name.p,
                              st.paused ? " paused" : "", st.bytes, st.dedup_ids);
        for (int state = 0; state < TRP_QUEUE_STATES; state++)
            describe_state(q, (enum trp_queue_state)state, out, cap, &n);
        n += (size_t)snprintf(out + n, cap - n, "\n");
    }
}

static void compare_sights(void) {
    static char real[1 << 18], model[1 << 18];
    describe(real, sizeof real);
    model_describe(model, sizeof model);
    ck_assert_str_eq(real, model);
}

static void compare_traces(const char *event, troupe_status real, troupe_status model) {
    ck_assert_msg(real == model, "%s: %s, not %s", event, troupe_status_name(real), troupe_status_name(model));
    ck_assert_msg(strcmp(trace, model_trace) == 0, "%s:\n  did:    %s\n  should: %s", event, trace, model_trace);
    ck_assert_uint_le(trp_queues_next_deadline(set), model_next_deadline());
    trace_n = 0;
    trace[0] = '\0';
    model_forget_trace();
    seen.full += real == TROUPE_FULL;
}

/* ---- events ---- */

static const char *const names[] = {"a", "b", "c", "d", "graves", "a.dead", "b.dead", "c.dead", "d.dead"};
enum { BASES = 5, NAMES = sizeof names / sizeof *names };

/* One that is there; NULL: there is none. */
static const char *some_queue(void) {
    size_t from = below(below(3) ? BASES : NAMES);
    for (size_t i = 0; i < NAMES; i++)
        if (model_has(names[(from + i) % NAMES]))
            return names[(from + i) % NAMES];
    return NULL;
}

static struct trp_queue *real_queue(const char *name) {
    struct trp_queue *q = trp_queues_find(set, trp_slice_str(name));
    ck_assert_ptr_nonnull(q);
    return q;
}

static struct trp_queue_config some_config(const char *name) {
    static const char *const dead[] = {"", "graves", "a", "b"};
    struct trp_queue_config c = trp_queue_config(trp_slice_str(name));
    c.durable = below(3) > 0;
    c.max_messages = PICK(3, 10, 50);
    c.max_bytes = PICK(60, 1000);
    c.overflow = (enum trp_queue_overflow)below(2);
    c.ttl_ms = PICK(0, 0, 50, 500);
    c.ack_timeout_ms = PICK(0, 20, 100, 200);
    c.max_deliveries = (uint32_t)PICK(0, 1, 2, 5);
    c.max_crashes = (uint32_t)PICK(0, 1, 2);
    c.dedup_ms = PICK(0, 50, 1000, 5000);
    if (below(2))
        c.dead_letter = trp_slice_str(dead[below(4)]);
    return c;
}

static void event_declare(void) {
    struct trp_queue_config c = some_config(names[below(BASES)]);
    struct trp_queue_declared d;
    char unused[TRP_QUEUE_WHY];
    struct trp_queue *q;
    uint64_t lsn = 0, want = 0;
    const char *why;
    troupe_status st = trp_queues_declare(set, &c, &q, &lsn, &why);
    if (trp_queue_config_resolve(&c, &d, unused))
        ck_assert_int_eq(st, TROUPE_INVALID);
    else
        compare_traces("declare", st, model_declare(&d.config, &want));
    if (!st)
        ck_assert_int_eq(lsn > 0, c.durable);
}

static void event_delete(void) {
    const char *name = some_queue();
    uint64_t lsn, want;
    if (!name || below(8))
        return;
    struct trp_queue *q = real_queue(name);
    troupe_status st = trp_queue_delete(&q, &lsn);
    compare_traces("delete", st, model_delete(name, &want));
    ck_assert_uint_eq(lsn, want);
}

static void event_pause(void) {
    const char *name = some_queue();
    bool paused = below(3) == 0;
    if (name)
        compare_traces("pause", trp_queue_pause(real_queue(name), model_now, paused), model_pause(name, paused));
}

static void event_purge(void) {
    const char *name = some_queue();
    uint64_t count, want, lsn, want_lsn;
    bool all = below(2);
    if (!name || below(4))
        return;
    troupe_status st =
        trp_queue_purge(real_queue(name), model_now,
                        &(struct trp_queue_purge){.all = all, .below = UINT64_MAX, .most = UINT64_MAX}, &count, &lsn);
    compare_traces("purge", st, model_purge(name, all, &want, &want_lsn));
    ck_assert_uint_eq(count, want);
    ck_assert_uint_eq(lsn, want_lsn);
}

static void event_retry(void) {
    const char *name = some_queue();
    uint64_t count, want, most = PICK(1, 3, UINT64_MAX);
    if (!name)
        return;
    struct trp_queue_retry r = trp_queue_retry_begin(real_queue(name), most);
    troupe_status st = trp_queue_retry(real_queue(name), model_now, &r, UINT64_MAX, &count);
    ck_assert(st || trp_queue_retry_is_over(&r));
    compare_traces("retry", st, model_retry(name, most, &want));
    ck_assert_uint_eq(count, want);
    seen.dug += count;
}

static struct trp_queue_put some_put(char *text, char *id) {
    struct trp_queue_put p = {.priority = (unsigned)PICK(4, 4, 4, 0, 9), .delay_ms = PICK(0, 0, 0, 1, 10, 100)};
    size_t n = 1 + below(30);
    memset(text, 'x', n);
    p.raw = (struct trp_slice){(uint8_t *)text, n};
    p.ttl_ms = PICK(0, 0, 0, 5, 100, TRP_QUEUE_NEVER);
    if (below(3) == 0)
        p.dedup = (struct trp_slice){(uint8_t *)id, (size_t)snprintf(id, 16, "id%u", (unsigned)below(8))};
    return p;
}

static void event_put(void) {
    const char *name = some_queue();
    char text[32], id[16];
    uint64_t lsn = 0, want = 0;
    if (!name)
        return;
    struct trp_queue_put p = some_put(text, id);
    troupe_status st = trp_queue_put(real_queue(name), model_now, &p, &lsn);
    compare_traces("put", st, model_put(name, &p, &want));
    ck_assert_uint_eq(lsn, want);
    seen.duplicates += st == TROUPE_EXISTS;
}

static void event_attach(int seat) {
    const char *name = some_queue();
    uint32_t credit = (uint32_t)PICK(0, 1, 1, 2, 5);
    if (!name)
        return;
    ck_assert_int_eq(trp_queue_attach(real_queue(name), model_now, credit, &seats[seat], &seats[seat]), TROUPE_OK);
    model_attach(name, seat, credit);
    compare_traces("attach", TROUPE_OK, TROUPE_OK);
}

static void event_detach(int seat) {
    enum trp_consumer_loss loss = (enum trp_consumer_loss)below(2);
    int signal = (int)PICK(0, 6, 11);
    n_hand[seat] = last_token[seat] = 0;
    trp_consumer_detach(&seats[seat], model_now, loss, signal);
    model_detach(seat, loss, signal);
    compare_traces("detach", TROUPE_OK, TROUPE_OK);
}

static void event_credit(int seat) {
    uint32_t credit = (uint32_t)below(6);
    compare_traces("credit", trp_consumer_credit(seats[seat], model_now, credit), model_credit(seat, credit));
}

static void event_pull(int seat) {
    uint64_t deadline = below(8) ? model_now.mono_ns + PICK(0, 5, 50, 500) * 1000000 : TRP_QUEUE_NEVER;
    compare_traces("pull", trp_consumer_pull(seats[seat], model_now, deadline), model_pull(seat, deadline));
}

/* Something in that hand, most of the time. */
static uint64_t some_seq(int seat, uint64_t *token) {
    uint64_t seq = below(10) ? model_held(seat, below(4)) : 0;
    if (!seq)
        seq = model_held(seat, 0);
    if (!seq || below(12) == 0) {
        *token = PICK(0, 1, 2, UINT64_MAX) + last_token[seat];
        seen.stale++;
        return UINT64_MAX;
    }
    *token = token_of(seat, seq);
    ck_assert_uint_ne(*token, 0);
    return seq;
}

/* The token goes before the event: it may come back in the same one under another. */
static void settle_token(int seat, uint64_t seq, uint64_t token) {
    if (seq != UINT64_MAX)
        (void)let_go(seat, token);
}

static bool is_stale(int seat, uint64_t token) {
    for (size_t i = 0; i < n_hand[seat]; i++)
        if (hands[seat][i].token == token)
            return false;
    return true;
}

static void event_settle(int seat) {
    uint64_t token, seq = some_seq(seat, &token), lsn = 0, want = 0, delay = PICK(0, 1, 20, 200);
    struct trp_slice reason = trp_slice_str(below(2) ? "" : "no good");
    if (seq == UINT64_MAX && !is_stale(seat, token))
        return;
    switch (below(8)) {
    case 0:
    case 1:
        settle_token(seat, seq, token);
        compare_traces("nack", trp_consumer_nack(seats[seat], model_now, token, delay), model_nack(seat, seq, delay));
        break;
    case 2:
        compare_traces("touch", trp_consumer_touch(seats[seat], model_now, token), model_touch(seat, seq));
        break;
    case 3:
        settle_token(seat, seq, token);
        compare_traces("bury", trp_consumer_bury(seats[seat], model_now, token, reason), model_bury(seat, seq, reason));
        break;
    default:
        settle_token(seat, seq, token);
        compare_traces("ack", trp_consumer_ack(seats[seat], model_now, token, &lsn), model_ack(seat, seq, &want));
        ck_assert_uint_eq(lsn, want);
    }
}

static void event_consumer(void) {
    int seat = (int)below(MODEL_CONSUMERS);
    if (!seats[seat])
        event_attach(seat);
    else if (below(20) == 0)
        event_detach(seat);
    else if (below(12) == 0)
        event_credit(seat);
    else if (below(6) == 0)
        event_pull(seat);
    else
        event_settle(seat);
}

static void event_time(void) {
    uint64_t next = model_next_deadline(), now = model_now.mono_ns, step = PICK(0, 1, 1000000, 5000000, 40000000);
    if (next != TRP_QUEUE_NEVER && next > now && below(2))
        step = next - now - (below(4) == 0);
    else if (below(20) == 0)
        step = below(2000000000);
    model_now.mono_ns += step;
    model_now.wall_ms += step / 1000000;
    if (below(50) == 0)
        model_now.wall_ms += below(2) ? 86400000 : -UINT64_C(86400000);
    if (below(8) == 0)
        return; /* nobody looks at the clock */
    size_t most = below(4) ? SIZE_MAX : 1 + below(3);
    size_t did = trp_queues_tick(set, model_now, most), should = model_tick(most);
    compare_traces("tick", TROUPE_OK, TROUPE_OK);
    ck_assert_uint_eq(did, should);
}

static void drop_oldest_segment(void) {
    size_t kept = 0;
    for (size_t i = 0; i < n_records; i++)
        if (records[i].segment == oldest_segment)
            free(records[i].p);
        else
            records[kept++] = records[i];
    n_records = kept;
    model_drop_segment(oldest_segment++);
    seen.drops++;
}

static void event_segment(void) {
    bool done, want;
    if (below(3) == 0)
        begins = model_new_segment = true;
    if (oldest_segment >= segment)
        return;
    size_t most = 1 + below(10);
    troupe_status st = trp_queues_rewrite(set, model_now, oldest_segment, most, &done);
    compare_traces("rewrite", st, model_rewrite(oldest_segment, most, &want));
    ck_assert_int_eq(done, want);
    if (done)
        drop_oldest_segment();
}

static void replay(struct trp_queues *into, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const struct record *r = &records[i];
        const char *why = "";
        troupe_status st = trp_queues_apply(into, model_now, (struct trp_slice){r->p, r->n}, r->lsn, r->segment, &why);
        ck_assert_msg(!st, "replay: %s", why);
    }
    trp_queues_recovered(into);
}

/* A torn tail: whatever the log ends with, it makes sense. */
static void replay_a_prefix(void) {
    static const struct trp_queue_sink sink = {on_deliver, on_lapsed, on_empty, on_ended, on_record};
    struct trp_queues *torn;
    ck_assert_int_eq(trp_queues_new(&torn, &(struct trp_queues_opts){.seed = random64()}, &sink, NULL), TROUPE_OK);
    replay(torn, below(n_records + 1));
    trp_queues_free(torn);
}

static void event_restart(void) {
    close_set();
    replay_a_prefix();
    open_set();
    replay(set, n_records);
    model_restart();
    compare_sights();
    compare_traces("restart", TROUPE_OK, TROUPE_OK);
    seen.restarts++;
}

static void event(void) {
    uint64_t x = below(1000);
    if (x < 20)
        event_declare();
    else if (x < 25)
        event_delete();
    else if (x < 35)
        event_pause();
    else if (x < 42)
        event_purge();
    else if (x < 57)
        event_retry();
    else if (x < 60)
        model_log_full = below(5) == 0;
    else if (x < 85)
        event_segment();
    else if (x < 88)
        event_restart();
    else if (x < 350)
        event_put();
    else if (x < 800)
        event_consumer();
    else
        event_time();
}

static void one_round(uint64_t events) {
    model_now = (struct trp_when){UINT64_C(1000000000000) + below(1000000), UINT64_C(1700000000000)};
    model_reset();
    begins = true;
    segment = lsns = 0;
    oldest_segment = 1;
    trace_n = 0;
    open_set();
    for (uint64_t i = 0; i < events; i++, seen.events++) {
        event();
        if (i % 16 == 0)
            compare_sights();
    }
    close_set();
    for (size_t i = 0; i < n_records; i++)
        free(records[i].p);
    n_records = 0;
}

START_TEST(the_queues_do_what_the_model_does) {
    const char *events = getenv("TROUPE_EVENTS");
    uint64_t left = events ? strtoull(events, NULL, 0) : EVENTS;
    chance_begin(seed_of_run());
    for (; left >= ROUND; left -= ROUND)
        one_round(ROUND);
    free(records);
    printf("%" PRIu64 " events: %" PRIu64 " deliveries, %" PRIu64 " lapsed, %" PRIu64 " duplicates, %" PRIu64 " full, %" PRIu64
           " retried, %" PRIu64 " stale, %" PRIu64 " segments dropped, %" PRIu64 " restarts\n",
           seen.events, seen.deliveries, seen.lapsed, seen.duplicates, seen.full, seen.dug, seen.stale, seen.drops,
           seen.restarts);
    /* The events are worth their name: everything has happened, and often. */
    ck_assert(seen.deliveries > seen.events / 20 && seen.lapsed > seen.events / 200 && seen.full > seen.events / 200);
    ck_assert(seen.stale > seen.events / 200 && seen.dug > seen.events / 1000 && seen.drops > seen.events / 1000);
    ck_assert(seen.restarts > seen.events / 1000 && seen.duplicates > seen.events / 2000);
}
END_TEST

int main(void) {
    Suite *s = suite_create("queue_model");
    TCase *t = tcase_create("model");
    tcase_set_timeout(t, 110);
    tcase_add_test(t, the_queues_do_what_the_model_does);
    suite_add_tcase(s, t);
    return run_suite(s);
}
