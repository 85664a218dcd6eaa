/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a connection waits for: everything it has sent under an id, in the order it was sent, found by the id. Requests
 * are embedded in their owners' storage; whatever takes one out of here calls its `done` or nobody will. */
#ifndef TRP_REQUESTS_H
#define TRP_REQUESTS_H

#include "clients/conn.h"
#include "clients/idmap.h"

/* What is waited for, in trp_request.kind; flags. */
enum {
    TRP_AWAIT_ANSWER = 1, /* a message on our inbox */
    TRP_AWAIT_OK = 2,
    TRP_AWAIT_PONG = 4,
    TRP_AWAIT_GET = 8,    /* a queue's message that names it */
    TRP_AWAIT_VALUE = 16, /* with OK: the value in it is wanted */
};

/* Zero-initialise. */
struct trp_requests {
    struct trp_idmap ids;
    struct trp_request *first, **end; /* oldest first; end NULL: not yet used */
};

/* All have been taken out. */
void trp_requests_fini(struct trp_requests *rs);
/* Gives r its id. NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_requests_add(struct trp_requests *rs, struct trp_request *r, int kind);
/* The one of this id that waits for any of these, taken out. NULL: none. */
struct trp_request *trp_requests_take(struct trp_requests *rs, uint64_t id, int kinds);
/* Harmless when it is not in. */
void trp_requests_remove(struct trp_requests *rs, struct trp_request *r);
/* Ends all, oldest first. What their `done` adds meanwhile ends, too. */
void trp_requests_end_all(struct trp_requests *rs, troupe_status st, const char *why);

#endif
