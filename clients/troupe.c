/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * troupe: the broker from the shell. This file finds the subcommand; each has a file of its own in cli/. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <troupe/version.h>

#include "clients/cli/cli.h"

const char *argp_program_version = "troupe " TROUPE_VERSION;

static const char doc[] =
    "Speaks to a broker: publishes, subscribes, asks, measures.\v"
    "Commands:\n"
    "  pub TOPIC [TEXT]      publish a message\n"
    "  sub PATTERN...        print messages as they come\n"
    "  request TOPIC [TEXT]  ask a service and print its answer\n"
    "  queue COMMAND NAME    declare, fill, empty and look into queues\n"
    "  actors [NODE...]      list the actors of systems that have joined\n"
    "  bench MODE            measure throughput and latency\n\n"
    "`troupe COMMAND --help` says more of each.\n\n"
    "Exit status: 0 done, 1 an error answer, 64 wrong usage, 69 no broker, 75 no answer in time, 77 authentication "
    "failed, 78 the authkey file cannot be used.";

static const struct {
    const char *name;
    int (*run)(struct cli *cli, int argc, char **argv);
} commands[] = {{"pub", cli_pub},     {"sub", cli_sub},       {"request", cli_request},
                {"queue", cli_queue}, {"actors", cli_actors}, {"bench", cli_bench}};

struct call {
    struct cli cli;
    int argc;
    char **argv; /* from the command's name on */
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct call *call = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &call->cli;
        return 0;
    case ARGP_KEY_ARG:
        call->cli.command = arg;
        call->argc = state->argc - state->next + 1;
        call->argv = state->argv + state->next - 1;
        state->next = state->argc; /* the rest is the command's */
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv) {
    static const struct argp_child children[] = {{&cli_common, 0, NULL, 0}, {0}};
    static const struct argp argp = {NULL, parse, "COMMAND [ARGUMENT...]", doc, children, NULL, NULL};
    struct call call = {0};
    argp_err_exit_status = EX_USAGE;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &call);
    for (size_t i = 0; call.argc && i < sizeof commands / sizeof *commands; i++)
        if (strcmp(call.cli.command, commands[i].name) == 0)
            return commands[i].run(&call.cli, call.argc, call.argv);
    if (call.argc)
        (void)fprintf(stderr, "troupe: there is no command '%s'", call.cli.command);
    else
        (void)fprintf(stderr, "troupe: the command is missing");
    (void)fprintf(stderr, ": it is one of pub, sub, request, queue, actors, bench; see troupe --help\n");
    return EX_USAGE;
}
