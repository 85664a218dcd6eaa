/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What programs that measure actors share: the system they run in, clocks, and the line of JSON. A fault ends the program. */
#ifndef TRP_BENCH_H
#define TRP_BENCH_H

#include <troupe/actor.h>

extern troupe_system *bench_sys;
extern troupe_self *bench_me;

struct bench_clock {
    double wall, cpu;
};

_Noreturn void bench_fail(const char *what, const char *why);
void bench_must(const char *what, troupe_status st);
double bench_now(void);
double bench_cpu(void);
struct bench_clock bench_start(void);
/* A line of /proc/self/status, in KiB ("VmRSS:"). */
long bench_rss_kb(const char *key);
/* `end` is bench_now() of the end; `more` continues the JSON object: ",\"key\":%d". */
__attribute__((format(printf, 6, 7))) void bench_report(const char *metric, double value, int64_t n, struct bench_clock from,
                                                        double end, const char *more, ...);
troupe_ref bench_spawn(troupe_kind kind, troupe_body *body, const void *arg, size_t size);
/* The next message as a number; -1: none. */
int64_t bench_int(troupe_self *self);

/* The workloads of actors_bench. */
void bench_ping_pong(const char *variant, int64_t n);
void bench_fan_in(const char *variant, int64_t n);
void bench_ring(const char *variant, int64_t n);
void bench_spawning(const char *variant, int64_t n);
void bench_skynet(const char *variant, int64_t n);
void bench_fairness(const char *variant, int64_t n);

#endif
