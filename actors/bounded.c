/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A message that comes meets one of three: somebody who waits for it, room, or neither. A question that is an ordinary
 * value is a push that waits: it is answered when it is let in, and dropped if by then nobody waits for that.
 *
 *     pushes that wait --> [ items, bounded ] --> pops that wait
 *
 * Invariants: pops wait only while there are no items, pushes only while there is no room; so never both. */
#include "actors/bounded.h"

#include <troupe/bounded.h>

enum { MESSAGES = 1024 };
static const size_t most_bytes = (size_t)64 << 20;

struct bounds {
    size_t messages, bytes;
};

struct bounded {
    struct trp_object o; /* first */
    struct bounds most;
    struct troupe_msg *head, **tail;
    size_t count, bytes;
    struct trp_asked pushes, pops;
};

static troupe_status bounded_init(struct trp_object *o, const void *arg) {
    struct bounded *b = (struct bounded *)o;
    const struct bounds *given = arg;
    b->most = *given;
    b->tail = &b->head;
    trp_asked_init(&b->pushes);
    trp_asked_init(&b->pops);
    return TROUPE_OK;
}

/* --- the items --- */

static bool has_room(const struct bounded *b, size_t size) {
    return b->count == 0 || (b->count < b->most.messages && b->bytes <= b->most.bytes && size <= b->most.bytes - b->bytes);
}

static void append(struct bounded *b, struct troupe_msg *m) {
    m->next = NULL;
    *b->tail = m;
    b->tail = &m->next;
    b->count++;
    b->bytes += m->size;
}

static struct troupe_msg *unlink_first(struct bounded *b) {
    struct troupe_msg *m = b->head;
    b->head = m->next;
    if (!b->head)
        b->tail = &b->head;
    m->next = NULL;
    b->count--;
    b->bytes -= m->size;
    return m;
}

static void put_back(struct bounded *b, struct troupe_msg *m) {
    m->next = b->head;
    if (!b->head)
        b->tail = &m->next;
    b->head = m;
    b->count++;
    b->bytes += m->size;
}

/* --- meeting --- */

/* To the first who still waits for it, else to the end of the items. */
static void hand_out(struct bounded *b, struct troupe_msg *item) {
    struct troupe_msg *pop;
    while ((pop = trp_asked_take(&b->pops))) {
        if (trp_asked_answer(pop, &item) == TROUPE_OK)
            return;
    }
    append(b, item);
}

/* A push that waited is let in. */
static void let_in(struct bounded *b, struct troupe_msg *push) {
    struct troupe_msg *item = trp_asked_accept(push);
    if (item)
        hand_out(b, item);
}

static void let_all_in(struct bounded *b) {
    while (b->pushes.head && has_room(b, b->pushes.head->size))
        let_in(b, trp_asked_take(&b->pushes));
}

static troupe_status push(struct bounded *b, struct troupe_msg *m) {
    if (b->o.closed)
        return TROUPE_CLOSED;
    if (b->pushes.head || !has_room(b, m->size)) {
        if (!m->ask)
            return TROUPE_FULL;
        trp_asked_add(&b->pushes, m);
    } else if (m->ask) {
        let_in(b, m);
    } else {
        hand_out(b, m);
    }
    return TROUPE_OK;
}

static void over_if_drained(struct bounded *b) {
    if (!b->o.closed || b->count > 0)
        return;
    trp_asked_all_no(&b->pops, TROUPE_CLOSED);
    b->o.over = true;
}

static void pop_first(struct bounded *b, struct troupe_msg *m) {
    struct troupe_msg *item = unlink_first(b);
    if (trp_asked_answer(m, &item) != TROUPE_OK) {
        put_back(b, item);
        return;
    }
    let_all_in(b);
    over_if_drained(b);
}

static troupe_status pop(struct bounded *b, struct troupe_msg *m, bool patient) {
    if (!m->ask)
        return TROUPE_INVALID;
    if (b->count > 0)
        pop_first(b, m);
    else if (b->o.closed)
        return TROUPE_CLOSED;
    else if (patient)
        trp_asked_add(&b->pops, m);
    else
        return TROUPE_FULL; /* not now */
    return TROUPE_OK;
}

static troupe_status length(struct bounded *b, struct troupe_msg *m) {
    struct troupe_msg *answer;
    if (!m->ask)
        return TROUPE_INVALID;
    troupe_status st = trp_msg_from_value(&answer, troupe_int((int64_t)b->count), (struct trp_slice){0});
    if (st != TROUPE_OK)
        return st;
    if (trp_asked_answer(m, &answer) != TROUPE_OK)
        trp_msg_drop(answer);
    return TROUPE_OK;
}

/* --- the object --- */

static troupe_status bounded_take(struct trp_object *o, struct troupe_msg *m) {
    struct bounded *b = (struct bounded *)o;
    switch (trp_word_of(m)) {
    case TRP_WORD_NONE:
        return push(b, m);
    case TRP_WORD_GET:
    case TRP_WORD_TRY:
        return pop(b, m, trp_word_of(m) == TRP_WORD_GET);
    case TRP_WORD_COUNT:
        return length(b, m);
    default:
        return TROUPE_INVALID;
    }
}

static void drop_items(struct bounded *b) {
    b->o.dead = b->head;
    b->o.why = TROUPE_DIED;
    b->head = NULL;
    b->tail = &b->head;
    b->count = b->bytes = 0;
}

static void bounded_close(struct trp_object *o) {
    struct bounded *b = (struct bounded *)o;
    trp_asked_all_no(&b->pushes, TROUPE_CLOSED);
    if (o->killed)
        drop_items(b);
    over_if_drained(b);
}

static void bounded_fini(struct trp_object *o) {
    (void)o; /* whatever has ended it has dropped its items */
}

const struct trp_object_ops trp_bounded_ops = {
    .init = bounded_init, .take = bounded_take, .close = bounded_close, .fini = bounded_fini, .size = sizeof(struct bounded)};

/* --- the calls --- */

troupe_status troupe_queue_open(troupe_self *self, const troupe_queue_bounds *bounds, troupe_queue *out) {
    static const troupe_queue_bounds defaults;
    const troupe_queue_bounds *given = bounds ? bounds : &defaults;
    struct bounds b = {given->messages ? given->messages : MESSAGES, given->bytes ? given->bytes : most_bytes};
    return trp_object_new(self, TRP_NOUN_QUEUE, given->name, &b, sizeof b, &out->ref);
}

/* Room is there mostly: then a push is one message, and nobody has to answer it. */
troupe_status troupe_queue_push(troupe_self *self, troupe_queue q, troupe_value v, int64_t timeout_ms) {
    troupe_msg *yes;
    troupe_status st = troupe_try_send(self, q.ref, v);
    if (st == TROUPE_FULL && timeout_ms != 0) {
        st = troupe_ask(self, q.ref, v, timeout_ms, &yes);
        if (st == TROUPE_OK)
            troupe_msg_free(&yes);
    }
    return st == TROUPE_FULL ? TROUPE_TIMEOUT : trp_or_closed(st);
}

troupe_status troupe_queue_pop(troupe_self *self, troupe_queue q, int64_t timeout_ms, troupe_msg **out) {
    troupe_status st = timeout_ms ? trp_word_ask(self, q.ref, TRP_WORD_GET, timeout_ms, out)
                                  : trp_word_ask(self, q.ref, TRP_WORD_TRY, TROUPE_FOREVER, out);
    return st == TROUPE_FULL ? TROUPE_TIMEOUT : trp_or_closed(st);
}

troupe_status troupe_queue_length(troupe_self *self, troupe_queue q, size_t *out) {
    troupe_msg *m;
    int64_t n = 0;
    troupe_status st = trp_word_ask(self, q.ref, TRP_WORD_COUNT, TROUPE_FOREVER, &m);
    if (st != TROUPE_OK)
        return trp_or_closed(st);
    (void)troupe_msg_int(m, &n);
    troupe_msg_free(&m);
    *out = (size_t)n;
    return TROUPE_OK;
}
