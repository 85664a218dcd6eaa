/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Where the core's queues meet the durable log: records go into the journal, its progress comes back as confirmations,
 * and what lives in old segments is copied forward, a little each turn, so that they can be dropped.
 *
 * A turn of the broker's loop:   feed ... feed -> [records] -> commit once -> (sync thread: write, fdatasync)
 *                                    next turn <- wake <- written, synced -> OKs */
#ifndef TRP_BROKER_STORE_H
#define TRP_BROKER_STORE_H

#include "broker/core.h"
#include "broker/journal.h"
#include "transports/loop.h"

struct trp_store;

struct trp_store_opts {
    const char *dir;        /* borrowed until open returns */
    uint64_t segment_bytes; /* 0: 32 MiB */
    int64_t sync_delay_ms;  /* tests: a slow disk */
};

/* Opens the log and rebuilds the core's queues from it. *why: a sentence for the user, borrowed until the thread's next call.
 * As trp_journal_open. Context: the loop's thread; blocks while it recovers, and logs its progress. */
TROUPE_NODISCARD troupe_status trp_store_open(struct trp_store **out, struct trp_core *core, struct trp_loop *loop,
                                              const struct trp_store_opts *opts, const char **why);

/* As trp_sink.record. */
TROUPE_NODISCARD troupe_status trp_store_record(struct trp_store *s, struct trp_slice head, struct trp_slice body, bool must,
                                                uint64_t *lsn, uint64_t *segment);
/* At the end of a turn. True: there is more to copy forward, come again soon. */
bool trp_store_turn(struct trp_store *s, uint64_t now_ns);
/* The end is near: what nobody waits for is synced at once from the next turn on, too, instead of within a second. */
void trp_store_hurry(struct trp_store *s);
/* Anything appended and not yet synced? */
bool trp_store_busy(const struct trp_store *s);

/* Writes and syncs all. Accepts NULL inside. Blocks. */
void trp_store_close(struct trp_store **s);

#endif
