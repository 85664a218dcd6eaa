/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The inside of a connection, for the files that make it up: conn.c (its life), inbound.c (what the broker says),
 * outbound.c (what we say), conn_queue.c (what we say to queues), subs.c (subscriptions). Everything on the loop's thread. */
#ifndef TRP_CONN_STATE_H
#define TRP_CONN_STATE_H

#include "clients/auth.h"
#include "clients/backoff.h"
#include "clients/conn.h"
#include "clients/requests.h"
#include "clients/subs.h"

enum {
    TRP_FRAME_EXTRA = 64 * 1024,        /* a frame's body: at most the largest payload and so much (PROTOCOL.md) */
    TRP_FRAME_INFO = 4 * 1024,          /* and what a queue knows of a message comes on top of what was put */
    TRP_INBOX_MAX = TRP_TOPIC_MAX - 20, /* leaves room for the longest number behind it */
    TRP_WHY_MAX = 256,
};

/* State, what may follow it, and when. A link is there from DIALLING to LOSING, and in CLOSING until it is down.
 *
 *     DIALLING  HELLO LOSING WAITING CLOSING   (WAITING: the system has no socket for us now)
 *     HELLO     UP LOSING CLOSING              HELLO is said, WELCOME awaited; with an authkey the proofs come between
 *     UP        LOSING CLOSING
 *     LOSING    WAITING DEAD CLOSING           the link is down, or we gave it up and it soon will be
 *     WAITING   DIALLING CLOSING               the back-off runs
 *     DEAD      CLOSING                        refused for good
 *     CLOSING   GONE
 *     GONE                                     only kept for messages that still point here */
enum trp_conn_state {
    TRP_CONN_DIALLING,
    TRP_CONN_HELLO,
    TRP_CONN_UP,
    TRP_CONN_LOSING,
    TRP_CONN_WAITING,
    TRP_CONN_DEAD,
    TRP_CONN_CLOSING,
    TRP_CONN_GONE,
};

struct trp_conn {
    struct trp_loop *loop;                  /* (c) */
    const struct trp_conn_handler *handler; /* (c) */
    void *user;                             /* (c) */
    char *url, *name;                       /* (c) */
    size_t max_payload;                     /* (c) what we take */
    bool keep_trying;                       /* (c) */
    char obituary[TRP_CONN_OBITUARY + 1];   /* (c) "": none */
    struct trp_conn_auth auth;
    int64_t welcome_ms, keepalive_ms; /* (c) */
    enum trp_conn_state state;
    struct trp_link *link;
    uv_timer_t timer; /* WELCOME's deadline, the keepalive or the back-off, by state */
    struct trp_backoff backoff;
    int64_t up_since;
    unsigned silent; /* keepalive ticks without a frame */
    struct trp_request alive;
    bool paused;
    struct trp_requests requests;
    struct trp_subs subs;
    uint64_t generation;          /* sessions so far */
    uint64_t owed;                /* messages out there that point at us */
    size_t peer_max;              /* the largest packed payload that the broker takes */
    uint8_t inbox[TRP_INBOX_MAX]; /* the prefix of our reply topics in this session */
    size_t inbox_n;
    uint8_t topic[TRP_TOPIC_MAX]; /* the last one that was found good: most who publish do so again and again */
    size_t topic_n;
    /* Why the link was given up by us; OK: it was not. */
    troupe_status cause;
    bool fatal;
    char why[TRP_WHY_MAX];
    char told[TRP_WHY_MAX]; /* why it was lost last since it was up: tries that fail in the same way are no news */
    bool again;
};

/* conn.c */

/* Gives the link up; `lost` follows from the loop. */
void trp_conn_lose(struct trp_conn *c, troupe_status st, bool fatal, const char *fmt, ...) TROUPE_PRINTF(4, 5);
/* The same over the authkey: REFUSED, and for good if there was no session yet, since a wrong key does not come right by
 * itself. But a broker that knew us and comes back with another key may get the old one back, or our file the new one. */
void trp_conn_deny(struct trp_conn *c, const char *why);
/* The state after WELCOME: subscribes and tells the handler. */
void trp_conn_welcomed(struct trp_conn *c);
/* Frees what trp_conn_close left when the last message that pointed here has been settled. */
void trp_conn_forget_one(struct trp_conn *c);

/* inbound.c */

void trp_conn_frame(struct trp_conn *c, struct trp_slice body);
/* Tells the broker what it did wrong, and leaves. */
void trp_conn_violated(struct trp_conn *c, const char *code, const char *what);

/* outbound.c */

/* A buffer laid over room for one envelope in the link's open frame (see TRP_PUT_EXTRA): write with one of the trp_put
 * functions, then end with its status, which is returned. DISCONNECTED: the link is about to be down, for whatever
 * reason; `lost` will tell. */
TROUPE_NODISCARD troupe_status trp_conn_out(struct trp_conn *c, size_t room, struct trp_buf *b);
troupe_status trp_conn_out_end(struct trp_conn *c, struct trp_buf *b, troupe_status st);
/* What has been sent, or not, with a request that was added for it: if not, it is taken out again. Gives st. */
troupe_status trp_conn_sent(struct trp_conn *c, struct trp_request *r, troupe_status st);

/* What a message owes, taken off it; the ACK or NACK for it is written between take and paid. */
struct trp_debt {
    struct trp_conn *conn;
    uint64_t sid, token;
    bool queue;
    bool live; /* the session that waits for it is there; else there is nothing to write */
};
/* False: it owes nothing (any more). */
bool trp_debt_take(struct troupe_msg *m, struct trp_debt *d);
void trp_debt_paid(const struct trp_debt *d);

#endif
