/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The broker as a library: what brokerd is a thin main around, and what a program embeds to have a broker of its own.
 *
 *     troupe_broker_opts opts = {0};
 *     troupe_broker *b;
 *     const char *why;
 *     if (troupe_broker_new(&b, &opts) || troupe_broker_listen(b, "tcp://127.0.0.1:4747", &why))
 *         errx(1, "%s", why);
 *     troupe_broker_run(b);          // until troupe_broker_stop, from another thread or a signal handler
 *     troupe_broker_free(&b);
 *
 * States: new -> (listen, gateway)* -> running -> draining -> stopped. */
#ifndef TROUPE_BROKER_H
#define TROUPE_BROKER_H

#include <stddef.h>
#include <stdint.h>
#include <troupe/status.h>

typedef struct troupe_broker troupe_broker;

/* Zero is the default everywhere. */
typedef struct troupe_broker_opts {
    size_t max_payload;          /* bytes of one payload; 1 MiB; at most 64 MiB */
    size_t max_pending;          /* bytes waiting for one peer that does not read, before it is dropped; 64 MiB */
    uint32_t max_connections;    /* 65,536, gateways' included */
    int64_t greeting_timeout_ms; /* from connection to the greeting's end, and from there to the authkey's proof; 10,000 */
    int64_t frame_timeout_ms;    /* from a frame's first byte to its last; 30,000 */
    /* Directory of the durable queues' log, made if it is not there; borrowed until new returns; NULL: nothing is kept on disk,
     * and no queue can be durable. */
    const char *data;
    int64_t test_sync_delay_ms; /* makes each fdatasync so much slower: for tests */
    int64_t drain_timeout_ms;   /* how long a stop waits for requests in hand; 5,000 */
    /* Every listener asks its peers to prove that they know this key (PROTOCOL.md); gateways ask nothing. The file's mode must
     * be 0600 or 0400, its owner we. NULL: whoever connects is served. */
    const char *authkey_file;
} troupe_broker_opts;

typedef struct troupe_broker_stats {
    uint64_t connections, gateway_connections, subscriptions, groups, in_hand, backlog;           /* now */
    uint64_t accepted, refused, published, delivered, unrouted, no_responders, worker_lost, busy; /* since start */
    uint64_t protocol_errors, slow_consumers, auth_failures, gateway_lines, gateway_errors;
} troupe_broker_stats;

/* Takes nothing; opts is borrowed until it returns, NULL is all defaults. Faults: NO_MEMORY, SYSTEM, INVALID (max_payload over
 * 64 MiB), BAD_KEY (authkey_file); troupe_broker_why() has a sentence. Context: any thread; the broker then belongs to the
 * thread that runs it. Does not block. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_broker_new(troupe_broker **out, const troupe_broker_opts *opts);

/* The sentence behind the calling thread's last troupe_broker_new that failed. Never NULL. Context: any thread. */
TROUPE_API const char *troupe_broker_why(void);

/* Listens for peers at a URL: tcp://HOST:PORT (port 0: any free one), tcp://[::1]:PORT, tcp://\*:PORT, ipc://PATH.
 * Faults: BAD_URL, ADDRESS_IN_USE, UNSUPPORTED, SYSTEM, NO_MEMORY; *why (may be NULL) is then a sentence for the user, valid
 * until the thread's next call. Context: before run, or the broker's thread. Does not block. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_broker_listen(troupe_broker *b, const char *url, const char **why);

/* Listens for lines: tcp://HOST:PORT/TOPIC?timeout=30s&max-line=64k&max-pending=256&framing=line|chunk, or
 * ipc://PATH?topic=TOPIC&.... The same faults. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_broker_gateway(troupe_broker *b, const char *url, const char **why);

/* The i-th address it listens on, as bound (port 0 filled in), listeners and gateways in the order they were added; NULL: no
 * more. Borrowed from the broker. *gateway_topic (may be NULL) is set to the gateway's topic, or NULL for a listener. */
TROUPE_API const char *troupe_broker_address(const troupe_broker *b, size_t i, const char **gateway_topic);

/* Routes until it is stopped: then no connection is accepted and no request taken any more, requests in hand are waited for
 * (drain_timeout_ms), every peer is told CLOSE SHUTDOWN, what is pending is written. OK: drained. TIMEOUT: the drain time was
 * over and requests were cut off. Context: one thread, blocks until stopped. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_broker_run(troupe_broker *b);

/* Begins the stop; a second call ends it at once. Context: any thread, async-signal-safe, does not block. */
TROUPE_API void troupe_broker_stop(troupe_broker *b);

/* Context: the broker's thread. */
TROUPE_API void troupe_broker_stats_get(const troupe_broker *b, troupe_broker_stats *out);

/* Accepts NULL inside; sets it to NULL. Context: after run has returned, or if it was never called. */
TROUPE_API void troupe_broker_free(troupe_broker **b);

#endif
