/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The durable log: records appended to segment files, confirmed in groups. The loop's thread appends to memory and goes
 * on; one sync thread writes what has gathered and calls fdatasync once for all of it; then it tells how far the log is
 * written and how far it is synced, and whoever waits for a position is confirmed.
 *
 *     DIR/lock                     held by the one broker that uses the directory
 *     DIR/0000000000000001.log     segments, oldest first; only the last is appended to
 *     DIR/0000000000000002.log
 *
 *     segment = header | record | record | ...
 *     header  = "TRPLOG" version(2) segment number(8) first position(8) CRC32C(4)
 *     record  = length(4) CRC32C(4, over the length, the position and the bytes) bytes
 *
 * A position (lsn) is the number of bytes of records appended before a record's end since the log was made; it grows for
 * ever. Each segment begins with what the owner's `catalog` writes (its declarations), so that the oldest segments can
 * be dropped: the owner re-appends what still lives in the oldest one, then drops it. Only the oldest is ever dropped.
 *
 * Recovery reads all segments in order. A record cut off or garbled at the very end of the last segment is a torn tail:
 * it was never confirmed at a level that the crash could not take; it is cut, and how much is told. Damage anywhere else
 * is named (file, offset) and refused, never skipped in silence; nothing that is not understood is ever deleted.
 *
 * Levels: `written` survives a kill -9 (the bytes are the kernel's), `synced` survives a power cut (fdatasync returned,
 * the directory entry included).
 *
 * Failure: ENOSPC, EDQUOT, EFBIG, EROFS and EIO on write make the log FULL: appends are refused, the bytes not yet
 * written are kept and tried again once a second, so it heals when there is room. A failed fdatasync poisons the
 * segment: what was not synced is written again into a fresh segment, verified by reading it back, before anything is
 * confirmed again (a kernel may drop dirty pages after a failed fsync; trying the same file again would lie). */
#ifndef TRP_BROKER_JOURNAL_H
#define TRP_BROKER_JOURNAL_H

#include "transports/buf.h"

struct trp_journal;

struct trp_journal_owner {
    /* Recovery, before open returns: each record in order, with its end position and segment. A status other than OK
     * ends the open with it ("a record that makes no sense" is damage, too). */
    troupe_status (*replay)(void *ctx, struct trp_slice record, uint64_t lsn, uint64_t segment);
    /* Recovery goes on: bytes read of so many. May be NULL. */
    void (*progress)(void *ctx, uint64_t done, uint64_t total);
    /* A new segment begins: append the declarations (trp_journal_append) that later records refer to. On the owner's
     * thread, from within trp_journal_append. May be NULL. */
    void (*catalog)(void *ctx);
    /* Written or synced have moved, or the state has changed: look at it on your own thread. Called from the sync
     * thread: do no more than wake a loop. */
    void (*moved)(void *ctx);
};

struct trp_journal_opts {
    uint64_t segment_bytes;   /* a new one is begun behind this; 0: 64 MiB */
    size_t buffer_bytes;      /* most that may wait for the sync thread before appends are AGAIN; 0: 64 MiB */
    int64_t sync_delay_ms;    /* for tests: each fdatasync takes so much longer */
};

enum trp_journal_state {
    TRP_JOURNAL_OK,
    TRP_JOURNAL_FULL,     /* the disk takes no more: appends of new work are refused until it heals */
    TRP_JOURNAL_POISONED, /* an fdatasync failed: nothing is confirmed until a fresh segment is verified */
};

/* Opens (makes) the log in dir and replays it. *why is a sentence naming file and offset where there is one, in a static
 * buffer per thread. EXISTS: another process holds the lock. Faults: PROTOCOL (damage, or a version that is not ours),
 * SYSTEM, NO_MEMORY, and what replay said. *cut (may be NULL): bytes of a torn tail that were cut. */
TROUPE_NODISCARD troupe_status trp_journal_open(struct trp_journal **out, const char *dir, const struct trp_journal_opts *opts,
                                                const struct trp_journal_owner *owner, void *ctx, uint64_t *cut, const char **why);

/* Appends one record (copied). *lsn: the position to wait for; *segment: where it will lie. FULL: the log is full and
 * the record is not `must`; AGAIN: too much waits already (not said to `must`). `must` is for what frees space or must not be
 * forgotten (acks, drops): it is kept in memory and written as soon as it can be. NO_MEMORY. Context: owner's thread; never blocks. */
TROUPE_NODISCARD troupe_status trp_journal_append(struct trp_journal *j, struct trp_slice record, bool must, uint64_t *lsn, uint64_t *segment);
/* Hands what was appended to the sync thread: once a turn. `sync`: somebody waits for the level synced. Without it the bytes are
 * written, and synced within a second. */
void trp_journal_commit(struct trp_journal *j, bool sync);

uint64_t trp_journal_written(const struct trp_journal *j);
uint64_t trp_journal_synced(const struct trp_journal *j);
enum trp_journal_state trp_journal_state(const struct trp_journal *j);
/* A sentence about the state ("no space left on device: DIR/000...2.log"); borrowed until the next call. */
const char *trp_journal_why(const struct trp_journal *j);

/* The oldest segment, the newest, and the bytes of all. */
uint64_t trp_journal_oldest(const struct trp_journal *j);
uint64_t trp_journal_newest(const struct trp_journal *j);
uint64_t trp_journal_bytes(const struct trp_journal *j);
/* The oldest holds nothing that lives any more: it is deleted by the sync thread once all that is appended by now is synced. */
void trp_journal_drop_oldest(struct trp_journal *j);

/* Writes and syncs all, ends the thread, frees. Accepts NULL inside. Blocks. SYSTEM: something could not be written. */
troupe_status trp_journal_close(struct trp_journal **j);

#endif
