/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Bonds: one actor is to be told of another's end. A monitor is one bond, a link is two, one each way.
 *
 *     watcher -- its table of bonds --> [ bond, note ] <-- list of bonds on it -- watched
 *
 * A bond hangs on both actors, and either end of it is guarded by the lock of the actor it hangs on, so nothing here
 * takes two locks. Each end is open until somebody has closed it, and is never opened again:
 *
 *     the watched one ends:  closes its own end, then the watcher's; who has closed the watcher's end tells, once
 *     taken back:            closes the watcher's end, then the other
 *
 * What an actor has to do with others' ends is allocated when it is first needed: most have nothing to do with them. */
#ifndef TRP_BOND_H
#define TRP_BOND_H

#include <troupe/monitor.h>

struct trp_actor;
struct trp_bonds;
struct trp_name;
struct trp_own;

/* For `who`, by its own thread or the steward. As the public functions say; ids are those of references and watches. */
TROUPE_NODISCARD troupe_status trp_bond_monitor(struct trp_actor *who, uint64_t ref, uint64_t *watch);
TROUPE_NODISCARD troupe_status trp_bond_demonitor(struct trp_actor *who, uint64_t watch);
TROUPE_NODISCARD troupe_status trp_bond_link(struct trp_actor *who, uint64_t ref);
TROUPE_NODISCARD troupe_status trp_bond_unlink(struct trp_actor *who, uint64_t ref);
TROUPE_NODISCARD troupe_status trp_bond_trap(struct trp_actor *who, bool on);

/* It is asked to end by its supervisor: closed, and if it ends normally, that is how. NOT_FOUND. */
TROUPE_NODISCARD troupe_status trp_bond_shut(struct trp_actor *a);

/* The names it has: a list of trp_names', under the lock of those. NULL: no memory. Under the actor's lock. */
struct trp_name **trp_bonds_names(struct trp_actor *a);
/* What it keeps of its own: a list of own.c's, of whoever runs it. NULL: no memory. Under the actor's lock. */
struct trp_own **trp_bonds_own(struct trp_actor *a);

/* The last words on how it ended: who was killed by a link says so. The life is ENDED. */
void trp_bonds_judge(struct trp_actor *a, troupe_exit *exit);
/* It is ENDED: all who watch it are told, and it watches nobody any more. */
void trp_bonds_end(struct trp_actor *a, const troupe_exit *exit);
/* It never lived: nobody is told. */
void trp_bonds_abort(struct trp_actor *a);
/* The last reference is gone. Accepts NULL. */
void trp_bonds_free(struct trp_bonds *b);

#endif
