/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Who receives a stream on the processor on which it is sent can be caught in the worst of rhythms: the first message wakes it,
 * the kernel lets it run at once instead of the sender, it receives the one message and sleeps again: two system calls and two
 * switches a message, where a whole mailbox could come at a time. It is found by what came of its last sleeps. Then it does not
 * sleep, but lets others run first: if the sender is among them, many have come when it is its turn again. Does that bring no
 * more, it sleeps as before. */
#ifndef TRP_DRIP_H
#define TRP_DRIP_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "actors/futex.h"

enum { TRP_DRIP_MANY = 16, TRP_DRIP_PATIENCE = 8, TRP_DRIP_RARELY = 8192 };

/* Zeroed: nothing has been learnt. */
struct trp_drip {
    uint64_t received; /* when it was about to sleep last */
    unsigned few;      /* sleeps in a row that few messages came of */
    unsigned vain;     /* so many more of them it takes: others have run in vain */
    bool yields;
};

/* It has received so many so far, and is about to sleep: shall it let others run first? That can take long, where one of them
 * computes: so the more often it was in vain, the less often it is tried. */
static inline bool trp_drip_yields(struct trp_drip *d, uint64_t received) {
    uint64_t since = received - d->received;
    d->received = received;
    d->few = since == 0 || since >= TRP_DRIP_MANY ? 0 : d->few + 1;
    if (d->yields)
        d->vain = since >= TRP_DRIP_MANY ? 0 : d->vain < TRP_DRIP_RARELY ? 2 * d->vain + TRP_DRIP_PATIENCE : d->vain;
    d->yields = d->yields ? since >= TRP_DRIP_MANY : d->few >= TRP_DRIP_PATIENCE + d->vain;
    if (d->yields)
        d->few = 0;
    return d->yields;
}

/* The same, and it does. True: others have run. */
static inline bool trp_drip_gives_way(struct trp_drip *d, uint64_t received) {
    if (!trp_drip_yields(d, received))
        return false;
    trp_futex_count();
    sched_yield();
    return true;
}

#endif
