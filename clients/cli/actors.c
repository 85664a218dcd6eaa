/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * troupe actors: what the systems that have joined a broker (<troupe/node.h>) say of their actors. Each node answers for
 * itself, a page at a time; which nodes there are is found by asking all and waiting a moment. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "clients/cli/cli.h"
#include "transports/envelope.h"
#include "transports/json.h"
#include "transports/pack.h"

static const char doc[] = "Lists the actors of systems that have joined this broker, of all nodes or of those named.\v"
                          "QUEUED is what waits in the mailbox, DROPPED what went to nobody, CPU what it has used (a "
                          "coroutine's is an estimate), STACK how deep "
                          "its stack has been and how deep it is. A node that is named and not there is exit status 1.\n\n"
                          "  troupe actors\n"
                          "  troupe actors shop --json | jq 'select(.queued > 100)'";

enum { WAIT_MS = 300, ANSWER_MS = 5000, NODES_MOST = 1024, NAME_WIDTH = 24 };

struct actors {
    struct cli *cli;
    troupe_client *c;
    bool json;
    int64_t wait_ms;
    char *names[NODES_MOST];
    unsigned count;
    bool titled;
};

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "JSON lines with all that is known", 0},
    {"wait", 'w', "TIME", 0, "How long to wait for nodes to say that they are there (default 300ms)", 0},
    {0},
};

static void add(struct actors *a, const char *name, size_t n) {
    for (unsigned i = 0; i < a->count; i++)
        if (strlen(a->names[i]) == n && memcmp(a->names[i], name, n) == 0)
            return;
    if (a->count < NODES_MOST)
        a->names[a->count++] = strndup(name, n);
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct actors *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = a->cli;
        return 0;
    case 'j':
        a->json = true;
        return 0;
    case 'w':
        a->wait_ms = cli_duration(a->cli, "wait", arg);
        return 0;
    case ARGP_KEY_ARG:
        if (strpbrk(arg, ".*> ") || !*arg)
            cli_usage(a->cli, "'%s' is no name of a node: letters, digits, - and _", arg);
        add(a, arg, strlen(arg));
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --- who is there --- */

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static troupe_status ask_all(struct actors *a, const char *topic) {
    uint8_t b[64], *p = trp_pack_array(b, 2);
    p = trp_pack_str(p, trp_slice_str("roster"));
    p = trp_pack_str(p, trp_slice_str(topic));
    return troupe_client_publish(a->c, "_n", troupe_packed(b, (size_t)(p - b)), NULL);
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static troupe_status find_nodes(struct actors *a) {
    char topic[40];
    troupe_msg *m;
    snprintf(topic, sizeof topic, "_n.roster.%d.%" PRId64, (int)getpid(), now_ms());
    troupe_status st = troupe_client_subscribe(a->c, topic, NULL, NULL);
    if (st == TROUPE_OK)
        st = ask_all(a, topic);
    int64_t until = now_ms() + a->wait_ms, left;
    while (st == TROUPE_OK && (left = until - now_ms()) > 0) {
        if ((st = troupe_client_receive(a->c, left, &m)) != TROUPE_OK)
            break;
        troupe_value v = troupe_msg_value(m);
        if (v.kind == TROUPE_TEXT)
            add(a, v.data, v.size);
        troupe_msg_free(&m);
    }
    qsort((void *)a->names, a->count, sizeof *a->names, by_name);
    return st == TROUPE_TIMEOUT ? TROUPE_OK : st;
}

/* --- what one says --- */

static uint64_t number(struct trp_slice row, const char *key) {
    uint64_t v = 0;
    (void)trp_map_uint(row, key, &v);
    return v;
}

static int text(struct trp_slice row, const char *key, char *out, size_t size) {
    struct trp_slice s = {0};
    (void)trp_map_str(row, key, &s);
    return snprintf(out, size, "%.*s", (int)s.n, s.n ? (const char *)s.p : "");
}

static void print_row(struct actors *a, const char *node, struct trp_slice row) {
    char name[64], kind[16], state[16], cpu[24] = "-", stack[48] = "-", pid[24] = "-";
    uint64_t cpu_ns, size = number(row, "stack_size");
    if (!a->titled)
        printf("%-12s %-*s %-9s %-8s %8s %10s %8s %8s %9s %13s %7s\n", "NODE", NAME_WIDTH, "NAME", "KIND", "STATE", "QUEUED",
               "HANDLED", "DROPPED", "RESTARTS", "CPU", "STACK", "PID");
    a->titled = true;
    text(row, "name", name, sizeof name);
    text(row, "kind", kind, sizeof kind);
    text(row, "state", state, sizeof state);
    if (trp_map_uint(row, "cpu_ns", &cpu_ns))
        snprintf(cpu, sizeof cpu, "%.3fs", (double)cpu_ns / 1e9);
    if (size)
        snprintf(stack, sizeof stack, "%" PRIu64 "/%" PRIu64 "K", number(row, "stack_used") / 1024, size / 1024);
    if (number(row, "pid"))
        snprintf(pid, sizeof pid, "%" PRIu64, number(row, "pid"));
    printf("%-12s %-*s %-9s %-8s %8" PRIu64 " %10" PRIu64 " %8" PRIu64 " %8" PRIu64 " %9s %13s %7s\n", node, NAME_WIDTH, name,
           kind, state, number(row, "queued"), number(row, "handled"), number(row, "dropped"), number(row, "restarts"), cpu,
           stack, pid);
}

static troupe_status print_json(struct trp_slice row) {
    struct trp_buf line = {0};
    troupe_status st = trp_json_from_pack(&line, row.p, row.n);
    if (st == TROUPE_OK)
        (void)printf("%.*s\n", (int)line.n, (const char *)line.p);
    trp_buf_fini(&line);
    return st;
}

/* [next, row, row, ...]; next 0: that was all. */
static troupe_status print_page(struct actors *a, const char *node, const troupe_msg *m, uint64_t *next) {
    size_t n;
    const uint8_t *p = troupe_msg_packed(m, &n), *end = p + n;
    uint32_t count;
    if (!trp_unpack_array(&p, end, &count) || count < 1 || !trp_unpack_uint(&p, end, next))
        return TROUPE_PROTOCOL;
    for (; count > 1; count--) {
        if (trp_pack_scan(p, (size_t)(end - p), NULL, &n) != TROUPE_OK)
            return TROUPE_PROTOCOL;
        struct trp_slice row = {p, n};
        p += n;
        troupe_status st = TROUPE_OK;
        if (a->json)
            st = print_json(row);
        else
            print_row(a, node, row);
        if (st != TROUPE_OK)
            return st;
    }
    return TROUPE_OK;
}

static troupe_status show_page(struct actors *a, const char *node, uint64_t *from) {
    char topic[64];
    uint8_t b[32], *p = trp_pack_array(b, 2);
    troupe_msg *m;
    p = trp_pack_str(p, trp_slice_str("actors"));
    p = trp_pack_uint(p, *from);
    snprintf(topic, sizeof topic, "_n.%.40s", node);
    troupe_status st = troupe_client_request(a->c, topic, troupe_packed(b, (size_t)(p - b)), ANSWER_MS, &m);
    if (st != TROUPE_OK)
        return st;
    st = troupe_msg_error(m) ? TROUPE_REFUSED : print_page(a, node, m, from);
    troupe_msg_free(&m);
    return st;
}

static int show(struct actors *a, const char *node) {
    char why[128];
    uint64_t from = 0;
    troupe_status st;
    do
        st = show_page(a, node, &from);
    while (st == TROUPE_OK && from);
    if (st == TROUPE_OK)
        return EX_OK;
    if (st == TROUPE_NO_RESPONDERS)
        snprintf(why, sizeof why, "there is no node %s at this broker", node);
    else
        snprintf(why, sizeof why, "node %s: %s", node, troupe_status_text(st));
    return cli_fail(st, why);
}

int cli_actors(struct cli *cli, int argc, char **argv) {
    static const struct argp_child children[] = {{&cli_common, 0, NULL, 0}, {0}};
    static const struct argp argp = {options, parse, "[NODE...]", doc, children, NULL, NULL};
    struct actors a = {.cli = cli, .wait_ms = WAIT_MS};
    cli_parse(&argp, cli, argc, argv, &a);
    a.c = cli_open(cli);
    troupe_status st = a.count ? TROUPE_OK : find_nodes(&a);
    int code = st == TROUPE_OK ? EX_OK : cli_fail(st, troupe_client_why(a.c));
    if (st == TROUPE_OK && a.count == 0 && !cli->quiet)
        (void)fprintf(stderr, "troupe: no system has joined this broker (troupe_node_join)\n");
    for (unsigned i = 0; i < a.count && code == EX_OK; i++)
        code = show(&a, a.names[i]);
    for (unsigned i = 0; i < a.count; i++)
        free(a.names[i]);
    cli_flush();
    troupe_client_close(&a.c);
    return code;
}
