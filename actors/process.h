/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The proxy of an actor that runs in a process of its own: what the steward has in its place. Owner: the steward's
 * thread, but for the start. */
#ifndef TRP_PROCESS_H
#define TRP_PROCESS_H

#include "actors/actor.h"
#include "actors/channel.h"
#include "actors/timer.h"

struct trp_far; /* a call of the body on others, under way here (far.c) */

/* Messages that have left and have not been received: at most so many, or so many bytes, or one. What a crash loses, and what
 * keeps the channel busy. */
enum { TRP_WINDOW = 64, TRP_WINDOW_BYTES = 256 * 1024 };

struct trp_proxy {
    struct trp_actor *actor;
    struct trp_channel *channel; /* NULL: no life, or not attached yet */
    int fd;                      /* the channel's end before that; -1 */
    uint32_t life;               /* counts forks: reports and kills name it */
    pid_t pid;                   /* 0: not known yet */
    bool alive;                  /* forked or about to be, end not reported */
    bool over;                   /* the end of this life has been reported: `exit` says how */
    bool kill_sent, close_sent;
    troupe_exit exit;
    troupe_exit given;        /* by the body, before it ended normally; text "": nothing said */
    struct troupe_msg *hand;  /* questions at the body, oldest last */
    size_t sizes[TRP_WINDOW]; /* of what is lent, a ring */
    size_t first, count, bytes;
    struct trp_far *calls; /* of the body, under way */
    uint64_t asked;        /* questions so far, of all lives */
    struct trp_timer restart;
};

/* --- far.c: the body's calls --- */

/* A frame that asks for something. False: it makes no sense. */
TROUPE_NODISCARD bool trp_far_call(struct trp_proxy *p, const struct trp_frame *f, struct trp_slice body);
/* Answers the calls that are done. */
void trp_far_finish(struct trp_proxy *p);
/* The body is gone: nobody waits for its calls. */
void trp_far_abandon(struct trp_proxy *p);

#endif
