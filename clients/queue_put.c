/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A put is a publish to "_q.NAME" under an id; what it asks for travels as headers. Without options there are none, and
 * what is written is written once, straight into the open frame; with options they are packed into the client's own buffer
 * first. */
#include <troupe/queue.h>

#include "clients/client_state.h"
#include "transports/topic.h"

enum { PAIR_MOST = 24, PAIRS = 5, ID_MOST = 255, PRIORITY_MOST = 10 };

static const troupe_put_opts defaults;

/* --- headers --- */

/* What lies in a packed map. False: it is none. */
static bool headers_of(troupe_value headers, uint32_t *pairs, struct trp_slice *inside) {
    *pairs = 0;
    *inside = (struct trp_slice){0};
    if (headers.kind != TROUPE_PACKED)
        return headers.kind == TROUPE_NIL && headers.size == 0;
    const uint8_t *p = headers.data, *end = p + headers.size;
    if (!trp_unpack_map(&p, end, pairs))
        return false;
    *inside = (struct trp_slice){p, (size_t)(end - p)};
    return true;
}

static bool opts_valid(const troupe_put_opts *o) {
    size_t id = o->id ? strlen(o->id) : 1;
    return o->delay_ms >= 0 && o->ttl_ms >= 0 && o->priority >= 0 && o->priority <= PRIORITY_MOST && id > 0 && id <= ID_MOST &&
           (int)o->level >= 0 && o->level <= TROUPE_LEVEL_SYNCED;
}

static uint8_t *pack_uint(uint8_t *p, const char *key, uint64_t v) {
    return trp_pack_uint(trp_pack_str(p, trp_slice_str(key)), v);
}

static uint8_t *pack_opts(uint8_t *p, const troupe_put_opts *o, uint32_t more) {
    p = trp_pack_map(p, more + (o->delay_ms > 0) + (o->priority > 0) + (o->ttl_ms > 0) + (o->id != NULL) + (o->level > 0));
    if (o->delay_ms > 0)
        p = pack_uint(p, "t-delay", (uint64_t)o->delay_ms);
    if (o->priority > 0)
        p = pack_uint(p, "t-priority", (uint64_t)o->priority - 1);
    if (o->ttl_ms > 0)
        p = pack_uint(p, "t-ttl", (uint64_t)o->ttl_ms);
    if (o->id)
        p = trp_pack_str(trp_pack_str(p, trp_slice_str("t-id")), trp_slice_str(o->id));
    if (o->level > 0)
        p = pack_uint(p, "t-level", (uint64_t)o->level);
    return p;
}

/* Of a key that repeats the first one counts: ours go first. */
static troupe_status pack_headers(struct troupe_client *c, const troupe_put_opts *o, struct trp_slice *headers) {
    struct trp_slice more;
    uint32_t pairs;
    if (!opts_valid(o) || !headers_of(o->headers, &pairs, &more))
        return TROUPE_INVALID;
    c->packed.n = 0;
    troupe_status st = trp_buf_room(&c->packed, (size_t)PAIRS * PAIR_MOST + ID_MOST + more.n);
    if (st != TROUPE_OK)
        return st;
    uint8_t *p = pack_opts(c->packed.p, o, pairs);
    if (more.n)
        memcpy(p, more.p, more.n);
    *headers = (struct trp_slice){c->packed.p, (size_t)(p - c->packed.p) + more.n};
    return TROUPE_OK;
}

/* --- putting --- */

static troupe_status put(struct troupe_client *c, const char *queue, troupe_value payload, const troupe_put_opts *o,
                         struct trp_request *r) {
    uint8_t bytes[TRP_TOPIC_MAX];
    struct trp_slice topic = trp_queue_topic(trp_slice_str(queue), bytes), headers = {0};
    troupe_status st = o == &defaults ? TROUPE_OK : pack_headers(c, o, &headers);
    return st == TROUPE_OK ? trp_conn_confirm(c->conn, topic, (struct trp_slice){0}, headers, payload, r) : st;
}

troupe_status troupe_queue_put(troupe_client *c, const char *queue, troupe_value payload, const troupe_put_opts *opts,
                               troupe_level *level) {
    const troupe_put_opts *o = opts ? opts : &defaults;
    struct trp_receipt receipt = {.r = {.done = trp_receipt_done, .user = &receipt}, .c = c};
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    int64_t deadline = trp_client_deadline(o->timeout_ms ? o->timeout_ms : TRP_CLIENT_RECEIPT_MS);
    troupe_status st = trp_client_connected(c, deadline);
    if (st != TROUPE_OK)
        return st;
    st = put(c, queue, payload, o, &receipt.r);
    if (st != TROUPE_OK)
        return trp_client_plainly(c, st);
    st = trp_receipt_await(c, &receipt, deadline);
    if (st == TROUPE_OK && level)
        *level = (troupe_level)receipt.r.level;
    return st;
}

troupe_status troupe_queue_submit(troupe_client *c, const char *queue, troupe_value payload, const troupe_put_opts *opts,
                                  bool more, uint64_t *number) {
    struct trp_request *r;
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    troupe_status st = trp_flight_begin(c, &r);
    if (st != TROUPE_OK)
        return st;
    return trp_flight_end(c, r, put(c, queue, payload, opts ? opts : &defaults, r), more, number);
}
