/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What queues do, as readable traces in virtual time (tests/support/queue_rig.h has the words). What they can't keep is in
 * queue_limits_test.c, the log in queue_log_test.c, random events against a model in queue_model_test.c. */
#include "broker/queue_state.h"
#include "tests/support/queue_rig.h"
#include "tests/support/run.h"

static void setup(void) {
    rig_start();
    struct trp_queue_config c = rig_config("q");
    rig_use(&c);
}

/* ---- order ---- */

START_TEST(first_in_first_out) {
    rig_put("m1"), rig_put("m2"), rig_put("m3");
    EXPECT("");
    rig_attach('a', 10);
    EXPECT("a:1=m1 a:2=m2 a:3=m3");
    rig_put("m4");
    EXPECT("a:4=m4");
}
END_TEST

START_TEST(the_urgent_go_first) {
    rig_put_priority("low", 9), rig_put_priority("mid1", 4), rig_put_priority("high", 0), rig_put_priority("mid2", 4);
    rig_attach('a', 10);
    EXPECT("a:1=high a:2=mid1 a:3=mid2 a:4=low");
}
END_TEST

START_TEST(what_comes_back_takes_its_old_place) {
    rig_put("m1"), rig_put("m2"), rig_put("m3"), rig_put("m4");
    rig_attach('a', 3);
    EXPECT("a:1=m1 a:2=m2 a:3=m3");
    ck_assert_int_eq(trp_queue_pause(rig.q, rig.now, true), TROUPE_OK);
    rig_nack('a', 2, 0), rig_nack('a', 1, 0), rig_nack('a', 3, 0);
    rig_leave('a');
    rig_attach('b', 9);
    ck_assert_int_eq(trp_queue_pause(rig.q, rig.now, false), TROUPE_OK);
    EXPECT("b:1=m1*2 b:2=m2*2 b:3=m3*2 b:4=m4");
}
END_TEST

/* ---- credit ---- */

START_TEST(never_more_than_credit_in_hand) {
    rig_attach('a', 2);
    rig_put("m1"), rig_put("m2"), rig_put("m3"), rig_put("m4");
    EXPECT("a:1=m1 a:2=m2");
    rig_ack('a', 1);
    EXPECT("a:3=m3");
    ck_assert_int_eq(trp_consumer_credit(rig_at('a'), rig.now, 1), TROUPE_OK);
    rig_ack('a', 3);
    EXPECT("");
    rig_ack('a', 2);
    EXPECT("a:4=m4");
    ck_assert_str_eq(rig_counts(NULL), "0/1/0/0");
}
END_TEST

static void put_bytes(size_t n) {
    static const uint8_t zeros[2000];
    uint64_t lsn;
    ck_assert_int_eq(trp_queue_put(rig.q, rig.now, &(struct trp_queue_put){.raw = {zeros, n}}, &lsn), TROUPE_OK);
}

/* A message counts 256 beside its own bytes. */
START_TEST(a_hand_has_a_bound_in_bytes) {
    struct trp_consumer *a, *b;
    rig_stop();
    rig.max_hand = 2000;
    rig_start();
    struct trp_queue_config c = rig_config("q");
    rig_use(&c);
    rig_attach('a', 100), rig_attach('b', 100);
    a = rig_at('a'), b = rig_at('b');
    for (int i = 0; i < 8; i++)
        put_bytes(744);
    ck_assert_uint_eq(a->holding, 2);
    ck_assert_uint_eq(b->holding, 2);
    rig_ack('a', 1);
    ck_assert_uint_eq(a->holding, 2);
    rig_nack('b', 1, 0);
    ck_assert_uint_eq(b->holding, 2);
    ck_assert_int_eq(trp_consumer_pull(b, rig.now, TRP_QUEUE_NEVER), TROUPE_OK);
    ck_assert_uint_eq(b->holding, 3); /* it asked for it */
    rig_pass(30000);
    ck_assert_uint_eq(a->holding, 2);
    ck_assert_uint_eq(b->holding, 2);
    rig_leave('a');
    ck_assert_uint_eq(b->holding, 2);
    ck_assert_str_eq(rig_counts(NULL), "5/2/0/0");
}
END_TEST

START_TEST(an_empty_hand_takes_anything) {
    rig_stop();
    rig.max_hand = 1;
    rig_start();
    struct trp_queue_config c = rig_config("q");
    rig_use(&c);
    rig_attach('a', 100);
    put_bytes(2000), put_bytes(1);
    ck_assert_str_eq(rig_counts(NULL), "1/1/0/0");
    rig_ack('a', 1);
    ck_assert_str_eq(rig_counts(NULL), "0/1/0/0");
}
END_TEST

START_TEST(the_one_with_least_in_hand_is_served) {
    rig_attach('a', 9), rig_attach('b', 9);
    rig_put("m1"), rig_put("m2"), rig_put("m3"), rig_put("m4");
    EXPECT("a:1=m1 b:1=m2 a:2=m3 b:2=m4");
    rig_ack('b', 1), rig_ack('b', 2);
    rig_put("m5"), rig_put("m6"), rig_put("m7");
    EXPECT("b:3=m5 b:4=m6 a:3=m7");
}
END_TEST

START_TEST(among_equals_the_longest_idle_is_served) {
    rig_attach('a', 1), rig_attach('b', 1), rig_attach('c', 1);
    rig_put("m1"), rig_put("m2"), rig_put("m3");
    EXPECT("a:1=m1 b:1=m2 c:1=m3");
    rig_ack('c', 1), rig_ack('a', 1), rig_ack('b', 1);
    rig_put("m4"), rig_put("m5"), rig_put("m6");
    EXPECT("a:2=m4 b:2=m5 c:2=m6");
}
END_TEST

START_TEST(a_long_held_message_does_not_get_in_the_way_of_tokens) {
    rig_attach('a', 2);
    rig_put("long");
    EXPECT("a:1=long");
    for (int i = 0; i < 1000; i++) {
        rig_put("x");
        ck_assert_int_eq(rig_try_ack('a', rig_at('a')->next_token - 1), TROUPE_OK);
    }
    rig_forget();
    ck_assert_uint_lt(rig_at('a')->mask, 4);
    rig_ack('a', 1);
    ck_assert_str_eq(rig_counts(NULL), "0/0/0/0");
}
END_TEST

START_TEST(credit_has_a_bound) {
    rig_attach('a', UINT32_MAX);
    ck_assert_uint_eq(rig_at('a')->credit, TRP_QUEUE_CREDIT_MAX);
}
END_TEST

/* ---- pulls ---- */

START_TEST(pulls_are_served_in_order) {
    rig_attach('a', 0), rig_attach('b', 0);
    rig_put("m0");
    rig_pull('b', 1000);
    EXPECT("b:1=m0");
    rig_ack('b', 1);
    rig_pull('b', 1000), rig_pull('a', 1000);
    rig_put("m1"), rig_put("m2"), rig_put("m3");
    EXPECT("b:2=m1 a:1=m2");
    ck_assert_str_eq(rig_counts(NULL), "1/2/0/0");
}
END_TEST

START_TEST(a_pull_ends_at_its_deadline) {
    rig_attach('a', 0);
    rig_pull('a', 1000);
    ck_assert_int_eq(trp_consumer_pull(rig_at('a'), rig.now, TRP_QUEUE_NEVER), TROUPE_AGAIN);
    ck_assert_uint_eq(trp_queues_next_deadline(rig.set), rig.now.mono_ns + 1000000000);
    rig_pass(999);
    EXPECT("");
    rig_pass(1);
    EXPECT("a empty");
    rig_put("m1");
    EXPECT("");
    rig_pull('a', 0);
    EXPECT("a:1=m1");
    rig_pull('a', 0);
    EXPECT("a empty");
    ck_assert_int_eq(trp_consumer_pull(rig_at('a'), rig.now, TRP_QUEUE_NEVER), TROUPE_OK);
    rig_pass(1000000000);
    EXPECT("a:1 lapsed a:2=m1*2");
}
END_TEST

START_TEST(a_pull_and_credit_stand_in_one_line) {
    rig_attach('a', 1), rig_attach('b', 0);
    rig_pull('b', 1000);
    rig_put("m1"), rig_put("m2"), rig_put("m3");
    EXPECT("a:1=m1 b:1=m2");
    rig_pull('b', 1000);
    rig_ack('a', 1);
    EXPECT("b:2=m3");
}
END_TEST

/* The ack time-out of what a puller holds and the deadline of what it waits for share a timer. */
START_TEST(a_puller_waits_and_works) {
    rig_attach('a', 0);
    rig_put("m1");
    rig_pull('a', 50000);
    EXPECT("a:1=m1");
    rig_pull('a', 10000);
    rig_pass(10000);
    EXPECT("a empty");
    rig_pull('a', 40000);
    rig_pass(20000);
    EXPECT("a:1 lapsed a:2=m1*2");
    rig_pull('a', 40000);
    rig_pass(29999);
    EXPECT("");
    rig_pass(1);
    EXPECT("a:2 lapsed a:3=m1*3");
}
END_TEST

/* ---- acks ---- */

START_TEST(an_ack_counts_for_its_delivery_only) {
    rig_attach('a', 2), rig_attach('b', 2);
    rig_put("m1"), rig_put("m2");
    EXPECT("a:1=m1 b:1=m2");
    ck_assert_int_eq(rig_try_ack('a', 2), TROUPE_NOT_FOUND);
    ck_assert_int_eq(rig_try_ack('a', 0), TROUPE_NOT_FOUND);
    ck_assert_int_eq(rig_try_ack('a', UINT64_MAX), TROUPE_NOT_FOUND);
    rig_ack('a', 1);
    ck_assert_int_eq(rig_try_ack('a', 1), TROUPE_NOT_FOUND);
    ck_assert_int_eq(trp_consumer_nack(rig_at('a'), rig.now, 1, 0), TROUPE_NOT_FOUND);
    ck_assert_int_eq(trp_consumer_touch(rig_at('a'), rig.now, 1), TROUPE_NOT_FOUND);
    ck_assert_int_eq(trp_consumer_bury(rig_at('a'), rig.now, 1, (struct trp_slice){0}), TROUPE_NOT_FOUND);
    ck_assert_uint_eq(rig_totals().stale, 7);
    ck_assert_str_eq(rig_counts(NULL), "0/1/0/0");
}
END_TEST

START_TEST(a_late_ack_is_refused) {
    rig_attach('a', 1), rig_attach('b', 1);
    rig_put("m1");
    EXPECT("a:1=m1");
    rig_pass(30000);
    EXPECT("a:1 lapsed b:1=m1*2");
    ck_assert_int_eq(rig_try_ack('a', 1), TROUPE_NOT_FOUND);
    rig_ack('b', 1);
    ck_assert_str_eq(rig_counts(NULL), "0/0/0/0");
    ck_assert_uint_eq(rig_totals().lapsed, 1);
}
END_TEST

/* One that hangs does not take one message after the other while others are as free as it. */
START_TEST(who_lets_a_time_out_pass_goes_behind) {
    rig_attach('a', 1), rig_attach('b', 1);
    rig_put("m1"), rig_put("m2");
    EXPECT("a:1=m1 b:1=m2");
    rig_pass(1000);
    rig_ack('b', 1);
    rig_pass(29000);
    EXPECT("a:1 lapsed b:2=m1*2");
}
END_TEST

START_TEST(touch_begins_the_time_out_again) {
    rig_attach('a', 2);
    rig_put("m1");
    rig_pass(10000);
    rig_put("m2");
    EXPECT("a:1=m1 a:2=m2");
    rig_pass(15000);
    ck_assert_int_eq(trp_consumer_touch(rig_at('a'), rig.now, 1), TROUPE_OK);
    rig_pass(14999);
    EXPECT("");
    rig_pass(1);
    EXPECT("a:2 lapsed a:3=m2*2");
    rig_pass(15000);
    EXPECT("a:1 lapsed a:4=m1*2");
}
END_TEST

START_TEST(without_a_time_out_a_hand_keeps_it) {
    struct trp_queue_config c = rig_careless("patient");
    c.ack_timeout_ms = 0;
    rig_use(&c);
    rig_attach('a', 1);
    rig_put("m1");
    rig_pass(1000000000000);
    EXPECT("a:1=m1");
    rig_ack('a', 1);
}
END_TEST

START_TEST(nack_gives_it_to_another_later) {
    rig_attach('a', 1);
    rig_put("m1"), rig_put("m2");
    EXPECT("a:1=m1");
    rig_nack('a', 1, 5000);
    EXPECT("a:2=m2");
    ck_assert_str_eq(rig_counts(NULL), "0/1/1/0");
    rig_ack('a', 2);
    rig_pass(4999);
    EXPECT("");
    rig_pass(1);
    EXPECT("a:3=m1*2");
    rig_nack('a', 3, 0);
    EXPECT("a:4=m1*3");
}
END_TEST

START_TEST(a_lost_consumer_gives_back_in_order) {
    rig_attach('a', 3);
    rig_put("m1"), rig_put("m2"), rig_put("m3");
    EXPECT("a:1=m1 a:2=m2 a:3=m3");
    rig_attach('b', 2);
    rig_leave('a');
    EXPECT("b:1=m1*2 b:2=m2*2");
    ck_assert_str_eq(rig_counts(NULL), "1/2/0/0");
    ck_assert_uint_eq(rig_totals().returned, 3);
}
END_TEST

/* ---- time ---- */

START_TEST(a_delay_is_waited_for) {
    rig_attach('a', 9);
    rig_put_delay("late", 1000), rig_put("now");
    EXPECT("a:1=now");
    ck_assert_uint_eq(trp_queues_next_deadline(rig.set), rig.now.mono_ns + 1000000000);
    rig_pass(999);
    EXPECT("");
    rig_pass(1);
    EXPECT("a:2=late");
}
END_TEST

START_TEST(a_delayed_message_takes_the_place_of_its_number) {
    rig_put("m1"), rig_put_delay("m2", 10), rig_put("m3"), rig_put_delay("m4", 5), rig_put("m5");
    rig_pass(20);
    rig_attach('a', 9);
    EXPECT("a:1=m1 a:2=m2 a:3=m3 a:4=m4 a:5=m5");
}
END_TEST

START_TEST(a_jump_of_the_wall_clock_moves_nothing) {
    rig_attach('a', 9);
    rig_put_delay("late", 1000), rig_put_ttl("m1", 5000);
    rig.now.wall_ms += 86400000;
    rig_pass(500);
    EXPECT("a:1=m1");
    rig.now.wall_ms -= 2 * 86400000ull;
    rig_pass(499);
    EXPECT("");
    rig_pass(1);
    EXPECT("a:2=late");
}
END_TEST

START_TEST(a_message_expires_where_it_waits) {
    rig_put_ttl("m1", 1000), rig_put("m2");
    rig_put_delay("m3", 2000);
    (void)rig_put_with("m4", (struct trp_queue_put){.priority = 4, .ttl_ms = 1500, .delay_ms = 2000});
    rig_pass(999);
    ck_assert_str_eq(rig_counts(NULL), "2/0/2/0");
    rig_pass(1);
    ck_assert_str_eq(rig_counts(NULL), "1/0/2/0");
    rig_pass(1000);
    ck_assert_str_eq(rig_counts(NULL), "2/0/0/0");
    rig.q = rig_find("q.dead");
    rig_attach('d', 9);
    EXPECT("d:1=m1!expired@q d:2=m4!expired@q");
}
END_TEST

START_TEST(in_a_hand_a_message_does_not_expire) {
    rig_attach('a', 1);
    rig_put_ttl("m1", 1000);
    EXPECT("a:1=m1");
    rig_pass(2000);
    rig_nack('a', 1, 0);
    EXPECT("");
    ck_assert_str_eq(rig_counts("q.dead"), "1/0/0/0");
    rig_put_ttl("m2", 1000);
    rig_pass(2000);
    rig_ack('a', 2);
    EXPECT("a:2=m2");
    ck_assert_uint_eq(rig_totals().expired, 1);
}
END_TEST

START_TEST(a_ttl_may_end_before_the_delay_of_a_nack) {
    rig_attach('a', 1);
    rig_put_ttl("m1", 1000);
    rig_nack('a', 1, 5000);
    rig_pass(1000);
    EXPECT("a:1=m1");
    ck_assert_str_eq(rig_counts(NULL), "0/0/0/0");
    ck_assert_str_eq(rig_counts("q.dead"), "1/0/0/0");
}
END_TEST

START_TEST(a_queue_may_have_a_ttl) {
    struct trp_queue_config c = rig_careless("short");
    c.ttl_ms = 100;
    rig_use(&c);
    rig_put("m1"), rig_put_ttl("m2", 200), rig_put_ttl("m3", TRP_QUEUE_NEVER);
    rig_pass(100);
    ck_assert_str_eq(rig_counts(NULL), "2/0/0/0");
    rig_pass(100);
    ck_assert_str_eq(rig_counts(NULL), "1/0/0/0");
    rig_pass(100000);
    ck_assert_str_eq(rig_counts(NULL), "1/0/0/0");
    ck_assert_uint_eq(rig_totals().dropped, 2);
    ck_assert_uint_eq(rig_totals().expired, 2);
}
END_TEST

/* A tick that comes late: the message is not given away in the meantime. */
START_TEST(what_has_expired_is_not_delivered) {
    rig_put_ttl("m1", 1000), rig_put("m2");
    rig.now.mono_ns += UINT64_C(2000000000);
    rig_attach('a', 1);
    EXPECT("a:1=m2");
}
END_TEST

START_TEST(a_tick_does_no_more_than_it_is_told) {
    for (int i = 0; i < 10; i++)
        rig_put_delay("x", 10);
    rig.now.mono_ns += 10000000;
    ck_assert_uint_eq(trp_queues_tick(rig.set, rig.now, 4), 4);
    ck_assert_str_eq(rig_counts(NULL), "4/0/6/0");
    ck_assert_uint_le(trp_queues_next_deadline(rig.set), rig.now.mono_ns);
    ck_assert_uint_eq(trp_queues_tick(rig.set, rig.now, 100), 6);
    ck_assert_uint_eq(trp_queues_tick(rig.set, rig.now, 100), 0);
    ck_assert_uint_eq(trp_queues_next_deadline(rig.set), TRP_QUEUE_NEVER);
}
END_TEST

START_TEST(times_have_no_end) {
    (void)rig_put_with("m1", (struct trp_queue_put){.priority = 4, .delay_ms = UINT64_MAX});
    (void)rig_put_with("m2", (struct trp_queue_put){.priority = 4, .ttl_ms = UINT64_MAX - 1});
    rig_attach('a', 1);
    EXPECT("a:1=m2");
    rig_nack('a', 1, UINT64_MAX);
    rig_pass(1000000);
    ck_assert_str_eq(rig_counts(NULL), "0/0/2/0");
}
END_TEST

/* ---- the queue as a whole ---- */

START_TEST(a_paused_queue_keeps_all) {
    rig_attach('a', 1), rig_attach('b', 0);
    ck_assert_int_eq(trp_queue_pause(rig.q, rig.now, true), TROUPE_OK);
    ck_assert_int_eq(trp_queue_pause(rig.q, rig.now, true), TROUPE_OK);
    rig_put("m1"), rig_put("m2");
    rig_pull('b', 1000);
    EXPECT("");
    rig_pass(1000);
    EXPECT("b empty");
    ck_assert_int_eq(trp_queue_pause(rig.q, rig.now, false), TROUPE_OK);
    EXPECT("a:1=m1");
}
END_TEST

START_TEST(purge_spares_hands) {
    uint64_t count, lsn;
    rig_attach('a', 1);
    for (int i = 0; i < 1000; i++)
        rig_put("x"), rig_put_delay("y", 10);
    rig_forget();
    ck_assert_int_eq(trp_queue_purge(rig.q, rig.now,
                                     &(struct trp_queue_purge){.all = false, .below = UINT64_MAX, .most = UINT64_MAX}, &count,
                                     &lsn),
                     TROUPE_OK);
    ck_assert_uint_eq(count, 1999);
    ck_assert_str_eq(rig_counts(NULL), "0/1/0/0");
    EXPECT("");
    rig_ack('a', 1);
    ck_assert_int_eq(trp_queue_purge(rig.q, rig.now,
                                     &(struct trp_queue_purge){.all = false, .below = UINT64_MAX, .most = UINT64_MAX}, &count,
                                     &lsn),
                     TROUPE_OK);
    ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(purge_all_takes_from_hands) {
    uint64_t count, lsn;
    rig_use_one_grave();
    rig_attach('a', 2);
    rig_put("m1"), rig_put("m2");
    rig_leave('a'); /* one moves, one is buried */
    rig_attach('a', 1), rig_attach('b', 1);
    rig_put("m3"), rig_put("m4"), rig_put("m5");
    EXPECT("a:1=m1 a:2=m2 a:1=m3 b:1=m4");
    ck_assert_int_eq(trp_queue_purge(rig.q, rig.now,
                                     &(struct trp_queue_purge){.all = true, .below = UINT64_MAX, .most = UINT64_MAX}, &count,
                                     &lsn),
                     TROUPE_OK);
    EXPECT("a:1 lapsed b:1 lapsed");
    ck_assert_uint_eq(count, 4);
    ck_assert_int_eq(rig_try_ack('a', 1), TROUPE_NOT_FOUND);
    rig_put("m6");
    EXPECT("a:2=m6");
    ck_assert_uint_eq(rig_totals().purged, 4);
}
END_TEST

START_TEST(delete_ends_consumers) {
    uint64_t lsn;
    rig_attach('a', 1), rig_attach('b', 0);
    rig_pull('b', 1000);
    rig_put("m1"), rig_put("m2"), rig_put("m3"), rig_put_delay("m4", 10), rig_put_ttl("m5", 10);
    EXPECT("a:1=m1 b:1=m2");
    (void)rig_try_put_id("m6", "id", &lsn);
    ck_assert_int_eq(trp_queue_delete(&rig.q, &lsn), TROUPE_OK);
    EXPECT("a ended b ended");
    ck_assert_ptr_null(rig.q);
    ck_assert_ptr_null(trp_queues_find(rig.set, trp_slice_str("q")));
    ck_assert_int_eq(rig_try_ack('a', 1), TROUPE_CLOSED);
    ck_assert_int_eq(trp_consumer_pull(rig_at('a'), rig.now, 0), TROUPE_CLOSED);
    ck_assert_int_eq(trp_consumer_credit(rig_at('a'), rig.now, 5), TROUPE_CLOSED);
    rig_pass(1000000);
    EXPECT("");
}
END_TEST

START_TEST(peek_sees_each_state_in_order) {
    struct trp_queue_message m;
    rig_put("m1"), rig_put_priority("m2", 0), rig_put_delay("m3", 7), rig_put("m4");
    rig_attach('a', 1);
    rig_nack('a', 1, 3);
    EXPECT("a:1=m2 a:2=m1");
    static const struct {
        enum trp_queue_state state;
        uint64_t n;
        const char *text;
    } want[] = {
        {TRP_QUEUE_HELD, 0, "m1"}, {TRP_QUEUE_READY, 0, "m4"}, {TRP_QUEUE_DELAYED, 0, "m3"}, {TRP_QUEUE_DELAYED, 1, "m2"}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        ck_assert_int_eq(trp_queue_peek(rig.q, want[i].state, want[i].n, &m), TROUPE_OK);
        ck_assert(trp_slice_eq(m.raw, trp_slice_str(want[i].text)) && m.state == want[i].state);
    }
    ck_assert_uint_eq(m.due_ns, rig.now.mono_ns + 3000000);
    ck_assert(m.deliveries == 1 && m.priority == 0 && m.seq == 2);
    for (int state = 0; state <= TRP_QUEUE_STATES; state++)
        ck_assert_int_eq(trp_queue_peek(rig.q, (enum trp_queue_state)state, 2, &m), TROUPE_EMPTY);
}
END_TEST

START_TEST(stat_tells_all) {
    struct trp_queue_stat st;
    rig_put("12345");
    rig_pass(250);
    rig_put_delay("123", 10);
    rig_attach('a', 0), rig_attach('b', 1);
    rig_put("1");
    trp_queue_stat(rig.q, rig.now, &st);
    EXPECT("b:1=12345");
    ck_assert(st.messages[TRP_QUEUE_READY] == 1 && st.messages[TRP_QUEUE_HELD] == 1 && st.messages[TRP_QUEUE_DELAYED] == 1);
    ck_assert(st.bytes == 9 && st.consumers == 2 && st.pulls == 0 && !st.paused && st.oldest_ms == 0);
    rig_leave('b');
    rig_pass(50);
    ck_assert_int_eq(trp_consumer_pull(rig_at('a'), rig.now, rig.now.mono_ns), TROUPE_OK);
    rig_nack('a', 1, 0);
    trp_queue_stat(rig.q, rig.now, &st);
    ck_assert(st.oldest_ms == 300 && st.totals.put == 3 && st.totals.delivered == 2 && st.totals.nacked == 1);
}
END_TEST

int main(void) {
    Suite *s = suite_create("queue");
    const TTest *const order[] = {first_in_first_out, the_urgent_go_first, what_comes_back_takes_its_old_place};
    const TTest *const credit[] = {never_more_than_credit_in_hand,
                                   a_hand_has_a_bound_in_bytes,
                                   an_empty_hand_takes_anything,
                                   the_one_with_least_in_hand_is_served,
                                   among_equals_the_longest_idle_is_served,
                                   a_long_held_message_does_not_get_in_the_way_of_tokens,
                                   credit_has_a_bound};
    const TTest *const pulls[] = {pulls_are_served_in_order, a_pull_ends_at_its_deadline, a_pull_and_credit_stand_in_one_line,
                                  a_puller_waits_and_works};
    const TTest *const acks[] = {an_ack_counts_for_its_delivery_only,  a_late_ack_is_refused,
                                 who_lets_a_time_out_pass_goes_behind, touch_begins_the_time_out_again,
                                 without_a_time_out_a_hand_keeps_it,   nack_gives_it_to_another_later,
                                 a_lost_consumer_gives_back_in_order};
    const TTest *const time[] = {a_delay_is_waited_for,
                                 a_delayed_message_takes_the_place_of_its_number,
                                 a_jump_of_the_wall_clock_moves_nothing,
                                 a_message_expires_where_it_waits,
                                 in_a_hand_a_message_does_not_expire,
                                 a_ttl_may_end_before_the_delay_of_a_nack,
                                 a_queue_may_have_a_ttl,
                                 what_has_expired_is_not_delivered,
                                 a_tick_does_no_more_than_it_is_told,
                                 times_have_no_end};
    const TTest *const whole[] = {a_paused_queue_keeps_all,      purge_spares_hands,
                                  purge_all_takes_from_hands,    delete_ends_consumers,
                                  peek_sees_each_state_in_order, stat_tells_all};
#define CASE(name) tcase_add_checked_fixture(run_case(s, #name, name, sizeof name / sizeof *name), setup, rig_stop)
    CASE(order), CASE(credit), CASE(pulls), CASE(acks), CASE(time), CASE(whole);
    return run_suite(s);
}
