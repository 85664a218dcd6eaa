/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What actors keep of their own, for every kind. */
#include <troupe/own.h>

#include "tests/support/actors.h"
#include "tests/support/faults.h"

enum { KINDS = 3 };
static const char first_key, second_key;
static _Thread_local int64_t order; /* the values freed so far, as digits */

static void note_freed(void *value) {
    order = order * 10 + *(int *)value;
}

static void keeps(troupe_self *self, void *arg) {
    static int one = 1, two = 2, three = 3;
    troupe_ref test = *(troupe_ref *)arg;
    order = 0;
    bool ok = !troupe_own_get(self, &first_key) && troupe_own_set(self, &first_key, NULL, NULL) == TROUPE_OK &&
              troupe_own_set(self, &first_key, &one, note_freed) == TROUPE_OK &&
              troupe_own_set(self, &second_key, &two, note_freed) == TROUPE_OK && troupe_own_get(self, &first_key) == &one &&
              troupe_own_get(self, &second_key) == &two && order == 0;
    ok = ok && troupe_own_set(self, &first_key, &three, note_freed) == TROUPE_OK &&
         troupe_own_get(self, &first_key) == &three && order == 1 &&
         troupe_own_set(self, &first_key, NULL, NULL) == TROUPE_OK && !troupe_own_get(self, &first_key) && order == 13;
    say(self, test, ok);
}

START_TEST(an_actor_finds_what_it_keeps) {
    system_up();
    troupe_ref test = troupe_self_ref(me), ref = spawn(_i, keeps, &test, sizeof test);
    ck_assert_int_eq(hear(), 1);
    ends(ref, TROUPE_END_NORMAL);
    system_down();
}
END_TEST

struct farewell {
    troupe_self *self;
    troupe_ref test;
    int64_t number;
};

/* Not what a program may do there: it shows when it is called, and in which order. */
static void says_farewell(void *value) {
    struct farewell *f = value;
    say(f->self, f->test, f->number);
}

/* Two lives, each of which begins with nothing. */
static void keeps_for_life(troupe_self *self, void *arg) {
    static struct farewell a, b;
    troupe_ref test = *(troupe_ref *)arg;
    say(self, test, troupe_own_get(self, &first_key) != NULL);
    a = (struct farewell){self, test, 2};
    b = (struct farewell){self, test, 3};
    if (troupe_own_set(self, &first_key, &a, says_farewell) != TROUPE_OK ||
        troupe_own_set(self, &second_key, &b, says_farewell) != TROUPE_OK)
        say(self, test, -1);
}

START_TEST(it_goes_with_the_life) {
    system_up();
    troupe_ref test = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.kind = (troupe_kind)_i, .restart = TROUPE_PERMANENT, .backoff_min_ms = 1};
    ck_assert_int_eq(troupe_spawn(me, &opts, keeps_for_life, &test, sizeof test, &ref), TROUPE_OK);
    for (int life = 0; life < 2; life++) {
        ck_assert_int_eq(hear(), 0);
        ck_assert_int_eq(hear(), 3);
        ck_assert_int_eq(hear(), 2);
    }
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK);
    ck_assert_int_eq(troupe_join(me, ref, PATIENCE_MS, NULL), TROUPE_OK); /* in a life, or between two */
    system_down();
}
END_TEST

START_TEST(no_memory_to_keep_it) {
    static int value = 1;
    system_up();
    for (long n = 1;; n++) {
        faults_fail_at(n);
        troupe_status st = troupe_own_set(me, &first_key, &value, NULL);
        faults_off();
        if (st == TROUPE_OK) {
            ck_assert_int_ge(n, 3);
            break;
        }
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
        ck_assert_ptr_null(troupe_own_get(me, &first_key));
    }
    ck_assert_ptr_eq(troupe_own_get(me, &first_key), &value);
    system_down();
}
END_TEST

int main(void) {
    const TTest *const once[] = {no_memory_to_keep_it};
    Suite *s = suite_create("own");
    TCase *c = run_case(s, "own", once, sizeof once / sizeof *once);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, an_actor_finds_what_it_keeps, 0, KINDS);
    tcase_add_loop_test(c, it_goes_with_the_life, 0, KINDS);
    return run_suite(s);
}
