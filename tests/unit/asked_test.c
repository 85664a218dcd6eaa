/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Questions that wait at an object: in order, answered once, and not kept for those who have given up. */
#include "actors/object.h"
#include "actors/self.h"
#include "tests/support/actors.h"

static uint64_t numbers;

static struct troupe_msg *question(void) {
    struct troupe_msg *m;
    ck_assert_int_eq(trp_msg_from_value(&m, troupe_int((int64_t)++numbers), (struct trp_slice){0}), TROUPE_OK);
    trp_question_make(m, me->actor, numbers);
    return m;
}

/* A question whose asker waits; it gives up by trp_wait_withdraw. */
static struct troupe_msg *asked(struct trp_ask *ask) {
    struct troupe_msg *m = question();
    *ask = (struct trp_ask){.wait = {.who = me->actor, .role = TRP_WAIT_ASK}, .number = numbers};
    trp_ask_begin(me->actor, ask);
    return m;
}

START_TEST(those_given_up_are_swept_out) {
    struct trp_asked q;
    struct trp_ask asks[10];
    trp_asked_init(&q);
    for (int i = 0; i < 1000; i++)
        trp_asked_add(&q, i % 100 == 50 ? asked(&asks[i / 100]) : question());
    ck_assert_uint_le(q.count, 64);
    for (int i = 0; i < 10; i++) {
        struct troupe_msg *m = trp_asked_take(&q);
        while (!trp_question_waits(m)) {
            trp_asked_no(m, TROUPE_CLOSED);
            m = trp_asked_take(&q);
        }
        ck_assert_uint_eq(m->ask, asks[i].number); /* the others are still there, in order */
        trp_asked_yes(m);
        ck_assert(trp_wait_done(&asks[i].wait));
        ck_assert_int_eq(asks[i].wait.st, TROUPE_OK);
        trp_msg_drop(asks[i].answer);
    }
    trp_asked_all_no(&q, TROUPE_CLOSED);
    ck_assert_uint_eq(q.count, 0);
    ck_assert_ptr_null(trp_asked_take(&q));
}
END_TEST

START_TEST(each_is_answered_once) {
    struct trp_ask ask;
    struct trp_asked q;
    trp_asked_init(&q);
    struct troupe_msg *kept = trp_asked_accept(asked(&ask));
    ck_assert_ptr_nonnull(kept); /* a message like any other */
    ck_assert_ptr_null(kept->owner);
    ck_assert_uint_eq(kept->ask, 0);
    ck_assert(trp_wait_done(&ask.wait));
    trp_msg_drop(ask.answer);
    trp_msg_drop(kept);
    ck_assert_ptr_null(trp_asked_accept(question())); /* nobody waited */
    trp_asked_add(&q, asked(&ask));
    trp_asked_all_no(&q, TROUPE_DIED);
    ck_assert_int_eq(ask.wait.st, TROUPE_DIED);
}
END_TEST

START_TEST(words_are_told_from_values) {
    uint8_t bytes[TRP_WORD_SIZE];
    struct troupe_msg *m;
    ck_assert_int_eq(trp_msg_from_value(&m, trp_word_value(TRP_WORD_WORKER, UINT64_MAX - 5, bytes), (struct trp_slice){0}),
                     TROUPE_OK);
    ck_assert_int_eq(trp_word_of(m), TRP_WORD_WORKER);
    ck_assert_uint_eq(trp_word_number(m), UINT64_MAX - 5);
    trp_msg_drop(m);
    const troupe_value others[] = {troupe_nil(), troupe_int(3), troupe_text("get"), troupe_bytes(bytes, sizeof bytes)};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ck_assert_int_eq(trp_msg_from_value(&m, others[i], (struct trp_slice){0}), TROUPE_OK);
        ck_assert_int_eq(trp_word_of(m), TRP_WORD_NONE);
        trp_msg_drop(m);
    }
}
END_TEST

static void alone_up(void) {
    system_up_with(&(troupe_system_opts){.threads = 1, .no_processes = true});
}

int main(void) {
    const TTest *const tests[] = {those_given_up_are_swept_out, each_is_answered_once, words_are_told_from_values};
    Suite *s = suite_create("asked");
    tcase_add_checked_fixture(run_case(s, "asked", tests, sizeof tests / sizeof *tests), alone_up, system_down);
    return run_suite(s);
}
