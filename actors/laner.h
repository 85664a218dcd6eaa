/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What the system does for whoever writes into lanes (lane.h): a body in a process of its own, which asks for it by frames, or
 * one with a thread of its own here. It gives lanes out, marks where their messages belong among others, and delivers what is
 * left in them when nobody reads any more. No message goes this way. What it does for readers: process_lane.c.
 *
 *     asked for --> both ends know it --> mute: the writer is gone; the reader empties it, says so                    --> over
 *                                     `-> blind: the reader is gone; the writer is told, says that it has stopped --> over
 *
 * What a reader's body has not received when it dies goes to its mailbox: what is there at once, in its place among what the
 * same sender has sent through the system; what the writer puts there before it hears of it when it says that it has stopped,
 * before anything that it sends after that.
 *
 * A stretch begins with a mark among the messages through the system. It is in the mailbox before the record knows of it: a
 * reader's death in between leaves that stretch to be emptied after the mark.
 *
 * The lock of all lanes is taken and left inside, and nothing is delivered under it: whom that wakes may need it. Context: any
 * thread that does what the writer does, one at a time; no lock but the writer's `up`. */
#ifndef TRP_LANER_H
#define TRP_LANER_H

#include "actors/channel.h"
#include "actors/lanes.h"

struct troupe_msg;
struct trp_actor;

struct trp_laner {
    troupe_system *sys;
    uint64_t id;   /* the actor's */
    unsigned door; /* 0: it can have no lanes */
};

/* A lane to that actor: the answer, a TRP_FRAME_LANE. */
struct trp_frame trp_laner_ask(const struct trp_laner *l, uint64_t to);
/* As a TRP_FRAME_STRETCH says. NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_laner_stretch(const struct trp_laner *l, const struct trp_frame *f);
/* It puts no more into that one. False: it is none of those that lead from it. */
bool trp_laner_over(const struct trp_laner *l, uint64_t serial);
/* Nor into any other. */
void trp_laner_gone(const struct trp_laner *l);
/* Somebody who waits is to look at what there is, and sleeps where only the system can wake him. */
void trp_laner_ring(troupe_system *sys, uint64_t whom);

/* --- shared with the reader's side --- */

/* (m) One end of a lane is told of the other: a frame for a process, a thread looks itself. */
void trp_lane_inform(troupe_system *sys, uint64_t id, const struct trp_frame *f);
/* (m) Out of a blind lane, behind *tail; up to the stretch that the system has heard of, unless `all`. In each, origin says
 * where it belongs. Gives the new tail. */
struct troupe_msg **trp_lane_drain(struct trp_lane_record *r, bool all, struct troupe_msg **tail);
/* Whatever has become of its receiver `to`; NULL: it is gone, and was `id`. Taken. */
void trp_lane_deliver(troupe_system *sys, struct trp_actor *to, uint64_t id, struct troupe_msg *m);

#endif
