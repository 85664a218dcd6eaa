/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The log's hand on the disk: it puts the backlog's bytes into segment files, and knows how far they are written and how
 * far they are synced. One thread; every call may block for as long as the disk does.
 *
 * Zeros are written ahead of small writes, so that most fdatasyncs find the file's size and blocks unchanged and have
 * no metadata to write: that is a third of their time. Large writes go without: zeros would double their bytes.
 *
 * A file comes into the directory complete: made as NAME.new with what is to be in it, synced, renamed, the directory
 * synced. So a name stands for a valid header, and at the loss of power a new segment is there or is not. */
#ifndef TRP_BROKER_WRITER_H
#define TRP_BROKER_WRITER_H

#include "broker/backlog.h"
#include "broker/journal_sys.h"
#include "broker/segment.h"

enum { TRP_WRITER_AHEAD = 128 * 1024 };

struct trp_writer {
    const struct trp_journal_sys *sys; /* given, as the next four */
    int dir;
    const char *path;
    struct trp_backlog *backlog;
    int64_t sync_delay_ms;

    struct trp_segment_id id; /* of the file that is written, or of the next to be made */
    int fd;                   /* -1: none, one is made for the next bytes */
    uint64_t first;           /* position where the file's records begin */
    uint64_t extent;          /* file offset up to which the file has its size */
    uint64_t at;              /* position: so far the log is written */
    uint64_t synced;          /* position: so far it is synced */
    bool suspect;             /* an fdatasync failed: the next file is read back before it counts */

    struct trp_segment_id *files; /* all there are, oldest first */
    size_t n;
    int error;     /* errno of what failed last */
    char why[256]; /* and the sentence */
};

/* Writes to the position `upto`, which the file's segment does not pass; `at` says how far it came. FULL: the disk took no
 * more (error says why), try again later. SYSTEM: what is on the disk is in doubt; `suspect` is set and `at` back at `synced`.
 * NO_MEMORY. Where there is no file, one is made, and `synced` moves, too. */
TROUPE_NODISCARD troupe_status trp_writer_write(struct trp_writer *w, uint64_t upto);
/* Syncs what is written. SYSTEM: as above. */
TROUPE_NODISCARD troupe_status trp_writer_sync(struct trp_writer *w);
/* The segment is complete: sync it; what follows goes into `next`. SYSTEM: as above, call again when that is mended. */
TROUPE_NODISCARD troupe_status trp_writer_turn(struct trp_writer *w, uint64_t next);
/* Leaves a mark behind the end, where the next record will go over it, that all before it is synced: so damage can be
 * told from a torn tail even in what was written last. Best effort. */
void trp_writer_mark(struct trp_writer *w);
/* Deletes the files of segments up to `number`. SYSTEM: not all of them. */
TROUPE_NODISCARD troupe_status trp_writer_drop(struct trp_writer *w, uint64_t number);
/* The log ends here for now: gives zeros back and leaves a synced mark at the end, if all is synced. Best effort. */
void trp_writer_finish(struct trp_writer *w);
void trp_writer_fini(struct trp_writer *w); /* accepts zeroes */

#endif
