/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * troupe queue declare: its options are those of a declaration, by the names that they have on the wire. */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "clients/cli/queue.h"
#include "transports/url.h"

static const char doc[] =
    "Makes a queue. One that is there already and declared just so is left alone; if it differs, the difference is said and "
    "the exit "
    "status is 1.\v"
    "`none` as the value of an option means: no such limit, time or queue.\n\n"
    "  troupe queue declare mail --durable --ack-timeout=1m\n"
    "  troupe queue declare audit --bind='orders.>' --bind=login --max-messages=100000 --overflow=drop-oldest";

enum {
    OPT_DURABLE = 256,
    OPT_BIND,
    OPT_MAX_MESSAGES,
    OPT_MAX_BYTES,
    OPT_OVERFLOW,
    OPT_TTL,
    OPT_ACK_TIMEOUT,
    OPT_MAX_DELIVERIES,
    OPT_MAX_CRASHES,
    OPT_DEAD,
    OPT_DEDUP_WINDOW,
    PATTERNS = 64,
};

static const struct argp_option options[] = {
    {"durable", OPT_DURABLE, NULL, 0, "Keep it on disk", 0},
    {"bind", OPT_BIND, "PATTERN", 0, "Keep what is published to these topics, too (repeatable)", 0},
    {"max-messages", OPT_MAX_MESSAGES, "N", 0, "It holds so many (default 1000000)", 0},
    {"max-bytes", OPT_MAX_BYTES, "SIZE", 0, "And so much: 64k, 100M, 2G (default 1G)", 0},
    {"overflow", OPT_OVERFLOW, "HOW", 0, "When it is full: reject (default) or drop-oldest", 0},
    {"ttl", OPT_TTL, "TIME", 0, "Messages expire after this (default none)", 0},
    {"ack-timeout", OPT_ACK_TIMEOUT, "TIME", 0, "A message in hand for so long goes to another (default 30s)", 0},
    {"max-deliveries", OPT_MAX_DELIVERIES, "N", 0, "After so many in vain it is dead (default 16)", 0},
    {"max-crashes", OPT_MAX_CRASHES, "N", 0, "After so many consumers died of it, too (default 3)", 0},
    {"dead", OPT_DEAD, "NAME", 0, "The queue for the dead (default NAME.dead)", 0},
    {"dedup-window", OPT_DEDUP_WINDOW, "TIME", 0, "Ids of messages are remembered for so long (default 2m)", 0},
    {0},
};

struct declare {
    struct cli *cli;
    const char *name;
    const char *bind[PATTERNS + 1];
    size_t n_bind;
    troupe_queue_opts opts;
};

static bool is_none(const char *arg) {
    return strcmp(arg, "none") == 0;
}

static uint64_t duration(const struct declare *d, const char *flag, const char *arg) {
    return is_none(arg) ? TROUPE_NONE : (uint64_t)cli_duration(d->cli, flag, arg);
}

static uint64_t number(const struct declare *d, const char *flag, const char *arg, uint64_t most) {
    return is_none(arg) ? TROUPE_NONE : cli_number(d->cli, flag, arg, 1, most);
}

static uint64_t size(const struct declare *d, const char *flag, const char *arg) {
    uint64_t bytes;
    if (is_none(arg))
        return TROUPE_NONE;
    if (!trp_parse_size(arg, &bytes) || bytes == 0)
        cli_usage(d->cli, "--%s=%s: it takes a size such as 64k, 100M or 2G", flag, arg);
    return bytes;
}

static void add_pattern(struct declare *d, const char *arg) {
    cli_check_pattern(d->cli, arg);
    if (d->n_bind == PATTERNS)
        cli_usage(d->cli, "a queue binds at most %d patterns", PATTERNS);
    d->bind[d->n_bind++] = arg;
}

static troupe_queue_overflow overflow(const struct declare *d, const char *arg) {
    if (strcmp(arg, "drop-oldest") == 0)
        return TROUPE_QUEUE_DROP_OLDEST;
    if (strcmp(arg, "reject") != 0)
        cli_usage(d->cli, "--overflow=%s: it is reject or drop-oldest", arg);
    return TROUPE_QUEUE_REJECT;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct declare *d = state->input;
    troupe_queue_opts *o = &d->opts;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = d->cli;
        return 0;
    case OPT_DURABLE:
        o->durable = true;
        return 0;
    case OPT_BIND:
        add_pattern(d, arg);
        return 0;
    case OPT_MAX_MESSAGES:
        o->max_messages = number(d, "max-messages", arg, UINT64_MAX);
        return 0;
    case OPT_MAX_BYTES:
        o->max_bytes = size(d, "max-bytes", arg);
        return 0;
    case OPT_OVERFLOW:
        o->overflow = overflow(d, arg);
        return 0;
    case OPT_TTL:
        o->ttl_ms = duration(d, "ttl", arg);
        return 0;
    case OPT_ACK_TIMEOUT:
        o->ack_timeout_ms = duration(d, "ack-timeout", arg);
        return 0;
    case OPT_MAX_DELIVERIES:
        o->max_deliveries = number(d, "max-deliveries", arg, UINT32_MAX);
        return 0;
    case OPT_MAX_CRASHES:
        o->max_crashes = number(d, "max-crashes", arg, UINT16_MAX);
        return 0;
    case OPT_DEAD:
        o->dead = is_none(arg) ? "" : arg;
        return 0;
    case OPT_DEDUP_WINDOW:
        o->dedup_window_ms = duration(d, "dedup-window", arg);
        return 0;
    default:
        return cli_queue_arg(d->cli, &d->name, key, arg);
    }
}

int cli_queue_declare(struct cli *cli, int argc, char **argv) {
    static const struct argp_child children[] = {{&cli_common, 0, NULL, 0}, {0}};
    static const struct argp argp = {options, parse, "NAME", doc, children, NULL, NULL};
    struct declare d = {.cli = cli};
    cli_parse(&argp, cli, argc, argv, &d);
    cli_queue_check(cli, d.name);
    if (d.opts.dead && *d.opts.dead)
        cli_queue_check(cli, d.opts.dead);
    d.opts.bind = d.bind;
    troupe_client *c = cli_open(cli);
    troupe_status st = troupe_queue_declare(c, d.name, &d.opts);
    int code = st == TROUPE_OK ? EX_OK : cli_fail(st, troupe_client_why(c));
    troupe_client_close(&c);
    return code;
}
