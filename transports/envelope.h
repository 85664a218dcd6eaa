/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The envelope codec: what one msgpack array in a frame says. Pure. PROTOCOL.md is the reference; the fields:
 *
 *     [HELLO=1, info{}]                      info: map; "name", "version", later "auth"
 *     [CHALLENGE=2, info{}]  [AUTH=3, info{}]
 *     [WELCOME=4, info{}]                    "session" uint, "inbox" str, "max_payload" uint, "server" str, "version" str
 *     [SUB=5, id, sid, pattern, options{}]   options: "group" str, "credit" uint
 *     [UNSUB=6, id, sid]
 *     [PUB=7, id, message]
 *     [MSG=8, sid, token, message]           from a queue one more: a map of what the queue knows of it
 *     [ACK=9, sid, token]                    one more: an id, to be told OK
 *     [NACK=10, sid, token, options{}]
 *     [CREDIT=11, sid, n]
 *     [QUEUE=12, id, verb, name, options{}]
 *     [PING=13, id]  [PONG=14, id]
 *     [OK=15, id, level, count]              one more: a value, where there is more to say
 *     [ERR=16, id, code, text]
 *     [CLOSE=17, code, text]
 *     message = [topic, reply, headers, payload]    topic str, reply str or nil, headers map or nil, payload any
 *
 * Arrays may be longer than listed: what follows is skipped (it is how the protocol grows), shorter never. */
#ifndef TRP_ENVELOPE_H
#define TRP_ENVELOPE_H

#include "transports/buf.h"
#include "transports/pack.h"

enum trp_op {
    TRP_HELLO = 1,
    TRP_CHALLENGE,
    TRP_AUTH,
    TRP_WELCOME,
    TRP_SUB,
    TRP_UNSUB,
    TRP_PUB,
    TRP_MSG,
    TRP_ACK,
    TRP_NACK,
    TRP_CREDIT,
    TRP_QUEUE,
    TRP_PING,
    TRP_PONG,
    TRP_OK,
    TRP_ERR,
    TRP_CLOSE,
};

enum {
    TRP_TOPIC_MAX = 255,                  /* bytes: topics, replies, patterns, codes, queue verbs and names */
    TRP_INNER_DEPTH = TRP_PACK_DEPTH - 2, /* nesting of a payload, headers or options: the envelope and the message are two */
};

/* A message. All slices lie inside raw. blob is set when raw lies in shared bytes that may be referenced instead of
 * copied (the holder of this struct has borrowed it; trp_blob_ref to keep it). */
struct trp_message {
    struct trp_slice raw; /* the whole inner array, forwarded byte for byte */
    struct trp_slice topic;
    struct trp_slice reply;   /* n == 0: none (nil or "") */
    struct trp_slice headers; /* packed map; n == 0: none */
    struct trp_slice payload; /* packed value */
    struct trp_blob *blob;
};

struct trp_envelope {
    enum trp_op op;
    uint64_t id;              /* SUB UNSUB PUB QUEUE PING PONG OK ERR */
    uint64_t sid;             /* SUB UNSUB MSG ACK NACK CREDIT */
    uint64_t token;           /* MSG ACK NACK; CREDIT: n */
    uint64_t level, count;    /* OK */
    struct trp_slice code;    /* ERR CLOSE: the code; QUEUE: the verb */
    struct trp_slice text;    /* SUB: the pattern; ERR CLOSE: the sentence; QUEUE: the name */
    struct trp_slice options; /* HELLO CHALLENGE AUTH WELCOME SUB NACK QUEUE: packed map; n == 0: nil */
    struct trp_message msg;   /* PUB MSG */
};

/* Reads the envelope at the start of p[0..n); all slices borrow from p. *used: its length. On a fault *why is a
 * static sentence that names the field. Faults: TRUNCATED, TOO_DEEP, TOO_BIG (a topic, the element count),
 * UNSUPPORTED (unknown op), PROTOCOL (not an array, wrong type). Fields that the op has not are zero. After a fault
 * *e is not to be used, *used is as it was. */
TROUPE_NODISCARD troupe_status trp_envelope_read(const uint8_t *p, size_t n, struct trp_envelope *e, size_t *used,
                                                 const char **why);

/* The protocol's name of such a fault, for the ERR before the end: BAD_ENVELOPE, UNKNOWN_OP, TOO_BIG, TOO_DEEP. */
const char *trp_envelope_fault(troupe_status st);

/* Reads a bare message array. Faults as above. */
TROUPE_NODISCARD troupe_status trp_message_read(const uint8_t *p, size_t n, struct trp_message *m, size_t *used,
                                                const char **why);

/* Looks up a key in a packed map (options, headers); of a key that repeats, the first. False: not there, or not of
 * that type. `map` has been scanned. */
bool trp_map_uint(struct trp_slice map, const char *key, uint64_t *v);
bool trp_map_str(struct trp_slice map, const char *key, struct trp_slice *s);
bool trp_map_value(struct trp_slice map, const char *key, troupe_value *v);

/* Writers. Each appends one whole envelope to b, or nothing and NO_MEMORY. Options and info come packed (n == 0: an
 * empty map). TOO_BIG: a topic, pattern or code over TRP_TOPIC_MAX. */

/* HELLO, CHALLENGE, AUTH, WELCOME. */
TROUPE_NODISCARD troupe_status trp_put_info(struct trp_buf *b, enum trp_op op, struct trp_slice map);
TROUPE_NODISCARD troupe_status trp_put_sub(struct trp_buf *b, uint64_t id, uint64_t sid, struct trp_slice pattern,
                                           struct trp_slice options);
TROUPE_NODISCARD troupe_status trp_put_unsub(struct trp_buf *b, uint64_t id, uint64_t sid);
TROUPE_NODISCARD troupe_status trp_put_ack(struct trp_buf *b, uint64_t sid, uint64_t token);
TROUPE_NODISCARD troupe_status trp_put_nack(struct trp_buf *b, uint64_t sid, uint64_t token, struct trp_slice options);
TROUPE_NODISCARD troupe_status trp_put_credit(struct trp_buf *b, uint64_t sid, uint64_t n);
TROUPE_NODISCARD troupe_status trp_put_ping(struct trp_buf *b, enum trp_op op, uint64_t id); /* PING PONG */
TROUPE_NODISCARD troupe_status trp_put_ok(struct trp_buf *b, uint64_t id, uint64_t level, uint64_t count);
/* OK with a packed value behind it. */
TROUPE_NODISCARD troupe_status trp_put_answer(struct trp_buf *b, uint64_t id, uint64_t level, uint64_t count,
                                              struct trp_slice value);
TROUPE_NODISCARD troupe_status trp_put_queue(struct trp_buf *b, uint64_t id, struct trp_slice verb, struct trp_slice name,
                                             struct trp_slice options);
/* ACK that asks for a receipt. */
TROUPE_NODISCARD troupe_status trp_put_ack_id(struct trp_buf *b, uint64_t sid, uint64_t token, uint64_t id);
TROUPE_NODISCARD troupe_status trp_put_err(struct trp_buf *b, uint64_t id, struct trp_slice code, struct trp_slice text);
TROUPE_NODISCARD troupe_status trp_put_close(struct trp_buf *b, struct trp_slice code, struct trp_slice text);
/* Publish and delivery with the message's bytes as they are. */
TROUPE_NODISCARD troupe_status trp_put_pub_raw(struct trp_buf *b, uint64_t id, struct trp_slice raw);
TROUPE_NODISCARD troupe_status trp_put_msg_raw(struct trp_buf *b, uint64_t sid, uint64_t token, struct trp_slice raw);
/* Publish made from its parts: reply.n == 0: nil; headers n == 0: nil; the payload is packed on the way. Also
 * INVALID (headers are not one map, a packed payload is not one value), TOO_DEEP (over TRP_INNER_DEPTH), TOO_BIG: what
 * is refused here is what the other side would end the connection for. */
TROUPE_NODISCARD troupe_status trp_put_pub(struct trp_buf *b, uint64_t id, struct trp_slice topic, struct trp_slice reply,
                                           struct trp_slice headers, troupe_value payload);
/* Every writer asks for no more room than its slices and the bytes of a text, bytes or packed payload take, and this: a
 * buffer laid over so much reserved room (a link's open frame) is never grown. */
enum { TRP_PUT_EXTRA = 64 };
/* A bare message array from its parts. */
TROUPE_NODISCARD troupe_status trp_put_message(struct trp_buf *b, struct trp_slice topic, struct trp_slice reply,
                                               struct trp_slice headers, troupe_value payload);

/* The head of a delivery, `[MSG, sid, token, ` without the message behind it, for a writer that has its own buffer:
 * at most TRP_MSG_HEAD_MAX bytes at p; returns the byte behind. */
enum { TRP_MSG_HEAD_MAX = 20 };
uint8_t *trp_msg_head(uint8_t *p, uint64_t sid, uint64_t token);

#endif
