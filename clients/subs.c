/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 *     IDLE -> SENT -> MADE -> ENDING -> (freed)      SENT -> ENDING too: the receipts come in order
 *       ^______|______|                              the session is lost: made again in the next one, in the order
 *                                                    they were made at first
 *
 * A queue takes back what is in hand when it hears UNSUB. So its consumer first takes its credit away, behind which a PING says
 * that nothing follows any more (STOPPING); then its owner hears that it is over, and UNSUB goes out when all that was in hand
 * has been settled (STOPPED):
 *
 *     SENT, MADE -> STOPPING -> STOPPED -> ENDING -> (freed)
 *
 * A subscription that the broker refuses is gone, also when it had been made in an earlier session: it is told by
 * `subscribed` each time. */
#include "clients/subs.h"

#include "clients/conn_state.h"
#include "transports/alloc.h"
#include "transports/topic.h"

enum { GROUP_MOST = 255, CREDIT_MOST = 65535, OPTIONS_MOST = 32 + GROUP_MOST };

/* --- the list --- */

static troupe_status sub_link(struct trp_subs *s, struct trp_sub *sub) {
    troupe_status st = trp_idmap_add(&s->sids, sub, &sub->sid);
    if (st != TROUPE_OK)
        return st;
    if (!s->first)
        s->end = &s->first;
    sub->link = s->end;
    *sub->link = sub;
    s->end = &sub->next;
    return TROUPE_OK;
}

static void sub_free(struct trp_subs *s, struct trp_sub *sub) {
    (void)trp_idmap_take(&s->sids, sub->sid);
    *sub->link = sub->next;
    if (sub->next)
        sub->next->link = sub->link;
    else
        s->end = sub->link;
    trp_free(sub);
}

void trp_subs_fini(struct trp_subs *s) {
    while (s->first)
        sub_free(s, s->first);
    trp_idmap_fini(&s->sids);
}

/* --- receipts --- */

/* Its owner hears of the end. It may do anything then, so nothing of the subscription is touched behind it. */
static void sub_tell(struct trp_conn *c, void *user, uint64_t sid, troupe_status st, const char *why) {
    if (c->handler->subscribed && c->state != TRP_CONN_CLOSING)
        c->handler->subscribed(c->user, c, user, sid, st, why);
}

/* The end of it, whatever the reason; told if that has not been done. */
static void sub_over(struct trp_sub *sub, troupe_status st, const char *why) {
    struct trp_conn *c = sub->conn;
    void *user = sub->user;
    uint64_t sid = sub->sid;
    bool told = sub->told;
    trp_requests_remove(&c->requests, &sub->made);
    trp_requests_remove(&c->requests, &sub->ended);
    sub_free(&c->subs, sub);
    if (!told)
        sub_tell(c, user, sid, st, why);
}

static void sub_made(struct trp_request *r, troupe_status st, struct troupe_msg *answer, const char *why) {
    struct trp_sub *sub = r->user;
    struct trp_conn *c = sub->conn;
    (void)answer;
    if (sub->state != TRP_SUB_SENT)
        return; /* it is ending: the receipt of that follows, or the end of all receipts */
    if (st == TROUPE_OK) {
        sub->state = TRP_SUB_MADE;
        sub_tell(c, sub->user, sub->sid, TROUPE_OK, "");
    } else if (st == TROUPE_DISCONNECTED || st == TROUPE_CLOSED) {
        sub->state = TRP_SUB_IDLE;
    } else {
        sub_over(sub, st == TROUPE_NOT_FOUND ? st : TROUPE_REFUSED, why);
    }
}

void trp_subs_cancel(struct trp_sub *sub, const char *why) {
    sub_over(sub, TROUPE_NOT_FOUND, why);
}

/* --- sending --- */

static struct trp_slice sub_options(const struct trp_sub *sub, uint8_t out[OPTIONS_MOST]) {
    bool group = sub->group.n > 0, credit = sub->credit || sub->queue;
    if (!group && !credit)
        return (struct trp_slice){0};
    uint8_t *p = trp_pack_map(out, (uint32_t)group + credit);
    if (group)
        p = trp_pack_str(trp_pack_str(p, trp_slice_str("group")), sub->group);
    if (credit)
        p = trp_pack_uint(trp_pack_str(p, trp_slice_str("credit")), sub->credit);
    return (struct trp_slice){out, (size_t)(p - out)};
}

static troupe_status sub_write(struct trp_conn *c, struct trp_sub *sub) {
    uint8_t bytes[OPTIONS_MOST];
    struct trp_slice options = sub_options(sub, bytes);
    struct trp_buf b;
    troupe_status st = trp_conn_out(c, sub->pattern.n + options.n, &b);
    return st == TROUPE_OK ? trp_conn_out_end(c, &b, trp_put_sub(&b, sub->made.id, sub->sid, sub->pattern, options)) : st;
}

static troupe_status sub_send(struct trp_conn *c, struct trp_sub *sub) {
    troupe_status st = trp_requests_add(&c->requests, &sub->made, TRP_AWAIT_OK);
    if (st != TROUPE_OK)
        return st;
    st = sub_write(c, sub);
    if (st == TROUPE_OK)
        sub->state = TRP_SUB_SENT;
    else
        trp_requests_remove(&c->requests, &sub->made);
    return st;
}

static troupe_status unsub_send(struct trp_conn *c, struct trp_sub *sub) {
    struct trp_buf b;
    troupe_status st = trp_requests_add(&c->requests, &sub->ended, TRP_AWAIT_OK);
    if (st != TROUPE_OK)
        return st;
    st = trp_conn_out(c, 0, &b);
    if (st == TROUPE_OK)
        st = trp_conn_out_end(c, &b, trp_put_unsub(&b, sub->ended.id, sub->sid));
    if (st == TROUPE_OK)
        sub->state = TRP_SUB_ENDING;
    return trp_conn_sent(c, &sub->ended, st);
}

/* No more, please. Nothing comes behind the PONG. */
static troupe_status stop_send(struct trp_conn *c, struct trp_sub *sub) {
    struct trp_buf b;
    troupe_status st = trp_requests_add(&c->requests, &sub->ended, TRP_AWAIT_PONG);
    if (st != TROUPE_OK)
        return st;
    st = trp_conn_out(c, 0, &b);
    if (st == TROUPE_OK) {
        st = trp_put_credit(&b, sub->sid, 0);
        st = trp_conn_out_end(c, &b, st == TROUPE_OK ? trp_put_ping(&b, TRP_PING, sub->ended.id) : st);
    }
    if (st == TROUPE_OK)
        sub->state = TRP_SUB_STOPPING;
    return trp_conn_sent(c, &sub->ended, st);
}

troupe_status trp_subs_renew(struct trp_conn *c) {
    struct trp_sub *next;
    for (struct trp_sub *sub = c->subs.first; sub; sub = next) {
        next = sub->next;
        if (sub->state == TRP_SUB_STOPPED) {
            sub_free(&c->subs, sub); /* what it waited for was lost with the session */
            continue;
        }
        sub->state = TRP_SUB_IDLE;
        sub->owed = 0;
        troupe_status st = sub_send(c, sub);
        if (st != TROUPE_OK)
            return st;
    }
    return TROUPE_OK;
}

/* --- the end of a consumer --- */

/* Nothing is in hand any more. A session that is about to be lost ends it, too. */
static void sub_leave(struct trp_conn *c, struct trp_sub *sub) {
    if (unsub_send(c, sub) == TROUPE_NO_MEMORY)
        trp_conn_lose(c, TROUPE_NO_MEMORY, false, "no memory");
}

static void sub_stopped(struct trp_sub *sub) {
    struct trp_conn *c = sub->conn;
    void *user = sub->user;
    uint64_t sid = sub->sid;
    sub->state = TRP_SUB_STOPPED;
    sub->told = true;
    if (sub->owed == 0)
        sub_leave(c, sub);
    sub_tell(c, user, sid, TROUPE_OK, "");
}

/* The receipt of its stop, or of its end. Whatever is said, it is over then: the broker does not know it, or the session is. */
static void sub_ended(struct trp_request *r, troupe_status st, struct troupe_msg *answer, const char *why) {
    struct trp_sub *sub = r->user;
    (void)answer, (void)why;
    if (sub->state == TRP_SUB_STOPPING && st == TROUPE_OK)
        sub_stopped(sub);
    else
        sub_over(sub, TROUPE_OK, "");
}

void trp_subs_settled(struct trp_conn *c, uint64_t sid) {
    struct trp_sub *sub = trp_subs_find(&c->subs, sid);
    if (!sub || sub->owed == 0)
        return;
    if (--sub->owed == 0 && sub->state == TRP_SUB_STOPPED)
        sub_leave(c, sub);
}

/* --- beginning and ending one --- */

static bool opts_valid(const troupe_sub_opts *o) {
    size_t n = o->group ? strlen(o->group) : 0;
    if (!o->group)
        return o->credit == 0;
    return n > 0 && n <= GROUP_MOST && o->credit <= CREDIT_MOST;
}

static struct trp_sub *sub_new(struct trp_slice pattern, struct trp_slice group, uint32_t credit) {
    struct trp_sub *sub = trp_calloc(1, sizeof *sub + pattern.n + group.n);
    if (!sub)
        return NULL;
    memcpy(sub->bytes, pattern.p, pattern.n);
    sub->pattern = (struct trp_slice){sub->bytes, pattern.n};
    if (group.n)
        memcpy(sub->bytes + pattern.n, group.p, group.n);
    sub->group = (struct trp_slice){sub->bytes + pattern.n, group.n};
    sub->credit = credit;
    sub->made = (struct trp_request){.done = sub_made, .user = sub};
    sub->ended = (struct trp_request){.done = sub_ended, .user = sub};
    return sub;
}

/* Sent, or kept for the next session. sub NULL: there was no memory for it. */
static troupe_status sub_begin(struct trp_conn *c, struct trp_sub *sub, void *user, uint64_t *sid) {
    if (!sub)
        return TROUPE_NO_MEMORY;
    sub->conn = c;
    sub->user = user;
    troupe_status st = sub_link(&c->subs, sub);
    if (st != TROUPE_OK) {
        trp_free(sub);
        return st;
    }
    st = c->state == TRP_CONN_UP ? sub_send(c, sub) : TROUPE_DISCONNECTED;
    if (st == TROUPE_NO_MEMORY) {
        sub_free(&c->subs, sub);
        return st;
    }
    *sid = sub->sid;
    return TROUPE_OK;
}

troupe_status trp_conn_consume(struct trp_conn *c, struct trp_slice queue, uint32_t credit, void *sub_user, uint64_t *sid) {
    uint8_t bytes[TRP_TOPIC_MAX];
    struct trp_slice topic = trp_queue_topic(queue, bytes);
    if (!trp_is_topic(topic) || credit > CREDIT_MOST)
        return TROUPE_INVALID;
    struct trp_sub *sub = sub_new(topic, (struct trp_slice){0}, credit);
    if (sub)
        sub->queue = true;
    return sub_begin(c, sub, sub_user, sid);
}

troupe_status trp_conn_subscribe(struct trp_conn *c, const char *pattern, const troupe_sub_opts *opts, void *sub_user,
                                 uint64_t *sid) {
    static const troupe_sub_opts none = {0};
    const troupe_sub_opts *o = opts ? opts : &none;
    struct trp_slice name;
    if (trp_queue_of_topic(trp_slice_str(pattern), &name))
        return o->group ? TROUPE_INVALID : trp_conn_consume(c, name, o->credit ? o->credit : 1, sub_user, sid);
    if (!trp_is_pattern(trp_slice_str(pattern)) || !opts_valid(o))
        return TROUPE_INVALID;
    return sub_begin(c, sub_new(trp_slice_str(pattern), trp_slice_str(o->group ? o->group : ""), o->credit), sub_user, sid);
}

troupe_status trp_conn_unsubscribe(struct trp_conn *c, uint64_t sid) {
    struct trp_sub *sub = trp_subs_find(&c->subs, sid);
    if (!sub || sub->state >= TRP_SUB_STOPPING)
        return TROUPE_NOT_FOUND;
    troupe_status st = TROUPE_DISCONNECTED;
    if (c->state == TRP_CONN_UP)
        st = sub->queue ? stop_send(c, sub) : unsub_send(c, sub);
    if (st == TROUPE_DISCONNECTED) {
        trp_requests_remove(&c->requests, &sub->made);
        sub_free(&c->subs, sub);
    }
    return st;
}

void trp_conn_unsubscribe_all(struct trp_conn *c) {
    struct trp_sub *next;
    for (struct trp_sub *sub = c->subs.first; sub; sub = next) {
        next = sub->next;
        if (sub->state < TRP_SUB_STOPPING && trp_conn_unsubscribe(c, sub->sid) == TROUPE_NO_MEMORY)
            trp_conn_lose(c, TROUPE_NO_MEMORY, false, "no memory"); /* the rest end at once, then */
    }
}
