/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Numbers and what they stand for, against a plain array. */
#include "clients/idmap.h"

#include "tests/support/faults.h"
#include "tests/support/run.h"

enum { N = 3000 };

static int things[N];

START_TEST(an_empty_map_has_nothing) {
    struct trp_idmap m = {0};
    ck_assert_ptr_null(trp_idmap_get(&m, 0));
    ck_assert_ptr_null(trp_idmap_get(&m, 1));
    ck_assert_ptr_null(trp_idmap_take(&m, 7));
    trp_idmap_fini(&m);
}
END_TEST

START_TEST(what_is_added_is_found_until_it_is_taken) {
    struct trp_idmap m = {0};
    uint64_t ids[N];
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(trp_idmap_add(&m, &things[i], &ids[i]), TROUPE_OK);
        ck_assert_uint_gt(ids[i], i ? ids[i - 1] : 0);
    }
    for (int i = 0; i < N; i++)
        ck_assert_ptr_eq(trp_idmap_get(&m, ids[i]), &things[i]);
    ck_assert_ptr_null(trp_idmap_get(&m, ids[N - 1] + m.cap)); /* the same slot, another number */
    for (int i = 0; i < N; i++) {
        ck_assert_ptr_eq(trp_idmap_take(&m, ids[i]), &things[i]);
        ck_assert_ptr_null(trp_idmap_take(&m, ids[i]));
    }
    trp_idmap_fini(&m);
}
END_TEST

/* Some stay for ever while many come and go: no number is used twice, none is lost, and the table does not grow. */
START_TEST(guests_that_stay) {
    struct trp_idmap m = {0};
    uint64_t stay[20], id, last = 0;
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(trp_idmap_add(&m, &things[i], &stay[i]), TROUPE_OK);
    size_t cap = m.cap;
    for (int i = 0; i < 100000; i++) {
        ck_assert_int_eq(trp_idmap_add(&m, &things[100], &id), TROUPE_OK);
        ck_assert_uint_gt(id, last);
        last = id;
        ck_assert_ptr_eq(trp_idmap_take(&m, id), &things[100]);
    }
    ck_assert_uint_eq(m.cap, cap);
    for (int i = 0; i < 20; i++)
        ck_assert_ptr_eq(trp_idmap_take(&m, stay[i]), &things[i]);
    trp_idmap_fini(&m);
}
END_TEST

START_TEST(random_comings_and_goings) {
    static uint64_t ids[N];
    struct trp_idmap m = {0};
    uint32_t r = 12345;
    for (int i = 0; i < 200000; i++) {
        r = r * 1664525 + 1013904223;
        unsigned k = (r >> 8) % N;
        if (ids[k]) {
            ck_assert_ptr_eq(trp_idmap_take(&m, ids[k]), &things[k]);
            ids[k] = 0;
        } else {
            ck_assert_int_eq(trp_idmap_add(&m, &things[k], &ids[k]), TROUPE_OK);
        }
    }
    for (int k = 0; k < N; k++)
        ck_assert_ptr_eq(trp_idmap_take(&m, ids[k]), ids[k] ? &things[k] : NULL);
    trp_idmap_fini(&m);
}
END_TEST

START_TEST(no_memory_changes_nothing) {
    struct trp_idmap m = {0};
    uint64_t id = 77, first;
    faults_fail_at(1);
    ck_assert_int_eq(trp_idmap_add(&m, &things[0], &id), TROUPE_NO_MEMORY);
    ck_assert_uint_eq(id, 77);
    faults_off();
    ck_assert_int_eq(trp_idmap_add(&m, &things[0], &first), TROUPE_OK);
    faults_fail_at(1);
    while (trp_idmap_add(&m, &things[1], &id) == TROUPE_OK)
        continue;
    faults_off();
    ck_assert_ptr_eq(trp_idmap_take(&m, first), &things[0]);
    for (; id > first; id--)
        ck_assert_ptr_eq(trp_idmap_take(&m, id), &things[1]);
    trp_idmap_fini(&m);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {an_empty_map_has_nothing, what_is_added_is_found_until_it_is_taken, guests_that_stay,
                                  random_comings_and_goings, no_memory_changes_nothing};
    Suite *s = suite_create("idmap");
    run_case(s, "idmap", tests, sizeof tests / sizeof *tests);
    return run_suite(s);
}
