/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Handler actors: three functions and some bytes of state instead of a body. Between two messages a handler actor is its state
 * and a few hundred bytes: a million of them fit where ten thousand bodies do.
 *
 *     struct counter { int64_t n; };
 *
 *     static void count(troupe_self *self, void *state, troupe_msg **msg) {
 *         struct counter *c = state;
 *         c->n++;
 *         troupe_reply(self, *msg, troupe_int(c->n));
 *     }
 *
 *     static const troupe_handler counting = {.on_message = count};
 *     troupe_spawn_handler(me, NULL, &counting, &(struct counter){0}, sizeof(struct counter), &ref);
 *
 * It is an actor like any other: it has a reference, a mailbox with the same bounds, is closed, killed, joined, watched and
 * restarted like one that has a body, and inside its functions every call of the runtime may be made, those that wait included.
 * The functions of one actor never run at the same time.
 *
 *   TROUPE_COROUTINE  borrows a stack of its worker while one of its functions runs (and as long as it holds a message
 *                     that somebody waits to hear of, a subscription or a future)
 *   TROUPE_THREAD     a thread, or a process, that calls the same functions in a loop: for what computes for long, or may crash
 *   TROUPE_PROCESS */
#ifndef TROUPE_HANDLER_H
#define TROUPE_HANDLER_H

#include <troupe/actor.h>

/* Context of all three: self, as in a body. */
typedef struct troupe_handler {
    /* First of all, in each life. NULL: nothing is to be done. */
    void (*on_start)(troupe_self *self, void *state);
    /* For each message. *msg is given: who keeps it sets *msg to NULL and frees it later, else it is freed after the return. */
    void (*on_message)(troupe_self *self, void *state, troupe_msg **msg);
    /* Last of all, in each life: the actor was closed and has handled what was queued, or was killed (then most calls say
     * CLOSED). Not after a crash. NULL: nothing is to be done. */
    void (*on_end)(troupe_self *self, void *state);
} troupe_handler;

/* As troupe_spawn. `handler` is copied; for a process its functions must be this program's or a library's that was loaded when
 * the system was opened. The state_size bytes at `state` are copied (0: the functions get NULL); each life begins with that
 * copy. Ends by troupe_close of itself or by others. Actors that one actor spawns in a row with the same functions and options,
 * and without a name, share a name. opts.stack: of the stacks that it borrows. Returns what troupe_spawn does; INVALID also
 * without on_message. Context: self. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_spawn_handler(troupe_self *self, const troupe_spawn_opts *opts,
                                                               const troupe_handler *handler, const void *state,
                                                               size_t state_size, troupe_ref *out);

#endif
