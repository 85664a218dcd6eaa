/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Inboxes: the topics on which one peer, and nobody else, hears answers.
 *
 *     _r.AAAAAFKq3vX0d8Zk2mP1aQ.7
 *     |  |     |                `- the owner's own, any bytes: which of its requests this answers
 *     |  |     `- 12 random bytes, base64url: hard to guess
 *     |  `- 36 bits: the peer's slot
 *     `- reserved: no pattern matches it, no peer subscribes to it
 *
 * So an answer is routed by one array access and one comparison. */
#ifndef TRP_BROKER_INBOX_H
#define TRP_BROKER_INBOX_H

#include "transports/buf.h"

enum { TRP_INBOX_NONCE = 12, TRP_INBOX_PREFIX = 26 }; /* bytes; the prefix ends with its '.' */

void trp_inbox_write(uint8_t prefix[TRP_INBOX_PREFIX], uint32_t slot, const uint8_t nonce[TRP_INBOX_NONCE]);
/* The slot that a topic names, if it has the form of an inbox; UINT32_MAX: it has not. The prefix is then still to be
 * compared with the peer's. */
uint32_t trp_inbox_slot(struct trp_slice topic);

static inline bool trp_inbox_is_reserved(struct trp_slice topic) {
    return topic.n >= 3 && topic.p[0] == '_' && topic.p[1] == 'r' && topic.p[2] == '.';
}

/* Is it a topic of the inbox with this prefix? */
static inline bool trp_inbox_owns(const uint8_t prefix[TRP_INBOX_PREFIX], struct trp_slice topic) {
    return topic.n > TRP_INBOX_PREFIX && memcmp(topic.p, prefix, TRP_INBOX_PREFIX) == 0;
}

#endif
