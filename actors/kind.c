/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include <string.h>
#include <troupe/actor.h>

static const char *const names[] = {[TROUPE_COROUTINE] = "coroutine", [TROUPE_THREAD] = "thread", [TROUPE_PROCESS] = "process"};

const char *troupe_kind_name(troupe_kind kind) {
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}

troupe_status troupe_kind_parse(const char *name, troupe_kind *out) {
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (troupe_kind)i;
            return TROUPE_OK;
        }
    }
    return TROUPE_NOT_FOUND;
}
