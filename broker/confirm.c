/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "broker/confirm.h"
#include "broker/core_state.h"
#include "transports/alloc.h"

enum { SIZE_LEAST = 64 };

static troupe_status grow(struct trp_confirm_ring *r) {
    uint64_t size = r->size ? r->size * 2 : SIZE_LEAST;
    struct trp_confirm *p = trp_array(NULL, size, sizeof *p);
    if (!p)
        return TROUPE_NO_MEMORY;
    for (uint64_t i = r->head; i < r->tail; i++)
        p[i & (size - 1)] = r->p[i & (r->size - 1)];
    trp_free(r->p);
    r->p = p;
    r->size = size;
    return TROUPE_OK;
}

static void say(struct trp_core *c, struct trp_peer *p, uint64_t id, enum trp_level level, uint64_t count) {
    if (!p->closed)
        c->sink.ok(c->ctx, p->user, id, level, count);
}

troupe_status trp_confirm(struct trp_core *c, struct trp_peer *p, uint64_t id, enum trp_level level, uint64_t lsn,
                          uint64_t count) {
    bool synced = level == TRP_LEVEL_SYNCED;
    struct trp_confirm_ring *r = synced ? &c->confirms.synced : &c->confirms.written;
    uint64_t at = synced ? c->confirms.synced_to : c->confirms.written_to;
    if (level < TRP_LEVEL_WRITTEN || lsn <= at) {
        say(c, p, id, level, count);
        return TROUPE_OK;
    }
    if (r->tail - r->head == r->size && grow(r))
        return TROUPE_NO_MEMORY;
    /* A message put twice waits for its first position, which may lie before the last one in here: it is told a little later.
     */
    uint64_t last = r->tail > r->head ? r->p[(r->tail - 1) & (r->size - 1)].lsn : 0;
    r->p[r->tail++ & (r->size - 1)] =
        (struct trp_confirm){.lsn = lsn > last ? lsn : last, .session = p->session, .id = id, .count = count, .slot = p->slot};
    return TROUPE_OK;
}

static void release(struct trp_core *c, struct trp_confirm_ring *r, uint64_t upto, enum trp_level level) {
    for (; r->head < r->tail; r->head++) {
        const struct trp_confirm *w = &r->p[r->head & (r->size - 1)];
        if (w->lsn > upto)
            return;
        struct trp_peer *p = trp_core_find_peer(c, w->slot, w->session);
        if (p)
            say(c, p, w->id, level, w->count);
    }
}

void trp_confirms_logged(struct trp_core *c, uint64_t written, uint64_t synced) {
    struct trp_confirms *w = &c->confirms;
    w->written_to = written;
    w->synced_to = synced;
    release(c, &w->written, written, TRP_LEVEL_WRITTEN);
    release(c, &w->synced, synced, TRP_LEVEL_SYNCED);
}

void trp_confirms_fini(struct trp_confirms *w) {
    trp_free(w->written.p);
    trp_free(w->synced.p);
    *w = (struct trp_confirms){0};
}
