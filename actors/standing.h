/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What an actor in another process can know of all actors without asking: one word an actor, in memory shared with all
 * processes of the system, written here alone. With it a send from a process says NOT_FOUND and CLOSED as truly as any
 * other send, and does not have to wait for an answer otherwise.
 *
 *     word = generation << 32 | sends that may be under way to it, less one << 8 | what it takes; by the slot of the reference
 *
 * The memory is reserved for all slots there can be; what is never touched costs nothing. */
#ifndef TRP_STANDING_H
#define TRP_STANDING_H

#include <stdatomic.h>
#include <troupe/actor.h>

struct trp_actor;

struct trp_standing {
    _Atomic uint64_t *words; /* NULL: there is none, and nothing is known */
};

/* Where there is no memory for it, there is none. */
void trp_standing_init(struct trp_standing *s);
void trp_standing_fini(struct trp_standing *s);
/* In a process that only reads it: what it writes there by mistake ends it, and misleads nobody. */
void trp_standing_read_only(const struct trp_standing *s);

/* Its life has changed. Under its lock, or before anybody knows it. */
void trp_standing_set(const struct trp_standing *s, const struct trp_actor *a);

/* OK: it takes mail, or nothing is known; CLOSED; NOT_FOUND. */
TROUPE_NODISCARD troupe_status trp_standing_status(const struct trp_standing *s, uint64_t id);
/* How many sends may be under way to it whose result nobody waits for: a part of what its mailbox holds. 0: none, it is not
 * known to take mail, or it refuses what it has no room for. */
unsigned trp_standing_ahead(const struct trp_standing *s, uint64_t id);

/* Does anybody listen to dead letters? Said by the system, and asked in processes. */
void trp_standing_heed(const struct trp_standing *s, bool letters);
bool trp_standing_heeds(const struct trp_standing *s);

#endif
