/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Handler actors of every kind: the same functions, called when and as often as promised. */
#include <troupe/handler.h>

#include <signal.h>
#include <stdatomic.h>

#include "tests/support/actors.h"

static troupe_ref spawn_handler(int kind, const troupe_handler *handler, const void *state, size_t size) {
    troupe_ref ref;
    troupe_spawn_opts opts = {.kind = (troupe_kind)kind};
    ck_assert_int_eq(troupe_spawn_handler(me, &opts, handler, state, size, &ref), TROUPE_OK);
    return ref;
}

static int64_t number(const troupe_msg *m) {
    int64_t n = -1;
    (void)troupe_msg_int(m, &n);
    return n;
}

static int64_t ask(troupe_ref ref, int64_t n) {
    troupe_msg *answer;
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(n), PATIENCE_MS, &answer), TROUPE_OK);
    n = number(answer);
    troupe_msg_free(&answer);
    return n;
}

static void close_and_join(troupe_ref ref) {
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK);
    ends(ref, TROUPE_END_NORMAL);
}

/* --- calls in their order --- */

enum { STARTED = -100, ENDED = -200 };

struct ledger {
    troupe_ref to;
    int64_t sum;
};

static void opens(troupe_self *self, void *state) {
    struct ledger *l = state;
    say(self, l->to, STARTED - l->sum);
}

static void adds(troupe_self *self, void *state, troupe_msg **m) {
    struct ledger *l = state;
    l->sum += number(*m);
    if (troupe_msg_wants_reply(*m))
        (void)!troupe_reply(self, *m, troupe_int(l->sum));
}

static void closes(troupe_self *self, void *state) {
    struct ledger *l = state;
    say(self, l->to, ENDED - l->sum);
}

static const troupe_handler adding = {.on_start = opens, .on_message = adds, .on_end = closes};

START_TEST(start_then_messages_then_end) {
    struct ledger l = {troupe_self_ref(me), 5};
    troupe_ref ref = spawn_handler(_i, &adding, &l, sizeof l);
    ck_assert_int_eq(hear(), STARTED - 5);
    for (int i = 1; i <= 500; i++)
        ck_assert_int_eq(troupe_send(me, ref, troupe_int(i)), TROUPE_OK);
    ck_assert_int_eq(ask(ref, 0), 5 + 500 * 501 / 2);
    /* What is queued is handled before the end. */
    for (int i = 0; i < 200; i++)
        ck_assert_int_eq(troupe_send(me, ref, troupe_int(1)), TROUPE_OK);
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK);
    ck_assert_int_eq(hear(), ENDED - (5 + 500 * 501 / 2 + 200));
    ends(ref, TROUPE_END_NORMAL);
    ck_assert_int_eq(troupe_send(me, ref, troupe_int(1)), TROUPE_NOT_FOUND);
}
END_TEST

START_TEST(each_has_a_state_of_its_own) {
    enum { MANY = 50 };
    troupe_ref refs[MANY];
    for (int64_t i = 0; i < MANY; i++) {
        struct ledger l = {troupe_self_ref(me), i};
        refs[i] = spawn_handler(_i == TROUPE_PROCESS ? TROUPE_COROUTINE : _i, &adding, &l, sizeof l);
        ck_assert_int_eq(hear(), STARTED - i);
    }
    for (int64_t i = 0; i < MANY; i++)
        ck_assert_int_eq(ask(refs[i], 1000), 1000 + i);
    for (int64_t i = 0; i < MANY; i++)
        close_and_join(refs[i]);
    for (int64_t i = 0, sum = 0; i <= MANY; i++) {
        if (i == MANY)
            ck_assert_int_eq(sum, MANY * ENDED - MANY * 1000 - MANY * (MANY - 1) / 2);
        else
            sum += hear();
    }
}
END_TEST

static void answers_nothing(troupe_self *self, void *state, troupe_msg **m) {
    (void)m;
    (void)!troupe_reply(self, *m, troupe_bool(state == NULL));
}

START_TEST(without_state_and_with_one_function) {
    static const troupe_handler least = {.on_message = answers_nothing};
    troupe_ref ref = spawn_handler(_i, &least, NULL, 0);
    troupe_msg *answer;
    ck_assert_int_eq(troupe_ask(me, ref, troupe_nil(), PATIENCE_MS, &answer), TROUPE_OK);
    ck_assert(troupe_msg_value(answer).b);
    troupe_msg_free(&answer);
    close_and_join(ref);
}
END_TEST

START_TEST(the_end_is_called_when_killed) {
    struct ledger l = {troupe_self_ref(me), 0};
    troupe_ref ref = spawn_handler(_i, &adding, &l, sizeof l);
    ck_assert_int_eq(hear(), STARTED);
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK);
    ends(ref, TROUPE_END_KILLED); /* a killed actor says nothing any more: that it ended is what can be seen */
}
END_TEST

/* --- waiting inside --- */

struct relay {
    troupe_ref next;
};

static void asks_on(troupe_self *self, void *state, troupe_msg **m) {
    const struct relay *r = state;
    troupe_msg *answer;
    (void)!troupe_sleep(self, 1);
    if (troupe_ask(self, r->next, troupe_int(number(*m) + 1), PATIENCE_MS, &answer) != TROUPE_OK)
        return;
    (void)!troupe_reply(self, *m, troupe_msg_value(answer));
    troupe_msg_free(&answer);
}

static const troupe_handler relaying = {.on_message = asks_on};

/* Questions through a row of actors, each of which waits for the next while it handles. */
START_TEST(a_function_may_wait) {
    enum { ROW = 6, ASKS = 20 };
    troupe_ref row[ROW];
    struct ledger l = {troupe_self_ref(me), 0};
    row[0] = spawn_handler(_i, &adding, &l, sizeof l);
    ck_assert_int_eq(hear(), STARTED);
    for (int i = 1; i < ROW; i++)
        row[i] = spawn_handler(_i, &relaying, &(struct relay){row[i - 1]}, sizeof(struct relay));
    for (int64_t i = 0, sum = 0; i < ASKS; i++) {
        sum += i + ROW - 1;
        ck_assert_int_eq(ask(row[ROW - 1], i), sum);
    }
    for (int i = ROW - 1; i >= 0; i--)
        close_and_join(row[i]);
    (void)hear();
}
END_TEST

static void sleeps_then_adds(troupe_self *self, void *state, troupe_msg **m) {
    if (number(*m))
        (void)!troupe_sleep(self, 20);
    adds(self, state, m);
}

/* All at once on few workers: who waits in a function keeps its stack, and the next takes another. */
START_TEST(many_wait_in_their_functions_at_once) {
    enum { MANY = 300 };
    static const troupe_handler slow = {.on_start = opens, .on_message = sleeps_then_adds, .on_end = closes};
    troupe_ref refs[MANY];
    struct ledger l = {troupe_self_ref(me), 0};
    int many = _i == TROUPE_COROUTINE ? MANY : 3;
    for (int i = 0; i < many; i++) {
        refs[i] = spawn_handler(_i, &slow, &l, sizeof l);
        ck_assert_int_eq(hear(), STARTED);
    }
    for (int i = 0; i < 3 * many; i++)
        ck_assert_int_eq(troupe_send(me, refs[i % many], troupe_int(1)), TROUPE_OK);
    for (int i = 0; i < many; i++)
        ck_assert_int_eq(ask(refs[i], 0), 3);
    for (int i = 0; i < many; i++) {
        close_and_join(refs[i]);
        ck_assert_int_eq(hear(), ENDED - 3);
    }
}
END_TEST

/* --- keeping a message --- */

struct held {
    troupe_msg *first;
    troupe_ref tell;
};

enum { KEPT = 1000 };

/* Answers each question when the next one has come; tells of each that it keeps. */
static void answers_late(troupe_self *self, void *state, troupe_msg **m) {
    struct held *h = state;
    if (h->first) {
        (void)!troupe_reply(self, h->first, troupe_int(number(*m)));
        troupe_msg_free(&h->first);
    }
    h->first = *m;
    *m = NULL;
    say(self, h->tell, KEPT);
}

struct asker {
    troupe_ref of, tell;
};

static void asks_one(troupe_self *self, void *arg) {
    const struct asker *a = arg;
    troupe_msg *answer;
    troupe_status st = troupe_ask(self, a->of, troupe_int(1), PATIENCE_MS, &answer);
    say(self, a->tell, st == TROUPE_OK ? number(answer) : -st);
    if (st == TROUPE_OK)
        troupe_msg_free(&answer);
}

START_TEST(a_message_may_be_kept) {
    static const troupe_handler late = {.on_message = answers_late};
    struct held none = {NULL, troupe_self_ref(me)};
    troupe_ref ref = spawn_handler(_i, &late, &none, sizeof none);
    struct asker a = {ref, troupe_self_ref(me)};
    troupe_ref one = spawn(TROUPE_COROUTINE, asks_one, &a, sizeof a);
    ck_assert_int_eq(hear(), KEPT);
    ck_assert_int_eq(troupe_join(me, one, 1, NULL), TROUPE_TIMEOUT);
    ck_assert_int_eq(troupe_send(me, ref, troupe_int(42)), TROUPE_OK);
    ck_assert_int_eq(hear() + hear(), 42 + KEPT); /* from two actors */
    ends(one, TROUPE_END_NORMAL);
    /* And what it holds at its end is answered for it. */
    one = spawn(TROUPE_COROUTINE, asks_one, &a, sizeof a);
    ck_assert_int_eq(hear(), KEPT);
    close_and_join(ref);
    ck_assert_int_eq(hear(), -TROUPE_DIED);
    ends(one, TROUPE_END_NORMAL);
}
END_TEST

/* --- ending, and beginning again --- */

static void closes_itself(troupe_self *self, void *state, troupe_msg **m) {
    struct ledger *l = state;
    l->sum += number(*m);
    if (l->sum == 3)
        (void)!troupe_close(self, troupe_self_ref(self));
}

START_TEST(it_may_close_itself) {
    static const troupe_handler once = {.on_message = closes_itself, .on_end = closes};
    struct ledger l = {troupe_self_ref(me), 0};
    troupe_ref ref = spawn_handler(_i, &once, &l, sizeof l);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(troupe_send(me, ref, troupe_int(1)), TROUPE_OK);
    ck_assert_int_eq(hear(), ENDED - 3);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

static void crashes_at_seven(troupe_self *self, void *state, troupe_msg **m) {
    if (number(*m) == 7)
        raise(SIGKILL);
    adds(self, state, m);
}

START_TEST(a_process_is_restarted_with_its_first_state) {
    static const troupe_handler fragile = {.on_message = crashes_at_seven};
    struct ledger l = {troupe_self_ref(me), 10};
    troupe_ref ref;
    troupe_spawn_opts opts = {.kind = TROUPE_PROCESS, .restart = TROUPE_TRANSIENT, .backoff_min_ms = 1};
    ck_assert_int_eq(troupe_spawn_handler(me, &opts, &fragile, &l, sizeof l, &ref), TROUPE_OK);
    ck_assert_int_eq(ask(ref, 5), 15);
    ck_assert_int_eq(troupe_send(me, ref, troupe_int(7)), TROUPE_OK);
    troupe_msg *answer;
    troupe_status st;
    while ((st = troupe_ask(me, ref, troupe_int(1), PATIENCE_MS, &answer)) == TROUPE_DIED)
        ; /* it was on its way to the one that died */
    ck_assert_int_eq(st, TROUPE_OK);
    ck_assert_int_eq(number(answer), 11);
    troupe_msg_free(&answer);
    close_and_join(ref);
}
END_TEST

static void spawns_another(troupe_self *self, void *state, troupe_msg **m) {
    struct ledger *l = state;
    troupe_ref ref;
    (void)m;
    troupe_spawn_opts opts = {.kind = (troupe_kind)number(*m)};
    if (troupe_spawn_handler(self, &opts, &adding, l, sizeof *l, &ref) == TROUPE_OK)
        (void)!troupe_reply(self, *m, troupe_int((int64_t)ref.id));
}

START_TEST(every_kind_spawns_every_kind) {
    static const troupe_handler parent = {.on_message = spawns_another};
    struct ledger l = {troupe_self_ref(me), 3};
    troupe_ref ref = spawn_handler(_i, &parent, &l, sizeof l);
    for (int kind = TROUPE_COROUTINE; kind <= TROUPE_PROCESS; kind++) {
        for (int i = 0; i < 2; i++) {
            troupe_ref child = {(uint64_t)ask(ref, kind)};
            ck_assert_int_eq(hear(), STARTED - 3);
            ck_assert_int_eq(ask(child, 4), 7);
            close_and_join(child);
            ck_assert_int_eq(hear(), ENDED - 7);
        }
    }
    close_and_join(ref);
}
END_TEST

/* Receives the rest of what has been sent in one call of its function. */
static void sums_up(troupe_self *self, void *state, troupe_msg **m) {
    struct ledger *l = state;
    troupe_msg *next;
    l->sum = number(*m);
    while (troupe_receive(self, 50, &next) == TROUPE_OK) {
        l->sum = l->sum * 10 + number(next);
        troupe_msg_free(&next);
    }
    say(self, l->to, l->sum);
}

/* Actors borrow the same stack one after the other, and their mailboxes are not of the same make. */
START_TEST(what_one_mailbox_is_like_is_not_taken_for_the_next) {
    static const troupe_handler summing = {.on_message = sums_up};
    static const troupe_overflow make[] = {TROUPE_PARK, TROUPE_PARK, TROUPE_DROP_OLDEST, TROUPE_DROP_OLDEST,
                                           TROUPE_FAIL, TROUPE_FAIL, TROUPE_DROP_OLDEST, TROUPE_DROP_OLDEST};
    struct ledger l = {troupe_self_ref(me), 0};
    for (size_t i = 0; i < sizeof make / sizeof *make; i++) {
        troupe_ref ref;
        troupe_spawn_opts opts = {.kind = (troupe_kind)_i, .mailbox = 10, .overflow = make[i]};
        ck_assert_int_eq(troupe_spawn_handler(me, &opts, &summing, &l, sizeof l, &ref), TROUPE_OK);
        for (int n = 1; n <= 4; n++)
            ck_assert_int_eq(troupe_send(me, ref, troupe_int(n)), TROUPE_OK);
        ck_assert_int_eq(hear(), 1234);
        close_and_join(ref);
    }
}
END_TEST

START_TEST(what_is_wrong_is_refused) {
    static const troupe_handler none = {.on_start = opens};
    troupe_ref ref;
    ck_assert_int_eq(troupe_spawn_handler(me, NULL, NULL, NULL, 0, &ref), TROUPE_INVALID);
    ck_assert_int_eq(troupe_spawn_handler(me, NULL, &none, NULL, 0, &ref), TROUPE_INVALID);
    ck_assert_int_eq(troupe_spawn_handler(me, NULL, &adding, NULL, 8, &ref), TROUPE_INVALID);
    troupe_spawn_opts opts = {.kind = (troupe_kind)99};
    ck_assert_int_eq(troupe_spawn_handler(me, &opts, &adding, &opts, 8, &ref), TROUPE_INVALID);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {start_then_messages_then_end,
                                  each_has_a_state_of_its_own,
                                  without_state_and_with_one_function,
                                  the_end_is_called_when_killed,
                                  a_function_may_wait,
                                  many_wait_in_their_functions_at_once,
                                  a_message_may_be_kept,
                                  it_may_close_itself,
                                  every_kind_spawns_every_kind,
                                  what_one_mailbox_is_like_is_not_taken_for_the_next};
    Suite *s = suite_create("handler");
    TCase *c = tcase_create("every kind");
    tcase_add_checked_fixture(c, system_up, system_down);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_loop_test(c, tests[i], TROUPE_COROUTINE, TROUPE_PROCESS + 1);
    tcase_add_test(c, a_process_is_restarted_with_its_first_state);
    tcase_add_test(c, what_is_wrong_is_refused);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    return run_suite(s);
}
