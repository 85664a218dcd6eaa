/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A bounded queue inside one system: A ---> queue ---> B. Many may push, many may pop; the order is kept, and a full queue
 * makes who pushes wait. All kinds of actors use the same queue, and threads that are none
 * after troupe_attach (<troupe/attach.h>).
 *
 *     troupe_queue q;
 *     troupe_queue_open(me, &(troupe_queue_bounds){.messages = 16}, &q);      // then give it to A and B: it is a value
 *
 *     for (int i = 0; i < 10; i++)                                            // A
 *         troupe_queue_push(self, q, troupe_int(i), TROUPE_FOREVER);
 *     troupe_close(self, q.ref);
 *
 *     troupe_msg *m;                                                          // B
 *     while (troupe_queue_pop(self, q, 5000, &m) == TROUPE_OK) { ...; troupe_msg_free(&m); }
 *
 * Its reference is one like any actor's: a plain troupe_send to it is a push that does not wait (FULL), and troupe_close,
 * troupe_kill and troupe_join work on it. In a message it travels as troupe_ref_value(q.ref).
 *
 *     open --troupe_close--> closed: pushes say CLOSED, what is in it is still popped, then pops say CLOSED --> ended
 *       `----troupe_kill, or the end of the system-------------------------------> ended; what was in it are dead letters
 *
 * A queue lives until then, not as long as who opened it. A time-out never loses a message: it has been popped, or is still
 * there, pushed or not. What has been popped belongs to who popped it, and is gone if that one dies: for work that must survive
 * its worker see <troupe/pool.h> and the broker's queues, <troupe/actor_queue.h>. */
#ifndef TROUPE_BOUNDED_H
#define TROUPE_BOUNDED_H

#include <troupe/actor.h>

typedef struct troupe_queue {
    troupe_ref ref;
} troupe_queue;

typedef struct troupe_queue_bounds {
    const char *name; /* for logs; NULL: "actor-N" */
    size_t messages;  /* 0: 1,024 */
    size_t bytes;     /* 0: 64 MiB; an empty queue takes a message of any size */
} troupe_queue_bounds;

/* Opens one; bounds NULL: the defaults. CLOSED: the system is closing. Faults: NO_MEMORY, SYSTEM. Context: self; a process
 * parks until its system has answered. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_open(troupe_self *self, const troupe_queue_bounds *bounds,
                                                            troupe_queue *out);

/* Puts a message at its end, which copies it. TIMEOUT: there was no room in that time (0: now), and it was not put. CLOSED: the
 * queue is closed or gone, or this actor was killed. Faults: INVALID, NO_MEMORY. Context: self; parks while it is full. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_push(troupe_self *self, troupe_queue q, troupe_value v,
                                                            int64_t timeout_ms);

/* Takes the message at its head, given; troupe_msg_sender says who pushed it. Who has waited longest gets the next. TIMEOUT:
 * there was none in that time (0: now). CLOSED: the queue is closed and empty or gone, or this actor was killed. Faults:
 * NO_MEMORY. Context: self; parks while it is empty. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_pop(troupe_self *self, troupe_queue q, int64_t timeout_ms,
                                                           troupe_msg **out);

/* How many are in it now. CLOSED: it is gone, or this actor was killed. Faults: NO_MEMORY. Context: self. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_length(troupe_self *self, troupe_queue q, size_t *out);

#endif
