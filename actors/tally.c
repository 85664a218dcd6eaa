/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/tally.h"

enum { BATCH = 64, HAND_MOST = 2 * BATCH };

static bool give(atomic_size_t *count, size_t n) {
    return n > 0 && atomic_fetch_sub(count, n) == n;
}

void trp_tally_in(struct trp_tally *near, atomic_size_t *count) {
    if (!near) {
        atomic_fetch_add(count, 1);
        return;
    }
    if (!near->hand) {
        atomic_fetch_add(count, BATCH);
        near->hand = BATCH;
    }
    near->hand--;
}

bool trp_tally_out(struct trp_tally *near, atomic_size_t *count) {
    if (!near)
        return give(count, 1);
    if (++near->hand < HAND_MOST)
        return false;
    near->hand -= BATCH;
    return give(count, BATCH);
}

bool trp_tally_settle(struct trp_tally *near, atomic_size_t *count) {
    unsigned n = near ? near->hand : 0;
    if (n)
        near->hand = 0;
    return give(count, n);
}
