/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What the runtime costs: messages to and fro by each kind, many senders to one, a ring, births. Each case warms up, runs
 * several times, checks its answer, and prints the median and the worst of the runs.
 *
 *     actor_bench [--only=CASE] [--json] [--brief]
 *     taskset -c 0 actor_bench        everything on one core, which is the steadier figure */
#include "tests/bench/actors/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 5, SENDERS = 8, RING = 1000 };

static struct {
    int64_t scale; /* operations are divided by it */
    int runs;
    bool json;
    const char *only;
} how = {1, RUNS, false, NULL};

/* --- bodies --- */

struct job {
    troupe_ref peer, home;
    int64_t count;
};

/* Sends back each number, one higher, until it is closed. */
static void sends_back(troupe_self *self, void *arg) {
    troupe_msg *m;
    int64_t n;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        troupe_ref from = troupe_msg_sender(m);
        (void)troupe_msg_int(m, &n);
        troupe_msg_free(&m);
        if (troupe_send(self, from, troupe_int(n + 1)) != TROUPE_OK)
            return;
    }
}

/* Plays `count` round trips with its peer each time it is told to; says when they are done. */
static void plays(troupe_self *self, void *arg) {
    const struct job *job = arg;
    while (bench_int(self) >= 0) {
        int64_t n = 0;
        for (int64_t i = 0; i < job->count; i++) {
            if (troupe_send(self, job->peer, troupe_int(n)) != TROUPE_OK)
                return;
            n = bench_int(self);
        }
        (void)!troupe_send(self, job->home, troupe_int(n));
    }
}

static void answers(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        (void)!troupe_reply(self, m, troupe_msg_value(m));
        troupe_msg_free(&m);
    }
}

/* Asks its peer `count` times each time it is told to. */
static void asks(troupe_self *self, void *arg) {
    const struct job *job = arg;
    troupe_msg *answer;
    while (bench_int(self) >= 0) {
        for (int64_t i = 0; i < job->count; i++) {
            if (troupe_ask(self, job->peer, troupe_int(i), TROUPE_FOREVER, &answer) != TROUPE_OK)
                return;
            troupe_msg_free(&answer);
        }
        (void)!troupe_send(self, job->home, troupe_int(job->count));
    }
}

/* Sends `count` numbers each time it is told to. */
static void pours(troupe_self *self, void *arg) {
    const struct job *job = arg;
    while (bench_int(self) >= 0) {
        for (int64_t i = 0; i < job->count; i++) {
            if (troupe_send(self, job->peer, troupe_int(i)) != TROUPE_OK)
                return;
        }
    }
}

/* Receives `count` numbers, and tells that it has; again and again. */
static void drinks(troupe_self *self, void *arg) {
    const struct job *job = arg;
    for (;;) {
        int64_t sum = 0;
        for (int64_t i = 0; i < job->count; i++) {
            int64_t n = bench_int(self);
            if (n < 0)
                return;
            sum += n;
        }
        (void)!troupe_send(self, job->home, troupe_int(sum));
    }
}

static void passes_on(troupe_self *self, void *arg) {
    const struct job *job = arg;
    int64_t n;
    while ((n = bench_int(self)) >= 0) {
        if (troupe_send(self, n ? job->peer : job->home, troupe_int(n ? n - 1 : 0)) != TROUPE_OK)
            return;
    }
}

static void ends_at_once(troupe_self *self, void *arg) {
    (void)self, (void)arg;
}

/* --- measuring --- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void tell(const char *name, const char *unit, double *ns) {
    qsort(ns, (size_t)how.runs, sizeof *ns, by_value);
    double median = ns[how.runs / 2], worst = ns[how.runs - 1];
    if (how.json)
        printf("{\"bench\":\"actor\",\"case\":\"%s\",\"per\":\"%s\",\"median_ns\":%.1f,\"worst_ns\":%.1f}\n", name, unit,
               median, worst);
    else
        printf("%-34s %10.1f ns a %-8s %10.2f M/s   worst %10.1f\n", name, median, unit, 1e3 / median, worst);
    fflush(stdout);
}

static void open_system(unsigned threads) {
    bench_must("open", troupe_system_open(&bench_sys, &(troupe_system_opts){.threads = threads}));
    bench_me = troupe_system_self(bench_sys);
}

/* Tells the actors to go, and waits for one word; once to warm up, then as often as runs are wanted. */
static void measure(const char *name, const char *unit, const troupe_ref *go, int count, int64_t ops, int64_t expected) {
    double ns[RUNS];
    for (int run = -1; run < how.runs; run++) {
        double began = bench_now();
        for (int i = 0; i < count; i++)
            bench_must("go", troupe_send(bench_me, go[i], troupe_int(0)));
        int64_t got = bench_int(bench_me);
        if (got != expected) {
            fprintf(stderr, "actor_bench: %s: the answer is %lld, not %lld\n", name, (long long)got, (long long)expected);
            exit(1);
        }
        if (run >= 0)
            ns[run] = (bench_now() - began) * 1e9 / (double)ops;
    }
    tell(name, unit, ns);
}

/* --- cases --- */

static void ping_pong(const char *name, troupe_kind a, troupe_kind b, unsigned threads, int64_t count) {
    open_system(threads);
    count /= how.scale;
    struct job job = {bench_spawn(b, sends_back, NULL, 0), troupe_self_ref(bench_me), count};
    troupe_ref player = bench_spawn(a, plays, &job, sizeof job);
    measure(name, "message", &player, 1, 2 * count, count);
    troupe_system_close(&bench_sys);
}

static void ask_answer(const char *name, troupe_kind a, troupe_kind b, unsigned threads, int64_t count) {
    open_system(threads);
    count /= how.scale;
    struct job job = {bench_spawn(b, answers, NULL, 0), troupe_self_ref(bench_me), count};
    troupe_ref asker = bench_spawn(a, asks, &job, sizeof job);
    measure(name, "question", &asker, 1, count, count);
    troupe_system_close(&bench_sys);
}

static void fan_in(const char *name, troupe_kind kind, unsigned threads, int64_t each) {
    troupe_ref senders[SENDERS];
    open_system(threads);
    each /= how.scale;
    struct job drink = {{0}, troupe_self_ref(bench_me), each * SENDERS};
    struct job pour = {bench_spawn(kind, drinks, &drink, sizeof drink), {0}, each};
    for (int i = 0; i < SENDERS; i++)
        senders[i] = bench_spawn(kind, pours, &pour, sizeof pour);
    measure(name, "message", senders, SENDERS, each * SENDERS, SENDERS * (each * (each - 1) / 2));
    troupe_system_close(&bench_sys);
}

static void into_a_process(const char *name, int64_t count) {
    open_system(1);
    count /= how.scale;
    struct job drink = {{0}, troupe_self_ref(bench_me), count};
    struct job pour = {bench_spawn(TROUPE_PROCESS, drinks, &drink, sizeof drink), {0}, count};
    troupe_ref sender = bench_spawn(TROUPE_COROUTINE, pours, &pour, sizeof pour);
    measure(name, "message", &sender, 1, count, count * (count - 1) / 2);
    troupe_system_close(&bench_sys);
}

/* An open ring, closed by the opener: a token of n goes through all of them, comes back, and goes in again. */
static void ring(const char *name, unsigned threads, int64_t hops) {
    open_system(threads);
    hops /= how.scale;
    struct job job = {{0}, troupe_self_ref(bench_me), 0};
    troupe_ref next = {0};
    double ns[RUNS];
    for (int i = 0; i < RING; i++) {
        job.peer = i ? next : troupe_self_ref(bench_me);
        next = bench_spawn(TROUPE_COROUTINE, passes_on, &job, sizeof job);
    }
    for (int run = -1; run < how.runs; run++) {
        double began = bench_now();
        for (int64_t left = hops; left > 0; left -= RING + 1) {
            bench_must("token", troupe_send(bench_me, next, troupe_int(left)));
            (void)bench_int(bench_me);
        }
        if (run >= 0)
            ns[run] = (bench_now() - began) * 1e9 / (double)hops;
    }
    tell(name, "hop", ns);
    troupe_system_close(&bench_sys);
}

static void births(const char *name, troupe_kind kind, int64_t count) {
    enum { AT_ONCE = 100 };
    troupe_ref refs[AT_ONCE];
    double ns[RUNS];
    open_system(1);
    count = count / how.scale / AT_ONCE * AT_ONCE;
    count = count ? count : AT_ONCE;
    for (int run = -1; run < how.runs; run++) {
        double began = bench_now();
        for (int64_t left = count; left > 0; left -= AT_ONCE) {
            for (int i = 0; i < AT_ONCE; i++)
                refs[i] = bench_spawn(kind, ends_at_once, NULL, 0);
            for (int i = 0; i < AT_ONCE; i++)
                bench_must("join", troupe_join(bench_me, refs[i], TROUPE_FOREVER, NULL));
        }
        if (run >= 0)
            ns[run] = (bench_now() - began) * 1e9 / (double)count;
    }
    tell(name, "life", ns);
    troupe_system_close(&bench_sys);
}

/* --- all of it --- */

static bool wanted(const char *name) {
    return !how.only || strncmp(name, how.only, strlen(how.only)) == 0;
}

#define CASE(name, call)                                                                                                       \
    do {                                                                                                                       \
        if (wanted(name))                                                                                                      \
            call;                                                                                                              \
    } while (0)

static void all_cases(void) {
    const troupe_kind c = TROUPE_COROUTINE, t = TROUPE_THREAD, p = TROUPE_PROCESS;
    CASE("pingpong.coroutine", ping_pong("pingpong.coroutine", c, c, 1, 1000000));
    CASE("pingpong.coroutine.two-workers", ping_pong("pingpong.coroutine.two-workers", c, c, 2, 50000));
    CASE("pingpong.thread", ping_pong("pingpong.thread", t, t, 1, 50000));
    CASE("pingpong.process", ping_pong("pingpong.process", c, p, 1, 10000));
    CASE("ask.coroutine", ask_answer("ask.coroutine", c, c, 1, 500000));
    CASE("ask.thread", ask_answer("ask.thread", t, t, 1, 50000));
    CASE("ask.process", ask_answer("ask.process", c, p, 1, 10000));
    CASE("fanin.coroutine", fan_in("fanin.coroutine", c, 1, 200000));
    CASE("fanin.coroutine.two-workers", fan_in("fanin.coroutine.two-workers", c, 2, 200000));
    CASE("fanin.thread", fan_in("fanin.thread", t, 1, 50000));
    CASE("stream.process", into_a_process("stream.process", 200000));
    CASE("ring.coroutine", ring("ring.coroutine", 1, 1000000));
    CASE("birth.coroutine", births("birth.coroutine", c, 100000));
    CASE("birth.thread", births("birth.thread", t, 2000));
    CASE("birth.process", births("birth.process", p, 500));
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--only=", 7) == 0)
            how.only = argv[i] + 7;
        else if (strcmp(argv[i], "--json") == 0)
            how.json = true;
        else if (strcmp(argv[i], "--brief") == 0)
            how.scale = 100, how.runs = 2;
        else
            return fprintf(stderr, "usage: actor_bench [--only=CASE] [--json] [--brief]\n"), 2;
    }
    all_cases();
    return 0;
}
