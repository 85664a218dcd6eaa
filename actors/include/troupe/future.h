/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Futures: asking many, and waiting for their answers afterwards. For every kind, of every kind.
 *
 *     troupe_future *f[3];
 *     for (int i = 0; i < 3; i++)
 *         troupe_ask_async(self, who[i], troupe_int(i), &f[i]);        // returns when the question is in the mailbox
 *     ...                                                             // something else
 *     for (int i = 0; i < 3; i++) {
 *         troupe_msg *answer;
 *         if (troupe_future_await(self, &f[i], 1000, &answer) == TROUPE_OK) { ...; troupe_msg_free(&answer); }
 *         troupe_future_free(&f[i]);                                  // gives it up if the time was over; NULL is fine
 *     }
 *
 *     pending --answered, or there will be no answer--> ready --await, then--> gone
 *        `------------------- free: given up -----------`----free-----------> gone; an error that nobody has read is logged
 *
 * A future belongs to the body that asked, and ends with it. Context, for all calls here: self, the one that asked. */
#ifndef TROUPE_FUTURE_H
#define TROUPE_FUTURE_H

#include <troupe/actor.h>

typedef struct troupe_future troupe_future;

/* Asks without waiting for the answer. What troupe_ask would say, the future says: NOT_FOUND, CLOSED, FULL, DIED. CLOSED: this
 * actor was killed. Faults: INVALID, NO_MEMORY. Parks while the mailbox is full, if its owner wants that; from a process it
 * does not, and the question waits on the other side. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_ask_async(troupe_self *self, troupe_ref to, troupe_value v,
                                                           troupe_future **out);

/* Is it ready? Lets others run if not, so it may be asked in a loop. */
TROUPE_API bool troupe_future_ready(troupe_self *self, troupe_future *f);

/* Waits for the answer, given; as troupe_ask. Whatever it returns but TIMEOUT, the future is gone, and *f NULL. Parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_future_await(troupe_self *self, troupe_future **f, int64_t timeout_ms,
                                                              troupe_msg **answer);

/* Waits until one of n is ready: *which is the first of those that are. NULLs among them are passed over; NOT_FOUND: there are
 * only such. TIMEOUT. CLOSED: this actor was killed. Parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_future_any(troupe_self *self, troupe_future *const *f, size_t n,
                                                            int64_t timeout_ms, size_t *which);
/* Waits until all of n are ready, NULLs passed over. TIMEOUT. CLOSED: this actor was killed. Parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_future_all(troupe_self *self, troupe_future *const *f, size_t n,
                                                            int64_t timeout_ms);

/* What is called when a future is ready: st and answer (given; NULL unless OK) as troupe_future_await would have given them. */
typedef void troupe_future_fn(troupe_self *self, troupe_status st, troupe_msg *answer, void *arg);

/* Has fn called when it is ready, by the actor itself: inside its troupe_receive, or one of the calls above. Takes the future.
 * If the body returns before, it is not called; arg is borrowed until then. Does not park. */
TROUPE_API void troupe_future_then(troupe_future **f, troupe_future_fn *fn, void *arg);

/* Gives it up, and sets it to NULL; accepts NULL inside. Does not park. */
TROUPE_API void troupe_future_free(troupe_future **f);

#endif
