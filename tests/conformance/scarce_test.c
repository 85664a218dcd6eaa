/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Memory that runs out in the middle: every scene below is played again and again, and each time the next allocation of it
 * fails, whoever makes it: the caller, the actor that answers, the scheduler. The caller is told, nobody waits for ever, what
 * is there goes on, and when the system has been closed nothing is left. A system for tests has one thread and one order, so
 * that the n-th allocation is the same each time; each play is on a thread of its own, whose lists of blocks are empty.
 *
 * What such a system has not is tried by scarce_outside_test (broker, nodes, streams, programs, threads, processes). */
#include <pthread.h>
#include <troupe/bounded.h>
#include <troupe/dead_letter.h>
#include <troupe/event.h>
#include <troupe/inspect.h>
#include <troupe/monitor.h>
#include <troupe/names.h>
#include <troupe/own.h>
#include <troupe/pool.h>
#include <troupe/supervisor.h>
#include <troupe/test.h>
#include <troupe/timer.h>

#include "tests/support/actors.h"
#include "tests/support/echo.h"
#include "tests/support/faults.h"
#include "tests/support/scene.h"
#include "transports/alloc.h"

enum { SOON_MS = 60000 }; /* of made time: longer than anything here takes */

/* --- who plays --- */

static void squares(troupe_self *self, troupe_msg *task, void *arg) {
    int64_t n = 0;
    (void)arg;
    (void)troupe_msg_int(task, &n);
    if (troupe_reply(self, task, troupe_int(n * n)) == TROUPE_NO_MEMORY)
        (void)!troupe_reply_error(self, task, "NO_MEMORY", "");
}

/* An answer may itself say that there was no memory: for its text (an error), or for anything (UNANSWERED). */
static troupe_status read_answer(troupe_msg **m) {
    troupe_status st = troupe_msg_error(*m) ? TROUPE_NO_MEMORY : TROUPE_OK;
    troupe_msg_free(m);
    return st;
}

/* --- scenes --- */

static troupe_status questions(void) {
    troupe_ref ref;
    troupe_msg *answer;
    TRY(troupe_spawn(me, &(troupe_spawn_opts){.registered = true, .name = "echo", .link = true}, echoes, large, sizeof large,
                     &ref));
    TRY(troupe_ask(me, ref, troupe_bytes(large, sizeof large), SOON_MS, &answer));
    TRY(read_answer(&answer));
    TRY(troupe_ask(me, ref, troupe_int(1), SOON_MS, &answer));
    TRY(read_answer(&answer));
    TRY(troupe_close(me, ref));
    return troupe_join(me, ref, SOON_MS, NULL);
}

static troupe_status handlers(void) {
    troupe_ref ref[3];
    troupe_msg *answer;
    for (int i = 0; i < 3; i++)
        TRY(troupe_spawn_handler(me, &(troupe_spawn_opts){.kind = (troupe_kind)i}, &echoing, large, sizeof large, &ref[i]));
    for (int i = 0; i < 3; i++) {
        TRY(troupe_ask(me, ref[i], troupe_bytes(large, sizeof large), SOON_MS, &answer));
        TRY(read_answer(&answer));
        TRY(troupe_close(me, ref[i]));
        TRY(troupe_join(me, ref[i], SOON_MS, NULL));
    }
    return TROUPE_OK;
}

static troupe_status letters(void) {
    troupe_msg *m;
    TRY(troupe_send(me, troupe_self_ref(me), troupe_bytes(large, sizeof large)));
    TRY(troupe_try_send(me, troupe_self_ref(me), troupe_text("short")));
    for (int i = 0; i < 2; i++) {
        TRY(troupe_receive(me, 0, &m));
        troupe_msg_free(&m);
    }
    return TROUPE_OK;
}

static void counts(troupe_self *self, troupe_status st, troupe_msg *answer, void *arg) {
    (void)self;
    *(troupe_status *)arg = st == TROUPE_OK ? read_answer(&answer) : st;
}

static troupe_status call_back(troupe_future **f) {
    troupe_status st = TROUPE_AGAIN;
    troupe_msg *m;
    troupe_future_then(f, counts, &st);
    while (st == TROUPE_AGAIN && troupe_receive(me, 10, &m) == TROUPE_OK)
        troupe_msg_free(&m);
    return st;
}

static troupe_status ask_all(troupe_ref ref, troupe_future **f) {
    troupe_msg *answer;
    size_t which;
    for (int i = 0; i < 4; i++)
        TRY(troupe_ask_async(me, ref, troupe_bytes(large, sizeof large), &f[i]));
    TRY(troupe_future_any(me, f, 4, SOON_MS, &which));
    TRY(troupe_future_all(me, f, 4, SOON_MS));
    for (int i = 0; i < 2; i++) {
        TRY(troupe_future_await(me, &f[i], 0, &answer));
        TRY(read_answer(&answer));
    }
    return call_back(&f[2]);
}

static troupe_status futures(void) {
    troupe_future *f[4] = {NULL};
    troupe_ref ref;
    TRY(troupe_spawn(me, NULL, echoes, NULL, 0, &ref));
    troupe_status st = ask_all(ref, f);
    for (int i = 0; i < 4; i++)
        troupe_future_free(&f[i]);
    return st;
}

static void pops(troupe_self *self, void *arg) {
    const troupe_queue *q = arg;
    troupe_msg *m;
    for (troupe_status st = TROUPE_OK; st == TROUPE_OK || st == TROUPE_NO_MEMORY;) {
        st = troupe_queue_pop(self, *q, TROUPE_FOREVER, &m);
        if (st == TROUPE_OK)
            troupe_msg_free(&m);
    }
}

static troupe_status queues(void) {
    troupe_queue q;
    troupe_msg *m;
    size_t n;
    TRY(troupe_queue_open(me, &(troupe_queue_bounds){.name = "queue", .messages = 2}, &q));
    TRY(troupe_queue_push(me, q, troupe_bytes(large, sizeof large), 0));
    TRY(troupe_queue_push(me, q, troupe_int(1), 0));
    TRY(troupe_queue_length(me, q, &n));
    TRY(troupe_queue_pop(me, q, 0, &m));
    troupe_msg_free(&m);
    TRY(troupe_spawn(me, NULL, pops, &q, sizeof q, NULL));
    for (int i = 0; i < 4; i++) /* waits for room */
        TRY(troupe_queue_push(me, q, troupe_bytes(large, sizeof large), SOON_MS));
    return troupe_close(me, q.ref);
}

static void sets(troupe_self *self, void *arg) {
    (void)!troupe_event_set(self, *(const troupe_event *)arg);
}

static troupe_status events(void) {
    troupe_event e;
    TRY(troupe_event_open(me, "event", &e));
    TRY(troupe_event_set(me, e));
    TRY(troupe_event_wait(me, e, 0));
    TRY(troupe_event_clear(me, e));
    TRY(troupe_spawn(me, NULL, sets, &e, sizeof e, NULL));
    /* The one who sets it may have been told that there is no memory for it. */
    troupe_status st = troupe_event_wait(me, e, SOON_MS);
    return st == TROUPE_TIMEOUT ? TROUPE_NO_MEMORY : st;
}

static troupe_status use_pool(troupe_pool p, troupe_future **f) {
    troupe_value values[5];
    troupe_msg *answers[5] = {NULL}, *answer;
    for (int i = 0; i < 5; i++)
        values[i] = troupe_int(i);
    TRY(troupe_pool_submit(me, p, troupe_int(7), SOON_MS, f));
    TRY(troupe_pool_submit(me, p, troupe_int(8), SOON_MS, NULL));
    TRY(troupe_future_await(me, f, SOON_MS, &answer));
    TRY(read_answer(&answer));
    troupe_status st = troupe_pool_map(me, p, values, 5, SOON_MS, answers);
    for (int i = 0; i < 5; i++) {
        if (answers[i] && read_answer(&answers[i]) != TROUPE_OK)
            st = TROUPE_NO_MEMORY;
    }
    return st;
}

static troupe_status pools(void) {
    troupe_pool p;
    troupe_future *f = NULL;
    TRY(troupe_pool_open(me, &(troupe_pool_opts){.workers = 2, .backlog = 2, .max_tasks = 2}, squares, large, sizeof large,
                         &p));
    troupe_status st = use_pool(p, &f);
    troupe_future_free(&f);
    if (st != TROUPE_OK)
        return st;
    TRY(troupe_pool_close(me, p));
    return troupe_pool_join(me, p, SOON_MS);
}

static void serves(troupe_self *self, void *arg) {
    (void)arg;
    if (troupe_subscribe(self, "local.service", NULL) == TROUPE_OK)
        echoes(self, NULL);
}

static troupe_status local_topics(void) {
    troupe_msg *m;
    TRY(troupe_subscribe(me, "local.news.*", &(troupe_sub_opts){.group = "readers"}));
    TRY(troupe_subscribe(me, "local.>", NULL));
    TRY(troupe_publish(me, "local.news.weather", troupe_bytes(large, sizeof large), 0));
    while (troupe_receive(me, 0, &m) == TROUPE_OK)
        troupe_msg_free(&m);
    TRY(troupe_unsubscribe(me, "local.>"));
    TRY(troupe_spawn(me, NULL, serves, NULL, 0, NULL));
    TRY(troupe_sleep(me, 10));
    troupe_status st = troupe_request(me, "local.service", troupe_bytes(large, sizeof large), SOON_MS, &m);
    return st == TROUPE_OK ? read_answer(&m) : st == TROUPE_NO_RESPONDERS ? TROUPE_NO_MEMORY : st;
}

static void dies(troupe_self *self, void *arg) {
    (void)arg;
    troupe_exit_with(self, 3, "on purpose");
}

/* A child that dies is started again, which may take a second try when there is no memory. */
static troupe_status supervisors(void) {
    static const troupe_child leaf = {
        .opts = {.name = "leaf", .restart = TROUPE_PERMANENT}, .body = echoes, .arg = large, .arg_size = sizeof large};
    const troupe_supervisor_opts below = {.children = &leaf, .count = 1};
    const troupe_child top[3] = {{.opts = {.name = "below"}, .supervisor = &below},
                                 {.opts = {.name = "handler"}, .handler = &echoing, .arg = large, .arg_size = sizeof large},
                                 {.opts = {.name = "mortal", .restart = TROUPE_TEMPORARY}, .body = dies}};
    troupe_ref sv, child;
    troupe_child_info info[5];
    size_t n;
    TRY(troupe_supervise(me, NULL, &(troupe_supervisor_opts){.children = top, .count = 3, .restarts = TROUPE_NO_LIMIT}, &sv));
    TRY(troupe_supervisor_add(me, sv, &leaf, &child));
    TRY(troupe_kill(me, child));
    TRY(troupe_sleep(me, 5000));
    TRY(troupe_supervisor_restart(me, sv, "leaf", &child));
    TRY(troupe_supervisor_children(me, sv, info, 5, &n));
    TRY(troupe_supervisor_remove(me, sv, "leaf"));
    TRY(troupe_close(me, sv));
    return troupe_join(me, sv, SOON_MS, NULL);
}

static troupe_status watches(void) {
    troupe_ref ref;
    troupe_watch w;
    troupe_msg *m;
    TRY(troupe_trap_exits(me, true));
    TRY(troupe_spawn(me, NULL, echoes, NULL, 0, &ref));
    for (int i = 0; i < 20; i++) /* their table grows */
        TRY(troupe_monitor(me, ref, &w));
    TRY(troupe_demonitor(me, w));
    TRY(troupe_link(me, ref));
    TRY(troupe_unlink(me, ref));
    TRY(troupe_link(me, ref));
    TRY(troupe_kill(me, ref));
    for (int i = 0; i < 20; i++) { /* 19 DOWN, an EXIT: their memory was there before */
        ck_assert_int_eq(troupe_receive(me, SOON_MS, &m), TROUPE_OK);
        ck_assert(troupe_msg_down(m, NULL) || troupe_msg_exit(m, NULL));
        troupe_msg_free(&m);
    }
    return TROUPE_OK;
}

static troupe_status names(void) {
    char name[16];
    troupe_ref ref;
    for (int i = 0; i < 100; i++) { /* their table grows */
        snprintf(name, sizeof name, "name-%d", i);
        TRY(troupe_register(me, name, troupe_self_ref(me)));
    }
    TRY(troupe_whereis(me, "name-50", &ref));
    return troupe_unregister(me, "name-50");
}

static troupe_status timers(void) {
    troupe_timer t;
    troupe_msg *m;
    for (int i = 0; i < 40; i++) /* their heap grows */
        TRY(troupe_send_after(me, 10 + i, troupe_self_ref(me), troupe_bytes(large, sizeof large), &t));
    TRY(troupe_cancel(me, t));
    for (int i = 0; i < 39; i++) { /* and these have all they need */
        ck_assert_int_eq(troupe_receive(me, SOON_MS, &m), TROUPE_OK);
        troupe_msg_free(&m);
    }
    return TROUPE_OK;
}

static troupe_status things_of_ones_own(void) {
    static const char keys[8];
    for (int i = 0; i < 8; i++) {
        void *value = trp_malloc(10);
        if (!value)
            return TROUPE_NO_MEMORY;
        troupe_status st = troupe_own_set(me, &keys[i], value, trp_free);
        if (st != TROUPE_OK)
            trp_free(value); /* was not taken */
        TRY(st);
    }
    return troupe_own_get(me, &keys[7]) ? TROUPE_OK : TROUPE_BUG;
}

static troupe_status looking(void) {
    troupe_snapshot *s;
    FILE *nowhere = fopen("/dev/null", "w");
    troupe_status st = troupe_system_snapshot(sys, &s);
    if (st == TROUPE_OK) {
        troupe_snapshot_free(&s);
        st = troupe_system_dump(sys, nowhere);
    }
    fclose(nowhere);
    return st;
}

/* With an argument that does not fit where births are kept at hand. */
static troupe_status restarts(void) {
    troupe_ref ref;
    troupe_spawn_opts opts = {.restart = TROUPE_PERMANENT, .backoff_min_ms = 10, .backoff_max_ms = 10};
    TRY(troupe_spawn(me, &opts, dies, large, sizeof large, &ref));
    TRY(troupe_sleep(me, 100));
    TRY(troupe_kill(me, ref));
    return troupe_join(me, ref, SOON_MS, NULL);
}

/* A letter that there is no memory to tell of is counted, and no more. */
static troupe_status dead_letters(void) {
    troupe_ref ref;
    troupe_msg *m;
    TRY(troupe_dead_letters(me, true));
    TRY(troupe_spawn(me, &(troupe_spawn_opts){.mailbox = 1, .overflow = TROUPE_DROP_OLDEST}, dies, NULL, 0, &ref));
    for (int i = 0; i < 3; i++)
        (void)!troupe_send(me, ref, troupe_bytes(large, sizeof large));
    TRY(troupe_join(me, ref, SOON_MS, NULL));
    while (troupe_receive(me, 0, &m) == TROUPE_OK)
        troupe_msg_free(&m);
    return troupe_dead_letters(me, false);
}

/* A supervisor that cannot start a child ends. */
static const struct scene scenes[] = {
    {.name = "questions", .play = questions},
    {.name = "handlers", .play = handlers},
    {.name = "letters", .play = letters},
    {.name = "futures", .play = futures},
    {.name = "queues", .play = queues},
    {.name = "events", .play = events},
    {.name = "pools", .play = pools},
    {.name = "topics", .play = local_topics},
    {.name = "supervisors", .play = supervisors, .also = TROUPE_DIED},
    {.name = "watches", .play = watches},
    {.name = "names", .play = names},
    {.name = "timers", .play = timers},
    {.name = "own", .play = things_of_ones_own},
    {.name = "looking", .play = looking},
    {.name = "restarts", .play = restarts},
    {.name = "dead letters", .play = dead_letters},
};

/* --- the plays --- */

struct play {
    const struct scene *scene;
    long n;
    troupe_status st;
    bool met; /* the n-th allocation came */
};

/* Whatever has failed, what is there goes on, and more can be made. */
static void goes_on(void) {
    troupe_ref ref;
    troupe_msg *answer;
    ck_assert_int_eq(troupe_spawn(me, NULL, echoes, NULL, 0, &ref), TROUPE_OK);
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(1), SOON_MS, &answer), TROUPE_OK);
    ck_assert_ptr_null(troupe_msg_error(answer));
    troupe_msg_free(&answer);
}

static void *plays(void *arg) {
    struct play *p = arg;
    ck_assert_int_eq(troupe_test_open(&sys, 7), TROUPE_OK);
    me = troupe_system_self(sys);
    faults.calls = 0;
    faults.fail_at = p->n;
    p->st = p->scene->play();
    p->met = faults.calls >= p->n;
    faults.fail_at = 0;
    goes_on();
    troupe_system_close(&sys);
    return NULL;
}

static bool play(const struct scene *scene, long n) {
    struct play p = {.scene = scene, .n = n};
    pthread_t t;
    faults_fail_at(0);
    ck_assert_int_eq(pthread_create(&t, NULL, plays, &p), 0);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    long live = faults.live;
    faults_off();
    scene_ends(scene, n, p.st, p.met && (p.st == TROUPE_NO_MEMORY || p.st == scene->also));
    ck_assert_msg(live == 0, "%s, allocation %ld: %ld blocks are left", scene->name, n, live);
    return p.met;
}

START_TEST(each_allocation_fails_once) {
    scene_repeat(&scenes[_i], play);
}
END_TEST

int main(void) {
    return scene_suite("scarce", each_allocation_fails_once, sizeof scenes / sizeof *scenes);
}
