/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A queue's consumer is a subscription to "_q.NAME"; the engine's tokens are its tokens. A deleted queue ends its
 * subscriptions at the end of the event, for the engine's effects must not call it back. */
#include "broker/core_queue.h"

#include "broker/core_chore.h"
#include "broker/queue_info.h"
#include "transports/alloc.h"

/* ---- effects of the engine ---- */

static void on_deliver(void *ctx, void *user, uint64_t token, const struct trp_queue_message *m) {
    struct trp_core *c = ctx;
    struct trp_sub *s = user;
    uint64_t pull = s->pull;
    s->pull = 0;
    if (s->peer->closed)
        return; /* it comes back when the peer leaves, at the end of this event */
    c->info.n = 0;
    if (trp_queue_info_delivery(&c->info, m, pull) != TROUPE_OK) {
        trp_core_close(c, s->peer, "NO_MEMORY", "the broker is out of memory");
        return;
    }
    struct trp_message message = {.raw = m->raw, .blob = m->blob};
    c->stats.delivered++;
    c->sink.item(c->ctx, s->peer->user, s->sid, token, &message, (struct trp_slice){c->info.p, c->info.n});
}

static void on_lapsed(void *ctx, void *user, uint64_t token) {
    (void)ctx, (void)user, (void)token; /* counted by the queue; its late ack will be stale */
}

static void on_empty(void *ctx, void *user) {
    struct trp_sub *s = user;
    uint64_t pull = s->pull;
    s->pull = 0;
    if (pull)
        trp_core_err(ctx, s->peer, pull, "EMPTY", "nothing came in time");
}

static void on_ended(void *ctx, void *user) {
    struct trp_core *c = ctx;
    struct trp_sub *s = user;
    if (!s)
        return; /* an orphan, see obituary.h */
    s->next_ended = c->ended;
    c->ended = s;
}

static troupe_status on_record(void *ctx, struct trp_slice head, struct trp_slice body, bool must, uint64_t *lsn,
                               uint64_t *segment) {
    struct trp_core *c = ctx;
    return c->sink.record(c->ctx, head, body, must, lsn, segment);
}

/* ---- the set ---- */

troupe_status trp_core_queues_open(struct trp_core *c) {
    struct trp_queues_opts opts = {.seed = c->opts.seed, .max_hand = c->opts.max_hand};
    struct trp_queue_sink sink = {on_deliver, on_lapsed, on_empty, on_ended, c->sink.record ? on_record : NULL};
    return trp_queues_new(&c->queues, &opts, &sink, c);
}

static void free_routes(struct trp_core *c, struct trp_queue *q) {
    struct trp_queue_route *routes = trp_queue_user(q);
    size_t n = trp_queue_config_of(q)->n_patterns;
    for (size_t i = 0; routes && i < n; i++)
        if (routes[i].binding.node)
            trp_topics_unbind(&c->topics, &routes[i].binding);
    trp_free(routes);
    trp_queue_set_user(q, NULL);
}

void trp_core_queues_close(struct trp_core *c) {
    struct trp_queue *q = NULL;
    while (c->queues && (q = trp_queues_next(c->queues, q)))
        free_routes(c, q);
    trp_obituaries_end(c);
    trp_core_chores_fini(c);
    trp_queues_free(c->queues);
    c->queues = NULL;
    trp_confirms_fini(&c->confirms);
    trp_buf_fini(&c->info);
}

/* Routes the queue's patterns to it. NO_MEMORY: none is. */
troupe_status trp_core_route_queue(struct trp_core *c, struct trp_queue *q) {
    const struct trp_queue_config *config = trp_queue_config_of(q);
    if (config->n_patterns == 0 || trp_queue_user(q))
        return TROUPE_OK;
    struct trp_queue_route *routes = trp_calloc(config->n_patterns, sizeof *routes);
    if (!routes)
        return TROUPE_NO_MEMORY;
    trp_queue_set_user(q, routes);
    for (size_t i = 0; i < config->n_patterns; i++) {
        routes[i].binding.kind = TRP_BINDING_QUEUE;
        routes[i].queue = q;
        if (trp_topics_bind(&c->topics, config->patterns[i], &routes[i].binding)) {
            free_routes(c, q);
            return TROUPE_NO_MEMORY;
        }
    }
    return TROUPE_OK;
}

void trp_core_unroute_queue(struct trp_core *c, struct trp_queue *q) {
    free_routes(c, q);
}

troupe_status trp_core_recovered(struct trp_core *c) {
    struct trp_queue *q = NULL;
    trp_queues_recovered(c->queues);
    while ((q = trp_queues_next(c->queues, q)))
        if (trp_core_route_queue(c, q))
            return TROUPE_NO_MEMORY;
    return TROUPE_OK;
}

struct trp_queues *trp_core_queues(struct trp_core *c) {
    return c->queues;
}

/* ---- time, and the log ---- */

void trp_core_wall(struct trp_core *c, uint64_t now_ns, uint64_t wall_ms) {
    c->wall_ahead_ms = wall_ms - now_ns / 1000000;
}

bool trp_core_tick(struct trp_core *c, uint64_t now_ns, size_t most) {
    trp_core_at(c, now_ns);
    bool more = trp_queues_tick(c->queues, c->when, most) == most;
    trp_core_chore_on(c);
    more |= c->chores != NULL;
    trp_obituaries_tick(c);
    if (c->ended)
        trp_core_end_consumers(c);
    if (c->dying)
        trp_core_leave_dying(c);
    return more;
}

uint64_t trp_core_deadline(const struct trp_core *c) {
    if (c->chores)
        return 0;
    uint64_t queues = c->queues ? trp_queues_next_deadline(c->queues) : TRP_QUEUE_NEVER, orphans = trp_obituaries_deadline(c);
    return queues < orphans ? queues : orphans;
}

unsigned trp_core_awaits(const struct trp_core *c) {
    const struct trp_confirms *w = &c->confirms;
    return (w->written.tail > w->written.head ? 1u : 0u) | (w->synced.tail > w->synced.head ? 2u : 0u);
}

void trp_core_logged(struct trp_core *c, uint64_t written, uint64_t synced, const char *refusal) {
    c->log_refusal = refusal;
    trp_confirms_logged(c, written, synced);
}

/* ---- puts ---- */

static bool read_duration(struct trp_slice headers, const char *key, uint64_t *ms) {
    troupe_value v;
    if (!trp_map_value(headers, key, &v))
        return true;
    if (v.kind != TROUPE_INT || v.i < 0)
        return false;
    *ms = (uint64_t)v.i;
    return true;
}

bool trp_put_options_read(struct trp_slice headers, struct trp_put_options *o, const char **why) {
    uint64_t priority = TRP_QUEUE_PRIORITY, level = TRP_LEVEL_ROUTED;
    troupe_value id = {0};
    *o = (struct trp_put_options){.priority = TRP_QUEUE_PRIORITY};
    if (headers.n == 0)
        return true;
    *why = "t-delay and t-ttl take milliseconds";
    if (!read_duration(headers, "t-delay", &o->delay_ms) || !read_duration(headers, "t-ttl", &o->ttl_ms))
        return false;
    *why = "t-priority is 0 to 9";
    if (!read_duration(headers, "t-priority", &priority) || priority >= TRP_QUEUE_PRIORITIES)
        return false;
    *why = "t-level is 1 (memory), 2 (written) or 3 (synced)";
    if (!read_duration(headers, "t-level", &level) || level > TRP_LEVEL_SYNCED)
        return false;
    *why = "t-id is a text of 1 to 255 bytes";
    if (trp_map_value(headers, "t-id", &id) && (id.kind != TROUPE_TEXT || id.size == 0 || id.size > TRP_QUEUE_TEXT_MAX))
        return false;
    o->priority = (unsigned)priority;
    o->level = (enum trp_level)level;
    if (id.kind == TROUPE_TEXT)
        o->dedup = (struct trp_slice){id.data, id.size};
    return true;
}

troupe_status trp_core_put(struct trp_core *c, struct trp_queue *q, const struct trp_message *m,
                           const struct trp_put_options *o, uint64_t *lsn, enum trp_level *level) {
    bool durable = trp_queue_config_of(q)->durable;
    if (o->level > TRP_LEVEL_MEMORY && !durable)
        return TROUPE_REFUSED;
    struct trp_queue_put put = {.raw = m->raw,
                                .blob = m->blob,
                                .dedup = o->dedup,
                                .delay_ms = o->delay_ms,
                                .ttl_ms = o->ttl_ms,
                                .priority = o->priority};
    *level = !durable ? TRP_LEVEL_MEMORY : o->level ? o->level : TRP_LEVEL_SYNCED;
    troupe_status st = trp_queue_put(q, c->when, &put, lsn);
    return st == TROUPE_EXISTS ? TROUPE_OK : st;
}

const char *trp_put_code(troupe_status st) {
    switch (st) {
    case TROUPE_FULL:
        return "FULL";
    case TROUPE_AGAIN:
        return "BUSY";
    case TROUPE_CLOSED:
        return "SHUTDOWN";
    case TROUPE_REFUSED:
        return "LEVEL";
    case TROUPE_NO_MEMORY:
        return "NO_MEMORY";
    default:
        return "INVALID";
    }
}

const char *trp_put_text(const struct trp_core *c, troupe_status st) {
    switch (st) {
    case TROUPE_FULL:
        return c->log_refusal ? c->log_refusal : "the queue is full";
    case TROUPE_AGAIN:
        return "too much waits for the disk";
    case TROUPE_CLOSED:
        return "the broker is shutting down";
    case TROUPE_REFUSED:
        return "that level is more than the queue gives: it is not durable";
    case TROUPE_NO_MEMORY:
        return "the broker is out of memory";
    default:
        return "the message cannot be put";
    }
}

static void refuse(struct trp_core *c, struct trp_peer *p, uint64_t id, const char *code, const char *text) {
    if (id)
        trp_core_err(c, p, id, code, text);
}

void trp_core_publish_to_queue(struct trp_core *c, struct trp_peer *p, uint64_t id, const struct trp_message *m) {
    struct trp_queue *q = trp_queues_find(c->queues, (struct trp_slice){m->topic.p + 3, m->topic.n - 3});
    struct trp_put_options o;
    const char *why;
    uint64_t lsn = 0;
    enum trp_level level;
    c->stats.published++;
    if (!q) {
        refuse(c, p, id, "NOT_FOUND", "there is no such queue: declare it");
        return;
    }
    if (!trp_put_options_read(m->headers, &o, &why)) {
        refuse(c, p, id, "INVALID", why);
        return;
    }
    troupe_status st = trp_core_put(c, q, m, &o, &lsn, &level);
    if (st != TROUPE_OK)
        refuse(c, p, id, trp_put_code(st), trp_put_text(c, st));
    else if (id && m->reply.n == 0 && trp_confirm(c, p, id, level, lsn, 1))
        trp_core_err(c, p, id, "NO_MEMORY", "it is put, but the broker has no memory to confirm it");
}

/* ---- consumers ---- */

static void attach(struct trp_core *c, struct trp_peer *p, const struct trp_envelope *e, struct trp_queue *q, uint32_t credit) {
    struct trp_sub *s = trp_peer_add_sub(p, &c->key, e->sid);
    if (!s) {
        trp_core_fault(c, p, e->id, "NO_MEMORY", "the broker is out of memory");
        return;
    }
    c->stats.subs++;
    /* First the OK, then the deliveries: attaching brings them about. */
    if (e->id)
        trp_core_ok(c, p, e->id, 0);
    if (trp_queue_attach(q, c->when, credit, s, &s->consumer)) {
        c->stats.subs--;
        trp_peer_remove_sub(p, &c->key, s);
        trp_free(s);
        trp_core_close(c, p, "NO_MEMORY", "the broker is out of memory");
    }
}

void trp_core_queue_sub(struct trp_core *c, struct trp_peer *p, const struct trp_envelope *e) {
    struct trp_queue *q = trp_queues_find(c->queues, (struct trp_slice){e->text.p + 3, e->text.n - 3});
    troupe_value credit = troupe_int(0), group;
    bool given = trp_map_value(e->options, "credit", &credit);
    if (!q)
        trp_core_fault(c, p, e->id, "NOT_FOUND", "there is no such queue: declare it");
    else if (trp_map_value(e->options, "group", &group))
        trp_core_fault(c, p, e->id, "INVALID", "a queue's consumers share it: they take no group");
    else if (given && (credit.kind != TROUPE_INT || credit.i < 0 || credit.i > TRP_QUEUE_CREDIT_MAX))
        trp_core_fault(c, p, e->id, "INVALID", "credit is 0 (pull only) to 65535");
    else if (trp_peer_find_sub(p, &c->key, e->sid))
        trp_core_fault(c, p, e->id, "EXISTS", "that sid is in use");
    else if (p->sids.count >= c->opts.max_subs)
        trp_core_fault(c, p, e->id, "LIMIT", "too many subscriptions");
    else
        attach(c, p, e, q, given ? (uint32_t)credit.i : 1);
}

void trp_core_queue_unsub(struct trp_core *c, struct trp_sub *s) {
    if (s->peer->crashed)
        trp_obituaries_await(c, s->peer, &s->consumer);
    else
        trp_consumer_detach(&s->consumer, c->when, TRP_CONSUMER_LEFT, 0);
    if (s->pull)
        on_empty(c, s);
}

void trp_core_queue_credit(struct trp_core *c, struct trp_sub *s, uint32_t credit) {
    if (trp_consumer_credit(s->consumer, c->when, credit) == TROUPE_NO_MEMORY)
        trp_core_close(c, s->peer, "NO_MEMORY", "the broker is out of memory");
}

void trp_core_end_consumers(struct trp_core *c) {
    for (struct trp_sub *s; (s = c->ended);) {
        c->ended = s->next_ended;
        if (!s->peer->closed)
            c->sink.ended(c->ctx, s->peer->user, s->sid);
        trp_core_end_sub(c, s);
    }
}

static struct trp_sub *consumer_of(struct trp_core *c, struct trp_peer *p, uint64_t sid) {
    struct trp_sub *s = trp_peer_find_sub(p, &c->key, sid);
    return s && s->consumer ? s : NULL;
}

bool trp_core_queue_ack(struct trp_core *c, struct trp_peer *p, const struct trp_envelope *e) {
    struct trp_sub *s = consumer_of(c, p, e->sid);
    uint64_t lsn = 0;
    if (!s)
        return false;
    troupe_status st = trp_consumer_ack(s->consumer, c->when, e->token, &lsn);
    if (st == TROUPE_NO_MEMORY)
        trp_core_fault(c, p, e->id, "NO_MEMORY", "the broker is out of memory");
    else if (st != TROUPE_OK)
        refuse(c, p, e->id, "NOT_FOUND", "that delivery is not yours any more");
    else if (e->id && trp_confirm(c, p, e->id, lsn ? TRP_LEVEL_SYNCED : TRP_LEVEL_MEMORY, lsn, 1))
        trp_core_err(c, p, e->id, "NO_MEMORY", "it is acknowledged, but the broker has no memory to confirm it");
    return st != TROUPE_NOT_FOUND || e->id;
}

bool trp_core_queue_nack(struct trp_core *c, struct trp_peer *p, const struct trp_envelope *e) {
    struct trp_sub *s = consumer_of(c, p, e->sid);
    struct trp_slice reason;
    uint64_t delay = 0;
    troupe_status st;
    if (!s)
        return false;
    if (trp_map_str(e->options, "bury", &reason))
        st = trp_consumer_bury(s->consumer, c->when, e->token, reason);
    else if (read_duration(e->options, "delay", &delay))
        st = trp_consumer_nack(s->consumer, c->when, e->token, delay);
    else
        st = TROUPE_INVALID;
    if (st == TROUPE_NO_MEMORY)
        trp_core_close(c, p, "NO_MEMORY", "the broker is out of memory");
    else if (st == TROUPE_INVALID)
        trp_core_fault(c, p, 0, "INVALID", "delay takes milliseconds");
    return st != TROUPE_NOT_FOUND;
}
