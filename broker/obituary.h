/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * How a consumer died. Its connection tells that it did; which signal it was is known to the parent of its process alone, who
 * tells the broker by another connection. The two come in any order:
 *
 *     the end, then the obituary   what it had stays in its hand, orphaned, until it is known how it died; not long
 *     the obituary, then the end   kept for a while: the newest few
 *
 * A token joins them. It was said in the HELLO of the one that died, and is as hard to guess as an inbox, so that nobody else
 * can say that it died. Part of the core: pure, and bounded by constants. */
#ifndef TRP_BROKER_OBITUARY_H
#define TRP_BROKER_OBITUARY_H

#include "broker/queue.h"

struct trp_core;
struct trp_peer;
struct trp_orphan;

enum {
    TRP_OBITUARY_TOKEN = 32,  /* bytes */
    TRP_OBITUARY_MS = 500,    /* to wait for one */
    TRP_OBITUARIES_KEPT = 64, /* whose sessions are still there, or have ended by now */
    TRP_ORPHANS_MOST = 1024,  /* what the next ones have goes back at once, as if nobody knew */
};

struct trp_obituaries {
    struct trp_orphan *first, **last; /* consumers to be detached, by when; last NULL: never used */
    uint32_t n_orphans;
    uint32_t said; /* since the start */
    struct {
        uint8_t token[TRP_OBITUARY_TOKEN];
        int signal;
    } kept[TRP_OBITUARIES_KEPT];
};

/* False: that is none. */
bool trp_obituary_token(struct trp_slice text, uint8_t token[TRP_OBITUARY_TOKEN]);

/* A consumer's session has ended without a goodbye: it is detached when that is explained, or at once if it is, or never will
 * be. Takes *consumer. */
void trp_obituaries_await(struct trp_core *c, const struct trp_peer *p, struct trp_consumer **consumer);
/* Somebody knows: 0 is no signal. How many consumers were waiting for that. */
uint64_t trp_obituaries_say(struct trp_core *c, const uint8_t token[TRP_OBITUARY_TOKEN], int signal);

/* When the next orphan is not waited for any more; TRP_QUEUE_NEVER. */
uint64_t trp_obituaries_deadline(const struct trp_core *c);
void trp_obituaries_tick(struct trp_core *c);
/* None is waited for any more. */
void trp_obituaries_end(struct trp_core *c);

#endif
