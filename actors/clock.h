/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A clock that goes when it is told to, for systems under test (<troupe/test.h>): such a system lives on one thread, and
 * whatever asks for the time there (trp_now) is told that of this clock. */
#ifndef TRP_CLOCK_H
#define TRP_CLOCK_H

#include "actors/deadline.h"

struct trp_clock {
    int64_t now;
};

/* The calling thread is under it from now on; NULL: under the real one. */
void trp_clock_enter(struct trp_clock *c);
/* Is the calling thread under such a clock? */
bool trp_clock_is_made(void);

#endif
