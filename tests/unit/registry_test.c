/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Numbers and slots, the look-up that takes no lock while slots change hands, and what is remembered of the dead. */
#include "actors/registry.h"

#include "actors/system.h"
#include "tests/support/run.h"
#include "tests/support/stress.h"
#include "transports/alloc.h"

static troupe_system *sys;

static void body(troupe_self *self, void *arg) {
    (void)self, (void)arg;
}

static struct trp_actor *born(void) {
    struct trp_birth *birth;
    struct trp_actor *a;
    CHECK(trp_birth_new(&birth, NULL, body, NULL, 0) == TROUPE_OK);
    CHECK(trp_registry_new(&sys->registry, &a, sys, birth) == TROUPE_OK);
    trp_registry_publish(a);
    return a;
}

static void up(void) {
    sys = trp_calloc(1, sizeof *sys);
    ck_assert_int_eq(trp_registry_init(&sys->registry), TROUPE_OK);
    ck_assert_int_eq(trp_ends_init(&sys->ends), TROUPE_OK);
}

static void down(void) {
    trp_registry_fini(&sys->registry);
    trp_ends_fini(&sys->ends);
    trp_free(sys);
}

START_TEST(a_number_names_one_actor_for_ever) {
    struct trp_actor *a = born();
    uint64_t id = trp_actor_id(a);
    ck_assert_uint_ne(id, 0);
    ck_assert_ptr_eq(trp_registry_get(&sys->registry, id), a);
    trp_actor_unref(a);
    trp_actor_unref(a);
    ck_assert_ptr_null(trp_registry_get(&sys->registry, id));
    struct trp_actor *b = born();
    ck_assert_ptr_eq(b, a); /* the slot is used again, the number is not */
    ck_assert_uint_ne(trp_actor_id(b), id);
    ck_assert_ptr_null(trp_registry_get(&sys->registry, id));
    trp_actor_unref(b);
}
END_TEST

START_TEST(numbers_that_are_none) {
    struct trp_actor *a = born();
    const uint64_t none[] = {0, 1, UINT64_MAX, UINT32_MAX, trp_actor_id(a) + 1, trp_actor_id(a) ^ (uint64_t)1 << 40};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert_ptr_null(trp_registry_get(&sys->registry, none[i]));
    trp_actor_unref(a);
}
END_TEST

static void count(struct trp_actor *a, void *ctx) {
    (void)a;
    ++*(size_t *)ctx;
}

START_TEST(many_at_once) {
    enum { MANY = 20 * TRP_SLAB + 7 }; /* the first slabs are the allocator's, the others cut from an expanse */
    static struct trp_actor *all[MANY];
    size_t n = 0;
    for (int i = 0; i < MANY; i++)
        all[i] = born();
    for (int i = 0; i < MANY; i += 2)
        trp_actor_unref(all[i]);
    trp_registry_each(&sys->registry, count, &n);
    ck_assert_uint_eq(n, MANY / 2);
    for (int i = 1; i < MANY; i += 2) {
        ck_assert_ptr_eq(trp_registry_get(&sys->registry, trp_actor_id(all[i])), all[i]);
        trp_actor_unref(all[i]);
        trp_actor_unref(all[i]);
    }
}
END_TEST

/* One thread gives actors life and death, others look up the numbers it has told: they find that very actor, or none. */
static _Atomic uint64_t told;
static atomic_bool over;

static void *looks_up(void *arg) {
    size_t *found = arg;
    while (!atomic_load(&over)) {
        uint64_t id = atomic_load(&told);
        struct trp_actor *a = id ? trp_registry_get(&sys->registry, id) : NULL;
        if (!a) {
            sched_yield(); /* the next one is about to be told, by who may want this processor */
            continue;
        }
        if (trp_actor_id(a) != id)
            return &told; /* an actor with another number */
        ++*found;
        trp_actor_unref(a);
    }
    return NULL;
}

START_TEST(looking_up_while_slots_change_hands) {
    pthread_t threads[2];
    size_t found[2] = {0};
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, looks_up, &found[i]), 0);
    for (struct stress s = stress_of(200000); stress_goes_on(&s);) {
        struct trp_actor *a = born();
        atomic_store(&told, trp_actor_id(a));
        if (s.done % 64 == 0)
            sched_yield();
        trp_actor_unref(a);
    }
    atomic_store(&over, true);
    for (int i = 0; i < 2; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        ck_assert_ptr_null(wrong);
    }
}
END_TEST

START_TEST(the_last_ends_are_remembered) {
    troupe_exit exit = trp_exit_normal(), got;
    ck_assert(!trp_ends_find(&sys->ends, 1, &got));
    for (uint64_t id = 1; id <= 3 * TRP_ENDS; id++) {
        exit.code = (int)id;
        trp_ends_add(&sys->ends, id << 32 | id % 100, &exit);
    }
    for (uint64_t id = 1; id <= 3 * TRP_ENDS; id++) {
        bool known = trp_ends_find(&sys->ends, id << 32 | id % 100, &got);
        CHECK(known == (id > 2 * TRP_ENDS));
        if (known)
            CHECK(got.code == (int)id);
    }
}
END_TEST

/* Other threads remember apart, and everybody finds all of it. */
static void *ends_plainly(void *arg) {
    troupe_exit exit = trp_exit_normal();
    for (uint64_t id = 1; id <= TRP_ENDS; id++)
        trp_ends_add(&sys->ends, (uint64_t)(uintptr_t)arg << 32 | id, &exit);
    return NULL;
}

START_TEST(ends_of_many_threads) {
    enum { THREADS = 2 * TRP_ENDS_SHARES };
    for (uintptr_t t = 1; t <= THREADS; t++) {
        pthread_t thread;
        troupe_exit got;
        ck_assert_int_eq(pthread_create(&thread, NULL, ends_plainly, (void *)t), 0);
        pthread_join(thread, NULL);
        for (uint64_t id = 1; id <= TRP_ENDS; id++) {
            memset(&got, 0xa5, sizeof got);
            CHECK(trp_ends_find(&sys->ends, (uint64_t)t << 32 | id, &got));
            CHECK(trp_exit_is_plain(&got));
        }
    }
    troupe_exit said = {.how = TROUPE_END_NORMAL, .text = "done"}, got;
    trp_ends_add(&sys->ends, 7, &said);
    ck_assert(trp_ends_find(&sys->ends, 7, &got));
    ck_assert_str_eq(got.text, "done");
}
END_TEST

START_TEST(names_for_those_without) {
    enum { GIVEN = 2000, MOST = 2 * GIVEN + 500 };
    static bool seen[MOST + 1];
    atomic_uint count = 0;
    struct trp_labels near[2] = {0};
    for (unsigned i = 0; i < GIVEN; i++) {
        char name[TRP_LABEL_SIZE];
        unsigned n;
        int end;
        /* Two that take batches, one of them now and then, and one that takes single numbers. */
        trp_label_next(i % 100 == 50 ? NULL : &near[i % 3 == 0], &count, name);
        ck_assert_int_eq(sscanf(name, "actor-%u%n", &n, &end), 1);
        ck_assert_uint_eq(strlen(name), (size_t)end);
        ck_assert_uint_le(n, MOST);
        ck_assert(!seen[n] && n > 0);
        seen[n] = true;
    }
    ck_assert_uint_gt(atomic_load(&count), 999); /* four digits have been counted to */
}
END_TEST

/* What threads have in hand makes the number too high, never too low; settled, it is right. */
START_TEST(a_tally_is_never_too_low) {
    enum { THREADS = 3, STEPS = 20000 };
    struct trp_tally near[THREADS] = {{0}};
    atomic_size_t count = 0;
    size_t there = 0;
    unsigned random = 1;
    for (int i = 0; i < STEPS; i++) {
        random = random * 1103515245 + 12345;
        struct trp_tally *who = random >> 16 & 3 ? &near[(random >> 16 & 3) - 1] : NULL;
        if (random >> 20 & 1 || there == 0) {
            trp_tally_in(who, &count);
            there++;
        } else {
            there--;
            (void)trp_tally_out(who, &count);
        }
        CHECK(atomic_load(&count) >= there);
        CHECK(atomic_load(&count) <= there + THREADS * 128);
    }
    for (; there > 0; there--)
        ck_assert(!trp_tally_out(&near[0], &count) || there == 1);
    for (int i = 1; i < THREADS; i++)
        ck_assert(!trp_tally_settle(&near[i], &count) || near[0].hand == 0);
    ck_assert(trp_tally_settle(&near[0], &count));
    ck_assert(!trp_tally_settle(&near[0], &count)); /* it is told once */
    ck_assert_uint_eq(atomic_load(&count), 0);
    trp_tally_in(NULL, &count);
    ck_assert(trp_tally_out(NULL, &count));
}
END_TEST

START_TEST(an_expanse_gives_zeroed_memory) {
    enum { SIZE = (1 << 20) + 1, MANY = 100 };
    struct trp_expanse all = {0};
    static uint8_t *got[MANY];
    for (int i = 0; i < MANY; i++) {
        got[i] = trp_expanse_get(&all, SIZE);
        ck_assert_ptr_nonnull(got[i]);
        ck_assert_uint_eq((uintptr_t)got[i] % 64, 0);
        ck_assert(got[i][0] == 0 && got[i][SIZE / 2] == 0 && got[i][SIZE - 1] == 0);
        got[i][0] = got[i][SIZE - 1] = (uint8_t)(i + 1);
    }
    for (int i = 0; i < MANY; i++)
        ck_assert(got[i][0] == i + 1 && got[i][SIZE - 1] == i + 1);
    ck_assert_ptr_null(trp_expanse_get(&all, SIZE_MAX / 2));
    trp_expanse_free(&all);
    trp_expanse_free(&all);
}
END_TEST

START_TEST(ends_in_words) {
    ck_assert_str_eq(trp_exit_status(0).text, "normal");
    ck_assert_str_eq(trp_exit_status(3 << 8).text, "exit status 3");
    ck_assert_str_eq(trp_exit_status(11).text, "SIGSEGV");
    ck_assert_str_eq(trp_exit_status(6 | 0x80).text, "SIGABRT (core dumped)");
    ck_assert_str_eq(trp_exit_status(40).text, "signal 40");
    ck_assert_str_eq(trp_exit_unborn("no room").text, "cannot be started: no room");
    ck_assert_str_eq(trp_exit_killed().text, "killed");
}
END_TEST

START_TEST(a_birth_is_a_copy) {
    char name[100], arg[] = "argument";
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    troupe_spawn_opts opts = {.name = name, .restart = TROUPE_PERMANENT, .backoff_min_ms = 50, .backoff_max_ms = 20};
    struct trp_birth *b;
    ck_assert_int_eq(trp_birth_new(&b, &opts, body, arg, sizeof arg), TROUPE_OK);
    ck_assert_uint_eq(strlen(b->name), TRP_NAME_MAX);
    ck_assert_int_eq(b->backoff_max_ms, 50);
    memset(arg, 0, sizeof arg);
    /* Each life is given it fresh. */
    for (int i = 0; i < 3; i++) {
        char *copy = trp_birth_arg(b);
        ck_assert_str_eq(copy, "argument");
        memset(copy, 0, sizeof arg);
    }
    trp_birth_free(b);
    ck_assert_int_eq(trp_birth_new(&b, NULL, body, NULL, 0), TROUPE_OK);
    ck_assert_ptr_null(trp_birth_arg(b));
    ck_assert_uint_eq(b->mailbox, 1024);
    trp_birth_free(b);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {a_number_names_one_actor_for_ever,
                                  numbers_that_are_none,
                                  many_at_once,
                                  looking_up_while_slots_change_hands,
                                  the_last_ends_are_remembered,
                                  ends_of_many_threads,
                                  names_for_those_without,
                                  a_tally_is_never_too_low,
                                  an_expanse_gives_zeroed_memory,
                                  ends_in_words,
                                  a_birth_is_a_copy};
    Suite *s = suite_create("registry");
    TCase *c = run_case(s, "registry", tests, sizeof tests / sizeof *tests);
    tcase_add_checked_fixture(c, up, down);
    tcase_set_timeout(c, 60);
    return run_suite(s);
}
