/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A4 a million idle actors, A5 skynet: what an actor costs. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <troupe/handler.h>

#include "tests/bench/actors/bench.h"

/* --- A4 --- */

struct order {
    troupe_ref to;
    int64_t n;
};

static atomic_llong alive;

static void answer(troupe_self *self, troupe_msg *m) {
    struct order order;
    memcpy(&order, troupe_msg_value(m).data, sizeof order);
    (void)!troupe_send(self, order.to, troupe_int(order.n));
}

static void idle(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)arg;
    atomic_fetch_add_explicit(&alive, 1, memory_order_relaxed);
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        answer(self, m);
        troupe_msg_free(&m);
    }
}

struct collect {
    troupe_ref home;
    int64_t count;
};

static void collects(troupe_self *self, void *arg) {
    const struct collect *c = arg;
    int64_t sum = 0;
    for (int64_t i = 0; i < c->count; i++)
        sum += bench_int(self);
    (void)!troupe_send(self, c->home, troupe_int(sum));
}

static void on_start(troupe_self *self, void *state) {
    (void)self, (void)state;
    atomic_fetch_add_explicit(&alive, 1, memory_order_relaxed);
}

static void on_message(troupe_self *self, void *state, troupe_msg **m) {
    (void)state;
    answer(self, *m);
}

static const troupe_handler idling = {.on_start = on_start, .on_message = on_message};

static void spawn_idle(bool body, troupe_ref *out) {
    if (body)
        bench_must("spawn", troupe_spawn(bench_me, NULL, idle, NULL, 0, out));
    else
        bench_must("spawn", troupe_spawn_handler(bench_me, NULL, &idling, NULL, 0, out));
}

void bench_spawning(const char *variant, int64_t n) {
    bool body = strstr(variant, "body") != NULL;
    troupe_ref *all = calloc((size_t)n, sizeof *all);
    if (!all)
        bench_fail("A4", "no memory");
    memset(all, 1, (size_t)n * sizeof *all); /* what is ours is there before the first look at the memory */
    struct collect c = {troupe_self_ref(bench_me), n};
    /* As in the others, its mailbox takes all that can come. */
    troupe_ref collector;
    troupe_spawn_opts opts = {.mailbox = (size_t)n + 1, .mailbox_bytes = ((size_t)n + 1) * 1024};
    bench_must("spawn", troupe_spawn(bench_me, &opts, collects, &c, sizeof c, &collector));
    long rss = bench_rss_kb("VmRSS:");
    struct bench_clock from = bench_start();
    for (int64_t i = 0; i < n; i++)
        spawn_idle(body, &all[i]);
    while (atomic_load(&alive) < n)
        troupe_yield(bench_me);
    double spawned = bench_now();
    bench_must("sleep", troupe_sleep(bench_me, 300));
    double bytes = (double)(bench_rss_kb("VmRSS:") - rss) * 1024 / (double)n + sizeof *all, echo = bench_now();
    for (int64_t i = 0; i < n; i++) {
        struct order order = {collector, i};
        bench_must("send", troupe_send(bench_me, all[i], troupe_bytes(&order, sizeof order)));
    }
    if (bench_int(bench_me) != n * (n - 1) / 2)
        bench_fail("A4", "wrong sum");
    echo = bench_now() - echo;
    bench_report("spawns_per_s", (double)n / (spawned - from.wall), n, from, spawned,
                 ",\"bytes_per_actor\":%.1f,\"echo_s\":%.6f", bytes, echo);
}

/* --- A5 --- */

struct range {
    troupe_ref parent;
    int64_t from, count;
};

static void skynet(troupe_self *self, void *arg) {
    struct range r = *(const struct range *)arg;
    int64_t sum = r.from;
    if (r.count > 1) {
        struct range child = {troupe_self_ref(self), r.from, r.count / 10};
        for (int i = 0; i < 10; i++, child.from += child.count)
            bench_must("spawn", troupe_spawn(self, NULL, skynet, &child, sizeof child, NULL));
        sum = 0;
        for (int i = 0; i < 10; i++)
            sum += bench_int(self);
    }
    (void)!troupe_send(self, r.parent, troupe_int(sum));
}

void bench_skynet(const char *variant, int64_t n) {
    struct range root = {troupe_self_ref(bench_me), 0, n};
    (void)variant;
    struct bench_clock from = bench_start();
    bench_must("spawn", troupe_spawn(bench_me, NULL, skynet, &root, sizeof root, NULL));
    if (bench_int(bench_me) != n * (n - 1) / 2)
        bench_fail("A5", "wrong sum");
    double end = bench_now();
    bench_report("seconds", end - from.wall, n, from, end, "%s", "");
}
