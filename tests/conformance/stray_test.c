/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What went astray: whoever sends by the short way holds no reference, so an actor may end between being looked up and being
 * posted to, and its memory be another's, which has the message then. That one does not see it, whoever sent it is no worse off
 * than if it had come too late, and the mailbox is as if it had not come. */
#include <troupe/dead_letter.h>

#include "actors/system.h"
#include "tests/support/actors.h"
#include "tests/support/echo.h"

enum { KINDS = 3 };

static void up(void) {
    system_up();
    ck_assert_int_eq(troupe_dead_letters(me, true), TROUPE_OK);
}

/* Receives nothing. */
static void sits(troupe_self *self, void *arg) {
    (void)arg;
    (void)!troupe_sleep(self, 3600 * 1000);
}

static troupe_ref one(const troupe_spawn_opts *opts, troupe_body *body) {
    troupe_ref ref;
    ck_assert_int_eq(troupe_spawn(me, opts, body, NULL, 0, &ref), TROUPE_OK);
    return ref;
}

static void end(troupe_ref ref) {
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK);
    ends(ref, TROUPE_END_KILLED);
}

static troupe_ref one_that_is_gone(void) {
    troupe_ref ref = one(NULL, sits);
    end(ref);
    return ref;
}

static void answers(troupe_ref ref) {
    troupe_msg *answer;
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(7), PATIENCE_MS, &answer), TROUPE_OK);
    troupe_msg_free(&answer);
}

/* The next message is a letter to it, of this number. */
static void is_told(troupe_ref to, int64_t n, troupe_status why) {
    troupe_msg *m;
    troupe_dead_letter d;
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    ck_assert(troupe_msg_dead_letter(m, &d));
    ck_assert_uint_eq(d.to.id, to.id);
    ck_assert_uint_eq(d.from.id, troupe_self_ref(me).id);
    ck_assert_int_eq(d.value.i, n);
    ck_assert_int_eq(d.why, why);
    troupe_msg_free(&m);
}

static void down(void) {
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, 0, &m), TROUPE_TIMEOUT); /* no more was told */
    system_down();
}

static struct trp_actor *actor_of(troupe_ref ref) {
    struct trp_actor *a = trp_registry_get(&sys->registry, ref.id);
    ck_assert_ptr_nonnull(a);
    return a;
}

/* As it comes from somebody who looked up `to` when it was there, in the memory that is `at` by now: the mailbox is for him
 * what it was then, not exact. */
static void goes_astray(troupe_ref at, troupe_ref to, int64_t n) {
    struct trp_actor *a = actor_of(at);
    struct troupe_msg *m = trp_msg_small(troupe_int(n));
    uint64_t wake;
    ck_assert_ptr_nonnull(m);
    m->to = to.id;
    m->from = troupe_self_ref(me).id;
    uint32_t small = atomic_exchange(&a->mailbox.small, TRP_MSG_TINY);
    ck_assert(trp_mailbox_post(&a->mailbox, m, &wake));
    atomic_store(&a->mailbox.small, small);
    trp_actor_mail_wakes(a, wake);
    trp_actor_unref(a);
}

static void holds_nothing(troupe_ref ref) {
    struct trp_actor *a = actor_of(ref);
    pthread_mutex_lock(&a->lock);
    ck_assert_uint_eq(a->mailbox.count, 0);
    ck_assert_uint_eq(a->mailbox.lent, 0);
    ck_assert_uint_eq(trp_mailbox_bytes(&a->mailbox), 0);
    pthread_mutex_unlock(&a->lock);
    trp_actor_unref(a);
}

static size_t lent(troupe_ref ref) {
    struct trp_actor *a = actor_of(ref);
    pthread_mutex_lock(&a->lock);
    size_t n = a->mailbox.lent;
    pthread_mutex_unlock(&a->lock);
    trp_actor_unref(a);
    return n;
}

static void until_lent(troupe_ref ref, size_t n) {
    for (int i = 0; i < PATIENCE_MS && lent(ref) < n; i++)
        ck_assert_int_eq(troupe_sleep(me, 1), TROUPE_OK);
    ck_assert_uint_eq(lent(ref), n);
}

START_TEST(it_is_told_and_not_counted) {
    up();
    troupe_ref gone = one_that_is_gone();
    troupe_ref ref = one(&(troupe_spawn_opts){(troupe_kind)_i, .mailbox = 64, .overflow = TROUPE_DROP_OLDEST}, echoes);
    for (int i = 0; i < 3; i++) {
        answers(ref);
        goes_astray(ref, gone, i);
        is_told(gone, i, TROUPE_DIED);
    }
    answers(ref);
    holds_nothing(ref);
    stop(ref);
    down();
}
END_TEST

START_TEST(it_may_be_dropped_for_want_of_room) {
    up();
    troupe_ref gone = one_that_is_gone();
    troupe_ref ref = one(&(troupe_spawn_opts){.mailbox = 2, .overflow = TROUPE_DROP_OLDEST}, sits);
    goes_astray(ref, gone, 1);
    for (int i = 2; i < 6; i++)
        ck_assert_int_eq(troupe_send(me, ref, troupe_int(i)), TROUPE_OK);
    is_told(gone, 1, TROUPE_FULL);
    is_told(ref, 2, TROUPE_FULL);
    is_told(ref, 3, TROUPE_FULL);
    end(ref);
    is_told(ref, 4, TROUPE_DIED);
    is_told(ref, 5, TROUPE_DIED);
    down();
}
END_TEST

static void listens_alone(troupe_self *self, void *arg) {
    say(self, *(troupe_ref *)arg, troupe_dead_letters(self, true));
    sits(self, NULL);
}

/* Whoever moves its messages finds one that went astray, and tells it: it has no room, so what it has received is looked up by
 * the same thread. */
START_TEST(a_process_is_told_of_its_own) {
    up();
    troupe_ref gone = one_that_is_gone(), test = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.kind = TROUPE_PROCESS, .mailbox = 8, .mailbox_bytes = 16};
    ck_assert_int_eq(troupe_spawn(me, &opts, listens_alone, &test, sizeof test, &ref), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_eq(troupe_send(me, ref, troupe_int(1)), TROUPE_OK);
    until_lent(ref, 1);
    goes_astray(ref, gone, 2);
    is_told(gone, 2, TROUPE_DIED);
    end(ref);
    is_told(ref, 1, TROUPE_DIED);
    down();
}
END_TEST

int main(void) {
    Suite *s = suite_create("strays");
    const TTest *const once[] = {it_may_be_dropped_for_want_of_room, a_process_is_told_of_its_own};
    TCase *c = run_case(s, "once", once, sizeof once / sizeof *once);
    tcase_add_loop_test(c, it_is_told_and_not_counted, 0, KINDS);
    return run_suite(s);
}
