/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The router's hash table and hash: long runs that wrap, removal in the middle of them, and that nearby keys part. */
#include "broker/hash.h"
#include "broker/table.h"
#include "tests/support/run.h"
#include "transports/alloc.h"
#include <stdlib.h>

enum { VALUES = 300 };

static struct trp_table table;
static uint64_t values[VALUES];
static bool in[VALUES];

static bool same(const void *value, const void *want) {
    return *(const uint64_t *)value == *(const uint64_t *)want;
}

/* Few homes, so that runs are long and wrap. */
static uint64_t hash_of(size_t i) {
    return values[i] % 5 + (i % 3 ? 0 : UINT64_MAX - 6);
}

static void check_all(void) {
    size_t n = 0;
    for (size_t i = 0; i < VALUES; i++) {
        ck_assert_ptr_eq(trp_table_find(&table, hash_of(i), same, &values[i]), in[i] ? &values[i] : NULL);
        n += in[i];
    }
    ck_assert_uint_eq(table.count, n);
}

START_TEST(add_find_remove) {
    uint64_t rng = 1;
    for (size_t i = 0; i < VALUES; i++)
        values[i] = i;
    for (int step = 0; step < 1500; step++) {
        rng = rng * 6364136223846793005u + 1442695040888963407u;
        size_t i = (size_t)(rng >> 33) % VALUES;
        if (in[i]) {
            trp_table_remove(&table, hash_of(i), &values[i]);
        } else {
            ck_assert_int_eq(trp_table_reserve(&table), TROUPE_OK);
            trp_table_add(&table, hash_of(i), &values[i]);
        }
        in[i] = !in[i];
        check_all();
    }
    trp_table_fini(&table);
    ck_assert_ptr_null(trp_table_find(&table, 1, same, &values[1]));
}
END_TEST

static void *no_realloc(void *ctx, void *old, size_t size) {
    (void)ctx, (void)old, (void)size;
    return NULL;
}

static void plain_free(void *ctx, void *p) {
    (void)ctx;
    free(p);
}

START_TEST(no_memory_changes_nothing) {
    troupe_alloc_set(&(troupe_allocator){no_realloc, plain_free, NULL});
    ck_assert_int_eq(trp_table_reserve(&table), TROUPE_NO_MEMORY);
    troupe_alloc_set(NULL);
    for (size_t i = 0; i < 6; i++) {
        values[i] = i;
        ck_assert_int_eq(trp_table_reserve(&table), TROUPE_OK);
        trp_table_add(&table, hash_of(i), &values[i]);
        in[i] = true;
    }
    troupe_alloc_set(&(troupe_allocator){no_realloc, plain_free, NULL});
    ck_assert_int_eq(trp_table_reserve(&table), TROUPE_NO_MEMORY);
    troupe_alloc_set(NULL);
    ck_assert_uint_eq(table.count, 6);
    for (size_t i = 0; i < 6; i++)
        ck_assert_ptr_eq(trp_table_find(&table, hash_of(i), same, &values[i]), &values[i]);
    trp_table_fini(&table);
}
END_TEST

/* Every prefix length and every single changed bit gives another hash, and low bits spread: no home gets more than
 * four times its part. */
START_TEST(hashes_part) {
    struct trp_hash_key k = trp_hash_key(42), other = trp_hash_key(43);
    uint8_t text[80] = "the.same.topic.with.a.counter.behind.it.0000000000000000000000000000000000000";
    for (size_t n = 0; n < sizeof text; n++) {
        uint64_t h = trp_hash_bytes(&k, 0, text, n);
        ck_assert_uint_ne(h, trp_hash_bytes(&k, 0, text, n + 1 < sizeof text ? n + 1 : 0));
        ck_assert_uint_ne(h, trp_hash_bytes(&other, 0, text, n));
        ck_assert_uint_ne(h, trp_hash_bytes(&k, 1, text, n));
        for (size_t bit = 0; bit < n * 8; bit++) {
            text[bit / 8] ^= (uint8_t)(1 << bit % 8);
            ck_assert_uint_ne(h, trp_hash_bytes(&k, 0, text, n));
            text[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
    unsigned homes[2][256] = {0};
    for (unsigned i = 0; i < 65536; i++) {
        uint8_t topic[4] = {'t', '.', (uint8_t)(i >> 8), (uint8_t)i};
        homes[0][trp_hash_bytes(&k, 0, topic, 4) % 256]++;
        homes[1][trp_hash_u64(&k, i) % 256]++;
    }
    for (unsigned i = 0; i < 256; i++)
        ck_assert(homes[0][i] > 128 && homes[0][i] < 512 && homes[1][i] > 64 && homes[1][i] < 1024);
}
END_TEST

int main(void) {
    Suite *s = suite_create("table");
    TCase *t = tcase_create("table");
    tcase_add_test(t, add_find_remove);
    tcase_add_test(t, no_memory_changes_nothing);
    tcase_add_test(t, hashes_part);
    suite_add_tcase(s, t);
    return run_suite(s);
}
