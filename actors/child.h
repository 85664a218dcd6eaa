/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The process of a process actor, as its three parts see it: what it says and hears (child_frames.c), what the body does to
 * other actors (child_calls.c, which is trp_child_reach), its life from the fork to its end (child.c). There is one in a
 * process, and one thread. */
#ifndef TRP_CHILD_H
#define TRP_CHILD_H

#include "actors/channel.h"
#include "actors/direct.h"
#include "actors/drip.h"
#include "actors/self.h"
#include "actors/standing.h"
#include "actors/system.h"

/* The call that the body waits for; there is one at a time. */
struct trp_child_call {
    uint64_t op; /* 0: none */
    unsigned type;
    bool done;
    troupe_status st;
    uint64_t ref;
    troupe_exit exit;
    struct troupe_msg *answer;
};

struct trp_child {
    troupe_system sys;
    struct trp_actor actor;
    troupe_self self;
    struct trp_channel *channel;
    uint64_t ops;
    struct trp_child_call call;
    struct trp_standing standing;   /* of the actors of the system, not of `sys` here */
    struct trp_shared_words *words; /* the channel's */
    uint64_t taken;                 /* messages of the system that the body has received, or that have been dropped */
    uint64_t heard;                 /* that have come, of a body that drops the oldest */
    uint64_t handled;               /* those, and the broker's, and notes */
    uint64_t told;                  /* taken, when it was last looked whether the system waits for that */
    uint64_t tell;                  /* look when it is so many more */
    uint64_t ahead;                 /* sends without a result */
    uint64_t lost;                  /* messages that the system has not been told of */
    struct trp_drip drip;           /* what came of its last sleeps */
    struct trp_direct direct;       /* the ways to and from other processes */
};

extern struct trp_child trp_child;

/* What the body is doing, for those who look from outside. */
static inline void trp_child_note_doing(enum trp_doing doing) {
    /* Relaxed: it is looked at by a clock. */
    atomic_store_explicit(&trp_child.words->doing, doing, memory_order_relaxed);
}

/* Then the oldest message may be dropped by the system while it is here, and `taken` is counted up by both. */
static inline bool trp_child_drops(void) {
    return trp_child.actor.birth->overflow == TROUPE_DROP_OLDEST;
}

/* --- child_frames.c --- */

/* Such a message is about to be received, or dropped here. False: it has been dropped by the system. */
TROUPE_NODISCARD bool trp_child_claim(const struct troupe_msg *m);

/* Ends the process: there is no memory for what others wait for, and an end is what they can be told. */
_Noreturn void trp_child_out_of_memory(void);

/* To the system: it has been written when this returns. */
static inline void trp_child_say(struct trp_frame f, struct trp_slice body) {
    if (trp_channel_put(trp_child.channel, f, body) != TROUPE_OK)
        trp_child_out_of_memory();
    trp_channel_flush_all(trp_child.channel);
}

/* A letter that the body's own mailbox had no room for, or what its overflow policy drops. */
void trp_child_relay_letter(const struct troupe_msg *m, troupe_status why);
/* How many there were that nobody wanted to hear of. */
void trp_child_say_lost(void);
/* Senders may wait for the room of what has been taken. */
void trp_child_tell_taken(bool parks);
/* An answer to a question that came from the system; NULL: a status alone. */
void trp_child_reply(const struct troupe_msg *question, troupe_status st, const struct troupe_msg *answer);
/* What has come: frames, and messages straight from other processes. */
void trp_child_read(void);
extern const struct trp_channel_handler trp_child_handler;

#endif
