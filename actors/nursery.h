/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The nursery is a process with one thread and no history: forked when the system is opened, before there are threads
 * and loops, it does nothing but fork process actors when it is told to and report how they end.
 *
 *     system --- ORDER: fork, kill ---> nursery ---> process actors
 *            <-- REPORT: forked, failed, ended ---
 *
 * Why not fork where the actor is spawned: a child of a threaded process inherits locks that somebody holds and loops
 * that somebody runs, and costs time by the size of the parent.
 *
 * Nothing outlives the system: when its end of the socket is gone, however it died, the nursery kills its children
 * and goes. Nothing outlives the nursery: the kernel kills its children. And the nursery reaps each of them, so there
 * are no zombies. */
#ifndef TRP_NURSERY_H
#define TRP_NURSERY_H

#include <pthread.h>
#include <sys/types.h>

#include "actors/birth.h"
#include "transports/buf.h"
#include "transports/loop.h"

struct trp_actor;

enum trp_order_what { TRP_ORDER_FORK = 1, TRP_ORDER_KILL, TRP_ORDER_EXEC };
enum { TRP_ORDER_INLINE = 32 * 1024 }; /* argument bytes that travel in the packet; more go through a memfd */

/* One packet; behind it arg_size bytes, or with it one more descriptor that holds them. */
enum { TRP_ORDER_FDS = 5 }; /* at most */
struct trp_order {
    uint32_t what, life;
    uint64_t id;
    bool far_arg;           /* the argument is in the last descriptor */
    struct trp_birth birth; /* pointers into itself mean nothing over there; the body's does */
};

enum trp_report_what { TRP_REPORT_FORKED = 1, TRP_REPORT_FAILED, TRP_REPORT_ENDED };

struct trp_report {
    uint32_t what, life;
    uint64_t id;
    int32_t value; /* FORKED: pid; FAILED: errno; ENDED: wait status */
    bool ran_out;  /* ENDED: its control group had no memory left for it */
};

/* A life to be ended. */
struct trp_nursery_kill {
    uint64_t id;
    uint32_t life;
};

/* (c) constant, (m) under lock, (o) the steward's thread */
struct trp_nursery {
    int fd;               /* (c) -1: there is none */
    pid_t pid;            /* (c) 0: there is none */
    int64_t patience_ms;  /* (c) for an order to find room */
    pthread_mutex_t lock; /* orders are sent one at a time */
    troupe_system *sys;   /* (c) */
    uv_poll_t poll;       /* (o) */
    bool attached;        /* (o) */
    bool gone;            /* (m) */
    bool stuck;           /* (m) it takes no orders, as far as is known: nobody waits for it */
    struct trp_buf owed;  /* (m) struct trp_nursery_kill for which there was no room: they go before all other orders */
};

/* Forks it. INVALID: this process has other threads. SYSTEM, NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_nursery_open(struct trp_nursery *n, troupe_system *sys);
/* There shall be none. */
void trp_nursery_none(struct trp_nursery *n);
/* Ends it, with all that it has forked, and waits for it. */
void trp_nursery_close(struct trp_nursery *n);

/* Reports come to the process backend on this loop from now on. */
TROUPE_NODISCARD troupe_status trp_nursery_attach(struct trp_nursery *n, struct trp_loop *loop);
void trp_nursery_detach(struct trp_nursery *n);

/* Somebody may have stopped it, and it is to see its system's end. Any thread. */
void trp_nursery_rouse(struct trp_nursery *n);

/* Orders. NO_NURSERY: it is gone; UNSUPPORTED: there is none; SYSTEM (also: it takes no orders, since it has been stopped; this
 * one it will never see), NO_MEMORY. The descriptor stays the caller's. Any thread; waits for room in the socket for as long as
 * the nursery's patience lasts. */
TROUPE_NODISCARD troupe_status trp_nursery_fork(struct trp_nursery *n, uint64_t id, uint32_t life,
                                                const struct trp_birth *birth, int channel);
/* Is carried out, whenever that may be: one for which there is no room now is sent when there is some. */
void trp_nursery_kill(struct trp_nursery *n, uint64_t id, uint32_t life);

/* A program (program.h) in place of a body, with these descriptors as its 0 to 2. Its reports go into a pipe of its own, the
 * last of them: struct trp_report each, until that is closed. A FAILED may be followed by an ENDED.
 * A kill is for its process group. */
enum { TRP_EXEC_IN, TRP_EXEC_OUT, TRP_EXEC_ERR, TRP_EXEC_REPORT, TRP_EXEC_FDS };
TROUPE_NODISCARD troupe_status trp_nursery_exec(struct trp_nursery *n, uint64_t id, uint32_t life, const void *program,
                                                size_t size, const int fds[TRP_EXEC_FDS]);

/* The nursery's own main: the process that was forked. */
_Noreturn void trp_nursery_main(troupe_system *sys, int fd, pid_t parent);
/* The body's process. Takes the birth and the descriptor. */
_Noreturn void trp_child_main(const troupe_system *sys, struct trp_birth *birth, uint64_t id, int channel);

/* What the process backend is told of (process.c), on the steward's thread. */
void trp_process_report(troupe_system *sys, const struct trp_report *r);
void trp_process_nursery_gone(troupe_system *sys);

#endif
