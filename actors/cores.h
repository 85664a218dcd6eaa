/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Processors: how many this thread may use, and whether there is one for everybody who wants one. */
#ifndef TRP_CORES_H
#define TRP_CORES_H

#include <stdbool.h>
#include <stdint.h>

/* How many processors the calling thread may use. */
unsigned trp_cores(void);

/* Are there no more threads that want to run than processors? As of some milliseconds ago. `now`: of the monotonic clock, in
 * nanoseconds. True where the kernel does not say. Any thread; a look every now and then costs some microseconds. */
bool trp_cores_are_free(int64_t now);
/* What that said last, to whomever. */
bool trp_cores_seemed_free(void);

/* What /proc/loadavg says of threads that want to run, out of its text; 0: nothing. */
unsigned trp_cores_wanted(const char *loadavg);

#endif
