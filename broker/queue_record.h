/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The records of durable queues, as they lie in the log. A record is msgpack values one behind the other, the kind
 * first; a PUT ends with the message as it came, a DECLARE with the packed configuration. Pure.
 *
 *     MARK    1 seq                              the next number; at the head of each segment
 *     DECLARE 2 queue paused config
 *     DELETE  3 queue
 *     PUT     4 flags queue seq at priority [was] [delay] [ttl] [seen] [deliveries crashes signal] [dedup]
 *               [queue text deliveries crashes signal: how it died] [reason] message
 *     STATE   5 flags seq at [delay] [deliveries crashes signal] [reason]
 *     DONE    6 seq [difference, zigzag]...      acked, dropped, purged: one or many
 *     DEDUP   7 queue at left id                 an id whose message is done, copied forward
 *
 * What stands in brackets is there if its bit in `flags` says so. `at` is the wall clock when it was written, in
 * milliseconds; delay, ttl and left count from there. A PUT with `was` takes the place of that message, in one record, so
 * that a dead letter is never in two queues or in none. */
#ifndef TRP_BROKER_QUEUE_RECORD_H
#define TRP_BROKER_QUEUE_RECORD_H

#include "broker/queue_item.h"

enum trp_queue_record_kind {
    TRP_QUEUE_RECORD_MARK = 1,
    TRP_QUEUE_RECORD_DECLARE,
    TRP_QUEUE_RECORD_DELETE,
    TRP_QUEUE_RECORD_PUT,
    TRP_QUEUE_RECORD_STATE,
    TRP_QUEUE_RECORD_DONE,
    TRP_QUEUE_RECORD_DEDUP,
};

struct trp_queue_record {
    enum trp_queue_record_kind kind;
    uint64_t queue;         /* DECLARE DELETE PUT DEDUP */
    uint64_t seq;           /* MARK PUT STATE; DONE: the first */
    uint64_t was;           /* PUT; 0: nothing */
    uint64_t at_ms;         /* PUT STATE DEDUP */
    uint64_t delay_ms;      /* PUT STATE; 0: none */
    uint64_t ttl_ms;        /* PUT: left; NEVER: none. DEDUP: left */
    uint64_t first_seen_ms; /* PUT */
    uint32_t priority;      /* PUT */
    uint32_t deliveries;    /* PUT STATE, and the next two */
    uint16_t crashes;
    uint8_t signal;
    bool buried;                  /* PUT STATE */
    bool dead;                    /* PUT */
    bool paused;                  /* DECLARE */
    enum trp_queue_reason reason; /* PUT STATE: of what is buried or dead */
    struct trp_death death;       /* PUT: of what is dead; reason: a text of its own, or none */
    struct trp_slice dedup;       /* PUT DEDUP */
    struct trp_slice body;        /* PUT: the message; DECLARE: the configuration; DONE: the differences */
};

enum { TRP_QUEUE_RECORD_HEAD_MAX = 1024 };
/* Of a message's number, so that differences have a sign. */
#define TRP_QUEUE_SEQ_MAX ((uint64_t)INT64_MAX)

/* All but the body, at p; returns the byte behind. What it holds is within its limits. */
uint8_t *trp_queue_record_write(uint8_t *p, const struct trp_queue_record *r);

/* Borrows from `bytes`. PROTOCOL: *why is a static sentence. */
TROUPE_NODISCARD troupe_status trp_queue_record_read(struct trp_slice bytes, struct trp_queue_record *r, const char **why);

/* ---- many that are done ---- */

struct trp_queue_record_batch {
    size_t n;
    uint64_t last;
    uint8_t bytes[4096];
};

void trp_queue_record_batch_init(struct trp_queue_record_batch *b, uint64_t seq);
/* False: it is full. */
bool trp_queue_record_batch_add(struct trp_queue_record_batch *b, uint64_t seq);
/* The seqs behind r->seq, one at a time: moves *seq on. False: that was the last. */
bool trp_queue_record_next_done(struct trp_queue_record *r, uint64_t *seq);

#endif
