/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * How a process actor died, told to the broker that it consumed queues of: by the steward, by a connection of its own, for the
 * process can't (see PROTOCOL.md, obituaries).
 *
 *     the process, before it dials: draws a token, writes it where the system will find it, says it in its HELLO
 *     the steward, when it has died: finds the token, if there is one, and says it again, with the signal
 *
 * An actor that never needed the broker has no token and costs nothing. What can't be said in time is dropped: then the broker
 * does not know. Part of a worker's line to the broker (bus.h); owner thread only. */
#ifndef TRP_EPITAPH_H
#define TRP_EPITAPH_H

#include <troupe/actor.h>

struct trp_bus;
struct trp_epitaph;

struct trp_epitaphs {
    struct trp_epitaph *first; /* to be said when the connection is up */
    unsigned n;
};

/* A token of TRP_EPITAPH bytes with its zero, hard to guess, unless there is one. False: the system has no random numbers. */
TROUPE_NODISCARD bool trp_epitaph_make(char *token);

/* That process has ended so. Nothing happens if the token is "" or the end a normal one. Does not block. */
void trp_epitaph_say(struct trp_bus *bus, const char *token, const troupe_exit *exit);
/* The connection is up. */
void trp_epitaphs_send(struct trp_bus *bus);
/* It never will be. */
void trp_epitaphs_drop(struct trp_bus *bus);

#endif
