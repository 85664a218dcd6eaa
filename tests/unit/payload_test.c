/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a text that somebody typed becomes. */
#include "clients/cli/payload.h"

#include "tests/support/run.h"

static const struct {
    const char *text;
    troupe_value_kind kind;
    int64_t i;
    uint64_t u;
} texts[] = {
    {"30", TROUPE_INT, 30, 0},
    {"0", TROUPE_INT, 0, 0},
    {"-0", TROUPE_INT, 0, 0},
    {"-7", TROUPE_INT, -7, 0},
    {"+7", TROUPE_INT, 7, 0},
    {"007", TROUPE_INT, 7, 0},
    {"9223372036854775807", TROUPE_INT, INT64_MAX, 0},
    {"-9223372036854775808", TROUPE_INT, INT64_MIN, 0},
    {"9223372036854775808", TROUPE_UINT, 0, (uint64_t)INT64_MAX + 1},
    {"18446744073709551615", TROUPE_UINT, 0, UINT64_MAX},
    {"18446744073709551616", TROUPE_TEXT, 0, 0},
    {"-9223372036854775809", TROUPE_TEXT, 0, 0},
    {"", TROUPE_TEXT, 0, 0},
    {"-", TROUPE_TEXT, 0, 0},
    {"+", TROUPE_TEXT, 0, 0},
    {"--1", TROUPE_TEXT, 0, 0},
    {"1.5", TROUPE_TEXT, 0, 0},
    {" 1", TROUPE_TEXT, 0, 0},
    {"1e3", TROUPE_TEXT, 0, 0},
    {"abc", TROUPE_TEXT, 0, 0},
    {"\xc3\xa4", TROUPE_TEXT, 0, 0},
    {"\xff", TROUPE_BYTES, 0, 0},
};

START_TEST(what_a_text_becomes) {
    struct cli_payload p = {0};
    const char *why = "", *text = texts[_i].text;
    ck_assert_int_eq(cli_payload_from(&p, text, strlen(text), false, &why), TROUPE_OK);
    ck_assert_msg(p.value.kind == texts[_i].kind, "%s is of kind %d", text, (int)p.value.kind);
    if (p.value.kind == TROUPE_INT)
        ck_assert_int_eq(p.value.i, texts[_i].i);
    else if (p.value.kind == TROUPE_UINT)
        ck_assert_uint_eq(p.value.u, texts[_i].u);
    else
        ck_assert_uint_eq(p.value.size, strlen(text));
    cli_payload_fini(&p);
}
END_TEST

START_TEST(json_is_json) {
    struct cli_payload p = {0};
    const char *why = "";
    ck_assert_int_eq(cli_payload_from(&p, "[1]", 3, true, &why), TROUPE_OK);
    ck_assert_int_eq(p.value.kind, TROUPE_PACKED);
    ck_assert_uint_eq(p.value.size, 2);
    ck_assert_int_eq(cli_payload_from(&p, "[1", 2, true, &why), TROUPE_INVALID);
    ck_assert_uint_gt(strlen(why), 5);
    ck_assert_int_eq(cli_payload_from(&p, "12", 2, true, &why), TROUPE_OK); /* the same storage serves again */
    cli_payload_fini(&p);
}
END_TEST

int main(void) {
    Suite *s = suite_create("payload");
    TCase *c = tcase_create("payload");
    tcase_add_loop_test(c, what_a_text_becomes, 0, sizeof texts / sizeof *texts);
    tcase_add_test(c, json_is_json);
    suite_add_tcase(s, c);
    return run_suite(s);
}
