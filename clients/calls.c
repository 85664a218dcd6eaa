/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Requests: one at a time (request), or many in flight (submit, collect). A request that waits lives on the caller's
 * stack; a submitted one in a block that is used again, so that a steady flow allocates nothing. Answers keep the order
 * in which they came, which need not be that of the requests. */
#include <stdio.h>

#include "clients/client_state.h"
#include "transports/alloc.h"

enum { FLYING_MOST = 65536, FLIGHT_WHY = 160 };

/* --- one at a time --- */

troupe_status troupe_client_request(troupe_client *c, const char *topic, troupe_value payload, int64_t timeout_ms,
                                    troupe_msg **answer) {
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    int64_t deadline = trp_client_deadline(timeout_ms);
    struct trp_receipt call = {.r = {.done = trp_receipt_done, .user = &call}, .c = c};
    troupe_status st = trp_client_connected(c, deadline);
    if (st != TROUPE_OK)
        return st;
    st = trp_conn_request(c->conn, trp_slice_str(topic), (struct trp_slice){0}, payload, &call.r);
    if (st != TROUPE_OK)
        return trp_client_plainly(c, st);
    st = trp_receipt_await(c, &call, deadline);
    if (st == TROUPE_OK)
        *answer = call.answer;
    return st;
}

/* --- many --- */

struct trp_flight {
    struct trp_request r;
    struct trp_flight *next; /* spare, or ended and not collected */
    struct troupe_client *c;
    troupe_status st;
    struct troupe_msg *answer;
    char why[FLIGHT_WHY]; /* set with every other status than OK */
};

static void flight_done(struct trp_request *r, troupe_status st, struct troupe_msg *answer, const char *why) {
    struct trp_flight *f = r->user;
    struct troupe_client *c = f->c;
    f->st = st;
    f->answer = answer;
    if (st != TROUPE_OK)
        (void)snprintf(f->why, sizeof f->why, "%s", why);
    f->next = NULL;
    *c->ended_end = f;
    c->ended_end = &f->next;
    c->any_ended = true;
}

static struct trp_flight *flight_get(struct troupe_client *c) {
    struct trp_flight *f = c->spare;
    if (f)
        c->spare = f->next;
    else if (!(f = trp_malloc(sizeof *f)))
        return NULL;
    f->r = (struct trp_request){.done = flight_done, .user = f};
    f->c = c;
    c->flying++;
    return f;
}

static void flight_put(struct troupe_client *c, struct trp_flight *f) {
    f->next = c->spare;
    c->spare = f;
    c->flying--;
}

troupe_status trp_flight_begin(struct troupe_client *c, struct trp_request **r) {
    *r = NULL; /* gcc does not see that who is told anything but OK does not look */
    if (c->flying >= FLYING_MOST)
        return trp_client_say(c, TROUPE_FULL, "too many requests have not been collected");
    if (!trp_conn_is_up(c->conn)) {
        troupe_status st = trp_client_connected(c, trp_client_deadline(0));
        if (st != TROUPE_OK)
            return st;
    }
    struct trp_flight *f = flight_get(c);
    if (!f)
        return trp_client_plainly(c, TROUPE_NO_MEMORY);
    *r = &f->r;
    return TROUPE_OK;
}

troupe_status trp_flight_end(struct troupe_client *c, struct trp_request *r, troupe_status st, bool more, uint64_t *number) {
    if (st != TROUPE_OK) {
        flight_put(c, r->user);
        return trp_client_plainly(c, st);
    }
    *number = r->id;
    trp_client_push(c, more);
    return TROUPE_OK;
}

troupe_status troupe_client_submit(troupe_client *c, const char *topic, troupe_value payload, bool more, uint64_t *request) {
    struct trp_request *r;
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    troupe_status st = trp_flight_begin(c, &r);
    if (st != TROUPE_OK)
        return st;
    st = trp_conn_request(c->conn, trp_slice_str(topic), (struct trp_slice){0}, payload, r);
    return trp_flight_end(c, r, st, more, request);
}

/* The oldest of those that have ended. */
static struct trp_flight *ended_take(struct troupe_client *c) {
    struct trp_flight *f = c->ended;
    c->ended = f->next;
    if (!c->ended) {
        c->ended_end = &c->ended;
        c->any_ended = false;
    }
    return f;
}

troupe_status troupe_client_collect(troupe_client *c, int64_t timeout_ms, uint64_t *request, troupe_msg **answer) {
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    *request = 0;
    if (c->flying == 0)
        return trp_client_plainly(c, TROUPE_EMPTY);
    troupe_status st = c->any_ended ? TROUPE_OK : trp_client_await(c, &c->any_ended, trp_client_deadline(timeout_ms));
    if (st != TROUPE_OK)
        return st;
    struct trp_flight *f = ended_take(c);
    st = f->st;
    *request = f->r.id;
    if (st == TROUPE_OK)
        *answer = f->answer;
    else
        (void)trp_client_say(c, st, f->why);
    flight_put(c, f);
    return st;
}

void trp_client_drop_flights(struct troupe_client *c) {
    while (c->ended) {
        struct trp_flight *f = ended_take(c);
        trp_msg_drop(f->answer);
        flight_put(c, f);
    }
    while (c->spare) {
        struct trp_flight *f = c->spare;
        c->spare = f->next;
        trp_free(f);
    }
}
