/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Memory that runs out while something of the runtime is made: it says so, leaves nothing behind, and what is there goes on. */
#include <troupe/handler.h>

#include "actors/sanitizer.h"
#include "actors/system.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

static void body(troupe_self *self, void *arg) {
    (void)self, (void)arg;
}

static void on_message(troupe_self *self, void *state, troupe_msg **m) {
    (void)self, (void)state, (void)m;
}

static const troupe_handler handler = {.on_message = on_message};

START_TEST(a_birth) {
    for (long n = 1;; n++) {
        struct trp_birth *b;
        faults_fail_at(n);
        troupe_status st = trp_birth_new(&b, NULL, body, "x", 1);
        if (st == TROUPE_OK)
            trp_birth_free(b);
        ck_assert_int_eq(faults.live, 0);
        faults_off();
        if (st == TROUPE_OK)
            break;
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
    }
}
END_TEST

START_TEST(a_registry_and_the_ends) {
    for (long n = 1;; n++) {
        struct trp_registry r;
        struct trp_ends e;
        faults_fail_at(n);
        troupe_status st = trp_registry_init(&r);
        if (st == TROUPE_OK) {
            st = trp_ends_init(&e);
            if (st == TROUPE_OK)
                trp_ends_fini(&e);
            trp_registry_fini(&r);
        }
        ck_assert_int_eq(faults.live, 0);
        faults_off();
        if (st == TROUPE_OK)
            break;
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
    }
}
END_TEST

START_TEST(a_system) {
    const troupe_system_opts opts = {.threads = 1, .no_processes = true, .name = "scarce", .broker = "ipc:///nowhere"};
    long failed = 0;
    for (long n = 1;; n++) {
        troupe_system *sys;
        faults_fail_at(n);
        troupe_status st = troupe_system_open(&sys, &opts);
        if (st == TROUPE_OK)
            troupe_system_close(&sys);
        ck_assert_int_eq(faults.live, 0);
        faults_off();
        if (st == TROUPE_OK)
            break;
        failed++;
    }
    ck_assert_int_gt(failed, 5);
}
END_TEST

/* The spawner allocates; its worker has nothing to do meanwhile, and so does not. The seam stays as it is while there are
 * threads. */
static void spawns_until_it_can(troupe_system *sys, bool handled) {
    troupe_self *me = troupe_system_self(sys);
    while (atomic_load(&sys->live) > 0) /* the one before has told its end, and is about to go */
        troupe_yield(me);
    for (long n = 1;; n++) {
        troupe_ref ref;
        faults.calls = 0;
        faults.fail_at = n;
        troupe_status st =
            handled ? troupe_spawn_handler(me, NULL, &handler, "x", 1, &ref) : troupe_spawn(me, NULL, body, "x", 1, &ref);
        faults.fail_at = 0;
        if (st == TROUPE_OK) {
            ck_assert_int_gt(n, 1);
            (void)!troupe_close(me, ref);
            ck_assert_int_eq(troupe_join(me, ref, 20000, NULL), TROUPE_OK);
            break;
        }
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
        ck_assert_uint_eq(atomic_load(&sys->live), 0); /* nobody is left half born */
    }
}

START_TEST(an_actor) {
    troupe_system *sys;
    faults_fail_at(0);
    ck_assert_int_eq(troupe_system_open(&sys, &(troupe_system_opts){.threads = 1, .no_processes = true}), TROUPE_OK);
    spawns_until_it_can(sys, _i);
    spawns_until_it_can(sys, !_i); /* what the first has left warm */
    troupe_system_close(&sys);
    faults_off();
}
END_TEST

START_TEST(a_message) {
    troupe_system *sys;
    ck_assert_int_eq(troupe_system_open(&sys, &(troupe_system_opts){.threads = 1, .no_processes = true}), TROUPE_OK);
    troupe_self *me = troupe_system_self(sys);
    static const uint8_t large[5000];
    faults_fail_at(1);
    troupe_status st = troupe_send(me, troupe_self_ref(me), troupe_bytes(large, sizeof large));
    faults_off();
    ck_assert_int_eq(st, TROUPE_NO_MEMORY);
    ck_assert(!trp_actor_has_mail(sys->opener));
    ck_assert_int_eq(troupe_send(me, troupe_self_ref(me), troupe_bytes(large, sizeof large)), TROUPE_OK);
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, 0, &m), TROUPE_OK);
    troupe_msg_free(&m);
    troupe_system_close(&sys);
}
END_TEST

int main(void) {
    Suite *s = suite_create("actor_memory");
    TCase *c = tcase_create("scarce");
    tcase_add_test(c, a_birth);
    tcase_add_test(c, a_registry_and_the_ends);
    tcase_add_test(c, a_system);
    if (!TRP_TSAN) /* the counts of the seam are nobody's in particular */
        tcase_add_loop_test(c, an_actor, 0, 2);
    tcase_add_test(c, a_message);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    return run_suite(s);
}
