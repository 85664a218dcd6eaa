/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The records' codec. The reader takes only what the writer could have written, up to the width of a number: the bytes
 * come from a disk, with a checksum, so what is wrong in them is a bug or damage and must not be guessed at. */
#include "broker/queue_record.h"
#include "transports/pack.h"

enum {
    HAS_WAS = 1,
    HAS_DELAY = 2,
    HAS_TTL = 4,
    HAS_SEEN = 8, /* first_seen is not `at` */
    HAS_COUNTS = 16,
    HAS_DEDUP = 32,
    HAS_DEATH = 64,
    HAS_BURIED = 128,
    PUT_FLAGS = 255,
    STATE_FLAGS = HAS_DELAY | HAS_COUNTS | HAS_BURIED,
};

/* ---- writing ---- */

static unsigned flags_of(const struct trp_queue_record *r) {
    unsigned f = 0;
    f |= r->was ? HAS_WAS : 0;
    f |= r->delay_ms ? HAS_DELAY : 0;
    f |= r->ttl_ms != TRP_QUEUE_NEVER ? HAS_TTL : 0;
    f |= r->first_seen_ms != r->at_ms ? HAS_SEEN : 0;
    f |= r->deliveries || r->crashes || r->signal ? HAS_COUNTS : 0;
    f |= r->dedup.n ? HAS_DEDUP : 0;
    f |= r->dead ? HAS_DEATH : 0;
    f |= r->buried ? HAS_BURIED : 0;
    return r->kind == TRP_QUEUE_RECORD_PUT ? f : f & STATE_FLAGS;
}

static uint8_t *write_counts(uint8_t *p, uint32_t deliveries, uint32_t crashes, unsigned signal) {
    return trp_pack_uint(trp_pack_uint(trp_pack_uint(p, deliveries), crashes), signal);
}

static uint8_t *write_death(uint8_t *p, const struct trp_death *d) {
    p = trp_pack_str(trp_pack_str(p, d->queue), d->reason);
    return write_counts(p, d->deliveries, d->crashes, (unsigned)d->signal);
}

static uint8_t *write_put(uint8_t *p, const struct trp_queue_record *r) {
    unsigned f = flags_of(r);
    p = trp_pack_uint(trp_pack_uint(p, f), r->queue);
    p = trp_pack_uint(trp_pack_uint(p, r->seq), r->at_ms);
    p = trp_pack_uint(p, r->priority);
    if (f & HAS_WAS)
        p = trp_pack_uint(p, r->was);
    if (f & HAS_DELAY)
        p = trp_pack_uint(p, r->delay_ms);
    if (f & HAS_TTL)
        p = trp_pack_uint(p, r->ttl_ms);
    if (f & HAS_SEEN)
        p = trp_pack_uint(p, r->first_seen_ms);
    if (f & HAS_COUNTS)
        p = write_counts(p, r->deliveries, r->crashes, r->signal);
    if (f & HAS_DEDUP)
        p = trp_pack_str(p, r->dedup);
    if (f & HAS_DEATH)
        p = write_death(p, &r->death);
    return f & (HAS_DEATH | HAS_BURIED) ? trp_pack_uint(p, r->reason) : p;
}

static uint8_t *write_state(uint8_t *p, const struct trp_queue_record *r) {
    unsigned f = flags_of(r);
    p = trp_pack_uint(trp_pack_uint(trp_pack_uint(p, f), r->seq), r->at_ms);
    if (f & HAS_DELAY)
        p = trp_pack_uint(p, r->delay_ms);
    if (f & HAS_COUNTS)
        p = write_counts(p, r->deliveries, r->crashes, r->signal);
    return f & HAS_BURIED ? trp_pack_uint(p, r->reason) : p;
}

uint8_t *trp_queue_record_write(uint8_t *p, const struct trp_queue_record *r) {
    p = trp_pack_uint(p, r->kind);
    switch (r->kind) {
    case TRP_QUEUE_RECORD_MARK:
    case TRP_QUEUE_RECORD_DONE:
        return trp_pack_uint(p, r->seq);
    case TRP_QUEUE_RECORD_DECLARE:
        return trp_pack_uint(trp_pack_uint(p, r->queue), r->paused);
    case TRP_QUEUE_RECORD_DELETE:
        return trp_pack_uint(p, r->queue);
    case TRP_QUEUE_RECORD_PUT:
        return write_put(p, r);
    case TRP_QUEUE_RECORD_STATE:
        return write_state(p, r);
    case TRP_QUEUE_RECORD_DEDUP:
        p = trp_pack_uint(trp_pack_uint(trp_pack_uint(p, r->queue), r->at_ms), r->ttl_ms);
        return trp_pack_str(p, r->dedup);
    }
    return p;
}

/* ---- reading ---- */

struct reader {
    const uint8_t *p, *end;
    bool bad; /* something was missing, of another type, or out of its bounds: all that follows is 0 */
};

static uint64_t read_uint(struct reader *in, uint64_t most) {
    uint64_t v = 0;
    if (in->bad || !trp_unpack_uint(&in->p, in->end, &v) || v > most) {
        in->bad = true;
        return 0;
    }
    return v;
}

static struct trp_slice read_text(struct reader *in) {
    struct trp_slice s = {0};
    if (in->bad || !trp_unpack_str(&in->p, in->end, &s) || s.n > TRP_QUEUE_TEXT_MAX) {
        in->bad = true;
        return (struct trp_slice){0};
    }
    return s;
}

static void read_counts(struct reader *in, struct trp_queue_record *r) {
    r->deliveries = (uint32_t)read_uint(in, UINT32_MAX);
    r->crashes = (uint16_t)read_uint(in, UINT16_MAX);
    r->signal = (uint8_t)read_uint(in, UINT8_MAX);
}

static void read_death(struct reader *in, struct trp_queue_record *r) {
    r->dead = true;
    r->death.queue = read_text(in);
    r->death.reason = read_text(in);
    r->death.deliveries = (uint32_t)read_uint(in, UINT32_MAX);
    r->death.crashes = (uint32_t)read_uint(in, UINT16_MAX);
    r->death.signal = (int)read_uint(in, UINT8_MAX);
    in->bad |= r->death.queue.n == 0;
}

/* A message has one reason: of its burial, or else of the death that brought it here. */
static void read_reason(struct reader *in, struct trp_queue_record *r, unsigned flags) {
    r->buried = flags & HAS_BURIED;
    if (!(flags & (HAS_BURIED | HAS_DEATH)))
        return;
    r->reason = (enum trp_queue_reason)read_uint(in, TRP_REASONS - 1);
    in->bad |= r->reason == TRP_REASON_NONE || (r->buried && r->delay_ms);
}

static void read_put(struct reader *in, struct trp_queue_record *r) {
    unsigned f = (unsigned)read_uint(in, PUT_FLAGS);
    r->queue = read_uint(in, UINT64_MAX);
    r->seq = read_uint(in, TRP_QUEUE_SEQ_MAX);
    r->at_ms = read_uint(in, UINT64_MAX);
    r->priority = (uint32_t)read_uint(in, TRP_QUEUE_PRIORITIES - 1);
    r->was = f & HAS_WAS ? read_uint(in, UINT64_MAX) : 0;
    r->delay_ms = f & HAS_DELAY ? read_uint(in, UINT64_MAX) : 0;
    r->ttl_ms = f & HAS_TTL ? read_uint(in, UINT64_MAX - 1) : TRP_QUEUE_NEVER;
    r->first_seen_ms = f & HAS_SEEN ? read_uint(in, UINT64_MAX) : r->at_ms;
    if (f & HAS_COUNTS)
        read_counts(in, r);
    if (f & HAS_DEDUP)
        r->dedup = read_text(in);
    if (f & HAS_DEATH)
        read_death(in, r);
    read_reason(in, r, f);
    in->bad |= r->seq == 0 || r->was >= r->seq;
}

static void read_state(struct reader *in, struct trp_queue_record *r) {
    unsigned f = (unsigned)read_uint(in, PUT_FLAGS);
    in->bad |= (f & ~(unsigned)STATE_FLAGS) != 0;
    r->seq = read_uint(in, TRP_QUEUE_SEQ_MAX);
    r->at_ms = read_uint(in, UINT64_MAX);
    r->delay_ms = f & HAS_DELAY ? read_uint(in, UINT64_MAX) : 0;
    if (f & HAS_COUNTS)
        read_counts(in, r);
    read_reason(in, r, f);
}

static void read_dedup(struct reader *in, struct trp_queue_record *r) {
    r->queue = read_uint(in, UINT64_MAX);
    r->at_ms = read_uint(in, UINT64_MAX);
    r->ttl_ms = read_uint(in, UINT64_MAX);
    r->dedup = read_text(in);
    in->bad |= r->dedup.n == 0;
}

static void read_declare(struct reader *in, struct trp_queue_record *r) {
    r->queue = read_uint(in, UINT64_MAX - 1);
    r->paused = read_uint(in, 1);
}

static void read_done(struct reader *in, struct trp_queue_record *r) {
    r->seq = read_uint(in, TRP_QUEUE_SEQ_MAX);
    for (struct reader rest = *in; !in->bad && rest.p < rest.end; in->bad |= rest.bad)
        (void)read_uint(&rest, UINT64_MAX);
}

/* False: there is no such kind. */
static bool read_kind(struct reader *in, struct trp_queue_record *r) {
    switch (r->kind) {
    case TRP_QUEUE_RECORD_MARK:
        r->seq = read_uint(in, TRP_QUEUE_SEQ_MAX);
        in->bad |= r->seq == 0;
        return true;
    case TRP_QUEUE_RECORD_DECLARE:
        read_declare(in, r);
        return true;
    case TRP_QUEUE_RECORD_DELETE:
        r->queue = read_uint(in, UINT64_MAX);
        return true;
    case TRP_QUEUE_RECORD_PUT:
        read_put(in, r);
        return true;
    case TRP_QUEUE_RECORD_STATE:
        read_state(in, r);
        return true;
    case TRP_QUEUE_RECORD_DONE:
        read_done(in, r);
        return true;
    case TRP_QUEUE_RECORD_DEDUP:
        read_dedup(in, r);
        return true;
    }
    return false;
}

static bool has_body(enum trp_queue_record_kind kind) {
    return kind == TRP_QUEUE_RECORD_PUT || kind == TRP_QUEUE_RECORD_DECLARE;
}

troupe_status trp_queue_record_read(struct trp_slice bytes, struct trp_queue_record *r, const char **why) {
    struct reader in = {.p = bytes.p, .end = bytes.p + bytes.n};
    *r = (struct trp_queue_record){.ttl_ms = TRP_QUEUE_NEVER};
    r->kind = (enum trp_queue_record_kind)read_uint(&in, TRP_QUEUE_RECORD_DEDUP);
    if (!read_kind(&in, r)) {
        *why = "a queue record of an unknown kind";
        return TROUPE_PROTOCOL;
    }
    r->body = (struct trp_slice){in.p, (size_t)(in.end - in.p)};
    if (in.bad || (r->kind != TRP_QUEUE_RECORD_DONE && has_body(r->kind) != (r->body.n > 0)) || r->body.n > UINT32_MAX) {
        *why = "a queue record that is not whole or has impossible fields";
        return TROUPE_PROTOCOL;
    }
    return TROUPE_OK;
}

/* ---- many that are done ---- */

void trp_queue_record_batch_init(struct trp_queue_record_batch *b, uint64_t seq) {
    b->n = (size_t)(trp_queue_record_write(b->bytes, &(struct trp_queue_record){.kind = TRP_QUEUE_RECORD_DONE, .seq = seq}) -
                    b->bytes);
    b->last = seq;
}

bool trp_queue_record_batch_add(struct trp_queue_record_batch *b, uint64_t seq) {
    if (b->n + TRP_PACK_MAX_HEAD > sizeof b->bytes)
        return false;
    uint64_t up = seq - b->last, down = b->last - seq;
    b->n = (size_t)(trp_pack_uint(b->bytes + b->n, seq >= b->last ? up << 1 : (down << 1) - 1) - b->bytes);
    b->last = seq;
    return true;
}

bool trp_queue_record_next_done(struct trp_queue_record *r, uint64_t *seq) {
    const uint8_t *p = r->body.p, *end = p + r->body.n;
    uint64_t v;
    if (!trp_unpack_uint(&p, end, &v))
        return false;
    *seq += v & 1 ? -(v / 2 + 1) : v / 2;
    r->body = (struct trp_slice){p, (size_t)(end - p)};
    return true;
}
