/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a node says of its actors, a page at a time: a system may have a million. Each page is of a snapshot of its own, in the
 * order of references, so who lives through all of it is in it once. */
#include "actors/node.h"

#include <stdlib.h>
#include <troupe/inspect.h>

#include "transports/pack.h"

enum { ROWS = 500, KEYS = 11 };

static int by_ref(const void *a, const void *b) {
    uint64_t x = ((const troupe_actor_info *)a)->ref.id, y = ((const troupe_actor_info *)b)->ref.id;
    return x < y ? -1 : x > y;
}

static troupe_status put_text(struct trp_buf *b, const char *key, const char *text) {
    troupe_status st = trp_node_text(b, key);
    return st == TROUPE_OK ? trp_node_text(b, text) : st;
}

static troupe_status put_numbers(struct trp_buf *b, const troupe_actor_info *a) {
    const struct {
        const char *key;
        int64_t v; /* below 0: not known */
    } all[KEYS] = {{"ref", (int64_t)a->ref.id},
                   {"queued", (int64_t)a->queued},
                   {"queued_bytes", (int64_t)a->queued_bytes},
                   {"queued_most", (int64_t)a->queued_most},
                   {"handled", (int64_t)a->handled},
                   {"dropped", (int64_t)a->dropped},
                   {"restarts", a->restarts},
                   {"cpu_ns", a->cpu_ns},
                   {"stack_used", (int64_t)a->stack_used},
                   {"stack_size", (int64_t)a->stack_size},
                   {"pid", a->pid}};
    troupe_status st = TROUPE_OK;
    for (size_t i = 0; i < KEYS && st == TROUPE_OK; i++) {
        st = trp_node_text(b, all[i].key);
        if (st == TROUPE_OK)
            st = trp_pack_value(b, all[i].v < 0 ? troupe_nil() : troupe_int(all[i].v));
    }
    return st;
}

static troupe_status put_row(struct trp_buf *b, const troupe_actor_info *a) {
    troupe_status st = trp_buf_room(b, TRP_PACK_MAX_HEAD);
    if (st != TROUPE_OK)
        return st;
    b->n = (size_t)(trp_pack_map(b->p + b->n, KEYS + 3) - b->p);
    st = put_text(b, "name", a->name);
    if (st == TROUPE_OK)
        st = put_text(b, "kind", troupe_kind_name(a->kind));
    if (st == TROUPE_OK)
        st = put_text(b, "state", troupe_actor_state_name(a->state));
    return st == TROUPE_OK ? put_numbers(b, a) : st;
}

static troupe_status put_page(struct trp_buf *b, const troupe_snapshot *s, uint64_t from) {
    size_t first = 0;
    while (first < s->count && s->actors[first].ref.id < from)
        first++;
    size_t rows = s->count - first < ROWS ? s->count - first : ROWS;
    uint64_t next = first + rows < s->count ? s->actors[first + rows].ref.id : 0;
    troupe_status st = trp_buf_room(b, TRP_PACK_MAX_HEAD);
    if (st != TROUPE_OK)
        return st;
    b->n = (size_t)(trp_pack_array(b->p + b->n, (uint32_t)(1 + rows)) - b->p);
    st = trp_node_uint(b, next);
    for (size_t i = first; i < first + rows && st == TROUPE_OK; i++)
        st = put_row(b, &s->actors[i]);
    return st;
}

troupe_status trp_node_page(struct trp_buf *b, troupe_system *sys, uint64_t from) {
    troupe_snapshot *s;
    troupe_status st = troupe_system_snapshot(sys, &s);
    if (st != TROUPE_OK)
        return st;
    qsort(s->actors, s->count, sizeof *s->actors, by_ref);
    st = put_page(b, s, from);
    troupe_snapshot_free(&s);
    return st;
}
