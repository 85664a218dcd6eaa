/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The workers that run a system's coroutines, the threads that serve them, and the watch over both.
 *
 *     workers   [0] [1] ... [n-1]      each with its queue, its deadlines, its loop
 *                |   |        |        served by
 *     runners    T   T  ...   T   (T T: spare)
 *
 * A worker that has nothing to do takes coroutines from one that has more than it can run soon; a runner that is kept by
 * one coroutine loses its worker to a spare one. Both are decided from what the watch sees at each tick: how many bodies a
 * worker has run, and whether it still runs the one that it ran at the last tick. No clock is read for it in between. */
#ifndef TRP_CREW_H
#define TRP_CREW_H

#include "actors/worker.h"

/* What the watch saw of a worker at the last tick. Its own thread only. */
struct trp_sight {
    uint64_t resumes;
    int64_t since; /* when it was first seen to have run so many */
    bool told;     /* of this body */
    uint64_t id;   /* of whom it ran; 0: nobody */
};

/* (c) constant once opened, (m) under lock, (a) atomic, (w) the watch's thread */
struct trp_crew {
    troupe_system *sys;          /* (c) */
    unsigned count;              /* (c) */
    struct trp_worker **workers; /* (c) */
    struct trp_sight *sights;    /* (w) one a worker */
    int64_t unused_ns;           /* (w) processor time not put down to anybody yet, see usage.h */

    pthread_mutex_t lock;
    pthread_cond_t work;        /* with lock: a runner has been given a worker, or is to end */
    struct trp_runner *runners; /* (m) all */
    unsigned threads;           /* (m) how many they are */
    bool closing;               /* (m) */

    atomic_uint placed;    /* (a) newborns from outside so far: round robin */
    atomic_uint idle;      /* (a) workers that are asleep */
    atomic_bool searching; /* (a) one has been woken to steal, and has not looked yet */

    pthread_t watch;           /* (c) */
    bool watched;              /* (c) */
    bool closing_watch;        /* (m) */
    pthread_cond_t watch_cond; /* with lock, of the monotonic clock */
    atomic_bool watch_asleep;  /* (a) */
};

/* Makes `count` workers and starts their threads and the watch. NO_MEMORY, SYSTEM. */
TROUPE_NODISCARD troupe_status trp_crew_open(struct trp_crew *crew, troupe_system *sys, unsigned count);
/* Ends all threads, frees all workers. No coroutine is left. One that was not opened: nothing. */
void trp_crew_close(struct trp_crew *crew);
/* For a newborn: the caller's worker, if it is of this crew, or each in turn. Any thread. */
struct trp_worker *trp_crew_place(struct trp_crew *crew);

/* --- called by workers --- */

/* It falls asleep; it has been woken. */
void trp_crew_asleep(struct trp_crew *crew);
void trp_crew_woken(struct trp_crew *crew);
/* It has lately needed so many nanoseconds for a body: is it worth while to have help? */
void trp_crew_look(struct trp_crew *crew, struct trp_worker *w, int64_t ns);
/* It is about to wait: takes what others have too much of. */
TROUPE_NODISCARD bool trp_crew_steal(struct trp_crew *crew, struct trp_worker *w);
/* It goes on after a wait: the watch is to look at it. */
void trp_crew_busy(struct trp_crew *crew);

/* --- called by the watch --- */

/* Wakes a worker that is asleep, so that it steals. False: there is none. */
bool trp_crew_call_help(struct trp_crew *crew);
/* A runner without a worker, or a new one, takes over w, which is still with the body that it has run for `resumes`. False: it
 * is not, or there are too many runners already. */
TROUPE_NODISCARD bool trp_crew_take_over(struct trp_crew *crew, struct trp_worker *w, uint64_t resumes);

/* watch.c. SYSTEM, NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_watch_start(struct trp_crew *crew);
void trp_watch_stop(struct trp_crew *crew);

#endif
