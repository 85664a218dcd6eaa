/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A message as a line of JSON, for people to read and for import to put back without a loss. Not everything in msgpack
 * survives JSON (bytes, maps with odd keys, integers above 2^63, the width of numbers): where the way there and back would
 * not give the same bytes, these go along in base64 beside what can be read.
 *
 *     {"seq":7,"state":"ready","priority":4,"deliveries":0,"first_seen":1732150000000,"headers":{"a":1},"payload":"x"}
 *     {..., "payload":"base64:AAE=","packed":"base64:xAIAAQ=="}
 *
 * What a put said in headers (t-delay and the like) is written as the fields that import reads: id, priority, and the rest of
 * the delay and of the time to live in due_ms and expires_ms. */
#include "clients/cli/queue.h"
#include "transports/envelope.h"
#include "transports/json.h"
#include "transports/topic.h"

/* --- writing --- */

/* A map whose pairs are counted while they are packed. */
struct map {
    struct trp_buf pairs;
    uint32_t n;
    troupe_status st;
};

static void add(struct map *m, const char *key, struct trp_slice packed) {
    struct trp_slice name = trp_slice_str(key);
    if (m->st == TROUPE_OK)
        m->st = trp_buf_room(&m->pairs, TRP_PACK_MAX_HEAD + name.n + packed.n);
    if (m->st != TROUPE_OK)
        return;
    uint8_t *p = trp_pack_str(m->pairs.p + m->pairs.n, name);
    memcpy(p, packed.p, packed.n);
    m->pairs.n = (size_t)(p + packed.n - m->pairs.p);
    m->n++;
}

static void add_value(struct map *m, const char *key, troupe_value v) {
    struct trp_buf packed = {0};
    if (m->st == TROUPE_OK)
        m->st = trp_pack_value(&packed, v);
    if (m->st == TROUPE_OK)
        add(m, key, (struct trp_slice){packed.p, packed.n});
    trp_buf_fini(&packed);
}

/* As a value of its own: head and pairs. */
static troupe_status whole(const struct map *m, struct trp_buf *out) {
    troupe_status st = m->st == TROUPE_OK ? trp_buf_room(out, TRP_PACK_MAX_HEAD + m->pairs.n) : m->st;
    if (st != TROUPE_OK)
        return st;
    out->n = (size_t)(trp_pack_map(out->p + out->n, m->n) - out->p);
    return trp_buf_put(out, m->pairs.p, m->pairs.n);
}

/* As JSON, and as bytes if it would not come back from that as it is. What would not come back at all (2^63, say) is shown as
 * text. */
static void add_readably(struct map *m, const char *key, const char *packed_key, struct trp_slice packed) {
    struct trp_buf json = {0}, back = {0};
    const char *why;
    if (m->st == TROUPE_OK)
        m->st = trp_json_from_pack(&json, packed.p, packed.n);
    troupe_status st = m->st == TROUPE_OK ? trp_json_to_pack(&back, (const char *)json.p, json.n, &why) : m->st;
    if (st == TROUPE_OK)
        add(m, key, packed);
    else
        add_value(m, key, troupe_textn((const char *)json.p, json.n));
    if (st != TROUPE_OK || !trp_slice_eq(packed, (struct trp_slice){back.p, back.n}))
        add_value(m, packed_key, troupe_bytes(packed.p, packed.n));
    trp_buf_fini(&json);
    trp_buf_fini(&back);
}

/* The broker's names, and ours. */
static const struct {
    const char *theirs, *ours;
} fields[] = {{"seq", "seq"},
              {"state", "state"},
              {"priority", "priority"},
              {"t-deliveries", "deliveries"},
              {"t-first-seen", "first_seen"},
              {"due_ms", "due_ms"},
              {"expires_ms", "expires_ms"},
              {"t-crashes", "crashes"},
              {"t-signal", "signal"},
              {"t-queue", "died_in"},
              {"t-reason", "reason"},
              {"t-died-deliveries", "died_deliveries"},
              {"t-died-crashes", "died_crashes"},
              {"t-died-signal", "died_signal"}};

static void add_fields(struct map *m, struct trp_slice peeked) {
    troupe_value v;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (trp_map_value(peeked, fields[i].theirs, &v))
            add_value(m, fields[i].ours, v);
}

static bool is_of_the_put(struct trp_slice key) {
    static const char *const keys[] = {"t-delay", "t-priority", "t-ttl", "t-id", "t-level"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (trp_slice_eq(key, trp_slice_str(keys[i])))
            return true;
    return false;
}

static bool step(const uint8_t **p, const uint8_t *end, struct trp_slice *v) {
    size_t n;
    if (*p == end || trp_pack_scan(*p, (size_t)(end - *p), NULL, &n) != TROUPE_OK)
        return false;
    *v = (struct trp_slice){*p, n};
    *p += n;
    return true;
}

/* The headers that its sender made. */
static void add_headers(struct map *m, struct trp_slice headers) {
    const uint8_t *p = headers.p, *end = p + headers.n;
    struct trp_buf kept = {0};
    struct map own = {0};
    struct trp_slice key, v, word;
    uint32_t pairs;
    if (headers.n == 0 || !trp_unpack_map(&p, end, &pairs))
        return;
    while (own.st == TROUPE_OK && step(&p, end, &key) && step(&p, end, &v)) {
        const uint8_t *k = key.p;
        if (trp_unpack_str(&k, k + key.n, &word) && is_of_the_put(word))
            continue;
        own.st = trp_buf_put(&own.pairs, key.p, key.n + v.n); /* they lie side by side */
        own.n++;
    }
    if (own.n > 0 && (m->st = whole(&own, &kept)) == TROUPE_OK)
        add_readably(m, "headers", "packed_headers", (struct trp_slice){kept.p, kept.n});
    trp_buf_fini(&own.pairs);
    trp_buf_fini(&kept);
}

static void add_message(struct map *m, const struct trp_message *message) {
    struct trp_slice queue, id;
    if (message->headers.n && trp_map_str(message->headers, "t-id", &id))
        add_value(m, "id", troupe_textn((const char *)id.p, id.n));
    if (!trp_queue_of_topic(message->topic, &queue))
        add_value(m, "topic", troupe_textn((const char *)message->topic.p, message->topic.n));
    if (message->reply.n)
        add_value(m, "reply", troupe_textn((const char *)message->reply.p, message->reply.n));
    add_headers(m, message->headers);
    add_readably(m, "payload", "packed", message->payload);
}

troupe_status cli_record_write(struct trp_buf *line, struct trp_slice all) {
    struct trp_message message;
    struct trp_buf packed = {0};
    struct map m = {0};
    troupe_value raw;
    size_t used;
    const char *why;
    if (!trp_map_value(all, "message", &raw) || raw.kind != TROUPE_PACKED ||
        trp_message_read(raw.data, raw.size, &message, &used, &why) != TROUPE_OK)
        return TROUPE_PROTOCOL;
    add_fields(&m, all);
    add_message(&m, &message);
    troupe_status st = whole(&m, &packed);
    if (st == TROUPE_OK)
        st = trp_json_from_pack(line, packed.p, packed.n);
    trp_buf_fini(&m.pairs);
    trp_buf_fini(&packed);
    return st;
}

/* --- reading --- */

void cli_record_fini(struct cli_record *r) {
    trp_buf_fini(&r->json);
    trp_buf_fini(&r->payload);
    trp_buf_fini(&r->headers);
}

static int sextet(uint8_t b) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = b ? strchr(alphabet, b) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

/* "base64:..." into bytes. INVALID: it is not that. */
static troupe_status unbase64(struct trp_buf *out, struct trp_slice text) {
    static const char prefix[] = "base64:";
    size_t skip = sizeof prefix - 1;
    uint32_t bits = 0;
    if (text.n < skip || memcmp(text.p, prefix, skip) != 0 || (text.n - skip) % 4 != 0)
        return TROUPE_INVALID;
    out->n = 0;
    troupe_status st = trp_buf_room(out, text.n);
    for (size_t i = skip, have = 0; st == TROUPE_OK && i < text.n; i++) {
        bool padding = text.p[i] == '=' && i + 2 >= text.n;
        int six = padding ? 0 : sextet(text.p[i]);
        if (six < 0)
            return TROUPE_INVALID;
        bits = bits << 6 | (uint32_t)six;
        have += 6;
        if (have >= 8 && !padding) {
            have -= 8;
            out->p[out->n++] = (uint8_t)(bits >> have);
        }
    }
    return st;
}

/* The value of `key`, or the bytes of `packed_key`, packed into out. *v NIL with no bytes: neither is there. */
static troupe_status read_either(struct trp_slice map, const char *key, const char *packed_key, struct trp_buf *out,
                                 bool *there) {
    struct trp_slice text;
    troupe_value v;
    out->n = 0;
    *there = true;
    if (trp_map_str(map, packed_key, &text)) {
        size_t n;
        troupe_status st = unbase64(out, text);
        if (st == TROUPE_OK && (trp_pack_scan(out->p, out->n, NULL, &n) != TROUPE_OK || n != out->n))
            st = TROUPE_INVALID;
        return st;
    }
    *there = trp_map_value(map, key, &v);
    return *there ? trp_pack_value(out, v) : TROUPE_OK;
}

static bool read_ms(struct trp_slice map, const char *key, int64_t *ms) {
    uint64_t n = 0;
    troupe_value v;
    if (trp_map_value(map, key, &v) && (!trp_map_uint(map, key, &n) || n > INT64_MAX))
        return false;
    *ms = (int64_t)n;
    return true;
}

/* A message that was in hand when it was exported was due for nobody: that time is its ack time-out. */
static bool read_times(struct trp_slice map, troupe_put_opts *o) {
    struct trp_slice state = {0};
    if (!read_ms(map, "due_ms", &o->delay_ms) || !read_ms(map, "expires_ms", &o->ttl_ms))
        return false;
    if (trp_map_str(map, "state", &state) && !trp_slice_eq(state, trp_slice_str("delayed")))
        o->delay_ms = 0;
    return true;
}

static const char *read_opts(struct cli_record *r, struct trp_slice map) {
    uint64_t priority = 4;
    struct trp_slice id;
    troupe_value v;
    r->opts = (troupe_put_opts){0};
    if (trp_map_value(map, "priority", &v) && (!trp_map_uint(map, "priority", &priority) || priority > 9))
        return "priority is 0 to 9";
    r->opts.priority = TROUPE_PRIORITY((int)priority);
    if (!read_times(map, &r->opts))
        return "due_ms and expires_ms are milliseconds";
    if (!trp_map_value(map, "id", &v))
        return NULL;
    if (!trp_map_str(map, "id", &id) || id.n == 0 || id.n >= sizeof r->id || memchr(id.p, 0, id.n))
        return "id is a text of 1 to 255 bytes";
    memcpy(r->id, id.p, id.n);
    r->id[id.n] = 0;
    r->opts.id = r->id;
    return NULL;
}

static bool is_map(const struct trp_buf *b) {
    const uint8_t *p = b->p;
    uint32_t n;
    return trp_unpack_map(&p, p + b->n, &n);
}

static troupe_status wrong(const char **why, troupe_status st, const char *text) {
    *why = text;
    return st == TROUPE_NO_MEMORY ? st : TROUPE_INVALID;
}

static troupe_status read_content(struct cli_record *r, struct trp_slice map, const char **why) {
    bool there;
    troupe_status st = read_either(map, "headers", "packed_headers", &r->headers, &there);
    if (st != TROUPE_OK || (there && !is_map(&r->headers)))
        return wrong(why, st, "headers are a map");
    if (there)
        r->opts.headers = troupe_packed(r->headers.p, r->headers.n);
    st = read_either(map, "payload", "packed", &r->payload, &there);
    if (st != TROUPE_OK || !there)
        return wrong(why, st, there ? "packed is \"base64:\" and a msgpack value" : "the payload is missing");
    r->value = troupe_packed(r->payload.p, r->payload.n);
    return TROUPE_OK;
}

troupe_status cli_record_read(struct cli_record *r, const char *text, size_t n, const char **why) {
    r->json.n = 0;
    troupe_status st = trp_json_to_pack(&r->json, text, n, why);
    if (st != TROUPE_OK)
        return st;
    if (!is_map(&r->json))
        return wrong(why, TROUPE_INVALID, "it is no JSON object");
    struct trp_slice map = {r->json.p, r->json.n};
    *why = read_opts(r, map);
    return *why ? TROUPE_INVALID : read_content(r, map, why);
}
