/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The durable log: records appended to segment files, confirmed in groups. The loop's thread appends to memory and goes
 * on; one sync thread writes what has gathered and calls fdatasync once for all of it; then it tells how far the log is
 * written and how far it is synced, and whoever waits for a position is confirmed.
 *
 *     DIR/lock                       held by the one broker that uses the directory
 *     DIR/reserve                    space kept back for when the disk is full (reserve.h)
 *     DIR/0000000000000001.log       segments, oldest first; only the last is appended to (segment.h)
 *     DIR/0000000000000002.log
 *     DIR/0000000000000002+0001.log  the second segment's second part, begun where an fdatasync failed
 *
 * A position (lsn) is the number of bytes appended up to a record's end since the log was made; it grows for ever. Each
 * segment begins with what the owner's `catalog` writes (its declarations), so that the oldest segments can be dropped:
 * the owner re-appends what still lives in the oldest one, then drops it. Only the oldest is ever dropped.
 *
 * Recovery reads all segments in order. What is cut off or garbled at the very end of the last segment, and was never
 * synced, is a torn tail: it was not confirmed at a level that the crash could not take; it is cut, and how much is
 * told. Damage anywhere else is named (file, offset) and refused, never skipped in silence; nothing that is not
 * understood is ever deleted. Marks in the log, which say how far it was synced, tell the two apart (segment.h): after a
 * power cut, good records behind a bad one are normal among what was not synced yet.
 *
 * Levels: `written` survives a kill -9 (the bytes are the kernel's), `synced` survives a power cut (fdatasync returned,
 * the directory entry included).
 *
 * Failure: a write that is refused (ENOSPC, EDQUOT, EFBIG, EROFS, EIO) makes the log FULL: appends are refused, the bytes
 * not yet written are kept and tried again once a second, so it heals when there is room. A failed fdatasync poisons the
 * segment: what was not synced is written again into a fresh part, verified by reading it back, before anything is
 * confirmed again (a kernel may drop dirty pages after a failed fsync; trying the same file again would lie). */
#ifndef TRP_BROKER_JOURNAL_H
#define TRP_BROKER_JOURNAL_H

#include "broker/journal_sys.h"
#include "transports/buf.h"

struct trp_journal;

struct trp_journal_owner {
    /* Recovery, before open returns: each record in order (borrowed for the call), with its end position and segment. A
     * status other than OK ends the open with it; PROTOCOL: the record makes no sense, which is damage, too. */
    troupe_status (*replay)(void *ctx, struct trp_slice record, uint64_t lsn, uint64_t segment);
    /* Recovery goes on: bytes read of so many. May be NULL. */
    void (*progress)(void *ctx, uint64_t done, uint64_t total);
    /* A new segment begins: append the declarations (trp_journal_append; all of them count as `must`) that later records
     * refer to. A status other than OK takes them back and is what the append that began the segment returns. On the
     * owner's thread, from within trp_journal_append; it must not commit or drop. May be NULL. Never for the first one. */
    troupe_status (*catalog)(void *ctx);
    /* A level that a commit asked for has moved, or the state has changed: look at it on your own thread. At most once
     * for each write and each sync. Called from the sync thread: do no more than wake a loop. May be NULL. */
    void (*moved)(void *ctx);
};

struct trp_journal_opts {
    uint64_t segment_bytes;            /* a new one is begun behind this; 0: 64 MiB */
    size_t buffer_bytes;               /* most that may be appended and not yet synced before appends are AGAIN; 0: 64 MiB */
    int64_t reserve_bytes;             /* space kept back on the disk; 0: a sixteenth of a segment */
    int64_t lazy_ms;                   /* what nobody asked to be synced is synced after this; 0: 1 s */
    int64_t retry_ms;                  /* between two tries at a disk that refused; 0: 1 s */
    int64_t sync_delay_ms;             /* for tests: each fdatasync takes so much longer */
    const struct trp_journal_sys *sys; /* for tests; NULL: the real one */
};

enum trp_journal_state {
    TRP_JOURNAL_OK,
    TRP_JOURNAL_FULL,     /* the disk takes no more: appends of new work are refused until it heals */
    TRP_JOURNAL_POISONED, /* an fdatasync failed: nothing is confirmed until a fresh part is verified */
};

/* What somebody waits for, to be or-ed. */
enum trp_journal_level {
    TRP_JOURNAL_NOTHING = 0,
    TRP_JOURNAL_WRITTEN = 1,
    TRP_JOURNAL_SYNCED = 2,
};

/* Opens (makes) the log in dir and replays it. *why is a sentence naming file and offset where there is one, in a static
 * buffer per thread, or NULL; after OK it says what was cut. EXISTS: another process holds the lock. Faults: PROTOCOL
 * (damage, or a version that is not ours), SYSTEM, NO_MEMORY, and what replay said. *cut (may be NULL): bytes of a torn
 * tail that were cut. What is replayed is synced before this returns. The owner is copied. Context: blocks. */
TROUPE_NODISCARD troupe_status trp_journal_open(struct trp_journal **out, const char *dir, const struct trp_journal_opts *opts,
                                                const struct trp_journal_owner *owner, void *ctx, uint64_t *cut,
                                                const char **why);

/* Appends one record (copied), in one piece or gathered from n. *lsn: the position to wait for; *segment: where it will
 * lie; both may be NULL. FULL: the log is full and the record is not `must`; AGAIN: too much waits already (not said to
 * `must`). `must` is for what frees space or must not be forgotten (acks, drops): it is kept in memory and written as soon
 * as it can be. INVALID: it is empty; TOO_BIG: above TRP_RECORD_MAX. NO_MEMORY, and what catalog said: nothing was
 * appended. Context: owner's thread; never blocks. */
TROUPE_NODISCARD troupe_status trp_journal_append(struct trp_journal *j, struct trp_slice record, bool must, uint64_t *lsn,
                                                  uint64_t *segment);
TROUPE_NODISCARD troupe_status trp_journal_appendv(struct trp_journal *j, const struct trp_slice *parts, size_t n, bool must,
                                                   uint64_t *lsn, uint64_t *segment);
/* Hands what was appended to the sync thread: once a turn. `levels`: what somebody waits for (trp_journal_level). What
 * nobody waits for is written now all the same, and synced within a second. Context: owner's thread; never blocks. */
void trp_journal_commit(struct trp_journal *j, unsigned levels);
/* For an owner with nothing else to do while one commit is in flight: looks at `synced` for up to at_most_us, which saves
 * being woken; true: it has reached lsn. May be called in slices, with a look at other work between them. Returns at once
 * where it was learnt that spinning does not pay: the disk is slow, or processors are scarce. Context: owner's thread. */
bool trp_journal_spin(struct trp_journal *j, uint64_t lsn, unsigned at_most_us);

/* Any thread. */
uint64_t trp_journal_written(const struct trp_journal *j);
uint64_t trp_journal_synced(const struct trp_journal *j);
enum trp_journal_state trp_journal_state(const struct trp_journal *j);
/* A sentence about the state ("cannot write DIR/0000000000000002.log: No space left on device"), empty when it is OK;
 * borrowed until the next call. Context: owner's thread. */
const char *trp_journal_why(struct trp_journal *j);

/* The oldest segment, the newest, and the bytes of all. Context: owner's thread. */
uint64_t trp_journal_oldest(const struct trp_journal *j);
uint64_t trp_journal_newest(const struct trp_journal *j);
uint64_t trp_journal_bytes(const struct trp_journal *j);
/* The oldest, which is not the newest, holds nothing that lives any more: it is deleted by the sync thread once all that
 * is appended by now is committed and synced. Segments dropped before they were written share a file: if the process ends
 * before it is deleted, their records are replayed under one number, and numbers have a gap. NO_MEMORY: nothing has
 * changed. Context: owner's thread; never blocks. */
TROUPE_NODISCARD troupe_status trp_journal_drop_oldest(struct trp_journal *j);

/* Commits, writes and syncs all, ends the thread, frees, and zeroes *j. Accepts NULL inside. Blocks. SYSTEM: something
 * could not be written. */
troupe_status trp_journal_close(struct trp_journal **j);

#endif
