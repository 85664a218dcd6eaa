/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * fib: how long it takes. The double recursion is slow on purpose: 1.6 times the work for each n more, which makes it the
 * yardstick of the services here. Each number is a task of a pool with a process for each CPU, so they are computed side by
 * side.
 *
 *     fib 1 10 20 30 35 38 */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>
#include <troupe/pool.h>
#include <troupe/version.h>

enum { LARGEST = 93, MOST = 64 };

static uint64_t fib(int64_t n) {
    return n <= 2 ? 1 : fib(n - 1) + fib(n - 2);
}

static double ms_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void computes(troupe_self *self, troupe_msg *task, void *arg) {
    int64_t n = 0;
    char line[96];
    (void)arg;
    (void)troupe_msg_int(task, &n);
    double began = ms_now();
    uint64_t f = fib(n);
    snprintf(line, sizeof line, "fib(%" PRId64 ") = %" PRIu64 "   (%.3f ms)", n, f, ms_now() - began);
    if (troupe_reply(self, task, troupe_text(line)) != TROUPE_OK)
        fprintf(stderr, "fib: nobody waits for %s\n", line);
}

const char *argp_program_version = "fib " TROUPE_VERSION;

static size_t read_arguments(int argc, char **argv, troupe_value *numbers) {
    static const struct argp argp = {.args_doc = "N...",
                                     .doc = "Computes Fibonacci numbers by naive recursion, and says how long that took."};
    int at;
    argp_err_exit_status = EX_USAGE;
    argp_parse(&argp, argc, argv, 0, &at, NULL);
    if (at == argc || argc - at > MOST) {
        fprintf(stderr, "fib: one to %d numbers are wanted: fib 1 10 20 30 35 38; see fib --help\n", MOST);
        exit(EX_USAGE);
    }
    for (int i = at; i < argc; i++) {
        char *end;
        int64_t n = strtoll(argv[i], &end, 10);
        if (end == argv[i] || *end || n > LARGEST) {
            fprintf(stderr, "fib: %s: a number up to %d is wanted, the last that fits 64 bits\n", argv[i], LARGEST);
            exit(EX_USAGE);
        }
        numbers[i - at] = troupe_int(n);
    }
    return (size_t)(argc - at);
}

int main(int argc, char **argv) {
    troupe_value numbers[MOST];
    troupe_msg *answers[MOST];
    troupe_system *sys;
    troupe_pool pool;
    size_t n = read_arguments(argc, argv, numbers);
    if (troupe_system_open(&sys, NULL) != TROUPE_OK)
        return EXIT_FAILURE;
    troupe_self *me = troupe_system_self(sys);
    if (troupe_pool_open(me, &(troupe_pool_opts){.kind = TROUPE_PROCESS}, computes, NULL, 0, &pool) != TROUPE_OK)
        return EXIT_FAILURE;
    troupe_status st = troupe_pool_map(me, pool, numbers, n, TROUPE_FOREVER, answers);
    for (size_t i = 0; i < n; i++) {
        if (answers[i]) {
            troupe_value v = troupe_msg_value(answers[i]);
            printf("%.*s\n", (int)v.size, (const char *)v.data);
        }
        troupe_msg_free(&answers[i]);
    }
    troupe_system_close(&sys);
    return st == TROUPE_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
