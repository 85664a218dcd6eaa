/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Where the actors of a test's system play (<troupe/test.h>): one thread, the opener's, whose calls run the others, in an
 * order that is drawn, by a clock that is set forward when nobody can run. */
#ifndef TRP_STAGE_H
#define TRP_STAGE_H

#include "actors/clock.h"
#include "actors/stack.h"
#include "actors/worker.h"

/* All of it belongs to the opener's thread. */
struct trp_stage {
    struct trp_clock clock;
    int64_t began;
    uint64_t random; /* the state of the draws */
    struct trp_runner runner;
    struct trp_worker *worker; /* the opener's, and everybody's */
};

/* The calling thread is its stage from now on; and no longer. NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_stage_new(struct trp_stage **out, uint64_t seed);
void trp_stage_free(struct trp_stage *s, struct trp_stacks *stacks); /* accepts NULL */

/* This is the opener's worker. */
void trp_stage_take(struct trp_stage *s, struct trp_worker *w);

/* Does the body that has just begun a call go on at once? */
bool trp_stage_goes_on(struct trp_stage *s);

/* How the opener parks there. */
extern const struct trp_backend trp_stage_backend;

#endif
