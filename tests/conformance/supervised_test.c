/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a supervisor may hold: bodies and handlers of each kind, programs, supervisors, and all of them at once. */
#include <signal.h>
#include <stdlib.h>

#include <troupe/monitor.h>

#include "actors/plan.h"
#include "tests/support/boss.h"
#include "tests/support/faults.h"

enum { KINDS = 3, ROLES = 2, ALL = KINDS * KINDS * ROLES, STOPPED = 1000 };

struct clerk {
    troupe_ref test;
    int64_t id, handled;
};

/* --- one clerk, as a body and as a handler: says its number when it begins, STOPPED + it when it ends; counts, and dies of 0
 * --- */

static void clerk_start(troupe_self *self, void *state) {
    struct clerk *c = state;
    say(self, c->test, c->id);
}

static void clerk_message(troupe_self *self, void *state, troupe_msg **m) {
    struct clerk *c = state;
    int64_t n = 0;
    (void)!troupe_msg_int(*m, &n);
    if (n == 0 && troupe_self_kind(self) == TROUPE_PROCESS)
        raise(SIGSEGV);
    if (n == 0)
        troupe_exit_with(self, 1, "told to");
    if (n == 0)
        (void)!troupe_close(self, troupe_self_ref(self)); /* a handler ends so, and has nothing more to handle */
    (void)!troupe_reply(self, *m, troupe_int(++c->handled));
}

static void clerk_end(troupe_self *self, void *state) {
    struct clerk *c = state;
    say(self, c->test, STOPPED + c->id);
}

static const troupe_handler clerk_calls = {.on_start = clerk_start, .on_message = clerk_message, .on_end = clerk_end};

static void clerk_body(troupe_self *self, void *arg) {
    troupe_msg *m;
    clerk_start(self, arg);
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        clerk_message(self, arg, &m);
        troupe_msg_free(&m);
    }
    clerk_end(self, arg);
}

static troupe_child clerk_child(int kind, bool handler, const char *name, struct clerk *c) {
    return (troupe_child){.opts = {.kind = (troupe_kind)kind,
                                   .name = name,
                                   .restart = TROUPE_TRANSIENT,
                                   .registered = true,
                                   .backoff_min_ms = 1,
                                   .backoff_max_ms = 1},
                          .body = handler ? NULL : clerk_body,
                          .handler = handler ? &clerk_calls : NULL,
                          .arg = c,
                          .arg_size = sizeof *c};
}

static int64_t ask(const char *name) {
    troupe_msg *answer;
    int64_t n = -1;
    ck_assert_int_eq(troupe_ask(me, whereis(name), troupe_int(1), PATIENCE_MS, &answer), TROUPE_OK);
    ck_assert(troupe_msg_int(answer, &n));
    troupe_msg_free(&answer);
    return n;
}

static void break_down(const char *name) {
    ck_assert_int_eq(troupe_send(me, whereis(name), troupe_int(0)), TROUPE_OK);
}

/* What a thread or coroutine says when it ends by its own will is heard before it begins anew; a crashed process says nothing.
 */
static void hear_again(const struct clerk *c, int kind) {
    if (kind != TROUPE_PROCESS)
        ck_assert_int_eq(hear(), STOPPED + c->id);
    ck_assert_int_eq(hear(), c->id);
}

START_TEST(bodies_and_handlers_of_each_kind) {
    int boss_kind = _i / (KINDS * ROLES), kind = _i / ROLES % KINDS;
    system_up();
    struct clerk c = {.test = troupe_self_ref(me), .id = 7};
    troupe_child child = clerk_child(kind, _i % ROLES, "clerk", &c);
    troupe_supervisor_opts opts = {.children = &child, .count = 1};
    troupe_ref boss = supervise(boss_kind, &opts);
    ck_assert_int_eq(hear(), 7);
    ck_assert_int_eq(ask("clerk"), 1);
    ck_assert_int_eq(ask("clerk"), 2);
    break_down("clerk");
    hear_again(&c, kind);
    ck_assert_int_eq(ask("clerk"), 1); /* each life begins with what was given */
    troupe_child_info info;
    size_t count;
    ck_assert_int_eq(troupe_supervisor_children(me, boss, &info, 1, &count), TROUPE_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(info.kind, kind);
    ck_assert_uint_eq(info.restarts, 1);
    ck_assert_int_eq(troupe_close(me, boss), TROUPE_OK);
    ck_assert_int_eq(hear(), STOPPED + 7);
    ends(boss, TROUPE_END_NORMAL);
    system_down();
}
END_TEST

/* --- programs --- */

static const char *const cat[] = {"sh", "-c", "echo $$; exec cat", NULL};

static troupe_child program_child(const char *name) {
    return (troupe_child){
        .opts = {.name = name, .restart = TROUPE_PERMANENT, .registered = true, .backoff_min_ms = 1, .backoff_max_ms = 1},
        .argv = cat};
}

/* A line that a program says is text. */
static long hear_line(void) {
    char line[32];
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    troupe_value v = troupe_msg_value(m);
    ck_assert_int_eq(v.kind, TROUPE_TEXT);
    snprintf(line, sizeof line, "%.*s", (int)v.size, (const char *)v.data);
    troupe_msg_free(&m);
    return strtol(line, NULL, 10);
}

static void echoes(const char *name) {
    ck_assert_int_eq(troupe_send(me, whereis(name), troupe_text("42")), TROUPE_OK);
    ck_assert_int_eq(hear_line(), 42);
}

START_TEST(a_killed_program_comes_back) {
    system_up();
    troupe_child child = program_child("cat");
    troupe_supervisor_opts opts = {.children = &child, .count = 1};
    troupe_ref boss = supervise(_i, &opts);
    long pid = hear_line();
    echoes("cat");
    ck_assert_int_eq(kill((pid_t)pid, SIGKILL), 0);
    long again = hear_line();
    ck_assert_int_ne(again, pid);
    echoes("cat");
    ck_assert_int_eq(troupe_close(me, boss), TROUPE_OK);
    ends(boss, TROUPE_END_NORMAL);
    ck_assert_int_eq(kill((pid_t)again, 0), -1);
    ck_assert_int_eq(errno, ESRCH);
    system_down();
}
END_TEST

/* Lines go to whoever is named, and one may be added later. */
START_TEST(a_program_is_added_and_its_lines_go_elsewhere) {
    static const char *const argv[] = {"sh", "-c", "cat; echo 3", NULL};
    system_up();
    troupe_supervisor_opts opts = {0};
    troupe_ref boss = supervise(_i, &opts), ref, reader = troupe_self_ref(me);
    troupe_command_opts command = {.to = reader, .output = TROUPE_WHOLE};
    troupe_child child = {.opts = {.name = "late", .restart = TROUPE_TEMPORARY}, .argv = argv, .command = &command};
    ck_assert_int_eq(troupe_supervisor_add(me, boss, &child, &ref), TROUPE_OK);
    ck_assert_int_eq(troupe_send(me, ref, troupe_text("")), TROUPE_OK);
    ck_assert_int_eq(troupe_supervisor_remove(me, boss, "late"), TROUPE_OK);
    ck_assert_int_eq(hear_line(), 3);
    ck_assert_int_eq(troupe_close(me, boss), TROUPE_OK);
    ends(boss, TROUPE_END_NORMAL);
    system_down();
}
END_TEST

/* --- all of it in one tree --- */

/* Each of a set of numbers once. */
static void hear_each(const struct clerk *c, int n, int64_t more) {
    uint64_t left = 0;
    for (int i = 0; i < n; i++)
        left |= UINT64_C(1) << c[i].id;
    for (int i = 0; i < n; i++) {
        uint64_t bit = UINT64_C(1) << (hear() - more);
        ck_assert_uint_ne(left & bit, 0);
        left &= ~bit;
    }
}

START_TEST(any_mix_nests) {
    enum { N = KINDS * ROLES };
    static const char *const names[N] = {"c", "ch", "t", "th", "p", "ph"};
    struct clerk c[N];
    troupe_child leaves[N];
    system_up();
    for (int i = 0; i < N; i++) {
        c[i] = (struct clerk){.test = troupe_self_ref(me), .id = i};
        leaves[i] = clerk_child(i / ROLES, i % ROLES, names[i], &c[i]);
    }
    troupe_supervisor_opts below = {.strategy = TROUPE_ONE_FOR_ALL, .children = leaves + 2, .count = N - 2};
    troupe_child top[] = {leaves[0], {.opts = {.name = "below", .kind = (troupe_kind)_i}, .supervisor = &below}, leaves[1]};
    troupe_supervisor_opts opts = {.strategy = TROUPE_ONE_FOR_ONE, .children = top, .count = 3};
    troupe_ref boss = supervise(TROUPE_COROUTINE, &opts);
    hear_each(c, N, 0);
    break_down("ch");
    hear_again(&c[1], TROUPE_COROUTINE);
    break_down("ph"); /* one for all: the three others below end, and all four begin again */
    hear_each(c + 2, N - 3, STOPPED);
    hear_each(c + 2, N - 2, 0);
    ck_assert_int_eq(troupe_close(me, boss), TROUPE_OK);
    hear_each(c, N, STOPPED);
    ends(boss, TROUPE_END_NORMAL);
    system_down();
}
END_TEST

/* --- what it can't be --- */

static troupe_status try(const troupe_child *child) {
    troupe_supervisor_opts opts = {.children = child, .count = 1};
    return troupe_supervise(me, NULL, &opts, NULL);
}

START_TEST(a_child_is_one_thing) {
    static const troupe_handler nothing;
    static const troupe_command_opts command;
    struct clerk c = {0};
    system_up_with(&(troupe_system_opts){.threads = 1, .no_processes = true});
    ck_assert_int_eq(try(&(troupe_child){.opts = {.name = "none"}}), TROUPE_INVALID);
    ck_assert_int_eq(try(&(troupe_child){.body = clerk_body, .handler = &clerk_calls}), TROUPE_INVALID);
    ck_assert_int_eq(try(&(troupe_child){.body = clerk_body, .argv = cat}), TROUPE_INVALID);
    ck_assert_int_eq(try(&(troupe_child){.handler = &nothing}), TROUPE_INVALID);
    ck_assert_int_eq(try(&(troupe_child){.handler = &clerk_calls, .arg_size = 1}), TROUPE_INVALID);
    ck_assert_int_eq(try(&(troupe_child){.argv = cat, .arg = &c, .arg_size = sizeof c}), TROUPE_INVALID);
    ck_assert_int_eq(try(&(troupe_child){.argv = cat, .opts = {.kind = TROUPE_THREAD}}), TROUPE_INVALID);
    ck_assert_int_eq(try(&(troupe_child){.body = clerk_body, .command = &command}), TROUPE_INVALID);
    ck_assert_int_eq(try(&(troupe_child){.argv = cat}), TROUPE_UNSUPPORTED);
    system_down();
}
END_TEST

START_TEST(no_memory_for_a_plan) {
    system_up();
    struct clerk c = {0};
    troupe_child mix[] = {clerk_child(TROUPE_COROUTINE, true, "handler", &c), program_child("program")};
    troupe_supervisor_opts opts = {.children = mix, .count = 2};
    troupe_status st = TROUPE_NO_MEMORY;
    long n = 0;
    while (st == TROUPE_NO_MEMORY) {
        struct trp_buf plan = {0};
        faults_fail_at(++n);
        st = trp_plan_write(&plan, me, &opts);
        trp_buf_fini(&plan);
        faults_off();
        ck_assert_int_eq(faults.live, 0);
    }
    ck_assert_int_eq(st, TROUPE_OK);
    ck_assert_int_ge(n, 6);
    system_down();
}
END_TEST

int main(void) {
    Suite *s = suite_create("supervised");
    const TTest *const once[] = {a_child_is_one_thing, no_memory_for_a_plan};
    TCase *c = run_case(s, "once", once, sizeof once / sizeof *once);
    tcase_set_timeout(c, 120);
    const TTest *const kinds[] = {a_killed_program_comes_back, a_program_is_added_and_its_lines_go_elsewhere, any_mix_nests};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        tcase_add_loop_test(c, kinds[i], 0, KINDS);
    tcase_add_loop_test(c, bodies_and_handlers_of_each_kind, 0, ALL);
    return run_suite(s);
}
