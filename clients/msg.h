/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A message: one allocation, header and bytes together. Made from a delivery (bytes copied once out of the read
 * buffer) or from a value (packed into it). Small ones come from and go back to a per-thread free list, so that the
 * steady state allocates nothing. */
#ifndef TRP_MSG_H
#define TRP_MSG_H

#include <troupe/msg.h>
#include "transports/envelope.h"

struct trp_conn;

struct troupe_msg;

/* Who is to be told when a message is done with. */
struct trp_origin {
    /* troupe_msg_free calls it when it is set, before it drops the message, with nack false (a queue's message: true): the connection
     * sets trp_conn_settle on what it delivers with a token, the runtime its own on questions. It may find the message settled already. */
    void (*settle)(struct troupe_msg *m, bool nack);
    struct trp_conn *conn;    /* NULL: nobody (an actor's message, a plain delivery) */
    uint64_t sid, token;      /* token 0: nothing owed */
    uint64_t generation;      /* of the connection: an ack after a reconnect would mean nothing */
};

struct troupe_msg {
    struct troupe_msg *next;  /* of whoever owns it: queues are intrusive */
    struct trp_origin origin;
    uint64_t sub;             /* the subscription it came by; 0: none */
    uint64_t from;            /* actor messages: the sender's reference; 0: none */
    uint64_t ask;             /* actor messages: the sender's correlation number; 0: no answer wanted */
    uint32_t kind;            /* 0; the actor runtime's own kinds (DOWN, answers...) */
    void *owner;              /* the actor runtime's: who asked, a counted reference */
    struct troupe_msg **link; /* the actor runtime's: its place among its receiver's messages in hand; NULL: in none */
    bool answered;
    struct trp_slice topic;   /* zero-terminated in place */
    struct trp_slice reply, headers, payload;
    struct trp_slice info;    /* what the queue that it came from knows of it, a packed map; n == 0: it came from none */
    char error[32];           /* "" or the code of an error answer, cut to fit */
    size_t size;              /* bytes behind: what limits count */
    uint8_t bytes[];
};

/* From a delivery; the slices are copied. NULL: no memory. */
struct troupe_msg *trp_msg_from_wire(const struct trp_message *m);
/* The same from a queue. */
struct troupe_msg *trp_msg_from_queue(const struct trp_message *m, struct trp_slice info);
/* From a value; topic "". Faults as trp_pack_value. */
TROUPE_NODISCARD troupe_status trp_msg_from_value(struct troupe_msg **out, troupe_value v, struct trp_slice headers);
/* Frees without acknowledging. */
void trp_msg_drop(struct troupe_msg *m);

#endif
