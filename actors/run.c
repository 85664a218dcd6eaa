/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The rest of a main: wait for a signal or for the end of everybody, then let everybody finish.
 *
 *     running --signal or all ended--> draining --time over, or a second signal--> killing
 *        `-------- all ended ---------------`------------------------------------------`--> back to main
 *
 * The signals are those of the opener's loop: the other threads of a system block them all. */
#include <signal.h>

#include "actors/copy.h"
#include "actors/system.h"
#include "transports/log.h"

enum { DRAIN_MS = 5000, KILL_MS = 1000, SIGNALS = 2 };

struct run {
    troupe_system *sys;
    uv_signal_t watch[SIGNALS];
    unsigned watched, closed;
    unsigned signals; /* that have come */
};

static void on_signal(uv_signal_t *watch, int number) {
    struct run *run = watch->data;
    run->signals++;
    trp_log(TROUPE_LOG_INFO, "system.signal", "signal %d: %s", number, run->signals == 1 ? "draining" : "no more waiting");
    trp_actor_unpark(run->sys->opener);
}

static void on_closed(uv_handle_t *watch) {
    struct run *run = watch->data;
    run->closed++;
}

static troupe_status watch_signals(struct run *run) {
    static const int numbers[SIGNALS] = {SIGTERM, SIGINT};
    for (unsigned i = 0; i < SIGNALS; i++) {
        if (uv_signal_init(&run->sys->self.worker->loop.uv, &run->watch[i]) != 0)
            return TROUPE_SYSTEM;
        run->watch[i].data = run;
        run->watched++;
        if (uv_signal_start(&run->watch[i], on_signal, numbers[i]) != 0)
            return TROUPE_SYSTEM;
    }
    return TROUPE_OK;
}

static void unwatch_signals(struct run *run) {
    for (unsigned i = 0; i < run->watched; i++)
        uv_close((uv_handle_t *)&run->watch[i], on_closed);
    while (run->closed < run->watched)
        trp_worker_turn(run->sys->self.worker, 0);
}

/* Those that only serve others are waited for when they have been asked to end. */
static size_t left(troupe_system *sys) {
    size_t serving = atomic_load(&sys->closing) ? atomic_load(&sys->serving) : 0;
    return atomic_load(&sys->live) + serving;
}

/* Until all have ended, `signals` signals have come, or it is late. */
static bool all_ended(struct run *run, unsigned signals, int64_t deadline) {
    troupe_self *self = &run->sys->self;
    bool in_time = true;
    while (left(run->sys) > 0 && run->signals < signals && in_time)
        in_time = self->backend->park(self, deadline);
    return left(run->sys) == 0;
}

static troupe_status drain(struct run *run, int64_t drain_ms) {
    trp_system_close_all(run->sys);
    if (all_ended(run, SIGNALS, trp_deadline(drain_ms ? drain_ms : DRAIN_MS)))
        return TROUPE_OK;
    trp_log(TROUPE_LOG_WARN, "system.killing", "%zu actors have not ended in time", atomic_load(&run->sys->live));
    trp_system_kill_all(run->sys);
    /* Processes are gone in a moment; a thread that computes can't be helped. */
    (void)all_ended(run, UINT32_MAX, trp_deadline(KILL_MS));
    return TROUPE_TIMEOUT;
}

troupe_status troupe_system_run(troupe_system *sys, int64_t drain_ms) {
    struct run run = {.sys = sys};
    if (sys->forks != trp_copy_now())
        return TROUPE_UNSUPPORTED;
    troupe_status st = watch_signals(&run);
    if (st == TROUPE_OK && !all_ended(&run, 1, TRP_NEVER))
        st = drain(&run, drain_ms);
    else if (st == TROUPE_OK && atomic_load(&sys->crashed))
        st = TROUPE_DIED;
    unwatch_signals(&run);
    return st;
}
