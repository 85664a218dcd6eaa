/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Time as the runtime counts it: nanoseconds of the monotonic clock, or of a test's own, absolute. Public calls take
 * milliseconds from now and turn them into a deadline once, so that waking in vain never stretches a wait. */
#ifndef TRP_DEADLINE_H
#define TRP_DEADLINE_H

#include <stdint.h>
#include <troupe/client.h>

#define TRP_NEVER INT64_MAX
enum { TRP_NS_PER_MS = 1000000 };

/* Of the monotonic clock, or of the made one that the calling thread is under (clock.h). */
int64_t trp_now(void);

/* `ms` from now; below 0: never. */
static inline int64_t trp_deadline(int64_t ms) {
    if (ms < 0)
        return TRP_NEVER;
    int64_t now = trp_now();
    return ms > (TRP_NEVER - now) / TRP_NS_PER_MS - 1 ? TRP_NEVER : now + ms * TRP_NS_PER_MS;
}

/* What is left of it in whole milliseconds, rounded up so that nobody wakes early; below 0: for ever. */
static inline int64_t trp_deadline_ms(int64_t deadline, int64_t now) {
    if (deadline == TRP_NEVER)
        return TROUPE_FOREVER;
    return deadline <= now ? 0 : (deadline - now + TRP_NS_PER_MS - 1) / TRP_NS_PER_MS;
}

#endif
