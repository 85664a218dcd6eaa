/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Lines: cut anywhere, whatever the framing, the same lines come out; and what a line means. */
#include "broker/lines.h"
#include "tests/support/run.h"
#include <stdlib.h>

/* Feeds text in reads of `step` bytes and writes what comes out: "[line]" or "!" for one that is too long. */
static void feed(struct trp_lines *l, const char *text, size_t n, size_t step, char *out, size_t cap) {
    size_t at = 0;
    out[0] = 0;
    for (size_t from = 0; from < n; from += step) {
        const uint8_t *p = (const uint8_t *)text + from, *end = p + (n - from < step ? n - from : step);
        for (;;) {
            enum trp_lines_event ev;
            struct trp_slice line;
            ck_assert_int_eq(trp_lines_next(l, &p, end, true, &ev, &line), TROUPE_OK);
            if (ev == TRP_LINES_MORE)
                break;
            if (ev == TRP_LINES_LINE)
                at += (size_t)snprintf(out + at, cap - at, "[%.*s]", (int)line.n, (const char *)line.p);
            else
                at += (size_t)snprintf(out + at, cap - at, "!");
        }
        ck_assert_ptr_eq(p, end);
    }
}

static void check_lines(const char *text, size_t max, bool chunk, size_t step, const char *want) {
    struct trp_lines l;
    char out[512];
    trp_lines_init(&l, max, chunk);
    feed(&l, text, strlen(text), step, out, sizeof out);
    ck_assert_str_eq(out, want);
    trp_lines_fini(&l);
}

START_TEST(cut_anywhere) {
    for (size_t step = 1; step < 40; step++)
        check_lines("1\n22\r\n\n333\nabcdefgh\nabcdefghi\n4\npart", 8, false, step, "[1][22][][333][abcdefgh]![4]");
}
END_TEST

START_TEST(limit_counts_without_the_end) {
    for (size_t step = 1; step < 12; step++) {
        check_lines("12345678\r\n1\n", 8, false, step, "[12345678][1]");
        check_lines("123456789\n1\n", 8, false, step, "![1]");
        check_lines("123456789\r\n1\n", 8, false, step, "![1]");
    }
}
END_TEST

START_TEST(chunks_need_no_newline) {
    check_lines("30", 8, true, 2, "[30]");
    check_lines("3030", 8, true, 2, "[30][30]");
    check_lines("1\n20\n", 8, true, 5, "[1][20]");
    check_lines("1\n20", 8, true, 4, "[1][20]");
    check_lines("123456789012", 8, true, 12, "!");
}
END_TEST

START_TEST(last_line_without_end) {
    struct trp_lines l;
    char out[64];
    struct trp_slice line;
    trp_lines_init(&l, 8, false);
    feed(&l, "1\n30\r", 5, 5, out, sizeof out);
    ck_assert_str_eq(out, "[1]");
    ck_assert(trp_lines_partial(&l));
    ck_assert(trp_lines_end(&l, &line));
    ck_assert_uint_eq(line.n, 2);
    ck_assert(!trp_lines_end(&l, &line));
    trp_lines_fini(&l);
    trp_lines_init(&l, 8, false);
    ck_assert(!trp_lines_end(&l, &line));
    feed(&l, "1234567890", 10, 10, out, sizeof out);
    ck_assert_str_eq(out, "!");
    ck_assert(!trp_lines_end(&l, &line));
    trp_lines_fini(&l);
}
END_TEST

START_TEST(long_line_takes_no_memory) {
    struct trp_lines l;
    char *big = malloc(1 << 20), out[16];
    memset(big, '7', 1 << 20);
    trp_lines_init(&l, 100, false);
    feed(&l, big, 1 << 20, 4096, out, sizeof out);
    ck_assert_str_eq(out, "!");
    ck_assert_uint_le(l.part.cap, 4096);
    feed(&l, "\n5\n", 3, 3, out, sizeof out);
    ck_assert_str_eq(out, "[5]");
    trp_lines_fini(&l);
    free(big);
}
END_TEST

static struct trp_line parse(const char *s) {
    return trp_line_parse(trp_slice_str(s));
}

START_TEST(integers) {
    static const struct {
        const char *text;
        int64_t i;
    } good[] = {{"30", 30},
                {" 30 ", 30},
                {"\t7", 7},
                {"+7", 7},
                {"-5", -5},
                {"-0", 0},
                {"007", 7},
                {"0", 0},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct trp_line l = parse(good[i].text);
        ck_assert_int_eq(l.kind, TRP_LINE_REQUEST);
        ck_assert_int_eq(l.value.kind, TROUPE_INT);
        ck_assert_int_eq(l.value.i, good[i].i);
    }
    struct trp_line l = parse("18446744073709551615");
    ck_assert_int_eq(l.value.kind, TROUPE_UINT);
    ck_assert(l.value.u == UINT64_MAX);
    ck_assert_int_eq(parse("18446744073709551616").kind, TRP_LINE_BAD);
    ck_assert_int_eq(parse("-9223372036854775809").kind, TRP_LINE_BAD);
    ck_assert_int_eq(parse("99999999999999999999999999999999999999").kind, TRP_LINE_BAD);
}
END_TEST

START_TEST(text) {
    static const char *const texts[] = {"abc", "1_0", "1.5", "+", "-", "3 4", "0x10", "gr\xc3\xbc\xc3\x9f", "a\tb"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct trp_line l = parse(texts[i]);
        ck_assert_int_eq(l.kind, TRP_LINE_REQUEST);
        ck_assert_int_eq(l.value.kind, TROUPE_TEXT);
        ck_assert_uint_eq(l.value.size, strlen(texts[i]));
    }
    ck_assert_int_eq(parse("a\x01").kind, TRP_LINE_BAD);
    ck_assert_int_eq(parse("\xff\xfe").kind, TRP_LINE_BAD);
    ck_assert_int_eq(trp_line_parse((struct trp_slice){(const uint8_t *)"a\0b", 3}).kind, TRP_LINE_BAD);
    ck_assert_int_eq(parse("").kind, TRP_LINE_EMPTY);
    ck_assert_int_eq(parse(" \t ").kind, TRP_LINE_EMPTY);
}
END_TEST

START_TEST(commands) {
    ck_assert_int_eq(parse("/help").kind, TRP_LINE_HELP);
    ck_assert_int_eq(parse(" /quit ").kind, TRP_LINE_QUIT);
    ck_assert_int_eq(parse("/").kind, TRP_LINE_BAD);
    struct trp_line l = parse("/a.b  41 ");
    ck_assert_int_eq(l.kind, TRP_LINE_REQUEST);
    ck_assert(trp_slice_eq(l.topic, trp_slice_str("a.b")));
    ck_assert_int_eq(l.value.i, 41);
    l = parse("/upper hello world");
    ck_assert_int_eq(l.value.kind, TROUPE_TEXT);
    ck_assert_uint_eq(l.value.size, 11);
}
END_TEST

START_TEST(http) {
    ck_assert(trp_line_is_http(trp_slice_str("GET / HTTP/1.1")));
    ck_assert(trp_line_is_http(trp_slice_str("POST /x HTTP/1.1")));
    ck_assert(!trp_line_is_http(trp_slice_str("GETTY")));
    ck_assert(!trp_line_is_http(trp_slice_str("30")));
}
END_TEST

int main(void) {
    Suite *s = suite_create("lines");
    TCase *t = tcase_create("lines");
    tcase_add_test(t, cut_anywhere);
    tcase_add_test(t, limit_counts_without_the_end);
    tcase_add_test(t, chunks_need_no_newline);
    tcase_add_test(t, last_line_without_end);
    tcase_add_test(t, long_line_takes_no_memory);
    tcase_add_test(t, integers);
    tcase_add_test(t, text);
    tcase_add_test(t, commands);
    tcase_add_test(t, http);
    suite_add_tcase(s, t);
    return run_suite(s);
}
