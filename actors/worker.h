/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A worker is a loop and the actors that run beside it: many coroutines, one thread actor (or the system's opener, or
 * the body of a process), or, on the steward, all proxies of process actors.
 *
 *     any thread --> [ run queue ] --> a slice of it, then one turn of the loop, and so on
 *     deadlines  ------'
 *
 * A slice runs between the reading and the writing of a turn, so what actors say to the broker while it lasts leaves
 * in one write. While something is runnable the loop polls without waiting.
 *
 * A worker is not a thread. Its thread is a runner, and a runner whose coroutine computes for too long is left alone with
 * it: another runner takes over the worker, with its queue, deadlines, loop and connection (watch.c). Who owns the worker
 * is what the guard of its queue says, and looked at each time that a body has given the thread back. So what belongs to
 * the owner (o) is not touched by a body, unless the body is held: it is bound to the worker, and the worker is not taken
 * from under it. */
#ifndef TRP_WORKER_H
#define TRP_WORKER_H

#include "actors/actor.h"
#include "actors/backend.h"
#include "actors/bus.h"
#include "actors/fiber.h"
#include "actors/label.h"
#include "actors/measure.h"
#include "actors/nap.h"
#include "actors/poller.h"
#include "actors/registry.h"
#include "actors/runq.h"
#include "actors/slumber.h"
#include "actors/stack.h"
#include "actors/tally.h"
#include "actors/timer.h"
#include "transports/loop.h"

struct trp_coroutine;
struct trp_crew;
struct trp_straight;

/* (o) the owner's thread, (c) constant, (a) any thread, (g) inside the queue's guard, (s) under `sleepers_lock` */
struct trp_worker {
    struct trp_loop loop;          /* (o) */
    troupe_system *sys;            /* (c) */
    struct trp_crew *crew;         /* (c) the workers that share their coroutines; NULL: it is none of them */
    struct trp_timers timers;      /* (o) */
    struct trp_bus bus;            /* (o) the connection to the broker */
    struct trp_poller *poller;     /* (o) NULL until somebody waits for a descriptor here; (c) in a crew */
    atomic_bool stop;              /* (a) */
    unsigned quiet;                /* (o) active handles of the loop when nobody waits for anything in it */
    struct trp_slumber slumber;    /* (a) where it sleeps, when it is alone */
    struct trp_nap nap;            /* (o) how it waits instead, when it is alone and talks to a process */
    struct trp_straight *straight; /* (o) its lanes to processes, when it is alone; NULL: none yet */
    bool alone;                    /* (c) one body, which parks by running the loop itself */
    char name[16];                 /* (c) */
    struct trp_measure figures;    /* (c) from a thread actor's first life on: where its thread's are */
    struct trp_runner *runner;     /* (c) the thread it was given, where that can't change */
    struct trp_patience patience;  /* (o) of one that is alone */

    pthread_mutex_t sleepers_lock;
    struct trp_timers sleepers; /* (s) deadlines of coroutines, which may wake up elsewhere */

    struct trp_runq queue;             /* (a); its guard's owner is the runner */
    struct trp_actor *_Atomic resting; /* (g) waits for mail, and nobody has been told yet; NULL: none */
    struct trp_actor *current;         /* (g) the body that has the thread; NULL: the runtime has it */
    uint64_t resumes;                  /* (g) so far */
    bool held;                         /* (g) that body is bound to this worker */
    bool tied;                         /* (g) somebody uses its loop */
    bool stuck;                        /* (g) that body has run for long and can't be left: others may take all that roams */
};

/* A thread that runs workers. (o) its own thread, (m) under the crew's lock */
struct trp_runner {
    struct trp_guest guest;        /* (o) inside whose queue it is */
    unsigned look;                 /* (o) bodies that it runs before it looks at the clock: more while they are quick */
    unsigned hops;                 /* (o) so many coroutines may still go on one from the other, before it looks round */
    struct trp_worker *at;         /* (o) whom it serves, as far as it knows; NULL */
    struct trp_coroutine *left;    /* (o) has gone on to another by itself, and is to be put away by that one; NULL */
    struct trp_fiber scheduler;    /* (o) what coroutines switch back to */
    struct trp_worker *worker;     /* (m) whom it serves; NULL: it waits for one */
    struct trp_coroutine *running; /* (o) entered last; for whoever must say whose stack it is (overflow.c) */
    struct trp_coroutine *carrier; /* (o) a stack for whichever handler actor comes next (handler.c); NULL */
    struct trp_stacks_near stacks; /* (o) */
    struct trp_slots_near slots;   /* (o) */
    struct trp_labels labels;      /* (o) */
    struct trp_tally tally;        /* (o) of its crew's system */
    struct trp_births_near births; /* (o) */
    struct trp_runner *next;       /* (m) all of a crew */
    struct trp_crew *crew;         /* (c) NULL: it serves one worker for good */
    pthread_t thread;              /* (c) once started */
    uint64_t hog;                  /* (m) with whom it has lost its worker; 0: it has not */
    int64_t used;                  /* of processor time, when the watch looked last (usage.c) */
};

/* Makes one for whichever thread will run it. NO_MEMORY, SYSTEM. */
TROUPE_NODISCARD troupe_status trp_worker_new(struct trp_worker **out, troupe_system *sys, const char *name);
/* The connection has been closed (trp_bus_close) and nothing is queued. Accepts NULL. */
void trp_worker_free(struct trp_worker *w);

/* Gives it a thread of its own, with signals blocked: they are for the program's own threads. SYSTEM, NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_worker_start(struct trp_worker *w);
/* Ends its thread and waits for it. No actor is on it. Accepts NULL. */
void trp_worker_join(struct trp_worker *w);
/* The thread that serves it, and those that may take its place, come out of it soon. Any thread. */
void trp_worker_stop(struct trp_worker *w);

/* The worker whose turn the calling thread is in, or NULL. Never kept across a switch. */
struct trp_worker *trp_worker_here(void);
/* The calling thread runs this one from now on (NULL: none). */
void trp_worker_enter(struct trp_worker *w);
/* The runner that the calling thread is. Never kept across a switch. */
struct trp_runner *trp_runner_here(void);

/* Queues an actor that became NOTIFIED: where the caller runs, if both may roam there, else on its own worker. Any thread. */
void trp_worker_push(struct trp_worker *w, struct trp_actor *a);
/* One that has just been born. */
void trp_worker_push_birth(struct trp_worker *w, struct trp_actor *a);
/* It comes out of its wait, if it waits. Any thread. False: it was awake. */
bool trp_worker_rouse(struct trp_worker *w);

/* The calling coroutine, on w, stays there. False: its thread has lost w, and it is to run elsewhere first. */
TROUPE_NODISCARD bool trp_worker_bind(struct trp_worker *w, struct trp_actor *a);
/* It may roam again. */
void trp_worker_unbind(struct trp_worker *w, struct trp_actor *a);

/* Inside the guard: whoever rests, and does no more. NULL: nobody. And then, with or without the guard, it listens. */
struct trp_actor *trp_worker_rested(struct trp_worker *w);
void trp_worker_listens(struct trp_actor *a);

/* A deadline of the calling coroutine, on its worker; and its end, from wherever the coroutine runs by then. The latter: was
 * it still running? */
void trp_worker_sleeper_start(struct trp_worker *w, struct trp_timer *t, int64_t deadline);
TROUPE_NODISCARD bool trp_worker_sleeper_stop(struct trp_worker *w, struct trp_timer *t);
/* Unparks those whose deadline is over: the worker itself, or whoever does it for one that can't. */
void trp_worker_wake_sleepers(struct trp_worker *w);

/* One turn of a worker that is alone: waits until there is something to do, or until the deadline. Its thread. */
void trp_worker_turn(struct trp_worker *w, int64_t deadline);
/* The parts of that, for who serves it otherwise (stage.c). Runs an actor that has been taken off the queue, and those that it
 * goes on to; gives the last one back if it goes on the queue again, or NULL. And when the next of its deadlines is. */
struct trp_actor *trp_worker_run(struct trp_worker *w, struct trp_actor *a);
int64_t trp_worker_next_deadline(struct trp_worker *w);

/* The calling thread is this runner from now on (NULL: none). */
void trp_runner_begin(struct trp_runner *r);
/* Serves w, which it owns, until it is stopped or taken away: false. */
bool trp_runner_serve(struct trp_runner *r, struct trp_worker *w);

/* Is there nothing that its loop could bring but its bell: no connection, no descriptor, no deadline? Alone, owner thread. */
bool trp_worker_is_quiet(const struct trp_worker *w);
/* What there is now belongs to that. */
void trp_worker_know_quiet(struct trp_worker *w);

/* Starts a thread with all signals blocked but those that a thread raises itself. SYSTEM, NO_MEMORY. stack 0: the default. */
TROUPE_NODISCARD troupe_status trp_thread_start(pthread_t *out, void *(*fn)(void *), void *arg, size_t stack);
void trp_thread_name(const char *name);

#endif
