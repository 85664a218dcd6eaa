/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A listener turns accepted connections into links. Two shortages must not make it deaf:
 *
 * - Descriptors. The last few that the process may have are left alone: a connection that gets one of them is closed
 *   and logged, so that files can still be opened and other listeners answer. When somebody else has used them up,
 *   libuv gives up a spare descriptor of its own to accept and close what waits.
 * - Memory. libuv stops accepting until the connection in its hand is taken, so one handle is kept for taking what
 *   there is no link for. */
#include "transports/alloc.h"
#include "transports/assert.h"
#include "transports/link_private.h"
#include "transports/log.h"
#include <stdalign.h>
#include <stdio.h>
#include <sys/resource.h>

enum {
    BACKLOG = 4096,
    DESCRIPTORS_SPARED = 8,
    WARN_EVERY_MS = 1000,
    PAUSE_MS = 1,
};

struct trp_listener {
    struct trp_loop *loop;
    const struct trp_transport *transport;
    struct trp_link_opts opts;
    const struct trp_link_handler *handler;
    trp_accept_fn *accept;
    void *ctx;
    bool closing;
    bool refusing;    /* the second handle is in use, until its close callback */
    bool waiting;     /* libuv holds a connection for which there was no handle at all */
    unsigned handles; /* not closed yet */
    int64_t warned_at;
    char url[560];
    alignas(max_align_t) unsigned char handle[]; /* two of transport->handle_size */
};

static uv_stream_t *server_of(struct trp_listener *s) {
    return (uv_stream_t *)s->handle;
}

static size_t stride(const struct trp_transport *t) {
    size_t a = alignof(max_align_t);
    return (t->handle_size + a - 1) / a * a;
}

static uv_stream_t *refuser_of(struct trp_listener *s) {
    return (uv_stream_t *)(s->handle + stride(s->transport));
}

/* Not more than one a second: whoever floods us shall not flood the log. */
static void warn(struct trp_listener *s, const char *event, const char *text) {
    int64_t now = trp_loop_now(s->loop);
    if (now - s->warned_at < WARN_EVERY_MS)
        return;
    s->warned_at = now;
    trp_log(TROUPE_LOG_WARN, event, "%s: %s", s->url, text);
}

/* --- the end --- */

static void on_handle_closed(uv_handle_t *handle) {
    struct trp_listener *s = handle->data;
    if (--s->handles == 0)
        trp_free(s);
}

static void close_server(struct trp_listener *s) {
    s->closing = true;
    s->loop->owned--;
    uv_close((uv_handle_t *)server_of(s), on_handle_closed);
}

void trp_listener_close(struct trp_listener **s) {
    if (!*s)
        return;
    close_server(*s);
    *s = NULL;
}

/* --- accepting --- */

static void on_connection(uv_stream_t *server, int err);

static void on_refused(uv_handle_t *handle) {
    struct trp_listener *s = handle->data;
    bool waiting = s->waiting && !s->closing;
    s->refusing = s->waiting = false;
    if (waiting)
        on_connection(server_of(s), 0);
    on_handle_closed(handle);
}

/* Takes the connection out of libuv's hand without a link, and closes it. */
static void refuse(struct trp_listener *s) {
    uv_stream_t *refuser = refuser_of(s);
    warn(s, "listener.no_memory", "out of memory: a connection was refused");
    if (s->refusing || s->transport->init(&s->loop->uv, refuser) != 0) {
        s->waiting = true;
        return;
    }
    s->refusing = true;
    s->handles++;
    refuser->data = s;
    (void)uv_accept(server_of(s), refuser);
    uv_close((uv_handle_t *)refuser, on_refused);
}

/* Is this one of the last descriptors? The kernel gives out the lowest that is free. */
static bool is_scarce(uv_stream_t *stream) {
    struct rlimit most;
    uv_os_fd_t fd;
    if (getrlimit(RLIMIT_NOFILE, &most) != 0 || uv_fileno((uv_handle_t *)stream, &fd) != 0)
        return false;
    return most.rlim_cur != RLIM_INFINITY && (rlim_t)fd + DESCRIPTORS_SPARED >= most.rlim_cur;
}

static void on_connection(uv_stream_t *server, int err) {
    struct trp_listener *s = server->data;
    if (err) {
        warn(s, "listener.accept", uv_strerror(err));
        /* libuv asks the kernel again at once, and when its own spare descriptor is lost it would do so until another
         * thread closes something. */
        uv_sleep(PAUSE_MS);
        return;
    }
    struct trp_link *l = trp_link_new(s->loop, s->transport, &s->opts, s->handler);
    if (!l) {
        refuse(s);
        return;
    }
    if (uv_accept(server, trp_link_stream(l)) != 0) {
        trp_link_abandon(l);
    } else if (is_scarce(trp_link_stream(l))) {
        warn(s, "listener.descriptors", "the process has hardly a descriptor left: a connection was refused");
        trp_link_abandon(l);
    } else {
        trp_link_accepted(l, s->accept, s->ctx, &s->opts);
    }
}

/* --- listening --- */

static struct trp_listener *listener_new(struct trp_loop *loop, const struct trp_transport *t) {
    struct trp_listener *s = trp_calloc(1, sizeof *s + 2 * stride(t));
    if (!s)
        return NULL;
    s->loop = loop;
    s->transport = t;
    if (t->init(&loop->uv, server_of(s)) != 0) {
        trp_free(s);
        return NULL;
    }
    server_of(s)->data = s;
    s->handles = 1;
    s->warned_at = -WARN_EVERY_MS;
    loop->owned++;
    return s;
}

static troupe_status listen_at(struct trp_listener *s, const struct trp_url *u, const char *url, const char **why) {
    const char *more = NULL;
    int err = s->transport->listen(server_of(s), u, BACKLOG, on_connection, &more);
    if (err == 0) {
        s->transport->near_url(server_of(s), u, s->url, sizeof s->url);
        return TROUPE_OK;
    }
    *why = trp_why("%s: %s", url, more ? more : uv_strerror(err));
    return err == UV_EINVAL ? TROUPE_BAD_URL : trp_status_from_uv(err);
}

troupe_status trp_listen(struct trp_listener **out, struct trp_loop *loop, const char *url, const struct trp_link_opts *opts,
                         const struct trp_link_handler *handler, trp_accept_fn *accept, void *ctx, const char **why) {
    struct trp_url u;
    const struct trp_transport *t;
    troupe_status st = trp_transport_for(url, &u, &t, why);
    if (st != TROUPE_OK)
        return st;
    struct trp_listener *s = listener_new(loop, t);
    if (!s) {
        *why = "out of memory";
        return TROUPE_NO_MEMORY;
    }
    if (opts)
        s->opts = *opts;
    s->handler = handler;
    s->accept = accept;
    s->ctx = ctx;
    st = listen_at(s, &u, url, why);
    if (st == TROUPE_OK)
        *out = s;
    else
        close_server(s);
    return st;
}

const char *trp_listener_url(const struct trp_listener *s) {
    return s->url;
}
