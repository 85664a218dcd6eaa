/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The shell around the core: a loop, listeners, and one endpoint for each connection. An endpoint turns bytes into
 * core events and effects into bytes; there are two, the session (SP frames, session.c) and the gateway connection
 * (lines, gateway.c).
 *
 * The one rule: effects never call back into the core. An endpoint that must end is doomed: it is put on a list, and
 * the turn hook detaches it from the core and ends it. */
#ifndef TRP_BROKER_SERVER_H
#define TRP_BROKER_SERVER_H

#include <stdatomic.h>
#include <troupe/broker.h>
#include <troupe/log.h>

#include "broker/core.h"
#include "broker/gate.h"
#include "broker/store.h"
#include "transports/link.h"

struct trp_endpoint;
struct gateway_conn;

struct trp_endpoint_ops {
    struct trp_sink sink; /* ctx: the troupe_broker; user: the endpoint */
    /* From the turn hook, after the peer was detached: write the last words and close. The endpoint frees itself later. */
    void (*end)(struct trp_endpoint *e);
};

struct trp_endpoint {
    const struct trp_endpoint_ops *ops;
    struct troupe_broker *broker;
    struct trp_peer *peer; /* NULL: not attached (yet, or any more) */
    struct trp_endpoint *next_doomed;
    struct trp_endpoint *next, **link; /* all endpoints of the broker */
    bool doomed;
};

enum trp_broker_state { TRP_BROKER_RUNNING, TRP_BROKER_DRAINING, TRP_BROKER_ENDING };

/* An address we listen on. */
struct trp_bound {
    struct trp_listener *listener; /* or */
    struct trp_gateway *gateway;
    struct trp_bound *next;
};

struct troupe_broker {
    troupe_broker_opts opts;
    struct trp_loop loop;
    struct trp_store *store; /* NULL: no --data */
    uv_timer_t queue_timer;  /* to the queues' next deadline */
    uint64_t queue_due;      /* what it is set to, ns; TRP_QUEUE_NEVER: it is not */
    bool tick_is_due;        /* it has gone off in this turn */
    struct trp_core *core;
    struct trp_bound *bound;
    struct trp_gate gate; /* where sessions wait until they have proved the authkey, if there is one */
    struct trp_endpoint *endpoints, *doomed;
    struct gateway_conn *touched; /* gateway connections with something to do before the turn ends */
    uint32_t connections, gateway_connections;
    enum trp_broker_state state;
    bool forced;       /* a second stop, or the drain time is over */
    atomic_uint stops; /* (a) counted by troupe_broker_stop, read by the turn hook */
    int64_t drain_until;
    struct trp_buf scratch; /* effects are composed here */
    struct trp_buf compose; /* messages of our own are composed here, and lie here while the core routes them */
    int64_t warn_second;    /* hostile peers must not flood the log: so many warnings a second, then a count */
    uint32_t warned, unwarned;
    uint64_t accepted, refused, slow_consumers, protocol_errors, auth_failures, gateway_lines, gateway_errors;
};

static inline uint64_t trp_broker_now(const struct troupe_broker *b) {
    return (uint64_t)trp_loop_now(&b->loop) * 1000000u;
}

/* The largest frame of a session: the largest payload and what an envelope has around it. */
static inline size_t trp_broker_max_frame(const struct troupe_broker *b) {
    return b->opts.max_payload + 64 * 1024;
}

/* Registers a connection that has come in; false: the limit is reached (counted). The reverse frees nothing. */
bool trp_broker_enter(struct troupe_broker *b, struct trp_endpoint *e, const struct trp_endpoint_ops *ops);
void trp_broker_leave(struct trp_endpoint *e);
/* Makes it a peer of the core. FULL, NO_MEMORY, SYSTEM. */
TROUPE_NODISCARD troupe_status trp_broker_attach(struct trp_endpoint *e, enum trp_peer_kind kind);
/* Takes it out of the core now. Not from within an effect. Harmless twice. */
void trp_broker_detach(struct trp_endpoint *e);
/* Ends it at the end of this turn; from anywhere. */
void trp_broker_doom(struct trp_endpoint *e);
/* A warning about a peer, at most 20 a second. */
void trp_broker_warn(struct troupe_broker *b, const char *event, const char *fmt, ...) TROUPE_PRINTF(3, 4);

/* session.c: what a listener hands its connections to. */
extern const struct trp_link_handler trp_session_handler;
void *trp_session_accept(void *ctx, struct trp_link *l);
void trp_session_goodbye(struct trp_endpoint *e, const char *code, const char *text);
void trp_session_due(void *session, bool held); /* the gate's: its time there is over */
bool trp_endpoint_is_session(const struct trp_endpoint *e);

/* gateway.c */
struct trp_gateway;
TROUPE_NODISCARD troupe_status trp_gateway_open(struct trp_gateway **out, struct troupe_broker *b, const char *url,
                                                const char **why);
const char *trp_gateway_url(const struct trp_gateway *g);
const char *trp_gateway_topic(const struct trp_gateway *g);
void trp_gateway_stop(struct trp_gateway *g);   /* accepts no more */
void trp_gateway_close(struct trp_gateway *g);  /* its connections have ended; freed from the loop */
void trp_gateway_drain(struct trp_endpoint *e); /* a connection: read no more, answer what was asked, end */
/* From the turn hook: parses what there is room for, writes, ends those that are through. */
void trp_gateway_work(struct troupe_broker *b);
/* Has it answered and written everything? */
bool trp_gateway_idle(const struct trp_endpoint *e);

#endif
