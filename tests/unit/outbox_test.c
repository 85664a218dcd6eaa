/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The outbox: whatever mixture goes in and however it is taken out, the deframer reads the same envelopes in the same
 * order from whole frames. An envelope here is a 4-byte number, a 4-byte length and that many bytes made from the
 * number. */
#include "transports/outbox.h"

#include "tests/support/chance.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"
#include <stdio.h>

static struct trp_chunk_pool pool;
static struct trp_outbox box;
static struct trp_buf wire;
static uint32_t sent;

static void setup(void) {
    trp_outbox_init(&box, &pool, TRP_FRAMING_TCP);
}

/* --- what goes in --- */

static uint8_t byte_of(uint32_t number, size_t i) {
    return (uint8_t)(number * 31 + i * 7);
}

static void fill(uint8_t *p, uint32_t number, uint32_t n) {
    memcpy(p, &number, 4);
    memcpy(p + 4, &n, 4);
    for (size_t i = 0; i < n; i++)
        p[8 + i] = byte_of(number, i);
}

static bool is_filled(const uint8_t *p, uint32_t number, uint32_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i] != byte_of(number, i))
            return false;
    return true;
}

static bool send_small(uint32_t n) {
    uint8_t *p = trp_outbox_reserve(&box, 8 + n);
    if (!p)
        return false;
    fill(p, sent++, n);
    trp_outbox_commit(&box, 8 + n);
    return true;
}

/* The blob has bytes before and after what is sent of it. */
static bool send_blob(uint32_t n) {
    uint8_t *bytes = malloc(n + 24u);
    fill(bytes + 8, sent, n);
    struct trp_blob *b = trp_blob_new(bytes, n + 24u);
    bool ok = b && trp_outbox_blob(&box, bytes + 8, 8, b, 16, n);
    sent += ok;
    trp_blob_unref(b);
    free(bytes);
    return ok;
}

/* --- what comes out --- */

static void to_wire(const uv_buf_t *pieces, unsigned n, size_t most) {
    for (unsigned i = 0; i < n && most > 0; i++) {
        size_t k = pieces[i].len < most ? pieces[i].len : most;
        ck_assert_int_eq(trp_buf_put(&wire, pieces[i].base, k), TROUPE_OK);
        most -= k;
    }
}

/* Writes at most `most` bytes, as the kernel would. */
static size_t write_some(size_t most) {
    uv_buf_t pieces[64];
    size_t bytes;
    trp_outbox_end(&box);
    unsigned n = trp_outbox_pieces(&box, pieces, 64, SIZE_MAX, &bytes);
    size_t k = bytes < most ? bytes : most;
    to_wire(pieces, n, k);
    trp_outbox_written(&box, k);
    return k;
}

/* Takes chunks out of the list and writes them later. */
static void take_some(unsigned most, size_t enough) {
    uv_buf_t pieces[64];
    size_t bytes;
    trp_outbox_end(&box);
    size_t before = box.bytes;
    unsigned n = trp_outbox_pieces(&box, pieces, most, enough, &bytes);
    struct trp_chunk *list = trp_outbox_take(&box, n);
    ck_assert_uint_eq(box.bytes, before - bytes);
    to_wire(pieces, n, SIZE_MAX);
    trp_chunks_free(&pool, list);
}

static void write_all(void) {
    while (box.head)
        ck_assert(write_some(SIZE_MAX) > 0);
    ck_assert_uint_eq(box.bytes, 0);
}

/* Reads the wire; returns the numbers of envelopes and frames, and the first number that is missing. */
struct seen {
    uint32_t envelopes, frames, next;
};

static void read_body(struct seen *seen, struct trp_slice body, size_t prefix) {
    size_t at = prefix;
    uint32_t here = 0;
    for (; at < body.n; here++) {
        uint32_t number, n;
        ck_assert_uint_le(at + 8, body.n);
        memcpy(&number, body.p + at, 4);
        memcpy(&n, body.p + at + 4, 4);
        ck_assert_uint_le(at + 8 + n, body.n);
        ck_assert_uint_ge(number, seen->next);
        ck_assert(is_filled(body.p + at + 8, number, n));
        seen->next = number + 1;
        at += 8 + n;
    }
    ck_assert_uint_gt(here, 0);
    ck_assert(body.n <= TRP_FRAME_SOFT || here == 1);
    seen->envelopes += here;
    seen->frames++;
}

static struct seen read_wire(size_t prefix) {
    struct trp_deframer d;
    struct seen seen = {0};
    trp_deframer_init(&d, TRP_FRAMING_TCP, SIZE_MAX);
    d.greeted = true;
    const uint8_t *p = wire.p, *end = wire.p + wire.n;
    for (;;) {
        enum trp_frame_event ev;
        uint16_t protocol;
        struct trp_slice body;
        const char *why;
        ck_assert_int_eq(trp_deframer_next(&d, &p, end, &ev, &protocol, &body, &why), TROUPE_OK);
        if (ev == TRP_FRAME_MORE)
            break;
        read_body(&seen, body, prefix);
    }
    ck_assert(!trp_deframer_partial(&d));
    trp_buf_fini(&wire);
    return seen;
}

static void all_arrived(size_t prefix) {
    struct seen seen = read_wire(prefix);
    ck_assert_uint_eq(seen.envelopes, sent);
    ck_assert_uint_eq(seen.next, sent);
}

/* --- tests --- */

START_TEST(several_envelopes_share_a_frame) {
    for (int i = 0; i < 1000; i++)
        ck_assert(send_small(20));
    write_all();
    struct seen seen = read_wire(0);
    ck_assert_uint_eq(seen.envelopes, 1000);
    ck_assert_uint_eq(seen.frames, 1);
}
END_TEST

START_TEST(a_frame_ends_at_the_soft_limit) {
    ck_assert(send_small(TRP_FRAME_SOFT - 16));
    ck_assert(send_small(0));
    ck_assert(send_small(0));
    write_all();
    struct seen seen = read_wire(0);
    ck_assert_uint_eq(seen.frames, 2);
    ck_assert_uint_eq(seen.envelopes, 3);
}
END_TEST

START_TEST(a_large_envelope_has_its_own_frame) {
    ck_assert(send_small(1));
    ck_assert(send_small(3 * TRP_FRAME_SOFT));
    ck_assert(send_small(1));
    ck_assert(send_blob(2 * TRP_FRAME_SOFT));
    ck_assert(send_small(1));
    write_all();
    ck_assert_uint_eq(wire.n, 5 * 8 + 5 * 8 + 3 + 5 * TRP_FRAME_SOFT);
    all_arrived(0);
}
END_TEST

START_TEST(blobs_keep_their_place) {
    for (int i = 0; i < 50; i++) {
        ck_assert(send_small(10));
        ck_assert(send_blob(20000));
        ck_assert(send_blob(i & 1 ? 0 : 1));
    }
    write_all();
    all_arrived(0);
}
END_TEST

START_TEST(every_frame_has_the_prefix) {
    memcpy(box.prefix, "\0\0\0\1", 4);
    box.prefix_n = 4;
    for (int i = 0; i < 5000; i++)
        ck_assert(send_small(100));
    write_all();
    ck_assert_mem_eq(wire.p + 8, "\0\0\0\1", 4);
    all_arrived(4);
}
END_TEST

START_TEST(a_begun_frame_has_its_own_prefix) {
    memcpy(box.prefix, "standing", 8);
    box.prefix_n = 8;
    ck_assert(trp_outbox_begin(&box, "question", 8));
    for (int i = 0; i < 3; i++)
        ck_assert(send_small(10));
    trp_outbox_end(&box);
    ck_assert(send_small(10));
    write_all();
    ck_assert_mem_eq(wire.p + 8, "question", 8);
    ck_assert_mem_eq(wire.p + 8 + 8 + 3 * 18 + 8, "standing", 8);
    all_arrived(8);
}
END_TEST

START_TEST(a_frame_with_nothing_in_it_is_not_sent) {
    ck_assert(trp_outbox_begin(&box, "question", 8));
    trp_outbox_end(&box);
    ck_assert_ptr_null(box.head);
    ck_assert_ptr_nonnull(trp_outbox_reserve(&box, 10));
    ck_assert_ptr_nonnull(trp_outbox_reserve(&box, 100000));
    trp_outbox_end(&box);
    ck_assert_ptr_null(box.head);
    ck_assert(send_small(1));
    ck_assert_ptr_nonnull(trp_outbox_reserve(&box, TRP_FRAME_SOFT));
    write_all();
    all_arrived(0);
}
END_TEST

START_TEST(discard_keeps_a_frame_that_has_begun_to_leave) {
    static const size_t sizes[] = {0, 1, 7, 8, 9, 1000, 2047, 3000, 70000, 90000, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        setup();
        sent = 0;
        for (int k = 0; k < 6; k++) {
            ck_assert(send_small(60000));
            ck_assert(send_blob(30000));
        }
        ck_assert(send_small(1));
        size_t written = sizes[i] ? write_some(sizes[i]) : 0;
        trp_outbox_discard(&box);
        if (written == 0)
            ck_assert_ptr_null(box.head);
        sent += 100;
        ck_assert(send_small(5));
        write_all();
        ck_assert_uint_lt(wire.n, written + 100000);
        ck_assert_uint_eq(read_wire(0).next, sent);
    }
}
END_TEST

START_TEST(chunks_come_back_to_the_pool) {
    faults_fail_at(0);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 2000; i++)
            ck_assert(send_small(100));
        trp_buf_fini(&wire);
        long before = faults.calls;
        uv_buf_t pieces[64];
        size_t bytes;
        trp_outbox_end(&box);
        trp_outbox_pieces(&box, pieces, 64, SIZE_MAX, &bytes);
        trp_outbox_written(&box, bytes);
        ck_assert_ptr_null(box.head);
        ck_assert_int_eq(faults.calls, before);
        if (round == 0)
            faults.fail_at = faults.calls + 1;
    }
    trp_chunk_pool_fini(&pool);
    ck_assert_int_eq(faults.live, 0);
    faults_off();
}
END_TEST

START_TEST(many_outboxes_with_little_take_little) {
    enum { N = 10000 };
    static struct trp_outbox many[N];
    faults_fail_at(0);
    for (int i = 0; i < N; i++) {
        trp_outbox_init(&many[i], &pool, TRP_FRAMING_IPC);
        ck_assert_ptr_nonnull(trp_outbox_reserve(&many[i], 200));
        trp_outbox_commit(&many[i], 200);
        ck_assert_uint_le(sizeof *many[i].head + many[i].head->cap, 2048);
    }
    for (int i = 0; i < N; i++)
        trp_outbox_fini(&many[i]);
    ck_assert_int_lt(faults.live, 1000);
    trp_chunk_pool_fini(&pool);
    ck_assert_int_eq(faults.live, 0);
    faults_off();
}
END_TEST

START_TEST(out_of_memory_loses_only_what_failed) {
    long n = 0;
    for (bool clean = false; !clean;) {
        setup();
        sent = 0;
        clean = true;
        faults_fail_at(++n);
        for (int i = 0; i < 20; i++) {
            clean &= send_small(10000);
            clean &= send_blob(20000);
        }
        faults_off();
        write_all();
        all_arrived(0);
        trp_chunk_pool_fini(&pool);
    }
    ck_assert_int_gt(n, 5);
}
END_TEST

static void random_step(void) {
    static const uint32_t sizes[] = {0, 1, 100, 1900, 2000, 5000, 64000, 65536, 70000, 200000};
    uint32_t n = sizes[roll(10)];
    switch (roll(8)) {
    case 0:
    case 1:
        ck_assert(send_blob(n));
        break;
    case 2:
        write_some(n);
        break;
    case 3:
        take_some(2 + roll(5), n);
        break;
    default:
        ck_assert(send_small(n));
    }
}

START_TEST(random_mixtures) {
    chance_begin(seed_or((uint64_t)_i + 1));
    for (int i = 0; i < 500; i++)
        random_step();
    write_all();
    all_arrived(0);
    trp_chunk_pool_fini(&pool);
}
END_TEST

int main(void) {
    Suite *s = suite_create("outbox");
    const TTest *const tests[] = {
        several_envelopes_share_a_frame,
        a_frame_ends_at_the_soft_limit,
        a_large_envelope_has_its_own_frame,
        blobs_keep_their_place,
        every_frame_has_the_prefix,
        a_begun_frame_has_its_own_prefix,
        a_frame_with_nothing_in_it_is_not_sent,
        discard_keeps_a_frame_that_has_begun_to_leave,
        chunks_come_back_to_the_pool,
        many_outboxes_with_little_take_little,
        out_of_memory_loses_only_what_failed,
    };
    TCase *t = run_case(s, "outbox", tests, sizeof tests / sizeof *tests);
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_loop_test(t, random_mixtures, 0, 10);
    return run_suite(s);
}
