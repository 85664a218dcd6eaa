/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * An ask: a request under way. It has a share at every target that got the message (in a hand or in a backlog). An ACK
 * of any share settles it; when the last share is lost before that, who asked is told so, once.
 *
 * States: open -> settled (by an ACK, by an error to who asked, or forgotten); freed with its last share. */
#ifndef TRP_BROKER_ASK_H
#define TRP_BROKER_ASK_H

#include <stdbool.h>
#include <stdint.h>

struct trp_core;
struct trp_peer;
struct trp_slice;

struct trp_ask {
    uint64_t session, id; /* who asked, and its number for it */
    uint32_t slot;
    bool own; /* the answer goes to who asked; else somebody else may wait for it when that has gone */
    bool settled;
    uint64_t shares;
    struct trp_ask *next; /* free list */
};

struct trp_asks {
    struct trp_ask *free;
    uint64_t n_free;
};

/* An open ask with one share, the caller's. NULL: no memory. */
struct trp_ask *trp_ask_new(struct trp_core *c, struct trp_peer *p, uint64_t id, struct trp_slice reply);
static inline void trp_ask_share(struct trp_ask *a) {
    a->shares++;
}
/* Settles, and drops one share: it was answered, or nobody shall hear of it any more. */
void trp_ask_settle(struct trp_core *c, struct trp_ask *a);
/* Drops a share that will not be answered. If it was the last hope, who asked gets the err, and true is returned. */
bool trp_ask_lose(struct trp_core *c, struct trp_ask *a, const char *code, const char *text);
/* Drops the share that trp_ask_new gave, once the message is on its way or was refused in so many words. */
void trp_ask_release(struct trp_core *c, struct trp_ask *a);
/* Nobody waits for the answer any more. */
bool trp_ask_is_abandoned(const struct trp_core *c, const struct trp_ask *a);

void trp_asks_fini(struct trp_asks *asks);

#endif
