/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Is it a topic, is it a pattern? Clients ask so that a mistake comes back from the call that made it, and not as an ERR
 * from afar; the broker asks again. */
#ifndef TRP_TOPIC_H
#define TRP_TOPIC_H

#include "transports/buf.h"

/* 1..255 bytes of UTF-8, tokens split by '.', none of them empty, no blanks and control bytes, no `*` or `>`. */
bool trp_is_topic(struct trp_slice s);
/* The same, and `*` may stand for one whole token, `>` for the last ones. */
bool trp_is_pattern(struct trp_slice s);

/* The topic of a queue, "_q.NAME", into out. It is a topic if the name is one; of a name that is too long, nothing is left. */
struct trp_slice trp_queue_topic(struct trp_slice name, uint8_t *out);
/* The other way. False: it is no such topic. */
bool trp_queue_of_topic(struct trp_slice topic, struct trp_slice *name);
enum { TRP_QUEUE_NAME_MAX = 252 };

#endif
