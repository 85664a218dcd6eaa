/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Durable queues: what is written, what a restart finds, what compaction leaves, and what is called damage. The log is the
 * rig's, in memory; its words here are the kinds and numbers of records: "MARK1 DECLARE1 PUT1 STATE1 DONE1". */
#include "broker/queue_record.h"
#include "tests/support/faults.h"
#include "tests/support/queue_rig.h"
#include "tests/support/run.h"

static size_t told; /* records that LOG has spoken of */

static const char *const kinds[] = {"?", "MARK", "DECLARE", "DELETE", "PUT", "STATE", "DONE", "DEDUP"};

static void tell(char *out, size_t cap, const struct rig_record *raw) {
    struct trp_queue_record r;
    const char *why;
    ck_assert_int_eq(trp_queue_record_read((struct trp_slice){raw->p, raw->n}, &r, &why), TROUPE_OK);
    uint64_t number = r.seq ? r.seq : r.queue;
    size_t n = (size_t)snprintf(out, cap, "%s%" PRIu64, kinds[r.kind], number);
    if (r.was)
        n += (size_t)snprintf(out + n, cap - n, "<%" PRIu64, r.was);
    for (uint64_t seq = r.seq; r.kind == TRP_QUEUE_RECORD_DONE && trp_queue_record_next_done(&r, &seq);)
        n += (size_t)snprintf(out + n, cap - n, ",%" PRIu64, seq);
}

/* What was written since the last time. */
static const char *written(void) {
    static char text[4096];
    size_t n = 0;
    text[0] = '\0';
    for (; told < rig.logged; told++) {
        if (n)
            text[n++] = ' ';
        tell(text + n, sizeof text - n, &rig.log[told]);
        n += strlen(text + n);
    }
    return text;
}

#define LOG(text) ck_assert_str_eq(written(), text)

static struct trp_queue_config config(const char *name) {
    struct trp_queue_config c = trp_queue_config(trp_slice_str(name));
    c.durable = true;
    return c;
}

static void setup(void) {
    rig_start();
    told = 0;
    struct trp_queue_config c = config("q");
    rig_use(&c);
    LOG("MARK1 DECLARE1");
}

static void restart(void) {
    rig_restart();
    rig.q = trp_queues_find(rig.set, trp_slice_str("q"));
}

static void new_segment(void) {
    rig.begin = true;
}

static void put_with(const char *text, uint64_t delay, uint64_t ttl, const char *id) {
    (void)rig_put_with(text,
                       (struct trp_queue_put){.priority = 4, .delay_ms = delay, .ttl_ms = ttl, .dedup = trp_slice_str(id)});
}

/* ---- what is written ---- */

START_TEST(each_change_is_a_record) {
    uint64_t lsn, count;
    rig_put("m1"), rig_put("m2"), rig_put("m3"), rig_put("m4");
    LOG("PUT1 PUT2 PUT3 PUT4");
    rig_attach('a', 2);
    LOG(""); /* a delivery is none */
    rig_ack('a', 1);
    LOG("DONE1");
    rig_nack('a', 2, 100);
    LOG("STATE2");
    rig_pass(100);
    LOG(""); /* its due time is known */
    rig_leave('a');
    LOG("STATE3 STATE4");
    ck_assert_int_eq(trp_queue_pause(rig.q, rig.now, true), TROUPE_OK);
    LOG("DECLARE1");
    ck_assert_int_eq(trp_queue_purge(rig.q, rig.now,
                                     &(struct trp_queue_purge){.all = false, .below = UINT64_MAX, .most = UINT64_MAX}, &count,
                                     &lsn),
                     TROUPE_OK);
    LOG("DONE2,3,4");
    ck_assert_uint_eq(lsn, rig.lsn);
    ck_assert_int_eq(trp_queue_delete(&rig.q, &lsn), TROUPE_OK);
    LOG("DELETE1");
}
END_TEST

START_TEST(a_move_is_one_record) {
    uint64_t count;
    rig_attach('a', 1);
    rig_put("m1");
    ck_assert_int_eq(trp_consumer_bury(rig_at('a'), rig.now, 1, trp_slice_str("why")), TROUPE_OK);
    LOG("PUT1 DECLARE2 PUT2<1");
    ck_assert_int_eq(rig_retry(rig_find("q.dead"), 9, &count), TROUPE_OK);
    LOG("PUT3<2");
}
END_TEST

START_TEST(memory_queues_write_nothing) {
    struct trp_queue_config c = config("m");
    uint64_t lsn = 7;
    c.durable = false;
    rig_use(&c);
    ck_assert_uint_eq(rig_put_with("x", (struct trp_queue_put){.priority = 4}), 0);
    rig_attach('a', 1);
    ck_assert_int_eq(trp_consumer_ack(rig_at('a'), rig.now, 1, &lsn), TROUPE_OK);
    ck_assert_uint_eq(lsn, 0);
    LOG("");
}
END_TEST

START_TEST(confirmations_wait_for_positions) {
    uint64_t lsn, put = rig_put_with("m1", (struct trp_queue_put){.priority = 4, .dedup = trp_slice_str("one")});
    ck_assert_uint_eq(put, rig.lsn);
    rig_put("m2");
    ck_assert_int_eq(rig_try_put("m1", (struct trp_queue_put){.dedup = trp_slice_str("one")}, &lsn), TROUPE_EXISTS);
    ck_assert_uint_eq(lsn, put); /* the first one's */
    rig_attach('a', 1);
    ck_assert_int_eq(trp_consumer_ack(rig_at('a'), rig.now, 1, &lsn), TROUPE_OK);
    ck_assert_uint_eq(lsn, rig.lsn);
    const char *why;
    struct trp_queue_config c = config("q");
    ck_assert_int_eq(trp_queues_declare(rig.set, &c, &rig.q, &lsn, &why), TROUPE_OK);
    ck_assert_uint_lt(lsn, put); /* of its declaration, not of now */
    ck_assert_uint_gt(lsn, 0);
}
END_TEST

START_TEST(a_log_that_refuses) {
    uint64_t lsn, count;
    static const troupe_status says[] = {TROUPE_FULL, TROUPE_AGAIN, TROUPE_NO_MEMORY};
    rig_put("m1");
    for (size_t i = 0; i < sizeof says / sizeof *says; i++) {
        rig.refuse = says[i];
        ck_assert_int_eq(
            rig_try_put("x", (struct trp_queue_put){.priority = 4, .ttl_ms = 5, .dedup = trp_slice_str("id")}, &lsn), says[i]);
        ck_assert_int_eq(trp_queue_pause(rig.q, rig.now, true), says[i]);
        struct trp_queue_config c = config("other");
        struct trp_queue *q;
        const char *why;
        ck_assert_int_eq(trp_queues_declare(rig.set, &c, &q, &lsn, &why), says[i]);
        ck_assert_ptr_null(trp_queues_find(rig.set, c.name));
    }
    ck_assert_str_eq(rig_counts(NULL), "1/0/0/0");
    ck_assert_uint_eq(rig_totals().refused, 2);
    rig.refuse = TROUPE_OK;
    ck_assert_int_eq(rig_try_put("m2", (struct trp_queue_put){.priority = 4, .dedup = trp_slice_str("id")}, &lsn), TROUPE_OK);
    rig.refuse = TROUPE_FULL; /* what is here can be worked on all the same */
    rig_attach('a', 1);
    rig_ack('a', 1);
    rig_nack('a', 2, 0);
    rig_ack('a', 3);
    rig.refuse_must = TROUPE_NO_MEMORY;
    rig.refuse = TROUPE_OK;
    rig_put("m3");
    ck_assert_int_eq(rig_try_ack('a', 4), TROUPE_NO_MEMORY);
    ck_assert_int_eq(trp_consumer_nack(rig_at('a'), rig.now, 4, 0), TROUPE_NO_MEMORY);
    ck_assert_int_eq(trp_queue_purge(rig.q, rig.now,
                                     &(struct trp_queue_purge){.all = true, .below = UINT64_MAX, .most = UINT64_MAX}, &count,
                                     &lsn),
                     TROUPE_NO_MEMORY);
    ck_assert_int_eq(trp_queue_delete(&rig.q, &lsn), TROUPE_NO_MEMORY);
    ck_assert_str_eq(rig_counts(NULL), "0/1/0/0");
    rig_pass(30000); /* time does not ask */
    ck_assert_uint_eq(rig_totals().unrecorded, 1);
    rig.refuse_must = TROUPE_OK;
    rig_ack('a', 5);
    EXPECT("a:1=m1 a:2=m2 a:3=m2*2 a:4=m3 a:4 lapsed a:5=m3*2");
}
END_TEST

/* The dead wait where they are while the log takes nothing. */
START_TEST(the_dead_of_a_full_log_are_buried) {
    uint64_t count;
    rig_attach('a', 2);
    rig_put("m1"), rig_put("m2");
    ck_assert_int_eq(trp_consumer_bury(rig_at('a'), rig.now, 1, trp_slice_str("why")), TROUPE_OK);
    (void)written();
    rig.refuse = TROUPE_FULL;
    ck_assert_int_eq(trp_consumer_bury(rig_at('a'), rig.now, 2, trp_slice_str("why")), TROUPE_OK);
    LOG("STATE2");
    ck_assert_str_eq(rig_counts(NULL), "0/0/0/1");
    ck_assert_int_eq(rig_retry(rig.q, 9, &count), TROUPE_FULL);
    ck_assert_int_eq(rig_retry(rig_find("q.dead"), 9, &count), TROUPE_FULL);
    ck_assert_uint_eq(count, 0);
    rig.refuse = TROUPE_OK;
    restart();
    ck_assert_str_eq(rig_counts(NULL), "0/0/0/1");
    ck_assert_int_eq(rig_retry(rig.q, 9, &count), TROUPE_OK);
    restart();
    ck_assert_str_eq(rig_counts(NULL), "1/0/0/0");
    ck_assert_str_eq(rig_counts("q.dead"), "1/0/0/0");
}
END_TEST

/* ---- what a restart finds ---- */

START_TEST(all_is_there_again_in_order) {
    (void)rig_put_with("m1", (struct trp_queue_put){.priority = 9});
    rig_put("m2"), rig_put("m3"), rig_put("m4");
    rig_attach('a', 2);
    rig_ack('a', 1);
    restart();
    EXPECT("");
    ck_assert_str_eq(rig_counts(NULL), "3/0/0/0");
    ck_assert_uint_eq(rig_totals().came, 3);
    rig_put("m5");
    rig_attach('b', 9);
    EXPECT("b:1=m3 b:2=m4 b:3=m5 b:4=m1");
}
END_TEST

START_TEST(counts_and_evidence_survive) {
    rig_put("m1");
    rig_attach('a', 1);
    rig_crash('a', 11);
    rig_attach('a', 1);
    rig_leave('a');
    restart();
    rig_attach('a', 1);
    EXPECT("a:1=m1*3^1/11");
    rig_crash('a', 9);
    restart();
    rig_attach('a', 1);
    rig_crash('a', 6);
    restart();
    rig.q = rig_find("q.dead");
    rig_attach('d', 1);
    EXPECT("d:1=m1!crashed@q");
    struct trp_queue_message m;
    ck_assert_int_eq(trp_queue_peek(rig.q, TRP_QUEUE_HELD, 0, &m), TROUPE_OK);
    ck_assert(m.death.deliveries == 4 && m.death.crashes == 3 && m.death.signal == 6);
    ck_assert_uint_eq(m.first_seen_ms, rig.now.wall_ms);
}
END_TEST

START_TEST(delays_go_on) {
    put_with("m1", 1000, 0, ""), rig_put("m2");
    rig_attach('a', 2);
    EXPECT("a:1=m2");
    rig_nack('a', 1, 2000);
    rig_pass(600);
    restart();
    ck_assert_str_eq(rig_counts(NULL), "0/0/2/0");
    rig_attach('a', 2);
    rig_pass(399);
    EXPECT("");
    rig_pass(1);
    EXPECT("a:1=m1");
    rig_pass(999);
    EXPECT("");
    rig_pass(1);
    EXPECT("a:2=m2*2");
}
END_TEST

START_TEST(what_fell_due_while_it_was_down) {
    put_with("m1", 1000, 0, ""), put_with("m2", 0, 1000, ""), put_with("m3", 0, 5000, "");
    rig.now.mono_ns += UINT64_C(2000000000);
    rig.now.wall_ms += 2000;
    restart();
    ck_assert_str_eq(rig_counts(NULL), "3/0/0/0");
    rig_pass(0);
    ck_assert_str_eq(rig_counts(NULL), "2/0/0/0"); /* the second one has expired */
    rig_pass(2999);
    ck_assert_str_eq(rig_counts(NULL), "2/0/0/0");
    rig_pass(1);
    ck_assert_str_eq(rig_counts(NULL), "1/0/0/0");
}
END_TEST

/* The wall clock is a day behind after the restart: nothing waits longer than was left. */
START_TEST(a_clock_set_back_makes_no_delay_longer) {
    put_with("m1", 1000, 0, "");
    rig.now.wall_ms -= 86400000;
    restart();
    rig_attach('a', 1);
    rig_pass(999);
    EXPECT("");
    rig_pass(1);
    EXPECT("a:1=m1");
}
END_TEST

START_TEST(ids_survive_within_their_window) {
    uint64_t lsn;
    put_with("m1", 0, 0, "one");
    rig_attach('a', 1);
    rig_ack('a', 1);
    rig_pass(60000);
    put_with("m2", 0, 0, "two");
    rig_pass(59999);
    restart();
    ck_assert_int_eq(rig_try_put("m1", (struct trp_queue_put){.dedup = trp_slice_str("one")}, &lsn), TROUPE_EXISTS);
    rig_pass(1);
    restart();
    ck_assert_int_eq(rig_try_put("m1", (struct trp_queue_put){.dedup = trp_slice_str("two")}, &lsn), TROUPE_EXISTS);
    ck_assert_uint_gt(lsn, 0);
    ck_assert_int_eq(rig_try_put("m1", (struct trp_queue_put){.dedup = trp_slice_str("one")}, &lsn), TROUPE_OK);
    restart(); /* its id is in the log twice now */
    ck_assert_int_eq(rig_try_put("m1", (struct trp_queue_put){.dedup = trp_slice_str("one")}, &lsn), TROUPE_EXISTS);
}
END_TEST

START_TEST(queues_survive_as_they_are) {
    const struct trp_slice patterns[] = {trp_slice_str("a.*"), trp_slice_str("b.>")};
    struct trp_queue_config c = config("r"), m = config("m");
    const char *why;
    uint64_t lsn;
    c.patterns = patterns, c.n_patterns = 2, c.overflow = TRP_QUEUE_DROP_OLDEST, c.ttl_ms = 5,
    c.dead_letter = trp_slice_str("");
    rig.q = rig_declare(&c);
    ck_assert_int_eq(trp_queue_pause(rig.q, rig.now, true), TROUPE_OK);
    m.durable = false;
    (void)rig_declare(&m);
    struct trp_queue *gone = rig_find("q");
    ck_assert_int_eq(trp_queue_delete(&gone, &lsn), TROUPE_OK);
    restart();
    ck_assert_ptr_null(rig.q);
    ck_assert_ptr_null(trp_queues_find(rig.set, trp_slice_str("m")));
    rig.q = rig_find("r");
    ck_assert_int_eq(trp_queues_declare(rig.set, &c, &rig.q, &lsn, &why), TROUPE_OK);
    struct trp_queue_stat st;
    trp_queue_stat(rig.q, rig.now, &st);
    ck_assert(st.paused);
    (void)written();
    c = config("new");
    (void)rig_declare(&c);
    LOG("DECLARE3"); /* the numbers go on */
}
END_TEST

START_TEST(a_deleted_queue_takes_all_with_it) {
    struct trp_queue_config c = config("q");
    uint64_t lsn;
    rig_put("m1"), put_with("m2", 0, 0, "id");
    ck_assert_int_eq(trp_queue_delete(&rig.q, &lsn), TROUPE_OK);
    rig_use(&c);
    rig_put("m3");
    restart();
    rig_attach('a', 9);
    EXPECT("a:1=m3");
    put_with("m2", 0, 0, "id");
    EXPECT("a:2=m2");
}
END_TEST

START_TEST(the_dead_are_in_one_place_only) {
    uint64_t count;
    rig_put("m1"), rig_put("m2");
    rig_attach('a', 2);
    ck_assert_int_eq(trp_consumer_bury(rig_at('a'), rig.now, 1, trp_slice_str("own words")), TROUPE_OK);
    EXPECT("a:1=m1 a:2=m2");
    restart();
    ck_assert_str_eq(rig_counts(NULL), "1/0/0/0");
    rig.q = rig_find("q.dead");
    rig_attach('d', 1);
    EXPECT("d:1=m1!own words@q");
    ck_assert_int_eq(rig_retry(rig_find("q.dead"), 9, &count), TROUPE_OK);
    ck_assert_uint_eq(count, 0); /* it is in a hand */
}
END_TEST

/* From the log into memory and from memory into the log: there is no record for both, and none is lost or doubled. */
START_TEST(the_dead_may_change_their_kind) {
    struct trp_queue_config memory = config("memory"), disk = config("disk"), to_disk = config("to.disk"),
                            to_memory = config("to.memory");
    memory.durable = to_disk.durable = false;
    to_disk.dead_letter = trp_slice_str("disk");
    to_memory.dead_letter = trp_slice_str("memory");
    (void)rig_declare(&memory), (void)rig_declare(&disk);
    rig_use(&to_disk);
    rig_attach('a', 1);
    rig_put("m1");
    ck_assert_int_eq(trp_consumer_bury(rig_at('a'), rig.now, 1, trp_slice_str("")), TROUPE_OK);
    rig_use(&to_memory);
    rig_attach('b', 1);
    rig_put("m2");
    (void)written();
    ck_assert_int_eq(trp_consumer_bury(rig_at('b'), rig.now, 1, trp_slice_str("")), TROUPE_OK);
    LOG("DONE3");
    ck_assert_str_eq(rig_counts("memory"), "1/0/0/0");
    rig_restart();
    ck_assert_str_eq(rig_counts("disk"), "1/0/0/0");
    ck_assert_str_eq(rig_counts("to.memory"), "0/0/0/0");
}
END_TEST

/* ---- compaction ---- */

static void rewrite_all(uint64_t segment, size_t most) {
    for (bool done = false; !done;)
        ck_assert_int_eq(trp_queues_rewrite(rig.set, rig.now, segment, most, &done), TROUPE_OK);
}

START_TEST(what_lives_is_copied_forward) {
    bool done;
    rig_put("m1"), rig_put("m2"), rig_put("m3");
    put_with("m4", 5000, 9000, "id");
    rig_attach('a', 2);
    rig_ack('a', 2);
    rig_leave('a');
    new_segment();
    (void)written();
    rig_put("m5");
    LOG("MARK5 DECLARE1 PUT5");
    rig_pass(1000);
    ck_assert_int_eq(trp_queues_rewrite(rig.set, rig.now, 1, 2, &done), TROUPE_OK);
    ck_assert(!done);
    LOG("PUT1 PUT3");
    ck_assert_int_eq(trp_queues_rewrite(rig.set, rig.now, 1, 2, &done), TROUPE_OK);
    ck_assert(done);
    LOG("PUT4 DEDUP1");
    ck_assert_int_eq(trp_queues_rewrite(rig.set, rig.now, 1, 2, &done), TROUPE_OK);
    ck_assert(done);
    LOG("");
    rig_drop_segment(1);
    restart();
    ck_assert_str_eq(rig_counts(NULL), "3/0/1/0");
    uint64_t lsn;
    ck_assert_int_eq(rig_try_put("x", (struct trp_queue_put){.dedup = trp_slice_str("id")}, &lsn), TROUPE_EXISTS);
    rig_attach('a', 9);
    EXPECT("a:1=m1*2 a:2=m3*2 a:3=m5");
    rig_pass(3999);
    EXPECT("");
    rig_pass(1);
    EXPECT("a:4=m4");
}
END_TEST

START_TEST(what_is_in_a_hand_is_copied_as_ready) {
    rig_put("m1");
    rig_attach('a', 1);
    new_segment();
    rig_put("m2");
    rewrite_all(1, 100);
    rig_drop_segment(1);
    rig_nack('a', 1, 0); /* its own life went on */
    EXPECT("a:1=m1 a:2=m1*2");
    restart();
    rig_attach('a', 9);
    EXPECT("a:1=m1*2 a:2=m2"); /* the nack told of one delivery, the second one was under way */
}
END_TEST

/* The STATE and the DONE of what was put in a dropped segment stay behind in a later one. */
START_TEST(orphans_are_passed_over) {
    rig_put("m1"), rig_put("m2"), rig_put("m3");
    rig_attach('a', 3);
    new_segment();
    rig_nack('a', 1, 0);
    rig_ack('a', 2);
    (void)written();
    rewrite_all(1, 100);
    rig_drop_segment(1);
    restart();
    ck_assert_str_eq(rig_counts(NULL), "2/0/0/0");
    rig_attach('b', 9);
    EXPECT("b:1=m1*3 b:2=m3*2"); /* as they were when they were copied: in a hand */
}
END_TEST

START_TEST(a_log_is_dropped_behind_itself_for_ever) {
    uint64_t most = 0;
    rig_put("long");
    for (uint64_t i = 1; i <= 200; i++) {
        new_segment();
        rig_attach('a', 1);
        put_with("x", i % 3, 0, i % 2 ? "odd" : "even");
        rig_pass(120000); /* and the time-outs that this takes */
        rig_leave('a');
        rewrite_all(i, 7);
        rig_drop_segment(i);
        most = rig.logged > most ? rig.logged : most;
        if (i % 10 == 0)
            restart();
    }
    /* Each message died once, and nothing is kept but what lives. */
    struct trp_queue_stat q, dead;
    trp_queue_stat(rig.q, rig.now, &q);
    trp_queue_stat(rig_find("q.dead"), rig.now, &dead);
    ck_assert_uint_eq(q.messages[TRP_QUEUE_READY] + dead.messages[TRP_QUEUE_READY], 201);
    ck_assert_uint_le(most, 201 + 50);
}
END_TEST

START_TEST(a_full_log_stops_the_copying) {
    bool done;
    rig_put("m1"), rig_put("m2");
    new_segment();
    rig_put("m3");
    rig.refuse = TROUPE_FULL;
    ck_assert_int_eq(trp_queues_rewrite(rig.set, rig.now, 1, 9, &done), TROUPE_FULL);
    ck_assert(!done);
    rig.refuse = TROUPE_OK;
    ck_assert_int_eq(trp_queues_rewrite(rig.set, rig.now, 1, 9, &done), TROUPE_OK);
    ck_assert(done);
}
END_TEST

/* A segment may begin with any record, also with a declaration or a deletion. */
START_TEST(segments_begin_anywhere) {
    struct trp_queue_config c = config("other");
    uint64_t lsn;
    rig_put("m1");
    new_segment();
    struct trp_queue *q = rig_declare(&c);
    new_segment();
    ck_assert_int_eq(trp_queue_delete(&q, &lsn), TROUPE_OK);
    new_segment();
    rig_attach('a', 1);
    rig_ack('a', 1);
    LOG("PUT1 MARK2 DECLARE1 DECLARE2 MARK2 DECLARE1 DECLARE2 DELETE2 MARK2 DECLARE1 DONE1");
    restart();
    ck_assert_str_eq(rig_counts(NULL), "0/0/0/0");
    for (uint64_t i = 1; i < 4; i++) {
        rewrite_all(i, 1);
        rig_drop_segment(i);
        restart();
    }
    ck_assert_str_eq(rig_counts(NULL), "0/0/0/0");
}
END_TEST

/* ---- damage ---- */

static void append(const struct trp_queue_record *r) {
    uint8_t room[TRP_QUEUE_RECORD_HEAD_MAX];
    uint64_t lsn, segment;
    size_t n = (size_t)(trp_queue_record_write(room, r) - room);
    ck_assert_int_eq(rig_record(NULL, (struct trp_slice){room, n}, r->body, false, &lsn, &segment), TROUPE_OK);
}

static void expect_damage(const struct trp_queue_record *r, const char *sentence) {
    const char *why = "";
    append(r);
    rig_close_set();
    rig_open();
    ck_assert_int_eq(rig_replay(&why), TROUPE_PROTOCOL);
    ck_assert_str_eq(why, sentence);
    free(rig.log[--rig.logged].p);
}

START_TEST(damage_has_a_name) {
    const struct trp_slice m = trp_slice_str("m");
    const uint64_t never = TRP_QUEUE_NEVER;
    rig_put("m1"), rig_put("m2");
    rig_attach('a', 1);
    rig_ack('a', 1);
    rig_leave('a');
    expect_damage(&(struct trp_queue_record){.kind = TRP_QUEUE_RECORD_DONE, .seq = 9},
                  "a message is spoken of that was never put");
    expect_damage(&(struct trp_queue_record){.kind = TRP_QUEUE_RECORD_DONE, .seq = 1},
                  "a message is spoken of that was never put");
    expect_damage(&(struct trp_queue_record){.kind = TRP_QUEUE_RECORD_STATE, .seq = 3},
                  "a message is spoken of that was never put");
    expect_damage(&(struct trp_queue_record){.kind = TRP_QUEUE_RECORD_PUT, .queue = 1, .seq = 1, .ttl_ms = never, .body = m},
                  "a message is put that was done");
    expect_damage(&(struct trp_queue_record){.kind = TRP_QUEUE_RECORD_PUT, .queue = 1, .seq = 2, .ttl_ms = never, .body = m},
                  "a message is put again, and is another");
    expect_damage(&(struct trp_queue_record){.kind = TRP_QUEUE_RECORD_PUT, .queue = 5, .seq = 7, .ttl_ms = never, .body = m},
                  "a message is put into a queue that was not declared");
    expect_damage(&(struct trp_queue_record){.kind = TRP_QUEUE_RECORD_DELETE, .queue = 5},
                  "a queue is deleted that was not declared");
    expect_damage(&(struct trp_queue_record){.kind = TRP_QUEUE_RECORD_DEDUP, .queue = 5, .dedup = m},
                  "an id belongs to a queue that was not declared");
    expect_damage(&(struct trp_queue_record){.kind = TRP_QUEUE_RECORD_MARK, .seq = 1},
                  "a segment's mark is lower than the numbers before it");
    expect_damage(&(struct trp_queue_record){.kind = TRP_QUEUE_RECORD_DECLARE, .queue = 1, .body = m},
                  "a queue is declared in two ways");
    expect_damage(&(struct trp_queue_record){.kind = TRP_QUEUE_RECORD_DECLARE, .queue = 2, .body = m},
                  "a queue's declaration can't be read");
}
END_TEST

/* ---- memory ---- */

/* Replay with the n-th allocation failing: it says so, and leaves nothing behind. */
START_TEST(no_memory_for_a_replay) {
    const char *why = "";
    put_with("m1", 5, 50, "id"), rig_put("m2");
    rig_attach('a', 1);
    ck_assert_int_eq(trp_consumer_bury(rig_at('a'), rig.now, 1, trp_slice_str("why")), TROUPE_OK);
    rig_leave('a');
    for (long n = 1;; n++) {
        rig_close_set();
        rig_open();
        faults_fail_at(n);
        troupe_status st = rig_replay(&why);
        faults_off();
        if (st == TROUPE_OK)
            break;
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
    }
    ck_assert_str_eq(rig_counts("q"), "0/0/1/0");
    ck_assert_str_eq(rig_counts("q.dead"), "1/0/0/0");
}
END_TEST

int main(void) {
    Suite *s = suite_create("queue_log");
    const TTest *const out[] = {each_change_is_a_record,          a_move_is_one_record, memory_queues_write_nothing,
                                confirmations_wait_for_positions, a_log_that_refuses,   the_dead_of_a_full_log_are_buried};
    const TTest *const in[] = {all_is_there_again_in_order,
                               counts_and_evidence_survive,
                               delays_go_on,
                               what_fell_due_while_it_was_down,
                               a_clock_set_back_makes_no_delay_longer,
                               ids_survive_within_their_window,
                               queues_survive_as_they_are,
                               a_deleted_queue_takes_all_with_it,
                               the_dead_are_in_one_place_only,
                               the_dead_may_change_their_kind,
                               damage_has_a_name,
                               no_memory_for_a_replay};
    const TTest *const segments[] = {what_lives_is_copied_forward, what_is_in_a_hand_is_copied_as_ready,
                                     orphans_are_passed_over,      a_log_is_dropped_behind_itself_for_ever,
                                     a_full_log_stops_the_copying, segments_begin_anywhere};
#define CASE(name) tcase_add_checked_fixture(run_case(s, #name, name, sizeof name / sizeof *name), setup, rig_stop)
    CASE(out), CASE(in), CASE(segments);
    return run_suite(s);
}
