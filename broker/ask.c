/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Asks and their count: core->outstanding is every open ask but the own ones of peers that have left. */
#include "broker/ask.h"
#include "broker/core_state.h"
#include "transports/alloc.h"
#include "transports/assert.h"

enum { FREE_ASKS = 16384 }; /* kept for reuse */

static struct trp_ask *block_new(struct trp_asks *asks) {
    struct trp_ask *a = asks->free;
    if (!a)
        return trp_malloc(sizeof *a);
    asks->free = a->next;
    asks->n_free--;
    return a;
}

static void block_free(struct trp_asks *asks, struct trp_ask *a) {
    if (asks->n_free == FREE_ASKS) {
        trp_free(a);
        return;
    }
    a->next = asks->free;
    asks->free = a;
    asks->n_free++;
}

struct trp_ask *trp_ask_new(struct trp_core *c, struct trp_peer *p, uint64_t id, struct trp_slice reply) {
    struct trp_ask *a = block_new(&c->asks);
    if (!a)
        return NULL;
    *a =
        (struct trp_ask){.session = p->session, .slot = p->slot, .id = id, .shares = 1, .own = trp_inbox_owns(p->inbox, reply)};
    if (a->own)
        p->asks++;
    c->outstanding++;
    return a;
}

static void mark_settled(struct trp_core *c, struct trp_ask *a) {
    if (a->settled)
        return;
    a->settled = true;
    struct trp_peer *p = a->own ? trp_core_find_peer(c, a->slot, a->session) : NULL;
    if (a->own && !p)
        return; /* it has left, and took its asks out of the count */
    if (p)
        p->asks--;
    c->outstanding--;
}

void trp_ask_release(struct trp_core *c, struct trp_ask *a) {
    trp_assert(a->shares > 0);
    if (--a->shares == 0) {
        mark_settled(c, a);
        block_free(&c->asks, a);
    }
}

void trp_ask_settle(struct trp_core *c, struct trp_ask *a) {
    mark_settled(c, a);
    trp_ask_release(c, a);
}

bool trp_ask_lose(struct trp_core *c, struct trp_ask *a, const char *code, const char *text) {
    bool last = a->shares == 1 && !a->settled;
    struct trp_peer *p = last && a->id ? trp_core_find_peer(c, a->slot, a->session) : NULL;
    if (p)
        trp_core_err(c, p, a->id, code, text);
    trp_ask_release(c, a);
    return last;
}

bool trp_ask_is_abandoned(const struct trp_core *c, const struct trp_ask *a) {
    return a->own && !trp_core_find_peer(c, a->slot, a->session);
}

void trp_asks_fini(struct trp_asks *asks) {
    for (struct trp_ask *a = asks->free, *next; a; a = next) {
        next = a->next;
        trp_free(a);
    }
    *asks = (struct trp_asks){0};
}
