/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/guard.h"

#include <pthread.h>
#include <sched.h>

#include "tests/support/run.h"
#include "tests/support/stress.h"

enum { OTHERS = 3, TURNS = 20000, OTHERS_TURNS = 1500 };

static struct trp_guard guard;
static struct trp_guest first, second;

/* Not atomic: what is lost here, the guard has let two in. */
static long counted;

/* With the kernel's help, and without. */
static void up(int cheap) {
    trp_guards_ready();
    trp_guards_cheap = trp_guards_cheap && cheap;
    trp_guard_init(&guard);
    counted = 0;
}

START_TEST(only_the_owner_enters) {
    up(_i);
    ck_assert(!trp_guard_enter(&guard, &first));
    trp_guard_give(&guard, &first);
    ck_assert(!trp_guard_enter(&guard, &second));
    for (int i = 0; i < 3; i++) {
        ck_assert(trp_guard_enter(&guard, &first));
        trp_guard_exit(&first);
    }
    trp_guard_lock(&guard);
    trp_guard_give(&guard, &second);
    trp_guard_unlock(&guard);
    ck_assert(!trp_guard_enter(&guard, &first));
    ck_assert(trp_guard_enter(&guard, &second));
    trp_guard_exit(&second);
}
END_TEST

static void *others(void *turns) {
    struct stress s = stress_of(OTHERS_TURNS);
    while (stress_goes_on(&s)) {
        trp_guard_lock(&guard);
        counted++;
        trp_guard_unlock(&guard);
        if (s.done % 8 == 0)
            sched_yield();
    }
    *(long *)turns = s.done;
    return NULL;
}

START_TEST(one_at_a_time) {
    pthread_t threads[OTHERS];
    long turns[OTHERS];
    up(_i);
    trp_guard_give(&guard, &first);
    for (int i = 0; i < OTHERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, others, &turns[i]), 0);
    struct stress s = stress_of(TURNS);
    while (stress_goes_on(&s)) {
        ck_assert(trp_guard_enter(&guard, &first));
        counted++;
        trp_guard_exit(&first);
    }
    for (int i = 0; i < OTHERS; i++) {
        pthread_join(threads[i], NULL);
        s.done += turns[i];
    }
    ck_assert_int_eq(counted, s.done);
}
END_TEST

/* Each is the owner now and then, and counts while it is. */
static struct trp_guest *const owners[] = {&first, &second};
static atomic_bool over;
static long entered[2];

static void *owns_at_times(void *arg) {
    struct trp_guest *me = arg;
    while (!atomic_load(&over)) {
        if (!trp_guard_enter(&guard, me)) {
            sched_yield(); /* it is the other's turn, which may be waiting for this processor */
            continue;
        }
        counted++;
        trp_guard_exit(me);
        entered[me == &second]++;
    }
    return NULL;
}

START_TEST(it_may_be_taken_from_its_owner_at_any_moment) {
    pthread_t threads[2];
    up(_i);
    trp_guard_give(&guard, &first);
    entered[0] = entered[1] = 0;
    atomic_store(&over, false);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, owns_at_times, owners[i]), 0);
    struct stress s = stress_of(OTHERS_TURNS);
    while (stress_goes_on(&s)) {
        trp_guard_lock(&guard);
        counted++;
        trp_guard_give(&guard, owners[s.done % 2]);
        trp_guard_unlock(&guard);
        sched_yield();
    }
    atomic_store(&over, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(counted, s.done + entered[0] + entered[1]);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {only_the_owner_enters, one_at_a_time, it_may_be_taken_from_its_owner_at_any_moment};
    Suite *s = suite_create("guard");
    TCase *tc = tcase_create("guard");
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_loop_test(tc, tests[i], 0, 2);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
