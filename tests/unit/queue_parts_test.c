/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What queues are made of: the order of ready messages, the heap of deadlines. Random steps, checked against what must
 * come out. */
#include "broker/queue_order.h"
#include "tests/support/run.h"

static struct trp_queue_item *item(uint64_t seq) {
    struct trp_queue_item *it = trp_queue_item_new(&(struct trp_queue_item_spec){.raw = trp_slice_str("x")});
    ck_assert_ptr_nonnull(it);
    it->seq = seq;
    return it;
}

/* Whatever comes and goes, the order is that of the numbers, and a walk says the same as taking out. */
START_TEST(the_order_is_kept_in_list_and_tree) {
    enum { N = 2000 };
    struct trp_queue_item *items[N];
    struct trp_hash_key key = trp_hash_key((uint64_t)_i);
    struct trp_queue_order o = {0};
    uint64_t x = (uint64_t)_i * 2654435769u + 1;
    bool in[N] = {false};
    for (int i = 0; i < N; i++)
        items[i] = item((uint64_t)i + 1);
    for (int step = 0; step < 20 * N; step++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        size_t i = (size_t)(x >> 33) % N;
        if (in[i])
            trp_queue_order_remove(&o, &key, items[i]);
        else
            trp_queue_order_add(&o, &key, items[i]);
        in[i] = !in[i];
    }
    struct trp_queue_walk w = trp_queue_order_walk(&o);
    for (int i = 0; i < N; i++) {
        if (!in[i])
            continue;
        ck_assert_ptr_eq(trp_queue_walk_next(&w), items[i]);
        ck_assert_ptr_eq(trp_queue_order_first(&o), items[i]);
        trp_queue_order_remove(&o, &key, items[i]);
    }
    ck_assert(!trp_queue_walk_next(&w) && trp_queue_order_is_empty(&o));
    for (int i = 0; i < N; i++)
        trp_queue_item_free(items[i]);
}
END_TEST

/* Arming in a full heap, in all orders, with equal deadlines. */
static uint64_t rank_by_place(const struct trp_timer *t) {
    return (uint64_t)(uintptr_t)t;
}

START_TEST(timers_go_off_in_order) {
    enum { N = 3000 };
    static struct trp_timer timers[N];
    struct trp_timers ts;
    uint64_t x = (uint64_t)_i + 1, last = 0, n = 0;
    memset(timers, 0, sizeof timers);
    trp_timers_init(&ts, rank_by_place);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(trp_timers_reserve(&ts), TROUPE_OK);
    for (int step = 0; step < 10 * N; step++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        struct trp_timer *t = &timers[(x >> 33) % N];
        if (trp_timer_is_armed(t) && x >> 63)
            trp_timer_disarm(&ts, t);
        else
            trp_timer_arm(&ts, t, (x >> 20) % 100);
    }
    const struct trp_timer *before = NULL;
    uint64_t armed = ts.n;
    for (struct trp_timer *t; (t = trp_timers_due(&ts, 100)); n++) {
        uint64_t at = trp_timer_at(&ts, t);
        ck_assert(at > last || (at == last && (!before || t > before)));
        last = at;
        before = t;
        trp_timer_disarm(&ts, t);
        trp_timers_release(&ts);
    }
    ck_assert_uint_eq(n, armed);
    ck_assert_ptr_null(trp_timers_due(&ts, UINT64_MAX));
    trp_timers_fini(&ts);
}
END_TEST

int main(void) {
    Suite *s = suite_create("queue_parts");
    TCase *t = tcase_create("parts");
    tcase_add_loop_test(t, the_order_is_kept_in_list_and_tree, 0, 20);
    tcase_add_loop_test(t, timers_go_off_in_order, 0, 20);
    suite_add_tcase(s, t);
    return run_suite(s);
}
