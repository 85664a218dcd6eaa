/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The libraries never print. They call this hook, which is silent until a program sets it.
 */
#ifndef TROUPE_LOG_H
#define TROUPE_LOG_H

#include <troupe/export.h>

typedef enum troupe_log_level {
    TROUPE_LOG_ERROR, /* something was lost or will not work */
    TROUPE_LOG_WARN,  /* a peer misbehaved, something was dropped or restarted */
    TROUPE_LOG_INFO,  /* life cycle: listening, connected, draining */
    TROUPE_LOG_DEBUG, /* each session */
} troupe_log_level;

/* `event` is a stable identifier ("session.closed"), `text` one line without a newline. Both are borrowed until the
 * hook returns. The hook is called from whichever thread has something to say, and must not call back into troupe. */
typedef void troupe_log_fn(void *ctx, troupe_log_level level, const char *event, const char *text);

/* Sets the process-wide hook; NULL silences it. Events above `most` (less important) are not formatted at all.
 * Context: before the first other call into troupe, one thread; never blocks. */
TROUPE_API void troupe_log_set(troupe_log_fn *fn, void *ctx, troupe_log_level most);

/* A ready hook: "2026-01-31T12:00:00.123Z info event text" to stderr, one write(2) a line. `ctx` is ignored. */
TROUPE_API void troupe_log_stderr(void *ctx, troupe_log_level level, const char *event, const char *text);

#endif
