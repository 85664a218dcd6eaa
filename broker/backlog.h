/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The bytes of the log that were appended and are not yet synced, by position. One thread appends at the end, another
 * reads what the first told it about, and releases what is no longer needed; neither waits for the other.
 *
 *     released          read by the consumer        not told yet
 *        |  chunk   |  chunk   |  chunk   |  chunk   |
 *            ^tail                  ^told    ^head
 *
 * Chunks are equal in size and used again, so that a log in steady use allocates nothing and stays in the cache. The
 * owner and the consumer tell each other positions by atomics of their own (release and acquire): that orders the
 * bytes, too. */
#ifndef TRP_BROKER_BACKLOG_H
#define TRP_BROKER_BACKLOG_H

#include <pthread.h>
#include <sys/uio.h>

#include "transports/buf.h"

enum { TRP_BACKLOG_CHUNK = 256 * 1024, TRP_BACKLOG_SPARE = 16 };

struct trp_backlog_chunk;

/* (o) owner's thread, (s) consumer's, (m) under `lock` */
struct trp_backlog {
    struct trp_backlog_chunk *fill; /* (o) where head lies */
    uint64_t head;                  /* (o) end of what is put */
    struct trp_backlog_chunk *tail; /* (s) the oldest chunk */
    pthread_mutex_t lock;
    struct trp_backlog_chunk *spare; /* (m) chunks to use again */
    unsigned spares;                 /* (m) */
};

/* Where the owner was: to take back what it put and did not tell. */
struct trp_backlog_point {
    struct trp_backlog_chunk *fill;
    uint64_t head;
};

TROUPE_NODISCARD troupe_status trp_backlog_init(struct trp_backlog *b, uint64_t position);
void trp_backlog_fini(struct trp_backlog *b); /* accepts zeroes */

/* Owner: room for n bytes; NO_MEMORY changes nothing. Then they are put without fail. */
TROUPE_NODISCARD troupe_status trp_backlog_room(struct trp_backlog *b, size_t n);
void trp_backlog_put(struct trp_backlog *b, const void *p, size_t n);
struct trp_backlog_point trp_backlog_point(const struct trp_backlog *b);
void trp_backlog_rewind(struct trp_backlog *b, struct trp_backlog_point point);

/* Consumer: the bytes from..to, as many as fit in `most` pieces and `bytes`; returns the pieces. */
int trp_backlog_read(const struct trp_backlog *b, uint64_t from, uint64_t to, struct iovec *out, int most, size_t bytes);
/* Consumer: nothing below `upto` is read again. */
void trp_backlog_release(struct trp_backlog *b, uint64_t upto);

#endif
