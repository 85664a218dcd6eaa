/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Dead letters: counted, told to those who listen, and buried. Who listens is in a short table of atomic words, so that whoever
 * has letters to bury needs no lock.
 *
 *     [ number, to, name, why, question, topic, value ]        what is told, as a packed array
 *
 * It comes under a topic that none can publish, and that says as well that it is not to be told again: so there is no loop. */
#ifndef TRP_LETTERS_H
#define TRP_LETTERS_H

#include <stdatomic.h>
#include <troupe/dead_letter.h>

struct trp_actor;
struct troupe_msg;

struct trp_letters {
    _Atomic uint64_t listeners[TROUPE_DEAD_LETTER_LISTENERS]; /* references; 0: free */
    atomic_size_t count;                                      /* letters so far */
    /* In the process of a process actor, which tells its system of them instead; else NULL. */
    void (*relay)(const struct troupe_msg *m, troupe_status why);
};

/* Messages that nobody will see (a list; NULL: none): counted, at `to` as well (NULL: it is gone), told and freed; see
 * trp_messages_bury for where and how. Each says by its `to` whom it was for. Any thread, no lock of an actor, of an
 * object or of a proxy's `down` held: a process that is told may take its own. */
void trp_letters_bury(troupe_system *sys, struct trp_actor *to, struct troupe_msg *all, troupe_status why);

/* So many more have been lost that nobody will be told of. */
void trp_letters_count(struct trp_actor *to, size_t n);
/* Is it a letter itself? */
bool trp_is_letter(const struct troupe_msg *m);

/* FULL. By its own thread or the steward. */
TROUPE_NODISCARD troupe_status trp_letters_listen(struct trp_actor *a, bool on);

#endif
