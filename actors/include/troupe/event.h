/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * An event: something that has happened, or not yet. B signals A, whatever kinds the two are.
 *
 *     troupe_event done;
 *     troupe_event_open(me, NULL, &done);                  // a value: give it to both
 *
 *     troupe_event_set(self, done);                        // B
 *
 *     if (troupe_event_wait(self, done, 5000) == TROUPE_OK)   // A: at once, if B was first
 *         ...
 *
 *     clear --set--> set --clear--> clear          set wakes all who wait; whoever waits later does not wait
 *
 * Waiting for the first of several things, as an answer or the word that nobody wants it any more:
 *
 *     troupe_future *f[2];
 *     troupe_ask_async(self, who, troupe_int(7), &f[0]);
 *     troupe_event_wait_async(self, stop, &f[1]);
 *     troupe_future_any(self, f, 2, 5000, &which);         // 0: answered, 1: stopped
 *
 * Its reference is one like any actor's: troupe_close ends it, and who waits is told CLOSED; in a message it travels as
 * troupe_ref_value(e.ref). It lives until then or until the end of the system, not as long as who opened it. */
#ifndef TROUPE_EVENT_H
#define TROUPE_EVENT_H

#include <troupe/future.h>

typedef struct troupe_event {
    troupe_ref ref;
} troupe_event;

/* Opens one, clear. name is for logs; NULL: "actor-N". CLOSED: the system is closing. Faults: NO_MEMORY, SYSTEM. Context: self;
 * a process parks until its system has answered. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_event_open(troupe_self *self, const char *name, troupe_event *out);

/* It has happened: wakes all who wait. CLOSED: the event is gone, or this actor was killed. Faults: NO_MEMORY.
 * Context: self; does not wait. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_event_set(troupe_self *self, troupe_event e);
/* It has not happened yet. As set. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_event_clear(troupe_self *self, troupe_event e);

/* Waits until it has happened. TIMEOUT (0: it has not happened now). CLOSED: the event is gone, or this actor was killed.
 * Faults: NO_MEMORY. Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_event_wait(troupe_self *self, troupe_event e, int64_t timeout_ms);
/* A future of it (<troupe/future.h>), given, so that it can be waited for beside others: ready when the event has happened,
 * with an answer of nil, or is gone (CLOSED, or NOT_FOUND: it was already). CLOSED: this actor was killed. Faults: NO_MEMORY.
 * Context: self; does not park. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_event_wait_async(troupe_self *self, troupe_event e, troupe_future **out);

#endif
