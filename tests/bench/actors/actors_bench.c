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

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
