/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A program of somebody else's, which has only what is installed: it embeds a broker, runs an actor that serves a
 * topic, and asks it through the client. So it links something of every folder. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <troupe/actor.h>
#include <troupe/broker.h>
#include <troupe/client.h>
#include <troupe/version.h>

static int64_t fib(int64_t n) {
    return n <= 2 ? 1 : fib(n - 1) + fib(n - 2);
}

static void worker(troupe_self *self, void *arg) {
    (void)arg;
    troupe_msg *msg;
    if (troupe_subscribe(self, "fib", &(troupe_sub_opts){.group = "workers", .credit = 1}) != TROUPE_OK)
        return;
    while (troupe_receive(self, TROUPE_FOREVER, &msg) == TROUPE_OK) {
        int64_t n;
        if (!troupe_msg_int(msg, &n) || troupe_reply(self, msg, troupe_int(fib(n))) != TROUPE_OK)
            fprintf(stderr, "the request could not be answered\n");
        troupe_msg_free(&msg);
    }
}

static void *route(void *broker) {
    if (troupe_broker_run(broker) != TROUPE_OK)
        fprintf(stderr, "the broker did not drain\n");
    return NULL;
}

/* Nobody listens until the worker's subscription is with the broker: NO_RESPONDERS says "not yet". */
static int ask(const char *url) {
    troupe_client *client;
    troupe_msg *answer = NULL;
    if (troupe_client_open(&client, &(troupe_client_opts){.url = url}) != TROUPE_OK)
        return 1;
    troupe_status st;
    int tries = 1000;
    do
        st = troupe_client_request(client, "fib", troupe_int(30), 5000, &answer);
    while (st == TROUPE_NO_RESPONDERS && --tries && !nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL));
    int64_t n = 0;
    if (st == TROUPE_OK && troupe_msg_int(answer, &n))
        printf("answer %" PRId64 "\n", n);
    else
        fprintf(stderr, "request: %s\n", troupe_status_name(st));
    troupe_msg_free(&answer);
    troupe_client_close(&client);
    return n == 832040 ? 0 : 1;
}

static int with_actor(const char *url) {
    troupe_system *sys;
    if (troupe_system_open(&sys, &(troupe_system_opts){.broker = url, .no_processes = true}) != TROUPE_OK)
        return 1;
    int rc = 1;
    if (troupe_spawn(troupe_system_self(sys), &(troupe_spawn_opts){.kind = TROUPE_COROUTINE}, worker, NULL, 0, NULL) ==
        TROUPE_OK)
        rc = ask(url);
    troupe_system_close(&sys);
    return rc;
}

int main(void) {
    troupe_broker *broker;
    const char *why = "no memory";
    if (troupe_broker_new(&broker, NULL) != TROUPE_OK || troupe_broker_listen(broker, "tcp://127.0.0.1:0", &why) != TROUPE_OK) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    pthread_t thread;
    if (pthread_create(&thread, NULL, route, broker))
        return 1;
    int rc = with_actor(troupe_broker_address(broker, 0, NULL));
    troupe_broker_stop(broker);
    pthread_join(thread, NULL);
    troupe_broker_free(&broker);
    return rc;
}
