/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * One libuv loop with what all our links on it share: a read buffer, spare output buffers, and the list of links
 * that have something to write. A turn of the loop is:
 *
 *     wait -> read callbacks (each chunk's frames are handled) -> the turn hook -> one write per touched link
 *
 * so that all that a turn has to say to one peer leaves in one system call. Everything here belongs to the thread
 * that runs the loop; only trp_loop_wake may be called from another. */
#ifndef TRP_LOOP_H
#define TRP_LOOP_H

#include <uv.h>
#include "transports/buf.h"

enum { TRP_READ_CHUNK = 256 * 1024, TRP_SPARES = 8 };

struct trp_link;

struct trp_loop {
    uv_loop_t uv;
    uv_prepare_t prepare;      /* flushes what timers and other early callbacks wrote */
    uv_check_t check;          /* runs the turn hook, then flushes */
    uv_async_t wake;
    struct trp_link *dirty;    /* links with output not yet given to the kernel */
    uint8_t *chunk;            /* TRP_READ_CHUNK bytes, shared by all links: a read is handled before the next */
    struct trp_buf spare[TRP_SPARES];
    unsigned spares;
    void (*turn)(void *ctx);   /* may be NULL; runs once a turn before the writes, and after trp_loop_wake */
    void *turn_ctx;
    bool open;
};

TROUPE_NODISCARD troupe_status trp_loop_init(struct trp_loop *l);
/* All links, listeners and timers on it have been closed by their owners and their close callbacks have run (this
 * runs the loop until they have). Asserts that nothing is left. */
void trp_loop_fini(struct trp_loop *l);

/* One turn: waits at most `ms` for something to happen (0: does not wait, below 0: for ever), handles it, flushes. */
void trp_loop_once(struct trp_loop *l, int64_t ms);
/* Makes the loop's thread come out of its wait and run the turn hook. Context: any thread, async-signal-safe. */
void trp_loop_wake(struct trp_loop *l);
/* Writes what the dirty links hold now; the turn does it by itself. */
void trp_loop_flush(struct trp_loop *l);
/* Milliseconds of the monotonic clock, as fresh as this turn. */
static inline int64_t trp_loop_now(const struct trp_loop *l) { return (int64_t)uv_now(&l->uv); }

#endif
