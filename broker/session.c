/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A session: one peer that speaks SP. Its protocol number says what it is:
 *
 *     PAIR0, PAIR1   everything; PAIR1 has four bytes of hop count before each body
 *     REQ0           asks: a frame is a request id (with the hops it came by) and one PUB; the answer goes back with the same
 * bytes before it PUSH0          only publishes
 *
 * Frames become envelopes become core events; effects are appended to the link's output, which leaves once a turn. */
#include "broker/server.h"
#include "transports/alloc.h"
#include "transports/log.h"
#include <inttypes.h>
#include <stdio.h>

enum { ASKS = 256, ASK_HEAD_MAX = 36, GOODBYE_MS = 1000, BLOB_LEAST = 16 * 1024 };

/* A request of a REQ0 peer: what to put before the answer. */
struct ask {
    uint64_t id;
    uint8_t head[ASK_HEAD_MAX];
    uint8_t n;
};

struct session {
    struct trp_endpoint ep;
    struct trp_link *link;
    uint16_t protocol;
    bool slow;
    uint64_t asked;              /* REQ0: the last request's number */
    struct ask *asks;            /* REQ0: the last ASKS of them, by number */
    struct trp_visitor *visitor; /* not NULL: it has to prove the authkey first, and is no peer of the core yet */
};

static const struct trp_endpoint_ops session_ops;

bool trp_endpoint_is_session(const struct trp_endpoint *e) {
    return e->ops == &session_ops;
}

/* --- effects --- */

static void put_err(struct session *s, uint64_t id, const char *code, const char *text) {
    struct trp_buf *b = &s->ep.broker->scratch;
    b->n = 0;
    if (trp_put_err(b, id, trp_slice_str(code), trp_slice_str(text)) == TROUPE_OK)
        trp_link_send(s->link, b->p, b->n);
}

/* It does not read: what waits for it is given up, and it is told why, for the day it reads on. */
static void drop_slow(struct session *s) {
    struct troupe_broker *b = s->ep.broker;
    char text[160];
    snprintf(text, sizeof text, "%zu bytes wait for you and the limit is %zu: read faster, or subscribe to less",
             trp_link_pending(s->link), b->opts.max_pending);
    b->slow_consumers++;
    trp_broker_warn(b, "session.slow", "%s %s", trp_link_peer(s->link), text);
    s->slow = true;
    trp_link_discard(s->link);
    trp_session_goodbye(&s->ep, "SLOW_CONSUMER", text);
    trp_broker_doom(&s->ep);
}

static void deliver(struct session *s, uint64_t sid, uint64_t token, const struct trp_message *m) {
    if (m->blob && m->raw.n >= BLOB_LEAST) {
        uint8_t head[TRP_MSG_HEAD_MAX];
        size_t n = (size_t)(trp_msg_head(head, sid, token) - head);
        trp_link_send_blob(s->link, head, n, m->blob, (size_t)(m->raw.p - m->blob->p), m->raw.n);
    } else {
        uint8_t *p = trp_link_reserve(s->link, TRP_MSG_HEAD_MAX + m->raw.n);
        if (!p)
            return;
        uint8_t *q = trp_msg_head(p, sid, token);
        memcpy(q, m->raw.p, m->raw.n);
        trp_link_commit(s->link, (size_t)(q - p) + m->raw.n);
    }
    if (trp_link_pending(s->link) > s->ep.broker->opts.max_pending)
        drop_slow(s);
}

/* The REQ0 request that a reply topic or an ERR's id belongs to; taken off the table. */
static struct ask *take_ask(struct session *s, uint64_t id) {
    struct ask *a = s->asks ? &s->asks[id % ASKS] : NULL;
    if (!a || a->id != id || id == 0)
        return NULL;
    a->id = 0;
    return a;
}

static uint64_t inbox_number(const struct session *s, struct trp_slice topic) {
    struct trp_slice prefix = trp_peer_inbox(s->ep.peer);
    uint64_t id = 0;
    for (size_t i = prefix.n; i < topic.n && topic.p[i] >= '0' && topic.p[i] <= '9'; i++)
        id = id * 10 + (topic.p[i] - '0');
    return id;
}

static void on_msg(void *ctx, void *user, uint64_t sid, uint64_t token, const struct trp_message *m) {
    (void)ctx;
    struct session *s = user;
    if (s->protocol != TRP_SP_REQ0) {
        deliver(s, sid, token, m);
        return;
    }
    struct ask *a = take_ask(s, inbox_number(s, m->topic));
    if (!a)
        return;
    trp_link_begin(s->link, a->head, a->n);
    deliver(s, 0, 0, m);
    trp_link_end(s->link);
}

static void on_err(void *ctx, void *user, uint64_t id, const char *code, const char *text) {
    (void)ctx;
    struct session *s = user;
    if (s->protocol == TRP_SP_PUSH0)
        return;
    if (s->protocol != TRP_SP_REQ0) {
        put_err(s, id, code, text);
        return;
    }
    struct ask *a = take_ask(s, id);
    if (!a)
        return;
    trp_link_begin(s->link, a->head, a->n);
    put_err(s, id, code, text);
    trp_link_end(s->link);
}

static void on_ok(void *ctx, void *user, uint64_t id, uint64_t level, uint64_t count) {
    struct session *s = user;
    struct trp_buf *b = &((struct troupe_broker *)ctx)->scratch;
    b->n = 0;
    if (trp_put_ok(b, id, level, count) == TROUPE_OK)
        trp_link_send(s->link, b->p, b->n);
}

static void on_item(void *ctx, void *user, uint64_t sid, uint64_t token, const struct trp_message *m, struct trp_slice info) {
    struct session *s = user;
    uint8_t *p = trp_link_reserve(s->link, TRP_MSG_HEAD_MAX + m->raw.n + info.n);
    if (!p)
        return;
    uint8_t *q = trp_msg_head(p, sid, token);
    p[0]++; /* an array with one more: the info */
    memcpy(q, m->raw.p, m->raw.n);
    memcpy(q + m->raw.n, info.p, info.n);
    trp_link_commit(s->link, (size_t)(q - p) + m->raw.n + info.n);
    if (trp_link_pending(s->link) > ((struct troupe_broker *)ctx)->opts.max_pending)
        drop_slow(s);
}

static void on_answer(void *ctx, void *user, uint64_t id, uint64_t level, uint64_t count, struct trp_slice info) {
    struct session *s = user;
    struct trp_buf *b = &((struct troupe_broker *)ctx)->scratch;
    b->n = 0;
    if (trp_put_answer(b, id, level, count, info) == TROUPE_OK)
        trp_link_send(s->link, b->p, b->n);
}

/* The queue of this subscription was deleted: told by the words with which a client would end it. */
static void on_ended(void *ctx, void *user, uint64_t sid) {
    struct session *s = user;
    struct trp_buf *b = &((struct troupe_broker *)ctx)->scratch;
    b->n = 0;
    if (trp_put_unsub(b, 0, sid) == TROUPE_OK)
        trp_link_send(s->link, b->p, b->n);
}

static void on_pong(void *ctx, void *user, uint64_t id) {
    struct session *s = user;
    struct trp_buf *b = &((struct troupe_broker *)ctx)->scratch;
    b->n = 0;
    if (trp_put_ping(b, TRP_PONG, id) == TROUPE_OK)
        trp_link_send(s->link, b->p, b->n);
}

static uint8_t *put_key(uint8_t *p, const char *key) {
    return trp_pack_str(p, trp_slice_str(key));
}

static void on_welcome(void *ctx, void *user, uint64_t session, struct trp_slice inbox) {
    struct session *s = user;
    struct troupe_broker *b = ctx;
    uint8_t info[256], *p = trp_pack_map(info, 5);
    p = trp_pack_uint(put_key(p, "session"), session);
    p = trp_pack_str(put_key(p, "inbox"), inbox);
    p = trp_pack_uint(put_key(p, "max_payload"), b->opts.max_payload);
    p = trp_pack_str(put_key(p, "server"), trp_slice_str("brokerd/0.1.0"));
    p = trp_pack_uint(put_key(p, "version"), 1);
    b->scratch.n = 0;
    if (trp_put_info(&b->scratch, TRP_WELCOME, (struct trp_slice){info, (size_t)(p - info)}) == TROUPE_OK)
        trp_link_send(s->link, b->scratch.p, b->scratch.n);
}

/* The peer broke the protocol, or says goodbye ("BYE"). */
static void on_close(void *ctx, void *user, const char *code, const char *text) {
    struct session *s = user;
    struct troupe_broker *b = ctx;
    if (strcmp(code, "BYE") != 0) {
        trp_broker_warn(b, "session.error", "%s %s: %s", trp_link_peer(s->link), code, text);
        if (s->protocol != TRP_SP_REQ0 && s->protocol != TRP_SP_PUSH0)
            put_err(s, 0, code, text);
    }
    trp_broker_doom(&s->ep);
}

void trp_session_goodbye(struct trp_endpoint *e, const char *code, const char *text) {
    struct session *s = (struct session *)e;
    struct trp_buf *b = &e->broker->scratch;
    if ((!e->peer && !s->visitor) || s->protocol == TRP_SP_REQ0 || s->protocol == TRP_SP_PUSH0)
        return;
    b->n = 0;
    if (trp_put_close(b, trp_slice_str(code), trp_slice_str(text)) == TROUPE_OK)
        trp_link_send(s->link, b->p, b->n);
}

static void on_end(struct trp_endpoint *e) {
    struct session *s = (struct session *)e;
    trp_gate_leave(&e->broker->gate, &s->visitor);
    trp_link_close(s->link, GOODBYE_MS);
}

static const struct trp_endpoint_ops session_ops = {
    {on_msg, on_ok, on_err, on_welcome, on_pong, on_close, on_item, on_answer, on_ended, NULL}, on_end};

/* --- what the peer sends --- */

static void protocol_error(struct session *s, const char *code, const char *why) {
    s->ep.broker->protocol_errors++;
    on_close(s->ep.broker, s, code, why);
}

static const char *code_of(troupe_status st) {
    switch (st) {
    case TROUPE_NO_MEMORY:
        return "NO_MEMORY";
    case TROUPE_TIMEOUT:
        return "TIMEOUT";
    default:
        return trp_envelope_fault(st);
    }
}

/* The next envelope of a body; false: there is none, or it is broken and that was the end. */
static inline bool next_envelope(struct session *s, struct trp_slice *body, struct trp_envelope *e) {
    size_t used;
    const char *why = "";
    if (body->n == 0)
        return false;
    troupe_status st = trp_envelope_read(body->p, body->n, e, &used, &why);
    if (st != TROUPE_OK) {
        protocol_error(s, code_of(st), why);
        return false;
    }
    body->p += used;
    body->n -= used;
    return true;
}

static void read_envelopes(struct session *s, struct trp_slice body) {
    struct troupe_broker *b = s->ep.broker;
    uint64_t now = trp_broker_now(b);
    struct trp_envelope e;
    while (!s->ep.doomed && next_envelope(s, &body, &e))
        trp_core_feed(b->core, now, s->ep.peer, &e);
}

/* The hops and the request id before a REQ0 body; 0: none, or too many. */
static size_t ask_head(struct trp_slice body) {
    for (size_t at = 0; at + 4 <= body.n && at + 4 <= ASK_HEAD_MAX; at += 4)
        if (body.p[at] & 0x80)
            return at + 4;
    return 0;
}

/* The request goes on with a reply topic of ours put in, by which the answer finds its way back to the id. */
static troupe_status forward_ask(struct session *s, const struct trp_message *m) {
    struct troupe_broker *b = s->ep.broker;
    struct trp_slice inbox = trp_peer_inbox(s->ep.peer);
    char reply[TRP_TOPIC_MAX + 1];
    int n = snprintf(reply, sizeof reply, "%.*s%" PRIu64, (int)inbox.n, (const char *)inbox.p, s->asked);
    struct trp_envelope e = {.op = TRP_PUB, .id = s->asked};
    size_t used;
    const char *why;
    b->compose.n = 0;
    troupe_status st = trp_put_message(&b->compose, m->topic, (struct trp_slice){(const uint8_t *)reply, (size_t)n}, m->headers,
                                       troupe_packed(m->payload.p, m->payload.n));
    if (st == TROUPE_OK)
        st = trp_message_read(b->compose.p, b->compose.n, &e.msg, &used, &why);
    if (st == TROUPE_OK)
        trp_core_feed(b->core, trp_broker_now(b), s->ep.peer, &e);
    return st;
}

static void read_ask(struct session *s, struct trp_slice body) {
    struct trp_envelope e;
    size_t used, head = ask_head(body);
    const char *why = "the request id is missing";
    if (!s->asks)
        s->asks = trp_calloc(ASKS, sizeof *s->asks);
    if (!s->asks) {
        protocol_error(s, "NO_MEMORY", "out of memory");
        return;
    }
    troupe_status st = head ? trp_envelope_read(body.p + head, body.n - head, &e, &used, &why) : TROUPE_PROTOCOL;
    if (st == TROUPE_OK && (e.op != TRP_PUB || used != body.n - head)) {
        st = TROUPE_PROTOCOL;
        why = "a request is one PUB envelope";
    }
    if (st == TROUPE_OK) {
        struct ask *a = &s->asks[++s->asked % ASKS];
        *a = (struct ask){.id = s->asked, .n = (uint8_t)head};
        memcpy(a->head, body.p, head);
        st = forward_ask(s, &e.msg);
    }
    if (st != TROUPE_OK)
        protocol_error(s, code_of(st), why);
}

/* --- strangers: see gate.h --- */

static bool attach(struct session *s, enum trp_peer_kind kind) {
    troupe_status st = trp_broker_attach(&s->ep, kind);
    if (st == TROUPE_OK)
        trp_log(TROUPE_LOG_DEBUG, "session.up", "%" PRIu64 " %s protocol 0x%02x", trp_peer_session(s->ep.peer),
                trp_link_peer(s->link), s->protocol);
    else
        protocol_error(s, st == TROUPE_FULL ? "LIMIT" : "NO_MEMORY", troupe_status_text(st));
    return st == TROUPE_OK;
}

static void turn_away(struct session *s, const char *code, const char *why) {
    s->ep.broker->auth_failures++;
    on_close(s->ep.broker, s, code, why);
}

static void receive_stranger(struct session *s, enum trp_peer_kind kind) {
    struct trp_gate *g = &s->ep.broker->gate;
    if (kind != TRP_PEER_FULL) {
        turn_away(s, "AUTH_REQUIRED", "an authkey is asked for here, which this kind of connection cannot prove");
        return;
    }
    s->visitor = trp_gate_enter(g, s);
    if (s->visitor)
        trp_link_limit(s->link, TRP_GATE_FRAME);
    else
        protocol_error(s, "NO_MEMORY", "out of memory");
}

static const char wrong_proof[] = "the proof of the authkey is wrong";

/* It is told later, and not listened to until then. */
static void put_off(struct session *s) {
    struct troupe_broker *b = s->ep.broker;
    if (!trp_gate_hold(&b->gate, s->visitor)) {
        turn_away(s, "AUTH_FAILED", wrong_proof);
        return;
    }
    b->auth_failures++;
    trp_broker_warn(b, "session.error", "%s AUTH_FAILED: %s", trp_link_peer(s->link), wrong_proof);
    trp_link_pause(s->link, true);
}

void trp_session_due(void *session, bool held) {
    struct session *s = session;
    if (s->ep.doomed)
        return;
    if (!held) {
        turn_away(s, "TIMEOUT", "the authkey was not proved in time");
        return;
    }
    put_err(s, 0, "AUTH_FAILED", wrong_proof);
    trp_broker_doom(&s->ep);
}

/* The core hears its HELLO now, as if it had just been said. */
static void admit(struct session *s) {
    struct troupe_broker *b = s->ep.broker;
    struct trp_envelope hello = trp_auth_hello(&s->visitor->auth);
    trp_link_limit(s->link, trp_broker_max_frame(b));
    if (attach(s, TRP_PEER_FULL))
        trp_core_feed(b->core, trp_broker_now(b), s->ep.peer, &hello);
    trp_gate_leave(&b->gate, &s->visitor);
}

static void vet(struct session *s, const struct trp_envelope *e) {
    struct troupe_broker *b = s->ep.broker;
    b->scratch.n = 0;
    switch (trp_auth_feed(&s->visitor->auth, b->gate.key, e, &b->scratch)) {
    case TRP_AUTH_CHALLENGE:
        trp_link_send(s->link, b->scratch.p, b->scratch.n);
        break;
    case TRP_AUTH_PASS:
        admit(s);
        break;
    case TRP_AUTH_MISSING:
        turn_away(s, "AUTH_REQUIRED", "an authkey is asked for here: begin with a HELLO with a nonce, then AUTH");
        break;
    case TRP_AUTH_WRONG:
        put_off(s);
        break;
    case TRP_AUTH_LEFT:
        trp_broker_warn(b, "session.error", "%s left without having proved the authkey", trp_link_peer(s->link));
        b->auth_failures++;
        trp_broker_doom(&s->ep);
        break;
    case TRP_AUTH_NO_MEMORY:
        protocol_error(s, "NO_MEMORY", "out of memory");
        break;
    }
}

/* A stranger's frame; gives what of it comes after it was let in. */
static struct trp_slice read_stranger(struct session *s, struct trp_slice body) {
    struct trp_envelope e;
    while (s->visitor && !s->visitor->held && !s->ep.doomed && next_envelope(s, &body, &e))
        vet(s, &e);
    return s->ep.peer ? body : (struct trp_slice){0};
}

static void on_frame(void *user, struct trp_link *l, struct trp_slice body) {
    (void)l;
    struct session *s = user;
    if (s->ep.doomed || (!s->ep.peer && !s->visitor))
        return;
    if (s->protocol == TRP_SP_REQ0) {
        read_ask(s, body);
        return;
    }
    if (s->protocol == TRP_SP_PAIR1) {
        if (body.n < 4 || body.p[0] || body.p[1] || body.p[2] || body.p[3] == 0) {
            protocol_error(s, "BAD_FRAME", "PAIR1 begins each body with four bytes of hop count, 1 to 255");
            return;
        }
        body.p += 4;
        body.n -= 4;
    }
    if (s->visitor)
        body = read_stranger(s, body);
    read_envelopes(s, body);
}

/* --- coming and going --- */

void *trp_session_accept(void *ctx, struct trp_link *l) {
    struct troupe_broker *b = ctx;
    struct session *s = trp_calloc(1, sizeof *s);
    if (!s || !trp_broker_enter(b, &s->ep, &session_ops)) {
        trp_broker_warn(b, "session.refused", "%s: %s", trp_link_peer(l), s ? "too many connections" : "out of memory");
        trp_free(s);
        return NULL;
    }
    s->link = l;
    return s;
}

static bool answer_to(uint16_t protocol, uint16_t *answer, enum trp_peer_kind *kind) {
    switch (protocol) {
    case TRP_SP_PAIR0:
    case TRP_SP_PAIR1:
        *answer = protocol;
        *kind = TRP_PEER_FULL;
        return true;
    case TRP_SP_REQ0:
        *answer = TRP_SP_REP0;
        *kind = TRP_PEER_ASK;
        return true;
    case TRP_SP_PUSH0:
        *answer = TRP_SP_PULL0;
        *kind = TRP_PEER_PUSH;
        return true;
    default:
        return false;
    }
}

static void on_up(void *user, struct trp_link *l, uint16_t protocol) {
    struct session *s = user;
    uint16_t answer = TRP_SP_PAIR0;
    enum trp_peer_kind kind;
    s->protocol = protocol;
    if (!answer_to(protocol, &answer, &kind)) {
        trp_link_greet(l, TRP_SP_PAIR0);
        s->protocol = TRP_SP_PAIR0;
        protocol_error(s, "BAD_GREETING", "this SP protocol is not spoken here: dial with pair0, pair1, req0 or push0");
        return;
    }
    trp_link_greet(l, answer);
    if (protocol == TRP_SP_PAIR1)
        trp_link_prefix(l, "\0\0\0\1", 4);
    if (s->ep.broker->gate.key)
        receive_stranger(s, kind);
    else
        (void)attach(s, kind);
}

/* Framing or a deadline was broken; the link ends itself after this. */
static void on_broken(void *user, struct trp_link *l, troupe_status st, const char *why) {
    struct session *s = user;
    const char *code = code_of(st);
    if (st == TROUPE_PROTOCOL)
        code = s->protocol ? "BAD_FRAME" : "BAD_GREETING";
    if (!s->protocol)
        trp_link_greet(l, TRP_SP_PAIR0);
    if (!s->ep.doomed)
        protocol_error(s, code, why);
}

static void on_down(void *user, struct trp_link *l, troupe_status st, const char *why) {
    struct session *s = user;
    if (s->ep.peer)
        trp_log(TROUPE_LOG_DEBUG, "session.down", "%" PRIu64 " %s %s", trp_peer_session(s->ep.peer), trp_link_peer(l), why);
    if (s->ep.peer && !s->ep.doomed && (st == TROUPE_CLOSED || st == TROUPE_DISCONNECTED || st == TROUPE_TRUNCATED))
        trp_core_crashed(s->ep.peer); /* a network that was cut says TIMEOUT */
    trp_broker_detach(&s->ep);
    trp_gate_leave(&s->ep.broker->gate, &s->visitor);
    trp_broker_leave(&s->ep);
    trp_free(s->asks);
    trp_free(s);
}

const struct trp_link_handler trp_session_handler = {.up = on_up, .frame = on_frame, .down = on_down, .broken = on_broken};
