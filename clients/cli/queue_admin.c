/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * troupe queue purge, delete, pause, resume, retry: one word to the broker each, and where it says how many, that is printed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "clients/cli/queue.h"

struct admin {
    struct cli *cli;
    const char *name;
    bool all;
    uint64_t most;
};

enum { OPT_ALL = 'a', OPT_COUNT = 'n' };

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct admin *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = a->cli;
        return 0;
    case OPT_ALL:
        a->all = true;
        return 0;
    case OPT_COUNT:
        a->most = cli_number(a->cli, "count", arg, 1, UINT64_MAX);
        return 0;
    default:
        return cli_queue_arg(a->cli, &a->name, key, arg);
    }
}

static const struct argp_child children[] = {{&cli_common, 0, NULL, 0}, {0}};

static troupe_client *begin(struct admin *a, const struct argp *argp, int argc, char **argv) {
    cli_parse(argp, a->cli, argc, argv, a);
    cli_queue_check(a->cli, a->name);
    return cli_open(a->cli);
}

/* count NULL: nothing is printed. */
static int end(troupe_client *c, troupe_status st, const uint64_t *count) {
    int code = st == TROUPE_OK ? EX_OK : cli_fail(st, troupe_client_why(c));
    if (st == TROUPE_OK && count)
        (void)printf("%" PRIu64 "\n", *count);
    troupe_client_close(&c);
    cli_flush();
    return code;
}

int cli_queue_purge(struct cli *cli, int argc, char **argv) {
    static const struct argp_option options[] = {
        {"all", OPT_ALL, NULL, 0, "What consumers have in hand and what is buried, too", 0}, {0}};
    static const struct argp argp = {
        options,  parse, "NAME", "Throws away the messages that are ready or delayed, and prints how many they were.",
        children, NULL,  NULL};
    struct admin a = {.cli = cli};
    uint64_t count = 0;
    troupe_client *c = begin(&a, &argp, argc, argv);
    return end(c, troupe_queue_purge(c, a.name, a.all, &count), &count);
}

int cli_queue_retry(struct cli *cli, int argc, char **argv) {
    static const struct argp_option options[] = {{"count", OPT_COUNT, "N", 0, "So many at most (default: all)", 0}, {0}};
    static const struct argp argp = {
        options,
        parse,
        "NAME",
        "Gives dead messages another life: those in NAME that died elsewhere go back to where they came from, "
        "those buried in NAME are ready again. Prints how many.",
        children,
        NULL,
        NULL};
    struct admin a = {.cli = cli};
    uint64_t count = 0;
    troupe_client *c = begin(&a, &argp, argc, argv);
    return end(c, troupe_queue_retry(c, a.name, a.most, &count), &count);
}

int cli_queue_delete(struct cli *cli, int argc, char **argv) {
    static const struct argp argp = {NULL, parse, "NAME", "Deletes a queue with all that is in it.", children, NULL, NULL};
    struct admin a = {.cli = cli};
    troupe_client *c = begin(&a, &argp, argc, argv);
    return end(c, troupe_queue_delete(c, a.name), NULL);
}

static int set_paused(struct cli *cli, const struct argp *argp, bool paused, int argc, char **argv) {
    struct admin a = {.cli = cli};
    troupe_client *c = begin(&a, argp, argc, argv);
    return end(c, troupe_queue_pause(c, a.name, paused), NULL);
}

int cli_queue_pause(struct cli *cli, int argc, char **argv) {
    static const struct argp argp = {NULL,     parse, "NAME", "Pauses a queue: it takes messages and gives none.",
                                     children, NULL,  NULL};
    return set_paused(cli, &argp, true, argc, argv);
}

int cli_queue_resume(struct cli *cli, int argc, char **argv) {
    static const struct argp argp = {NULL, parse, "NAME", "Ends a pause.", children, NULL, NULL};
    return set_paused(cli, &argp, false, argc, argv);
}
