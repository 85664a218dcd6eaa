/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Host names into addresses, without stopping the others of a worker: a name is looked up on libuv's pool of threads,
 * and the actor parks meanwhile. */
#ifndef TRP_LOOKUP_H
#define TRP_LOOKUP_H

#include <netdb.h>
#include <troupe/actor.h>

/* The addresses of a host ("" with `passive`: all interfaces), given: freeaddrinfo(3). NOT_FOUND; TIMEOUT; CLOSED: killed;
 * NO_MEMORY; SYSTEM. Context: self; parks unless the host is a number. */
TROUPE_NODISCARD troupe_status trp_lookup(troupe_self *self, const char *host, const char *port, bool passive, int64_t deadline,
                                          struct addrinfo **out);

#endif
