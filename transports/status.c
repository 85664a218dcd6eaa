/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The words of the status table. A switch, not an array: the numbers have a hole nowhere, but nothing should break
 * on the day they do. */
#include <troupe/status.h>

const char *troupe_status_name(troupe_status st) {
    switch (st) {
#define X(name, number, text)                                                                                                  \
    case TROUPE_##name:                                                                                                        \
        return #name;
        TROUPE_STATUS_TABLE(X)
#undef X
    }
    return "UNKNOWN";
}

const char *troupe_status_text(troupe_status st) {
    switch (st) {
#define X(name, number, text)                                                                                                  \
    case TROUPE_##name:                                                                                                        \
        return text;
        TROUPE_STATUS_TABLE(X)
#undef X
    }
    return "a status that this version does not know";
}
