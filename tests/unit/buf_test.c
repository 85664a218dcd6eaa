/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Slices, growable buffers, shared blobs. */
#include "transports/buf.h"

#include <pthread.h>
#include <signal.h>

#include "tests/support/faults.h"
#include "tests/support/run.h"

START_TEST(slices_compare_by_their_bytes) {
    struct trp_slice none = {0}, empty = trp_slice_str("");
    ck_assert(trp_slice_eq(none, empty));
    ck_assert(trp_slice_eq(trp_slice_str("fib"), trp_slice_str("fib")));
    ck_assert(!trp_slice_eq(trp_slice_str("fib"), trp_slice_str("fi")));
    ck_assert(!trp_slice_eq(trp_slice_str("fib"), trp_slice_str("fob")));
}
END_TEST

START_TEST(a_buffer_keeps_what_is_put) {
    struct trp_buf b = {0};
    for (unsigned i = 0; i < 10000; i++) {
        uint8_t byte = (uint8_t)i;
        ck_assert_int_eq(trp_buf_put(&b, &byte, 1), TROUPE_OK);
    }
    ck_assert_uint_eq(b.n, 10000);
    for (unsigned i = 0; i < 10000; i++)
        ck_assert_uint_eq(b.p[i], (uint8_t)i);
    trp_buf_fini(&b);
    ck_assert(!b.p && !b.n && !b.cap);
    trp_buf_fini(&b);
}
END_TEST

START_TEST(a_buffer_grows_by_doubling) {
    struct trp_buf b = {0};
    faults_fail_at(0);
    for (unsigned i = 0; i < 1 << 16; i++)
        ck_assert_int_eq(trp_buf_put(&b, "x", 1), TROUPE_OK);
    ck_assert_int_le(faults.calls, 16);
    trp_buf_fini(&b);
    ck_assert_int_eq(faults.live, 0);
    faults_off();
}
END_TEST

START_TEST(putting_nothing_is_nothing) {
    struct trp_buf b = {0};
    ck_assert_int_eq(trp_buf_put(&b, NULL, 0), TROUPE_OK);
    ck_assert_int_eq(trp_buf_room(&b, 0), TROUPE_OK);
    ck_assert_ptr_null(b.p);
    trp_buf_drop(&b, 0);
}
END_TEST

START_TEST(dropping_keeps_the_rest) {
    struct trp_buf b = {0};
    ck_assert_int_eq(trp_buf_put(&b, "hello world", 11), TROUPE_OK);
    trp_buf_drop(&b, 6);
    ck_assert(trp_slice_eq((struct trp_slice){b.p, b.n}, trp_slice_str("world")));
    trp_buf_drop(&b, 5);
    ck_assert_uint_eq(b.n, 0);
    trp_buf_fini(&b);
}
END_TEST

START_TEST(no_memory_leaves_a_buffer_as_it_was) {
    struct trp_buf b = {0};
    faults_fail_at(1);
    ck_assert_int_eq(trp_buf_put(&b, "x", 1), TROUPE_NO_MEMORY);
    ck_assert(!b.p && !b.n && !b.cap);
    faults_fail_at(2);
    ck_assert_int_eq(trp_buf_put(&b, "x", 1), TROUPE_OK);
    struct trp_buf before = b;
    ck_assert_int_eq(trp_buf_room(&b, 1000), TROUPE_NO_MEMORY);
    ck_assert(b.p == before.p && b.n == before.n && b.cap == before.cap);
    faults_off();
    ck_assert_int_eq(trp_buf_room(&b, SIZE_MAX), TROUPE_NO_MEMORY);
    ck_assert_int_eq(trp_buf_room(&b, SIZE_MAX - 1), TROUPE_NO_MEMORY);
    ck_assert(b.p == before.p && b.n == before.n && b.cap == before.cap);
    trp_buf_fini(&b);
}
END_TEST

START_TEST(dropping_more_than_there_is_is_our_bug) {
    struct trp_buf b = {0};
    trp_buf_drop(&b, 1);
}
END_TEST

START_TEST(a_blob_is_a_copy) {
    char text[] = "payload";
    struct trp_blob *b = trp_blob_new(text, sizeof text);
    ck_assert_ptr_nonnull(b);
    text[0] = 'X';
    ck_assert_uint_eq(b->n, sizeof text);
    ck_assert_str_eq((const char *)b->p, "payload");
    trp_blob_unref(b);
    trp_blob_unref(NULL);
    b = trp_blob_new(NULL, 0);
    ck_assert_uint_eq(b->n, 0);
    trp_blob_unref(b);
}
END_TEST

START_TEST(the_last_reference_frees_a_blob) {
    faults_fail_at(0);
    struct trp_blob *b = trp_blob_new("x", 1);
    ck_assert_ptr_eq(trp_blob_ref(b), b);
    trp_blob_unref(b);
    ck_assert_int_eq(faults.live, 1);
    trp_blob_unref(b);
    ck_assert_int_eq(faults.live, 0);
    faults_fail_at(1);
    ck_assert_ptr_null(trp_blob_new("x", 1));
    ck_assert_ptr_null(trp_blob_new("x", SIZE_MAX));
    faults_off();
}
END_TEST

enum { THREADS = 4, ROUNDS = 20000 };

static void *ref_and_unref(void *arg) {
    for (int i = 0; i < ROUNDS; i++) {
        trp_blob_ref(arg);
        trp_blob_unref(arg);
    }
    trp_blob_unref(arg);
    return NULL;
}

START_TEST(any_thread_may_drop_the_last_reference) {
    pthread_t threads[THREADS];
    struct trp_blob *b = trp_blob_new("shared", 6);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ref_and_unref, trp_blob_ref(b)), 0);
    trp_blob_unref(b);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}
END_TEST

int main(void) {
    const TTest *const buf[] = {slices_compare_by_their_bytes, a_buffer_keeps_what_is_put, a_buffer_grows_by_doubling,
                                putting_nothing_is_nothing,    dropping_keeps_the_rest,    no_memory_leaves_a_buffer_as_it_was};
    const TTest *const blob[] = {a_blob_is_a_copy, the_last_reference_frees_a_blob, any_thread_may_drop_the_last_reference};
    Suite *s = suite_create("buf");
    TCase *c = run_case(s, "buf", buf, sizeof buf / sizeof *buf);
    tcase_add_test_raise_signal(c, dropping_more_than_there_is_is_our_bug, SIGABRT);
    run_case(s, "blob", blob, sizeof blob / sizeof *blob);
    return run_suite(s);
}
