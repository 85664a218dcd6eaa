/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * msgpack: every first byte, both ends of every width, every truncation, and what lies about its length. */
#include "transports/pack.h"

#include <float.h>
#include <math.h>

#include "tests/support/exact.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

static troupe_status scan(const void *p, size_t n, size_t *len) {
    uint8_t *copy = exact(p, n);
    troupe_status st = trp_pack_scan(copy, n, NULL, len);
    free(copy);
    return st;
}

/* --- scan --- */

/* Bytes that follow each first byte, all zero: what makes it one whole value. -1: no value at all. */
static int tail_of(unsigned first) {
    static const int wide[32] = {0, -1, 0, 0, 1, 2, 4, 2, 3,  5, 4, 8, 1, 2, 4, 8,
                                 1, 2,  4, 8, 2, 3, 5, 9, 17, 1, 2, 4, 2, 4, 2, 4};
    if (first < 0x80 || first >= 0xe0)
        return 0;
    if (first >= 0xc0)
        return wide[first - 0xc0];
    if (first >= 0xa0)
        return (int)(first & 0x1f);
    return (int)(first & 0x0f) * (first >= 0x90 ? 1 : 2);
}

START_TEST(every_first_byte) {
    for (unsigned first = 0; first < 256; first++) {
        uint8_t bytes[64] = {(uint8_t)first};
        int tail = tail_of(first);
        size_t len = 99;
        if (tail < 0) {
            ck_assert_int_eq(scan(bytes, 1, &len), TROUPE_PROTOCOL);
            continue;
        }
        for (int n = 0; n <= tail; n++)
            ck_assert_int_eq(scan(bytes, (size_t)n, &len), TROUPE_TRUNCATED);
        ck_assert_uint_eq(len, 99);
        ck_assert_int_eq(scan(bytes, sizeof bytes, &len), TROUPE_OK);
        ck_assert_uint_eq(len, (size_t)tail + 1);
    }
}
END_TEST

START_TEST(every_pair_of_first_bytes) {
    for (unsigned first = 0; first < 65536; first++) {
        uint8_t bytes[2] = {(uint8_t)(first >> 8), (uint8_t)first};
        size_t len;
        if (scan(bytes, 2, &len) == TROUPE_OK && len != 1 && len != 2)
            ck_abort_msg("%02x %02x", bytes[0], bytes[1]);
    }
}
END_TEST

/* A value, and the bytes it needs: all of these, all of their prefixes TRUNCATED. */
static const struct {
    const char *bytes;
    size_t n;
} wholes[] = {
#define W(s)                                                                                                                   \
    { s, sizeof s - 1 }
    W("\xd9\x03"
      "abc"),
    W("\xda\x00\x03"
      "abc"),
    W("\xdb\x00\x00\x00\x03"
      "abc"),
    W("\xc4\x02\x00\x01"),
    W("\xc7\x02\x05\x00\x01"),
    W("\xc8\x00\x02\x05\x00\x01"),
    W("\xc9\x00\x00\x00\x02\x05\x00\x01"),
    W("\xdc\x00\x02\x01\x92\x02\x03"),
    W("\xdd\x00\x00\x00\x01\x90"),
    W("\xde\x00\x01\xa1k\x81\xa1k\xc0"),
    W("\xdf\x00\x00\x00\x01\xa1k\xcf\x01\x02\x03\x04\x05\x06\x07\x08"),
    W("\x93\x90\x80\x91\x91\x91\xc3"),
    W("\x82\x01\x02\x03\x94\x05\x06\x07\x08"),
#undef W
};

START_TEST(a_prefix_is_truncated) {
    size_t len, n = wholes[_i].n;
    ck_assert_int_eq(scan(wholes[_i].bytes, n, &len), TROUPE_OK);
    ck_assert_uint_eq(len, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(scan(wholes[_i].bytes, i, &len), TROUPE_TRUNCATED);
}
END_TEST

START_TEST(flipped_bits_harm_nobody) {
    size_t len, n = wholes[_i].n;
    for (size_t bit = 0; bit < n * 8; bit++) {
        uint8_t *copy = exact(wholes[_i].bytes, n);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (trp_pack_scan(copy, n, NULL, &len) == TROUPE_OK)
            ck_assert_uint_le(len, n);
        free(copy);
    }
}
END_TEST

START_TEST(lies_about_lengths) {
    static const uint8_t heads[] = {0xc6, 0xc9, 0xdb, 0xdd, 0xdf};
    uint8_t bytes[64] = {0};
    size_t len;
    for (size_t i = 0; i < sizeof heads; i++) {
        bytes[0] = heads[i];
        for (unsigned top = 1; top < 256; top++) {
            memset(bytes + 1, (int)top, 4);
            ck_assert_int_eq(scan(bytes, sizeof bytes, &len), TROUPE_TRUNCATED);
        }
    }
}
END_TEST

static void fill_nested(uint8_t *p, size_t levels) {
    memset(p, 0x91, levels);
    p[levels] = 0xc0;
}

START_TEST(depth_is_limited) {
    uint8_t bytes[1 << 16];
    size_t len;
    fill_nested(bytes, TRP_PACK_DEPTH);
    ck_assert_int_eq(scan(bytes, TRP_PACK_DEPTH + 1, &len), TROUPE_OK);
    fill_nested(bytes, TRP_PACK_DEPTH + 1);
    ck_assert_int_eq(scan(bytes, TRP_PACK_DEPTH + 2, &len), TROUPE_TOO_DEEP);
    bytes[TRP_PACK_DEPTH] = 0x90; /* an empty array is a level too */
    ck_assert_int_eq(scan(bytes, TRP_PACK_DEPTH + 1, &len), TROUPE_TOO_DEEP);
    bytes[TRP_PACK_DEPTH - 1] = 0x80;
    ck_assert_int_eq(scan(bytes, TRP_PACK_DEPTH, &len), TROUPE_OK);
    memset(bytes, 0x91, sizeof bytes);
    ck_assert_int_eq(scan(bytes, sizeof bytes, &len), TROUPE_TOO_DEEP);
    memset(bytes, 0x81, sizeof bytes);
    ck_assert_int_eq(scan(bytes, sizeof bytes, &len), TROUPE_TOO_DEEP);
}
END_TEST

START_TEST(a_caller_may_ask_for_less_depth_never_for_more) {
    uint8_t bytes[64];
    size_t len;
    for (uint32_t limit = 1; limit < 40; limit++) {
        struct trp_pack_limits lim = {.depth = limit};
        uint32_t most = limit < TRP_PACK_DEPTH ? limit : TRP_PACK_DEPTH;
        fill_nested(bytes, most);
        ck_assert_int_eq(trp_pack_scan(bytes, most + 1, &lim, &len), TROUPE_OK);
        fill_nested(bytes, most + 1);
        ck_assert_int_eq(trp_pack_scan(bytes, most + 2, &lim, &len), TROUPE_TOO_DEEP);
    }
}
END_TEST

START_TEST(elements_are_limited) {
    static uint8_t bytes[(1 << 20) + 16];
    struct trp_pack_limits five = {.elements = 5};
    size_t len;
    ck_assert_int_eq(trp_pack_scan((const uint8_t *)"\x94\x01\x02\x03\x04", 5, &five, &len), TROUPE_OK);
    ck_assert_int_eq(trp_pack_scan((const uint8_t *)"\x95\x01\x02\x03\x04\x05", 6, &five, &len), TROUPE_TOO_BIG);
    ck_assert_int_eq(trp_pack_scan((const uint8_t *)"\x92\x92\x01\x02\x91\x03", 6, &five, &len), TROUPE_TOO_BIG);
    ck_assert_int_eq(trp_pack_scan((const uint8_t *)"\x82\x01\x02\x03\x04", 5, &five, &len), TROUPE_OK);
    memcpy(bytes, "\xdd\x00\x0f\xff\xff", 5); /* with the array itself 1 << 20 */
    ck_assert_int_eq(trp_pack_scan(bytes, sizeof bytes, NULL, &len), TROUPE_OK);
    memcpy(bytes, "\xdd\x00\x10\x00\x00", 5);
    ck_assert_int_eq(trp_pack_scan(bytes, sizeof bytes, NULL, &len), TROUPE_TOO_BIG);
}
END_TEST

START_TEST(what_follows_a_value_is_not_its_business) {
    size_t len;
    ck_assert_int_eq(scan("\x92\x01\x02\xc1\xc1", 5, &len), TROUPE_OK);
    ck_assert_uint_eq(len, 3);
    ck_assert_int_eq(scan("\x92\x01\xc1", 3, &len), TROUPE_PROTOCOL);
}
END_TEST

/* --- integers, both ways --- */

static const struct {
    int64_t v;
    size_t size;
} ints[] = {
    {0, 1},        {1, 1},          {127, 1},       {128, 2},       {255, 2},       {256, 3},           {65535, 3},
    {65536, 5},    {UINT32_MAX, 5}, {1LL << 32, 9}, {INT64_MAX, 9}, {-1, 1},        {-32, 1},           {-33, 2},
    {INT8_MIN, 2}, {-129, 3},       {INT16_MIN, 3}, {-32769, 5},    {INT32_MIN, 5}, {-2147483649LL, 9}, {INT64_MIN, 9},
};

START_TEST(integers_take_their_shortest_form) {
    uint8_t bytes[TRP_PACK_MAX_HEAD];
    size_t n = (size_t)(trp_pack_int(bytes, ints[_i].v) - bytes);
    ck_assert_uint_eq(n, ints[_i].size);
    uint8_t *copy = exact(bytes, n);
    const uint8_t *p = copy;
    troupe_value v;
    ck_assert_int_eq(trp_unpack_value(&p, copy + n, &v), TROUPE_OK);
    ck_assert_ptr_eq(p, copy + n);
    ck_assert_int_eq(v.kind, TROUPE_INT);
    ck_assert_int_eq(v.i, ints[_i].v);
    uint64_t u = 7;
    p = copy;
    ck_assert(trp_unpack_uint(&p, copy + n, &u) == (ints[_i].v >= 0));
    ck_assert(p == (ints[_i].v >= 0 ? copy + n : copy));
    ck_assert_uint_eq(u, ints[_i].v >= 0 ? (uint64_t)ints[_i].v : 7);
    free(copy);
}
END_TEST

START_TEST(unsigned_integers_of_any_width) {
    static const struct {
        const char *bytes;
        size_t n;
        uint64_t v;
    } rows[] = {
        {"\xcc\x07", 2, 7},
        {"\xcd\x00\x07", 3, 7},
        {"\xce\x00\x00\x00\x07", 5, 7},
        {"\xcf\x00\x00\x00\x00\x00\x00\x00\x07", 9, 7},
        {"\xd0\x7f", 2, 127},
        {"\xd1\x7f\xff", 3, 32767},
        {"\xd2\x7f\xff\xff\xff", 5, 2147483647},
        {"\xd3\x7f\xff\xff\xff\xff\xff\xff\xff", 9, INT64_MAX},
        {"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t n = 0; n <= rows[i].n; n++) {
            uint8_t *copy = exact(rows[i].bytes, n);
            const uint8_t *p = copy;
            uint64_t v = 0;
            ck_assert(trp_unpack_uint(&p, copy + n, &v) == (n == rows[i].n));
            ck_assert(p == (n == rows[i].n ? copy + n : copy));
            ck_assert_uint_eq(v, n == rows[i].n ? rows[i].v : 0);
            free(copy);
        }
    }
}
END_TEST

START_TEST(a_reader_takes_its_own_type_only) {
    for (unsigned first = 0; first < 256; first++) {
        uint8_t bytes[64] = {(uint8_t)first};
        const uint8_t *p = bytes, *end = bytes + sizeof bytes;
        uint64_t u;
        uint32_t n;
        struct trp_slice s;
        bool is_uint = first < 0x80 || (first >= 0xcc && first <= 0xd3);
        bool is_str = (first >= 0xa0 && first < 0xc0) || (first >= 0xd9 && first <= 0xdb);
        bool is_array = (first >= 0x90 && first < 0xa0) || first == 0xdc || first == 0xdd;
        bool is_map = (first >= 0x80 && first < 0x90) || first == 0xde || first == 0xdf;
        ck_assert(trp_unpack_uint(&p, end, &u) == is_uint && (p != bytes) == is_uint);
        p = bytes;
        ck_assert(trp_unpack_str(&p, end, &s) == is_str && (p != bytes) == is_str);
        p = bytes;
        ck_assert(trp_unpack_array(&p, end, &n) == is_array && (p != bytes) == is_array);
        p = bytes;
        ck_assert(trp_unpack_map(&p, end, &n) == is_map && (p != bytes) == is_map);
        p = bytes;
        ck_assert(trp_unpack_nil(&p, end) == (first == 0xc0) && (p != bytes) == (first == 0xc0));
        p = end;
        ck_assert(!trp_unpack_uint(&p, end, &u) && !trp_unpack_str(&p, end, &s) && !trp_unpack_nil(&p, end));
        ck_assert(!trp_unpack_array(&p, end, &n) && !trp_unpack_map(&p, end, &n) && p == end);
    }
}
END_TEST

START_TEST(a_count_that_cannot_be_is_refused) {
    static const struct {
        const char *bytes;
        size_t n;
        bool map, good;
    } rows[] = {
        {"\x92\x01\x02", 3, false, true},
        {"\x92\x01", 2, false, false},
        {"\xdc\x00\x01\x01", 4, false, true},
        {"\xdc\x00\x02\x01", 4, false, false},
        {"\xdd\xff\xff\xff\xff\x01", 6, false, false},
        {"\x81\x01\x02", 3, true, true},
        {"\x81\x01", 2, true, false},
        {"\xde\x00\x01\x01", 4, true, false},
        {"\xdf\x80\x00\x00\x00\x01\x02", 7, true, false},
        {"\xdf\x00\x00\x00\x01\x01\x02", 7, true, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t *copy = exact(rows[i].bytes, rows[i].n);
        const uint8_t *p = copy, *end = copy + rows[i].n;
        uint32_t n;
        ck_assert((rows[i].map ? trp_unpack_map : trp_unpack_array)(&p, end, &n) == rows[i].good);
        free(copy);
    }
}
END_TEST

/* --- heads --- */

START_TEST(heads_at_both_ends_of_their_widths) {
    static const struct {
        uint32_t n;
        size_t array, map, str, bin;
    } rows[] = {
        {0, 1, 1, 1, 2},   {15, 1, 1, 1, 2},  {16, 3, 3, 1, 2},    {31, 3, 3, 1, 2},    {32, 3, 3, 2, 2},
        {255, 3, 3, 2, 2}, {256, 3, 3, 3, 3}, {65535, 3, 3, 3, 3}, {65536, 5, 5, 5, 5}, {UINT32_MAX, 5, 5, 5, 5},
    };
    uint8_t b[TRP_PACK_MAX_HEAD];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert_uint_eq((size_t)(trp_pack_array(b, rows[i].n) - b), rows[i].array);
        ck_assert_uint_eq((size_t)(trp_pack_map(b, rows[i].n) - b), rows[i].map);
        ck_assert_uint_eq((size_t)(trp_pack_str_head(b, rows[i].n) - b), rows[i].str);
        ck_assert_uint_eq((size_t)(trp_pack_bin_head(b, rows[i].n) - b), rows[i].bin);
    }
}
END_TEST

/* --- values --- */

static bool value_eq(troupe_value a, troupe_value b) {
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case TROUPE_NIL:
        return true;
    case TROUPE_BOOL:
        return a.b == b.b;
    case TROUPE_INT:
        return a.i == b.i;
    case TROUPE_UINT:
        return a.u == b.u;
    case TROUPE_REAL:
        return memcmp(&a.r, &b.r, sizeof a.r) == 0;
    default:
        return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
    }
}

static void round_trip(troupe_value v) {
    struct trp_buf b = {0};
    ck_assert_int_eq(trp_buf_put(&b, "before", 6), TROUPE_OK);
    ck_assert_int_eq(trp_pack_value(&b, v), TROUPE_OK);
    uint8_t *copy = exact(b.p + 6, b.n - 6);
    const uint8_t *p = copy, *end = copy + b.n - 6;
    troupe_value back;
    ck_assert_int_eq(trp_unpack_value(&p, end, &back), TROUPE_OK);
    ck_assert_ptr_eq(p, end);
    ck_assert_int_eq(back.kind, v.kind);
    ck_assert(value_eq(back, v));
    for (const uint8_t *cut = copy; cut < end; cut++) {
        p = copy;
        ck_assert_int_eq(trp_unpack_value(&p, cut, &back), TROUPE_TRUNCATED);
        ck_assert_ptr_eq(p, copy);
    }
    free(copy);
    trp_buf_fini(&b);
}

START_TEST(values_come_back_as_they_were) {
    static char bytes[70000];
    round_trip(troupe_nil());
    round_trip(troupe_bool(true));
    round_trip(troupe_bool(false));
    round_trip(troupe_uint((uint64_t)INT64_MAX + 1));
    round_trip(troupe_uint(UINT64_MAX));
    static const double reals[] = {0.0, -0.0, 0.1, -1.5, DBL_MAX, DBL_MIN, DBL_TRUE_MIN, INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        round_trip(troupe_real(reals[i]));
    static const size_t lengths[] = {0, 1, 31, 32, 255, 256, 300};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        round_trip(troupe_textn(bytes, lengths[i]));
        round_trip(troupe_bytes(bytes, lengths[i]));
    }
    round_trip(troupe_text(NULL));
    round_trip(troupe_bytes(NULL, 0));
    round_trip(troupe_packed("\x92\x01\x81\xa1k\x02", 6));
    round_trip(troupe_packed("\xd4\x05\x00", 3));
    round_trip(troupe_packed("\x90", 1));
}
END_TEST

START_TEST(long_values_come_back_too) {
    static const size_t lengths[] = {65535, 65536, 1 << 20};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char *bytes = calloc(1, lengths[i]);
        struct trp_buf b = {0};
        troupe_value v = _i ? troupe_bytes(bytes, lengths[i]) : troupe_textn(bytes, lengths[i]), back;
        ck_assert_int_eq(trp_pack_value(&b, v), TROUPE_OK);
        const uint8_t *p = b.p;
        ck_assert_int_eq(trp_unpack_value(&p, b.p + b.n, &back), TROUPE_OK);
        ck_assert(value_eq(back, v));
        trp_buf_fini(&b);
        free(bytes);
    }
}
END_TEST

START_TEST(a_small_unsigned_value_is_an_integer_on_the_way_back) {
    uint8_t bytes[TRP_PACK_MAX_HEAD];
    const uint8_t *p = bytes;
    troupe_value v;
    uint8_t *end = trp_pack_checked(bytes, troupe_uint(300));
    ck_assert_int_eq(trp_unpack_value(&p, end, &v), TROUPE_OK);
    ck_assert(value_eq(v, troupe_int(300)));
}
END_TEST

START_TEST(a_float_is_a_real) {
    const uint8_t bytes[] = {0xca, 0xbf, 0xc0, 0x00, 0x00}, *p = bytes;
    troupe_value v;
    ck_assert_int_eq(trp_unpack_value(&p, bytes + sizeof bytes, &v), TROUPE_OK);
    ck_assert(value_eq(v, troupe_real(-1.5)));
}
END_TEST

static void refused(troupe_value v, troupe_status want) {
    struct trp_buf b = {0};
    ck_assert_int_eq(trp_buf_put(&b, "kept", 4), TROUPE_OK);
    ck_assert_int_eq(trp_pack_value(&b, v), want);
    ck_assert_uint_eq(b.n, 4);
    trp_buf_fini(&b);
}

START_TEST(bad_values_are_refused) {
    uint8_t deep[64];
    fill_nested(deep, TRP_PACK_DEPTH + 1);
    refused(troupe_packed("", 0), TROUPE_INVALID);
    refused(troupe_packed(NULL, 0), TROUPE_INVALID);
    refused(troupe_packed("\x92\x01", 2), TROUPE_INVALID);
    refused(troupe_packed("\x91\x01\x02", 3), TROUPE_INVALID);
    refused(troupe_packed("\xc1", 1), TROUPE_INVALID);
    refused(troupe_packed(deep, TRP_PACK_DEPTH + 2), TROUPE_TOO_DEEP);
    refused(troupe_textn(NULL, 5), TROUPE_INVALID);
    refused((troupe_value){.kind = (troupe_value_kind)99}, TROUPE_INVALID);
    refused(troupe_textn("x", (size_t)UINT32_MAX + 1), TROUPE_TOO_BIG);
    refused(troupe_bytes("x", (size_t)UINT32_MAX + 1), TROUPE_TOO_BIG);
}
END_TEST

START_TEST(no_memory_leaves_the_buffer_as_it_was) {
    struct trp_buf b = {0};
    faults_fail_at(1);
    ck_assert_int_eq(trp_pack_value(&b, troupe_text("x")), TROUPE_NO_MEMORY);
    ck_assert_uint_eq(b.n, 0);
    faults_off();
    ck_assert_int_eq(trp_pack_value(&b, troupe_text("x")), TROUPE_OK);
    trp_buf_fini(&b);
}
END_TEST

int main(void) {
    const TTest *const scans[] = {every_first_byte,
                                  every_pair_of_first_bytes,
                                  lies_about_lengths,
                                  depth_is_limited,
                                  a_caller_may_ask_for_less_depth_never_for_more,
                                  elements_are_limited,
                                  what_follows_a_value_is_not_its_business};
    const TTest *const readers[] = {unsigned_integers_of_any_width, a_reader_takes_its_own_type_only,
                                    a_count_that_cannot_be_is_refused, heads_at_both_ends_of_their_widths};
    const TTest *const values[] = {values_come_back_as_they_were, a_small_unsigned_value_is_an_integer_on_the_way_back,
                                   a_float_is_a_real, bad_values_are_refused, no_memory_leaves_the_buffer_as_it_was};
    Suite *s = suite_create("pack");
    TCase *c = run_case(s, "scan", scans, sizeof scans / sizeof *scans);
    tcase_add_loop_test(c, a_prefix_is_truncated, 0, sizeof wholes / sizeof *wholes);
    tcase_add_loop_test(c, flipped_bits_harm_nobody, 0, sizeof wholes / sizeof *wholes);
    c = run_case(s, "readers and heads", readers, sizeof readers / sizeof *readers);
    tcase_add_loop_test(c, integers_take_their_shortest_form, 0, sizeof ints / sizeof *ints);
    c = run_case(s, "values", values, sizeof values / sizeof *values);
    tcase_add_loop_test(c, long_values_come_back_too, 0, 2);
    return run_suite(s);
}
