/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "broker/core_chore.h"

#include "broker/core_queue.h"
#include "transports/alloc.h"

struct trp_chore {
    struct trp_chore *next;
    struct trp_queue *q;
    bool retries; /* it purges otherwise */
    struct trp_queue_purge purge;
    struct trp_queue_retry retry;
    uint64_t session, id, count, lsn;
    uint32_t slot;
};

static bool purge_step(struct trp_core *c, struct trp_chore *u, troupe_status *st) {
    uint64_t n, lsn;
    *st = trp_queue_purge(u->q, c->when, &u->purge, &n, &lsn);
    u->count += n;
    u->lsn = lsn ? lsn : u->lsn;
    return *st != TROUPE_OK || n < u->purge.most;
}

/* What ends it early ends it well, if some have another life. */
static bool retry_step(struct trp_core *c, struct trp_chore *u, troupe_status *st) {
    uint64_t n;
    *st = trp_queue_retry(u->q, c->when, &u->retry, TRP_CHORE_STEP, &n);
    u->count += n;
    bool over = *st != TROUPE_OK || trp_queue_retry_is_over(&u->retry);
    if (u->count > 0)
        *st = TROUPE_OK;
    return over;
}

/* False: there may be more. */
static bool step(struct trp_core *c, struct trp_chore *u, troupe_status *st) {
    return u->retries ? retry_step(c, u, st) : purge_step(c, u, st);
}

static void answer(struct trp_core *c, const struct trp_chore *u, troupe_status st) {
    struct trp_peer *p = trp_core_find_peer(c, u->slot, u->session);
    if (!p)
        return;
    if (st == TROUPE_OK)
        st = trp_confirm(c, p, u->id, u->lsn ? TRP_LEVEL_SYNCED : TRP_LEVEL_MEMORY, u->lsn, u->count);
    if (st != TROUPE_OK)
        trp_core_err(c, p, u->id, trp_put_code(st), trp_put_text(c, st));
}

/* The first step of a copy of it, and the answer if that was all. */
static void begin(struct trp_core *c, struct trp_peer *p, const struct trp_chore *what) {
    struct trp_chore *u = trp_malloc(sizeof *u), **end = &c->chores;
    troupe_status st;
    if (!u) {
        trp_core_err(c, p, what->id, "NO_MEMORY", "the broker is out of memory");
        return;
    }
    *u = *what;
    u->session = p->session;
    u->slot = p->slot;
    if (step(c, u, &st)) {
        answer(c, u, st);
        trp_free(u);
        return;
    }
    while (*end)
        end = &(*end)->next;
    *end = u;
}

void trp_core_purge(struct trp_core *c, struct trp_peer *p, uint64_t id, struct trp_queue *q, bool all) {
    uint64_t below = trp_queues_next_number(c->queues);
    begin(c, p, &(struct trp_chore){.q = q, .id = id, .purge = {.all = all, .below = below, .most = TRP_CHORE_STEP}});
}

void trp_core_retry(struct trp_core *c, struct trp_peer *p, uint64_t id, struct trp_queue *q, uint64_t most) {
    begin(c, p, &(struct trp_chore){.q = q, .id = id, .retries = true, .retry = trp_queue_retry_begin(q, most)});
}

void trp_core_chore_on(struct trp_core *c) {
    struct trp_chore *u = c->chores;
    troupe_status st;
    if (!u || !step(c, u, &st))
        return;
    c->chores = u->next;
    answer(c, u, st);
    trp_free(u);
}

void trp_core_chores_leave(struct trp_core *c, const struct trp_queue *q) {
    for (struct trp_chore **at = &c->chores, *u; (u = *at);) {
        if (u->q != q) {
            at = &u->next;
            continue;
        }
        *at = u->next;
        answer(c, u, TROUPE_OK);
        trp_free(u);
    }
}

void trp_core_chores_fini(struct trp_core *c) {
    for (struct trp_chore *u; (u = c->chores);) {
        c->chores = u->next;
        trp_free(u);
    }
}
