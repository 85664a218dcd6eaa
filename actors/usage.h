/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Who uses the processors: an estimate for coroutines and handler actors, which have no clock of their own. At each tick of the
 * watch, what each runner's thread has used since the last one is put down to the actor that it is found with. So a body that
 * computes gets its time, those with short turns get their share of the sum, and a switch costs nothing.
 *
 * An actor's sum is in milliseconds, of 32 bits; what is left below one is put down next time, to whoever it is then. */
#ifndef TRP_USAGE_H
#define TRP_USAGE_H

#include "actors/crew.h"

/* One tick: after all workers have been looked at. The watch's thread. */
void trp_usage_sample(struct trp_crew *crew);
/* The runner that serves w is about to lose it to another, and stays with the body that w was last seen with. Under the crew's
 * lock, by the watch. */
void trp_usage_left(struct trp_crew *crew, const struct trp_worker *w);

/* Does a body compute that has been taken over from, while all workers may sleep? With the crew's lock. */
bool trp_usage_goes_on(const struct trp_crew *crew);
/* What it has used so far; -1: nobody looks. */
int64_t trp_usage_ns(struct trp_actor *a);

#endif
