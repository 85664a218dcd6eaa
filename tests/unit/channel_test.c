/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Both ends of a channel on one loop, or one end and bare bytes in the other's ring. */
#include "actors/channel.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/run.h"

enum { REFUSED = 77 };

struct end {
    struct trp_channel *ch;
    unsigned frames, broken;
    uint64_t next; /* frames come numbered */
    uint64_t bytes;
    bool closes; /* itself, in the first frame */
};

static struct trp_loop loop;
static struct end a, b;
static int raw; /* the far end of b, when that is bare: the socket, and the ring to it */
static struct trp_shared shared;
static struct trp_ring ring;

static bool on_frame(void *user, const struct trp_frame *f, struct trp_slice body) {
    struct end *e = user;
    if (f->type == REFUSED)
        return false;
    ck_assert_uint_eq(f->op, e->next++);
    ck_assert_uint_eq(f->size, body.n);
    size_t right = 0;
    for (size_t i = 0; i < body.n; i++)
        right += body.p[i] == (uint8_t)(f->op + i);
    ck_assert_uint_eq(right, body.n);
    e->frames++;
    e->bytes += body.n;
    if (e->closes)
        trp_channel_close(&e->ch);
    return true;
}

static void on_broken(void *user) {
    ((struct end *)user)->broken++;
}

static void on_rung(void *user) {
    struct end *e = user;
    trp_channel_read(e->ch);
}

static const struct trp_channel_handler handler = {.frame = on_frame, .broken = on_broken, .rung = on_rung};

static void up(void) {
    int fds[2], memory;
    struct trp_shared theirs;
    ck_assert_int_eq(trp_loop_init(&loop), TROUPE_OK);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert_int_eq(trp_shared_new(&shared, &memory), TROUPE_OK);
    ck_assert_int_eq(trp_shared_map(&theirs, memory), TROUPE_OK);
    close(memory);
    ck_assert_int_eq(trp_channel_new(&b.ch, &loop, fds[1], theirs, TRP_SIDE_BODY, &handler, &b), TROUPE_OK);
    raw = fds[0];
    trp_shared_ring(&shared, TRP_SIDE_BODY, &ring);
}

static void up_both(void) {
    up();
    ck_assert_int_eq(trp_channel_new(&a.ch, &loop, raw, shared, TRP_SIDE_SYSTEM, &handler, &a), TROUPE_OK);
    shared = (struct trp_shared){0};
}

static void down(void) {
    trp_channel_close(&a.ch);
    trp_channel_close(&b.ch);
    trp_shared_unmap(&shared);
    trp_loop_fini(&loop);
}

/* Bare bytes for b. */
static void raw_put(const void *p, size_t n) {
    ck_assert_uint_ge(trp_ring_room(&ring, n), n);
    memcpy(trp_ring_place(&ring), p, n);
    trp_ring_publish(&ring, n);
}

/* Frame number n with n + i in its bytes. */
static void put(struct trp_channel *ch, uint64_t n, size_t size) {
    static uint8_t bytes[1 << 20];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(n + i);
    ck_assert_int_eq(trp_channel_put(ch, (struct trp_frame){.type = 1, .op = n}, (struct trp_slice){bytes, size}), TROUPE_OK);
}

/* As its owner does: it listens, says that it sleeps, and sleeps if there is nothing. */
static void listen_to(struct end *e) {
    if (!e->ch)
        return;
    trp_channel_read(e->ch);
    if (e->ch)
        (void)!trp_channel_sleep(e->ch, TRP_SLEEP_SOCKET);
}

static void turn(int64_t ms) {
    listen_to(&a);
    listen_to(&b);
    if (a.ch)
        trp_channel_flush(a.ch);
    trp_loop_once(&loop, ms);
}

static void turn_until(const unsigned *count, unsigned n) {
    for (int i = 0; i < 100000 && *count < n; i++)
        turn(1);
    ck_assert_uint_eq(*count, n);
}

START_TEST(frames_of_all_sizes_arrive_in_order) {
    static const size_t sizes[] = {0, 1, 7, 100, 65536, 262144, 1 << 20, 3};
    up_both();
    for (uint64_t n = 0; n < 64; n++) {
        put(a.ch, n, sizes[n % 8]);
        if (n % 3 == 0)
            trp_channel_flush(a.ch);
    }
    trp_channel_flush(a.ch);
    ck_assert_uint_gt(trp_channel_pending(a.ch), 0);
    turn_until(&b.frames, 64);
    ck_assert_uint_eq(trp_channel_pending(a.ch), 0);
    /* And the other way. */
    put(b.ch, 0, 10);
    trp_channel_flush_all(b.ch);
    turn_until(&a.frames, 1);
    down();
}
END_TEST

static bool pack(struct trp_channel *ch, uint64_t n, size_t most) {
    uint8_t byte = (uint8_t)n;
    troupe_value v = {.kind = TROUPE_PACKED, .data = &byte, .size = 1};
    return trp_channel_pack(ch, (struct trp_frame){.type = 1, .op = n}, v, most);
}

START_TEST(what_is_packed_in_place_arrives_in_order_or_not_at_all) {
    enum { ALL = 10 };
    unsigned n = 0;
    up_both();
    while (pack(a.ch, n, ALL))
        n++;
    ck_assert_uint_gt(n, 1000);
    put(a.ch, n, ALL); /* waits, as there is no room */
    ck_assert_uint_gt(trp_channel_pending(a.ch), 0);
    trp_channel_read(b.ch);
    ck_assert_uint_eq(b.frames, n);
    ck_assert(!pack(a.ch, n + 1, ALL)); /* it would overtake */
    trp_channel_flush(a.ch);
    turn_until(&b.frames, n + 1);
    ck_assert(!pack(a.ch, n + 1, 64 << 20));
    ck_assert(pack(a.ch, n + 1, ALL));
    trp_channel_flush(a.ch);
    turn_until(&b.frames, n + 2);
    down();
}
END_TEST

/* A frame that comes a byte at a time. */
START_TEST(a_frame_in_pieces) {
    struct trp_frame f = {.size = 5, .type = 1};
    uint8_t bytes[sizeof f + 5], body[] = {0, 1, 2, 3, 4};
    up();
    memcpy(bytes, &f, sizeof f);
    memcpy(bytes + sizeof f, body, 5);
    for (size_t i = 0; i < sizeof bytes; i++) {
        ck_assert_uint_eq(b.frames, 0);
        raw_put(bytes + i, 1);
        turn(0);
    }
    turn_until(&b.frames, 1);
    close(raw);
    turn_until(&b.broken, 1);
    down();
}
END_TEST

START_TEST(what_makes_no_sense_breaks_it_once) {
    struct trp_frame f = {.type = REFUSED};
    up();
    for (int i = 0; i < 3; i++)
        raw_put(&f, sizeof f);
    turn_until(&b.broken, 1);
    turn(0);
    ck_assert_uint_eq(b.broken, 1);
    close(raw);
    down();
}
END_TEST

/* 4 GiB are claimed and a few bytes come: memory is for those. */
START_TEST(a_claimed_length_takes_no_memory) {
    struct trp_frame f = {.size = UINT32_MAX, .type = 1};
    up();
    raw_put(&f, sizeof f);
    raw_put(&f, sizeof f);
    for (int i = 0; i < 10; i++)
        turn(0);
    ck_assert_uint_eq(b.frames + b.broken, 0);
    close(raw);
    turn_until(&b.broken, 1);
    down();
}
END_TEST

/* Positions that cannot be: nothing is handled, and it is told once. */
START_TEST(a_lying_position_breaks_it) {
    up();
    raw_put(&(struct trp_frame){.type = 1}, sizeof(struct trp_frame));
    atomic_store(&shared.words->ring[TRP_SIDE_BODY].head, UINT64_MAX);
    turn_until(&b.broken, 1);
    turn(0);
    ck_assert_uint_eq(b.frames, 0);
    ck_assert_uint_eq(b.broken, 1);
    close(raw);
    down();
}
END_TEST

/* Asleep in its loop it is woken by one byte; awake by none. */
START_TEST(who_is_awake_is_not_woken) {
    up_both();
    ck_assert(trp_channel_sleep(b.ch, TRP_SLEEP_SOCKET));
    put(a.ch, 0, 10);
    trp_channel_flush(a.ch);
    put(a.ch, 1, 10);
    trp_channel_flush(a.ch);
    trp_loop_once(&loop, 1000);
    ck_assert_uint_eq(b.frames, 2);
    ck_assert(trp_channel_sleep(b.ch, TRP_SLEEP_SOCKET));
    trp_channel_awake(b.ch);
    put(a.ch, 2, 10);
    trp_channel_flush(a.ch);
    trp_loop_once(&loop, 0);
    ck_assert_uint_eq(b.frames, 2);
    ck_assert(!trp_channel_sleep(b.ch, TRP_SLEEP_SOCKET));
    trp_channel_read(b.ch);
    ck_assert_uint_eq(b.frames, 3);
    down();
}
END_TEST

START_TEST(the_last_words_are_heard) {
    up_both();
    for (uint64_t n = 0; n < 5; n++)
        put(a.ch, n, 1000);
    trp_channel_flush_all(a.ch);
    trp_channel_close(&a.ch);
    trp_loop_once(&loop, 0);
    trp_channel_read(b.ch);
    ck_assert_uint_eq(b.frames, 5);
    ck_assert_uint_le(b.broken, 1);
    down();
}
END_TEST

START_TEST(closing_inside_a_frame) {
    up_both();
    b.closes = true;
    for (uint64_t n = 0; n < 5; n++)
        put(a.ch, n, 10);
    trp_channel_flush(a.ch);
    turn_until(&b.frames, 1);
    turn_until(&a.broken, 1);
    ck_assert_uint_eq(b.frames, 1);
    ck_assert_uint_eq(b.broken, 0);
    down();
}
END_TEST

START_TEST(writing_to_nobody) {
    up_both();
    trp_channel_close(&b.ch);
    trp_loop_once(&loop, 0);
    put(a.ch, 0, 100);
    trp_channel_flush(a.ch);
    trp_channel_flush_all(a.ch);
    turn_until(&a.broken, 1);
    down();
}
END_TEST

int main(void) {
    const TTest *const tests[] = {frames_of_all_sizes_arrive_in_order,
                                  what_is_packed_in_place_arrives_in_order_or_not_at_all,
                                  a_frame_in_pieces,
                                  what_makes_no_sense_breaks_it_once,
                                  a_claimed_length_takes_no_memory,
                                  a_lying_position_breaks_it,
                                  who_is_awake_is_not_woken,
                                  the_last_words_are_heard,
                                  closing_inside_a_frame,
                                  writing_to_nobody};
    Suite *s = suite_create("channel");
    TCase *c = run_case(s, "channel", tests, sizeof tests / sizeof *tests);
    tcase_set_timeout(c, 60);
    return run_suite(s);
}
