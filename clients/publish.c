/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Publishing, with and without a receipt. The way without one is short, for it is the one that is taken a million times
 * a second: a check of the topic, the envelope written into the open frame, and a look whether to write it out. */
#include "clients/client_state.h"

void trp_receipt_done(struct trp_request *r, troupe_status st, struct troupe_msg *answer, const char *why) {
    struct trp_receipt *receipt = r->user;
    receipt->answer = answer;
    receipt->done = true;
    receipt->st = st == TROUPE_OK ? st : trp_client_say(receipt->c, st, why);
}

troupe_status trp_receipt_await(struct troupe_client *c, struct trp_receipt *receipt, int64_t deadline) {
    troupe_status st = trp_client_await(c, &receipt->done, deadline);
    if (receipt->done)
        return receipt->st;
    trp_conn_cancel(c->conn, &receipt->r);
    return st;
}

static troupe_status publish_confirmed(struct troupe_client *c, struct trp_slice topic, troupe_value payload,
                                       const troupe_pub_opts *o) {
    struct trp_receipt receipt = {.r = {.done = trp_receipt_done, .user = &receipt}, .c = c};
    struct trp_slice headers = {o->headers.data, o->headers.size};
    int64_t ms = o->timeout_ms ? o->timeout_ms : TRP_CLIENT_RECEIPT_MS;
    troupe_status st = trp_conn_confirm(c->conn, topic, trp_slice_str(o->reply ? o->reply : ""), headers, payload, &receipt.r);
    return st == TROUPE_OK ? trp_receipt_await(c, &receipt, trp_client_deadline(ms)) : trp_client_plainly(c, st);
}

static bool headers_valid(troupe_value headers) {
    return headers.kind == TROUPE_PACKED || (headers.kind == TROUPE_NIL && headers.size == 0);
}

static troupe_status publish(struct troupe_client *c, struct trp_slice topic, troupe_value payload, const troupe_pub_opts *o) {
    struct trp_slice headers = {o->headers.data, o->headers.size};
    troupe_status st = trp_conn_publish(c->conn, topic, trp_slice_str(o->reply ? o->reply : ""), headers, payload);
    if (st != TROUPE_OK)
        return trp_client_plainly(c, st);
    trp_client_push(c, o->more);
    return TROUPE_OK;
}

troupe_status troupe_client_publish(troupe_client *c, const char *topic, troupe_value payload, const troupe_pub_opts *opts) {
    static const troupe_pub_opts none = {0};
    const troupe_pub_opts *o = opts ? opts : &none;
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    if (!headers_valid(o->headers))
        return trp_client_say(c, TROUPE_INVALID, "headers must be a packed map");
    if (!trp_conn_is_up(c->conn)) {
        troupe_status st = trp_client_connected(c, trp_client_deadline(o->timeout_ms));
        if (st != TROUPE_OK)
            return st;
    }
    if (o->confirm)
        return publish_confirmed(c, trp_slice_str(topic), payload, o);
    return publish(c, trp_slice_str(topic), payload, o);
}

troupe_status troupe_client_flush(troupe_client *c) {
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    trp_client_once(c, 0);
    if (!trp_conn_is_up(c->conn))
        return trp_client_say(c, TROUPE_DISCONNECTED, trp_conn_why(c->conn));
    if (trp_conn_pending(c->conn) > TRP_CLIENT_HIGH)
        trp_client_wait_low(c);
    return TROUPE_OK;
}
