/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Whether to look for something a while before sleeping, learnt from what it gave. Waking costs tens of microseconds
 * when the processor has gone idle meanwhile, so looking pays where the other side is quick; but where processors are
 * scarce, who looks keeps the other from running, and each waits for the other. So both ways are timed, the better is
 * taken, and now and then the other one, since times change. */
#ifndef TRP_SPIN_H
#define TRP_SPIN_H

#include <stdbool.h>

enum { TRP_SPIN_EXPLORE = 64, TRP_SPIN_EXPLORE_WORSE = 512 };

/* `slept` and `spun`: what either way lately took; `most`: spinning for longer does not pay; `turn` counts. The other way
 * is tried less often when it lately took more than twice as long: the trial itself costs that. */
static inline bool trp_spin_choose(unsigned slept, unsigned spun, unsigned most, unsigned *turn) {
    bool spin = spun <= slept && spun <= most;
    bool much_worse = (spin ? slept : spun) / 2 > (spin ? spun : slept);
    return ++*turn % (much_worse ? TRP_SPIN_EXPLORE_WORSE : TRP_SPIN_EXPLORE) ? spin : !spin;
}

/* One more observation, which counts half. */
static inline unsigned trp_spin_learn(unsigned lately, unsigned took) {
    return lately / 2 + took / 2 + (lately & took & 1);
}

/* Between two looks at a variable that another thread will change. */
static inline void trp_spin_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
