/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Streams: made, written to, given away, closed (read from: stream_read.c). Every call tries first and waits after:
 * what was said of the descriptor is forgotten, the system call is made, and only if it would have blocked the actor
 * parks until the kernel has said something since. */
#include "actors/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "actors/address.h"
#include "actors/self.h"
#include "transports/alloc.h"

/* --- made --- */

troupe_status trp_stream_new(int fd, bool socket, troupe_stream **out) {
    troupe_stream *s = trp_calloc(1, sizeof *s);
    if (!s)
        return TROUPE_NO_MEMORY;
    s->fd = fd;
    s->socket = socket;
    s->forks = trp_copy_now();
    *out = s;
    return TROUPE_OK;
}

troupe_status troupe_stream_adopt(int fd, troupe_stream **out) {
    int flags = fcntl(fd, F_GETFL), type;
    socklen_t size = sizeof type;
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return TROUPE_INVALID;
    return trp_stream_new(fd, getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0, out);
}

troupe_status trp_fd_wait(struct trp_watch *w, int fd, unsigned what, troupe_self *self, int64_t deadline) {
    troupe_status st = trp_watch_open(w, fd, self->worker);
    return st == TROUPE_OK ? trp_watch_wait(w, what, self, deadline) : st;
}

void troupe_stream_close(troupe_stream **stream) {
    troupe_stream *s = *stream;
    *stream = NULL;
    if (!s)
        return;
    trp_watch_close(&s->watch);
    if (s->fd >= 0)
        close(s->fd);
    trp_buf_fini(&s->in);
    trp_free(s);
}

int troupe_stream_fd(const troupe_stream *s) {
    return s->fd;
}

/* --- connected --- */

static troupe_status await_connected(troupe_self *self, int fd, int64_t deadline) {
    struct trp_watch w = {0};
    int error = 0;
    socklen_t size = sizeof error;
    troupe_status st = trp_fd_wait(&w, fd, TRP_WATCH_OUT, self, deadline);
    trp_watch_close(&w);
    if (st != TROUPE_OK)
        return st;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        return TROUPE_SYSTEM;
    return error ? trp_address_refusal(error) : TROUPE_OK;
}

/* The backlog of a unix socket is full: nothing tells when it is not, so it is asked again. */
enum { KNOCK_MS = 5 };

static troupe_status knock(troupe_self *self, int fd, const struct trp_address *a, int64_t deadline) {
    for (;;) {
        if (connect(fd, (const struct sockaddr *)&a->any, a->size) == 0 || errno == EISCONN)
            return TROUPE_OK;
        if (errno == EINPROGRESS)
            return await_connected(self, fd, deadline);
        if (errno != EAGAIN && errno != EINTR)
            return trp_address_refusal(errno);
        int64_t again = trp_deadline(KNOCK_MS);
        troupe_status st = trp_self_wait(self, again < deadline ? again : deadline);
        if (st == TROUPE_CLOSED || (st == TROUPE_TIMEOUT && trp_now() >= deadline))
            return st;
    }
}

static troupe_status connect_to(troupe_self *self, const struct trp_address *a, int64_t deadline, troupe_stream **out) {
    int fd = trp_address_socket(a);
    if (fd < 0)
        return TROUPE_SYSTEM;
    troupe_status st = knock(self, fd, a, deadline);
    if (st == TROUPE_OK)
        st = trp_stream_new(fd, true, out);
    if (st != TROUPE_OK)
        close(fd);
    return st;
}

troupe_status troupe_stream_connect(troupe_self *self, const char *url, int64_t timeout_ms, troupe_stream **out) {
    struct trp_addresses all;
    int64_t deadline = trp_deadline(timeout_ms);
    troupe_status st = trp_self_may(self);
    if (st != TROUPE_OK)
        return st;
    trp_self_spend(self);
    st = trp_addresses_of(self, url, false, deadline, &all);
    for (unsigned i = 0; st == TROUPE_OK && i < all.count; i++) {
        st = connect_to(self, &all.at[i], deadline, out);
        if (st == TROUPE_OK || st == TROUPE_CLOSED || st == TROUPE_TIMEOUT)
            break;
        if (i + 1 < all.count)
            st = TROUPE_OK;
    }
    return st;
}

/* --- written --- */

troupe_status trp_stream_write_some(troupe_stream *s, const uint8_t *p, size_t n, size_t *done) {
    if (s->fd < 0)
        return TROUPE_RESET;
    trp_watch_take(&s->watch, TRP_WATCH_OUT);
    ssize_t wrote = s->socket ? send(s->fd, p, n, MSG_NOSIGNAL) : write(s->fd, p, n);
    if (wrote >= 0) {
        *done += (size_t)wrote;
        return TROUPE_OK;
    }
    switch (errno) {
    case EAGAIN:
        return TROUPE_AGAIN;
    case EINTR:
        return TROUPE_OK;
    case EPIPE:
    case ECONNRESET:
        return TROUPE_RESET;
    default:
        return TROUPE_SYSTEM;
    }
}

troupe_status troupe_stream_write(troupe_self *self, troupe_stream *s, const void *p, size_t n, int64_t timeout_ms) {
    size_t done = 0;
    int64_t deadline = 0;
    troupe_status st = trp_self_may(self);
    if (st != TROUPE_OK)
        return st;
    trp_self_spend(self);
    while (done < n && (st == TROUPE_OK || st == TROUPE_AGAIN)) {
        if (trp_actor_killed(self->actor))
            return TROUPE_CLOSED;
        if (st == TROUPE_OK) {
            st = trp_stream_write_some(s, (const uint8_t *)p + done, n - done, &done);
            continue;
        }
        if (!deadline)
            deadline = trp_deadline(timeout_ms);
        st = trp_fd_wait(&s->watch, s->fd, TRP_WATCH_OUT, self, deadline);
    }
    return st;
}

troupe_status troupe_stream_finish(troupe_stream *s) {
    if (s->forks != trp_copy_now())
        return TROUPE_UNSUPPORTED; /* its other end would hear it of the original */
    if (s->socket && shutdown(s->fd, SHUT_WR) == 0)
        return TROUPE_OK;
    if (s->socket)
        return errno == ENOTCONN ? TROUPE_RESET : TROUPE_UNSUPPORTED;
    if (s->fd < 0 || (fcntl(s->fd, F_GETFL) & O_ACCMODE) != O_WRONLY)
        return TROUPE_UNSUPPORTED;
    trp_watch_close(&s->watch);
    close(s->fd);
    s->fd = -1;
    return TROUPE_OK;
}

/* --- given away --- */

/* What comes before the argument. The stream is the birth's until the body begins. */
struct parcel {
    troupe_stream_body *body;
};
enum { PARCEL = 16 }; /* keeps the argument aligned */

static void give_back(void *luggage) {
    troupe_stream *s = luggage;
    troupe_stream_close(&s);
}

static void with_stream(troupe_self *self, void *arg) {
    struct trp_birth *b = self->actor->birth;
    troupe_stream *s = b->luggage;
    struct parcel parcel;
    memcpy(&parcel, arg, sizeof parcel);
    b->luggage = NULL;
    parcel.body(self, s, b->arg_size > PARCEL ? (uint8_t *)arg + PARCEL : NULL);
    troupe_stream_close(&s);
}

/* One block: the parcel, then the argument. The birth owns the stream from here on. */
static troupe_status birth_with(const troupe_spawn_opts *opts, troupe_stream_body *body, troupe_stream **s, const void *arg,
                                size_t arg_size, struct trp_birth **out) {
    struct parcel parcel = {body};
    uint8_t *bytes = trp_calloc(1, PARCEL + arg_size);
    if (!bytes)
        return TROUPE_NO_MEMORY;
    memcpy(bytes, &parcel, sizeof parcel);
    if (arg_size)
        memcpy(bytes + PARCEL, arg, arg_size);
    troupe_status st = trp_birth_new(out, opts, with_stream, bytes, PARCEL + arg_size);
    trp_free(bytes);
    if (st == TROUPE_OK) {
        (*out)->luggage = *s;
        (*out)->luggage_free = give_back;
        *s = NULL;
    }
    return st;
}

static troupe_status may_have_stream(const troupe_self *self, const troupe_spawn_opts *opts) {
    if (opts && (opts->kind == TROUPE_PROCESS || opts->restart != TROUPE_TEMPORARY))
        return TROUPE_INVALID;
    return self->reach == &trp_local_reach && !trp_self_is_copy(self) ? TROUPE_OK : TROUPE_UNSUPPORTED;
}

troupe_status troupe_stream_spawn(troupe_self *self, const troupe_spawn_opts *opts, troupe_stream_body *body, troupe_stream **s,
                                  const void *arg, size_t arg_size, troupe_ref *out) {
    struct trp_birth *birth = NULL;
    troupe_ref ref;
    troupe_status st = may_have_stream(self, opts);
    if (!body || !*s || (arg_size && !arg) || arg_size > SIZE_MAX / 8)
        st = TROUPE_INVALID;
    if (st == TROUPE_OK)
        st = birth_with(opts, body, s, arg, arg_size, &birth);
    if (st == TROUPE_OK)
        st = self->reach->spawn(self, &birth, &ref);
    trp_birth_free(birth);
    troupe_stream_close(s);
    if (st == TROUPE_OK && out)
        *out = ref;
    return st;
}
