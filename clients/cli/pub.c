/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * troupe pub: one message, or one a line of standard input. It ends when the broker has them, not when they are written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "clients/cli/cli.h"
#include "clients/cli/lines.h"
#include "clients/cli/payload.h"

static const char doc[] =
    "Publishes a message.\v"
    "TEXT: a decimal integer is sent as an integer, all else as text; none is nil; - reads standard input, without the "
    "newline at its end. A TEXT that begins with a minus sign goes behind `--`.\n\n"
    "  troupe pub news.sport 'two to one'\n"
    "  troupe pub --json sensors.attic '{\"celsius\": 21.5}'\n"
    "  tail -f log | troupe pub logs.web - --lines";

enum { DRAIN_MS = 30000 };

struct pub {
    struct cli *cli;
    const char *topic, *text;
    bool json, lines;
};

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "TEXT is JSON", 0},
    {"lines", 'l', NULL, 0, "With -: each line is a message", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct pub *p = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = p->cli;
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
        *(state->arg_num ? &p->text : &p->topic) = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int pub_one(struct pub *p) {
    struct cli_payload payload = {0};
    cli_payload_read(p->cli, &payload, p->text, p->json); /* first: what is wrong with it needs no broker */
    troupe_client *c = cli_open(p->cli);
    troupe_status st = troupe_client_publish(c, p->topic, payload.value, &(troupe_pub_opts){.confirm = true});
    int code = st == TROUPE_OK ? EX_OK : cli_fail(st, troupe_client_why(c));
    troupe_client_close(&c);
    cli_payload_fini(&payload);
    return code;
}

/* --- lines --- */

static troupe_status line_send(struct pub *p, troupe_client *c, struct cli_payload *payload, const struct cli_lines *in,
                               const char *text, size_t n) {
    const char *why = "";
    troupe_status st = cli_payload_from(payload, text, n, p->json, &why);
    if (st == TROUPE_INVALID) {
        (void)fprintf(stderr, "troupe pub: line %lu: %s\n", in->number, why);
        exit(EX_DATAERR);
    }
    if (st != TROUPE_OK)
        return st;
    return troupe_client_publish(c, p->topic, payload->value, &(troupe_pub_opts){.more = true, .timeout_ms = CLI_CONNECT_MS});
}

static int pub_lines(struct pub *p) {
    struct cli_lines in = {.command = "pub"};
    struct cli_payload payload = {0};
    troupe_client *c = cli_open(p->cli);
    troupe_status st = TROUPE_OK;
    const char *text;
    size_t n;
    do {
        while (st == TROUPE_OK && cli_lines_take(&in, &text, &n))
            st = line_send(p, c, &payload, &in, text, n);
        if (st == TROUPE_OK)
            st = troupe_client_flush(c); /* the next line may be long in coming */
    } while (st == TROUPE_OK && cli_lines_fill(&in));
    if (st == TROUPE_OK)
        st = troupe_client_drain(c, DRAIN_MS);
    int code = st == TROUPE_OK ? EX_OK : cli_fail(st, troupe_client_why(c));
    troupe_client_close(&c);
    cli_payload_fini(&payload);
    cli_lines_fini(&in);
    return code;
}

int cli_pub(struct cli *cli, int argc, char **argv) {
    static const struct argp_child children[] = {{&cli_common, 0, NULL, 0}, {0}};
    static const struct argp argp = {options, parse, "TOPIC [TEXT|-]", doc, children, NULL, NULL};
    struct pub p = {.cli = cli};
    cli_parse(&argp, cli, argc, argv, &p);
    if (!p.topic)
        cli_usage(cli, "the topic is missing: troupe pub TOPIC TEXT");
    cli_check_topic(cli, p.topic);
    if (p.lines && (!p.text || strcmp(p.text, "-") != 0))
        cli_usage(cli, "--lines reads standard input: troupe pub TOPIC - --lines");
    return p.lines ? pub_lines(&p) : pub_one(&p);
}
