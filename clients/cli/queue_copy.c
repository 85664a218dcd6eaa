/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * troupe queue peek, export and import: messages as JSON lines (queue_record.c). Peek and export look and take nothing; they
 * ask for page after page, so of a queue at work a message that moves meanwhile may be seen twice or not at all. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "clients/cli/lines.h"
#include "clients/cli/queue.h"
#include "transports/envelope.h"

enum { PAGE = 1000, OPT_STATE = 's', OPT_AT = 'a', OPT_COUNT = 'n', OPT_NO_IDS = 256 };

struct copy {
    struct cli *cli;
    const char *name, *state;
    uint64_t at, count;
    bool no_ids;
    troupe_client *c;
    struct trp_buf line;
};

static const char *const states[] = {"ready", "delayed", "held", "buried"};

static const char *state_named(const struct copy *x, const char *arg) {
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strcmp(arg, states[i]) == 0)
            return states[i];
    cli_usage(x->cli, "--state=%s: it is ready, delayed, held or buried", arg);
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct copy *x = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = x->cli;
        return 0;
    case OPT_STATE:
        x->state = state_named(x, arg);
        return 0;
    case OPT_AT:
        x->at = cli_number(x->cli, "at", arg, 0, UINT64_MAX);
        return 0;
    case OPT_COUNT:
        x->count = cli_number(x->cli, "count", arg, 1, UINT64_MAX);
        return 0;
    case OPT_NO_IDS:
        x->no_ids = true;
        return 0;
    default:
        return cli_queue_arg(x->cli, &x->name, key, arg);
    }
}

static const struct argp_child children[] = {{&cli_common, 0, NULL, 0}, {0}};

static void begin(struct copy *x, const struct argp *argp, int argc, char **argv) {
    cli_parse(argp, x->cli, argc, argv, x);
    cli_queue_check(x->cli, x->name);
    x->c = cli_open(x->cli);
}

static int end(struct copy *x, troupe_status st) {
    int code = EX_OK;
    if (st != TROUPE_OK)
        code = cli_fail(st, st == TROUPE_PROTOCOL ? "the broker's answer makes no sense" : troupe_client_why(x->c));
    trp_buf_fini(&x->line);
    troupe_client_close(&x->c);
    cli_flush();
    return code;
}

/* --- peek and export --- */

/* Where a look is: how many it has seen, and the number of the last. */
struct place {
    const char *state;
    uint64_t at, after;
};

static troupe_status print_one(struct copy *x, struct trp_slice row) {
    x->line.n = 0;
    troupe_status st = cli_record_write(&x->line, row);
    if (st == TROUPE_OK && fwrite(x->line.p, 1, x->line.n, stdout) == x->line.n)
        (void)putchar('\n');
    if (ferror(stdout))
        cli_flush(); /* ends the command */
    return st;
}

static troupe_status print_rows(struct copy *x, struct place *w, const troupe_msg *m) {
    size_t size;
    const uint8_t *p = troupe_msg_packed(m, &size), *end = p + size;
    troupe_status st = TROUPE_OK;
    uint32_t n;
    if (!trp_unpack_array(&p, end, &n))
        return TROUPE_PROTOCOL;
    struct trp_slice rest = {p, (size_t)(end - p)}, row;
    while (st == TROUPE_OK && cli_queue_next(&rest, &row)) {
        st = trp_map_uint(row, "seq", &w->after) ? print_one(x, row) : TROUPE_PROTOCOL;
        w->at++;
    }
    return st;
}

/* At most so many, as many as come in one answer. EMPTY: there are not so many. */
static troupe_status print_some(struct copy *x, struct place *w, uint64_t most) {
    troupe_msg *m;
    troupe_status st = troupe_queue_browse(x->c, x->name, w->state, w->at, w->after, most < PAGE ? most : PAGE, &m);
    if (st != TROUPE_OK)
        return st;
    st = print_rows(x, w, m);
    troupe_msg_free(&m);
    return st;
}

int cli_queue_peek(struct cli *cli, int argc, char **argv) {
    static const struct argp_option options[] = {
        {"state", OPT_STATE, "STATE", 0, "ready (default), delayed, held or buried", 0},
        {"at", OPT_AT, "N", 0, "Begin with the N-th, from 0", 0},
        {"count", OPT_COUNT, "N", 0, "So many (default 1)", 0},
        {0},
    };
    static const struct argp argp = {
        options,
        parse,
        "NAME",
        "Prints messages of a queue, a line of JSON each, and leaves them where they are. If there are not so "
        "many, those that there are; if there is none, the exit status is 75.",
        children,
        NULL,
        NULL};
    struct copy x = {.cli = cli, .state = states[0], .count = 1};
    begin(&x, &argp, argc, argv);
    troupe_status st = TROUPE_OK;
    struct place w = {.state = x.state, .at = x.at};
    while (st == TROUPE_OK && w.at - x.at < x.count)
        st = print_some(&x, &w, x.count - (w.at - x.at));
    if (st != TROUPE_EMPTY || w.at > x.at)
        return end(&x, st == TROUPE_EMPTY ? TROUPE_OK : st);
    (void)end(&x, TROUPE_OK);
    return cli_fail(TROUPE_TIMEOUT, "there is no such message");
}

int cli_queue_export(struct cli *cli, int argc, char **argv) {
    static const struct argp argp = {
        NULL,
        parse,
        "NAME",
        "Prints all messages of a queue, a line of JSON each, as `troupe queue import` reads them; they stay where they are.\v"
        "Messages that come, go or are delivered meanwhile may be missed or seen twice: pause the queue and its producers for "
        "a copy that is exact.\n\n"
        "  troupe queue export mail > mail.jsonl",
        children,
        NULL,
        NULL};
    struct copy x = {.cli = cli};
    troupe_status st = TROUPE_OK;
    begin(&x, &argp, argc, argv);
    for (size_t i = 0; st == TROUPE_OK && i < sizeof states / sizeof *states; i++) {
        struct place w = {.state = states[i]};
        while (st == TROUPE_OK)
            st = print_some(&x, &w, PAGE);
        if (st == TROUPE_EMPTY)
            st = TROUPE_OK;
    }
    return end(&x, st);
}

/* --- import --- */

/* What came before it has been put, and is confirmed as far as the broker will. */
static _Noreturn void bad_line(struct copy *x, struct cli_puts *puts, const struct cli_lines *in, const char *why) {
    troupe_status st = cli_puts_finish(puts);
    (void)fprintf(stderr, "troupe %s: line %lu: %s; %" PRIu64 " messages before it were put\n", x->cli->command, in->number,
                  st == TROUPE_OK ? why : troupe_client_why(x->c), puts->confirmed);
    exit(EX_DATAERR);
}

static troupe_status line_put(struct copy *x, struct cli_puts *puts, struct cli_record *r, const struct cli_lines *in,
                              const char *text, size_t n) {
    const char *why = "";
    troupe_status st = cli_record_read(r, text, n, &why);
    if (st != TROUPE_OK)
        bad_line(x, puts, in, st == TROUPE_NO_MEMORY ? troupe_status_text(st) : why);
    if (x->no_ids)
        r->opts.id = NULL;
    return cli_puts_add(puts, r->value, &r->opts);
}

/* Of all puts of this queue, how many were known already. */
static uint64_t duplicates(struct copy *x) {
    troupe_msg *m;
    struct trp_slice map = {0};
    uint64_t n = 0;
    if (troupe_queue_stat(x->c, x->name, &m) != TROUPE_OK)
        return 0;
    map.p = troupe_msg_packed(m, &map.n);
    (void)trp_map_uint(map, "total_duplicates", &n);
    troupe_msg_free(&m);
    return n;
}

int cli_queue_import(struct cli *cli, int argc, char **argv) {
    static const struct argp_option options[] = {
        {"no-ids", OPT_NO_IDS, NULL, 0, "Put messages whose ids the queue remembers, too", 0}, {0}};
    static const struct argp argp = {
        options,
        parse,
        "NAME",
        "Puts messages from standard input, a line of JSON each, as `troupe queue export` prints them, and prints how many "
        "were confirmed.\v"
        "Read are: payload (or packed), headers, priority, id, due_ms of a delayed one, and expires_ms. A message with an id "
        "that the queue "
        "remembers is confirmed and not put again, so that an import that failed can be repeated.\n\n"
        "  troupe queue import mail < mail.jsonl",
        children,
        NULL,
        NULL};
    struct copy x = {.cli = cli};
    struct cli_record r = {0};
    troupe_status st = TROUPE_OK;
    const char *text;
    size_t n;
    begin(&x, &argp, argc, argv);
    struct cli_lines in = {.command = cli->command};
    struct cli_puts puts = {.c = x.c, .queue = x.name};
    uint64_t known = duplicates(&x);
    do {
        while (st == TROUPE_OK && cli_lines_take(&in, &text, &n))
            st = line_put(&x, &puts, &r, &in, text, n);
    } while (st == TROUPE_OK && cli_lines_fill(&in));
    if (st == TROUPE_OK)
        st = cli_puts_finish(&puts);
    known = st == TROUPE_OK ? duplicates(&x) - known : 0;
    (void)printf("%" PRIu64 "\n", puts.confirmed);
    if (known && !cli->quiet)
        (void)fprintf(stderr, "%" PRIu64 " of them were known by their ids and not put again\n", known);
    cli_record_fini(&r);
    cli_lines_fini(&in);
    return end(&x, st);
}
