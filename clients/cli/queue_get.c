/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * troupe queue get: a message is acknowledged when it has been printed and standard output has taken it, not before; so one
 * that could not be printed goes back. With --no-ack all go back, at the end: else the same one would be next again. */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "clients/cli/queue.h"

static const char doc[] =
    "Takes messages out of a queue and prints each as a line of JSON.\v"
    "A message is acknowledged when it has been printed. If fewer than were asked for come in time, the exit status is 75.\n\n"
    "  troupe queue get mail --timeout=1m\n"
    "  troupe queue get jobs --all > jobs.txt";

enum { OPT_TIMEOUT = 't', OPT_COUNT = 'n', OPT_ALL = 'a', OPT_NO_ACK = 256, DEFAULT_MS = 1000 };

static const struct argp_option options[] = {
    {"timeout", OPT_TIMEOUT, "TIME", 0, "How long to wait for each (default 1s; 0: not)", 0},
    {"count", OPT_COUNT, "N", 0, "So many (default 1)", 0},
    {"all", OPT_ALL, NULL, 0, "Until none comes in time; then the exit status is 0", 0},
    {"no-ack", OPT_NO_ACK, NULL, 0, "Give them back at the end", 0},
    {0},
};

struct get {
    struct cli *cli;
    const char *name;
    int64_t timeout_ms;
    uint64_t count;
    bool all, no_ack;
    troupe_client *c;
    struct trp_buf kept; /* troupe_msg pointers */
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct get *g = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = g->cli;
        return 0;
    case OPT_TIMEOUT:
        g->timeout_ms = strcmp(arg, "0") == 0 ? 0 : cli_duration(g->cli, "timeout", arg);
        return 0;
    case OPT_COUNT:
        g->count = cli_number(g->cli, "count", arg, 1, UINT64_MAX);
        return 0;
    case OPT_ALL:
        g->all = true;
        return 0;
    case OPT_NO_ACK:
        g->no_ack = true;
        return 0;
    default:
        return cli_queue_arg(g->cli, &g->name, key, arg);
    }
}

/* Messages that have not been acknowledged go back, and we leave with a goodbye: else it would look like a crash that they
 * caused. */
static void leave(struct get *g) {
    troupe_msg *m;
    for (size_t at = 0; at < g->kept.n; at += sizeof m) {
        memcpy(&m, g->kept.p + at, sizeof m);
        troupe_msg_free(&m);
    }
    trp_buf_fini(&g->kept);
    troupe_client_close(&g->c);
}

static troupe_status print(struct get *g, troupe_msg **m) {
    char *json = troupe_msg_json(*m);
    int code;
    if (!json)
        return TROUPE_NO_MEMORY;
    (void)puts(json);
    free(json);
    if (cli_flushed(&code))
        return TROUPE_OK;
    troupe_msg_free(m);
    leave(g);
    _Exit(code);
}

static troupe_status get_one(struct get *g) {
    troupe_msg *m;
    troupe_status st = troupe_queue_get(g->c, g->name, g->timeout_ms, &m);
    if (st != TROUPE_OK)
        return st;
    st = print(g, &m);
    if (st == TROUPE_OK)
        st = g->no_ack ? trp_buf_put(&g->kept, &m, sizeof m) : troupe_queue_ack(g->c, &m);
    if (st != TROUPE_OK)
        troupe_msg_free(&m);
    return st;
}

int cli_queue_get(struct cli *cli, int argc, char **argv) {
    static const struct argp_child children[] = {{&cli_common, 0, NULL, 0}, {0}};
    static const struct argp argp = {options, parse, "NAME", doc, children, NULL, NULL};
    struct get g = {.cli = cli, .timeout_ms = DEFAULT_MS, .count = 1};
    troupe_status st = TROUPE_OK;
    cli_parse(&argp, cli, argc, argv, &g);
    cli_queue_check(cli, g.name);
    g.c = cli_open(cli);
    for (uint64_t had = 0; st == TROUPE_OK && (g.all || had < g.count); had++)
        st = get_one(&g);
    int code = EX_OK;
    if (st != TROUPE_OK && !(st == TROUPE_TIMEOUT && g.all))
        code = cli_fail(st, st == TROUPE_TIMEOUT ? "no message in time" : troupe_client_why(g.c));
    leave(&g);
    return code;
}
