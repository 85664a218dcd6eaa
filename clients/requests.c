/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A map for finding and a list for order: when the connection is lost, requests end in the order they were made. The
 * list's links point at the pointer before (`link`), so that one can leave from the middle without knowing the list. */
#include "clients/requests.h"

#include "transports/assert.h"

void trp_requests_fini(struct trp_requests *rs) {
    trp_assert(!rs->first);
    trp_idmap_fini(&rs->ids);
}

troupe_status trp_requests_add(struct trp_requests *rs, struct trp_request *r, int kind) {
    trp_assert(!r->link);
    troupe_status st = trp_idmap_add(&rs->ids, r, &r->id);
    if (st != TROUPE_OK)
        return st;
    if (!rs->first)
        rs->end = &rs->first;
    r->kind = kind;
    r->next = NULL;
    r->link = rs->end;
    *r->link = r;
    rs->end = &r->next;
    return TROUPE_OK;
}

void trp_requests_remove(struct trp_requests *rs, struct trp_request *r) {
    if (!r->link)
        return;
    struct trp_request *found = trp_idmap_take(&rs->ids, r->id);
    trp_assert(found == r);
    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    else
        rs->end = r->link;
    r->next = NULL;
    r->link = NULL;
}

struct trp_request *trp_requests_take(struct trp_requests *rs, uint64_t id, int kinds) {
    struct trp_request *r = trp_idmap_get(&rs->ids, id);
    if (!r || !(r->kind & kinds))
        return NULL;
    trp_requests_remove(rs, r);
    return r;
}

void trp_requests_end_all(struct trp_requests *rs, troupe_status st, const char *why) {
    while (rs->first) {
        struct trp_request *r = rs->first;
        trp_requests_remove(rs, r);
        r->done(r, st, NULL, why);
    }
}
