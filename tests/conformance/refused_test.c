/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * INVALID says which: what is refused for its options is logged with a name and a sentence. */
#include <troupe/command.h>
#include <troupe/log.h>
#include <troupe/supervisor.h>

#include "tests/support/actors.h"

/* By the thread of the test alone: it is told on the thread that asks. */
static char told[160];

static void on_log(void *ctx, troupe_log_level level, const char *event, const char *text) {
    (void)ctx, (void)level;
    const char *kind = strchr(event, '.');
    if (kind && strcmp(kind, ".invalid") == 0)
        snprintf(told, sizeof told, "%s", text);
}

static void up(void) {
    troupe_log_set(on_log, NULL, TROUPE_LOG_ERROR);
    system_up();
}

static void says(troupe_status st, const char *what) {
    ck_assert_int_eq(st, TROUPE_INVALID);
    ck_assert_msg(strstr(told, what) != NULL, "\"%s\" instead of \"%s\"", told, what);
    told[0] = 0;
}

static void body(troupe_self *self, void *arg) {
    (void)self, (void)arg;
}

START_TEST(spawning) {
    const struct {
        troupe_spawn_opts opts;
        const char *what;
    } cases[] = {
        {{.kind = (troupe_kind)40}, "an actor is not spawned: no such .kind"},
        {{.name = "ann", .restart = (troupe_restart)7}, "ann is not spawned: no such .restart"},
        {{.overflow = (troupe_overflow)7}, "no such .overflow"},
        {{.backoff_max_ms = -1}, "negative"},
        {{.kind = TROUPE_THREAD, .deadline_ms = 5}, "for .kind = TROUPE_PROCESS"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        says(troupe_spawn(me, &cases[i].opts, body, NULL, 0, NULL), cases[i].what);
    says(troupe_spawn(me, NULL, NULL, NULL, 0, NULL), "no body");
    says(troupe_spawn(me, NULL, body, NULL, 5, NULL), "NULL has a size");
}
END_TEST

START_TEST(supervising) {
    troupe_child child = {.body = body, .opts = {.name = "ann"}};
    const troupe_supervisor_opts cases[] = {
        {.strategy = (troupe_strategy)7}, {.period_ms = -1}, {.restarts = TROUPE_RESTARTS_MOST + 1}, {.count = 1}};
    const char *const what[] = {"no such .strategy", ".period_ms", "TROUPE_RESTARTS_MOST", ".children"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        says(troupe_supervise(me, NULL, &cases[i], NULL), what[i]);
    troupe_supervisor_opts one = {.children = &child, .count = 1};
    child.argv = (const char *const[]){"cat", NULL};
    says(troupe_supervise(me, NULL, &one, NULL), "ann: it has to have one of");
    child.body = NULL;
    child.opts.kind = TROUPE_PROCESS;
    says(troupe_supervise(me, NULL, &one, NULL), "no .kind of its own");
    child = (troupe_child){.opts.limits.memory = 1 << 20, .body = body};
    says(troupe_supervise(me, NULL, &one, NULL), "child-1 is not spawned: .deadline_ms, .limits");
}
END_TEST

START_TEST(commanding) {
    const char *const none[] = {NULL}, *const empty[] = {"", NULL}, *const cat[] = {"cat", NULL};
    const troupe_command_opts late = {.timeout_ms = -1}, odd = {.output = (troupe_command_output)9};
    says(troupe_command_spawn(me, NULL, none, NULL), "no program");
    says(troupe_command_spawn(me, NULL, empty, NULL), "no program");
    says(troupe_command_spawn(me, &late, cat, NULL), "cat: .timeout_ms");
    says(troupe_command_spawn(me, &odd, cat, NULL), "cat: no such .output");
}
END_TEST

int main(void) {
    const TTest *const tests[] = {spawning, supervising, commanding};
    Suite *s = suite_create("refused");
    TCase *c = run_case(s, "refused", tests, sizeof tests / sizeof *tests);
    tcase_add_checked_fixture(c, up, system_down);
    return run_suite(s);
}
