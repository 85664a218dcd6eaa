/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * [QUEUE, id, verb, name, options]: a table of verbs, a function each. Every one answers its id once. */
#include "broker/core_chore.h"
#include "broker/core_queue.h"
#include "broker/queue_info.h"
#include "transports/alloc.h"

/* An answer of many rows is about so large at most. */
enum { ROWS_HEAD = 5, ROWS_MOST = 256 * 1024 };

/* One verb at work. */
struct job {
    struct trp_core *c;
    struct trp_peer *p;
    uint64_t id;
    struct trp_slice name, options;
    struct trp_queue *q; /* NULL for declare and list */
};

static void fail(const struct job *j, const char *code, const char *text) {
    trp_core_err(j->c, j->p, j->id, code, text);
}

/* OK, once the log is as far as it must be. */
static void done(const struct job *j, uint64_t lsn, uint64_t count) {
    enum trp_level level = lsn ? TRP_LEVEL_SYNCED : TRP_LEVEL_MEMORY;
    if (trp_confirm(j->c, j->p, j->id, level, lsn, count))
        fail(j, "NO_MEMORY", "it is done, but the broker has no memory to confirm it");
}

static void fail_status(const struct job *j, troupe_status st) {
    fail(j, trp_put_code(st), st == TROUPE_INVALID ? "that makes no sense here" : trp_put_text(j->c, st));
}

static bool has_info(const struct job *j, uint64_t count) {
    struct trp_core *c = j->c;
    if (!j->p->closed)
        c->sink.answer(c->ctx, j->p->user, j->id, 0, count, (struct trp_slice){c->info.p, c->info.n});
    return true;
}

/* ---- declare ---- */

static bool option_uint(const struct job *j, const char *key, uint64_t *v, const char **why) {
    troupe_value o;
    if (!trp_map_value(j->options, key, &o))
        return true;
    *v = o.kind == TROUPE_UINT ? o.u : (uint64_t)o.i;
    if (o.kind == TROUPE_UINT || (o.kind == TROUPE_INT && o.i >= 0))
        return true;
    *why = "limits and times are unsigned integers";
    return false;
}

static bool option_u32(const struct job *j, const char *key, uint32_t *v, const char **why) {
    uint64_t wide = *v;
    if (!option_uint(j, key, &wide, why))
        return false;
    *v = wide > UINT32_MAX ? UINT32_MAX : (uint32_t)wide;
    return true;
}

static bool option_patterns(const struct job *j, struct trp_slice *patterns, struct trp_queue_config *config,
                            const char **why) {
    troupe_value bind;
    uint32_t n;
    *why = "bind is a list of at most 64 patterns";
    if (!trp_map_value(j->options, "bind", &bind))
        return true;
    const uint8_t *p = bind.data, *end = p + bind.size;
    if (bind.kind != TROUPE_PACKED || !trp_unpack_array(&p, end, &n) || n > TRP_QUEUE_PATTERNS_MAX)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!trp_unpack_str(&p, end, &patterns[i]) || !trp_is_pattern(patterns[i]) || trp_inbox_is_reserved(patterns[i]) ||
            trp_core_is_queue_topic(patterns[i]))
            return false;
    config->patterns = patterns;
    config->n_patterns = n;
    return true;
}

static bool option_words(const struct job *j, struct trp_queue_config *config, const char **why) {
    struct trp_slice overflow;
    troupe_value v;
    if (trp_map_value(j->options, "durable", &v))
        config->durable = v.kind == TROUPE_BOOL ? v.b : v.kind == TROUPE_INT && v.i != 0;
    if (trp_map_str(j->options, "overflow", &overflow)) {
        if (trp_slice_eq(overflow, trp_slice_str("drop-oldest"))) {
            config->overflow = TRP_QUEUE_DROP_OLDEST;
        } else if (!trp_slice_eq(overflow, trp_slice_str("reject"))) {
            *why = "overflow is reject or drop-oldest";
            return false;
        }
    }
    trp_map_str(j->options, "dead", &config->dead_letter);
    return true;
}

static bool read_config(const struct job *j, struct trp_slice *patterns, struct trp_queue_config *c, const char **why) {
    *c = trp_queue_config(j->name);
    return option_words(j, c, why) && option_uint(j, "max_messages", &c->max_messages, why) &&
           option_uint(j, "max_bytes", &c->max_bytes, why) && option_uint(j, "ttl", &c->ttl_ms, why) &&
           option_uint(j, "ack_timeout", &c->ack_timeout_ms, why) && option_u32(j, "max_deliveries", &c->max_deliveries, why) &&
           option_u32(j, "max_crashes", &c->max_crashes, why) && option_uint(j, "dedup_window", &c->dedup_ms, why) &&
           option_patterns(j, patterns, c, why);
}

static void verb_declare(const struct job *j) {
    struct trp_slice patterns[TRP_QUEUE_PATTERNS_MAX];
    struct trp_queue_config config;
    struct trp_queue *before = trp_queues_find(j->c->queues, j->name), *q;
    uint64_t lsn;
    const char *why = "that declaration makes no sense";
    if (!trp_is_topic(j->name) || !read_config(j, patterns, &config, &why)) {
        fail(j, "INVALID", trp_is_topic(j->name) ? why : "a queue's name is a topic");
        return;
    }
    troupe_status st = trp_queues_declare(j->c->queues, &config, &q, &lsn, &why);
    if (st == TROUPE_OK && trp_core_route_queue(j->c, q)) {
        fail(j, "NO_MEMORY", "the queue is declared, but the broker has no memory to bind it");
        return;
    }
    if (st == TROUPE_OK)
        done(j, lsn, before == NULL);
    else if (st == TROUPE_REFUSED)
        fail(j, "CONFLICT", why);
    else if (st == TROUPE_INVALID)
        fail(j, "INVALID", why);
    else if (st == TROUPE_UNSUPPORTED)
        fail(j, "UNSUPPORTED", "this broker keeps nothing on disk: start it with --data=DIR");
    else
        fail_status(j, st);
}

static void verb_delete(const struct job *j) {
    struct trp_queue *q = j->q;
    struct trp_queue_stat s;
    uint64_t lsn, count = 0;
    trp_queue_stat(q, j->c->when, &s);
    for (int i = 0; i < TRP_QUEUE_STATES; i++)
        count += s.messages[i];
    trp_core_unroute_queue(j->c, q);
    troupe_status st = trp_queue_delete(&q, &lsn);
    if (st == TROUPE_OK)
        trp_core_chores_leave(j->c, j->q);
    if (st == TROUPE_OK)
        done(j, lsn, count);
    else if (trp_core_route_queue(j->c, q) != TROUPE_OK)
        fail(j, "NO_MEMORY", "the broker is out of memory, and the queue has lost its bindings: declare it again");
    else
        fail_status(j, st);
}

/* ---- looking ---- */

static void verb_stat(const struct job *j) {
    j->c->info.n = 0;
    if (trp_queue_info_stat(&j->c->info, j->q, j->c->when) != TROUPE_OK)
        fail(j, "NO_MEMORY", "the broker is out of memory");
    else
        has_info(j, 1);
}

/* An array of rows, each put behind the last: begin, the rows, end. */
static troupe_status rows_begin(struct trp_buf *b) {
    b->n = 0;
    troupe_status st = trp_buf_room(b, TRP_PACK_MAX_HEAD);
    b->n = st == TROUPE_OK ? ROWS_HEAD : 0;
    return st;
}

static void rows_end(const struct job *j, troupe_status st, uint32_t n) {
    struct trp_buf *b = &j->c->info;
    if (st != TROUPE_OK) {
        fail(j, "NO_MEMORY", "the broker is out of memory");
        return;
    }
    b->p[0] = 0xdd; /* array32 */
    for (int i = 0; i < 4; i++)
        b->p[1 + i] = (uint8_t)(n >> (24 - 8 * i));
    has_info(j, n);
}

static bool is_listed(const struct job *j, const struct trp_queue *q, uint64_t after) {
    struct trp_slice name = trp_queue_config_of(q)->name;
    if (trp_queue_number(q) <= after)
        return false;
    bool below = name.n > j->name.n && memcmp(name.p, j->name.p, j->name.n) == 0 && name.p[j->name.n] == '.';
    return j->name.n == 0 || below || trp_slice_eq(name, j->name);
}

/* What stat says, of a queue and those below it, an empty name means all; as many as one answer takes. */
static void verb_list(const struct job *j) {
    uint64_t after = 0;
    uint32_t n = 0;
    const char *why;
    if (!option_uint(j, "after", &after, &why)) {
        fail(j, "INVALID", "after is the number of a queue");
        return;
    }
    troupe_status st = rows_begin(&j->c->info);
    for (struct trp_queue *q = NULL; !st && j->c->info.n < ROWS_MOST && (q = trp_queues_next(j->c->queues, q));) {
        if (!is_listed(j, q, after))
            continue;
        st = trp_queue_info_stat(&j->c->info, q, j->c->when);
        n++;
    }
    rows_end(j, st, n);
}

static bool read_state(const struct job *j, enum trp_queue_state *state) {
    static const char *const names[] = {"ready", "held", "delayed", "buried"};
    struct trp_slice word;
    *state = TRP_QUEUE_READY;
    if (!trp_map_str(j->options, "state", &word))
        return true;
    for (int i = 0; i < TRP_QUEUE_STATES; i++) {
        *state = (enum trp_queue_state)i;
        if (trp_slice_eq(word, trp_slice_str(names[i])))
            return true;
    }
    return false;
}

/* Where it is to begin: behind the one of that number, where the last look ended, if it did; else at a place. */
static void look_for(const struct job *j, enum trp_queue_state state, uint64_t at, uint64_t after) {
    if (!after || !trp_queue_look_behind(j->q, state, after))
        trp_queue_look_at(j->q, state, at);
}

static void peek_one(const struct job *j, const struct trp_queue_message *m) {
    j->c->info.n = 0;
    if (trp_queue_info_peek(&j->c->info, m, j->c->when) != TROUPE_OK)
        fail(j, "NO_MEMORY", "the broker is out of memory");
    else
        has_info(j, 1);
}

/* One, however large it is, and more while they fit. */
static void peek_some(const struct job *j, struct trp_queue_message *m, uint64_t count) {
    struct trp_buf *b = &j->c->info;
    uint32_t n = 0;
    troupe_status st = rows_begin(b), more = TROUPE_OK;
    while (!st && !more && n < count && (n == 0 || b->n + m->raw.n < ROWS_MOST)) {
        st = trp_queue_info_peek(b, m, j->c->when);
        n++;
        trp_queue_look_on(j->q);
        more = trp_queue_look(j->q, m);
    }
    rows_end(j, st, n);
}

static void verb_peek(const struct job *j) {
    struct trp_queue_message m;
    enum trp_queue_state state;
    uint64_t at = 0, after = 0, count = 0;
    const char *why;
    if (!read_state(j, &state) || !option_uint(j, "at", &at, &why) || !option_uint(j, "after", &after, &why) ||
        !option_uint(j, "count", &count, &why)) {
        fail(j, "INVALID", "state is ready, held, delayed or buried; at, after and count are numbers");
        return;
    }
    look_for(j, state, at, after);
    if (trp_queue_look(j->q, &m) != TROUPE_OK)
        fail(j, "EMPTY", "there are not so many");
    else if (count)
        peek_some(j, &m, count);
    else
        peek_one(j, &m);
}

/* ---- changing ---- */

static void verb_purge(const struct job *j) {
    troupe_value all = troupe_bool(false);
    trp_map_value(j->options, "all", &all);
    trp_core_purge(j->c, j->p, j->id, j->q, all.kind == TROUPE_BOOL && all.b);
}

static void set_paused(const struct job *j, bool paused) {
    troupe_status st = trp_queue_pause(j->q, j->c->when, paused);
    if (st == TROUPE_OK)
        done(j, 0, 1);
    else
        fail_status(j, st);
}

static void verb_pause(const struct job *j) {
    set_paused(j, true);
}

static void verb_resume(const struct job *j) {
    set_paused(j, false);
}

static void verb_retry(const struct job *j) {
    uint64_t most = UINT64_MAX;
    const char *why;
    if (option_uint(j, "count", &most, &why))
        trp_core_retry(j->c, j->p, j->id, j->q, most);
    else
        fail(j, "INVALID", "count is how many at most");
}

/* ---- consuming ---- */

static struct trp_sub *consumer(const struct job *j) {
    uint64_t sid = 0;
    trp_map_uint(j->options, "sid", &sid);
    struct trp_sub *s = trp_peer_find_sub(j->p, &j->c->key, sid);
    if (s && s->consumer)
        return s;
    fail(j, "NOT_FOUND", "sid names no subscription of yours to that queue");
    return NULL;
}

/* The message comes as a delivery on that sid, with t-get = id beside it. */
static void verb_get(const struct job *j) {
    struct trp_sub *s = consumer(j);
    uint64_t timeout = 0;
    const char *why;
    if (!s)
        return;
    if (s->pull || !option_uint(j, "timeout", &timeout, &why)) {
        fail(j, s->pull ? "BUSY" : "INVALID",
             s->pull ? "a get of that subscription waits already" : "timeout takes milliseconds");
        return;
    }
    uint64_t now = j->c->when.mono_ns, ns = timeout > UINT64_MAX / 2000000 ? UINT64_MAX / 2 : timeout * 1000000;
    s->pull = j->id;
    troupe_status st = trp_consumer_pull(s->consumer, j->c->when, ns > UINT64_MAX - now ? UINT64_MAX - 1 : now + ns);
    if (st != TROUPE_OK) {
        s->pull = 0;
        fail(j, st == TROUPE_NO_MEMORY ? "NO_MEMORY" : "BUSY",
             st == TROUPE_FULL ? "too many are in hand" : troupe_status_text(st));
    }
}

static void verb_touch(const struct job *j) {
    struct trp_sub *s = consumer(j);
    uint64_t token = 0;
    if (!s)
        return;
    trp_map_uint(j->options, "token", &token);
    if (trp_consumer_touch(s->consumer, j->c->when, token) == TROUPE_OK)
        done(j, 0, 1);
    else
        fail(j, "NOT_FOUND", "that delivery is not yours any more");
}

/* The name is the token. */
static void verb_obituary(const struct job *j) {
    uint64_t signal = 0;
    uint8_t token[TRP_OBITUARY_TOKEN];
    const char *why;
    if (!trp_obituary_token(j->name, token) || !option_uint(j, "signal", &signal, &why) || signal > UINT8_MAX)
        fail(j, "INVALID", "an obituary has a token of 32 bytes, and the number of a signal");
    else
        done(j, 0, trp_obituaries_say(j->c, token, (int)signal));
}

/* ---- the table ---- */

static const struct {
    const char *name;
    void (*run)(const struct job *j);
    bool names_a_queue;
} verbs[] = {
    {"declare", verb_declare, false}, {"list", verb_list, false},    {"delete", verb_delete, true},
    {"stat", verb_stat, true},        {"peek", verb_peek, true},     {"purge", verb_purge, true},
    {"pause", verb_pause, true},      {"resume", verb_resume, true}, {"retry", verb_retry, true},
    {"get", verb_get, true},          {"touch", verb_touch, true},   {"obituary", verb_obituary, false},
};

void trp_core_queue_verb(struct trp_core *c, struct trp_peer *p, const struct trp_envelope *e) {
    struct job j = {.c = c, .p = p, .id = e->id, .name = e->text, .options = e->options};
    if (e->id == 0) {
        trp_core_fault(c, p, 0, "INVALID", "QUEUE needs an id, for its answer");
        return;
    }
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (!trp_slice_eq(e->code, trp_slice_str(verbs[i].name)))
            continue;
        j.q = verbs[i].names_a_queue ? trp_queues_find(c->queues, e->text) : NULL;
        if (verbs[i].names_a_queue && !j.q)
            fail(&j, "NOT_FOUND", "there is no such queue: declare it");
        else
            verbs[i].run(&j);
        return;
    }
    fail(&j, "UNSUPPORTED",
         "a queue knows declare, delete, list, stat, peek, purge, pause, resume, retry, get, touch and obituary");
}
