/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A bell that makes a loop's thread come out of its wait, from any thread.
 *
 * Why not uv_async_t: up to libuv 1.44 its sender first writes and then takes a mark away, and the receiver spins until
 * that is done. Where both share a core the receiver has been given it by the write, and spins some 30 us at each
 * message before it lets the sender go on: ten times the cost of the message. */
#ifndef TRP_BELL_H
#define TRP_BELL_H

#include <stdatomic.h>

#include "transports/loop.h"

/* Does not move while it is open. */
struct trp_bell {
    int fd; /* an eventfd */
    uv_poll_t poll;
    atomic_bool rung; /* and not heard yet: once is enough */
};

/* Turns of `loop` begin when it is rung. SYSTEM. Context: the loop's thread, and so for close. */
TROUPE_NODISCARD troupe_status trp_bell_open(struct trp_bell *b, struct trp_loop *loop);
/* Nobody rings it any more. The loop has to turn, or to be ended, before the memory goes. */
void trp_bell_close(struct trp_bell *b);

/* Context: any thread; never blocks. */
void trp_bell_ring(struct trp_bell *b);

#endif
