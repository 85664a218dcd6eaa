/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * sleep-actor: a service that waits as many milliseconds as it is asked to, as one that calls other services does. Each
 * of its workers is a coroutine that serves one request at a time, and ten thousand of them are a small thing: that many
 * requests wait side by side on a few threads.
 *
 *     brokerd --gateway=tcp://127.0.0.1:25000/sleep &
 *     sleep-actor 10000 &
 *     echo 500 | nc -N 127.0.0.1 25000      500, half a second later */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <troupe/actor.h>
#include <troupe/log.h>
#include <troupe/version.h>

enum { LONGEST_MS = 3600000 };

static troupe_status answer(troupe_self *self, troupe_msg *msg) {
    int64_t ms;
    if (!troupe_msg_int(msg, &ms) || ms < 0 || ms > LONGEST_MS)
        return troupe_reply_error(self, msg, "NO_TIME", "send a number of milliseconds, up to an hour");
    if (troupe_sleep(self, ms) != TROUPE_OK)
        return TROUPE_OK; /* killed: the broker gives it to another */
    return troupe_reply(self, msg, troupe_int(ms));
}

static void sleeper(troupe_self *self, void *arg) {
    (void)arg;
    troupe_msg *msg;
    if (troupe_subscribe(self, "sleep", &(troupe_sub_opts){.group = "workers", .credit = 1}) != TROUPE_OK)
        return;
    while (troupe_receive(self, TROUPE_FOREVER, &msg) == TROUPE_OK) {
        if (answer(self, msg) < 0)
            fprintf(stderr, "sleep-actor: no answer could be given\n");
        troupe_msg_free(&msg);
    }
}

const char *argp_program_version = "sleep-actor " TROUPE_VERSION;

static long read_arguments(int argc, char **argv) {
    static const struct argp argp = {
        .args_doc = "[WORKERS]",
        .doc = "Waits as many milliseconds as it is asked to, on the topic sleep of the broker that "
               "TROUPE_BROKER names. WORKERS: 1 to 100000 requests at a time, 100 if it is not said."};
    int at;
    argp_err_exit_status = EX_USAGE;
    argp_parse(&argp, argc, argv, 0, &at, NULL);
    if (at == argc)
        return 100;
    char *end;
    long workers = strtol(argv[at], &end, 10);
    if (*end || workers < 1 || workers > 100000 || at + 1 < argc) {
        fprintf(stderr, "sleep-actor: %s: one number from 1 to 100000 is wanted; see sleep-actor --help\n", argv[argc - 1]);
        exit(EX_USAGE);
    }
    return workers;
}

int main(int argc, char **argv) {
    troupe_system *sys;
    long workers = read_arguments(argc, argv);
    troupe_log_set(troupe_log_stderr, NULL, TROUPE_LOG_WARN);
    if (troupe_system_open(&sys, NULL) != TROUPE_OK)
        return 1;
    for (long i = 0; i < workers; i++) {
        if (troupe_spawn(troupe_system_self(sys), NULL, sleeper, NULL, 0, NULL) != TROUPE_OK)
            return 1;
    }
    printf("sleep-actor: %ld coroutines\n", workers);
    fflush(stdout);
    troupe_status st = troupe_system_run(sys, 0);
    troupe_system_close(&sys);
    return st == TROUPE_OK ? 0 : 1;
}
