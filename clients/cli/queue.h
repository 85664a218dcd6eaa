/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The inside of `troupe queue`: queue.c finds the subcommand; the others have them, a few to a file. Each subcommand parses its
 * own arguments with cli_parse, cli->command being "queue put" and so on. */
#ifndef TRP_CLI_QUEUE_H
#define TRP_CLI_QUEUE_H

#include <troupe/queue.h>

#include "clients/cli/cli.h"
#include "transports/buf.h"

/* What a parser does with an argument that is a queue's name, and the only one: *name. ARGP_ERR_UNKNOWN passes on. */
error_t cli_queue_arg(const struct cli *cli, const char **name, int key, char *arg);
/* Ends the command when there is no name, or one that is none. */
void cli_queue_check(const struct cli *cli, const char *name);

/* "memory", "written" or "synced", or ends the command. */
troupe_level cli_queue_level(const struct cli *cli, const char *arg);

/* Puts that are under way, at most so many. */
struct cli_puts {
    const struct cli *cli;
    troupe_client *c;
    const char *queue;
    uint64_t under_way, confirmed;
};
enum { CLI_PUTS_MOST = 256, CLI_CONFIRM_MS = 30000 };
/* Each gives the first status that is not OK. */
TROUPE_NODISCARD troupe_status cli_puts_add(struct cli_puts *p, troupe_value v, const troupe_put_opts *opts);
TROUPE_NODISCARD troupe_status cli_puts_finish(struct cli_puts *p);

/* A message as peek and export write it: one line of JSON, without the newline, made from what the broker says to a peek.
 * PROTOCOL: it makes no sense. NO_MEMORY. */
TROUPE_NODISCARD troupe_status cli_record_write(struct trp_buf *line, struct trp_slice peeked);

/* The values of a packed array or map behind its head, one after the other. False: there is none left. */
bool cli_queue_next(struct trp_slice *rest, struct trp_slice *v);

/* And the way back. */
struct cli_record {
    struct trp_buf json, payload, headers; /* what the options and the value borrow from */
    char id[256];
    troupe_put_opts opts;
    troupe_value value;
};
void cli_record_fini(struct cli_record *r);
/* INVALID: *why. */
TROUPE_NODISCARD troupe_status cli_record_read(struct cli_record *r, const char *text, size_t n, const char **why);

int cli_queue_declare(struct cli *cli, int argc, char **argv);
int cli_queue_list(struct cli *cli, int argc, char **argv);
int cli_queue_stat(struct cli *cli, int argc, char **argv);
int cli_queue_put(struct cli *cli, int argc, char **argv);
int cli_queue_get(struct cli *cli, int argc, char **argv);
int cli_queue_peek(struct cli *cli, int argc, char **argv);
int cli_queue_purge(struct cli *cli, int argc, char **argv);
int cli_queue_delete(struct cli *cli, int argc, char **argv);
int cli_queue_pause(struct cli *cli, int argc, char **argv);
int cli_queue_resume(struct cli *cli, int argc, char **argv);
int cli_queue_retry(struct cli *cli, int argc, char **argv);
int cli_queue_export(struct cli *cli, int argc, char **argv);
int cli_queue_import(struct cli *cli, int argc, char **argv);

#endif
