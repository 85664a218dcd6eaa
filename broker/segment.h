/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The bytes of a segment file. Pure: bytes in, records out. Integers are little-endian.
 *
 *     name    NUMBER.log or NUMBER+PART.log, 16 and 4 hexadecimal digits
 *     header  "TRPLOG" version(2) number(8) part(4) first position(8) CRC32C(4, over the 28 bytes before it)
 *     record  length(4) CRC32C(4, over the length, the position and the bytes) bytes
 *     mark    a record whose length has the highest bit set: synced(8) oldest segment(8)
 *
 * A record's position is the number of bytes of records before it in the whole log, so that a record is valid at one
 * place only: what an earlier use of the disk left behind, or what was moved, is not taken for a record.
 *
 * A mark says, at the time it was written, up to which position everything was synced. This tells damage from a torn
 * tail: after a power cut, pages which nobody had synced may be there or not, in any order, so a bad record with good
 * ones behind it is normal at the end of a log. But when a mark says that the bad one was synced once, it is damage. */
#ifndef TRP_BROKER_SEGMENT_H
#define TRP_BROKER_SEGMENT_H

#include "transports/buf.h"

enum {
    TRP_SEGMENT_VERSION = 1,
    TRP_SEGMENT_NAME = 32,    /* a name and its zero */
    TRP_SEGMENT_HEADER = 32,  /* bytes of the header */
    TRP_RECORD_HEADER = 8,    /* bytes before those of a record */
    TRP_RECORD_MARK = 24,     /* bytes of a mark, all in all */
    TRP_RECORD_MAX = 1 << 28, /* most bytes of one record */
};

/* A segment is one file, or several: where an fdatasync failed, a second part goes on from what was synced. */
struct trp_segment_id {
    uint64_t number;
    uint32_t part;
};

struct trp_segment_head {
    struct trp_segment_id id;
    uint64_t first; /* position of the first record */
    unsigned version;
};

struct trp_segment_mark {
    uint64_t synced, oldest;
};

void trp_segment_name(char out[TRP_SEGMENT_NAME], struct trp_segment_id id);
bool trp_segment_name_read(const char *name, struct trp_segment_id *out);
/* Order in the log: -1, 0, 1. */
int trp_segment_id_cmp(struct trp_segment_id a, struct trp_segment_id b);

void trp_segment_head_write(uint8_t out[TRP_SEGMENT_HEADER], struct trp_segment_id id, uint64_t first);
/* NULL, or what is wrong with it ("is not a segment of this log"). UNSUPPORTED versions are read as far as `version`. */
const char *trp_segment_head_read(const uint8_t in[TRP_SEGMENT_HEADER], struct trp_segment_head *out);

/* The eight bytes before a record made of n parts, `size` bytes in all, at `position`. */
void trp_record_head_write(uint8_t out[TRP_RECORD_HEADER], uint64_t position, const struct trp_slice *parts, size_t n,
                           size_t size);
void trp_record_mark_write(uint8_t out[TRP_RECORD_MARK], uint64_t position, struct trp_segment_mark mark);

enum trp_record_kind {
    TRP_RECORD_GOOD,   /* bytes */
    TRP_RECORD_MARKED, /* mark */
    TRP_RECORD_MORE,   /* there may be one when there are `size` bytes */
    TRP_RECORD_ZERO,   /* nothing was written here */
    TRP_RECORD_BAD,
};

struct trp_record {
    size_t size;            /* on disk, header and all */
    struct trp_slice bytes; /* borrowed from what was read */
    struct trp_segment_mark mark;
};

/* What lies at the beginning of `in`, which is at `position`. */
enum trp_record_kind trp_record_read(struct trp_slice in, uint64_t position, struct trp_record *out);

/* Is there a mark anywhere in `in` that says that more than `beyond` was synced? */
bool trp_segment_marked_beyond(struct trp_slice in, uint64_t position, uint64_t beyond);

#endif
