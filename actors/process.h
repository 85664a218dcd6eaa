/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The proxy of an actor that runs in a process of its own: what the steward has in its place. Owner: the steward's
 * thread, but for the start. */
#ifndef TRP_PROCESS_H
#define TRP_PROCESS_H

#include "actors/actor.h"
#include "actors/backend.h"
#include "actors/channel.h"
#include "actors/errand.h"
#include "actors/lanes.h"
#include "actors/sheaf.h"
#include "actors/timer.h"

/* Messages that have left and have not been received: at most so many, or so many bytes, or one. */
enum { TRP_WINDOW = 1024, TRP_WINDOW_BYTES = 1 << 20 };
/* (r) whoever runs the actor, (d) under `down`, (u) under `up`, (a) atomic, (s) the steward; the channel changes under both
 * locks and is read under either. Order of locks: up, then down, then an actor's; nobody holds two of the same sort. */
struct trp_proxy {
    struct trp_actor *actor;
    uint32_t life;             /* (r) counts forks: reports and kills name it */
    bool alive;                /* (r) forked or about to be, end not reported */
    bool kill_sent;            /* (r) */
    int fd;                    /* (r) the channel's end before it is attached; -1 */
    struct trp_shared shared;  /* (r) the same */
    unsigned door;             /* (r) and (u), of this life: on which the body sleeps; 0: on its word */
    _Atomic uint64_t straight; /* (a) messages received by lanes that are over */
    _Atomic pid_t pid;         /* (s) 0: not known yet */
    troupe_exit exit;          /* (s) how this life ended, when it is `over` */
    troupe_exit given;         /* (u) by the body, before it ended normally; text "": nothing said */
    bool ran_out;              /* (s) the same: of its control group's memory */
    atomic_bool over;          /* (a) the end of this life has been reported */
    atomic_bool rung;          /* (a) the body has woken the steward: there may be something to read */
    struct trp_timer restart;  /* (s) */

    struct trp_channel *channel; /* NULL: no life, or not attached yet */

    pthread_mutex_t down;            /* to the body: the channel's writer */
    struct troupe_msg *lent, **tail; /* (d) messages on their way, oldest first */
    size_t count, bytes;             /* (d) of them */
    uint32_t mark;                   /* (r) enum trp_mark: what the last life has left behind */
    char epitaph[TRP_EPITAPH];       /* (r) the same; "": the broker did not know it */
    uint64_t taken;                  /* (d) that the body has received and that are not among them any more */
    struct troupe_msg *hand;         /* (d) questions at the body, oldest last */
    bool close_sent;                 /* (d) */
    bool wants;                      /* (d) the body has been asked to tell when it has received more */
    atomic_bool blocked;             /* (a) something waits for the body to receive or to read more; a hint */

    pthread_mutex_t up;         /* from the body: the channel's reader */
    struct trp_errands errands; /* (u) the body's calls, under way */
    uint64_t accepted;          /* (u) sends without a result that are done with, of this life */
    struct trp_sheaf sheaf;     /* (u) of those, what has not arrived yet: inside trp_channel_read only */
    uint64_t sheaf_to;          /* (u) to whom */
    unsigned frames;            /* (u) read so far; wraps around */
    unsigned heard;             /* (u) when a thread began to read */
    bool streams;               /* (u) a thread reads many at once, and comes again soon */
    bool looked;                /* (u) it has, since the steward asked itself */
    int64_t listened;           /* (u) when the steward did, last */
    struct {
        struct trp_timer timer;
        uint64_t handled;
        int64_t since;     /* it has received so many */
        bool overdue;      /* and is killed for that */
    } watch;               /* (s) */
    struct trp_timer tick; /* (s) runs while `streams`, to see whether it does */
};

/* --- process_mail.c: messages to the body; no lock held unless said --- */

/* For others than whoever runs it, with a reference. NULL: it is no process actor, or has not begun to be one: it can be found
 * from the moment that it has a number on. */
static inline struct trp_proxy *trp_proxy_of(struct trp_actor *a) {
    /* Its first life begins after `run` has been set: the acquire in trp_actor_lives pairs with the release there. */
    return a->backend == &trp_process_backend && trp_actor_lives(a) > 0 ? a->run : NULL;
}

/* Moves messages from the mailbox into the channel as far as the window is open. Whoever runs the actor. */
void trp_proxy_deliver(struct trp_proxy *p);
/* What the body has received does not count any more. `wants`: when it receives more than it has, it shall tell. True: there is
 * room that was not there before. */
bool trp_proxy_settle(struct trp_proxy *p, bool wants);
/* The body may have made room for those who wait. */
void trp_proxy_settle_line(struct trp_proxy *p);
/* Under `down`: what has been put into the channel leaves, and its rest when there is room. */
void trp_proxy_flush(struct trp_proxy *p);
/* A question that is at the body, taken from it; NULL: it is not there. Given. */
struct troupe_msg *trp_proxy_question(struct trp_proxy *p, uint64_t from, uint64_t number);
/* The body is gone, and what it had received is settled: that dies with it, what it had not goes back, sorted if something came
 * by lanes. Whoever runs the actor. */
void trp_proxy_return_lent(struct trp_proxy *p, bool sorts);
/* For a sender that finds its mailbox full: what its body has received by now does not count any more. Any thread. */
void trp_process_settle(struct trp_actor *a);
/* The same where its mailbox drops the oldest: if nothing more has been received, that is the oldest which has left for the
 * body. Any thread, no lock of an actor or of a proxy's `down` held. */
void trp_process_drop_oldest(struct trp_actor *a);

/* --- process_hear.c: what the body says --- */

extern const struct trp_channel_handler trp_proxy_handler;

/* Reads all that the body has to say; the steward. */
void trp_proxy_listen(struct trp_proxy *p);
/* While a thread reads a stream, the steward looks now and then whether it still does. */
void trp_proxy_tick(struct trp_proxy *p);
void trp_proxy_on_tick(struct trp_timer *t);

/* --- process_lane.c: lanes from process to process --- */

/* A frame of the body about them; under `up`. False: it makes no sense. */
TROUPE_NODISCARD bool trp_proxy_lane_frame(struct trp_proxy *p, const struct trp_frame *f);
/* The body is gone, and so is the channel: what it had not received by lanes is in its mailbox, in how many messages, and to be
 * sorted in. Under `up`. */
size_t trp_proxy_lanes_leave(struct trp_proxy *p);
/* Among all messages it had not received, of its mailbox, in a list: each comes to its place. */
void trp_proxy_lanes_sort(struct troupe_msg **all);
/* Bytes that it has not received, messages that it has. Any thread. */
void trp_proxy_lanes_look(const struct trp_proxy *p, size_t *bytes, uint64_t *received);

/* --- overdue.c: the deadline of a message; the steward --- */

void trp_overdue_begin(struct trp_proxy *p);
void trp_overdue_end(struct trp_proxy *p);

/* --- for a thread that listens to the body itself (nap.h) --- */

enum trp_hears { TRP_HEARS_NOBODY, TRP_HEARS_TOO, TRP_HEARS_ALONE };

/* Reads all that is there, and owes the body a look from now on: until it leaves, or (ALONE) comes
 * again soon: the steward looks whether it does. *ch is the channel, referenced. NOBODY: there is none now. */
enum trp_hears trp_process_hear(struct trp_proxy *p, struct trp_channel **ch);
/* Says that somebody sleeps on the word of that channel. False: there is something to read, or the channel is an old one. */
TROUPE_NODISCARD bool trp_process_doze(struct trp_proxy *p, struct trp_channel *ch);
/* Reads what is there, and leaves the rest to the steward. */
void trp_process_leave(struct trp_proxy *p, struct trp_channel *ch);

/* --- far.c: the body's calls; under `up` --- */

/* Before the first life. */
void trp_far_init(struct trp_proxy *p);
/* A frame that asks for something. False: it makes no sense. */
TROUPE_NODISCARD bool trp_far_call(struct trp_proxy *p, const struct trp_frame *f, struct trp_slice body);
/* A send that nobody waits for: it is bound together with others. */
static inline bool trp_far_is_ahead(const struct trp_frame *f) {
    return (f->type == TRP_FRAME_SEND || f->type == TRP_FRAME_TRY_SEND) && f->op == 0;
}
/* Those that are bound together arrive, before anything else that the body has said is heeded. */
void trp_far_arrive(struct trp_proxy *p);

#endif
