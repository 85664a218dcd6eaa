/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What an idle actor of each kind takes: memory (proportional set size of this process and all below it, so that what
 * processes share is shared out among them) and the time from its spawn until it waits for its first message.
 *
 *     footprint_bench [--brief] [KIND...]      handler coroutine thread process */
#include "tests/bench/actors/bench.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <troupe/handler.h>
#include <unistd.h>

/* --- memory --- */

static long pss_of(int pid) {
    char path[64], line[128];
    long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "Pss: %ld", &kib) == 1)
            break;
    }
    if (f)
        fclose(f);
    return kib;
}

static int parent_of(int pid) {
    char path[64];
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "re");
    if (f && fscanf(f, "%*d (%*[^)]) %*c %d", &parent) != 1)
        parent = 0;
    if (f)
        fclose(f);
    return parent;
}

/* Of this process, the nursery, and what that has forked, in KiB. */
static long pss_of_all(void) {
    long sum = 0;
    int self = (int)getpid();
    DIR *dir = opendir("/proc");
    for (const struct dirent *e; dir && (e = readdir(dir));) {
        int pid = atoi(e->d_name), parent = pid ? parent_of(pid) : 0;
        if (pid && (pid == self || parent == self || parent_of(parent) == self))
            sum += pss_of(pid);
    }
    if (dir)
        closedir(dir);
    return sum;
}

/* --- actors --- */

/* Says that it is there, and waits. */
static void idle(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)!troupe_send(self, *(troupe_ref *)arg, troupe_nil());
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK)
        troupe_msg_free(&m);
}

static void starts(troupe_self *self, void *state) {
    (void)!troupe_send(self, *(troupe_ref *)state, troupe_nil());
}

static void ignores(troupe_self *self, void *state, troupe_msg **m) {
    (void)self, (void)state, (void)m;
}

static const struct {
    const char *name;
    troupe_kind kind;
    int count;
    bool handler;
} kinds[] = {{"handler", TROUPE_COROUTINE, 100000, true},
             {"coroutine", TROUPE_COROUTINE, 20000, false},
             {"thread", TROUPE_THREAD, 500, false},
             {"process", TROUPE_PROCESS, 100, false}};

static void spawn(size_t i) {
    static const troupe_handler handler = {.on_start = starts, .on_message = ignores};
    troupe_ref to = troupe_self_ref(bench_me);
    troupe_spawn_opts opts = {.kind = kinds[i].kind};
    bench_must("spawn", kinds[i].handler ? troupe_spawn_handler(bench_me, &opts, &handler, &to, sizeof to, NULL)
                                         : troupe_spawn(bench_me, &opts, idle, &to, sizeof to, NULL));
}

/* In a system of its own, so that nothing of another kind is counted. */
static void measure(size_t i, int count) {
    troupe_msg *m;
    bench_must("open", troupe_system_open(&bench_sys, &(troupe_system_opts){.threads = 1}));
    bench_me = troupe_system_self(bench_sys);
    spawn(i); /* threads and nursery are there */
    bench_must("receive", troupe_receive(bench_me, TROUPE_FOREVER, &m));
    troupe_msg_free(&m);
    long before = pss_of_all();
    double began = bench_now();
    for (int n = 0; n < count; n++)
        spawn(i);
    for (int n = 0; n < count; n++) {
        bench_must("receive", troupe_receive(bench_me, TROUPE_FOREVER, &m));
        troupe_msg_free(&m);
    }
    double took = bench_now() - began;
    long grown = pss_of_all() - before;
    printf("%-10s %7d alive %10.1f KiB each %10.2f us each until it waits\n", kinds[i].name, count, (double)grown / count,
           took / count * 1e6);
    fflush(stdout);
    troupe_system_close(&bench_sys);
}

static bool wanted(const char *name, int argc, char **argv) {
    bool named = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], name) == 0)
            return true;
        named |= argv[i][0] != '-';
    }
    return !named;
}

int main(int argc, char **argv) {
    bool brief = argc > 1 && strcmp(argv[1], "--brief") == 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (wanted(kinds[i].name, argc, argv))
            measure(i, brief ? kinds[i].count / 20 : kinds[i].count);
    }
    return 0;
}
