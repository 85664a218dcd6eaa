/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What queues do with what they can't keep: dead letters and their other life, full queues, ids that come twice; and
 * what they do when there is no memory. Traces as in queue_test.c. */
#include "broker/queue_state.h"
#include "tests/support/faults.h"
#include "tests/support/queue_rig.h"
#include "tests/support/run.h"

static void setup(void) {
    rig_start();
    struct trp_queue_config c = rig_config("q");
    rig_use(&c);
}

/* ---- the dead ---- */

START_TEST(too_many_deliveries) {
    struct trp_queue_config c = rig_config("work");
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
    struct trp_queue_config c = rig_careless("cheap");
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
    struct trp_queue_config graves = rig_careless("graves"), c = rig_config("work");
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

START_TEST(what_the_dead_letter_queue_cannot_take_is_buried) {
    struct trp_queue_message m;
    uint64_t count;
    rig_use_one_grave();
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
    ck_assert_int_eq(rig_retry(rig.q, 10, &count), TROUPE_OK);
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
    ck_assert_int_eq(rig_retry(dead, 2, &count), TROUPE_OK);
    ck_assert_uint_eq(count, 2);
    rig_attach('b', 9);
    EXPECT("b:1=m1 b:2=m2");
    ck_assert_int_eq(rig_retry(dead, 100, &count), TROUPE_OK);
    ck_assert_uint_eq(count, 3);
    EXPECT("b:3=m3 b:4=m4 b:5=m5");
    ck_assert_str_eq(rig_counts("q.dead"), "0/0/0/0");
}
END_TEST

START_TEST(retry_ends_where_there_is_no_room) {
    struct trp_queue_config c = rig_config("small");
    uint64_t count, lsn;
    c.max_messages = 2;
    c.max_deliveries = 1;
    rig_use(&c);
    rig_attach('a', 2);
    rig_put("m1"), rig_put("m2");
    rig_leave('a');
    rig_put("m3");
    rig_forget();
    ck_assert_int_eq(rig_retry(rig_find("small.dead"), 100, &count), TROUPE_FULL);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(rig_counts("small.dead"), "1/0/0/0");
    ck_assert_int_eq(trp_queue_delete(&rig.q, &lsn), TROUPE_OK);
    ck_assert_int_eq(rig_retry(rig_find("small.dead"), 100, &count), TROUPE_OK);
    ck_assert_uint_eq(count, 0); /* it has no home any more, and stays */
    ck_assert_str_eq(rig_counts("small.dead"), "1/0/0/0");
}
END_TEST

/* ---- limits ---- */

START_TEST(a_full_queue_refuses) {
    struct trp_queue_config c = rig_config("small");
    uint64_t lsn;
    c.max_messages = 2;
    rig_use(&c);
    rig_put("m1"), rig_put_delay("m2", 10);
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
    struct trp_queue_config c = rig_config("small");
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
    struct trp_queue_config c = rig_config("drops");
    c.max_messages = 3;
    c.max_bytes = 30;
    c.overflow = TRP_QUEUE_DROP_OLDEST;
    c.dead_letter = trp_slice_str(dead_letter);
    rig_use(&c);
}

START_TEST(the_oldest_makes_room) {
    small_dropping("");
    rig_put_priority("m1", 9), rig_put_priority("m2", 0), rig_put("m3"), rig_put("m4"), rig_put("m5");
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
    rig_put_delay("m1", 10), rig_put_delay("m2", 10), rig_put("m3");
    rig_attach('a', 1);
    EXPECT("a:1=m3");
    ck_assert_int_eq(rig_try_put("m4", (struct trp_queue_put){.priority = 4}, &lsn), TROUPE_FULL);
    ck_assert_uint_eq(rig_totals().overflowed, 0);
}
END_TEST

/* Two queues that overflow into each other: one put, at most two messages moved or dropped. */
START_TEST(overflows_do_not_chain) {
    struct trp_queue_config b = rig_config("b"), a = rig_config("a");
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
    struct trp_queue_config b = rig_config("b"), a = rig_config("a");
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
    EXPECT("");
    rig_pass(0);
    ck_assert_str_eq(rig_counts("a"), "999/1/0/0");
    ck_assert_str_eq(rig_counts("b"), "999/1/0/0");
    EXPECT("b:1=y!expired@a a:1=x!expired@b");
}
END_TEST

/* ---- ids ---- */

START_TEST(an_id_is_taken_once) {
    uint64_t lsn;
    struct trp_queue_stat st;
    rig_attach('a', 9);
    ck_assert_int_eq(rig_try_put_id("m1", "one", &lsn), TROUPE_OK);
    ck_assert_int_eq(rig_try_put_id("m1", "one", &lsn), TROUPE_EXISTS);
    ck_assert_int_eq(rig_try_put_id("m2", "two", &lsn), TROUPE_OK);
    rig_ack('a', 1);
    rig_pass(119999);
    ck_assert_int_eq(rig_try_put_id("m1", "one", &lsn), TROUPE_EXISTS); /* acked long ago, and still known */
    rig_forget();
    rig_pass(1);
    ck_assert_int_eq(rig_try_put_id("m3", "one", &lsn), TROUPE_OK);
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
        ck_assert_int_eq(rig_try_put_id("x", id, &lsn), TROUPE_OK);
        rig_pass(1);
    }
    rig_pass(119950);
    trp_queue_stat(rig.q, rig.now, &st);
    ck_assert_uint_eq(st.dedup_ids, 49);
    rig.now.mono_ns += UINT64_C(1000000000); /* nobody has ticked: it counts by its own time */
    ck_assert_int_eq(rig_try_put_id("x", "99", &lsn), TROUPE_OK);
    rig_pass(0);
    trp_queue_stat(rig.q, rig.now, &st);
    ck_assert_uint_eq(st.dedup_ids, 1);
}
END_TEST

START_TEST(a_refused_put_leaves_no_id) {
    struct trp_queue_config c = rig_config("small");
    uint64_t lsn;
    c.max_messages = 1;
    rig_use(&c);
    ck_assert_int_eq(rig_try_put_id("m1", "one", &lsn), TROUPE_OK);
    ck_assert_int_eq(rig_try_put_id("m2", "two", &lsn), TROUPE_FULL);
    rig_attach('a', 1);
    rig_ack('a', 1);
    ck_assert_int_eq(rig_try_put_id("m2", "two", &lsn), TROUPE_OK);
}
END_TEST

START_TEST(without_a_window_ids_mean_nothing) {
    struct trp_queue_config c = rig_config("plain");
    uint64_t lsn;
    c.dedup_ms = 0;
    rig_use(&c);
    ck_assert_int_eq(rig_try_put_id("m1", "one", &lsn), TROUPE_OK);
    ck_assert_int_eq(rig_try_put_id("m1", "one", &lsn), TROUPE_OK);
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
    ck_assert_int_eq(rig_try_put("y", (struct trp_queue_put){.priority = 4}, &lsn), TROUPE_OK);
    rig_attach('a', 1);
    trp_queues_drain(rig.set);
    ck_assert_int_eq(rig_try_put("x", (struct trp_queue_put){.priority = 4}, &lsn), TROUPE_CLOSED);
    rig_ack('a', 1);
    ck_assert_str_eq(rig_counts(NULL), "1/0/0/0"); /* the other stays: nothing is delivered any more */
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
    struct trp_queue_config c = rig_config(name);
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

/* Its hand grows with what comes. When it can't, the consumer gets no more until it has one less. */
START_TEST(no_memory_for_a_hand) {
    rig_attach('a', 100);
    for (int i = 0; i < 16; i++)
        rig_put("x");
    ck_assert_int_eq(trp_queue_pause(rig.q, rig.now, true), TROUPE_OK);
    rig_put("m1"), rig_put("m2"), rig_put("m3"), rig_put("m4");
    rig_forget();
    faults_fail_at(1);
    ck_assert_int_eq(trp_queue_pause(rig.q, rig.now, false), TROUPE_OK);
    EXPECT("");
    faults_fail_at(1);
    rig_ack('a', 1);
    EXPECT("a:17=m1");
    faults_off();
    ck_assert_str_eq(rig_counts(NULL), "3/16/0/0");
    rig_ack('a', 2);
    EXPECT("a:18=m2 a:19=m3 a:20=m4");
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
    ck_assert_int_eq(rig_retry(rig.q, 100, &count), TROUPE_OK);
    ck_assert_uint_eq(count, buried);
    faults_fail_at(1);
    ck_assert_int_eq(rig_retry(rig_find("d.dead"), 100, &count), TROUPE_NO_MEMORY);
    faults_off();
    ck_assert_uint_eq(count, 0);
    ck_assert_str_eq(rig_counts("d.dead"), "1/0/0/0");
}
END_TEST

int main(void) {
    Suite *s = suite_create("queue_limits");
    const TTest *const dead[] = {too_many_deliveries,
                                 too_many_crashes,
                                 bury_says_why,
                                 a_long_reason_is_cut,
                                 without_dead_letters_they_are_dropped,
                                 the_dead_letter_queue_may_be_declared,
                                 a_dead_letter_queue_has_no_limits_of_its_own,
                                 what_the_dead_letter_queue_cannot_take_is_buried,
                                 retry_sends_them_home,
                                 retry_ends_where_there_is_no_room};
    const TTest *const limits[] = {
        a_full_queue_refuses,          bytes_are_a_limit,      the_oldest_makes_room,         several_make_room_for_a_large_one,
        only_what_is_ready_makes_room, overflows_do_not_chain, queues_may_die_into_each_other};
    const TTest *const ids[] = {an_id_is_taken_once, ids_are_forgotten_in_time, a_refused_put_leaves_no_id,
                                without_a_window_ids_mean_nothing, bad_puts};
    const TTest *const memory[] = {large_messages_are_shared, no_memory_changes_nothing, no_memory_for_a_hand,
                                   no_memory_for_the_dead};
#define CASE(name) tcase_add_checked_fixture(run_case(s, #name, name, sizeof name / sizeof *name), setup, rig_stop)
    CASE(dead), CASE(limits), CASE(ids), CASE(memory);
    return run_suite(s);
}
