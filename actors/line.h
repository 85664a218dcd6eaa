/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * How memory moves between processors: what is used together lies in one line, what two processors write lies apart. */
#ifndef TRP_LINE_H
#define TRP_LINE_H

enum {
    TRP_LINE = 64,   /* bytes that a processor's cache fetches at a time */
    TRP_APART = 128, /* bytes that two processors do not fight for: lines are fetched in pairs */
};

#endif
