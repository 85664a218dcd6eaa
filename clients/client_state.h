/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The inside of a client, for client.c (life, waiting), publish.c, receive.c, calls.c (requests), and queue.c, queue_put.c and
 * queue_get.c (queues). */
#ifndef TRP_CLIENT_STATE_H
#define TRP_CLIENT_STATE_H

#include "clients/conn.h"

enum {
    TRP_CLIENT_HIGH = 1 << 20, /* bytes not yet taken by the kernel at which a writer waits */
    TRP_CLIENT_RECEIPT_MS = 5000,
};

struct trp_flight;
struct trp_pull;

/* All of it is the owner thread's. */
struct troupe_client {
    struct trp_loop loop;
    struct trp_conn *conn;
    unsigned born; /* forks of the process before it: see trp_client_here */
    bool gone;     /* the connection has been freed */
    bool draining;
    bool pausing;              /* reading has been stopped: enough waits for receive */
    unsigned waiting;          /* calls that wait for an answer: reading goes on up to twice the limit */
    size_t max_queued, queued; /* bytes */
    struct troupe_msg *first, **end;
    /* When to write and when to read, see trp_client_push. */
    unsigned since_turn;
    uint64_t turn_ns;
    uint64_t unsent_ns; /* the oldest answer or ACK that was held back; 0: none */
    /* The subscription whose receipt is awaited. */
    uint64_t sub_sid;
    bool sub_done;
    troupe_status sub_status;
    /* submit and collect. */
    struct trp_flight *spare, *ended, **ended_end;
    bool any_ended;
    size_t flying; /* submitted and not collected */
    /* Queues. */
    struct trp_pull *pulls; /* the subscriptions of gets, the last used first */
    struct trp_buf packed;  /* options and headers, while a call packs them */
    bool consumer_lost;     /* a queue that was consumed is gone, and receive has not said so yet: consumer_why */
    char consumer_why[256];
    char why[256];
};

/* A fault or condition with its sentence, for troupe_client_why. */
troupe_status trp_client_say(struct troupe_client *c, troupe_status st, const char *why);
/* The same with the status's own sentence, or why there is no connection. OK says nothing. */
troupe_status trp_client_plainly(struct troupe_client *c, troupe_status st);
/* Is this the process that opened it? */
bool trp_client_here(const struct troupe_client *c);
/* The time at which a call gives up, as trp_client_turn wants it. */
int64_t trp_client_deadline(int64_t timeout_ms);
/* One turn of the loop, waiting for ms at most (-1: without end). */
void trp_client_once(struct troupe_client *c, int64_t ms);
/* The same, waiting until the deadline at most. False: it has passed. */
bool trp_client_turn(struct troupe_client *c, int64_t deadline);
/* Waits for a connection. DISCONNECTED: none in time. REFUSED: never again. */
TROUPE_NODISCARD troupe_status trp_client_connected(struct troupe_client *c, int64_t deadline);
/* After something was written: gives it to the kernel unless more follows, and the reading side its turn. */
void trp_client_push(struct troupe_client *c, bool more);
/* The same after an answer or an ACK. Never turns the loop: it runs in troupe_msg_free, too. */
void trp_client_push_answer(struct troupe_client *c);
/* Waits until the kernel has taken most of what was written. */
void trp_client_wait_low(struct troupe_client *c);
/* Stops reading, or goes on, by what is queued. */
void trp_client_throttle(struct troupe_client *c);
/* Waits for *done. TIMEOUT; FULL: the answer cannot be read before messages have been received. */
TROUPE_NODISCARD troupe_status trp_client_await(struct troupe_client *c, const bool *done, int64_t deadline);

/* The broker's word about something sent. Its request's done is trp_receipt_done, the user the receipt itself. An answer that
 * came with it is whoever's who waits. */
struct trp_receipt {
    struct trp_request r;
    struct troupe_client *c;
    bool done;
    troupe_status st;
    struct troupe_msg *answer;
};

void trp_receipt_done(struct trp_request *r, troupe_status st, struct troupe_msg *answer, const char *why);
/* Waits for it, and forgets it when it does not come. TIMEOUT, FULL as above; what the broker said. */
TROUPE_NODISCARD troupe_status trp_receipt_await(struct troupe_client *c, struct trp_receipt *receipt, int64_t deadline);

/* receive.c: the receipt for a subscription, or why there is none. */
TROUPE_NODISCARD troupe_status trp_client_await_sub(struct troupe_client *c, uint64_t sid);
/* client.c: what a message that this client hands out is settled by. */
void trp_client_settle(struct troupe_msg *m, bool nack);

/* calls.c: a request whose end collect will tell. Begin says FULL, DISCONNECTED, REFUSED, NO_MEMORY; end is told how sending it
 * went, and gives that back. */
TROUPE_NODISCARD troupe_status trp_flight_begin(struct troupe_client *c, struct trp_request **r);
TROUPE_NODISCARD troupe_status trp_flight_end(struct troupe_client *c, struct trp_request *r, troupe_status st, bool more,
                                              uint64_t *number);
/* Frees what submit and collect have kept. */
void trp_client_drop_flights(struct troupe_client *c);

/* queue_get.c. */
void trp_client_drop_pulls(struct troupe_client *c);
/* The subscription of a get was refused, or has been ended by the broker. */
void trp_pull_lost(struct trp_pull *p, uint64_t sid, troupe_status st);

#endif
