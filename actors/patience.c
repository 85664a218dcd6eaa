/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/patience.h"

#include <sched.h>

#include "transports/spin.h"

enum { LONG_NS = 10 * TRP_PATIENCE_NS };

static bool is_alone(struct trp_patience *p) {
    cpu_set_t set;
    if (!p->known)
        p->alone = sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) < 2;
    p->known = true;
    return p->alone;
}

bool trp_patience_looks(struct trp_patience *p) {
    return !is_alone(p) && trp_spin_choose(p->slept, p->spun, 2 * TRP_PATIENCE_NS, &p->turn);
}

void trp_patience_learn(struct trp_patience *p, bool looked, int64_t ns) {
    unsigned took = ns < LONG_NS ? (unsigned)ns : LONG_NS;
    unsigned *lately = looked ? &p->spun : &p->slept;
    *lately = trp_spin_learn(*lately, took);
}
