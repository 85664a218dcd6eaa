/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Whether a thread that waits looks for something a while before it sleeps (transports/spin.h), and how. With several
 * processors it spins: whom it waits for runs on another one. With one it gives way once: whoever is runnable there has its
 * turn by that, and if it is the one that is waited for, nobody has slept and nobody has to be woken. Either is timed, as is
 * sleeping, and the better is done; now and then the other one is tried. What is far from what was usual moves what is
 * remembered by a quarter: one that was held up by something else tells nothing, some of them tell that times have changed. */
#ifndef TRP_PATIENCE_H
#define TRP_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    TRP_PATIENCE_NS = 50000,      /* to look for so long; longer does not pay: to be woken takes less */
    TRP_PATIENCE_LOOKS = 32,      /* between two looks at the clock */
    TRP_PATIENCE_QUICK_NS = 2000, /* what comes while one looks so often is quick */
    TRP_PATIENCE_RARELY = 32768,  /* to give way where somebody else computes: once in so many waits */
};

struct trp_patience {
    unsigned processors;        /* that its thread may run on; 0: it sleeps at once */
    unsigned slept_ns, spun_ns; /* how long either way has lately taken */
    unsigned turn;
    /* One processor: it gives way once in so many waits, after it came back far too late; 0: nothing to regret. */
    unsigned rest;
};

/* What is waited for: both are called by the thread that waits. */
struct trp_patient {
    bool (*come)(void *who);                    /* Has it come? Changes nothing */
    void (*sleep)(void *who, int64_t deadline); /* until it has, or the deadline is over, or in vain */
};

void trp_patience_init(struct trp_patience *p);
/* Until it has come, or the deadline is over, or in vain. */
void trp_patience_wait(struct trp_patience *p, const struct trp_patient *how, void *who, int64_t deadline);

/* Shall this wait begin by looking? */
bool trp_patience_looks(struct trp_patience *p);
/* It came at the first LOOKS: no clock has to say how long that took, and to sleep can't be faster. A few of those tell more
 * than all that was before. */
static inline void trp_patience_found(struct trp_patience *p) {
    p->spun_ns = p->spun_ns / 4 + TRP_PATIENCE_QUICK_NS / 4;
}
/* It took so long. */
void trp_patience_learn(struct trp_patience *p, bool looked, int64_t ns);

#endif
