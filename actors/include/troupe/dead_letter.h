/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Dead letters: messages that were taken and that nobody will see. Their receiver has ended with them in its mailbox, its
 * overflow policy has dropped them, its mailbox had no room for what a subscription brought. They are always counted
 * (<troupe/inspect.h>); an actor of any kind may ask to get them.
 *
 *     troupe_dead_letter dead;
 *     troupe_msg *msg;
 *     (void)!troupe_dead_letters(self, true);
 *     while (troupe_receive(self, TROUPE_FOREVER, &msg) == TROUPE_OK) {
 *         if (troupe_msg_dead_letter(msg, &dead))
 *             printf("for %s, lost because: %s\n", dead.name, troupe_status_text(dead.why));
 *         troupe_msg_free(&msg);
 *     }
 *
 * A send that was refused (FULL, CLOSED, NOT_FOUND) is none: its sender knows.
 * A question among them has been answered: its asker knows `why`.
 *
 * Who listens is told at once, by a message with the ordinary bounds of its mailbox, which never waits and pushes nothing out:
 * without room that letter is not told to it, and a gap in the numbers says so. A dead letter that is lost itself, with its
 * listener or otherwise, is not counted, nor told to anybody. As long as nobody listens, this costs nothing. */
#ifndef TROUPE_DEAD_LETTER_H
#define TROUPE_DEAD_LETTER_H

#include <troupe/actor.h>

enum { TROUPE_DEAD_LETTER_LISTENERS = 16 }; /* so many actors may listen at a time */

/* From now on this actor gets the dead letters of its system; or again does not (off, the default). Ends with the actor's life.
 * OK also if nothing changes. FULL: too many listen already. CLOSED: this actor was killed. Context: self; does not park, but
 * in a process, which waits for the answer of its system. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_dead_letters(troupe_self *self, bool on);

typedef struct troupe_dead_letter {
    uint64_t number;  /* among the dead letters of this system, from 1 */
    troupe_ref to;    /* whom it was for */
    const char *name; /* of that one; "" where it is not known any more */
    troupe_ref from;  /* 0: it came from the broker */
    /* DIED: that one ended first; FULL: it was dropped for want of room; CLOSED, NOT_FOUND: ended, or ending, when it came. */
    troupe_status why;
    bool question;     /* it was one */
    const char *topic; /* "" */
    troupe_value value;
} troupe_dead_letter;

/* Is it a dead letter? Then what it says, borrowed from the message; troupe_msg_sender is its `from`. out may be NULL.
 * Context: any thread. */
TROUPE_API bool troupe_msg_dead_letter(const troupe_msg *m, troupe_dead_letter *out);

#endif
