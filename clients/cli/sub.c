/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * troupe sub: prints what comes, a line of JSON each, until it is told to stop. Lines are written in one go when nothing
 * more is there at the moment, so that a reader sees each message at once and a flood is not a system call a line.
 *
 * SIGINT and SIGTERM drain: what the broker has handed us already is still printed. A message that could not be printed
 * is not acknowledged. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "clients/cli/cli.h"

static const char doc[] =
    "Prints the messages of topics, a line of JSON each, until SIGINT.\v"
    "Patterns: * stands for any one word, > at the end for all that follow. With --group the messages are shared with the "
    "other members; with --credit at most so many are in hand, each acknowledged when it has been printed.\n\n"
    "  troupe sub 'news.>' --topic\n"
    "  troupe sub jobs --group=printers --credit=1";

enum { PATTERNS = 64, PATIENCE_MS = 250, DRAIN_MS = 5000 };

struct sub {
    struct cli *cli;
    const char *patterns[PATTERNS];
    size_t n;
    troupe_sub_opts opts;
    bool topic;
    uint64_t count, printed;
    troupe_client *c;
    int signals;
};

static const struct argp_option options[] = {
    {"group", 'g', "NAME", 0, "Share the messages with the others of this group", 0},
    {"credit", 'c', "N", 0, "With --group: so many unacknowledged messages at most", 0},
    {"count", 'n', "N", 0, "End after N messages", 0},
    {"topic", 't', NULL, 0, "Print the topic before each message", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct sub *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = s->cli;
        return 0;
    case 'g':
        if (!*arg || strlen(arg) > 255)
            cli_usage(s->cli, "--group: a name has 1 to 255 bytes");
        s->opts.group = arg;
        return 0;
    case 'c':
        s->opts.credit = (uint32_t)cli_number(s->cli, "credit", arg, 1, 65535);
        return 0;
    case 'n':
        s->count = cli_number(s->cli, "count", arg, 1, UINT64_MAX);
        return 0;
    case 't':
        s->topic = true;
        return 0;
    case ARGP_KEY_ARG:
        if (s->n == PATTERNS)
            cli_usage(s->cli, "more than %d patterns", PATTERNS);
        cli_check_pattern(s->cli, arg);
        s->patterns[s->n++] = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --- connecting --- */

/* There is nothing to drain before there is a connection. */
static void leave(int sig) {
    (void)sig;
    _exit(EX_OK);
}

static void stop_signals(void (*handler)(int)) {
    struct sigaction sa = {.sa_handler = handler};
    sigemptyset(&sa.sa_mask);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
}

/* From here on a signal is something to read. */
static int signals_open(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Waits for a broker as long as it takes, and says so when it does take time. */
static void connect_patiently(struct sub *s) {
    troupe_client_opts opts = {.url = s->cli->broker,
                               .authkey_file = s->cli->authkey,
                               .connect_timeout_ms = PATIENCE_MS,
                               .max_payload = CLI_MAX_PAYLOAD};
    troupe_status st = troupe_client_open(&s->c, &opts);
    if (st == TROUPE_TIMEOUT && !s->cli->quiet)
        (void)fprintf(stderr, "waiting for %s (%s)\n", cli_address(s->cli), troupe_client_why(NULL));
    opts.connect_timeout_ms = TROUPE_FOREVER;
    if (st == TROUPE_TIMEOUT)
        st = troupe_client_open(&s->c, &opts);
    if (st != TROUPE_OK)
        cli_not_open(s->cli, st);
}

static void subscribe_all(struct sub *s) {
    for (size_t i = 0; i < s->n; i++) {
        troupe_status st = troupe_client_subscribe(s->c, s->patterns[i], &s->opts, NULL);
        if (st != TROUPE_OK && st != TROUPE_DISCONNECTED && st != TROUPE_TIMEOUT)
            exit(cli_fail(st, troupe_client_why(s->c)));
    }
}

/* --- printing --- */

static void print(struct sub *s, troupe_msg *m) {
    char *json = troupe_msg_json(m);
    if (!json)
        exit(cli_fail(TROUPE_NO_MEMORY, troupe_status_text(TROUPE_NO_MEMORY)));
    if (s->topic)
        (void)printf("%s %s\n", troupe_msg_topic(m), json);
    else
        (void)puts(json);
    free(json);
    s->printed++;
    if (s->opts.credit)
        cli_flush(); /* before it is acknowledged */
}

static bool enough(const struct sub *s) {
    return s->count && s->printed >= s->count;
}

/* Prints what is here. CLOSED: drained; REFUSED: the broker will not have us back. */
static troupe_status print_queued(struct sub *s) {
    troupe_msg *m;
    troupe_status st = TROUPE_OK;
    while (!enough(s) && (st = troupe_client_receive(s->c, 0, &m)) == TROUPE_OK) {
        print(s, m);
        troupe_msg_free(&m);
    }
    cli_flush();
    return st == TROUPE_TIMEOUT ? TROUPE_OK : st;
}

/* Waits for the connection or a signal. False: a signal. */
static bool wait_for_more(struct sub *s) {
    struct pollfd p[2] = {{.fd = troupe_client_fd(s->c), .events = POLLIN}, {.fd = s->signals, .events = POLLIN}};
    int64_t ms = troupe_client_wait_ms(s->c);
    if (poll(p, 2, ms > INT32_MAX ? INT32_MAX : (int)ms) < 0 && errno != EINTR)
        exit(cli_fail(TROUPE_SYSTEM, strerror(errno)));
    return !(p[1].revents & POLLIN);
}

static int drain(struct sub *s) {
    troupe_status st = troupe_client_drain(s->c, DRAIN_MS);
    if (!enough(s) && (st == TROUPE_OK || st == TROUPE_DISCONNECTED))
        (void)print_queued(s);
    troupe_client_close(&s->c);
    return EX_OK;
}

int cli_sub(struct cli *cli, int argc, char **argv) {
    static const struct argp_child children[] = {{&cli_common, 0, NULL, 0}, {0}};
    static const struct argp argp = {options, parse, "PATTERN...", doc, children, NULL, NULL};
    struct sub s = {.cli = cli};
    cli_parse(&argp, cli, argc, argv, &s);
    if (s.n == 0)
        cli_usage(cli, "the pattern is missing: troupe sub PATTERN, or troupe sub '>' for everything");
    if (s.opts.credit && !s.opts.group)
        cli_usage(cli, "--credit is of use in a group only: add --group=NAME");
    stop_signals(leave);
    connect_patiently(&s);
    s.signals = signals_open();
    subscribe_all(&s);
    troupe_status st = TROUPE_OK;
    do
        st = print_queued(&s);
    while (st == TROUPE_OK && !enough(&s) && wait_for_more(&s));
    if (st == TROUPE_OK)
        return drain(&s);
    int code = cli_fail(st, troupe_client_why(s.c));
    troupe_client_close(&s.c);
    return code;
}
