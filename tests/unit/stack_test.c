/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Stacks, their guards, and the switch between them. */
#include "actors/stack.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actors/fiber.h"
#include "tests/support/run.h"

static struct trp_stacks stacks;

START_TEST(stacks_are_used_again) {
    struct trp_stack s[3], again;
    trp_stacks_init(&stacks);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(trp_stack_get(&stacks, i == 2 ? 1 : 0, &s[i]), TROUPE_OK);
        ck_assert_uint_eq(s[i].size, stacks.usual);
        memset(s[i].bottom, 0x5a, s[i].size); /* all of it can be written */
    }
    trp_stack_put(&stacks, &s[1]);
    ck_assert_int_eq(trp_stack_get(&stacks, 0, &again), TROUPE_OK);
    ck_assert_ptr_eq(again.bottom, s[1].bottom);
    struct trp_stack large;
    ck_assert_int_eq(trp_stack_get(&stacks, stacks.usual + 1, &large), TROUPE_OK);
    ck_assert_uint_gt(large.size, stacks.usual);
    memset(large.bottom, 0x5a, large.size);
    ck_assert_int_eq(trp_stack_get(&stacks, (size_t)-1, &again), TROUPE_NO_MEMORY);
    trp_stack_put(&stacks, &large);
    for (int i = 0; i < 3; i++)
        trp_stack_put(&stacks, &s[i]);
    trp_stacks_fini(&stacks);
}
END_TEST

START_TEST(below_a_stack_is_a_guard) {
    struct trp_stack s;
    trp_stacks_init(&stacks);
    ck_assert_int_eq(trp_stack_get(&stacks, 0, &s), TROUPE_OK);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        ((volatile char *)s.bottom)[-1] = 1;
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGSEGV);
    trp_stack_put(&stacks, &s);
    trp_stacks_fini(&stacks);
}
END_TEST

/* --- switching --- */

static struct trp_fiber home, away[3];
static int steps;
static double sum;

static void wanders(void *arg) {
    int me = *(int *)arg;
    double mine = me + 0.5; /* registers must survive */
    for (int i = 0; i < 1000; i++) {
        steps++;
        mine += i;
        trp_fiber_switch(&away[me], &home, false);
    }
    sum += mine;
    trp_fiber_switch(&away[me], &home, true);
}

START_TEST(fibers_take_turns) {
    struct trp_stack s[3];
    int numbers[3] = {0, 1, 2};
    trp_stacks_init(&stacks);
    trp_fiber_adopt(&home);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(trp_stack_get(&stacks, 0, &s[i]), TROUPE_OK);
        trp_fiber_clean(s[i].bottom, s[i].size);
        trp_fiber_init(&away[i], s[i].bottom, s[i].size, wanders, &numbers[i]);
    }
    for (int turn = 0; turn <= 1000; turn++) {
        for (int i = 0; i < 3; i++)
            trp_fiber_switch(&home, &away[i], false);
    }
    ck_assert_int_eq(steps, 3000);
    ck_assert_double_eq(sum, 3 * 499500 + 0.5 + 1.5 + 2.5);
    for (int i = 0; i < 3; i++) {
        trp_fiber_fini(&away[i]);
        trp_stack_put(&stacks, &s[i]);
    }
    trp_stacks_fini(&stacks);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {stacks_are_used_again, below_a_stack_is_a_guard, fibers_take_turns};
    Suite *s = suite_create("stack");
    (void)run_case(s, "stack", tests, sizeof tests / sizeof *tests);
    return run_suite(s);
}
