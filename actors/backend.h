/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * How a kind of actor runs: one const table and one file each (coroutine.c, thread.c, process.c). The rest of the
 * runtime knows actors, not kinds.
 *
 * For a body inside another process, process.c runs a proxy here: something without a body, run by the steward, that
 * moves messages between the mailbox and the channel; the body there is run by child.c, with a table of its own. */
#ifndef TRP_BACKEND_H
#define TRP_BACKEND_H

#include "actors/actor.h"
#include "actors/measure.h"

/* What an actor is doing when its worker gets the thread back. */
enum trp_ran {
    TRP_RAN_PARKED,  /* waits to be unparked */
    TRP_RAN_LISTENS, /* the same, and for mail */
    TRP_RAN_YIELDED, /* goes to the end of the queue */
    TRP_RAN_GONE,    /* has ended: it is not touched any more */
};

struct trp_backend {
    troupe_kind kind;

    /* Makes room for it before anybody knows it; may move its birth there. NULL: it needs none. NO_MEMORY: nothing is left
     * behind. Called by: as start. */
    troupe_status (*house)(struct trp_actor *a);

    /* Takes what the actor needs and starts it. Faults: nothing is left behind but the actor itself, which the caller ends.
     * After OK it is gone for the caller but for a reference. Called by: the spawner's thread (a system that is its own, or the
     * steward for a process), no lock held. May block for a system call; calls nothing back. */
    troupe_status (*start)(struct trp_actor *a);

    /* It was PARKED and is now NOTIFIED: see to it that it runs. Any thread, no lock held, with a reference held by the caller.
     * Must not block. */
    void (*resume)(struct trp_actor *a);

    /* Runs *a until it waits; or one that it has gone on to by itself, which *a is then. The worker's thread, from the turn of
     * its loop; no lock held. NULL: it has its own thread. */
    enum trp_ran (*run)(struct trp_actor **a);

    /* The two ways in which a body gives up its thread; NULL where no body is run (process). The body's thread, no lock held.
     * park returns when the actor has been unparked since the last park, when `deadline` is over (false), or in vain.
     * yield lets others of the worker run, and what has arrived for the worker's connection be read. */
    bool (*park)(troupe_self *self, int64_t deadline);
    void (*yield)(troupe_self *self);
    /* As park, for who waits for mail and runs again only when resume has been called, and so can't end before: it listens
     * (trp_actor_listen). NULL: it can't, and has to say that it wants to be unparked. */
    bool (*listen)(troupe_self *self, int64_t deadline);

    /* Where figures of its present life can be read. Any thread, under its lock: it has entered a life, and has not ended.
     * NULL: nothing is known. */
    void (*measure)(struct trp_actor *a, struct trp_measure *out);

    /* Frees a->run. The last reference is gone: any thread, no lock held. */
    void (*free)(struct trp_actor *a);
};

/* What a handler actor of another kind than coroutine runs, and how one of that kind is told from a body (handler.c). */
troupe_body trp_handler_body;

extern const struct trp_backend trp_handler_backend, trp_coroutine_backend, trp_thread_backend, trp_process_backend;

#endif
