/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The envelope codec. All ops are read by one interpreter of a table that spells their fields, one letter each, and
 * that knows what to say when something is wrong. PUB and MSG are nearly all of the traffic, so in their usual form
 * they have a straight path before it. Either way every byte is looked at once, what is nested by trp_pack_scan.
 *
 * What is written here can always be read here: the writers that take parts from a user refuse what the reader of
 * the other side would end the connection for. */
#include "transports/envelope.h"

#include "transports/assert.h"
#include "transports/pack_wire.h"

/* --- reading --- */

/* Where the reader is, and what stopped it. */
struct reader {
    const uint8_t *p, *end;
    const char *why;
    troupe_status st;
};

static const struct trp_pack_limits inner_limits = {.depth = TRP_INNER_DEPTH};

static inline struct reader reader_of(const uint8_t *p, size_t n) {
    return (struct reader){.p = p, .end = n ? p + n : p}; /* p may be NULL, and then has no NULL + 0 */
}

static bool reader_stop(struct reader *r, troupe_status st, const char *why) {
    r->st = st;
    r->why = why;
    return false;
}

/* The value at hand is not what was wanted: because it is cut, or broken, or of another type? */
static bool reader_unwanted(struct reader *r, const char *wanted) {
    size_t len;
    troupe_status st = trp_pack_scan(r->p, (size_t)(r->end - r->p), &inner_limits, &len);
    switch (st) {
    case TROUPE_OK:
        return reader_stop(r, TROUPE_PROTOCOL, wanted);
    case TROUPE_TRUNCATED:
        return reader_stop(r, st, "the envelope ends too early");
    case TROUPE_TOO_DEEP:
        return reader_stop(r, st, "a value is nested too deep");
    case TROUPE_TOO_BIG:
        return reader_stop(r, st, "a value has too many elements");
    default:
        return reader_stop(r, st, "the byte 0xc1 is no msgpack");
    }
}

static inline bool read_uint(struct reader *r, uint64_t *v, const char *wanted) {
    return trp_wire_read_uint(&r->p, r->end, v) || reader_unwanted(r, wanted);
}

static inline bool read_text(struct reader *r, struct trp_slice *s, const char *wanted) {
    return trp_wire_read_str(&r->p, r->end, s) || reader_unwanted(r, wanted);
}

static inline bool read_short(struct reader *r, struct trp_slice *s, const char *wanted) {
    if (!read_text(r, s, wanted))
        return false;
    return s->n <= TRP_TOPIC_MAX || reader_stop(r, TROUPE_TOO_BIG, "a topic, pattern, name or code is over 255 bytes");
}

/* Any value. */
static inline bool read_any(struct reader *r, struct trp_slice *s) {
    size_t n;
    if (trp_pack_scan(r->p, (size_t)(r->end - r->p), &inner_limits, &n) != TROUPE_OK)
        return reader_unwanted(r, "");
    *s = (struct trp_slice){r->p, n};
    r->p += n;
    return true;
}

static bool is_map(const uint8_t *p) {
    return (*p & 0xf0) == 0x80 || *p == 0xde || *p == 0xdf;
}

/* A map, or nil for none. */
static inline bool read_map(struct reader *r, struct trp_slice *s, const char *wanted) {
    if (trp_wire_read_nil(&r->p, r->end)) {
        *s = (struct trp_slice){0};
        return true;
    }
    if (r->p == r->end || !is_map(r->p))
        return reader_unwanted(r, wanted);
    return read_any(r, s);
}

/* How the protocol grows: fields that this version does not know. */
static inline bool read_rest(struct reader *r, uint32_t fields) {
    struct trp_slice skipped;
    while (fields--) {
        if (!read_any(r, &skipped))
            return false;
    }
    return true;
}

static inline bool read_reply(struct reader *r, struct trp_slice *reply) {
    if (!trp_wire_read_nil(&r->p, r->end))
        return read_short(r, reply, "the reply topic is neither a string nor nil");
    *reply = (struct trp_slice){0};
    return true;
}

enum { MESSAGE_FIELDS = 4 };

static inline bool read_message(struct reader *r, struct trp_message *m) {
    const uint8_t *start = r->p;
    uint32_t fields;
    if (!trp_wire_read_array(&r->p, r->end, &fields))
        return reader_unwanted(r, "the message is not an array");
    if (fields < MESSAGE_FIELDS)
        return reader_stop(r, TROUPE_PROTOCOL, "the message has fewer than four fields");
    if (!read_short(r, &m->topic, "the topic is not a string") || !read_reply(r, &m->reply) ||
        !read_map(r, &m->headers, "the headers are neither a map nor nil") || !read_any(r, &m->payload) ||
        !read_rest(r, fields - MESSAGE_FIELDS))
        return false;
    m->raw = (struct trp_slice){start, (size_t)(r->p - start)};
    m->blob = NULL;
    return true;
}

/* The fields of each op after the op itself; behind '?' they may be missing, or nil:
 *   i id   s sid   t token   l level   k count   c code   n name or pattern   x text   o options   m message   v any value */
static const char *const op_fields[] = {
    [TRP_HELLO] = "o",   [TRP_CHALLENGE] = "o", [TRP_AUTH] = "o",    [TRP_WELCOME] = "o", [TRP_SUB] = "isno",
    [TRP_UNSUB] = "is",  [TRP_PUB] = "im",      [TRP_MSG] = "stm?o", [TRP_ACK] = "st?i",  [TRP_NACK] = "sto",
    [TRP_CREDIT] = "st", [TRP_QUEUE] = "icno",  [TRP_PING] = "i",    [TRP_PONG] = "i",    [TRP_OK] = "ilk?v",
    [TRP_ERR] = "icx",   [TRP_CLOSE] = "cx",
};

static bool read_field(struct reader *r, char field, struct trp_envelope *e) {
    switch (field) {
    case 'i':
        return read_uint(r, &e->id, "the id is not an unsigned integer");
    case 's':
        return read_uint(r, &e->sid, "the sid is not an unsigned integer");
    case 't':
        return read_uint(r, &e->token, "the token or credit is not an unsigned integer");
    case 'l':
        return read_uint(r, &e->level, "the level is not an unsigned integer");
    case 'k':
        return read_uint(r, &e->count, "the count is not an unsigned integer");
    case 'c':
        return read_short(r, &e->code, "the code or verb is not a string");
    case 'n':
        return read_short(r, &e->text, "the pattern or name is not a string");
    case 'x':
        return read_text(r, &e->text, "the text is not a string");
    case 'v':
        return read_any(r, &e->options);
    case 'o':
        return read_map(r, &e->options, "the options are neither a map nor nil");
    default:
        return read_message(r, &e->msg);
    }
}

static bool read_fields(struct reader *r, uint32_t fields, struct trp_envelope *e) {
    const char *f = op_fields[e->op];
    if (fields < strcspn(f, "?"))
        return reader_stop(r, TROUPE_PROTOCOL, "the envelope has too few fields for its op");
    bool optional = false;
    for (; *f && fields > 0; f++) {
        if (*f == '?') {
            optional = true;
            continue;
        }
        bool missing = optional && trp_wire_read_nil(&r->p, r->end);
        if (!missing && !read_field(r, *f, e))
            return false;
        fields--;
    }
    return read_rest(r, fields);
}

static inline bool read_head(struct reader *r, uint32_t *fields, uint64_t *op) {
    if (!trp_wire_read_array(&r->p, r->end, fields))
        return reader_unwanted(r, "the envelope is not an array");
    if (*fields == 0)
        return reader_stop(r, TROUPE_PROTOCOL, "the envelope is an empty array");
    if (!read_uint(r, op, "the op is not an unsigned integer"))
        return false;
    if (*op < TRP_HELLO || *op > TRP_CLOSE)
        return reader_stop(r, TROUPE_UNSUPPORTED, "no such op");
    (*fields)--;
    return true;
}

/* Field by field: of one compound literal of this size gcc makes a `rep stos`, which takes longer than all of the
 * reading. */
static inline void message_blank(struct trp_message *m) {
    m->raw = m->topic = m->reply = m->headers = m->payload = (struct trp_slice){0};
    m->blob = NULL;
}

/* All but the message. */
static inline void envelope_blank(struct trp_envelope *e, enum trp_op op) {
    e->op = op;
    e->id = e->sid = e->token = e->level = e->count = 0;
    e->code = e->text = e->options = (struct trp_slice){0};
}

static inline bool read_envelope(struct reader *r, struct trp_envelope *e) {
    uint32_t fields = 0;
    uint64_t op = 0;
    if (!read_head(r, &fields, &op))
        return false;
    envelope_blank(e, (enum trp_op)op);
    message_blank(&e->msg);
    return read_fields(r, fields, e);
}

/* --- the straight path ---
 *
 * PUB, MSG, ACK and OK as every writer writes them: shortest forms, no fields of the future. Its functions return
 * the byte behind, or NULL for whatever is not like that, faults included: the reader above tells. They keep what they
 * know in registers, which is what makes them fast. */

static inline const uint8_t *quick_text(const uint8_t *p, const uint8_t *end, struct trp_slice *s) {
    size_t left = (size_t)(end - p), n;
    if (left < 2) /* something follows every text of a message */
        return NULL;
    if ((*p & 0xe0) == 0xa0) {
        n = *p++ & 0x1fu;
    } else if (*p == 0xd9) {
        n = p[1];
        p += 2;
    } else {
        return NULL;
    }
    *s = (struct trp_slice){p, n};
    return (size_t)(end - p) >= n ? p + n : NULL;
}

/* A map, or nil for none. */
static inline const uint8_t *quick_map(const uint8_t *p, const uint8_t *end, struct trp_slice *s) {
    size_t n;
    if (p == end)
        return NULL;
    if (*p == 0xc0) {
        *s = (struct trp_slice){0};
        return p + 1;
    }
    if (!is_map(p) || trp_pack_scan(p, (size_t)(end - p), &inner_limits, &n) != TROUPE_OK)
        return NULL;
    *s = (struct trp_slice){p, n};
    return p + n;
}

static inline const uint8_t *quick_message(const uint8_t *p, const uint8_t *end, struct trp_message *m) {
    const uint8_t *start = p;
    struct trp_slice topic, reply = {0}, headers;
    size_t n;
    if (p == end || *p != (0x90 | MESSAGE_FIELDS) || !(p = quick_text(p + 1, end, &topic)) || p == end)
        return NULL;
    if (*p == 0xc0)
        p++;
    else if (!(p = quick_text(p, end, &reply)))
        return NULL;
    if (!(p = quick_map(p, end, &headers)) || trp_pack_scan(p, (size_t)(end - p), &inner_limits, &n) != TROUPE_OK)
        return NULL;
    m->raw = (struct trp_slice){start, (size_t)(p + n - start)};
    m->topic = topic;
    m->reply = reply;
    m->headers = headers;
    m->payload = (struct trp_slice){p, n};
    m->blob = NULL;
    return p + n;
}

/* An array's head of so many fields, the op among them. */
#define QUICK(fields, op) ((0x90u | (fields)) << 8 | (op))

/* How many numbers follow the op; 0: it is not one of ours. */
static inline unsigned quick_numbers(unsigned head) {
    switch (head) {
    case QUICK(3, TRP_PUB):
        return 1;
    case QUICK(4, TRP_MSG):
    case QUICK(5, TRP_MSG):
    case QUICK(3, TRP_ACK):
        return 2;
    case QUICK(4, TRP_ACK):
    case QUICK(4, TRP_OK):
        return 3;
    default:
        return 0;
    }
}

static inline void quick_fill(struct trp_envelope *e, enum trp_op op, const uint64_t v[3]) {
    envelope_blank(e, op);
    if (op == TRP_PUB || op == TRP_OK) {
        e->id = v[0];
        e->level = v[1];
        e->count = v[2];
    } else {
        e->sid = v[0];
        e->token = v[1];
        e->id = v[2];
    }
}

static inline const uint8_t *quick_envelope(const uint8_t *p, const uint8_t *end, struct trp_envelope *e) {
    uint64_t v[3] = {0};
    if (end - p < 4)
        return NULL;
    unsigned head = trp_wire_get16(p), op = head & 0xff, n = quick_numbers(head);
    if (n == 0)
        return NULL;
    p += 2;
    for (unsigned i = 0; i < n; i++)
        if (!trp_wire_read_uint(&p, end, &v[i]))
            return NULL;
    quick_fill(e, (enum trp_op)op, v);
    if (op == TRP_ACK || op == TRP_OK) {
        message_blank(&e->msg);
        return p;
    }
    p = quick_message(p, end, &e->msg);
    return p && head == QUICK(5, TRP_MSG) ? quick_map(p, end, &e->options) : p;
}

troupe_status trp_envelope_read(const uint8_t *p, size_t n, struct trp_envelope *e, size_t *used, const char **why) {
    struct reader r = reader_of(p, n);
    const uint8_t *behind = quick_envelope(r.p, r.end, e);
    if (behind) {
        *used = (size_t)(behind - p);
        return TROUPE_OK;
    }
    if (!read_envelope(&r, e)) {
        *why = r.why;
        return r.st;
    }
    *used = (size_t)(r.p - p);
    return TROUPE_OK;
}

troupe_status trp_message_read(const uint8_t *p, size_t n, struct trp_message *m, size_t *used, const char **why) {
    struct reader r = reader_of(p, n);
    if (!read_message(&r, m)) {
        *why = r.why;
        return r.st;
    }
    *used = (size_t)(r.p - p);
    return TROUPE_OK;
}

const char *trp_envelope_fault(troupe_status st) {
    switch (st) {
    case TROUPE_UNSUPPORTED:
        return "UNKNOWN_OP";
    case TROUPE_TOO_BIG:
        return "TOO_BIG";
    case TROUPE_TOO_DEEP:
        return "TOO_DEEP";
    default:
        return "BAD_ENVELOPE";
    }
}

/* --- looking into maps --- */

/* The bytes from the value of `key` on. */
static bool map_find(struct trp_slice map, const char *key, struct trp_slice *at) {
    if (map.n == 0)
        return false;
    const uint8_t *p = map.p, *end = map.p + map.n;
    struct trp_slice want = trp_slice_str(key), have;
    uint32_t pairs;
    size_t skip;
    if (!trp_wire_read_map(&p, end, &pairs))
        return false;
    while (pairs--) {
        const uint8_t *k = p;
        if (trp_pack_scan(p, (size_t)(end - p), NULL, &skip) != TROUPE_OK)
            return false;
        p += skip;
        if (trp_wire_read_str(&k, end, &have) && trp_slice_eq(have, want)) {
            *at = (struct trp_slice){p, (size_t)(end - p)};
            return true;
        }
        if (trp_pack_scan(p, (size_t)(end - p), NULL, &skip) != TROUPE_OK)
            return false;
        p += skip;
    }
    return false;
}

bool trp_map_uint(struct trp_slice map, const char *key, uint64_t *v) {
    struct trp_slice at;
    return map_find(map, key, &at) && trp_wire_read_uint(&at.p, at.p + at.n, v);
}

bool trp_map_str(struct trp_slice map, const char *key, struct trp_slice *s) {
    struct trp_slice at;
    return map_find(map, key, &at) && trp_wire_read_str(&at.p, at.p + at.n, s);
}

bool trp_map_value(struct trp_slice map, const char *key, troupe_value *v) {
    struct trp_slice at;
    return map_find(map, key, &at) && trp_unpack_value(&at.p, at.p + at.n, v) == TROUPE_OK;
}

/* --- writing --- */

enum { ENVELOPE_HEAD = 2 }; /* the array and the op */

/* Room for an envelope of at most `most` bytes behind its head, which is written. NULL: no memory. */
static inline uint8_t *envelope_begin(struct trp_buf *b, uint32_t fields, enum trp_op op, size_t most) {
    if (trp_buf_room(b, ENVELOPE_HEAD + most) != TROUPE_OK)
        return NULL;
    uint8_t *p = b->p + b->n;
    *p++ = (uint8_t)(0x90 | fields);
    *p++ = (uint8_t)op;
    return p;
}

static inline troupe_status envelope_end(struct trp_buf *b, const uint8_t *p) {
    b->n = (size_t)(p - b->p);
    return TROUPE_OK;
}

/* An op whose fields are all unsigned integers. */
static troupe_status put_uints(struct trp_buf *b, enum trp_op op, uint32_t count, const uint64_t *v) {
    uint8_t *p = envelope_begin(b, 1 + count, op, count * TRP_PACK_MAX_HEAD);
    if (!p)
        return TROUPE_NO_MEMORY;
    while (count--)
        p = trp_wire_uint(p, *v++);
    return envelope_end(b, p);
}

static uint8_t *put_map(uint8_t *p, struct trp_slice map) {
    if (map.n)
        return trp_wire_bytes(p, map.p, map.n);
    *p++ = 0x80;
    return p;
}

static size_t map_size(struct trp_slice map) {
    return map.n ? map.n : 1;
}

troupe_status trp_put_info(struct trp_buf *b, enum trp_op op, struct trp_slice map) {
    trp_assert(op >= TRP_HELLO && op <= TRP_WELCOME);
    uint8_t *p = envelope_begin(b, 2, op, map_size(map));
    return p ? envelope_end(b, put_map(p, map)) : TROUPE_NO_MEMORY;
}

troupe_status trp_put_sub(struct trp_buf *b, uint64_t id, uint64_t sid, struct trp_slice pattern, struct trp_slice options) {
    if (pattern.n > TRP_TOPIC_MAX)
        return TROUPE_TOO_BIG;
    uint8_t *p = envelope_begin(b, 5, TRP_SUB, 3 * TRP_PACK_MAX_HEAD + pattern.n + map_size(options));
    if (!p)
        return TROUPE_NO_MEMORY;
    p = trp_wire_uint(p, id);
    p = trp_wire_uint(p, sid);
    p = trp_wire_str(p, pattern);
    return envelope_end(b, put_map(p, options));
}

troupe_status trp_put_unsub(struct trp_buf *b, uint64_t id, uint64_t sid) {
    return put_uints(b, TRP_UNSUB, 2, (const uint64_t[]){id, sid});
}

troupe_status trp_put_ack(struct trp_buf *b, uint64_t sid, uint64_t token) {
    return put_uints(b, TRP_ACK, 2, (const uint64_t[]){sid, token});
}

troupe_status trp_put_nack(struct trp_buf *b, uint64_t sid, uint64_t token, struct trp_slice options) {
    uint8_t *p = envelope_begin(b, 4, TRP_NACK, 2 * TRP_PACK_MAX_HEAD + map_size(options));
    if (!p)
        return TROUPE_NO_MEMORY;
    p = trp_wire_uint(p, sid);
    p = trp_wire_uint(p, token);
    return envelope_end(b, put_map(p, options));
}

troupe_status trp_put_credit(struct trp_buf *b, uint64_t sid, uint64_t n) {
    return put_uints(b, TRP_CREDIT, 2, (const uint64_t[]){sid, n});
}

troupe_status trp_put_ping(struct trp_buf *b, enum trp_op op, uint64_t id) {
    trp_assert(op == TRP_PING || op == TRP_PONG);
    return put_uints(b, op, 1, &id);
}

troupe_status trp_put_ok(struct trp_buf *b, uint64_t id, uint64_t level, uint64_t count) {
    return put_uints(b, TRP_OK, 3, (const uint64_t[]){id, level, count});
}

static bool words_fit(struct trp_slice code, struct trp_slice text) {
    return code.n <= TRP_TOPIC_MAX && text.n <= UINT32_MAX;
}

troupe_status trp_put_answer(struct trp_buf *b, uint64_t id, uint64_t level, uint64_t count, struct trp_slice value) {
    uint8_t *p = envelope_begin(b, 5, TRP_OK, 3 * TRP_PACK_MAX_HEAD + value.n);
    if (!p)
        return TROUPE_NO_MEMORY;
    p = trp_wire_uint(trp_wire_uint(trp_wire_uint(p, id), level), count);
    return envelope_end(b, trp_wire_bytes(p, value.p, value.n));
}

troupe_status trp_put_queue(struct trp_buf *b, uint64_t id, struct trp_slice verb, struct trp_slice name,
                            struct trp_slice options) {
    if (verb.n > TRP_TOPIC_MAX || name.n > TRP_TOPIC_MAX)
        return TROUPE_TOO_BIG;
    uint8_t *p = envelope_begin(b, 5, TRP_QUEUE, 3 * TRP_PACK_MAX_HEAD + verb.n + name.n + map_size(options));
    if (!p)
        return TROUPE_NO_MEMORY;
    p = trp_wire_str(trp_wire_str(trp_wire_uint(p, id), verb), name);
    return envelope_end(b, put_map(p, options));
}

troupe_status trp_put_ack_id(struct trp_buf *b, uint64_t sid, uint64_t token, uint64_t id) {
    return put_uints(b, TRP_ACK, 3, (uint64_t[]){sid, token, id});
}

troupe_status trp_put_err(struct trp_buf *b, uint64_t id, struct trp_slice code, struct trp_slice text) {
    if (!words_fit(code, text))
        return TROUPE_TOO_BIG;
    uint8_t *p = envelope_begin(b, 4, TRP_ERR, 3 * TRP_PACK_MAX_HEAD + code.n + text.n);
    if (!p)
        return TROUPE_NO_MEMORY;
    p = trp_wire_uint(p, id);
    p = trp_wire_str(p, code);
    return envelope_end(b, trp_wire_str(p, text));
}

troupe_status trp_put_close(struct trp_buf *b, struct trp_slice code, struct trp_slice text) {
    if (!words_fit(code, text))
        return TROUPE_TOO_BIG;
    uint8_t *p = envelope_begin(b, 3, TRP_CLOSE, 2 * TRP_PACK_MAX_HEAD + code.n + text.n);
    if (!p)
        return TROUPE_NO_MEMORY;
    p = trp_wire_str(p, code);
    return envelope_end(b, trp_wire_str(p, text));
}

troupe_status trp_put_pub_raw(struct trp_buf *b, uint64_t id, struct trp_slice raw) {
    uint8_t *p = envelope_begin(b, 3, TRP_PUB, TRP_PACK_MAX_HEAD + raw.n);
    if (!p)
        return TROUPE_NO_MEMORY;
    p = trp_wire_uint(p, id);
    return envelope_end(b, trp_wire_bytes(p, raw.p, raw.n));
}

static inline uint8_t *msg_head(uint8_t *p, uint64_t sid, uint64_t token) {
    *p++ = 0x94;
    *p++ = TRP_MSG;
    p = trp_wire_uint(p, sid);
    return trp_wire_uint(p, token);
}

uint8_t *trp_msg_head(uint8_t *p, uint64_t sid, uint64_t token) {
    return msg_head(p, sid, token);
}

troupe_status trp_put_msg_raw(struct trp_buf *b, uint64_t sid, uint64_t token, struct trp_slice raw) {
    if (trp_buf_room(b, TRP_MSG_HEAD_MAX + raw.n) != TROUPE_OK)
        return TROUPE_NO_MEMORY;
    uint8_t *p = msg_head(b->p + b->n, sid, token);
    return envelope_end(b, trp_wire_bytes(p, raw.p, raw.n));
}

static troupe_status headers_check(struct trp_slice headers) {
    size_t len;
    if (headers.n == 0)
        return TROUPE_OK;
    troupe_status st = trp_pack_scan(headers.p, headers.n, &inner_limits, &len);
    if (st == TROUPE_TOO_DEEP || st == TROUPE_TOO_BIG)
        return st;
    return st == TROUPE_OK && len == headers.n && is_map(headers.p) ? TROUPE_OK : TROUPE_INVALID;
}

/* Are the parts good, and how many bytes are they at most? */
static troupe_status parts_check(struct trp_slice topic, struct trp_slice reply, struct trp_slice headers, troupe_value payload,
                                 size_t *most) {
    if (topic.n > TRP_TOPIC_MAX || reply.n > TRP_TOPIC_MAX)
        return TROUPE_TOO_BIG;
    size_t packed;
    troupe_status st = headers_check(headers);
    if (st == TROUPE_OK)
        st = trp_pack_check(payload, &inner_limits, &packed);
    if (st == TROUPE_OK)
        *most = 3 * TRP_PACK_MAX_HEAD + topic.n + reply.n + headers.n + packed;
    return st;
}

static uint8_t *put_parts(uint8_t *p, struct trp_slice topic, struct trp_slice reply, struct trp_slice headers,
                          troupe_value payload) {
    *p++ = 0x90 | MESSAGE_FIELDS;
    p = trp_wire_str(p, topic);
    if (reply.n)
        p = trp_wire_str(p, reply);
    else
        *p++ = 0xc0;
    if (headers.n)
        p = trp_wire_bytes(p, headers.p, headers.n);
    else
        *p++ = 0xc0;
    return trp_pack_checked(p, payload);
}

troupe_status trp_put_pub(struct trp_buf *b, uint64_t id, struct trp_slice topic, struct trp_slice reply,
                          struct trp_slice headers, troupe_value payload) {
    size_t most;
    troupe_status st = parts_check(topic, reply, headers, payload, &most);
    if (st != TROUPE_OK)
        return st;
    uint8_t *p = envelope_begin(b, 3, TRP_PUB, TRP_PACK_MAX_HEAD + most);
    if (!p)
        return TROUPE_NO_MEMORY;
    p = trp_wire_uint(p, id);
    return envelope_end(b, put_parts(p, topic, reply, headers, payload));
}

troupe_status trp_put_message(struct trp_buf *b, struct trp_slice topic, struct trp_slice reply, struct trp_slice headers,
                              troupe_value payload) {
    size_t most;
    troupe_status st = parts_check(topic, reply, headers, payload, &most);
    if (st == TROUPE_OK)
        st = trp_buf_room(b, most);
    return st == TROUPE_OK ? envelope_end(b, put_parts(b->p + b->n, topic, reply, headers, payload)) : st;
}
