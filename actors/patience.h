/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Whether to look for something a while before sleeping (transports/spin.h), for one thread that waits for messages of another
 * process. A long wait counts like a fairly long one: what matters is whether the short ones get shorter by looking. */
#ifndef TRP_PATIENCE_H
#define TRP_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

enum { TRP_PATIENCE_NS = 20000 }; /* to look for so long: about what it costs to be woken on a processor that has gone idle */

/* Zero it first. */
struct trp_patience {
    unsigned slept, spun; /* ns that a wait took lately, either way */
    unsigned turn;
    bool known, alone; /* whether there is but one processor for us */
};

/* Shall this wait begin by looking? */
bool trp_patience_looks(struct trp_patience *p);
/* It took so long. */
void trp_patience_learn(struct trp_patience *p, bool looked, int64_t ns);

#endif
