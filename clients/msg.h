/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A message: one allocation, header and bytes together. Made from a delivery (bytes copied once out of the read
 * buffer) or from a value (packed into it). Small ones are pooled (block.h), so that the steady state allocates nothing. */
#ifndef TRP_MSG_H
#define TRP_MSG_H

#include "clients/block.h"
#include "transports/envelope.h"
#include <troupe/msg.h>

struct trp_conn;

struct troupe_msg;

/* Who is to be told when a message is done with. */
struct trp_origin {
    /* troupe_msg_free calls it when it is set, before it drops the message, with nack false (a queue's message: true): the
     * connection sets trp_conn_settle on what it delivers with a token, the runtime its own on questions. It may find the
     * message settled already. */
    void (*settle)(struct troupe_msg *m, bool nack);
    struct trp_conn *conn; /* NULL: nobody (an actor's message, a plain delivery) */
    uint64_t sid, token;   /* token 0: nothing owed */
    uint64_t generation;   /* of the connection: an ack after a reconnect would mean nothing */
};

/* What a message between actors of one process needs comes first and fills one cache line. A plain message needs nothing else
 * but its bytes: what is below is zero in it, and stays so from one message in its block to the next. */
struct troupe_msg {
    struct troupe_msg *next; /* of whoever owns it: queues are intrusive */
    uint64_t from, to;       /* actor messages: the sender's and the receiver's reference; 0: none */
    uint64_t ask;            /* actor messages: the sender's correlation number; 0: no answer wanted */
    struct trp_slice payload;
    size_t size;   /* bytes behind: what limits count */
    uint32_t kind; /* 0; the actor runtime's own kinds (DOWN, answers...) */
    bool answered;
    uint8_t beyond; /* the actor runtime's, TRP_BEYOND_ (mailbox.h): it came in beyond the mailbox's bounds */
    bool mapped;    /* it is a mapping of its own, from its beginning to its last byte */
    bool plain;     /* see above; in a block of TRP_BLOCK_TINY */

    void *owner;              /* the actor runtime's: who asked, a counted reference */
    struct troupe_msg **link; /* the actor runtime's: its place among its receiver's messages in hand; NULL: in none */
    struct trp_origin origin;
    uint64_t sub;           /* the subscription it came by; 0: none */
    struct trp_slice topic; /* zero-terminated in place; NULL: none */
    struct trp_slice reply, headers;
    struct trp_slice info; /* what the queue that it came from knows of it, a packed map; n == 0: it came from none */
    char error[32];        /* "" or the code of an error answer, cut to fit */
    uint8_t bytes[];
};

/* A message is tiny when it and its bytes fit the smallest block. */
enum { TRP_MSG_TINY = TRP_BLOCK_TINY - sizeof(struct troupe_msg) };

/* From a delivery; the slices are copied. NULL: no memory. */
struct troupe_msg *trp_msg_from_wire(const struct trp_message *m);
/* The same from a queue. */
struct troupe_msg *trp_msg_from_queue(const struct trp_message *m, struct trp_slice info);
/* From a value; topic "". Faults as trp_pack_value. */
TROUPE_NODISCARD troupe_status trp_msg_from_value(struct troupe_msg **out, troupe_value v, struct trp_slice headers);
/* Made where it lies, at the beginning of a private mapping: `size` bytes are behind it, of which both slices are parts (but an
 * empty topic). To be unmapped when it is freed. */
void trp_msg_mapped(struct troupe_msg *m, size_t size, struct trp_slice topic, struct trp_slice payload);
/* The same, short, and plain: NULL: no memory, or not so small a value that it knows it. */
struct troupe_msg *trp_msg_small(troupe_value v);
/* Frees without acknowledging. */
void trp_msg_drop(struct troupe_msg *m); /* accepts NULL */

#endif
