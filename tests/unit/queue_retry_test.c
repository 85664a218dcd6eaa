/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Another life for many dead messages, in steps: what a step may look at, what it leaves for the next, what happens in between,
 * and that it does not matter who else looks at the queue. */
#include "broker/queue_state.h"
#include "tests/support/queue_rig.h"
#include "tests/support/run.h"

enum { STEP = 1024 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { MANY = 20000 };
#else
enum { MANY = 200000 };
#endif

static struct trp_queue *dead;

/* q and q.dead, where `homeless` messages lie that died nowhere. */
static void setup_with(int homeless) {
    rig_start();
    struct trp_queue_config grave = rig_careless("q.dead"), c = rig_config("q");
    rig_use(&grave);
    for (int i = 0; i < homeless; i++)
        rig_put("stays");
    rig_use(&c);
    dead = rig_find("q.dead");
}

static void setup(void) {
    setup_with(0);
}

static void die(int n) {
    for (int i = 0; i < n; i++)
        rig_put_ttl("m", 1);
    rig_pass(2);
}

static uint64_t step(struct trp_queue_retry *r, uint64_t looks) {
    uint64_t count;
    ck_assert_int_eq(trp_queue_retry(dead, rig.now, r, looks, &count), TROUPE_OK);
    ck_assert_uint_le(count, looks);
    return count;
}

START_TEST(many_live_again_in_steps) {
    die(MANY);
    ck_assert_uint_eq(dead->messages[TRP_QUEUE_READY], MANY);
    struct trp_queue_retry r = trp_queue_retry_begin(dead, UINT64_MAX);
    uint64_t all = 0;
    unsigned steps = 0;
    for (; !trp_queue_retry_is_over(&r); steps++)
        all += step(&r, STEP);
    ck_assert_uint_eq(steps, (MANY + STEP - 1) / STEP);
    ck_assert_uint_eq(all, MANY);
    ck_assert_uint_eq(dead->messages[TRP_QUEUE_READY], 0);
    ck_assert_uint_eq(rig.q->messages[TRP_QUEUE_READY], MANY);
}
END_TEST

/* Those that stay are looked at once, also when others look meanwhile: so many that its place is kept, or that it is lost. */
START_TEST(what_stays_is_passed_once) {
    enum { HOMELESS = 3000, DEAD = 2000 };
    unsigned others = _i ? TRP_QUEUE_LOOKS : TRP_QUEUE_LOOKS - 1, steps = 0;
    rig_stop();
    setup_with(HOMELESS);
    die(DEAD);
    struct trp_queue_retry r = trp_queue_retry_begin(dead, UINT64_MAX);
    uint64_t all = 0;
    for (; !trp_queue_retry_is_over(&r); steps++) {
        all += step(&r, STEP);
        for (unsigned i = 0; i < others; i++)
            trp_queue_look_at(dead, TRP_QUEUE_READY, 10 + i);
        if (steps == 1)
            ck_assert_int_eq(trp_queue_look_behind(dead, TRP_QUEUE_READY, 2 * STEP), !_i);
    }
    ck_assert_uint_eq(all, DEAD);
    ck_assert_uint_eq(steps, (HOMELESS + DEAD + STEP - 1) / STEP);
    ck_assert_str_eq(rig_counts("q.dead"), "3000/0/0/0");
    ck_assert_uint_eq(rig.q->messages[TRP_QUEUE_READY], DEAD);
}
END_TEST

/* Where it stands may go, and come: it looks at what was there, once. */
START_TEST(others_take_and_put_meanwhile) {
    rig_stop();
    setup_with(5);
    die(5);
    struct trp_queue_retry r = trp_queue_retry_begin(dead, UINT64_MAX);
    ck_assert_uint_eq(step(&r, 3), 0);
    ck_assert_uint_eq(r.ready, 7);
    rig.q = dead;
    rig_attach('a', 4);
    ck_assert_str_eq(rig_counts("q.dead"), "6/4/0/0");
    ck_assert_uint_eq(step(&r, 3), 2); /* past the last that stays */
    rig_leave('a');
    ck_assert_uint_eq(step(&r, 9), 3);
    ck_assert(trp_queue_retry_is_over(&r));
    ck_assert_str_eq(rig_counts("q.dead"), "5/0/0/0");
    ck_assert_str_eq(rig_counts("q"), "5/0/0/0");
}
END_TEST

/* Who dies again in between has had his turn. */
START_TEST(who_dies_again_waits) {
    die(4);
    struct trp_queue_retry r = trp_queue_retry_begin(dead, UINT64_MAX);
    for (int i = 0; i < 4; i++) {
        ck_assert(!trp_queue_retry_is_over(&r));
        ck_assert_uint_eq(step(&r, 1), 1);
        die(1);
    }
    ck_assert(trp_queue_retry_is_over(&r));
    ck_assert_uint_eq(dead->messages[TRP_QUEUE_READY], 4);
}
END_TEST

/* What could not go anywhere is dug up where it lies: in steps, too, and after the others. */
START_TEST(the_buried_come_after_the_others) {
    rig_stop();
    rig_start();
    rig_use_one_grave(); /* which takes one */
    rig_attach('a', 9);
    for (int i = 0; i < 6; i++)
        rig_put("m");
    for (uint64_t token = 1; token <= 6; token++)
        rig_nack('a', token, 0);
    dead = rig.q;
    ck_assert_str_eq(rig_counts("work"), "0/0/0/5");
    ck_assert_int_eq(trp_queue_pause(rig.q, rig.now, true), TROUPE_OK);
    struct trp_queue_retry r = trp_queue_retry_begin(dead, 4);
    ck_assert_uint_eq(step(&r, 3), 3);
    ck_assert_str_eq(rig_counts("work"), "3/0/0/2");
    ck_assert_uint_eq(step(&r, 3), 1);
    ck_assert(trp_queue_retry_is_over(&r));
    ck_assert_str_eq(rig_counts("work"), "4/0/0/1");
}
END_TEST

/* --- several that look at one queue --- */

static uint64_t number_here(void) {
    struct trp_queue_message m;
    return trp_queue_look(rig.q, &m) == TROUPE_OK ? m.seq : 0;
}

START_TEST(so_many_may_look_at_once) {
    uint64_t last[TRP_QUEUE_LOOKS + 1] = {0};
    for (int i = 0; i < 100; i++)
        rig_put("m");
    for (uint64_t i = 0; i < TRP_QUEUE_LOOKS; i++) {
        trp_queue_look_at(rig.q, TRP_QUEUE_READY, i * 10);
        last[i] = number_here();
        trp_queue_look_on(rig.q);
    }
    for (int turn = 0; turn < 5; turn++) {
        for (uint64_t i = 0; i < TRP_QUEUE_LOOKS; i++) {
            ck_assert(trp_queue_look_behind(rig.q, TRP_QUEUE_READY, last[i]));
            ck_assert_uint_eq(number_here(), last[i] + 1);
            trp_queue_look_on(rig.q);
            last[i]++;
        }
    }
    trp_queue_look_at(rig.q, TRP_QUEUE_READY, 90); /* one more takes the place of the one that was used longest ago */
    ck_assert(!trp_queue_look_behind(rig.q, TRP_QUEUE_READY, last[0]));
    for (uint64_t i = 1; i < TRP_QUEUE_LOOKS; i++)
        ck_assert(trp_queue_look_behind(rig.q, TRP_QUEUE_READY, last[i]));
}
END_TEST

int main(void) {
    Suite *s = suite_create("queue_retry");
    const TTest *const all[] = {many_live_again_in_steps, others_take_and_put_meanwhile, who_dies_again_waits,
                                the_buried_come_after_the_others, so_many_may_look_at_once};
    TCase *c = run_case(s, "retry", all, sizeof all / sizeof *all);
    tcase_add_loop_test(c, what_stays_is_passed_once, 0, 2);
    tcase_add_checked_fixture(c, setup, rig_stop);
    tcase_set_timeout(c, 60);
    return run_suite(s);
}
