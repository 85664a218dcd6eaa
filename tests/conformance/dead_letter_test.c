/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Dead letters: each way in which a message can be lost is told to listeners of every kind, with what it said and why; and
 * telling makes no room, no more dead letters, and nobody wait. */
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#include <troupe/bounded.h>
#include <troupe/dead_letter.h>
#include <troupe/inspect.h>
#include <troupe/monitor.h>
#include <troupe/timer.h>

#include "tests/support/actors.h"
#include "tests/support/faults.h"
#include "transports/topic.h"

enum { KINDS = 3 };

static void listen(void) {
    ck_assert_int_eq(troupe_dead_letters(me, true), TROUPE_OK);
}

/* The next message is a dead letter, of this integer. */
static troupe_dead_letter letter(int64_t n, troupe_status why, troupe_msg **m) {
    troupe_dead_letter d;
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, m), TROUPE_OK);
    ck_assert(troupe_msg_dead_letter(*m, &d));
    ck_assert_int_eq(d.value.kind, TROUPE_INT);
    ck_assert_int_eq(d.value.i, n);
    ck_assert_int_eq(d.why, why);
    return d;
}

static void letter_to(troupe_ref to, int64_t n, troupe_status why) {
    troupe_msg *m;
    troupe_dead_letter d = letter(n, why, &m);
    ck_assert_uint_eq(d.to.id, to.id);
    ck_assert_uint_eq(d.from.id, troupe_self_ref(me).id);
    ck_assert(!d.question);
    troupe_msg_free(&m);
}

static void nothing_more(void) {
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, 0, &m), TROUPE_TIMEOUT);
}

static uint64_t counted(void) {
    troupe_snapshot *s;
    ck_assert_int_eq(troupe_system_snapshot(sys, &s), TROUPE_OK);
    uint64_t n = s->dead_letters;
    troupe_snapshot_free(&s);
    return n;
}

static troupe_actor_info info_of(troupe_ref ref) {
    troupe_snapshot *s;
    troupe_actor_info info = {.ref = {0}};
    ck_assert_int_eq(troupe_system_snapshot(sys, &s), TROUPE_OK);
    for (size_t i = 0; i < s->count; i++)
        info = s->actors[i].ref.id == ref.id ? s->actors[i] : info;
    troupe_snapshot_free(&s);
    ck_assert_uint_eq(info.ref.id, ref.id);
    return info;
}

/* Receives nothing. */
static void sits(troupe_self *self, void *arg) {
    (void)arg;
    (void)!troupe_sleep(self, 3600 * 1000);
}

static troupe_ref sitter(int kind, size_t mailbox, troupe_overflow overflow) {
    troupe_ref ref;
    troupe_spawn_opts opts = {.kind = (troupe_kind)kind, .name = "sitter", .mailbox = mailbox, .overflow = overflow};
    ck_assert_int_eq(troupe_spawn(me, &opts, sits, NULL, 0, &ref), TROUPE_OK);
    return ref;
}

static void end(troupe_ref ref) {
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK);
    ends(ref, TROUPE_END_KILLED);
}

static void send(troupe_ref to, int64_t n) {
    ck_assert_int_eq(troupe_send(me, to, troupe_int(n)), TROUPE_OK);
}

/* --- why --- */

START_TEST(what_is_dropped_for_want_of_room) {
    system_up();
    listen();
    troupe_ref ref = sitter(_i, 2, TROUPE_DROP_OLDEST);
    for (int i = 0; i < 5; i++)
        send(ref, i);
    for (int i = 0; i < 3; i++) {
        troupe_msg *m;
        troupe_dead_letter d = letter(i, TROUPE_FULL, &m);
        ck_assert_uint_eq(d.number, (uint64_t)i + 1);
        ck_assert_uint_eq(d.to.id, ref.id);
        ck_assert_str_eq(d.name, "sitter");
        ck_assert_str_eq(d.topic, "");
        ck_assert_uint_eq(troupe_msg_sender(m).id, troupe_self_ref(me).id);
        troupe_msg_free(&m);
    }
    nothing_more();
    ck_assert_uint_eq(info_of(ref).dropped, 3);
    end(ref);
    for (int i = 3; i < 5; i++)
        letter_to(ref, i, TROUPE_DIED);
    system_down();
}
END_TEST

START_TEST(what_its_receiver_has_not_lived_to_see) {
    system_up();
    listen();
    troupe_ref ref = sitter(_i, 0, TROUPE_PARK);
    for (int i = 0; i < 3; i++)
        send(ref, i);
    end(ref);
    for (int i = 0; i < 3; i++)
        letter_to(ref, i, TROUPE_DIED);
    ck_assert_int_eq(troupe_send(me, ref, troupe_nil()), TROUPE_NOT_FOUND); /* which its sender knows */
    nothing_more();
    system_down();
}
END_TEST

static void asks(troupe_self *self, void *arg) {
    troupe_ref to[2];
    troupe_msg *answer;
    memcpy(to, arg, sizeof to);
    say(self, to[1], -(int64_t)troupe_ask(self, to[0], troupe_int(42), TROUPE_FOREVER, &answer));
}

START_TEST(a_question_is_told_as_one) {
    system_up();
    listen();
    troupe_ref ref = sitter(TROUPE_COROUTINE, 1, TROUPE_DROP_OLDEST), refs[] = {ref, troupe_self_ref(me)};
    troupe_ref asker = spawn(_i, asks, refs, sizeof refs);
    troupe_msg *m;
    while (info_of(ref).queued == 0)
        troupe_yield(me);
    send(ref, 1);
    int64_t told = 0;
    bool letter_seen = false;
    for (int i = 0; i < 2; i++) {
        troupe_dead_letter d;
        ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
        if (troupe_msg_dead_letter(m, &d)) {
            ck_assert(d.question);
            ck_assert_int_eq(d.value.i, 42);
            ck_assert_uint_eq(d.from.id, asker.id);
            letter_seen = true;
        } else {
            ck_assert(troupe_msg_int(m, &told));
        }
        troupe_msg_free(&m);
    }
    ck_assert(letter_seen);
    ck_assert_int_eq(told, -TROUPE_FULL);
    end(ref);
    system_down();
}
END_TEST

START_TEST(what_comes_too_late) {
    system_up();
    listen();
    troupe_ref ref = sitter(TROUPE_COROUTINE, 0, TROUPE_PARK);
    ck_assert_int_eq(troupe_send_after(me, 50, ref, troupe_int(7), NULL), TROUPE_OK);
    end(ref);
    letter_to(ref, 7, TROUPE_NOT_FOUND);
    system_down();
}
END_TEST

START_TEST(what_was_in_a_killed_queue) {
    system_up();
    listen();
    troupe_queue q;
    ck_assert_int_eq(troupe_queue_open(me, NULL, &q), TROUPE_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(troupe_queue_push(me, q, troupe_int(i), 0), TROUPE_OK);
    ck_assert_int_eq(troupe_kill(me, q.ref), TROUPE_OK);
    for (int i = 0; i < 3; i++)
        letter_to(q.ref, i, TROUPE_DIED);
    system_down();
}
END_TEST

/* Subscribes, says so, and receives nothing. */
static void subscribes(troupe_self *self, void *arg) {
    say(self, *(troupe_ref *)arg, troupe_subscribe(self, "local.news", NULL));
    sits(self, NULL);
}

START_TEST(what_a_subscriber_has_no_room_for) {
    system_up();
    troupe_ref test = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.kind = (troupe_kind)_i, .name = "reader", .mailbox = 2};
    ck_assert_int_eq(troupe_spawn(me, &opts, subscribes, &test, sizeof test, &ref), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_OK);
    listen();
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(troupe_publish(me, "local.news", troupe_int(i), 0), TROUPE_OK);
    troupe_msg *m;
    troupe_dead_letter d = letter(2, TROUPE_FULL, &m);
    ck_assert_uint_eq(d.to.id, ref.id);
    ck_assert_str_eq(d.name, "reader");
    ck_assert_str_eq(d.topic, "local.news");
    troupe_msg_free(&m);
    end(ref);
    for (int i = 0; i < 2; i++) {
        d = letter(i, TROUPE_DIED, &m);
        ck_assert_str_eq(d.topic, "local.news");
        troupe_msg_free(&m);
    }
    ck_assert_int_eq(troupe_publish(me, "local.news", troupe_int(3), 0), TROUPE_OK);
    nothing_more(); /* who has ended subscribes to nothing */
    system_down();
}
END_TEST

/* --- nothing is lost between what was sent and what was seen --- */

enum { MOST = 2000 };

static void floods(troupe_self *self, void *arg) {
    troupe_ref to[2];
    memcpy(to, arg, sizeof to);
    int64_t n = 0;
    while (n < MOST && troupe_send(self, to[0], troupe_int(n)) == TROUPE_OK)
        n++;
    say(self, to[1], n);
}

static _Atomic int64_t seen;

static void takes_some(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)arg;
    for (int i = 0; i < 100 && troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK; i++, seen++)
        troupe_msg_free(&m);
}

START_TEST(sent_is_seen_or_told) {
    system_up();
    listen();
    troupe_ref to[2] = {{0}, troupe_self_ref(me)};
    seen = 0;
    ck_assert_int_eq(troupe_spawn(me, &(troupe_spawn_opts){.mailbox = 64}, takes_some, NULL, 0, &to[0]), TROUPE_OK);
    troupe_ref flooder = spawn(_i, floods, to, sizeof to);
    int64_t sent = -1, told = 0, n;
    ends(flooder, TROUPE_END_NORMAL);
    ends(to[0], TROUPE_END_NORMAL);
    ck_assert_int_eq(seen, 100);
    while (sent != seen + told) { /* whoever is told of an end may be so before the last of its letters */
        troupe_msg *m;
        ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
        if (troupe_msg_dead_letter(m, NULL))
            told++;
        else if (troupe_msg_int(m, &n))
            sent = n;
        troupe_msg_free(&m);
    }
    nothing_more();
    ck_assert_uint_eq(counted(), (uint64_t)told);
    system_down();
}
END_TEST

/* --- who listens --- */

/* Listens, says so, and says of each letter its number and what was in it; anything else ends it. */
static void listens(troupe_self *self, void *arg) {
    troupe_ref test = *(troupe_ref *)arg;
    troupe_msg *m;
    say(self, test, troupe_dead_letters(self, true));
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        troupe_dead_letter d;
        bool more = troupe_msg_dead_letter(m, &d);
        if (more) {
            say(self, test, (int64_t)d.number);
            say(self, test, d.value.i + (strcmp(d.name, "sitter") == 0 ? 100 : 0));
        }
        troupe_msg_free(&m);
        if (!more)
            return;
    }
}

START_TEST(every_kind_listens) {
    system_up();
    troupe_ref test = troupe_self_ref(me), ref = spawn(_i, listens, &test, sizeof test);
    ck_assert_int_eq(hear(), TROUPE_OK);
    troupe_ref other = sitter(TROUPE_COROUTINE, 1, TROUPE_DROP_OLDEST);
    for (int i = 0; i < 4; i++)
        send(other, i);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(hear(), i + 1);
        ck_assert_int_eq(hear(), i + 100);
    }
    ck_assert_int_eq(troupe_send(me, ref, troupe_nil()), TROUPE_OK);
    ends(ref, TROUPE_END_NORMAL);
    end(other);
    nothing_more(); /* it listens no more */
    ck_assert_uint_eq(counted(), 4);
    system_down();
}
END_TEST

static atomic_int *heard; /* by an actor of any kind */

/* Says nothing: whoever hears of it by something else learns that it has received, too. */
static void listens_in_silence(troupe_self *self, void *arg) {
    troupe_msg *m;
    say(self, *(troupe_ref *)arg, troupe_dead_letters(self, true));
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        atomic_fetch_add(heard, troupe_msg_dead_letter(m, NULL));
        troupe_msg_free(&m);
    }
}

/* Without a sleep: what it has received is not known of yet, then. */
static void until_heard(int n) {
    time_t end = time(NULL) + PATIENCE_MS / 1000;
    while (atomic_load(heard) < n && time(NULL) < end)
        sched_yield();
    ck_assert_int_eq(atomic_load(heard), n);
}

/* Who has received all there is has room for one. */
START_TEST(a_small_mailbox_is_told_of_one_at_a_time) {
    heard = mmap(NULL, sizeof *heard, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(heard, MAP_FAILED);
    system_up();
    troupe_ref test = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.kind = (troupe_kind)_i, .mailbox = 1};
    ck_assert_int_eq(troupe_spawn(me, &opts, listens_in_silence, &test, sizeof test, &ref), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_OK);
    troupe_ref other = sitter(TROUPE_COROUTINE, 1, TROUPE_DROP_OLDEST);
    send(other, 0);
    for (int i = 1; i < 1000; i++) {
        send(other, i);
        until_heard(i);
    }
    stop(ref);
    system_down();
    munmap(heard, sizeof *heard);
}
END_TEST

/* Listens as soon as it is asked to. */
static void begins(troupe_self *self, void *arg) {
    say(self, *(troupe_ref *)arg, troupe_dead_letters(self, true));
    sits(self, NULL);
}

static troupe_ref deaf(size_t mailbox, troupe_overflow overflow) {
    troupe_ref test = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.name = "deaf", .mailbox = mailbox, .overflow = overflow};
    ck_assert_int_eq(troupe_spawn(me, &opts, begins, &test, sizeof test, &ref), TROUPE_OK);
    return ref;
}

START_TEST(so_many_listen) {
    troupe_ref refs[TROUPE_DEAD_LETTER_LISTENERS];
    system_up();
    for (int i = 0; i < TROUPE_DEAD_LETTER_LISTENERS; i++) {
        refs[i] = deaf(1, TROUPE_PARK);
        ck_assert_int_eq(hear(), TROUPE_OK);
    }
    ck_assert_int_eq(troupe_dead_letters(me, true), TROUPE_FULL);
    end(refs[3]);
    listen();
    listen();
    ck_assert_int_eq(troupe_dead_letters(me, false), TROUPE_OK);
    ck_assert_int_eq(troupe_dead_letters(me, false), TROUPE_OK);
    troupe_ref ref = sitter(TROUPE_COROUTINE, 0, TROUPE_PARK);
    send(ref, 1);
    end(ref);
    nothing_more();
    system_down();
}
END_TEST

/* A second life has not asked for anything. */
static void listens_once(troupe_self *self, void *arg) {
    static _Atomic int lives;
    troupe_msg *m;
    if (lives++ == 0) {
        say(self, *(troupe_ref *)arg, troupe_dead_letters(self, true));
        troupe_exit_with(self, 1, "again");
        return;
    }
    say(self, *(troupe_ref *)arg, 2);
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        say(self, *(troupe_ref *)arg, troupe_msg_dead_letter(m, NULL) ? 3 : 4);
        troupe_msg_free(&m);
    }
}

START_TEST(another_life_does_not_listen) {
    system_up();
    troupe_ref test = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.restart = TROUPE_TRANSIENT, .backoff_min_ms = 1};
    ck_assert_int_eq(troupe_spawn(me, &opts, listens_once, &test, sizeof test, &ref), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_eq(hear(), 2);
    troupe_ref other = sitter(TROUPE_COROUTINE, 0, TROUPE_PARK);
    send(other, 1);
    end(other);
    send(ref, 1);
    ck_assert_int_eq(hear(), 4);
    stop(ref);
    system_down();
}
END_TEST

/* --- telling does no harm --- */

/* A listener without room loses letters, and nothing else: not its other mail, if that would be dropped for them. */
START_TEST(without_room_letters_are_lost_alone) {
    system_up();
    troupe_ref slow = deaf(3, _i ? TROUPE_DROP_OLDEST : TROUPE_PARK);
    ck_assert_int_eq(hear(), TROUPE_OK);
    send(slow, 50);
    troupe_ref ref = sitter(TROUPE_COROUTINE, 1, TROUPE_DROP_OLDEST);
    for (int i = 0; i < 11; i++)
        send(ref, i);
    ck_assert_uint_eq(counted(), 10);
    ck_assert_uint_eq(info_of(slow).dropped, 0);
    ck_assert_uint_eq(info_of(ref).dropped, 10);
    listen();
    end(slow); /* with one message and two letters */
    letter_to(slow, 50, TROUPE_DIED);
    nothing_more();
    ck_assert_uint_eq(counted(), 11);
    system_down();
}
END_TEST

/* Takes nothing until it is told to, then says what is there; the process has had the letters before. */
static void listens_late(troupe_self *self, void *arg) {
    troupe_ref test = *(troupe_ref *)arg;
    troupe_msg *m;
    say(self, test, troupe_dead_letters(self, true));
    (void)!troupe_ask(self, test, troupe_int(-1), TROUPE_FOREVER, &m);
    troupe_msg_free(&m);
    while (troupe_receive(self, 0, &m) == TROUPE_OK) {
        troupe_dead_letter d = {.value = troupe_msg_value(m)};
        say(self, test, troupe_msg_dead_letter(m, &d) ? 100 + d.value.i : d.value.i);
        troupe_msg_free(&m);
    }
    say(self, test, -2);
}

/* Also over there. */
START_TEST(letters_push_nothing_out_of_a_process) {
    system_up();
    troupe_ref test = troupe_self_ref(me), slow;
    troupe_spawn_opts opts = {.kind = (troupe_kind)_i, .mailbox = 3, .overflow = TROUPE_DROP_OLDEST};
    troupe_msg *question;
    ck_assert_int_eq(troupe_spawn(me, &opts, listens_late, &test, sizeof test, &slow), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &question), TROUPE_OK);
    send(slow, 1);
    send(slow, 2);
    troupe_ref ref = sitter(TROUPE_COROUTINE, 1, TROUPE_DROP_OLDEST);
    for (int i = 0; i < 6; i++)
        send(ref, i);
    ck_assert_int_eq(troupe_reply(me, question, troupe_nil()), TROUPE_OK);
    troupe_msg_free(&question);
    ck_assert_int_eq(hear(), 1);
    ck_assert_int_eq(hear(), 2);
    ck_assert_int_eq(hear(), 100);
    ck_assert_int_eq(hear(), -2);
    ck_assert_uint_eq(counted(), 5);
    ends(slow, TROUPE_END_NORMAL);
    system_down();
}
END_TEST

START_TEST(a_gap_in_the_numbers) {
    enum { ROOM = 1024 }; /* of this actor */
    system_up();
    listen();
    troupe_ref ref = sitter(TROUPE_COROUTINE, 1, TROUPE_DROP_OLDEST);
    for (int i = 0; i < ROOM + 11; i++)
        send(ref, i);
    troupe_msg *m;
    for (int i = 0; i < ROOM; i++) {
        ck_assert_uint_eq(letter(i, TROUPE_FULL, &m).number, (uint64_t)i + 1);
        troupe_msg_free(&m);
    }
    nothing_more();
    send(ref, 0);
    ck_assert_uint_eq(letter(ROOM + 10, TROUPE_FULL, &m).number, ROOM + 11);
    troupe_msg_free(&m);
    system_down();
}
END_TEST

/* A letter that finds no memory is counted all the same. */
START_TEST(no_memory_to_tell) {
    system_up();
    listen();
    troupe_ref ref = sitter(TROUPE_COROUTINE, 1, TROUPE_DROP_OLDEST);
    char text[2000];
    memset(text, 'x', sizeof text);
    for (long n = 1, told = 0; !told; n++) {
        ck_assert_int_eq(troupe_send(me, ref, troupe_bytes(text, sizeof text)), TROUPE_OK);
        faults_fail_at(n + 1); /* the first is the message that drops the one before */
        ck_assert_int_eq(troupe_send(me, ref, troupe_bytes(text, sizeof text)), TROUPE_OK);
        faults_off();
        ck_assert_uint_eq(counted(), (uint64_t)(2 * n - 1));
        troupe_msg *m;
        while (troupe_receive(me, 0, &m) == TROUPE_OK) {
            troupe_dead_letter d;
            ck_assert(troupe_msg_dead_letter(m, &d));
            ck_assert_uint_eq(d.value.size, sizeof text);
            told += d.number == (uint64_t)(2 * n - 1);
            troupe_msg_free(&m);
        }
        ck_assert_int_lt(n, 50);
    }
    system_down();
}
END_TEST

/* Nobody can publish what would be taken for one. */
START_TEST(nothing_else_is_one) {
    system_up();
    troupe_msg *m;
    ck_assert(!trp_is_topic(trp_slice_str(".dead-letter")));
    send(troupe_self_ref(me), 1);
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    ck_assert(!troupe_msg_dead_letter(m, NULL));
    troupe_msg_free(&m);
    system_down();
}
END_TEST

int main(void) {
    Suite *s = suite_create("dead letters");
    const TTest *const once[] = {what_comes_too_late,          what_was_in_a_killed_queue, so_many_listen,
                                 another_life_does_not_listen, a_gap_in_the_numbers,       no_memory_to_tell,
                                 nothing_else_is_one};
    TCase *c = run_case(s, "once", once, sizeof once / sizeof *once);
    tcase_set_timeout(c, 60);
    const TTest *const kinds[] = {what_is_dropped_for_want_of_room,
                                  what_its_receiver_has_not_lived_to_see,
                                  a_question_is_told_as_one,
                                  what_a_subscriber_has_no_room_for,
                                  sent_is_seen_or_told,
                                  every_kind_listens,
                                  a_small_mailbox_is_told_of_one_at_a_time,
                                  letters_push_nothing_out_of_a_process};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        tcase_add_loop_test(c, kinds[i], 0, KINDS);
    tcase_add_loop_test(c, without_room_letters_are_lost_alone, 0, 2);
    return run_suite(s);
}
