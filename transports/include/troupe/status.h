/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a call can say. One type, one table.
 *
 * 0 is success. A value above 0 is a *condition*: part of normal life (timed out, closed, full), listed at each
 * function that can return it and handled by its caller. A value below 0 is a *fault* (no memory, the system said
 * no, broken input, a bug): forward it, log it, give up on the thing at hand. The idea is dbus-broker's.
 *
 *     troupe_status st = troupe_client_request(c, "fib", troupe_int(30), 1000, &answer);
 *     if (st == TROUPE_TIMEOUT)
 *         retry();
 *     else if (st < 0)
 *         errx(1, "%s", troupe_status_text(st));
 */
#ifndef TROUPE_STATUS_H
#define TROUPE_STATUS_H

#include <troupe/export.h>

/*  name, number, text */
#define TROUPE_STATUS_TABLE(X)                                                                                                 \
    X(OK, 0, "ok")                                                                                                             \
    X(TIMEOUT, 1, "the time is over")                                                                                          \
    X(CLOSED, 2, "it is closed")                                                                                               \
    X(FULL, 3, "it is full")                                                                                                   \
    X(EMPTY, 4, "there is nothing in it")                                                                                      \
    X(NO_RESPONDERS, 5, "nobody listens to that topic")                                                                        \
    X(WORKER_LOST, 6, "the worker died with the request in hand")                                                              \
    X(DISCONNECTED, 7, "there is no connection to the broker")                                                                 \
    X(BUSY, 8, "the backlog is full")                                                                                          \
    X(NOT_FOUND, 9, "there is no such thing")                                                                                  \
    X(EXISTS, 10, "it exists already")                                                                                         \
    X(REFUSED, 11, "the other side refused")                                                                                   \
    X(DIED, 12, "the actor died")                                                                                              \
    X(AGAIN, 13, "not now, try again")                                                                                         \
    X(EOF, 14, "the other side has finished")                                                                                  \
    X(RESET, 15, "the other side broke the connection")                                                                        \
    X(NO_MEMORY, -1, "out of memory")                                                                                          \
    X(SYSTEM, -2, "the operating system refused")                                                                              \
    X(PROTOCOL, -3, "the other side broke the protocol")                                                                       \
    X(INVALID, -4, "an argument is not valid")                                                                                 \
    X(TOO_BIG, -5, "it is larger than the limit")                                                                              \
    X(TOO_DEEP, -6, "it is nested deeper than the limit")                                                                      \
    X(TRUNCATED, -7, "it ends too early")                                                                                      \
    X(BAD_URL, -8, "the address cannot be read")                                                                               \
    X(ADDRESS_IN_USE, -9, "the address is in use")                                                                             \
    X(NO_NURSERY, -10, "the nursery that forks process actors is gone")                                                        \
    X(UNSUPPORTED, -11, "not supported here")                                                                                  \
    X(BUG, -12, "a bug in troupe")                                                                                             \
    X(BAD_KEY, -13, "the authkey file cannot be used")

typedef enum troupe_status {
#define X(name, number, text) TROUPE_##name = (number),
    TROUPE_STATUS_TABLE(X)
#undef X
} troupe_status;

/* The name ("NO_RESPONDERS") and the sentence of a status. Both are static strings, never NULL; an unknown number
 * gives "UNKNOWN". Context: any thread, never blocks. */
TROUPE_API const char *troupe_status_name(troupe_status st);
TROUPE_API const char *troupe_status_text(troupe_status st);

#endif
