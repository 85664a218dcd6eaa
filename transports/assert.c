/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The end of the process after a broken invariant. It goes to stderr whatever the log hook is, in one write(2) and
 * without allocating: the heap may be what is broken. */
#include "transports/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void trp_assert_failed(const char *expr, const char *file, int line) {
    char text[512];
    int n = snprintf(text, sizeof text, "troupe: this must hold and does not: %s (%s:%d)\n", expr, file, line);
    if (n >= (int)sizeof text) {
        n = (int)sizeof text;
        text[n - 1] = '\n';
    }
    ssize_t written = write(STDERR_FILENO, text, n > 0 ? (size_t)n : 0);
    (void)written; /* there is nobody left to tell */
    abort();
}
