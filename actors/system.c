/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Opening, spawning, closing.
 *
 * The order of opening matters: the nursery is forked before there is anything that a fork would copy half (threads,
 * loops, buffers of stdio). The order of closing is the other way round, and each step waits for the one before:
 * bodies return, threads are joined, workers stop, the nursery goes, memory is freed. */
#include "actors/system.h"

#include <errno.h>
#include <stdio.h>

#include "actors/attach.h"
#include "actors/copy.h"
#include "actors/cores.h"
#include "actors/node.h"
#include "actors/object.h"
#include "actors/overflow.h"
#include "actors/straight.h"
#include "transports/alloc.h"
#include "transports/assert.h"
#include "transports/authkey.h"
#include "transports/log.h"

/* --- workers --- */

/* Under the lock, which nobody else waits for but other first coroutines. */
static troupe_status crew_launch(troupe_system *sys) {
    troupe_status st = trp_crew_open(&sys->crew, sys, sys->count);
    /* Release pairs with the acquire in trp_system_worker. */
    atomic_store_explicit(&sys->manned, st == TROUPE_OK, memory_order_release);
    return st;
}

troupe_status trp_system_worker(troupe_system *sys, struct trp_worker **out) {
    troupe_status st = TROUPE_OK;
    if (sys->stage) {
        *out = sys->stage->worker;
        return TROUPE_OK;
    }
    if (!atomic_load_explicit(&sys->manned, memory_order_acquire)) {
        pthread_mutex_lock(&sys->lock);
        /* Relaxed: changed under the lock only. */
        if (!atomic_load_explicit(&sys->manned, memory_order_relaxed))
            st = crew_launch(sys);
        pthread_mutex_unlock(&sys->lock);
    }
    if (st == TROUPE_OK)
        *out = trp_crew_place(&sys->crew);
    return st;
}

static void steward_end(troupe_system *sys, struct trp_worker *w) {
    trp_worker_join(w);
    trp_nursery_detach(&sys->nursery);
    trp_worker_free(w);
}

static troupe_status steward_launch(troupe_system *sys) {
    struct trp_worker *w;
    troupe_status st = trp_worker_new(&w, sys, "steward");
    if (st != TROUPE_OK)
        return st;
    st = trp_nursery_attach(&sys->nursery, &w->loop);
    if (st == TROUPE_OK)
        st = trp_worker_start(w);
    if (st != TROUPE_OK) {
        steward_end(sys, w);
        return st;
    }
    sys->steward = w;
    /* Release pairs with the acquire in trp_system_steward. */
    atomic_store_explicit(&sys->steady, w, memory_order_release);
    return TROUPE_OK;
}

troupe_status trp_system_steward(troupe_system *sys, struct trp_worker **out) {
    struct trp_worker *w = atomic_load_explicit(&sys->steady, memory_order_acquire);
    if (!w) {
        pthread_mutex_lock(&sys->lock);
        troupe_status st = sys->steward ? TROUPE_OK : steward_launch(sys);
        w = sys->steward;
        pthread_mutex_unlock(&sys->lock);
        if (st != TROUPE_OK)
            return st;
    }
    *out = w;
    return TROUPE_OK;
}

/* --- threads --- */

static void threads_join(struct trp_thread *t) {
    while (t) {
        struct trp_thread *next = t->next;
        pthread_join(t->id, NULL);
        trp_free(t);
        t = next;
    }
}

/* Takes the threads that are over. Under the lock. */
static struct trp_thread *threads_take(troupe_system *sys) {
    struct trp_thread *over = sys->over;
    sys->over = NULL;
    for (struct trp_thread *t = over; t; t = t->next)
        sys->threads--;
    return over;
}

troupe_status trp_system_thread_start(troupe_system *sys, struct trp_thread *t, void *(*fn)(void *), size_t stack) {
    pthread_mutex_lock(&sys->lock);
    sys->threads++;
    struct trp_thread *over = threads_take(sys);
    pthread_mutex_unlock(&sys->lock);
    threads_join(over);
    pthread_t unused; /* it tells its own, when it is over: by then this one may not be written yet */
    troupe_status st = trp_thread_start(&unused, fn, t, stack);
    if (st != TROUPE_OK) {
        pthread_mutex_lock(&sys->lock);
        sys->threads--;
        pthread_mutex_unlock(&sys->lock);
    }
    return st;
}

void trp_system_thread_over(troupe_system *sys, struct trp_thread *t) {
    pthread_mutex_lock(&sys->lock);
    t->id = pthread_self();
    t->next = sys->over;
    sys->over = t;
    pthread_cond_signal(&sys->threads_over);
    pthread_mutex_unlock(&sys->lock);
}

/* Waits for all threads of actors. */
static void threads_end(troupe_system *sys) {
    pthread_mutex_lock(&sys->lock);
    while (sys->threads > 0) {
        while (!sys->over && sys->threads > 0)
            pthread_cond_wait(&sys->threads_over, &sys->lock);
        struct trp_thread *over = threads_take(sys);
        pthread_mutex_unlock(&sys->lock);
        threads_join(over);
        pthread_mutex_lock(&sys->lock);
    }
    pthread_mutex_unlock(&sys->lock);
}

/* --- news --- */

void trp_system_restarting(troupe_system *sys, struct trp_actor *a, const troupe_exit *exit, int64_t delay_ms) {
    (void)sys;
    trp_log(TROUPE_LOG_WARN, "actor.restarting", "%s ended: %s; it is started again in %lld ms", a->birth->name, exit->text,
            (long long)delay_ms);
}

/* Where it is counted. NULL: an object, which has nothing to do but what others do with it. */
static atomic_size_t *count_of(troupe_system *sys, const struct trp_actor *a) {
    if (a->backend == &trp_object_backend)
        return NULL;
    return trp_node_owns(a->birth->body) ? &sys->serving : &sys->live;
}

/* Who is of the system's crew settles before it sleeps; others don't, and keep nothing. */
static struct trp_tally *tally_of(troupe_system *sys, const atomic_size_t *count) {
    struct trp_runner *here = trp_runner_here();
    return here && here->crew == &sys->crew && count == &sys->live ? &here->tally : NULL;
}

/* The opener may be waiting for the last one. It outlives all others. */
static void count_out(troupe_system *sys, atomic_size_t *count) {
    if (trp_tally_out(tally_of(sys, count), count))
        trp_actor_unpark(sys->opener);
}

void trp_system_settle(troupe_system *sys) {
    if (trp_tally_settle(tally_of(sys, &sys->live), &sys->live))
        trp_actor_unpark(sys->opener);
}

static void say_ended(const struct trp_actor *a, const troupe_exit *exit, troupe_log_level level) {
    if (trp_log_wants(level))
        trp_log(level, "actor.ended", "%s ended: %s", a->birth->name, exit->text);
}

void trp_system_ended(troupe_system *sys, struct trp_actor *a, const troupe_exit *exit) {
    bool crash = trp_exit_is_crash(exit);
    atomic_size_t *count = count_of(sys, a);
    say_ended(a, exit, crash ? TROUPE_LOG_WARN : TROUPE_LOG_DEBUG);
    if (crash && count == &sys->live)
        atomic_store(&sys->crashed, true);
    if (a != sys->opener && count)
        count_out(sys, count);
}

/* --- spawning --- */

enum { STAGE_STACK = 256 * 1024 }; /* for bodies that count on that of a thread */

static const struct trp_backend *backend_of(const troupe_system *sys, const struct trp_birth *birth) {
    troupe_kind kind = sys->stage ? TROUPE_COROUTINE : birth->kind;
    if ((int)birth->kind == TRP_OBJECT_KIND)
        return &trp_object_backend;
    switch (kind) {
    case TROUPE_COROUTINE:
        return birth->body == trp_handler_body ? &trp_handler_backend : &trp_coroutine_backend;
    case TROUPE_THREAD:
        return birth->body == trp_attached_body ? &trp_attached_backend : &trp_thread_backend;
    case TROUPE_PROCESS:
        break;
    }
    return &trp_process_backend;
}

static void name_it(troupe_system *sys, struct trp_birth *b) {
    struct trp_runner *here = trp_runner_here();
    _Static_assert(sizeof b->name >= TRP_LABEL_SIZE, "it fits");
    if (!b->name[0])
        trp_label_next(here ? &here->labels : NULL, &sys->named, b->name);
}

static troupe_status actor_new(troupe_system *sys, struct trp_birth *birth, struct trp_actor **out) {
    troupe_status st = trp_registry_new(&sys->registry, out, sys, birth);
    if (st != TROUPE_OK)
        return st;
    name_it(sys, birth);
    if (sys->stage && birth->kind != TROUPE_COROUTINE && !birth->stack)
        birth->stack = STAGE_STACK;
    const struct trp_backend *backend = backend_of(sys, birth);
    (*out)->backend = backend;
    st = backend->house ? backend->house(*out) : TROUPE_OK;
    if (st != TROUPE_OK) {
        trp_birth_ref(birth); /* it stays the caller's */
        atomic_store(&(*out)->refs, 1);
        trp_actor_abort(*out);
    }
    return st;
}

/* Who closes sets `closing` and then looks at all actors there are; we have been published and then look at `closing`. All four
 * are sequentially consistent (see registry.c), so one of us sees the other. */
static void kill_if_closing(troupe_system *sys, uint64_t id) {
    struct trp_actor *a = atomic_load(&sys->closing) ? trp_registry_get(&sys->registry, id) : NULL;
    if (!a)
        return;
    (void)(trp_actor_kill(a) == TROUPE_OK);
    trp_actor_unref(a);
}

/* CLOSED: the parent has ended. */
static troupe_status link_to_parent(struct trp_actor *a) {
    struct trp_actor *parent = trp_registry_get(&a->sys->registry, a->birth->parent);
    if (!parent)
        return TROUPE_CLOSED;
    troupe_status st = trp_bond_link(parent, trp_actor_id(a));
    trp_actor_unref(parent);
    return st;
}

/* What it has from before its first step: a name to be found by, and a link, so that
 * neither ends without the other hearing of it. */
static troupe_status tie_in(struct trp_actor *a) {
    troupe_status st = TROUPE_OK;
    if (a->birth->registered)
        st = trp_names_add(&a->sys->names, a->birth->name, a);
    if (st == TROUPE_OK && a->birth->link)
        st = link_to_parent(a);
    return st;
}

troupe_status trp_system_spawn(troupe_system *sys, struct trp_birth **birth, troupe_ref *out) {
    struct trp_actor *a;
    if (atomic_load(&sys->closing))
        return TROUPE_CLOSED;
    troupe_status st = actor_new(sys, *birth, &a);
    if (st != TROUPE_OK)
        return st;
    *birth = NULL;
    atomic_size_t *count = count_of(sys, a);
    if (count)
        trp_tally_in(tally_of(sys, count), count);
    trp_registry_publish(a);
    uint64_t id = trp_actor_id(a);
    st = tie_in(a);
    if (st == TROUPE_OK)
        st = a->backend->start(a);
    if (st != TROUPE_OK) {
        if (count)
            count_out(sys, count);
        trp_actor_abort(a);
        return st;
    }
    kill_if_closing(sys, id);
    out->id = id;
    return TROUPE_OK;
}

/* --- opening --- */

/* The opener runs already: its birth is a matter of form. */
static void no_body(troupe_self *self, void *arg) {
    (void)self, (void)arg;
}

static troupe_status opener_new(troupe_system *sys) {
    struct trp_birth *birth;
    struct trp_actor *a;
    troupe_spawn_opts opts = {.kind = TROUPE_THREAD, .name = "main"};
    troupe_status st = trp_birth_new(&birth, &opts, no_body, NULL, 0);
    if (st != TROUPE_OK)
        return st;
    st = actor_new(sys, birth, &a);
    if (st != TROUPE_OK) {
        trp_birth_free(birth);
        return st;
    }
    sys->opener = a;
    trp_registry_publish(a);
    st = trp_worker_new(&a->worker, sys, "main");
    if (st != TROUPE_OK)
        return st;
    a->worker->alone = true;
    trp_worker_enter(a->worker);
    trp_patience_init(&a->worker->patience);
    if (sys->stage) {
        trp_stage_take(sys->stage, a->worker);
        a->backend = &trp_stage_backend;
    }
    trp_self_init(&sys->self, a, a->backend, &trp_local_reach);
    return trp_actor_enter(a) ? TROUPE_OK : TROUPE_BUG;
}

static void opener_free(troupe_system *sys) {
    struct trp_actor *a = sys->opener;
    troupe_exit exit = trp_exit_normal();
    if (!a)
        return;
    if (sys->self.actor) {
        trp_self_leave(&sys->self);
        trp_bus_close(&a->worker->bus, TRP_BUS_FLUSH_MS);
        trp_straight_free(&a->worker->straight);
        trp_nap_leave(&a->worker->nap);
    }
    trp_worker_enter(NULL);
    trp_actor_end(a, &exit);
}

/* All actors but the opener are gone. Takes half-made ones. */
static void system_free(troupe_system *sys) {
    steward_end(sys, sys->steward);
    trp_alarms_fini(&sys->alarms);
    trp_crew_close(&sys->crew);
    trp_nursery_close(&sys->nursery);
    opener_free(sys);
    trp_registry_fini(&sys->registry);
    trp_names_fini(&sys->names);
    trp_standing_fini(&sys->standing);
    trp_lanes_fini(&sys->lanes);
    trp_ends_fini(&sys->ends);
    trp_stage_free(sys->stage, &sys->stacks);
    trp_stacks_fini(&sys->stacks);
    pthread_mutex_destroy(&sys->lock);
    pthread_cond_destroy(&sys->threads_over);
    trp_free(sys->broker);
    trp_free(sys->authkey);
    trp_free(sys->name);
    trp_free(sys);
}

static troupe_status copy_opts(troupe_system *sys, const troupe_system_opts *opts) {
    sys->count = opts->threads ? opts->threads : trp_cores();
    sys->name = trp_strdup(opts->name ? opts->name : program_invocation_short_name);
    if (opts->broker)
        sys->broker = trp_strdup(opts->broker);
    if (opts->authkey_file)
        sys->authkey = trp_strdup(opts->authkey_file);
    if (!sys->name || (opts->broker && !sys->broker) || (opts->authkey_file && !sys->authkey))
        return TROUPE_NO_MEMORY;
    return TROUPE_OK;
}

/* Each worker reads it when it needs it. That it can't be used is to be known now. */
static troupe_status check_authkey(const char *file) {
    struct trp_authkey *key;
    const char *why = "";
    if (!file || !*file)
        return TROUPE_OK;
    troupe_status st = trp_authkey_load(&key, file, &why);
    if (st == TROUPE_OK)
        trp_authkey_free(&key);
    else
        trp_log(TROUPE_LOG_ERROR, "actors.authkey", "%s", why);
    return st;
}

/* The nursery is forked when as little as possible is there, and what its children need is. */
static troupe_status system_init(troupe_system *sys, const troupe_system_opts *opts) {
    trp_nursery_none(&sys->nursery);
    pthread_mutex_init(&sys->lock, NULL);
    pthread_cond_init(&sys->threads_over, NULL);
    trp_stacks_init(&sys->stacks);
    trp_alarms_init(&sys->alarms, sys);
    trp_names_init(&sys->names);
    troupe_status st = copy_opts(sys, opts);
    if (st == TROUPE_OK)
        st = check_authkey(opts->authkey_file);
    if (st == TROUPE_OK && !opts->no_processes) {
        trp_standing_init(&sys->standing);
        st = trp_lanes_init(&sys->lanes);
    }
    if (st == TROUPE_OK && !opts->no_processes)
        st = trp_nursery_open(&sys->nursery, sys);
    if (st == TROUPE_OK)
        st = trp_registry_init(&sys->registry);
    if (st == TROUPE_OK)
        st = trp_ends_init(&sys->ends);
    return st == TROUPE_OK ? opener_new(sys) : st;
}

static troupe_status open_on(troupe_system **out, const troupe_system_opts *opts, struct trp_stage *stage) {
    troupe_system *sys = trp_calloc(1, sizeof *sys);
    if (!sys) {
        trp_stage_free(stage, NULL);
        return TROUPE_NO_MEMORY;
    }
    sys->stage = stage;
    trp_copy_watch();
    trp_guards_ready();
    sys->forks = trp_copy_now();
    troupe_status st = system_init(sys, opts);
    if (st != TROUPE_OK) {
        system_free(sys);
        return st;
    }
    trp_overflow_install();
    *out = sys;
    return TROUPE_OK;
}

troupe_status troupe_system_open(troupe_system **out, const troupe_system_opts *opts) {
    static const troupe_system_opts defaults;
    return open_on(out, opts ? opts : &defaults, NULL);
}

troupe_status trp_system_open_on(troupe_system **out, struct trp_stage *stage) {
    return open_on(out, &(troupe_system_opts){.threads = 1, .no_processes = true}, stage);
}

troupe_self *troupe_system_self(troupe_system *sys) {
    return &sys->self;
}

/* --- closing --- */

/* A supervisor closes its own, in its order. */
static void close_one(struct trp_actor *a, void *ctx) {
    if (a != ((troupe_system *)ctx)->opener && !a->birth->supervised)
        (void)(trp_actor_close(a) == TROUPE_OK);
}

static void kill_one(struct trp_actor *a, void *ctx) {
    if (a != ((troupe_system *)ctx)->opener)
        (void)(trp_actor_kill(a) == TROUPE_OK);
}

static void all(troupe_system *sys, void (*fn)(struct trp_actor *a, void *ctx)) {
    atomic_store(&sys->closing, true); /* see kill_if_closing */
    trp_registry_each(&sys->registry, fn, sys);
}

void trp_system_close_all(troupe_system *sys) {
    all(sys, close_one);
}

void trp_system_kill_all(troupe_system *sys) {
    all(sys, kill_one);
}

/* The opener waits without regard to whether somebody has killed it. False: the time is over. */
static bool opener_parks(troupe_system *sys, int64_t deadline) {
    return sys->self.backend->park(&sys->self, deadline);
}

void troupe_system_close(troupe_system **system) {
    troupe_system *sys = *system;
    if (!sys)
        return;
    *system = NULL;
    if (sys->forks != trp_copy_now()) {
        trp_log(TROUPE_LOG_WARN, "system.copy", "a system of the process that forked this one cannot be closed here");
        return;
    }
    trp_system_kill_all(sys);
    trp_nursery_rouse(&sys->nursery);
    while (atomic_load(&sys->live) + atomic_load(&sys->serving) > 0)
        (void)opener_parks(sys, TRP_NEVER);
    threads_end(sys);
    system_free(sys);
}
