/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a message between processes costs, counted: how often one that sends and one that receives, both busy, sleep, let others
 * run and wake each other. A stream is cut into pieces by the numbers of its messages, and each end notes what it has asked of
 * the kernel when it comes to the end of one (futex.h). What a piece costs is the work of the two alone, unless a machine that
 * is busy with other things cuts in, and it can bring the two out of step for long: so of some pieces, and of some streams, the
 * cheapest counts. */
#include "actors/futex.h"
#include "actors/sanitizer.h"
#include "tests/support/actors.h"
#include "tests/support/processor.h"

enum { SANITIZED = TRP_ASAN || TRP_TSAN };
enum { PIECES = 8, PIECE = SANITIZED ? 5000 : 10000, BYTES = 128, STREAMS = 8 };
/* With sanitizers all takes longer, so that more happens in it that is owed to time. */
enum { MOST = SANITIZED ? PIECE / 10 : PIECE / 100 };

/* What one end had asked for, before each piece and after the last. */
struct notes {
    bool sender;
    uint64_t calls[PIECES + 1];
};

struct job {
    troupe_ref to, tell;
};

static uint64_t calls_now(void) {
    return atomic_load_explicit(&trp_futex_calls, memory_order_relaxed);
}

static struct notes pour(troupe_self *self, troupe_ref to) {
    uint8_t bytes[BYTES] = {0};
    struct notes n = {.sender = true};
    for (int64_t i = 0; i < PIECES * PIECE; i++) {
        if (i % PIECE == 0)
            n.calls[i / PIECE] = calls_now();
        memcpy(bytes, &i, sizeof i);
        if (troupe_send(self, to, troupe_bytes(bytes, sizeof bytes)) != TROUPE_OK)
            break;
    }
    n.calls[PIECES] = calls_now();
    return n;
}

/* The number of the next message; -1: it is none of them. */
static int64_t sip(troupe_self *self) {
    troupe_msg *m;
    int64_t n = -1;
    if (troupe_receive(self, PATIENCE_MS, &m) != TROUPE_OK)
        return n;
    troupe_value v = troupe_msg_value(m);
    if (v.kind == TROUPE_BYTES && v.size == BYTES)
        memcpy(&n, v.data, sizeof n);
    troupe_msg_free(&m);
    return n;
}

static struct notes drink(troupe_self *self) {
    struct notes n = {0};
    bool ok = true;
    for (int64_t i = 0; ok && i < PIECES * PIECE; i++) {
        ok = sip(self) == i;
        if (i % PIECE == 0)
            n.calls[i / PIECE] = calls_now();
    }
    n.calls[PIECES] = ok ? calls_now() : UINT64_MAX;
    return n;
}

static void tell(troupe_self *self, troupe_ref whom, struct notes n) {
    (void)!troupe_send(self, whom, troupe_bytes(&n, sizeof n));
}

static void pours(troupe_self *self, void *arg) {
    const struct job *j = arg;
    tell(self, j->tell, pour(self, j->to));
}

static void drinks(troupe_self *self, void *arg) {
    const struct job *j = arg;
    tell(self, j->tell, drink(self));
}

static struct notes notes_of_other(void) {
    struct notes n;
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    troupe_value v = troupe_msg_value(m);
    ck_assert_uint_eq(v.size, sizeof n);
    memcpy(&n, v.data, sizeof n);
    troupe_msg_free(&m);
    return n;
}

enum { TO_A_PROCESS, FROM_A_PROCESS, BETWEEN_TWO, WAYS };

static void run_way(int way, struct notes ends[2]) {
    struct job j = {.tell = troupe_self_ref(me), .to = troupe_self_ref(me)};
    if (way != FROM_A_PROCESS)
        j.to = spawn(TROUPE_PROCESS, drinks, &j, sizeof j);
    if (way != TO_A_PROCESS)
        (void)spawn(TROUPE_PROCESS, pours, &j, sizeof j);
    ends[0] = way == TO_A_PROCESS ? pour(me, j.to) : way == FROM_A_PROCESS ? drink(me) : notes_of_other();
    ends[1] = notes_of_other();
    ck_assert_int_ne(ends[0].sender, ends[1].sender);
}

static uint64_t cheapest(const struct notes ends[2]) {
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < PIECES; i++) {
        uint64_t calls = 0;
        for (int end = 0; end < 2; end++)
            calls += ends[end].calls[i + 1] - ends[end].calls[i];
        least = calls < least ? calls : least;
    }
    return least;
}

static uint64_t calls_of_a_stream(int way) {
    struct notes ends[2];
    system_up();
    run_way(way, ends);
    system_down();
    for (int end = 0; end < 2; end++)
        ck_assert_uint_ne(ends[end].calls[PIECES], UINT64_MAX);
    return cheapest(ends);
}

static void count(int way) {
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < STREAMS && least >= MOST; i++) {
        uint64_t calls = calls_of_a_stream(way);
        least = calls < least ? calls : least;
    }
    ck_assert_uint_lt(least, MOST);
}

/* They have to take turns: one sleeps when there is no room, the other when there is nothing. */
START_TEST(on_one_processor_a_hundred_messages_take_less_than_a_call) {
    stay_on_one_processor();
    count(_i);
}
END_TEST

START_TEST(on_all_processors_a_hundred_messages_take_less_than_a_call) {
    count(_i);
}
END_TEST

int main(void) {
    Suite *s = suite_create("process costs");
    TCase *c = tcase_create("messages");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, on_one_processor_a_hundred_messages_take_less_than_a_call, 0, WAYS);
    if (!SANITIZED) /* which make one end much slower than the other, so that it sleeps between any two */
        tcase_add_loop_test(c, on_all_processors_a_hundred_messages_take_less_than_a_call, 0, WAYS);
    suite_add_tcase(s, c);
    return run_suite(s);
}
