/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A payload as people type it: a decimal integer is an integer, other text is text, bytes that are no text are bytes,
 * and JSON is JSON where it was asked for. */
#ifndef TRP_CLI_PAYLOAD_H
#define TRP_CLI_PAYLOAD_H

#include "clients/cli/cli.h"
#include "transports/buf.h"

struct cli_payload {
    troupe_value value;
    struct trp_buf bytes; /* what value borrows from */
};

void cli_payload_fini(struct cli_payload *p);

/* One text, copied. INVALID: it is no JSON, *why says where. */
TROUPE_NODISCARD troupe_status cli_payload_from(struct cli_payload *p, const char *text, size_t n, bool json, const char **why);
/* An argument of a command line: NULL is nil, "-" is all of standard input without the newline at its end. Ends the
 * command when it can't be read. */
void cli_payload_read(const struct cli *cli, struct cli_payload *p, const char *arg, bool json);

#endif
