/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * troupe request: asks, waits, prints the answer as JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "clients/cli/cli.h"
#include "clients/cli/payload.h"

static const char doc[] =
    "Asks a service and prints its answer as a line of JSON.\v"
    "TEXT is read as by `troupe pub`. An error answer is `CODE: sentence` on stderr and exit status 1; no answer in time "
    "is exit status 75.\n\n"
    "  troupe request fib 30";

enum { DEFAULT_MS = 5000 };

struct request {
    struct cli *cli;
    const char *topic, *text;
    bool json;
    int64_t timeout_ms;
};

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "TEXT is JSON", 0},
    {"timeout", 't', "TIME", 0, "How long to wait for the answer (default 5s)", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct request *r = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = r->cli;
        return 0;
    case 'j':
        r->json = true;
        return 0;
    case 't':
        r->timeout_ms = cli_duration(r->cli, "timeout", arg);
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            cli_usage(r->cli, "'%s' is one argument too many: put quotes around a text of several words", arg);
        *(state->arg_num ? &r->text : &r->topic) = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* `CODE: sentence`, the sentence as text when it is one. */
static int print_error(const troupe_msg *answer) {
    troupe_value v = troupe_msg_value(answer);
    char *json = v.kind == TROUPE_TEXT ? NULL : troupe_msg_json(answer);
    (void)fprintf(stderr, "%s: %.*s\n", troupe_msg_error(answer), json ? INT32_MAX : (int)v.size,
                  json ? json : (const char *)v.data);
    free(json);
    return EXIT_FAILURE;
}

static int print_answer(const troupe_msg *answer) {
    char *json = troupe_msg_json(answer);
    if (!json)
        return cli_fail(TROUPE_NO_MEMORY, troupe_status_text(TROUPE_NO_MEMORY));
    (void)puts(json);
    free(json);
    cli_flush();
    return EX_OK;
}

int cli_request(struct cli *cli, int argc, char **argv) {
    static const struct argp_child children[] = {{&cli_common, 0, NULL, 0}, {0}};
    static const struct argp argp = {options, parse, "TOPIC [TEXT|-]", doc, children, NULL, NULL};
    struct request r = {.cli = cli, .timeout_ms = DEFAULT_MS};
    struct cli_payload payload = {0};
    troupe_msg *answer = NULL;
    cli_parse(&argp, cli, argc, argv, &r);
    if (!r.topic)
        cli_usage(cli, "the topic is missing: troupe request TOPIC TEXT");
    cli_check_topic(cli, r.topic);
    cli_payload_read(cli, &payload, r.text, r.json);
    troupe_client *c = cli_open(cli);
    troupe_status st = troupe_client_request(c, r.topic, payload.value, r.timeout_ms, &answer);
    int code;
    if (st != TROUPE_OK)
        code = cli_fail(st, st == TROUPE_TIMEOUT ? "no answer in time" : troupe_client_why(c));
    else
        code = troupe_msg_error(answer) ? print_error(answer) : print_answer(answer);
    troupe_msg_free(&answer);
    troupe_client_close(&c);
    cli_payload_fini(&payload);
    return code;
}
