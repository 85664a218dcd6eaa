/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * troupe queue put: done when the broker has confirmed. Of a file of lines, what one read brought is confirmed before the next.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "clients/cli/lines.h"
#include "clients/cli/payload.h"
#include "clients/cli/queue.h"

static const char doc[] = "Puts a message into a queue, and waits until that is confirmed.\v"
                          "TEXT is read as by `troupe pub`. A message put again with the same --id within the queue's window "
                          "is confirmed and not put.\n\n"
                          "  troupe queue put mail 'dear all' --priority=0\n"
                          "  troupe queue put jobs --json '{\"page\": 7}' --id=page-7 --delay=10m\n"
                          "  find . -name '*.c' | troupe queue put files - --lines";

enum { OPT_DELAY = 256, OPT_PRIORITY, OPT_TTL, OPT_ID, OPT_LEVEL };

static const struct argp_option options[] = {
    {"delay", OPT_DELAY, "TIME", 0, "Nobody gets it before", 0},
    {"priority", OPT_PRIORITY, "0..9", 0, "0 goes first (default 4)", 0},
    {"ttl", OPT_TTL, "TIME", 0, "It expires after (default: what the queue says)", 0},
    {"id", OPT_ID, "TEXT", 0, "Put it once", 0},
    {"level", OPT_LEVEL, "LEVEL", 0, "What is confirmed: memory, written or synced (default: what the queue gives)", 0},
    {"json", 'j', NULL, 0, "TEXT is JSON", 0},
    {"lines", 'l', NULL, 0, "With -: each line is a message", 0},
    {0},
};

struct put {
    struct cli *cli;
    const char *name, *text;
    bool json, lines;
    troupe_put_opts opts;
};

troupe_level cli_queue_level(const struct cli *cli, const char *arg) {
    static const char *const names[] = {
        [TROUPE_LEVEL_MEMORY] = "memory", [TROUPE_LEVEL_WRITTEN] = "written", [TROUPE_LEVEL_SYNCED] = "synced"};
    for (int i = TROUPE_LEVEL_MEMORY; i <= TROUPE_LEVEL_SYNCED; i++)
        if (strcmp(arg, names[i]) == 0)
            return (troupe_level)i;
    cli_usage(cli, "--level=%s: it is memory, written or synced", arg);
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct put *p = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = p->cli;
        return 0;
    case OPT_DELAY:
        p->opts.delay_ms = cli_duration(p->cli, "delay", arg);
        return 0;
    case OPT_PRIORITY:
        p->opts.priority = TROUPE_PRIORITY((int)cli_number(p->cli, "priority", arg, 0, 9));
        return 0;
    case OPT_TTL:
        p->opts.ttl_ms = cli_duration(p->cli, "ttl", arg);
        return 0;
    case OPT_ID:
        if (!*arg || strlen(arg) > 255)
            cli_usage(p->cli, "--id: it has 1 to 255 bytes");
        p->opts.id = arg;
        return 0;
    case OPT_LEVEL:
        p->opts.level = cli_queue_level(p->cli, arg);
        return 0;
    case 'j':
        p->json = true;
        return 0;
    case 'l':
        p->lines = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            cli_usage(p->cli, "'%s' is one argument too many: put quotes around a text of several words", arg);
        *(state->arg_num ? &p->text : &p->name) = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int put_one(struct put *p) {
    struct cli_payload payload = {0};
    cli_payload_read(p->cli, &payload, p->text, p->json); /* first: what is wrong with it needs no broker */
    troupe_client *c = cli_open(p->cli);
    p->opts.timeout_ms = CLI_CONFIRM_MS;
    troupe_status st = troupe_queue_put(c, p->name, payload.value, &p->opts, NULL);
    int code = st == TROUPE_OK ? EX_OK : cli_fail(st, troupe_client_why(c));
    troupe_client_close(&c);
    cli_payload_fini(&payload);
    return code;
}

/* --- lines --- */

static troupe_status line_put(struct put *p, struct cli_puts *puts, struct cli_payload *payload, const struct cli_lines *in,
                              const char *text, size_t n) {
    const char *why = "";
    troupe_status st = cli_payload_from(payload, text, n, p->json, &why);
    if (st == TROUPE_INVALID) {
        (void)fprintf(stderr, "troupe %s: line %lu: %s\n", p->cli->command, in->number, why);
        exit(EX_DATAERR);
    }
    return st == TROUPE_OK ? cli_puts_add(puts, payload->value, &p->opts) : st;
}

static int put_lines(struct put *p) {
    struct cli_lines in = {.command = p->cli->command};
    struct cli_puts puts = {.c = cli_open(p->cli), .queue = p->name};
    struct cli_payload payload = {0};
    troupe_status st = TROUPE_OK;
    const char *text;
    size_t n;
    do {
        while (st == TROUPE_OK && cli_lines_take(&in, &text, &n))
            st = line_put(p, &puts, &payload, &in, text, n);
        if (st == TROUPE_OK)
            st = cli_puts_finish(&puts);
    } while (st == TROUPE_OK && cli_lines_fill(&in));
    int code = st == TROUPE_OK ? EX_OK : cli_fail(st, troupe_client_why(puts.c));
    troupe_client_close(&puts.c);
    cli_payload_fini(&payload);
    cli_lines_fini(&in);
    return code;
}

int cli_queue_put(struct cli *cli, int argc, char **argv) {
    static const struct argp_child children[] = {{&cli_common, 0, NULL, 0}, {0}};
    static const struct argp argp = {options, parse, "NAME [TEXT|-]", doc, children, NULL, NULL};
    struct put p = {.cli = cli};
    cli_parse(&argp, cli, argc, argv, &p);
    cli_queue_check(cli, p.name);
    if (p.lines && (!p.text || strcmp(p.text, "-") != 0))
        cli_usage(cli, "--lines reads standard input: troupe queue put NAME - --lines");
    if (p.lines && p.opts.id)
        cli_usage(cli, "--id is for one message: of several with the same only the first would be put");
    return p.lines ? put_lines(&p) : put_one(&p);
}
