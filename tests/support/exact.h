/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Bytes in memory of exactly their size, so that a sanitizer sees the first one that is read too far. To be freed by free(3).
 */
#ifndef TESTS_EXACT_H
#define TESTS_EXACT_H

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline uint8_t *exact(const void *p, size_t n) {
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy)
        ck_abort_msg("out of memory");
    if (n)
        memcpy(copy, p, n);
    return copy;
}

#endif
