/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What an actor was born with: the options of its spawn with the defaults filled in, the body, the name and the
 * argument bytes, in one block. It does not change afterwards, so that any thread may read it, a restart begins where
 * the first life began, and the nursery can be told all of it in one packet. */
#ifndef TRP_BIRTH_H
#define TRP_BIRTH_H

#include <stdatomic.h>
#include <troupe/actor.h>

enum { TRP_NAME_MAX = 63 }; /* a longer name is cut */

struct trp_birth {
    atomic_uint refs; /* handler actors that are alike share one; whoever frees the last reference frees it */
    troupe_kind kind : 8;
    troupe_restart restart : 8;
    troupe_overflow overflow : 8;
    bool link;                     /* with the parent */
    bool registered;               /* by its name */
    bool supervised;               /* a supervisor will close it: the end of the system leaves that to it */
    uint32_t restarts;             /* of actors before it in the same place */
    uint64_t parent;               /* who has it spawned; read at its spawn alone */
    size_t mailbox, mailbox_bytes; /* at least 1 */
    size_t stack;                  /* 0: the kind's own */
    int64_t backoff_min_ms, backoff_max_ms;
    uint64_t max_messages; /* 0: no bound; so for all of these */
    int64_t deadline_ms;
    troupe_limits limits;
    bool clean_env;
    troupe_body *body;
    size_t size; /* of the block that it and the argument lie in; 0: they were moved */
    size_t arg_size;
    uint8_t *arg;   /* as it was given; NULL when arg_size is 0 */
    uint8_t *spare; /* what a body that may be restarted is given instead; NULL: it gets arg itself */
    void *luggage;  /* what the body takes along (and sets to NULL when it begins); NULL: nothing. Never a process's */
    void (*luggage_free)(void *luggage); /* for what nobody has taken */
    char name[TRP_NAME_MAX + 1];
};

/* Blocks for births that one thread keeps at hand: zero it. */
struct trp_births_near {
    struct trp_birth *spare; /* linked by `luggage` */
    unsigned spares;
};

/* A copy of all of it. opts NULL: all defaults. INVALID; NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_birth_new(struct trp_birth **out, const troupe_spawn_opts *opts, troupe_body *body,
                                             const void *arg, size_t arg_size);
/* To b->size bytes, aligned for anything, until trp_birth_free. With the only reference; nothing points into it. */
struct trp_birth *trp_birth_move(struct trp_birth *b, void *to);
struct trp_birth *trp_birth_ref(struct trp_birth *b);
void trp_birth_free(struct trp_birth *b);
void trp_births_near_fini(struct trp_births_near *near);
/* Would these options (NULL: all defaults) make the same, but for body and argument? One with a name of its own, or that is
 * registered, is like no other. */
bool trp_birth_like(const struct trp_birth *b, const troupe_spawn_opts *opts);

/* The argument for a new life: fresh, whatever the life before has done to its copy. */
void *trp_birth_arg(struct trp_birth *b);

/* The options it would take to be born like that again; the name is borrowed. */
troupe_spawn_opts trp_birth_opts(const struct trp_birth *b);

#endif
