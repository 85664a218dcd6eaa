/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Waiting for descriptors. Each worker that somebody waits on has one epoll set of its own, which lies in the worker's
 * loop as one descriptor:
 *
 *     loop (libuv's epoll) --- poller's epoll --- fd, fd, fd ...      each the fd of one struct trp_watch
 *
 * A watch lies in the storage of who waits (its stack, or a stream) and remembers what the kernel has said of its
 * descriptor since the waiter last asked. It is registered edge-triggered and stays registered, so waiting again and
 * again on the same descriptor costs no system call.
 *
 *     waiter                                        worker's thread
 *     take (forget what was said), read: EAGAIN     the kernel says "readable": mark it, unpark who wants that
 *     want; park until marked; again
 *
 * Nothing of a watch is bound to the waiter's worker but where it is registered: marks and wakes may come from any
 * thread, and a watch that is opened on another worker moves its registration there. All that the kernel's answers
 * are about is looked at under the poller's lock, where they are also fetched: once a watch has been closed (under that
 * lock) no answer that names it is on its way. So a poller may be served by any thread, too.
 *
 * The lock is a leaf. A poller lives as long as its last watch, maybe longer than its worker. */
#ifndef TRP_POLLER_H
#define TRP_POLLER_H

#include <pthread.h>
#include <troupe/stream.h>
#include <uv.h>

#include "actors/actor.h"
#include "transports/loop.h"

/* (c) constant, (o) the thread of its worker, (l) under lock, (a) atomic */
struct trp_poller {
    uv_poll_t poll; /* (o) first: closing it gives back the worker's reference */
    pthread_mutex_t lock;
    int fd;           /* (c) epoll */
    unsigned forks;   /* (c) when it was made: see copy.h */
    atomic_uint refs; /* (a) the worker's and the watches' */
};

enum { TRP_WATCH_IN = TROUPE_READABLE, TRP_WATCH_OUT = TROUPE_WRITABLE };

/* Zero it first. (w) who owns the watch, (l) under the poller's lock, (a) atomic */
struct trp_watch {
    struct trp_poller *poller; /* (w) where it is registered; NULL: nowhere */
    int fd;                    /* (w) */
    unsigned want;             /* (l) */
    struct trp_actor *who;     /* (l) to be unparked at what it wants; NULL: nobody waits */
    atomic_uint ready;         /* (a) what has been said since the last take */
};

/* Registers it with the poller of this worker, if it is not registered there; what the descriptor is ready for now is said at
 * once. Always for both directions. EXISTS: another watch of this worker has that descriptor; UNSUPPORTED: one that is always
 * ready (a file); INVALID: no descriptor; NO_MEMORY; SYSTEM. Context: the worker's thread. */
TROUPE_NODISCARD troupe_status trp_watch_open(struct trp_watch *w, int fd, struct trp_worker *worker);
/* Accepts a closed one. The descriptor is still open. Context: its owner, any thread. */
void trp_watch_close(struct trp_watch *w);

/* Forgets what was said of these directions: before the system call that may say EAGAIN. */
void trp_watch_take(struct trp_watch *w, unsigned what);
/* `who` is unparked once one of `what` is said; those that have been said already (then nobody is unparked). */
TROUPE_NODISCARD unsigned trp_watch_want(struct trp_watch *w, unsigned what, struct trp_actor *who);
/* Nobody is to be unparked any more. */
void trp_watch_leave(struct trp_watch *w);

/* want, park, leave, until the deadline. OK; TIMEOUT; CLOSED: killed. Context: self; parks. */
TROUPE_NODISCARD troupe_status trp_watch_wait(struct trp_watch *w, unsigned what, troupe_self *self, int64_t deadline);

/* The worker's part. NO_MEMORY, SYSTEM. The free comes before the end of the loop, which it leaves a handle to. */
TROUPE_NODISCARD troupe_status trp_poller_new(struct trp_poller **out, struct trp_loop *loop);
void trp_poller_free(struct trp_poller *p);
/* Does a watch lie in it? */
static inline bool trp_poller_used(const struct trp_poller *p) {
    return atomic_load(&p->refs) > 1;
}
/* Fetches what the kernel has to say and unparks. Context: any thread. */
void trp_poller_serve(struct trp_poller *p);

#endif
