/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/patience.h"

#include "actors/cores.h"
#include "actors/deadline.h"
#include "transports/spin.h"

enum { LONG_NS = 200000 };

bool trp_patience_looks(struct trp_patience *p) {
    if (!p->may_spin)
        return false;
    /* Whoever is so quick runs now, on another processor: to look keeps nobody from running. */
    if (p->spun_ns < TRP_PATIENCE_QUICK_NS && p->spun_ns <= p->slept_ns)
        return true;
    /* What was learnt comes too late where others want the processor: who has used up its time waits longest for more. */
    return trp_spin_choose(p->slept_ns, p->spun_ns, TRP_PATIENCE_NS, &p->turn) && trp_cores_are_free(trp_now());
}

void trp_patience_learn(struct trp_patience *p, bool looked, int64_t ns) {
    unsigned *lately = looked ? &p->spun_ns : &p->slept_ns;
    *lately = trp_spin_learn(*lately, ns < LONG_NS ? (unsigned)ns : LONG_NS);
}
