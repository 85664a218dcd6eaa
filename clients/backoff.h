/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * How long to wait before the next try: doubling, with jitter. See backoff.c. */
#ifndef TRP_BACKOFF_H
#define TRP_BACKOFF_H

#include <stdint.h>

struct trp_backoff {
    int64_t min, max; /* (c) milliseconds */
    int64_t step;     /* the next wait before jitter */
    uint64_t random;
};

/* 0 < min <= max. seed 0: from the kernel. */
void trp_backoff_init(struct trp_backoff *b, int64_t min, int64_t max, uint64_t seed);
/* The next wait, and a longer one the next time. */
int64_t trp_backoff_next(struct trp_backoff *b);
/* Waits of at most max from now on. */
void trp_backoff_limit(struct trp_backoff *b, int64_t max);
/* A try went well, and what it made lasted for `ms`. */
void trp_backoff_lasted(struct trp_backoff *b, int64_t ms);

#endif
