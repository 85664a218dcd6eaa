/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * tcp://, IPv4 and IPv6. A numeric address is used as it is; a name is looked up in libuv's thread pool and its
 * addresses are tried one after the other until one answers. */
#include "transports/alloc.h"
#include "transports/transport.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    KEEPALIVE_IDLE_S = 30,
    KEEPALIVE_PROBE_S = 10,
    KEEPALIVE_PROBES = 3,
    UNACKED_MS = 60 * 1000, /* sent and not acknowledged for so long: the peer is gone */
};

static int tcp_init(uv_loop_t *loop, uv_stream_t *s) {
    return uv_tcp_init(loop, (uv_tcp_t *)s);
}

/* None of these is worth failing for: without them a connection is slower, or its death is noticed later. */
static void tcp_tune(uv_stream_t *s) {
    uv_os_fd_t fd;
    int probe = KEEPALIVE_PROBE_S, probes = KEEPALIVE_PROBES, unacked = UNACKED_MS;
    if (uv_fileno((uv_handle_t *)s, &fd) != 0)
        return;
    (void)uv_tcp_nodelay((uv_tcp_t *)s, 1);
    (void)uv_tcp_keepalive((uv_tcp_t *)s, 1, KEEPALIVE_IDLE_S);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &probe, sizeof probe);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked, sizeof unacked);
}

/* --- addresses --- */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* UV_EINVAL: it is a name. */
static int numeric(const struct trp_url *u, union address *a) {
    int port = atoi(u->port);
    if (strchr(u->host, ':'))
        return uv_ip6_addr(u->host, port, &a->v6);
    return uv_ip4_addr(u->host, port, &a->v4);
}

/* A kernel may know IPv6 and yet have it switched off: only binding tells. */
static bool has_ipv6(void) {
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool ok = bind(fd, (struct sockaddr *)&any, sizeof any) == 0;
    close(fd);
    return ok;
}

static int look_up_now(uv_loop_t *loop, const struct trp_url *u, union address *a) {
    uv_getaddrinfo_t lookup;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    int err = uv_getaddrinfo(loop, &lookup, NULL, u->host, u->port, &hints);
    if (err)
        return err;
    if (lookup.addrinfo->ai_addrlen <= sizeof *a)
        memcpy(a, lookup.addrinfo->ai_addr, lookup.addrinfo->ai_addrlen);
    else
        err = UV_EAFNOSUPPORT;
    uv_freeaddrinfo(lookup.addrinfo);
    return err;
}

/* The address to listen at. "::" takes IPv4 connections too. */
static int near_address(uv_loop_t *loop, const struct trp_url *u, union address *a) {
    int port = atoi(u->port);
    if (u->host[0] == '\0')
        return has_ipv6() ? uv_ip6_addr("::", port, &a->v6) : uv_ip4_addr("0.0.0.0", port, &a->v4);
    return numeric(u, a) == 0 ? 0 : look_up_now(loop, u, a);
}

static void print_address(const union address *a, char *out, size_t cap) {
    char host[INET6_ADDRSTRLEN] = "";
    bool v6 = a->any.sa_family == AF_INET6;
    if (v6)
        uv_ip6_name(&a->v6, host, sizeof host);
    else
        uv_ip4_name(&a->v4, host, sizeof host);
    snprintf(out, cap, v6 ? "tcp://[%s]:%d" : "tcp://%s:%d", host, ntohs(v6 ? a->v6.sin6_port : a->v4.sin_port));
}

static void tcp_near_url(uv_stream_t *s, const struct trp_url *u, char *out, size_t cap) {
    union address a;
    int n = sizeof a;
    if (uv_tcp_getsockname((uv_tcp_t *)s, &a.any, &n) == 0)
        print_address(&a, out, cap);
    else
        snprintf(out, cap, "tcp://%s:%s", u->host, u->port);
}

static void tcp_far_url(uv_stream_t *s, char *out, size_t cap) {
    union address a;
    int n = sizeof a;
    if (uv_tcp_getpeername((uv_tcp_t *)s, &a.any, &n) == 0)
        print_address(&a, out, cap);
    else
        snprintf(out, cap, "tcp://(gone)");
}

/* --- listening --- */

static int tcp_listen(uv_stream_t *s, const struct trp_url *u, int backlog, uv_connection_cb cb, const char **why) {
    union address a;
    int err = near_address(s->loop, u, &a);
    if (err) {
        *why = "the host name cannot be looked up";
        return err;
    }
    err = uv_tcp_bind((uv_tcp_t *)s, &a.any, 0);
    if (err)
        return err;
    tcp_tune(s);
    return uv_listen(s, backlog, cb);
}

/* --- dialling --- */

struct dialling {
    uv_getaddrinfo_t lookup;
    uv_connect_t connect;
    uv_tcp_t *tcp;
    struct addrinfo *list, *next; /* a name's addresses, and those not tried yet */
    trp_dialled_fn *done;
    void *ctx;
};

static void finish(struct dialling *d, int err) {
    trp_dialled_fn *done = d->done;
    void *ctx = d->ctx;
    if (d->list)
        uv_freeaddrinfo(d->list);
    trp_free(d);
    done(ctx, err);
}

/* A socket on which a connect has failed can't be used for the next address, and a handle has one socket for life. So
 * the new one is put in the old one's place, under the same number: libuv has stopped watching it. */
static int renew_socket(uv_tcp_t *tcp, int family) {
    uv_os_fd_t old;
    if (uv_fileno((uv_handle_t *)tcp, &old) != 0)
        return 0; /* it has none yet and will make its own */
    int fresh = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fresh < 0)
        return uv_translate_sys_error(errno);
    int err = dup3(fresh, old, O_CLOEXEC) < 0 ? uv_translate_sys_error(errno) : 0;
    close(fresh);
    return err;
}

static void on_connected(uv_connect_t *connect, int err);

/* Begins to connect to the next address that lets us; else says why the last one did not. */
static int connect_next(struct dialling *d) {
    int err = UV_EAI_NODATA;
    while (d->next) {
        struct addrinfo *a = d->next;
        d->next = a->ai_next;
        err = renew_socket(d->tcp, a->ai_family);
        if (err == 0)
            err = uv_tcp_connect(&d->connect, d->tcp, a->ai_addr, on_connected);
        if (err == 0)
            break;
    }
    return err;
}

static void on_connected(uv_connect_t *connect, int err) {
    struct dialling *d = connect->data;
    bool again = err && err != UV_ECANCELED && d->next;
    if (again)
        err = connect_next(d);
    if (!again || err)
        finish(d, err);
}

static void on_looked_up(uv_getaddrinfo_t *lookup, int err, struct addrinfo *list) {
    struct dialling *d = lookup->data;
    d->list = d->next = list;
    if (uv_is_closing((uv_handle_t *)d->tcp))
        err = UV_ECANCELED;
    if (err == 0)
        err = connect_next(d);
    if (err)
        finish(d, err);
}

static int start(struct dialling *d, const struct trp_url *u) {
    union address a;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (numeric(u, &a) == 0)
        return uv_tcp_connect(&d->connect, d->tcp, &a.any, on_connected);
    return uv_getaddrinfo(d->tcp->loop, &d->lookup, on_looked_up, u->host, u->port, &hints);
}

static int tcp_dial(uv_stream_t *s, const struct trp_url *u, trp_dialled_fn *done, void *ctx, const char **why) {
    if (u->host[0] == '\0' || atoi(u->port) == 0) {
        *why = u->host[0] == '\0' ? "`*` can be listened on, not dialled" : "port 0 can be listened on, not dialled";
        return UV_EINVAL;
    }
    struct dialling *d = trp_calloc(1, sizeof *d);
    if (!d)
        return UV_ENOMEM;
    d->tcp = (uv_tcp_t *)s;
    d->done = done;
    d->ctx = ctx;
    d->lookup.data = d->connect.data = d;
    int err = start(d, u);
    if (err)
        trp_free(d);
    return err;
}

const struct trp_transport trp_tcp = {
    .scheme = "tcp",
    .framing = TRP_FRAMING_TCP,
    .handle_size = sizeof(uv_tcp_t),
    .init = tcp_init,
    .listen = tcp_listen,
    .dial = tcp_dial,
    .tune = tcp_tune,
    .near_url = tcp_near_url,
    .far_url = tcp_far_url,
};
