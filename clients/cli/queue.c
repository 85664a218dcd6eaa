/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * troupe queue: finds the subcommand, and has what several of them need. */
#include "clients/cli/queue.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "transports/topic.h"

static const char doc[] = "Declares queues of a broker, fills and empties them, and looks into them.\v"
                          "Commands:\n"
                          "  declare NAME          make a queue, or see that it is as wanted\n"
                          "  list [NAME]           all queues, or NAME and those below it\n"
                          "  stat NAME             all that is known of one\n"
                          "  put NAME [TEXT]       put a message, and wait until it is confirmed\n"
                          "  get NAME              take one, print it, acknowledge it\n"
                          "  peek NAME             look at messages and leave them there\n"
                          "  purge NAME            throw away what waits\n"
                          "  delete NAME           the queue and all that is in it\n"
                          "  pause NAME            give nothing out; resume NAME undoes it\n"
                          "  retry NAME            dead letters back to where they came from\n"
                          "  export NAME           all messages to standard output; they stay\n"
                          "  import NAME           messages from standard input\n\n"
                          "`troupe queue COMMAND --help` says more of each.";

static const struct {
    const char *name;
    int (*run)(struct cli *cli, int argc, char **argv);
} commands[] = {
    {"declare", cli_queue_declare}, {"list", cli_queue_list},     {"stat", cli_queue_stat},   {"put", cli_queue_put},
    {"get", cli_queue_get},         {"peek", cli_queue_peek},     {"purge", cli_queue_purge}, {"delete", cli_queue_delete},
    {"pause", cli_queue_pause},     {"resume", cli_queue_resume}, {"retry", cli_queue_retry}, {"export", cli_queue_export},
    {"import", cli_queue_import},
};

struct call {
    struct cli *cli;
    int argc;
    char **argv; /* from the subcommand's name on */
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct call *call = state->input;
    (void)arg;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = call->cli;
        return 0;
    case ARGP_KEY_ARG:
        call->argc = state->argc - state->next + 1;
        call->argv = state->argv + state->next - 1;
        state->next = state->argc; /* the rest is the subcommand's */
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cli_queue(struct cli *cli, int argc, char **argv) {
    static const struct argp_child children[] = {{&cli_common, 0, NULL, 0}, {0}};
    static const struct argp argp = {NULL, parse, "COMMAND [ARGUMENT...]", doc, children, NULL, NULL};
    static char self[] = "troupe queue", name[32];
    struct call call = {.cli = cli};
    argv[0] = self;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &call);
    for (size_t i = 0; call.argc && i < sizeof commands / sizeof *commands; i++)
        if (strcmp(call.argv[0], commands[i].name) == 0) {
            (void)snprintf(name, sizeof name, "queue %s", commands[i].name);
            cli->command = name;
            return commands[i].run(cli, call.argc, call.argv);
        }
    if (call.argc)
        cli_usage(cli, "there is no command '%s'", call.argv[0]);
    cli_usage(cli, "the command is missing: declare, list, put, get and others");
}

/* --- a name --- */

error_t cli_queue_arg(const struct cli *cli, const char **name, int key, char *arg) {
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    if (*name)
        cli_usage(cli, "one queue at a time, not '%s' as well", arg);
    *name = arg;
    return 0;
}

void cli_queue_check(const struct cli *cli, const char *name) {
    if (!name)
        cli_usage(cli, "the queue's name is missing");
    if (!trp_is_topic(trp_slice_str(name)) || strlen(name) > TRP_QUEUE_NAME_MAX)
        cli_usage(cli, "'%s' is no queue's name: words joined by dots, without blanks, * and >, 252 bytes at most", name);
}

/* --- puts under way --- */

static troupe_status collect(struct cli_puts *p) {
    uint64_t number;
    troupe_msg *none;
    troupe_status st = troupe_client_collect(p->c, CLI_CONFIRM_MS, &number, &none);
    if (st != TROUPE_OK)
        return st;
    p->under_way--;
    p->confirmed++;
    return TROUPE_OK;
}

troupe_status cli_puts_add(struct cli_puts *p, troupe_value v, const troupe_put_opts *opts) {
    uint64_t number;
    troupe_status st = TROUPE_OK;
    while (st == TROUPE_OK && p->under_way >= CLI_PUTS_MOST)
        st = collect(p);
    if (st == TROUPE_OK)
        st = troupe_queue_submit(p->c, p->queue, v, opts, true, &number);
    p->under_way += st == TROUPE_OK;
    return st;
}

troupe_status cli_puts_finish(struct cli_puts *p) {
    troupe_status st = TROUPE_OK;
    while (st == TROUPE_OK && p->under_way > 0)
        st = collect(p);
    return st;
}
