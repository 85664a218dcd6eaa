/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "broker/core_purge.h"

#include "broker/core_queue.h"
#include "transports/alloc.h"

struct trp_purge {
    struct trp_purge *next;
    struct trp_queue *q;
    struct trp_queue_purge what;
    uint64_t session, id, count, lsn;
    uint32_t slot;
};

/* False: there may be more. */
static bool step(struct trp_core *c, struct trp_purge *u, troupe_status *st) {
    uint64_t n, lsn;
    *st = trp_queue_purge(u->q, c->when, &u->what, &n, &lsn);
    u->count += n;
    u->lsn = lsn ? lsn : u->lsn;
    return *st != TROUPE_OK || n < u->what.most;
}

static void answer(struct trp_core *c, const struct trp_purge *u, troupe_status st) {
    struct trp_peer *p = trp_core_find_peer(c, u->slot, u->session);
    if (!p)
        return;
    if (st == TROUPE_OK)
        st = trp_confirm(c, p, u->id, u->lsn ? TRP_LEVEL_SYNCED : TRP_LEVEL_MEMORY, u->lsn, u->count);
    if (st != TROUPE_OK)
        trp_core_err(c, p, u->id, trp_put_code(st), trp_put_text(c, st));
}

void trp_core_purge(struct trp_core *c, struct trp_peer *p, uint64_t id, struct trp_queue *q, bool all) {
    struct trp_purge *u = trp_malloc(sizeof *u), **end = &c->purges;
    troupe_status st;
    if (!u) {
        trp_core_err(c, p, id, "NO_MEMORY", "the broker is out of memory");
        return;
    }
    *u = (struct trp_purge){.q = q, .session = p->session, .id = id, .slot = p->slot};
    u->what = (struct trp_queue_purge){.all = all, .below = trp_queues_next_number(c->queues), .most = TRP_PURGE_STEP};
    if (step(c, u, &st)) {
        answer(c, u, st);
        trp_free(u);
        return;
    }
    while (*end)
        end = &(*end)->next;
    *end = u;
}

void trp_core_purge_on(struct trp_core *c) {
    struct trp_purge *u = c->purges;
    troupe_status st;
    if (!u || !step(c, u, &st))
        return;
    c->purges = u->next;
    answer(c, u, st);
    trp_free(u);
}

void trp_core_purge_leave(struct trp_core *c, const struct trp_queue *q) {
    for (struct trp_purge **at = &c->purges, *u; (u = *at);) {
        if (u->q != q) {
            at = &u->next;
            continue;
        }
        *at = u->next;
        answer(c, u, TROUPE_OK);
        trp_free(u);
    }
}

void trp_core_purges_fini(struct trp_core *c) {
    for (struct trp_purge *u; (u = c->purges);) {
        c->purges = u->next;
        trp_free(u);
    }
}
