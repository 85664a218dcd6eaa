/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Messages to process actors from others and from threads, which go straight there after a few: everything that holds for a
 * message that goes through the system has to hold for them, and for the two ways together. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <troupe/inspect.h>
#include <troupe/monitor.h>
#include <troupe/stream.h>

#include "actors/sanitizer.h"
#include "tests/support/actors.h"
#include "tests/support/chance.h"

enum { SOME = TRP_ASAN || TRP_TSAN ? 3000 : 20000 };

struct job {
    troupe_ref tell, to;
    int64_t count, first;
    unsigned seed;
    int what;
};

static troupe_ref spawn_with(troupe_spawn_opts opts, troupe_body *body, struct job j) {
    troupe_ref ref;
    opts.kind = TROUPE_PROCESS;
    ck_assert_int_eq(troupe_spawn(me, &opts, body, &j, sizeof j, &ref), TROUPE_OK);
    return ref;
}

/* Senders: a process, and a thread of this one. */
static const int senders[] = {TROUPE_PROCESS, TROUPE_THREAD};
enum { SENDERS = 2 };

static troupe_ref spawn_sender(int which, troupe_body *body, struct job j) {
    return spawn(senders[which % SENDERS], body, &j, sizeof j);
}

static uint64_t dead_letters(void) {
    troupe_snapshot *s;
    ck_assert_int_eq(troupe_system_snapshot(sys, &s), TROUPE_OK);
    uint64_t n = s->dead_letters;
    troupe_snapshot_free(&s);
    return n;
}

/* --- order, by both ways --- */

/* A number, alone or in front of many bytes. */
static int64_t number_of(const troupe_msg *m) {
    int64_t n = -1;
    troupe_value v = troupe_msg_value(m);
    if (v.kind == TROUPE_BYTES && v.size >= sizeof n)
        memcpy(&n, v.data, sizeof n);
    else
        (void)troupe_msg_int(m, &n);
    return n;
}

/* Numbers in order; then it says so, or which it was where they were not. Answers what is a question. */
static void counts(troupe_self *self, void *arg) {
    const struct job *j = arg;
    int64_t next = j->first;
    troupe_msg *m;
    while (next < j->count && troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        int64_t n = number_of(m);
        (void)!troupe_reply(self, m, troupe_int(n));
        troupe_msg_free(&m);
        if (n != next) {
            say(self, j->tell, -1000000 - n);
            return;
        }
        next++;
    }
    say(self, j->tell, next);
}

static void send_large(troupe_self *self, troupe_ref to, int64_t n) {
    static uint8_t bytes[40000];
    memcpy(bytes, &n, sizeof n);
    (void)!troupe_send(self, to, troupe_bytes(bytes, sizeof bytes));
}

/* False: it was not sent. */
static bool send_somehow(troupe_self *self, struct job *j, int64_t n) {
    troupe_msg *answer;
    switch (rand_r(&j->seed) % 100) {
    case 0:
        send_large(self, j->to, n);
        return true;
    case 1:
        if (troupe_ask(self, j->to, troupe_int(n), PATIENCE_MS, &answer) == TROUPE_OK)
            troupe_msg_free(&answer);
        return true;
    case 2:
        return troupe_try_send(self, j->to, troupe_int(n)) == TROUPE_OK;
    default:
        say(self, j->to, n);
        return true;
    }
}

static void sends_somehow(troupe_self *self, void *arg) {
    struct job *j = arg;
    for (int64_t n = j->first; n < j->count;)
        n += send_somehow(self, j, n);
}

START_TEST(order_holds_by_whatever_way) {
    static const size_t sizes[] = {1, 2, 7, 100, 1024, 5000};
    struct job j = {.tell = troupe_self_ref(me), .count = SOME, .seed = (unsigned)seed_of_run()};
    j.to = spawn_with((troupe_spawn_opts){.mailbox = sizes[_i / SENDERS]}, counts, j);
    (void)spawn_sender(_i, sends_somehow, j);
    ck_assert_int_eq(hear(), j.count);
    ends(j.to, TROUPE_END_NORMAL);
}
END_TEST

static void sends_plainly(troupe_self *self, void *arg) {
    const struct job *j = arg;
    for (int64_t n = j->first; n < j->count; n++)
        say(self, j->to, n);
}

/* --- bounds --- */

/* Says how far it has come. */
static void sends_and_says(troupe_self *self, void *arg) {
    const struct job *j = arg;
    troupe_status st = TROUPE_OK;
    for (int64_t n = 0; n < j->count && (st = troupe_send(self, j->to, troupe_int(n))) == TROUPE_OK; n++)
        say(self, j->tell, n);
    say(self, j->tell, -(int64_t)st - 1);
}

/* Receives the first so many, and more when it has been let. */
static void counts_a_few_first(troupe_self *self, void *arg) {
    struct job *j = arg;
    struct job few = *j, rest = *j;
    few.count = j->what;
    rest.first = j->what;
    counts(self, &few);
    kill(getpid(), SIGSTOP);
    counts(self, &rest);
}

static troupe_actor_info look_at(troupe_ref ref) {
    troupe_actor_info info = {0};
    troupe_snapshot *s;
    ck_assert_int_eq(troupe_system_snapshot(sys, &s), TROUPE_OK);
    for (size_t i = 0; i < s->count; i++) {
        if (s->actors[i].ref.id == ref.id)
            info = s->actors[i];
    }
    troupe_snapshot_free(&s);
    ck_assert_uint_eq(info.ref.id, ref.id);
    return info;
}

/* Its present life's. */
static pid_t pid_of(troupe_ref ref) {
    pid_t pid;
    do
        pid = (pid_t)look_at(ref).pid;
    while (!pid);
    return pid;
}

static void until_stopped(pid_t pid) {
    char path[64], line[512], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    for (int i = 0; i < 5000 && state != 'T'; i++) {
        FILE *f = fopen(path, "re");
        ck_assert_ptr_nonnull(f);
        state = fgets(line, sizeof line, f) && strrchr(line, ')') ? strrchr(line, ')')[2] : 0;
        fclose(f);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    ck_assert_int_eq(state, 'T');
}

/* How far the sender says it has come, when it is silent; it may be slow, then less is seen, which is no failure. */
static int64_t last_said(void) {
    troupe_msg *m;
    int64_t n, most = -1;
    while (troupe_receive(me, 300, &m) == TROUPE_OK) {
        ck_assert(troupe_msg_int(m, &n));
        most = n > most ? n : most;
        troupe_msg_free(&m);
    }
    return most;
}

/* One that does not receive has all of its mailbox waiting, and not more than half of it besides; when it does, all come. */
START_TEST(a_process_that_does_not_receive_is_full) {
    enum { FIRST = 200, MAILBOX = 64 };
    struct job j = {.tell = troupe_self_ref(me), .count = 1000, .what = FIRST};
    j.to = spawn_with((troupe_spawn_opts){.mailbox = MAILBOX}, counts_a_few_first, j);
    (void)spawn_sender(_i, sends_and_says, j);
    pid_t pid = pid_of(j.to);
    until_stopped(pid);
    int64_t n = last_said();
    ck_assert_int_ge(n, FIRST + MAILBOX - 1);
    ck_assert_int_le(n, FIRST + MAILBOX + 2 * (MAILBOX / 2) + 1);
    kill(pid, SIGCONT);
    while (n != j.count)
        n = hear();
    ends(j.to, TROUPE_END_NORMAL);
}
END_TEST

/* --- ends --- */

/* Closed while a sender waits for room: the sender is told, and nothing that was taken is lost. */
START_TEST(closing_ends_the_wait_for_room) {
    enum { FIRST = 100 };
    struct job j = {.tell = troupe_self_ref(me), .count = 100000, .what = FIRST};
    j.to = spawn_with((troupe_spawn_opts){.mailbox = 64}, counts_a_few_first, j);
    troupe_ref from = spawn_sender(_i, sends_and_says, j);
    pid_t pid = pid_of(j.to);
    until_stopped(pid);
    int64_t n = last_said();
    ck_assert_int_eq(troupe_close(me, j.to), TROUPE_OK);
    ck_assert_int_eq(hear(), -(int64_t)TROUPE_CLOSED - 1);
    ends(from, TROUPE_END_NORMAL);
    kill(pid, SIGCONT);
    ck_assert_int_eq(hear(), n + 1); /* all that had been sent */
    ends(j.to, TROUPE_END_NORMAL);
    ck_assert_uint_eq(dead_letters(), 0);
}
END_TEST

/* Killed: the same, but what it had not received are dead letters. */
START_TEST(a_kill_ends_the_wait_for_room) {
    enum { FIRST = 100 };
    struct job j = {.tell = troupe_self_ref(me), .count = 100000, .what = FIRST};
    j.to = spawn_with((troupe_spawn_opts){.mailbox = 64}, counts_a_few_first, j);
    (void)spawn_sender(_i, sends_and_says, j);
    until_stopped(pid_of(j.to));
    int64_t n = last_said(), st;
    ck_assert_int_eq(troupe_kill(me, j.to), TROUPE_OK);
    st = -hear() - 1;
    ck_assert(st == TROUPE_CLOSED || st == TROUPE_NOT_FOUND);
    ends(j.to, TROUPE_END_KILLED);
    /* The one that waited has not been taken. */
    ck_assert_uint_eq(dead_letters(), (uint64_t)(n + 1 - FIRST));
}
END_TEST

/* --- deaths --- */

static void waits_for_its_end(troupe_self *self, void *arg) {
    struct job *j = arg;
    troupe_watch watch;
    troupe_msg *m;
    troupe_down down;
    int64_t next = 0;
    if (troupe_receive(self, TROUPE_FOREVER, &m) != TROUPE_OK || !troupe_msg_int(m, &next))
        return;
    (void)!troupe_monitor(self, troupe_msg_sender(m), &watch);
    while (next == number_of(m)) {
        next++;
        troupe_msg_free(&m);
        if (troupe_receive(self, TROUPE_FOREVER, &m) != TROUPE_OK)
            return;
    }
    say(self, j->tell, troupe_msg_down(m, &down) ? next : -1);
    troupe_msg_free(&m);
}

static void sends_and_dies(troupe_self *self, void *arg) {
    sends_plainly(self, arg);
    kill(getpid(), SIGKILL);
}

/* All that it sent comes, and then that it has ended: also where it has been killed with its messages in the lane. */
START_TEST(the_end_comes_after_all_that_was_sent) {
    for (int i = 0; i < 10; i++) {
        struct job j = {.tell = troupe_self_ref(me), .count = 500 + i * 100};
        j.to = spawn_with((troupe_spawn_opts){.mailbox = i % 2 ? 64 : 1024}, waits_for_its_end, j);
        if (_i == 0)
            ends(spawn_sender(_i, sends_and_dies, j), TROUPE_END_SIGNAL);
        else
            ends(spawn_sender(_i, sends_plainly, j), TROUPE_END_NORMAL);
        ck_assert_int_eq(hear(), j.count);
        ends(j.to, TROUPE_END_NORMAL);
    }
}
END_TEST

/* In its first life it receives some and stops, to be killed; in the others it goes on where that has been. */
static void goes_on_where_it_died(troupe_self *self, void *arg) {
    struct job *j = arg;
    int64_t next = 0;
    bool first = true;
    troupe_msg *m;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        int64_t n = number_of(m);
        (void)!troupe_reply(self, m, troupe_int(n));
        troupe_msg_free(&m);
        if (first) /* where this life begins */
            say(self, j->tell, n);
        else if (n != next)
            say(self, j->tell, -1);
        next = n + 1;
        first = false;
        if (next == j->what)
            kill(getpid(), SIGSTOP);
        if (next == j->count)
            break;
    }
    say(self, j->tell, next);
}

/* A mixture of both ways, after what it takes to have a lane, so that all of it is in hand somewhere when the receiver dies. */
static void sends_both_ways(troupe_self *self, void *arg) {
    const struct job *j = arg;
    for (int64_t n = 0; n < j->count; n++) {
        if (n > j->what && n % 40 == 0)
            send_large(self, j->to, n);
        else
            say(self, j->to, n);
    }
    say(self, j->tell, -7);
}

/* Killed, and started again: it gets what it had not received, in the order in which that was sent, the rest of a lane in its
 * place among what came through the system. */
START_TEST(what_it_had_not_received_goes_to_its_next_life) {
    static const int64_t some[] = {150, 160, 199, 230, 300};
    struct job j = {.tell = troupe_self_ref(me), .what = 100, .count = some[_i / SENDERS]};
    j.to = spawn_with((troupe_spawn_opts){.restart = TROUPE_TRANSIENT, .backoff_min_ms = 1}, goes_on_where_it_died, j);
    troupe_ref from = spawn_sender(_i, sends_both_ways, j);
    pid_t pid = pid_of(j.to);
    ck_assert_int_eq(hear() + hear(), -7); /* it has begun, and all has been sent */
    until_stopped(pid);
    ends(from, TROUPE_END_NORMAL);
    kill(pid, SIGKILL);
    ck_assert_int_eq(hear(), j.what); /* the next one */
    ck_assert_int_eq(hear(), j.count);
    ends(j.to, TROUPE_END_NORMAL);
    ck_assert_uint_eq(dead_letters(), 0);
}
END_TEST

/* The same with a sender that goes on and learns of it on the way. */
START_TEST(a_sender_goes_on_over_a_death) {
    struct job j = {.tell = troupe_self_ref(me), .what = 1000, .count = 3000};
    j.to = spawn_with((troupe_spawn_opts){.restart = TROUPE_TRANSIENT, .backoff_min_ms = 1}, goes_on_where_it_died, j);
    (void)spawn_sender(_i, sends_plainly, j);
    pid_t pid = pid_of(j.to);
    ck_assert_int_eq(hear(), 0);
    until_stopped(pid);
    kill(pid, SIGKILL);
    ck_assert_int_eq(hear(), j.what);
    ck_assert_int_eq(hear(), j.count);
    ends(j.to, TROUPE_END_NORMAL);
}
END_TEST

/* Recycled now and then: none is lost or twice there. */
START_TEST(recycling_loses_nothing) {
    struct job j = {.tell = troupe_self_ref(me), .count = 2000};
    int64_t next = 0, lives = 0;
    j.to = spawn_with((troupe_spawn_opts){.max_messages = 300}, goes_on_where_it_died, j);
    (void)spawn_sender(_i, sends_plainly, j);
    while (next < j.count) {
        ck_assert_int_eq(hear(), next); /* a life begins where the last has ended */
        next = hear();
        lives++;
    }
    ck_assert_int_eq(lives, 7);
}
END_TEST

/* Closed when all has been sent and a life has had what it may: the rest is for the next lives, by whatever way it came. */
START_TEST(a_close_leaves_what_was_sent_to_the_next_lives) {
    enum { LIFE = 100, ALL = 250 };
    static const int64_t said[] = {LIFE, LIFE, 2 * LIFE, 2 * LIFE, ALL};
    struct job j = {.tell = troupe_self_ref(me), .what = LIFE, .count = ALL};
    j.to = spawn_with((troupe_spawn_opts){.max_messages = LIFE}, goes_on_where_it_died, j);
    troupe_ref from = spawn_sender(_i, sends_plainly, j);
    pid_t pid = pid_of(j.to);
    ck_assert_int_eq(hear(), 0);
    until_stopped(pid);
    ends(from, TROUPE_END_NORMAL);
    ck_assert_int_eq(troupe_close(me, j.to), TROUPE_OK);
    kill(pid, SIGCONT);
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        ck_assert_int_eq(hear(), said[i]);
    ends(j.to, TROUPE_END_NORMAL);
    ck_assert_uint_eq(dead_letters(), 0);
}
END_TEST

/* --- many, at random --- */

enum { CROWD = 5 };

struct letter {
    int64_t who, pid, number;
};

struct member {
    troupe_ref tell;
    int64_t who;
    troupe_ref all[CROWD];
};

/* From one life of one sender numbers ascend, whatever dies in between. */
static bool is_right(struct letter *last, const struct letter *l) {
    struct letter *seen = &last[l->who % CROWD];
    bool right = seen->pid != l->pid || l->number > seen->number;
    *seen = *l;
    return right;
}

/* CLOSED, TIMEOUT: there are no more now; PROTOCOL: a wrong one. */
static troupe_status take_letters(troupe_self *self, struct letter *last, int64_t timeout_ms) {
    troupe_status st;
    troupe_msg *m;
    while ((st = troupe_receive(self, timeout_ms, &m)) == TROUPE_OK) {
        struct letter l = {0};
        troupe_value v = troupe_msg_value(m);
        if (v.kind == TROUPE_BYTES)
            memcpy(&l, v.data, sizeof l);
        else
            (void)!troupe_reply(self, m, troupe_int(1));
        troupe_msg_free(&m);
        if (v.kind == TROUPE_BYTES && !is_right(last, &l))
            return TROUPE_PROTOCOL;
    }
    return st;
}

/* It writes to those with a higher number, so nobody waits in a circle. The last one only reads. */
static void writes_and_reads(troupe_self *self, void *arg) {
    const struct member *own = arg;
    struct letter last[CROWD] = {0}, l = {own->who, getpid(), 0};
    troupe_status st = TROUPE_TIMEOUT;
    say(self, own->tell, own->who);
    while (st == TROUPE_TIMEOUT) {
        l.number++;
        for (int64_t i = own->who + 1; i < CROWD; i++)
            (void)!troupe_send(self, own->all[i], troupe_bytes(&l, sizeof l));
        st = take_letters(self, last, own->who == CROWD - 1 ? TROUPE_FOREVER : 0);
    }
    if (st != TROUPE_CLOSED)
        say(self, own->tell, -1);
}

/* Whoever is killed is there again, hears the others and is heard; nobody hangs, nothing is out of order. */
START_TEST(a_crowd_killed_at_random_keeps_its_order) {
    enum { KILLS = TRP_ASAN || TRP_TSAN ? 20 : 60 };
    struct member m = {.tell = troupe_self_ref(me)};
    unsigned seed = (unsigned)seed_of_run();
    troupe_spawn_opts opts = {
        .kind = TROUPE_PROCESS, .restart = TROUPE_TRANSIENT, .backoff_min_ms = 1, .backoff_max_ms = 5, .mailbox = 256};
    for (int i = CROWD - 1; i >= 0; i--) {
        m.who = i;
        ck_assert_int_eq(troupe_spawn(me, &opts, writes_and_reads, &m, sizeof m, &m.all[i]), TROUPE_OK);
        ck_assert_int_eq(hear(), i);
    }
    for (int i = 0; i < KILLS; i++) {
        int who = rand_r(&seed) % CROWD;
        troupe_msg *answer;
        kill(pid_of(m.all[who]), SIGKILL);
        ck_assert_int_eq(hear(), who);
        ck_assert_int_eq(troupe_ask(me, m.all[rand_r(&seed) % CROWD], troupe_int(1), PATIENCE_MS, &answer), TROUPE_OK);
        troupe_msg_free(&answer);
    }
    for (int i = 0; i < CROWD; i++)
        stop(m.all[i]);
}
END_TEST

/* --- sleeping elsewhere --- */

/* Its loop waits for a descriptor, too, so that it sleeps there. */
static void counts_with_a_descriptor(troupe_self *self, void *arg) {
    int ends_of[2];
    unsigned ready;
    if (pipe2(ends_of, O_CLOEXEC) != 0 || troupe_wait_fd(self, ends_of[0], TROUPE_READABLE, 1, &ready) != TROUPE_TIMEOUT)
        return;
    counts(self, arg);
    close(ends_of[0]);
    close(ends_of[1]);
}

/* One at a time, so that it sleeps before each. */
static void sends_one_by_one(troupe_self *self, void *arg) {
    const struct job *j = arg;
    troupe_msg *m;
    for (int64_t n = 0; n < j->count; n++) {
        say(self, j->to, n);
        if (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK)
            troupe_msg_free(&m);
    }
}

START_TEST(one_that_sleeps_in_its_loop_is_woken) {
    enum { EACH = 200 };
    struct job j = {.tell = troupe_self_ref(me), .count = EACH};
    j.to = spawn_with((troupe_spawn_opts){0}, counts_with_a_descriptor, j);
    troupe_ref from = spawn_sender(_i, sends_one_by_one, j);
    for (uint64_t n = 1; n < EACH; n++) {
        while (look_at(j.to).handled < n)
            ;
        ck_assert_int_eq(troupe_send(me, from, troupe_int(0)), TROUPE_OK);
    }
    ck_assert_int_eq(hear(), EACH);
    stop(from);
}
END_TEST

/* As a job of many that come and go: what they have had is given back. */
START_TEST(many_follow_each_other) {
    enum { ROUNDS = TRP_ASAN || TRP_TSAN ? 30 : 150, EACH = 50 };
    struct job j = {.tell = troupe_self_ref(me), .count = (int64_t)ROUNDS * EACH};
    j.to = spawn_with((troupe_spawn_opts){0}, counts, j);
    for (int i = 0; i < ROUNDS; i++) {
        struct job one = j;
        one.first = (int64_t)i * EACH;
        one.count = one.first + EACH;
        ends(spawn_sender(_i, sends_plainly, one), TROUPE_END_NORMAL);
    }
    ck_assert_int_eq(hear(), j.count);
    ends(j.to, TROUPE_END_NORMAL);
}
END_TEST

int main(void) {
    Suite *s = suite_create("lanes");
    TCase *c = tcase_create("with a system");
    tcase_add_checked_fixture(c, system_up, system_down);
    tcase_add_loop_test(c, order_holds_by_whatever_way, 0, 6 * SENDERS);
    tcase_add_loop_test(c, a_process_that_does_not_receive_is_full, 0, SENDERS);
    tcase_add_loop_test(c, closing_ends_the_wait_for_room, 0, SENDERS);
    tcase_add_loop_test(c, a_kill_ends_the_wait_for_room, 0, SENDERS);
    tcase_add_loop_test(c, the_end_comes_after_all_that_was_sent, 0, SENDERS);
    tcase_add_loop_test(c, what_it_had_not_received_goes_to_its_next_life, 0, 5 * SENDERS);
    tcase_add_loop_test(c, a_sender_goes_on_over_a_death, 0, SENDERS);
    tcase_add_loop_test(c, recycling_loses_nothing, 0, SENDERS);
    tcase_add_loop_test(c, a_close_leaves_what_was_sent_to_the_next_lives, 0, SENDERS);
    tcase_add_test(c, a_crowd_killed_at_random_keeps_its_order);
    tcase_add_loop_test(c, one_that_sleeps_in_its_loop_is_woken, 0, SENDERS);
    tcase_add_loop_test(c, many_follow_each_other, 0, SENDERS);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    return run_suite(s);
}
