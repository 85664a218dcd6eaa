/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * echo-server: the classic server of the selectors chapter. Each connection is a coroutine that reads, answers in upper
 * case, and parks while there is nothing to read; a connection that breaks ends that coroutine alone. There is no callback
 * and no table of connections.
 *
 *     echo-server tcp://127.0.0.1:8088      then: echo hello | nc -N 127.0.0.1 8088      HELLO_SB
 *
 * With "thread" behind that, each connection has a thread. Without an argument it takes any port and is its own client: that is
 * what is tested. */
#include <argp.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <troupe/monitor.h>
#include <troupe/stream.h>
#include <troupe/version.h>

static const char suffix[] = "_SB";

static void serve(troupe_self *self, troupe_stream *peer, void *arg) {
    (void)arg;
    char buf[1024 + sizeof suffix];
    size_t n;
    while (troupe_stream_read(self, peer, buf, 1024, TROUPE_FOREVER, &n) == TROUPE_OK) {
        for (size_t i = 0; i < n; i++)
            buf[i] = (char)toupper((unsigned char)buf[i]);
        memcpy(buf + n, suffix, sizeof suffix - 1);
        if (troupe_stream_write(self, peer, buf, n + sizeof suffix - 1, 10000) != TROUPE_OK)
            return;
    }
}

struct place {
    troupe_ref to; /* who is told where it is */
    troupe_kind kind;
    char url[256];
};

/* Tells its address to who spawned it, then accepts until it is killed. Where it can't listen it ends, which main hears of. */
static void listens(troupe_self *self, void *arg) {
    const struct place *where = arg;
    troupe_listener *door;
    troupe_stream *peer;
    troupe_status st = troupe_listener_open(self, where->url, &door);
    if (st != TROUPE_OK) {
        fprintf(stderr, "echo-server: %s: %s\n", where->url, troupe_status_text(st));
        return;
    }
    if (troupe_send(self, where->to, troupe_text(troupe_listener_url(door))) == TROUPE_OK) {
        while (troupe_listener_accept(self, door, TROUPE_FOREVER, &peer) == TROUPE_OK) {
            if (troupe_stream_spawn(self, &(troupe_spawn_opts){.kind = where->kind}, serve, &peer, NULL, 0, NULL) != TROUPE_OK)
                break; /* the system is closing */
        }
    }
    troupe_listener_close(&door);
}

static int is_its_own_client(troupe_self *me, const char *url) {
    static const char *const words[] = {"hello", "what is up?"};
    troupe_stream *s;
    char answer[64];
    size_t n;
    if (troupe_stream_connect(me, url, 10000, &s) != TROUPE_OK)
        return 1;
    int failed = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words && !failed; i++) {
        failed = troupe_stream_write(me, s, words[i], strlen(words[i]), 10000) != TROUPE_OK ||
                 troupe_stream_read(me, s, answer, sizeof answer, 10000, &n) != TROUPE_OK;
        if (!failed)
            printf("%s -> %.*s\n", words[i], (int)n, answer);
    }
    troupe_stream_close(&s);
    return failed;
}

/* Starts who listens; where->url then has the port that it got. */
static bool start(troupe_self *me, struct place *where) {
    troupe_ref listener;
    troupe_msg *m;
    where->to = troupe_self_ref(me);
    if (troupe_spawn(me, NULL, listens, where, sizeof *where, &listener) != TROUPE_OK ||
        troupe_monitor(me, listener, NULL) != TROUPE_OK || troupe_receive(me, TROUPE_FOREVER, &m) != TROUPE_OK)
        return false;
    troupe_value v = troupe_msg_value(m);
    bool listening = v.kind == TROUPE_TEXT; /* and not a DOWN */
    if (listening)
        snprintf(where->url, sizeof where->url, "%.*s", (int)v.size, (const char *)v.data);
    troupe_msg_free(&m);
    return listening;
}

static int serve_until_told(troupe_system *sys, const struct place *where) {
    printf("listening at %s\n", where->url);
    fflush(stdout);
    return troupe_system_run(sys, 100) == TROUPE_DIED; /* until SIGTERM: connections that are open then are cut */
}

const char *argp_program_version = "echo-server " TROUPE_VERSION;

/* True: it is to serve others. */
static bool read_arguments(int argc, char **argv, struct place *where) {
    static const struct argp argp = {.args_doc = "[URL [coroutine|thread]]",
                                     .doc =
                                         "Answers in upper case. Without a URL (tcp://127.0.0.1:8088) it is its own client."};
    int at;
    argp_err_exit_status = EX_USAGE;
    argp_parse(&argp, argc, argv, 0, &at, NULL);
    snprintf(where->url, sizeof where->url, "%s", at < argc ? argv[at] : "tcp://127.0.0.1:0");
    if (at + 1 < argc &&
        (at + 2 < argc || troupe_kind_parse(argv[at + 1], &where->kind) != TROUPE_OK || where->kind == TROUPE_PROCESS)) {
        fprintf(stderr, "echo-server: %s: coroutine or thread is wanted; see echo-server --help\n", argv[argc - 1]);
        exit(EX_USAGE);
    }
    return at < argc;
}

int main(int argc, char **argv) {
    struct place where = {.kind = TROUPE_COROUTINE};
    troupe_system *sys;
    bool serves = read_arguments(argc, argv, &where);
    if (troupe_system_open(&sys, NULL) != TROUPE_OK)
        return EXIT_FAILURE;
    int code = EX_UNAVAILABLE;
    if (start(troupe_system_self(sys), &where))
        code = serves ? serve_until_told(sys, &where) : is_its_own_client(troupe_system_self(sys), where.url);
    troupe_system_close(&sys);
    return code;
}
