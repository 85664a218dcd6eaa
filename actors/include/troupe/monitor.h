/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Who dies tells. A monitor is one-way: one actor hears of another's end by a message. A link is two-way: who dies of
 * something takes the other along, unless that one traps exits, and then it gets a message.
 *
 *     troupe_watch watch;
 *     troupe_down down;
 *     troupe_msg *msg;
 *     (void)!troupe_monitor(self, worker, &watch);
 *     while (troupe_receive(self, TROUPE_FOREVER, &msg) == TROUPE_OK) {
 *         if (troupe_msg_down(msg, &down))
 *             printf("the worker has ended: %s\n", down.exit.text);
 *         troupe_msg_free(&msg);
 *     }
 *
 * All of this works between actors of every kind. The messages (DOWN of a monitor, EXIT of a link) need no room: no bound and
 * no overflow policy touches them, and their memory is there since the monitor or link was made. They go ahead of what others
 * have sent, but never ahead of what the dead one itself had sent: who hears of an end has heard all else. A closing actor
 * still gets those that were there before CLOSED.
 *
 * An actor with .restart has one end, the last: a crash from which it is started again is nobody's news here. A supervisor
 * (<troupe/supervisor.h>) starts a new actor each time, and each one has its end. */
#ifndef TROUPE_MONITOR_H
#define TROUPE_MONITOR_H

#include <troupe/actor.h>

/* Names a monitor, among those of one actor. */
typedef struct troupe_watch {
    uint64_t id;
} troupe_watch;

typedef struct troupe_down {
    troupe_watch watch; /* of a DOWN: which monitor; of an EXIT: 0 */
    troupe_ref ref;     /* who has ended */
    troupe_exit exit;   /* how; END_NOPROC: it was not there any more when the monitor was made */
} troupe_down;

/* Watches an actor: when it has ended, one DOWN comes. Any number of monitors may watch one actor, each brings its own; who
 * began first is told first. Who has ended already (or never was) gives a DOWN with END_NOPROC at once. out may be NULL.
 * CLOSED: this actor was killed. Faults: NO_MEMORY: nothing is watched. Context: self; does not park, but in a process, which
 * waits for the answer of its system. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_monitor(troupe_self *self, troupe_ref ref, troupe_watch *out);
/* Ends it: no DOWN of it will be received from now on, also if it was waiting here. NOT_FOUND: it has been received already.
 * Context: as troupe_monitor. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_demonitor(troupe_self *self, troupe_watch watch);

/* Links this actor with another; two that are linked already stay so, once. When either ends, by whatever but END_NORMAL, the
 * other is killed: it ends with END_LINKED and the text of the first. Who traps exits gets an EXIT instead, also for
 * END_NORMAL. OK also for itself: nothing happens. NOT_FOUND: it has ended, and nothing is linked. CLOSED: this actor was
 * killed. Faults: NO_MEMORY. Context: as troupe_monitor. .link of troupe_spawn_opts links from birth. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_link(troupe_self *self, troupe_ref ref);
/* Ends the link, if there is one: nothing of it will be received from now on. Context: as troupe_monitor. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_unlink(troupe_self *self, troupe_ref ref);

/* From now on links bring EXIT messages instead of death; or again death (off, the default). CLOSED: this actor was killed.
 * Faults: NO_MEMORY. Context: as troupe_monitor. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_trap_exits(troupe_self *self, bool on);

/* Is it a DOWN, an EXIT? Then what it says; its sender (troupe_msg_sender) is who has ended. out may be NULL.
 * Context: any thread. */
TROUPE_API bool troupe_msg_down(const troupe_msg *m, troupe_down *out);
TROUPE_API bool troupe_msg_exit(const troupe_msg *m, troupe_down *out);

/* Says how this life will have ended once the body has returned: END_GIVEN with the code and the text (cut to fit); code 0 is
 * END_NORMAL with that text. The body returns soon after it: this does not do it. The last call counts; who is killed has been
 * killed all the same. Context: self; does not park. */
TROUPE_API void troupe_exit_with(troupe_self *self, int code, const char *text);

#endif
