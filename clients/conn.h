/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * One connection to a broker on somebody's loop: what the blocking client runs on a loop of its own, and each worker
 * of the actor runtime on its loop. It dials, greets, says HELLO, keeps subscriptions and requests, reconnects with
 * back-off and subscribes anew. Never blocks; everything on the loop's thread.
 *
 *     dialling -> hello -> up -> (lost -> waiting -> dialling ...) -> closing -> gone
 */
#ifndef TRP_CONN_H
#define TRP_CONN_H

#include <troupe/client.h>

#include "clients/msg.h"
#include "transports/link.h"

struct trp_conn;

struct trp_conn_handler {
    /* WELCOME is here and the subscriptions have been written. */
    void (*up)(void *user, struct trp_conn *c);
    /* The connection broke or could not be made; it will be dialled again, except after `fatal`. All requests have been ended
     * (DISCONNECTED) before. */
    void (*lost)(void *user, struct trp_conn *c, troupe_status st, const char *why, bool fatal);
    /* A delivery, taken by the handler. `sub_user` is the subscription's. */
    void (*msg)(void *user, struct trp_conn *c, void *sub_user, struct troupe_msg *m);
    /* The receipt of a subscription or of an end of one: OK, or REFUSED or NOT_FOUND (its queue is not there, or not any more)
     * and why (then it is gone). Also at each renewal. May be NULL. */
    void (*subscribed)(void *user, struct trp_conn *c, void *sub_user, uint64_t sid, troupe_status st, const char *why);
    /* trp_conn_close is done; the connection is freed when this returns. May be NULL. */
    void (*gone)(void *user);
};

enum { TRP_CONN_OBITUARY = 32 };

struct trp_conn_opts {
    const char *url; /* as troupe_client_opts; copied */
    const char *name;
    const char *authkey_file;
    /* A wrong authkey is not `fatal` at the first try either: for services, which outlive many a mistake. */
    bool keep_trying;
    /* TRP_CONN_OBITUARY bytes by which somebody will tell the broker how this process died; NULL: nobody. Copied. */
    const char *obituary;
    size_t max_payload;
    int64_t welcome_ms;   /* from HELLO to WELCOME; 0: 5,000 */
    int64_t keepalive_ms; /* silent for so long: PING; three times as long again: lost. 0: 15,000 */
};

/* Begins to dial. Faults at once: BAD_URL, BAD_KEY, UNSUPPORTED, NO_MEMORY (*why). */
TROUPE_NODISCARD troupe_status trp_conn_new(struct trp_conn **out, struct trp_loop *loop, const struct trp_conn_opts *opts,
                                            const struct trp_conn_handler *handler, void *user, const char **why);
/* Flushes for flush_ms at most (0: not at all) and ends; requests end with CLOSED, from the loop, then `gone` follows. Allowed
 * in every handler. Messages with a token may outlive it: settling them then does nothing (still on the loop's thread). */
void trp_conn_close(struct trp_conn **c, int64_t flush_ms);

bool trp_conn_is_up(const struct trp_conn *c);
bool trp_conn_is_dead(const struct trp_conn *c); /* after `fatal`: it will not be dialled again */
bool trp_conn_is_gone(const struct trp_conn *c); /* after `gone`: only messages still point to it */
void *trp_conn_user(const struct trp_conn *c);
const char *trp_conn_why(const struct trp_conn *c); /* the last reason, a sentence */
/* In `lost`: for the same reason as the last time, and it has not been up since. */
bool trp_conn_lost_again(const struct trp_conn *c);
uint64_t trp_conn_generation(const struct trp_conn *c);
size_t trp_conn_pending(const struct trp_conn *c);
void trp_conn_pause(struct trp_conn *c, bool pause); /* stop reading: back-pressure */

/* Publishes at the end of this turn, without a receipt (trp_conn_confirm asks for one). reply and headers n == 0: none.
 * DISCONNECTED. Faults: INVALID (topic, reply, headers, payload), TOO_BIG (a packed payload over what the broker takes, headers
 * over 63 KiB), TOO_DEEP, NO_MEMORY. So for all that follow. */
TROUPE_NODISCARD troupe_status trp_conn_publish(struct trp_conn *c, struct trp_slice topic, struct trp_slice reply,
                                                struct trp_slice headers, troupe_value v);

/* A request in flight, embedded in the caller's storage; zero it first. `done` is called exactly once, from the loop (not from
 * inside trp_conn_request), with OK and the answer (taken), or a status and NULL; cancel drops it without calling. */
struct trp_request {
    struct trp_request *next, **link; /* link NULL: not in flight */
    uint64_t id;
    int kind;              /* what ends it: the connection's own */
    uint64_t level, count; /* what the broker's OK says, set before `done` hears of it */
    void (*done)(struct trp_request *r, troupe_status st, struct troupe_msg *answer, const char *why);
    void *user;
};
TROUPE_NODISCARD troupe_status trp_conn_request(struct trp_conn *c, struct trp_slice topic, struct trp_slice headers,
                                                troupe_value v, struct trp_request *r);
/* A publish that asks for the broker's receipt: done(OK, NULL, ...) when it is there. With a reply topic the broker sends none:
 * there OK means that it has handled the message and found takers. */
TROUPE_NODISCARD troupe_status trp_conn_confirm(struct trp_conn *c, struct trp_slice topic, struct trp_slice reply,
                                                struct trp_slice headers, troupe_value v, struct trp_request *r);
/* PING; done(OK) at the PONG: everything sent before has been handled by the broker. */
TROUPE_NODISCARD troupe_status trp_conn_ping(struct trp_conn *c, struct trp_request *r);
void trp_conn_cancel(struct trp_conn *c, struct trp_request *r); /* harmless when it is done */

/* Subscribes now if up, and at each reconnect. *sid names it. INVALID (pattern, group, credit), NO_MEMORY. The pattern
 * "_q.NAME" consumes that queue; without credit it has 1. */
TROUPE_NODISCARD troupe_status trp_conn_subscribe(struct trp_conn *c, const char *pattern, const troupe_sub_opts *opts,
                                                  void *sub_user, uint64_t *sid);
/* OK: messages may come until `subscribed` says that it is over; what a queue gave us before that can still be acknowledged.
 * DISCONNECTED: it is over already. NOT_FOUND. */
TROUPE_NODISCARD troupe_status trp_conn_unsubscribe(struct trp_conn *c, uint64_t sid);
/* Ends all; a ping after it is answered when all are over. */
void trp_conn_unsubscribe_all(struct trp_conn *c);

/* Answers m and settles what it owes. NOT_FOUND, DISCONNECTED as troupe_client_reply. code NULL: an ordinary answer. */
TROUPE_NODISCARD troupe_status trp_conn_reply(struct trp_conn *c, struct troupe_msg *m, const char *code, troupe_value v);
/* ACKs or NACKs what m owes, if it owes and the connection is the same; once. troupe_msg_free calls it. */
void trp_conn_settle(struct troupe_msg *m, bool nack);

/* --- queues: conn_queue.c, subs.c --- */

/* As trp_conn_subscribe; credit 0: only what trp_conn_pull asks for, which goes to its request and not to `msg`. */
TROUPE_NODISCARD troupe_status trp_conn_consume(struct trp_conn *c, struct trp_slice queue, uint32_t credit, void *sub_user,
                                                uint64_t *sid);
/* Asks for one message on such a subscription, one request at a time: done(OK, the message, which owes an ACK), or EMPTY when
 * the broker had none within timeout_ms. One that comes after a cancel goes back. */
TROUPE_NODISCARD troupe_status trp_conn_pull(struct trp_conn *c, struct trp_slice queue, uint64_t sid, uint64_t timeout_ms,
                                             struct trp_request *r);
/* [QUEUE, ...]: done(OK, a message whose payload is the value of the answer, or NULL if it has none). options n == 0: none. */
TROUPE_NODISCARD troupe_status trp_conn_queue(struct trp_conn *c, const char *verb, struct trp_slice queue,
                                              struct trp_slice options, struct trp_request *r);
/* As trp_conn_settle with an ACK: done(OK) when it can't come again, NOT_FOUND when it was not ours any more. DISCONNECTED: its
 * session is over, so it comes again. INVALID: it owes nothing. */
TROUPE_NODISCARD troupe_status trp_conn_ack(struct trp_conn *c, struct troupe_msg *m, struct trp_request *r);
/* The broker's clock for m starts again. NOT_FOUND: it owes nothing, or is not from a queue. */
TROUPE_NODISCARD troupe_status trp_conn_touch(struct trp_conn *c, const struct troupe_msg *m, struct trp_request *r);
/* As trp_conn_settle with a NACK that says more: a packed map. */
void trp_conn_nack(struct troupe_msg *m, struct trp_slice options);

#endif
