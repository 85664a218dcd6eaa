/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Threads of the program's own, which no system has started, as actors: they send, receive, ask, use queues, events and pools
 * like any other.
 *
 *     static void *decoder(void *arg) {                       // a thread of some library
 *         troupe_self *self;
 *         if (troupe_attach(arg, "decoder", &self) == TROUPE_OK) {
 *             troupe_queue_push(self, frames, troupe_bytes(frame, size), TROUPE_FOREVER);
 *             troupe_detach(&self);
 *         }
 *         return NULL;
 *     }
 *
 * To whoever knows its reference it is an actor of kind thread. It counts among those that the system waits for:
 * troupe_system_close returns when it has detached; from then on all its calls say CLOSED. */
#ifndef TROUPE_ATTACH_H
#define TROUPE_ATTACH_H

#include <troupe/actor.h>

/* Makes the calling thread an actor of the system; its self is for this thread alone. name NULL: "actor-N". INVALID: it is one
 * already. UNSUPPORTED: the system runs on one thread, for tests. CLOSED: the system is closing. Faults: NO_MEMORY, SYSTEM.
 * Context: a thread that is no actor; does not block. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_attach(troupe_system *sys, const char *name, troupe_self **out);

/* Its life as an actor ends, as if its body had returned; what it still holds goes back. Sets *self to NULL; accepts NULL
 * inside. Context: the thread that attached; what it has said to a broker leaves first. */
TROUPE_API void troupe_detach(troupe_self **self);

#endif
