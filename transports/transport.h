/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The contract of a transport: what tells tcp from ipc. One `const struct trp_transport`, one file; the table of all
 * is in transport.c. The link (link.c) owns buffers, framing, deadlines and life cycle, and calls these from the
 * loop's thread; none may block, none may call back into the link except as said.
 *
 * To add one: a file with its table, a line in transport.c, and the conformance suite runs for it. */
#ifndef TRP_TRANSPORT_H
#define TRP_TRANSPORT_H

#include <uv.h>

#include "transports/framing.h"
#include "transports/url.h"

/* Called once with 0, or a libuv error. */
typedef void trp_dialled_fn(void *ctx, int uv_err);

struct trp_transport {
    const char *scheme;
    enum trp_framing framing;
    size_t handle_size; /* of the uv_stream_t the next members work on: the link allocates it */

    /* Initialises the handle on the loop. Returns a libuv code. On failure nothing is left to close. */
    int (*init)(uv_loop_t *loop, uv_stream_t *s);
    /* Binds and listens on an initialised handle (backlog given). The one member that may block: a name is looked up
     * on the spot, an ipc path is probed. Returns a libuv code (UV_EINVAL: the URL is not for listening); *why may be
     * set to a static sentence that says more. The listener closes the handle on failure. */
    int (*listen)(uv_stream_t *s, const struct trp_url *u, int backlog, uv_connection_cb cb, const char **why);
    /* Begins to connect; `done` is called exactly once from the loop, never from inside, also when the handle is closed
     * meanwhile (UV_ECANCELED; a name that is being looked up may keep it until after the handle's close callback).
     * What the transport has allocated for it is freed before `done`. Returns a libuv code (UV_EINVAL: the URL can't
     * be dialled) and *why as listen does: on failure `done` is not called. */
    int (*dial)(uv_stream_t *s, const struct trp_url *u, trp_dialled_fn *done, void *ctx, const char **why);
    /* Called on a connected handle before anything is sent: TCP_NODELAY, keep-alive. Accepted sockets inherit it from
     * the listening one, on which `listen` has set it. May be NULL. */
    void (*tune)(uv_stream_t *s);
    /* The URL of the near end of a listener, and of the far end of a connection, into out. */
    void (*near_url)(uv_stream_t *s, const struct trp_url *u, char *out, size_t cap);
    void (*far_url)(uv_stream_t *s, char *out, size_t cap);
};

extern const struct trp_transport trp_tcp, trp_ipc;

/* NULL: no such scheme. */
const struct trp_transport *trp_transport_find(const char *scheme);
/* "tcp://, ipc://", for error sentences. */
const char *trp_transport_schemes(void);
/* Reads a URL and finds its transport. BAD_URL, UNSUPPORTED: *why is a sentence. */
TROUPE_NODISCARD troupe_status trp_transport_for(const char *url, struct trp_url *u, const struct trp_transport **t,
                                                 const char **why);
/* The one place where libuv's codes become ours. */
troupe_status trp_status_from_uv(int uv_err);
/* A sentence for a *why, in a static buffer of this thread: good until the next one. */
const char *trp_why(const char *fmt, ...) TROUPE_PRINTF(1, 2);

#endif
