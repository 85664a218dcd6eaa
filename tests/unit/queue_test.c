/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What queues do, as readable traces in virtual time (tests/support/queue_rig.h has the words). The log is in
 * queue_log_test.c, random events against a model in queue_model_test.c. */
#include "broker/queue_state.h"
#include "tests/support/faults.h"
#include "tests/support/queue_rig.h"
#include "tests/support/run.h"

static struct trp_queue_config config(const char *name) {
    return trp_queue_config(trp_slice_str(name));
}

static void setup(void) {
    rig_start();
    struct trp_queue_config c = config("q");
    rig_use(&c);
}

/* Another queue than the one that setup made. */
static struct trp_queue_config fresh(const char *name) {
    struct trp_queue_config c = config(name);
    c.dead_letter = trp_slice_str("");
    return c;
}

static void put_priority(const char *text, unsigned priority) {
    (void)rig_put_with(text, (struct trp_queue_put){.priority = priority});
}
static void put_delay(const char *text, uint64_t ms) {
    (void)rig_put_with(text, (struct trp_queue_put){.priority = 4, .delay_ms = ms});
}
static void put_ttl(const char *text, uint64_t ms) {
    (void)rig_put_with(text, (struct trp_queue_put){.priority = 4, .ttl_ms = ms});
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
    put_priority("low", 9), put_priority("mid1", 4), put_priority("high", 0), put_priority("mid2", 4);
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
    struct trp_queue_config c = fresh("patient");
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
    put_delay("late", 1000), rig_put("now");
    EXPECT("a:1=now");
    ck_assert_uint_eq(trp_queues_next_deadline(rig.set), rig.now.mono_ns + 1000000000);
    rig_pass(999);
    EXPECT("");
    rig_pass(1);
    EXPECT("a:2=late");
}
END_TEST

START_TEST(a_delayed_message_takes_the_place_of_its_number) {
    rig_put("m1"), put_delay("m2", 10), rig_put("m3"), put_delay("m4", 5), rig_put("m5");
    rig_pass(20);
    rig_attach('a', 9);
    EXPECT("a:1=m1 a:2=m2 a:3=m3 a:4=m4 a:5=m5");
}
END_TEST

START_TEST(a_jump_of_the_wall_clock_moves_nothing) {
    rig_attach('a', 9);
    put_delay("late", 1000), put_ttl("m1", 5000);
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
    put_ttl("m1", 1000), rig_put("m2");
    put_delay("m3", 2000);
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
    put_ttl("m1", 1000);
    EXPECT("a:1=m1");
    rig_pass(2000);
    rig_nack('a', 1, 0);
    EXPECT("");
    ck_assert_str_eq(rig_counts("q.dead"), "1/0/0/0");
    put_ttl("m2", 1000);
    rig_pass(2000);
    rig_ack('a', 2);
    EXPECT("a:2=m2");
    ck_assert_uint_eq(rig_totals().expired, 1);
}
END_TEST

START_TEST(a_ttl_may_end_before_the_delay_of_a_nack) {
    rig_attach('a', 1);
    put_ttl("m1", 1000);
    rig_nack('a', 1, 5000);
    rig_pass(1000);
    EXPECT("a:1=m1");
    ck_assert_str_eq(rig_counts(NULL), "0/0/0/0");
    ck_assert_str_eq(rig_counts("q.dead"), "1/0/0/0");
}
END_TEST

START_TEST(a_queue_may_have_a_ttl) {
    struct trp_queue_config c = fresh("short");
    c.ttl_ms = 100;
    rig_use(&c);
    rig_put("m1"), put_ttl("m2", 200), put_ttl("m3", TRP_QUEUE_NEVER);
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
    put_ttl("m1", 1000), rig_put("m2");
    rig.now.mono_ns += UINT64_C(2000000000);
    rig_attach('a', 1);
    EXPECT("a:1=m2");
}
END_TEST

START_TEST(a_tick_does_no_more_than_it_is_told) {
    for (int i = 0; i < 10; i++)
        put_delay("x", 10);
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

/* ---- the dead ---- */

START_TEST(too_many_deliveries) {
    struct trp_queue_config c = config("work");
    c.max_deliveries = 3;
    rig_use(&c);
    rig_attach('a', 1);
    rig_put("m1"), rig_put("m2");
    rig_nack('a', 1, 0);
    rig_pass(30000);
    EXPECT("a:1=m1 a:2=m1*2 a:2 lapsed a:3=m1*3");
    rig_nack('a', 3, 5000);
    EXPECT("a:4=m2");
    rig.q = rig_find("work.dead");
    rig_attach('d', 1);
    EXPECT("d:1=m1!max_deliveries@work");
    struct trp_queue_message m;
    ck_assert_int_eq(trp_queue_peek(rig.q, TRP_QUEUE_HELD, 0, &m), TROUPE_OK);
    ck_assert(m.death.deliveries == 3 && m.deliveries == 1 && m.death.crashes == 0);
}
END_TEST

START_TEST(too_many_crashes) {
    rig_put("m1");
    rig_attach('a', 1);
    rig_crash('a', 11);
    rig_attach('b', 1);
    EXPECT("a:1=m1 b:1=m1*2^1/11");
    rig_leave('b');
    rig_attach('c', 1);
    EXPECT("c:1=m1*3^1/11");
    rig_crash('c', 0);
    rig_attach('a', 1);
    EXPECT("a:1=m1*4^2/0");
    rig_crash('a', 6);
    ck_assert_str_eq(rig_counts(NULL), "0/0/0/0");
    rig.q = rig_find("q.dead");
    rig_attach('d', 1);
    EXPECT("d:1=m1!crashed@q");
    struct trp_queue_message m;
    ck_assert_int_eq(trp_queue_peek(rig.q, TRP_QUEUE_HELD, 0, &m), TROUPE_OK);
    ck_assert(m.death.deliveries == 4 && m.death.crashes == 3 && m.death.signal == 6 && m.crashes == 0);
    ck_assert_uint_eq(m.first_seen_ms, rig.now.wall_ms);
}
END_TEST

START_TEST(bury_says_why) {
    rig_attach('a', 2);
    rig_put("m1"), rig_put("m2");
    EXPECT("a:1=m1 a:2=m2");
    ck_assert_int_eq(trp_consumer_bury(rig_at('a'), rig.now, 1, trp_slice_str("bad json")), TROUPE_OK);
    ck_assert_int_eq(trp_consumer_bury(rig_at('a'), rig.now, 2, trp_slice_str("")), TROUPE_OK);
    rig.q = rig_find("q.dead");
    rig_attach('d', 9);
    EXPECT("d:1=m1!bad json@q d:2=m2!buried@q");
}
END_TEST

START_TEST(a_long_reason_is_cut) {
    char reason[1000];
    struct trp_queue_message m;
    memset(reason, 'r', sizeof reason);
    rig_attach('a', 1);
    rig_put("m1");
    ck_assert_int_eq(trp_consumer_bury(rig_at('a'), rig.now, 1, (struct trp_slice){(uint8_t *)reason, sizeof reason}),
                     TROUPE_OK);
    ck_assert_int_eq(trp_queue_peek(rig_find("q.dead"), TRP_QUEUE_READY, 0, &m), TROUPE_OK);
    ck_assert_uint_eq(m.death.reason.n, TRP_QUEUE_TEXT_MAX);
    ck_assert_uint_eq(m.death.reason.p[254], 'r');
}
END_TEST

START_TEST(without_dead_letters_they_are_dropped) {
    struct trp_queue_config c = fresh("cheap");
    c.max_deliveries = 1;
    rig_use(&c);
    rig_attach('a', 2);
    rig_put("m1"), rig_put("m2");
    rig_nack('a', 1, 0);
    ck_assert_int_eq(trp_consumer_bury(rig_at('a'), rig.now, 2, trp_slice_str("why")), TROUPE_OK);
    ck_assert_uint_eq(rig_totals().dropped, 2);
    ck_assert_ptr_null(trp_queues_find(rig.set, trp_slice_str("cheap.dead")));
}
END_TEST

START_TEST(the_dead_letter_queue_may_be_declared) {
    struct trp_queue_config graves = fresh("graves"), c = config("work");
    graves.ttl_ms = 1000;
    (void)rig_declare(&graves);
    c.max_deliveries = 1;
    c.dead_letter = trp_slice_str("graves");
    rig_use(&c);
    rig_attach('a', 1);
    rig_put("m1");
    rig_leave('a');
    ck_assert_str_eq(rig_counts("graves"), "1/0/0/0");
    rig_pass(1000);
    ck_assert_str_eq(rig_counts("graves"), "0/0/0/0");
}
END_TEST

/* What lies among the dead is not delivered to death there. */
START_TEST(a_dead_letter_queue_has_no_limits_of_its_own) {
    rig_attach('a', 1);
    rig_put("m1");
    ck_assert_int_eq(trp_consumer_bury(rig_at('a'), rig.now, 1, trp_slice_str("")), TROUPE_OK);
    rig.q = rig_find("q.dead");
    rig_attach('d', 1);
    for (uint64_t i = 1; i < 100; i++)
        rig_nack('d', i, 0);
    ck_assert_str_eq(rig_counts(NULL), "0/1/0/0");
    const struct trp_queue_config *c = trp_queue_config_of(rig.q);
    ck_assert(c->dead_letter.n == 0 && c->max_deliveries == 0 && c->max_crashes == 0 && c->ttl_ms == 0 && c->dedup_ms == 0);
    ck_assert(!c->durable && c->max_messages == 1000000 && c->ack_timeout_ms == 30000);
}
END_TEST

static void one_grave(void) {
    struct trp_queue_config graves = fresh("graves"), c = config("work");
    graves.max_messages = 1;
    (void)rig_declare(&graves);
    c.max_deliveries = 1;
    c.dead_letter = trp_slice_str("graves");
    rig_use(&c);
}

START_TEST(what_the_dead_letter_queue_cannot_take_is_buried) {
    struct trp_queue_message m;
    uint64_t count;
    one_grave();
    rig_attach('a', 2);
    rig_put("m1"), rig_put("m2");
    rig_leave('a');
    ck_assert_str_eq(rig_counts("graves"), "1/0/0/0");
    ck_assert_str_eq(rig_counts(NULL), "0/0/0/1");
    ck_assert_int_eq(trp_queue_peek(rig.q, TRP_QUEUE_BURIED, 0, &m), TROUPE_OK);
    ck_assert(trp_slice_eq(m.death.reason, trp_slice_str("max_deliveries")) && m.death.queue.n == 0 && m.deliveries == 1);
    rig_pass(100000);
    rig_attach('b', 1);
    EXPECT("a:1=m1 a:2=m2");
    ck_assert_int_eq(trp_queue_retry(rig.q, rig.now, 10, &count), TROUPE_OK);
    ck_assert_uint_eq(count, 1);
    EXPECT("b:1=m2");
}
END_TEST

START_TEST(retry_sends_them_home) {
    uint64_t count;
    rig_attach('a', 9);
    for (int i = 1; i <= 5; i++) {
        char text[16];
        snprintf(text, sizeof text, "m%d", i);
        rig_put(text);
        ck_assert_int_eq(trp_consumer_bury(rig_at('a'), rig.now, (uint64_t)i, trp_slice_str("")), TROUPE_OK);
    }
    rig_leave('a');
    rig_forget();
    struct trp_queue *dead = rig_find("q.dead");
    ck_assert_int_eq(trp_queue_retry(dead, rig.now, 2, &count), TROUPE_OK);
    ck_assert_uint_eq(count, 2);
    rig_attach('b', 9);
    EXPECT("b:1=m1 b:2=m2");
    ck_assert_int_eq(trp_queue_retry(dead, rig.now, 100, &count), TROUPE_OK);
    ck_assert_uint_eq(count, 3);
    EXPECT("b:3=m3 b:4=m4 b:5=m5");
    ck_assert_str_eq(rig_counts("q.dead"), "0/0/0/0");
}
END_TEST

START_TEST(retry_ends_where_there_is_no_room) {
    struct trp_queue_config c = config("small");
    uint64_t count, lsn;
    c.max_messages = 2;
    c.max_deliveries = 1;
    rig_use(&c);
    rig_attach('a', 2);
    rig_put("m1"), rig_put("m2");
    rig_leave('a');
    rig_put("m3");
    rig_forget();
    ck_assert_int_eq(trp_queue_retry(rig_find("small.dead"), rig.now, 100, &count), TROUPE_FULL);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(rig_counts("small.dead"), "1/0/0/0");
    ck_assert_int_eq(trp_queue_delete(&rig.q, &lsn), TROUPE_OK);
    ck_assert_int_eq(trp_queue_retry(rig_find("small.dead"), rig.now, 100, &count), TROUPE_OK);
    ck_assert_uint_eq(count, 0); /* it has no home any more, and stays */
    ck_assert_str_eq(rig_counts("small.dead"), "1/0/0/0");
}
END_TEST

/* ---- limits ---- */

START_TEST(a_full_queue_refuses) {
    struct trp_queue_config c = config("small");
    uint64_t lsn;
    c.max_messages = 2;
    rig_use(&c);
    rig_put("m1"), put_delay("m2", 10);
    ck_assert_int_eq(rig_try_put("m3", (struct trp_queue_put){.priority = 4}, &lsn), TROUPE_FULL);
    rig_attach('a', 1); /* in hand counts, too */
    ck_assert_int_eq(rig_try_put("m3", (struct trp_queue_put){.priority = 4}, &lsn), TROUPE_FULL);
    rig_ack('a', 1);
    rig_put("m3");
    EXPECT("a:1=m1 a:2=m3");
    ck_assert_uint_eq(rig_totals().refused, 2);
}
END_TEST

START_TEST(bytes_are_a_limit) {
    struct trp_queue_config c = config("small");
    uint64_t lsn;
    c.max_bytes = 10;
    rig_use(&c);
    rig_put("12345"), rig_put("1234");
    ck_assert_int_eq(rig_try_put("12", (struct trp_queue_put){.priority = 4}, &lsn), TROUPE_FULL);
    rig_put("1");
    ck_assert_int_eq(rig_try_put("1", (struct trp_queue_put){.priority = 4}, &lsn), TROUPE_FULL);
}
END_TEST

static void small_dropping(const char *dead_letter) {
    struct trp_queue_config c = config("drops");
    c.max_messages = 3;
    c.max_bytes = 30;
    c.overflow = TRP_QUEUE_DROP_OLDEST;
    c.dead_letter = trp_slice_str(dead_letter);
    rig_use(&c);
}

START_TEST(the_oldest_makes_room) {
    small_dropping("");
    put_priority("m1", 9), put_priority("m2", 0), rig_put("m3"), rig_put("m4"), rig_put("m5");
    rig_attach('a', 9);
    EXPECT("a:1=m3 a:2=m4 a:3=m5");
    ck_assert_uint_eq(rig_totals().overflowed, 2);
    ck_assert_uint_eq(rig_totals().dropped, 2);
}
END_TEST

START_TEST(several_make_room_for_a_large_one) {
    uint64_t lsn;
    small_dropping("over");
    rig_put("1234567890"), rig_put("1234567890"), rig_put("1");
    rig_put("12345678901234567890123456789");
    ck_assert_str_eq(rig_counts(NULL), "2/0/0/0");
    ck_assert_str_eq(rig_counts("over"), "2/0/0/0");
    ck_assert_int_eq(rig_try_put("1234567890123456789012345678901", (struct trp_queue_put){.priority = 4}, &lsn), TROUPE_FULL);
    ck_assert_str_eq(rig_counts(NULL), "2/0/0/0");
    rig.q = rig_find("over");
    rig_attach('d', 1);
    EXPECT("d:1=1234567890!overflow@drops");
}
END_TEST

START_TEST(only_what_is_ready_makes_room) {
    uint64_t lsn;
    small_dropping("");
    put_delay("m1", 10), put_delay("m2", 10), rig_put("m3");
    rig_attach('a', 1);
    EXPECT("a:1=m3");
    ck_assert_int_eq(rig_try_put("m4", (struct trp_queue_put){.priority = 4}, &lsn), TROUPE_FULL);
    ck_assert_uint_eq(rig_totals().overflowed, 0);
}
END_TEST

/* Two queues that overflow into each other: one put, at most two messages moved or dropped. */
START_TEST(overflows_do_not_chain) {
    struct trp_queue_config b = config("b"), a = config("a");
    a.max_messages = b.max_messages = 1;
    a.overflow = b.overflow = TRP_QUEUE_DROP_OLDEST;
    b.dead_letter = trp_slice_str("a");
    a.dead_letter = trp_slice_str("b");
    (void)rig_declare(&b);
    rig_use(&a);
    rig_put("m1"), rig_put("m2"), rig_put("m3");
    ck_assert_str_eq(rig_counts("a"), "1/0/0/0");
    ck_assert_str_eq(rig_counts("b"), "1/0/0/0");
    rig.q = rig_find("b");
    rig_attach('d', 1);
    EXPECT("d:1=m2!overflow@a");
}
END_TEST

/* Messages of two queues that die into each other expire at one time: no event goes round in circles. */
START_TEST(queues_may_die_into_each_other) {
    struct trp_queue_config b = config("b"), a = config("a");
    a.ttl_ms = b.ttl_ms = 10;
    b.dead_letter = trp_slice_str("a");
    a.dead_letter = trp_slice_str("b");
    rig_use(&b);
    for (int i = 0; i < 1000; i++)
        rig_put("x");
    rig_use(&a);
    for (int i = 0; i < 1000; i++)
        rig_put("y");
    rig.now.mono_ns += 10000000;
    rig_attach('a', 1); /* all have expired, nobody has looked yet */
    rig.q = rig_find("b");
    rig_attach('b', 1);
    ck_assert_str_eq(rig_counts("a"), "999/1/0/0");
    ck_assert_str_eq(rig_counts("b"), "999/1/0/0");
    EXPECT("b:1=y!expired@a a:1=x!expired@b");
}
END_TEST

/* ---- ids ---- */

static troupe_status put_id(const char *text, const char *id, uint64_t *lsn) {
    return rig_try_put(text, (struct trp_queue_put){.priority = 4, .dedup = trp_slice_str(id)}, lsn);
}

START_TEST(an_id_is_taken_once) {
    uint64_t lsn;
    struct trp_queue_stat st;
    rig_attach('a', 9);
    ck_assert_int_eq(put_id("m1", "one", &lsn), TROUPE_OK);
    ck_assert_int_eq(put_id("m1", "one", &lsn), TROUPE_EXISTS);
    ck_assert_int_eq(put_id("m2", "two", &lsn), TROUPE_OK);
    rig_ack('a', 1);
    rig_pass(119999);
    ck_assert_int_eq(put_id("m1", "one", &lsn), TROUPE_EXISTS); /* acked long ago, and still known */
    rig_forget();
    rig_pass(1);
    ck_assert_int_eq(put_id("m3", "one", &lsn), TROUPE_OK);
    trp_queue_stat(rig.q, rig.now, &st);
    ck_assert_uint_eq(st.dedup_ids, 1);
    ck_assert_uint_eq(st.totals.duplicates, 2);
}
END_TEST

START_TEST(ids_are_forgotten_in_time) {
    struct trp_queue_stat st;
    uint64_t lsn;
    for (int i = 0; i < 100; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        ck_assert_int_eq(put_id("x", id, &lsn), TROUPE_OK);
        rig_pass(1);
    }
    rig_pass(119950);
    trp_queue_stat(rig.q, rig.now, &st);
    ck_assert_uint_eq(st.dedup_ids, 49);
    rig.now.mono_ns += UINT64_C(1000000000); /* nobody has ticked: it counts by its own time */
    ck_assert_int_eq(put_id("x", "99", &lsn), TROUPE_OK);
    rig_pass(0);
    trp_queue_stat(rig.q, rig.now, &st);
    ck_assert_uint_eq(st.dedup_ids, 1);
}
END_TEST

START_TEST(a_refused_put_leaves_no_id) {
    struct trp_queue_config c = config("small");
    uint64_t lsn;
    c.max_messages = 1;
    rig_use(&c);
    ck_assert_int_eq(put_id("m1", "one", &lsn), TROUPE_OK);
    ck_assert_int_eq(put_id("m2", "two", &lsn), TROUPE_FULL);
    rig_attach('a', 1);
    rig_ack('a', 1);
    ck_assert_int_eq(put_id("m2", "two", &lsn), TROUPE_OK);
}
END_TEST

START_TEST(without_a_window_ids_mean_nothing) {
    struct trp_queue_config c = config("plain");
    uint64_t lsn;
    c.dedup_ms = 0;
    rig_use(&c);
    ck_assert_int_eq(put_id("m1", "one", &lsn), TROUPE_OK);
    ck_assert_int_eq(put_id("m1", "one", &lsn), TROUPE_OK);
}
END_TEST

START_TEST(bad_puts) {
    uint64_t lsn;
    char id[256];
    memset(id, 'x', sizeof id);
    ck_assert_int_eq(rig_try_put("", (struct trp_queue_put){.priority = 4}, &lsn), TROUPE_INVALID);
    ck_assert_int_eq(rig_try_put("x", (struct trp_queue_put){.priority = 10}, &lsn), TROUPE_INVALID);
    ck_assert_int_eq(rig_try_put("x", (struct trp_queue_put){.dedup = {(uint8_t *)id, 256}}, &lsn), TROUPE_INVALID);
    ck_assert_int_eq(rig_try_put("x", (struct trp_queue_put){.dedup = {(uint8_t *)id, 255}}, &lsn), TROUPE_OK);
    trp_queues_drain(rig.set);
    ck_assert_int_eq(rig_try_put("x", (struct trp_queue_put){.priority = 4}, &lsn), TROUPE_CLOSED);
    rig_attach('a', 1);
    rig_ack('a', 1);
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
        rig_put("x"), put_delay("y", 10);
    rig_forget();
    ck_assert_int_eq(trp_queue_purge(rig.q, rig.now, false, &count, &lsn), TROUPE_OK);
    ck_assert_uint_eq(count, 1999);
    ck_assert_str_eq(rig_counts(NULL), "0/1/0/0");
    EXPECT("");
    rig_ack('a', 1);
    ck_assert_int_eq(trp_queue_purge(rig.q, rig.now, false, &count, &lsn), TROUPE_OK);
    ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(purge_all_takes_from_hands) {
    uint64_t count, lsn;
    one_grave();
    rig_attach('a', 2);
    rig_put("m1"), rig_put("m2");
    rig_leave('a'); /* one moves, one is buried */
    rig_attach('a', 1), rig_attach('b', 1);
    rig_put("m3"), rig_put("m4"), rig_put("m5");
    EXPECT("a:1=m1 a:2=m2 a:1=m3 b:1=m4");
    ck_assert_int_eq(trp_queue_purge(rig.q, rig.now, true, &count, &lsn), TROUPE_OK);
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
    rig_put("m1"), rig_put("m2"), rig_put("m3"), put_delay("m4", 10), put_ttl("m5", 10);
    EXPECT("a:1=m1 b:1=m2");
    (void)put_id("m6", "id", &lsn);
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
    rig_put("m1"), put_priority("m2", 0), put_delay("m3", 7), rig_put("m4");
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
    put_delay("123", 10);
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

/* ---- declarations ---- */

static void expect_declare(const struct trp_queue_config *c, troupe_status want, const char *sentence) {
    struct trp_queue *q = NULL;
    uint64_t lsn;
    const char *why = "";
    ck_assert_int_eq(trp_queues_declare(rig.set, c, &q, &lsn, &why), want);
    if (want)
        ck_assert_str_eq(why, sentence);
    else
        ck_assert_ptr_nonnull(q);
}

START_TEST(a_declaration_may_be_repeated) {
    struct trp_queue_config c = config("q");
    expect_declare(&c, TROUPE_OK, "");
    c.dead_letter = trp_slice_str("q.dead");
    expect_declare(&c, TROUPE_OK, "");
}
END_TEST

START_TEST(a_conflict_names_the_difference) {
    const struct trp_slice patterns[] = {trp_slice_str("a.*"), trp_slice_str("b.>"), trp_slice_str("c")};
    struct trp_queue_config c = config("d");
    c.patterns = patterns;
    c.n_patterns = 2;
    c.max_messages = 100;
    (void)rig_declare(&c);
    struct trp_queue_config other[] = {c, c, c, c, c, c, c, c};
    other[0].max_messages = 200;
    expect_declare(&other[0], TROUPE_REFUSED, "max_messages is 100, not 200");
    other[1].durable = true;
    expect_declare(&other[1], TROUPE_REFUSED, "it is in memory, not durable");
    other[2].overflow = TRP_QUEUE_DROP_OLDEST;
    expect_declare(&other[2], TROUPE_REFUSED, "overflow is reject-new, not drop-oldest");
    other[3].dead_letter = trp_slice_str("");
    expect_declare(&other[3], TROUPE_REFUSED, "dead_letter is 'd.dead', not ''");
    other[4].patterns = patterns + 1;
    expect_declare(&other[4], TROUPE_REFUSED, "pattern 1 is 'a.*', not 'b.>'");
    other[5].n_patterns = 3;
    expect_declare(&other[5], TROUPE_REFUSED, "it has 2 patterns, not 3");
    other[6].dedup_ms = 0;
    expect_declare(&other[6], TROUPE_REFUSED, "dedup is 120000, not 0");
    other[7].max_deliveries = 1;
    expect_declare(&other[7], TROUPE_REFUSED, "max_deliveries is 16, not 1");
}
END_TEST

START_TEST(a_declaration_must_make_sense) {
    char name[300];
    const struct trp_slice bad = trp_slice_str("a..b");
    struct trp_slice many[TRP_QUEUE_PATTERNS_MAX + 1];
    struct trp_queue_config c = config("");
    memset(name, 'n', sizeof name);
    expect_declare(&c, TROUPE_INVALID,
                   "the name is not valid: at most 255 bytes, words joined by '.', without blanks, '*' and '>'");
    c.name = (struct trp_slice){(uint8_t *)name, 251};
    expect_declare(&c, TROUPE_INVALID, "the name is too long for NAME.dead: name a dead_letter queue");
    c.name.n = 250;
    expect_declare(&c, TROUPE_OK, "");
    c = config("x");
    c.max_bytes = 0;
    expect_declare(&c, TROUPE_INVALID, "max_messages and max_bytes must not be 0");
    c = config("x");
    c.patterns = &bad, c.n_patterns = 1;
    expect_declare(&c, TROUPE_INVALID, "pattern 1 is not a valid pattern");
    for (size_t i = 0; i < sizeof many / sizeof *many; i++)
        many[i] = trp_slice_str("ok");
    c.patterns = many, c.n_patterns = sizeof many / sizeof *many;
    expect_declare(&c, TROUPE_INVALID, "it has 65 patterns, and may have 64");
    c.n_patterns--;
    expect_declare(&c, TROUPE_OK, "");
    c = config("y");
    c.dead_letter = trp_slice_str("y");
    expect_declare(&c, TROUPE_INVALID, "dead_letter is the queue itself");
    c.dead_letter = trp_slice_str("*");
    expect_declare(&c, TROUPE_INVALID, "dead_letter is not a valid queue name");
    c = config("y");
    c.max_crashes = 65536;
    expect_declare(&c, TROUPE_INVALID, "max_crashes is more than 65535");
}
END_TEST

START_TEST(queues_are_listed_in_order) {
    const struct trp_slice pattern = trp_slice_str("some.>");
    struct trp_queue_config c = config("z");
    c.patterns = &pattern;
    c.n_patterns = 1;
    (void)rig_declare(&c);
    c.name = trp_slice_str("y");
    struct trp_queue *y = rig_declare(&c), *q = NULL;
    ck_assert_ptr_eq(q = trp_queues_next(rig.set, q), rig.q);
    ck_assert_ptr_eq(q = trp_queues_next(rig.set, q), rig_find("z"));
    ck_assert_ptr_eq(q = trp_queues_next(rig.set, q), y);
    ck_assert_ptr_null(trp_queues_next(rig.set, q));
    ck_assert(trp_slice_eq(trp_queue_config_of(y)->patterns[0], pattern));
    trp_queue_set_user(y, &q);
    ck_assert_ptr_eq(trp_queue_user(y), &q);
}
END_TEST

START_TEST(there_may_be_so_many_queues) {
    rig_close_set();
    const struct trp_queue_sink sink = {rig_deliver, rig_lapsed, rig_empty, rig_ended, NULL};
    ck_assert_int_eq(trp_queues_new(&rig.set, &(struct trp_queues_opts){.max_queues = 2}, &sink, NULL), TROUPE_OK);
    struct trp_queue_config a = config("a"), b = config("b"), c = config("c");
    struct trp_queue *q;
    uint64_t lsn;
    const char *why;
    (void)rig_declare(&a), (void)rig_declare(&b);
    ck_assert_int_eq(trp_queues_declare(rig.set, &c, &q, &lsn, &why), TROUPE_FULL);
    c.durable = true;
    ck_assert_int_eq(trp_queues_declare(rig.set, &c, &q, &lsn, &why), TROUPE_UNSUPPORTED);
}
END_TEST

/* ---- memory ---- */

START_TEST(large_messages_are_shared) {
    enum { LARGE = 20000 };
    struct trp_blob *blob = trp_blob_new(NULL, 0);
    trp_blob_unref(blob);
    char *text = malloc(LARGE);
    memset(text, 'L', LARGE);
    blob = trp_blob_new(text, LARGE);
    struct trp_queue_message m;
    struct trp_queue_put p = {.raw = {blob->p + 100, LARGE - 100}, .blob = blob, .priority = 4};
    uint64_t lsn;
    ck_assert_int_eq(trp_queue_put(rig.q, rig.now, &p, &lsn), TROUPE_OK);
    ck_assert_uint_eq(atomic_load(&blob->refs), 2);
    ck_assert_int_eq(trp_queue_peek(rig.q, TRP_QUEUE_READY, 0, &m), TROUPE_OK);
    ck_assert(m.raw.p == blob->p + 100 && m.raw.n == LARGE - 100 && m.blob == blob);
    p = (struct trp_queue_put){.raw = {(uint8_t *)text, LARGE}, .priority = 4}; /* in nobody's bytes yet */
    ck_assert_int_eq(trp_queue_put(rig.q, rig.now, &p, &lsn), TROUPE_OK);
    ck_assert_int_eq(trp_queue_peek(rig.q, TRP_QUEUE_READY, 1, &m), TROUPE_OK);
    ck_assert(m.blob && m.raw.p == m.blob->p && memcmp(m.raw.p, text, LARGE) == 0);
    rig_attach('a', 1);
    ck_assert_int_eq(trp_consumer_bury(rig_at('a'), rig.now, 1, trp_slice_str("why")), TROUPE_OK);
    ck_assert_uint_eq(atomic_load(&blob->refs), 2);
    ck_assert_int_eq(trp_queue_peek(rig_find("q.dead"), TRP_QUEUE_READY, 0, &m), TROUPE_OK);
    ck_assert(m.blob == blob && trp_slice_eq(m.death.reason, trp_slice_str("why")) && m.raw.n == LARGE - 100);
    rig_close_set();
    ck_assert_uint_eq(atomic_load(&blob->refs), 1);
    trp_blob_unref(blob);
    free(text);
}
END_TEST

/* Runs an event with the n-th allocation failing until it gets through; each failure leaves the counts as they were. */
#define UNTIL_IT_GETS_THROUGH(event)                                                                                           \
    do {                                                                                                                       \
        char before[64];                                                                                                       \
        snprintf(before, sizeof before, "%s", rig_counts(NULL));                                                               \
        for (long n = 1;; n++) {                                                                                               \
            faults_fail_at(n);                                                                                                 \
            troupe_status st_ = (event);                                                                                       \
            faults_off();                                                                                                      \
            if (st_ == TROUPE_OK)                                                                                              \
                break;                                                                                                         \
            ck_assert_int_eq(st_, TROUPE_NO_MEMORY);                                                                           \
            ck_assert_str_eq(rig_counts(NULL), before);                                                                        \
            EXPECT("");                                                                                                        \
        }                                                                                                                      \
    } while (0)

static troupe_status declare_durable(const char *name) {
    struct trp_queue_config c = config(name);
    struct trp_queue *q;
    uint64_t lsn;
    const char *why;
    c.durable = true;
    c.max_deliveries = 2;
    troupe_status st = trp_queues_declare(rig.set, &c, &q, &lsn, &why);
    if (st)
        ck_assert_ptr_null(trp_queues_find(rig.set, c.name));
    else
        rig.q = q;
    return st;
}

static troupe_status new_set(void) {
    struct trp_queues *s;
    troupe_status st = trp_queues_new(&s, &(struct trp_queues_opts){0}, &(struct trp_queue_sink){0}, NULL);
    if (!st)
        trp_queues_free(s);
    return st;
}

START_TEST(no_memory_changes_nothing) {
    uint64_t lsn;
    static uint8_t large[20000];
    struct trp_consumer **a = &rig.c[0], **b = &rig.c[1];
    struct trp_queue_put everything = {.priority = 1, .delay_ms = 5, .ttl_ms = 50, .dedup = trp_slice_str("id")};
    UNTIL_IT_GETS_THROUGH(new_set());
    UNTIL_IT_GETS_THROUGH(declare_durable("d"));
    UNTIL_IT_GETS_THROUGH(rig_try_put("m1", everything, &lsn));
    everything.raw = (struct trp_slice){large, sizeof large};
    everything.dedup = trp_slice_str("other");
    UNTIL_IT_GETS_THROUGH(trp_queue_put(rig.q, rig.now, &everything, &lsn));
    UNTIL_IT_GETS_THROUGH(rig_try_put("m2", (struct trp_queue_put){.priority = 4}, &lsn));
    UNTIL_IT_GETS_THROUGH(trp_queue_attach(rig.q, rig.now, 1, a, a));
    EXPECT("a:1=m2");
    UNTIL_IT_GETS_THROUGH(trp_consumer_nack(*a, rig.now, 1, 100));
    UNTIL_IT_GETS_THROUGH(trp_queue_attach(rig.q, rig.now, 0, b, b));
    UNTIL_IT_GETS_THROUGH(trp_consumer_pull(*b, rig.now, TRP_QUEUE_NEVER));
    UNTIL_IT_GETS_THROUGH(trp_consumer_credit(*b, rig.now, 100));
    ck_assert_str_eq(rig_counts(NULL), "0/0/3/0");
}
END_TEST

/* What can't be moved to its dead-letter queue is buried, not lost; and retried when there is memory. */
START_TEST(no_memory_for_the_dead) {
    ck_assert_int_eq(declare_durable("d"), TROUPE_OK);
    rig_attach('a', 1);
    for (long n = 1;; n++) {
        rig_put("m");
        rig_nack('a', rig_at('a')->next_token - 1, 0);
        faults_fail_at(n);
        rig_nack('a', rig_at('a')->next_token - 1, 0);
        faults_off();
        if (rig_totals().dead)
            break;
        ck_assert_uint_eq(rig_totals().buried, (uint64_t)n);
    }
    uint64_t count, buried = rig_totals().buried;
    ck_assert_uint_ge(buried, 2);
    ck_assert_uint_eq(rig_totals().unrecorded, 0);
    rig_leave('a');
    ck_assert_int_eq(trp_queue_retry(rig.q, rig.now, 100, &count), TROUPE_OK);
    ck_assert_uint_eq(count, buried);
    faults_fail_at(1);
    ck_assert_int_eq(trp_queue_retry(rig_find("d.dead"), rig.now, 100, &count), TROUPE_NO_MEMORY);
    faults_off();
    ck_assert_uint_eq(count, 0);
    ck_assert_str_eq(rig_counts("d.dead"), "1/0/0/0");
}
END_TEST

int main(void) {
    Suite *s = suite_create("queue");
    const TTest *const order[] = {first_in_first_out, the_urgent_go_first, what_comes_back_takes_its_old_place};
    const TTest *const credit[] = {never_more_than_credit_in_hand,
                                   the_one_with_least_in_hand_is_served,
                                   among_equals_the_longest_idle_is_served,
                                   a_long_held_message_does_not_get_in_the_way_of_tokens,
                                   credit_has_a_bound,
                                   pulls_are_served_in_order,
                                   a_pull_ends_at_its_deadline,
                                   a_pull_and_credit_stand_in_one_line,
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
    const TTest *const dead[] = {too_many_deliveries,
                                 too_many_crashes,
                                 bury_says_why,
                                 a_long_reason_is_cut,
                                 without_dead_letters_they_are_dropped,
                                 the_dead_letter_queue_may_be_declared,
                                 a_dead_letter_queue_has_no_limits_of_its_own,
                                 what_the_dead_letter_queue_cannot_take_is_buried,
                                 retry_sends_them_home,
                                 retry_ends_where_there_is_no_room,
                                 queues_may_die_into_each_other};
    const TTest *const limits[] = {a_full_queue_refuses,
                                   bytes_are_a_limit,
                                   the_oldest_makes_room,
                                   several_make_room_for_a_large_one,
                                   only_what_is_ready_makes_room,
                                   overflows_do_not_chain,
                                   an_id_is_taken_once,
                                   ids_are_forgotten_in_time,
                                   a_refused_put_leaves_no_id,
                                   without_a_window_ids_mean_nothing,
                                   bad_puts};
    const TTest *const whole[] = {a_paused_queue_keeps_all,      purge_spares_hands,
                                  purge_all_takes_from_hands,    delete_ends_consumers,
                                  peek_sees_each_state_in_order, stat_tells_all,
                                  a_declaration_may_be_repeated, a_conflict_names_the_difference,
                                  a_declaration_must_make_sense, queues_are_listed_in_order,
                                  there_may_be_so_many_queues};
    const TTest *const memory[] = {large_messages_are_shared, no_memory_changes_nothing, no_memory_for_the_dead};
#define CASE(name) tcase_add_checked_fixture(run_case(s, #name, name, sizeof name / sizeof *name), setup, rig_stop)
    CASE(order), CASE(credit), CASE(acks), CASE(time), CASE(dead), CASE(limits), CASE(whole), CASE(memory);
    return run_suite(s);
}
