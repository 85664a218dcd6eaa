/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The socket addresses that a URL means: some for tcp, one for ipc. */
#ifndef TRP_ADDRESS_H
#define TRP_ADDRESS_H

#include <sys/socket.h>
#include <troupe/actor.h>

struct trp_address {
    socklen_t size;
    struct sockaddr_storage any;
};

enum { TRP_ADDRESSES = 8 };
struct trp_addresses {
    unsigned count; /* at least 1 */
    struct trp_address at[TRP_ADDRESSES];
};

/* `passive`: to listen on. BAD_URL; NOT_FOUND: no such host; TIMEOUT; CLOSED: killed; NO_MEMORY; SYSTEM. Context: self; parks
 * while a name is looked up. */
TROUPE_NODISCARD troupe_status trp_addresses_of(troupe_self *self, const char *url, bool passive, int64_t deadline,
                                                struct trp_addresses *out);

/* Which it is, as a URL. */
void trp_address_print(const struct trp_address *a, char *out, size_t cap);

/* A socket for it: non-blocking, close-on-exec, without delay. -1: errno. */
int trp_address_socket(const struct trp_address *a);

/* What an errno of connect, bind or listen means. */
troupe_status trp_address_refusal(int error);

#endif
