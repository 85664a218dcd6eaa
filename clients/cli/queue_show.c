/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * troupe queue list and stat: what the broker says of queues, a table for people or JSON lines for programs. The columns of a
 * table are as wide as what is in them, so it is measured first and then printed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "clients/cli/queue.h"
#include "transports/envelope.h"
#include "transports/json.h"

struct show {
    struct cli *cli;
    const char *name;
    bool json;
};

static const struct argp_option options[] = {{"json", 'j', NULL, 0, "JSON lines with all that is known", 0}, {0}};
static const struct argp_child children[] = {{&cli_common, 0, NULL, 0}, {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct show *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = s->cli;
        return 0;
    case 'j':
        s->json = true;
        return 0;
    default:
        return cli_queue_arg(s->cli, &s->name, key, arg);
    }
}

/* The value at the start of p as JSON, ended by a zero byte, behind what is in `out`. */
static troupe_status put_json(struct trp_buf *out, struct trp_slice v) {
    troupe_status st = trp_json_from_pack(out, v.p, v.n);
    return st == TROUPE_OK ? trp_buf_put(out, "", 1) : st;
}

static troupe_status print_json(struct trp_slice v) {
    struct trp_buf line = {0};
    troupe_status st = put_json(&line, v);
    if (st == TROUPE_OK)
        (void)puts((const char *)line.p);
    trp_buf_fini(&line);
    return st;
}

bool cli_queue_next(struct trp_slice *rest, struct trp_slice *v) {
    size_t n;
    if (rest->n == 0 || trp_pack_scan(rest->p, rest->n, NULL, &n) != TROUPE_OK)
        return false;
    *v = (struct trp_slice){rest->p, n};
    rest->p += n;
    rest->n -= n;
    return true;
}

static bool inside(const troupe_msg *m, bool (*head)(const uint8_t **p, const uint8_t *end, uint32_t *n),
                   struct trp_slice *rest) {
    size_t size;
    const uint8_t *p = troupe_msg_packed(m, &size), *end = p + size;
    uint32_t n;
    if (!head(&p, end, &n))
        return false;
    *rest = (struct trp_slice){p, (size_t)(end - p)};
    return true;
}

/* --- list --- */

static const struct {
    const char *title, *key;
} columns[] = {{"READY", "ready"},     {"HELD", "held"},           {"DELAYED", "delayed"},
               {"BURIED", "buried"},   {"BYTES", "bytes"},         {"CONSUMERS", "consumers"},
               {"WAITING", "waiting"}, {"TOTAL PUT", "total_put"}, {"ACKED", "total_acked"}};
enum { COLUMNS = sizeof columns / sizeof *columns };

static int digits(uint64_t n) {
    int d = 1;
    for (; n >= 10; n /= 10)
        d++;
    return d;
}

static uint64_t cell(struct trp_slice row, int i) {
    uint64_t n = 0;
    (void)trp_map_uint(row, columns[i].key, &n);
    return n;
}

static struct trp_slice name_of(struct trp_slice row) {
    struct trp_slice name = {0};
    (void)trp_map_str(row, "name", &name);
    return name;
}

struct widths {
    int name, cells[COLUMNS];
};

static void widen(int *width, int n) {
    if (n > *width)
        *width = n;
}

static struct widths measure(struct trp_slice rows) {
    struct widths w = {.name = 4};
    for (int i = 0; i < COLUMNS; i++)
        w.cells[i] = (int)strlen(columns[i].title);
    for (struct trp_slice row; cli_queue_next(&rows, &row);) {
        widen(&w.name, (int)name_of(row).n);
        for (int i = 0; i < COLUMNS; i++)
            widen(&w.cells[i], digits(cell(row, i)));
    }
    return w;
}

static bool flag(struct trp_slice row, const char *key) {
    uint64_t n = 0;
    return trp_map_uint(row, key, &n) && n;
}

static void print_row(const struct widths *w, struct trp_slice row) {
    struct trp_slice name = name_of(row);
    bool durable = flag(row, "durable"), paused = flag(row, "paused");
    (void)printf("%-*.*s", w->name, (int)name.n, (const char *)name.p);
    for (int i = 0; i < COLUMNS; i++)
        (void)printf("  %*" PRIu64, w->cells[i], cell(row, i));
    (void)printf("%s%s%s\n", durable || paused ? "  " : "", durable ? "durable" : "",
                 paused ? durable ? ", paused" : "paused" : "");
}

static void print_table(struct trp_slice rows) {
    struct widths w = measure(rows);
    (void)printf("%-*s", w.name, "NAME");
    for (int i = 0; i < COLUMNS; i++)
        (void)printf("  %*s", w.cells[i], columns[i].title);
    (void)putchar('\n');
    for (struct trp_slice row; cli_queue_next(&rows, &row);)
        print_row(&w, row);
}

static troupe_status print_list(const struct show *s, struct trp_slice rows) {
    troupe_status st = TROUPE_OK;
    if (!s->json)
        print_table(rows);
    for (struct trp_slice row; s->json && st == TROUPE_OK && cli_queue_next(&rows, &row);)
        st = print_json(row);
    return st;
}

/* The rows of one answer go behind those that are there; *last: the number of the last queue, as it was if there was none. */
static troupe_status add_rows(struct trp_buf *all, const troupe_msg *m, uint64_t *last) {
    struct trp_slice rows, row;
    if (!inside(m, trp_unpack_array, &rows))
        return TROUPE_PROTOCOL;
    troupe_status st = trp_buf_put(all, rows.p, rows.n);
    while (st == TROUPE_OK && cli_queue_next(&rows, &row))
        if (!trp_map_uint(row, "number", last))
            return TROUPE_PROTOCOL;
    return st;
}

/* Page by page. */
static troupe_status list_all(troupe_client *c, const char *name, struct trp_buf *all) {
    uint64_t last = 0, after;
    troupe_status st;
    do {
        troupe_msg *m = NULL;
        after = last;
        st = troupe_queue_list(c, name, after, &m);
        if (st == TROUPE_OK)
            st = add_rows(all, m, &last);
        troupe_msg_free(&m);
    } while (st == TROUPE_OK && last > after);
    return st;
}

/* --- stat --- */

static bool is_time(struct trp_slice key) {
    static const char *const times[] = {"ttl", "ack_timeout", "dedup_window", "oldest_ms"};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (trp_slice_eq(key, trp_slice_str(times[i])))
            return true;
    return false;
}

enum { KEY_WIDTH = 18 };

static troupe_status print_pair(struct trp_buf *text, struct trp_slice key, struct trp_slice v) {
    const uint8_t *p = key.p;
    struct trp_slice word, shown = {0};
    if (!trp_unpack_str(&p, p + key.n, &word))
        return TROUPE_PROTOCOL;
    p = v.p;
    text->n = 0;
    if (!trp_unpack_str(&p, p + v.n, &shown)) {
        troupe_status st = put_json(text, v);
        if (st != TROUPE_OK)
            return st;
        shown = (struct trp_slice){text->p, text->n - 1};
    }
    (void)printf("%-*.*s %.*s%s\n", KEY_WIDTH, (int)word.n, (const char *)word.p, (int)shown.n, (const char *)shown.p,
                 is_time(word) && !trp_slice_eq(shown, trp_slice_str("0")) ? " ms" : "");
    return TROUPE_OK;
}

static troupe_status print_stat(const struct show *s, const troupe_msg *m) {
    struct trp_slice rest, key, v, all = {0};
    struct trp_buf text = {0};
    troupe_status st = TROUPE_OK;
    all.p = troupe_msg_packed(m, &all.n);
    if (s->json)
        return print_json(all);
    if (!inside(m, trp_unpack_map, &rest))
        return TROUPE_PROTOCOL;
    while (st == TROUPE_OK && cli_queue_next(&rest, &key) && cli_queue_next(&rest, &v))
        st = print_pair(&text, key, v);
    trp_buf_fini(&text);
    return st;
}

/* --- both --- */

static int end(troupe_client *c, troupe_status st, troupe_status printed, troupe_msg *m) {
    int code = EX_OK;
    if (st != TROUPE_OK)
        code = cli_fail(st, troupe_client_why(c));
    else if (printed != TROUPE_OK)
        code = cli_fail(printed, troupe_status_text(printed));
    troupe_msg_free(&m);
    troupe_client_close(&c);
    cli_flush();
    return code;
}

int cli_queue_list(struct cli *cli, int argc, char **argv) {
    static const struct argp argp = {
        options,  parse, "[NAME]", "Lists all queues, or NAME and those whose names go on behind it and a dot.",
        children, NULL,  NULL};
    struct show s = {.cli = cli};
    struct trp_buf all = {0};
    cli_parse(&argp, cli, argc, argv, &s);
    if (s.name)
        cli_queue_check(cli, s.name);
    troupe_client *c = cli_open(cli);
    troupe_status st = list_all(c, s.name, &all), printed = TROUPE_OK;
    if (st == TROUPE_OK)
        printed = print_list(&s, (struct trp_slice){all.p, all.n});
    trp_buf_fini(&all);
    return end(c, st, printed, NULL);
}

int cli_queue_stat(struct cli *cli, int argc, char **argv) {
    static const struct argp argp = {
        options,  parse, "NAME", "Prints how a queue is declared, what is in it, and what it has done since the broker began.",
        children, NULL,  NULL};
    struct show s = {.cli = cli};
    troupe_msg *m = NULL;
    cli_parse(&argp, cli, argc, argv, &s);
    cli_queue_check(cli, s.name);
    troupe_client *c = cli_open(cli);
    troupe_status st = troupe_queue_stat(c, s.name, &m);
    return end(c, st, st == TROUPE_OK ? print_stat(&s, m) : TROUPE_OK, m);
}
