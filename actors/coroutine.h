/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A body's side with a stack of its own, which it lies at the top of: what a coroutine actor has for life (coroutine.c), and a
 * handler actor while it handles something (handler.c). */
#ifndef TRP_COROUTINE_H
#define TRP_COROUTINE_H

#include <stdalign.h>

#include "actors/line.h"
#include "actors/self.h"
#include "actors/stack.h"

/* A switch looks at its first line, and at that of its self. */
struct trp_coroutine {
    enum trp_ran ran; /* why it has switched away */
    bool hops;        /* it may go on to others by itself, and they to it */
    bool idle;        /* a handler's: its actor needs it no more */
    struct trp_fiber fiber;
    struct trp_stack stack;
    alignas(TRP_LINE) troupe_self self;
};

/* With a stack of so many bytes (0: the usual), and `above` bytes at its high end for the caller; main(it) is called when it is
 * first entered and never returns; self is zeroed but for its timer. NO_MEMORY. Any thread. */
TROUPE_NODISCARD troupe_status trp_coroutine_new(struct trp_coroutine **out, struct trp_stacks *stacks, size_t stack,
                                                 size_t above, void (*main)(void *));
/* Makes it a's. Before it is entered. */
void trp_coroutine_embody(struct trp_coroutine *co, struct trp_actor *a, const struct trp_backend *backend);
/* It is not running. Accepts NULL. */
void trp_coroutine_free(struct trp_coroutine *co, struct trp_stacks *stacks);
/* Runs it on the calling runner until it, or one that it has gone on to, gives back: which one has. */
struct trp_coroutine *trp_coroutine_enter(struct trp_coroutine *co);
/* On its own stack: back to the runner. `last`: for good. */
void trp_coroutine_give_back(struct trp_coroutine *co, enum trp_ran why, bool last);
/* As in struct trp_backend; self is that of a coroutine. */
bool trp_coroutine_park(troupe_self *self, int64_t deadline);
bool trp_coroutine_listen(troupe_self *self, int64_t deadline);
/* The same for ever. */
void trp_coroutine_await_mail(troupe_self *self);
void trp_coroutine_yield(troupe_self *self);

#endif
