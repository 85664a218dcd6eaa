/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What is told of queues and their messages, as msgpack maps. */
#ifndef TRP_BROKER_QUEUE_INFO_H
#define TRP_BROKER_QUEUE_INFO_H

#include "broker/queue.h"

/* Beside a delivery: t-deliveries, t-first-seen; where there is something to say: t-crashes, t-signal; of a dead letter
 * t-queue, t-reason, t-died-deliveries, and t-died-crashes, t-died-signal; for a pull t-get, its id. NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_queue_info_delivery(struct trp_buf *b, const struct trp_queue_message *m, uint64_t pull);
/* A peeked message: the same, and seq, state, priority, due and expires in ms from now, message. */
TROUPE_NODISCARD troupe_status trp_queue_info_peek(struct trp_buf *b, const struct trp_queue_message *m, struct trp_when now);
/* A queue: its name, declaration, counts and totals. */
TROUPE_NODISCARD troupe_status trp_queue_info_stat(struct trp_buf *b, const struct trp_queue *q, struct trp_when now);

#endif
