/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The durable log from the inside: shared by its owner's half (journal.c) and its sync thread (journal_thread.c).
 *
 * The owner stores what it wants and rings the bell; the sync thread reads the bell first, then what is wanted. A bell
 * that has not moved means there is nothing new. Waking costs a system call and tens of microseconds of an idle core's
 * time, so a sync thread that expects the next bell soon looks for it a while before it sleeps, and the bell is not
 * heard by one that is awake. */
#ifndef TRP_BROKER_JOURNAL_STATE_H
#define TRP_BROKER_JOURNAL_STATE_H

#include <pthread.h>

#include "broker/backlog.h"
#include "broker/journal.h"
#include "broker/reserve.h"
#include "broker/writer.h"

struct trp_journal_segment {
    uint64_t number;
    uint64_t first;
};

/* (c) constant after open, (o) owner's thread, (s) sync thread, (m) under `lock`, (a) atomic */
struct trp_journal {
    struct trp_journal_owner owner; /* (c) */
    void *ctx;                      /* (c) */
    struct trp_journal_opts opts;   /* (c) */
    char *path;                     /* (c) */
    int dir, lock_fd;               /* (c) */
    bool may_spin;                  /* (c) there is more than one processor */
    struct trp_backlog backlog;     /* both, as it says */

    bool in_catalog;   /* (o) */
    uint64_t newest;   /* (o) the segment that is appended to */
    uint64_t first;    /* (o) where it begins */
    uint64_t declared; /* (o) where its catalog ends */
    uint64_t told;     /* (o) `committed`, as stored last */
    uint64_t spin_at;  /* (o) `told` when it was last chosen whether to spin */
    unsigned spins;    /* (o) such choices */
    char said[256];    /* (o) for trp_journal_why */

    char apart[64];             /* what two threads write is kept in different cache lines */
    atomic_ullong bell;         /* (a) o -> s: moves when any of the next four has */
    atomic_ullong committed;    /* (a) o -> s */
    atomic_ullong want_written; /* (a) o -> s: somebody waits for this position */
    atomic_ullong want_synced;  /* (a) o -> s */
    atomic_bool closing;        /* (a) o -> s */
    atomic_bool spinning;       /* (a) o -> s: the owner looks for the end of this commit */

    char apart_too[64];
    atomic_ullong written;  /* (a) s -> o */
    atomic_ullong synced;   /* (a) s -> o */
    atomic_uint state;      /* (a) s -> o */
    atomic_uint sync_us[2]; /* (a) s -> o: what a write and its sync lately take; [1] while the owner spins */
    atomic_bool sleeping;   /* (a) s -> o */

    char apart_again[64];
    pthread_mutex_t lock;
    pthread_cond_t wake;                  /* with `lock` */
    struct trp_journal_segment *segments; /* (m) oldest first; changed by the owner only */
    size_t n, cap;                        /* (m) likewise */
    uint64_t drop, drop_after;            /* (m) delete segments up to `drop` when so much is synced; 0: none */
    char why[256];                        /* (m) */

    struct trp_writer writer;   /* (s) */
    struct trp_reserve reserve; /* (s) */
    bool refused;               /* (s) the disk took no more at the last try */
    bool spaceless;             /* (s) the reserve cannot be had */
    bool undropped;             /* (s) a file could not be deleted */
    int64_t retry_at;           /* (s) when to try again what failed */
    int64_t lazy_at;            /* (s) when to sync what nobody asked for */
    unsigned gap_us[2];         /* (s) how long the bell lately is silent; [1] while we spin */
    unsigned rests;             /* (s) such choices */
    uint64_t marked;            /* (s) where a mark lies behind the end */
    uint64_t told_written;      /* (s) levels as they were when the owner was last woken for one */
    uint64_t told_synced;       /* (s) */
    pthread_t thread;           /* (o) */
};

/* Nanoseconds that never go back. */
int64_t trp_journal_now(void);
void *trp_journal_thread(void *j);

#endif
