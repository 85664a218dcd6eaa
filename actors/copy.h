/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A program that forks with a system open has a copy of it in its child: of its locks as somebody held them, of its sockets,
 * and of none of its threads. Nothing there may be touched. So forks are counted, and what was made before the last one is
 * known by it. */
#ifndef TRP_COPY_H
#define TRP_COPY_H

#include <stdatomic.h>
#include <stdbool.h>

extern atomic_uint trp_forks; /* that lie between this process and its ancestor which called trp_copy_watch first */

/* Forks count from now on. NO_MEMORY is no reason not to go on: then they don't. */
void trp_copy_watch(void);

static inline unsigned trp_copy_now(void) {
    return atomic_load_explicit(&trp_forks, memory_order_relaxed);
}

#endif
