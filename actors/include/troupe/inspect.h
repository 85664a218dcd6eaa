/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Seeing inside a running system: who is there, what it is doing, what is waiting for it. Looking stops nobody: each
 * actor is looked at for itself, one after the other, while all go on.
 *
 *     troupe_snapshot *s;
 *     if (troupe_system_snapshot(sys, &s) == TROUPE_OK) {
 *         for (size_t i = 0; i < s->count; i++)
 *             printf("%s has %zu messages waiting\n", s->actors[i].name, s->actors[i].queued);
 *         troupe_snapshot_free(&s);
 *     }
 */
#ifndef TROUPE_INSPECT_H
#define TROUPE_INSPECT_H

#include <stdio.h>
#include <troupe/actor.h>

typedef enum troupe_actor_state {
    TROUPE_ACTOR_STARTING, /* before its first life, or between two */
    TROUPE_ACTOR_RUNNING,  /* computing, or waiting for its turn; in a process: alive */
    TROUPE_ACTOR_WAITING,  /* for a message, a time, an answer ... */
    TROUPE_ACTOR_CLOSING,
} troupe_actor_state;

/* "starting", "running", "waiting", "closing". Context: any thread. */
TROUPE_API const char *troupe_actor_state_name(troupe_actor_state state);

typedef struct troupe_actor_info {
    troupe_ref ref;
    char name[64];
    troupe_kind kind;
    troupe_actor_state state;
    size_t queued, queued_bytes; /* messages in its mailbox, and on the way to its process; bytes of small ones are estimated */
    size_t queued_most;          /* so many fit */
    uint64_t handled;            /* messages that it has taken out so far, in all its lives */
    uint64_t dropped;            /* messages to it that went to nobody: dead letters */
    uint32_t restarts;           /* lives before this one, its own and of its predecessors under a supervisor */
    /* Of processor time. A thread's or process's is this life's, exactly. A coroutine's or coroutine handler's is of all its
     * lives and an estimate: whoever a worker is found with each 2 to 8 ms is put down for what it has used since. Good to a
     * few percent for those that use much; 0 for those that use little. At most 49 days.
     * -1: not known (in a system for tests). */
    int64_t cpu_ns;
    /* The deepest so far, in whole pages, of whoever has had that stack; 0: not known, or none: a handler of the coroutine kind
     * borrows one while it handles something. */
    size_t stack_used;
    size_t stack_size; /* 0: as stack_used */
    int pid;           /* of a process; 0: none */
} troupe_actor_info;

typedef struct troupe_snapshot {
    uint64_t dead_letters; /* of the whole system, so far */
    size_t count;
    troupe_actor_info actors[];
} troupe_snapshot;

/* All actors there are, the opener ("main") among them; who is born meanwhile may be missing. Given. Faults: NO_MEMORY.
 * Context: any thread, while the system is open; does not wait for any actor. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_system_snapshot(troupe_system *sys, troupe_snapshot **out);
/* Accepts NULL inside. */
TROUPE_API void troupe_snapshot_free(troupe_snapshot **s);

/* The same as a table for people, one line an actor. Faults: NO_MEMORY, SYSTEM: it could not be written. Context: as
 * troupe_system_snapshot; blocks as stdio does. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_system_dump(troupe_system *sys, FILE *to);

#endif
