/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a gateway (gateway.c: addresses, options, accepting) and its connections (gateway_conn.c: lines, answers, the
 * socket) know of each other. */
#ifndef TRP_BROKER_GATEWAY_H
#define TRP_BROKER_GATEWAY_H

#include "broker/lines.h"
#include "broker/server.h"
#include "transports/transport.h"

struct trp_gateway {
    struct troupe_broker *broker;
    const struct trp_transport *transport;
    uv_stream_t *listener;
    uv_timer_t tick; /* runs while a connection waits for something */
    struct trp_url url;
    char bound[640];
    char topic[TRP_TOPIC_MAX + 1];
    int64_t timeout_ms;
    size_t max_line, max_pending;
    bool chunk;
    struct gateway_conn *active; /* connections that wait for something: deadlines are looked after here */
    unsigned handles;            /* of ours on the loop; freed when closed, and the last of them gone */
    unsigned conns;
    bool stopped, closing;
};

/* A connection has been accepted: the stream is its own from now on. False: refused, the caller closes it. */
bool trp_gateway_conn_open(struct trp_gateway *g, uv_stream_t *stream);
/* The connections' deadlines, each TRP_GATEWAY_TICK_MS while one is active. */
enum { TRP_GATEWAY_TICK_MS = 50 };
void trp_gateway_tick(uv_timer_t *t);
/* One connection less; frees a gateway that was closed and has none left. */
void trp_gateway_conn_gone(struct trp_gateway *g);

#endif
