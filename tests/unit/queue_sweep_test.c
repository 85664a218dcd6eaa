/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What is done with queues of a million messages in steps: emptying them (what a step may take, what it leaves, and that
 * nothing of a deleted queue is ever seen again), and looking through them. */
#include "broker/queue_state.h"
#include "tests/support/queue_rig.h"
#include "tests/support/run.h"

enum { MANY = 5000, TICK = 1000 };

/* Sanitizers take thirty times as long for each. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { MILLION = 50000 };
#else
enum { MILLION = 1000000 };
#endif

static void setup(void) {
    rig_start();
    struct trp_queue_config c = rig_config("q");
    rig_use(&c);
}

static void setup_durable(void) {
    rig_start();
    struct trp_queue_config c = rig_config("q");
    c.durable = true;
    rig_use(&c);
}

static void put_many(int n) {
    for (int i = 0; i < n; i++)
        rig_put("m");
}

static uint64_t purge(bool all, uint64_t below, uint64_t most) {
    uint64_t count, lsn;
    ck_assert_int_eq(
        trp_queue_purge(rig.q, rig.now, &(struct trp_queue_purge){.all = all, .below = below, .most = most}, &count, &lsn),
        TROUPE_OK);
    return count;
}

static void remove_it(void) {
    uint64_t lsn;
    ck_assert_int_eq(trp_queue_delete(&rig.q, &lsn), TROUPE_OK);
}

/* Ticks until nothing is due; how many it took. */
static unsigned tick_out(void) {
    unsigned n = 0;
    for (; rig.set->deleted; n++) {
        ck_assert_uint_eq(trp_queues_next_deadline(rig.set), 0);
        (void)trp_queues_tick(rig.set, rig.now, TICK);
    }
    return n;
}

/* ---- purge ---- */

START_TEST(a_step_takes_what_it_may) {
    put_many(5);
    rig_put_delay("later", 1000);
    rig_put_priority("urgent", 0);
    uint64_t below = trp_queues_next_number(rig.set);
    rig_put("new"), rig_put_priority("new too", 0), rig_put_delay("new and later", 1000);
    ck_assert_uint_eq(purge(false, below, 3), 3);
    ck_assert_str_eq(rig_counts(NULL), "5/0/2/0");
    ck_assert_uint_eq(purge(false, below, 3), 3);
    ck_assert_uint_eq(purge(false, below, 3), 1);
    ck_assert_uint_eq(purge(false, below, 3), 0);
    ck_assert_str_eq(rig_counts(NULL), "2/0/1/0");
    rig_attach('a', 9);
    EXPECT("a:1=new too a:2=new");
}
END_TEST

START_TEST(old_ones_in_hand_and_buried_go_with_all) {
    rig_attach('a', 3);
    put_many(3);
    EXPECT("a:1=m a:2=m a:3=m");
    uint64_t below = trp_queues_next_number(rig.set);
    rig_nack('a', 1, 5000);
    rig_put("new");
    EXPECT("a:4=new");
    ck_assert_uint_eq(purge(false, below, 9), 1);
    ck_assert_uint_eq(purge(true, below, 1), 1);
    ck_assert_uint_eq(purge(true, below, 9), 1);
    EXPECT("a:2 lapsed a:3 lapsed");
    ck_assert_str_eq(rig_counts(NULL), "0/1/0/0");
}
END_TEST

START_TEST(a_million_are_purged_in_steps) {
    uint64_t n, all = 0;
    put_many(MILLION);
    while ((n = purge(false, UINT64_MAX, 1024)) > 0) {
        ck_assert_uint_le(n, 1024);
        all += n;
    }
    ck_assert_uint_eq(all, MILLION);
    ck_assert_str_eq(rig_counts(NULL), "0/0/0/0");
}
END_TEST

/* ---- delete ---- */

START_TEST(a_million_are_deleted_in_steps) {
    put_many(MILLION);
    rig_attach('a', 1);
    rig_forget();
    remove_it();
    EXPECT("a ended");
    ck_assert_ptr_null(trp_queues_find(rig.set, trp_slice_str("q")));
    rig_leave('a');
    struct trp_queue_config c = rig_config("q");
    rig_use(&c);
    rig_put("new");
    ck_assert_uint_ge(tick_out(), (MILLION - 2048) / TICK);
    ck_assert_str_eq(rig_counts(NULL), "1/0/0/0");
    ck_assert_uint_eq(trp_queues_next_deadline(rig.set), TRP_QUEUE_NEVER);
}
END_TEST

START_TEST(a_few_are_deleted_at_once) {
    put_many(100);
    remove_it();
    ck_assert_ptr_null(rig.set->deleted);
}
END_TEST

/* What is left has deadlines, ids and a place in the log. None of them brings a message back. */
static void fill_all_kinds(void) {
    uint64_t lsn;
    for (int i = 0; i < MANY; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        ck_assert_int_eq(rig_try_put_id("m", id, &lsn), TROUPE_OK);
        rig_put_ttl("short", 100);
        rig_put_delay("later", 200);
    }
}

START_TEST(what_is_left_has_no_end_of_its_own) {
    fill_all_kinds();
    remove_it();
    struct trp_queue_config c = rig_config("q"), dead = rig_config("q.dead");
    c.durable = dead.durable = true;
    rig_use(&dead), rig_use(&c);
    rig.now.mono_ns += UINT64_C(150000000); /* the short ones expire, while most are there */
    ck_assert_uint_eq(trp_queues_tick(rig.set, rig.now, TICK), TICK);
    ck_assert_ptr_nonnull(rig.set->deleted);
    rig_pass(1000);
    (void)tick_out();
    rig_pass(200000);
    ck_assert_str_eq(rig_counts("q"), "0/0/0/0");
    ck_assert_str_eq(rig_counts("q.dead"), "0/0/0/0");
    ck_assert_ptr_null(rig.set->live.first);
    ck_assert_ptr_null(rig.set->live_ids.first);
    EXPECT("");
}
END_TEST

START_TEST(copying_forward_passes_over_what_is_left) {
    bool done = false;
    struct trp_queue_config c = rig_config("other");
    c.durable = true;
    fill_all_kinds();
    rig_use(&c);
    rig_put("stays");
    rig.q = rig_find("q");
    remove_it();
    uint64_t old = rig.segment;
    rig.begin = true;
    while (!done)
        ck_assert_int_eq(trp_queues_rewrite(rig.set, rig.now, old, 256, &done), TROUPE_OK);
    for (size_t i = 0; i < rig.logged;)
        if (rig.log[i].segment <= old)
            rig_drop_segment(rig.log[i].segment);
        else
            i++;
    ck_assert_uint_lt(rig.logged, 10);
    rig_restart();
    ck_assert_ptr_null(trp_queues_find(rig.set, trp_slice_str("q")));
    ck_assert_str_eq(rig_counts("other"), "1/0/0/0");
}
END_TEST

START_TEST(a_restart_knows_nothing_of_it) {
    fill_all_kinds();
    remove_it();
    (void)trp_queues_tick(rig.set, rig.now, TICK);
    rig_restart();
    ck_assert_ptr_null(trp_queues_find(rig.set, trp_slice_str("q")));
    ck_assert_ptr_null(rig.set->live.first);
}
END_TEST

START_TEST(a_set_ends_with_what_is_left) {
    fill_all_kinds();
    remove_it();
    ck_assert_ptr_nonnull(rig.set->deleted);
}
END_TEST

/* ---- looking ---- */

static uint64_t number_here(void) {
    struct trp_queue_message m;
    return trp_queue_look(rig.q, &m) == TROUPE_OK ? m.seq : 0;
}

/* Twenty messages in each state, half of the ready ones in the tree. */
static void fill_states(void) {
    for (int i = 0; i < 40; i++)
        rig_put("r");
    rig_attach('a', 40);
    for (uint64_t token = 2; token < 20; token += 2)
        rig_nack('a', token, 0);
    ck_assert_int_eq(trp_consumer_credit(rig_at('a'), rig.now, 20), TROUPE_OK);
    for (int i = 0; i < 20; i++)
        rig_put_priority("last", 9), rig_put_delay("d", 1000);
    rig_forget();
}

/* What leaves before, at and behind the place of a look: it then stands at the next that is left, and misses none. */
static void look_while_they_go(enum trp_queue_state state, bool (*take_away)(uint64_t number)) {
    uint64_t numbers[100];
    bool gone[100] = {false};
    size_t n = 0, at = 0;
    for (trp_queue_look_at(rig.q, state, 0); number_here(); trp_queue_look_on(rig.q))
        numbers[n++] = number_here();
    ck_assert_uint_ge(n, 20);
    trp_queue_look_at(rig.q, state, 0);
    uint64_t x = 12345;
    while (number_here()) {
        ck_assert_uint_eq(number_here(), numbers[at]);
        for (int i = 0; i < 2; i++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            size_t k = (size_t)(x >> 33) % n;
            gone[k] = gone[k] || take_away(numbers[k]);
        }
        if (!gone[at]) {
            ck_assert_uint_eq(number_here(), numbers[at]);
            trp_queue_look_on(rig.q);
            ck_assert(trp_queue_look_behind(rig.q, state, numbers[at]));
            at++;
        }
        while (at < n && gone[at])
            at++;
    }
    ck_assert_uint_eq(at, n);
}

static struct trp_queue_item *ready_item(uint64_t number) {
    for (int i = 0; i < TRP_QUEUE_PRIORITIES; i++) {
        struct trp_queue_walk w = trp_queue_order_walk(&rig.q->ready[i]);
        for (struct trp_queue_item *it; (it = trp_queue_walk_next(&w));)
            if (it->seq == number)
                return it;
    }
    return NULL;
}

static bool take_item(struct trp_queue_item *it) {
    if (!it)
        return false;
    trp_queue_unlink(rig.q, it);
    trp_queue_forget(rig.set, it);
    return true;
}

static bool take_ready(uint64_t number) {
    return take_item(ready_item(number));
}

static bool take_delayed(uint64_t number) {
    struct trp_queue_item *it = rig.q->delayed.first;
    while (it && it->seq != number)
        it = it->next;
    return take_item(it);
}

static bool ack_held(uint64_t number) {
    struct trp_queue_item *it = rig_at('a')->hand.first;
    while (it && it->seq != number)
        it = it->next;
    if (!it)
        return false;
    rig_ack('a', it->token);
    return true;
}

START_TEST(a_look_passes_over_what_leaves) {
    fill_states();
    look_while_they_go(TRP_QUEUE_READY, take_ready);
    look_while_they_go(TRP_QUEUE_DELAYED, take_delayed);
    ck_assert_int_eq(trp_queue_pause(rig.q, rig.now, true), TROUPE_OK);
    look_while_they_go(TRP_QUEUE_HELD, ack_held);
}
END_TEST

START_TEST(a_look_is_behind_what_it_passed_last) {
    put_many(3);
    ck_assert(!trp_queue_look_behind(rig.q, TRP_QUEUE_READY, 1));
    trp_queue_look_at(rig.q, TRP_QUEUE_READY, 1);
    ck_assert(trp_queue_look_behind(rig.q, TRP_QUEUE_READY, 1));
    ck_assert(!trp_queue_look_behind(rig.q, TRP_QUEUE_DELAYED, 1));
    trp_queue_look_at(rig.q, TRP_QUEUE_READY, 9);
    ck_assert_uint_eq(number_here(), 0);
    trp_queue_look_on(rig.q);
    ck_assert(trp_queue_look_behind(rig.q, TRP_QUEUE_READY, 3));
}
END_TEST

int main(void) {
    const TTest *const purges[] = {a_step_takes_what_it_may, old_ones_in_hand_and_buried_go_with_all,
                                   a_million_are_purged_in_steps};
    const TTest *const deletes[] = {a_million_are_deleted_in_steps, a_few_are_deleted_at_once};
    const TTest *const durable[] = {what_is_left_has_no_end_of_its_own, copying_forward_passes_over_what_is_left,
                                    a_restart_knows_nothing_of_it, a_set_ends_with_what_is_left};
    const TTest *const looks[] = {a_look_passes_over_what_leaves, a_look_is_behind_what_it_passed_last};
    Suite *s = suite_create("queue_sweep");
    TCase *c = run_case(s, "purge", purges, sizeof purges / sizeof *purges);
    tcase_add_checked_fixture(c, setup, rig_stop);
    tcase_set_timeout(c, 60);
    c = run_case(s, "delete", deletes, sizeof deletes / sizeof *deletes);
    tcase_add_checked_fixture(c, setup, rig_stop);
    tcase_set_timeout(c, 60);
    c = run_case(s, "look", looks, sizeof looks / sizeof *looks);
    tcase_add_checked_fixture(c, setup, rig_stop);
    c = run_case(s, "durable", durable, sizeof durable / sizeof *durable);
    tcase_add_checked_fixture(c, setup_durable, rig_stop);
    tcase_set_timeout(c, 60);
    return run_suite(s);
}
