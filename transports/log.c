/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The log hook. Text from peers ends up in log lines, so control characters are replaced before the hook sees them:
 * nobody forges a second line or moves the cursor of whoever reads. Nothing here allocates. */
#include "transports/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LOG_TEXT_MAX = 1024 };

static troupe_log_fn *log_fn;
static void *log_ctx;
static troupe_log_level log_most;

void troupe_log_set(troupe_log_fn *fn, void *ctx, troupe_log_level most) {
    log_fn = fn;
    log_ctx = ctx;
    log_most = most;
}

bool trp_log_wants(troupe_log_level level) {
    return log_fn && level <= log_most;
}

static void text_clean(char *s) {
    for (; *s; s++) {
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
    }
}

void trp_log(troupe_log_level level, const char *event, const char *fmt, ...) {
    if (!trp_log_wants(level))
        return;
    int saved = errno; /* a log line between a system call and the look at its errno changes nothing */
    char text[LOG_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n < 0)
        snprintf(text, sizeof text, "(a text that cannot be formatted)");
    else if (n >= (int)sizeof text)
        memcpy(text + sizeof text - 4, "...", 4);
    text_clean(text);
    log_fn(log_ctx, level, event, text);
    errno = saved;
}

static const char *level_name(troupe_log_level level) {
    static const char *const names[] = {"error", "warn", "info", "debug"};
    return (unsigned)level < sizeof names / sizeof *names ? names[level] : "?";
}

void troupe_log_stderr(void *ctx, troupe_log_level level, const char *event, const char *text) {
    (void)ctx;
    struct timespec now = {0};
    struct tm utc;
    char stamp[32] = "", line[LOG_TEXT_MAX + 256];
    clock_gettime(CLOCK_REALTIME, &now);
    if (gmtime_r(&now.tv_sec, &utc))
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    int n = snprintf(line, sizeof line, "%s.%03ldZ %s %s %s\n", stamp, now.tv_nsec / 1000000, level_name(level), event, text);
    if (n < 0)
        return;
    if (n >= (int)sizeof line) {
        n = (int)sizeof line;
        line[n - 1] = '\n';
    }
    /* One write a line, so that lines of several threads and processes do not mix. */
    ssize_t done;
    do {
        done = write(STDERR_FILENO, line, (size_t)n);
    } while (done < 0 && errno == EINTR);
}
