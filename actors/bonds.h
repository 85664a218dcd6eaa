/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * An actor's bonds, as bond.c has them: a watcher finds its own by key (the number of a monitor, the other's reference of a
 * link) in a hash table, which grows as it can; those on an actor are a list. A monitor's bond, or the two of a link, lie in
 * one block, a knot, with one count of references: an end that is open and hangs somewhere holds one. */
#ifndef TRP_BONDS_H
#define TRP_BONDS_H

#include "actors/actor.h"
#include "actors/note.h"

enum { TRP_WATCHER, TRP_WATCHED, TRP_SIDES };

struct trp_bond;
struct trp_knot;

/* (m) under the lock of the actor that it hangs on */
struct trp_bond_end {
    struct trp_bond *next, **link; /* (m) link NULL: hangs nowhere */
    bool closed;                   /* (m) */
};

struct trp_bond {
    struct trp_knot *knot;
    enum trp_note_kind kind; /* (c) what it tells */
    uint64_t key;            /* (c) among its watcher's */
    uint64_t who[TRP_SIDES]; /* (c) */
    struct trp_bond_end end[TRP_SIDES];
    struct troupe_msg *note; /* given away by who closes the watcher's end to tell */
};

struct trp_knot {
    atomic_uint refs;
    unsigned count;
    struct trp_bond bond[2]; /* a monitor is the first alone */
};

/* (m) under the actor's lock, (n) under the lock of the names */
struct trp_bonds {
    struct trp_bond *on_me;      /* (m) ends TRP_WATCHED, oldest first: that is the order in which they are told */
    struct trp_bond **on_me_end; /* (m) */
    struct trp_bond **mine;      /* (m) ends TRP_WATCHER: `size` chains, a power of two */
    struct trp_bond *few;        /* (m) the first table */
    size_t size, count;          /* (m) */
    uint64_t monitors;           /* (m) ever made */
    bool traps, shut, fated;     /* (m) */
    troupe_exit fate;            /* (m) once fated: what a link has killed it with */
    struct trp_name *names;      /* (n) */
    struct trp_own *own;         /* of whoever runs it */
};

/* --- knots --- */

/* With one reference. NULL: no memory. */
struct trp_knot *trp_knot_new(enum trp_note_kind kind, uint64_t watcher, uint64_t watched);
void trp_knot_ref(struct trp_knot *t);
void trp_knot_unref(struct trp_knot *t);

/* --- an actor's bonds: under its lock --- */

/* Makes them, if there are none. NULL: no memory. */
struct trp_bonds *trp_bonds_of(struct trp_actor *a);
/* Takes a reference, unless that end has been closed. */
void trp_bonds_hang(struct trp_bonds *b, struct trp_bond *bond, int side);
/* Was it open? If it hung there (*held), its reference is the caller's, who drops the lock first. */
bool trp_bonds_shut_end(struct trp_actor *a, struct trp_bond *bond, int side, bool *held);
/* Of a watcher. NULL: there is none; b may be NULL. */
struct trp_bond *trp_bonds_find(struct trp_bonds *b, enum trp_note_kind kind, uint64_t key);
/* Any of a watcher's; *at: from which chain on, 0 at first. NULL: none is left. */
struct trp_bond *trp_bonds_first(struct trp_bonds *b, size_t *at);

#endif
