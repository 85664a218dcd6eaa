/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "broker/crc32c.h"

#include <string.h>

#include "tests/support/run.h"

enum { SIZE = 300 };

static void fill(uint8_t *p, size_t n) {
    uint32_t x = 1;
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)((x = x * 1103515245u + 12345u) >> 16);
}

START_TEST(it_is_the_castagnoli_crc) {
    uint8_t bytes[32];
    ck_assert_uint_eq(trp_crc32c(0, "", 0), 0);
    ck_assert_uint_eq(trp_crc32c(0, "123456789", 9), 0xe3069283);
    /* RFC 3720, B.4 */
    memset(bytes, 0, sizeof bytes);
    ck_assert_uint_eq(trp_crc32c(0, bytes, sizeof bytes), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    ck_assert_uint_eq(trp_crc32c(0, bytes, sizeof bytes), 0x62a8ab43);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    ck_assert_uint_eq(trp_crc32c(0, bytes, sizeof bytes), 0x46dd794e);
}
END_TEST

START_TEST(the_tables_agree_with_the_instruction) {
    uint8_t bytes[SIZE];
    fill(bytes, sizeof bytes);
    for (size_t from = 0; from < 9; from++)
        for (size_t n = 0; from + n <= sizeof bytes; n++)
            ck_assert_uint_eq(trp_crc32c(0, bytes + from, n), trp_crc32c_tables(0, bytes + from, n));
}
END_TEST

START_TEST(pieces_give_what_the_whole_gives) {
    uint8_t bytes[SIZE];
    fill(bytes, sizeof bytes);
    for (size_t cut = 0; cut <= sizeof bytes; cut++) {
        uint32_t whole = trp_crc32c(0, bytes, sizeof bytes);
        ck_assert_uint_eq(trp_crc32c(trp_crc32c(0, bytes, cut), bytes + cut, sizeof bytes - cut), whole);
        ck_assert_uint_eq(trp_crc32c_tables(trp_crc32c_tables(0, bytes, cut), bytes + cut, sizeof bytes - cut), whole);
    }
}
END_TEST

START_TEST(every_bit_counts) {
    uint8_t bytes[SIZE];
    fill(bytes, sizeof bytes);
    uint32_t whole = trp_crc32c(0, bytes, sizeof bytes);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_uint_ne(trp_crc32c(0, bytes, sizeof bytes), whole);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = {it_is_the_castagnoli_crc, the_tables_agree_with_the_instruction,
                                  pieces_give_what_the_whole_gives, every_bit_counts};
    Suite *s = suite_create("crc32c");
    run_case(s, "crc32c", tests, sizeof tests / sizeof *tests);
    return run_suite(s);
}
