/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * One block a message:
 *
 *     [ struct troupe_msg | topic 0 | reply | headers | payload | info ]
 *
 * Where the block comes from is block.c's. An integer or a few bytes from actor to actor is the common case, so that way is
 * short: nothing is scanned that we have packed, and what is not there is not looked for. */
#include "clients/msg.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "clients/conn.h"
#include "transports/json.h"
#include "transports/pack_wire.h"

/* --- making one --- */

static struct trp_slice keep(uint8_t **at, struct trp_slice from) {
    struct trp_slice kept = {*at, from.n};
    if (from.n)
        memcpy(*at, from.p, from.n);
    *at += from.n;
    return kept;
}

/* What a plain message does not use. */
static void clear_rest(struct troupe_msg *m) {
    memset(&m->owner, 0, offsetof(struct troupe_msg, error) + 1 - offsetof(struct troupe_msg, owner));
}

/* The rest. Each field by itself: one that is read again at once, as a whole, would have to wait for its parts. */
static inline void msg_begin(struct troupe_msg *m, size_t size, bool plain) {
    m->ask = 0;
    m->size = size;
    m->kind = 0;
    m->answered = false;
    m->beyond = 0;
    m->mapped = false;
    m->plain = plain;
}

static void msg_init(struct troupe_msg *m, size_t size) {
    m->next = NULL;
    m->from = 0;
    m->to = 0;
    m->payload.p = NULL;
    m->payload.n = 0;
    msg_begin(m, size, false);
    clear_rest(m);
}

/* Everything but the topic and the bytes. */
static struct troupe_msg *msg_new(size_t size) {
    struct troupe_msg *m = size < SIZE_MAX / 2 ? trp_block_get(sizeof *m + size) : NULL;
    if (m)
        msg_init(m, size);
    return m;
}

static void find_error(struct troupe_msg *m) {
    struct trp_slice code;
    if (m->headers.n == 0 || !trp_map_str(m->headers, "t-error", &code) || code.n == 0)
        return;
    size_t n = code.n < sizeof m->error ? code.n : sizeof m->error - 1;
    memcpy(m->error, code.p, n);
    m->error[n] = 0;
}

struct troupe_msg *trp_msg_from_queue(const struct trp_message *w, struct trp_slice info) {
    struct troupe_msg *m = msg_new(w->topic.n + 1 + w->reply.n + w->headers.n + w->payload.n + info.n);
    if (!m)
        return NULL;
    uint8_t *at = m->bytes;
    m->topic = keep(&at, w->topic);
    *at++ = 0;
    m->reply = keep(&at, w->reply);
    m->headers = keep(&at, w->headers);
    m->payload = keep(&at, w->payload);
    m->info = keep(&at, info);
    find_error(m);
    return m;
}

struct troupe_msg *trp_msg_from_wire(const struct trp_message *w) {
    return trp_msg_from_queue(w, (struct trp_slice){0});
}

/* --- an integer, or a few bytes --- */

enum { FEW = 16 };
_Static_assert(TRP_PACK_MAX_HEAD + FEW <= TRP_MSG_TINY, "they fit");

/* Written by its sender: next and to when it is pushed, from before. */
static inline struct troupe_msg *plain_in(void *block, size_t size) {
    struct troupe_msg *m = block;
    if (m) {
        msg_begin(m, size, true);
        m->payload.p = m->bytes;
    }
    return m;
}

static inline struct troupe_msg *plain_int(void *block, int64_t i) {
    struct troupe_msg *m = plain_in(block, TRP_PACK_MAX_HEAD);
    if (m)
        m->payload.n = (size_t)(trp_wire_uint(m->bytes, (uint64_t)i) - m->bytes);
    return m;
}

/* Eight bytes at a time, the last of them perhaps twice. */
static inline uint8_t *copy_few(uint8_t *to, const uint8_t *from, size_t n) {
    if (n >= 8) {
        memcpy(to, from, 8);
        memcpy(to + n - 8, from + n - 8, 8);
    } else {
        for (size_t i = 0; i < n; i++)
            to[i] = from[i];
    }
    return to + n;
}

static __attribute__((noinline)) struct troupe_msg *small_bytes(const uint8_t *p, size_t n) {
    struct troupe_msg *m = plain_in(trp_block_get_tiny(), TRP_PACK_MAX_HEAD + n);
    if (!m)
        return NULL;
    m->bytes[0] = 0xc4;
    m->bytes[1] = (uint8_t)n;
    m->payload.n = (size_t)(copy_few(m->bytes + 2, p, n) - m->bytes);
    return m;
}

/* None is at hand. */
static __attribute__((noinline)) struct troupe_msg *small_int(int64_t i) {
    return plain_int(trp_block_get_tiny(), i);
}

/* Each of its ways ends in a call: so it has nothing to put by. */
struct troupe_msg *trp_msg_small(troupe_value v) {
    if (v.kind == TROUPE_INT && v.i >= 0) {
        void *block = trp_block_at_hand();
        return block ? plain_int(block, v.i) : small_int(v.i);
    }
    return v.kind == TROUPE_BYTES && v.data && v.size <= FEW ? small_bytes(v.data, v.size) : NULL;
}

/* --- anything --- */

/* A scalar or some bytes: as trp_pack_check says for them. 0: something else. */
static size_t plain_most(troupe_value v) {
    if (v.kind < TROUPE_TEXT)
        return TRP_PACK_MAX_HEAD;
    if (v.kind < TROUPE_PACKED && v.data && v.size <= TRP_MSG_TINY)
        return TRP_PACK_MAX_HEAD + v.size;
    return 0;
}

static troupe_status plain_new(struct troupe_msg **out, troupe_value v, size_t most) {
    struct troupe_msg *m = msg_new(1 + most);
    if (!m)
        return TROUPE_NO_MEMORY;
    m->bytes[0] = 0;
    m->topic.p = m->bytes;
    m->payload.p = m->bytes + 1;
    m->payload.n = (size_t)(trp_pack_checked(m->bytes + 1, v) - m->payload.p);
    *out = m;
    return TROUPE_OK;
}

troupe_status trp_msg_from_value(struct troupe_msg **out, troupe_value v, struct trp_slice headers) {
    static const struct trp_pack_limits inner = {.depth = TRP_INNER_DEPTH};
    size_t most = headers.n ? 0 : plain_most(v);
    if (most)
        return plain_new(out, v, most);
    troupe_status st = trp_pack_check(v, &inner, &most);
    if (st != TROUPE_OK)
        return st;
    struct troupe_msg *m = msg_new(1 + headers.n + most);
    if (!m)
        return TROUPE_NO_MEMORY;
    uint8_t *at = m->bytes;
    m->topic = (struct trp_slice){at, 0};
    *at++ = 0;
    m->headers = keep(&at, headers);
    m->payload = (struct trp_slice){at, (size_t)(trp_pack_checked(at, v) - at)};
    find_error(m);
    *out = m;
    return TROUPE_OK;
}

void trp_msg_mapped(struct troupe_msg *m, size_t size, struct trp_slice topic, struct trp_slice payload) {
    msg_init(m, size);
    m->mapped = true;
    m->topic = topic.n ? topic : (struct trp_slice){(const uint8_t *)"", 0};
    m->payload = payload;
}

/* What a block is put back with, it is got with. */
static void drop_rich(struct troupe_msg *m) {
    size_t size = sizeof *m + m->size;
    if (m->mapped) {
        munmap(m, size);
        return;
    }
    if (size <= TRP_BLOCK_TINY)
        clear_rest(m); /* whoever gets it next may be plain */
    trp_block_put(m, size);
}

void trp_msg_drop(struct troupe_msg *m) {
    if (m && m->plain)
        trp_block_put_tiny(m);
    else if (m)
        drop_rich(m);
}

static void free_rich(struct troupe_msg *m) {
    if (m->origin.settle)
        m->origin.settle(m, m->info.n > 0); /* a queue's message is done when it is acknowledged, not when it is forgotten */
    drop_rich(m);
}

void troupe_msg_free(troupe_msg **m) {
    struct troupe_msg *gone = *m;
    if (!gone)
        return;
    *m = NULL;
    if (gone->plain)
        trp_block_put_tiny(gone);
    else
        free_rich(gone);
}

/* --- reading it --- */

const char *troupe_msg_topic(const troupe_msg *m) {
    return m->topic.p ? (const char *)m->topic.p : "";
}

/* The usual short forms, whole and nothing behind them. False: look closer. */
static bool short_value(const uint8_t *p, size_t n, troupe_value *v) {
    if (n == 0)
        return false;
    if (*p < 0x80 && n == 1)
        *v = troupe_int(*p);
    else if (*p >= 0xcc && *p <= 0xce && n == 1 + ((size_t)1 << (*p & 3)))
        *v = troupe_int((int64_t)trp_wire_get(p + 1, 1u << (*p & 3)));
    else if (*p == 0xc4 && n >= 2 && n == 2 + (size_t)p[1])
        *v = troupe_bytes(p + 2, n - 2);
    else
        return false;
    return true;
}

troupe_value troupe_msg_value(const troupe_msg *m) {
    const uint8_t *p = m->payload.p;
    troupe_value v;
    if (short_value(p, m->payload.n, &v))
        return v;
    if (m->payload.n == 0 || trp_unpack_value(&p, p + m->payload.n, &v) != TROUPE_OK)
        return troupe_nil(); /* never: it was scanned, or packed by us */
    return v;
}

/* The usual short forms. */
static bool short_int(const uint8_t *p, size_t n, int64_t *out) {
    if (n == 1 && *p < 0x80)
        *out = *p;
    else if (n == 5 && *p == 0xce)
        *out = trp_wire_get32(p + 1);
    else if (n == 3 && *p == 0xcd)
        *out = trp_wire_get16(p + 1);
    else
        return false;
    return true;
}

bool troupe_msg_int(const troupe_msg *m, int64_t *out) {
    if (short_int(m->payload.p, m->payload.n, out))
        return true;
    troupe_value v = troupe_msg_value(m);
    if (v.kind != TROUPE_INT)
        return false;
    *out = v.i;
    return true;
}

const void *troupe_msg_packed(const troupe_msg *m, size_t *size) {
    *size = m->payload.n;
    return m->payload.p;
}

char *troupe_msg_json(const troupe_msg *m) {
    struct trp_buf text = {0};
    char *out = NULL;
    if (trp_json_from_pack(&text, m->payload.p, m->payload.n) == TROUPE_OK && (out = malloc(text.n + 1))) {
        if (text.n)
            memcpy(out, text.p, text.n);
        out[text.n] = 0;
    }
    trp_buf_fini(&text);
    return out;
}

bool troupe_msg_wants_reply(const troupe_msg *m) {
    return !m->answered && (m->reply.n || m->ask);
}

const char *troupe_msg_error(const troupe_msg *m) {
    return m->error[0] ? m->error : NULL;
}

bool troupe_msg_header(const troupe_msg *m, const char *key, troupe_value *out) {
    return (m->info.n && trp_map_value(m->info, key, out)) || (m->headers.n && trp_map_value(m->headers, key, out));
}
