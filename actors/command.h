/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A command actor: a coroutine that moves bytes between a mailbox and a program, and does nothing that could wait but
 * park for all of it at once.
 *
 *     mailbox --> input ===stdin===> program ===stdout===> text[OUT] --> answers, or `to`
 *                                       |    ===stderr===> text[ERR] --> `to`
 *                                       `----reports (of the nursery)--> ended
 *
 * Each arrow is a step that says whether it got any further; when none does, the actor parks until one may. Nothing of
 * it waits for another arrow: so a program that writes before it has read, and the other way round, is served. A message
 * that `to` has no room for waits in line there as an operation (struct trp_send), not as a parked actor. */
#ifndef TRP_COMMAND_H
#define TRP_COMMAND_H

#include <troupe/command.h>

#include "actors/nursery.h"
#include "actors/self.h"
#include "actors/stream.h"

/* The argument of the body; behind it the program (program.h). */
struct trp_command_plan {
    troupe_command_output output;
    troupe_command_errors errors;
    bool asked; /* it is to be started by a question */
    uint64_t to;
    int64_t timeout_ms; /* 0: none */
    size_t max_line, max_output;
    size_t size; /* of the program */
    uint8_t program[];
};

enum { TRP_COMMAND_OUT, TRP_COMMAND_ERR, TRP_COMMAND_TEXTS };

/* What the program has said on one of its descriptors. */
struct trp_command_text {
    troupe_stream *from; /* NULL: at its end, or never there */
    struct trp_buf bytes;
    size_t given;   /* of bytes: delivered */
    size_t scanned; /* of bytes: no line end before that */
    const char *topic;
    bool blocked; /* the descriptor has nothing now */
    bool lost;    /* there was no memory for it */
};

struct trp_command {
    troupe_self *self;
    const struct trp_command_plan *plan;
    uint32_t life;

    troupe_stream *in; /* NULL: finished */
    struct trp_buf input;
    size_t written;
    bool in_blocked;
    bool closing; /* nothing more will come for `in` */
    struct trp_command_text text[TRP_COMMAND_TEXTS];

    struct trp_buf questions; /* struct troupe_msg *, received and not answered, oldest first */
    size_t answered;          /* of them, in bytes */
    bool whole;               /* TROUPE_WHOLE: the standard output has been given */
    struct trp_send send;     /* waits in line, if .msg */
    struct trp_actor *line;   /* where */

    troupe_stream *reports;
    bool started, ended, over_time, too_much;
    troupe_exit exit; /* once ended */
};

/* --- command_flow.c: the arrows. Each says whether it has got further. --- */

void trp_command_take_one(struct trp_command *c, struct troupe_msg *m); /* takes it */
bool trp_command_take(struct trp_command *c);                           /* mail into input */
bool trp_command_feed(struct trp_command *c);                           /* input into the program */
bool trp_command_fetch(struct trp_command *c, unsigned which);          /* what it says into text */
bool trp_command_deliver(struct trp_command *c, unsigned which);        /* text to who is to have it */
bool trp_command_is_delivered(const struct trp_command *c);
/* The questions that nobody will answer any more, the message in line: given up. */
void trp_command_abandon(struct trp_command *c);

/* --- command.c --- */

/* Appends the argument of the body. INVALID, UNSUPPORTED, NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_command_pack(struct trp_buf *out, const troupe_self *self, const troupe_command_opts *opts,
                                                const char *const *argv, bool asked);

/* --- command_run.c --- */

void trp_command_body(troupe_self *self, void *plan);

#endif
