/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Names for actors of one system: a name stands for the actor that has it now, a reference for one life. Who keeps a
 * name instead of a reference finds the actor that has been started in the place of a dead one.
 *
 *     troupe_ref ref;
 *     if (troupe_whereis(self, "counter", &ref) == TROUPE_OK)
 *         (void)!troupe_send(self, ref, troupe_int(1));
 *
 * A name belongs to one actor, an actor may have several; they go with its end, before anybody is told of it. */
#ifndef TROUPE_NAMES_H
#define TROUPE_NAMES_H

#include <troupe/actor.h>

enum { TROUPE_NAME_MAX = 63 }; /* bytes */

/* Gives the actor a name. EXISTS: another one, or it, has it. NOT_FOUND: it has ended. CLOSED: this actor was killed.
 * Faults: INVALID (empty, too long), NO_MEMORY.
 * Context: self; does not park, but in a process, which waits for the answer of its system. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_register(troupe_self *self, const char *name, troupe_ref ref);
/* Takes it away, whoever has it. NOT_FOUND. CLOSED, INVALID, Context: as troupe_register. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_unregister(troupe_self *self, const char *name);
/* Who has it? NOT_FOUND: nobody. CLOSED, INVALID, Context: as troupe_register. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_whereis(troupe_self *self, const char *name, troupe_ref *out);

#endif
