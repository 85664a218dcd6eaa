/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Publish and subscribe inside a system: topics that begin with "local." never leave it. One object per system knows who
 * has subscribed to what; it is made when it is first asked for. */
#ifndef TRP_TOPICS_H
#define TRP_TOPICS_H

#include "actors/object.h"

extern const struct trp_object_ops trp_topics_ops;

/* What is said to it: a msgpack array of one of these, a topic or pattern, and a value: the message; "" or the group. */
enum trp_topics_op { TRP_TOPICS_SUB = 1, TRP_TOPICS_UNSUB, TRP_TOPICS_PUB, TRP_TOPICS_ASK };

bool trp_topic_is_local(const char *topic_or_pattern);
/* The calls of actor.h for such topics. */
TROUPE_NODISCARD troupe_status trp_topics_subscribe(troupe_self *self, const char *pattern, const char *group);
TROUPE_NODISCARD troupe_status trp_topics_unsubscribe(troupe_self *self, const char *pattern);
TROUPE_NODISCARD troupe_status trp_topics_publish(troupe_self *self, const char *topic, troupe_value v);
TROUPE_NODISCARD troupe_status trp_topics_request(troupe_self *self, const char *topic, troupe_value v, int64_t timeout_ms,
                                                  troupe_msg **answer);

/* Made, if it is not there. Any thread. CLOSED: the system is closing. NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_topics_find(troupe_system *sys, uint64_t *out);

/* A life of it is over, and another will begin: it has subscribed to nothing. */
void trp_topics_forget(struct trp_actor *a);

#endif
