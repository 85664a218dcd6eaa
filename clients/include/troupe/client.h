/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What any process uses to speak to a broker.
 *
 *     troupe_client *c;
 *     troupe_msg *answer;
 *     if (troupe_client_open(&c, NULL) != TROUPE_OK)        // TROUPE_BROKER, or tcp://127.0.0.1:4747
 *         errx(1, "no broker");
 *     if (troupe_client_request(c, "fib", troupe_int(30), 1000, &answer) == TROUPE_OK) {
 *         int64_t n;
 *         if (troupe_msg_int(answer, &n))
 *             printf("%" PRId64 "\n", n);
 *         troupe_msg_free(&answer);
 *     }
 *     troupe_client_close(&c);
 *
 * States: connecting -> connected <-> reconnecting -> draining -> closed.
 *
 * There is no hidden thread. A call that waits runs the connection's own loop until it has what it waits for; between
 * calls nothing moves, and what has arrived waits in the socket. When the connection breaks, the next calls dial again
 * with back-off (50 ms doubling to 2 s, with jitter) and subscribe anew; requests in flight end with
 * TROUPE_DISCONNECTED at once, for nobody can know whether they were done. A broker that comes back with another authkey is
 * tried again with a back-off up to 30 s, each time with what is in the file then.
 *
 * A client belongs to one thread at a time. Time-outs are milliseconds from now; TROUPE_FOREVER waits without end and
 * 0 does not wait. After fork the child must not use the parent's client: every call returns TROUPE_INVALID there. */
#ifndef TROUPE_CLIENT_H
#define TROUPE_CLIENT_H

#include <troupe/log.h>
#include <troupe/msg.h>

#define TROUPE_DEFAULT_BROKER "tcp://127.0.0.1:4747"
#define TROUPE_FOREVER        INT64_C(-1)

typedef struct troupe_client troupe_client;

typedef struct troupe_client_opts {
    /* NULL: the environment's TROUPE_BROKER, or TROUPE_DEFAULT_BROKER. */
    const char *url;
    /* Told to the broker, for its logs; NULL: the program's name. */
    const char *name;
    /* The key that the broker and we have in common (PROTOCOL.md): mode 0600 or 0400, ours; NULL: the environment's
     * TROUPE_AUTHKEY_FILE; "": none.
     * Without one, a broker that asks for it refuses us; with one, we refuse one that does not know it. */
    const char *authkey_file;
    /* Open gives up after this; 0: 5,000; TROUPE_FOREVER waits for a broker to come up. */
    int64_t connect_timeout_ms;
    /* Largest payload taken from the broker; 0: 1 MiB. */
    size_t max_payload;
    /* Messages received and not yet asked for, in bytes, before reading stops; 0: 16 MiB. Calls that wait for an answer read on
     * to twice as much, then say FULL: receive something first. */
    size_t max_queued;
} troupe_client_opts;

/* Connects. opts NULL: all defaults; borrowed until it returns. TIMEOUT: nobody there in time; REFUSED: the broker turned us
 * away, or we it ("authentication failed: ..."). Faults: BAD_URL, BAD_KEY (the authkey's file), UNSUPPORTED (scheme),
 * NO_MEMORY, SYSTEM. troupe_client_why() has a sentence. Context: any thread; blocks until the time-out. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_client_open(troupe_client **out, const troupe_client_opts *opts);

/* The sentence behind the calling thread's last troupe_client_open that failed, or, with a client, behind its last error.
 * Never NULL. */
TROUPE_API const char *troupe_client_why(const troupe_client *c);

typedef struct troupe_pub_opts {
    /* More will follow at once: may be held back until 64 KiB are together, the next call without `more`, a flush, or any call
     * that waits. As MSG_MORE of send(2). */
    bool more;
    bool confirm;         /* wait for the broker's receipt, at most timeout_ms */
    int64_t timeout_ms;   /* wait this long for a connection, and for the receipt; 0: do not wait (and 5,000 for the receipt) */
    const char *reply;    /* answers go to this topic; NULL: nobody waits for one */
    troupe_value headers; /* a packed map; zero: none */
} troupe_pub_opts;

/* Publishes. opts NULL: at once, no receipt. DISCONNECTED: not connected (within timeout_ms); REFUSED: the broker turned us
 * away for good, or, with confirm, said no (why). With confirm also TIMEOUT: no receipt in time, it may or may not have been
 * routed; BUSY: a group's backlog is full; NO_RESPONDERS: it asks for a reply and nobody is there; FULL: see max_queued.
 * Faults: INVALID (topic, headers, payload), TOO_BIG, TOO_DEEP, NO_MEMORY. Context: owner thread; blocks as said, or while the
 * kernel's buffer and 1 MiB of ours are full. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_client_publish(troupe_client *c, const char *topic, troupe_value payload,
                                                                const troupe_pub_opts *opts);
/* Writes what `more` held back. DISCONNECTED. Context: owner thread; as publish. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_client_flush(troupe_client *c);

typedef struct troupe_sub_opts {
    const char *group; /* share the messages with the others in this group; NULL: get every one */
    uint32_t credit;   /* with a group: at most so many at a time, acknowledged when answered or freed; 0: no limit, no acks */
} troupe_sub_opts;

/* A subscription's name within its client or actor. */
typedef struct troupe_sub {
    uint64_t id;
} troupe_sub;

/* Subscribes to a topic or pattern (`*` one token, `>` the rest) and waits for the broker's receipt; it is renewed at each
 * reconnect. out may be NULL. DISCONNECTED, TIMEOUT (5,000 ms): it is kept and made when the connection is there. REFUSED: the
 * broker said no (why). Faults: INVALID, NO_MEMORY. Context: owner thread; blocks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_client_subscribe(troupe_client *c, const char *pattern,
                                                                  const troupe_sub_opts *opts, troupe_sub *out);
/* Ends it. Messages already here can still be received. NOT_FOUND.
 * Context: owner thread; blocks for the receipt, 5,000 ms at most. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_client_unsubscribe(troupe_client *c, troupe_sub sub);

/* The next message of any subscription, given. TIMEOUT; DISCONNECTED is not returned: it waits for the reconnect. NOT_FOUND: a
 * queue that is consumed here was deleted, or did not survive the broker (why); said once, the other subscriptions go on.
 * CLOSED: draining and nothing is left. REFUSED: the broker will not have us back, and nothing is left (why).
 * Context: owner thread; blocks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_client_receive(troupe_client *c, int64_t timeout_ms, troupe_msg **out);

/* Asks and waits for the answer, given; timeout_ms is for the connection and the answer together. An answer may be an error of
 * the service: look at troupe_msg_error. Messages of subscriptions that come meanwhile are kept for receive. TIMEOUT,
 * NO_RESPONDERS, WORKER_LOST, BUSY, DISCONNECTED (not connected in time, or lost with the request under way: it is unknown
 * whether it was done), REFUSED (why), FULL (max_queued). Faults: as publish. Context: owner thread; blocks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_client_request(troupe_client *c, const char *topic, troupe_value payload,
                                                                int64_t timeout_ms, troupe_msg **answer);

/* Many requests at a time: submit sends one (`more` as in troupe_pub_opts) and gives its number, collect gives the next answer
 * of any, in the order they come. Submit: DISCONNECTED; REFUSED; FULL: 65,536 are not collected yet. Collect: *request is set
 * with every status about a request (OK, NO_RESPONDERS, WORKER_LOST, BUSY, DISCONNECTED, REFUSED; of a queue's put FULL,
 * NOT_FOUND, INVALID) and *answer with OK; else it is 0 and TIMEOUT: none came; EMPTY: none is outstanding; FULL (max_queued).
 * Faults: as publish. Context: owner thread; submit blocks as publish. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_client_submit(troupe_client *c, const char *topic, troupe_value payload,
                                                               bool more, uint64_t *request);
TROUPE_API TROUPE_NODISCARD troupe_status troupe_client_collect(troupe_client *c, int64_t timeout_ms, uint64_t *request,
                                                                troupe_msg **answer);

/* Answers a message (and acknowledges it); once. Written at once, unless more messages are queued here: then answers gather for
 * 100 us of receiving and answering, or until the next flush. Who mixes short and long work flushes, or takes one message at a
 * time (credit 1). NOT_FOUND: its sender waits for none, or it was answered. DISCONNECTED: the connection it came on is gone,
 * the requester has been told. Faults as publish. Context: owner thread; does not block. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_client_reply(troupe_client *c, troupe_msg *m, troupe_value payload);
/* Answers with an error: a code of [A-Z0-9_], 31 at most, and a sentence. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_client_reply_error(troupe_client *c, troupe_msg *m, const char *code,
                                                                    const char *text);
/* Gives a credited message, or one from a queue, back: another member gets it. Frees it. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_client_nack(troupe_client *c, troupe_msg **m);

/* Ends all subscriptions, so that receive hands out what is left and then says CLOSED, and waits until everything written is
 * with the broker. TIMEOUT, DISCONNECTED. Context: owner thread; blocks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_client_drain(troupe_client *c, int64_t timeout_ms);

/* One descriptor to poll for reading in a loop of one's own; when readable (or after timeout_ms of troupe_client_wait_ms) call
 * troupe_client_receive(c, 0, ...) until TIMEOUT. Borrowed, never read from it. */
TROUPE_API int troupe_client_fd(const troupe_client *c);
TROUPE_API int64_t troupe_client_wait_ms(const troupe_client *c);

/* Writes what is pending (at most 1,000 ms), gives back what was never received, closes, frees. A message still in hand may be
 * read and freed later. Accepts NULL inside. In a forked child: sets *c to NULL and leaves the parent's things alone. Context:
 * owner thread; blocks up to that long. */
TROUPE_API void troupe_client_close(troupe_client **c);

#endif
