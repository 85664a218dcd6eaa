/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The memory that a process actor shares with the system that had it forked: a ring each way, a word for each side that
 * says how it sleeps, and what the body notes for the system to read.
 *
 *     [ words, notes ][ ring to the body, twice ][ ring to the system, twice ]
 *
 * It is a memfd, sealed so that nobody can make it shorter and the other stumble. The system makes it and sends its
 * descriptor over the socket pair before the body is forked. There is no lock in it, and nothing in it that one side
 * writes and trusts again later.
 *
 * Sleeping: a side that is about to sleep says how, looks once more at what it waits for, and sleeps. The other side,
 * after each thing it has done for it, takes the word and wakes it. Both sides are sequentially consistent, so one sees
 * the other, and who does not sleep costs no system call. */
#ifndef TRP_SHARED_H
#define TRP_SHARED_H

#include "actors/ring.h"

enum trp_side { TRP_SIDE_SYSTEM, TRP_SIDE_BODY };
static inline enum trp_side trp_side_other(enum trp_side side) {
    return side == TRP_SIDE_SYSTEM ? TRP_SIDE_BODY : TRP_SIDE_SYSTEM;
}

/* How a side sleeps. */
enum trp_sleep {
    TRP_SLEEP_NOT,    /* it will look before it sleeps */
    TRP_SLEEP_SOCKET, /* in its loop: a byte on the socket wakes it */
    TRP_SLEEP_FUTEX,  /* on this very word */
    TRP_SLEEP_CALLED, /* as TRP_SLEEP_SOCKET, and a third process has asked the system to wake it */
};

/* What the body does. */
enum trp_doing { TRP_DOING_OTHER, TRP_DOING_RECEIVE, TRP_DOING_MESSAGE };
/* What it knows of its end. */
enum trp_mark { TRP_MARK_NONE, TRP_MARK_MEMORY, TRP_MARK_RECYCLE };

enum { TRP_RING_SIZE = 256 * 1024 };

enum { TRP_EPITAPH = 33 };

struct trp_shared_words {
    struct trp_ring_words ring[2]; /* by whom it leads to */
    struct {
        alignas(TRP_APART) _Atomic uint32_t how; /* enum trp_sleep; set by the side, taken by who wakes it */
    } sleep[2];
    struct trp_parcel_words {
        _Atomic uint32_t sent, opened; /* large bodies: how many descriptors have left, or are about to; how many are taken */
    } parcels[2];                      /* by whom they go to */
    /* The body's notes. */
    alignas(TRP_APART) _Atomic uint64_t taken; /* messages of the system that it has received, in this life; or that have been
                                                 dropped, which the system counts here (process_mail.c) */
    _Atomic uint64_t handled;                  /* messages received, the broker's too */
    _Atomic uint32_t doing;                    /* enum trp_doing */
    _Atomic uint32_t mark;                     /* enum trp_mark */
    uint32_t door;             /* the system's, before the body is there: the door it sleeps on (lanes.h); 0: its word here */
    char epitaph[TRP_EPITAPH]; /* by which the broker knows it, from before it knows the broker: see epitaph.h */
    /* The system's. */
    alignas(TRP_APART) _Atomic uint64_t want; /* wake the system when `taken` is there; 0: it does not wait for that */
    _Atomic uint64_t accepted;                /* sends without a result that are done with */
    _Atomic uint64_t crowded;                 /* for whom the last one had no room: the next is to wait; taken by the body */
};

struct trp_shared {
    struct trp_shared_words *words; /* NULL: not mapped */
    uint8_t *data[2];               /* by whom the ring leads to */
    _Atomic uint32_t *door;         /* how the body sleeps, where others than the system wake it, too; NULL: its word here */
};

/* May this program make a file of so many bytes? One in memory counts as well, and a larger one is answered by a signal
 * (SIGXFSZ) that ends it. */
bool trp_shared_allowed(size_t size);
/* Makes the memory; *fd is the caller's, to be sent. SYSTEM. */
TROUPE_NODISCARD troupe_status trp_shared_new(struct trp_shared *s, int *fd);
/* Maps what the other side has made; the descriptor stays the caller's. SYSTEM. */
TROUPE_NODISCARD troupe_status trp_shared_map(struct trp_shared *s, int fd);
/* Accepts what is not mapped. */
void trp_shared_unmap(struct trp_shared *s);

/* This end of the ring that leads to `side`. */
void trp_shared_ring(const struct trp_shared *s, enum trp_side side, struct trp_ring *out);

/* How that side sleeps. */
static inline _Atomic uint32_t *trp_shared_how(const struct trp_shared *s, enum trp_side side) {
    return side == TRP_SIDE_BODY && s->door ? s->door : &s->words->sleep[side].how;
}

/* Takes a side's sleep, to wake it accordingly. After whatever it is woken for. */
static inline enum trp_sleep trp_shared_rouse(const struct trp_shared *s, enum trp_side side) {
    _Atomic uint32_t *how = trp_shared_how(s, side);
    /* Sequentially consistent, like the store of what was done before: see the top. */
    return atomic_load(how) == TRP_SLEEP_NOT ? TRP_SLEEP_NOT : (enum trp_sleep)atomic_exchange(how, TRP_SLEEP_NOT);
}

/* Descriptors over a socket pair: one, with one byte. SYSTEM. -1: it has not come. */
TROUPE_NODISCARD troupe_status trp_shared_send(int socket, int fd);
int trp_shared_receive(int socket);

#endif
