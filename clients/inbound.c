/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What the broker says. It is a peer like any other: all it says is checked, what only a client may say ends the
 * connection, and numbers that we do not know (any more) are passed over, since an answer may always cross a cancel.
 *
 * A handler may close the connection, so after each envelope the state is looked at again. */
#include <stdio.h>

#include "clients/conn_state.h"
#include "transports/log.h"
#include "transports/topic.h"

static bool listening(const struct trp_conn *c) {
    return c->state == TRP_CONN_HELLO || c->state == TRP_CONN_UP;
}

void trp_conn_violated(struct trp_conn *c, const char *code, const char *what) {
    struct trp_buf b;
    struct trp_slice name = trp_slice_str(code), text = trp_slice_str(what);
    if (trp_conn_out(c, name.n + text.n, &b) == TROUPE_OK)
        trp_conn_out_end(c, &b, trp_put_err(&b, 0, name, text));
    trp_conn_lose(c, TROUPE_PROTOCOL, false, "the broker broke the protocol: %s", what);
}

/* --- greeting --- */

static void welcome_limits(struct trp_conn *c, struct trp_slice info) {
    uint64_t most;
    c->peer_max = SIZE_MAX;
    if (trp_map_uint(info, "max_payload", &most) && most < SIZE_MAX)
        c->peer_max = (size_t)most;
}

static void on_welcome(struct trp_conn *c, const struct trp_envelope *e) {
    struct trp_slice inbox;
    uint64_t version = 1;
    if (c->state != TRP_CONN_HELLO) {
        trp_conn_violated(c, "UNEXPECTED", "a second WELCOME");
        return;
    }
    if (trp_map_uint(e->options, "version", &version) && version != 1) {
        trp_conn_lose(c, TROUPE_REFUSED, true, "the broker speaks version %llu of the protocol, we speak 1",
                      (unsigned long long)version);
        return;
    }
    if (!trp_map_str(e->options, "inbox", &inbox) || inbox.n == 0 || inbox.n > sizeof c->inbox) {
        trp_conn_violated(c, "BAD_ENVELOPE", "WELCOME without a usable inbox");
        return;
    }
    if (!trp_conn_auth_done(c))
        return;
    memcpy(c->inbox, inbox.p, inbox.n);
    c->inbox_n = inbox.n;
    welcome_limits(c, e->options);
    trp_conn_welcomed(c);
}

/* --- messages --- */

/* The number behind our inbox; 0: it is no answer to us. */
static uint64_t answer_id(const struct trp_conn *c, struct trp_slice topic) {
    uint64_t id = 0;
    if (topic.n <= c->inbox_n || topic.n > c->inbox_n + 19 || memcmp(topic.p, c->inbox, c->inbox_n) != 0)
        return 0;
    for (size_t i = c->inbox_n; i < topic.n; i++) {
        if (topic.p[i] < '0' || topic.p[i] > '9')
            return 0;
        id = id * 10 + (uint64_t)(topic.p[i] - '0');
    }
    return id;
}

static void on_answer(struct trp_conn *c, const struct trp_envelope *e) {
    struct trp_request *r = trp_requests_take(&c->requests, answer_id(c, e->msg.topic), TRP_AWAIT_ANSWER);
    if (!r)
        return;
    struct troupe_msg *m = trp_msg_from_wire(&e->msg);
    if (!m) {
        r->done(r, TROUPE_NO_MEMORY, NULL, troupe_status_text(TROUPE_NO_MEMORY));
        return;
    }
    m->origin.generation = c->generation; /* an answer may ask back */
    r->done(r, TROUPE_OK, m, "");
}

/* Gives back what nobody here wants. */
static void decline(struct trp_conn *c, const struct trp_envelope *e) {
    struct trp_buf b;
    if (e->token == 0 || trp_conn_out(c, 0, &b) != TROUPE_OK)
        return;
    trp_conn_out_end(c, &b, trp_put_nack(&b, e->sid, e->token, (struct trp_slice){0}));
}

static void owe(struct trp_conn *c, struct trp_sub *s, const struct trp_envelope *e, struct troupe_msg *m) {
    m->sub = e->sid;
    m->origin.generation = c->generation;
    if (e->token == 0)
        return;
    m->origin.settle = trp_conn_settle;
    m->origin.conn = c;
    m->origin.sid = e->sid;
    m->origin.token = e->token;
    c->owed++;
    if (m->info.n)
        s->owed++;
}

static void no_room(struct trp_conn *c, const struct trp_envelope *e) {
    trp_log(TROUPE_LOG_ERROR, "client.dropped", "%s: no memory for a message of %zu bytes", c->url, e->msg.raw.n);
    decline(c, e);
}

/* The message that a pull asked for. One that nobody waits for any more goes back. */
static void on_pulled(struct trp_conn *c, struct trp_sub *s, const struct trp_envelope *e) {
    uint64_t id = 0;
    (void)trp_map_uint(e->options, "t-get", &id);
    struct trp_request *r = trp_requests_take(&c->requests, id, TRP_AWAIT_GET);
    if (!r) {
        decline(c, e);
        return;
    }
    struct troupe_msg *m = trp_msg_from_queue(&e->msg, e->options);
    if (!m) {
        no_room(c, e);
        r->done(r, TROUPE_NO_MEMORY, NULL, troupe_status_text(TROUPE_NO_MEMORY));
        return;
    }
    owe(c, s, e, m);
    r->done(r, TROUPE_OK, m, "");
}

static void on_msg(struct trp_conn *c, const struct trp_envelope *e) {
    if (e->sid == 0) {
        on_answer(c, e);
        return;
    }
    struct trp_sub *s = trp_subs_find(&c->subs, e->sid);
    if (!s || s->told) {
        decline(c, e);
        return;
    }
    if (s->queue && s->credit == 0) {
        on_pulled(c, s, e);
        return;
    }
    struct troupe_msg *m = trp_msg_from_queue(&e->msg, e->options);
    if (!m) {
        no_room(c, e);
        return;
    }
    owe(c, s, e, m);
    c->handler->msg(c->user, c, s->user, m);
}

/* --- receipts --- */

static void on_ok(struct trp_conn *c, const struct trp_envelope *e) {
    struct trp_request *r = trp_requests_take(&c->requests, e->id, TRP_AWAIT_OK);
    struct troupe_msg *m = NULL;
    if (!r)
        return;
    r->level = e->level;
    r->count = e->count;
    if ((r->kind & TRP_AWAIT_VALUE) && e->options.n && !(m = trp_msg_from_wire(&(struct trp_message){.payload = e->options})))
        r->done(r, TROUPE_NO_MEMORY, NULL, troupe_status_text(TROUPE_NO_MEMORY));
    else
        r->done(r, TROUPE_OK, m, "");
}

/* The queue was deleted: the words with which we would have ended the subscription. */
static void on_unsub(struct trp_conn *c, const struct trp_envelope *e) {
    char why[TRP_WHY_MAX];
    struct trp_slice queue;
    struct trp_sub *s = trp_subs_find(&c->subs, e->sid);
    if (!s || !trp_queue_of_topic(s->pattern, &queue))
        return; /* our own end of it crossed */
    (void)snprintf(why, sizeof why, "NOT_FOUND: the queue %.*s was deleted", (int)queue.n, (const char *)queue.p);
    trp_log(TROUPE_LOG_WARN, "client.unsubscribed", "%s: %s", c->url, why);
    trp_subs_cancel(s, why);
}

static void on_pong(struct trp_conn *c, const struct trp_envelope *e) {
    struct trp_request *r = trp_requests_take(&c->requests, e->id, TRP_AWAIT_PONG);
    if (r)
        r->done(r, TROUPE_OK, NULL, "");
}

static void on_ping(struct trp_conn *c, const struct trp_envelope *e) {
    struct trp_buf b;
    if (trp_conn_out(c, 0, &b) == TROUPE_OK)
        trp_conn_out_end(c, &b, trp_put_ping(&b, TRP_PONG, e->id));
}

static bool is(struct trp_slice code, const char *name) {
    return trp_slice_eq(code, trp_slice_str(name));
}

static troupe_status status_of(struct trp_slice code) {
    static const struct {
        const char *code;
        troupe_status st;
    } codes[] = {{"NO_RESPONDERS", TROUPE_NO_RESPONDERS},
                 {"WORKER_LOST", TROUPE_WORKER_LOST},
                 {"BUSY", TROUPE_BUSY},
                 {"FULL", TROUPE_FULL},
                 {"EMPTY", TROUPE_EMPTY},
                 {"NOT_FOUND", TROUPE_NOT_FOUND},
                 {"INVALID", TROUPE_INVALID}};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (is(code, codes[i].code))
            return codes[i].st;
    return TROUPE_REFUSED;
}

/* "CODE: text", cut to fit. */
static const char *sentence(const struct trp_envelope *e, char out[TRP_WHY_MAX]) {
    size_t code = e->code.n < 64 ? e->code.n : 64, room = TRP_WHY_MAX - code - 3;
    size_t text = e->text.n < room ? e->text.n : room;
    memcpy(out, e->code.p, code);
    memcpy(out + code, ": ", 2);
    if (text)
        memcpy(out + code + 2, e->text.p, text);
    out[code + 2 + text] = 0;
    return out;
}

/* Said about the session, before the broker hangs up. What comes instead of WELCOME is final when trying again would
 * be told the same. */
static void session_refused(struct trp_conn *c, const struct trp_envelope *e, const char *why) {
    if (c->state == TRP_CONN_HELLO && is(e->code, "AUTH_REQUIRED"))
        trp_conn_deny(c, c->auth.key ? why : "the broker asks for an authkey, and we have none");
    else if (c->state == TRP_CONN_HELLO && is(e->code, "AUTH_FAILED"))
        trp_conn_deny(c, why);
    else
        trp_conn_lose(c, TROUPE_REFUSED, c->state == TRP_CONN_HELLO && is(e->code, "VERSION"), "%s", why);
}

static void on_err(struct trp_conn *c, const struct trp_envelope *e) {
    char why[TRP_WHY_MAX];
    if (e->id == 0) {
        session_refused(c, e, sentence(e, why));
        return;
    }
    struct trp_request *r =
        trp_requests_take(&c->requests, e->id, TRP_AWAIT_ANSWER | TRP_AWAIT_OK | TRP_AWAIT_PONG | TRP_AWAIT_GET);
    if (r)
        r->done(r, status_of(e->code), NULL, sentence(e, why));
}

static void on_close(struct trp_conn *c, const struct trp_envelope *e) {
    char why[TRP_WHY_MAX];
    trp_conn_lose(c, TROUPE_CLOSED, false, "%s", sentence(e, why));
}

/* --- dispatch --- */

typedef void inbound_fn(struct trp_conn *c, const struct trp_envelope *e);

/* What a broker may say, and what it may say before WELCOME. */
static const struct {
    inbound_fn *fn;
    bool early;
} inbound[] = {
    [TRP_CHALLENGE] = {trp_conn_challenged, true},
    [TRP_WELCOME] = {on_welcome, true},
    [TRP_UNSUB] = {on_unsub, false},
    [TRP_MSG] = {on_msg, false},
    [TRP_PING] = {on_ping, true},
    [TRP_PONG] = {on_pong, false},
    [TRP_OK] = {on_ok, false},
    [TRP_ERR] = {on_err, true},
    [TRP_CLOSE] = {on_close, true},
};

static void dispatch(struct trp_conn *c, const struct trp_envelope *e) {
    size_t op = (size_t)e->op;
    inbound_fn *fn = op < sizeof inbound / sizeof *inbound ? inbound[op].fn : NULL;
    if (!fn)
        trp_conn_violated(c, "UNEXPECTED", "it sent an op that only clients send");
    else if (c->state == TRP_CONN_HELLO && !inbound[op].early)
        trp_conn_violated(c, "UNEXPECTED", "it spoke before its WELCOME");
    else
        fn(c, e);
}

void trp_conn_frame(struct trp_conn *c, struct trp_slice body) {
    const char *why = "";
    size_t used;
    while (body.n && listening(c)) {
        struct trp_envelope e;
        troupe_status st = trp_envelope_read(body.p, body.n, &e, &used, &why);
        if (st != TROUPE_OK) {
            trp_conn_violated(c, trp_envelope_fault(st), why);
            return;
        }
        dispatch(c, &e);
        body.p += used;
        body.n -= used;
    }
}
