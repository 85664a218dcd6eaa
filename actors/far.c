/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a body in another process asks of this system: to send, ask, join and so on. The steward does it on the body's
 * behalf and never waits: what a local body would park for becomes an operation in a struct trp_far, which comes back
 * by the proxy's list of finished ones when it is done.
 *
 *     frame --> call under way (1 or 2 operations pending) --> finished --> RESULT, free
 *                    `-- CANCEL, or the body's end: withdrawn, free; what is finished already is freed when it comes
 *
 * A question has two operations: the send, which may wait for room, and the answer. */
#include <stddef.h>
#include "actors/process.h"
#include "actors/system.h"
#include "transports/alloc.h"
#include "transports/assert.h"

struct trp_far {
    struct trp_far *next, **link; /* of the proxy's calls; link NULL: nobody wants its result */
    struct trp_proxy *proxy;
    uint64_t op;
    struct trp_actor *on;         /* whom the send or the join hangs on; a reference */
    struct trp_send send;
    struct trp_ask ask;
    struct trp_join join;
    unsigned pending;             /* operations that hang somewhere, or are finished and not looked at */
    bool asks;
};

static void finished(struct trp_op *op);

/* --- results --- */

static void result(struct trp_proxy *p, struct trp_frame f, struct trp_slice body) {
    f.type = TRP_FRAME_RESULT;
    if (!p->channel || trp_channel_put(p->channel, f, body) == TROUPE_OK)
        return;
    /* It would wait for ever. */
    trp_nursery_kill(&p->actor->sys->nursery, trp_actor_id(p->actor), p->life);
}

static void result_status(struct trp_proxy *p, uint64_t op, troupe_status st) {
    result(p, (struct trp_frame){.op = op, .status = (int16_t)st}, (struct trp_slice){0});
}

static void result_answer(struct trp_proxy *p, uint64_t op, const struct troupe_msg *answer) {
    struct trp_frame f = {.op = op, .status = TROUPE_OK, .ref = answer->from};
    memcpy(f.error, answer->error, sizeof f.error);
    result(p, f, answer->payload);
}

static void result_exit(struct trp_proxy *p, uint64_t op, const troupe_exit *exit) {
    result(p, (struct trp_frame){.op = op, .status = TROUPE_OK}, (struct trp_slice){(const uint8_t *)exit, sizeof *exit});
}

/* --- calls under way --- */

static struct trp_far *far_new(struct trp_proxy *p, uint64_t op, struct trp_actor *on) {
    struct trp_far *far = trp_calloc(1, sizeof *far);
    if (!far)
        return NULL;
    far->proxy = p;
    far->op = op;
    far->on = trp_actor_ref(on);
    far->send.op = far->ask.op = far->join.op = (struct trp_op){.who = p->actor, .finish = finished};
    far->next = p->calls;
    far->link = &p->calls;
    if (far->next)
        far->next->link = &far->next;
    p->calls = far;
    return far;
}

static void far_unlink(struct trp_far *far) {
    if (!far->link)
        return;
    *far->link = far->next;
    if (far->next)
        far->next->link = far->link;
    far->link = NULL;
}

static void far_free(struct trp_far *far) {
    far_unlink(far);
    if (far->send.msg && far->send.msg->owner)
        trp_question_unmake(far->send.msg);
    trp_msg_drop(far->send.msg);
    trp_msg_drop(far->ask.answer);
    trp_actor_unref(far->on);
    trp_free(far);
}

static void withdraw(struct trp_far *far, struct trp_actor *on, struct trp_ops *list, struct trp_op *op) {
    if (op->link && trp_op_withdraw(on, list, op))
        far->pending--;
}

/* Nobody wants its result. What cannot be withdrawn is finished, and on its way here. */
static void far_drop(struct trp_far *far) {
    struct trp_actor *me = far->proxy->actor;
    far_unlink(far);
    withdraw(far, far->on, &far->on->mailbox.parked, &far->send.op);
    withdraw(far, me, &me->asks, &far->ask.op);
    withdraw(far, far->on, &far->on->joins, &far->join.op);
    if (far->pending == 0)
        far_free(far);
}

/* --- what is finished --- */

/* Any thread, under the lock of the list: the last touch before the steward sees it. */
static void finished(struct trp_op *op) {
    struct trp_op *head = atomic_load_explicit(&op->who->finished, memory_order_relaxed);
    do {
        op->next = head;
        /* Release pairs with the acquire in trp_far_finish. */
    } while (!atomic_compare_exchange_weak_explicit(&op->who->finished, &head, op, memory_order_release, memory_order_relaxed));
}

static void send_finished(struct trp_far *far) {
    troupe_status st = far->send.op.st;
    if (far->asks && st == TROUPE_OK)
        return; /* now the answer is waited for */
    if (far->link)
        result_status(far->proxy, far->op, st);
    far_drop(far);
}

static void ask_finished(struct trp_far *far) {
    if (far->link && far->ask.op.st == TROUPE_OK)
        result_answer(far->proxy, far->op, far->ask.answer);
    else if (far->link)
        result_status(far->proxy, far->op, far->ask.op.st);
    far_drop(far);
}

static void join_finished(struct trp_far *far) {
    if (far->link)
        result_exit(far->proxy, far->op, &far->join.exit);
    far_drop(far);
}

#define FAR_OF(op, member) ((struct trp_far *)(void *)((char *)(op)-offsetof(struct trp_far, member)))

/* Which of its three operations is it? Told by what the proxy's calls know: the operation's place in one of them. */
static void op_finished(struct trp_op *op) {
    switch (op->role) {
    case TRP_OP_SEND: {
        struct trp_far *far = FAR_OF(op, send.op);
        far->pending--;
        send_finished(far);
        break;
    }
    case TRP_OP_ASK: {
        struct trp_far *far = FAR_OF(op, ask.op);
        far->pending--;
        ask_finished(far);
        break;
    }
    case TRP_OP_JOIN: {
        struct trp_far *far = FAR_OF(op, join.op);
        far->pending--;
        join_finished(far);
        break;
    }
    }
}
