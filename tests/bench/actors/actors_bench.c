/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The workloads by which actor runtimes are compared (README.md), one a run, one line of JSON:
 *
 *     actors_bench WORKLOAD VARIANT [N]
 *
 * A variant begins with s1 or s2, the worker threads, or with x2 (A1 only: two thread actors). Time is taken around the work
 * only, and each workload checks its answer. `cpu_s` is the processor time of the same stretch, which a busy machine disturbs
 * less. */
#include "tests/bench/actors/bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

troupe_system *bench_sys;
troupe_self *bench_me;

_Noreturn void bench_fail(const char *what, const char *why) {
    fprintf(stderr, "actors_bench: %s: %s\n", what, why);
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

static const struct workload {
    const char *name;
    void (*run)(const char *variant, int64_t n);
    int64_t nominal;
} workloads[] = {
    {"A1", bench_ping_pong, 1000000}, {"A2", bench_fan_in, 8000000}, {"A3", bench_ring, 1000000},
    {"A4", bench_spawning, 1000000},  {"A5", bench_skynet, 1000000}, {"A7", bench_fairness, 40},
};

static const struct workload *find(const char *name) {
    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++)
        if (strcmp(workloads[i].name, name) == 0)
            return &workloads[i];
    return NULL;
}

int main(int argc, char **argv) {
    const struct workload *w = argc >= 3 ? find(argv[1]) : NULL;
    if (!w || (argv[2][0] != 's' && argv[2][0] != 'x')) {
        fprintf(stderr, "usage: actors_bench A1|A2|A3|A4|A5|A7 s1|s2|x2[-more] [N]\n");
        return 2;
    }
    unsigned threads = argv[2][1] == '1' ? 1 : 2;
    bench_must("open", troupe_system_open(&bench_sys, &(troupe_system_opts){.threads = threads, .no_processes = true}));
    bench_me = troupe_system_self(bench_sys);
    w->run(argv[2], argc > 3 ? strtoll(argv[3], NULL, 10) : w->nominal);
    /* A million actors alive: leaving is quicker than taking them down, and not what is measured. */
    _Exit(0);
}
