/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * brokerd: the broker as a program. Flags in, addresses out, signals stop it; all else is the library. */
#include "transports/url.h"
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <troupe/broker.h>
#include <troupe/log.h>
#include <troupe/version.h>

enum { URLS = 64 };

const char *argp_program_version = "brokerd " TROUPE_VERSION;
static const char doc[] =
    "Routes msgpack messages between programs: publish/subscribe, groups with credit, request/reply.\v"
    "URLs: tcp://HOST:PORT (port 0: any free one, host *: every interface), tcp://[::1]:PORT, ipc://PATH.\n"
    "Gateways: tcp://HOST:PORT/TOPIC?timeout=30s&max-line=64k&max-pending=256&framing=line|chunk.\n"
    "With --authkey-file listeners serve only who proves that it knows the key; gateways serve everybody, so keep them where "
    "only friends are.\n"
    "SIGTERM and SIGINT drain and exit with 0; a second one ends at once.\n\n"
    "Exit status: 0 stopped, 64 wrong usage, 65 the data is damaged, 69 an address or the data is in use, 71 the system "
    "refuses, 75 requests were cut off by a stop, 78 the authkey file cannot be used.";

enum {
    OPT_LISTEN = 'l',
    OPT_GATEWAY = 'g',
    OPT_LOG = 256,
    OPT_PAYLOAD,
    OPT_PENDING,
    OPT_CONNECTIONS,
    OPT_GREETING,
    OPT_FRAME,
    OPT_DRAIN,
    OPT_AUTHKEY,
    OPT_SYNC_DELAY,
    OPT_DATA = 'd'
};

static const struct argp_option options[] = {
    {"listen", OPT_LISTEN, "URL", 0, "Listen for peers there; may be repeated (default tcp://127.0.0.1:4747)", 0},
    {"gateway", OPT_GATEWAY, "URL", 0, "Listen for lines there; may be repeated", 0},
    {"log-level", OPT_LOG, "LEVEL", 0, "error, warn, info (default) or debug; one event a line to stderr", 0},
    {"max-payload", OPT_PAYLOAD, "BYTES", 0, "Largest payload (default 1M, at most 64M)", 0},
    {"max-pending", OPT_PENDING, "BYTES", 0, "What may wait for a peer that does not read before it is dropped (default 64M)",
     0},
    {"max-connections", OPT_CONNECTIONS, "N", 0, "Connections at a time, gateways' included (default 65536)", 0},
    {"greeting-timeout", OPT_GREETING, "TIME", 0, "Deadline of a greeting (default 10s)", 0},
    {"frame-timeout", OPT_FRAME, "TIME", 0, "Deadline of a frame that has begun (default 30s)", 0},
    {"drain-timeout", OPT_DRAIN, "TIME", 0, "How long a stop waits for requests in hand (default 5s)", 0},
    {"data", OPT_DATA, "DIR", 0, "Keep durable queues there (made if it is missing); one brokerd a directory", 0},
    {"authkey-file", OPT_AUTHKEY, "FILE", 0, "Ask peers to prove that they know the key in FILE (mode 0600, yours)", 0},
    {"test-sync-delay", OPT_SYNC_DELAY, "TIME", OPTION_HIDDEN, "Make each fdatasync so much slower, as a bad disk does", 0},
    {0},
};

struct config {
    troupe_broker_opts broker;
    const char *listen[URLS], *gateway[URLS];
    size_t listens, gateways;
    troupe_log_level log;
};

_Noreturn static void usage(const char *fmt, const char *a, const char *b) {
    fputs("brokerd: ", stderr);
    fprintf(stderr, fmt, a, b);
    fputs("; see brokerd --help\n", stderr);
    exit(EX_USAGE);
}

static void take_url(const char *flag, const char *url, const char **urls, size_t *n) {
    struct trp_url parsed;
    const char *why;
    if (*n == URLS)
        usage("--%s: at most 64 of them%s", flag, "");
    if (trp_url_parse(url, &parsed, &why) != TROUPE_OK) {
        fprintf(stderr, "brokerd: --%s=%s: %s\n", flag, url, why);
        exit(EX_USAGE);
    }
    urls[(*n)++] = url;
}

static uint64_t take_size(const char *flag, const char *text, uint64_t most) {
    uint64_t n;
    if (!trp_parse_size(text, &n) || n == 0 || n > most)
        usage("--%s=%s: it takes a number of bytes such as 64k or 1M, within the limit", flag, text);
    return n;
}

static int64_t take_time(const char *flag, const char *text) {
    int64_t ms;
    if (!trp_parse_duration(text, &ms) || ms <= 0)
        usage("--%s=%s: it takes a time such as 500ms, 10s or 2m", flag, text);
    return ms;
}

static troupe_log_level take_level(const char *text) {
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (int i = 0; i < 4; i++)
        if (strcmp(text, names[i]) == 0)
            return (troupe_log_level)i;
    usage("--log-level=%s: it takes error, warn, info or debug%s", text, "");
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct config *c = state->input;
    switch (key) {
    case OPT_LISTEN:
        take_url("listen", arg, c->listen, &c->listens);
        return 0;
    case OPT_GATEWAY:
        take_url("gateway", arg, c->gateway, &c->gateways);
        return 0;
    case OPT_LOG:
        c->log = take_level(arg);
        return 0;
    case OPT_PAYLOAD:
        c->broker.max_payload = take_size("max-payload", arg, 64 << 20);
        return 0;
    case OPT_PENDING:
        c->broker.max_pending = take_size("max-pending", arg, UINT64_C(1) << 40);
        return 0;
    case OPT_CONNECTIONS:
        c->broker.max_connections = (uint32_t)take_size("max-connections", arg, 1 << 24);
        return 0;
    case OPT_GREETING:
        c->broker.greeting_timeout_ms = take_time("greeting-timeout", arg);
        return 0;
    case OPT_FRAME:
        c->broker.frame_timeout_ms = take_time("frame-timeout", arg);
        return 0;
    case OPT_DRAIN:
        c->broker.drain_timeout_ms = take_time("drain-timeout", arg);
        return 0;
    case OPT_DATA:
        c->broker.data = arg;
        return 0;
    case OPT_AUTHKEY:
        c->broker.authkey_file = arg;
        return 0;
    case OPT_SYNC_DELAY:
        c->broker.test_sync_delay_ms = take_time("test-sync-delay", arg);
        return 0;
    case ARGP_KEY_ARG:
        usage("'%s' is not understood: brokerd takes flags only%s", arg, "");
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static troupe_broker *broker;

static void on_signal(int sig) {
    (void)sig;
    int saved = errno;
    troupe_broker_stop(broker);
    errno = saved;
}

static void catch_signals(void) {
    struct sigaction sa = {.sa_handler = on_signal};
    sigemptyset(&sa.sa_mask);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    sa.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &sa, NULL);
}

/* Ten thousand connections need ten thousand descriptors: take what the hard limit gives. */
static void raise_descriptors(void) {
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return;
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
}

static int refuse(const char *flag, const char *url, troupe_status st, const char *why) {
    fprintf(stderr, "brokerd: --%s=%s: %s\n", flag, url, why);
    return st == TROUPE_BAD_URL || st == TROUPE_UNSUPPORTED ? EX_USAGE : EX_UNAVAILABLE;
}

static int listen_all(const struct config *c) {
    const char *why = "";
    for (size_t i = 0; i < c->listens; i++) {
        troupe_status st = troupe_broker_listen(broker, c->listen[i], &why);
        if (st != TROUPE_OK)
            return refuse("listen", c->listen[i], st, why);
    }
    for (size_t i = 0; i < c->gateways; i++) {
        troupe_status st = troupe_broker_gateway(broker, c->gateway[i], &why);
        if (st != TROUPE_OK)
            return refuse("gateway", c->gateway[i], st, why);
    }
    return 0;
}

/* A line that can be pasted into another terminal. */
static void print_try(const char *gateway, const char *listener, const char *key) {
    struct trp_url u;
    const char *why;
    if (gateway && trp_url_parse(gateway, &u, &why) == TROUPE_OK && *u.port)
        printf("try        printf '30\\n' | nc -N %s %s\n", *u.host ? u.host : "127.0.0.1", u.port);
    else if (gateway)
        printf("try        printf '30\\n' | nc -N -U %s\n", u.path);
    else if (key)
        printf("try        export TROUPE_BROKER=%s TROUPE_AUTHKEY_FILE=%s; troupe sub '>' & troupe pub hello world\n", listener,
               key);
    else
        printf("try        troupe --broker=%s sub '>' & troupe --broker=%s pub hello world\n", listener, listener);
}

static void announce(const struct config *c) {
    const char *topic, *url, *gateway = NULL, *listener = "";
    printf("brokerd %s\n", TROUPE_VERSION);
    for (size_t i = 0; (url = troupe_broker_address(broker, i, &topic)); i++) {
        if (topic)
            printf("gateway    %s  (topic %s)\n", gateway = url, topic);
        else
            printf("listening  %s\n", listener = url);
    }
    if (c->broker.authkey_file)
        printf("authkey    %s  (asked for by listeners, not by gateways)\n", c->broker.authkey_file);
    print_try(gateway, listener, c->broker.authkey_file);
    fflush(stdout);
}

/* Why there is no broker. */
static int exit_code(troupe_status st) {
    switch (st) {
    case TROUPE_BAD_KEY:
        return EX_CONFIG;
    case TROUPE_EXISTS: /* another one has the data */
        return EX_UNAVAILABLE;
    case TROUPE_PROTOCOL: /* the data is damaged */
        return EX_DATAERR;
    default:
        return EX_OSERR;
    }
}

int main(int argc, char **argv) {
    static const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    struct config c = {.log = TROUPE_LOG_INFO};
    argp_err_exit_status = EX_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &c);
    if (c.listens == 0)
        c.listen[c.listens++] = "tcp://127.0.0.1:4747";
    troupe_log_set(troupe_log_stderr, NULL, c.log);
    raise_descriptors();
    troupe_status st = troupe_broker_new(&broker, &c.broker);
    if (st != TROUPE_OK) {
        fprintf(stderr, "brokerd: %s\n", troupe_broker_why());
        return exit_code(st);
    }
    catch_signals();
    int failed = listen_all(&c);
    if (!failed) {
        announce(&c);
        failed = troupe_broker_run(broker) == TROUPE_OK ? 0 : EX_TEMPFAIL;
    }
    troupe_broker_free(&broker);
    return failed;
}
