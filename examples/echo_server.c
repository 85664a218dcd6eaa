/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * echo-server: the classic server of the selectors chapter. Each connection is a coroutine that reads, answers in upper
 * case, and parks while there is nothing to read; a connection that breaks ends that coroutine alone. There is no callback
 * and no table of connections.
 *
 *     echo-server tcp://127.0.0.1:8088      then: echo hello | nc -N 127.0.0.1 8088      HELLO_SB
 *
 * A word behind that says who serves: coroutine, thread (one for each connection), one (the second client waits until the first
 * has left), or poll (one actor looks at all connections again and again and never waits: a processor is busy with it although
 * there is nothing to do, which is why nobody should). Without an argument it takes any port and is its own client. */
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

enum way { COROUTINE, THREAD, ONE, POLL, WAYS };
static const char *const ways[] = {"coroutine", "thread", "one", "poll"};

/* Reads once, and answers what has come. */
static troupe_status answer(troupe_self *self, troupe_stream *peer, int64_t timeout_ms) {
    char buf[1024 + sizeof suffix];
    size_t n;
    troupe_status st = troupe_stream_read(self, peer, buf, 1024, timeout_ms, &n);
    if (st != TROUPE_OK)
        return st;
    for (size_t i = 0; i < n; i++)
        buf[i] = (char)toupper((unsigned char)buf[i]);
    memcpy(buf + n, suffix, sizeof suffix - 1);
    return troupe_stream_write(self, peer, buf, n + sizeof suffix - 1, 10000);
}

static void serve(troupe_self *self, troupe_stream *peer, void *arg) {
    (void)arg;
    while (answer(self, peer, TROUPE_FOREVER) == TROUPE_OK)
        ;
}

/* All of them, and who comes, without ever waiting. More than that wait at the door. */
static void serve_by_polling(troupe_self *self, troupe_listener *door) {
    troupe_stream *peers[64];
    size_t n = 0;
    while (troupe_sleep(self, 0) == TROUPE_OK) { /* until it is killed */
        if (n < sizeof peers / sizeof *peers && troupe_listener_accept(self, door, 0, &peers[n]) == TROUPE_OK)
            n++;
        for (size_t i = n; i-- > 0;) {
            troupe_status st = answer(self, peers[i], 0);
            if (st == TROUPE_OK || st == TROUPE_TIMEOUT)
                continue;
            troupe_stream_close(&peers[i]);
            peers[i] = peers[--n];
        }
    }
    while (n > 0)
        troupe_stream_close(&peers[--n]);
}

struct place {
    troupe_ref to; /* who is told where it is */
    enum way way;
    char url[256];
};

static troupe_status welcome(troupe_self *self, enum way way, troupe_stream **peer) {
    if (way != ONE)
        return troupe_stream_spawn(self, &(troupe_spawn_opts){.kind = way == THREAD ? TROUPE_THREAD : TROUPE_COROUTINE}, serve,
                                   peer, NULL, 0, NULL);
    serve(self, *peer, NULL);
    troupe_stream_close(peer);
    return TROUPE_OK;
}

static void serve_all(troupe_self *self, enum way way, troupe_listener *door) {
    troupe_stream *peer;
    while (troupe_listener_accept(self, door, TROUPE_FOREVER, &peer) == TROUPE_OK && welcome(self, way, &peer) == TROUPE_OK)
        ;
}

/* Tells its address to who spawned it, then accepts until it is killed. Where it can't listen it ends, which main hears of. */
static void listens(troupe_self *self, void *arg) {
    const struct place *where = arg;
    troupe_listener *door;
    troupe_status st = troupe_listener_open(self, where->url, &door);
    if (st != TROUPE_OK) {
        fprintf(stderr, "echo-server: %s: %s\n", where->url, troupe_status_text(st));
        return;
    }
    st = troupe_send(self, where->to, troupe_text(troupe_listener_url(door)));
    if (st == TROUPE_OK && where->way == POLL)
        serve_by_polling(self, door);
    else if (st == TROUPE_OK)
        serve_all(self, where->way, door);
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
    /* Who never waits, or computes itself, has a thread. */
    troupe_spawn_opts opts = {.kind = where->way == POLL || where->way == ONE ? TROUPE_THREAD : TROUPE_COROUTINE};
    if (troupe_spawn(me, &opts, listens, where, sizeof *where, &listener) != TROUPE_OK ||
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
    static const struct argp argp = {.args_doc = "[URL [coroutine|thread|one|poll]]",
                                     .doc =
                                         "Answers in upper case. Without a URL (tcp://127.0.0.1:8088) it is its own client."};
    int at;
    argp_err_exit_status = EX_USAGE;
    argp_parse(&argp, argc, argv, 0, &at, NULL);
    snprintf(where->url, sizeof where->url, "%s", at < argc ? argv[at] : "tcp://127.0.0.1:0");
    if (at + 1 >= argc)
        return at < argc;
    while (where->way < WAYS && strcmp(argv[at + 1], ways[where->way]) != 0)
        where->way++;
    if (where->way == WAYS || at + 2 < argc) {
        fprintf(stderr, "echo-server: %s: coroutine, thread, one or poll is wanted; see echo-server --help\n", argv[argc - 1]);
        exit(EX_USAGE);
    }
    return true;
}

int main(int argc, char **argv) {
    struct place where = {.way = COROUTINE};
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
