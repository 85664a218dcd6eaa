/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A peer's books. Invariant: held[] is at most half full, so that a free place is near. */
#include "broker/peer.h"
#include "transports/alloc.h"
#include "transports/assert.h"

enum { HELD_MIN = 8 };

struct trp_peer *trp_peer_new(void *user, enum trp_peer_kind kind, uint64_t session, uint32_t slot,
                              const uint8_t nonce[TRP_INBOX_NONCE]) {
    struct trp_peer *p = trp_calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->user = user;
    p->kind = kind;
    p->session = session;
    p->slot = slot;
    p->next_token = 1;
    trp_inbox_write(p->inbox, slot, nonce);
    return p;
}

void trp_peer_free(struct trp_peer *p) {
    if (!p)
        return;
    trp_assert(!p->first_sub && p->sids.count == 0 && trp_peer_holding(p) == 0 && p->asks == 0);
    trp_table_fini(&p->sids);
    trp_free(p->held);
    trp_free(p);
}

uint64_t trp_peer_session(const struct trp_peer *p) {
    return p->session;
}

struct trp_slice trp_peer_inbox(const struct trp_peer *p) {
    return (struct trp_slice){p->inbox, sizeof p->inbox};
}

/* ---- subscriptions ---- */

static bool same_sid(const void *value, const void *want) {
    return ((const struct trp_sub *)value)->sid == *(const uint64_t *)want;
}

struct trp_sub *trp_peer_find_sub(const struct trp_peer *p, const struct trp_hash_key *k, uint64_t sid) {
    return trp_table_find(&p->sids, trp_hash_u64(k, sid), same_sid, &sid);
}

struct trp_sub *trp_peer_add_sub(struct trp_peer *p, const struct trp_hash_key *k, uint64_t sid) {
    struct trp_sub *s = NULL;
    if (trp_table_reserve(&p->sids) || !(s = trp_calloc(1, sizeof *s)))
        return NULL;
    s->binding.kind = TRP_BINDING_SUB;
    s->peer = p;
    s->sid = sid;
    s->ready_at = TRP_NOT_READY;
    s->prev = p->last_sub;
    *(s->prev ? &s->prev->next : &p->first_sub) = s;
    p->last_sub = s;
    trp_table_add(&p->sids, trp_hash_u64(k, sid), s);
    return s;
}

void trp_peer_remove_sub(struct trp_peer *p, const struct trp_hash_key *k, struct trp_sub *s) {
    trp_table_remove(&p->sids, trp_hash_u64(k, s->sid), s);
    *(s->prev ? &s->prev->next : &p->first_sub) = s->next;
    *(s->next ? &s->next->prev : &p->last_sub) = s->prev;
    s->prev = s->next = NULL;
}

/* ---- in hand ---- */

static troupe_status grow_held(struct trp_peer *p) {
    uint64_t n = p->held ? (p->held_mask + 1) * 2 : HELD_MIN;
    struct trp_item **held = trp_calloc(n, sizeof(struct trp_item *));
    if (!held)
        return TROUPE_NO_MEMORY;
    for (uint64_t i = 0; p->held && i <= p->held_mask; i++)
        if (p->held[i])
            held[p->held[i]->token & (n - 1)] = p->held[i]; /* apart before, so apart in more places */
    trp_free(p->held);
    p->held = held;
    p->held_mask = n - 1;
    return TROUPE_OK;
}

troupe_status trp_peer_reserve(struct trp_peer *p) {
    if (p->held && (trp_peer_holding(p) + 1) * 2 <= p->held_mask + 1)
        return TROUPE_OK;
    return grow_held(p);
}

static struct trp_item_list *hand_of(const struct trp_sub *s) {
    return s->credited ? &s->peer->credited : &s->peer->free;
}

void trp_peer_hold(struct trp_sub *s, struct trp_item *it) {
    struct trp_peer *p = s->peer;
    while (p->held[p->next_token & p->held_mask])
        p->next_token++;
    it->token = p->next_token++;
    it->sub = s;
    p->held[it->token & p->held_mask] = it;
    trp_item_list_push(hand_of(s), it);
    s->holding++;
}

struct trp_item *trp_peer_held(const struct trp_peer *p, uint64_t sid, uint64_t token) {
    struct trp_item *it = p->held ? p->held[token & p->held_mask] : NULL;
    return it && it->token == token && it->sub->sid == sid ? it : NULL;
}

void trp_peer_unhold(struct trp_item *it) {
    struct trp_sub *s = it->sub;
    trp_assert(s->holding > 0);
    s->peer->held[it->token & s->peer->held_mask] = NULL;
    trp_item_list_remove(hand_of(s), it);
    s->holding--;
}
