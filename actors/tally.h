/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * How many there are: a number that every thread would write to at each birth and each end. Instead, a worker's thread keeps
 * some in hand, which are counted and not there: a birth takes one of them, an end puts one back, and the number itself is
 * written to once in many. So it is never too low, and it is right when all those threads have nothing to do, since they give
 * back first what they have in hand. */
#ifndef TRP_TALLY_H
#define TRP_TALLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* What one thread has in hand: zero it. */
struct trp_tally {
    unsigned hand;
};

/* near NULL, all three: the thread keeps nothing. One more. */
void trp_tally_in(struct trp_tally *near, atomic_size_t *count);
/* One less. True: there is none now. */
bool trp_tally_out(struct trp_tally *near, atomic_size_t *count);
/* Gives back what is in hand. True: there is none now. */
bool trp_tally_settle(struct trp_tally *near, atomic_size_t *count);

#endif
