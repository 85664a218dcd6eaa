/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "broker/backlog.h"

#include <sched.h>

#include "tests/support/faults.h"
#include "tests/support/run.h"

enum { FIRST = 12345, PIECES = 16 };

static uint8_t byte_at(uint64_t position) {
    return (uint8_t)(position * 131 >> 3);
}

static void put(struct trp_backlog *b, size_t n) {
    uint8_t *bytes = malloc(n);
    for (size_t i = 0; i < n; i++)
        bytes[i] = byte_at(b->head + i);
    ck_assert_int_eq(trp_backlog_room(b, n), TROUPE_OK);
    trp_backlog_put(b, bytes, n);
    free(bytes);
}

/* Reads from..to in as many steps as it takes. An assert a byte would take minutes. */
static void check(const struct trp_backlog *b, uint64_t from, uint64_t to) {
    struct iovec iov[PIECES];
    while (from < to) {
        int n = trp_backlog_read(b, from, to, iov, PIECES, SIZE_MAX);
        size_t wrong = 0;
        for (int i = 0; i < n; i++)
            for (size_t k = 0; k < iov[i].iov_len; k++, from++)
                wrong += ((const uint8_t *)iov[i].iov_base)[k] != byte_at(from);
        ck_assert(n > 0 && wrong == 0);
    }
    ck_assert_uint_eq(from, to);
}

START_TEST(what_is_put_is_read_by_position) {
    struct trp_backlog b;
    ck_assert_int_eq(trp_backlog_init(&b, FIRST), TROUPE_OK);
    put(&b, 10);
    put(&b, TRP_BACKLOG_CHUNK - 10);
    put(&b, 1);
    put(&b, 3 * TRP_BACKLOG_CHUNK);
    uint64_t end = FIRST + 4ull * TRP_BACKLOG_CHUNK + 1;
    ck_assert_uint_eq(b.head, end);
    check(&b, FIRST, end);
    check(&b, FIRST + 9, FIRST + 11);
    check(&b, FIRST + TRP_BACKLOG_CHUNK, end);
    trp_backlog_fini(&b);
}
END_TEST

START_TEST(a_read_keeps_its_limits) {
    struct trp_backlog b;
    struct iovec iov[PIECES];
    ck_assert_int_eq(trp_backlog_init(&b, 0), TROUPE_OK);
    put(&b, 3 * TRP_BACKLOG_CHUNK);
    ck_assert_int_eq(trp_backlog_read(&b, 5, b.head, iov, 2, SIZE_MAX), 2);
    ck_assert_uint_eq(iov[0].iov_len, TRP_BACKLOG_CHUNK - 5);
    ck_assert_int_eq(trp_backlog_read(&b, 5, b.head, iov, PIECES, 7), 1);
    ck_assert_uint_eq(iov[0].iov_len, 7);
    ck_assert_int_eq(trp_backlog_read(&b, b.head, b.head, iov, PIECES, SIZE_MAX), 0);
    trp_backlog_fini(&b);
}
END_TEST

START_TEST(released_chunks_are_used_again) {
    struct trp_backlog b;
    faults_fail_at(0);
    ck_assert_int_eq(trp_backlog_init(&b, FIRST), TROUPE_OK);
    for (int i = 0; i < 100; i++) {
        uint64_t from = b.head;
        put(&b, 200000);
        check(&b, from, b.head);
        trp_backlog_release(&b, b.head);
    }
    ck_assert_int_le(faults.calls, 4);
    trp_backlog_fini(&b);
    ck_assert_int_eq(faults.live, 0);
    faults_off();
}
END_TEST

START_TEST(a_burst_is_given_back) {
    struct trp_backlog b;
    faults_fail_at(0);
    ck_assert_int_eq(trp_backlog_init(&b, FIRST), TROUPE_OK);
    put(&b, 4 * (size_t)TRP_BACKLOG_SPARE * TRP_BACKLOG_CHUNK);
    trp_backlog_release(&b, b.head);
    ck_assert_int_le(faults.live, TRP_BACKLOG_SPARE + 1);
    trp_backlog_fini(&b);
    ck_assert_int_eq(faults.live, 0);
    faults_off();
}
END_TEST

START_TEST(what_was_not_told_is_taken_back) {
    struct trp_backlog b;
    ck_assert_int_eq(trp_backlog_init(&b, FIRST), TROUPE_OK);
    put(&b, 100);
    struct trp_backlog_point point = trp_backlog_point(&b);
    for (int i = 0; i < 3; i++) {
        uint8_t other[1000] = {0};
        ck_assert_int_eq(trp_backlog_room(&b, 2 * TRP_BACKLOG_CHUNK), TROUPE_OK);
        for (int k = 0; k < 500; k++)
            trp_backlog_put(&b, other, sizeof other);
        trp_backlog_rewind(&b, point);
    }
    put(&b, 3 * TRP_BACKLOG_CHUNK);
    check(&b, FIRST, b.head);
    trp_backlog_fini(&b);
}
END_TEST

START_TEST(no_memory_changes_nothing) {
    struct trp_backlog b;
    faults_fail_at(1);
    ck_assert_int_eq(trp_backlog_init(&b, FIRST), TROUPE_NO_MEMORY);
    trp_backlog_fini(&b);
    for (long n = 2;; n++) {
        faults_fail_at(n);
        ck_assert_int_eq(trp_backlog_init(&b, FIRST), TROUPE_OK);
        troupe_status st = trp_backlog_room(&b, 3 * TRP_BACKLOG_CHUNK);
        ck_assert_uint_eq(b.head, FIRST);
        put(&b, 100);
        check(&b, FIRST, FIRST + 100);
        trp_backlog_fini(&b);
        ck_assert_int_eq(faults.live, 0);
        if (st == TROUPE_OK)
            break;
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
    }
    faults_off();
}
END_TEST

enum { TOTAL = 8 * 1024 * 1024 };

struct pair {
    struct trp_backlog b;
    atomic_ullong told;
};

static void *consume(void *arg) {
    struct pair *p = arg;
    uint64_t at = FIRST;
    while (at < FIRST + TOTAL) {
        uint64_t to = atomic_load_explicit(&p->told, memory_order_acquire);
        if (to == at) {
            sched_yield();
            continue;
        }
        check(&p->b, at, to);
        trp_backlog_release(&p->b, to);
        at = to;
    }
    return NULL;
}

START_TEST(two_threads_share_it) {
    static struct pair p;
    pthread_t consumer;
    ck_assert_int_eq(trp_backlog_init(&p.b, FIRST), TROUPE_OK);
    atomic_store(&p.told, FIRST);
    ck_assert_int_eq(pthread_create(&consumer, NULL, consume, &p), 0);
    for (size_t n = 1; p.b.head < FIRST + TOTAL; n = n * 7 % 10007 + 1000) {
        put(&p.b, n < FIRST + TOTAL - p.b.head ? n : FIRST + TOTAL - p.b.head);
        atomic_store_explicit(&p.told, p.b.head, memory_order_release);
    }
    ck_assert_int_eq(pthread_join(consumer, NULL), 0);
    trp_backlog_fini(&p.b);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {what_is_put_is_read_by_position,
                                  a_read_keeps_its_limits,
                                  released_chunks_are_used_again,
                                  a_burst_is_given_back,
                                  what_was_not_told_is_taken_back,
                                  no_memory_changes_nothing,
                                  two_threads_share_it};
    Suite *s = suite_create("backlog");
    tcase_set_timeout(run_case(s, "backlog", tests, sizeof tests / sizeof *tests), 60);
    return run_suite(s);
}
