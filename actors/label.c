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

/* One more; the numbers of a batch have as many digits, but where the first has fewer: then the text grows. */
static void count_on(struct trp_labels *l) {
    char *d = l->text + l->length - 1;
    while (*d == '9')
        *d-- = '0';
    if (*d != '-') {
        ++*d;
        return;
    }
    memmove(d + 2, d + 1, (size_t)(l->text + l->length - (d + 1)));
    d[1] = '1';
    l->length++;
}

void trp_label_next(struct trp_labels *near, atomic_uint *count, char out[TRP_LABEL_SIZE]) {
    if (!near) {
        /* Relaxed, both: a number. */
        (void)write_label(out, atomic_fetch_add_explicit(count, 1, memory_order_relaxed) + 1);
        return;
    }
    if (near->left) {
        count_on(near);
        near->left--;
    } else {
        near->length = write_label(near->text, atomic_fetch_add_explicit(count, BATCH, memory_order_relaxed) + 1);
        near->left = BATCH - 1;
    }
    memcpy(out, near->text, TRP_LABEL_SIZE);
}
