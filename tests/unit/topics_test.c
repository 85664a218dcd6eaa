/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Topics and patterns: what is valid, what matches, in which order, and that the cache in front never tells otherwise
 * than a linear scan over all patterns. */
#include "broker/topics.h"
#include "tests/support/chance.h"
#include "tests/support/run.h"
#include "transports/alloc.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct trp_topics topics;

static struct trp_slice str(const char *s) {
    return trp_slice_str(s);
}

static void setup(void) {
    ck_assert_int_eq(trp_topics_init(&topics, trp_hash_key(7)), TROUPE_OK);
}

static void teardown(void) {
    trp_topics_fini(&topics);
}

/* ---- what is valid ---- */

static const struct {
    const char *text;
    bool topic, pattern;
} forms[] = {
    {"a", true, true},
    {"a.b.c", true, true},
    {"fib", true, true},
    {"", false, false},
    {".", false, false},
    {"a.", false, false},
    {".a", false, false},
    {"a..b", false, false},
    {"a b", false, false},
    {"a\tb", false, false},
    {"a\x7f", false, false},
    {"a\n", false, false},
    {"*", false, true},
    {">", false, true},
    {"a.*", false, true},
    {"*.a.*", false, true},
    {"a.>", false, true},
    {">.a", false, false},
    {"a.>.b", false, false},
    {"a*", false, false},
    {"a.b>", false, false},
    {"**", false, false},
    {"a.*b", false, false},
    {">>", false, false},
    {"gr\xc3\xbc\xc3\x9f", true, true},
    {"\xff", false, false},
    {"\xc3", false, false},
    {"_r", true, true},
    {"$SYS/x", true, true},
};

START_TEST(valid_forms) {
    ck_assert_msg(trp_is_topic(str(forms[_i].text)) == forms[_i].topic, "topic '%s'", forms[_i].text);
    ck_assert_msg(trp_is_pattern(str(forms[_i].text)) == forms[_i].pattern, "pattern '%s'", forms[_i].text);
}
END_TEST

START_TEST(valid_lengths) {
    char text[257];
    memset(text, 'a', 256);
    text[255] = 0;
    ck_assert(trp_is_topic(str(text)) && trp_is_pattern(str(text)));
    text[255] = 'a';
    text[256] = 0;
    ck_assert(!trp_is_topic(str(text)) && !trp_is_pattern(str(text)));
    ck_assert(!trp_is_topic((struct trp_slice){(const uint8_t *)"a\0b", 3}));
}
END_TEST

/* ---- what matches ---- */

static const struct {
    const char *pattern, *topic;
    bool matches;
} matches[] = {
    {"a", "a", true},          {"a", "b", false},    {"a", "a.b", false},  {"a.b", "a", false},     {"*", "a", true},
    {"*", "a.b", false},       {"a.*", "a.b", true}, {"a.*", "a", false},  {"a.*", "a.b.c", false}, {">", "a", true},
    {">", "a.b.c", true},      {"a.>", "a", false},  {"a.>", "a.b", true}, {"a.>", "a.b.c", true},  {"*.b", "a.b", true},
    {"*.b", "a.c", false},     {"*.*", "a.b", true}, {"*.>", "a", false},  {"*.>", "a.b", true},    {"a.*.c", "a.b.c", true},
    {"a.*.c", "a.b.d", false}, {"ab", "a", false},   {"a", "ab", false},
};

START_TEST(what_matches) {
    struct trp_binding b = {.kind = TRP_BINDING_SUB};
    struct trp_targets t;
    ck_assert_int_eq(trp_topics_bind(&topics, str(matches[_i].pattern), &b), TROUPE_OK);
    for (int again = 0; again < 2; again++) { /* from the trie, from the cache */
        ck_assert_int_eq(trp_topics_route(&topics, str(matches[_i].topic), &t), TROUPE_OK);
        ck_assert_msg(t.n == (matches[_i].matches ? 1 : 0), "%s ~ %s", matches[_i].pattern, matches[_i].topic);
    }
    trp_topics_unbind(&topics, &b);
    ck_assert_int_eq(trp_topics_route(&topics, str(matches[_i].topic), &t), TROUPE_OK);
    ck_assert_uint_eq(t.n, 0);
}
END_TEST

START_TEST(the_order_of_targets) {
    static const char *const patterns[] = {"a.*", "*.b", "a.b", ">", "a.>", "*.*", "a.b"};
    static const size_t want[] = {3, 4, 2, 6, 0, 1, 5}; /* at each token: '>', the literal, '*' */
    struct trp_binding b[7] = {0};
    struct trp_targets t;
    for (size_t i = 0; i < 7; i++)
        ck_assert_int_eq(trp_topics_bind(&topics, str(patterns[i]), &b[i]), TROUPE_OK);
    ck_assert_int_eq(trp_topics_route(&topics, str("a.b"), &t), TROUPE_OK);
    ck_assert_uint_eq(t.n, 7);
    for (size_t i = 0; i < 7; i++)
        ck_assert_ptr_eq(t.p[i], &b[want[i]]);
    for (size_t i = 0; i < 7; i++)
        trp_topics_unbind(&topics, &b[i]);
}
END_TEST

START_TEST(an_invalid_topic_is_never_cached) {
    struct trp_binding b = {0};
    struct trp_targets t;
    ck_assert_int_eq(trp_topics_bind(&topics, str("a.*"), &b), TROUPE_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(trp_topics_route(&topics, str("a.*"), &t), TROUPE_INVALID);
        ck_assert_int_eq(trp_topics_route(&topics, str(""), &t), TROUPE_INVALID);
    }
    trp_topics_unbind(&topics, &b);
}
END_TEST

/* ---- against a linear scan ---- */

enum { BINDINGS = 64, STEPS = 60000 };

struct bound {
    struct trp_binding binding;
    char pattern[32];
    uint64_t serial;
};

static void random_name(char *out, bool pattern) {
    uint32_t tokens = 1 + roll(4);
    for (uint32_t i = 0; i < tokens; i++) {
        uint32_t r = roll(pattern ? 12 : 8);
        bool last = i + 1 == tokens;
        const char *token = r < 8 ? (const char *[]){"a", "b", "c", "aa", "ab", "a", "b", "a"}[r] : r < 11 || !last ? "*" : ">";
        out += sprintf(out, "%s%s", i ? "." : "", token);
    }
}

/* The obvious matcher. */
static bool match(const char *pattern, const char *topic) {
    for (;;) {
        if (pattern[0] == '>')
            return true;
        size_t p = strcspn(pattern, "."), t = strcspn(topic, ".");
        bool any = p == 1 && pattern[0] == '*';
        if (!any && (p != t || memcmp(pattern, topic, p)))
            return false;
        pattern += p;
        topic += t;
        if (!*pattern || !*topic)
            return !*pattern && !*topic;
        pattern++;
        topic++;
    }
}

/* Both match one topic: '>' before a literal before '*', token by token; then by age. */
static int in_order(const void *x, const void *y) {
    const struct bound *a = *(const struct bound *const *)x, *b = *(const struct bound *const *)y;
    for (const char *p = a->pattern, *q = b->pattern;; p++, q++) {
        if (*p == *q && *p)
            continue;
        if (*p == *q)
            return a->serial < b->serial ? -1 : 1;
        int rank_p = *p == '>' ? 0 : *p == '*' ? 2 : 1, rank_q = *q == '>' ? 0 : *q == '*' ? 2 : 1;
        return rank_p - rank_q;
    }
}

static void compare(struct bound *all, const char *topic) {
    const struct bound *want[BINDINGS];
    size_t n = 0;
    for (size_t i = 0; i < BINDINGS; i++)
        if (all[i].binding.node && match(all[i].pattern, topic))
            want[n++] = &all[i];
    qsort(want, n, sizeof want[0], in_order);
    struct trp_targets t;
    ck_assert_int_eq(trp_topics_route(&topics, str(topic), &t), TROUPE_OK);
    ck_assert_msg(t.n == n, "%s reaches %zu, not %zu", topic, t.n, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg((const struct bound *)t.p[i] == want[i], "%s: target %zu", topic, i);
}

START_TEST(as_a_linear_scan_says) {
    static struct bound all[BINDINGS];
    chance_begin(seed_of_run());
    for (uint64_t step = 0; step < STEPS; step++) {
        char topic[32];
        struct bound *b = &all[roll(BINDINGS)];
        if (roll(4) == 0 && b->binding.node) {
            trp_topics_unbind(&topics, &b->binding);
        } else if (roll(4) == 0 && !b->binding.node) {
            random_name(b->pattern, true);
            b->serial = step;
            ck_assert_int_eq(trp_topics_bind(&topics, str(b->pattern), &b->binding), TROUPE_OK);
        }
        random_name(topic, false);
        compare(all, topic);
    }
    for (size_t i = 0; i < BINDINGS; i++)
        if (all[i].binding.node)
            trp_topics_unbind(&topics, &all[i].binding);
}
END_TEST

/* ---- the cache ---- */

START_TEST(the_cache_is_bounded) {
    struct trp_binding b = {0};
    struct trp_targets t;
    ck_assert_int_eq(trp_topics_bind(&topics, str("t.>"), &b), TROUPE_OK);
    for (int i = 0; i < 200000; i++) {
        char topic[300];
        snprintf(topic, sizeof topic, "t.%0*d", 1 + i % 250, i);
        topic[255] = 0;
        ck_assert_int_eq(trp_topics_route(&topics, str(topic), &t), TROUPE_OK);
        ck_assert(t.n == 1 && t.p[0] == &b);
        ck_assert_uint_le(topics.routes.bytes, TRP_ROUTES_BYTES);
    }
    trp_topics_unbind(&topics, &b);
    ck_assert_int_eq(trp_topics_route(&topics, str("t.0"), &t), TROUPE_OK);
    ck_assert_uint_eq(t.n, 0);
}
END_TEST

START_TEST(wide_routes_are_not_kept_for_ever) {
    enum { WIDE = 100000 };
    static struct trp_binding b[WIDE];
    struct trp_targets t;
    for (size_t i = 0; i < WIDE; i++)
        ck_assert_int_eq(trp_topics_bind(&topics, str("*"), &b[i]), TROUPE_OK);
    for (int i = 0; i < 200; i++) {
        char topic[16];
        snprintf(topic, sizeof topic, "t%d", i);
        ck_assert_int_eq(trp_topics_route(&topics, str(topic), &t), TROUPE_OK);
        ck_assert_uint_eq(t.n, (size_t)WIDE - (size_t)i * 500);
        ck_assert_uint_le(topics.routes.bytes, TRP_ROUTES_BYTES);
        for (size_t k = 0; k < 500; k++)
            trp_topics_unbind(&topics, &b[(size_t)i * 500 + k]);
    }
}
END_TEST

/* ---- out of memory ---- */

static size_t calls, fail_at;

static void *failing_realloc(void *ctx, void *old, size_t size) {
    (void)ctx;
    return ++calls == fail_at ? NULL : realloc(old, size);
}

static void plain_free(void *ctx, void *p) {
    (void)ctx;
    free(p);
}

START_TEST(a_failed_bind_leaves_nothing) {
    troupe_alloc_set(&(troupe_allocator){failing_realloc, plain_free, NULL});
    for (size_t n = 1; n < 12; n++) {
        struct trp_binding kept = {0}, b = {0};
        struct trp_targets t;
        ck_assert_int_eq(trp_topics_bind(&topics, str("a.b"), &kept), TROUPE_OK);
        calls = 0;
        fail_at = n;
        troupe_status st = trp_topics_bind(&topics, str("a.b.c.*.d.>"), &b);
        fail_at = 0;
        ck_assert(st == (calls < n ? TROUPE_OK : TROUPE_NO_MEMORY));
        ck_assert_int_eq(trp_topics_route(&topics, str("a.b"), &t), TROUPE_OK);
        ck_assert_uint_eq(t.n, 1);
        if (st == TROUPE_OK)
            trp_topics_unbind(&topics, &b);
        trp_topics_unbind(&topics, &kept);
        ck_assert_uint_eq(topics.edges.count, 0);
    }
    teardown();
    troupe_alloc_set(NULL);
    setup();
}
END_TEST

START_TEST(a_failed_match_says_so_and_a_failed_cache_does_not_matter) {
    struct trp_binding b[20] = {0};
    struct trp_targets t;
    for (size_t i = 0; i < 20; i++)
        ck_assert_int_eq(trp_topics_bind(&topics, str("a"), &b[i]), TROUPE_OK);
    troupe_alloc_set(&(troupe_allocator){failing_realloc, plain_free, NULL});
    static const troupe_status want[] = {TROUPE_NO_MEMORY, TROUPE_NO_MEMORY, TROUPE_OK, TROUPE_OK};
    for (size_t n = 0; n < 4; n++) {
        calls = 0;
        fail_at = n < 2 ? 1 : n == 2 ? 3 : 0; /* 1: the vector; then it grows once more and the route is 3 */
        ck_assert_int_eq(trp_topics_route(&topics, str("a"), &t), want[n]);
        if (want[n] == TROUPE_OK)
            ck_assert_uint_eq(t.n, 20);
    }
    troupe_alloc_set(NULL);
    for (size_t i = 0; i < 20; i++)
        trp_topics_unbind(&topics, &b[i]);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("topics");
    TCase *t = tcase_create("forms");
    tcase_add_loop_test(t, valid_forms, 0, (int)(sizeof forms / sizeof forms[0]));
    tcase_add_test(t, valid_lengths);
    suite_add_tcase(s, t);
    t = tcase_create("matching");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, what_matches, 0, (int)(sizeof matches / sizeof matches[0]));
    tcase_add_test(t, the_order_of_targets);
    tcase_add_test(t, an_invalid_topic_is_never_cached);
    tcase_add_test(t, as_a_linear_scan_says);
    suite_add_tcase(s, t);
    t = tcase_create("bounds");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, the_cache_is_bounded);
    tcase_add_test(t, wide_routes_are_not_kept_for_ever);
    tcase_add_test(t, a_failed_bind_leaves_nothing);
    tcase_add_test(t, a_failed_match_says_so_and_a_failed_cache_does_not_matter);
    suite_add_tcase(s, t);
    return s;
}

int main(void) {
    return run_suite(suite());
}
