/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/patience.h"

#include "transports/spin.h"

enum { LONG_NS = 200000 };

bool trp_patience_looks(struct trp_patience *p) {
    return p->may_spin && trp_spin_choose(p->slept_ns, p->spun_ns, TRP_PATIENCE_NS, &p->turn);
}

void trp_patience_learn(struct trp_patience *p, bool looked, int64_t ns) {
    unsigned *lately = looked ? &p->spun_ns : &p->slept_ns;
    *lately = trp_spin_learn(*lately, ns < LONG_NS ? (unsigned)ns : LONG_NS);
}
