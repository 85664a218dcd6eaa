/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Lanes: messages of all sizes round and round, both bounds, ends that lie, a reader that dies in between, a writer that is
 * killed at any moment, and who has which memory. */
#include "actors/lanes.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/chance.h"
#include "tests/support/run.h"

static struct trp_lanes lanes;
static struct trp_lane lane;
static struct trp_lane_out out;
static struct trp_lane_in in;
static struct trp_lane_record *record;

enum { MOST = 1000 };

static void up(void) {
    ck_assert_int_eq(trp_lanes_init(&lanes), TROUPE_OK);
    unsigned a = trp_lanes_door_take(&lanes), b = trp_lanes_door_take(&lanes);
    ck_assert_uint_ne(a, b);
    record = trp_lanes_new(&lanes, 1, a, 2, b);
    ck_assert_ptr_nonnull(record);
    lane = trp_lanes_at(&lanes, record->serial);
    trp_lane_out_init(&out, lane, MOST);
    trp_lane_in_init(&in, lane);
}

static void down(void) {
    trp_lanes_fini(&lanes);
}

/* Message n: so many bytes, all of them known. */
static size_t size_of(uint64_t n) {
    return n % 50 == 0 ? TRP_LANE_PIECE - n % 7 : n * 37 % 700;
}

static bool write_one(uint64_t n) {
    static uint8_t bytes[TRP_LANE_PIECE];
    memset(bytes, (int)(n & 0xff), size_of(n));
    return trp_lane_write(&out, 7, (struct trp_slice){bytes, size_of(n)});
}

static bool copy_one(uint64_t n) {
    struct trp_slice bytes;
    uint32_t stretch;
    if (!trp_lane_peek(&in, &stretch, &bytes))
        return false;
    ck_assert_uint_eq(stretch, 7);
    ck_assert_uint_eq(bytes.n, size_of(n));
    for (size_t i = 0; i < bytes.n; i++) {
        if (bytes.p[i] != (n & 0xff))
            ck_abort_msg("message %d, byte %zu", (int)n, i);
    }
    trp_lane_step(&in, bytes);
    return true;
}

/* Writing, copying and receiving at random, so that each is ahead as far as it may be now and then. */
START_TEST(round_and_round) {
    unsigned seed = (unsigned)seed_of_run();
    uint64_t written = 0, copied = 0, received = 0;
    while (received < 20000) {
        int n = rand_r(&seed) % 60;
        switch (rand_r(&seed) % 3) {
        case 0:
            while (n-- > 0 && write_one(written))
                written++;
            break;
        case 1:
            while (n-- > 0 && copy_one(copied))
                copied++;
            break;
        default:
            for (; n-- > 0 && received < copied; received++)
                trp_lane_received(&in, size_of(received));
        }
        ck_assert(!in.broken && !out.broken);
        ck_assert_uint_le(received, copied);
        ck_assert_uint_le(copied, written);
        ck_assert_int_eq(trp_lane_is_empty(&in), received == written);
    }
}
END_TEST

START_TEST(no_more_messages_than_may_be_there) {
    struct trp_slice one = {(const uint8_t *)"x", 1};
    out.most = 16;
    for (int i = 0; i < 16; i++)
        ck_assert(trp_lane_write(&out, 0, one));
    ck_assert(!trp_lane_write(&out, 0, one));
    ck_assert(trp_lane_want(&out, 1));
    ck_assert(!trp_lane_tell(&in, true)); /* nothing new to tell */
    uint32_t stretch;
    struct trp_slice bytes;
    for (int i = 0; i < 16; i++) {
        ck_assert(trp_lane_peek(&in, &stretch, &bytes));
        trp_lane_step(&in, bytes);
    }
    ck_assert(!trp_lane_write(&out, 0, one)); /* copied is not received */
    for (int i = 0; i < 14; i++)
        trp_lane_received(&in, 1);
    ck_assert(!trp_lane_tell(&in, false)); /* it wants most of them to be received */
    trp_lane_received(&in, 1);
    ck_assert(trp_lane_tell(&in, false));
    ck_assert(!trp_lane_tell(&in, true)); /* once */
    for (int i = 0; i < 15; i++)
        ck_assert(trp_lane_write(&out, 0, one));
    ck_assert(!trp_lane_write(&out, 0, one));
}
END_TEST

/* Room that has been made since it was looked for is not waited for, or nothing would end the wait. */
static void receive(int n, size_t bytes) {
    uint32_t stretch;
    struct trp_slice all;
    for (; n > 0; n--) {
        ck_assert(trp_lane_peek(&in, &stretch, &all));
        ck_assert_uint_eq(all.n, bytes);
        trp_lane_step(&in, all);
        trp_lane_received(&in, bytes);
    }
}

/* A reader that has looked already, and found that the writer wants more, tells it all the same before it sleeps. */
START_TEST(who_waits_for_more_is_told_before_the_reader_sleeps) {
    struct trp_slice one = {(const uint8_t *)"x", 1};
    out.most = 16;
    for (int i = 0; i < 16; i++)
        ck_assert(trp_lane_write(&out, 0, one));
    ck_assert(trp_lane_want(&out, 1));
    receive(5, 1);
    ck_assert(!trp_lane_tell(&in, false));
    ck_assert(!trp_lane_tell(&in, false));
    ck_assert(trp_lane_tell(&in, true));
    ck_assert(!trp_lane_tell(&in, true)); /* once */
}
END_TEST

START_TEST(what_is_made_where_it_lies_is_whole) {
    uint8_t *at;
    int written = 0;
    for (; (at = trp_lane_place(&out, 100)); written++) {
        memset(at, written & 0xff, 60); /* fewer than it might have been */
        trp_lane_publish(&out, 7, 60);
    }
    ck_assert_int_gt(written, 100);
    ck_assert_ptr_null(trp_lane_place(&out, TRP_LANE_PIECE + 1));
    struct trp_slice bytes;
    uint32_t stretch;
    for (int i = 0; i < written; i++) {
        ck_assert(trp_lane_peek(&in, &stretch, &bytes));
        ck_assert_uint_eq(stretch, 7);
        ck_assert_uint_eq(bytes.n, 60);
        ck_assert_int_eq(bytes.p[0], i & 0xff);
        ck_assert_int_eq(bytes.p[59], i & 0xff);
        trp_lane_step(&in, bytes);
        trp_lane_received(&in, 60);
    }
    ck_assert_ptr_null(trp_lane_place(&out, 100)); /* it would lie across the end: for trp_lane_write, which goes round */
    ck_assert(trp_lane_write(&out, 7, (struct trp_slice){(const uint8_t[100]){0}, 100}));
    receive(1, 100);
    ck_assert_ptr_nonnull(trp_lane_place(&out, 100));
    ck_assert(!in.broken && !out.broken);
}
END_TEST

START_TEST(who_waits_looks_once_more) {
    out.most = 1;
    ck_assert(write_one(1));
    ck_assert(copy_one(1));
    ck_assert(!write_one(2));
    trp_lane_received(&in, size_of(1));
    ck_assert(!trp_lane_tell(&in, true)); /* nobody has asked for that */
    ck_assert(!trp_lane_want(&out, size_of(2)));
    ck_assert(write_one(2));
}
END_TEST

/* A second reader finds what the body of the first had not received. */
START_TEST(what_was_only_copied_is_not_lost) {
    for (uint64_t n = 1; n <= 10; n++)
        ck_assert(write_one(n));
    for (uint64_t n = 1; n <= 6; n++)
        ck_assert(copy_one(n));
    for (uint64_t n = 1; n <= 4; n++)
        trp_lane_received(&in, size_of(n));
    trp_lane_in_init(&in, lane);
    for (uint64_t n = 5; n <= 10; n++)
        ck_assert(copy_one(n));
    ck_assert(!copy_one(11));
}
END_TEST

START_TEST(a_reader_that_lies_gets_nothing) {
    static const int64_t lies[] = {-1, INT64_MAX, 1 << 30};
    while (write_one(49))
        ;
    out.most = UINT32_MAX;
    atomic_store(&lane.words->tail, (uint64_t)lies[_i]);
    while (!out.broken && write_one(49))
        ;
    ck_assert(out.broken);
    atomic_store(&lane.words->tail, 0);
    ck_assert(!write_one(1)); /* for good */
}
END_TEST

START_TEST(a_writer_that_lies_is_not_heard) {
    static const int64_t lies[] = {TRP_LANE_SIZE + 1, INT64_MAX, -1, 3};
    atomic_store(&lane.words->head, (uint64_t)lies[_i]);
    ck_assert(!copy_one(1));
    ck_assert(in.broken);
    ck_assert(!trp_lane_has(&in)); /* and nobody runs in circles for it */
}
END_TEST

/* Sizes that run over what has been written, or over the end. */
START_TEST(a_size_that_lies_is_not_heard) {
    static const uint32_t sizes[] = {9, TRP_LANE_PIECE, TRP_LANE_PIECE + 1, UINT32_MAX, UINT32_MAX - 7};
    memcpy(lane.data, &sizes[_i], sizeof sizes[_i]);
    atomic_store(&lane.words->head, 16);
    ck_assert(!copy_one(1));
    ck_assert(in.broken);
}
END_TEST

_Noreturn static void writes_for_ever(void) {
    for (uint64_t n = 0;; n += write_one(n))
        ;
}

START_TEST(a_writer_killed_at_any_instruction_leaves_whole_messages) {
    uint64_t n = 0;
    out.most = UINT32_MAX;
    pid_t pid = fork();
    if (pid == 0)
        writes_for_ever();
    unsigned most = 2000 + (unsigned)seed_of_run() % 1000 * 10;
    for (; n < most; n += copy_one(n)) {
        if (in.at != in.done)
            trp_lane_received(&in, size_of(n - 1));
    }
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    for (;; n++) {
        if (in.at != in.done)
            trp_lane_received(&in, size_of(n - 1));
        if (!copy_one(n))
            break;
    }
    ck_assert(!in.broken);
    ck_assert_uint_ge(n, most);
}
END_TEST

/* --- the memory of all --- */

static int touches(volatile uint8_t *at) {
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        *at = 1;
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static uint8_t *door(unsigned which) {
    return (uint8_t *)(uintptr_t)trp_lanes_door(&lanes, record->doors[which]);
}

START_TEST(only_what_it_was_told_of_can_be_touched) {
    trp_lanes_hide(&lanes);
    ck_assert_int_ne(touches(lane.data), 0);
    ck_assert_int_eq(trp_lanes_reach(&lanes, record->serial), TROUPE_OK);
    ck_assert_int_eq(touches(lane.data), 0);
    ck_assert_int_eq(touches(lane.data + TRP_LANE_SIZE - 1), 0);
    ck_assert_int_ne(touches(lane.data + TRP_LANE_SIZE), 0);
    ck_assert_int_ne(touches((uint8_t *)lane.words - 1), 0);
    ck_assert_int_ne(touches(door(0)), 0);
    ck_assert_int_eq(trp_lanes_reach_door(&lanes, record->doors[0]), TROUPE_OK);
    ck_assert_int_eq(touches(door(0)), 0);
    ck_assert_int_ne(touches(door(1)), 0);
    trp_lanes_leave(&lanes, record->serial);
    ck_assert_int_ne(touches(lane.data), 0);
}
END_TEST

START_TEST(there_are_so_many_and_each_begins_blank) {
    static struct trp_lane_record *all[TRP_LANES];
    unsigned n = 0;
    ck_assert(write_one(1));
    while ((all[n] = trp_lanes_new(&lanes, 1, record->doors[0], 3, record->doors[1])))
        n++;
    ck_assert_uint_eq(n, TRP_LANES - 1);
    uint64_t old = record->serial;
    trp_lanes_end(&lanes, record);
    ck_assert_ptr_null(trp_lanes_find(&lanes, old));
    struct trp_lane_record *again = trp_lanes_new(&lanes, 1, record->doors[0], 3, record->doors[1]);
    ck_assert_ptr_eq(again, record);
    ck_assert_uint_ne(again->serial, old);
    ck_assert_ptr_eq(trp_lanes_find(&lanes, again->serial), again);
    ck_assert_uint_eq(atomic_load(&lane.words->head), 0);
    ck_assert_uint_eq(lane.data[0], 0);
}
END_TEST

/* A door is somebody's until no lane leads to it. */
START_TEST(doors_are_not_given_out_twice) {
    unsigned mine = record->doors[0];
    trp_lanes_door_drop(&lanes, mine); /* its process is gone */
    unsigned last = 0;
    for (unsigned door; (door = trp_lanes_door_take(&lanes)); last = door)
        ck_assert_uint_ne(door, mine);
    ck_assert_uint_eq(last, TRP_DOORS - 1);
    trp_lanes_end(&lanes, record);
    ck_assert_uint_eq(trp_lanes_door_take(&lanes), mine);
}
END_TEST

int main(void) {
    Suite *s = suite_create("lane");
    TCase *c = tcase_create("one");
    tcase_add_checked_fixture(c, up, down);
    tcase_add_test(c, round_and_round);
    tcase_add_test(c, no_more_messages_than_may_be_there);
    tcase_add_test(c, who_waits_for_more_is_told_before_the_reader_sleeps);
    tcase_add_test(c, what_is_made_where_it_lies_is_whole);
    tcase_add_test(c, who_waits_looks_once_more);
    tcase_add_test(c, what_was_only_copied_is_not_lost);
    tcase_add_loop_test(c, a_reader_that_lies_gets_nothing, 0, 3);
    tcase_add_loop_test(c, a_writer_that_lies_is_not_heard, 0, 4);
    tcase_add_loop_test(c, a_size_that_lies_is_not_heard, 0, 5);
    tcase_add_test(c, a_writer_killed_at_any_instruction_leaves_whole_messages);
    tcase_add_test(c, only_what_it_was_told_of_can_be_touched);
    tcase_add_test(c, there_are_so_many_and_each_begins_blank);
    tcase_add_test(c, doors_are_not_given_out_twice);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    return run_suite(s);
}
