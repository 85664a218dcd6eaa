/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 *     IDLE -> SENT -> MADE -> ENDING -> (freed)      SENT -> ENDING too: the receipts come in order
 *       ^______|______|                              the session is lost: made again in the next one, in the order
 *                                                    they were made at first
 *
 * A subscription that the broker refuses is gone, also when it had been made in an earlier session: it is told by
 * `subscribed` each time. */
#include "clients/subs.h"

#include "clients/conn_state.h"
#include "clients/topic.h"
#include "transports/alloc.h"

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

/* The end of it, whatever the reason; told. */
static void sub_over(struct trp_sub *sub, troupe_status st, const char *why) {
    struct trp_conn *c = sub->conn;
    void *user = sub->user;
    uint64_t sid = sub->sid;
    trp_requests_remove(&c->requests, &sub->made);
    trp_requests_remove(&c->requests, &sub->ended);
    sub_free(&c->subs, sub);
    if (c->handler->subscribed && c->state != TRP_CONN_CLOSING)
        c->handler->subscribed(c->user, c, user, sid, st, why);
}

static void sub_made(struct trp_request *r, troupe_status st, struct troupe_msg *answer, const char *why) {
    struct trp_sub *sub = r->user;
    struct trp_conn *c = sub->conn;
    (void)answer;
    if (sub->state == TRP_SUB_ENDING)
        return; /* the receipt of its end follows, or the end of all receipts */
    if (st == TROUPE_OK) {
        sub->state = TRP_SUB_MADE;
        if (c->handler->subscribed)
            c->handler->subscribed(c->user, c, sub->user, sub->sid, TROUPE_OK, "");
    } else if (st == TROUPE_DISCONNECTED || st == TROUPE_CLOSED) {
        sub->state = TRP_SUB_IDLE;
    } else {
        sub_over(sub, TROUPE_REFUSED, why);
    }
}

/* Whatever is said, it is over: the broker does not know it, or the session is. */
static void sub_ended(struct trp_request *r, troupe_status st, struct troupe_msg *answer, const char *why) {
    (void)st, (void)answer, (void)why;
    sub_over(r->user, TROUPE_OK, "");
}

/* --- sending --- */

static struct trp_slice sub_options(const struct trp_sub *sub, uint8_t out[OPTIONS_MOST]) {
    if (sub->group.n == 0)
        return (struct trp_slice){0};
    uint8_t *p = trp_pack_map(out, sub->credit ? 2 : 1);
    p = trp_pack_str(p, trp_slice_str("group"));
    p = trp_pack_str(p, sub->group);
    if (sub->credit) {
        p = trp_pack_str(p, trp_slice_str("credit"));
        p = trp_pack_uint(p, sub->credit);
    }
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
    if (st != TROUPE_OK)
        trp_requests_remove(&c->requests, &sub->ended);
    return st;
}

troupe_status trp_subs_renew(struct trp_conn *c) {
    for (struct trp_sub *sub = c->subs.first; sub; sub = sub->next) {
        sub->state = TRP_SUB_IDLE;
        troupe_status st = sub_send(c, sub);
        if (st != TROUPE_OK)
            return st;
    }
    return TROUPE_OK;
}

/* --- beginning and ending one --- */

static bool opts_valid(const troupe_sub_opts *o) {
    size_t n = o->group ? strlen(o->group) : 0;
    if (!o->group)
        return o->credit == 0;
    return n > 0 && n <= GROUP_MOST && o->credit <= CREDIT_MOST;
}

static struct trp_sub *sub_new(struct trp_slice pattern, const troupe_sub_opts *o) {
    struct trp_slice group = trp_slice_str(o->group ? o->group : "");
    struct trp_sub *sub = trp_calloc(1, sizeof *sub + pattern.n + group.n);
    if (!sub)
        return NULL;
    memcpy(sub->bytes, pattern.p, pattern.n);
    sub->pattern = (struct trp_slice){sub->bytes, pattern.n};
    if (group.n)
        memcpy(sub->bytes + pattern.n, group.p, group.n);
    sub->group = (struct trp_slice){sub->bytes + pattern.n, group.n};
    sub->credit = o->credit;
    sub->made = (struct trp_request){.done = sub_made, .user = sub};
    sub->ended = (struct trp_request){.done = sub_ended, .user = sub};
    return sub;
}

troupe_status trp_conn_subscribe(struct trp_conn *c, const char *pattern, const troupe_sub_opts *opts, void *sub_user,
                                 uint64_t *sid) {
    static const troupe_sub_opts none = {0};
    const troupe_sub_opts *o = opts ? opts : &none;
    if (!trp_is_pattern(trp_slice_str(pattern)) || !opts_valid(o))
        return TROUPE_INVALID;
    struct trp_sub *sub = sub_new(trp_slice_str(pattern), o);
    if (!sub)
        return TROUPE_NO_MEMORY;
    sub->conn = c;
    sub->user = sub_user;
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
    *sid = sub->sid; /* sent, or kept for the next session */
    return TROUPE_OK;
}

troupe_status trp_conn_unsubscribe(struct trp_conn *c, uint64_t sid) {
    struct trp_sub *sub = trp_subs_find(&c->subs, sid);
    if (!sub || sub->state == TRP_SUB_ENDING)
        return TROUPE_NOT_FOUND;
    troupe_status st = c->state == TRP_CONN_UP ? unsub_send(c, sub) : TROUPE_DISCONNECTED;
    if (st == TROUPE_OK) {
        sub->state = TRP_SUB_ENDING;
    } else if (st == TROUPE_DISCONNECTED) {
        trp_requests_remove(&c->requests, &sub->made);
        sub_free(&c->subs, sub);
    }
    return st;
}

void trp_conn_unsubscribe_all(struct trp_conn *c) {
    struct trp_sub *next;
    for (struct trp_sub *sub = c->subs.first; sub; sub = next) {
        next = sub->next;
        if (sub->state != TRP_SUB_ENDING && trp_conn_unsubscribe(c, sub->sid) == TROUPE_NO_MEMORY)
            trp_conn_lose(c, TROUPE_NO_MEMORY, false, "no memory"); /* the rest end at once, then */
    }
}
