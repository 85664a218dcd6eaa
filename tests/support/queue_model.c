/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The reference. Slow and plain on purpose: where it and the real queues differ, this should be the one that is easy to
 * believe. */
#include "tests/support/queue_model.h"
#include <check.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ITEMS = 4096, QUEUES = 32, IDS = 4096 };
#define NEVER TRP_QUEUE_NEVER

struct death {
    char queue[MODEL_NAME], reason[32];
    uint32_t deliveries, crashes;
    int signal;
};

/* What the log knows of a message. */
struct logged {
    uint64_t record, segment; /* of its last PUT */
    uint64_t last;            /* record that spoke of it last */
    uint64_t put_at, ttl, at, delay;
    uint32_t deliveries, crashes;
    int signal;
    bool buried;
    const char *reason;
};

struct item {
    char queue[MODEL_NAME];
    enum trp_queue_state state;
    uint64_t seq, size, due, deadline, expires, first_seen;
    unsigned priority;
    uint32_t deliveries, crashes;
    int signal, holder;
    const char *reason; /* of its burial or death, in one word; NULL: none */
    bool dead;
    struct death death;
    uint64_t entered; /* when it came into its state: the order of hands, delays and graves */
    struct logged logged;
};

struct queue {
    char name[MODEL_NAME], dead_letter[MODEL_NAME];
    struct trp_queue_config config;
    bool paused, touched;
    uint64_t served, declared;
};

struct id {
    char queue[MODEL_NAME], text[32];
    uint64_t until, lsn, entered;
    bool live; /* else only the log still knows it */
    uint64_t record, segment, at, left;
};

struct consumer {
    bool attached, ended, pulling;
    char queue[MODEL_NAME];
    uint32_t credit;
    uint64_t served, pull_deadline, number;
};

char model_trace[MODEL_TRACE];
struct trp_when model_now;
bool model_log_full, model_new_segment;
uint64_t model_segment;

static size_t trace_n;
static struct item *items[ITEMS];
static size_t n_items;
static struct queue *queues[QUEUES]; /* in the order of declaration */
static size_t n_queues;
static struct id ids[IDS];
static size_t n_ids;
static struct consumer consumers[MODEL_CONSUMERS];
static struct queue *touched[QUEUES];
static size_t n_touched;
static uint64_t clock_of_order, next_seq, logged_next, records, n_attached;

/* ---- the trace and the log ---- */

static void say(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    trace_n += (size_t)vsnprintf(model_trace + trace_n, sizeof model_trace - trace_n, fmt, args);
    va_end(args);
    ck_assert_uint_lt(trace_n, sizeof model_trace);
}

void model_forget_trace(void) {
    trace_n = 0;
    model_trace[0] = '\0';
}

static bool refused(const struct queue *q) {
    return q->config.durable && model_log_full;
}

/* A record is about to be written. */
static uint64_t record(void) {
    if (model_new_segment) {
        model_new_segment = false;
        model_segment++;
        say("MARK%" PRIu64 " ", next_seq);
        records++;
        logged_next = next_seq;
        for (size_t i = 0; i < n_queues; i++)
            if (queues[i]->config.durable)
                say("DECLARE:%s ", queues[i]->name), records++;
    }
    return ++records;
}

static uint64_t left(uint64_t then) {
    return then > model_now.mono_ns ? (then - model_now.mono_ns + 999999) / 1000000 : 0;
}

static uint64_t later(uint64_t ms) {
    return ms > (UINT64_MAX - model_now.mono_ns) / 1000000 ? NEVER : model_now.mono_ns + ms * 1000000;
}

static void log_counts(struct item *it, uint64_t delay, bool buried) {
    struct logged *l = &it->logged;
    l->last = records;
    l->at = model_now.wall_ms;
    l->delay = delay;
    l->deliveries = it->deliveries;
    l->crashes = it->crashes;
    l->signal = it->signal;
    l->buried = buried;
    if (buried || l->record == records)
        l->reason = it->reason;
}

static uint64_t log_put(const struct queue *q, struct item *it, uint64_t was) {
    if (!q->config.durable)
        return 0;
    uint64_t at = record();
    if (was)
        say("PUT%" PRIu64 "<%" PRIu64 " ", it->seq, was);
    else
        say("PUT%" PRIu64 " ", it->seq);
    it->logged.record = at;
    it->logged.segment = model_segment;
    it->logged.put_at = model_now.wall_ms;
    it->logged.ttl = it->expires == NEVER ? NEVER : left(it->expires);
    log_counts(it, it->state == TRP_QUEUE_DELAYED ? left(it->due) : 0, it->state == TRP_QUEUE_BURIED);
    if (logged_next <= it->seq)
        logged_next = it->seq + 1;
    return at;
}

static void log_state(const struct queue *q, struct item *it, uint64_t delay, bool buried) {
    if (!q->config.durable)
        return;
    record();
    say("STATE%" PRIu64 " ", it->seq);
    log_counts(it, delay, buried);
}

static uint64_t log_done(const struct queue *q, const struct item *it) {
    if (!q->config.durable)
        return 0;
    uint64_t at = record();
    say("DONE%" PRIu64 " ", it->seq);
    return at;
}

/* ---- finding things ---- */

static struct queue *find_queue(const char *name) {
    for (size_t i = 0; i < n_queues; i++)
        if (strcmp(queues[i]->name, name) == 0)
            return queues[i];
    return NULL;
}

static struct queue *queue_of(const struct item *it) {
    return find_queue(it->queue);
}

static bool is_in(const struct item *it, const struct queue *q, enum trp_queue_state state) {
    return it->state == state && strcmp(it->queue, q->name) == 0;
}

static bool comes_first(const struct item *a, const struct item *b) {
    if (a->state == TRP_QUEUE_READY)
        return a->priority != b->priority ? a->priority < b->priority : a->seq < b->seq;
    if (a->state == TRP_QUEUE_HELD && a->holder != b->holder)
        return consumers[a->holder].number < consumers[b->holder].number;
    return a->entered < b->entered;
}

/* The n-th of a queue's messages in a state. */
static struct item *nth(const struct queue *q, enum trp_queue_state state, uint64_t n) {
    for (size_t i = 0; i < n_items; i++) {
        uint64_t before = 0;
        if (!is_in(items[i], q, state))
            continue;
        for (size_t j = 0; j < n_items; j++)
            before += j != i && is_in(items[j], q, state) && comes_first(items[j], items[i]);
        if (before == n)
            return items[i];
    }
    return NULL;
}

/* The first of what nth would give, in one pass. */
static struct item *first(const struct queue *q, enum trp_queue_state state) {
    struct item *best = NULL;
    for (size_t i = 0; i < n_items; i++)
        if (is_in(items[i], q, state) && (!best || comes_first(items[i], best)))
            best = items[i];
    return best;
}

static struct item *oldest(const struct queue *q) {
    struct item *best = NULL;
    for (size_t i = 0; i < n_items; i++)
        if (is_in(items[i], q, TRP_QUEUE_READY) && (!best || items[i]->seq < best->seq))
            best = items[i];
    return best;
}

static void remove_item(struct item *it) {
    for (size_t i = 0; i < n_items; i++)
        if (items[i] == it)
            items[i] = items[--n_items];
    free(it);
}

static struct item *add_item(const struct queue *q) {
    ck_assert_uint_lt(n_items, ITEMS);
    struct item *it = calloc(1, sizeof *it);
    ck_assert_ptr_nonnull(it);
    items[n_items++] = it;
    strcpy(it->queue, q->name);
    it->expires = NEVER;
    return it;
}

static void sum(const struct queue *q, bool without_ready, uint64_t *count, uint64_t *bytes) {
    *count = *bytes = 0;
    for (size_t i = 0; i < n_items; i++)
        if (strcmp(items[i]->queue, q->name) == 0 && !(without_ready && items[i]->state == TRP_QUEUE_READY)) {
            ++*count;
            *bytes += items[i]->size;
        }
}

static bool fits(const struct queue *q, uint64_t size, bool without_ready) {
    uint64_t count, bytes;
    sum(q, without_ready, &count, &bytes);
    return count < q->config.max_messages && bytes + size <= q->config.max_bytes;
}

static bool accepts(const struct queue *q, uint64_t size) {
    return fits(q, size, false) || (q->config.overflow == TRP_QUEUE_DROP_OLDEST && fits(q, size, true));
}

/* ---- states ---- */

static void enter(struct item *it, enum trp_queue_state state) {
    it->state = state;
    it->entered = ++clock_of_order;
}

static void touch(struct queue *q) {
    for (size_t i = 0; i < n_touched; i++)
        if (touched[i] == q)
            return;
    touched[n_touched++] = q;
}

static struct queue *add_queue(const struct trp_queue_config *c) {
    struct queue *q = calloc(1, sizeof *q);
    ck_assert(q && n_queues < QUEUES && c->name.n < MODEL_NAME && c->dead_letter.n < MODEL_NAME);
    memcpy(q->name, c->name.p, c->name.n);
    if (c->dead_letter.n)
        memcpy(q->dead_letter, c->dead_letter.p, c->dead_letter.n);
    q->config = *c;
    queues[n_queues++] = q;
    return q;
}

static struct queue *dead_letters(const struct queue *q) {
    struct queue *to = find_queue(q->dead_letter);
    if (to || refused(q))
        return to;
    struct trp_queue_config c = {.name = trp_slice_str(q->dead_letter), .durable = q->config.durable};
    c.max_messages = q->config.max_messages;
    c.max_bytes = q->config.max_bytes;
    c.ack_timeout_ms = q->config.ack_timeout_ms;
    uint64_t at = 0;
    if (c.durable) {
        at = record();
        say("DECLARE:%s ", q->dead_letter);
    }
    to = add_queue(&c);
    to->declared = at;
    return to;
}

static void drop(const struct queue *q, struct item *it) {
    (void)log_done(q, it);
    remove_item(it);
}

static void make_room_plainly(const struct queue *q, uint64_t size) {
    while (!fits(q, size, false))
        drop(q, oldest(q));
}

/* FULL: it stays where it is. */
static troupe_status move(struct queue *from, struct item *it, struct queue *to, const struct death *death,
                          const char *reason) {
    if (refused(to))
        return TROUPE_FULL;
    struct item copy = {
        .seq = next_seq, .size = it->size, .priority = it->priority, .first_seen = it->first_seen, .reason = reason};
    copy.expires = to->config.ttl_ms ? later(to->config.ttl_ms) : NEVER;
    copy.dead = death != NULL;
    if (death)
        copy.death = *death;
    (void)log_put(to, &copy, from->config.durable && to->config.durable ? it->seq : 0);
    if (!to->config.durable)
        (void)log_done(from, it);
    next_seq++;
    make_room_plainly(to, it->size);
    struct item *made = add_item(to);
    strcpy(copy.queue, made->queue);
    *made = copy;
    enter(made, TRP_QUEUE_READY);
    touch(to);
    remove_item(it);
    return TROUPE_OK;
}

static void die(struct queue *q, struct item *it, const char *reason, struct trp_slice text) {
    struct death d = {.deliveries = it->deliveries, .crashes = it->crashes, .signal = it->signal};
    strcpy(d.queue, q->name);
    snprintf(d.reason, sizeof d.reason, "%.*s", (int)text.n, text.n ? (const char *)text.p : "");
    it->state = TRP_QUEUE_STATES; /* in none: it makes no room and is not found */
    if (!*q->dead_letter) {
        drop(q, it);
        return;
    }
    struct queue *to = dead_letters(q);
    if (to && accepts(to, it->size) && !move(q, it, to, &d, reason))
        return;
    if (strcmp(reason, "overflow") == 0) {
        drop(q, it);
        return;
    }
    it->reason = reason;
    log_state(q, it, 0, true);
    enter(it, TRP_QUEUE_BURIED);
}

static const struct trp_slice no_text = {0};

static void come_back(struct queue *q, struct item *it) {
    touch(q);
    if (q->config.max_crashes && it->crashes >= q->config.max_crashes)
        die(q, it, "crashed", no_text);
    else if (q->config.max_deliveries && it->deliveries >= q->config.max_deliveries)
        die(q, it, "max_deliveries", no_text);
    else if (it->expires <= model_now.mono_ns)
        die(q, it, "expired", no_text);
    else {
        log_state(q, it, 0, false);
        enter(it, TRP_QUEUE_READY);
    }
}

/* ---- giving away ---- */

static uint32_t holding(int seat) {
    uint32_t n = 0;
    for (size_t i = 0; i < n_items; i++)
        n += items[i]->state == TRP_QUEUE_HELD && items[i]->holder == seat;
    return n;
}

static bool wants(int seat, const struct queue *q) {
    const struct consumer *c = &consumers[seat];
    return c->attached && !c->ended && strcmp(c->queue, q->name) == 0 && (c->pulling || holding(seat) < c->credit);
}

static int next_consumer(const struct queue *q) {
    int best = -1;
    for (int i = 0; i < MODEL_CONSUMERS; i++) {
        if (!wants(i, q))
            continue;
        if (best < 0 || holding(i) < holding(best) ||
            (holding(i) == holding(best) && consumers[i].served < consumers[best].served))
            best = i;
    }
    return best;
}

static void say_death(const struct item *it) {
    if (it->dead)
        say("!%s@%s(%" PRIu32 ",%" PRIu32 ",%d)", *it->death.reason ? it->death.reason : it->reason, it->death.queue,
            it->death.deliveries, it->death.crashes, it->death.signal);
}

static void deliver(struct queue *q, int seat, struct item *it) {
    it->deliveries++;
    it->holder = seat;
    it->deadline = q->config.ack_timeout_ms ? later(q->config.ack_timeout_ms) : NEVER;
    enter(it, TRP_QUEUE_HELD);
    consumers[seat].pulling = false;
    consumers[seat].served = ++q->served;
    say("c%d=%" PRIu64 "*%" PRIu32, seat, it->seq, it->deliveries);
    if (it->crashes)
        say("^%" PRIu32 "/%d", it->crashes, it->signal);
    say_death(it);
    say(" ");
}

static void settle(void) {
    while (n_touched > 0) {
        struct queue *q = touched[0];
        memmove(touched, touched + 1, --n_touched * sizeof *touched);
        struct item *it;
        int seat;
        while (!q->paused && (seat = next_consumer(q)) >= 0 && (it = first(q, TRP_QUEUE_READY))) {
            if (it->expires <= model_now.mono_ns)
                die(q, it, "expired", no_text);
            else
                deliver(q, seat, it);
        }
    }
}

/* ---- queues ---- */

troupe_status model_declare(const struct trp_queue_config *c, uint64_t *lsn) {
    char name[MODEL_NAME] = "";
    memcpy(name, c->name.p, c->name.n);
    struct queue *q = find_queue(name);
    if (!q) {
        if (c->durable && model_log_full)
            return TROUPE_FULL;
        *lsn = c->durable ? record() : 0;
        if (c->durable)
            say("DECLARE:%s ", name);
        q = add_queue(c);
        q->declared = *lsn;
        return TROUPE_OK;
    }
    const struct trp_queue_config *is = &q->config;
    if (is->durable != c->durable || is->max_messages != c->max_messages || is->max_bytes != c->max_bytes ||
        is->overflow != c->overflow || is->ttl_ms != c->ttl_ms || is->ack_timeout_ms != c->ack_timeout_ms ||
        is->max_deliveries != c->max_deliveries || is->max_crashes != c->max_crashes || is->dedup_ms != c->dedup_ms ||
        !trp_slice_eq(trp_slice_str(q->dead_letter), c->dead_letter))
        return TROUPE_REFUSED;
    *lsn = q->declared;
    return TROUPE_OK;
}

bool model_has(const char *name) {
    return find_queue(name) != NULL;
}

static struct consumer *first_consumer(const struct queue *q) {
    struct consumer *best = NULL;
    for (int i = 0; i < MODEL_CONSUMERS; i++) {
        struct consumer *c = &consumers[i];
        if (c->attached && !c->ended && strcmp(c->queue, q->name) == 0 && (!best || c->number < best->number))
            best = c;
    }
    return best;
}

static void end_consumers(const struct queue *q) {
    for (struct consumer *c; (c = first_consumer(q));) {
        c->ended = true;
        say("c%d ended ", (int)(c - consumers));
    }
}

static void remove_queue(struct queue *q) {
    for (size_t i = n_items; i-- > 0;)
        if (strcmp(items[i]->queue, q->name) == 0)
            remove_item(items[i]);
    size_t kept = 0;
    for (size_t i = 0; i < n_ids; i++)
        if (strcmp(ids[i].queue, q->name) != 0)
            ids[kept++] = ids[i];
    n_ids = kept;
    size_t at = 0;
    while (queues[at] != q)
        at++;
    memmove(&queues[at], &queues[at + 1], (--n_queues - at) * sizeof *queues);
    free(q);
}

troupe_status model_delete(const char *name, uint64_t *lsn) {
    struct queue *q = find_queue(name);
    *lsn = q->config.durable ? record() : 0;
    if (q->config.durable)
        say("DELETE ");
    end_consumers(q);
    remove_queue(q);
    return TROUPE_OK;
}

troupe_status model_pause(const char *name, bool paused) {
    struct queue *q = find_queue(name);
    if (q->paused == paused)
        return TROUPE_OK;
    if (refused(q))
        return TROUPE_FULL;
    if (q->config.durable) {
        record();
        say("DECLARE:%s ", name);
    }
    q->paused = paused;
    touch(q);
    settle();
    return TROUPE_OK;
}

static size_t gather(const struct queue *q, bool all, struct item **out) {
    static const enum trp_queue_state order[] = {TRP_QUEUE_READY, TRP_QUEUE_DELAYED, TRP_QUEUE_BURIED, TRP_QUEUE_HELD};
    size_t n = 0;
    for (int s = 0; s < (all ? 4 : 2); s++)
        for (uint64_t i = 0; (out[n] = nth(q, order[s], i)); i++)
            n++;
    return n;
}

troupe_status model_purge(const char *name, bool all, uint64_t *count, uint64_t *lsn) {
    static struct item *gone[ITEMS + 1];
    struct queue *q = find_queue(name);
    *count = gather(q, all, gone);
    *lsn = 0;
    if (*count && q->config.durable) {
        *lsn = record();
        say("DONE");
        for (uint64_t i = 0; i < *count; i++)
            say("%s%" PRIu64, i ? "," : "", gone[i]->seq);
        say(" ");
    }
    for (uint64_t i = 0; i < *count; i++) {
        if (gone[i]->state == TRP_QUEUE_HELD)
            say("c%d-%" PRIu64 " lapsed ", gone[i]->holder, gone[i]->seq);
        remove_item(gone[i]);
    }
    touch(q);
    settle();
    return TROUPE_OK;
}

static troupe_status send_home(struct queue *q, struct item *it, uint64_t *count) {
    struct queue *home = it->dead ? find_queue(it->death.queue) : NULL;
    if (!home || home == q)
        return TROUPE_OK;
    if (!fits(home, it->size, false))
        return TROUPE_FULL;
    troupe_status st = move(q, it, home, NULL, NULL);
    *count += !st;
    return st;
}

static troupe_status dig_up(struct queue *q, struct item *it) {
    if (refused(q))
        return TROUPE_FULL;
    it->deliveries = it->crashes = 0;
    it->signal = 0;
    it->expires = q->config.ttl_ms ? later(q->config.ttl_ms) : NEVER;
    it->reason = it->dead ? it->reason : NULL;
    enter(it, TRP_QUEUE_READY);
    (void)log_put(q, it, 0);
    touch(q);
    return TROUPE_OK;
}

troupe_status model_retry(const char *name, uint64_t most, uint64_t *count) {
    static struct item *dead[ITEMS + 1];
    struct queue *q = find_queue(name);
    troupe_status st = TROUPE_OK;
    struct item *it;
    size_t n = 0;
    *count = 0;
    while ((dead[n] = nth(q, TRP_QUEUE_READY, n)))
        n++;
    for (size_t i = 0; i < n && !st && *count < most; i++)
        st = send_home(q, dead[i], count);
    while (!st && *count < most && (it = first(q, TRP_QUEUE_BURIED))) {
        st = dig_up(q, it);
        *count += !st;
    }
    settle();
    return st;
}

/* ---- put ---- */

static struct id *find_id(const struct queue *q, struct trp_slice text) {
    for (size_t i = 0; i < n_ids; i++)
        if (ids[i].live && strcmp(ids[i].queue, q->name) == 0 && trp_slice_eq(trp_slice_str(ids[i].text), text))
            return &ids[i];
    return NULL;
}

/* Out of the queue; the log may know it still. */
static void end_id(struct id *id) {
    id->live = false;
    if (!id->record)
        *id = ids[--n_ids];
}

static void add_id(const struct queue *q, struct trp_slice text, uint64_t lsn) {
    struct id id = {.until = later(q->config.dedup_ms), .lsn = lsn, .entered = ++clock_of_order, .live = true, .record = lsn};
    ck_assert_uint_lt(n_ids, IDS);
    strcpy(id.queue, q->name);
    memcpy(id.text, text.p, text.n);
    id.segment = model_segment;
    id.at = model_now.wall_ms;
    id.left = q->config.dedup_ms;
    ids[n_ids++] = id;
}

static struct item arrival(const struct queue *q, const struct trp_queue_put *put) {
    struct item it = {
        .seq = next_seq, .size = put->raw.n, .priority = put->priority, .first_seen = model_now.wall_ms, .expires = NEVER};
    uint64_t ttl = put->ttl_ms ? put->ttl_ms : q->config.ttl_ms;
    if (ttl && ttl != NEVER)
        it.expires = later(ttl);
    it.state = put->delay_ms ? TRP_QUEUE_DELAYED : TRP_QUEUE_READY;
    it.due = put->delay_ms ? later(put->delay_ms) : 0;
    return it;
}

troupe_status model_put(const char *name, const struct trp_queue_put *put, uint64_t *lsn) {
    struct queue *q = find_queue(name);
    struct id *id = put->dedup.n && q->config.dedup_ms ? find_id(q, put->dedup) : NULL;
    if (id && id->until > model_now.mono_ns) {
        *lsn = id->lsn;
        return TROUPE_EXISTS;
    }
    if (id)
        end_id(id);
    if (!accepts(q, put->raw.n) || refused(q))
        return TROUPE_FULL;
    struct item it = arrival(q, put);
    uint64_t segment;
    *lsn = log_put(q, &it, 0);
    segment = model_segment;
    next_seq++;
    for (struct item *old; !fits(q, put->raw.n, false);) {
        old = oldest(q);
        die(q, old, "overflow", no_text);
    }
    struct item *made = add_item(q);
    strcpy(it.queue, made->queue);
    *made = it;
    enter(made, it.state);
    if (put->dedup.n && q->config.dedup_ms) {
        add_id(q, put->dedup, *lsn);
        ids[n_ids - 1].segment = segment;
    }
    touch(q);
    settle();
    return TROUPE_OK;
}

/* ---- consumers ---- */

bool model_attached(int seat) {
    return consumers[seat].attached;
}

void model_attach(const char *name, int seat, uint32_t credit) {
    struct queue *q = find_queue(name);
    struct consumer *c = &consumers[seat];
    *c = (struct consumer){.attached = true, .credit = credit, .number = ++n_attached};
    strcpy(c->queue, name);
    c->served = ++q->served;
    touch(q);
    settle();
}

troupe_status model_credit(int seat, uint32_t credit) {
    if (consumers[seat].ended)
        return TROUPE_CLOSED;
    consumers[seat].credit = credit;
    touch(find_queue(consumers[seat].queue));
    settle();
    return TROUPE_OK;
}

troupe_status model_pull(int seat, uint64_t deadline) {
    struct consumer *c = &consumers[seat];
    if (c->ended)
        return TROUPE_CLOSED;
    if (c->pulling)
        return TROUPE_AGAIN;
    struct queue *q = find_queue(c->queue);
    c->pulling = true;
    c->pull_deadline = deadline;
    c->served = ++q->served;
    touch(q);
    settle();
    if (c->pulling && deadline <= model_now.mono_ns) {
        c->pulling = false;
        say("c%d empty ", seat);
    }
    return TROUPE_OK;
}

static troupe_status find_held(int seat, uint64_t seq, struct item **out) {
    if (consumers[seat].ended)
        return TROUPE_CLOSED;
    for (size_t i = 0; i < n_items; i++)
        if (items[i]->state == TRP_QUEUE_HELD && items[i]->holder == seat && items[i]->seq == seq) {
            *out = items[i];
            return TROUPE_OK;
        }
    return TROUPE_NOT_FOUND;
}

troupe_status model_ack(int seat, uint64_t seq, uint64_t *lsn) {
    struct item *it;
    troupe_status st = find_held(seat, seq, &it);
    if (st)
        return st;
    struct queue *q = queue_of(it);
    *lsn = log_done(q, it);
    remove_item(it);
    touch(q);
    settle();
    return TROUPE_OK;
}

troupe_status model_nack(int seat, uint64_t seq, uint64_t delay_ms) {
    struct item *it;
    troupe_status st = find_held(seat, seq, &it);
    if (st)
        return st;
    struct queue *q = queue_of(it);
    bool over = (q->config.max_crashes && it->crashes >= q->config.max_crashes) ||
                (q->config.max_deliveries && it->deliveries >= q->config.max_deliveries) || it->expires <= model_now.mono_ns;
    if (over || !delay_ms) {
        come_back(q, it);
    } else {
        log_state(q, it, delay_ms, false);
        it->due = later(delay_ms);
        enter(it, TRP_QUEUE_DELAYED);
        touch(q);
    }
    settle();
    return TROUPE_OK;
}

troupe_status model_touch(int seat, uint64_t seq) {
    struct item *it;
    troupe_status st = find_held(seat, seq, &it);
    if (st)
        return st;
    it->deadline = queue_of(it)->config.ack_timeout_ms ? later(queue_of(it)->config.ack_timeout_ms) : NEVER;
    it->entered = ++clock_of_order;
    return TROUPE_OK;
}

troupe_status model_bury(int seat, uint64_t seq, struct trp_slice reason) {
    struct item *it;
    troupe_status st = find_held(seat, seq, &it);
    if (st)
        return st;
    struct queue *q = queue_of(it);
    touch(q);
    die(q, it, "buried", reason);
    settle();
    return TROUPE_OK;
}

static struct item *first_held(int seat) {
    struct item *best = NULL;
    for (size_t i = 0; i < n_items; i++)
        if (items[i]->state == TRP_QUEUE_HELD && items[i]->holder == seat && (!best || items[i]->entered < best->entered))
            best = items[i];
    return best;
}

uint64_t model_held(int seat, uint64_t n) {
    for (size_t i = 0; i < n_items; i++)
        if (items[i]->state == TRP_QUEUE_HELD && items[i]->holder == seat && n-- == 0)
            return items[i]->seq;
    return 0;
}

void model_detach(int seat, enum trp_consumer_loss loss, int signal) {
    struct consumer *c = &consumers[seat];
    struct item *it;
    c->credit = 0;
    c->pulling = false;
    while (!c->ended && (it = first_held(seat))) {
        if (loss == TRP_CONSUMER_CRASHED) {
            it->crashes++;
            it->signal = signal;
        }
        come_back(queue_of(it), it);
    }
    c->attached = false;
    settle();
}

/* ---- time ---- */

/* What is due next: at, then messages before consumers before ids, then by number. */
struct due {
    uint64_t at, rank;
    int kind;
    struct item *it;
    struct id *id;
    int seat;
};

static void consider(struct due *best, struct due d) {
    if (d.at == NEVER)
        return;
    if (d.at < best->at || (d.at == best->at && (d.kind < best->kind || (d.kind == best->kind && d.rank < best->rank))))
        *best = d;
}

static uint64_t item_deadline(const struct item *it) {
    if (it->state == TRP_QUEUE_READY)
        return it->expires;
    if (it->state != TRP_QUEUE_DELAYED)
        return NEVER;
    return it->due < it->expires ? it->due : it->expires;
}

static uint64_t consumer_deadline(int seat) {
    const struct consumer *c = &consumers[seat];
    if (!c->attached || c->ended)
        return NEVER;
    const struct item *it = first_held(seat);
    uint64_t ack = it ? it->deadline : NEVER, pull = c->pulling ? c->pull_deadline : NEVER;
    return ack < pull ? ack : pull;
}

static struct id *first_id(const struct queue *q) {
    struct id *best = NULL;
    for (size_t i = 0; i < n_ids; i++)
        if (ids[i].live && strcmp(ids[i].queue, q->name) == 0 && (!best || ids[i].entered < best->entered))
            best = &ids[i];
    return best;
}

static struct due next_due(void) {
    struct due best = {.at = NEVER, .kind = 3};
    for (size_t i = 0; i < n_items; i++)
        consider(&best, (struct due){.at = item_deadline(items[i]), .kind = 0, .rank = items[i]->seq, .it = items[i]});
    for (int i = 0; i < MODEL_CONSUMERS; i++)
        consider(&best, (struct due){.at = consumer_deadline(i), .kind = 1, .rank = consumers[i].number, .seat = i});
    for (size_t i = 0; i < n_queues; i++) {
        struct id *id = first_id(queues[i]);
        consider(&best, (struct due){.at = id ? id->until : NEVER, .kind = 2, .rank = i, .id = id});
    }
    return best;
}

static void item_is_due(struct item *it) {
    struct queue *q = queue_of(it);
    if (it->expires <= model_now.mono_ns && (it->state == TRP_QUEUE_READY || it->expires <= it->due)) {
        die(q, it, "expired", no_text);
    } else {
        enter(it, TRP_QUEUE_READY);
        touch(q);
    }
}

static void consumer_is_due(int seat) {
    struct consumer *c = &consumers[seat];
    struct item *it = first_held(seat);
    if (!it || (c->pulling && c->pull_deadline < it->deadline)) {
        c->pulling = false;
        say("c%d empty ", seat);
        return;
    }
    struct queue *q = queue_of(it);
    c->served = ++q->served;
    say("c%d-%" PRIu64 " lapsed ", seat, it->seq);
    come_back(q, it);
}

size_t model_tick(size_t most) {
    size_t n = 0;
    for (struct due d; n < most && (d = next_due()).at <= model_now.mono_ns && d.kind < 3; n++) {
        if (d.kind == 0)
            item_is_due(d.it);
        else if (d.kind == 1)
            consumer_is_due(d.seat);
        else
            end_id(d.id);
        settle();
    }
    return n;
}

uint64_t model_next_deadline(void) {
    return next_due().at;
}

/* ---- segments and restarts ---- */

static struct item *first_logged(uint64_t segment) {
    struct item *best = NULL;
    for (size_t i = 0; i < n_items; i++)
        if (queue_of(items[i])->config.durable && items[i]->logged.segment <= segment &&
            (!best || items[i]->logged.record < best->logged.record))
            best = items[i];
    return best;
}

static struct id *first_logged_id(uint64_t segment) {
    struct id *best = NULL;
    for (size_t i = 0; i < n_ids; i++)
        if (ids[i].live && ids[i].record && ids[i].segment <= segment && (!best || ids[i].record < best->record))
            best = &ids[i];
    return best;
}

static void rewrite_id(struct id *id) {
    struct id ghost = *id;
    uint64_t at = record();
    say("DEDUP:%s ", id->text);
    id->record = at;
    id->segment = model_segment;
    id->at = model_now.wall_ms;
    id->left = left(id->until);
    ghost.live = false; /* what was written before is still there */
    ck_assert_uint_lt(n_ids, IDS);
    ids[n_ids++] = ghost;
}

troupe_status model_rewrite(uint64_t segment, size_t most, bool *done) {
    struct item *it;
    struct id *id;
    bool full = model_log_full && (first_logged(segment) || first_logged_id(segment)) && most > 0;
    for (; !full && most > 0 && (it = first_logged(segment)); most--)
        (void)log_put(queue_of(it), it, 0);
    for (; !full && most > 0 && (id = first_logged_id(segment)); most--)
        rewrite_id(id);
    *done = !first_logged(segment) && !first_logged_id(segment);
    return full ? TROUPE_FULL : TROUPE_OK;
}

void model_drop_segment(uint64_t segment) {
    for (size_t i = n_ids; i-- > 0;)
        if (ids[i].record && ids[i].segment == segment) {
            ck_assert(!ids[i].live);
            ids[i] = ids[--n_ids];
        }
}

static uint64_t rest(uint64_t at, uint64_t ms) {
    uint64_t gone = model_now.wall_ms > at ? model_now.wall_ms - at : 0;
    return later(ms > gone ? ms - gone : 0);
}

static void restore(struct item *it) {
    const struct logged *l = &it->logged;
    it->deliveries = l->deliveries;
    it->crashes = l->crashes;
    it->signal = l->signal;
    it->reason = l->reason;
    it->expires = l->ttl == NEVER ? NEVER : rest(l->put_at, l->ttl);
    it->due = l->delay ? rest(l->at, l->delay) : 0;
    it->state = l->buried ? TRP_QUEUE_BURIED : TRP_QUEUE_READY;
    if (it->due > model_now.mono_ns)
        it->state = TRP_QUEUE_DELAYED;
    it->entered = l->last;
}

/* Each id that is written, in order: the last word counts, and only if it has not ended by now. */
static void restore_ids(void) {
    for (size_t i = 0; i < n_ids; i++)
        ids[i].live = false;
    for (size_t i = 0; i < n_ids; i++) {
        bool last = true;
        for (size_t j = 0; j < n_ids; j++)
            last = last && !(ids[j].record > ids[i].record && strcmp(ids[j].queue, ids[i].queue) == 0 &&
                             strcmp(ids[j].text, ids[i].text) == 0);
        ids[i].until = rest(ids[i].at, ids[i].left);
        ids[i].live = last && ids[i].until > model_now.mono_ns;
        ids[i].lsn = ids[i].record;
        ids[i].entered = ids[i].record;
    }
}

void model_restart(void) {
    memset(consumers, 0, sizeof consumers);
    for (size_t i = n_queues; i-- > 0;) {
        queues[i]->served = 0;
        if (!queues[i]->config.durable)
            remove_queue(queues[i]);
    }
    for (size_t i = 0; i < n_items; i++)
        restore(items[i]);
    restore_ids();
    clock_of_order = records;
    next_seq = logged_next;
}

void model_reset(void) {
    while (n_queues > 0)
        remove_queue(queues[0]);
    memset(consumers, 0, sizeof consumers);
    n_ids = n_touched = 0;
    clock_of_order = records = n_attached = model_segment = 0;
    next_seq = logged_next = 1;
    model_log_full = false;
    model_new_segment = true;
    model_forget_trace();
}

/* ---- all that is to be seen ---- */

static size_t describe_state(const struct queue *q, enum trp_queue_state state, char *out, size_t cap) {
    size_t n = (size_t)snprintf(out, cap, " |");
    const struct item *it;
    for (uint64_t i = 0; (it = nth(q, state, i)); i++)
        n += (size_t)snprintf(out + n, cap - n, " %" PRIu64 "/%u*%" PRIu32 "^%" PRIu32 "@%" PRIu64, it->seq, it->priority,
                              it->deliveries, it->crashes, it->first_seen);
    return n;
}

void model_describe(char *out, size_t cap) {
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n_queues; i++) {
        uint64_t count, bytes, live = 0;
        sum(queues[i], false, &count, &bytes);
        for (size_t k = 0; k < n_ids; k++)
            live += ids[k].live && strcmp(ids[k].queue, queues[i]->name) == 0;
        n += (size_t)snprintf(out + n, cap - n, "%s%s %" PRIu64 " bytes %" PRIu64 " ids", queues[i]->name,
                              queues[i]->paused ? " paused" : "", bytes, live);
        for (int state = 0; state < TRP_QUEUE_STATES; state++)
            n += describe_state(queues[i], (enum trp_queue_state)state, out + n, cap - n);
        n += (size_t)snprintf(out + n, cap - n, "\n");
    }
}
