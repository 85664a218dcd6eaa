/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What an actor has of its own, found by whoever runs inside it: the thread-local variable of actors. A library that is
 * called from a body keeps a buffer or a connection there without the body knowing of it.
 *
 *     static const char key;                                       // its address is the key
 *     struct cache *c = troupe_own_get(self, &key);
 *     if (!c && (c = cache_new()))
 *         st = troupe_own_set(self, &key, c, cache_free);
 *
 * It goes with the life that it was made in: a restart begins with nothing. */
#ifndef TROUPE_OWN_H
#define TROUPE_OWN_H

#include <troupe/actor.h>

/* Called by the actor's own thread: when the value is replaced, or after its body has returned, last made first.
 * Calls nothing of troupe. */
typedef void troupe_own_free(void *value);

/* Keeps a value under a key, instead of what was there. Taken with OK, if `free` is given (NULL: nobody frees it). value NULL:
 * nothing is kept there any more. Faults: NO_MEMORY. Context: self; does not park. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_own_set(troupe_self *self, const void *key, void *value,
                                                         troupe_own_free *free);
/* What is kept there, borrowed; NULL: nothing. Context: self; does not park. */
TROUPE_API void *troupe_own_get(troupe_self *self, const void *key);

#endif
