/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a queue is declared as: whether it makes sense, in what it differs from another declaration, and how it is packed,
 * in the log and in the queue itself:
 *
 *     [name, max_messages, max_bytes, overflow, ttl, ack_timeout, max_deliveries, max_crashes, dead_letter, dedup, [pattern,
 * ...]] */
#ifndef TRP_BROKER_QUEUE_CONFIG_H
#define TRP_BROKER_QUEUE_CONFIG_H

#include "broker/queue.h"
#include "transports/envelope.h"

enum { TRP_QUEUE_WHY = 1024 };

/* A copy in which nothing is left to defaults. The name of its dead-letter queue may be made in here. */
struct trp_queue_declared {
    struct trp_queue_config config;
    uint8_t dead_letter[TRP_TOPIC_MAX];
};

/* INVALID: `why` says what makes no sense. */
TROUPE_NODISCARD troupe_status trp_queue_config_resolve(const struct trp_queue_config *in, struct trp_queue_declared *out,
                                                        char why[TRP_QUEUE_WHY]);
/* Both are resolved and of the same name. True: `why` says in what they differ, first what is, then what is asked for. */
bool trp_queue_config_differs(const struct trp_queue_config *is, const struct trp_queue_config *asked, char why[TRP_QUEUE_WHY]);

/* The most bytes that it takes when packed; and packs it, giving the byte behind. */
size_t trp_queue_config_size(const struct trp_queue_config *c);
uint8_t *trp_queue_config_pack(uint8_t *p, const struct trp_queue_config *c);
/* Borrows from `packed`; `patterns` has room for PATTERNS_MAX. `durable` is not in it. False: it is none. */
bool trp_queue_config_read(struct trp_slice packed, struct trp_queue_config *c, struct trp_slice *patterns);

#endif
