/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The small ground floor: the status table, the allocation seam, the log hook, the assertion. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <troupe/status.h>
#include <unistd.h>

#include "tests/support/faults.h"
#include "tests/support/run.h"
#include "transports/alloc.h"
#include "transports/assert.h"
#include "transports/log.h"

/* --- status --- */

struct row {
    const char *name, *text;
    int number;
};

static const struct row rows[] = {
#define X(n, num, t) {#n, t, num},
    TROUPE_STATUS_TABLE(X)
#undef X
};
enum { ROWS = sizeof rows / sizeof *rows };

START_TEST(every_status_has_its_words) {
    for (int i = 0; i < ROWS; i++) {
        ck_assert_str_eq(troupe_status_name((troupe_status)rows[i].number), rows[i].name);
        ck_assert_str_eq(troupe_status_text((troupe_status)rows[i].number), rows[i].text);
    }
}
END_TEST

START_TEST(statuses_are_distinct) {
    for (int i = 0; i < ROWS; i++) {
        for (int j = i + 1; j < ROWS; j++) {
            ck_assert_int_ne(rows[i].number, rows[j].number);
            ck_assert_str_ne(rows[i].text, rows[j].text);
        }
    }
}
END_TEST

START_TEST(an_unknown_status_has_words_too) {
    ck_assert_str_eq(troupe_status_name((troupe_status)12345), "UNKNOWN");
    ck_assert_str_eq(troupe_status_name((troupe_status)-12345), "UNKNOWN");
    ck_assert_ptr_nonnull(troupe_status_text((troupe_status)12345));
}
END_TEST

/* --- alloc --- */

START_TEST(memory_goes_through_the_seam) {
    faults_fail_at(0);
    void *p = trp_malloc(10);
    p = trp_realloc(p, 20);
    unsigned char *zeroed = trp_calloc(3, 5);
    char *copy = trp_strdup("hello"), *part = trp_strndup("hello", 2);
    ck_assert_int_eq(faults.calls, 5);
    ck_assert_int_eq(faults.live, 4);
    for (int i = 0; i < 15; i++)
        ck_assert_uint_eq(zeroed[i], 0);
    ck_assert_str_eq(copy, "hello");
    ck_assert_str_eq(part, "he");
    trp_free(p);
    trp_free(zeroed);
    trp_free(copy);
    trp_free(part);
    trp_free(NULL);
    ck_assert_int_eq(faults.live, 0);
    faults_off();
}
END_TEST

START_TEST(size_zero_is_an_allocation_like_any_other) {
    for (int ours = 0; ours < 2; ours++) {
        if (ours)
            faults_fail_at(0);
        void *a = trp_malloc(0), *b = trp_calloc(0, 8), *c = trp_array(NULL, 8, 0), *d = trp_strndup("", 0);
        ck_assert(a && b && c && d);
        trp_free(a);
        trp_free(b);
        trp_free(c);
        trp_free(d);
        faults_off();
    }
}
END_TEST

START_TEST(products_do_not_wrap) {
    ck_assert_ptr_null(trp_calloc(SIZE_MAX / 2, 3));
    ck_assert_ptr_null(trp_array(NULL, SIZE_MAX / 8 + 1, 8));
    void *kept = trp_malloc(8);
    ck_assert_ptr_null(trp_array(kept, SIZE_MAX, SIZE_MAX));
    trp_free(kept);
    ck_assert_ptr_null(trp_strndup("", SIZE_MAX));
}
END_TEST

START_TEST(each_call_can_fail) {
    faults_fail_at(1);
    ck_assert_ptr_null(trp_malloc(1));
    faults_fail_at(1);
    ck_assert_ptr_null(trp_calloc(1, 1));
    faults_fail_at(1);
    ck_assert_ptr_null(trp_strdup("x"));
    faults_fail_at(1);
    ck_assert_ptr_null(trp_array(NULL, 1, 1));
    faults_off();
}
END_TEST

/* --- log --- */

static struct {
    int calls;
    troupe_log_level level;
    char event[64], text[2048];
} seen;

static void hook(void *ctx, troupe_log_level level, const char *event, const char *text) {
    ck_assert_ptr_eq(ctx, &seen);
    seen.calls++;
    seen.level = level;
    snprintf(seen.event, sizeof seen.event, "%s", event);
    snprintf(seen.text, sizeof seen.text, "%s", text);
    errno = EPERM;
}

START_TEST(the_log_is_silent_until_asked) {
    ck_assert(!trp_log_wants(TROUPE_LOG_ERROR));
    trp_log(TROUPE_LOG_ERROR, "nobody", "hears %d", 1);
    troupe_log_set(hook, &seen, TROUPE_LOG_WARN);
    ck_assert(trp_log_wants(TROUPE_LOG_ERROR) && trp_log_wants(TROUPE_LOG_WARN));
    ck_assert(!trp_log_wants(TROUPE_LOG_INFO) && !trp_log_wants(TROUPE_LOG_DEBUG));
    trp_log(TROUPE_LOG_INFO, "too.small", "x");
    ck_assert_int_eq(seen.calls, 0);
    errno = EINTR;
    trp_log(TROUPE_LOG_WARN, "session.closed", "%s left after %d", "fib", 3);
    ck_assert_int_eq(errno, EINTR);
    ck_assert_int_eq(seen.calls, 1);
    ck_assert_int_eq(seen.level, TROUPE_LOG_WARN);
    ck_assert_str_eq(seen.event, "session.closed");
    ck_assert_str_eq(seen.text, "fib left after 3");
    troupe_log_set(NULL, NULL, TROUPE_LOG_DEBUG);
    ck_assert(!trp_log_wants(TROUPE_LOG_ERROR));
}
END_TEST

START_TEST(a_log_text_is_one_clean_line) {
    troupe_log_set(hook, &seen, TROUPE_LOG_DEBUG);
    trp_log(TROUPE_LOG_INFO, "peer", "%s", "a\nERR forged\x1b[2J\x7f caf\xc3\xa9");
    ck_assert_str_eq(seen.text, "a?ERR forged?[2J? caf\xc3\xa9");
}
END_TEST

START_TEST(a_long_log_text_is_cut_and_says_so) {
    char text[4000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    troupe_log_set(hook, &seen, TROUPE_LOG_DEBUG);
    trp_log(TROUPE_LOG_INFO, "long", "%s", text);
    size_t n = strlen(seen.text);
    ck_assert_uint_gt(n, 1000);
    ck_assert_uint_lt(n, sizeof seen.text);
    ck_assert_str_eq(seen.text + n - 4, "x...");
}
END_TEST

/* stderr is a pipe while fn runs; what came is in out. */
static size_t with_stderr(void fn(void), char *out, size_t cap) {
    int ends[2], saved = dup(STDERR_FILENO);
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
    fn();
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    ssize_t n = read(ends[0], out, cap - 1);
    close(ends[0]);
    ck_assert_int_ge(n, 0);
    out[n] = '\0';
    return (size_t)n;
}

static void log_a_line(void) {
    troupe_log_stderr(NULL, TROUPE_LOG_INFO, "broker.listening", "tcp://127.0.0.1:4747");
}

START_TEST(the_stderr_hook_writes_a_stamped_line) {
    char line[512];
    int year, rest;
    with_stderr(log_a_line, line, sizeof line);
    ck_assert_int_eq(sscanf(line, "%4d-%*2d-%*2dT%*2d:%*2d:%*2d.%*3dZ%n", &year, &rest), 1);
    ck_assert_int_ge(year, 2020);
    ck_assert_int_eq(rest, 24);
    ck_assert_str_eq(line + rest, " info broker.listening tcp://127.0.0.1:4747\n");
}
END_TEST

static void log_a_long_line(void) {
    static char text[8000];
    memset(text, 'y', sizeof text - 1);
    troupe_log_stderr(NULL, (troupe_log_level)77, "long", text);
}

START_TEST(a_long_line_is_still_one_line) {
    char line[16000];
    size_t n = with_stderr(log_a_long_line, line, sizeof line);
    ck_assert_ptr_eq(strchr(line, '\n'), line + n - 1);
}
END_TEST

/* --- assert --- */

START_TEST(an_assertion_that_holds_does_nothing) {
    int calls = 0;
    trp_assert(++calls == 1);
    ck_assert_int_eq(calls, 1);
}
END_TEST

START_TEST(an_assertion_that_fails_ends_the_process) {
    trp_assert(1 + 1 == 3);
}
END_TEST

int main(void) {
    const TTest *const status[] = {every_status_has_its_words, statuses_are_distinct, an_unknown_status_has_words_too};
    const TTest *const alloc[] = {memory_goes_through_the_seam, size_zero_is_an_allocation_like_any_other, products_do_not_wrap,
                                  each_call_can_fail};
    const TTest *const log[] = {the_log_is_silent_until_asked, a_log_text_is_one_clean_line, a_long_log_text_is_cut_and_says_so,
                                the_stderr_hook_writes_a_stamped_line, a_long_line_is_still_one_line};
    const TTest *const assertion[] = {an_assertion_that_holds_does_nothing};
    Suite *s = suite_create("status");
    run_case(s, "status", status, sizeof status / sizeof *status);
    run_case(s, "alloc", alloc, sizeof alloc / sizeof *alloc);
    run_case(s, "log", log, sizeof log / sizeof *log);
    TCase *c = run_case(s, "assert", assertion, sizeof assertion / sizeof *assertion);
    tcase_add_test_raise_signal(c, an_assertion_that_fails_ends_the_process, SIGABRT);
    return run_suite(s);
}
