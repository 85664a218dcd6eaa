/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The table of all transports, and the borders where libuv's codes and sentences become ours. */
#include "transports/transport.h"

#include <stdarg.h>
#include <stdio.h>

static const struct trp_transport *const transports[] = {&trp_tcp, &trp_ipc};

const struct trp_transport *trp_transport_find(const char *scheme) {
    for (size_t i = 0; i < sizeof transports / sizeof *transports; i++)
        if (strcmp(transports[i]->scheme, scheme) == 0)
            return transports[i];
    return NULL;
}

const char *trp_transport_schemes(void) {
    static _Thread_local char text[64];
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sizeof transports / sizeof *transports && n < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s://", i ? ", " : "", transports[i]->scheme);
    return text;
}

troupe_status trp_transport_for(const char *url, struct trp_url *u, const struct trp_transport **t, const char **why) {
    troupe_status st = trp_url_parse(url, u, why);
    if (st != TROUPE_OK)
        return st;
    *t = trp_transport_find(u->scheme);
    if (*t)
        return TROUPE_OK;
    *why = trp_why("%s: there is no transport of that name; there are %s", url, trp_transport_schemes());
    return TROUPE_UNSUPPORTED;
}

troupe_status trp_status_from_uv(int uv_err) {
    switch (uv_err) {
    case 0:
        return TROUPE_OK;
    case UV_EOF:
    case UV_ECANCELED:
        return TROUPE_CLOSED;
    case UV_ECONNRESET:
    case UV_EPIPE:
    case UV_ENOTCONN:
        return TROUPE_DISCONNECTED;
    case UV_ECONNREFUSED:
        return TROUPE_REFUSED;
    case UV_ETIMEDOUT:
        return TROUPE_TIMEOUT;
    case UV_EAGAIN:
    case UV_EAI_AGAIN:
        return TROUPE_AGAIN;
    case UV_ENOENT:
    case UV_EAI_NONAME:
    case UV_EAI_NODATA:
        return TROUPE_NOT_FOUND;
    case UV_ENOMEM:
    case UV_EAI_MEMORY:
        return TROUPE_NO_MEMORY;
    case UV_EADDRINUSE:
        return TROUPE_ADDRESS_IN_USE;
    case UV_EINVAL:
    case UV_ENAMETOOLONG:
        return TROUPE_INVALID;
    case UV_EAFNOSUPPORT:
    case UV_ENOTSUP:
        return TROUPE_UNSUPPORTED;
    default:
        return TROUPE_SYSTEM;
    }
}

const char *trp_why(const char *fmt, ...) {
    static _Thread_local char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return text;
}
