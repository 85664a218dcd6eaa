/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The deframer: what comes out does not depend on how the bytes were cut; what is wrong is refused at the first byte
 * that shows it and before memory is taken for it. Each test runs for both framings. */
#include "transports/framing.h"

#include "tests/support/exact.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"
#include <stdio.h>

static const enum trp_framing kinds[] = {TRP_FRAMING_TCP, TRP_FRAMING_IPC};
enum { KINDS = 2, LIMIT = 1000 };

/* --- a stream to cut --- */

static uint8_t stream[4096];
static size_t stream_n;

static void add(const void *p, size_t n) {
    ck_assert_uint_le(stream_n + n, sizeof stream);
    memcpy(stream + stream_n, p, n);
    stream_n += n;
}

static void add_greeting(uint16_t protocol) {
    uint8_t greeting[TRP_GREETING_SIZE];
    trp_greeting_write(greeting, protocol);
    add(greeting, sizeof greeting);
}

static void add_head(enum trp_framing kind, uint64_t n) {
    uint8_t head[TRP_FRAME_HEAD_MAX];
    add(head, (size_t)(trp_frame_head(head, kind, n) - head));
}

static void add_frame(enum trp_framing kind, size_t n, uint8_t fill) {
    uint8_t body[LIMIT + 1];
    ck_assert_uint_le(n, sizeof body);
    memset(body, fill, n);
    add_head(kind, n);
    add(body, n);
}

static void add_some(enum trp_framing kind) {
    static const size_t sizes[] = {1, 0, 7, 8, 9, 100, 0, LIMIT, 3};
    add_greeting(TRP_SP_PAIR1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        add_frame(kind, sizes[i], (uint8_t)('a' + i));
}

/* --- what comes out, as text --- */

static char trace[8192];

static void say(const char *what, unsigned long value, const char *fill) {
    size_t n = strlen(trace);
    snprintf(trace + n, sizeof trace - n, "%s %lu%s;", what, value, fill);
}

static void say_body(struct trp_slice body) {
    char fill[4] = "";
    ck_assert(body.n < 2 || memcmp(body.p, body.p + 1, body.n - 1) == 0); /* all alike */
    if (body.n)
        snprintf(fill, sizeof fill, "%c", body.p[0]);
    say("body", body.n, fill);
}

/* Feeds one piece. False: a fault. */
static bool feed(struct trp_deframer *d, const uint8_t *p, size_t n) {
    uint8_t *copy = exact(p, n);
    const uint8_t *at = copy, *end = copy + n;
    enum trp_frame_event ev = TRP_FRAME_BODY;
    troupe_status st = TROUPE_OK;
    while (st == TROUPE_OK && ev != TRP_FRAME_MORE) {
        uint16_t protocol = 0;
        struct trp_slice body = {0};
        const char *why = NULL;
        st = trp_deframer_next(d, &at, end, &ev, &protocol, &body, &why);
        if (st != TROUPE_OK) {
            ck_assert_ptr_nonnull(why);
            say("fault", (unsigned long)-st, "");
        } else if (ev == TRP_FRAME_GREETING)
            say("greeting", protocol, "");
        else if (ev == TRP_FRAME_BODY)
            say_body(body);
        else
            ck_assert_ptr_eq(at, end);
    }
    free(copy);
    return st == TROUPE_OK;
}

static void begin(struct trp_deframer *d, enum trp_framing kind) {
    trace[0] = '\0';
    trp_deframer_init(d, kind, LIMIT);
}

static const char *some = "greeting 17;body 1a;body 0;body 7c;body 8d;body 9e;body 100f;body 0;body 1000h;body 3i;";

/* --- tests --- */

START_TEST(writes_what_nng_writes) {
    uint8_t greeting[TRP_GREETING_SIZE], head[TRP_FRAME_HEAD_MAX];
    trp_greeting_write(greeting, 0x1234);
    ck_assert_mem_eq(greeting, "\0SP\0\x12\x34\0\0", 8);
    ck_assert_ptr_eq(trp_frame_head(head, TRP_FRAMING_TCP, 0x0102030405060708), head + 8);
    ck_assert_mem_eq(head, "\1\2\3\4\5\6\7\10", 8);
    ck_assert_ptr_eq(trp_frame_head(head, TRP_FRAMING_IPC, 258), head + 9);
    ck_assert_mem_eq(head, "\1\0\0\0\0\0\0\1\2", 9);
    for (int i = 0; i < KINDS; i++)
        ck_assert_uint_eq(trp_frame_head_size(kinds[i]), (size_t)(trp_frame_head(head, kinds[i], 0) - head));
}
END_TEST

START_TEST(cut_at_every_place_gives_the_same) {
    struct trp_deframer d;
    add_some(kinds[_i]);
    for (size_t cut = 0; cut <= stream_n; cut++) {
        begin(&d, kinds[_i]);
        ck_assert(feed(&d, stream, cut));
        ck_assert(feed(&d, stream + cut, stream_n - cut));
        ck_assert_str_eq(trace, some);
        ck_assert(!trp_deframer_partial(&d));
        trp_deframer_fini(&d);
    }
}
END_TEST

START_TEST(pieces_of_every_size_give_the_same) {
    struct trp_deframer d;
    add_some(kinds[_i]);
    for (size_t piece = 1; piece < 300; piece++) {
        begin(&d, kinds[_i]);
        for (size_t at = 0; at < stream_n; at += piece)
            ck_assert(feed(&d, stream + at, stream_n - at < piece ? stream_n - at : piece));
        ck_assert_str_eq(trace, some);
        trp_deframer_fini(&d);
    }
}
END_TEST

START_TEST(whole_frames_are_not_copied) {
    struct trp_deframer d;
    const uint8_t *p = stream;
    enum trp_frame_event ev = TRP_FRAME_BODY;
    add_some(kinds[_i]);
    begin(&d, kinds[_i]);
    while (ev != TRP_FRAME_MORE) {
        uint16_t protocol;
        struct trp_slice body = {stream, 0};
        const char *why;
        ck_assert_int_eq(trp_deframer_next(&d, &p, stream + stream_n, &ev, &protocol, &body, &why), TROUPE_OK);
        ck_assert(body.p >= stream && body.p <= stream + stream_n);
        ck_assert_uint_eq(d.part.cap, 0);
    }
}
END_TEST

START_TEST(partial_is_what_has_begun) {
    struct trp_deframer d;
    size_t head = trp_frame_head_size(kinds[_i]);
    add_greeting(TRP_SP_PAIR0);
    add_frame(kinds[_i], 2, 'x');
    begin(&d, kinds[_i]);
    for (size_t i = 0; i < stream_n; i++) {
        ck_assert_int_eq(trp_deframer_partial(&d), i != 0 && i != 8);
        ck_assert(feed(&d, stream + i, 1));
    }
    ck_assert_uint_eq(stream_n, 8 + head + 2);
    ck_assert(!trp_deframer_partial(&d));
    trp_deframer_fini(&d);
}
END_TEST

START_TEST(an_idle_connection_holds_no_buffer) {
    struct trp_deframer d;
    add_some(kinds[_i]);
    begin(&d, kinds[_i]);
    ck_assert(feed(&d, stream, 500));
    ck_assert(trp_deframer_partial(&d));
    ck_assert(feed(&d, stream + 500, stream_n - 500));
    ck_assert_ptr_null(d.part.p);
}
END_TEST

START_TEST(a_greeting_is_checked_byte_by_byte) {
    for (size_t bad = 0; bad < TRP_GREETING_SIZE; bad++) {
        struct trp_deframer d;
        stream_n = 0;
        add_greeting(TRP_SP_PAIR0);
        stream[bad] ^= 0x20;
        bool number = bad == 4 || bad == 5;
        begin(&d, kinds[_i]);
        ck_assert_int_eq(feed(&d, stream, TRP_GREETING_SIZE), number);
        trp_deframer_fini(&d);
        begin(&d, kinds[_i]);
        for (size_t i = 0; i < bad; i++)
            ck_assert(feed(&d, stream + i, 1));
        ck_assert_int_eq(feed(&d, stream + bad, 1), number);
        trp_deframer_fini(&d);
    }
}
END_TEST

START_TEST(the_limit_is_exact) {
    struct trp_deframer d;
    add_greeting(TRP_SP_PAIR0);
    add_frame(kinds[_i], LIMIT, 'x');
    add_head(kinds[_i], LIMIT + 1);
    begin(&d, kinds[_i]);
    ck_assert(!feed(&d, stream, stream_n));
    ck_assert_str_eq(trace, "greeting 16;body 1000x;fault 5;");
    trp_deframer_fini(&d);
}
END_TEST

START_TEST(absurd_lengths_are_refused) {
    static const uint64_t lengths[] = {UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX - 8, UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct trp_deframer d;
        stream_n = 0;
        add_greeting(TRP_SP_PAIR0);
        add_head(kinds[_i], lengths[i]);
        begin(&d, kinds[_i]);
        ck_assert(!feed(&d, stream, stream_n));
        ck_assert_str_eq(trace, "greeting 16;fault 5;");
        ck_assert_uint_eq(d.part.cap, 0);
    }
}
END_TEST

START_TEST(memory_follows_what_came_not_what_was_claimed) {
    struct trp_deframer d;
    trace[0] = '\0';
    trp_deframer_init(&d, kinds[_i], (size_t)1 << 40);
    add_greeting(TRP_SP_PAIR0);
    add_head(kinds[_i], UINT64_C(1) << 40);
    add("0123456789", 10);
    ck_assert(feed(&d, stream, stream_n));
    ck_assert(trp_deframer_partial(&d));
    ck_assert_uint_lt(d.part.cap, 256);
    trp_deframer_fini(&d);
}
END_TEST

START_TEST(ipc_frames_begin_with_01) {
    for (int first = 0; first < 256; first++) {
        struct trp_deframer d;
        stream_n = 0;
        add_greeting(TRP_SP_PAIR0);
        add_frame(TRP_FRAMING_IPC, 3, 'x');
        stream[8] = (uint8_t)first;
        begin(&d, TRP_FRAMING_IPC);
        ck_assert_int_eq(feed(&d, stream, 9), first == 1);
        trp_deframer_fini(&d);
    }
}
END_TEST

START_TEST(out_of_memory_is_a_fault) {
    add_some(kinds[_i]);
    bool ok = false;
    for (int n = 1; !ok; n++) {
        struct trp_deframer d;
        ok = true;
        faults_fail_at(n);
        begin(&d, kinds[_i]);
        for (size_t at = 0; ok && at < stream_n; at += 90)
            ok = feed(&d, stream + at, stream_n - at < 90 ? stream_n - at : 90);
        if (!ok)
            ck_assert_ptr_nonnull(strstr(trace, "fault 1;"));
        trp_deframer_fini(&d);
        ck_assert_int_eq(faults.live, 0);
        ck_assert(n > 1 || !ok);
        faults_off();
    }
    ck_assert_str_eq(trace, some);
}
END_TEST

int main(void) {
    Suite *s = suite_create("framing");
    TCase *t = tcase_create("framing");
    tcase_add_test(t, writes_what_nng_writes);
    tcase_add_loop_test(t, cut_at_every_place_gives_the_same, 0, KINDS);
    tcase_add_loop_test(t, pieces_of_every_size_give_the_same, 0, KINDS);
    tcase_add_loop_test(t, whole_frames_are_not_copied, 0, KINDS);
    tcase_add_loop_test(t, partial_is_what_has_begun, 0, KINDS);
    tcase_add_loop_test(t, an_idle_connection_holds_no_buffer, 0, KINDS);
    tcase_add_loop_test(t, a_greeting_is_checked_byte_by_byte, 0, KINDS);
    tcase_add_loop_test(t, the_limit_is_exact, 0, KINDS);
    tcase_add_loop_test(t, absurd_lengths_are_refused, 0, KINDS);
    tcase_add_loop_test(t, memory_follows_what_came_not_what_was_claimed, 0, KINDS);
    tcase_add_test(t, ipc_frames_begin_with_01);
    tcase_add_loop_test(t, out_of_memory_is_a_fault, 0, KINDS);
    suite_add_tcase(s, t);
    return run_suite(s);
}
