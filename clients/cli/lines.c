/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "clients/cli/lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

enum { CHUNK = 64 * 1024, LINE_MOST = 16 << 20 };

bool cli_lines_take(struct cli_lines *l, const char **text, size_t *n) {
    const uint8_t *from = l->in.p + l->at;
    size_t left = l->in.n - l->at;
    const uint8_t *end = left ? memchr(from, '\n', left) : NULL;
    if (!end && (!l->ended || left == 0))
        return false;
    *text = (const char *)from;
    *n = end ? (size_t)(end - from) : left; /* the last line may lack its newline */
    l->at += *n + (end != NULL);
    l->number++;
    return true;
}

static _Noreturn void end(const struct cli_lines *l, int code, const char *what) {
    (void)fprintf(stderr, "troupe %s: line %lu: %s\n", l->command, l->number + 1, what);
    exit(code);
}

bool cli_lines_fill(struct cli_lines *l) {
    ssize_t n;
    if (l->ended)
        return false;
    trp_buf_drop(&l->in, l->at);
    l->at = 0;
    if (l->in.n > LINE_MOST || trp_buf_room(&l->in, CHUNK) != TROUPE_OK)
        end(l, EX_DATAERR, "it is too long");
    do
        n = read(STDIN_FILENO, l->in.p + l->in.n, CHUNK);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        end(l, EX_IOERR, strerror(errno));
    l->in.n += (size_t)n;
    l->ended = n == 0;
    return !l->ended || l->in.n > 0;
}

void cli_lines_fini(struct cli_lines *l) {
    trp_buf_fini(&l->in);
}
