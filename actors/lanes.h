/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The memory of all lanes between process actors, made before the nursery is forked, so that every process has it at the same
 * place, and what the system knows of each lane. A process can touch nothing of it but what it has been told to use: its own
 * door, its lanes, and the doors at their other ends.
 *
 *     [ doors, a page each ][ lanes, a page of words and a ring each ]
 *
 * A door is the word on which a process sleeps (shared.h), so that whoever has a lane to it can wake it. It is somebody's until
 * its process and all lanes that lead from or to it are gone.
 *
 * What is never touched costs nothing, and a lane's memory is given back when it is over. Where there is none, or none left,
 * messages go by way of the system. */
#ifndef TRP_LANES_H
#define TRP_LANES_H

#include <pthread.h>

#include "actors/lane.h"

enum { TRP_LANES = 1024, TRP_DOORS = 4096 };

/* The system's record of one. (m) under the lock of all */
struct trp_lane_record {
    _Atomic uint64_t to;   /* written (m), read by any thread as a hint; 0: there is none */
    uint64_t from;         /* (m) */
    uint64_t serial;       /* (m) its number; serial % TRP_LANES is its place */
    unsigned doors[2];     /* (m) of the writer's and the reader's process */
    uint32_t stretch;      /* (m) that has begun last, as far as the system has heard */
    bool mute, blind;      /* (m) the writer's process is gone; the reader's is */
    struct trp_lane_in in; /* (m) once it is blind: what is left goes to the reader's mailbox */
};

/* (c) constant, (m) under lock */
struct trp_lanes {
    uint8_t *memory;                 /* (c) NULL: there is none */
    size_t page;                     /* (c) */
    pthread_mutex_t lock;            /* after an `up`, before a `down` (process.h) */
    struct trp_lane_record *records; /* TRP_LANES */
    uint16_t *doors;                 /* (m) TRP_DOORS: how many use each */
    uint64_t serial;                 /* (m) */
};

/* NO_MEMORY for the records. Where there is none to share, there are no lanes. */
TROUPE_NODISCARD troupe_status trp_lanes_init(struct trp_lanes *l);
void trp_lanes_fini(struct trp_lanes *l);

/* Where they are. */
_Atomic uint32_t *trp_lanes_door(const struct trp_lanes *l, unsigned door);
struct trp_lane trp_lanes_at(const struct trp_lanes *l, uint64_t serial);

/* --- in the system; doors with the lock held, or taken inside --- */

/* A door for a process; 0: there is none left. */
unsigned trp_lanes_door_take(struct trp_lanes *l);
void trp_lanes_door_drop(struct trp_lanes *l, unsigned door);
/* (m) A new lane; NULL: there is none left. Both doors are kept until its end. */
struct trp_lane_record *trp_lanes_new(struct trp_lanes *l, uint64_t from, unsigned from_door, uint64_t to, unsigned to_door);
/* (m) NULL: it is over. */
struct trp_lane_record *trp_lanes_find(struct trp_lanes *l, uint64_t serial);
/* (m) Nobody touches it any more. */
void trp_lanes_end(struct trp_lanes *l, struct trp_lane_record *r);

/* --- in a process --- */

/* All of it out of reach. */
void trp_lanes_hide(const struct trp_lanes *l);
/* SYSTEM: it stays out of reach. A lane is put out of reach again when it is over. */
TROUPE_NODISCARD troupe_status trp_lanes_reach_door(const struct trp_lanes *l, unsigned door);
TROUPE_NODISCARD troupe_status trp_lanes_reach(const struct trp_lanes *l, uint64_t serial);
void trp_lanes_leave(const struct trp_lanes *l, uint64_t serial);

#endif
