/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Sleeping on a word, and waking who sleeps on it, in this process or in another one that has mapped it. Linux only, as
 * memfd and the nursery's pidfd are. */
#ifndef TRP_FUTEX_H
#define TRP_FUTEX_H

#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "actors/deadline.h"

/* How often this process has asked the kernel to let it sleep on a word, or to wake another process: what messages between busy
 * processes don't need. */
extern _Atomic uint64_t trp_futex_calls;

static inline void trp_futex_count(void) {
    /* Relaxed: a statistic. */
    atomic_fetch_add_explicit(&trp_futex_calls, 1, memory_order_relaxed);
}

/* Sleeps while *word is `seen`, at most until the deadline; wakes in vain now and then. */
static inline void trp_futex_wait(_Atomic uint32_t *word, uint32_t seen, int64_t deadline) {
    /* FUTEX_WAIT_BITSET: its time is absolute, of CLOCK_MONOTONIC. */
    struct timespec until = {.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000};
    trp_futex_count();
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET, seen, deadline == TRP_NEVER ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
}

/* The same between threads of this process, who know the word by its address alone: nobody is counted. */
static inline void trp_futex_wait_near(_Atomic uint32_t *word, uint32_t seen, int64_t deadline) {
    struct timespec until = {.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000};
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, seen, deadline == TRP_NEVER ? NULL : &until, NULL,
            FUTEX_BITSET_MATCH_ANY);
}

/* Wakes one. The word may be gone: the kernel does not look at it. */
static inline void trp_futex_wake_near(_Atomic uint32_t *word) {
    syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

/* All of them: there is mostly one. */
static inline void trp_futex_wake(_Atomic uint32_t *word) {
    trp_futex_count();
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

#endif
