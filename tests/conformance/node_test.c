/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Two systems at one broker: this one, node "a", and node "b" in a process of its own, which has actors of the kind under
 * test. What the test does to them it does from a body of the same kind here. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <troupe/broker.h>
#include <troupe/dead_letter.h>
#include <troupe/monitor.h>
#include <troupe/names.h>
#include <troupe/node.h>

#include "tests/support/actors.h"

static char url[96], dir[64];
static pid_t there;

/* --- node b --- */

enum { FAIL = -1, LEAVE = -2, FORGET = -3, CRASH = -4 };

/* Doubles numbers. */
static void echo(troupe_self *self, void *arg) {
    troupe_msg *m;
    int64_t n;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        if (!troupe_msg_int(m, &n))
            n = FAIL;
        if (n == CRASH)
            raise(SIGKILL);
        if (n == FAIL)
            (void)!troupe_reply_error(self, m, "NO_LUCK", "not today");
        else if (n == FORGET) /* it stays in hand */
            (void)!troupe_register(self, "forgetful", troupe_self_ref(self));
        else
            (void)!troupe_reply(self, m, troupe_int(n * 2));
        if (n != FORGET)
            troupe_msg_free(&m);
        if (n == LEAVE) {
            troupe_exit_with(self, 7, "enough");
            return;
        }
    }
}

/* Counts 0, 1, 2, ... as long as they come in order; says how many when asked. */
static void counts(troupe_self *self, void *arg) {
    troupe_msg *m;
    int64_t n, next = 0;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        if (troupe_msg_wants_reply(m))
            (void)!troupe_reply(self, m, troupe_int(next));
        else if (troupe_msg_int(m, &n) && n == next)
            next++;
        troupe_msg_free(&m);
    }
}

/* Receives nothing until it has a neighbour of this name. */
static void waits(troupe_self *self, void *arg) {
    troupe_ref gate;
    while (troupe_whereis(self, "gate", &gate) != TROUPE_OK)
        if (troupe_sleep(self, 2) != TROUPE_OK)
            return;
    counts(self, arg);
}

/* Opens the gate when it is asked to. */
static void opens(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        (void)!troupe_register(self, "gate", troupe_self_ref(self));
        (void)!troupe_reply(self, m, troupe_nil());
        troupe_msg_free(&m);
    }
}

static void offer(const char *name, int kind, troupe_body *body, size_t mailbox) {
    troupe_ref ref;
    troupe_spawn_opts opts = {.kind = (troupe_kind)kind, .name = name, .mailbox = mailbox};
    ck_assert_int_eq(troupe_spawn(me, &opts, body, NULL, 0, &ref), TROUPE_OK);
    ck_assert_int_eq(troupe_register(me, name, ref), TROUPE_OK);
}

/* Until it is killed, or the test is gone. */
_Noreturn static void be_there(int kind, int ready) {
    troupe_msg *m;
    system_up_with(&(troupe_system_opts){.threads = 2, .broker = url, .name = "b", .authkey_file = ""});
    offer("echo", kind, echo, 0);
    offer("counts", kind, counts, 0);
    offer("waits", kind, waits, 4);
    offer("opens", kind, opens, 0);
    ck_assert_int_eq(troupe_node_join(me, "b", PATIENCE_MS), TROUPE_OK);
    ck_assert_int_eq(write(ready, "!", 1), 1);
    (void)!troupe_receive(me, TROUPE_FOREVER, &m);
    _exit(0);
}

static void there_up(int kind) {
    int fds[2];
    char c;
    ck_assert_int_eq(pipe(fds), 0);
    if ((there = fork()) == 0)
        be_there(kind, fds[1]);
    close(fds[1]);
    ck_assert_int_eq(read(fds[0], &c, 1), 1);
    close(fds[0]);
}

static void there_down(void) {
    kill(there, SIGKILL);
    ck_assert_int_eq(waitpid(there, NULL, 0), there);
}

/* --- the broker, in a process of its own: it has to be there before, and threads must not --- */

static pid_t broker_pid;

static void broker_up(void) {
    troupe_broker *broker;
    const char *why = "";
    int fds[2];
    char c;
    ck_assert_int_eq(pipe(fds), 0);
    if ((broker_pid = fork()) != 0) {
        close(fds[1]);
        ck_assert_int_eq(read(fds[0], &c, 1), 1);
        close(fds[0]);
        return;
    }
    ck_assert_int_eq(troupe_broker_new(&broker, &(troupe_broker_opts){0}), TROUPE_OK);
    ck_assert_msg(troupe_broker_listen(broker, url, &why) == TROUPE_OK, "%s", why);
    ck_assert_int_eq(write(fds[1], "!", 1), 1);
    _exit(troupe_broker_run(broker) != TROUPE_OK);
}

static void up(int kind) {
    snprintf(dir, sizeof dir, "/tmp/troupe-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(url, sizeof url, "ipc://%s/sock", dir);
    broker_up();
    there_up(kind);
    system_up_with(&(troupe_system_opts){.threads = 2, .broker = url, .name = "a", .authkey_file = ""});
}

static void down(void) {
    char command[96];
    troupe_system_close(&sys);
    there_down();
    kill(broker_pid, SIGKILL);
    ck_assert_int_eq(waitpid(broker_pid, NULL, 0), broker_pid);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
}

static troupe_ref find(troupe_self *self, const char *address) {
    troupe_ref ref = {0};
    ck_assert_int_eq(troupe_lookup(self, address, PATIENCE_MS, &ref), TROUPE_OK);
    return ref;
}

/* A question and its answer; how it ended, and what was answered. */
static troupe_status ask(troupe_self *self, troupe_ref to, int64_t n, int64_t *out) {
    troupe_msg *m;
    troupe_status st = troupe_ask(self, to, troupe_int(n), PATIENCE_MS, &m);
    *out = 0;
    if (st == TROUPE_OK) {
        if (troupe_msg_error(m))
            *out = strcmp(troupe_msg_error(m), "NO_LUCK") == 0 ? -1000 : -2000;
        else
            (void)troupe_msg_int(m, out);
        troupe_msg_free(&m);
    }
    return st;
}

/* --- what a body of this kind does, and says to the test --- */

static void asks(troupe_self *self, void *arg) {
    troupe_ref test = *(troupe_ref *)arg, ref = {0};
    int64_t n;
    say(self, test, troupe_lookup(self, "echo@b", PATIENCE_MS, &ref));
    say(self, test, ask(self, ref, 21, &n));
    say(self, test, n);
    say(self, test, ask(self, ref, FAIL, &n));
    say(self, test, n);
    for (int i = 0; i < 100; i++)
        if (ask(self, ref, i, &n) != TROUPE_OK || n != i * 2)
            say(self, test, -1);
    say(self, test, 100);
}

START_TEST(asks_from_every_kind) {
    up(_i);
    troupe_ref test = troupe_self_ref(me), ref = spawn(_i, asks, &test, sizeof test);
    static const int64_t expected[] = {TROUPE_OK, TROUPE_OK, 42, TROUPE_OK, -1000, 100};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        ck_assert_int_eq(hear(), expected[i]);
    ends(ref, TROUPE_END_NORMAL);
    down();
}
END_TEST

enum { MANY = 3000 };

static void sends_many(troupe_self *self, void *arg) {
    troupe_ref test = *(troupe_ref *)arg, ref = {0};
    int64_t n;
    say(self, test, troupe_lookup(self, "counts", PATIENCE_MS, &ref)); /* wherever it is */
    for (int64_t i = 0; i < MANY; i++)
        if (troupe_send(self, ref, troupe_int(i)) != TROUPE_OK)
            say(self, test, -1);
    say(self, test, ask(self, ref, 0, &n));
    say(self, test, n);
}

START_TEST(order_is_kept) {
    up(_i);
    troupe_ref test = troupe_self_ref(me), ref = spawn(_i, sends_many, &test, sizeof test);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_eq(hear(), MANY);
    ends(ref, TROUPE_END_NORMAL);
    down();
}
END_TEST

START_TEST(a_full_mailbox_over_there_is_felt_here) {
    up(_i);
    troupe_ref to = find(me, "waits@b");
    int64_t sent = 0, n;
    troupe_status st = TROUPE_OK;
    while (st == TROUPE_OK && sent < 100000)
        if ((st = troupe_try_send(me, to, troupe_int(sent))) == TROUPE_OK)
            sent++;
    ck_assert_int_eq(st, TROUPE_FULL);
    ck_assert_int_lt(sent, 100000);
    ck_assert_int_eq(ask(me, find(me, "opens@b"), 0, &n), TROUPE_OK);
    ck_assert_int_eq(troupe_send(me, to, troupe_int(sent++)), TROUPE_OK); /* parks until there is room */
    ck_assert_int_eq(ask(me, to, 0, &n), TROUPE_OK);
    ck_assert_int_eq(n, sent);
    down();
}
END_TEST

static troupe_down down_of(troupe_watch watch) {
    troupe_down d;
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    ck_assert(troupe_msg_down(m, &d));
    ck_assert_uint_eq(d.watch.id, watch.id);
    troupe_msg_free(&m);
    return d;
}

START_TEST(its_end_is_told_as_it_was) {
    up(_i);
    troupe_ref to = find(me, "echo@b");
    troupe_watch watch;
    int64_t n;
    ck_assert_int_eq(troupe_monitor(me, to, &watch), TROUPE_OK);
    ck_assert_int_eq(ask(me, to, LEAVE, &n), TROUPE_OK);
    troupe_down d = down_of(watch);
    ck_assert_int_eq(d.exit.how, TROUPE_END_GIVEN);
    ck_assert_int_eq(d.exit.code, 7);
    ck_assert_str_eq(d.exit.text, "enough");
    ends(to, TROUPE_END_GIVEN);
    ck_assert_int_eq(troupe_send(me, to, troupe_int(1)), TROUPE_NOT_FOUND);
    ck_assert_int_eq(troupe_lookup(me, "echo@b", PATIENCE_MS, &to), TROUPE_NOT_FOUND);
    down();
}
END_TEST

START_TEST(a_crash_over_there_is_told) {
    up(_i);
    troupe_ref to = find(me, "echo@b");
    int64_t n;
    ck_assert_int_eq(ask(me, to, CRASH, &n), TROUPE_DIED);
    troupe_exit exit = ends(to, _i == TROUPE_PROCESS ? TROUPE_END_SIGNAL : TROUPE_END_NODE);
    if (_i == TROUPE_PROCESS)
        ck_assert_int_eq(exit.code, SIGKILL);
    down();
}
END_TEST

START_TEST(a_node_that_is_killed_is_lost) {
    up(_i);
    troupe_ref to = find(me, "echo@b");
    troupe_watch watch;
    int64_t n;
    ck_assert_int_eq(ask(me, to, 1, &n), TROUPE_OK);
    ck_assert_int_eq(troupe_monitor(me, to, &watch), TROUPE_OK);
    kill(there, SIGKILL);
    ck_assert_int_eq(down_of(watch).exit.how, TROUPE_END_NODE);
    ck_assert_int_eq(ask(me, to, 1, &n), TROUPE_NOT_FOUND);
    ck_assert_int_eq(troupe_lookup(me, "echo@b", PATIENCE_MS, &to), TROUPE_NO_RESPONDERS);
    down();
}
END_TEST

static void asks_in_vain(troupe_self *self, void *arg) {
    troupe_ref ref = {0};
    int64_t n;
    if (troupe_lookup(self, "echo@b", PATIENCE_MS, &ref) == TROUPE_OK)
        say(self, *(troupe_ref *)arg, ask(self, ref, FORGET, &n));
}

START_TEST(a_question_under_way_when_the_node_is_lost) {
    up(_i);
    troupe_ref test = troupe_self_ref(me), ref = spawn(_i, asks_in_vain, &test, sizeof test), to;
    troupe_status st = TROUPE_NOT_FOUND;
    for (int i = 0; i < 5000 && st == TROUPE_NOT_FOUND; i++) {
        ck_assert_int_eq(troupe_sleep(me, 2), TROUPE_OK);
        st = troupe_lookup(me, "forgetful@b", PATIENCE_MS, &to);
    }
    ck_assert_int_eq(st, TROUPE_OK);
    kill(there, SIGKILL);
    ck_assert_int_eq(hear(), TROUPE_DIED);
    ends(to, TROUPE_END_NODE);
    ends(ref, TROUPE_END_NORMAL);
    down();
}
END_TEST

/* Where nothing is received, a window full is on its way, and the rest waits here. */
START_TEST(what_waits_for_a_lost_node_is_a_dead_letter) {
    enum { SENT = 600, WINDOW = 256 };
    up(_i);
    troupe_ref to = find(me, "waits@b");
    troupe_msg *m;
    troupe_dead_letter d;
    int64_t n = -1;
    ck_assert_int_eq(troupe_dead_letters(me, true), TROUPE_OK);
    for (int i = 0; i < SENT; i++)
        ck_assert_int_eq(troupe_send(me, to, troupe_int(i)), TROUPE_OK);
    kill(there, SIGKILL);
    for (int i = 0; i < SENT - WINDOW || n < SENT - 1; i++) {
        ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
        ck_assert(troupe_msg_dead_letter(m, &d));
        ck_assert_uint_eq(d.to.id, to.id);
        ck_assert_uint_eq(d.from.id, troupe_self_ref(me).id);
        ck_assert_int_eq(d.why, TROUPE_DIED);
        n = d.value.i > n ? d.value.i : n;
        troupe_msg_free(&m);
    }
    ck_assert_int_eq(n, SENT - 1);
    ends(to, TROUPE_END_NODE);
    down();
}
END_TEST

START_TEST(close_and_kill_reach_it) {
    up(_i);
    troupe_ref to = find(me, "echo@b"), other = find(me, "counts@b");
    ck_assert_int_eq(troupe_close(me, to), TROUPE_OK);
    ends(to, TROUPE_END_NORMAL);
    ck_assert_int_eq(troupe_lookup(me, "echo@b", PATIENCE_MS, &to), TROUPE_NOT_FOUND);
    ck_assert_int_eq(troupe_kill(me, other), TROUPE_OK);
    ends(other, TROUPE_END_KILLED);
    troupe_status st = TROUPE_OK;
    for (int i = 0; i < 5000 && st == TROUPE_OK; i++)
        st = troupe_lookup(me, "counts@b", PATIENCE_MS, &other) == TROUPE_OK ? troupe_sleep(me, 2) : TROUPE_NOT_FOUND;
    ck_assert_int_eq(st, TROUPE_NOT_FOUND);
    down();
}
END_TEST

/* --- once --- */

START_TEST(names_and_addresses) {
    char address[TROUPE_ADDRESS_MAX + 1];
    troupe_ref ref, again;
    up(TROUPE_COROUTINE);
    ck_assert_ptr_null(troupe_node_name(me));
    ck_assert_int_eq(troupe_address(me, troupe_self_ref(me), address), TROUPE_UNSUPPORTED);
    ck_assert_int_eq(troupe_node_join(me, "no good", 1000), TROUPE_INVALID);
    ck_assert_int_eq(troupe_node_join(me, "b", PATIENCE_MS), TROUPE_EXISTS);
    ck_assert_int_eq(troupe_node_join(me, "a", PATIENCE_MS), TROUPE_OK);
    ck_assert_int_eq(troupe_node_join(me, "a", PATIENCE_MS), TROUPE_EXISTS);
    ck_assert_str_eq(troupe_node_name(me), "a");
    ck_assert_int_eq(troupe_register(me, "me", troupe_self_ref(me)), TROUPE_OK);
    ck_assert_uint_eq(find(me, "me@a").id, troupe_self_ref(me).id);
    ck_assert_uint_eq(find(me, "me").id, troupe_self_ref(me).id);
    ck_assert_int_eq(troupe_address(me, troupe_self_ref(me), address), TROUPE_OK);
    ck_assert_uint_eq(find(me, address).id, troupe_self_ref(me).id);
    ref = find(me, "echo@b");
    again = find(me, "echo");
    ck_assert_uint_eq(ref.id, again.id);
    ck_assert_int_eq(troupe_lookup(me, "nobody@b", PATIENCE_MS, &ref), TROUPE_NOT_FOUND);
    ck_assert_int_eq(troupe_lookup(me, "nobody@a", PATIENCE_MS, &ref), TROUPE_NOT_FOUND);
    ck_assert_int_eq(troupe_lookup(me, "nobody", 100, &ref), TROUPE_NOT_FOUND);
    ck_assert_int_eq(troupe_lookup(me, "echo@c", PATIENCE_MS, &ref), TROUPE_NO_RESPONDERS);
    static const char *const bad[] = {"", "@b", "echo@", "echo@b c", NULL};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(troupe_lookup(me, bad[i], 100, &ref), TROUPE_INVALID);
    down();
}
END_TEST

/* Closing this system is nobody's end over there. */
START_TEST(a_system_that_closes_takes_nobody_along) {
    up(TROUPE_THREAD);
    int64_t n;
    ck_assert_int_eq(ask(me, find(me, "echo@b"), 1, &n), TROUPE_OK);
    troupe_system_close(&sys);
    system_up_with(&(troupe_system_opts){.threads = 2, .broker = url, .name = "a", .authkey_file = ""});
    ck_assert_int_eq(ask(me, find(me, "echo@b"), 2, &n), TROUPE_OK);
    ck_assert_int_eq(n, 4);
    down();
}
END_TEST

static void links(troupe_self *self, void *arg) {
    troupe_msg *m;
    troupe_ref to;
    if (troupe_lookup(self, "echo@b", PATIENCE_MS, &to) == TROUPE_OK && troupe_link(self, to) == TROUPE_OK)
        say(self, *(troupe_ref *)arg, 1);
    (void)!troupe_receive(self, TROUPE_FOREVER, &m);
}

START_TEST(links_hold_across_nodes) {
    up(TROUPE_PROCESS);
    troupe_ref test = troupe_self_ref(me), ref = spawn(TROUPE_COROUTINE, links, &test, sizeof test);
    int64_t n;
    ck_assert_int_eq(hear(), 1);
    ck_assert_int_eq(ask(me, find(me, "echo@b"), CRASH, &n), TROUPE_DIED);
    ends(ref, TROUPE_END_LINKED);
    down();
}
END_TEST

int main(void) {
    Suite *s = suite_create("node");
    const TTest *const every[] = {asks_from_every_kind,
                                  order_is_kept,
                                  a_full_mailbox_over_there_is_felt_here,
                                  its_end_is_told_as_it_was,
                                  a_crash_over_there_is_told,
                                  a_node_that_is_killed_is_lost,
                                  a_question_under_way_when_the_node_is_lost,
                                  what_waits_for_a_lost_node_is_a_dead_letter,
                                  close_and_kill_reach_it};
    const TTest *const once[] = {names_and_addresses, a_system_that_closes_takes_nobody_along, links_hold_across_nodes};
    TCase *c = tcase_create("every kind");
    for (size_t i = 0; i < sizeof every / sizeof *every; i++)
        tcase_add_loop_test(c, every[i], TROUPE_COROUTINE, TROUPE_PROCESS + 1);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    tcase_set_timeout(run_case(s, "once", once, sizeof once / sizeof *once), 60);
    return run_suite(s);
}
