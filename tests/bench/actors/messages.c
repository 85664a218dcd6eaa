/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A1 ping-pong, A2 fan-in, A3 ring, A7 fairness: what a message costs. */
#include <string.h>

#include "tests/bench/actors/bench.h"

enum { PRODUCERS = 8, RING = 1000 };

struct job {
    troupe_ref peer, home;
    int64_t count;
};

/* --- A1 --- */

/* Q: sends back each number, one higher. */
static void pong(troupe_self *self, void *arg) {
    troupe_msg *m;
    int64_t x = 0;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        troupe_ref from = troupe_msg_sender(m);
        (void)troupe_msg_int(m, &x);
        troupe_msg_free(&m);
        if (troupe_send(self, from, troupe_int(x + 1)) != TROUPE_OK)
            return;
    }
}

/* P: is told how many round trips to play, plays them, tells home the last number. */
static void ping(troupe_self *self, void *arg) {
    const struct job *job = arg;
    for (int64_t trips; (trips = bench_int(self)) > 0;) {
        int64_t x = 0;
        for (int64_t i = 0; i < trips; i++) {
            if (troupe_send(self, job->peer, troupe_int(x)) != TROUPE_OK)
                return;
            x = bench_int(self);
        }
        (void)!troupe_send(self, job->home, troupe_int(x));
    }
}

static void play(troupe_ref p, int64_t trips) {
    bench_must("send", troupe_send(bench_me, p, troupe_int(trips)));
    if (bench_int(bench_me) != trips)
        bench_fail("A1", "wrong count");
}

void bench_ping_pong(const char *variant, int64_t n) {
    troupe_kind kind = variant[0] == 'x' ? TROUPE_THREAD : TROUPE_COROUTINE;
    struct job job = {.peer = bench_spawn(kind, pong, NULL, 0), .home = troupe_self_ref(bench_me)};
    troupe_ref p = bench_spawn(kind, ping, &job, sizeof job);
    play(p, n / 100 + 1);
    struct bench_clock from = bench_start();
    play(p, n);
    double end = bench_now();
    bench_report("msgs_per_s", 2 * (double)n / (end - from.wall), 2 * n, from, end, "%s", "");
}

/* --- A2 --- */

struct pair {
    int64_t who, seq;
};

static void pours(troupe_self *self, void *arg) {
    const struct job *job = arg;
    struct pair pair = {.who = bench_int(self)};
    for (; pair.seq < job->count; pair.seq++)
        if (troupe_send(self, job->peer, troupe_bytes(&pair, sizeof pair)) != TROUPE_OK)
            return;
}

static void gathers(troupe_self *self, void *arg) {
    const struct job *job = arg;
    troupe_msg *m;
    int64_t sum = 0;
    for (int64_t i = 0; i < job->count && troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK; i++) {
        struct pair pair;
        memcpy(&pair, troupe_msg_value(m).data, sizeof pair);
        sum += pair.seq;
        troupe_msg_free(&m);
    }
    (void)!troupe_send(self, job->home, troupe_int(sum));
}

void bench_fan_in(const char *variant, int64_t n) {
    int64_t each = n / PRODUCERS;
    struct job job = {.home = troupe_self_ref(bench_me), .count = each * PRODUCERS};
    troupe_ref producers[PRODUCERS];
    (void)variant;
    job.peer = bench_spawn(TROUPE_COROUTINE, gathers, &job, sizeof job);
    job.count = each;
    for (int i = 0; i < PRODUCERS; i++)
        producers[i] = bench_spawn(TROUPE_COROUTINE, pours, &job, sizeof job);
    struct bench_clock from = bench_start();
    for (int i = 0; i < PRODUCERS; i++)
        bench_must("go", troupe_send(bench_me, producers[i], troupe_int(i)));
    if (bench_int(bench_me) != PRODUCERS * (each * (each - 1) / 2))
        bench_fail("A2", "wrong sum");
    double end = bench_now();
    bench_report("msgs_per_s", (double)(each * PRODUCERS) / (end - from.wall), each * PRODUCERS, from, end, ",\"mailbox\":%d",
                 1024);
}

/* --- A3 --- */

/* Is told its successor first (two numbers would do; the reference is bytes), then hands the token on. */
static void link_of_ring(troupe_self *self, void *arg) {
    const troupe_ref *home = arg;
    troupe_ref next = {0};
    troupe_msg *m;
    if (troupe_receive(self, TROUPE_FOREVER, &m) != TROUPE_OK)
        return;
    memcpy(&next, troupe_msg_value(m).data, sizeof next);
    troupe_msg_free(&m);
    for (int64_t h; (h = bench_int(self)) >= 0;)
        if (troupe_send(self, h == 0 ? *home : next, troupe_int(h - (h > 0))) != TROUPE_OK)
            return;
}

static void token(troupe_ref first, int64_t hops) {
    bench_must("send", troupe_send(bench_me, first, troupe_int(hops)));
    if (bench_int(bench_me) != 0)
        bench_fail("A3", "wrong token");
}

void bench_ring(const char *variant, int64_t n) {
    troupe_ref ring[RING], home = troupe_self_ref(bench_me);
    (void)variant;
    for (int i = 0; i < RING; i++)
        ring[i] = bench_spawn(TROUPE_COROUTINE, link_of_ring, &home, sizeof home);
    for (int i = 0; i < RING; i++)
        bench_must("send", troupe_send(bench_me, ring[i], troupe_bytes(&ring[(i + 1) % RING], sizeof *ring)));
    token(ring[0], 10000);
    struct bench_clock from = bench_start();
    token(ring[0], n);
    double end = bench_now();
    bench_report("hops_per_s", (double)n / (end - from.wall), n, from, end, ",\"ring\":%d", RING);
}

/* --- A7 --- */

static int64_t fib(int64_t n) {
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static void hog(troupe_self *self, void *arg) {
    const troupe_ref *home = arg;
    int64_t n = bench_int(self);
    double began = bench_now();
    int64_t f = fib(n);
    (void)!troupe_send(self, *home, troupe_int((int64_t)((bench_now() - began) * 1e9) + (f < 0)));
}

static volatile int phase; /* 0 before, 1 during, 2 over: only read and written between messages */

struct rate {
    int64_t trips;
    double seconds, gap;
};

static struct rate rates[2];

static void clocked_ping(troupe_self *self, void *arg) {
    const struct job *job = arg;
    int64_t x = bench_int(self);
    double last = bench_now();
    for (int now; (now = phase) < 2;) {
        if (troupe_send(self, job->peer, troupe_int(x)) != TROUPE_OK)
            return;
        x = bench_int(self);
        double t = bench_now();
        struct rate *r = &rates[now];
        r->trips++;
        r->seconds += t - last;
        r->gap = t - last > r->gap ? t - last : r->gap;
        last = t;
    }
    (void)!troupe_send(self, job->home, troupe_int(x));
}

void bench_fairness(const char *variant, int64_t n) {
    troupe_ref home = troupe_self_ref(bench_me);
    struct job job = {.peer = bench_spawn(TROUPE_COROUTINE, pong, NULL, 0), .home = home};
    troupe_ref p = bench_spawn(TROUPE_COROUTINE, clocked_ping, &job, sizeof job);
    troupe_ref h = bench_spawn(strstr(variant, "thread") ? TROUPE_THREAD : TROUPE_COROUTINE, hog, &home, sizeof home);
    struct bench_clock from = bench_start();
    bench_must("send", troupe_send(bench_me, p, troupe_int(0)));
    bench_must("sleep", troupe_sleep(bench_me, 1000));
    phase = 1;
    bench_must("send", troupe_send(bench_me, h, troupe_int(n)));
    double fib_s = (double)bench_int(bench_me) / 1e9;
    phase = 2;
    (void)bench_int(bench_me);
    double before = 2 * (double)rates[0].trips / rates[0].seconds, during = 2 * (double)rates[1].trips / rates[1].seconds;
    bench_report(
        "during_over_before", during / before, n, from, bench_now(),
        ",\"before_per_s\":%.0f,\"during_per_s\":%.0f,\"max_gap_before_ms\":%.3f,\"max_gap_during_ms\":%.3f,\"fib_s\":%.3f",
        before, during, rates[0].gap * 1e3, rates[1].gap * 1e3, fib_s);
}
