/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a peer wants done with a whole queue: purging it, giving its dead another life. A step in each event's time, at most so
 * many messages, until all that was there when it asked is done. Puts, deliveries and acks go on in between. The peer hears OK
 * once, at the end, with the number of all. */
#ifndef TRP_BROKER_CORE_CHORE_H
#define TRP_BROKER_CORE_CHORE_H

#include <stdbool.h>
#include <stdint.h>

struct trp_core;
struct trp_peer;
struct trp_queue;
struct trp_chore;

enum { TRP_CHORE_STEP = 1024 };

/* The first step, and the answer if that was all. */
void trp_core_purge(struct trp_core *c, struct trp_peer *p, uint64_t id, struct trp_queue *q, bool all);
void trp_core_retry(struct trp_core *c, struct trp_peer *p, uint64_t id, struct trp_queue *q, uint64_t most);
/* The next step of the oldest. */
void trp_core_chore_on(struct trp_core *c);
/* The queue is going: whoever has something done with it hears OK. */
void trp_core_chores_leave(struct trp_core *c, const struct trp_queue *q);
/* No answers. */
void trp_core_chores_fini(struct trp_core *c);

#endif
