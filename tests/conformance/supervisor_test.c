/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Supervisors, of every kind and with children of every kind: who is started again when, in which order all end, when
 * one gives up, and that ten thousand restarts leave nothing behind. */
#include <dirent.h>
#include <malloc.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <troupe/inspect.h>
#include <troupe/monitor.h>

#include "actors/plan.h"
#include "actors/sanitizer.h"
#include "actors/system.h"
#include "tests/support/boss.h"
#include "tests/support/effort.h"
#include "tests/support/faults.h"

enum { KINDS = 3, PAIRS = KINDS * KINDS, STOPPED = 1000 };
enum order { RETURN = 1, GIVE_REASON, FAULT };

struct clerk {
    troupe_ref test;
    int64_t id;
};

/* Says its number when it begins, and STOPPED + its number when it is asked to end; ends as it is told otherwise. */
static void clerk(troupe_self *self, void *arg) {
    struct clerk c = *(struct clerk *)arg;
    troupe_msg *m;
    say(self, c.test, c.id);
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        int64_t order = 0;
        (void)!troupe_msg_int(m, &order);
        troupe_msg_free(&m);
        if (order == FAULT)
            raise(SIGSEGV);
        if (order == GIVE_REASON)
            troupe_exit_with(self, 1, "told to");
        if (order)
            return;
    }
    say(self, c.test, STOPPED + c.id);
}

/* Says its number and dies of it. */
static void dies_at_once(troupe_self *self, void *arg) {
    struct clerk c = *(struct clerk *)arg;
    say(self, c.test, c.id);
    troupe_exit_with(self, 1, "no luck");
}

static struct clerk clerks[3];

static troupe_child child_of(int kind, int i, troupe_restart restart) {
    static const char *const names[] = {"a", "b", "c"};
    clerks[i] = (struct clerk){.test = troupe_self_ref(me), .id = i + 1};
    return (troupe_child){.opts = {.kind = (troupe_kind)kind,
                                   .name = names[i],
                                   .restart = restart,
                                   .registered = true,
                                   .backoff_min_ms = 1,
                                   .backoff_max_ms = 1},
                          .body = clerk,
                          .arg = &clerks[i],
                          .arg_size = sizeof clerks[i]};
}

static void order(const char *name, int64_t what) {
    ck_assert_int_eq(troupe_send(me, whereis(name), troupe_int(what)), TROUPE_OK);
}

/* Each of so many numbers once, in any order, as the bits of their sum of 1 << n. */
static unsigned hear_set(int n) {
    unsigned set = 0;
    for (int i = 0; i < n; i++) {
        int64_t said = hear();
        ck_assert_int_ge(said, 1);
        ck_assert_int_le(said, 3);
        ck_assert(!(set & 1U << said));
        set |= 1U << said;
    }
    return set;
}

static size_t children_of(troupe_ref supervisor, troupe_child_info *infos, size_t most) {
    size_t count;
    ck_assert_int_eq(troupe_supervisor_children(me, supervisor, infos, most, &count), TROUPE_OK);
    return count;
}

/* A supervisor hears of an end by itself; when it has, `gone` is not in its list any more. */
static void until_heard(troupe_ref supervisor, troupe_ref gone) {
    troupe_child_info infos[3];
    for (bool there = true; there;) {
        size_t n = children_of(supervisor, infos, 3);
        there = false;
        for (size_t i = 0; i < n; i++)
            there = there || infos[i].ref.id == gone.id;
    }
}

/* --- who is started again --- */

static bool comes_back(troupe_restart restart, bool crash) {
    return restart == TROUPE_PERMANENT || (restart == TROUPE_TRANSIENT && crash);
}

static void expect(troupe_ref boss, troupe_strategy strategy, troupe_restart restart, bool crash) {
    troupe_child_info infos[3] = {0};
    bool again = comes_back(restart, crash);
    bool first = again && strategy == TROUPE_ONE_FOR_ALL, last = again && strategy != TROUPE_ONE_FOR_ONE;
    if (last)
        ck_assert_int_eq(hear(), STOPPED + 3);
    if (first)
        ck_assert_int_eq(hear(), STOPPED + 1);
    if (again)
        ck_assert_uint_eq(hear_set(1 + first + last), 4U | (first ? 2U : 0) | (last ? 8U : 0));
    size_t n = children_of(boss, infos, 3);
    ck_assert_uint_eq(n, !again && restart == TROUPE_TEMPORARY ? 2 : 3);
    ck_assert_int_eq(infos[0].restarts, first);
    ck_assert_int_eq(infos[n - 1].restarts, last);
    if (n == 3) {
        ck_assert_str_eq(infos[1].name, "b");
        ck_assert_int_eq(infos[1].restarts, again);
        ck_assert_int_eq(infos[1].state, again ? TROUPE_CHILD_RUNNING : TROUPE_CHILD_ENDED);
        ck_assert_uint_eq(infos[1].ref.id, again ? whereis("b").id : 0);
    }
}

static void strategy_case(int boss_kind, int kind, troupe_strategy strategy, troupe_restart restart, bool crash) {
    troupe_child children[3];
    for (int i = 0; i < 3; i++)
        children[i] = child_of(kind, i, i == 1 ? restart : TROUPE_PERMANENT);
    troupe_ref boss = supervise(boss_kind, &(troupe_supervisor_opts){.strategy = strategy, .children = children, .count = 3});
    ck_assert_uint_eq(hear_set(3), 2U | 4U | 8U);
    troupe_ref b = whereis("b");
    order("b", !crash ? RETURN : kind == TROUPE_PROCESS ? FAULT : GIVE_REASON);
    ends(b, !crash ? TROUPE_END_NORMAL : kind == TROUPE_PROCESS ? TROUPE_END_SIGNAL : TROUPE_END_GIVEN);
    until_heard(boss, b);
    expect(boss, strategy, restart, crash);
    ck_assert_int_eq(troupe_close(me, boss), TROUPE_OK);
    ck_assert_int_eq(hear(), STOPPED + 3);
    if (comes_back(restart, crash))
        ck_assert_int_eq(hear(), STOPPED + 2);
    ck_assert_int_eq(hear(), STOPPED + 1);
    ends(boss, TROUPE_END_NORMAL);
}

START_TEST(each_strategy_with_each_restart) {
    system_up();
    for (int strategy = TROUPE_ONE_FOR_ONE; strategy <= TROUPE_REST_FOR_ONE; strategy++) {
        for (int restart = TROUPE_TEMPORARY; restart <= TROUPE_PERMANENT; restart++) {
            for (int crash = 0; crash < 2; crash++)
                strategy_case(_i / KINDS, _i % KINDS, (troupe_strategy)strategy, (troupe_restart)restart, crash);
        }
    }
    system_down();
}
END_TEST

START_TEST(a_killed_child_comes_back_under_its_name) {
    system_up();
    troupe_child child = child_of(_i, 0, TROUPE_TRANSIENT);
    troupe_ref boss = supervise(TROUPE_COROUTINE, &(troupe_supervisor_opts){.children = &child, .count = 1});
    ck_assert_int_eq(hear(), 1);
    troupe_ref before = whereis("a");
    ck_assert_int_eq(troupe_kill(me, before), TROUPE_OK);
    ck_assert_int_eq(hear(), 1);
    ck_assert_uint_ne(whereis("a").id, before.id);
    ends(before, TROUPE_END_KILLED);
    ck_assert_int_eq(troupe_close(me, boss), TROUPE_OK);
    ends(boss, TROUPE_END_NORMAL);
    ck_assert_int_eq(hear(), STOPPED + 1);
    system_down();
}
END_TEST

/* --- giving up --- */

START_TEST(too_many_restarts) {
    system_up();
    troupe_child children[2] = {child_of(_i % KINDS, 0, TROUPE_PERMANENT), child_of(_i % KINDS, 1, TROUPE_TRANSIENT)};
    children[1].body = dies_at_once;
    troupe_supervisor_opts opts = {.restarts = 2, .period_ms = 60000, .children = children, .count = 2};
    troupe_ref boss = supervise(_i / KINDS, &opts);
    int starts = 0;
    for (int64_t said = 0; said != STOPPED + 1;) {
        said = hear();
        starts += said == 2;
    }
    ck_assert_int_eq(starts, 3);
    troupe_exit exit = ends(boss, TROUPE_END_GIVEN);
    ck_assert_str_eq(exit.text, "gave up: b: no luck");
    system_down();
}
END_TEST

START_TEST(restarts_are_forgotten_with_time) {
    system_up();
    troupe_child child = child_of(TROUPE_COROUTINE, 0, TROUPE_PERMANENT);
    child.opts.backoff_min_ms = child.opts.backoff_max_ms = 15;
    child.body = dies_at_once;
    troupe_supervisor_opts opts = {.restarts = 1, .period_ms = 5, .children = &child, .count = 1};
    troupe_ref boss = supervise(TROUPE_COROUTINE, &opts);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(hear(), 1);
    ck_assert_int_eq(troupe_close(me, boss), TROUPE_OK);
    ends(boss, TROUPE_END_NORMAL);
    system_down();
}
END_TEST

START_TEST(a_supervisor_below_gives_up_and_is_mended) {
    system_up();
    troupe_child leaves[2] = {child_of(_i, 0, TROUPE_PERMANENT), child_of(_i, 1, TROUPE_PERMANENT)};
    leaves[1].body = dies_at_once;
    troupe_supervisor_opts below = {.restarts = 2, .period_ms = 60000, .children = leaves, .count = 2};
    troupe_child top[1] = {
        {.opts = {.name = "below", .restart = TROUPE_TRANSIENT, .kind = (troupe_kind)_i, .backoff_min_ms = 1},
         .supervisor = &below}};
    troupe_supervisor_opts opts = {.restarts = 1, .period_ms = 60000, .children = top, .count = 1};
    troupe_ref boss = supervise(_i, &opts);
    int starts = 0, stops = 0, firsts = 0;
    while (stops < 2) {
        int64_t said = hear();
        starts += said == 2;
        firsts += said == 1;
        stops += said == STOPPED + 1;
    }
    ck_assert_int_eq(starts, 6);
    ck_assert_int_eq(firsts, 2);
    ck_assert_str_eq(ends(boss, TROUPE_END_GIVEN).text, "gave up: below: gave up: b: no luck");
    system_down();
}
END_TEST

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

START_TEST(a_crash_loop_backs_off) {
    static const int64_t least[] = {20, 40, 80, 80};
    system_up();
    troupe_child child = child_of(_i, 0, TROUPE_PERMANENT);
    child.opts.backoff_min_ms = 20;
    child.opts.backoff_max_ms = 80;
    child.body = dies_at_once;
    troupe_supervisor_opts opts = {.restarts = TROUPE_NO_LIMIT, .children = &child, .count = 1};
    troupe_ref boss = supervise(TROUPE_COROUTINE, &opts);
    ck_assert_int_eq(hear(), 1);
    /* What we hear late makes the next interval shorter, so all of them together are looked at. */
    int64_t begun = now_ms(), sum = 0;
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(hear(), 1);
        sum += least[i];
    }
    ck_assert_int_ge(now_ms() - begun, sum - 20);
    ck_assert_int_eq(troupe_close(me, boss), TROUPE_OK);
    ends(boss, TROUPE_END_NORMAL);
    system_down();
}
END_TEST

/* --- ends --- */

/* Hears nothing of its end. */
static void deaf(troupe_self *self, void *arg) {
    struct clerk c = *(struct clerk *)arg;
    say(self, c.test, c.id);
    for (;;)
        pause();
}

START_TEST(who_does_not_end_in_time_is_killed) {
    system_up();
    troupe_child children[2] = {child_of(TROUPE_COROUTINE, 0, TROUPE_PERMANENT), child_of(TROUPE_PROCESS, 1, TROUPE_PERMANENT)};
    children[1].body = deaf;
    children[1].shutdown_ms = 50;
    troupe_ref boss = supervise(_i, &(troupe_supervisor_opts){.children = children, .count = 2});
    ck_assert_uint_eq(hear_set(2), 2U | 4U);
    troupe_ref a = whereis("a"), b = whereis("b");
    int64_t begun = now_ms();
    ck_assert_int_eq(troupe_close(me, boss), TROUPE_OK);
    ends(b, TROUPE_END_KILLED);
    ck_assert_int_ge(now_ms() - begun, 49);
    ck_assert_int_eq(hear(), STOPPED + 1);
    ends(a, TROUPE_END_SHUTDOWN);
    ends(boss, TROUPE_END_NORMAL);
    system_down();
}
END_TEST

static pid_t process_of(troupe_ref ref) {
    troupe_snapshot *s;
    pid_t pid = 0;
    ck_assert_int_eq(troupe_system_snapshot(sys, &s), TROUPE_OK);
    for (size_t i = 0; i < s->count; i++)
        pid = s->actors[i].ref.id == ref.id ? (pid_t)s->actors[i].pid : pid;
    troupe_snapshot_free(&s);
    ck_assert_int_gt(pid, 0);
    return pid;
}

START_TEST(a_killed_supervisor_takes_its_children_along) {
    system_up();
    troupe_child children[2] = {child_of(_i % KINDS, 0, TROUPE_PERMANENT), child_of(_i % KINDS, 1, TROUPE_PERMANENT)};
    troupe_ref boss = supervise(_i / KINDS, &(troupe_supervisor_opts){.children = children, .count = 2});
    ck_assert_uint_eq(hear_set(2), 2U | 4U);
    troupe_ref a = whereis("a"), b = whereis("b");
    ck_assert_int_eq(troupe_kill(me, boss), TROUPE_OK);
    ck_assert_str_eq(ends(a, TROUPE_END_LINKED).text, "killed");
    ck_assert_str_eq(ends(b, TROUPE_END_LINKED).text, "killed");
    ends(boss, TROUPE_END_KILLED);
    system_down();
}
END_TEST

/* By the link, or by the one between, which has the time to shut it down or has not. */
static void is_pulled_down(troupe_ref ref) {
    troupe_exit exit;
    ck_assert_int_eq(troupe_join(me, ref, PATIENCE_MS, &exit), TROUPE_OK);
    ck_assert_msg(exit.how == TROUPE_END_LINKED || exit.how == TROUPE_END_SHUTDOWN, "ended: %d %s", exit.how, exit.text);
}

/* Of whatever kind each of them is, and whether it is killed by the runtime or its process by the system. */
START_TEST(a_tree_falls_with_its_top) {
    system_up();
    troupe_kind kind = (troupe_kind)(_i % KINDS), below_kind = (troupe_kind)(_i / KINDS);
    troupe_child leaves[2] = {child_of(TROUPE_PROCESS, 0, TROUPE_PERMANENT), child_of(TROUPE_THREAD, 1, TROUPE_PERMANENT)};
    troupe_supervisor_opts below = {.children = leaves, .count = 2};
    troupe_child top[1] = {
        {.opts = {.name = "below", .kind = below_kind, .registered = true, .restart = TROUPE_PERMANENT}, .supervisor = &below}};
    troupe_ref boss = supervise(kind, &(troupe_supervisor_opts){.children = top, .count = 1});
    ck_assert_uint_eq(hear_set(2), 2U | 4U);
    troupe_ref a = whereis("a"), b = whereis("b"), middle = whereis("below");
    if (kind == TROUPE_PROCESS)
        ck_assert_int_eq(kill(process_of(boss), SIGKILL), 0);
    else
        ck_assert_int_eq(troupe_kill(me, boss), TROUPE_OK);
    ends(boss, kind == TROUPE_PROCESS ? TROUPE_END_SIGNAL : TROUPE_END_KILLED);
    is_pulled_down(middle);
    is_pulled_down(a);
    is_pulled_down(b);
    system_down();
}
END_TEST

START_TEST(the_end_of_the_system_goes_down_the_tree_in_order) {
    system_up();
    troupe_child leaves[2] = {child_of(_i, 0, TROUPE_PERMANENT), child_of(_i, 1, TROUPE_PERMANENT)};
    troupe_supervisor_opts below = {.children = leaves, .count = 2};
    troupe_child top[2] = {{.opts = {.name = "below", .kind = (troupe_kind)_i}, .supervisor = &below},
                           child_of(_i, 2, TROUPE_PERMANENT)};
    troupe_ref boss = supervise(_i, &(troupe_supervisor_opts){.children = top, .count = 2});
    ck_assert_uint_eq(hear_set(3), 2U | 4U | 8U);
    trp_system_close_all(sys);
    ck_assert_int_eq(hear(), STOPPED + 3);
    ck_assert_int_eq(hear(), STOPPED + 2);
    ck_assert_int_eq(hear(), STOPPED + 1);
    ends(boss, TROUPE_END_NORMAL);
    system_down();
}
END_TEST

/* --- orders --- */

START_TEST(children_come_and_go) {
    system_up();
    int kind = _i % KINDS;
    troupe_child_info infos[4];
    troupe_ref boss = supervise(_i / KINDS, &(troupe_supervisor_opts){.count = 0}), a, again;
    ck_assert_uint_eq(children_of(boss, infos, 4), 0);
    troupe_child child = child_of(kind, 0, TROUPE_PERMANENT), other = child_of(kind, 1, TROUPE_TEMPORARY);
    ck_assert_int_eq(troupe_supervisor_add(me, boss, &child, &a), TROUPE_OK);
    ck_assert_int_eq(hear(), 1);
    ck_assert_uint_eq(whereis("a").id, a.id);
    ck_assert_int_eq(troupe_supervisor_add(me, boss, &child, NULL), TROUPE_EXISTS);
    ck_assert_int_eq(troupe_supervisor_add(me, boss, &other, NULL), TROUPE_OK);
    ck_assert_int_eq(hear(), 2);
    ck_assert_uint_eq(children_of(boss, infos, 1), 2);
    ck_assert_str_eq(infos[0].name, "a");
    ck_assert_uint_eq(infos[0].ref.id, a.id);
    ck_assert_int_eq(infos[0].kind, kind);
    ck_assert_int_eq(troupe_supervisor_restart(me, boss, "a", &again), TROUPE_OK);
    ck_assert_int_eq(hear(), STOPPED + 1);
    ck_assert_int_eq(hear(), 1);
    ck_assert_uint_ne(again.id, a.id);
    ends(a, TROUPE_END_SHUTDOWN);
    ck_assert_int_eq(troupe_supervisor_remove(me, boss, "a"), TROUPE_OK);
    ck_assert_int_eq(hear(), STOPPED + 1);
    ck_assert_int_eq(troupe_supervisor_remove(me, boss, "a"), TROUPE_NOT_FOUND);
    ck_assert_int_eq(troupe_supervisor_restart(me, boss, "a", NULL), TROUPE_NOT_FOUND);
    ck_assert_uint_eq(children_of(boss, infos, 4), 1);
    ck_assert_int_eq(troupe_close(me, boss), TROUPE_OK);
    ck_assert_int_eq(hear(), STOPPED + 2);
    ends(boss, TROUPE_END_NORMAL);
    ck_assert_int_eq(troupe_supervisor_add(me, boss, &child, NULL), TROUPE_NOT_FOUND);
    system_down();
}
END_TEST

static void answers_anything(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        (void)!troupe_reply(self, m, troupe_int(1));
        troupe_msg_free(&m);
    }
}

START_TEST(what_cannot_be_supervised) {
    system_up();
    troupe_child twins[2] = {child_of(TROUPE_COROUTINE, 0, TROUPE_PERMANENT), child_of(TROUPE_COROUTINE, 0, TROUPE_PERMANENT)};
    troupe_supervisor_opts opts = {.children = twins, .count = 2};
    ck_assert_int_eq(troupe_supervise(me, NULL, &opts, NULL), TROUPE_EXISTS);
    opts.count = 1;
    opts.strategy = (troupe_strategy)7;
    ck_assert_int_eq(troupe_supervise(me, NULL, &opts, NULL), TROUPE_INVALID);
    opts.strategy = TROUPE_ONE_FOR_ONE;
    opts.restarts = TROUPE_RESTARTS_MOST + 1;
    ck_assert_int_eq(troupe_supervise(me, NULL, &opts, NULL), TROUPE_INVALID);
    opts.restarts = 0;
    /* A child that cannot be started: its name is taken. */
    ck_assert_int_eq(troupe_register(me, "a", troupe_self_ref(me)), TROUPE_OK);
    ck_assert_int_eq(troupe_supervise(me, NULL, &opts, NULL), TROUPE_DIED);
    troupe_ref other = spawn(TROUPE_COROUTINE, answers_anything, NULL, 0);
    ck_assert_int_eq(troupe_supervisor_add(me, other, twins, NULL), TROUPE_INVALID);
    ck_assert_int_eq(troupe_supervisor_remove(me, other, "a"), TROUPE_INVALID);
    stop(other);
    system_down();
}
END_TEST

START_TEST(no_memory_for_a_plan) {
    system_up();
    troupe_child leaf = child_of(TROUPE_COROUTINE, 0, TROUPE_PERMANENT);
    troupe_supervisor_opts below = {.children = &leaf, .count = 1};
    troupe_child top[2] = {{.opts = {.name = "below"}, .supervisor = &below}, child_of(TROUPE_THREAD, 1, TROUPE_PERMANENT)};
    troupe_supervisor_opts opts = {.children = top, .count = 2};
    for (long n = 1;; n++) {
        struct trp_buf plan = {0};
        faults_fail_at(n);
        troupe_status st = trp_plan_write(&plan, me, &opts);
        trp_buf_fini(&plan);
        faults_off();
        ck_assert_int_eq(faults.live, 0);
        if (st == TROUPE_OK) {
            ck_assert_int_ge(n, 5);
            break;
        }
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
    }
    system_down();
}
END_TEST

/* --- ten thousand restarts --- */

static int count_fds(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* Processes, alive or dead, whose parent is the nursery. */
static int count_processes(void) {
    int n = 0, parent;
    struct dirent *e;
    DIR *d = opendir("/proc");
    ck_assert_ptr_nonnull(d);
    while ((e = readdir(d))) {
        char path[300];
        snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
        FILE *f = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? fopen(path, "r") : NULL;
        n += f && fscanf(f, "%*d %*s %*c %d", &parent) == 1 && parent == (int)sys->nursery.pid;
        if (f)
            fclose(f);
    }
    closedir(d);
    return n;
}

static void hear_starts(int n) {
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(hear(), 1);
}

START_TEST(thousands_of_restarts_leave_nothing_behind) {
    static const int most[] = {[TROUPE_COROUTINE] = 5000, [TROUPE_THREAD] = 5000, [TROUPE_PROCESS] = 500};
    enum { CROWD = 20 };
    int n = effort_rounds(most[_i] / CROWD) * CROWD;
    system_up();
    int fds = TRP_TSAN ? 0 : count_fds();
    troupe_child children[CROWD];
    for (int i = 0; i < CROWD; i++) {
        children[i] = child_of(_i, 0, TROUPE_PERMANENT);
        children[i].opts.name = NULL;
        children[i].opts.registered = false;
        children[i].body = dies_at_once;
    }
    troupe_supervisor_opts opts = {.restarts = TROUPE_NO_LIMIT, .children = children, .count = CROWD};
    troupe_ref boss = supervise(TROUPE_COROUTINE, &opts);
    hear_starts(n / 2);
    size_t bytes = mallinfo2().uordblks; /* the message blocks that this thread keeps are there by now */
    hear_starts(n / 2 + CROWD);
    ck_assert_int_eq(troupe_close(me, boss), TROUPE_OK);
    troupe_exit exit;
    troupe_status st;
    troupe_msg *m;
    /* Those that begin meanwhile may have to wait for room here. */
    while ((st = troupe_join(me, boss, 0, &exit)) == TROUPE_TIMEOUT) {
        if (troupe_receive(me, 10, &m) == TROUPE_OK)
            troupe_msg_free(&m);
    }
    ck_assert_int_eq(st, TROUPE_OK);
    if (!TRP_ASAN && !TRP_TSAN)
        ck_assert_uint_lt(mallinfo2().uordblks, bytes + 512 * 1024);
    if (!TRP_TSAN)                               /* it takes a folder that is read for what others close */
        ck_assert_int_le(count_fds(), fds + 32); /* workers and the steward have been started; no more */
    if (_i == TROUPE_PROCESS)
        ck_assert_int_eq(count_processes(), 0);
    system_down();
}
END_TEST

int main(void) {
    Suite *s = suite_create("supervisor");
    const TTest *const once[] = {restarts_are_forgotten_with_time, what_cannot_be_supervised, no_memory_for_a_plan};
    TCase *c = run_case(s, "once", once, sizeof once / sizeof *once);
    tcase_set_timeout(c, 120);
    const TTest *const kinds[] = {a_killed_child_comes_back_under_its_name,
                                  a_supervisor_below_gives_up_and_is_mended,
                                  a_crash_loop_backs_off,
                                  who_does_not_end_in_time_is_killed,
                                  the_end_of_the_system_goes_down_the_tree_in_order,
                                  thousands_of_restarts_leave_nothing_behind};
    c = run_case(s, "kinds", NULL, 0);
    tcase_set_timeout(c, 120);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        tcase_add_loop_test(c, kinds[i], 0, KINDS);
    const TTest *const pairs[] = {each_strategy_with_each_restart, too_many_restarts,
                                  a_killed_supervisor_takes_its_children_along, a_tree_falls_with_its_top,
                                  children_come_and_go};
    c = run_case(s, "pairs", NULL, 0);
    tcase_set_timeout(c, 120);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        tcase_add_loop_test(c, pairs[i], 0, PAIRS);
    return run_suite(s);
}
