/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A system: the actors of one process, the workers they run on, and the nursery that forks those which run in
 * processes of their own. In such a process there is a system, too, a small one: one body, no workers, no nursery, and
 * a channel to the system that had it forked (child.c).
 *
 * Lifecycle: open -> (closing: no new actors) -> close. */
#ifndef TRP_SYSTEM_H
#define TRP_SYSTEM_H

#include "actors/alarm.h"
#include "actors/crew.h"
#include "actors/ends.h"
#include "actors/lanes.h"
#include "actors/letters.h"
#include "actors/names.h"
#include "actors/node.h"
#include "actors/nursery.h"
#include "actors/registry.h"
#include "actors/self.h"
#include "actors/stack.h"
#include "actors/stage.h"
#include "actors/standing.h"

/* A thread actor's thread, from its start until somebody has joined it. */
struct trp_thread {
    struct trp_thread *next;
    struct trp_actor *actor;
    pthread_t id;
};

/* (c) constant from open to close, (m) under lock, (a) atomic, (o) the opener's thread */
struct troupe_system {
    char *broker, *authkey, *name; /* (c) broker, authkey (a file) NULL: the environment's */
    struct trp_registry registry;
    struct trp_ends ends;
    struct trp_alarms alarms;
    struct trp_names names;
    struct trp_stacks stacks;
    struct trp_nursery nursery;
    struct trp_standing standing; /* what its process actors can know of the others */
    struct trp_lanes lanes;       /* from one of them to another */

    struct trp_stage *stage;  /* (c) NULL: it is not a test's */
    struct trp_actor *opener; /* (c) */
    struct troupe_self self;  /* (o) the opener's */

    unsigned forks; /* (c) when it was opened: see copy.h */
    char *epitaph;  /* (c) in the process of a process actor: TRP_EPITAPH bytes, see epitaph.h; NULL elsewhere */

    pthread_mutex_t lock;
    pthread_cond_t threads_over; /* with lock: a thread has come to `over` */
    unsigned count;              /* (c) of workers for coroutines */
    struct trp_crew crew;        /* (m) until they run, then its own */
    struct trp_worker *steward;  /* (m) until it runs, then (c) */
    unsigned threads;            /* (m) thread actors' threads not joined yet */
    struct trp_thread *over;     /* (m) those among them that have nothing more to do */

    atomic_bool manned;                  /* (a) the crew's workers run */
    struct trp_worker *_Atomic steady;   /* (a) steward, once it runs */
    atomic_uint named;                   /* (a) actors without a name so far */
    atomic_size_t live;                  /* (a) actors but the opener; too many while workers are busy, see tally.h */
    atomic_size_t serving;               /* (a) and those that are ours: the node, the stand-ins */
    char node[TROUPE_NODE_NAME_MAX + 1]; /* (m) then (c), once `joined` is 2 */
    atomic_uint joined;                  /* (a) 0 no, 1 somebody tries, 2 the node is there */
    atomic_bool closing;                 /* (a) */
    atomic_bool crashed;                 /* (a) somebody has ended by a crash, for good */
    _Atomic uint64_t topics;             /* (a) the object of the local topics, once somebody here has asked for it; 0 */
    struct trp_letters letters;          /* (a) */
};

/* Opens a test's system; takes the stage, also on failure. */
TROUPE_NODISCARD troupe_status trp_system_open_on(troupe_system **out, struct trp_stage *stage);

/* Starts an actor; takes *birth with OK. CLOSED: the system is closing. */
TROUPE_NODISCARD troupe_status trp_system_spawn(troupe_system *sys, struct trp_birth **birth, troupe_ref *out);

/* The next worker for a coroutine; the steward, which runs the proxies of processes. Started when first asked for. */
TROUPE_NODISCARD troupe_status trp_system_worker(troupe_system *sys, struct trp_worker **out);
TROUPE_NODISCARD troupe_status trp_system_steward(troupe_system *sys, struct trp_worker **out);

/* Threads of thread actors: started, and told of when they have nothing more to do but return. */
TROUPE_NODISCARD troupe_status trp_system_thread_start(troupe_system *sys, struct trp_thread *t, void *(*fn)(void *),
                                                       size_t stack);
void trp_system_thread_over(troupe_system *sys, struct trp_thread *t);

/* No new actors from now on; all but the opener are closed, or killed. */
void trp_system_close_all(troupe_system *sys);
void trp_system_kill_all(troupe_system *sys);

/* News of an actor. Any thread, no lock held. */
void trp_system_restarting(troupe_system *sys, struct trp_actor *a, const troupe_exit *exit, int64_t delay_ms);
/* A worker's thread has nothing to do for now: what it holds of the number of actors is given back. */
void trp_system_settle(troupe_system *sys);
void trp_system_ended(troupe_system *sys, struct trp_actor *a, const troupe_exit *exit);

#endif
