/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What bodies say to the topics object. Its reference is looked up once a system, and once in each process of it. */
#include "actors/self.h"
#include "actors/system.h"
#include "actors/topics.h"
#include "transports/topic.h"

static const char prefix[] = "local.";

bool trp_topic_is_local(const char *topic_or_pattern) {
    return strncmp(topic_or_pattern, prefix, sizeof prefix - 1) == 0;
}

static troupe_status find(troupe_self *self, troupe_ref *out) {
    _Atomic uint64_t *known = &self->actor->sys->topics;
    if (trp_actor_killed(self->actor))
        return TROUPE_CLOSED;
    out->id = atomic_load_explicit(known, memory_order_acquire);
    if (out->id)
        return TROUPE_OK;
    troupe_status st = self->reach->tie(self, TRP_TIE_TOPICS, 0, NULL, &out->id);
    if (st == TROUPE_OK)
        atomic_store_explicit(known, out->id, memory_order_release); /* again, but in a process */
    return st;
}

/* [op, text, v] into b. */
static troupe_status pack(struct trp_buf *b, enum trp_topics_op op, const char *text, troupe_value v) {
    uint8_t head[1];
    trp_pack_array(head, 3);
    troupe_status st = trp_buf_put(b, head, sizeof head);
    if (st == TROUPE_OK)
        st = trp_pack_value(b, troupe_int(op));
    if (st == TROUPE_OK)
        st = trp_pack_value(b, troupe_text(text));
    return st == TROUPE_OK ? trp_pack_value(b, v) : st;
}

static troupe_status say(troupe_self *self, troupe_ref to, enum trp_topics_op op, const char *text, troupe_value v) {
    struct trp_buf b = {0};
    troupe_status st = pack(&b, op, text, v);
    if (st == TROUPE_OK)
        st = troupe_try_send(self, to, troupe_packed(b.p, b.n));
    trp_buf_fini(&b);
    return st;
}

troupe_status trp_topics_subscribe(troupe_self *self, const char *pattern, const char *group) {
    troupe_ref topics;
    if (!trp_is_pattern(trp_slice_str(pattern)))
        return TROUPE_INVALID;
    troupe_status st = find(self, &topics);
    return st == TROUPE_OK ? say(self, topics, TRP_TOPICS_SUB, pattern, troupe_text(group)) : st;
}

troupe_status trp_topics_unsubscribe(troupe_self *self, const char *pattern) {
    troupe_ref topics;
    troupe_status st = find(self, &topics);
    return st == TROUPE_OK ? say(self, topics, TRP_TOPICS_UNSUB, pattern, troupe_nil()) : st;
}

troupe_status trp_topics_publish(troupe_self *self, const char *topic, troupe_value v) {
    troupe_ref topics;
    if (!trp_is_topic(trp_slice_str(topic)))
        return TROUPE_INVALID;
    troupe_status st = find(self, &topics);
    if (st == TROUPE_OK)
        st = say(self, topics, TRP_TOPICS_PUB, topic, v);
    return trp_or_closed(st);
}

troupe_status trp_topics_request(troupe_self *self, const char *topic, troupe_value v, int64_t timeout_ms,
                                 troupe_msg **answer) {
    troupe_ref topics;
    struct trp_buf b = {0};
    if (!trp_is_topic(trp_slice_str(topic)))
        return TROUPE_INVALID;
    troupe_status st = find(self, &topics);
    if (st == TROUPE_OK)
        st = pack(&b, TRP_TOPICS_ASK, topic, v);
    if (st == TROUPE_OK)
        st = troupe_ask(self, topics, troupe_packed(b.p, b.n), timeout_ms, answer);
    trp_buf_fini(&b);
    return trp_or_closed(st);
}
