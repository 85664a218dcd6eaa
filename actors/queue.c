/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Taking messages out of queues, and settling them. A consumer is a subscription like any other, whose messages come to
 * the mailbox. A get goes over a subscription without credit, made at the body's first get of that queue and kept. The broker
 * watches the time of a get and has the last word; only when there is none for long, or the body has to stop, is it given up,
 * and the subscription with it, for on that one the broker might still be at the old get. */
#include <troupe/actor_queue.h>

#include "actors/queueing.h"
#include "actors/self.h"
#include "transports/alloc.h"
#include "transports/topic.h"

enum {
    CREDIT_MOST = 65535,
    RECEIPT_MS = 5000,
    LEAVE_MS = 1000,      /* for what a body has put, when it ends */
    HOLD_NS = 100 * 1000, /* so long acknowledgements may gather while more messages wait */
    REASON_MOST = 255,
    OPTIONS_MOST = REASON_MOST + 32,
};

/* --- what a body has to do with queues --- */

struct trp_queueing *trp_queueing_of(troupe_self *self) {
    if (!self->queueing)
        self->queueing = trp_calloc(1, sizeof *self->queueing);
    return self->queueing;
}

void trp_queueing_ended(struct trp_bus_sub *sub) {
    struct trp_queueing *q = sub->self->queueing;
    for (struct trp_bus_sub **at = q ? &q->gets : NULL; at && *at; at = &(*at)->next_get) {
        if (*at == sub) {
            *at = sub->next_get;
            return;
        }
    }
}

void trp_queueing_lost(struct trp_bus_sub *sub) {
    trp_queueing_ended(sub);
    if (!sub->credited || sub->receipt || !sub->self->queueing)
        return; /* a get, or a consume, has it as its answer */
    sub->self->queueing->lost = true;
    trp_actor_unpark(sub->self->actor);
}

bool trp_queueing_tell_lost(troupe_self *self) {
    if (!self->queueing || !self->queueing->lost)
        return false;
    self->queueing->lost = false;
    return true;
}

void trp_queueing_push(troupe_self *self) {
    struct trp_queueing *q = self->queueing;
    if (!self->worker->alone)
        return;
    if (trp_actor_has_mail(self->actor)) {
        int64_t now = trp_now();
        if (!q->held)
            q->held = now;
        if (now - q->held < HOLD_NS)
            return;
    }
    q->held = 0;
    trp_loop_flush(&self->worker->loop);
}

void trp_queueing_leave(troupe_self *self) {
    struct trp_queueing *q = self->queueing;
    if (!q)
        return;
    (void)!troupe_put_wait(self, LEAVE_MS);
    trp_puts_abandon(q);
    trp_buf_fini(&q->packed);
    while (q->gets)
        trp_bus_sub_end(&self->worker->bus, q->gets);
    self->queueing = NULL;
    trp_free(q);
}

static bool name_valid(const char *queue) {
    uint8_t bytes[TRP_TOPIC_MAX];
    return queue && trp_is_topic(trp_queue_topic(trp_slice_str(queue), bytes));
}

/* --- consuming --- */

static troupe_status receipt_wait(troupe_self *self, struct trp_bus_sub *sub) {
    struct trp_bus_receipt receipt = {0};
    int64_t deadline = trp_deadline(RECEIPT_MS);
    troupe_status st = TROUPE_OK;
    sub->receipt = &receipt;
    while (!receipt.done && st == TROUPE_OK)
        st = trp_self_wait(self, deadline);
    if (!receipt.done || receipt.st == TROUPE_OK) /* else it has been freed */
        sub->receipt = NULL;
    if (receipt.done)
        return receipt.st;
    return st == TROUPE_TIMEOUT ? TROUPE_DISCONNECTED : st;
}

troupe_status troupe_consume(troupe_self *self, const char *queue, uint32_t credit) {
    struct trp_bus_sub *sub;
    if (!name_valid(queue) || credit == 0 || credit > CREDIT_MOST)
        return TROUPE_INVALID;
    troupe_status st = trp_self_may(self);
    if (st != TROUPE_OK)
        return st;
    if (!trp_queueing_of(self))
        return TROUPE_NO_MEMORY;
    st = trp_bus_consume(self, queue, credit, &sub);
    return st == TROUPE_OK ? receipt_wait(self, sub) : st;
}

troupe_status troupe_consume_stop(troupe_self *self, const char *queue) {
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    struct trp_bus_sub *sub = queue ? trp_bus_find(self, queue) : NULL;
    if (!sub)
        return TROUPE_NOT_FOUND;
    trp_bus_sub_end(&self->worker->bus, sub);
    trp_bus_push(self);
    return TROUPE_OK;
}

/* --- getting --- */

/* The subscription for gets of this queue, moved to the front. NULL: there is none. */
static struct trp_bus_sub *get_find(struct trp_queueing *q, const char *queue) {
    for (struct trp_bus_sub **at = &q->gets, *sub; (sub = *at); at = &sub->next_get) {
        if (strcmp(sub->pattern, queue) != 0)
            continue;
        *at = sub->next_get;
        sub->next_get = q->gets;
        return q->gets = sub;
    }
    return NULL;
}

static troupe_status get_open(troupe_self *self, const char *queue, struct trp_bus_sub **out) {
    struct trp_queueing *q = trp_queueing_of(self);
    if (!q)
        return TROUPE_NO_MEMORY;
    if ((*out = get_find(q, queue)))
        return TROUPE_OK;
    troupe_status st = trp_bus_consume(self, queue, 0, out);
    if (st != TROUPE_OK)
        return st;
    (*out)->next_get = q->gets;
    q->gets = *out;
    return TROUPE_OK;
}

/* What is left of a get's time, as the broker is told it. */
static uint64_t left_ms(int64_t deadline) {
    int64_t ms = trp_deadline_ms(deadline, trp_now());
    return ms < 0 ? UINT64_MAX : (uint64_t)ms;
}

/* The broker's word comes when the time is over, and takes a moment. */
static int64_t patience(int64_t deadline) {
    const int64_t moment = (int64_t)RECEIPT_MS * TRP_NS_PER_MS;
    return deadline > TRP_NEVER - moment ? TRP_NEVER : deadline + moment;
}

/* A message, or the broker's word that there is none. CLOSED: also when the actor is to close, and there is no word yet. */
static troupe_status get_wait(troupe_self *self, struct trp_bus_call *call, int64_t deadline) {
    troupe_status st = TROUPE_OK;
    trp_bus_push(self);
    while (!call->done && st == TROUPE_OK) {
        if (trp_actor_is_closing(self->actor))
            st = TROUPE_CLOSED;
        else
            st = trp_self_wait(self, deadline);
    }
    return call->done ? call->st : st;
}

static void get_give_up(troupe_self *self, struct trp_bus_call *call, const char *queue) {
    struct trp_bus_sub *sub = get_find(self->queueing, queue);
    trp_conn_cancel(self->worker->bus.conn, &call->r);
    if (sub)
        trp_bus_sub_end(&self->worker->bus, sub);
    trp_bus_push(self);
}

/* One get in one session. */
static troupe_status get(troupe_self *self, const char *queue, int64_t deadline, struct troupe_msg **out) {
    struct trp_bus_call call = trp_bus_call(self);
    struct trp_bus_sub *sub;
    troupe_status st = get_open(self, queue, &sub);
    if (st == TROUPE_OK)
        st = trp_conn_pull(self->worker->bus.conn, trp_slice_str(queue), sub->sid, left_ms(deadline), &call.r);
    if (st != TROUPE_OK)
        return st;
    st = get_wait(self, &call, patience(deadline));
    if (!call.done)
        get_give_up(self, &call, queue);
    if (st == TROUPE_OK) {
        trp_self_take_in_hand(self, call.answer);
        *out = call.answer;
    }
    if (st != TROUPE_EMPTY)
        return st;
    return get_find(self->queueing, queue) ? TROUPE_TIMEOUT : TROUPE_NOT_FOUND; /* deleted while we waited */
}

troupe_status troupe_get(troupe_self *self, const char *queue, int64_t timeout_ms, troupe_msg **out) {
    int64_t deadline = trp_deadline(timeout_ms);
    if (!name_valid(queue))
        return TROUPE_INVALID;
    troupe_status st = trp_self_may(self);
    if (st != TROUPE_OK)
        return st;
    trp_self_spend(self);
    do {
        if (trp_actor_killed(self->actor) || trp_actor_is_closing(self->actor))
            return TROUPE_CLOSED;
        st = trp_bus_up(self, deadline);
        if (st != TROUPE_OK)
            return st;
        st = get(self, queue, deadline, out);
    } while (st == TROUPE_DISCONNECTED); /* the next turn waits for the connection, while there is time */
    return st;
}

/* --- settling --- */

/* May it be settled? OK: then it is out of the body's hand. DISCONNECTED: it was another session's; it has been freed. */
static troupe_status settle_begin(troupe_self *self, struct troupe_msg **m, bool group_too) {
    const struct trp_conn *conn = self->worker->bus.conn;
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    if ((*m)->info.n == 0 && !(group_too && (*m)->origin.conn))
        return TROUPE_NOT_FOUND;
    if (!trp_queueing_of(self))
        return TROUPE_NO_MEMORY;
    trp_self_spend(self);
    trp_self_take_out_of_hand(*m);
    if (!(*m)->origin.conn)
        return TROUPE_OK; /* answered, and so acknowledged, before */
    if ((*m)->origin.conn == conn && trp_conn_is_up(conn) && (*m)->origin.generation == trp_conn_generation(conn))
        return TROUPE_OK;
    trp_conn_settle(*m, true);
    trp_msg_drop(*m);
    *m = NULL;
    return TROUPE_DISCONNECTED;
}

static troupe_status settle_end(troupe_self *self, struct troupe_msg **m) {
    trp_msg_drop(*m);
    *m = NULL;
    trp_queueing_push(self);
    return TROUPE_OK;
}

troupe_status troupe_ack(troupe_self *self, troupe_msg **m) {
    troupe_status st = settle_begin(self, m, false);
    if (st != TROUPE_OK)
        return st;
    trp_conn_settle(*m, false);
    return settle_end(self, m);
}

troupe_status troupe_nack(troupe_self *self, troupe_msg **m, int64_t delay_ms) {
    uint8_t map[OPTIONS_MOST], *p = trp_pack_str(trp_pack_map(map, 1), trp_slice_str("delay"));
    troupe_status st = settle_begin(self, m, true);
    if (st != TROUPE_OK)
        return st;
    p = trp_pack_uint(p, delay_ms > 0 ? (uint64_t)delay_ms : 0);
    bool delayed = delay_ms > 0 && (*m)->info.n;
    trp_conn_nack(*m, delayed ? (struct trp_slice){map, (size_t)(p - map)} : (struct trp_slice){0});
    return settle_end(self, m);
}

/* So much of it as fits, up to the end of a character. */
static struct trp_slice cut(struct trp_slice text, size_t most) {
    if (text.n <= most)
        return text;
    while (most > 0 && (text.p[most] & 0xc0) == 0x80)
        most--;
    return (struct trp_slice){text.p, most};
}

troupe_status troupe_bury(troupe_self *self, troupe_msg **m, const char *reason) {
    uint8_t map[OPTIONS_MOST], *p = trp_pack_str(trp_pack_map(map, 1), trp_slice_str("bury"));
    troupe_status st = settle_begin(self, m, false);
    if (st != TROUPE_OK)
        return st;
    p = trp_pack_str(p, cut(trp_slice_str(reason ? reason : ""), REASON_MOST));
    trp_conn_nack(*m, (struct trp_slice){map, (size_t)(p - map)});
    return settle_end(self, m);
}

troupe_status troupe_touch(troupe_self *self, troupe_msg *m) {
    struct trp_bus_call call = trp_bus_call(self);
    troupe_status st = trp_self_may(self);
    if (st != TROUPE_OK)
        return st;
    if (m->info.n == 0 || !m->origin.conn)
        return TROUPE_NOT_FOUND;
    st = trp_conn_touch(self->worker->bus.conn, m, &call.r);
    if (st != TROUPE_OK)
        return st;
    st = trp_bus_call_wait(self, &call, trp_deadline(RECEIPT_MS));
    trp_msg_drop(call.answer);
    return st;
}
