/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What we say. Every envelope is written once, straight into the link's open frame; nothing is allocated but the room
 * for a request's id when there were never so many before. What one turn of the loop says leaves in one frame. */
#include "clients/conn_state.h"
#include "transports/assert.h"
#include "transports/topic.h"

enum {
    CODE_MOST = 31,
    ERROR_HEADERS = 64,                    /* of an error answer */
    HEADERS_MOST = TRP_FRAME_EXTRA - 1024, /* of any message: the rest is for topic, reply and numbers */
};

/* --- an envelope into the open frame --- */

troupe_status trp_conn_out(struct trp_conn *c, size_t room, struct trp_buf *b) {
    room += TRP_PUT_EXTRA;
    *b = (struct trp_buf){.p = trp_link_reserve(c->link, room), .cap = room};
    return b->p ? TROUPE_OK : TROUPE_DISCONNECTED;
}

troupe_status trp_conn_out_end(struct trp_conn *c, struct trp_buf *b, troupe_status st) {
    trp_assert(b->n <= b->cap);
    trp_link_commit(c->link, st == TROUPE_OK ? b->n : 0);
    return st;
}

static size_t value_size(troupe_value v) {
    return v.kind >= TROUPE_TEXT ? v.size : 0;
}

/* What a text, bytes or packed value takes; scalars always fit. */
static size_t packed_size(troupe_value v) {
    size_t n = value_size(v);
    if (v.kind == TROUPE_PACKED || n == 0)
        return n;
    if (n > UINT16_MAX)
        return n <= UINT32_MAX ? n + 5 : SIZE_MAX;
    if (v.kind == TROUPE_TEXT && n < 32)
        return n + 1;
    return n <= UINT8_MAX ? n + 2 : n + 3;
}

static bool topic_is_good(struct trp_conn *c, struct trp_slice topic) {
    if (topic.n && topic.n == c->topic_n && memcmp(topic.p, c->topic, topic.n) == 0)
        return true;
    if (!trp_is_topic(topic))
        return false;
    memcpy(c->topic, topic.p, topic.n);
    c->topic_n = topic.n;
    return true;
}

/* Checked here, because the broker would end the connection for it. */
static troupe_status pub_check(struct trp_conn *c, struct trp_slice topic, struct trp_slice reply, struct trp_slice headers,
                               troupe_value v) {
    if (c->state != TRP_CONN_UP)
        return TROUPE_DISCONNECTED;
    if (!topic_is_good(c, topic) || (reply.n && !trp_is_topic(reply)))
        return TROUPE_INVALID;
    if (headers.n > HEADERS_MOST || packed_size(v) > c->peer_max)
        return TROUPE_TOO_BIG;
    return TROUPE_OK;
}

static troupe_status pub_write(struct trp_conn *c, uint64_t id, struct trp_slice topic, struct trp_slice reply,
                               struct trp_slice headers, troupe_value v) {
    struct trp_buf b;
    troupe_status st = trp_conn_out(c, topic.n + reply.n + headers.n + value_size(v), &b);
    return st == TROUPE_OK ? trp_conn_out_end(c, &b, trp_put_pub(&b, id, topic, reply, headers, v)) : st;
}

static troupe_status ping_write(struct trp_conn *c, uint64_t id) {
    struct trp_buf b;
    troupe_status st = trp_conn_out(c, 0, &b);
    return st == TROUPE_OK ? trp_conn_out_end(c, &b, trp_put_ping(&b, TRP_PING, id)) : st;
}

troupe_status trp_conn_publish(struct trp_conn *c, struct trp_slice topic, struct trp_slice reply, struct trp_slice headers,
                               troupe_value v) {
    troupe_status st = pub_check(c, topic, reply, headers, v);
    return st == TROUPE_OK ? pub_write(c, 0, topic, reply, headers, v) : st;
}

/* --- what is awaited --- */

troupe_status trp_conn_sent(struct trp_conn *c, struct trp_request *r, troupe_status st) {
    if (st != TROUPE_OK)
        trp_requests_remove(&c->requests, r);
    return st;
}

/* Our inbox with the number behind it, into out (TRP_TOPIC_MAX bytes). */
static struct trp_slice reply_topic(const struct trp_conn *c, uint64_t id, uint8_t *out) {
    uint8_t digits[20];
    size_t n = 0;
    do
        digits[n++] = (uint8_t)('0' + id % 10);
    while (id /= 10);
    memcpy(out, c->inbox, c->inbox_n);
    for (size_t i = 0; i < n; i++)
        out[c->inbox_n + i] = digits[n - 1 - i];
    return (struct trp_slice){out, c->inbox_n + n};
}

troupe_status trp_conn_request(struct trp_conn *c, struct trp_slice topic, struct trp_slice headers, troupe_value v,
                               struct trp_request *r) {
    uint8_t reply[TRP_TOPIC_MAX];
    troupe_status st = pub_check(c, topic, (struct trp_slice){0}, headers, v);
    if (st == TROUPE_OK)
        st = trp_requests_add(&c->requests, r, TRP_AWAIT_ANSWER);
    return st == TROUPE_OK ? trp_conn_sent(c, r, pub_write(c, r->id, topic, reply_topic(c, r->id, reply), headers, v)) : st;
}

/* The broker sends no OK for a message with a reply topic, but what is wrong with it is said before it answers a PING of
 * the same id. */
troupe_status trp_conn_confirm(struct trp_conn *c, struct trp_slice topic, struct trp_slice reply, struct trp_slice headers,
                               troupe_value v, struct trp_request *r) {
    troupe_status st = pub_check(c, topic, reply, headers, v);
    if (st == TROUPE_OK)
        st = trp_requests_add(&c->requests, r, reply.n ? TRP_AWAIT_PONG : TRP_AWAIT_OK);
    if (st != TROUPE_OK)
        return st;
    st = pub_write(c, r->id, topic, reply, headers, v);
    if (st == TROUPE_OK && reply.n)
        st = ping_write(c, r->id);
    return trp_conn_sent(c, r, st);
}

troupe_status trp_conn_ping(struct trp_conn *c, struct trp_request *r) {
    if (c->state != TRP_CONN_UP)
        return TROUPE_DISCONNECTED;
    troupe_status st = trp_requests_add(&c->requests, r, TRP_AWAIT_PONG);
    return st == TROUPE_OK ? trp_conn_sent(c, r, ping_write(c, r->id)) : st;
}

void trp_conn_cancel(struct trp_conn *c, struct trp_request *r) {
    trp_requests_remove(&c->requests, r);
}

/* --- answers --- */

static bool code_valid(struct trp_slice code) {
    if (code.n == 0 || code.n > CODE_MOST)
        return false;
    for (size_t i = 0; i < code.n; i++) {
        uint8_t b = code.p[i];
        if (!((b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') || b == '_'))
            return false;
    }
    return true;
}

/* The headers of an error answer, into out. */
static struct trp_slice error_headers(struct trp_slice code, uint8_t out[ERROR_HEADERS]) {
    uint8_t *p = trp_pack_map(out, 1);
    p = trp_pack_str(p, trp_slice_str("t-error"));
    p = trp_pack_str(p, code);
    return (struct trp_slice){out, (size_t)(p - out)};
}

/* Can m still be answered on this connection? */
static troupe_status reply_check(const struct trp_conn *c, const struct troupe_msg *m) {
    if (m->answered || m->reply.n == 0)
        return TROUPE_NOT_FOUND;
    return c->state == TRP_CONN_UP && m->origin.generation == c->generation ? TROUPE_OK : TROUPE_DISCONNECTED;
}

troupe_status trp_conn_reply(struct trp_conn *c, struct troupe_msg *m, const char *code, troupe_value v) {
    uint8_t bytes[ERROR_HEADERS];
    struct trp_slice headers = {0};
    troupe_status st = reply_check(c, m);
    if (st != TROUPE_OK)
        return st;
    if (code && !code_valid(trp_slice_str(code)))
        return TROUPE_INVALID;
    if (code)
        headers = error_headers(trp_slice_str(code), bytes);
    st = trp_conn_publish(c, m->reply, (struct trp_slice){0}, headers, v);
    if (st != TROUPE_OK)
        return st;
    m->answered = true;
    trp_conn_settle(m, false);
    return TROUPE_OK;
}

/* --- debts --- */

bool trp_debt_take(struct troupe_msg *m, struct trp_debt *d) {
    struct trp_conn *c = m->origin.conn;
    if (!c || m->origin.token == 0)
        return false;
    d->conn = c;
    d->sid = m->origin.sid;
    d->token = m->origin.token;
    d->queue = m->info.n > 0;
    d->live = c->state == TRP_CONN_UP && m->origin.generation == c->generation;
    m->origin.token = 0;
    m->origin.conn = NULL;
    return true;
}

void trp_debt_paid(const struct trp_debt *d) {
    if (d->queue && d->live)
        trp_subs_settled(d->conn, d->sid);
    trp_conn_forget_one(d->conn);
}

static void settle_write(const struct trp_debt *d, bool nack) {
    struct trp_buf b;
    if (trp_conn_out(d->conn, 0, &b) != TROUPE_OK)
        return; /* the session ends, and the debt with it */
    trp_conn_out_end(d->conn, &b,
                     nack ? trp_put_nack(&b, d->sid, d->token, (struct trp_slice){0}) : trp_put_ack(&b, d->sid, d->token));
}

void trp_conn_settle(struct troupe_msg *m, bool nack) {
    struct trp_debt d;
    if (!trp_debt_take(m, &d))
        return;
    if (d.live)
        settle_write(&d, nack);
    trp_debt_paid(&d);
}
