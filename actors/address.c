/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Addresses: tcp and ipc. */
#include "actors/address.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "actors/lookup.h"
#include "transports/log.h"
#include "transports/url.h"

static void add(struct trp_addresses *all, const struct addrinfo *found) {
    if (all->count == TRP_ADDRESSES || found->ai_addrlen > sizeof all->at->any)
        return;
    struct trp_address *a = &all->at[all->count++];
    a->size = found->ai_addrlen;
    memcpy(&a->any, found->ai_addr, found->ai_addrlen);
}

/* Listening on all interfaces is one socket of IPv6 that takes both, where there is one. */
static troupe_status tcp(troupe_self *self, const struct trp_url *u, bool passive, int64_t deadline,
                         struct trp_addresses *out) {
    struct addrinfo *list;
    if (!passive && !u->host[0])
        return TROUPE_BAD_URL;
    troupe_status st = trp_lookup(self, u->host, u->port, passive, deadline, &list);
    if (st != TROUPE_OK)
        return st;
    for (int v6_first = passive && !u->host[0]; v6_first >= 0; v6_first--) {
        for (const struct addrinfo *a = list; a; a = a->ai_next) {
            bool v6 = a->ai_family == AF_INET6;
            if (u->host[0] || v6 == v6_first)
                add(out, a);
        }
    }
    freeaddrinfo(list);
    return out->count ? TROUPE_OK : TROUPE_NOT_FOUND;
}

static troupe_status ipc(const struct trp_url *u, struct trp_addresses *out) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = strlen(u->path);
    if (n == 0 || n >= sizeof a.sun_path)
        return TROUPE_BAD_URL;
    memcpy(a.sun_path, u->path, n + 1);
    memcpy(&out->at[0].any, &a, sizeof a);
    out->at[0].size = sizeof a;
    out->count = 1;
    return TROUPE_OK;
}

troupe_status trp_addresses_of(troupe_self *self, const char *url, bool passive, int64_t deadline, struct trp_addresses *out) {
    struct trp_url u;
    const char *why = "it is neither tcp nor ipc";
    out->count = 0;
    troupe_status st = url ? trp_url_parse(url, &u, &why) : TROUPE_BAD_URL;
    if (st == TROUPE_OK && strcmp(u.scheme, "tcp") == 0)
        st = tcp(self, &u, passive, deadline, out);
    else if (st == TROUPE_OK)
        st = strcmp(u.scheme, "ipc") == 0 ? ipc(&u, out) : TROUPE_BAD_URL;
    if (st == TROUPE_BAD_URL)
        trp_log(TROUPE_LOG_WARN, "stream.url", "%s: %s", url ? url : "(none)", why);
    return st;
}

void trp_address_print(const struct trp_address *a, char *out, size_t cap) {
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (a->any.ss_family == AF_UNIX)
        snprintf(out, cap, "ipc://%s", ((const struct sockaddr_un *)&a->any)->sun_path);
    else if (getnameinfo((const struct sockaddr *)&a->any, a->size, host, sizeof host, port, sizeof port,
                         NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(out, cap, strchr(host, ':') ? "tcp://[%s]:%s" : "tcp://%s:%s", host, port);
}

int trp_address_socket(const struct trp_address *a) {
    int fd = socket(a->any.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd >= 0 && a->any.ss_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

troupe_status trp_address_refusal(int error) {
    switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return TROUPE_REFUSED;
    case ETIMEDOUT:
        return TROUPE_TIMEOUT;
    case ENOENT:
    case ENOTDIR:
        return TROUPE_NOT_FOUND;
    case EADDRINUSE:
        return TROUPE_ADDRESS_IN_USE;
    default:
        return TROUPE_SYSTEM;
    }
}
