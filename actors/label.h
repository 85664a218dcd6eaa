/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Names for actors that were given none: "actor-N", each N once in a system. A thread that spawns many takes numbers by the
 * hundred and changes their last digits: neither a division nor what another thread writes to is in the way of a birth. */
#ifndef TRP_LABEL_H
#define TRP_LABEL_H

#include <stdatomic.h>

enum { TRP_LABEL_SIZE = 24 };

/* What one thread has at hand: zero it. */
struct trp_labels {
    char text[TRP_LABEL_SIZE]; /* the first of its hundred */
    unsigned char length;      /* of it, without the last two digits */
    unsigned char left;        /* how many of the hundred are left */
};

/* The next; `count`: numbers given so far, of all threads. near NULL: the thread has none at hand, and takes one number. */
void trp_label_next(struct trp_labels *near, atomic_uint *count, char out[TRP_LABEL_SIZE]);

#endif
