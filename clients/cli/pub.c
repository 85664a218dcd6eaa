/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * troupe pub: one message, or one a line of standard input. It ends when the broker has them, not when they are written. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "clients/cli/cli.h"
#include "clients/cli/payload.h"

static const char doc[] =
    "Publishes a message.\v"
    "TEXT: a decimal integer is sent as an integer, all else as text; none is nil; - reads standard input, without the "
    "newline at its end. A TEXT that begins with a minus sign goes behind `--`.\n\n"
    "  troupe pub news.sport 'two to one'\n"
    "  troupe pub --json sensors.attic '{\"celsius\": 21.5}'\n"
    "  tail -f log | troupe pub logs.web - --lines";

enum { CHUNK = 64 * 1024, LINE_MOST = 16 << 20, DRAIN_MS = 30000 };

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

struct lines {
    struct pub *p;
    troupe_client *c;
    struct cli_payload payload;
    struct trp_buf in;
    unsigned long number;
};

static troupe_status line_send(struct lines *l, const char *text, size_t n) {
    const char *why = "";
    l->number++;
    troupe_status st = cli_payload_from(&l->payload, text, n, l->p->json, &why);
    if (st == TROUPE_INVALID) {
        (void)fprintf(stderr, "troupe pub: line %lu: %s\n", l->number, why);
        exit(EX_DATAERR);
    }
    if (st != TROUPE_OK)
        return st;
    return troupe_client_publish(l->c, l->p->topic, l->payload.value,
                                 &(troupe_pub_opts){.more = true, .timeout_ms = CLI_CONNECT_MS});
}

/* The whole lines that have been read; what is behind them stays. */
static troupe_status lines_send(struct lines *l) {
    troupe_status st = TROUPE_OK;
    size_t at = 0;
    uint8_t *end;
    while (st == TROUPE_OK && at < l->in.n && (end = memchr(l->in.p + at, '\n', l->in.n - at))) {
        st = line_send(l, (const char *)l->in.p + at, (size_t)(end - l->in.p) - at);
        at = (size_t)(end - l->in.p) + 1;
    }
    trp_buf_drop(&l->in, at);
    return st == TROUPE_OK ? troupe_client_flush(l->c) : st; /* the next line may be long in coming */
}

/* More bytes of standard input. False: that was all. */
static bool lines_read(struct lines *l) {
    if (l->in.n > LINE_MOST || trp_buf_room(&l->in, CHUNK) != TROUPE_OK) {
        (void)fprintf(stderr, "troupe pub: line %lu is too long\n", l->number + 1);
        exit(EX_DATAERR);
    }
    ssize_t n;
    do
        n = read(STDIN_FILENO, l->in.p + l->in.n, CHUNK);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        (void)fprintf(stderr, "troupe pub: standard input: %s\n", strerror(errno));
        exit(EX_IOERR);
    }
    l->in.n += (size_t)n;
    return n > 0;
}

static int pub_lines(struct pub *p) {
    struct lines l = {.p = p, .c = cli_open(p->cli)};
    troupe_status st = TROUPE_OK;
    while (st == TROUPE_OK && lines_read(&l))
        st = lines_send(&l);
    if (st == TROUPE_OK && l.in.n)
        st = line_send(&l, (const char *)l.in.p, l.in.n);
    if (st == TROUPE_OK)
        st = troupe_client_drain(l.c, DRAIN_MS);
    int code = st == TROUPE_OK ? EX_OK : cli_fail(st, troupe_client_why(l.c));
    troupe_client_close(&l.c);
    cli_payload_fini(&l.payload);
    trp_buf_fini(&l.in);
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
