/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What programs that measure actors have in common. One system at a time. */
#include "tests/bench/actors/bench.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

troupe_system *bench_sys;
troupe_self *bench_me;

_Noreturn void bench_fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
    exit(1);
}

void bench_must(const char *what, troupe_status st) {
    if (st != TROUPE_OK)
        bench_fail(what, troupe_status_text(st));
}

double bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double bench_cpu(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

long bench_rss_kb(const char *key) {
    FILE *f = fopen("/proc/self/status", "r");
    char line[128];
    long kb = 0;
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0)
            kb = strtol(line + strlen(key), NULL, 10);
    if (f)
        fclose(f);
    return kb;
}

struct bench_clock bench_start(void) {
    return (struct bench_clock){bench_now(), bench_cpu()};
}

void bench_report(const char *metric, double value, int64_t n, struct bench_clock from, double end, const char *more, ...) {
    va_list args;
    printf("{\"metric\":\"%s\",\"value\":%.6f,\"n\":%lld,\"seconds\":%.6f,\"cpu_s\":%.6f,\"peak_rss_kb\":%ld", metric, value,
           (long long)n, end - from.wall, bench_cpu() - from.cpu, bench_rss_kb("VmHWM:"));
    va_start(args, more);
    vprintf(more, args);
    va_end(args);
    printf("}\n");
    fflush(stdout);
}

troupe_ref bench_spawn(troupe_kind kind, troupe_body *body, const void *arg, size_t size) {
    troupe_ref ref;
    bench_must("spawn", troupe_spawn(bench_me, &(troupe_spawn_opts){.kind = kind}, body, arg, size, &ref));
    return ref;
}

int64_t bench_int(troupe_self *self) {
    troupe_msg *m;
    int64_t n = -1;
    if (troupe_receive(self, TROUPE_FOREVER, &m) != TROUPE_OK)
        return -1;
    (void)troupe_msg_int(m, &n);
    troupe_msg_free(&m);
    return n;
}
