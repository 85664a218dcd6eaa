/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Messages between two processes of one host, one workload a run, one line of JSON:
 *
 *     process_bench pp|to|from|pp2|stream2 [N [BYTES]]
 *
 *     pp       an integer to a process actor and back, N round trips, from the thread that opened the system
 *     to       N messages of BYTES (128), numbered, to a process actor, which checks the numbers and answers once
 *     from     the same from a process actor
 *     pp2      pp between two process actors
 *     stream2  `to` between two process actors
 *
 * A hundredth of it before is warming up. `cpu_s` is processor time of the two ends, `switches` how often they gave up the
 * processor to wait, a message, `syscalls` how often they slept on a word or woke each other: what a busy machine disturbs less
 * than time. `taskset -c 0 process_bench ...`: both on one processor. */
#include "tests/bench/actors/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "actors/futex.h"

enum { PAYLOAD = 128, PAYLOAD_MOST = 64 << 20 };

struct job {
    troupe_ref home, peer;
    int64_t warm, count;
    size_t payload;
    bool leads; /* of two process actors, the one that is measured */
};

struct spent {
    double wall, cpu;
    int64_t switches, calls;
};

static struct spent spent(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (struct spent){.wall = bench_now(),
                          .cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                                 (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6,
                          .switches = u.ru_nvcsw,
                          .calls = (int64_t)atomic_load(&trp_futex_calls)};
}

static struct spent since(struct spent from) {
    struct spent now = spent();
    return (struct spent){now.wall - from.wall, now.cpu - from.cpu, now.switches - from.switches, now.calls - from.calls};
}

static void send_spent(troupe_self *self, troupe_ref to, struct spent s) {
    bench_must("send", troupe_send(self, to, troupe_bytes(&s, sizeof s)));
}

static struct spent take_spent(troupe_self *self) {
    struct spent s;
    troupe_msg *m;
    bench_must("receive", troupe_receive(self, TROUPE_FOREVER, &m));
    troupe_value v = troupe_msg_value(m);
    if (v.kind != TROUPE_BYTES || v.size != sizeof s)
        bench_fail("the answer", "it is wrong");
    memcpy(&s, v.data, sizeof s);
    troupe_msg_free(&m);
    return s;
}

/* --- to and fro --- */

static int64_t take_int(troupe_self *self) {
    troupe_msg *m;
    int64_t n = -1;
    bench_must("receive", troupe_receive(self, TROUPE_FOREVER, &m));
    (void)troupe_msg_int(m, &n);
    troupe_msg_free(&m);
    return n;
}

static struct spent serve(troupe_self *self, troupe_ref peer, int64_t warm, int64_t count) {
    struct spent from = spent();
    int64_t x = 0;
    for (int64_t i = 0; i < warm + count; i++) {
        if (i == warm)
            from = spent();
        bench_must("send", troupe_send(self, peer, troupe_int(x)));
        x = take_int(self);
    }
    if (x != warm + count)
        bench_fail("the count", "it is wrong");
    return since(from);
}

static void sends_back(troupe_self *self, void *arg) {
    const struct job *j = arg;
    struct spent from = spent();
    troupe_msg *m;
    for (int64_t i = 0; i < j->warm + j->count; i++) {
        if (i == j->warm)
            from = spent();
        int64_t n;
        bench_must("receive", troupe_receive(self, TROUPE_FOREVER, &m));
        troupe_ref who = troupe_msg_sender(m);
        if (!troupe_msg_int(m, &n))
            bench_fail("a message", "it is wrong");
        troupe_msg_free(&m);
        bench_must("send", troupe_send(self, who, troupe_int(n + 1)));
    }
    send_spent(self, j->home, since(from));
}

/* --- one way --- */

static void pour(troupe_self *self, troupe_ref to, size_t payload, int64_t from, int64_t count) {
    static uint8_t bytes[PAYLOAD_MOST];
    for (int64_t i = from; i < from + count; i++) {
        memcpy(bytes, &i, sizeof i);
        bench_must("send", troupe_send(self, to, troupe_bytes(bytes, payload)));
    }
}

/* Looks at all of it, as who needs a message does. */
static void check_zero(const uint8_t *p, size_t n) {
    uint64_t word, all = 0;
    for (size_t i = 0; i + sizeof word <= n; i += sizeof word) {
        memcpy(&word, p + i, sizeof word);
        all |= word;
    }
    if (all)
        bench_fail("a byte", "it is wrong");
}

static void drink(troupe_self *self, size_t payload, int64_t from, int64_t count) {
    for (int64_t i = from; i < from + count; i++) {
        troupe_msg *m;
        int64_t n;
        bench_must("receive", troupe_receive(self, TROUPE_FOREVER, &m));
        troupe_value v = troupe_msg_value(m);
        if (v.kind != TROUPE_BYTES || v.size != payload)
            bench_fail("a message", "it is wrong");
        memcpy(&n, v.data, sizeof n);
        if (n != i)
            bench_fail("the order", "it is wrong");
        if (payload > PAYLOAD)
            check_zero((const uint8_t *)v.data + sizeof n, payload - sizeof n);
        troupe_msg_free(&m);
    }
}

/* Warmed up, it says so and goes on; and says at the end what it has cost. */
static void drinks(troupe_self *self, void *arg) {
    const struct job *j = arg;
    drink(self, j->payload, 0, j->warm);
    send_spent(self, j->peer, spent());
    struct spent from = spent();
    drink(self, j->payload, j->warm, j->count);
    send_spent(self, j->peer, since(from));
}

static struct spent pour_all(troupe_self *self, const struct job *j, troupe_ref to, struct spent *other) {
    pour(self, to, j->payload, 0, j->warm);
    (void)take_spent(self);
    struct spent from = spent();
    pour(self, to, j->payload, j->warm, j->count);
    *other = take_spent(self);
    return since(from);
}

static void pours(troupe_self *self, void *arg) {
    const struct job *j = arg;
    pour(self, j->home, j->payload, 0, j->warm);
    (void)take_int(self);
    struct spent from = spent();
    pour(self, j->home, j->payload, j->warm, j->count);
    send_spent(self, j->home, since(from));
}

/* --- two process actors --- */

static void leads(troupe_self *self, void *arg) {
    const struct job *j = arg;
    (void)take_int(self);
    struct spent other = {0}, mine = j->leads ? serve(self, j->peer, j->warm, j->count) : pour_all(self, j, j->peer, &other);
    if (j->leads)
        other = take_spent(self);
    mine.cpu += other.cpu;
    mine.switches += other.switches;
    mine.calls += other.calls;
    send_spent(self, j->home, mine);
}

/* Each learns first who leads; then the leader may begin. */
static troupe_ref learn_leader(troupe_self *self, const struct job *j) {
    troupe_ref leader = {(uint64_t)take_int(self)};
    bench_must("send", troupe_send(self, j->home, troupe_int(1)));
    return leader;
}

static void follows_drinking(troupe_self *self, void *arg) {
    struct job j = *(const struct job *)arg;
    j.peer = learn_leader(self, &j);
    drinks(self, &j);
}

static void follows_sending_back(troupe_self *self, void *arg) {
    struct job j = *(const struct job *)arg;
    j.home = learn_leader(self, &j);
    sends_back(self, &j);
}

/* --- the program --- */

static troupe_ref spawn(troupe_body *body, struct job j) {
    troupe_ref ref;
    bench_must("spawn", troupe_spawn(bench_me, &(troupe_spawn_opts){.kind = TROUPE_PROCESS}, body, &j, sizeof j, &ref));
    return ref;
}

static struct spent add(struct spent a, struct spent b) {
    return (struct spent){a.wall, a.cpu + b.cpu, a.switches + b.switches, a.calls + b.calls};
}

static struct spent run_from(struct job j) {
    troupe_ref peer = spawn(pours, j);
    drink(bench_me, j.payload, 0, j.warm);
    bench_must("send", troupe_send(bench_me, peer, troupe_int(1)));
    struct spent from = spent();
    drink(bench_me, j.payload, j.warm, j.count);
    struct spent mine = since(from);
    return add(mine, take_spent(bench_me));
}

static struct spent run_pair(struct job j, troupe_body *follows) {
    j.peer = spawn(follows, j);
    troupe_ref leader = spawn(leads, j);
    bench_must("send", troupe_send(bench_me, j.peer, troupe_int((int64_t)leader.id)));
    (void)take_int(bench_me);
    bench_must("send", troupe_send(bench_me, leader, troupe_int(1)));
    return take_spent(bench_me);
}

static struct spent run(const char *what, struct job j) {
    struct spent other;
    if (strcmp(what, "pp") == 0) {
        struct spent mine = serve(bench_me, spawn(sends_back, j), j.warm, j.count);
        return add(mine, take_spent(bench_me));
    }
    if (strcmp(what, "to") == 0) {
        j.peer = j.home;
        struct spent mine = pour_all(bench_me, &j, spawn(drinks, j), &other);
        return add(mine, other);
    }
    if (strcmp(what, "from") == 0)
        return run_from(j);
    j.leads = strcmp(what, "pp2") == 0;
    if (j.leads)
        return run_pair(j, follows_sending_back);
    if (strcmp(what, "stream2") == 0)
        return run_pair(j, follows_drinking);
    bench_fail(what, "pp, to, from, pp2 or stream2 is wanted");
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "pp";
    bool to_and_fro = strncmp(what, "pp", 2) == 0;
    struct job j = {.count = argc > 2 ? strtoll(argv[2], NULL, 10) : to_and_fro ? 100000 : 2000000};
    j.payload = argc > 3 ? (size_t)strtoull(argv[3], NULL, 10) : PAYLOAD;
    if (j.payload < sizeof(int64_t) || j.payload > PAYLOAD_MOST)
        bench_fail("BYTES", "it is too little or too much");
    j.warm = j.count / 100 + 1;
    bench_must("open", troupe_system_open(&bench_sys, &(troupe_system_opts){.threads = 1}));
    bench_me = troupe_system_self(bench_sys);
    j.home = troupe_self_ref(bench_me);
    struct spent s = run(what, j);
    double n = (double)j.count * (to_and_fro ? 2 : 1);
    printf("{\"metric\":\"msgs_per_s\",\"value\":%.0f,\"n\":%.0f,\"seconds\":%.4f,\"cpu_s\":%.4f,\"ns_per_msg\":%.1f,"
           "\"cpu_ns_per_msg\":%.1f,\"switches_per_msg\":%.4f,\"syscalls_per_msg\":%.4f}\n",
           n / s.wall, n, s.wall, s.cpu, s.wall * 1e9 / n, s.cpu * 1e9 / n, (double)s.switches / n, (double)s.calls / n);
    troupe_system_close(&bench_sys);
    return 0;
}
