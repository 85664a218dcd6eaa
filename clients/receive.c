/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The other direction: subscribing, receiving what comes of it, answering. What has come is queued in the client (see
 * client.c) and only taken out here. */
#include "clients/client_state.h"

enum { HOLD_NS = 100 * 1000 }; /* so long answers may gather while more messages are queued */

/* --- subscribing --- */

troupe_status trp_client_await_sub(struct troupe_client *c, uint64_t sid) {
    c->sub_sid = sid;
    c->sub_done = false;
    troupe_status st = trp_client_await(c, &c->sub_done, trp_client_deadline(TRP_CLIENT_RECEIPT_MS));
    c->sub_sid = 0;
    if (c->sub_done)
        return c->sub_status;
    if (!trp_conn_is_up(c->conn))
        return trp_client_say(c, TROUPE_DISCONNECTED, trp_conn_why(c->conn));
    return st;
}

troupe_status troupe_client_subscribe(troupe_client *c, const char *pattern, const troupe_sub_opts *opts, troupe_sub *out) {
    uint64_t sid;
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    if (c->draining)
        return trp_client_say(c, TROUPE_CLOSED, "the client has been drained");
    if (trp_conn_is_dead(c->conn))
        return trp_client_say(c, TROUPE_REFUSED, trp_conn_why(c->conn));
    troupe_status st = trp_conn_subscribe(c->conn, pattern, opts, NULL, &sid);
    if (st != TROUPE_OK)
        return trp_client_plainly(c, st);
    if (out)
        out->id = sid;
    return trp_client_await_sub(c, sid);
}

troupe_status troupe_client_unsubscribe(troupe_client *c, troupe_sub sub) {
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    troupe_status st = trp_conn_unsubscribe(c->conn, sub.id);
    if (st == TROUPE_DISCONNECTED)
        return TROUPE_OK; /* it ended with the connection */
    return st == TROUPE_OK ? trp_client_await_sub(c, sub.id) : trp_client_plainly(c, st);
}

/* --- receiving --- */

static struct troupe_msg *queue_take(struct troupe_client *c) {
    struct troupe_msg *m = c->first;
    c->first = m->next;
    if (!c->first)
        c->end = &c->first;
    m->next = NULL;
    c->queued -= m->size;
    if (c->pausing)
        trp_client_throttle(c);
    return m;
}

/* What a receive that finds nothing has to say, if it has. */
static troupe_status receive_over(struct troupe_client *c) {
    if (c->draining)
        return trp_client_say(c, TROUPE_CLOSED, "the client has been drained");
    if (c->consumer_lost) {
        c->consumer_lost = false;
        return trp_client_say(c, TROUPE_NOT_FOUND, c->consumer_why);
    }
    return trp_conn_is_dead(c->conn) ? trp_client_say(c, TROUPE_REFUSED, trp_conn_why(c->conn)) : TROUPE_OK;
}

/* Is there something to hand out? Not while a heap of answers is unsent: who only answers must not outrun the broker. */
static bool receivable(const struct troupe_client *c) {
    return c->first && trp_conn_pending(c->conn) <= TRP_CLIENT_HIGH;
}

static troupe_status receive_wait(struct troupe_client *c, int64_t timeout_ms) {
    int64_t deadline = trp_client_deadline(timeout_ms);
    bool in_time = true;
    while (!receivable(c)) {
        troupe_status st = c->first ? TROUPE_OK : receive_over(c);
        if (st != TROUPE_OK)
            return st;
        if (!in_time)
            return TROUPE_TIMEOUT;
        in_time = trp_client_turn(c, deadline);
    }
    return TROUPE_OK;
}

troupe_status troupe_client_receive(troupe_client *c, int64_t timeout_ms, troupe_msg **out) {
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    if (!receivable(c)) {
        troupe_status st = receive_wait(c, timeout_ms);
        if (st != TROUPE_OK)
            return st;
    } else if (c->unsent_ns && uv_hrtime() - c->unsent_ns > HOLD_NS) {
        trp_loop_flush(&c->loop);
        c->unsent_ns = 0;
    }
    *out = queue_take(c);
    return TROUPE_OK;
}

/* --- answering --- */

static troupe_status answer(struct troupe_client *c, struct troupe_msg *m, const char *code, troupe_value v) {
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    troupe_status st = trp_conn_reply(c->conn, m, code, v);
    if (st != TROUPE_OK)
        return trp_client_plainly(c, st);
    trp_client_push_answer(c);
    return TROUPE_OK;
}

troupe_status troupe_client_reply(troupe_client *c, troupe_msg *m, troupe_value payload) {
    return answer(c, m, NULL, payload);
}

troupe_status troupe_client_reply_error(troupe_client *c, troupe_msg *m, const char *code, const char *text) {
    return answer(c, m, code, troupe_text(text));
}

troupe_status troupe_client_nack(troupe_client *c, troupe_msg **m) {
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    trp_conn_settle(*m, true);
    trp_client_push_answer(c);
    trp_msg_drop(*m);
    *m = NULL;
    return TROUPE_OK;
}

/* --- the end of it --- */

troupe_status troupe_client_drain(troupe_client *c, int64_t timeout_ms) {
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    struct trp_receipt receipt = {.r = {.done = trp_receipt_done, .user = &receipt}, .c = c};
    c->draining = true;
    trp_conn_unsubscribe_all(c->conn);
    troupe_status st = trp_conn_ping(c->conn, &receipt.r);
    return st == TROUPE_OK ? trp_receipt_await(c, &receipt, trp_client_deadline(timeout_ms)) : trp_client_plainly(c, st);
}
