/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What taskmaster and taskworker have agreed on, and the little that both need for their command lines.
 *
 *     queue      message                                   header t-id    who puts it     who takes it
 *     task       a number to be squared, or a file's name  RUN-INDEX      the master      workers
 *     result     a line of text: "9 * 9 = 81"              the task's     workers         the master
 *     task.run   the run under way, see task_run.c                        the master      the master
 *
 * The id is what makes each result appear once: a queue takes a message with an id that it has seen within its window, and
 * drops it. */
#ifndef EXAMPLES_TASK_H
#define EXAMPLES_TASK_H

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define TASK_QUEUE   "task"
#define RESULT_QUEUE "result"
#define RUN_QUEUE    "task.run"
#define TASK_URL     "tcp://127.0.0.1:5000"

enum { TASK_ID_MAX = 64 };

/* "1s", "500ms", "1.5m", "2h", a bare number is seconds; at most 1000 h. False: it is none of them. */
static inline bool task_duration(const char *text, int64_t *ms) {
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    char *end;
    double n = isdigit((unsigned char)*text) || *text == '.' ? strtod(text, &end) : -1;
    if (!(n >= 0 && n <= 3.6e9))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(end, units[i].unit) == 0 && n * units[i].ms <= 3.6e9) {
            *ms = (int64_t)(n * units[i].ms + 0.5);
            return true;
        }
    }
    return false;
}

/* A decimal number within bounds. False: it is none. */
static inline bool task_number(const char *text, uint64_t least, uint64_t most, uint64_t *out) {
    char *end;
    errno = 0;
    unsigned long long n = isdigit((unsigned char)*text) ? strtoull(text, &end, 10) : 0;
    if (!isdigit((unsigned char)*text) || *end || errno || n < least || n > most)
        return false;
    *out = n;
    return true;
}

/* A number of what the broker tells of a queue, as JSON: "ready":3. 0: it is not there. */
static inline int64_t task_field(const char *json, const char *name) {
    size_t n = strlen(name);
    for (const char *at = json; (at = strstr(at, name)); at += n)
        if (at > json && at[-1] == '"' && strncmp(at + n, "\":", 2) == 0)
            return strtoll(at + n + 2, NULL, 10);
    return 0;
}

#endif
