/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What every kind of actor promises: each test is a loop over the kinds, with the same bodies. Bodies assert nothing,
 * since a process's would be heard by nobody: they send what they have seen to the test, which is an actor, too. */
#include <errno.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/actors.h"

/* --- life --- */

static void returns(troupe_self *self, void *arg) {
    (void)self, (void)arg;
}

START_TEST(an_actor_ends_when_its_body_returns) {
    troupe_exit exit;
    troupe_ref ref = spawn(_i, returns, NULL, 0);
    ck_assert_int_eq(troupe_join(me, ref, PATIENCE_MS, &exit), TROUPE_OK);
    ck_assert_int_eq(exit.how, TROUPE_END_NORMAL);
    ck_assert_str_eq(exit.text, "normal");
    ck_assert_int_eq(troupe_send(me, ref, troupe_int(1)), TROUPE_NOT_FOUND);
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_NOT_FOUND);
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_NOT_FOUND);
    ck_assert_int_eq(troupe_join(me, ref, 0, NULL), TROUPE_OK);
}
END_TEST

struct cargo {
    troupe_ref to;
    uint8_t bytes[100000];
};

static void sums_its_argument(troupe_self *self, void *arg) {
    const struct cargo *cargo = arg;
    int64_t sum = 0;
    for (size_t i = 0; i < sizeof cargo->bytes; i++)
        sum += cargo->bytes[i];
    say(self, cargo->to, sum);
}

START_TEST(arguments_are_copied) {
    static struct cargo cargo;
    const size_t size = _i % 2 ? sizeof cargo : sizeof cargo / 2;
    cargo.to = troupe_self_ref(me);
    memset(cargo.bytes, 1, sizeof cargo.bytes);
    troupe_ref ref = spawn(_i, sums_its_argument, &cargo, sizeof cargo);
    memset(&cargo, 0, sizeof cargo);
    ck_assert_int_eq(hear(), sizeof cargo.bytes);
    ends(ref, TROUPE_END_NORMAL);
    (void)size;
}
END_TEST

static void knows_itself(troupe_self *self, void *arg) {
    const troupe_ref *to = arg;
    troupe_msg *m;
    say(self, *to, (int64_t)troupe_self_ref(self).id);
    say(self, *to, troupe_self_kind(self));
    (void)!troupe_send(self, *to, troupe_text(troupe_self_name(self)));
    /* A message to oneself comes like any other. */
    (void)!troupe_send(self, troupe_self_ref(self), troupe_int(7));
    if (troupe_receive(self, PATIENCE_MS, &m) == TROUPE_OK) {
        say(self, *to, troupe_msg_sender(m).id == troupe_self_ref(self).id);
        troupe_msg_free(&m);
    }
}

START_TEST(an_actor_knows_itself) {
    troupe_ref to = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.kind = (troupe_kind)_i, .name = "clerk"};
    troupe_msg *m;
    ck_assert_int_eq(troupe_spawn(me, &opts, knows_itself, &to, sizeof to, &ref), TROUPE_OK);
    ck_assert_int_eq(hear(), (int64_t)ref.id);
    ck_assert_int_eq(hear(), _i);
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    ck_assert_uint_eq(troupe_msg_sender(m).id, ref.id);
    ck_assert_mem_eq(troupe_msg_value(m).data, "clerk", 5);
    troupe_msg_free(&m);
    ck_assert_int_eq(hear(), 1);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

static int global = 1;

static void sees_the_global(troupe_self *self, void *arg) {
    say(self, *(troupe_ref *)arg, global++);
}

START_TEST(only_a_process_has_globals_of_its_own) {
    troupe_ref to = troupe_self_ref(me);
    global = 5; /* after the system was opened */
    ends(spawn(_i, sees_the_global, &to, sizeof to), TROUPE_END_NORMAL);
    ck_assert_int_eq(hear(), _i == TROUPE_PROCESS ? 1 : 5);
    ck_assert_int_eq(global, _i == TROUPE_PROCESS ? 5 : 6);
}
END_TEST

/* --- receiving --- */

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void waits_in_vain(troupe_self *self, void *arg) {
    const troupe_ref *to = arg;
    troupe_msg *m;
    int64_t began = now_ms();
    say(self, *to, troupe_receive(self, 0, &m));
    say(self, *to, troupe_receive(self, 30, &m));
    say(self, *to, now_ms() - began);
    say(self, *to, troupe_sleep(self, 30));
    say(self, *to, now_ms() - began);
}

START_TEST(waiting_ends_in_time_and_not_before) {
    troupe_ref to = troupe_self_ref(me), ref = spawn(_i, waits_in_vain, &to, sizeof to);
    ck_assert_int_eq(hear(), TROUPE_TIMEOUT);
    ck_assert_int_eq(hear(), TROUPE_TIMEOUT);
    ck_assert_int_ge(hear(), 30);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_ge(hear(), 60);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

/* Counts how many came in order until it is closed, then tells. */
static void counts(troupe_self *self, void *arg) {
    const troupe_ref *to = arg;
    int64_t next = 0, n;
    troupe_msg *m;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        if (troupe_msg_int(m, &n) && n == next)
            next++;
        troupe_msg_free(&m);
    }
    say(self, *to, next);
}

START_TEST(order_is_kept_through_a_small_mailbox) {
    troupe_ref to = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.kind = (troupe_kind)_i, .mailbox = 16};
    ck_assert_int_eq(troupe_spawn(me, &opts, counts, &to, sizeof to, &ref), TROUPE_OK);
    for (int i = 0; i < 10000; i++)
        ck_assert_int_eq(troupe_send(me, ref, troupe_int(i)), TROUPE_OK);
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK);
    ends(ref, TROUPE_END_NORMAL);
    ck_assert_int_eq(hear(), 10000);
}
END_TEST

struct pour {
    troupe_ref into;
    int64_t count;
};

static void pours(troupe_self *self, void *arg) {
    const struct pour *pour = arg;
    for (int64_t i = 0; i < pour->count; i++) {
        if (troupe_send(self, pour->into, troupe_int(i)) != TROUPE_OK)
            return;
    }
}

/* Counts per sender, however they mix. */
START_TEST(order_is_kept_per_sender) {
    enum { SENDERS = 4, EACH = 500 };
    struct pour pour = {troupe_self_ref(me), EACH};
    troupe_ref refs[SENDERS];
    int64_t next[SENDERS] = {0}, n;
    troupe_msg *m;
    for (int i = 0; i < SENDERS; i++)
        refs[i] = spawn(_i, pours, &pour, sizeof pour);
    for (int i = 0; i < SENDERS * EACH; i++) {
        ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
        int who = 0;
        while (refs[who].id != troupe_msg_sender(m).id)
            who++;
        ck_assert(troupe_msg_int(m, &n));
        ck_assert_int_eq(n, next[who]++);
        troupe_msg_free(&m);
    }
    for (int i = 0; i < SENDERS; i++)
        ends(refs[i], TROUPE_END_NORMAL);
}
END_TEST

/* --- full mailboxes --- */

/* Asks for leave to begin, and receives nothing before: a way to fill its mailbox. Then tells what it received. */
static void holds_then_tells(troupe_self *self, void *arg) {
    const troupe_ref *to = arg;
    troupe_msg *m;
    int64_t n;
    if (troupe_ask(self, *to, troupe_text("may I?"), TROUPE_FOREVER, &m) != TROUPE_OK)
        return;
    troupe_msg_free(&m);
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        say(self, *to, troupe_msg_int(m, &n) ? n : -1);
        troupe_msg_free(&m);
    }
    say(self, *to, -2);
}

/* The question of a body that holds. */
static troupe_msg *held(void) {
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    ck_assert(troupe_msg_wants_reply(m));
    return m;
}

static void let_go(troupe_msg *m) {
    ck_assert_int_eq(troupe_reply(me, m, troupe_nil()), TROUPE_OK);
    ck_assert_int_eq(troupe_reply(me, m, troupe_nil()), TROUPE_NOT_FOUND);
    troupe_msg_free(&m);
}

static troupe_ref spawn_holding(int kind, troupe_overflow overflow, size_t bytes) {
    troupe_ref to = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.kind = (troupe_kind)kind, .mailbox = 4, .mailbox_bytes = bytes, .overflow = overflow};
    ck_assert_int_eq(troupe_spawn(me, &opts, holds_then_tells, &to, sizeof to, &ref), TROUPE_OK);
    return ref;
}

START_TEST(a_full_mailbox_may_fail_the_sender) {
    troupe_ref ref = spawn_holding(_i, TROUPE_FAIL, 0);
    troupe_msg *m = held();
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(troupe_send(me, ref, troupe_int(i)), TROUPE_OK);
    ck_assert_int_eq(troupe_send(me, ref, troupe_int(4)), TROUPE_FULL);
    ck_assert_int_eq(troupe_try_send(me, ref, troupe_int(4)), TROUPE_FULL);
    troupe_msg *answer;
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(4), 1000, &answer), TROUPE_FULL);
    let_go(m);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(hear(), i);
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK);
    ck_assert_int_eq(hear(), -2);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

START_TEST(a_full_mailbox_may_drop_the_oldest) {
    troupe_ref ref = spawn_holding(_i, TROUPE_DROP_OLDEST, 0);
    troupe_msg *m = held();
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(troupe_send(me, ref, troupe_int(i)), TROUPE_OK);
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK);
    let_go(m);
    for (int i = 6; i < 10; i++)
        ck_assert_int_eq(hear(), i);
    ck_assert_int_eq(hear(), -2);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

START_TEST(a_mailbox_is_bounded_in_bytes) {
    static const uint8_t big[6000];
    troupe_ref ref = spawn_holding(_i, TROUPE_FAIL, 10000);
    troupe_msg *m = held();
    ck_assert_int_eq(troupe_send(me, ref, troupe_bytes(big, sizeof big)), TROUPE_OK);
    ck_assert_int_eq(troupe_send(me, ref, troupe_bytes(big, sizeof big)), TROUPE_FULL);
    ck_assert_int_eq(troupe_send(me, ref, troupe_int(1)), TROUPE_OK);
    let_go(m);
    ck_assert_int_eq(hear(), -1);
    ck_assert_int_eq(hear(), 1);
    /* Empty, it takes even what is larger than its bound. */
    static const uint8_t huge[20000];
    ck_assert_int_eq(troupe_send(me, ref, troupe_bytes(huge, sizeof huge)), TROUPE_OK);
    ck_assert_int_eq(hear(), -1);
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK);
    ck_assert_int_eq(hear(), -2);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

/* Senders of every kind in line before a full mailbox: all get in when there is room. */
START_TEST(parked_senders_get_in) {
    troupe_ref ref = spawn_holding(TROUPE_THREAD, TROUPE_PARK, 0), senders[8];
    struct pour pour = {ref, 5};
    troupe_msg *m = held();
    for (int i = 0; i < 8; i++)
        senders[i] = spawn(_i, pours, &pour, sizeof pour);
    /* Until it is full, and there is a line: what comes now has to stand behind it. */
    int own = 0;
    while (troupe_try_send(me, ref, troupe_int(0)) == TROUPE_OK)
        own++;
    let_go(m);
    for (int i = 0; i < 8 * 5 + own; i++)
        ck_assert_int_ge(hear(), 0);
    for (int i = 0; i < 8; i++)
        ends(senders[i], TROUPE_END_NORMAL);
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK);
    ck_assert_int_eq(hear(), -2);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

struct try_it {
    troupe_ref to, tell;
};

static void tells_how_its_send_ends(troupe_self *self, void *arg) {
    const struct try_it *it = arg;
    say(self, it->tell, 100);
    say(self, it->tell, troupe_send(self, it->to, troupe_int(1)));
}

/* Waits in line for a mailbox that closes, or whose actor ends. */
static void line_ends(int kind, bool killed) {
    troupe_ref ref = spawn_holding(kind, TROUPE_PARK, 0);
    struct try_it it = {ref, troupe_self_ref(me)};
    troupe_msg *m = held();
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(troupe_send(me, ref, troupe_int(i)), TROUPE_OK);
    troupe_ref sender = spawn(TROUPE_COROUTINE, tells_how_its_send_ends, &it, sizeof it);
    ck_assert_int_eq(hear(), 100);
    ck_assert_int_eq(killed ? troupe_kill(me, ref) : troupe_close(me, ref), TROUPE_OK);
    int64_t st = hear();
    ck_assert(st == TROUPE_CLOSED || (killed && st == TROUPE_NOT_FOUND)); /* it may have come too late to stand in line */
    ends(sender, TROUPE_END_NORMAL);
    if (!killed)
        ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK); /* before its question is answered by being freed */
    troupe_msg_free(&m);
    ends(ref, TROUPE_END_KILLED);
}

START_TEST(closing_sends_those_in_line_away) {
    line_ends(_i, false);
}
END_TEST

START_TEST(killing_sends_those_in_line_away) {
    line_ends(_i, true);
}
END_TEST

/* --- values --- */

static void echo(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        (void)!troupe_reply(self, m, troupe_msg_value(m));
        troupe_msg_free(&m);
    }
}

static void same(troupe_ref ref, troupe_value v) {
    troupe_msg *answer;
    ck_assert_int_eq(troupe_ask(me, ref, v, PATIENCE_MS, &answer), TROUPE_OK);
    troupe_value got = troupe_msg_value(answer);
    ck_assert_int_eq(got.kind, v.kind);
    if (v.kind >= TROUPE_TEXT) {
        ck_assert_uint_eq(got.size, v.size);
        ck_assert(v.size == 0 || memcmp(got.data, v.data, v.size) == 0);
    } else if (v.kind == TROUPE_BOOL) {
        ck_assert_int_eq(got.b, v.b);
    } else if (v.kind != TROUPE_NIL) {
        ck_assert_uint_eq(got.u, v.u);
    }
    troupe_msg_free(&answer);
}

START_TEST(values_of_every_type_arrive) {
    static uint8_t big[1 << 20];
    static const uint8_t map[] = {0x82, 0xa1, 'a', 0x01, 0xa1, 'b', 0x93, 0x01, 0xc0, 0xc3};
    troupe_ref ref = spawn(_i, echo, NULL, 0);
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 31 >> 3);
    same(ref, troupe_nil());
    same(ref, troupe_bool(true));
    same(ref, troupe_int(INT64_MIN));
    same(ref, troupe_uint(UINT64_MAX));
    same(ref, troupe_real(-0.5));
    same(ref, troupe_text(""));
    same(ref, troupe_text("grüezi"));
    same(ref, troupe_bytes(big, 1));
    same(ref, troupe_bytes(big, sizeof big));
    same(ref, troupe_packed(map, sizeof map));
    troupe_msg *answer;
    ck_assert_int_eq(troupe_ask(me, ref, troupe_packed(map, 3), 1000, &answer), TROUPE_INVALID);
    ck_assert_int_eq(troupe_send(me, ref, troupe_packed(map, 3)), TROUPE_INVALID);
    stop(ref);
}
END_TEST

START_TEST(messages_are_copied) {
    char text[] = "before";
    troupe_ref ref = spawn_holding(_i, TROUPE_PARK, 0);
    troupe_msg *m = held();
    int64_t number = 41;
    ck_assert_int_eq(troupe_send(me, ref, troupe_int(number)), TROUPE_OK);
    ck_assert_int_eq(troupe_send(me, ref, troupe_text(text)), TROUPE_OK);
    memcpy(text, "after!", sizeof text);
    let_go(m);
    ck_assert_int_eq(hear(), 41);
    ck_assert_int_eq(hear(), -1);
    stop(ref);
    ck_assert_int_eq(hear(), -2);
}
END_TEST

/* --- asking --- */

enum { DIE = 1, FORGET, HOLD, FAIL, BAD_CODE };

/* Does with its questions what they say. */
static void responds(troupe_self *self, void *arg) {
    troupe_msg *m, *kept = NULL;
    int64_t n = 0;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        (void)troupe_msg_int(m, &n);
        if (n == DIE)
            return;
        if (n == HOLD) {
            kept = m;
            continue;
        }
        if (n == FAIL)
            (void)!troupe_reply_error(self, m, "NO_LUCK", "not today");
        else if (n == BAD_CODE)
            (void)!troupe_reply(self, m, troupe_int(troupe_reply_error(self, m, "no code", "")));
        else if (n != FORGET)
            (void)!troupe_reply(self, m, troupe_int(n * 2));
        troupe_msg_free(&m);
    }
    troupe_msg_free(&kept);
}

static int64_t ask(troupe_ref ref, int64_t n) {
    troupe_msg *answer;
    int64_t got = -1;
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(n), PATIENCE_MS, &answer), TROUPE_OK);
    ck_assert_ptr_null(troupe_msg_error(answer));
    ck_assert(troupe_msg_int(answer, &got));
    ck_assert_uint_eq(troupe_msg_sender(answer).id, ref.id);
    troupe_msg_free(&answer);
    return got;
}

START_TEST(a_question_is_answered) {
    troupe_ref ref = spawn(_i, responds, NULL, 0);
    for (int i = 10; i < 500; i++)
        ck_assert_int_eq(ask(ref, i), i * 2);
    ck_assert_int_eq(ask(ref, BAD_CODE), TROUPE_INVALID);
    stop(ref);
}
END_TEST

START_TEST(an_answer_may_be_an_error) {
    troupe_ref ref = spawn(_i, responds, NULL, 0);
    troupe_msg *answer;
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(FAIL), PATIENCE_MS, &answer), TROUPE_OK);
    ck_assert_str_eq(troupe_msg_error(answer), "NO_LUCK");
    ck_assert_mem_eq(troupe_msg_value(answer).data, "not today", 9);
    troupe_msg_free(&answer);
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(FORGET), PATIENCE_MS, &answer), TROUPE_OK);
    ck_assert_str_eq(troupe_msg_error(answer), "UNANSWERED");
    troupe_msg_free(&answer);
    stop(ref);
}
END_TEST

START_TEST(a_question_that_takes_too_long_is_given_up) {
    troupe_ref ref = spawn(_i, responds, NULL, 0);
    troupe_msg *answer;
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(HOLD), 20, &answer), TROUPE_TIMEOUT);
    ck_assert_int_eq(ask(ref, 50), 100); /* and the next answer is the next question's */
    stop(ref);
}
END_TEST

START_TEST(who_dies_with_the_question_in_hand_is_told_of) {
    troupe_ref ref = spawn(_i, responds, NULL, 0);
    troupe_msg *answer;
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(DIE), PATIENCE_MS, &answer), TROUPE_DIED);
    ends(ref, TROUPE_END_NORMAL);
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(1), PATIENCE_MS, &answer), TROUPE_NOT_FOUND);
}
END_TEST

static void asks_and_tells(troupe_self *self, void *arg) {
    const struct try_it *it = arg;
    troupe_msg *answer;
    int64_t n = -1;
    troupe_status st = troupe_ask(self, it->to, troupe_int(21), PATIENCE_MS, &answer);
    if (st == TROUPE_OK) {
        (void)troupe_msg_int(answer, &n);
        troupe_msg_free(&answer);
    }
    say(self, it->tell, st == TROUPE_OK ? n : -st);
}

START_TEST(every_kind_asks_every_kind) {
    for (int kind = TROUPE_COROUTINE; kind <= TROUPE_PROCESS; kind++) {
        struct try_it it = {spawn(kind, responds, NULL, 0), troupe_self_ref(me)};
        troupe_ref asker = spawn(_i, asks_and_tells, &it, sizeof it);
        ck_assert_int_eq(hear(), 42);
        ends(asker, TROUPE_END_NORMAL);
        stop(it.to);
    }
}
END_TEST

START_TEST(an_asker_hears_of_every_kind_of_death) {
    for (int kind = TROUPE_COROUTINE; kind <= TROUPE_PROCESS; kind++) {
        struct try_it it = {spawn(kind, returns, NULL, 0), troupe_self_ref(me)};
        ends(it.to, TROUPE_END_NORMAL);
        troupe_ref asker = spawn(_i, asks_and_tells, &it, sizeof it);
        ck_assert_int_eq(hear(), -TROUPE_NOT_FOUND);
        ends(asker, TROUPE_END_NORMAL);
    }
}
END_TEST

static void asks_while_mail_comes(troupe_self *self, void *arg) {
    const struct try_it *it = arg;
    troupe_msg *m;
    int64_t n;
    if (troupe_ask(self, it->tell, troupe_text("now?"), PATIENCE_MS, &m) != TROUPE_OK)
        return;
    troupe_msg_free(&m);
    for (int i = 0; i < 3 && troupe_receive(self, PATIENCE_MS, &m) == TROUPE_OK; i++) {
        say(self, it->tell, troupe_msg_int(m, &n) ? n : -1);
        troupe_msg_free(&m);
    }
}

START_TEST(asking_leaves_other_messages_in_order) {
    struct try_it it = {{0}, troupe_self_ref(me)};
    troupe_ref ref = spawn(_i, asks_while_mail_comes, &it, sizeof it);
    troupe_msg *m = held();
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(troupe_send(me, ref, troupe_int(i)), TROUPE_OK);
    let_go(m);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(hear(), i);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

/* --- ends --- */

START_TEST(closing_hands_out_what_is_queued_first) {
    troupe_ref ref = spawn_holding(_i, TROUPE_PARK, 0);
    troupe_msg *m = held(), *answer;
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(troupe_send(me, ref, troupe_int(i)), TROUPE_OK);
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK);
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK);
    ck_assert_int_eq(troupe_send(me, ref, troupe_int(9)), TROUPE_CLOSED);
    ck_assert_int_eq(troupe_try_send(me, ref, troupe_int(9)), TROUPE_CLOSED);
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(9), 100, &answer), TROUPE_CLOSED);
    let_go(m);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(hear(), i);
    ck_assert_int_eq(hear(), -2);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

static void closes_itself(troupe_self *self, void *arg) {
    const troupe_ref *to = arg;
    troupe_msg *m;
    (void)!troupe_send(self, troupe_self_ref(self), troupe_int(1));
    say(self, *to, troupe_close(self, troupe_self_ref(self)));
    say(self, *to, troupe_receive(self, PATIENCE_MS, &m));
    troupe_msg_free(&m);
    say(self, *to, troupe_receive(self, PATIENCE_MS, &m));
}

START_TEST(an_actor_may_close_itself) {
    troupe_ref to = troupe_self_ref(me), ref = spawn(_i, closes_itself, &to, sizeof to);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_CLOSED);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

enum { IN_RECEIVE, IN_SLEEP, IN_ASK, IN_SEND, IN_JOIN, PLACES };

struct place {
    troupe_ref tell, full;
    int where;
};

static atomic_int seen; /* by bodies in this process: how the call ended in which they were killed */

static void waits_somewhere(troupe_self *self, void *arg) {
    const struct place *p = arg;
    troupe_msg *m;
    troupe_status st = TROUPE_OK;
    say(self, p->tell, p->where);
    switch (p->where) {
    case IN_RECEIVE:
        st = troupe_receive(self, TROUPE_FOREVER, &m);
        break;
    case IN_SLEEP:
        st = troupe_sleep(self, 3600 * 1000);
        break;
    case IN_ASK:
        st = troupe_ask(self, p->full, troupe_int(HOLD), TROUPE_FOREVER, &m);
        break;
    case IN_SEND:
        while (st == TROUPE_OK)
            st = troupe_send(self, p->full, troupe_int(HOLD));
        break;
    case IN_JOIN:
        st = troupe_join(self, p->full, TROUPE_FOREVER, NULL);
        break;
    default:
        break;
    }
    atomic_store(&seen, st);
}

START_TEST(a_kill_ends_every_wait) {
    int kind = _i / PLACES, where = _i % PLACES;
    struct place p = {.tell = troupe_self_ref(me), .where = where, .full = troupe_self_ref(me)};
    troupe_ref other = spawn_holding(TROUPE_COROUTINE, TROUPE_PARK, 0);
    troupe_msg *m = held();
    p.full = other;
    troupe_ref ref = spawn(kind, waits_somewhere, &p, sizeof p);
    ck_assert_int_eq(hear(), where);
    ck_assert_int_eq(troupe_join(me, ref, 10, NULL), TROUPE_TIMEOUT);
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK);
    ends(ref, TROUPE_END_KILLED);
    if (kind != TROUPE_PROCESS)
        ck_assert_int_eq(atomic_load(&seen), TROUPE_CLOSED);
    ck_assert_int_eq(troupe_kill(me, other), TROUPE_OK);
    troupe_msg_free(&m);
    ends(other, TROUPE_END_KILLED);
}
END_TEST

START_TEST(a_kill_does_not_wait_for_the_mailbox) {
    troupe_ref ref = spawn_holding(_i, TROUPE_PARK, 0);
    troupe_msg *m = held();
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(troupe_send(me, ref, troupe_int(i)), TROUPE_OK);
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK);
    ends(ref, TROUPE_END_KILLED);
    troupe_msg_free(&m);
    ck_assert_int_eq(troupe_receive(me, 0, &m), TROUPE_TIMEOUT);
}
END_TEST

START_TEST(joining_waits_no_longer_than_it_was_told) {
    troupe_ref ref = spawn(_i, echo, NULL, 0);
    ck_assert_int_eq(troupe_join(me, ref, 0, NULL), TROUPE_TIMEOUT);
    ck_assert_int_eq(troupe_join(me, ref, 20, NULL), TROUPE_TIMEOUT);
    ck_assert_int_eq(troupe_join(me, troupe_self_ref(me), 20, NULL), TROUPE_INVALID);
    ck_assert_int_eq(troupe_join(me, (troupe_ref){~ref.id}, 20, NULL), TROUPE_NOT_FOUND);
    stop(ref);
}
END_TEST

static void asks_itself(troupe_self *self, void *arg) {
    troupe_msg *answer;
    say(self, *(troupe_ref *)arg, troupe_ask(self, troupe_self_ref(self), troupe_int(1), TROUPE_FOREVER, &answer));
}

START_TEST(who_asks_itself_is_told) {
    troupe_ref home = troupe_self_ref(me);
    troupe_msg *answer;
    ends(spawn(_i, asks_itself, &home, sizeof home), TROUPE_END_NORMAL);
    ck_assert_int_eq(hear(), TROUPE_INVALID);
    ck_assert_int_eq(troupe_ask(me, home, troupe_int(1), TROUPE_FOREVER, &answer), TROUPE_INVALID);
}
END_TEST

static void joins(troupe_self *self, void *arg) {
    const struct try_it *it = arg;
    troupe_exit exit = {.how = TROUPE_END_SIGNAL};
    say(self, it->tell, troupe_join(self, it->to, PATIENCE_MS, &exit));
    say(self, it->tell, exit.how);
}

START_TEST(every_kind_joins_every_kind) {
    for (int kind = TROUPE_COROUTINE; kind <= TROUPE_PROCESS; kind++) {
        struct try_it it = {spawn(kind, echo, NULL, 0), troupe_self_ref(me)};
        troupe_ref early = spawn(_i, joins, &it, sizeof it);
        stop(it.to);
        ck_assert_int_eq(hear(), TROUPE_OK);
        ck_assert_int_eq(hear(), TROUPE_END_NORMAL);
        troupe_ref late = spawn(_i, joins, &it, sizeof it);
        ck_assert_int_eq(hear(), TROUPE_OK);
        ck_assert_int_eq(hear(), TROUPE_END_NORMAL);
        ends(early, TROUPE_END_NORMAL);
        ends(late, TROUPE_END_NORMAL);
    }
}
END_TEST

/* --- restarts --- */

/* Tells that it lives; returns, or answers, as it is told. */
static void lives(troupe_self *self, void *arg) {
    troupe_ref to = *(troupe_ref *)arg;
    troupe_msg *m;
    int64_t n;
    memset(arg, 0xff, sizeof to); /* the next life is given the argument as it was */
    say(self, to, 1000);
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        if (troupe_msg_int(m, &n) && n == DIE) {
            if (!troupe_msg_wants_reply(m))
                troupe_msg_free(&m); /* a question stays in hand: the asker is told */
            return;
        }
        (void)!troupe_reply(self, m, troupe_int(n));
        troupe_msg_free(&m);
    }
}

START_TEST(a_permanent_actor_comes_back) {
    troupe_ref to = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.kind = (troupe_kind)_i, .restart = TROUPE_PERMANENT, .backoff_min_ms = 5, .backoff_max_ms = 20};
    troupe_msg *answer;
    ck_assert_int_eq(troupe_spawn(me, &opts, lives, &to, sizeof to, &ref), TROUPE_OK);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(hear(), 1000);
        ck_assert_int_eq(troupe_ask(me, ref, troupe_int(DIE), PATIENCE_MS, &answer), TROUPE_DIED);
        /* The mailbox stays: this waits there for the next life. */
        ck_assert_int_eq(troupe_ask(me, ref, troupe_int(i + 70), PATIENCE_MS, &answer), TROUPE_OK);
        int64_t n;
        ck_assert(troupe_msg_int(answer, &n));
        ck_assert_int_eq(n, i + 70);
        troupe_msg_free(&answer);
    }
    ck_assert_int_eq(hear(), 1000);
    stop(ref);
}
END_TEST

START_TEST(closing_ends_the_wait_for_a_restart) {
    troupe_ref to = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.kind = (troupe_kind)_i, .restart = TROUPE_PERMANENT, .backoff_min_ms = 3600 * 1000};
    troupe_msg *answer;
    ck_assert_int_eq(troupe_spawn(me, &opts, lives, &to, sizeof to, &ref), TROUPE_OK);
    ck_assert_int_eq(hear(), 1000);
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(DIE), PATIENCE_MS, &answer), TROUPE_DIED);
    ck_assert_int_eq(troupe_send(me, ref, troupe_int(1)), TROUPE_OK);
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(1), 20, &answer), TROUPE_TIMEOUT);
    stop(ref);
}
END_TEST

START_TEST(a_transient_actor_that_returns_stays_away) {
    troupe_ref to = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.kind = (troupe_kind)_i, .restart = TROUPE_TRANSIENT, .backoff_min_ms = 1};
    ck_assert_int_eq(troupe_spawn(me, &opts, lives, &to, sizeof to, &ref), TROUPE_OK);
    ck_assert_int_eq(hear(), 1000);
    ck_assert_int_eq(troupe_send(me, ref, troupe_int(DIE)), TROUPE_OK);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

/* --- others --- */

struct nest {
    troupe_ref tell;
    int kind;
};

static void tells_seven(troupe_self *self, void *arg) {
    say(self, *(troupe_ref *)arg, 7);
}

static void spawns(troupe_self *self, void *arg) {
    const struct nest *nest = arg;
    troupe_spawn_opts opts = {.kind = (troupe_kind)nest->kind, .name = "inner"};
    troupe_ref ref = {0};
    troupe_exit exit = {.how = TROUPE_END_SIGNAL};
    say(self, nest->tell, troupe_spawn(self, &opts, tells_seven, &nest->tell, sizeof nest->tell, &ref));
    say(self, nest->tell, troupe_join(self, ref, PATIENCE_MS, &exit));
    say(self, nest->tell, exit.how);
    say(self, nest->tell, troupe_spawn(self, &opts, NULL, NULL, 0, NULL));
}

START_TEST(every_kind_spawns_every_kind) {
    for (int kind = TROUPE_COROUTINE; kind <= TROUPE_PROCESS; kind++) {
        struct nest nest = {troupe_self_ref(me), kind};
        troupe_ref ref = spawn(_i, spawns, &nest, sizeof nest);
        int64_t sum = 0; /* of OK, seven, OK, normal and INVALID, the first two in any order */
        for (int i = 0; i < 5; i++)
            sum += hear();
        ck_assert_int_eq(sum, TROUPE_OK + 7 + TROUPE_OK + TROUPE_END_NORMAL + TROUPE_INVALID);
        ends(ref, TROUPE_END_NORMAL);
    }
}
END_TEST

static void closes_and_kills(troupe_self *self, void *arg) {
    const struct try_it *it = arg;
    say(self, it->tell, troupe_close(self, it->to));
    say(self, it->tell, troupe_kill(self, it->to) <= TROUPE_NOT_FOUND);
}

START_TEST(every_kind_closes_every_kind) {
    for (int kind = TROUPE_COROUTINE; kind <= TROUPE_PROCESS; kind++) {
        struct try_it it = {spawn(kind, echo, NULL, 0), troupe_self_ref(me)};
        troupe_ref ref = spawn(_i, closes_and_kills, &it, sizeof it);
        ck_assert_int_eq(hear(), TROUPE_OK);
        ck_assert_int_eq(hear(), 1);
        ck_assert_int_eq(troupe_join(me, it.to, PATIENCE_MS, NULL), TROUPE_OK);
        ends(ref, TROUPE_END_NORMAL);
    }
}
END_TEST

/* The system closes while bodies are in the middle of something. */
START_TEST(a_system_closes_with_everybody_at_work) {
    troupe_ref to = troupe_self_ref(me);
    for (int i = 0; i < 5; i++) {
        (void)spawn(_i, echo, NULL, 0);
        (void)spawn(_i, holds_then_tells, &to, sizeof to);
        (void)spawn(_i, waits_in_vain, &to, sizeof to);
    }
}
END_TEST

START_TEST(kinds_have_names) {
    troupe_kind kind;
    ck_assert_int_eq(troupe_kind_parse(troupe_kind_name((troupe_kind)_i), &kind), TROUPE_OK);
    ck_assert_int_eq(kind, _i);
    ck_assert_int_eq(troupe_kind_parse("fibre", &kind), TROUPE_NOT_FOUND);
    ck_assert_str_eq(troupe_kind_name((troupe_kind)9), "unknown");
}
END_TEST

START_TEST(options_are_checked) {
    troupe_spawn_opts opts = {.kind = (troupe_kind)_i, .restart = (troupe_restart)7};
    ck_assert_int_eq(troupe_spawn(me, &opts, echo, NULL, 0, NULL), TROUPE_INVALID);
    opts = (troupe_spawn_opts){.kind = (troupe_kind)(_i + 40)};
    ck_assert_int_eq(troupe_spawn(me, &opts, echo, NULL, 0, NULL), TROUPE_INVALID);
    opts = (troupe_spawn_opts){.kind = (troupe_kind)_i};
    ck_assert_int_eq(troupe_spawn(me, &opts, NULL, NULL, 0, NULL), TROUPE_INVALID);
    ck_assert_int_eq(troupe_spawn(me, &opts, echo, NULL, 5, NULL), TROUPE_INVALID);
    opts.backoff_max_ms = -1;
    ck_assert_int_eq(troupe_spawn(me, &opts, echo, NULL, 0, NULL), TROUPE_INVALID);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {an_actor_ends_when_its_body_returns,
                                  arguments_are_copied,
                                  an_actor_knows_itself,
                                  only_a_process_has_globals_of_its_own,
                                  waiting_ends_in_time_and_not_before,
                                  order_is_kept_through_a_small_mailbox,
                                  order_is_kept_per_sender,
                                  a_full_mailbox_may_fail_the_sender,
                                  a_full_mailbox_may_drop_the_oldest,
                                  a_mailbox_is_bounded_in_bytes,
                                  parked_senders_get_in,
                                  closing_sends_those_in_line_away,
                                  killing_sends_those_in_line_away,
                                  values_of_every_type_arrive,
                                  messages_are_copied,
                                  a_question_is_answered,
                                  an_answer_may_be_an_error,
                                  a_question_that_takes_too_long_is_given_up,
                                  who_dies_with_the_question_in_hand_is_told_of,
                                  every_kind_asks_every_kind,
                                  an_asker_hears_of_every_kind_of_death,
                                  asking_leaves_other_messages_in_order,
                                  closing_hands_out_what_is_queued_first,
                                  an_actor_may_close_itself,
                                  a_kill_does_not_wait_for_the_mailbox,
                                  who_asks_itself_is_told,
                                  joining_waits_no_longer_than_it_was_told,
                                  every_kind_joins_every_kind,
                                  a_permanent_actor_comes_back,
                                  closing_ends_the_wait_for_a_restart,
                                  a_transient_actor_that_returns_stays_away,
                                  every_kind_spawns_every_kind,
                                  every_kind_closes_every_kind,
                                  a_system_closes_with_everybody_at_work,
                                  kinds_have_names,
                                  options_are_checked};
    Suite *s = suite_create("actor");
    TCase *c = tcase_create("every kind");
    tcase_add_checked_fixture(c, system_up, system_down);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_loop_test(c, tests[i], TROUPE_COROUTINE, TROUPE_PROCESS + 1);
    tcase_add_loop_test(c, a_kill_ends_every_wait, 0, 3 * PLACES);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    return run_suite(s);
}
