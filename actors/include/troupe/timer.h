/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Messages that are sent later, and can be called back until then.
 *
 *     troupe_timer t;
 *     troupe_send_after(self, 500, troupe_self_ref(self), troupe_text("too slow"), &t);
 *     if (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK && troupe_cancel(self, t) == TROUPE_OK)
 *         ...                                     // in time: "too slow" will not come
 *
 * The message comes as if this actor had sent it when the time is over: it takes its place behind what is there by then. Its
 * room is found before, so it is not refused by a mailbox that is full, nor does it make anybody wait. It does not depend on
 * the sender any more, which may end; if its receiver has ended it is a dead letter. */
#ifndef TROUPE_TIMER_H
#define TROUPE_TIMER_H

#include <troupe/actor.h>

/* Names a message that is yet to be sent. A value, never used again. 0: none. */
typedef struct troupe_timer {
    uint64_t id;
} troupe_timer;

/* Sends v to an actor in `ms` milliseconds (or a moment later). v is copied now. out may be NULL. NOT_FOUND: it has ended
 * already; CLOSED: this actor was killed; INVALID: ms is below 0. Faults: NO_MEMORY, SYSTEM.
 * Context: self; parks only in a process. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_send_after(troupe_self *self, int64_t ms, troupe_ref to, troupe_value v,
                                                            troupe_timer *out);
/* It is not sent any more. NOT_FOUND: it has been, or was cancelled before; CLOSED: this actor was killed. Any actor of the
 * system may do it. Context: self; parks only in a process. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_cancel(troupe_self *self, troupe_timer timer);

#endif
