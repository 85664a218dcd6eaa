/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The router, pure: an event and the time go in, effects come out into a sink. No socket, no clock, no thread, no log
 * in here (the idea is raft's raft_step), so that tests run it in virtual time, against a model, and under a fuzzer.
 *
 *     shell --attach/feed/detach(now)--> core --msg/ok/err/welcome/pong/close--> sink (the shell's sessions)
 *
 * What it knows: peers (one a connection), their subscriptions, topics and patterns, groups with credit and the
 * backlog, requests and who holds them. Its promises, each with a test:
 *
 *   - every matching plain subscription gets each message once, in the order published (per publisher);
 *   - each (pattern, group) gets it once: the member with credit left that has least in hand, longest idle first;
 *   - never more than `credit` unacknowledged deliveries at a member; the rest waits here, in order, bounded;
 *   - a request is answered by NO_RESPONDERS at once when nobody matches, by BUSY when the backlog is full, by
 *     WORKER_LOST as soon as all who hold it are gone without an ACK, and otherwise by whoever has it;
 *   - what peers hear of one event is in a fixed order, whatever the hash seeds (see topics.h for targets);
 *   - what a peer sends can end its own connection and nothing else.
 *
 * What settles a request is its ACK, not the answer: a worker that answers and dies before its ACK causes an answer and
 * then a WORKER_LOST, which a client that has its answer ignores. A request to an inbox is not tracked at all.
 *
 * Not thread-safe: one thread, the loop's. Sink functions must not call back into the core; the shell notes what it
 * wants done (a close) and does it at the end of the turn. */
#ifndef TRP_BROKER_CORE_H
#define TRP_BROKER_CORE_H

#include "broker/queue.h"
#include "transports/envelope.h"

struct trp_core;
struct trp_peer;

enum trp_peer_kind {
    TRP_PEER_FULL, /* PAIR0, PAIR1, gateways: everything */
    TRP_PEER_ASK,  /* REQ0: PUB with a reply only (the shell has put the reply in) */
    TRP_PEER_PUSH, /* PUSH0: PUB without id and reply only */
};

/* Effects. `user` is what trp_core_attach was given. Slices and the message are borrowed until the function returns;
 * m->blob, when set, may be referenced. */
struct trp_sink {
    void (*msg)(void *ctx, void *user, uint64_t sid, uint64_t token, const struct trp_message *m);
    void (*ok)(void *ctx, void *user, uint64_t id, uint64_t level, uint64_t count);
    void (*err)(void *ctx, void *user, uint64_t id, const char *code, const char *text);
    void (*welcome)(void *ctx, void *user, uint64_t session, struct trp_slice inbox);
    void (*pong)(void *ctx, void *user, uint64_t id);
    /* The peer broke the protocol (fatal: send ERR 0), asked to leave (code "BYE") or cannot be served ("NO_MEMORY"): end
     * the connection. The core emits nothing more for it, and ignores what it still sends, until the shell calls
     * trp_core_detach. Its subscriptions end and what it held is given up at the end of the same event. */
    void (*close)(void *ctx, void *user, const char *code, const char *text);

    /* With queues only (trp_core_opts.queues): a delivery from a queue, with a map of what the queue knows of it; an OK with
     * more to say (a packed value); the end of a consumer's queue. */
    void (*item)(void *ctx, void *user, uint64_t sid, uint64_t token, const struct trp_message *m, struct trp_slice info);
    void (*answer)(void *ctx, void *user, uint64_t id, uint64_t level, uint64_t count, struct trp_slice info);
    void (*ended)(void *ctx, void *user, uint64_t sid);
    /* As trp_queue_sink.record; NULL: no queue can be durable. */
    troupe_status (*record)(void *ctx, struct trp_slice head, struct trp_slice body, bool must, uint64_t *lsn,
                            uint64_t *segment);
};

/* Zero is the default everywhere. */
struct trp_core_opts {
    uint32_t max_peers; /* 0: 65,536 */
    uint32_t max_subs;  /* subscriptions of one peer; 0: 10,000 */
    /* Tracked deliveries in hand of one peer without credit; 0: 65,536. Above it, the oldest is forgotten (its requester will
     * not hear WORKER_LOST), counted. */
    uint32_t max_held;
    uint64_t backlog_messages; /* of one group; 0: 1,000,000 */
    uint64_t backlog_bytes;    /* of one group; 0: 256 MiB */
    size_t max_payload;        /* told in WELCOME by the shell; PUB payloads above it: ERR TOO_BIG; 0: 1 MiB */
    uint64_t seed;             /* for hash tables (collision attacks) */
    bool queues;               /* keep queues, too */
    uint64_t max_hand;         /* of a queue's consumer: trp_queues_opts */
};

struct trp_core_stats {
    uint64_t peers, subs, groups, held, backlog, backlog_bytes;                          /* now */
    uint64_t published, delivered, unrouted, no_responders, worker_lost, busy, requeued; /* since start */
    uint64_t protocol_errors, forgotten, stale_replies, stale_acks, abandoned;
    uint64_t dropped; /* plain messages whose group lost its last member */
};

/* opts (NULL: all defaults) and sink are copied. NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_core_new(struct trp_core **out, const struct trp_core_opts *opts,
                                            const struct trp_sink *sink, void *ctx);
/* All peers have been detached; what they had in hand may go back only now,
 * into the log if there is one, unless it has been drained. */
void trp_core_free(struct trp_core *c);

/* A connection is there. `nonce`: 12 random bytes that make its inbox hard to guess. FULL: max_peers. */
TROUPE_NODISCARD troupe_status trp_core_attach(struct trp_core *c, uint64_t now_ns, enum trp_peer_kind kind,
                                               const uint8_t nonce[12], void *user, struct trp_peer **out);
/* It is gone: its subscriptions end, what it held goes back (WORKER_LOST for requests, groups: see below), its requests
 * that wait in backlogs are dropped when their turn comes (counted as abandoned). Frees the peer. */
void trp_core_detach(struct trp_core *c, uint64_t now_ns, struct trp_peer *p);
/* To be said before it is detached: its connection broke without a goodbye, as that of a process does that dies. */
void trp_core_crashed(struct trp_peer *p);
/* One envelope from it. Never fails towards the caller: what is wrong becomes an err or close effect. */
void trp_core_feed(struct trp_core *c, uint64_t now_ns, struct trp_peer *p, const struct trp_envelope *e);

/* The peer's session number and its inbox prefix ("_r.0000002aKq...."); a reply topic is the prefix and any token.
 * Borrowed from the peer. */
uint64_t trp_peer_session(const struct trp_peer *p);
struct trp_slice trp_peer_inbox(const struct trp_peer *p);

/* --- queues ---
 *
 * A confirmation that has to wait for the log waits in here: the shell says how far the log is, and the OKs go out. */

/* What the clock on the wall shows when the other one shows now_ns, for what must survive a restart. As often as convenient:
 * events in between, after however long an idle time, count on from there. */
void trp_core_wall(struct trp_core *c, uint64_t now_ns, uint64_t wall_ms);
/* Delays, time-outs and expiries that are due, at most so many; true: there are more. */
bool trp_core_tick(struct trp_core *c, uint64_t now_ns, size_t most);
/* When to tick next, monotonic ns, or TRP_QUEUE_NEVER. */
uint64_t trp_core_deadline(const struct trp_core *c);
/* The log is written and synced so far; `refusal`, when it takes nothing more, is the sentence that puts are refused with. */
void trp_core_logged(struct trp_core *c, uint64_t written, uint64_t synced, const char *refusal);
/* What somebody waits for, as trp_journal_level. */
unsigned trp_core_awaits(const struct trp_core *c);
/* The set itself, for the log's replay, catalog and rewriting; NULL without queues. */
struct trp_queues *trp_core_queues(struct trp_core *c);
/* After a replay: routes to the queues that are there. NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_core_recovered(struct trp_core *c);

/* New requests and publishes get ERR SHUTDOWN from now on; answers and ACKs go on. Nobody's obituary is waited for any more. */
void trp_core_drain(struct trp_core *c);
/* Requests in hand and in backlogs. Drained when 0. */
uint64_t trp_core_outstanding(const struct trp_core *c);
const struct trp_core_stats *trp_core_stats(const struct trp_core *c);

#endif
