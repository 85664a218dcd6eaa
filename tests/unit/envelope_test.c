/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The envelope codec: the bytes of PROTOCOL.md's examples, every op both ways, every prefix, every flipped bit. */
#include "transports/envelope.h"

#include <signal.h>
#include <stdio.h>

#include "tests/support/exact.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

static struct trp_slice str(const char *s) {
    return trp_slice_str(s);
}

static const struct trp_slice none;

static struct trp_slice group_options(void) { /* {"group": "workers", "credit": 1} */
    return str("\x82\xa5group\xa7workers\xa6"
               "credit\x01");
}

/* --- one of each --- */

enum { SAMPLES = 21 };

static troupe_status put_sample(struct trp_buf *b, int which) {
    switch (which) {
    case 0:
        return trp_put_info(b, TRP_HELLO,
                            str("\x81\xa4name\xa3"
                                "fib"));
    case 1:
        return trp_put_info(b, TRP_CHALLENGE, none);
    case 2:
        return trp_put_info(b, TRP_AUTH, none);
    case 3:
        return trp_put_info(b, TRP_WELCOME, str("\x81\xa7session\x2a"));
    case 4:
        return trp_put_sub(b, 1, 2, str("fib.*.>"), group_options());
    case 5:
        return trp_put_sub(b, UINT64_MAX, 70000, str("fib"), none);
    case 6:
        return trp_put_unsub(b, 3, 300);
    case 7:
        return trp_put_pub(b, 0, str("fib"), none, none, troupe_int(30));
    case 8:
        return trp_put_pub(b, 1234, str("fib"), str("_r.a.1"), str("\x81\xa1k\xa1v"), troupe_text("thirty"));
    case 9:
        return trp_put_msg_raw(b, 7, 0,
                               str("\x94\xa3"
                                   "fib\xc0\xc0\x1e"));
    case 10:
        return trp_put_msg_raw(b, UINT32_MAX, UINT64_MAX,
                               str("\x94\xa3"
                                   "fib\xa3_r.\x80\x1e"));
    case 11:
        return trp_put_pub_raw(b, 99999,
                               str("\x94\xa3"
                                   "fib\xc0\xc0\x92\x01\x02"));
    case 12:
        return trp_put_ack(b, 1, 2);
    case 13:
        return trp_put_nack(b, 1, 2, none);
    case 14:
        return trp_put_nack(b, 1, 2,
                            str("\x81\xa5"
                                "delay\x05"));
    case 15:
        return trp_put_credit(b, 1, 16);
    case 16:
        return trp_put_ping(b, TRP_PING, 17);
    case 17:
        return trp_put_ping(b, TRP_PONG, 17);
    case 18:
        return trp_put_ok(b, 5, 1, 2);
    case 19:
        return trp_put_err(b, 5, str("NO_RESPONDERS"), str("nobody listens to fib"));
    default:
        return trp_put_close(b, str("SHUTDOWN"), str(""));
    }
}

/* Writes e again with the writers. */
static troupe_status put_again(struct trp_buf *b, const struct trp_envelope *e) {
    switch (e->op) {
    case TRP_SUB:
        return trp_put_sub(b, e->id, e->sid, e->text, e->options);
    case TRP_UNSUB:
        return trp_put_unsub(b, e->id, e->sid);
    case TRP_PUB:
        return trp_put_pub_raw(b, e->id, e->msg.raw);
    case TRP_MSG:
        return trp_put_msg_raw(b, e->sid, e->token, e->msg.raw);
    case TRP_ACK:
        return trp_put_ack(b, e->sid, e->token);
    case TRP_NACK:
        return trp_put_nack(b, e->sid, e->token, e->options);
    case TRP_CREDIT:
        return trp_put_credit(b, e->sid, e->token);
    case TRP_PING:
    case TRP_PONG:
        return trp_put_ping(b, e->op, e->id);
    case TRP_OK:
        return trp_put_ok(b, e->id, e->level, e->count);
    case TRP_ERR:
        return trp_put_err(b, e->id, e->code, e->text);
    case TRP_CLOSE:
        return trp_put_close(b, e->code, e->text);
    default:
        return trp_put_info(b, e->op, e->options);
    }
}

static void read_ok(const void *p, size_t n, struct trp_envelope *e) {
    size_t used = 0;
    const char *why = "";
    troupe_status st = trp_envelope_read(p, n, e, &used, &why);
    ck_assert_msg(st == TROUPE_OK, "%s: %s", troupe_status_name(st), why);
    ck_assert_uint_eq(used, n);
}

static bool inside(struct trp_slice s, const uint8_t *p, size_t n) {
    return s.n == 0 || (s.p >= p && s.p <= p + n && s.n <= (size_t)(p + n - s.p));
}

static void check_borrows(const struct trp_envelope *e, const uint8_t *p, size_t n) {
    const struct trp_slice all[] = {e->code,      e->text,      e->options,     e->msg.raw,
                                    e->msg.topic, e->msg.reply, e->msg.headers, e->msg.payload};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!inside(all[i], p, n)) /* each ck_assert that holds costs a write(2), and this runs often */
            ck_abort_msg("slice %zu lies outside", i);
    }
}

START_TEST(what_is_written_is_read) {
    struct trp_buf b = {0}, again = {0};
    struct trp_envelope e;
    ck_assert_int_eq(put_sample(&b, _i), TROUPE_OK);
    uint8_t *copy = exact(b.p, b.n);
    read_ok(copy, b.n, &e);
    check_borrows(&e, copy, b.n);
    ck_assert_int_eq(put_again(&again, &e), TROUPE_OK);
    ck_assert(trp_slice_eq((struct trp_slice){b.p, b.n}, (struct trp_slice){again.p, again.n}));
    free(copy);
    trp_buf_fini(&b);
    trp_buf_fini(&again);
}
END_TEST

START_TEST(a_prefix_is_truncated) {
    struct trp_buf b = {0};
    struct trp_envelope e;
    ck_assert_int_eq(put_sample(&b, _i), TROUPE_OK);
    for (size_t n = 0; n < b.n; n++) {
        uint8_t *copy = exact(b.p, n);
        size_t used = 99;
        const char *why = NULL;
        ck_assert_int_eq(trp_envelope_read(copy, n, &e, &used, &why), TROUPE_TRUNCATED);
        ck_assert_ptr_nonnull(why);
        ck_assert_uint_eq(used, 99);
        free(copy);
    }
    trp_buf_fini(&b);
}
END_TEST

/* Each byte set to each value, which flips every bit and more. */
START_TEST(broken_bytes_harm_nobody) {
    struct trp_buf b = {0};
    ck_assert_int_eq(put_sample(&b, _i), TROUPE_OK);
    for (size_t i = 0; i < b.n * 256; i++) {
        uint8_t *copy = exact(b.p, b.n);
        struct trp_envelope e;
        size_t used;
        const char *why = NULL;
        copy[i / 256] = (uint8_t)i;
        bool good = trp_envelope_read(copy, b.n, &e, &used, &why) == TROUPE_OK;
        if (good ? used > b.n : !why)
            ck_abort_msg("byte %zu as %02x", i / 256, (unsigned)copy[i / 256]);
        if (good)
            check_borrows(&e, copy, used);
        free(copy);
    }
    trp_buf_fini(&b);
}
END_TEST

START_TEST(without_memory_nothing_is_written) {
    struct trp_buf b = {0};
    for (long n = 1;; n++) {
        faults_fail_at(n);
        troupe_status st = put_sample(&b, _i);
        faults_off();
        if (st == TROUPE_OK)
            break;
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
        ck_assert_uint_eq(b.n, 0);
        ck_assert_int_lt(n, 10);
    }
    trp_buf_fini(&b);
}
END_TEST

START_TEST(a_frame_holds_envelopes_back_to_back) {
    struct trp_buf b = {0};
    for (int i = 0; i < SAMPLES; i++)
        ck_assert_int_eq(put_sample(&b, i), TROUPE_OK);
    const uint8_t *p = b.p, *end = b.p + b.n;
    int count = 0;
    for (; p < end; count++) {
        struct trp_envelope e;
        size_t used;
        const char *why;
        ck_assert_int_eq(trp_envelope_read(p, (size_t)(end - p), &e, &used, &why), TROUPE_OK);
        p += used;
    }
    ck_assert_int_eq(count, SAMPLES);
    trp_buf_fini(&b);
}
END_TEST

/* --- fields --- */

START_TEST(fields_of_a_publication) {
    struct trp_envelope e;
    static const char bytes[] = "\x93\x07\x05\x94\xa3"
                                "fib\xa6_r.a.1\x81\xa1k\xa1v\x1e";
    read_ok(bytes, sizeof bytes - 1, &e);
    ck_assert_int_eq(e.op, TRP_PUB);
    ck_assert_uint_eq(e.id, 5);
    ck_assert(trp_slice_eq(e.msg.topic, str("fib")));
    ck_assert(trp_slice_eq(e.msg.reply, str("_r.a.1")));
    ck_assert(trp_slice_eq(e.msg.headers, str("\x81\xa1k\xa1v")));
    ck_assert(trp_slice_eq(e.msg.payload, str("\x1e")));
    ck_assert(trp_slice_eq(e.msg.raw, str(bytes + 3)));
    ck_assert_ptr_null(e.msg.blob);
}
END_TEST

START_TEST(nil_and_empty_are_none) {
    struct trp_envelope e;
    read_ok("\x93\x07\x00\x94\xa1t\xc0\xc0\xc0", 9, &e);
    ck_assert(!e.msg.reply.n && !e.msg.headers.n);
    read_ok("\x93\x07\x00\x94\xa1t\xa0\x80\xc0", 9, &e);
    ck_assert(!e.msg.reply.n && e.msg.headers.n == 1);
    read_ok("\x95\x05\x01\x02\xa1t\xc0", 7, &e);
    ck_assert_uint_eq(e.options.n, 0);
    read_ok("\x92\x01\xc0", 3, &e);
    ck_assert_int_eq(e.op, TRP_HELLO);
}
END_TEST

START_TEST(fields_of_a_delivery) {
    struct trp_envelope e;
    read_ok("\x94\x08\xcd\x01\x00\xcc\xff\x94\xa1t\xc0\xc0\xc4\x01\x00", 15, &e);
    ck_assert_int_eq(e.op, TRP_MSG);
    ck_assert_uint_eq(e.sid, 256);
    ck_assert_uint_eq(e.token, 255);
    ck_assert_uint_eq(e.msg.payload.n, 3);
    ck_assert_uint_eq(e.id, 0);
}
END_TEST

START_TEST(fields_of_the_others) {
    struct trp_envelope e;
    read_ok("\x95\x05\x01\x02\xa1t\x81\xa6"
            "credit\x05",
            15, &e);
    ck_assert_uint_eq(e.id, 1);
    ck_assert_uint_eq(e.sid, 2);
    ck_assert(trp_slice_eq(e.text, str("t")));
    read_ok("\x93\x0b\x01\x02", 4, &e);
    ck_assert(e.op == TRP_CREDIT && e.sid == 1 && e.token == 2);
    read_ok("\x94\x0f\x01\x02\x03", 5, &e);
    ck_assert(e.op == TRP_OK && e.id == 1 && e.level == 2 && e.count == 3);
    read_ok("\x94\x10\x01\xa1"
            "C\xa1T",
            7, &e);
    ck_assert(e.op == TRP_ERR && trp_slice_eq(e.code, str("C")) && trp_slice_eq(e.text, str("T")));
    read_ok("\x93\x11\xa1"
            "C\xa1T",
            6, &e);
    ck_assert(e.op == TRP_CLOSE && trp_slice_eq(e.code, str("C")) && trp_slice_eq(e.text, str("T")));
    read_ok("\x95\x0c\x09\xa4stat\xa1q\x80", 11, &e);
    ck_assert(e.op == TRP_QUEUE && e.id == 9 && trp_slice_eq(e.code, str("stat")) && trp_slice_eq(e.text, str("q")));
}
END_TEST

START_TEST(longer_arrays_are_the_future) {
    struct trp_envelope e;
    read_ok("\x93\x0d\x11\x92\x01\x02", 6, &e); /* PING with one more */
    ck_assert(e.op == TRP_PING && e.id == 17);
    read_ok("\x95\x07\x01\x95\xa1t\xc0\xc0\x05\xc3\xa1x\x81\x01\x02", 15, &e); /* PUB and its message, each */
    ck_assert(trp_slice_eq(e.msg.topic, str("t")) && e.msg.payload.n == 1 && e.msg.raw.n == 7);
    read_ok("\xdc\x00\x03\xcc\x07\x00\xdd\x00\x00\x00\x04\xd9\x01t\xc0\xde\x00\x00\xc0", 20 - 1, &e); /* wide forms */
    ck_assert(e.op == TRP_PUB && trp_slice_eq(e.msg.topic, str("t")));
}
END_TEST

/* --- the page that others write clients from --- */

/* The bytes at the start of a line of hex, as far as they go. */
static size_t hex_line(const char *line, uint8_t *out, size_t cap) {
    size_t n = 0;
    unsigned byte;
    int used;
    while (n < cap && sscanf(line, "%2x%n", &byte, &used) == 1 && used == 2) {
        out[n++] = (uint8_t)byte;
        line += used;
        if (*line++ != ' ' || *line == ' ')
            break;
    }
    return n;
}

START_TEST(the_examples_of_the_protocol_page) {
    FILE *f = fopen(PROTOCOL_MD, "r");
    char line[512];
    bool hex = false;
    unsigned seen = 0;
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f)) {
        uint8_t bytes[256];
        struct trp_envelope e;
        if (strncmp(line, "```", 3) == 0) {
            hex = strcmp(line, "```hex\n") == 0;
        } else if (hex) {
            read_ok(bytes, hex_line(line, bytes, sizeof bytes), &e);
            seen |= 1u << e.op;
        }
    }
    fclose(f);
    ck_assert_uint_eq(seen, (1u << (TRP_CLOSE + 1)) - 1 - 1); /* all */
}
END_TEST

/* --- faults --- */

struct broken {
    const char *bytes;
    size_t n;
    troupe_status st;
    const char *word;
};

static const struct broken brokens[] = {
#define B(s, st, word)                                                                                                         \
    { s, sizeof s - 1, TROUPE_##st, word }
    B("\x07", PROTOCOL, "not an array"),
    B("\x80", PROTOCOL, "not an array"),
    B("\xa3"
      "fib",
      PROTOCOL, "not an array"),
    B("\xc1", PROTOCOL, "0xc1"),
    B("\x90", PROTOCOL, "empty"),
    B("\x91\xc0", PROTOCOL, "op"),
    B("\x91\xff", PROTOCOL, "op"),
    B("\x91\x00", UNSUPPORTED, "no such op"),
    B("\x91\x12", UNSUPPORTED, "no such op"),
    B("\x91\xcf\x00\x00\x00\x01\x00\x00\x00\x07", UNSUPPORTED, "no such op"),
    B("\x91\x0d", PROTOCOL, "too few fields"),
    B("\x92\x07\x00", PROTOCOL, "too few fields"),
    B("\x92\x0d\xc0", PROTOCOL, "id"),
    B("\x92\x0d\xff", PROTOCOL, "id"),
    B("\x93\x09\xa0\x01", PROTOCOL, "sid"),
    B("\x93\x09\x01\xa0", PROTOCOL, "token"),
    B("\x94\x0f\x01\xc3\x01", PROTOCOL, "level"),
    B("\x94\x0f\x01\x01\xc3", PROTOCOL, "count"),
    B("\x94\x10\x01\x01\xa0", PROTOCOL, "code"),
    B("\x94\x10\x01\xa0\x01", PROTOCOL, "text"),
    B("\x95\x05\x01\x02\x03\x80", PROTOCOL, "pattern"),
    B("\x95\x05\x01\x02\xa1t\x90", PROTOCOL, "options"),
    B("\x92\x01\x90", PROTOCOL, "options"),
    B("\x93\x07\x00\x80", PROTOCOL, "message is not an array"),
    B("\x93\x07\x00\x93\xa1t\xc0\xc0", PROTOCOL, "fewer than four"),
    B("\x93\x07\x00\x94\xc4\x01t\xc0\xc0\xc0", PROTOCOL, "topic"),
    B("\x93\x07\x00\x94\xc0\xc0\xc0\xc0", PROTOCOL, "topic"),
    B("\x93\x07\x00\x94\xa1t\x01\xc0\xc0", PROTOCOL, "reply"),
    B("\x93\x07\x00\x94\xa1t\xc0\x90\xc0", PROTOCOL, "headers"),
    B("\x93\x07\x00\x94\xa1t\xc0\xc0\xc1", PROTOCOL, "0xc1"),
    B("\x93\x07\x00\x94\xa1t\xc0\x81\x01\xc1\xc0", PROTOCOL, "0xc1"),
    B("\x93\x0d\x01\xc1", PROTOCOL, "0xc1"),
    B("\x93\x07\x00\x94\xa1t\xc0\xc0\xdd\xff\xff\xff\xff", TRUNCATED, "too early"),
    B("\x93\x07\x00\x94\xa1t\xc0\xc0\xc6\xff\xff\xff\xff", TRUNCATED, "too early"),
    B("\x93\x07\x00\x94\xdb\xff\xff\xff\xfft\xc0\xc0\xc0", TRUNCATED, "too early"),
    B("\xdd\xff\xff\xff\xff\x07", TRUNCATED, "too early"),
#undef B
};

START_TEST(broken_envelopes_name_their_fault) {
    const struct broken *k = &brokens[_i];
    uint8_t *copy = exact(k->bytes, k->n);
    struct trp_envelope e;
    size_t used = 99;
    const char *why = "";
    ck_assert_int_eq(trp_envelope_read(copy, k->n, &e, &used, &why), k->st);
    ck_assert_msg(strstr(why, k->word) != NULL, "%s, not %s", why, k->word);
    ck_assert_uint_eq(used, 99);
    free(copy);
}
END_TEST

START_TEST(the_protocol_has_a_name_for_each_fault) {
    ck_assert_str_eq(trp_envelope_fault(TROUPE_PROTOCOL), "BAD_ENVELOPE");
    ck_assert_str_eq(trp_envelope_fault(TROUPE_TRUNCATED), "BAD_ENVELOPE");
    ck_assert_str_eq(trp_envelope_fault(TROUPE_UNSUPPORTED), "UNKNOWN_OP");
    ck_assert_str_eq(trp_envelope_fault(TROUPE_TOO_BIG), "TOO_BIG");
    ck_assert_str_eq(trp_envelope_fault(TROUPE_TOO_DEEP), "TOO_DEEP");
}
END_TEST

/* [PUB, 0, [topic of n bytes, nil, nil, nil]] */
static troupe_status read_topic_of(size_t n) {
    struct trp_buf b = {0};
    struct trp_envelope e;
    size_t used;
    const char *why;
    char topic[400];
    memset(topic, 't', sizeof topic);
    ck_assert_int_eq(trp_buf_put(&b, "\x93\x07\x00\x94\xda", 5), TROUPE_OK);
    const uint8_t size[2] = {(uint8_t)(n >> 8), (uint8_t)n};
    ck_assert_int_eq(trp_buf_put(&b, size, 2), TROUPE_OK);
    ck_assert_int_eq(trp_buf_put(&b, topic, n), TROUPE_OK);
    ck_assert_int_eq(trp_buf_put(&b, "\xc0\xc0\xc0", 3), TROUPE_OK);
    troupe_status st = trp_envelope_read(b.p, b.n, &e, &used, &why);
    trp_buf_fini(&b);
    return st;
}

START_TEST(topics_have_a_length) {
    char topic[300];
    struct trp_buf b = {0};
    memset(topic, 't', sizeof topic);
    struct trp_slice longest = {(uint8_t *)topic, TRP_TOPIC_MAX}, longer = {(uint8_t *)topic, TRP_TOPIC_MAX + 1};
    ck_assert_int_eq(read_topic_of(TRP_TOPIC_MAX), TROUPE_OK);
    ck_assert_int_eq(read_topic_of(TRP_TOPIC_MAX + 1), TROUPE_TOO_BIG);
    ck_assert_int_eq(trp_put_pub(&b, 1, longest, longest, none, troupe_nil()), TROUPE_OK);
    b.n = 0;
    ck_assert_int_eq(trp_put_pub(&b, 1, longer, none, none, troupe_nil()), TROUPE_TOO_BIG);
    ck_assert_int_eq(trp_put_pub(&b, 1, longest, longer, none, troupe_nil()), TROUPE_TOO_BIG);
    ck_assert_int_eq(trp_put_message(&b, longer, none, none, troupe_nil()), TROUPE_TOO_BIG);
    ck_assert_int_eq(trp_put_sub(&b, 1, 1, longer, none), TROUPE_TOO_BIG);
    ck_assert_int_eq(trp_put_err(&b, 1, longer, none), TROUPE_TOO_BIG);
    ck_assert_int_eq(trp_put_close(&b, longer, none), TROUPE_TOO_BIG);
    ck_assert_uint_eq(b.n, 0);
    trp_buf_fini(&b);
}
END_TEST

START_TEST(what_the_reader_refuses_the_writer_refuses) {
    struct trp_buf b = {0};
    struct trp_envelope e;
    uint8_t deep[TRP_INNER_DEPTH + 2];
    memset(deep, 0x91, sizeof deep);
    deep[TRP_INNER_DEPTH] = 0xc0;
    ck_assert_int_eq(trp_put_pub(&b, 1, str("t"), none, none, troupe_packed(deep, TRP_INNER_DEPTH + 1)), TROUPE_OK);
    read_ok(b.p, b.n, &e);
    b.n = 0;
    deep[TRP_INNER_DEPTH] = 0x91;
    deep[TRP_INNER_DEPTH + 1] = 0xc0;
    ck_assert_int_eq(trp_put_pub(&b, 1, str("t"), none, none, troupe_packed(deep, TRP_INNER_DEPTH + 2)), TROUPE_TOO_DEEP);
    deep[0] = 0x81;
    ck_assert_int_eq(trp_put_pub(&b, 1, str("t"), none, (struct trp_slice){deep, sizeof deep}, troupe_nil()), TROUPE_TOO_DEEP);
    ck_assert_int_eq(trp_put_pub(&b, 1, str("t"), none, str("\x81\x01"), troupe_nil()), TROUPE_INVALID);
    ck_assert_int_eq(trp_put_pub(&b, 1, str("t"), none, str("\x91\x01"), troupe_nil()), TROUPE_INVALID);
    ck_assert_int_eq(trp_put_pub(&b, 1, str("t"), none, str("\x80\x80"), troupe_nil()), TROUPE_INVALID);
    ck_assert_int_eq(trp_put_pub(&b, 1, str("t"), none, none, troupe_packed("\x91", 1)), TROUPE_INVALID);
    ck_assert_int_eq(trp_put_message(&b, str("t"), none, str("\xc0"), troupe_nil()), TROUPE_INVALID);
    ck_assert_uint_eq(b.n, 0);
    trp_buf_fini(&b);
}
END_TEST

START_TEST(a_nesting_bomb_is_too_deep) {
    struct trp_envelope e;
    size_t used;
    const char *why = "";
    uint8_t bytes[4096] = {0x93, 0x07, 0x00, 0x94, 0xa1, 't', 0xc0, 0xc0};
    memset(bytes + 8, 0x91, sizeof bytes - 8);
    ck_assert_int_eq(trp_envelope_read(bytes, sizeof bytes, &e, &used, &why), TROUPE_TOO_DEEP);
    ck_assert_ptr_nonnull(strstr(why, "too deep"));
    memset(bytes, 0x91, sizeof bytes);
    ck_assert_int_eq(trp_envelope_read(bytes, sizeof bytes, &e, &used, &why), TROUPE_TOO_DEEP);
}
END_TEST

/* --- bare messages --- */

START_TEST(a_message_by_itself) {
    struct trp_buf b = {0};
    struct trp_message m;
    size_t used = 99;
    const char *why = NULL;
    ck_assert_int_eq(trp_put_message(&b, str("fib"), str("_r.x"), str("\x80"), troupe_text("hi")), TROUPE_OK);
    for (size_t n = 0; n < b.n; n++) {
        uint8_t *copy = exact(b.p, n);
        ck_assert_int_eq(trp_message_read(copy, n, &m, &used, &why), TROUPE_TRUNCATED);
        free(copy);
    }
    ck_assert_int_eq(trp_message_read(b.p, b.n, &m, &used, &why), TROUPE_OK);
    ck_assert_uint_eq(used, b.n);
    ck_assert(trp_slice_eq(m.raw, (struct trp_slice){b.p, b.n}));
    ck_assert(trp_slice_eq(m.reply, str("_r.x")) && trp_slice_eq(m.payload, str("\xa2hi")));
    ck_assert_int_eq(trp_message_read(NULL, 0, &m, &used, &why), TROUPE_TRUNCATED);
    b.n = 0;
    trp_buf_fini(&b);
    for (long n = 1; n < 3; n++) {
        faults_fail_at(n);
        troupe_status st = trp_put_message(&b, str("fib"), none, none, troupe_int(1));
        faults_off();
        ck_assert_int_eq(st, n == 1 ? TROUPE_NO_MEMORY : TROUPE_OK);
    }
    trp_buf_fini(&b);
}
END_TEST

START_TEST(the_head_of_a_delivery) {
    static const uint64_t numbers[] = {0, 127, 128, 65536, UINT64_MAX};
    enum { N = sizeof numbers / sizeof *numbers };
    for (int i = 0; i < N * N; i++) {
        uint8_t bytes[TRP_MSG_HEAD_MAX + 8];
        uint8_t *end = trp_msg_head(bytes, numbers[i / N], numbers[i % N]);
        ck_assert_int_le(end - bytes, TRP_MSG_HEAD_MAX);
        memcpy(end, "\x94\xa1t\xc0\xc0\x05", 6);
        struct trp_envelope e;
        read_ok(bytes, (size_t)(end + 6 - bytes), &e);
        ck_assert(e.op == TRP_MSG && e.sid == numbers[i / N] && e.token == numbers[i % N]);
    }
}
END_TEST

/* --- maps --- */

START_TEST(keys_are_looked_up) {
    struct trp_slice map = str("\x86\xa5group\xa1g\x07\xa1i\x81\x01\x02\xc0\xa6"
                               "credit\x05\xa6"
                               "credit\x09\xa1v\x92\x01\x02");
    uint64_t u = 0;
    struct trp_slice s;
    troupe_value v;
    ck_assert(trp_map_str(map, "group", &s) && trp_slice_eq(s, str("g")));
    ck_assert(trp_map_uint(map, "credit", &u) && u == 5);
    ck_assert(trp_map_value(map, "v", &v) && v.kind == TROUPE_PACKED && v.size == 3);
    ck_assert(trp_map_value(map, "credit", &v) && v.kind == TROUPE_INT && v.i == 5);
    ck_assert(!trp_map_uint(map, "group", &u));
    ck_assert(!trp_map_str(map, "credit", &s));
    ck_assert(!trp_map_str(map, "grou", &s) && !trp_map_str(map, "groups", &s) && !trp_map_str(map, "", &s));
    ck_assert(!trp_map_value(map, "i", &v));
    ck_assert(!trp_map_uint(none, "x", &u) && !trp_map_uint(str("\x91\x01"), "x", &u));
}
END_TEST

START_TEST(a_cut_map_has_no_keys_beyond_the_cut) {
    struct trp_slice map = str("\x82\xa5group\xa1g\xa6"
                               "credit\x05");
    for (size_t n = 0; n < map.n; n++) {
        uint8_t *copy = exact(map.p, n);
        uint64_t u;
        ck_assert(!trp_map_uint((struct trp_slice){copy, n}, "credit", &u));
        free(copy);
    }
}
END_TEST

START_TEST(ops_that_are_no_information_are_our_bug) {
    struct trp_buf b = {0};
    ck_assert_int_eq(trp_put_info(&b, TRP_SUB, none), TROUPE_OK);
}
END_TEST

int main(void) {
    const TTest *const fields[] = {a_frame_holds_envelopes_back_to_back,
                                   fields_of_a_publication,
                                   nil_and_empty_are_none,
                                   fields_of_a_delivery,
                                   fields_of_the_others,
                                   longer_arrays_are_the_future,
                                   a_message_by_itself,
                                   the_examples_of_the_protocol_page,

                                   the_head_of_a_delivery};
    const TTest *const faulty[] = {the_protocol_has_a_name_for_each_fault, topics_have_a_length,
                                   what_the_reader_refuses_the_writer_refuses, a_nesting_bomb_is_too_deep};
    const TTest *const maps[] = {keys_are_looked_up, a_cut_map_has_no_keys_beyond_the_cut};
    Suite *s = suite_create("envelope");
    TCase *c = run_case(s, "fields", fields, sizeof fields / sizeof *fields);
    tcase_add_loop_test(c, what_is_written_is_read, 0, SAMPLES);
    c = run_case(s, "faults", faulty, sizeof faulty / sizeof *faulty);
    tcase_set_timeout(c, 30);
    tcase_add_loop_test(c, a_prefix_is_truncated, 0, SAMPLES);
    tcase_add_loop_test(c, broken_bytes_harm_nobody, 0, SAMPLES);
    tcase_add_loop_test(c, without_memory_nothing_is_written, 0, SAMPLES);
    tcase_add_loop_test(c, broken_envelopes_name_their_fault, 0, sizeof brokens / sizeof *brokens);
    tcase_add_test_raise_signal(c, ops_that_are_no_information_are_our_bug, SIGABRT);
    run_case(s, "maps", maps, sizeof maps / sizeof *maps);
    return run_suite(s);
}
