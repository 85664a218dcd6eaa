/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What nodes say to each other: requests over the broker, each a msgpack array, to the topic "_n.NODE", which one actor of
 * that node serves (node.c); a name without a node is asked for at "_n", where all nodes listen and the one that has it
 * answers.
 *
 *     ["hello"]            nil                     is there a node of this name?
 *     ["find", name]       [id, node]              or the error NOT_FOUND; at "_n": silence
 *     ["send", id, value]  nil                     or an error: the name of the status
 *     ["ask", id, value]   [0, answer]             or [1, code, text]: an answer that is an error; or an error, as above
 *     ["watch", id]        [how, code, text]       when it has ended; nil after a minute: ask again
 *     ["close", id]        nil                     ["kill", id] likewise
 *     ["actors", from]     [next, map, map, ...]   what a snapshot says of its actors, a page; next 0: that was the last
 *     ["roster", topic]    at "_n": each node publishes its name there
 *
 * That a node is gone is said by the broker: the requests that it has in hand end with WORKER_LOST. So whoever has a watch
 * under way hears of its loss at once. A watch ends after a minute because the broker does not say that the asker is gone.
 *
 * The other side is the stand-in (standin.c): a coroutine for each actor that somebody has looked up. */
#ifndef TRP_NODE_H
#define TRP_NODE_H

#include <troupe/node.h>

#include "transports/buf.h"

enum { TRP_NODE_TOPIC_MAX = 40 };
/* "_n.NODE". */
void trp_node_topic(char out[TRP_NODE_TOPIC_MAX], const char *node);

/* A packed array that begins with `verb` and has room for `more` elements. NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_node_verb(struct trp_buf *b, const char *verb, uint32_t more);
TROUPE_NODISCARD troupe_status trp_node_uint(struct trp_buf *b, uint64_t v);
TROUPE_NODISCARD troupe_status trp_node_text(struct trp_buf *b, const char *s);
static inline troupe_value trp_node_value(const struct trp_buf *b) {
    return troupe_packed(b->p, b->n);
}

/* The status of that name. SYSTEM: none. */
troupe_status trp_node_status(const char *name);

/* What a stand-in is born with. */
struct trp_standin_birth {
    uint64_t id;
    char node[TROUPE_NODE_NAME_MAX + 1];
};
/* Writes the page of a snapshot that begins at `from`. NO_MEMORY. node_page.c */
TROUPE_NODISCARD troupe_status trp_node_page(struct trp_buf *b, troupe_system *sys, uint64_t from);
void trp_standin_body(troupe_self *self, void *arg);
void trp_node_body(troupe_self *self, void *arg);
/* Is this the body of an actor of ours, which serves others and ends with them? */
static inline bool trp_node_owns(troupe_body *body) {
    return body == trp_node_body || body == trp_standin_body;
}

#endif
