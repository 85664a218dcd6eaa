/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/copy.h"

#include <pthread.h>

atomic_uint trp_forks;

static void on_fork(void) {
    atomic_fetch_add_explicit(&trp_forks, 1, memory_order_relaxed);
}

static void watch(void) {
    (void)!pthread_atfork(NULL, NULL, on_fork);
}

void trp_copy_watch(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, watch);
}
