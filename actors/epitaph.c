/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/epitaph.h"

#include <stdio.h>
#include <string.h>

#include "actors/bus.h"
#include "actors/deadline.h"
#include "actors/shared.h"
#include "actors/system.h"
#include "transports/alloc.h"
#include "transports/authkey.h"

/* No broker waits longer; and so many at once are enough. */
enum { LATE_MS = 500, MOST = 64, OPTIONS = 32 };
_Static_assert(TRP_EPITAPH == TRP_CONN_OBITUARY + 1, "a token and its zero");

/* One to be said, or to be heard of. */
struct trp_epitaph {
    struct trp_request r; /* first */
    struct trp_epitaph *next;
    int64_t until;
    int signal;
    char token[TRP_EPITAPH];
};

bool trp_epitaph_make(char *token) {
    uint8_t random[TRP_AUTH_BYTES];
    if (token[0])
        return true;
    if (trp_nonce_make(random) != TROUPE_OK)
        return false;
    for (int i = 0; i < TRP_CONN_OBITUARY / 2; i++)
        snprintf(token + 2 * i, 3, "%02x", random[i]);
    return true;
}

/* Whatever the broker says to it: there is nobody who could do anything about it. */
static void heard(struct trp_request *r, troupe_status st, struct troupe_msg *answer, const char *why) {
    (void)st, (void)why;
    trp_msg_drop(answer);
    trp_free(r);
}

static void send_one(struct trp_bus *bus, struct trp_epitaph *e) {
    uint8_t map[OPTIONS], *p = trp_pack_map(map, 1);
    p = trp_pack_uint(trp_pack_str(p, trp_slice_str("signal")), (uint64_t)e->signal);
    struct trp_slice options = {map, (size_t)(p - map)};
    if (trp_now() >= e->until || trp_conn_queue(bus->conn, "obituary", trp_slice_str(e->token), options, &e->r) != TROUPE_OK)
        trp_free(e);
}

void trp_epitaphs_send(struct trp_bus *bus) {
    for (struct trp_epitaph *e; (e = bus->epitaphs.first);) {
        bus->epitaphs.first = e->next;
        bus->epitaphs.n--;
        send_one(bus, e);
    }
}

void trp_epitaphs_drop(struct trp_bus *bus) {
    for (struct trp_epitaph *e; (e = bus->epitaphs.first);) {
        bus->epitaphs.first = e->next;
        bus->epitaphs.n--;
        trp_free(e);
    }
}

/* A system that closes does not begin to look for the broker. */
static bool has_line(struct trp_bus *bus) {
    const char *why;
    return bus->conn || (!atomic_load(&bus->worker->sys->closing) && trp_bus_dial(bus, &why) == TROUPE_OK);
}

void trp_epitaph_say(struct trp_bus *bus, const char *token, const troupe_exit *exit) {
    if (!token[0] || exit->how == TROUPE_END_NORMAL || bus->epitaphs.n == MOST || !has_line(bus))
        return;
    struct trp_epitaph *e = trp_malloc(sizeof *e);
    if (!e)
        return;
    *e = (struct trp_epitaph){.r.done = heard,
                              .next = bus->epitaphs.first,
                              .until = trp_deadline(LATE_MS),
                              .signal = exit->how == TROUPE_END_SIGNAL ? exit->code : 0};
    memcpy(e->token, token, sizeof e->token);
    bus->epitaphs.first = e;
    bus->epitaphs.n++;
    if (trp_conn_is_up(bus->conn))
        trp_epitaphs_send(bus);
}
