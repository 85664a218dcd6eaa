/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Addresses, queries, durations and sizes: a row each. */
#include "transports/url.h"

#include <stdio.h>

#include "tests/support/run.h"

struct good {
    const char *text, *scheme, *host, *port, *path, *query;
};

static const struct good goods[] = {
    {"tcp://127.0.0.1:4747", "tcp", "127.0.0.1", "4747", "", ""},
    {"tcp://[::1]:4747", "tcp", "::1", "4747", "", ""},
    {"tcp://[fe80::1%eth0]:1", "tcp", "fe80::1%eth0", "1", "", ""},
    {"tcp://broker.example:4747", "tcp", "broker.example", "4747", "", ""},
    {"tcp://*:0", "tcp", "", "0", "", ""},
    {"tcp://h:65535", "tcp", "h", "65535", "", ""},
    {"tcp://h:00080", "tcp", "h", "80", "", ""},
    {"tcp://h:1/", "tcp", "h", "1", "", ""},
    {"tcp://127.0.0.1:25000/fib?timeout=5s&max-line=4096", "tcp", "127.0.0.1", "25000", "fib", "timeout=5s&max-line=4096"},
    {"tcp://h:1?a=b", "tcp", "h", "1", "", "a=b"},
    {"tcp://h:1/a/b?x=tcp://y", "tcp", "h", "1", "a/b", "x=tcp://y"},
    {"ipc:///run/troupe.sock", "ipc", "", "", "/run/troupe.sock", ""},
    {"ipc://relative.sock", "ipc", "", "", "relative.sock", ""},
    {"ipc:///run/my dir/a:b.sock?mode=600", "ipc", "", "", "/run/my dir/a:b.sock", "mode=600"},
    {"inproc://anything at all", "inproc", "", "", "anything at all", ""},
};

START_TEST(good_addresses) {
    const struct good *g = &goods[_i];
    struct trp_url u;
    const char *why = "";
    ck_assert_msg(trp_url_parse(g->text, &u, &why) == TROUPE_OK, "%s: %s", g->text, why);
    ck_assert_str_eq(u.scheme, g->scheme);
    ck_assert_str_eq(u.host, g->host);
    ck_assert_str_eq(u.port, g->port);
    ck_assert_str_eq(u.path, g->path);
    ck_assert_str_eq(u.query, g->query);
}
END_TEST

/* The address, and a word that the sentence must have. */
static const char *const bads[][2] = {
    {"", "is no address"},
    {"127.0.0.1:4747", "is no address"},
    {"tcp:/127.0.0.1:4747", "is no address"},
    {"://127.0.0.1:4747", "no transport"},
    {"t p://127.0.0.1:4747", "no transport"},
    {"averylongscheme://x", "no transport"},
    {"tcp://", "host is missing"},
    {"tcp://:4747", "host is missing"},
    {"tcp://127.0.0.1", "port is missing"},
    {"tcp://127.0.0.1:", "port is missing"},
    {"tcp://127.0.0.1:/x", "port is missing"},
    {"tcp://127.0.0.1:http", "not a number"},
    {"tcp://127.0.0.1:-1", "not a number"},
    {"tcp://127.0.0.1: 1", "not a number"},
    {"tcp://127.0.0.1:65536", "above 65535"},
    {"tcp://127.0.0.1:99999999999999999999999999", "above 65535"},
    {"tcp://::1:4747", "in brackets"},
    {"tcp://[::1:4747", "']' is missing"},
    {"tcp://[]:4747", "no IPv6 address"},
    {"tcp://[127.0.0.1]:4747", "no IPv6 address"},
    {"tcp://[::1 ]:4747", "no IPv6 address"},
    {"tcp://[::1]", "port is missing"},
    {"tcp://[::1]4747", "port is missing"},
    {"tcp://user@host:1", "character in the host"},
    {"tcp://a b:1", "character in the host"},
    {"tcp://**:1", "character in the host"},
    {"tcp://h\n:1", "control character"},
    {"ipc://", "path is missing"},
    {"ipc://?a=b", "path is missing"},
    {"ipc:///a\x01", "control character"},
};

START_TEST(bad_addresses_say_how_to_do_better) {
    struct trp_url u = {.host = "untouched"};
    const char *why = NULL;
    ck_assert_int_eq(trp_url_parse(bads[_i][0], &u, &why), TROUPE_BAD_URL);
    ck_assert_msg(why && strstr(why, bads[_i][1]), "%s: %s", bads[_i][0], why);
    ck_assert_str_eq(u.host, "untouched");
}
END_TEST

/* "<head>xxx...<tail>" with n x. */
static void parse_long(const char *head, size_t n, const char *tail, const char *word) {
    char text[2048];
    struct trp_url u;
    const char *why = "";
    size_t at = (size_t)snprintf(text, sizeof text, "%s", head);
    memset(text + at, 'x', n);
    snprintf(text + at + n, sizeof text - at - n, "%s", tail);
    troupe_status st = trp_url_parse(text, &u, &why);
    ck_assert_int_eq(st, word ? TROUPE_BAD_URL : TROUPE_OK);
    if (word)
        ck_assert_msg(strstr(why, word) != NULL, "%s", why);
}

START_TEST(nothing_is_cut_in_silence) {
    parse_long("tcp://", 255, ":1", NULL);
    parse_long("tcp://", 256, ":1", "host is longer");
    parse_long("ipc://", 107, "", NULL);
    parse_long("ipc://", 108, "", "at most 107 bytes");
    parse_long("tcp://h:1/", 511, "", NULL);
    parse_long("tcp://h:1/", 512, "", "path is longer");
    parse_long("tcp://h:1/?", 511, "", NULL);
    parse_long("tcp://h:1/?", 512, "", "is longer");
    parse_long("inproc://", 512, "", "address is longer");
    parse_long("tcp://[::", 300, "]:1", "no IPv6 address");
}
END_TEST

START_TEST(parameters_are_found) {
    struct trp_url u = {.query = "timeout=5s&&flag&max-line=4096&timeout=9s&empty="};
    char v[8];
    ck_assert(trp_url_param(&u, "timeout", v, sizeof v));
    ck_assert_str_eq(v, "5s");
    ck_assert(trp_url_param(&u, "max-line", v, sizeof v));
    ck_assert_str_eq(v, "4096");
    ck_assert(trp_url_param(&u, "flag", v, sizeof v));
    ck_assert_str_eq(v, "");
    ck_assert(trp_url_param(&u, "empty", v, sizeof v));
    ck_assert_str_eq(v, "");
    ck_assert(!trp_url_param(&u, "time", v, sizeof v));
    ck_assert(!trp_url_param(&u, "", v, sizeof v));
    ck_assert(!trp_url_param(&u, "max-line", v, 4));
    ck_assert(trp_url_param(&u, "max-line", v, 5));
}
END_TEST

START_TEST(parameters_are_walked) {
    struct trp_url u = {.query = "&a=1&b&much-too-long=2&c=much-too-long&d=x=y&"};
    static const char *const want[][2] = {{"a", "1"}, {"b", ""}, {"", "2"}, {"c", ""}, {"d", "x=y"}};
    char k[8], v[8];
    size_t pos = 0;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        ck_assert(trp_url_next_param(&u, &pos, k, sizeof k, v, sizeof v));
        ck_assert_str_eq(k, want[i][0]);
        ck_assert_str_eq(v, want[i][1]);
    }
    ck_assert(!trp_url_next_param(&u, &pos, k, sizeof k, v, sizeof v));
    ck_assert(!trp_url_next_param(&u, &pos, k, sizeof k, v, sizeof v));
}
END_TEST

struct number {
    const char *text;
    int64_t value; /* -1: refused */
};

static const struct number durations[] = {
    {"250ms", 250},
    {"5s", 5000},
    {"2m", 120000},
    {"1h", 3600000},
    {"7", 7000},
    {"0", 0},
    {"0.5s", 500},
    {"1.25", 1250},
    {"0.0001s", 0},
    {"1.5ms", 1},
    {"0.1h", 360000},
    {"1.9999999999999999999999s", 1999},
    {"9223372036854775s", 9223372036854775000},
    {"", -1},
    {"s", -1},
    {"-1s", -1},
    {"+1s", -1},
    {" 1s", -1},
    {"1 s", -1},
    {"1.s", -1},
    {".5s", -1},
    {"1d", -1},
    {"1ss", -1},
    {"1.2.3s", -1},
    {"1e3", -1},
    {"9223372036854776s", -1},
    {"9223372036854775807h", -1},
    {"99999999999999999999", -1},
};

START_TEST(duration_rows) {
    int64_t ms = -7;
    bool ok = trp_parse_duration(durations[_i].text, &ms);
    ck_assert_msg(ok == (durations[_i].value >= 0), "%s", durations[_i].text);
    ck_assert_msg(ms == (ok ? durations[_i].value : -7), "%s: %lld", durations[_i].text, (long long)ms);
}
END_TEST

static const struct number sizes[] = {
    {"0", 0},
    {"1", 1},
    {"64k", 65536},
    {"64K", 65536},
    {"1M", 1048576},
    {"1m", 1048576},
    {"2G", 2147483648},
    {"9223372036854775807", INT64_MAX},
    {"", -1},
    {"k", -1},
    {"-1", -1},
    {"1kb", -1},
    {"1.5M", -1},
    {"1x", -1},
    {"1 k", -1},
    {"9223372036854775808", -1},
    {"9223372036854775807k", -1},
    {"8589934592G", -1},
    {"8589934591G", 9223372035781033984},
};

START_TEST(size_rows) {
    uint64_t n = 7;
    bool ok = trp_parse_size(sizes[_i].text, &n);
    ck_assert_msg(ok == (sizes[_i].value >= 0), "%s", sizes[_i].text);
    ck_assert_msg(n == (ok ? (uint64_t)sizes[_i].value : 7), "%s: %llu", sizes[_i].text, (unsigned long long)n);
}
END_TEST

int main(void) {
    const TTest *const url[] = {nothing_is_cut_in_silence, parameters_are_found, parameters_are_walked};
    Suite *s = suite_create("url");
    TCase *c = run_case(s, "url", url, sizeof url / sizeof *url);
    tcase_add_loop_test(c, good_addresses, 0, sizeof goods / sizeof *goods);
    tcase_add_loop_test(c, bad_addresses_say_how_to_do_better, 0, sizeof bads / sizeof *bads);
    tcase_add_loop_test(c, duration_rows, 0, sizeof durations / sizeof *durations);
    tcase_add_loop_test(c, size_rows, 0, sizeof sizes / sizeof *sizes);
    return run_suite(s);
}
