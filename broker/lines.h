/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a gateway client types: bytes cut into lines, and a line understood. Pure.
 *
 * A line ends with \n; a \r before it goes. With `chunk` a read that does not end in a newline is a line, too: the
 * clients this service started with send "30" and wait. A line longer than the limit is reported once and skipped to
 * its end; the connection goes on. */
#ifndef TRP_BROKER_LINES_H
#define TRP_BROKER_LINES_H

#include <troupe/value.h>

#include "transports/buf.h"

struct trp_lines {
    size_t max; /* bytes of a line, without its end */
    bool chunk;
    bool skipping;       /* inside a line that is too long */
    bool handed;         /* the last line handed out lies in part */
    struct trp_buf part; /* the beginning of a line cut by the end of a read; never more than max bytes */
};

enum trp_lines_event { TRP_LINES_MORE, TRP_LINES_LINE, TRP_LINES_TOO_LONG };

void trp_lines_init(struct trp_lines *l, size_t max, bool chunk);
void trp_lines_fini(struct trp_lines *l);
/* Takes bytes from *p .. end and gives at most one event; call until MORE. *line is valid until the next call or until
 * the caller's bytes go. `last`: nothing follows these bytes in this read (chunk framing ends a line there). NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_lines_next(struct trp_lines *l, const uint8_t **p, const uint8_t *end, bool last,
                                              enum trp_lines_event *ev, struct trp_slice *line);
/* No more bytes will come: true and the last line, if there is one without an end. */
bool trp_lines_end(struct trp_lines *l, struct trp_slice *line);
/* Is a line half here? */
static inline bool trp_lines_partial(const struct trp_lines *l) {
    return (l->part.n > 0 && !l->handed) || l->skipping;
}

enum trp_line_kind {
    TRP_LINE_REQUEST, /* value, and topic when the line names one (n == 0: the gateway's own) */
    TRP_LINE_EMPTY,
    TRP_LINE_BAD, /* why: a sentence */
    TRP_LINE_HELP,
    TRP_LINE_QUIT,
};

struct trp_line {
    enum trp_line_kind kind;
    struct trp_slice topic;
    troupe_value value; /* borrows from the line */
    const char *why;
};

/* A decimal integer (blanks around it, a sign) is an integer; `/help`, `/quit`; `/topic text` goes to that topic; anything
 * else that is UTF-8 without control characters but tab is text. */
struct trp_line trp_line_parse(struct trp_slice line);

/* Does a first line begin like an HTTP request? A web page must not be able to smuggle lines in. */
bool trp_line_is_http(struct trp_slice line);

#endif
