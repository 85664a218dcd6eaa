/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Messages: what goes in comes out, nothing is leaked, nothing that a sender writes can hurt a reader. */
#include "clients/msg.h"

#include <pthread.h>
#include <stdio.h>

#include "tests/support/faults.h"
#include "tests/support/run.h"

/* A message as it comes from the wire, out of its parts. */
static struct troupe_msg *from_parts(const char *topic, const char *reply, struct trp_slice headers, troupe_value v) {
    struct trp_buf b = {0};
    struct trp_message w;
    const char *why = "";
    size_t used;
    ck_assert_int_eq(trp_put_message(&b, trp_slice_str(topic), trp_slice_str(reply), headers, v), TROUPE_OK);
    ck_assert_int_eq(trp_message_read(b.p, b.n, &w, &used, &why), TROUPE_OK);
    struct troupe_msg *m = trp_msg_from_wire(&w);
    ck_assert_ptr_nonnull(m);
    trp_buf_fini(&b); /* the message has its own copy */
    return m;
}

static struct trp_slice header(uint8_t out[512], const char *key, const char *value) {
    uint8_t *p = trp_pack_map(out, 1);
    p = trp_pack_str(p, trp_slice_str(key));
    p = trp_pack_str(p, trp_slice_str(value));
    return (struct trp_slice){out, (size_t)(p - out)};
}

static const struct trp_slice no_headers;

START_TEST(the_parts_come_out) {
    uint8_t bytes[512];
    troupe_value v;
    int64_t n = 7;
    struct troupe_msg *m = from_parts("fib.a", "_r.1.2", header(bytes, "trace", "xyz"), troupe_int(30));
    ck_assert_str_eq(troupe_msg_topic(m), "fib.a");
    ck_assert(troupe_msg_wants_reply(m));
    ck_assert_ptr_null(troupe_msg_error(m));
    ck_assert(troupe_msg_int(m, &n));
    ck_assert_int_eq(n, 30);
    ck_assert(troupe_msg_header(m, "trace", &v));
    ck_assert_int_eq(v.kind, TROUPE_TEXT);
    ck_assert_mem_eq(v.data, "xyz", 3);
    ck_assert(!troupe_msg_header(m, "other", &v));
    m->answered = true;
    ck_assert(!troupe_msg_wants_reply(m));
    troupe_msg_free(&m);
    ck_assert_ptr_null(m);
    troupe_msg_free(&m);
}
END_TEST

START_TEST(a_plain_one_has_no_reply_and_no_headers) {
    troupe_value v;
    struct troupe_msg *m = from_parts("a", "", no_headers, troupe_nil());
    ck_assert(!troupe_msg_wants_reply(m));
    ck_assert(!troupe_msg_header(m, "trace", &v));
    ck_assert_int_eq(troupe_msg_value(m).kind, TROUPE_NIL);
    troupe_msg_free(&m);
}
END_TEST

static const struct {
    troupe_value v;
    const char *json;
    bool is_int;
} values[] = {
    {{.kind = TROUPE_NIL}, "null", false},
    {{.kind = TROUPE_BOOL, .b = true}, "true", false},
    {{.kind = TROUPE_INT, .i = -5}, "-5", true},
    {{.kind = TROUPE_INT, .i = INT64_MIN}, "-9223372036854775808", true},
    {{.kind = TROUPE_UINT, .u = UINT64_MAX}, "18446744073709551615", false},
    {{.kind = TROUPE_UINT, .u = 3}, "3", true},
    {{.kind = TROUPE_TEXT, .data = "a\"b", .size = 3}, "\"a\\\"b\"", false},
    {{.kind = TROUPE_BYTES, .data = "\0\1", .size = 2}, "\"base64:AAE=\"", false},
    {{.kind = TROUPE_PACKED, .data = "\x92\x01\xc0", .size = 3}, "[1,null]", false},
};

START_TEST(values_round_trip) {
    int64_t n;
    struct troupe_msg *m;
    ck_assert_int_eq(trp_msg_from_value(&m, values[_i].v, no_headers), TROUPE_OK);
    ck_assert_str_eq(troupe_msg_topic(m), "");
    char *json = troupe_msg_json(m);
    ck_assert_str_eq(json, values[_i].json);
    free(json);
    ck_assert_int_eq(troupe_msg_int(m, &n), values[_i].is_int);
    size_t size;
    const uint8_t *packed = troupe_msg_packed(m, &size);
    struct troupe_msg *again;
    ck_assert_int_eq(trp_msg_from_value(&again, troupe_packed(packed, size), no_headers), TROUPE_OK);
    ck_assert_uint_eq(again->payload.n, m->payload.n);
    ck_assert_mem_eq(again->payload.p, m->payload.p, size);
    troupe_msg_free(&again);
    troupe_msg_free(&m);
}
END_TEST

START_TEST(a_bad_value_is_refused) {
    struct troupe_msg *m = NULL;
    uint8_t deep[TRP_PACK_DEPTH + 1];
    memset(deep, 0x91, sizeof deep);
    deep[TRP_PACK_DEPTH] = 0xc0;
    ck_assert_int_eq(trp_msg_from_value(&m, troupe_packed("\x92\x01", 2), no_headers), TROUPE_INVALID);
    ck_assert_int_eq(trp_msg_from_value(&m, troupe_packed("\x01\x01", 2), no_headers), TROUPE_INVALID);
    ck_assert_int_eq(trp_msg_from_value(&m, troupe_packed(deep, sizeof deep), no_headers), TROUPE_TOO_DEEP);
    ck_assert_ptr_null(m);
}
END_TEST

START_TEST(an_error_answer_has_its_code) {
    uint8_t bytes[512];
    char longest[200];
    struct troupe_msg *m = from_parts("_r.1.2", "", header(bytes, "t-error", "NOT_A_NUMBER"), troupe_text("that is no number"));
    ck_assert_str_eq(troupe_msg_error(m), "NOT_A_NUMBER");
    troupe_msg_free(&m);
    m = from_parts("_r.1.2", "", header(bytes, "t-error", ""), troupe_nil());
    ck_assert_ptr_null(troupe_msg_error(m));
    troupe_msg_free(&m);
    memset(longest, 'X', sizeof longest);
    longest[sizeof longest - 1] = 0;
    m = from_parts("_r.1.2", "", header(bytes, "t-error", longest), troupe_nil());
    ck_assert_uint_eq(strlen(troupe_msg_error(m)), sizeof m->error - 1);
    troupe_msg_free(&m);
}
END_TEST

/* Around the size where a message no longer fits a common block, and far beyond. */
START_TEST(every_size_keeps_its_bytes) {
    static uint8_t bytes[1 << 20];
    struct troupe_msg *kept[3];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    for (size_t n = 0; n <= sizeof bytes; n = n < 700 ? n + 1 : n * 2) {
        for (int i = 0; i < 3; i++)
            kept[i] = from_parts("t", "", no_headers, troupe_bytes(bytes + i, n > 3 ? n - 3 : 0));
        for (int i = 0; i < 3; i++) {
            troupe_value v = troupe_msg_value(kept[i]);
            ck_assert_uint_eq(v.size, n > 3 ? n - 3 : 0);
            ck_assert(v.size == 0 || memcmp(v.data, bytes + i, v.size) == 0);
            troupe_msg_free(&kept[i]);
        }
    }
}
END_TEST

static int settled;

static void count_settled(struct troupe_msg *m, bool nack) {
    ck_assert(!nack);
    ck_assert_str_eq(troupe_msg_topic(m), "t");
    settled++;
}

START_TEST(free_settles_and_drop_does_not) {
    struct troupe_msg *m = from_parts("t", "", no_headers, troupe_nil());
    m->origin.settle = count_settled;
    troupe_msg_free(&m);
    ck_assert_int_eq(settled, 1);
    m = from_parts("t", "", no_headers, troupe_nil());
    m->origin.settle = count_settled;
    trp_msg_drop(m);
    ck_assert_int_eq(settled, 1);
    m = from_parts("t", "", no_headers, troupe_nil()); /* a block that was used before remembers nothing */
    ck_assert(!m->origin.settle);
    troupe_msg_free(&m);
}
END_TEST

enum { MANY = 5000 };

static void *make_and_free_many(void *unused) {
    static _Thread_local struct troupe_msg *m[MANY];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++)
            ck_assert_int_eq(trp_msg_from_value(&m[i], troupe_int(i), no_headers), TROUPE_OK);
        for (int i = 0; i < MANY; i++)
            troupe_msg_free(&m[i]);
    }
    return unused;
}

/* All that was allocated by a thread that is gone has been given back, and what it allocates again and again is not. */
START_TEST(a_thread_gives_its_blocks_back) {
    pthread_t t;
    faults_fail_at(0);
    ck_assert_int_eq(pthread_create(&t, NULL, make_and_free_many, NULL), 0);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    trp_block_trim();
    ck_assert_int_eq(faults.live, 0);
    ck_assert_int_le(faults.calls, 3 * MANY);
}
END_TEST

/* Made here, freed there: the common way of messages between actors. */
static void *free_it(void *arg) {
    struct troupe_msg *m = arg;
    troupe_msg_free(&m);
    return NULL;
}

START_TEST(a_message_may_end_on_another_thread) {
    faults_fail_at(0);
    for (int i = 0; i < 100; i++) {
        pthread_t t;
        struct troupe_msg *m;
        ck_assert_int_eq(trp_msg_from_value(&m, troupe_text("go"), no_headers), TROUPE_OK);
        ck_assert_int_eq(pthread_create(&t, NULL, free_it, m), 0);
        ck_assert_int_eq(pthread_join(t, NULL), 0);
    }
    ck_assert_int_eq(faults.live, 0);
}
END_TEST

START_TEST(no_memory_is_said) {
    struct trp_buf b = {0};
    struct trp_message w;
    const char *why = "";
    struct troupe_msg *m = NULL;
    size_t used;
    ck_assert_int_eq(trp_put_message(&b, trp_slice_str("t"), no_headers, no_headers, troupe_int(1)), TROUPE_OK);
    ck_assert_int_eq(trp_message_read(b.p, b.n, &w, &used, &why), TROUPE_OK);
    faults_fail_at(1);
    ck_assert_ptr_null(trp_msg_from_wire(&w));
    faults_fail_at(1);
    ck_assert_int_eq(trp_msg_from_value(&m, troupe_int(1), no_headers), TROUPE_NO_MEMORY);
    ck_assert_ptr_null(m);
    ck_assert_int_eq(faults.live, 0);
    faults_off();
    m = trp_msg_from_wire(&w);
    faults_fail_at(1);
    ck_assert_ptr_null(troupe_msg_json(m));
    ck_assert_int_eq(faults.live, 0);
    faults_off();
    troupe_msg_free(&m);
    trp_buf_fini(&b);
}
END_TEST

int main(void) {
    const TTest *const reading[] = {the_parts_come_out, a_plain_one_has_no_reply_and_no_headers, a_bad_value_is_refused,
                                    an_error_answer_has_its_code, every_size_keeps_its_bytes};
    const TTest *const memory[] = {free_settles_and_drop_does_not, a_thread_gives_its_blocks_back,
                                   a_message_may_end_on_another_thread, no_memory_is_said};
    Suite *s = suite_create("msg");
    TCase *c = run_case(s, "reading", reading, sizeof reading / sizeof *reading);
    tcase_add_loop_test(c, values_round_trip, 0, sizeof values / sizeof *values);
    run_case(s, "memory", memory, sizeof memory / sizeof *memory);
    return run_suite(s);
}
