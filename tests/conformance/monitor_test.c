/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Monitors, links and names, for every kind as the one who watches and as the one who is watched. */
#include <signal.h>
#include <troupe/monitor.h>
#include <troupe/names.h>

#include "actors/sanitizer.h"
#include "tests/support/actors.h"
#include "tests/support/faults.h"

enum { KINDS = 3, PAIRS = KINDS * KINDS, CODE = 7 };

/* A loop test over all pairs of kinds. */
static int watcher_kind(int i) {
    return i / KINDS;
}
static int watched_kind(int i) {
    return i % KINDS;
}

/* --- bodies --- */

enum order { RETURN = 1, GIVE_REASON, FAULT, SAY_TWO };

static void obey(troupe_self *self, int64_t order, troupe_ref to) {
    if (order == GIVE_REASON)
        troupe_exit_with(self, CODE, "tired of it");
    if (order == FAULT)
        raise(SIGSEGV);
    if (order == SAY_TWO) {
        say(self, to, 21);
        say(self, to, 22);
    }
}

/* Ends as it is told to. */
static void obedient(troupe_self *self, void *arg) {
    troupe_ref to = *(troupe_ref *)arg;
    troupe_msg *m;
    int64_t order = 0;
    while (order != RETURN && order != GIVE_REASON && troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        if (troupe_msg_int(m, &order))
            obey(self, order, to);
        if (order == SAY_TWO)
            (void)!troupe_reply(self, m, troupe_nil());
        troupe_msg_free(&m);
    }
}

struct watching {
    troupe_ref test, other;
    int what; /* how it does it */
    bool trap;
};

/* The test is told: DOWN or EXIT as 1000 + how, and its code; a message as its number. */
static bool tell(troupe_self *self, troupe_ref test, troupe_msg *m) {
    troupe_down down;
    int64_t n;
    bool note = troupe_msg_down(m, &down) || troupe_msg_exit(m, &down);
    if (note) {
        say(self, test, 1000 + (int64_t)down.exit.how);
        say(self, test, down.exit.code);
    } else if (troupe_msg_int(m, &n)) {
        say(self, test, n);
    }
    return note;
}

static void monitors(troupe_self *self, void *arg) {
    const struct watching *w = arg;
    troupe_msg *m;
    say(self, w->test, troupe_monitor(self, w->other, NULL));
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        tell(self, w->test, m);
        troupe_msg_free(&m);
    }
}

static troupe_ref obedient_of(int kind, troupe_ref to) {
    return spawn(kind, obedient, &to, sizeof to);
}

static troupe_ref watcher_of(int kind, troupe_body *body, troupe_ref other, bool trap) {
    struct watching w = {.test = troupe_self_ref(me), .other = other, .trap = trap};
    troupe_ref ref = spawn(kind, body, &w, sizeof w);
    ck_assert_int_eq(hear(), TROUPE_OK);
    return ref;
}

static void order(troupe_ref ref, int64_t what) {
    ck_assert_int_eq(troupe_send(me, ref, troupe_int(what)), TROUPE_OK);
}

static void hear_end(troupe_end how, int64_t code) {
    ck_assert_int_eq(hear(), 1000 + (int64_t)how);
    ck_assert_int_eq(hear(), code);
}

static bool receive_down(troupe_down *down) {
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    bool is = troupe_msg_down(m, down);
    troupe_msg_free(&m);
    return is;
}

static void nothing_comes(void) {
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, 0, &m), TROUPE_TIMEOUT);
}

/* --- monitors --- */

START_TEST(a_monitor_says_how) {
    system_up();
    troupe_ref nobody = {0};
    troupe_ref a = obedient_of(watched_kind(_i), nobody), w = watcher_of(watcher_kind(_i), monitors, a, false);
    order(a, RETURN);
    hear_end(TROUPE_END_NORMAL, 0);
    stop(w);
    a = obedient_of(watched_kind(_i), nobody), w = watcher_of(watcher_kind(_i), monitors, a, false);
    order(a, GIVE_REASON);
    hear_end(TROUPE_END_GIVEN, CODE);
    ck_assert_str_eq(ends(a, TROUPE_END_GIVEN).text, "tired of it");
    stop(w);
    a = obedient_of(watched_kind(_i), nobody), w = watcher_of(watcher_kind(_i), monitors, a, false);
    ck_assert_int_eq(troupe_kill(me, a), TROUPE_OK);
    hear_end(TROUPE_END_KILLED, 0);
    stop(w);
    system_down();
}
END_TEST

START_TEST(a_monitor_names_the_signal) {
    system_up();
    troupe_ref a = obedient_of(TROUPE_PROCESS, (troupe_ref){0}), w = watcher_of(_i, monitors, a, false);
    order(a, FAULT);
    hear_end(TROUPE_END_SIGNAL, SIGSEGV);
    stop(w);
    system_down();
}
END_TEST

START_TEST(the_dead_are_monitored_at_once) {
    system_up();
    troupe_ref a = obedient_of(watched_kind(_i), (troupe_ref){0});
    stop(a);
    troupe_ref w = watcher_of(watcher_kind(_i), monitors, a, false);
    hear_end(TROUPE_END_NOPROC, 0);
    stop(w);
    system_down();
}
END_TEST

/* It watches, waits for the end, and only then looks into its mailbox. */
static void looks_late(troupe_self *self, void *arg) {
    const struct watching *w = arg;
    troupe_msg *m;
    say(self, w->test, troupe_monitor(self, w->other, NULL));
    (void)!troupe_join(self, w->other, PATIENCE_MS, NULL);
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        tell(self, w->test, m);
        troupe_msg_free(&m);
    }
}

static void ask_for_two(troupe_ref ref) {
    troupe_msg *answer;
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(SAY_TWO), PATIENCE_MS, &answer), TROUPE_OK);
    troupe_msg_free(&answer);
}

/* Who says what to whom when it is born: the one who is watched has to know the watcher. */
static void introduce(troupe_self *self, void *arg) {
    troupe_msg *m;
    int64_t to = 0;
    (void)arg;
    if (troupe_receive(self, TROUPE_FOREVER, &m) != TROUPE_OK || !troupe_msg_int(m, &to))
        return;
    troupe_msg_free(&m);
    troupe_ref ref = {(uint64_t)to};
    obedient(self, &ref);
}

START_TEST(a_down_comes_after_what_the_dead_have_said_and_before_the_rest) {
    system_up();
    troupe_ref a = spawn(watched_kind(_i), introduce, NULL, 0), w = watcher_of(watcher_kind(_i), looks_late, a, false);
    order(a, (int64_t)w.id);
    order(w, 1);
    ask_for_two(a);
    order(w, 2);
    order(w, 3);
    order(a, RETURN);
    ck_assert_int_eq(hear(), 1);
    ck_assert_int_eq(hear(), 21);
    ck_assert_int_eq(hear(), 22);
    hear_end(TROUPE_END_NORMAL, 0);
    ck_assert_int_eq(hear(), 2);
    ck_assert_int_eq(hear(), 3);
    stop(w);
    system_down();
}
END_TEST

/* Says 500 numbers and is gone. */
static void talks_and_dies(troupe_self *self, void *arg) {
    troupe_ref to = *(troupe_ref *)arg;
    for (int i = 0; i < 500; i++)
        say(self, to, i);
}

static void hears_talkers(troupe_self *self, void *arg) {
    const struct watching *w = arg;
    troupe_ref to = troupe_self_ref(self), talker;
    troupe_down down = {0};
    troupe_msg *m;
    int64_t heard = 0, n;
    if (troupe_spawn(self, &(troupe_spawn_opts){.kind = (troupe_kind)w->what}, talks_and_dies, &to, sizeof to, &talker) !=
        TROUPE_OK)
        return;
    say(self, w->test, troupe_monitor(self, talker, NULL));
    while (!down.ref.id && troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        if (!troupe_msg_down(m, &down) && troupe_msg_int(m, &n))
            heard += n == heard;
        troupe_msg_free(&m);
    }
    say(self, w->test, heard);
}

START_TEST(all_that_the_dead_have_said_is_heard_first) {
    system_up();
    struct watching w = {.test = troupe_self_ref(me), .what = watched_kind(_i)};
    troupe_ref ref;
    troupe_spawn_opts opts = {.kind = (troupe_kind)watcher_kind(_i), .mailbox = 8};
    ck_assert_int_eq(troupe_spawn(me, &opts, hears_talkers, &w, sizeof w, &ref), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_eq(hear(), 500);
    ends(ref, TROUPE_END_NORMAL);
    system_down();
}
END_TEST

static void watches_twice(troupe_self *self, void *arg) {
    const struct watching *w = arg;
    troupe_watch first, second, third;
    troupe_down down;
    troupe_msg *m;
    bool ok = troupe_monitor(self, w->other, &first) == TROUPE_OK && troupe_monitor(self, w->other, &second) == TROUPE_OK &&
              troupe_monitor(self, w->other, &third) == TROUPE_OK && troupe_demonitor(self, second) == TROUPE_OK &&
              troupe_demonitor(self, second) == TROUPE_NOT_FOUND;
    say(self, w->test, ok ? 1 : 0);
    ok = troupe_join(self, w->other, PATIENCE_MS, NULL) == TROUPE_OK;
    /* Both are on their way or here: one of them is taken back. */
    ok = ok && troupe_receive(self, PATIENCE_MS, &m) == TROUPE_OK && troupe_msg_down(m, &down);
    if (ok)
        troupe_msg_free(&m);
    troupe_watch left = {first.id + third.id - down.watch.id};
    ok = ok && (left.id == first.id || left.id == third.id) && troupe_demonitor(self, left) == TROUPE_OK &&
         troupe_receive(self, 0, &m) == TROUPE_TIMEOUT && troupe_demonitor(self, left) == TROUPE_NOT_FOUND;
    say(self, w->test, ok ? 2 : 0);
}

START_TEST(monitors_are_told_apart_and_taken_back) {
    system_up();
    troupe_ref a = obedient_of(watched_kind(_i), (troupe_ref){0});
    struct watching w = {.test = troupe_self_ref(me), .other = a};
    troupe_ref ref = spawn(watcher_kind(_i), watches_twice, &w, sizeof w);
    ck_assert_int_eq(hear(), 1);
    order(a, RETURN);
    ck_assert_int_eq(hear(), 2);
    ends(ref, TROUPE_END_NORMAL);
    system_down();
}
END_TEST

/* Its mailbox is full, of one message that it does not take. */
static void busy_watcher(troupe_self *self, void *arg) {
    const struct watching *w = arg;
    troupe_msg *m;
    say(self, w->test, troupe_monitor(self, w->other, NULL));
    (void)!troupe_join(self, w->other, PATIENCE_MS, NULL);
    for (bool found = false; !found && troupe_receive(self, PATIENCE_MS, &m) == TROUPE_OK; troupe_msg_free(&m))
        found = tell(self, w->test, m);
}

START_TEST(a_full_mailbox_stops_no_down) {
    int kind = _i / 3, overflow = _i % 3;
    system_up();
    troupe_ref a = obedient_of(TROUPE_COROUTINE, (troupe_ref){0}), ref;
    struct watching w = {.test = troupe_self_ref(me), .other = a};
    troupe_spawn_opts opts = {.kind = (troupe_kind)kind, .mailbox = 1, .overflow = (troupe_overflow)overflow};
    ck_assert_int_eq(troupe_spawn(me, &opts, busy_watcher, &w, sizeof w, &ref), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_OK);
    for (int i = 0; i < 3; i++)
        (void)!troupe_try_send(me, ref, troupe_nil());
    order(a, RETURN);
    hear_end(TROUPE_END_NORMAL, 0);
    ends(ref, TROUPE_END_NORMAL);
    system_down();
}
END_TEST

START_TEST(ten_thousand_monitors_on_one) {
    enum { MANY = TRP_TSAN || TRP_ASAN ? 2000 : 10000 };
    static bool seen[MANY + 1];
    system_up();
    troupe_ref a = obedient_of(_i, (troupe_ref){0});
    troupe_watch first = {0};
    for (int i = 0; i < MANY; i++) {
        troupe_watch w;
        ck_assert_int_eq(troupe_monitor(me, a, &w), TROUPE_OK);
        if (i == 0)
            first = w;
        ck_assert_uint_lt(w.id - first.id, MANY);
    }
    order(a, GIVE_REASON);
    for (int i = 0; i < MANY; i++) {
        troupe_down down;
        ck_assert(receive_down(&down));
        ck_assert_int_eq(down.exit.how, TROUPE_END_GIVEN);
        ck_assert_uint_eq(down.ref.id, a.id);
        ck_assert(!seen[down.watch.id - first.id]);
        seen[down.watch.id - first.id] = true;
    }
    ends(a, TROUPE_END_GIVEN);
    nothing_comes();
    system_down();
}
END_TEST

/* Watches one that may end at any moment: one DOWN, whatever it says. */
static void watches_the_dying(troupe_self *self, void *arg) {
    const struct watching *w = arg;
    troupe_down down;
    troupe_msg *m;
    int downs = 0;
    if (troupe_monitor(self, w->other, NULL) != TROUPE_OK)
        return;
    while (downs == 0 && troupe_receive(self, PATIENCE_MS, &m) == TROUPE_OK) {
        downs += troupe_msg_down(m, &down) && down.ref.id == w->other.id;
        troupe_msg_free(&m);
    }
    troupe_yield(self);
    bool more = troupe_receive(self, 0, &m) == TROUPE_OK;
    if (more)
        troupe_msg_free(&m);
    say(self, w->test, downs == 1 && !more);
}

START_TEST(a_death_while_it_is_being_watched_is_told_once) {
    system_up();
    int rounds = TRP_TSAN || TRP_ASAN ? 20 : 100;
    for (int r = 0; r < rounds; r++) {
        struct watching w = {.test = troupe_self_ref(me), .other = obedient_of(TROUPE_COROUTINE, (troupe_ref){0})};
        enum { CROWD = 20 };
        for (int i = 0; i < CROWD; i++) {
            spawn(i % 5 == 0 ? TROUPE_THREAD : TROUPE_COROUTINE, watches_the_dying, &w, sizeof w);
            if (i == r % CROWD)
                order(w.other, RETURN);
        }
        for (int i = 0; i < CROWD; i++)
            ck_assert_int_eq(hear(), 1);
    }
    system_down();
}
END_TEST

/* --- links --- */

static void links(troupe_self *self, void *arg) {
    const struct watching *w = arg;
    troupe_msg *m;
    troupe_status st = w->trap ? troupe_trap_exits(self, true) : TROUPE_OK;
    if (st == TROUPE_OK)
        st = troupe_link(self, w->other);
    if (st == TROUPE_OK)
        st = troupe_link(self, w->other); /* once is enough, twice is once */
    say(self, w->test, st);
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        tell(self, w->test, m);
        troupe_msg_free(&m);
    }
}

START_TEST(a_link_takes_the_other_along) {
    system_up();
    troupe_ref a = obedient_of(watched_kind(_i), (troupe_ref){0}), w = watcher_of(watcher_kind(_i), links, a, false);
    order(a, GIVE_REASON);
    troupe_exit exit = ends(w, TROUPE_END_LINKED);
    ck_assert_int_eq(exit.code, CODE);
    ck_assert_str_eq(exit.text, "tired of it");
    /* And the other way round: who made it does not matter. */
    a = obedient_of(watched_kind(_i), (troupe_ref){0}), w = watcher_of(watcher_kind(_i), links, a, false);
    ck_assert_int_eq(troupe_kill(me, w), TROUPE_OK);
    ck_assert_str_eq(ends(a, TROUPE_END_LINKED).text, "killed");
    system_down();
}
END_TEST

START_TEST(a_link_minds_no_normal_end) {
    system_up();
    troupe_ref a = obedient_of(watched_kind(_i), (troupe_ref){0}), w = watcher_of(watcher_kind(_i), links, a, false);
    order(a, RETURN);
    ends(a, TROUPE_END_NORMAL);
    order(w, 5);
    ck_assert_int_eq(hear(), 5);
    stop(w);
    system_down();
}
END_TEST

START_TEST(who_traps_exits_is_told_once) {
    system_up();
    troupe_ref a = obedient_of(watched_kind(_i), (troupe_ref){0}), w = watcher_of(watcher_kind(_i), links, a, true);
    order(a, GIVE_REASON);
    hear_end(TROUPE_END_GIVEN, CODE);
    ends(a, TROUPE_END_GIVEN);
    order(w, 5);
    ck_assert_int_eq(hear(), 5);
    stop(w);
    a = obedient_of(watched_kind(_i), (troupe_ref){0}), w = watcher_of(watcher_kind(_i), links, a, true);
    order(a, RETURN);
    hear_end(TROUPE_END_NORMAL, 0);
    stop(w);
    system_down();
}
END_TEST

/* Links and unlinks; and once more when the other has ended. */
static void unlinks(troupe_self *self, void *arg) {
    const struct watching *w = arg;
    troupe_msg *m;
    bool ok = troupe_trap_exits(self, true) == TROUPE_OK && troupe_link(self, w->other) == TROUPE_OK &&
              troupe_unlink(self, w->other) == TROUPE_OK && troupe_link(self, w->other) == TROUPE_OK;
    say(self, w->test, ok ? TROUPE_OK : TROUPE_BUG);
    ok = ok && troupe_join(self, w->other, PATIENCE_MS, NULL) == TROUPE_OK && troupe_unlink(self, w->other) == TROUPE_OK &&
         troupe_receive(self, 0, &m) == TROUPE_TIMEOUT && troupe_link(self, w->other) == TROUPE_NOT_FOUND;
    say(self, w->test, ok);
}

START_TEST(an_unlinked_one_is_not_told) {
    system_up();
    troupe_ref a = obedient_of(watched_kind(_i), (troupe_ref){0}), w = watcher_of(watcher_kind(_i), unlinks, a, true);
    order(a, GIVE_REASON);
    ck_assert_int_eq(hear(), 1);
    ends(w, TROUPE_END_NORMAL);
    system_down();
}
END_TEST

struct chain {
    troupe_ref test;
    int left;
};

/* Each has the next one, linked from birth; the last one says that all are there. */
static void chain_body(troupe_self *self, void *arg) {
    struct chain *c = arg;
    troupe_msg *m;
    if (c->left > 0) {
        struct chain rest = {.test = c->test, .left = c->left - 1};
        if (troupe_spawn(self, &(troupe_spawn_opts){.link = true}, chain_body, &rest, sizeof rest, NULL) != TROUPE_OK)
            return;
    } else {
        say(self, c->test, 1);
    }
    if (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK)
        troupe_msg_free(&m);
}

START_TEST(a_cascade_of_ten_thousand) {
    enum { MANY = TRP_TSAN || TRP_ASAN ? 1000 : 10000 };
    system_up();
    struct chain c = {.test = troupe_self_ref(me), .left = MANY};
    troupe_ref first = spawn(TROUPE_COROUTINE, chain_body, &c, sizeof c);
    ck_assert_int_eq(hear(), 1);
    ck_assert_int_eq(troupe_kill(me, first), TROUPE_OK);
    ck_assert_int_eq(troupe_system_run(sys, 0), TROUPE_DIED); /* all have ended: nobody has to be told to */
    system_down();
}
END_TEST

START_TEST(a_link_from_birth) {
    system_up();
    struct chain c = {.test = troupe_self_ref(me), .left = 0};
    troupe_ref ref;
    troupe_msg *m;
    troupe_down down;
    ck_assert_int_eq(troupe_trap_exits(me, true), TROUPE_OK);
    troupe_spawn_opts opts = {.kind = (troupe_kind)_i, .link = true};
    ck_assert_int_eq(troupe_spawn(me, &opts, chain_body, &c, sizeof c, &ref), TROUPE_OK);
    ck_assert_int_eq(hear(), 1);
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK);
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    ck_assert(troupe_msg_exit(m, &down) && !troupe_msg_down(m, NULL));
    ck_assert_uint_eq(down.ref.id, ref.id);
    ck_assert_uint_eq(troupe_msg_sender(m).id, ref.id);
    ck_assert_int_eq(down.exit.how, TROUPE_END_KILLED);
    troupe_msg_free(&m);
    system_down();
}
END_TEST

/* Links with its neighbour, who does the same at the same time, unlinks, links again, and so on. */
static void links_and_unlinks(troupe_self *self, void *arg) {
    int rounds = *(int *)arg;
    troupe_msg *m;
    int64_t other = 0;
    troupe_ref test = {0};
    bool ok = troupe_trap_exits(self, true) == TROUPE_OK;
    while (ok && !other && troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        if (troupe_msg_int(m, &other)) /* the other may have begun, and ended */
            test = troupe_msg_sender(m);
        troupe_msg_free(&m);
    }
    troupe_ref ref = {(uint64_t)other};
    for (int i = 0; ok && i < rounds; i++) {
        troupe_status st = troupe_link(self, ref);
        ok = st == TROUPE_OK || st == TROUPE_NOT_FOUND;
        if (i % 3 == 0)
            ok = ok && troupe_unlink(self, ref) == TROUPE_OK;
    }
    say(self, test, ok);
}

START_TEST(two_link_with_each_other_at_once) {
    system_up();
    enum { PAIRED = 20 };
    int rounds = TRP_TSAN || TRP_ASAN ? 100 : 500;
    for (int i = 0; i < PAIRED; i++) {
        troupe_ref a = spawn(TROUPE_THREAD, links_and_unlinks, &rounds, sizeof rounds),
                   b = spawn(i % 2 ? TROUPE_THREAD : TROUPE_COROUTINE, links_and_unlinks, &rounds, sizeof rounds);
        order(a, (int64_t)b.id);
        order(b, (int64_t)a.id);
        ck_assert_int_eq(hear(), 1);
        ck_assert_int_eq(hear(), 1);
    }
    system_down();
}
END_TEST

/* --- no memory --- */

START_TEST(no_memory_to_watch) {
    system_up();
    troupe_ref a = obedient_of(TROUPE_COROUTINE, (troupe_ref){0});
    order(a, 0);
    for (int linked = 0; linked < 2; linked++) {
        long n = 1;
        for (;; n++) {
            faults_fail_at(n);
            troupe_status st = linked ? troupe_link(me, a) : troupe_monitor(me, a, NULL);
            faults_off();
            if (st == TROUPE_OK)
                break;
            ck_assert_int_eq(st, TROUPE_NO_MEMORY);
        }
        ck_assert_int_ge(n, 3);
    }
    ck_assert_int_eq(troupe_unlink(me, a), TROUPE_OK);
    order(a, RETURN);
    troupe_down down;
    ck_assert(receive_down(&down));
    nothing_comes();
    system_down();
}
END_TEST

/* --- names --- */

static void named(troupe_self *self, void *arg) {
    const struct watching *w = arg;
    troupe_ref found = {0}, self_ref = troupe_self_ref(self);
    troupe_msg *m;
    bool ok = troupe_register(self, "me", self_ref) == TROUPE_OK && troupe_register(self, "also-me", self_ref) == TROUPE_OK &&
              troupe_register(self, "me", w->test) == TROUPE_EXISTS && troupe_whereis(self, "me", &found) == TROUPE_OK &&
              found.id == self_ref.id && troupe_register(self, "the-test", w->test) == TROUPE_OK &&
              troupe_whereis(self, "nobody", &found) == TROUPE_NOT_FOUND &&
              troupe_unregister(self, "nobody") == TROUPE_NOT_FOUND && troupe_register(self, "", self_ref) == TROUPE_INVALID;
    say(self, w->test, ok);
    if (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK)
        troupe_msg_free(&m);
}

START_TEST(names_come_and_go) {
    system_up();
    troupe_ref found;
    struct watching w = {.test = troupe_self_ref(me)};
    troupe_ref ref = spawn(_i, named, &w, sizeof w);
    ck_assert_int_eq(hear(), 1);
    ck_assert_int_eq(troupe_whereis(me, "also-me", &found), TROUPE_OK);
    ck_assert_uint_eq(found.id, ref.id);
    ck_assert_int_eq(troupe_whereis(me, "the-test", &found), TROUPE_OK);
    ck_assert_uint_eq(found.id, w.test.id);
    ck_assert_int_eq(troupe_unregister(me, "the-test"), TROUPE_OK);
    ck_assert_int_eq(troupe_whereis(me, "the-test", &found), TROUPE_NOT_FOUND);
    stop(ref);
    ck_assert_int_eq(troupe_whereis(me, "me", &found), TROUPE_NOT_FOUND);
    ck_assert_int_eq(troupe_whereis(me, "also-me", &found), TROUPE_NOT_FOUND);
    ck_assert_int_eq(troupe_register(me, "me", ref), TROUPE_NOT_FOUND);
    char longest[TROUPE_NAME_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[TROUPE_NAME_MAX + 1] = 0;
    ck_assert_int_eq(troupe_register(me, longest, w.test), TROUPE_INVALID);
    longest[TROUPE_NAME_MAX] = 0;
    ck_assert_int_eq(troupe_register(me, longest, w.test), TROUPE_OK);
    system_down();
}
END_TEST

START_TEST(a_thousand_names) {
    system_up();
    char name[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "name-%d", i);
        ck_assert_int_eq(troupe_register(me, name, troupe_self_ref(me)), TROUPE_OK);
    }
    for (int i = 0; i < 1000; i++) {
        troupe_ref found;
        snprintf(name, sizeof name, "name-%d", i);
        ck_assert_int_eq(troupe_whereis(me, name, &found), TROUPE_OK);
        ck_assert_int_eq(troupe_unregister(me, name), TROUPE_OK);
        ck_assert_int_eq(troupe_whereis(me, name, &found), TROUPE_NOT_FOUND);
    }
    system_down();
}
END_TEST

START_TEST(no_memory_for_a_name) {
    system_up();
    for (long n = 1;; n++) {
        faults_fail_at(n);
        troupe_status st = troupe_register(me, "name", troupe_self_ref(me));
        faults_off();
        if (st == TROUPE_OK) {
            ck_assert_int_ge(n, 3);
            break;
        }
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
    }
    system_down();
}
END_TEST

int main(void) {
    Suite *s = suite_create("monitor");
    const TTest *const once[] = {a_death_while_it_is_being_watched_is_told_once,
                                 a_cascade_of_ten_thousand,
                                 two_link_with_each_other_at_once,
                                 no_memory_to_watch,
                                 a_thousand_names,
                                 no_memory_for_a_name};
    TCase *c = run_case(s, "once", once, sizeof once / sizeof *once);
    tcase_set_timeout(c, 120);
    const TTest *const pairs[] = {a_monitor_says_how,
                                  the_dead_are_monitored_at_once,
                                  a_down_comes_after_what_the_dead_have_said_and_before_the_rest,
                                  all_that_the_dead_have_said_is_heard_first,
                                  monitors_are_told_apart_and_taken_back,
                                  a_full_mailbox_stops_no_down,
                                  a_link_takes_the_other_along,
                                  a_link_minds_no_normal_end,
                                  who_traps_exits_is_told_once,
                                  an_unlinked_one_is_not_told};
    c = run_case(s, "pairs", NULL, 0);
    tcase_set_timeout(c, 120);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        tcase_add_loop_test(c, pairs[i], 0, PAIRS);
    c = run_case(s, "kinds", NULL, 0);
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, a_monitor_names_the_signal, 0, KINDS);
    tcase_add_loop_test(c, ten_thousand_monitors_on_one, 0, KINDS);
    tcase_add_loop_test(c, a_link_from_birth, 0, KINDS);
    tcase_add_loop_test(c, names_come_and_go, 0, KINDS);
    return run_suite(s);
}
