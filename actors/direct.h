/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The lanes of one actor (lane.h): those that lead to process actors, and those that lead here, if it is one itself. An actor
 * in a process of its own has this there, one with a thread of its own has it in its worker (straight.h). That thread alone
 * uses it.
 *
 * A plain send goes by a lane once a few of them in a row have gone to the same process actor. Everything else goes through the
 * system, as does what is too large, and so do the next few sends after it: then the lane goes on with a new stretch, of which
 * the other end hears among what came through the system. So what one sends to another arrives in its order. */
#ifndef TRP_DIRECT_H
#define TRP_DIRECT_H

#include "actors/actor.h"
#include "actors/channel.h"
#include "actors/lanes.h"

enum { TRP_OUTLETS = 64, TRP_INLETS = 64, TRP_NEAR = 64 };

struct trp_outlet {
    uint64_t to, serial;
    _Atomic uint32_t *door; /* the reader's */
    struct trp_lane_out out;
    uint32_t stretch;
    bool open; /* it is the way for now */
};

struct trp_inlet {
    uint64_t from, serial;  /* serial 0: there is none */
    _Atomic uint32_t *door; /* the writer's */
    struct trp_lane_in in;
    uint32_t stretch; /* up to here may be read */
    bool held;        /* what comes next is of a later one */
    bool over;        /* the writer is gone */
};

/* Whom it has sent to lately. */
struct trp_near {
    uint64_t to;
    int plain; /* sends in a row through the system that could have gone by a lane; negative: not wanted so soon */
    struct trp_outlet *outlet; /* NULL: none */
};

struct trp_direct;

/* How it reaches the system. */
struct trp_direct_line {
    void (*say)(struct trp_direct *d, const struct trp_frame *f); /* a frame about lanes; an answer may come inside */
    void (*out_of_memory)(void);                                  /* of one that has inlets; does not return */
    bool confined; /* it can touch the memory of lanes only after it has asked for that */
};

struct trp_direct {
    const struct trp_lanes *lanes;
    struct trp_actor *actor;
    const struct trp_direct_line *line;
    unsigned outlets, inlets; /* places in use at most */
    struct trp_outlet outlet[TRP_OUTLETS];
    struct trp_inlet inlet[TRP_INLETS];
    struct trp_near near[TRP_NEAR];
    struct trp_outlet *awaits; /* it waits for room there; NULL */
    uint64_t tell;             /* received messages between two looks whether the writer waits */
};

/* All is zero before. */
void trp_direct_init(struct trp_direct *d, const struct trp_lanes *lanes, struct trp_actor *actor,
                     const struct trp_direct_line *line);

/* A frame of the system about lanes. False: it makes no sense. */
TROUPE_NODISCARD bool trp_direct_frame(struct trp_direct *d, const struct trp_frame *f);

/* --- sending ---
 *
 * A lane is a small part of what the receiver may hold, so who finds it full waits for a moment only: one that does receive
 * makes room in that. For one that does not, the rest of its mailbox is the system's to fill, and to say that it is full. */

enum { TRP_DIRECT_PATIENCE_MS = 5 };

enum trp_way {
    TRP_WAY_SENT,
    TRP_WAY_FULL,   /* park, for TRP_DIRECT_PATIENCE_MS at most; when there is room this thread is woken */
    TRP_WAY_SYSTEM, /* it has to go through the system */
};
/* A plain send to somebody who takes mail and has so many places (standing.h) for what is under way. *deadline is 0 at the
 * first try of a send, and set with FULL: until then to park. */
enum trp_way trp_direct_try(struct trp_direct *d, uint64_t to, unsigned ahead, struct trp_slice bytes, int64_t *deadline);
/* The usual case of it, where nothing has to be decided: a value is packed where it will be read, into a lane that is its way
 * and has room. False: nothing has happened. */
bool trp_direct_pack(struct trp_direct *d, uint64_t to, unsigned ahead, troupe_value v);
/* It has asked for a lane lately, and there was none: a plain send goes through the system without another try. */
static inline bool trp_direct_lacks(struct trp_direct *d, uint64_t to) {
    struct trp_near *n = &d->near[(uint32_t)to % TRP_NEAR];
    if (n->to != to || n->outlet || n->plain >= -1)
        return false;
    n->plain++;
    return true;
}
/* Somebody to whom a plain send may go by a lane. */
void trp_direct_meet(struct trp_direct *d, uint64_t to);
/* Has it met that one lately? */
static inline bool trp_direct_knows(const struct trp_direct *d, uint64_t to) {
    return d->near[(uint32_t)to % TRP_NEAR].to == to;
}
/* Something to it is about to go through the system. */
void trp_direct_leave(struct trp_direct *d, uint64_t to);

/* --- receiving --- */

/* Into the mailbox with all that is there. */
void trp_direct_read(struct trp_direct *d);
/* The same, but if the mailbox is empty, with no more than so many of each writer: the body is going to receive them, and their
 * memory is used again for the next ones while it is near. */
enum { TRP_DIRECT_SOME = 32 };
void trp_direct_read_some(struct trp_direct *d);
/* Called for each message that the body receives. False: it did not come by a lane. */
bool trp_direct_received(struct trp_direct *d, const struct troupe_msg *m);
/* The body is about to park: those who wait for what it has received are told. */
void trp_direct_tell(struct trp_direct *d);
/* Is there anything to read, or the room that it waits for? Sequentially consistent, after it has said that it sleeps. */
bool trp_direct_has(struct trp_direct *d);
/* The same as a hint, and cheap. */
bool trp_direct_stirs(const struct trp_direct *d);

#endif
