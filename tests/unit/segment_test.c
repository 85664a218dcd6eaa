/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "broker/segment.h"

#include <signal.h>

#include "tests/support/run.h"

enum { POSITION = 1000, ROOM = 512 };

/* A record of `text` at the position; returns its bytes. */
static size_t record_put(uint8_t *out, uint64_t position, const char *text) {
    struct trp_slice s = trp_slice_str(text);
    trp_record_head_write(out, position, &s, 1, s.n);
    memcpy(out + TRP_RECORD_HEADER, s.p, s.n);
    return TRP_RECORD_HEADER + s.n;
}

static enum trp_record_kind read_at(const uint8_t *p, size_t n, uint64_t position, struct trp_record *r) {
    return trp_record_read((struct trp_slice){p, n}, position, r);
}

START_TEST(names_are_read_as_they_are_written) {
    const struct trp_segment_id ids[] = {{1, 0}, {0x123456789abcdef0, 0}, {UINT64_MAX, UINT32_MAX}, {2, 1}, {2, 0x10000}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        char name[TRP_SEGMENT_NAME];
        struct trp_segment_id again;
        trp_segment_name(name, ids[i]);
        ck_assert_msg(trp_segment_name_read(name, &again), "%s", name);
        ck_assert_int_eq(trp_segment_id_cmp(ids[i], again), 0);
    }
}
END_TEST

START_TEST(other_names_are_not_ours) {
    const char *const names[] = {"",
                                 ".",
                                 "lock",
                                 "1.log",
                                 "0000000000000000.log",
                                 "000000000000000A.log",
                                 "00000000000000001.log",
                                 "0000000000000001.log.new",
                                 "0000000000000001.log~",
                                 "0000000000000001",
                                 "0000000000000001+.log",
                                 "0000000000000001+0000.log",
                                 "0000000000000001+00001.log",
                                 "0000000000000001+ffffffffffff.log",
                                 "-000000000000001.log",
                                 " 000000000000001.log"};
    struct trp_segment_id id;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_msg(!trp_segment_name_read(names[i], &id), "%s", names[i]);
}
END_TEST

START_TEST(parts_come_after_their_segment) {
    const struct trp_segment_id a = {1, 0}, b = {1, 1}, c = {2, 0};
    ck_assert_int_eq(trp_segment_id_cmp(a, b), -1);
    ck_assert_int_eq(trp_segment_id_cmp(b, a), 1);
    ck_assert_int_eq(trp_segment_id_cmp(b, c), -1);
    ck_assert_int_eq(trp_segment_id_cmp(c, a), 1);
    ck_assert_int_eq(trp_segment_id_cmp(c, c), 0);
}
END_TEST

START_TEST(a_header_tells_what_was_written) {
    uint8_t bytes[TRP_SEGMENT_HEADER];
    struct trp_segment_head head;
    trp_segment_head_write(bytes, (struct trp_segment_id){7, 3}, 1ull << 40);
    ck_assert_ptr_null(trp_segment_head_read(bytes, &head));
    ck_assert_int_eq(trp_segment_id_cmp(head.id, (struct trp_segment_id){7, 3}), 0);
    ck_assert_uint_eq(head.first, 1ull << 40);
    ck_assert_uint_eq(head.version, TRP_SEGMENT_VERSION);
}
END_TEST

START_TEST(a_flipped_bit_spoils_a_header) {
    uint8_t bytes[TRP_SEGMENT_HEADER];
    struct trp_segment_head head;
    trp_segment_head_write(bytes, (struct trp_segment_id){7, 0}, 99);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_ptr_nonnull(trp_segment_head_read(bytes, &head));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

START_TEST(a_record_is_read_at_its_position_only) {
    uint8_t bytes[ROOM];
    struct trp_record r;
    size_t n = record_put(bytes, POSITION, "hello");
    ck_assert_int_eq(read_at(bytes, n, POSITION, &r), TRP_RECORD_GOOD);
    ck_assert_uint_eq(r.size, n);
    ck_assert(trp_slice_eq(r.bytes, trp_slice_str("hello")));
    ck_assert_int_eq(read_at(bytes, n, POSITION + 1, &r), TRP_RECORD_BAD);
    ck_assert_int_eq(read_at(bytes, n, 0, &r), TRP_RECORD_BAD);
}
END_TEST

START_TEST(parts_make_one_record) {
    uint8_t whole[ROOM], parts[ROOM];
    const struct trp_slice three[] = {trp_slice_str("he"), {NULL, 0}, trp_slice_str("llo")};
    record_put(whole, POSITION, "hello");
    trp_record_head_write(parts, POSITION, three, 3, 5);
    ck_assert_mem_eq(whole, parts, TRP_RECORD_HEADER);
}
END_TEST

START_TEST(a_record_cut_short_asks_for_more) {
    uint8_t bytes[ROOM];
    struct trp_record r;
    size_t n = record_put(bytes, POSITION, "hello");
    for (size_t cut = 0; cut < n; cut++) {
        ck_assert_int_eq(read_at(bytes, cut, POSITION, &r), TRP_RECORD_MORE);
        ck_assert_uint_eq(r.size, cut < TRP_RECORD_HEADER ? TRP_RECORD_HEADER : n);
    }
}
END_TEST

START_TEST(a_flipped_bit_spoils_a_record) {
    uint8_t bytes[ROOM] = {0};
    struct trp_record r;
    size_t n = record_put(bytes, POSITION, "hello");
    for (size_t bit = 0; bit < 8 * n; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum trp_record_kind kind = read_at(bytes, sizeof bytes, POSITION, &r);
        ck_assert(kind == TRP_RECORD_BAD || kind == TRP_RECORD_MORE);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

START_TEST(zeros_are_no_record) {
    uint8_t bytes[ROOM] = {0};
    struct trp_record r;
    ck_assert_int_eq(read_at(bytes, sizeof bytes, POSITION, &r), TRP_RECORD_ZERO);
    bytes[4] = 1;
    ck_assert_int_eq(read_at(bytes, sizeof bytes, POSITION, &r), TRP_RECORD_BAD);
}
END_TEST

START_TEST(no_length_is_believed) {
    uint8_t bytes[TRP_RECORD_HEADER] = {0, 0, 0, 0x10}; /* TRP_RECORD_MAX */
    struct trp_record r;
    ck_assert_int_eq(read_at(bytes, sizeof bytes, POSITION, &r), TRP_RECORD_MORE);
    bytes[0] = 1;
    ck_assert_int_eq(read_at(bytes, sizeof bytes, POSITION, &r), TRP_RECORD_BAD);
    memset(bytes, 0xff, sizeof bytes);
    ck_assert_int_eq(read_at(bytes, sizeof bytes, POSITION, &r), TRP_RECORD_BAD);
}
END_TEST

START_TEST(a_mark_tells_what_was_written) {
    uint8_t bytes[TRP_RECORD_MARK];
    struct trp_record r;
    trp_record_mark_write(bytes, POSITION, (struct trp_segment_mark){900, 4});
    ck_assert_int_eq(read_at(bytes, sizeof bytes, POSITION, &r), TRP_RECORD_MARKED);
    ck_assert_uint_eq(r.size, TRP_RECORD_MARK);
    ck_assert_uint_eq(r.mark.synced, 900);
    ck_assert_uint_eq(r.mark.oldest, 4);
    ck_assert_int_eq(read_at(bytes, sizeof bytes, POSITION - 1, &r), TRP_RECORD_BAD);
}
END_TEST

START_TEST(a_mark_is_found_anywhere) {
    uint8_t bytes[ROOM];
    for (size_t at = 0; at + TRP_RECORD_MARK <= sizeof bytes; at++) {
        memset(bytes, 0x80, sizeof bytes);
        trp_record_mark_write(bytes + at, POSITION + at, (struct trp_segment_mark){900, 1});
        struct trp_slice s = {bytes, sizeof bytes};
        ck_assert(trp_segment_marked_beyond(s, POSITION, 899));
        ck_assert(!trp_segment_marked_beyond(s, POSITION, 900));
        ck_assert(!trp_segment_marked_beyond(s, POSITION + 1, 0));
        s.n = at + TRP_RECORD_MARK - 1;
        ck_assert(!trp_segment_marked_beyond(s, POSITION, 0));
    }
    ck_assert(!trp_segment_marked_beyond((struct trp_slice){NULL, 0}, 0, 0));
}
END_TEST

START_TEST(an_empty_record_is_our_bug) {
    uint8_t bytes[TRP_RECORD_HEADER];
    trp_record_head_write(bytes, 0, NULL, 0, 0);
}
END_TEST

int main(void) {
    const TTest *const names[] = {names_are_read_as_they_are_written, other_names_are_not_ours, parts_come_after_their_segment};
    const TTest *const heads[] = {a_header_tells_what_was_written, a_flipped_bit_spoils_a_header};
    const TTest *const records[] = {
        a_record_is_read_at_its_position_only, parts_make_one_record, a_record_cut_short_asks_for_more,
        a_flipped_bit_spoils_a_record,         zeros_are_no_record,   no_length_is_believed};
    const TTest *const marks[] = {a_mark_tells_what_was_written, a_mark_is_found_anywhere};
    Suite *s = suite_create("segment");
    run_case(s, "names", names, sizeof names / sizeof *names);
    run_case(s, "headers", heads, sizeof heads / sizeof *heads);
    TCase *c = run_case(s, "records", records, sizeof records / sizeof *records);
    tcase_add_test_raise_signal(c, an_empty_record_is_our_bug, SIGABRT);
    run_case(s, "marks", marks, sizeof marks / sizeof *marks);
    return run_suite(s);
}
