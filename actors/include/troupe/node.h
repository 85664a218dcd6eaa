/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Actors of other systems. A system that joins its broker under a node name can be reached from every other system
 * there: on this host, or on another.
 *
 *     (void)!troupe_node_join(me, "a", 5000);                   // node a
 *     (void)!troupe_register(me, "counter", counter);
 *
 *     troupe_ref ref;                                           // anywhere else
 *     if (troupe_lookup(self, "counter@a", 1000, &ref) == TROUPE_OK)
 *         (void)!troupe_send(self, ref, troupe_int(1));
 *
 * What troupe_lookup gives is a stand-in: an actor of the own system that passes on what it is sent. So everything works
 * on it as on any other: send, ask, monitor, link, join, close, kill.
 *
 *     sender --> [ mailbox of the stand-in ] --> broker --> node --> [ mailbox of the actor ]
 *                      `- at most 256 under way, then the sender waits
 *
 *   - Order is kept between one sender and one receiver, sends and questions alike. A full mailbox over there fills the
 *     stand-in's, and that makes senders wait, as here.
 *   - When the actor ends, the stand-in ends the same way. When its node is lost (it died, or either side has lost the broker),
 *     the stand-in ends with END_NODE, whoever watches it is told, and questions under way say DIED; whether they were handled
 *     is then unknown. A later look-up finds the actor again, if it still lives.
 *   - At most once: what was under way when a node was lost is lost. A mailbox that drops or refuses does so over there: a
 *     plain send has said OK before.
 *   - The sender of a message from another node is nobody who could be sent to. Who wants to hear more than an answer sends its
 *     address, of which troupe_address makes a text.
 *   - Closing a system leaves the actors of other nodes alone; to kill a stand-in by troupe_kill is to kill the actor.
 *
 * A node answers for at most 60,000 questions and stand-ins at a time. */
#ifndef TROUPE_NODE_H
#define TROUPE_NODE_H

#include <troupe/actor.h>

enum {
    TROUPE_NODE_NAME_MAX = 31, /* bytes: letters, digits, - and _ */
    TROUPE_ADDRESS_MAX = 95    /* NAME@NODE */
};

/* Gives this system a node name at its broker; its actors can be reached until it closes. EXISTS: it has a name already, or
 * another system has this one. DISCONNECTED, TIMEOUT: no broker in that time. CLOSED: this actor was killed, or the system is
 * closing. UNSUPPORTED: called from a process actor. Faults: INVALID, NO_MEMORY, SYSTEM, BAD_URL. Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_node_join(troupe_self *self, const char *name, int64_t timeout_ms);
/* The name, borrowed as long as the system lives. NULL: it has none. Context: self; not in a process actor, which gets NULL. */
TROUPE_API const char *troupe_node_name(troupe_self *self);

/* Finds an actor by its name. "counter@a": on node a, which may be this one. "counter": here, else on whichever node has it
 * (the first that says so). NOT_FOUND: the node has no such actor; for a name without a node: nobody said in that time that it
 * has. NO_RESPONDERS: there is no such node. TIMEOUT, DISCONNECTED, CLOSED as troupe_request. Faults: INVALID (an address that
 * is none), NO_MEMORY, BAD_URL. Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_lookup(troupe_self *self, const char *address, int64_t timeout_ms,
                                                        troupe_ref *out);

/* The address of an actor of this system, "#1234@a", by which troupe_lookup finds it from everywhere as long as it lives: for a
 * message to another node. UNSUPPORTED: this system has joined under no name, or this is a process actor.
 * Context: self; does not park. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_address(troupe_self *self, troupe_ref ref, char out[TROUPE_ADDRESS_MAX + 1]);

#endif
