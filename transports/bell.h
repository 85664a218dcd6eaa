/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A bell that makes the thread of a libuv loop come out of its wait, from any thread. Every trp_loop has one: trp_loop_wake.
 *
 * Why not uv_async_t: up to libuv 1.44 its sender first writes and then takes a mark away, and the receiver spins until
 * that is done. Where both share a core the receiver has been given it by the write, and spins some 30 us at each
 * message before it lets the sender go on: ten times the cost of the message. */
#ifndef TRP_BELL_H
#define TRP_BELL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

#include <troupe/status.h>

/* Does not move while it is open. */
struct trp_bell {
    int fd; /* an eventfd */
    uv_poll_t poll;
    atomic_bool rung; /* and not heard yet: once is enough */
};

/* Turns of `loop` begin when it is rung; it does not keep the loop alive. 0, or libuv's code: then there is nothing to close.
 * Context: the loop's thread, and so for close. */
TROUPE_NODISCARD int trp_bell_open(struct trp_bell *b, uv_loop_t *loop);
/* Nobody rings it any more. The loop has to turn, or to be ended, before the memory goes. */
void trp_bell_close(struct trp_bell *b);

/* Context: any thread, async-signal-safe; never blocks. */
void trp_bell_ring(struct trp_bell *b);

#endif
