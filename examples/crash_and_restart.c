/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A service that crashes and goes on. "divider" runs in a process of its own, under a supervisor, and has a fault: asked
 * to divide by zero it reads through a NULL pointer. Whoever asked is told that it died, whoever watches it is told of
 * what, and the next one who asks finds a new divider under the old name. "counter", beside it, has not noticed. */
#include <signal.h>
#include <stdio.h>
#include <troupe/monitor.h>
#include <troupe/names.h>
#include <troupe/supervisor.h>

static void divider(troupe_self *self, void *arg) {
    (void)arg;
    troupe_msg *msg;
    while (troupe_receive(self, TROUPE_FOREVER, &msg) == TROUPE_OK) {
        static const int64_t dividend = 84;
        const int64_t *volatile numbers[2] = {&dividend, NULL};
        int64_t by = 0;
        (void)!troupe_msg_int(msg, &by);
        (void)!troupe_reply(self, msg, troupe_int(by ? dividend / by : *numbers[1]));
        troupe_msg_free(&msg);
    }
}

static void counter(troupe_self *self, void *arg) {
    (void)arg;
    troupe_msg *msg;
    int64_t count = 0;
    while (troupe_receive(self, TROUPE_FOREVER, &msg) == TROUPE_OK) {
        (void)!troupe_reply(self, msg, troupe_int(++count));
        troupe_msg_free(&msg);
    }
}

/* Whoever has the name now; between two lives nobody has it. */
static troupe_ref find(troupe_self *me, const char *name) {
    troupe_ref ref = {0};
    while (troupe_whereis(me, name, &ref) == TROUPE_NOT_FOUND && troupe_sleep(me, 1) == TROUPE_OK)
        ;
    return ref;
}

static void ask(troupe_self *me, const char *name, int64_t question) {
    troupe_msg *answer;
    int64_t n = 0;
    troupe_status st = troupe_ask(me, find(me, name), troupe_int(question), 5000, &answer);
    if (st != TROUPE_OK) {
        printf("%s %lld: %s\n", name, (long long)question, troupe_status_text(st));
        return;
    }
    if (troupe_msg_int(answer, &n))
        printf("%s %lld: %lld\n", name, (long long)question, (long long)n);
    troupe_msg_free(&answer);
}

static void wait_for_the_news(troupe_self *me) {
    troupe_msg *msg;
    troupe_down down;
    if (troupe_receive(me, 5000, &msg) != TROUPE_OK)
        return;
    if (troupe_msg_down(msg, &down))
        printf("the divider has died of %s\n", down.exit.code == SIGSEGV ? "SIGSEGV" : down.exit.text);
    troupe_msg_free(&msg);
}

int main(void) {
    troupe_system *sys;
    const troupe_child children[] = {
        {.opts = {.name = "divider", .kind = TROUPE_PROCESS, .restart = TROUPE_PERMANENT, .registered = true}, .body = divider},
        {.opts = {.name = "counter", .restart = TROUPE_PERMANENT, .registered = true}, .body = counter},
    };
    const troupe_supervisor_opts opts = {.strategy = TROUPE_ONE_FOR_ONE, .children = children, .count = 2};
    if (troupe_system_open(&sys, NULL) != TROUPE_OK)
        return 1;
    troupe_self *me = troupe_system_self(sys);
    if (troupe_supervise(me, NULL, &opts, NULL) != TROUPE_OK || troupe_monitor(me, find(me, "divider"), NULL) != TROUPE_OK)
        return 1;
    ask(me, "divider", 2);
    ask(me, "counter", 0);
    ask(me, "divider", 0);
    wait_for_the_news(me);
    ask(me, "divider", 4);
    ask(me, "counter", 0);
    troupe_system_close(&sys);
    return 0;
}
