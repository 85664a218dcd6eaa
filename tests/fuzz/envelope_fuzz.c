/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The envelope reader, on a body of envelopes back to back as a frame has it. What is accepted is written again with
 * our writers and read again: the same fields. Messages are also taken apart and written from their parts. */
#include "transports/assert.h"
#include "transports/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static troupe_status put_again(struct trp_buf *b, const struct trp_envelope *e) {
    switch (e->op) {
    case TRP_SUB:
        return trp_put_sub(b, e->id, e->sid, e->text, e->options);
    case TRP_UNSUB:
        return trp_put_unsub(b, e->id, e->sid);
    case TRP_PUB:
        return trp_put_pub_raw(b, e->id, e->msg.raw);
    case TRP_MSG:
        /* The broker writes an info behind it into a link's buffer itself. */
        return e->options.n ? TROUPE_UNSUPPORTED : trp_put_msg_raw(b, e->sid, e->token, e->msg.raw);
    case TRP_ACK:
        return e->id ? trp_put_ack_id(b, e->sid, e->token, e->id) : trp_put_ack(b, e->sid, e->token);
    case TRP_NACK:
        return trp_put_nack(b, e->sid, e->token, e->options);
    case TRP_CREDIT:
        return trp_put_credit(b, e->sid, e->token);
    case TRP_PING:
    case TRP_PONG:
        return trp_put_ping(b, e->op, e->id);
    case TRP_OK:
        return e->options.n ? trp_put_answer(b, e->id, e->level, e->count, e->options)
                            : trp_put_ok(b, e->id, e->level, e->count);
    case TRP_ERR:
        return trp_put_err(b, e->id, e->code, e->text);
    case TRP_CLOSE:
        return trp_put_close(b, e->code, e->text);
    case TRP_HELLO:
    case TRP_CHALLENGE:
    case TRP_AUTH:
    case TRP_WELCOME:
        return trp_put_info(b, e->op, e->options);
    case TRP_QUEUE:
        return trp_put_queue(b, e->id, e->code, e->text, e->options);
    }
    return TROUPE_BUG;
}

static bool inside(struct trp_slice s, const uint8_t *p, size_t n) {
    return s.n == 0 || (s.p >= p && s.n <= n && (size_t)(s.p - p) <= n - s.n);
}

static void check_borrows(const struct trp_envelope *e, const uint8_t *p, size_t n) {
    trp_assert(inside(e->code, p, n) && inside(e->text, p, n) && inside(e->options, p, n));
    trp_assert(inside(e->msg.topic, e->msg.raw.p, e->msg.raw.n) && inside(e->msg.reply, e->msg.raw.p, e->msg.raw.n));
    trp_assert(inside(e->msg.headers, e->msg.raw.p, e->msg.raw.n) && inside(e->msg.payload, e->msg.raw.p, e->msg.raw.n));
    trp_assert(inside(e->msg.raw, p, n));
    trp_assert(e->msg.topic.n <= TRP_TOPIC_MAX && e->msg.reply.n <= TRP_TOPIC_MAX);
}

static bool parts_same(const struct trp_message *a, const struct trp_message *b) {
    return trp_slice_eq(a->topic, b->topic) && trp_slice_eq(a->reply, b->reply) && trp_slice_eq(a->headers, b->headers);
}

static bool same(const struct trp_envelope *a, const struct trp_envelope *b) {
    /* Options that are nil are written as an empty map. */
    bool options = trp_slice_eq(a->options, b->options) || (a->options.n == 0 && b->options.n == 1);
    return a->op == b->op && a->id == b->id && a->sid == b->sid && a->token == b->token && a->level == b->level &&
           a->count == b->count && trp_slice_eq(a->code, b->code) && trp_slice_eq(a->text, b->text) && options &&
           trp_slice_eq(a->msg.raw, b->msg.raw) && parts_same(&a->msg, &b->msg) && trp_slice_eq(a->msg.payload, b->msg.payload);
}

static void round_trip(const struct trp_envelope *e) {
    struct trp_buf b = {0};
    struct trp_envelope again;
    size_t used;
    const char *why;
    troupe_status st = put_again(&b, e);
    if (st != TROUPE_UNSUPPORTED) {
        trp_assert(st == TROUPE_OK);
        trp_assert(trp_envelope_read(b.p, b.n, &again, &used, &why) == TROUPE_OK);
        trp_assert(used == b.n && same(e, &again));
    }
    trp_buf_fini(&b);
}

/* The same envelope with one more field, which no version knows: it is skipped, and the reader takes its long way. */
static void long_way(const uint8_t *data, size_t used, const struct trp_envelope *e) {
    struct trp_buf b = {0};
    struct trp_envelope again;
    size_t n;
    const char *why;
    if ((data[0] & 0xf0) != 0x90 || data[0] == 0x9f)
        return;
    trp_assert(trp_buf_put(&b, data, used) == TROUPE_OK && trp_buf_put(&b, "\xc0", 1) == TROUPE_OK);
    b.p[0]++;
    trp_assert(trp_envelope_read(b.p, b.n, &again, &n, &why) == TROUPE_OK);
    trp_assert(n == b.n && same(e, &again));
    trp_buf_fini(&b);
}

/* Written from its parts a message may be shorter (wide forms, skipped fields), but says the same. */
static void parts_round_trip(const struct trp_message *m) {
    const uint8_t *p = m->payload.p;
    struct trp_buf b = {0};
    struct trp_message again;
    troupe_value payload;
    size_t used;
    const char *why;
    trp_assert(trp_unpack_value(&p, m->payload.p + m->payload.n, &payload) == TROUPE_OK);
    trp_assert(trp_put_message(&b, m->topic, m->reply, m->headers, payload) == TROUPE_OK);
    trp_assert(trp_message_read(b.p, b.n, &again, &used, &why) == TROUPE_OK);
    trp_assert(used == b.n && parts_same(m, &again));
    trp_buf_fini(&b);
}

static void look_up(struct trp_slice map) {
    uint64_t u;
    struct trp_slice s;
    troupe_value v;
    if (trp_map_uint(map, "credit", &u))
        trp_assert(trp_map_value(map, "credit", &v) && (v.kind == TROUPE_INT || v.kind == TROUPE_UINT));
    if (trp_map_str(map, "group", &s))
        trp_assert(trp_map_value(map, "group", &v) && v.kind == TROUPE_TEXT && v.size == s.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct trp_envelope e;
    size_t used;
    const char *why = NULL;
    while (size > 0) {
        if (trp_envelope_read(data, size, &e, &used, &why) != TROUPE_OK) {
            trp_assert(why);
            return 0;
        }
        trp_assert(used > 0 && used <= size);
        check_borrows(&e, data, used);
        round_trip(&e);
        long_way(data, used, &e);
        look_up(e.options);
        if (e.op == TRP_PUB || e.op == TRP_MSG) {
            look_up(e.msg.headers);
            parts_round_trip(&e.msg);
        }
        data += used;
        size -= used;
    }
    return 0;
}
