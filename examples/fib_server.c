/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * fib-server: the classic comparison of servers in one file. What reads a number and answers its Fibonacci number is the same
 * function each time; who runs it is one word on the command line:
 *
 *     fib-server tcp://127.0.0.1:25000 one            one client after the other: the second waits until the first has left
 *     fib-server tcp://127.0.0.1:25000 thread         a thread for each connection
 *     fib-server tcp://127.0.0.1:25000 process        a coroutine for each, which asks a pool of processes
 *     fib-server tcp://127.0.0.1:25000 coroutine      a coroutine for each, which computes itself
 *
 * then: echo 20 | nc -N 127.0.0.1 25000               6765
 *
 * What comes in one piece is one request, as the classic clients send it. */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <troupe/monitor.h>
#include <troupe/pool.h>
#include <troupe/stream.h>
#include <troupe/version.h>

enum way { ONE, THREAD, PROCESS, COROUTINE, WAYS };
static const char *const ways[] = {"one", "thread", "process", "coroutine"};

struct server {
    char url[256];
    enum way way;
    troupe_pool pool; /* of PROCESS */
    troupe_ref to;    /* is told where it listens */
};

enum { LARGEST = 93 }; /* in 64 bits */

static uint64_t fib(int64_t n) {
    return n <= 2 ? 1 : fib(n - 1) + fib(n - 2);
}

/* In a process of the pool. */
static void computes(troupe_self *self, troupe_msg *task, void *arg) {
    int64_t n;
    (void)arg;
    if (troupe_msg_int(task, &n) && troupe_reply(self, task, troupe_uint(fib(n))) != TROUPE_OK)
        fprintf(stderr, "fib-server: no answer could be given\n");
}

static bool compute(troupe_self *self, const struct server *s, int64_t n, uint64_t *out) {
    troupe_msg *answer;
    if (s->way != PROCESS) {
        *out = fib(n);
        return true;
    }
    if (troupe_ask(self, s->pool.ref, troupe_int(n), TROUPE_FOREVER, &answer) != TROUPE_OK)
        return false;
    troupe_value v = troupe_msg_value(answer);
    bool ok = !troupe_msg_error(answer) && (v.kind == TROUPE_UINT || v.kind == TROUPE_INT);
    *out = v.u; /* not negative, so the same in both */
    troupe_msg_free(&answer);
    return ok;
}

/* One connection, whoever runs it. */
static void serve(troupe_self *self, troupe_stream *peer, void *arg) {
    const struct server *s = arg;
    char text[101];
    size_t n;
    uint64_t f;
    while (troupe_stream_read(self, peer, text, sizeof text - 1, TROUPE_FOREVER, &n) == TROUPE_OK) {
        text[n] = 0;
        char *end;
        int64_t number = strtoll(text, &end, 10);
        if (end == text || number > LARGEST)
            n = (size_t)snprintf(text, sizeof text, "ERR a number up to %d is wanted\n", LARGEST);
        else if (compute(self, s, number, &f))
            n = (size_t)snprintf(text, sizeof text, "%" PRIu64 "\n", f);
        else
            return;
        if (troupe_stream_write(self, peer, text, n, 10000) != TROUPE_OK)
            return;
    }
}

static troupe_status welcome(troupe_self *self, struct server *s, troupe_stream **peer) {
    if (s->way == ONE) {
        serve(self, *peer, s);
        troupe_stream_close(peer);
        return TROUPE_OK;
    }
    troupe_spawn_opts opts = {.kind = s->way == THREAD ? TROUPE_THREAD : TROUPE_COROUTINE};
    return troupe_stream_spawn(self, &opts, serve, peer, s, sizeof *s, NULL);
}

/* Accepts until it is killed. Where it can't listen it ends, and main, which watches it, hears of that. */
static void listens(troupe_self *self, void *arg) {
    struct server *s = arg;
    troupe_listener *door;
    troupe_stream *peer;
    troupe_status st = troupe_listener_open(self, s->url, &door);
    if (st != TROUPE_OK) {
        fprintf(stderr, "fib-server: %s: %s\n", s->url, troupe_status_text(st));
        return;
    }
    st = troupe_send(self, s->to, troupe_text(troupe_listener_url(door)));
    while (st == TROUPE_OK && (st = troupe_listener_accept(self, door, TROUPE_FOREVER, &peer)) == TROUPE_OK) {
        st = welcome(self, s, &peer);
        troupe_stream_close(&peer);
    }
    troupe_listener_close(&door);
}

static bool start(troupe_self *me, struct server *s) {
    troupe_msg *where;
    if (s->way == PROCESS &&
        troupe_pool_open(me, &(troupe_pool_opts){.kind = TROUPE_PROCESS}, computes, NULL, 0, &s->pool) != TROUPE_OK)
        return false;
    s->to = troupe_self_ref(me);
    /* `one` is a thread: nobody else needs it, and it computes itself. */
    troupe_spawn_opts opts = {.kind = s->way == ONE ? TROUPE_THREAD : TROUPE_COROUTINE};
    troupe_ref listener;
    if (troupe_spawn(me, &opts, listens, s, sizeof *s, &listener) != TROUPE_OK ||
        troupe_monitor(me, listener, NULL) != TROUPE_OK || troupe_receive(me, TROUPE_FOREVER, &where) != TROUPE_OK)
        return false;
    troupe_value v = troupe_msg_value(where);
    bool listening = v.kind == TROUPE_TEXT; /* and not a DOWN */
    if (listening)
        printf("listening at %.*s\n", (int)v.size, (const char *)v.data);
    fflush(stdout);
    troupe_msg_free(&where);
    return listening;
}

const char *argp_program_version = "fib-server " TROUPE_VERSION;

static void read_arguments(int argc, char **argv, struct server *s) {
    static const struct argp argp = {.args_doc = "[URL [one|thread|process|coroutine]]",
                                     .doc = "Answers Fibonacci numbers at tcp://127.0.0.1:25000, or where it is told to."};
    int at;
    argp_err_exit_status = EX_USAGE;
    argp_parse(&argp, argc, argv, 0, &at, NULL);
    snprintf(s->url, sizeof s->url, "%s", at < argc ? argv[at] : "tcp://127.0.0.1:25000");
    if (++at >= argc)
        return;
    for (s->way = ONE; s->way < WAYS && strcmp(argv[at], ways[s->way]) != 0; s->way++)
        ;
    if (s->way == WAYS || at + 1 < argc) {
        fprintf(stderr, "fib-server: %s: one, thread, process or coroutine is wanted; see fib-server --help\n", argv[argc - 1]);
        exit(EX_USAGE);
    }
}

int main(int argc, char **argv) {
    struct server s = {.way = COROUTINE};
    troupe_system *sys;
    read_arguments(argc, argv, &s);
    if (troupe_system_open(&sys, NULL) != TROUPE_OK)
        return EXIT_FAILURE;
    int code = EX_UNAVAILABLE;
    if (start(troupe_system_self(sys), &s)) {
        troupe_status st = troupe_system_run(sys, 100); /* until SIGTERM */
        code = st == TROUPE_DIED ? EXIT_FAILURE : EXIT_SUCCESS;
        if (st == TROUPE_TIMEOUT)
            quick_exit(code); /* somebody may compute for hours yet, and a close would wait for that */
    }
    troupe_system_close(&sys);
    return code;
}
