/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Messages from one sender to one receiver that have come together, bound together: the receiver is looked up once, its lock
 * taken once, and its mailbox changed once for all of them. They are in it as if each had been sent by itself.
 *
 * Linked newest first, as a mailbox has them: all are put into it by one change of its word. */
#ifndef TRP_SHEAF_H
#define TRP_SHEAF_H

#include <stdbool.h>
#include <troupe/status.h>

struct trp_actor;
struct troupe_msg;

enum { TRP_SHEAF_MOST = 64 };

/* Zeroed: empty. */
struct trp_sheaf {
    struct troupe_msg *newest, *oldest;
    unsigned count;
};

/* Taken. It has room: less than TRP_SHEAF_MOST. */
void trp_sheaf_add(struct trp_sheaf *s, struct troupe_msg *m);
/* The oldest of what cannot be put in at once is the first of a list, and it is empty. */
struct troupe_msg *trp_sheaf_undo(struct trp_sheaf *s);
/* All into its mailbox, beside others who send, and it is empty. False: it has no room for all, or no ear, or looks at each;
 * nothing has happened. Any thread, no lock held. */
TROUPE_NODISCARD bool trp_sheaf_send(struct trp_sheaf *s, struct trp_actor *to);

#endif
