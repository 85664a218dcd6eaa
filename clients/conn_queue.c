/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a connection says to queues beyond what it says to topics. A put is a publish (outbound.c) and a consumer is a
 * subscription (subs.c); left are the verbs, pulls, and the ways to settle a message that say more than yes or no.
 *
 * A pull is answered by a delivery that names it, not by an OK: see on_pulled in inbound.c. */
#include "clients/conn_state.h"
#include "transports/topic.h"

enum { TWO_OPTIONS = 64 };

static troupe_status queue_write(struct trp_conn *c, uint64_t id, struct trp_slice verb, struct trp_slice queue,
                                 struct trp_slice options) {
    struct trp_buf b;
    troupe_status st = trp_conn_out(c, verb.n + queue.n + options.n, &b);
    return st == TROUPE_OK ? trp_conn_out_end(c, &b, trp_put_queue(&b, id, verb, queue, options)) : st;
}

static troupe_status queue_ask(struct trp_conn *c, const char *verb, struct trp_slice queue, struct trp_slice options,
                               struct trp_request *r, int kind) {
    if (c->state != TRP_CONN_UP)
        return TROUPE_DISCONNECTED;
    troupe_status st = trp_requests_add(&c->requests, r, kind);
    return st == TROUPE_OK ? trp_conn_sent(c, r, queue_write(c, r->id, trp_slice_str(verb), queue, options)) : st;
}

troupe_status trp_conn_queue(struct trp_conn *c, const char *verb, struct trp_slice queue, struct trp_slice options,
                             struct trp_request *r) {
    return queue_ask(c, verb, queue, options, r, TRP_AWAIT_OK | TRP_AWAIT_VALUE);
}

/* A map of two numbers. */
static struct trp_slice two_options(uint8_t out[TWO_OPTIONS], const char *a, uint64_t a_is, const char *b, uint64_t b_is) {
    uint8_t *p = trp_pack_map(out, 2);
    p = trp_pack_uint(trp_pack_str(p, trp_slice_str(a)), a_is);
    p = trp_pack_uint(trp_pack_str(p, trp_slice_str(b)), b_is);
    return (struct trp_slice){out, (size_t)(p - out)};
}

troupe_status trp_conn_pull(struct trp_conn *c, struct trp_slice queue, uint64_t sid, uint64_t timeout_ms,
                            struct trp_request *r) {
    uint8_t map[TWO_OPTIONS];
    return queue_ask(c, "get", queue, two_options(map, "sid", sid, "timeout", timeout_ms), r, TRP_AWAIT_GET);
}

troupe_status trp_conn_touch(struct trp_conn *c, const struct troupe_msg *m, struct trp_request *r) {
    uint8_t map[TWO_OPTIONS];
    const struct trp_sub *s = trp_subs_find(&c->subs, m->origin.sid);
    struct trp_slice queue;
    if (m->origin.token == 0 || m->info.n == 0)
        return TROUPE_NOT_FOUND;
    if (m->origin.conn != c || m->origin.generation != c->generation || !s || !trp_queue_of_topic(s->pattern, &queue))
        return TROUPE_DISCONNECTED;
    return queue_ask(c, "touch", queue, two_options(map, "sid", s->sid, "token", m->origin.token), r, TRP_AWAIT_OK);
}

/* --- settling --- */

static troupe_status ack_write(const struct trp_debt *d, struct trp_request *r) {
    struct trp_buf b;
    troupe_status st = trp_requests_add(&d->conn->requests, r, TRP_AWAIT_OK);
    if (st != TROUPE_OK)
        return st;
    st = trp_conn_out(d->conn, 0, &b);
    if (st == TROUPE_OK)
        st = trp_conn_out_end(d->conn, &b, trp_put_ack_id(&b, d->sid, d->token, r->id));
    return trp_conn_sent(d->conn, r, st);
}

troupe_status trp_conn_ack(struct trp_conn *c, struct troupe_msg *m, struct trp_request *r) {
    struct trp_debt d;
    if (m->origin.conn && m->origin.conn != c)
        return TROUPE_DISCONNECTED;
    if (!trp_debt_take(m, &d))
        return TROUPE_INVALID;
    troupe_status st = d.live ? ack_write(&d, r) : TROUPE_DISCONNECTED;
    trp_debt_paid(&d);
    return st;
}

void trp_conn_nack(struct troupe_msg *m, struct trp_slice options) {
    struct trp_debt d;
    struct trp_buf b;
    if (!trp_debt_take(m, &d))
        return;
    if (d.live && trp_conn_out(d.conn, options.n, &b) == TROUPE_OK)
        trp_conn_out_end(d.conn, &b, trp_put_nack(&b, d.sid, d.token, options));
    trp_debt_paid(&d);
}
