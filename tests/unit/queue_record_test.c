/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The records' codec: what is written is read, what is cut or changed is refused or read as something that can be, and
 * never read past its end. */
#include "broker/queue_record.h"
#include "tests/support/exact.h"
#include "tests/support/run.h"
#include "transports/pack.h"

static struct trp_slice slice(const char *s) {
    return trp_slice_str(s);
}

/* One of each kind, with every field in use, and with none. */
static const struct trp_queue_record *examples(size_t *n) {
    static struct trp_queue_record all[16];
    struct trp_queue_record *r = all;
    *r++ = (struct trp_queue_record){.kind = TRP_QUEUE_RECORD_MARK, .seq = 77};
    *r++ = (struct trp_queue_record){.kind = TRP_QUEUE_RECORD_DECLARE, .queue = 3, .paused = true, .body = slice("config")};
    *r++ = (struct trp_queue_record){.kind = TRP_QUEUE_RECORD_DELETE, .queue = UINT64_MAX};
    *r++ = (struct trp_queue_record){
        .kind = TRP_QUEUE_RECORD_PUT, .queue = 1, .seq = 1, .at_ms = 5, .first_seen_ms = 5, .body = slice("m")};
    *r++ = (struct trp_queue_record){
        .kind = TRP_QUEUE_RECORD_PUT,
        .queue = 300,
        .seq = 1000000,
        .was = 999999,
        .at_ms = 1700000000000,
        .delay_ms = 1,
        .ttl_ms = 0,
        .first_seen_ms = 1600000000000,
        .priority = 9,
        .deliveries = UINT32_MAX,
        .crashes = UINT16_MAX,
        .signal = 255,
        .dead = true,
        .reason = TRP_REASON_CRASHED,
        .death = {slice("queue.it.died.in"), slice("its own words"), 16, 3, 11},
        .dedup = slice("id"),
        .body = slice("the message"),
    };
    *r++ = (struct trp_queue_record){.kind = TRP_QUEUE_RECORD_PUT,
                                     .seq = 2,
                                     .buried = true,
                                     .reason = TRP_REASON_EXPIRED,
                                     .deliveries = 1,
                                     .body = slice("m")};
    *r++ = (struct trp_queue_record){.kind = TRP_QUEUE_RECORD_STATE, .seq = 9, .at_ms = 10};
    *r++ = (struct trp_queue_record){
        .kind = TRP_QUEUE_RECORD_STATE, .seq = 9, .at_ms = 10, .delay_ms = UINT64_MAX, .deliveries = 2};
    *r++ = (struct trp_queue_record){
        .kind = TRP_QUEUE_RECORD_STATE, .seq = 9, .buried = true, .reason = TRP_REASON_BURIED, .signal = 9};
    *r++ = (struct trp_queue_record){.kind = TRP_QUEUE_RECORD_DONE, .seq = 123456789};
    *r++ = (struct trp_queue_record){
        .kind = TRP_QUEUE_RECORD_DEDUP, .queue = 4, .at_ms = 1, .ttl_ms = 120000, .dedup = slice("x")};
    *n = (size_t)(r - all);
    for (size_t i = 0; i < *n; i++)
        if (all[i].kind != TRP_QUEUE_RECORD_DEDUP && !(all[i].kind == TRP_QUEUE_RECORD_PUT && all[i].dead))
            all[i].ttl_ms = TRP_QUEUE_NEVER;
    return all;
}

static struct trp_slice pack(const struct trp_queue_record *r, uint8_t *room) {
    uint8_t *p = trp_queue_record_write(room, r);
    ck_assert_uint_le((size_t)(p - room), TRP_QUEUE_RECORD_HEAD_MAX);
    if (r->body.n)
        memcpy(p, r->body.p, r->body.n);
    return (struct trp_slice){room, (size_t)(p - room) + r->body.n};
}

static void expect_same(const struct trp_queue_record *a, const struct trp_queue_record *b) {
    ck_assert(a->kind == b->kind && a->queue == b->queue && a->seq == b->seq && a->was == b->was && a->at_ms == b->at_ms);
    ck_assert(a->delay_ms == b->delay_ms && a->ttl_ms == b->ttl_ms && a->first_seen_ms == b->first_seen_ms);
    ck_assert(a->priority == b->priority && a->deliveries == b->deliveries && a->crashes == b->crashes &&
              a->signal == b->signal);
    ck_assert(a->buried == b->buried && a->dead == b->dead && a->paused == b->paused && a->reason == b->reason);
    ck_assert(trp_slice_eq(a->death.queue, b->death.queue) && trp_slice_eq(a->death.reason, b->death.reason));
    ck_assert(a->death.deliveries == b->death.deliveries && a->death.crashes == b->death.crashes &&
              a->death.signal == b->death.signal);
    ck_assert(trp_slice_eq(a->dedup, b->dedup) && trp_slice_eq(a->body, b->body));
}

START_TEST(what_is_written_is_read) {
    size_t n;
    const struct trp_queue_record *all = examples(&n);
    for (size_t i = 0; i < n; i++) {
        uint8_t room[2048];
        const char *why;
        struct trp_queue_record r;
        ck_assert_int_eq(trp_queue_record_read(pack(&all[i], room), &r, &why), TROUPE_OK);
        expect_same(&all[i], &r);
    }
}
END_TEST

START_TEST(the_largest_head_fits) {
    static uint8_t text[255];
    uint8_t room[2048];
    struct trp_slice most = {text, sizeof text};
    struct trp_queue_record r = {
        .kind = TRP_QUEUE_RECORD_PUT,
        .queue = UINT64_MAX,
        .seq = TRP_QUEUE_SEQ_MAX,
        .was = TRP_QUEUE_SEQ_MAX - 1,
        .at_ms = UINT64_MAX,
        .delay_ms = UINT64_MAX,
        .ttl_ms = UINT64_MAX - 1,
        .first_seen_ms = UINT64_MAX - 1,
        .priority = 9,
        .deliveries = UINT32_MAX,
        .crashes = UINT16_MAX,
        .signal = 255,
        .dead = true,
        .reason = TRP_REASON_BURIED,
        .death = {most, most, UINT32_MAX, UINT16_MAX, 255},
        .dedup = most,
        .body = slice("m"),
    };
    struct trp_queue_record back;
    const char *why;
    ck_assert_int_eq(trp_queue_record_read(pack(&r, room), &back, &why), TROUPE_OK);
    expect_same(&r, &back);
}
END_TEST

static troupe_status read_copy(struct trp_slice bytes) {
    uint8_t *copy = exact(bytes.p, bytes.n);
    struct trp_queue_record r;
    const char *why = NULL;
    troupe_status st = trp_queue_record_read((struct trp_slice){copy, bytes.n}, &r, &why);
    ck_assert(st == TROUPE_OK || (st == TROUPE_PROTOCOL && why));
    if (st == TROUPE_OK)
        for (uint64_t seq = r.seq; r.kind == TRP_QUEUE_RECORD_DONE && trp_queue_record_next_done(&r, &seq);)
            ;
    free(copy);
    return st;
}

START_TEST(what_is_cut_is_refused) {
    size_t n;
    const struct trp_queue_record *all = examples(&n);
    for (size_t i = 0; i < n; i++) {
        uint8_t room[2048];
        struct trp_slice bytes = pack(&all[i], room);
        size_t head = bytes.n - all[i].body.n;
        for (size_t cut = 0; cut < bytes.n; cut++)
            if (cut <= head)
                ck_assert_int_eq(read_copy((struct trp_slice){room, cut}), TROUPE_PROTOCOL);
            else
                (void)read_copy((struct trp_slice){room, cut});
    }
}
END_TEST

START_TEST(what_is_changed_is_survived) {
    size_t n;
    const struct trp_queue_record *all = examples(&n);
    for (size_t i = 0; i < n; i++) {
        uint8_t room[2048];
        struct trp_slice bytes = pack(&all[i], room);
        for (size_t bit = 0; bit < bytes.n * 8; bit++) {
            room[bit / 8] ^= (uint8_t)(1 << bit % 8);
            (void)read_copy(bytes);
            room[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}
END_TEST

static troupe_status read_record(const struct trp_queue_record *r) {
    uint8_t room[2048];
    return read_copy(pack(r, room));
}

START_TEST(what_cannot_be_is_refused) {
    const struct trp_queue_record put = {.kind = TRP_QUEUE_RECORD_PUT, .seq = 5, .ttl_ms = TRP_QUEUE_NEVER, .body = slice("m")};
    struct trp_queue_record bad[] = {put, put, put, put, put, put};
    ck_assert_int_eq(read_record(&put), TROUPE_OK);
    bad[0].seq = 0;
    bad[1].was = 5;
    bad[2].priority = 10;
    bad[3].buried = true;
    bad[4].dead = true, bad[4].reason = TRP_REASON_EXPIRED; /* of no queue */
    bad[5].buried = true, bad[5].reason = TRP_REASON_EXPIRED, bad[5].delay_ms = 1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(read_record(&bad[i]), TROUPE_PROTOCOL);
    ck_assert_int_eq(read_copy(slice("\x08\x01")), TROUPE_PROTOCOL);         /* no such kind */
    ck_assert_int_eq(read_copy(slice("\x03\x01\x01")), TROUPE_PROTOCOL);     /* something behind a DELETE */
    ck_assert_int_eq(read_copy(slice("\x05\x01\x05\x05")), TROUPE_PROTOCOL); /* a flag that a STATE has not */
    ck_assert_int_eq(read_copy(slice("\x06\x05\xa1x")), TROUPE_PROTOCOL);    /* a text among the DONE */
}
END_TEST

START_TEST(many_are_done_in_one_record) {
    static const uint64_t seqs[] = {5, 6, 7, 3, 1000000, 999999, 1, TRP_QUEUE_SEQ_MAX, 2, 2};
    struct trp_queue_record_batch b;
    struct trp_queue_record r;
    const char *why;
    trp_queue_record_batch_init(&b, seqs[0]);
    for (size_t i = 1; i < sizeof seqs / sizeof *seqs; i++)
        ck_assert(trp_queue_record_batch_add(&b, seqs[i]));
    ck_assert_int_eq(trp_queue_record_read((struct trp_slice){b.bytes, b.n}, &r, &why), TROUPE_OK);
    uint64_t seq = r.seq;
    for (size_t i = 0; i < sizeof seqs / sizeof *seqs; i++) {
        ck_assert_uint_eq(seq, seqs[i]);
        ck_assert_int_eq(trp_queue_record_next_done(&r, &seq), i + 1 < sizeof seqs / sizeof *seqs);
    }
}
END_TEST

START_TEST(a_batch_has_an_end) {
    struct trp_queue_record_batch b;
    trp_queue_record_batch_init(&b, TRP_QUEUE_SEQ_MAX);
    size_t n = 1;
    while (trp_queue_record_batch_add(&b, n % 2 ? 1 : TRP_QUEUE_SEQ_MAX))
        n++;
    ck_assert_uint_ge(n, 256); /* as many as a purge gathers */
    ck_assert_uint_le(b.n, sizeof b.bytes);
}
END_TEST

int main(void) {
    Suite *s = suite_create("queue_record");
    const TTest *const records[] = {what_is_written_is_read,     the_largest_head_fits,     what_is_cut_is_refused,
                                    what_is_changed_is_survived, what_cannot_be_is_refused, many_are_done_in_one_record,
                                    a_batch_has_an_end};
    run_case(s, "records", records, sizeof records / sizeof *records);
    return run_suite(s);
}
