/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Whether a thread that waits looks for something a while before it sleeps (transports/spin.h): what it has learnt of that. A
 * long wait is remembered as a fairly long one: a few short ones tell that times have changed. */
#ifndef TRP_PATIENCE_H
#define TRP_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "transports/spin.h"

enum {
    TRP_PATIENCE_NS = 50000,      /* to look for so long; longer does not pay: to be woken takes less */
    TRP_PATIENCE_LOOKS = 32,      /* between two looks at the clock */
    TRP_PATIENCE_QUICK_NS = 2000, /* what comes while one looks so often is quick */
};

struct trp_patience {
    bool may_spin;              /* there is more than one processor, and what it waits for needs no turn of its loop */
    unsigned slept_ns, spun_ns; /* how long either way has lately taken */
    unsigned turn;
};

/* Shall this wait begin by looking? Where nobody may, nothing has to be timed or learnt. */
bool trp_patience_looks(struct trp_patience *p);
/* It came at the first LOOKS: no clock has to say how long that took, and to sleep can't be faster. */
static inline void trp_patience_found(struct trp_patience *p) {
    p->spun_ns = trp_spin_learn(p->spun_ns, TRP_PATIENCE_QUICK_NS / 2);
}
/* It took so long. */
void trp_patience_learn(struct trp_patience *p, bool looked, int64_t ns);

#endif
