/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a directory of segments holds: read in order at start, each record checked and replayed, the torn tail cut. It
 * ends with everything that was replayed on the disk, so that the log may go on behind it.
 *
 * Segments are continuous by position: where one begins, the one before it must have ended, or be able to end: a part
 * that replaces what could not be synced begins inside the file before it, and what lies behind that point there counts
 * no more. So a file that is missing, exchanged or cut short shows, whatever its name. */
#ifndef TRP_BROKER_RECOVERY_H
#define TRP_BROKER_RECOVERY_H

#include "broker/journal.h"
#include "broker/journal_sys.h"
#include "broker/segment.h"

struct trp_recovery_file {
    struct trp_segment_id id;
    uint64_t first;
    int64_t size;
};

/* Zero-initialise, give what is given, run; take what is wanted (and zero it), fini. */
struct trp_recovery {
    const struct trp_journal_sys *sys; /* given */
    int dir;                           /* given */
    const char *path;                  /* given: the directory's name, for sentences */
    const struct trp_journal_owner *owner;
    void *ctx;

    struct trp_recovery_file *files; /* in order; the last one is appended to */
    size_t n;
    int fd;                    /* of the last one, open for writing; -1: there is none */
    uint64_t end;              /* position behind the last record */
    enum trp_record_kind stop; /* what is there instead of another one */
    uint64_t synced;           /* the most that a mark says */
    uint64_t oldest;           /* likewise: the oldest segment that must be there */
    uint64_t cut;              /* bytes of a torn tail */
    uint64_t done, total;
    char why[512]; /* what is wrong, or what was cut */
};

/* OK, PROTOCOL (damage), SYSTEM, NO_MEMORY, or what replay said. */
TROUPE_NODISCARD troupe_status trp_recovery_run(struct trp_recovery *r);
void trp_recovery_fini(struct trp_recovery *r);

#endif
