/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Rings and the memory they lie in: wrapping, positions that lie, a writer that is killed at any moment, two processes. */
#include "actors/ring.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actors/futex.h"
#include "actors/shared.h"
#include "tests/support/chance.h"
#include "tests/support/run.h"

static struct trp_shared shared;
static struct trp_ring in, out;
static int fd;

static void up(void) {
    ck_assert_int_eq(trp_shared_new(&shared, &fd), TROUPE_OK);
    trp_shared_ring(&shared, TRP_SIDE_BODY, &out);
    trp_shared_ring(&shared, TRP_SIDE_BODY, &in);
}

static void down(void) {
    trp_shared_unmap(&shared);
    close(fd);
}

/* The byte at each position of the stream. */
static uint8_t byte_at(uint64_t at) {
    return (uint8_t)(at * 31 + at / 256);
}

static void write_some(uint64_t *at, size_t n) {
    uint8_t *p = trp_ring_place(&out);
    for (size_t i = 0; i < n; i++)
        p[i] = byte_at(*at + i);
    trp_ring_publish(&out, n);
    *at += n;
}

static void read_some(uint64_t *at, size_t most) {
    struct trp_slice s = trp_ring_peek(&in);
    size_t n = s.n < most ? s.n : most, right = 0;
    for (size_t i = 0; i < n; i++)
        right += s.p[i] == byte_at(*at + i);
    ck_assert_uint_eq(right, n);
    trp_ring_consume(&in, n);
    *at += n;
}

START_TEST(random_sizes_wrap_around) {
    uint64_t written = 0, read = 0;
    srand((unsigned)seed_of_run());
    for (int i = 0; i < 2000; i++) {
        size_t n = (size_t)rand() % (TRP_RING_SIZE / 8), room = trp_ring_room(&out, n);
        ck_assert_uint_le(room, TRP_RING_SIZE - (written - read));
        write_some(&written, n < room ? n : room);
        ck_assert_uint_eq(trp_ring_peek(&in).n, written - read);
        read_some(&read, (size_t)rand() % (TRP_RING_SIZE / 8));
    }
    read_some(&read, SIZE_MAX);
    ck_assert_uint_eq(read, written);
    ck_assert_uint_gt(written, 4 * TRP_RING_SIZE);
    ck_assert(!trp_ring_has(&in));
}
END_TEST

START_TEST(full_is_full_and_empty_is_empty) {
    uint64_t written = 0, read = 0;
    ck_assert_uint_eq(trp_ring_peek(&in).n, 0);
    ck_assert_uint_eq(trp_ring_room(&out, 1), TRP_RING_SIZE);
    write_some(&written, TRP_RING_SIZE);
    ck_assert_uint_eq(trp_ring_room(&out, 1), 0);
    ck_assert(trp_ring_has(&in));
    read_some(&read, 1);
    ck_assert_uint_eq(trp_ring_room(&out, 1), 1);
    read_some(&read, SIZE_MAX);
    ck_assert_uint_eq(trp_ring_room(&out, TRP_RING_SIZE), TRP_RING_SIZE);
}
END_TEST

/* What a reader can claim: to have read what was never written, or less than it said before. */
START_TEST(a_reader_that_lies_gets_nothing) {
    static const int64_t lies[] = {1001, 1 << 30, INT64_MAX, -1, INT64_MIN, 499};
    uint64_t written = 0, read = 0;
    write_some(&written, 1000);
    read_some(&read, 500);
    ck_assert_uint_eq(trp_ring_room(&out, TRP_RING_SIZE), TRP_RING_SIZE - 500);
    atomic_store(&shared.words->ring[TRP_SIDE_BODY].tail, (uint64_t)lies[_i]);
    ck_assert_uint_eq(trp_ring_room(&out, TRP_RING_SIZE), 0);
    ck_assert(out.broken);
    atomic_store(&shared.words->ring[TRP_SIDE_BODY].tail, 500);
    ck_assert_uint_eq(trp_ring_room(&out, 1), 0); /* for good */
}
END_TEST

/* What a writer can claim: more than fits, or less than it said before. */
START_TEST(a_writer_that_lies_is_not_heard) {
    static const int64_t lies[] = {500 + TRP_RING_SIZE + 1, INT64_MAX, -1, INT64_MIN, 499, 999};
    uint64_t written = 0, read = 0;
    write_some(&written, 1000);
    read_some(&read, 500);
    atomic_store(&shared.words->ring[TRP_SIDE_BODY].head, (uint64_t)lies[_i]);
    ck_assert_uint_eq(trp_ring_peek(&in).n, 0);
    ck_assert(in.broken);
    ck_assert(trp_ring_has(&in)); /* somebody has to look, and find it broken */
}
END_TEST

/* Nobody can cut it short under the other's feet. */
START_TEST(the_memory_is_sealed) {
    ck_assert_int_ne(ftruncate(fd, 0), 0);
    ck_assert_int_ne(ftruncate(fd, 1 << 24), 0);
    struct trp_shared again = {0};
    ck_assert_int_eq(trp_shared_map(&again, fd), TROUPE_OK);
    atomic_store(&again.words->taken, 7);
    ck_assert_uint_eq(atomic_load(&shared.words->taken), 7);
    again.data[1][TRP_RING_SIZE] = 3; /* the second half is the first */
    ck_assert_uint_eq(shared.data[1][0], 3);
    trp_shared_unmap(&again);
}
END_TEST

START_TEST(its_descriptor_travels) {
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ck_assert_int_eq(trp_shared_send(pair[0], fd), TROUPE_OK);
    int got = trp_shared_receive(pair[1]);
    ck_assert_int_ge(got, 0);
    ck_assert_int_eq(fcntl(got, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(got);
    ck_assert_int_eq(write(pair[0], "x", 1), 1);
    ck_assert_int_eq(trp_shared_receive(pair[1]), -1);
    close(pair[0]);
    ck_assert_int_eq(trp_shared_receive(pair[1]), -1);
    close(pair[1]);
}
END_TEST

/* --- two processes --- */

struct record {
    uint64_t number;
    uint8_t fill[56];
};

_Noreturn static void writes_for_ever(void) {
    struct record r;
    for (uint64_t n = 0;; n++) {
        r.number = n;
        memset(r.fill, (int)(n & 0xff), sizeof r.fill);
        while (trp_ring_room(&out, sizeof r) < sizeof r)
            ;
        memcpy(trp_ring_place(&out), &r, sizeof r);
        trp_ring_publish(&out, sizeof r);
    }
}

static uint64_t read_records(uint64_t next) {
    struct trp_slice s = trp_ring_peek(&in);
    size_t right = 0, n = 0;
    ck_assert(!in.broken);
    ck_assert_uint_eq(s.n % sizeof(struct record), 0);
    for (; n < s.n / sizeof(struct record); n++) {
        struct record r;
        memcpy(&r, s.p + n * sizeof r, sizeof r);
        right += r.number == next + n && r.fill[0] == (uint8_t)r.number && r.fill[sizeof r.fill - 1] == (uint8_t)r.number;
    }
    ck_assert_uint_eq(right, n);
    trp_ring_consume(&in, s.n);
    return next + n;
}

/* Killed wherever it may be, it leaves whole records and nothing else. */
START_TEST(a_writer_killed_at_any_instruction_leaves_whole_steps) {
    srand((unsigned)seed_of_run());
    for (int i = 0; i < 60; i++) {
        trp_shared_unmap(&shared);
        close(fd);
        up();
        pid_t pid = fork();
        if (pid == 0)
            writes_for_ever();
        uint64_t next = 0, until = (uint64_t)rand() % 20000;
        while (next < until)
            next = read_records(next);
        kill(pid, SIGKILL);
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
        next = read_records(next);
        ck_assert(!trp_ring_has(&in));
    }
}
END_TEST

/* Each sleeps on its word until the other has done something: no wake is lost. */
static void sleep_for(enum trp_side side, const struct trp_ring_words *words, uint64_t seen) {
    _Atomic uint32_t *how = &shared.words->sleep[side].how;
    atomic_store(how, TRP_SLEEP_FUTEX);
    if (atomic_load(&words->head) == seen)
        trp_futex_wait(how, TRP_SLEEP_FUTEX, trp_deadline(20000));
    atomic_store(how, TRP_SLEEP_NOT);
}

static void play(enum trp_side side, uint64_t turns, bool first) {
    struct trp_ring from, to;
    enum trp_side other = trp_side_other(side);
    trp_shared_ring(&shared, side, &from);
    trp_shared_ring(&shared, other, &to);
    for (uint64_t n = 0; n < turns; n++) {
        if (!first || n > 0) {
            while (!trp_ring_has(&from))
                sleep_for(side, from.words, from.at);
            trp_ring_consume(&from, trp_ring_peek(&from).n);
        }
        *trp_ring_place(&to) = 1;
        ck_assert_uint_ge(trp_ring_room(&to, 1), 1);
        trp_ring_publish(&to, 1);
        if (trp_shared_rouse(&shared, other) == TRP_SLEEP_FUTEX)
            trp_futex_wake(&shared.words->sleep[other].how);
    }
}

START_TEST(no_wake_is_lost) {
    enum { TURNS = 20000 };
    pid_t pid = fork();
    if (pid == 0) {
        play(TRP_SIDE_BODY, TURNS, false);
        _exit(0);
    }
    int64_t began = trp_now();
    play(TRP_SIDE_SYSTEM, TURNS, true);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_int_lt(trp_now() - began, (int64_t)19000 * TRP_NS_PER_MS); /* a lost one is found after 20 s */
}
END_TEST

int main(void) {
    Suite *s = suite_create("ring");
    TCase *c = tcase_create("ring");
    tcase_add_checked_fixture(c, up, down);
    tcase_add_test(c, random_sizes_wrap_around);
    tcase_add_test(c, full_is_full_and_empty_is_empty);
    tcase_add_loop_test(c, a_reader_that_lies_gets_nothing, 0, 6);
    tcase_add_loop_test(c, a_writer_that_lies_is_not_heard, 0, 6);
    tcase_add_test(c, the_memory_is_sealed);
    tcase_add_test(c, its_descriptor_travels);
    tcase_add_test(c, a_writer_killed_at_any_instruction_leaves_whole_steps);
    tcase_add_test(c, no_wake_is_lost);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    return run_suite(s);
}
