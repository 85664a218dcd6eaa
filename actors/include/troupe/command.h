/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * External programs as actors: what is sent to one is what the program reads, what the program writes comes as
 * messages, its exit status or signal is how the actor ends.
 *
 *     troupe_ref bc;
 *     troupe_msg *answer;
 *     const char *const argv[] = {"bc", "-q", NULL};
 *     if (troupe_command_spawn(self, NULL, argv, &bc) == TROUPE_OK &&
 *         troupe_ask(self, bc, troupe_text("6 * 7"), 1000, &answer) == TROUPE_OK)
 *         ...                                                  // "42"
 *
 * In: a text or bytes is written as it is, followed by "\n" with TROUPE_LINES; any other value as one line of JSON.
 * troupe_close: what is in the mailbox is written, then the program reads its end of file. troupe_kill: SIGKILL to it and all
 * in its process group.
 *
 * Out: with TROUPE_LINES a message a line, without its end; with TROUPE_WHOLE one message when the program has ended. Valid
 * UTF-8 comes as text, all else as bytes. troupe_msg_topic says "stdout" or "stderr" (in a process actor: "").
 *
 * Questions: with TROUPE_LINES each is answered by the next line of the standard output, in their order; with TROUPE_WHOLE a
 * question is all that the program reads (from then on), and its whole standard output is the answer. Lines that nobody has
 * asked for go to `to`.
 *
 * Neither side can make the other stand still: what `to` has no room for is kept here, up to max_output; then the program is
 * not read from until there is room. A receiver that also sends more than a mailbox holds must receive in between.
 *
 * The program is forked by the nursery, so it needs a system with one. It has the environment that the program had when
 * the system was opened, default signals, a process group of its own, and three descriptors.
 * It does not outlive the system, however that ends. */
#ifndef TROUPE_COMMAND_H
#define TROUPE_COMMAND_H

#include <troupe/actor.h>

typedef enum troupe_command_output { TROUPE_LINES, TROUPE_WHOLE } troupe_command_output;

typedef enum troupe_command_errors {
    TROUPE_ERRORS_INHERIT, /* go where the program's own go */
    TROUPE_ERRORS_DISCARD,
    TROUPE_ERRORS_MERGE, /* are part of the standard output */
    TROUPE_ERRORS_SEND,  /* come as messages, like the standard output */
} troupe_command_errors;

typedef struct troupe_command_opts {
    const char *name;       /* NULL: argv[0] */
    const char *const *env; /* "NAME=value" each, ended by NULL: added, or put in the place of what is there; NULL: nothing */
    bool clear_env;         /* only what is in `env` */
    const char *dir;        /* where it runs; NULL: where the system was opened */
    troupe_command_output output;
    troupe_command_errors errors;
    troupe_ref to;                 /* who gets the output; 0: who spawns it */
    int64_t timeout_ms;            /* from its start; then it is killed; 0: none */
    size_t max_line;               /* TROUPE_LINES: what is longer comes in pieces; 0: 64 KiB */
    size_t max_output;             /* bytes: see above; with TROUPE_WHOLE more is an end by SIGKILL; 0: 64 MiB */
    size_t mailbox, mailbox_bytes; /* as in troupe_spawn_opts */
    troupe_restart restart;        /* TRANSIENT: after a signal or a status other than 0; a failure to start counts as one */
    int64_t backoff_min_ms, backoff_max_ms;
} troupe_command_opts;

/* Starts a program; argv as in execvp(3), copied like all of opts (NULL: all defaults). The actor's end is the program's:
 * NORMAL (status 0), EXIT, SIGNAL (a time-out: "SIGKILL (time-out)"), or EXIT with "cannot be started: ..." in text. It ends
 * when the program has, and all that it has written has been delivered. What a descendant that lives on writes later is not
 * waited for. Faults: INVALID; UNSUPPORTED: no_processes; NO_MEMORY; CLOSED as troupe_spawn. Context: self. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_command_spawn(troupe_self *self, const troupe_command_opts *opts,
                                                               const char *const *argv, troupe_ref *out);

/* Starts a program, gives it `input` (nil: nothing), waits for its end and gives all of its standard output and its exit (each
 * may be NULL). `output` and `to` of opts are not looked at, restart is not allowed. TIMEOUT: it was killed; CLOSED: this actor
 * was killed, and so is the program. When it can't be started: OK, and *exit says why. Faults as troupe_command_spawn.
 * Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_command_run(troupe_self *self, const troupe_command_opts *opts,
                                                             const char *const *argv, troupe_value input, int64_t timeout_ms,
                                                             troupe_msg **output, troupe_exit *exit);

#endif
