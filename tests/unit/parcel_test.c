/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Large bodies from one end of a channel to the other: as files, or in pieces where those can't be had; and that no descriptor
 * is left of any. Both ends on one loop, in one process. */
#include "actors/channel.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/descriptors.h"
#include "tests/support/run.h"

enum { LARGE = 3 << 20 };

struct end {
    struct trp_channel *ch;
    unsigned frames, broken, mapped;
    uint64_t next;
};

static struct trp_loop loop;
static struct end a, b; /* the system's, the body's */
static int before;
static uint8_t bytes[LARGE + 8];

static bool on_frame(void *user, const struct trp_frame *f, struct trp_slice body) {
    struct end *e = user;
    ck_assert_uint_eq(f->number, e->next++);
    ck_assert_uint_eq(f->size, body.n);
    struct trp_slice topic = {body.p, f->op};
    if (f->op)
        body = (struct trp_slice){body.p + f->op + 1, body.n - f->op - 1};
    struct troupe_msg *m = trp_channel_message(e->ch, topic, body);
    ck_assert_ptr_nonnull(m);
    ck_assert_str_eq(troupe_msg_topic(m), f->op ? "a.topic" : "");
    ck_assert_uint_eq(m->payload.n, f->ref);
    ck_assert(memcmp(m->payload.p, bytes + f->number % 8, m->payload.n) == 0);
    e->mapped += m->mapped;
    e->frames++;
    trp_msg_drop(m);
    return true;
}

static void on_broken(void *user) {
    ((struct end *)user)->broken++;
}

static void on_rung(void *user) {
    (void)user;
}

static const struct trp_channel_handler handler = {.frame = on_frame, .broken = on_broken, .rung = on_rung};

static void up(void) {
    int fds[2], memory;
    struct trp_shared ours, theirs;
    before = descriptors();
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    ck_assert_int_eq(trp_loop_init(&loop), TROUPE_OK);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert_int_eq(trp_shared_new(&ours, &memory), TROUPE_OK);
    ck_assert_int_eq(trp_shared_map(&theirs, memory), TROUPE_OK);
    close(memory);
    ck_assert_int_eq(trp_channel_new(&a.ch, &loop, fds[0], ours, TRP_SIDE_SYSTEM, &handler, &a), TROUPE_OK);
    ck_assert_int_eq(trp_channel_new(&b.ch, &loop, fds[1], theirs, TRP_SIDE_BODY, &handler, &b), TROUPE_OK);
}

/* libuv keeps a pipe of its own from its first loop on. */
static void down(void) {
    trp_channel_close(&a.ch);
    trp_channel_close(&b.ch);
    trp_loop_fini(&loop);
    ck_assert_int_le(descriptors(), before + 2);
}

static void put(struct trp_channel *ch, uint64_t n, bool topic, size_t size) {
    struct trp_frame f = {.type = TRP_FRAME_MSG, .number = n, .op = topic ? 7 : 0, .ref = size};
    struct trp_slice head = {(const uint8_t *)"a.topic", topic ? 8 : 0};
    ck_assert_int_eq(trp_channel_put_parts(ch, f, head, (struct trp_slice){bytes + n % 8, size}), TROUPE_OK);
    trp_channel_flush(ch);
}

static void turn_until(const struct end *to, struct end *from, unsigned n) {
    for (int i = 0; i < 10000 && to->frames < n; i++) {
        trp_channel_flush(from->ch);
        trp_channel_read(to->ch);
        trp_loop_once(&loop, 0);
    }
    ck_assert_uint_eq(to->frames, n);
}

START_TEST(large_bodies_are_mapped_in_order) {
    static const size_t sizes[] = {LARGE, 3, TRP_PARCEL_TO_BODY, TRP_PARCEL_TO_BODY - 1, LARGE - 1};
    struct end *from = _i ? &b : &a, *to = _i ? &a : &b;
    up();
    for (unsigned n = 0; n < 50; n++) {
        put(from->ch, n, n % 2, sizes[n % 5]);
        turn_until(to, from, n + 1);
    }
    ck_assert_uint_eq(to->mapped, _i ? 40 : 35); /* those just below the bound go with their topic, or towards the system */
    ck_assert_uint_eq(to->broken, 0);
    down();
}
END_TEST

/* So many as files, the next in pieces; small ones between them. */
START_TEST(few_are_under_way) {
    up();
    for (unsigned n = 0; n < 12; n++)
        put(a.ch, n, false, n % 2 ? 10 : LARGE);
    turn_until(&b, &a, 12);
    ck_assert_uint_eq(b.mapped, TRP_PARCELS);
    put(a.ch, 12, false, LARGE);
    turn_until(&b, &a, 13);
    ck_assert_uint_eq(b.mapped, TRP_PARCELS + 1);
    down();
}
END_TEST

/* What the loop finds first is kept for the frame. */
START_TEST(descriptors_that_the_loop_has_read) {
    up();
    for (unsigned n = 0; n < TRP_PARCELS; n++) {
        put(a.ch, n, false, LARGE);
        trp_loop_once(&loop, 0);
    }
    turn_until(&b, &a, TRP_PARCELS);
    ck_assert_uint_eq(b.mapped, TRP_PARCELS);
    down();
}
END_TEST

static void no_more_descriptors(rlim_t most) {
    struct rlimit now;
    getrlimit(RLIMIT_NOFILE, &now);
    now.rlim_cur = most;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
}

START_TEST(no_descriptor_to_send_with) {
    up();
    int most = dup(0);
    close(most);
    no_more_descriptors((rlim_t)most);
    put(a.ch, 0, true, LARGE);
    turn_until(&b, &a, 1);
    ck_assert_uint_eq(b.mapped, 0);
    no_more_descriptors(256);
    put(a.ch, 1, true, LARGE);
    turn_until(&b, &a, 2);
    ck_assert_uint_eq(b.mapped, 1);
    down();
}
END_TEST

/* The reader has the spare one, one after the other. */
START_TEST(no_descriptor_to_receive_with) {
    up();
    for (unsigned n = 0; n < 3; n++)
        put(a.ch, n, false, LARGE);
    int most = dup(0);
    close(most);
    no_more_descriptors((rlim_t)most);
    turn_until(&b, &a, 3);
    ck_assert_uint_eq(b.mapped, 3);
    ck_assert_uint_eq(b.broken, 0);
    no_more_descriptors(256);
    down();
}
END_TEST

START_TEST(a_file_may_be_too_large_for_the_program) {
    struct rlimit most = {LARGE - 1, RLIM_INFINITY};
    up();
    setrlimit(RLIMIT_FSIZE, &most);
    put(a.ch, 0, false, LARGE); /* no SIGXFSZ */
    turn_until(&b, &a, 1);
    ck_assert_uint_eq(b.mapped, 0);
    down();
}
END_TEST

/* Either end goes with some in the socket, some read by the loop: nothing is left. */
START_TEST(an_end_in_the_middle) {
    up();
    for (unsigned n = 0; n < TRP_PARCELS; n++) {
        put(a.ch, n, false, LARGE);
        put(b.ch, n, false, LARGE);
        if (n == 1)
            trp_loop_once(&loop, 0);
    }
    trp_channel_close(_i ? &a.ch : &b.ch);
    trp_loop_once(&loop, 0);
    if (_i)
        turn_until(&b, &a, 0);
    down();
}
END_TEST

/* The last words of one that is gone: what it sent is there. */
START_TEST(what_the_dead_sent_is_read) {
    up();
    put(b.ch, 0, false, LARGE);
    put(b.ch, 1, false, LARGE);
    trp_channel_close(&b.ch);
    trp_loop_once(&loop, 0);
    trp_channel_read(a.ch);
    ck_assert_uint_eq(a.mapped, 2);
    down();
}
END_TEST

enum { MISSING, NOT_SEALED, TOO_SHORT, NO_FILE, BAD };

/* What a reader gets that has a mad writer: the channel is broken, and nothing else. */
static int bad_file(int how) {
    int fds[2];
    if (how == NO_FILE) {
        ck_assert_int_eq(pipe(fds), 0);
        close(fds[1]);
        return fds[0];
    }
    int fd = memfd_create("bad", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_eq(ftruncate(fd, how == TOO_SHORT ? 10 : LARGE), 0);
    if (how == TOO_SHORT)
        ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL), 0);
    return fd;
}

START_TEST(a_mad_writer) {
    int fds[2], memory;
    struct trp_shared ours, theirs;
    struct trp_ring ring;
    before = descriptors();
    ck_assert_int_eq(trp_loop_init(&loop), TROUPE_OK);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert_int_eq(trp_shared_new(&ours, &memory), TROUPE_OK);
    ck_assert_int_eq(trp_shared_map(&theirs, memory), TROUPE_OK);
    close(memory);
    ck_assert_int_eq(trp_channel_new(&b.ch, &loop, fds[1], theirs, TRP_SIDE_BODY, &handler, &b), TROUPE_OK);
    if (_i != MISSING) {
        int fd = bad_file(_i);
        ck_assert_int_eq(trp_shared_send(fds[0], fd), TROUPE_OK);
        close(fd);
    }
    trp_shared_ring(&ours, TRP_SIDE_BODY, &ring);
    struct trp_frame f = {.type = TRP_FRAME_MSG, .parcel = 1};
    memcpy(trp_ring_place(&ring), &f, sizeof f);
    trp_ring_publish(&ring, sizeof f);
    trp_channel_read(b.ch);
    ck_assert_uint_eq(b.broken, 1);
    ck_assert_int_eq(trp_channel_why(b.ch), TROUPE_PROTOCOL);
    ck_assert_uint_eq(b.frames, 0);
    close(fds[0]);
    trp_shared_unmap(&ours);
    down();
}
END_TEST

int main(void) {
    Suite *s = suite_create("parcel");
    TCase *c = tcase_create("parcel");
    tcase_add_loop_test(c, large_bodies_are_mapped_in_order, 0, 2);
    tcase_add_test(c, few_are_under_way);
    tcase_add_test(c, descriptors_that_the_loop_has_read);
    tcase_add_test(c, no_descriptor_to_send_with);
    tcase_add_test(c, no_descriptor_to_receive_with);
    tcase_add_test(c, a_file_may_be_too_large_for_the_program);
    tcase_add_loop_test(c, an_end_in_the_middle, 0, 2);
    tcase_add_test(c, what_the_dead_sent_is_read);
    tcase_add_loop_test(c, a_mad_writer, MISSING, BAD);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    return run_suite(s);
}
