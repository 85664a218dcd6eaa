/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Joining, and finding others. Whoever looks somebody up asks for it itself, over its own connection, and has a stand-in
 * spawned; the node of the system has no part in it. */
#include "actors/node.h"

#include <stdio.h>
#include <stdlib.h>

#include "actors/self.h"
#include "actors/system.h"
#include "transports/alloc.h"

enum { LOOK_AGAIN_MS = 5 };
static const char name_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

/* --- words --- */

void trp_node_topic(char out[TRP_NODE_TOPIC_MAX], const char *node) {
    snprintf(out, TRP_NODE_TOPIC_MAX, "_n.%.*s", TROUPE_NODE_NAME_MAX, node);
}

troupe_status trp_node_verb(struct trp_buf *b, const char *verb, uint32_t more) {
    troupe_status st = trp_buf_room(b, TRP_PACK_MAX_HEAD);
    if (st != TROUPE_OK)
        return st;
    b->n = (size_t)(trp_pack_array(b->p + b->n, 1 + more) - b->p);
    return trp_node_text(b, verb);
}

troupe_status trp_node_uint(struct trp_buf *b, uint64_t v) {
    return trp_pack_value(b, (troupe_value){.kind = TROUPE_UINT, .u = v});
}

troupe_status trp_node_text(struct trp_buf *b, const char *s) {
    return trp_pack_value(b, troupe_text(s));
}

troupe_status trp_node_status(const char *name) {
    static const troupe_status all[] = {
#define X(name, number, text) TROUPE_##name,
        TROUPE_STATUS_TABLE(X)
#undef X
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(name, troupe_status_name(all[i])) == 0)
            return all[i];
    return TROUPE_SYSTEM;
}

/* --- joining --- */

static bool name_is_valid(const char *name) {
    size_t n = name ? strspn(name, name_chars) : 0;
    return n > 0 && n <= TROUPE_NODE_NAME_MAX && name[n] == 0;
}

/* OK: there is a node of that name. NO_RESPONDERS: there is none, or none any more: it has left with the question in hand. */
static troupe_status hello(troupe_self *self, const char *name, int64_t deadline) {
    char topic[TRP_NODE_TOPIC_MAX];
    struct trp_buf b = {0};
    troupe_msg *m = NULL;
    trp_node_topic(topic, name);
    troupe_status st = trp_node_verb(&b, "hello", 0);
    if (st == TROUPE_OK)
        do
            st = troupe_request(self, topic, trp_node_value(&b), trp_deadline_ms(deadline, trp_now()), &m);
        while (st == TROUPE_WORKER_LOST);
    trp_buf_fini(&b);
    troupe_msg_free(&m);
    return st;
}

/* Until the broker knows it. */
static troupe_status wait_for_node(troupe_self *self, troupe_ref node, int64_t deadline) {
    troupe_status st = hello(self, self->actor->sys->node, deadline);
    while (st == TROUPE_NO_RESPONDERS && trp_now() < deadline && troupe_sleep(self, LOOK_AGAIN_MS) == TROUPE_OK)
        st = hello(self, self->actor->sys->node, deadline);
    if (st != TROUPE_OK && troupe_kill(self, node) == TROUPE_OK)
        (void)!troupe_join(self, node, TROUPE_FOREVER, NULL); /* or it would answer the next one who asks for the name */
    return st == TROUPE_NO_RESPONDERS ? TROUPE_TIMEOUT : st;
}

static troupe_status join(troupe_self *self, const char *name, int64_t deadline) {
    troupe_system *sys = self->actor->sys;
    troupe_ref node;
    troupe_status st = hello(self, name, deadline);
    if (st == TROUPE_OK)
        return TROUPE_EXISTS;
    if (st != TROUPE_NO_RESPONDERS)
        return st;
    snprintf(sys->node, sizeof sys->node, "%s", name);
    troupe_spawn_opts opts = {.kind = TROUPE_THREAD, .name = "node"};
    st = troupe_spawn(self, &opts, trp_node_body, name, strlen(name) + 1, &node);
    return st == TROUPE_OK ? wait_for_node(self, node, deadline) : st;
}

troupe_status troupe_node_join(troupe_self *self, const char *name, int64_t timeout_ms) {
    troupe_system *sys = self->actor->sys;
    unsigned no = 0;
    if (!name_is_valid(name))
        return TROUPE_INVALID;
    if (self->reach != &trp_local_reach || trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    if (!atomic_compare_exchange_strong(&sys->joined, &no, 1))
        return TROUPE_EXISTS;
    troupe_status st = join(self, name, trp_deadline(timeout_ms));
    atomic_store(&sys->joined, st == TROUPE_OK ? 2 : 0);
    return st;
}

const char *troupe_node_name(troupe_self *self) {
    troupe_system *sys = self->actor->sys;
    return self->reach == &trp_local_reach && atomic_load(&sys->joined) == 2 ? sys->node : NULL;
}

troupe_status troupe_address(troupe_self *self, troupe_ref ref, char out[TROUPE_ADDRESS_MAX + 1]) {
    const char *node = troupe_node_name(self);
    if (!node || trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    snprintf(out, TROUPE_ADDRESS_MAX + 1, "#%llu@%s", (unsigned long long)ref.id, node);
    return TROUPE_OK;
}

/* --- finding --- */

struct address {
    char name[TROUPE_NAME_MAX + 1];
    char node[TROUPE_NODE_NAME_MAX + 1]; /* "": anywhere */
};

static bool address_read(struct address *a, const char *text) {
    const char *at = text ? strrchr(text, '@') : NULL;
    size_t n = at ? (size_t)(at - text) : text ? strlen(text) : 0;
    if (n == 0 || n > TROUPE_NAME_MAX || (at && !name_is_valid(at + 1)))
        return false;
    *a = (struct address){0};
    memcpy(a->name, text, n);
    snprintf(a->node, sizeof a->node, "%s", at ? at + 1 : "");
    return true;
}

/* [id, node] */
static troupe_status found_read(const troupe_msg *m, struct trp_standin_birth *found) {
    size_t size;
    const uint8_t *p = troupe_msg_packed(m, &size), *end = p + size;
    uint32_t count;
    struct trp_slice node;
    const char *error = troupe_msg_error(m);
    if (error)
        return trp_node_status(error);
    if (!trp_unpack_array(&p, end, &count) || count != 2 || !trp_unpack_uint(&p, end, &found->id) ||
        !trp_unpack_str(&p, end, &node) || node.n >= sizeof found->node)
        return TROUPE_PROTOCOL;
    memcpy(found->node, node.p, node.n);
    found->node[node.n] = 0;
    return name_is_valid(found->node) ? TROUPE_OK : TROUPE_PROTOCOL;
}

static troupe_status find(troupe_self *self, const struct address *a, int64_t deadline, struct trp_standin_birth *found) {
    char topic[TRP_NODE_TOPIC_MAX] = "_n";
    struct trp_buf b = {0};
    troupe_msg *m = NULL;
    if (*a->node)
        trp_node_topic(topic, a->node);
    troupe_status st = trp_node_verb(&b, "find", 1);
    if (st == TROUPE_OK)
        st = trp_node_text(&b, a->name);
    if (st == TROUPE_OK)
        st = troupe_request(self, topic, trp_node_value(&b), trp_deadline_ms(deadline, trp_now()), &m);
    if (st == TROUPE_OK)
        st = found_read(m, found);
    trp_buf_fini(&b);
    troupe_msg_free(&m);
    bool nobody = !*a->node && (st == TROUPE_TIMEOUT || st == TROUPE_NO_RESPONDERS);
    return nobody ? TROUPE_NOT_FOUND : st;
}

/* A stand-in there is already, or a new one; which of the two is for the new one to say. */
static troupe_status stand_in(troupe_self *self, const struct trp_standin_birth *found, int64_t deadline, troupe_ref *out) {
    char address[TROUPE_ADDRESS_MAX + 1];
    troupe_msg *m = NULL;
    troupe_ref ref;
    snprintf(address, sizeof address, "#%llu@%s", (unsigned long long)found->id, found->node);
    if (troupe_whereis(self, address, out) == TROUPE_OK)
        return TROUPE_OK;
    troupe_status st = troupe_spawn(self, &(troupe_spawn_opts){.name = address}, trp_standin_body, found, sizeof *found, &ref);
    if (st == TROUPE_OK)
        st = troupe_ask(self, ref, troupe_nil(), trp_deadline_ms(deadline, trp_now()), &m);
    if (st == TROUPE_OK && troupe_msg_error(m))
        st = trp_node_status(troupe_msg_error(m));
    else if (st == TROUPE_OK && !troupe_value_ref(troupe_msg_value(m), out))
        st = TROUPE_DIED;
    troupe_msg_free(&m);
    return st;
}

/* Of this system: by its name, or by the number in its address. */
static troupe_status find_here(troupe_self *self, const char *name, troupe_ref *out) {
    if (name[0] != '#')
        return troupe_whereis(self, name, out);
    char *end;
    out->id = strtoull(name + 1, &end, 10);
    return out->id && *end == 0 ? TROUPE_OK : TROUPE_NOT_FOUND;
}

troupe_status troupe_lookup(troupe_self *self, const char *address, int64_t timeout_ms, troupe_ref *out) {
    struct address a;
    struct trp_standin_birth found;
    int64_t deadline = trp_deadline(timeout_ms);
    if (!address_read(&a, address))
        return TROUPE_INVALID;
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    const char *here = troupe_node_name(self);
    if (here && strcmp(a.node, here) == 0)
        return find_here(self, a.name, out);
    if (!*a.node && find_here(self, a.name, out) == TROUPE_OK)
        return TROUPE_OK;
    troupe_status st = find(self, &a, deadline, &found);
    return st == TROUPE_OK ? stand_in(self, &found, deadline, out) : st;
}
