/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A note is a message of the runtime itself to an actor: somebody has ended. It looks like any message to the body
 * that receives it, but in the mailbox it has a lane of its own, without bounds: notes are made when a monitor or a
 * link is, so there are never more than of those, and telling one can't fail. */
#ifndef TRP_NOTE_H
#define TRP_NOTE_H

#include <troupe/monitor.h>

#include "clients/msg.h"

/* troupe_msg.kind. A STRETCH is a mark among the messages to a process actor, and never received: see process_lane.c. */
enum trp_note_kind { TRP_NOTE_NONE, TRP_NOTE_DOWN, TRP_NOTE_EXIT, TRP_NOTE_STRETCH };

static inline bool trp_is_note(const struct troupe_msg *m) {
    return m->kind != TRP_NOTE_NONE;
}

/* A blank one. NULL: no memory. */
struct troupe_msg *trp_note_new(enum trp_note_kind kind);
void trp_note_write(struct troupe_msg *note, const troupe_down *down);
void trp_note_read(const struct troupe_msg *note, troupe_down *out);

/* The lane of notes: zero it and call init. Under the lock of whose mailbox it is in. */
struct trp_notes {
    struct troupe_msg *head, **tail;
    uint32_t behind; /* messages in the mailbox that the first note has to wait for */
    bool counted;    /* they have been counted */
};

void trp_notes_init(struct trp_notes *n);
void trp_notes_add(struct trp_notes *n, struct troupe_msg *note);
/* The first note, if it need not wait for what its dead one has sent; `mail` is what else is queued. NULL: none. */
struct troupe_msg *trp_notes_take(struct trp_notes *n, const struct troupe_msg *mail);
/* A message has left the mailbox, by whatever way. */
void trp_notes_mail_left(struct trp_notes *n, const struct troupe_msg *m);
/* Takes out a note that nobody wants any more: a DOWN by its watch, an EXIT by who has ended. NULL: it isn't there. */
struct troupe_msg *trp_notes_withdraw(struct trp_notes *n, enum trp_note_kind kind, uint64_t id);
/* Frees all of them. */
void trp_notes_clear(struct trp_notes *n);

#endif
