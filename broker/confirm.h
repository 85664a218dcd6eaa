/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Confirmations that wait for the log: who is to be told OK, once the log is written, or synced, up to a position. Positions
 * only grow, so each level is a ring in the order of positions, and what is due is at its head. */
#ifndef TRP_BROKER_CONFIRM_H
#define TRP_BROKER_CONFIRM_H

#include "transports/buf.h"

struct trp_core;
struct trp_peer;

/* What an OK says of durability. */
enum trp_level {
    TRP_LEVEL_ROUTED, /* no queue took it */
    TRP_LEVEL_MEMORY,
    TRP_LEVEL_WRITTEN, /* survives a kill -9 */
    TRP_LEVEL_SYNCED,  /* survives a power cut */
};

struct trp_confirm {
    uint64_t lsn, session, id, count;
    uint32_t slot;
};

struct trp_confirm_ring {
    struct trp_confirm *p;
    uint64_t head, tail, size; /* size: a power of two, or 0 */
};

struct trp_confirms {
    struct trp_confirm_ring written, synced;
    uint64_t written_to, synced_to;
};

/* Tells the peer OK when the log is that far at that level, at once if it is. NO_MEMORY: it will not be told. */
TROUPE_NODISCARD troupe_status trp_confirm(struct trp_core *c, struct trp_peer *p, uint64_t id, enum trp_level level,
                                           uint64_t lsn, uint64_t count);
/* The log has moved. */
void trp_confirms_logged(struct trp_core *c, uint64_t written, uint64_t synced);
void trp_confirms_fini(struct trp_confirms *w);

#endif
