/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * remote: one actor, many programs. With a brokerd running, on this host or another (TROUPE_BROKER):
 *
 *     remote serve shop &                 joins as node shop, with an actor of the name counter
 *     remote add counter@shop 5           asks it from another program; prints what the counter says
 *     remote watch counter@shop           waits for its end, and says how it was
 *     troupe actors                       what the actors of all nodes are doing */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <troupe/log.h>
#include <troupe/monitor.h>
#include <troupe/names.h>
#include <troupe/node.h>

enum { PATIENCE_MS = 5000 };

/* What is asked of it is added; the answer is the sum. */
static void counter(troupe_self *self, void *arg) {
    int64_t sum = 0, n;
    troupe_msg *m;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        if (troupe_msg_int(m, &n))
            sum += n;
        (void)!troupe_reply(self, m, troupe_int(sum)); /* nobody waits, for a plain message */
        troupe_msg_free(&m);
    }
}

static troupe_status serve(troupe_system *sys, troupe_self *me, const char *node) {
    troupe_ref ref;
    troupe_spawn_opts opts = {.kind = TROUPE_PROCESS, .name = "counter"};
    troupe_status st = troupe_spawn(me, &opts, counter, NULL, 0, &ref);
    if (st == TROUPE_OK)
        st = troupe_register(me, "counter", ref);
    if (st == TROUPE_OK)
        st = troupe_node_join(me, node, PATIENCE_MS);
    if (st != TROUPE_OK)
        return st;
    printf("counter@%s is there\n", node);
    (void)fflush(stdout);
    return troupe_system_run(sys, 0); /* until SIGTERM, or the counter's end */
}

static troupe_status add(troupe_self *me, troupe_ref ref, int64_t n) {
    troupe_msg *answer;
    int64_t sum = 0;
    troupe_status st = troupe_ask(me, ref, troupe_int(n), PATIENCE_MS, &answer);
    if (st != TROUPE_OK)
        return st;
    (void)troupe_msg_int(answer, &sum);
    printf("%lld\n", (long long)sum);
    troupe_msg_free(&answer);
    return TROUPE_OK;
}

static troupe_status watch(troupe_self *me, troupe_ref ref, const char *address) {
    troupe_down down;
    troupe_msg *m;
    troupe_status st = troupe_monitor(me, ref, NULL);
    if (st != TROUPE_OK)
        return st;
    printf("watching %s\n", address);
    (void)fflush(stdout);
    st = troupe_receive(me, TROUPE_FOREVER, &m);
    if (st == TROUPE_OK && troupe_msg_down(m, &down))
        printf("%s has ended: %s\n", address, down.exit.text);
    troupe_msg_free(&m);
    return st;
}

static troupe_status run(troupe_system *sys, int argc, char **argv) {
    troupe_self *me = troupe_system_self(sys);
    troupe_ref ref;
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        return serve(sys, me, argv[2]);
    troupe_status st = troupe_lookup(me, argv[2], PATIENCE_MS, &ref);
    if (st != TROUPE_OK)
        return st;
    return strcmp(argv[1], "add") == 0 ? add(me, ref, strtoll(argv[3], NULL, 10)) : watch(me, ref, argv[2]);
}

static int is(int argc, char **argv, const char *what, int arguments) {
    return argc == arguments && strcmp(argv[1], what) == 0;
}

int main(int argc, char **argv) {
    troupe_system *sys;
    if (!is(argc, argv, "serve", 3) && !is(argc, argv, "add", 4) && !is(argc, argv, "watch", 3)) {
        (void)fprintf(stderr, "usage: remote serve NODE | remote add NAME@NODE NUMBER | remote watch NAME@NODE\n");
        return EX_USAGE;
    }
    troupe_log_set(troupe_log_stderr, NULL, TROUPE_LOG_WARN);
    troupe_status st = troupe_system_open(&sys, NULL);
    if (st == TROUPE_OK) {
        st = run(sys, argc, argv);
        troupe_system_close(&sys);
    }
    if (st != TROUPE_OK)
        (void)fprintf(stderr, "remote: %s: %s\n", argv[2],
                      st == TROUPE_NO_RESPONDERS ? "there is no such node" : troupe_status_text(st));
    return st == TROUPE_OK ? EX_OK : EX_UNAVAILABLE;
}
