/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A mailbox: messages in the order of arrival, bounded in number and in bytes, and the senders that wait for room.
 *
 *     senders --> [ parked, oldest first ] --> [ queued ] --> [ lent ] --> the body
 *                                              `----- counted -----'
 *
 * Lent messages have left for another process and have not been asked for by the body there: they count against the
 * bounds all the same, so that a process that does not receive is as full as any other actor.
 *
 * What the runtime itself has to tell an actor (close, kill, answers to its questions, ends it waits for) does not
 * come this way: those are bits and operations of the actor, need no room, and are neither refused nor dropped. Ends that
 * it watches come as notes, in a lane of their own (note.h).
 *
 * Everything here is called under the owning actor's lock and calls nothing back. Others know only these functions;
 * a mailbox without a lock can take its place. */
#ifndef TRP_MAILBOX_H
#define TRP_MAILBOX_H

#include "actors/note.h"
#include "actors/wait.h"
#include "clients/msg.h"

struct trp_mailbox {
    struct troupe_msg *head, **tail;
    size_t count, bytes;
    size_t lent, lent_bytes;
    size_t max, max_bytes;
    troupe_overflow overflow;
    struct trp_waits parked; /* struct trp_send */
    struct trp_notes notes;  /* of the runtime itself; not counted */
};

void trp_mailbox_init(struct trp_mailbox *mb, size_t max, size_t max_bytes, troupe_overflow overflow);

/* Takes the message, or says FULL. With TROUPE_DROP_OLDEST it always takes it, and gives the messages that had to go as a list
 * in *dropped. An empty mailbox takes a message of any size. */
TROUPE_NODISCARD troupe_status trp_mailbox_put(struct trp_mailbox *mb, struct troupe_msg *m, struct troupe_msg **dropped);
/* Beyond the bounds: for what another bound limits (the credit of a subscription). */
void trp_mailbox_force(struct trp_mailbox *mb, struct troupe_msg *m);
/* The sender waits behind those that wait already. */
void trp_mailbox_park(struct trp_mailbox *mb, struct trp_send *s);

/* The first note, or else the oldest message, or NULL. */
struct troupe_msg *trp_mailbox_take(struct trp_mailbox *mb);
/* The oldest message; it goes on counting until it is settled. */
struct troupe_msg *trp_mailbox_lend(struct trp_mailbox *mb);
/* So many lent messages have been received. More than were lent: false, and nothing is changed. */
TROUPE_NODISCARD bool trp_mailbox_settle(struct trp_mailbox *mb, size_t count, size_t bytes);
/* All that are lent are lost. */
void trp_mailbox_forget_lent(struct trp_mailbox *mb);

/* When there is room: takes the first parked sender's message and the sender off the list; NULL: none, or no room. */
struct trp_send *trp_mailbox_admit(struct trp_mailbox *mb);
/* Takes the first parked sender off, its message still in it; NULL: none. */
struct trp_send *trp_mailbox_expel(struct trp_mailbox *mb);
/* Takes all messages, as a list. Notes are freed: nobody is there to read them. */
struct troupe_msg *trp_mailbox_drain(struct trp_mailbox *mb);

#endif
