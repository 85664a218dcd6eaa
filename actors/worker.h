/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A worker is a loop and the actors that live on it: many coroutines, one thread actor (or the system's opener, or
 * the body of a process), or, on the steward, all proxies of process actors. Each actor stays on its worker.
 *
 *     other threads --> [ inbound ] --.
 *     this thread   ------------------+--> [ run queue ] --> a slice of it in each turn of the loop
 *     deadlines     ------------------'
 *
 * The slice runs between the reading and the writing of a turn, so what actors say to the broker while it lasts leaves
 * in one write. While something is runnable the loop polls without waiting. */
#ifndef TRP_WORKER_H
#define TRP_WORKER_H

#include "actors/actor.h"
#include "actors/bus.h"
#include "actors/fiber.h"
#include "actors/poller.h"
#include "actors/timer.h"
#include "transports/loop.h"

struct trp_queue {
    struct trp_actor *head, **tail;
};

/* (o) the worker's thread, (c) constant, (a) any thread */
struct trp_worker {
    struct trp_loop loop;              /* (o) */
    troupe_system *sys;                /* (c) */
    struct trp_queue ready;            /* (o) */
    struct trp_timers timers;          /* (o) */
    struct trp_bus bus;                /* (o) the connection to the broker */
    struct trp_poller *poller;         /* (o) NULL until somebody waits for a descriptor here */
    struct trp_fiber scheduler;        /* (o) what coroutines switch back to */
    struct trp_actor *_Atomic inbound; /* (a) last come first */
    atomic_bool asleep;                /* (a) */
    atomic_bool stop;                  /* (a) */
    pthread_t thread;                  /* (c) once started */
    bool running;                      /* (c) it has a thread of its own */
    bool alone;                        /* (c) one body, which parks by running the loop itself */
    char name[16];                     /* (c) */
};

/* Makes one for whichever thread will run it. NO_MEMORY, SYSTEM. */
TROUPE_NODISCARD troupe_status trp_worker_new(struct trp_worker **out, troupe_system *sys, const char *name);
/* The connection has been closed (trp_bus_close) and nothing is queued. Accepts NULL. */
void trp_worker_free(struct trp_worker *w);

/* Gives it a thread, with signals blocked: they are for the program's own threads. SYSTEM. */
TROUPE_NODISCARD troupe_status trp_worker_start(struct trp_worker *w);
/* Ends its thread and waits for it. No actor is on it. Accepts NULL. */
void trp_worker_join(struct trp_worker *w);

/* The worker whose turn the calling thread is in, or NULL. Never kept across a switch. */
struct trp_worker *trp_worker_here(void);
/* The calling thread runs this one from now on (NULL: none). */
void trp_worker_enter(struct trp_worker *w);

/* Queues an actor that has become NOTIFIED. Any thread. */
void trp_worker_push(struct trp_worker *w, struct trp_actor *a);
/* One turn: waits until there is something to do, or until the deadline. Owner thread, not from inside a turn. */
void trp_worker_turn(struct trp_worker *w, int64_t deadline);

/* Starts a thread with all signals blocked but those that a thread raises itself. SYSTEM, NO_MEMORY. stack 0: the default. */
TROUPE_NODISCARD troupe_status trp_thread_start(pthread_t *out, void *(*fn)(void *), void *arg, size_t stack);
void trp_thread_name(const char *name);

#endif
