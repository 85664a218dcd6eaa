/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Putting into queues. One put lies on the body's stack while it waits; what is submitted lies in a block that is used again,
 * so that a steady flow allocates nothing, and ends when the broker's word comes:
 *
 *     under way --OK--> its task, if it has one, is acknowledged
 *         `------else--> its task goes back; the first such end is kept for put_wait
 *
 * A put outlives its body when that has left (`self` NULL): a task is settled all the same. */
#include <troupe/actor_queue.h>

#include "actors/queueing.h"
#include "actors/self.h"
#include "transports/alloc.h"
#include "transports/log.h"
#include "transports/topic.h"

enum {
    RECEIPT_MS = 5000,
    UNCONFIRMED_MOST = 16384, /* of submit */
    AGAIN_MS = 1000,          /* before the task of a put that was refused comes again */
    PAIR_MOST = 24,
    PAIRS = 5,
    ID_MOST = 255,
    PRIORITY_MOST = 10,
};

static const troupe_put_opts defaults;

/* --- headers --- */

static bool opts_valid(const troupe_put_opts *o) {
    size_t id = o->id ? strlen(o->id) : 1;
    return o->delay_ms >= 0 && o->ttl_ms >= 0 && o->priority >= 0 && o->priority <= PRIORITY_MOST && id > 0 && id <= ID_MOST &&
           (int)o->level >= 0 && o->level <= TROUPE_LEVEL_SYNCED;
}

/* What lies in the map of the sender's own headers. False: it is none. */
static bool headers_of(troupe_value headers, uint32_t *pairs, struct trp_slice *inside) {
    const uint8_t *p = headers.data, *end = p + headers.size;
    *pairs = 0;
    *inside = (struct trp_slice){0};
    if (headers.kind != TROUPE_PACKED)
        return headers.kind == TROUPE_NIL && headers.size == 0;
    if (!trp_unpack_map(&p, end, pairs))
        return false;
    *inside = (struct trp_slice){p, (size_t)(end - p)};
    return true;
}

static uint8_t *pack_pair(uint8_t *p, const char *key, uint64_t v) {
    return v ? trp_pack_uint(trp_pack_str(p, trp_slice_str(key)), v) : p;
}

static uint8_t *pack_opts(uint8_t *p, const troupe_put_opts *o, uint32_t more) {
    p = trp_pack_map(p, more + (o->delay_ms > 0) + (o->priority > 0) + (o->ttl_ms > 0) + (o->id != NULL) + (o->level > 0));
    p = pack_pair(p, "t-delay", (uint64_t)o->delay_ms);
    p = pack_pair(p, "t-ttl", (uint64_t)o->ttl_ms);
    p = pack_pair(p, "t-level", (uint64_t)o->level);
    if (o->priority > 0)
        p = trp_pack_uint(trp_pack_str(p, trp_slice_str("t-priority")), (uint64_t)o->priority - 1);
    if (o->id)
        p = trp_pack_str(trp_pack_str(p, trp_slice_str("t-id")), trp_slice_str(o->id));
    return p;
}

/* Of a key that repeats the first one counts: ours go first. */
static troupe_status pack_headers(struct trp_buf *b, const troupe_put_opts *o, struct trp_slice *out) {
    struct trp_slice more;
    uint32_t pairs;
    if (!opts_valid(o) || !headers_of(o->headers, &pairs, &more))
        return TROUPE_INVALID;
    b->n = 0;
    troupe_status st = trp_buf_room(b, (size_t)PAIRS * PAIR_MOST + ID_MOST + more.n);
    if (st != TROUPE_OK)
        return st;
    uint8_t *p = pack_opts(b->p, o, pairs);
    if (more.n)
        memcpy(p, more.p, more.n);
    *out = (struct trp_slice){b->p, (size_t)(p - b->p) + more.n};
    return TROUPE_OK;
}

/* --- one --- */

static int64_t put_deadline(const troupe_put_opts *o) {
    return trp_deadline(o->timeout_ms ? o->timeout_ms : RECEIPT_MS);
}

/* Waits for the connection, then says it. */
static troupe_status put_say(troupe_self *self, const char *queue, troupe_value v, const troupe_put_opts *o,
                             struct trp_request *r) {
    uint8_t bytes[TRP_TOPIC_MAX];
    struct trp_slice topic = trp_queue_topic(trp_slice_str(queue), bytes), headers = {0};
    troupe_status st = trp_bus_up(self, put_deadline(o));
    if (st == TROUPE_OK && o != &defaults)
        st = pack_headers(&self->queueing->packed, o, &headers);
    return st == TROUPE_OK ? trp_conn_confirm(self->worker->bus.conn, topic, (struct trp_slice){0}, headers, v, r) : st;
}

/* What every put has to see to first. */
static troupe_status put_check(troupe_self *self, const char *queue) {
    if (!queue)
        return TROUPE_INVALID;
    troupe_status st = trp_self_may(self);
    if (st != TROUPE_OK)
        return st;
    if (!trp_queueing_of(self))
        return TROUPE_NO_MEMORY;
    trp_self_spend(self);
    return TROUPE_OK;
}

troupe_status troupe_put(troupe_self *self, const char *queue, troupe_value v, const troupe_put_opts *opts,
                         troupe_level *level) {
    const troupe_put_opts *o = opts ? opts : &defaults;
    struct trp_bus_call call = trp_bus_call(self);
    int64_t deadline = put_deadline(o);
    troupe_status st = put_check(self, queue);
    if (st == TROUPE_OK)
        st = put_say(self, queue, v, o, &call.r);
    if (st == TROUPE_OK)
        st = trp_bus_call_wait(self, &call, deadline);
    if (st == TROUPE_OK && level)
        *level = (troupe_level)call.r.level;
    return st;
}

/* --- many --- */

struct trp_put {
    struct trp_request r; /* first */
    struct trp_put *next, **link;
    troupe_self *self;       /* NULL: its body has left */
    struct troupe_msg *task; /* NULL: none */
};

/* The loop's thread, as everything here. */
static void task_settle(struct troupe_msg *task, troupe_status st) {
    uint8_t map[32], *p = trp_pack_str(trp_pack_map(map, 1), trp_slice_str("delay"));
    if (!task)
        return;
    p = trp_pack_uint(p, AGAIN_MS);
    if (st == TROUPE_OK)
        trp_conn_settle(task, false);
    else if (st == TROUPE_DISCONNECTED || st == TROUPE_CLOSED)
        trp_conn_settle(task, true); /* the broker has it back, or soon will */
    else
        trp_conn_nack(task, (struct trp_slice){map, (size_t)(p - map)});
    trp_msg_drop(task);
}

static void put_unlink(struct trp_put *put) {
    *put->link = put->next;
    if (put->next)
        put->next->link = put->link;
}

static void put_recycle(struct trp_queueing *q, struct trp_put *put) {
    put_unlink(put);
    put->next = q->spare;
    q->spare = put;
    q->unconfirmed--;
}

static void note_failure(troupe_self *self, troupe_status st, const char *why) {
    if (self->queueing->failed != TROUPE_OK)
        return;
    self->queueing->failed = st;
    trp_log(TROUPE_LOG_WARN, "actors.put", "%s: a put was not confirmed: %s: %s", troupe_self_name(self),
            troupe_status_name(st), why);
}

static void put_done(struct trp_request *r, troupe_status st, struct troupe_msg *answer, const char *why) {
    struct trp_put *put = (struct trp_put *)r;
    troupe_self *self = put->self;
    trp_msg_drop(answer);
    task_settle(put->task, st);
    if (!self) {
        trp_free(put);
        return;
    }
    if (st != TROUPE_OK)
        note_failure(self, st, why);
    put_recycle(self->queueing, put);
    if (self->queueing->waiting)
        trp_actor_unpark(self->actor);
}

static struct trp_put *put_new(troupe_self *self, struct troupe_msg *task) {
    struct trp_queueing *q = self->queueing;
    struct trp_put *put = q->spare;
    if (put)
        q->spare = put->next;
    else if (!(put = trp_malloc(sizeof *put)))
        return NULL;
    *put = (struct trp_put){.r.done = put_done, .self = self, .task = task, .next = q->under_way, .link = &q->under_way};
    if (put->next)
        put->next->link = &put->next;
    q->under_way = put;
    q->unconfirmed++;
    return put;
}

/* Parks until at most so many are under way. */
static troupe_status wait_fewer(troupe_self *self, unsigned most, int64_t deadline) {
    struct trp_queueing *q = self->queueing;
    troupe_status st = TROUPE_OK;
    q->waiting = true;
    while (q->unconfirmed > most && st == TROUPE_OK)
        st = trp_self_wait(self, deadline);
    q->waiting = false;
    return q->unconfirmed > most ? st : TROUPE_OK;
}

/* Takes the task with OK. */
static troupe_status submit(troupe_self *self, const char *queue, troupe_value v, const troupe_put_opts *o,
                            struct troupe_msg *task) {
    struct trp_put *put = put_new(self, task);
    if (!put)
        return TROUPE_NO_MEMORY;
    troupe_status st = put_say(self, queue, v, o, &put->r);
    if (st != TROUPE_OK) {
        put_recycle(self->queueing, put);
        return st;
    }
    if (task)
        trp_self_take_out_of_hand(task);
    trp_queueing_push(self);
    trp_bus_drain(self);
    return TROUPE_OK;
}

troupe_status troupe_submit(troupe_self *self, const char *queue, troupe_value v, const troupe_put_opts *opts) {
    const troupe_put_opts *o = opts ? opts : &defaults;
    troupe_status st = put_check(self, queue);
    if (st == TROUPE_OK && self->queueing->unconfirmed >= UNCONFIRMED_MOST)
        st = wait_fewer(self, UNCONFIRMED_MOST - 1, put_deadline(o));
    return st == TROUPE_OK ? submit(self, queue, v, o, NULL) : st;
}

troupe_status troupe_ack_with(troupe_self *self, troupe_msg **m, const char *queue, troupe_value v,
                              const troupe_put_opts *opts) {
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    if ((*m)->info.n == 0)
        return TROUPE_NOT_FOUND;
    troupe_status st = put_check(self, queue);
    if (st == TROUPE_OK)
        st = submit(self, queue, v, opts ? opts : &defaults, *m);
    if (st == TROUPE_OK)
        *m = NULL;
    return st;
}

troupe_status troupe_put_wait(troupe_self *self, int64_t timeout_ms) {
    struct trp_queueing *q = self->queueing;
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    if (!q)
        return TROUPE_OK;
    if (self->worker->bus.conn)
        trp_bus_push(self);
    troupe_status st = wait_fewer(self, 0, trp_deadline(timeout_ms));
    if (st != TROUPE_OK)
        return st;
    st = q->failed;
    q->failed = TROUPE_OK;
    return st;
}

void trp_puts_abandon(struct trp_queueing *q) {
    while (q->under_way) {
        struct trp_put *put = q->under_way;
        put_unlink(put);
        put->self = NULL;
    }
    while (q->spare) {
        struct trp_put *put = q->spare;
        q->spare = put->next;
        trp_free(put);
    }
}
