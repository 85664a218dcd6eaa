/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/label.h"

#include <string.h>

enum { BATCH = 100 };

static const char stem[] = "actor-";

/* By hand: printf would cost as much as the rest of a birth. */
static unsigned char write_label(char out[TRP_LABEL_SIZE], unsigned n) {
    char digits[16], *end = digits + sizeof digits, *d = end;
    do
        *--d = (char)('0' + n % 10);
    while (n /= 10);
    memset(out, 0, TRP_LABEL_SIZE);
    memcpy(out, stem, sizeof stem - 1);
    memcpy(out + sizeof stem - 1, d, (size_t)(end - d));
    return (unsigned char)(sizeof stem - 1 + (size_t)(end - d));
}

/* A whole hundred: within it only the last two digits change. There is one in twice as many numbers. */
static void batch_take(struct trp_labels *l, atomic_uint *count) {
    /* Relaxed, as below: a number. */
    unsigned n = atomic_fetch_add_explicit(count, 2 * BATCH, memory_order_relaxed) + 1;
    l->length = (unsigned char)(write_label(l->text, (n + BATCH - 1) / BATCH * BATCH) - 2);
    l->left = BATCH;
}

void trp_label_next(struct trp_labels *near, atomic_uint *count, char out[TRP_LABEL_SIZE]) {
    if (!near) {
        (void)write_label(out, atomic_fetch_add_explicit(count, 1, memory_order_relaxed) + 1);
        return;
    }
    if (!near->left)
        batch_take(near, count);
    unsigned n = BATCH - near->left--;
    memcpy(out, near->text, TRP_LABEL_SIZE);
    out[near->length] = (char)('0' + n / 10);
    out[near->length + 1] = (char)('0' + n % 10);
}
