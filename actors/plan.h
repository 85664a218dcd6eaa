/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a supervisor is told to do, as bytes: the argument of its body, or what a message brings it. So it may run in any
 * kind of actor, and a supervisor below another one is a child whose argument is such bytes.
 *
 *     plan:   [ struct trp_plan | child | child ... ]
 *     child:  [ struct trp_plan_child | arg ]              the birth in it is flat: its pointers mean nothing
 *
 * Writer and reader are the same program; lengths are checked all the same. */
#ifndef TRP_PLAN_H
#define TRP_PLAN_H

#include <troupe/supervisor.h>

#include "actors/birth.h"
#include "transports/buf.h"

struct trp_plan {
    troupe_strategy strategy;
    uint32_t restarts, count;
    int64_t period_ms;
};

struct trp_plan_child {
    struct trp_birth birth; /* restart and backoff_* are the supervisor's to carry out */
    int64_t shutdown_ms;
    bool supervisor;
};

/* A whole one, of the actor that is to be told what its programs say. EXISTS: two children have one name; INVALID; UNSUPPORTED:
 * programs; NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_plan_write(struct trp_buf *out, const troupe_self *self, const troupe_supervisor_opts *opts);
/* One child; `number` makes its name if it has none. As above. */
TROUPE_NODISCARD troupe_status trp_plan_write_child(struct trp_buf *out, const troupe_self *self, const troupe_child *child,
                                                    unsigned number);

/* Reads what is next, and leaves the rest in `in`. `arg` borrows from it. False: it makes no sense. */
TROUPE_NODISCARD bool trp_plan_read(struct trp_slice *in, struct trp_plan *out);
TROUPE_NODISCARD bool trp_plan_read_child(struct trp_slice *in, struct trp_plan_child *out, struct trp_slice *arg);

/* The body of a supervisor; its argument is a plan. */
void trp_supervisor_main(troupe_self *self, void *arg);

#endif
