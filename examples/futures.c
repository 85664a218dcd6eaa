/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * futures: to ask and wait, to ask and come back for the answer, to be called when it is there. The same three questions
 * each time, to three process actors. And to wait for several things at once: answers, and the word that they are not wanted
 * any more. */
#include <inttypes.h>
#include <stdio.h>
#include <troupe/event.h>

enum { N = 3 };

static void squares(troupe_self *self, void *arg) {
    (void)arg;
    troupe_msg *msg;
    int64_t n;
    while (troupe_receive(self, TROUPE_FOREVER, &msg) == TROUPE_OK) {
        if (troupe_msg_int(msg, &n) && troupe_reply(self, msg, troupe_int(n * n)) != TROUPE_OK)
            fprintf(stderr, "nobody waits for the answer\n");
        troupe_msg_free(&msg);
    }
}

static void print(const char *how, troupe_msg *answer) {
    int64_t n;
    if (answer && troupe_msg_int(answer, &n))
        printf("%s: %" PRId64 "\n", how, n);
    troupe_msg_free(&answer);
}

/* Synchronous: one after the other. */
static int in_turn(troupe_self *me, const troupe_ref *who) {
    troupe_msg *answer;
    for (int i = 0; i < N; i++) {
        if (troupe_ask(me, who[i], troupe_int(i + 1), 5000, &answer) != TROUPE_OK)
            return 1;
        print("asked", answer);
    }
    return 0;
}

/* Asynchronous: all three compute while this one could do something else. */
static int at_once(troupe_self *me, const troupe_ref *who) {
    troupe_future *f[N] = {NULL};
    troupe_msg *answer;
    size_t first;
    int failed = 0;
    for (int i = 0; i < N; i++)
        failed |= troupe_ask_async(me, who[i], troupe_int(i + 11), &f[i]) != TROUPE_OK;
    failed |= troupe_future_any(me, f, N, 5000, &first) != TROUPE_OK; /* the first that is there, whichever */
    failed |= troupe_future_all(me, f, N, 5000) != TROUPE_OK;
    for (int i = 0; i < N && !failed; i++) {
        failed |= !troupe_future_ready(me, f[i]) || troupe_future_await(me, &f[i], 0, &answer) != TROUPE_OK;
        if (!failed)
            print("awaited", answer);
    }
    for (int i = 0; i < N; i++)
        troupe_future_free(&f[i]);
    return failed;
}

static void when_there(troupe_self *self, troupe_status st, troupe_msg *answer, void *arg) {
    int *left = arg;
    (void)self;
    (*left)--;
    if (st == TROUPE_OK)
        print("called", answer);
}

/* By callback: from inside this actor's own receive, so nothing runs beside it. */
static int by_callback(troupe_self *me, const troupe_ref *who) {
    troupe_future *f;
    troupe_msg *other;
    int left = N;
    for (int i = 0; i < N; i++) {
        if (troupe_ask_async(me, who[i], troupe_int(21), &f) != TROUPE_OK)
            return 1;
        troupe_future_then(&f, when_there, &left);
    }
    while (left > 0 && troupe_receive(me, 10, &other) != TROUPE_CLOSED)
        ;
    return left > 0;
}

static void sleeps(troupe_self *self, void *arg) {
    (void)arg;
    (void)!troupe_sleep(self, 3600000);
}

static void loses_patience(troupe_self *self, void *arg) {
    if (troupe_sleep(self, 10) == TROUPE_OK && troupe_event_set(self, *(troupe_event *)arg) != TROUPE_OK)
        fprintf(stderr, "nobody waits any more\n");
}

/* An answer, or the word that it isn't wanted any more, whichever is first. */
static int until_cancelled(troupe_self *me) {
    troupe_future *f[2] = {NULL, NULL};
    troupe_event cancel;
    troupe_ref sleeper;
    size_t first = 0;
    int failed = troupe_event_open(me, "cancel", &cancel) != TROUPE_OK ||
                 troupe_spawn(me, NULL, sleeps, NULL, 0, &sleeper) != TROUPE_OK ||
                 troupe_spawn(me, NULL, loses_patience, &cancel, sizeof cancel, NULL) != TROUPE_OK ||
                 troupe_ask_async(me, sleeper, troupe_int(1), &f[0]) != TROUPE_OK ||
                 troupe_event_wait_async(me, cancel, &f[1]) != TROUPE_OK ||
                 troupe_future_any(me, f, 2, 5000, &first) != TROUPE_OK;
    printf("asked who sleeps: %s\n", first == 1 ? "cancelled" : "answered");
    troupe_future_free(&f[0]);
    troupe_future_free(&f[1]);
    return failed;
}

int main(void) {
    troupe_system *sys;
    troupe_ref who[N];
    if (troupe_system_open(&sys, NULL) != TROUPE_OK)
        return 1;
    troupe_self *me = troupe_system_self(sys);
    for (int i = 0; i < N; i++) {
        if (troupe_spawn(me, &(troupe_spawn_opts){.kind = TROUPE_PROCESS}, squares, NULL, 0, &who[i]) != TROUPE_OK)
            return 1;
    }
    int failed = in_turn(me, who) || at_once(me, who) || by_callback(me, who) || until_cancelled(me);
    troupe_system_close(&sys);
    return failed;
}
