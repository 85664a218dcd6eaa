/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Listening. A unix socket leaves its path behind when its owner dies, so a path where nobody answers is taken over. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "actors/address.h"
#include "actors/self.h"
#include "actors/stream.h"
#include "transports/alloc.h"

enum { BACKLOG = 4096, RETRY_MS = 50 };

struct troupe_listener {
    struct trp_watch watch;
    int fd;
    unsigned forks;                                         /* when it was opened: see copy.h */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* ipc: to be removed; "": nothing is */
    dev_t dev;                                              /* and only if it still is this one */
    ino_t ino;
    char url[160];
};

/* --- opened --- */

static bool is_left_behind(const struct trp_address *a) {
    struct stat s;
    const char *path = ((const struct sockaddr_un *)&a->any)->sun_path;
    if (a->any.ss_family != AF_UNIX || stat(path, &s) < 0 || !S_ISSOCK(s.st_mode))
        return false;
    int fd = trp_address_socket(a);
    bool dead = fd >= 0 && connect(fd, (const struct sockaddr *)&a->any, a->size) < 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return dead;
}

static bool bind_to(int fd, const struct trp_address *a) {
    int on = 1;
    if (a->any.ss_family != AF_UNIX)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&a->any, a->size) == 0)
        return true;
    if (errno != EADDRINUSE)
        return false;
    if (!is_left_behind(a)) {
        errno = EADDRINUSE;
        return false;
    }
    (void)unlink(((const struct sockaddr_un *)&a->any)->sun_path);
    return bind(fd, (const struct sockaddr *)&a->any, a->size) == 0;
}

static void remember(troupe_listener *l, const struct trp_address *a) {
    struct trp_address near = {.size = sizeof near.any};
    struct stat s;
    if (a->any.ss_family == AF_UNIX) {
        const char *path = ((const struct sockaddr_un *)&a->any)->sun_path;
        if (stat(path, &s) == 0) {
            memcpy(l->path, path, strlen(path) + 1);
            l->dev = s.st_dev;
            l->ino = s.st_ino;
        }
        near = *a;
    } else {
        (void)getsockname(l->fd, (struct sockaddr *)&near.any, &near.size);
    }
    trp_address_print(&near, l->url, sizeof l->url);
}

static troupe_status listen_at(troupe_listener *l, const struct trp_address *a) {
    l->fd = trp_address_socket(a);
    if (l->fd < 0)
        return TROUPE_SYSTEM;
    if (bind_to(l->fd, a) && listen(l->fd, BACKLOG) == 0) {
        remember(l, a);
        return TROUPE_OK;
    }
    troupe_status st = trp_address_refusal(errno);
    close(l->fd);
    l->fd = -1;
    return st;
}

troupe_status troupe_listener_open(troupe_self *self, const char *url, troupe_listener **out) {
    struct trp_addresses all;
    troupe_status st = trp_self_may(self);
    if (st != TROUPE_OK)
        return st;
    st = trp_addresses_of(self, url, true, TRP_NEVER, &all);
    if (st != TROUPE_OK)
        return st;
    troupe_listener *l = trp_calloc(1, sizeof *l);
    if (!l)
        return TROUPE_NO_MEMORY;
    l->fd = -1;
    l->forks = trp_copy_now();
    for (unsigned i = 0; i < all.count && l->fd < 0; i++)
        st = listen_at(l, &all.at[i]);
    if (st == TROUPE_OK)
        *out = l;
    else
        trp_free(l);
    return st;
}

const char *troupe_listener_url(const troupe_listener *l) {
    return l->url;
}

void troupe_listener_close(troupe_listener **listener) {
    troupe_listener *l = *listener;
    struct stat s;
    *listener = NULL;
    if (!l)
        return;
    trp_watch_close(&l->watch);
    close(l->fd);
    if (l->path[0] && l->forks == trp_copy_now() && stat(l->path, &s) == 0 && s.st_dev == l->dev && s.st_ino == l->ino)
        (void)unlink(l->path);
    trp_free(l);
}

/* --- accepting --- */

/* AGAIN: nobody is there; FULL: nothing is left to take one with. */
static troupe_status accept_one(troupe_listener *l, int *fd) {
    for (;;) {
        trp_watch_take(&l->watch, TRP_WATCH_IN);
        *fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (*fd >= 0)
            return TROUPE_OK;
        switch (errno) {
        case EAGAIN:
            return TROUPE_AGAIN;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            return TROUPE_FULL;
        case EBADF:
        case EINVAL:
        case ENOTSOCK:
        case EOPNOTSUPP:
            return TROUPE_SYSTEM;
        default:
            continue; /* that one is gone: accept(2) tells its errors here */
        }
    }
}

/* The kernel does not tell when there are descriptors again. */
static troupe_status wait_for_room(troupe_self *self, int64_t deadline) {
    int64_t again = trp_deadline(RETRY_MS);
    troupe_status st = trp_self_wait(self, again < deadline ? again : deadline);
    return st == TROUPE_TIMEOUT && trp_now() < deadline ? TROUPE_OK : st;
}

static troupe_status accept_waiting(troupe_self *self, troupe_listener *l, int64_t deadline, int *fd) {
    for (;;) {
        troupe_status st = trp_actor_killed(self->actor) ? TROUPE_CLOSED : accept_one(l, fd);
        if (st == TROUPE_AGAIN)
            st = trp_fd_wait(&l->watch, l->fd, TRP_WATCH_IN, self, deadline);
        else if (st == TROUPE_FULL)
            st = wait_for_room(self, deadline);
        else
            return st;
        if (st != TROUPE_OK)
            return st;
    }
}

troupe_status troupe_listener_accept(troupe_self *self, troupe_listener *l, int64_t timeout_ms, troupe_stream **out) {
    int fd, on = 1;
    troupe_status st = trp_self_may(self);
    if (st != TROUPE_OK)
        return st;
    trp_self_spend(self);
    st = accept_waiting(self, l, trp_deadline(timeout_ms), &fd);
    if (st != TROUPE_OK)
        return st;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* refused by a unix socket */
    st = trp_stream_new(fd, true, out);
    if (st != TROUPE_OK)
        close(fd);
    return st;
}
