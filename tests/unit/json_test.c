/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * msgpack as JSON and back: a row each, and what peers may send that JSON has no words for. */
#include "transports/json.h"

#include <locale.h>
#include <stdio.h>

#include "tests/support/faults.h"
#include "tests/support/run.h"

static const char *to_json(const void *p, size_t n, char *out, size_t cap) {
    struct trp_buf b = {0};
    uint8_t *copy = malloc(n ? n : 1);
    if (n)
        memcpy(copy, p, n);
    ck_assert_int_eq(trp_json_from_pack(&b, copy, n), TROUPE_OK);
    free(copy);
    ck_assert(trp_utf8_valid(b.p, b.n));
    ck_assert_uint_lt(b.n, cap);
    memcpy(out, b.p, b.n);
    out[b.n] = '\0';
    trp_buf_fini(&b);
    return out;
}

struct row {
    const char *pack;
    size_t n;
    const char *json;
};
#define R(pack, json)                                                                                                          \
    { pack, sizeof pack - 1, json }

/* Both ways. */
static const struct row twins[] = {
    R("\xc0", "null"),
    R("\xc3", "true"),
    R("\xc2", "false"),
    R("\x00", "0"),
    R("\x1e", "30"),
    R("\xff", "-1"),
    R("\xcf\x00\x00\x00\x01\x00\x00\x00\x00", "4294967296"),
    R("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", "9223372036854775807"),
    R("\xd3\x80\x00\x00\x00\x00\x00\x00\x00", "-9223372036854775808"),
    R("\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", "1.0"),
    R("\xcb\x80\x00\x00\x00\x00\x00\x00\x00", "-0.0"),
    R("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a", "0.1"),
    R("\xcb\x3f\xd3\x33\x33\x33\x33\x33\x34", "0.30000000000000004"),
    R("\xcb\x7f\xef\xff\xff\xff\xff\xff\xff", "1.7976931348623157e+308"),
    R("\xcb\x00\x00\x00\x00\x00\x00\x00\x01", "4.94065645841247e-324"),
    R("\xa0", "\"\""),
    R("\xa5hello", "\"hello\""),
    R("\xa8\"\\\n\r\t\b\f\x01", "\"\\\"\\\\\\n\\r\\t\\b\\f\\u0001\""),
    R("\xa1\x00", "\"\\u0000\""),
    R("\xa1\x7f", "\"\\u007f\""),
    R("\xa2\xc2\x9b", "\"\\u009b\""),
    R("\xa2\xc2\xa0", "\"\xc2\xa0\""),
    R("\xa9\xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\xad", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\xad\""),
    R("\x90", "[]"),
    R("\x80", "{}"),
    R("\x93\x01\x92\x02\x03\xa1x", "[1,[2,3],\"x\"]"),
    R("\x82\xa1"
      "b\x01\xa1"
      "a\x81\xa1"
      "c\x91\xc0",
      "{\"b\":1,\"a\":{\"c\":[null]}}"),
};

START_TEST(rows_both_ways) {
    char text[256];
    const struct row *r = &twins[_i];
    const char *why = "";
    struct trp_buf b = {0};
    ck_assert_str_eq(to_json(r->pack, r->n, text, sizeof text), r->json);
    ck_assert_msg(trp_json_to_pack(&b, r->json, strlen(r->json), &why) == TROUPE_OK, "%s", why);
    ck_assert(trp_slice_eq((struct trp_slice){b.p, b.n}, (struct trp_slice){(const uint8_t *)r->pack, r->n}));
    trp_buf_fini(&b);
}
END_TEST

/* Only from msgpack. */
static const struct row one_way[] = {
    R("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"),
    R("\xca\x3d\xcc\xcc\xcd", "0.1"),
    R("\xca\x41\x20\x00\x00", "10.0"),
    R("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "null"),
    R("\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", "null"),
    R("\xca\xff\x80\x00\x00", "null"),
    R("\xc4\x00", "\"base64:\""),
    R("\xc4\x01"
      "f",
      "\"base64:Zg==\""),
    R("\xc4\x02"
      "fo",
      "\"base64:Zm8=\""),
    R("\xc4\x03"
      "foo",
      "\"base64:Zm9v\""),
    R("\xc4\x04\xff\xff\xfe\x00", "\"base64://"
                                  "/+AA==\""),
    R("\xd4\x05\x66", "{\"ext\":5,\"data\":\"base64:Zg==\"}"),
    R("\xd6\xff\x00\x00\x00\x00", "{\"ext\":-1,\"data\":\"base64:AAAAAA==\"}"),
    R("\xc7\x01\x80"
      "f",
      "{\"ext\":-128,\"data\":\"base64:Zg==\"}"),
    R("\xc8\x00\x00\x01", "{\"ext\":1,\"data\":\"base64:\"}"),
    R("\xc9\x00\x00\x00\x01\x01"
      "f",
      "{\"ext\":1,\"data\":\"base64:Zg==\"}"),
    R("\xa1\xff", "\"\xef\xbf\xbd\""),
    R("\xa4"
      "a\xc3\x28z",
      "\"a\xef\xbf\xbd(z\""),
    R("\xa3\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""),
    R("\xa2\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\""),
    R("\xa2\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""),
    R("\x84\x01\x02\xc0\x03\xc3\x04\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\x05", "{\"1\":2,\"null\":3,\"true\":4,\"1.5\":5}"),
    R("\x82\xa1k\x01\xa1k\x02", "{\"k\":1,\"k\":2}"),
    R("\x81\xc4\x01"
      "f\x01",
      "{\"base64:Zg==\":1}"),
    R("\x81\x92\x01\xa1\"\x02", "{\"[1,\\\"\\\\\\\"\\\"]\":2}"),
    R("\x81\x81\x01\xa1x\x02", "{\"{\\\"1\\\":\\\"x\\\"}\":2}"),
    R("\x81\x81\x81\x01\x02\x03\x04", "{\"{\\\"base64:gQEC\\\":3}\":4}"),
    R("\x81\xd4\x05\x66\x01", "{\"{\\\"ext\\\":5,\\\"data\\\":\\\"base64:Zg==\\\"}\":1}"),
    R("\x81\x91\xa2\n\xff\x01", "{\"[\\\"\\\\n\xef\xbf\xbd\\\"]\":1}"),
};

START_TEST(rows_from_msgpack_only) {
    char text[256];
    ck_assert_str_eq(to_json(one_way[_i].pack, one_way[_i].n, text, sizeof text), one_way[_i].json);
}
END_TEST

/* Only from JSON. */
static const struct row forgiving[] = {
    R("\x01", "  1 \n"),
    R("\x92\x01\x02", "[ 1 ,\t2 ]"),
    R("\xa1\x41", "\"\\u0041\""),
    R("\xa4\xf0\x9f\x8e\xad", "\"\\ud83c\\udfad\""),
    R("\xcb\x40\x59\x00\x00\x00\x00\x00\x00", "1e2"),
};

START_TEST(rows_from_json_only) {
    struct trp_buf b = {0};
    const char *why = "";
    const struct row *r = &forgiving[_i];
    ck_assert_int_eq(trp_json_to_pack(&b, r->json, strlen(r->json), &why), TROUPE_OK);
    ck_assert(trp_slice_eq((struct trp_slice){b.p, b.n}, (struct trp_slice){(const uint8_t *)r->pack, r->n}));
    trp_buf_fini(&b);
}
END_TEST

static const char *const no_json[][2] = {
    {"", "no JSON"},
    {" ", "no JSON"},
    {"abc", "line 1"},
    {"[1,", "line 1"},
    {"[1,\n2}", "line 2"},
    {"1 2", "no JSON"},
    {"{\"a\":1,\"a\":2}", "duplicate"},
    {"{1:2}", "no JSON"},
    {"'x'", "no JSON"},
    {"NaN", "no JSON"},
    {"01", "no JSON"},
    {"\"\xff\"", "decode"},
    {"\"\\ud800\"", "no JSON"},
    {"18446744073709551615", "2^63"},
    {"-9223372036854775809", "2^63"},
    {"1e999", "overflow"},
};

START_TEST(what_is_no_json_is_said_so) {
    struct trp_buf b = {0};
    const char *why = NULL;
    ck_assert_int_eq(trp_buf_put(&b, "kept", 4), TROUPE_OK);
    ck_assert_int_eq(trp_json_to_pack(&b, no_json[_i][0], strlen(no_json[_i][0]), &why), TROUPE_INVALID);
    ck_assert_msg(why && strstr(why, no_json[_i][1]), "%s", why);
    ck_assert_uint_eq(b.n, 4);
    trp_buf_fini(&b);
}
END_TEST

START_TEST(depth_is_limited_both_ways) {
    char text[256] = "";
    uint8_t pack[64];
    struct trp_buf b = {0};
    const char *why = NULL;
    memset(text, '[', TRP_PACK_DEPTH);
    memset(text + TRP_PACK_DEPTH, ']', TRP_PACK_DEPTH);
    ck_assert_int_eq(trp_json_to_pack(&b, text, 2 * TRP_PACK_DEPTH, &why), TROUPE_OK);
    ck_assert_uint_eq(b.n, TRP_PACK_DEPTH);
    b.n = 0;
    memset(text, '[', TRP_PACK_DEPTH + 1);
    memset(text + TRP_PACK_DEPTH + 1, ']', TRP_PACK_DEPTH + 1);
    ck_assert_int_eq(trp_json_to_pack(&b, text, 2 * TRP_PACK_DEPTH + 2, &why), TROUPE_TOO_DEEP);
    ck_assert_ptr_nonnull(strstr(why, "deeper"));
    ck_assert_uint_eq(b.n, 0);
    memset(pack, 0x91, sizeof pack);
    ck_assert_int_eq(trp_json_from_pack(&b, pack, sizeof pack), TROUPE_TOO_DEEP);
    trp_buf_fini(&b);
}
END_TEST

START_TEST(only_one_whole_value_is_printed) {
    struct trp_buf b = {0};
    ck_assert_int_eq(trp_json_from_pack(&b, NULL, 0), TROUPE_TRUNCATED);
    ck_assert_int_eq(trp_json_from_pack(&b, (const uint8_t *)"\x01\x02", 2), TROUPE_PROTOCOL);
    ck_assert_int_eq(trp_json_from_pack(&b, (const uint8_t *)"\x92\x02", 2), TROUPE_TRUNCATED);
    ck_assert_int_eq(trp_json_from_pack(&b, (const uint8_t *)"\xc1", 1), TROUPE_PROTOCOL);
    ck_assert_uint_eq(b.n, 0);
    trp_buf_fini(&b);
}
END_TEST

/* Keys inside keys inside keys: the backslashes must not double with each level. */
START_TEST(nested_keys_do_not_explode) {
    struct trp_buf b = {0};
    uint8_t pack[2 * TRP_PACK_DEPTH + 2];
    memset(pack, 0x81, TRP_PACK_DEPTH);
    memset(pack + TRP_PACK_DEPTH, 0x01, TRP_PACK_DEPTH + 1);
    ck_assert_int_eq(trp_json_from_pack(&b, pack, 2 * TRP_PACK_DEPTH + 1), TROUPE_OK);
    ck_assert_uint_lt(b.n, 16 * sizeof pack);
    trp_buf_fini(&b);
}
END_TEST

/* Bytes of any kind, cut at any place: no more than a fault, and what is printed is one line of UTF-8. */
START_TEST(broken_bytes_harm_nobody) {
    const struct row *r = &one_way[_i];
    for (size_t i = 0; i < r->n * 256; i++) {
        struct trp_buf b = {0};
        uint8_t *copy = malloc(r->n);
        memcpy(copy, r->pack, r->n);
        copy[i / 256] = (uint8_t)i;
        bool good = trp_json_from_pack(&b, copy, r->n) == TROUPE_OK;
        if (good ? !trp_utf8_valid(b.p, b.n) || memchr(b.p, '\n', b.n) : b.n != 0)
            ck_abort_msg("byte %zu as %02x", i / 256, (unsigned)copy[i / 256]);
        trp_buf_fini(&b);
        free(copy);
    }
}
END_TEST

START_TEST(without_memory_nothing_is_written) {
    static const char text[] = "{\"a\":[1,2.5,true,null,\"a long string that makes the buffer grow once more, and more\"]}";
    struct trp_buf pack = {0}, json = {0};
    const char *why;
    troupe_status st;
    for (long n = 1;; n++) {
        faults_fail_at(n);
        st = trp_json_to_pack(&pack, text, sizeof text - 1, &why);
        faults_off();
        if (st == TROUPE_OK)
            break;
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
        ck_assert_uint_eq(pack.n, 0);
        trp_buf_fini(&pack);
        ck_assert_int_lt(n, 100);
    }
    for (long n = 1;; n++) {
        faults_fail_at(n);
        st = trp_json_from_pack(&json, pack.p, pack.n);
        faults_off();
        if (st == TROUPE_OK)
            break;
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
        ck_assert_uint_eq(json.n, 0);
        trp_buf_fini(&json);
        ck_assert_int_lt(n, 100);
    }
    ck_assert(trp_slice_eq((struct trp_slice){json.p, json.n}, trp_slice_str(text)));
    trp_buf_fini(&pack);
    trp_buf_fini(&json);
}
END_TEST

START_TEST(a_locale_changes_nothing) {
    char text[64];
    if (!setlocale(LC_ALL, "de_DE.UTF-8") && !setlocale(LC_ALL, "fr_FR.UTF-8"))
        return; /* no such locale on this machine */
    ck_assert_str_eq(to_json("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a", 9, text, sizeof text), "0.1");
}
END_TEST

/* --- UTF-8 --- */

/* The definition, slow and by itself: decode, then look at what came out. */
static bool utf8_by_the_book(const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n;) {
        size_t len = p[i] < 0x80 ? 1 : (p[i] & 0xe0) == 0xc0 ? 2 : (p[i] & 0xf0) == 0xe0 ? 3 : (p[i] & 0xf8) == 0xf0 ? 4 : 0;
        if (len == 0 || len > n - i)
            return false;
        uint32_t c = len == 1 ? p[i] : p[i] & (0xffu >> (len + 1));
        for (size_t k = 1; k < len; k++) {
            if ((p[i + k] & 0xc0) != 0x80)
                return false;
            c = c << 6 | (p[i + k] & 0x3f);
        }
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
            return false;
        i += len;
    }
    return true;
}

START_TEST(utf8_of_up_to_three_bytes_by_the_book) {
    for (uint32_t v = 0; v < 1u << 24; v++) {
        const uint8_t bytes[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
        /* Each ck_assert that holds costs a write(2). */
        if (trp_utf8_valid(bytes, 3) != utf8_by_the_book(bytes, 3))
            ck_abort_msg("%02x %02x %02x", bytes[0], bytes[1], bytes[2]);
    }
    for (uint32_t v = 0; v < 1u << 16; v++) {
        const uint8_t bytes[2] = {(uint8_t)(v >> 8), (uint8_t)v};
        if (trp_utf8_valid(bytes, 2) != utf8_by_the_book(bytes, 2) || trp_utf8_valid(bytes, 1) != utf8_by_the_book(bytes, 1))
            ck_abort_msg("%02x %02x", bytes[0], bytes[1]);
    }
    ck_assert(trp_utf8_valid(NULL, 0));
}
END_TEST

START_TEST(utf8_of_four_bytes_by_the_book) {
    static const uint8_t edges[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff};
    enum { N = sizeof edges };
    for (unsigned first = 0xe0; first < 256; first++) {
        for (unsigned i = 0; i < N * N * N; i++) {
            const uint8_t bytes[4] = {(uint8_t)first, edges[i / N / N], edges[i / N % N], edges[i % N]};
            if (trp_utf8_valid(bytes, 4) != utf8_by_the_book(bytes, 4))
                ck_abort_msg("%02x %02x %02x %02x", bytes[0], bytes[1], bytes[2], bytes[3]);
        }
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = {depth_is_limited_both_ways,    only_one_whole_value_is_printed,
                                  nested_keys_do_not_explode,    without_memory_nothing_is_written,
                                  a_locale_changes_nothing,      utf8_of_up_to_three_bytes_by_the_book,
                                  utf8_of_four_bytes_by_the_book};
    Suite *s = suite_create("json");
    TCase *c = run_case(s, "json", tests, sizeof tests / sizeof *tests);
    tcase_set_timeout(c, 60); /* the exhaustive ones, under sanitizers */
    tcase_add_loop_test(c, rows_both_ways, 0, sizeof twins / sizeof *twins);
    tcase_add_loop_test(c, rows_from_msgpack_only, 0, sizeof one_way / sizeof *one_way);
    tcase_add_loop_test(c, rows_from_json_only, 0, sizeof forgiving / sizeof *forgiving);
    tcase_add_loop_test(c, what_is_no_json_is_said_so, 0, sizeof no_json / sizeof *no_json);
    tcase_add_loop_test(c, broken_bytes_harm_nobody, 0, sizeof one_way / sizeof *one_way);
    return run_suite(s);
}
