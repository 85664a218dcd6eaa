/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The kernel counts who is runnable on the whole machine: "0.52 0.58 0.59 3/467 11206" says that three are, the
 * caller among them. One look serves all threads of the process for a while. */
#include "actors/cores.h"

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Others come and go: who was held up by them looks again sooner. */
enum { LOOK_NS = 20000000, LOOK_BUSY_NS = 5000000 };

static struct {
    _Atomic int64_t last; /* look */
    atomic_bool busy;
} cores;

unsigned trp_cores(void) {
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n > 0 ? (unsigned)n : 1;
}

unsigned trp_cores_wanted(const char *loadavg) {
    const char *at = loadavg;
    for (int averages = 0; at && averages < 3; averages++) {
        at = strchr(at, ' ');
        at += at != NULL;
    }
    return at && strchr(at, '/') ? (unsigned)strtoul(at, NULL, 10) : 0;
}

static bool look(void) {
    char text[64];
    int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return false;
    text[n] = 0;
    return trp_cores_wanted(text) > (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
}

bool trp_cores_seemed_free(void) {
    return !atomic_load_explicit(&cores.busy, memory_order_relaxed);
}

bool trp_cores_are_free(int64_t now) {
    /* Relaxed, all of it: a guess that is late by a moment is as good. */
    bool busy = atomic_load_explicit(&cores.busy, memory_order_relaxed);
    int64_t last = atomic_load_explicit(&cores.last, memory_order_relaxed);
    if (now - last < (busy ? LOOK_BUSY_NS : LOOK_NS) ||
        !atomic_compare_exchange_strong_explicit(&cores.last, &last, now, memory_order_relaxed, memory_order_relaxed))
        return !busy;
    busy = look();
    atomic_store_explicit(&cores.busy, busy, memory_order_relaxed);
    return !busy;
}
