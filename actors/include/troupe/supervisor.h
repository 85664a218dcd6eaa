/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A supervisor is an actor that starts others, its children, and starts them again when they die. Its children may be
 * of any kind, bodies, handlers (<troupe/handler.h>), programs (<troupe/command.h>) or supervisors: a tree, in which a fault is
 * mended as near to it as it can be.
 *
 *     troupe_child children[] = {
 *         {.opts = {.name = "store", .restart = TROUPE_PERMANENT, .registered = true}, .body = store},
 *         {.opts = {.name = "parser", .restart = TROUPE_PERMANENT, .kind = TROUPE_PROCESS}, .body = parser},
 *         {.opts = {.name = "counter", .restart = TROUPE_TRANSIENT}, .handler = &counting, .arg = &zero,
 *          .arg_size = sizeof zero},
 *         {.opts = {.name = "sorter", .restart = TROUPE_PERMANENT}, .argv = (const char *const[]){"sort", NULL}},
 *     };
 *     troupe_supervisor_opts opts = {.strategy = TROUPE_REST_FOR_ONE, .children = children, .count = 4};
 *     if (troupe_supervise(self, NULL, &opts, &ref) != TROUPE_OK)
 *         ...
 *
 * A child that is started again is a new actor with a new reference and an empty mailbox: what its predecessor choked on is
 * gone, and who asked it has been told (DIED). So others find it by its name: .registered gives it one, <troupe/names.h>
 * finds it. (.restart without a supervisor is the other way: one actor, its reference and mailbox kept, started again by
 * itself, for ever.)
 *
 * States of a child
 *     running --ends--> waiting (for its back-off) --> running      if it is to be restarted
 *                  `--> ended                                        if not; a temporary one is forgotten
 *
 * A supervisor ends its children before it ends itself, in reverse order; if it is killed, they die of their links with it. */
#ifndef TROUPE_SUPERVISOR_H
#define TROUPE_SUPERVISOR_H

#include <troupe/command.h>
#include <troupe/handler.h>

typedef enum troupe_strategy {
    TROUPE_ONE_FOR_ONE,  /* who has died is started again */
    TROUPE_ONE_FOR_ALL,  /* all others are ended, and then all are started again */
    TROUPE_REST_FOR_ONE, /* those behind it in the list are ended, and then it and those are started again */
} troupe_strategy;

struct troupe_supervisor_opts;

/* One of body, handler, argv and supervisor says what it is. */
typedef struct troupe_child {
    /* .name: its name among the children, NULL: "child-N"; .restart: whether it is started again (PERMANENT: always; TRANSIENT:
     * unless it ended normally; TEMPORARY: never) and .backoff_*: when; .link means nothing: it is linked to the supervisor. */
    troupe_spawn_opts opts;
    troupe_body *body;
    const troupe_handler *handler;
    const void *arg; /* of a body, or a handler's state: arg_size bytes, copied; each life begins with them */
    size_t arg_size;
    const char *const *argv; /* a program, as troupe_command_spawn */
    /* The program's options; NULL: all defaults. .to 0: who calls supervise, or add. Its .name, .mailbox*, .restart and
     * .backoff_* are not looked at: those of opts are, and opts.kind is TROUPE_COROUTINE. */
    const troupe_command_opts *command;
    const struct troupe_supervisor_opts *supervisor;
    /* So long it may take to end when it is asked to; then it is killed. 0: 5,000, a supervisor: TROUPE_FOREVER. */
    int64_t shutdown_ms;
} troupe_child;

enum { TROUPE_RESTARTS_MOST = 65536 };
#define TROUPE_NO_LIMIT UINT32_MAX

typedef struct troupe_supervisor_opts {
    troupe_strategy strategy;
    /* So many in period_ms are mended; at one more it gives up: ends its children and itself, with END_GIVEN. 0: 3;
     * TROUPE_NO_LIMIT; else at most TROUPE_RESTARTS_MOST. */
    uint32_t restarts;
    int64_t period_ms;            /* 0: 5,000 */
    const troupe_child *children; /* started in this order */
    size_t count;
} troupe_supervisor_opts;

/* Starts a supervisor (spawn NULL: a coroutine) and its children; opts is copied. out may be NULL. OK: all of them run. DIED:
 * one could not be started, and so the supervisor has ended. EXISTS: two children have one name. CLOSED: the system is closing,
 * or this actor was killed. Faults: INVALID, NO_MEMORY, and those of troupe_spawn and troupe_command_spawn.
 * Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_supervise(troupe_self *self, const troupe_spawn_opts *spawn,
                                                           const troupe_supervisor_opts *opts, troupe_ref *out);

/* One more child, behind the others. out may be NULL. EXISTS: there is one of that name; NOT_FOUND: the supervisor has ended;
 * DIED: it did meanwhile; CLOSED: it is closing, or this actor was killed. Faults: INVALID (also: not a supervisor), NO_MEMORY,
 * and those of troupe_spawn. Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_supervisor_add(troupe_self *self, troupe_ref supervisor,
                                                                const troupe_child *child, troupe_ref *out);
/* Ends a child and forgets it. NOT_FOUND: it, or the supervisor. Else as add. Context: self, not the child itself: it would
 * wait for its own end; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_supervisor_remove(troupe_self *self, troupe_ref supervisor, const char *name);
/* Ends a child, if it runs, and starts it anew at once, uncounted. out may be NULL. As remove. Context: as remove. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_supervisor_restart(troupe_self *self, troupe_ref supervisor, const char *name,
                                                                    troupe_ref *out);

typedef enum troupe_child_state { TROUPE_CHILD_RUNNING, TROUPE_CHILD_WAITING, TROUPE_CHILD_ENDED } troupe_child_state;

typedef struct troupe_child_info {
    char name[64];
    troupe_child_state state;
    troupe_kind kind;
    troupe_ref ref;    /* 0: it does not run */
    uint32_t restarts; /* so far */
    bool supervisor;
} troupe_child_info;

/* The children in their order: the first `most` of them go to out, *count says how many there are. As remove.
 * Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_supervisor_children(troupe_self *self, troupe_ref supervisor,
                                                                     troupe_child_info *out, size_t most, size_t *count);

#endif
