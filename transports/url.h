/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Addresses as people write them:
 *
 *     tcp://127.0.0.1:4747      tcp://[::1]:4747     tcp://broker.example:4747
 *     ipc:///run/troupe.sock    ipc://relative.sock
 *     tcp://127.0.0.1:25000/fib?timeout=5s&max-line=4096     (a gateway: path and query)
 *
 * A tcp host of '*' means all interfaces, to listen on only.
 * Pure: no name is looked up here, nothing is %-decoded. A scheme other than these two is no fault here: what follows
 * it is in path, and trp_transport_find knows whether there is such a transport. */
#ifndef TRP_URL_H
#define TRP_URL_H

#include "transports/buf.h"

struct trp_url {
    char scheme[8];
    char host[256];  /* tcp: without brackets; "" for '*' */
    char port[8];    /* tcp: decimal, "0".."65535" */
    char path[512];  /* ipc: the socket's path; tcp: what follows host:port without the slash, "" when nothing */
    char query[512]; /* without the '?' */
};

/* BAD_URL: *why is a sentence for the user ("the port is missing: write tcp://127.0.0.1:4747"), in a static buffer
 * per thread. */
TROUPE_NODISCARD troupe_status trp_url_parse(const char *text, struct trp_url *u, const char **why);

/* The value of a query key, copied into out (cut never: false when it does not fit). False: not there. */
bool trp_url_param(const struct trp_url *u, const char *key, char *out, size_t cap);
/* Walks the query: *pos starts at 0; false at the end. What does not fit is given as "". */
bool trp_url_next_param(const struct trp_url *u, size_t *pos, char *key, size_t key_cap, char *value, size_t value_cap);

/* "250ms", "5s", "2m", "1h", or a bare number of seconds, also "0.5s"; to milliseconds. "64k", "1M", "1G", or bytes. */
bool trp_parse_duration(const char *text, int64_t *ms);
bool trp_parse_size(const char *text, uint64_t *bytes);

#endif
