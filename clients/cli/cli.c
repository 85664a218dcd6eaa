/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Errors are one line each, on stderr, and say what to do; stdout carries nothing but results, so that it can be piped. */
#include "clients/cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <troupe/log.h>

#include "transports/topic.h"
#include "transports/transport.h"
#include "transports/url.h"

/* --- options --- */

enum { AUTHKEY = 512 }; /* above what the subcommands use for theirs */

static const struct argp_option options[] = {
    {"broker", 'b', "URL", 0, "The broker (default: $TROUPE_BROKER, or " TROUPE_DEFAULT_BROKER ")", -2},
    {"authkey-file", AUTHKEY, "FILE", 0, "The key that the broker asks for (default: $TROUPE_AUTHKEY_FILE, or none)", -2},
    {"quiet", 'q', NULL, 0, "No remarks on stderr", -2},
    {"verbose", 'v', NULL, 0, "Say what the connection does, on stderr", -2},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct cli *cli = state->input;
    switch (key) {
    case 'b':
        cli->broker = arg;
        return 0;
    case AUTHKEY:
        cli->authkey = arg;
        return 0;
    case 'q':
        cli->quiet = true;
        return 0;
    case 'v':
        cli->verbose = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp cli_common = {options, parse, NULL, NULL, NULL, NULL, NULL};

const char *cli_address(const struct cli *cli) {
    const char *env = getenv("TROUPE_BROKER");
    if (cli->broker)
        return cli->broker;
    return env && *env ? env : TROUPE_DEFAULT_BROKER;
}

void cli_parse(const struct argp *argp, struct cli *cli, int argc, char **argv, void *input) {
    static char name[32];
    struct trp_url url;
    const struct trp_transport *transport;
    const char *why = "";
    (void)snprintf(name, sizeof name, "troupe %s", cli->command);
    argv[0] = name; /* what argp calls us in its own words */
    argp_parse(argp, argc, argv, 0, NULL, input);
    if (trp_transport_for(cli_address(cli), &url, &transport, &why) != TROUPE_OK)
        cli_usage(cli, "%s: %s", cli_address(cli), why);
    if (cli->verbose)
        troupe_log_set(troupe_log_stderr, NULL, TROUPE_LOG_DEBUG);
}

/* --- ends --- */

void cli_usage(const struct cli *cli, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    (void)fprintf(stderr, "troupe %s: ", cli->command);
    (void)vfprintf(stderr, fmt, ap);
    (void)fprintf(stderr, "; see troupe %s --help\n", cli->command);
    va_end(ap);
    exit(EX_USAGE);
}

static int exit_code(troupe_status st) {
    switch (st) {
    case TROUPE_OK:
        return EX_OK;
    case TROUPE_TIMEOUT:
        return EX_TEMPFAIL;
    case TROUPE_DISCONNECTED:
        return EX_UNAVAILABLE;
    case TROUPE_INVALID:
    case TROUPE_BAD_URL:
    case TROUPE_UNSUPPORTED:
        return EX_USAGE;
    case TROUPE_BAD_KEY:
        return EX_CONFIG;
    case TROUPE_NO_MEMORY:
    case TROUPE_SYSTEM:
        return EX_OSERR;
    default:
        return EXIT_FAILURE;
    }
}

/* Has somebody else said it, "CODE: sentence"? */
static bool has_code(troupe_status st, const char *why) {
    size_t n = strspn(why, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return st != TROUPE_DISCONNECTED && n > 0 && why[n] == ':';
}

int cli_fail(troupe_status st, const char *why) {
    bool theirs = has_code(st, why);
    (void)fprintf(stderr, "%s%s\n", theirs ? "" : "troupe: ", why);
    return theirs ? EXIT_FAILURE : exit_code(st);
}

bool cli_flushed(int *code) {
    *code = EX_OK;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    if (errno == EPIPE)
        return false; /* the reader has what it wanted */
    (void)fprintf(stderr, "troupe: standard output: %s\n", strerror(errno));
    *code = EX_IOERR;
    return false;
}

void cli_flush(void) {
    int code;
    if (!cli_flushed(&code))
        _Exit(code); /* exit(3) would try to flush again */
}

/* --- arguments --- */

void cli_check_topic(const struct cli *cli, const char *topic) {
    if (!trp_is_topic(trp_slice_str(topic)))
        cli_usage(cli, "'%s' is no topic: words joined by dots, without blanks, * and >, 255 bytes at most", topic);
}

void cli_check_pattern(const struct cli *cli, const char *pattern) {
    if (!trp_is_pattern(trp_slice_str(pattern)))
        cli_usage(cli, "'%s' is no pattern: words joined by dots, * for any one word, > at the end for all that follow",
                  pattern);
}

int64_t cli_duration(const struct cli *cli, const char *flag, const char *text) {
    int64_t ms;
    if (!trp_parse_duration(text, &ms) || ms <= 0)
        cli_usage(cli, "--%s=%s: it takes a time such as 500ms, 5s or 2m", flag, text);
    return ms;
}

uint64_t cli_number(const struct cli *cli, const char *flag, const char *text, uint64_t least, uint64_t most) {
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || n < least || n > most)
        cli_usage(cli, "--%s=%s: it takes a number from %" PRIu64 " to %" PRIu64, flag, text, least, most);
    return n;
}

/* --- connecting --- */

void cli_not_open(const struct cli *cli, troupe_status st) {
    if (st == TROUPE_BAD_KEY)
        (void)fprintf(stderr, "troupe: %s\n", troupe_client_why(NULL));
    else
        (void)fprintf(stderr, "troupe: no connection to %s: %s\n", cli_address(cli), troupe_client_why(NULL));
    if (st == TROUPE_REFUSED) /* who is not there is waited for until TIMEOUT: this one is there, and will not have us */
        exit(EX_NOPERM);
    exit(st == TROUPE_TIMEOUT ? EX_UNAVAILABLE : exit_code(st));
}

troupe_client *cli_open(const struct cli *cli) {
    troupe_client *c;
    troupe_client_opts opts = {
        .url = cli->broker, .authkey_file = cli->authkey, .connect_timeout_ms = CLI_CONNECT_MS, .max_payload = CLI_MAX_PAYLOAD};
    troupe_status st = troupe_client_open(&c, &opts);
    if (st != TROUPE_OK)
        cli_not_open(cli, st);
    return c;
}
