/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Taking messages out of queues, by consuming (they come) or by getting (they are fetched), and settling them.
 *
 * A get goes over a subscription with no credit, made at the first get of that queue and kept (`struct trp_pull`). The broker
 * watches the time-out and has the last word; only when there is none for long do we give up, and the subscription with it, for
 * on that one the broker might still be at the old get. */
#include <troupe/queue.h>

#include "clients/client_state.h"
#include "transports/alloc.h"
#include "transports/topic.h"

enum { CREDIT_MOST = 65535, REASON_MOST = 255, OPTIONS_MOST = 300 };

/* --- pulls --- */

struct trp_pull {
    struct trp_pull *next;
    uint64_t sid;       /* 0: none now */
    troupe_status lost; /* why */
    size_t n;
    char queue[];
};

void trp_client_drop_pulls(struct troupe_client *c) {
    while (c->pulls) {
        struct trp_pull *p = c->pulls;
        c->pulls = p->next;
        trp_free(p);
    }
}

void trp_pull_lost(struct trp_pull *p, uint64_t sid, troupe_status st) {
    if (p->sid != sid)
        return;
    p->sid = 0;
    p->lost = st;
}

/* The one for this queue, moved to the front. NULL: there is none. */
static struct trp_pull *pull_find(struct troupe_client *c, struct trp_slice queue) {
    for (struct trp_pull **at = &c->pulls, *p; (p = *at); at = &p->next) {
        if (p->n != queue.n || memcmp(p->queue, queue.p, queue.n) != 0)
            continue;
        *at = p->next;
        p->next = c->pulls;
        return c->pulls = p;
    }
    return NULL;
}

static struct trp_pull *pull_new(struct troupe_client *c, struct trp_slice queue) {
    struct trp_pull *p = trp_calloc(1, sizeof *p + queue.n);
    if (!p)
        return NULL;
    memcpy(p->queue, queue.p, queue.n);
    p->n = queue.n;
    p->next = c->pulls;
    return c->pulls = p;
}

/* With a subscription that is made, or under way. */
static troupe_status pull_open(struct troupe_client *c, struct trp_slice queue, struct trp_pull **out) {
    struct trp_pull *p = pull_find(c, queue);
    if (!p && !(p = pull_new(c, queue)))
        return TROUPE_NO_MEMORY;
    *out = p;
    return p->sid ? TROUPE_OK : trp_conn_consume(c->conn, queue, 0, p, &p->sid);
}

static void pull_give_up(struct troupe_client *c, struct trp_pull *p) {
    uint64_t sid = p->sid;
    p->sid = 0;
    if (sid && trp_conn_unsubscribe(c->conn, sid) == TROUPE_NO_MEMORY)
        p->sid = sid; /* the next get may be told BUSY, then */
}

/* --- get --- */

struct get {
    struct trp_receipt receipt; /* first: it is the request's user as well */
    struct trp_pull *pull;
};

/* Where the subscription was refused, or its queue deleted, that has been said before and is the reason. */
static void got(struct trp_request *r, troupe_status st, struct troupe_msg *m, const char *why) {
    struct get *g = r->user;
    bool lost = g->pull->sid == 0 && (st == TROUPE_NOT_FOUND || st == TROUPE_EMPTY);
    if (m && m->origin.settle)
        m->origin.settle = trp_client_settle;
    trp_receipt_done(r, lost ? g->pull->lost : st, m, lost ? g->receipt.c->why : why);
}

/* What is left of a get's time, as the broker is told it. */
static uint64_t left_ms(int64_t deadline) {
    int64_t now = (int64_t)(uv_hrtime() / 1000000);
    if (deadline == TROUPE_FOREVER)
        return UINT64_MAX;
    return deadline > now ? (uint64_t)(deadline - now) : 0;
}

/* The broker's word comes when the time is over, and takes a moment. */
static int64_t patience(int64_t deadline) {
    return deadline > INT64_MAX - TRP_CLIENT_RECEIPT_MS || deadline == TROUPE_FOREVER ? TROUPE_FOREVER
                                                                                      : deadline + TRP_CLIENT_RECEIPT_MS;
}

/* One get in one session. */
static troupe_status get(struct troupe_client *c, struct trp_slice queue, int64_t deadline, struct troupe_msg **out) {
    struct get g = {.receipt = {.r = {.done = got, .user = &g}, .c = c}};
    troupe_status st = pull_open(c, queue, &g.pull);
    if (st == TROUPE_OK)
        st = trp_conn_pull(c->conn, queue, g.pull->sid, left_ms(deadline), &g.receipt.r);
    if (st != TROUPE_OK)
        return trp_client_plainly(c, st);
    st = trp_receipt_await(c, &g.receipt, patience(deadline));
    if (st == TROUPE_OK)
        *out = g.receipt.answer;
    else if (!g.receipt.done)
        pull_give_up(c, g.pull);
    return st == TROUPE_EMPTY ? TROUPE_TIMEOUT : st;
}

troupe_status troupe_queue_get(troupe_client *c, const char *queue, int64_t timeout_ms, troupe_msg **out) {
    struct trp_slice name = trp_slice_str(queue);
    int64_t deadline = trp_client_deadline(timeout_ms);
    troupe_status st;
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    if (c->draining)
        return trp_client_say(c, TROUPE_CLOSED, "the client has been drained");
    do {
        st = trp_client_connected(c, deadline);
        if (st != TROUPE_OK)
            return st;
        st = get(c, name, deadline, out);
    } while (st == TROUPE_DISCONNECTED); /* the next turn waits for the connection, while there is time */
    return st;
}

/* --- consume --- */

troupe_status troupe_queue_consume(troupe_client *c, const char *queue, uint32_t credit, troupe_sub *out) {
    uint64_t sid;
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    if (c->draining)
        return trp_client_say(c, TROUPE_CLOSED, "the client has been drained");
    if (trp_conn_is_dead(c->conn))
        return trp_client_say(c, TROUPE_REFUSED, trp_conn_why(c->conn));
    if (credit == 0 || credit > CREDIT_MOST)
        return trp_client_say(c, TROUPE_INVALID, "credit is 1 to 65535");
    troupe_status st = trp_conn_consume(c->conn, trp_slice_str(queue), credit, NULL, &sid);
    if (st != TROUPE_OK)
        return trp_client_plainly(c, st);
    if (out)
        out->id = sid;
    return trp_client_await_sub(c, sid);
}

/* --- settling --- */

/* May this client settle it? DISCONNECTED: it was another connection's; it has been freed. */
static troupe_status settle_check(struct troupe_client *c, struct troupe_msg **m) {
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    if ((*m)->info.n == 0)
        return trp_client_say(c, TROUPE_NOT_FOUND, "the message is not from a queue");
    if (!(*m)->origin.conn)
        return TROUPE_OK; /* answered, and so acknowledged, before */
    if ((*m)->origin.conn == c->conn && trp_conn_is_up(c->conn) && (*m)->origin.generation == trp_conn_generation(c->conn))
        return TROUPE_OK;
    troupe_msg_free(m);
    return trp_client_say(c, TROUPE_DISCONNECTED, "the message came by a connection that is gone, and will come again");
}

/* It has been settled. */
static void settle_end(struct troupe_client *c, struct troupe_msg **m) {
    trp_msg_drop(*m);
    *m = NULL;
    trp_client_push_answer(c);
}

troupe_status troupe_queue_ack(troupe_client *c, troupe_msg **m) {
    troupe_status st = settle_check(c, m);
    if (st != TROUPE_OK)
        return st;
    trp_conn_settle(*m, false);
    settle_end(c, m);
    return TROUPE_OK;
}

troupe_status troupe_queue_ack_confirm(troupe_client *c, troupe_msg **m, int64_t timeout_ms) {
    struct trp_receipt receipt = {.r = {.done = trp_receipt_done, .user = &receipt}, .c = c};
    troupe_status st = settle_check(c, m);
    if (st != TROUPE_OK)
        return st;
    if ((*m)->origin.token)
        st = trp_conn_ack(c->conn, *m, &receipt.r);
    else
        receipt.done = true;
    trp_msg_drop(*m);
    *m = NULL;
    return st == TROUPE_OK ? trp_receipt_await(c, &receipt, trp_client_deadline(timeout_ms)) : trp_client_plainly(c, st);
}

troupe_status troupe_queue_nack(troupe_client *c, troupe_msg **m, int64_t delay_ms) {
    uint8_t map[OPTIONS_MOST], *p = trp_pack_str(trp_pack_map(map, 1), trp_slice_str("delay"));
    troupe_status st = settle_check(c, m);
    if (st != TROUPE_OK)
        return st;
    p = trp_pack_uint(p, delay_ms > 0 ? (uint64_t)delay_ms : 0);
    trp_conn_nack(*m, delay_ms > 0 ? (struct trp_slice){map, (size_t)(p - map)} : (struct trp_slice){0});
    settle_end(c, m);
    return TROUPE_OK;
}

/* So much of it as fits, up to the end of a character. */
static struct trp_slice cut(struct trp_slice text, size_t most) {
    if (text.n <= most)
        return text;
    while (most > 0 && (text.p[most] & 0xc0) == 0x80)
        most--;
    return (struct trp_slice){text.p, most};
}

troupe_status troupe_queue_bury(troupe_client *c, troupe_msg **m, const char *reason) {
    uint8_t map[OPTIONS_MOST], *p = trp_pack_str(trp_pack_map(map, 1), trp_slice_str("bury"));
    troupe_status st = settle_check(c, m);
    if (st != TROUPE_OK)
        return st;
    p = trp_pack_str(p, cut(trp_slice_str(reason ? reason : ""), REASON_MOST));
    trp_conn_nack(*m, (struct trp_slice){map, (size_t)(p - map)});
    settle_end(c, m);
    return TROUPE_OK;
}

troupe_status troupe_queue_touch(troupe_client *c, troupe_msg *m) {
    struct trp_receipt receipt = {.r = {.done = trp_receipt_done, .user = &receipt}, .c = c};
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    troupe_status st = trp_conn_touch(c->conn, m, &receipt.r);
    if (st != TROUPE_OK)
        return trp_client_plainly(c, st);
    st = trp_receipt_await(c, &receipt, trp_client_deadline(TRP_CLIENT_RECEIPT_MS));
    trp_msg_drop(receipt.answer);
    return st;
}

uint32_t troupe_msg_deliveries(const troupe_msg *m) {
    uint64_t n = 0;
    if (m->info.n)
        (void)trp_map_uint(m->info, "t-deliveries", &n);
    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}
