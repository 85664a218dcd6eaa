/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A stream inside: a descriptor that does not block, its watch, and what has been read and not asked for yet. */
#ifndef TRP_STREAM_H
#define TRP_STREAM_H

#include <troupe/stream.h>

#include "actors/poller.h"
#include "transports/buf.h"

/* All (o): who uses it. */
struct troupe_stream {
    struct trp_watch watch;
    int fd; /* -1: a pipe that has been finished */
    bool socket;
    unsigned forks;    /* when it was made: see copy.h */
    struct trp_buf in; /* behind `taken`: read and not handed out */
    size_t taken;      /* of in */
    size_t scanned;    /* of in: no line end before that */
};

/* From a descriptor that is non-blocking already; takes it with OK. NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_stream_new(int fd, bool socket, troupe_stream **out);

/* Once, without waiting. AGAIN: not now (what the kernel says from here on is remembered by the watch); as the public calls. */
TROUPE_NODISCARD troupe_status trp_stream_read_some(troupe_stream *s, void *buf, size_t size, size_t *n);
TROUPE_NODISCARD troupe_status trp_stream_write_some(troupe_stream *s, const uint8_t *p, size_t n, size_t *done);

/* Waits for the descriptor where the caller runs now; call trp_watch_take and try before. As trp_watch_wait, and its faults. */
TROUPE_NODISCARD troupe_status trp_fd_wait(struct trp_watch *w, int fd, unsigned what, troupe_self *self, int64_t deadline);

#endif
