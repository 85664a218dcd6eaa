/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * One libuv loop with what all our links on it share: a read buffer, spare output buffers, and the list of links
 * that have something to write. A turn of the loop is:
 *
 *     wait -> read callbacks (each chunk's frames are handled) -> the turn hook -> one write per touched link
 *
 * so that all that a turn has to say to one peer leaves in one system call. Everything here belongs to the thread
 * that runs the loop; only trp_loop_wake may be called from another.
 *
 * A write to a connection that the peer has closed raises SIGPIPE, whose default is to kill the process, and libuv
 * does not suppress it: trp_loop_init ignores the signal, unless the program has chosen otherwise. */
#ifndef TRP_LOOP_H
#define TRP_LOOP_H

#include <uv.h>

#include "transports/bell.h"
#include "transports/buf.h"
#include "transports/outbox.h"

enum { TRP_READ_CHUNK = 256 * 1024 };

struct trp_link;

/* Does not move while it is open: the handles point at it. */
struct trp_loop {
    uv_loop_t uv;
    uv_prepare_t prepare; /* flushes what timers and other early callbacks wrote */
    uv_check_t check;     /* runs the turn hook, then flushes */
    struct trp_bell wake;
    uv_timer_t wait;        /* bounds trp_loop_once */
    struct trp_link *dirty; /* links with output not yet given to the kernel, first touched first */
    struct trp_link **dirty_end;
    struct trp_chunk_pool pool; /* spare output chunks */
    uint8_t *chunk;             /* TRP_READ_CHUNK bytes, shared by all links: a read is handled before the next */
    uint64_t timer_due;         /* when the first timer known at the start of this turn is due */
    unsigned owned;             /* links and listeners that nobody has closed yet */
    void (*turn)(void *ctx);    /* may be NULL; runs once a turn before the writes, and after trp_loop_wake */
    void *turn_ctx;
    bool open, wakes;
};

TROUPE_NODISCARD troupe_status trp_loop_init(struct trp_loop *l);
/* All links, listeners and timers on it have been closed by their owners (asserted for links and listeners); this
 * runs the loop until they are gone, which calls their last handlers. Asserts that nothing is left. */
void trp_loop_fini(struct trp_loop *l);

/* One turn: waits at most `ms` for something to happen (0: does not wait, below 0: for ever), handles it, flushes. A
 * turn that has run a timer does not wait any more. Not from a handler. */
void trp_loop_once(struct trp_loop *l, int64_t ms);
/* Makes the loop's thread come out of its wait and run the turn hook. Context: any thread, async-signal-safe. */
void trp_loop_wake(struct trp_loop *l);
/* Writes what the dirty links hold now; the turn does it by itself. */
void trp_loop_flush(struct trp_loop *l);
/* Milliseconds of the monotonic clock, as fresh as this turn. */
static inline int64_t trp_loop_now(const struct trp_loop *l) {
    return (int64_t)uv_now(&l->uv);
}

#endif
