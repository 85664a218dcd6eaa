/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Standard input, line by line, in reads as large as they come. What has been read is taken line by line; then, before the
 * next read, which may wait for long, is the time to flush:
 *
 *     struct cli_lines in = {.command = "pub"};
 *     do {
 *         while (cli_lines_take(&in, &text, &n))
 *             ...
 *         flush
 *     } while (cli_lines_fill(&in)); */
#ifndef TRP_CLI_LINES_H
#define TRP_CLI_LINES_H

#include "transports/buf.h"

/* Zero-initialise, but for the command. */
struct cli_lines {
    const char *command; /* for messages */
    struct trp_buf in;
    size_t at; /* what lies before it has been taken */
    bool ended;
    unsigned long number; /* of the line taken last, from 1 */
};

/* The next whole line, without its newline; borrowed until the next fill. False: it has not been read yet. */
bool cli_lines_take(struct cli_lines *l, const char **text, size_t *n);
/* Reads more. False: there is nothing left. Ends the command when it can't be read, or a line is over 16 MiB. */
bool cli_lines_fill(struct cli_lines *l);
void cli_lines_fini(struct cli_lines *l);

#endif
