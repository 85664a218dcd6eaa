/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The broker as a library: listeners, the endpoints' list, the doomed, and the way down.
 *
 *     running --stop--> draining --nothing outstanding, or the time is over--> ending --all gone--> run returns
 *
 * Draining: no new connection, no new request; requests in hand are answered. Ending: every peer hears CLOSE SHUTDOWN and
 * what is pending is written, for a second at most. */
#include "broker/server.h"

#include "transports/alloc.h"
#include "transports/assert.h"
#include "transports/log.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

enum { WARNINGS_A_SECOND = 20, PAYLOAD_MOST = 64 << 20 };

static _Thread_local char new_why[512];

/* --- effects, dispatched to the endpoint's kind --- */

static void sink_msg(void *ctx, void *user, uint64_t sid, uint64_t token, const struct trp_message *m) {
    struct trp_endpoint *e = user;
    if (!e->doomed)
        e->ops->sink.msg(ctx, e, sid, token, m);
}
static void sink_ok(void *ctx, void *user, uint64_t id, uint64_t level, uint64_t count) {
    struct trp_endpoint *e = user;
    if (!e->doomed)
        e->ops->sink.ok(ctx, e, id, level, count);
}
static void sink_err(void *ctx, void *user, uint64_t id, const char *code, const char *text) {
    struct trp_endpoint *e = user;
    if (!e->doomed)
        e->ops->sink.err(ctx, e, id, code, text);
}
static void sink_welcome(void *ctx, void *user, uint64_t session, struct trp_slice inbox) {
    struct trp_endpoint *e = user;
    if (!e->doomed)
        e->ops->sink.welcome(ctx, e, session, inbox);
}
static void sink_pong(void *ctx, void *user, uint64_t id) {
    struct trp_endpoint *e = user;
    if (!e->doomed)
        e->ops->sink.pong(ctx, e, id);
}
static void sink_close(void *ctx, void *user, const char *code, const char *text) {
    struct trp_endpoint *e = user;
    if (!e->doomed)
        e->ops->sink.close(ctx, e, code, text);
}

static void sink_item(void *ctx, void *user, uint64_t sid, uint64_t token, const struct trp_message *m, struct trp_slice info) {
    struct trp_endpoint *e = user;
    if (!e->doomed)
        e->ops->sink.item(ctx, e, sid, token, m, info);
}
static void sink_answer(void *ctx, void *user, uint64_t id, uint64_t level, uint64_t count, struct trp_slice info) {
    struct trp_endpoint *e = user;
    if (!e->doomed)
        e->ops->sink.answer(ctx, e, id, level, count, info);
}
static void sink_ended(void *ctx, void *user, uint64_t sid) {
    struct trp_endpoint *e = user;
    if (!e->doomed)
        e->ops->sink.ended(ctx, e, sid);
}
static troupe_status sink_record(void *ctx, struct trp_slice head, struct trp_slice body, bool must, uint64_t *lsn,
                                 uint64_t *segment) {
    struct troupe_broker *b = ctx;
    return trp_store_record(b->store, head, body, must, lsn, segment);
}

/* --- endpoints --- */

bool trp_broker_enter(struct troupe_broker *b, struct trp_endpoint *e, const struct trp_endpoint_ops *ops) {
    if (b->state != TRP_BROKER_RUNNING || b->connections >= b->opts.max_connections) {
        b->refused++;
        return false;
    }
    e->broker = b;
    e->ops = ops;
    e->next = b->endpoints;
    e->link = &b->endpoints;
    if (e->next)
        e->next->link = &e->next;
    b->endpoints = e;
    b->connections++;
    b->accepted++;
    return true;
}

void trp_broker_leave(struct trp_endpoint *e) {
    struct trp_endpoint **d = &e->broker->doomed;
    while (e->doomed && *d && *d != e) /* it may have been doomed and not yet ended */
        d = &(*d)->next_doomed;
    if (e->doomed && *d)
        *d = e->next_doomed;
    *e->link = e->next;
    if (e->next)
        e->next->link = e->link;
    e->broker->connections--;
}

troupe_status trp_broker_attach(struct trp_endpoint *e, enum trp_peer_kind kind) {
    uint8_t nonce[12];
    if (getrandom(nonce, sizeof nonce, 0) != sizeof nonce)
        return TROUPE_SYSTEM;
    return trp_core_attach(e->broker->core, trp_broker_now(e->broker), kind, nonce, e, &e->peer);
}

void trp_broker_detach(struct trp_endpoint *e) {
    if (e->peer)
        trp_core_detach(e->broker->core, trp_broker_now(e->broker), e->peer);
    e->peer = NULL;
}

void trp_broker_doom(struct trp_endpoint *e) {
    if (e->doomed)
        return;
    e->doomed = true;
    e->next_doomed = e->broker->doomed;
    e->broker->doomed = e;
    trp_loop_wake(&e->broker->loop);
}

void trp_broker_warn(struct troupe_broker *b, const char *event, const char *fmt, ...) {
    int64_t second = trp_loop_now(&b->loop) / 1000;
    if (second != b->warn_second) {
        if (b->unwarned > 0)
            trp_log(TROUPE_LOG_WARN, "warnings.dropped", "%u more like these", b->unwarned);
        b->warn_second = second;
        b->warned = b->unwarned = 0;
    }
    if (b->warned++ >= WARNINGS_A_SECOND) {
        b->unwarned++;
        return;
    }
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    trp_log(TROUPE_LOG_WARN, event, "%s", text);
}

/* --- the way down --- */

static void stop_listening(struct troupe_broker *b) {
    for (struct trp_bound *l = b->bound; l; l = l->next) {
        if (l->gateway)
            trp_gateway_stop(l->gateway);
        else
            trp_listener_close(&l->listener);
    }
}

static void begin_drain(struct troupe_broker *b) {
    trp_log(TROUPE_LOG_INFO, "broker.draining", "%u connections, %llu requests in hand", b->connections,
            (unsigned long long)trp_core_outstanding(b->core));
    b->state = TRP_BROKER_DRAINING;
    b->drain_until = trp_loop_now(&b->loop) + b->opts.drain_timeout_ms;
    stop_listening(b);
    trp_core_drain(b->core);
    if (b->store)
        trp_store_hurry(b->store);
    for (struct trp_endpoint *e = b->endpoints; e; e = e->next)
        if (!trp_endpoint_is_session(e))
            trp_gateway_drain(e);
}

static void begin_end(struct troupe_broker *b) {
    b->state = TRP_BROKER_ENDING;
    for (struct trp_endpoint *e = b->endpoints; e; e = e->next) {
        if (trp_endpoint_is_session(e) && !e->doomed)
            trp_session_goodbye(e, "SHUTDOWN", "the broker is shutting down");
        trp_broker_doom(e);
    }
}

static bool drained(const struct troupe_broker *b) {
    if (trp_core_outstanding(b->core) > 0 || (b->store && trp_store_busy(b->store)))
        return false;
    for (const struct trp_endpoint *e = b->endpoints; e; e = e->next)
        if (!trp_endpoint_is_session(e) && !trp_gateway_idle(e))
            return false;
    return true;
}

static void advance(struct troupe_broker *b) {
    unsigned stops = atomic_load_explicit(&b->stops, memory_order_relaxed);
    if (b->state == TRP_BROKER_RUNNING && stops > 0)
        begin_drain(b);
    if (b->state != TRP_BROKER_DRAINING)
        return;
    bool over = stops > 1 || trp_loop_now(&b->loop) >= b->drain_until;
    bool done = drained(b);
    if (over && !done)
        b->forced = true;
    if (over || done)
        begin_end(b);
}

/* --- queues: their time, and their log --- */

enum { TICK_MOST = 1000 };

/* First what has come in is read, in this turn that is made not to wait: after a stop of the whole process, or a long turn, an
 * ack that was sent in time is already in a socket, and must count. */
static void on_queue_timer(uv_timer_t *t) {
    struct troupe_broker *b = t->data;
    b->queue_due = TRP_QUEUE_NEVER;
    b->tick_is_due = true;
    trp_loop_wake(&b->loop);
}

static void tick_queues(struct troupe_broker *b) {
    if (!b->tick_is_due)
        return;
    b->tick_is_due = false;
    trp_core_tick(b->core, trp_broker_now(b), TICK_MOST);
}

static void set_queue_timer(struct troupe_broker *b, uint64_t due) {
    uint64_t now = trp_broker_now(b);
    if (due == b->queue_due)
        return;
    b->queue_due = due;
    if (due == TRP_QUEUE_NEVER)
        uv_timer_stop(&b->queue_timer);
    else
        uv_timer_start(&b->queue_timer, on_queue_timer, due > now ? (due - now + 999999) / 1000000 : 0, 0);
}

static void tell_wall(struct troupe_broker *b) {
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME_COARSE, &wall);
    trp_core_wall(b->core, trp_broker_now(b), (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / 1000000);
}

static void turn_queues(struct troupe_broker *b) {
    tell_wall(b);
    bool more = b->store && trp_store_turn(b->store, trp_broker_now(b));
    set_queue_timer(b, more ? trp_broker_now(b) : trp_core_deadline(b->core));
}

/* The turn hook: the one place where endpoints end. */
static void turn(void *ctx) {
    struct troupe_broker *b = ctx;
    advance(b);
    tick_queues(b);
    do {
        trp_gateway_work(b);
        while (b->doomed) {
            struct trp_endpoint *e = b->doomed;
            b->doomed = e->next_doomed;
            trp_broker_detach(e); /* what it held goes back: others may be touched by that */
            e->ops->end(e);
        }
    } while (b->touched);
    turn_queues(b);
}

/* --- public --- */

static void defaults(troupe_broker_opts *o) {
    o->max_payload = o->max_payload ? o->max_payload : 1 << 20;
    o->max_pending = o->max_pending ? o->max_pending : 64 << 20;
    o->max_connections = o->max_connections ? o->max_connections : 65536;
    o->greeting_timeout_ms = o->greeting_timeout_ms ? o->greeting_timeout_ms : 10000;
    o->frame_timeout_ms = o->frame_timeout_ms ? o->frame_timeout_ms : 30000;
    o->drain_timeout_ms = o->drain_timeout_ms ? o->drain_timeout_ms : 5000;
}

static troupe_status new_failed(troupe_status st, const char *why) {
    snprintf(new_why, sizeof new_why, "%s", why ? why : troupe_status_text(st));
    return st;
}

const char *troupe_broker_why(void) {
    return new_why;
}

static troupe_status open_gate(struct troupe_broker *b, const char **why) {
    struct trp_authkey *key = NULL;
    troupe_status st = TROUPE_OK;
    if (b->opts.authkey_file)
        st = trp_authkey_load(&key, b->opts.authkey_file, why);
    b->opts.authkey_file = NULL; /* borrowed */
    if (st == TROUPE_OK)
        trp_gate_init(&b->gate, &b->loop.uv, &key, b->opts.greeting_timeout_ms, trp_session_due);
    return st;
}

static troupe_status open_core(struct troupe_broker *b) {
    struct trp_core_opts core = {.max_peers = b->opts.max_connections,
                                 .max_payload = b->opts.max_payload,
                                 .queues = true,
                                 .max_hand = b->opts.max_pending / 2};
    struct trp_sink sink = {sink_msg,   sink_ok,   sink_err,    sink_welcome, sink_pong,
                            sink_close, sink_item, sink_answer, sink_ended,   b->opts.data ? sink_record : NULL};
    if (getrandom(&core.seed, sizeof core.seed, 0) != sizeof core.seed)
        return TROUPE_SYSTEM;
    troupe_status st = trp_core_new(&b->core, &core, &sink, b);
    if (st == TROUPE_OK)
        tell_wall(b);
    return st;
}

static troupe_status open_store(struct troupe_broker *b, const char **why) {
    struct trp_store_opts opts = {.dir = b->opts.data, .sync_delay_ms = b->opts.test_sync_delay_ms};
    troupe_status st = b->opts.data ? trp_store_open(&b->store, b->core, &b->loop, &opts, why) : TROUPE_OK;
    b->opts.data = NULL; /* borrowed */
    return st;
}

troupe_status troupe_broker_new(troupe_broker **out, const troupe_broker_opts *opts) {
    struct troupe_broker *b = trp_calloc(1, sizeof *b);
    const char *why = NULL;
    if (!b)
        return new_failed(TROUPE_NO_MEMORY, why);
    if (opts)
        b->opts = *opts;
    defaults(&b->opts);
    troupe_status st = b->opts.max_payload > PAYLOAD_MOST ? TROUPE_INVALID : trp_loop_init(&b->loop);
    if (st != TROUPE_OK) {
        trp_free(b);
        return new_failed(st, why);
    }
    b->loop.turn = turn;
    b->loop.turn_ctx = b;
    uv_timer_init(&b->loop.uv, &b->queue_timer);
    b->queue_timer.data = b;
    b->queue_due = TRP_QUEUE_NEVER;
    st = open_gate(b, &why);
    if (st == TROUPE_OK)
        st = open_core(b);
    if (st == TROUPE_OK)
        st = open_store(b, &why);
    if (st != TROUPE_OK) {
        troupe_broker_free(&b);
        return new_failed(st, why);
    }
    *out = b;
    return TROUPE_OK;
}

static struct trp_bound *bound_add(struct troupe_broker *b) {
    struct trp_bound **at = &b->bound;
    while (*at)
        at = &(*at)->next;
    return *at = trp_calloc(1, sizeof **at);
}

/* Takes back the last one, which could not be opened. */
static void bound_drop(struct troupe_broker *b, struct trp_bound *l) {
    struct trp_bound **at = &b->bound;
    while (*at != l)
        at = &(*at)->next;
    *at = NULL;
    trp_free(l);
}

troupe_status troupe_broker_listen(troupe_broker *b, const char *url, const char **why) {
    const char *sentence = "out of memory";
    struct trp_link_opts opts = {
        .max_frame = trp_broker_max_frame(b), .greeting_ms = b->opts.greeting_timeout_ms, .frame_ms = b->opts.frame_timeout_ms};
    struct trp_bound *l = bound_add(b);
    troupe_status st = TROUPE_NO_MEMORY;
    if (l)
        st = trp_listen(&l->listener, &b->loop, url, &opts, &trp_session_handler, trp_session_accept, b, &sentence);
    if (st != TROUPE_OK && l)
        bound_drop(b, l);
    if (st != TROUPE_OK && why)
        *why = sentence;
    return st;
}

troupe_status troupe_broker_gateway(troupe_broker *b, const char *url, const char **why) {
    const char *sentence = "out of memory";
    struct trp_bound *l = bound_add(b);
    troupe_status st = l ? trp_gateway_open(&l->gateway, b, url, &sentence) : TROUPE_NO_MEMORY;
    if (st != TROUPE_OK && l)
        bound_drop(b, l);
    if (st != TROUPE_OK && why)
        *why = sentence;
    return st;
}

const char *troupe_broker_address(const troupe_broker *b, size_t i, const char **gateway_topic) {
    const struct trp_bound *l = b->bound;
    for (; l && i > 0; i--)
        l = l->next;
    if (!l)
        return NULL;
    if (gateway_topic)
        *gateway_topic = l->gateway ? trp_gateway_topic(l->gateway) : NULL;
    return l->gateway ? trp_gateway_url(l->gateway) : trp_listener_url(l->listener);
}

troupe_status troupe_broker_run(troupe_broker *b) {
    while (b->state != TRP_BROKER_ENDING || b->endpoints) {
        int64_t wait = -1;
        if (b->state == TRP_BROKER_DRAINING) {
            wait = b->drain_until - trp_loop_now(&b->loop);
            wait = wait < 0 ? 0 : wait > 20 ? 20 : wait;
        }
        trp_loop_once(&b->loop, wait);
    }
    return b->forced ? TROUPE_TIMEOUT : TROUPE_OK;
}

void troupe_broker_stop(troupe_broker *b) {
    atomic_fetch_add_explicit(&b->stops, 1, memory_order_relaxed); /* read by the turn hook, which the wake brings about */
    trp_loop_wake(&b->loop);
}

void troupe_broker_stats_get(const troupe_broker *b, troupe_broker_stats *out) {
    const struct trp_core_stats *c = trp_core_stats(b->core);
    *out = (troupe_broker_stats){
        .connections = b->connections,
        .gateway_connections = b->gateway_connections,
        .subscriptions = c->subs,
        .groups = c->groups,
        .in_hand = c->held,
        .backlog = c->backlog,
        .accepted = b->accepted,
        .refused = b->refused,
        .published = c->published,
        .delivered = c->delivered,
        .unrouted = c->unrouted,
        .no_responders = c->no_responders,
        .worker_lost = c->worker_lost,
        .busy = c->busy,
        .protocol_errors = b->protocol_errors + c->protocol_errors,
        .slow_consumers = b->slow_consumers,
        .auth_failures = b->auth_failures,
        .gateway_lines = b->gateway_lines,
        .gateway_errors = b->gateway_errors,
    };
}

void troupe_broker_free(troupe_broker **pb) {
    struct troupe_broker *b = *pb;
    if (!b)
        return;
    *pb = NULL;
    trp_assert(!b->endpoints);
    while (b->bound) {
        struct trp_bound *l = b->bound;
        b->bound = l->next;
        if (l->gateway)
            trp_gateway_close(l->gateway);
        else if (l->listener)
            trp_listener_close(&l->listener);
        trp_free(l);
    }
    b->loop.turn = NULL;
    trp_store_close(&b->store);
    uv_close((uv_handle_t *)&b->queue_timer, NULL);
    trp_gate_fini(&b->gate);
    trp_loop_fini(&b->loop);
    trp_core_free(b->core);
    trp_buf_fini(&b->scratch);
    trp_buf_fini(&b->compose);
    trp_free(b);
}
