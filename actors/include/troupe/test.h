/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Systems for tests: the same actors, but on one thread, in an order that is drawn from a seed, and in a time that passes
 * only while everybody waits. So a time-out of an hour takes no time, a race that one seed shows is shown again by the
 * same seed, and a test runs many orders in the time in which it would sleep once.
 *
 *     for (uint64_t seed = 0; seed < 1000; seed++) {
 *         troupe_system *sys;
 *         troupe_test_open(&sys, seed);
 *         troupe_spawn(troupe_system_self(sys), NULL, account, NULL, 0, &ref);
 *         ...                                     // ask it, sleep for an hour, look at what has come of it
 *         troupe_system_close(&sys);
 *     }
 *
 * What is drawn: at each call of a body that may let others run (send, receive, ask, spawn and so on, waiting or not) whether
 * others run first, and which of those that could run. Between two calls a body is never interrupted, so what
 * bodies do to memory that they share by mistake is not found here; -fsanitize=thread finds that.
 *
 * What is different: every kind runs as a coroutine, on the thread that opened the system (troupe_self_kind still says what was
 * asked for). So a crash is a crash of the test, a body that blocks otherwise than by these calls blocks everybody, and one
 * that waits by looking again and again waits for ever: time does not pass for it. The broker, descriptors and streams are not
 * of this world: UNSUPPORTED. */
#ifndef TROUPE_TEST_H
#define TROUPE_TEST_H

#include <troupe/actor.h>

/* Opens such a system; closed by troupe_system_close. The calling thread is an actor of it, and others run while it is in a
 * call. A wait of that actor that nothing can end any more, since everybody waits and no time-out is set, is TIMEOUT at once,
 * whatever was given: a deadlock. INVALID: this thread has one open already. Faults: NO_MEMORY, SYSTEM. Context: any thread, to
 * which the system then belongs. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_test_open(troupe_system **out, uint64_t seed);

/* Milliseconds that have passed in it since it was opened. 0: it is not such a system. Context: its thread. */
TROUPE_API int64_t troupe_test_now(const troupe_system *sys);

/* The next number of those that the seed gives, for what else a test wants to draw. Context: its thread. */
TROUPE_API uint64_t troupe_test_random(troupe_system *sys);

#endif
