/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The gateway: a listener whose clients send lines and read lines; its address, its options, and who comes in. */
#include "broker/gateway.h"

#include "broker/topics.h"
#include "transports/alloc.h"
#include "transports/assert.h"
#include <stdio.h>

enum { TIMEOUT_MS = 30000, MAX_LINE = 64 * 1024, MAX_PENDING = 256, BACKLOG = 4096 };

/* --- opening one --- */

static const char *option(struct trp_gateway *g, const char *key, const char *value) {
    uint64_t n;
    if (strcmp(key, "timeout") == 0)
        return trp_parse_duration(value, &g->timeout_ms) && g->timeout_ms > 0 ? NULL : "timeout= takes a time, such as 30s";
    if (strcmp(key, "max-line") == 0) {
        if (!trp_parse_size(value, &n) || n < 1 || n > (16 << 20))
            return "max-line= takes a number of bytes from 1 to 16M";
        g->max_line = (size_t)n;
        return NULL;
    }
    if (strcmp(key, "max-pending") == 0) {
        if (!trp_parse_size(value, &n) || n < 1 || n > 65536)
            return "max-pending= takes a number from 1 to 65536";
        g->max_pending = (size_t)n;
        return NULL;
    }
    if (strcmp(key, "framing") == 0) {
        g->chunk = strcmp(value, "chunk") == 0;
        return g->chunk || strcmp(value, "line") == 0 ? NULL : "framing= takes line or chunk";
    }
    if (strcmp(key, "topic") == 0) {
        if (strlen(value) > TRP_TOPIC_MAX)
            return "the topic is longer than 255 bytes";
        memcpy(g->topic, value, strlen(value) + 1);
        return NULL;
    }
    return "a gateway takes timeout=, max-line=, max-pending=, framing= and topic=";
}

static troupe_status configure(struct trp_gateway *g, const char *url, const char **why) {
    troupe_status st = trp_url_parse(url, &g->url, why);
    if (st != TROUPE_OK)
        return st;
    g->transport = trp_transport_find(g->url.scheme);
    if (!g->transport) {
        *why = "a gateway listens on tcp:// or ipc://";
        return TROUPE_UNSUPPORTED;
    }
    if (g->transport->framing == TRP_FRAMING_TCP && strlen(g->url.path) <= TRP_TOPIC_MAX)
        memcpy(g->topic, g->url.path, strlen(g->url.path) + 1);
    char key[32], value[300];
    size_t pos = 0;
    while (trp_url_next_param(&g->url, &pos, key, sizeof key, value, sizeof value)) {
        *why = option(g, key, value);
        if (*why)
            return TROUPE_BAD_URL;
    }
    if (!trp_is_topic(trp_slice_str(g->topic)) || strncmp(g->topic, "_r.", 3) == 0) {
        *why = "a gateway needs a topic for its lines: write tcp://127.0.0.1:25000/fib, or ipc:///run/fib.sock?topic=fib";
        return TROUPE_BAD_URL;
    }
    return TROUPE_OK;
}

static void handle_closed(uv_handle_t *h) {
    struct trp_gateway *g = h->data;
    if (h != (uv_handle_t *)&g->tick)
        trp_free(h);
    trp_assert(g->handles > 0);
    if (--g->handles == 0 && g->closing && g->conns == 0)
        trp_free(g);
}

static void on_connection(uv_stream_t *s, int err);

static troupe_status bind_listener(struct trp_gateway *g, const char **why) {
    uv_loop_t *loop = &g->broker->loop.uv;
    g->listener = trp_calloc(1, g->transport->handle_size);
    if (!g->listener)
        return TROUPE_NO_MEMORY;
    int err = g->transport->init(loop, g->listener);
    if (err) {
        trp_free(g->listener);
        g->listener = NULL;
        return trp_status_from_uv(err);
    }
    g->listener->data = g;
    g->handles++;
    *why = NULL;
    err = g->transport->listen(g->listener, &g->url, BACKLOG, on_connection, why);
    if (err && !*why)
        *why = troupe_status_text(trp_status_from_uv(err));
    return err ? trp_status_from_uv(err) : TROUPE_OK;
}

troupe_status trp_gateway_open(struct trp_gateway **out, struct troupe_broker *b, const char *url, const char **why) {
    struct trp_gateway *g = trp_calloc(1, sizeof *g);
    if (!g)
        return TROUPE_NO_MEMORY;
    g->broker = b;
    g->timeout_ms = TIMEOUT_MS;
    g->max_line = MAX_LINE;
    g->max_pending = MAX_PENDING;
    uv_timer_init(&b->loop.uv, &g->tick);
    g->tick.data = g;
    g->handles = 1;
    troupe_status st = configure(g, url, why);
    if (st == TROUPE_OK)
        st = bind_listener(g, why);
    if (st != TROUPE_OK) {
        trp_gateway_close(g);
        return st;
    }
    g->transport->near_url(g->listener, &g->url, g->bound, sizeof g->bound);
    if (g->transport->framing == TRP_FRAMING_TCP && !strchr(strstr(g->bound, "://") + 3, '/')) {
        size_t n = strlen(g->bound);
        snprintf(g->bound + n, sizeof g->bound - n, "/%s", g->topic);
    }
    *out = g;
    return TROUPE_OK;
}

const char *trp_gateway_url(const struct trp_gateway *g) {
    return g->bound;
}

const char *trp_gateway_topic(const struct trp_gateway *g) {
    return g->topic;
}

void trp_gateway_stop(struct trp_gateway *g) {
    if (g->stopped)
        return;
    g->stopped = true;
    if (g->listener)
        uv_close((uv_handle_t *)g->listener, handle_closed);
    g->listener = NULL;
}

void trp_gateway_close(struct trp_gateway *g) {
    trp_gateway_stop(g);
    g->closing = true;
    uv_close((uv_handle_t *)&g->tick, handle_closed);
}

/* --- who comes in --- */

void trp_gateway_conn_gone(struct trp_gateway *g) {
    if (--g->conns == 0 && g->closing && g->handles == 0)
        trp_free(g);
}

static void refuse_stream(uv_handle_t *h) {
    struct trp_gateway *g = h->data;
    trp_free(h);
    trp_gateway_conn_gone(g);
}

static void on_connection(uv_stream_t *s, int err) {
    struct trp_gateway *g = s->data;
    if (err) {
        trp_broker_warn(g->broker, "gateway.accept", "%s: %s", g->bound, uv_strerror(err));
        return;
    }
    uv_stream_t *stream = trp_calloc(1, g->transport->handle_size);
    if (!stream || g->transport->init(&g->broker->loop.uv, stream) != 0) {
        trp_free(stream);
        return;
    }
    stream->data = g;
    g->conns++;
    if (uv_accept(s, stream) == 0) {
        if (trp_gateway_conn_open(g, stream))
            return;
    }
    uv_close((uv_handle_t *)stream, refuse_stream);
}
