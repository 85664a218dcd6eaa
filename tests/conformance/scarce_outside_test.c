/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Memory that runs out while an actor has to do with the world outside: the broker, other nodes, queues, streams, programs,
 * processes; and for clients and brokers, which are no actors. As scarce_test, but in a real system, so it is one thread whose
 * next allocation fails each time: the opener's, on which its connection runs as well. It is told, or the connection is lost
 * and comes back; the same done again with enough memory works. */
#include <troupe/actor_queue.h>
#include <troupe/broker.h>
#include <troupe/command.h>
#include <troupe/names.h>
#include <troupe/node.h>
#include <troupe/stream.h>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "tests/support/actors.h"
#include "tests/support/echo.h"
#include "tests/support/scarce.h"
#include "tests/support/scene.h"

enum { MOMENT_MS = 1000 };

static char url[96], dir[64];
static pid_t broker_pid;

/* --- the broker, in a process of its own --- */

_Noreturn static void be_broker(int ready) {
    troupe_broker *broker;
    const char *why = "";
    if (troupe_broker_new(&broker, &(troupe_broker_opts){0}) != TROUPE_OK ||
        troupe_broker_listen(broker, url, &why) != TROUPE_OK || write(ready, "!", 1) != 1)
        _exit(1);
    _exit(troupe_broker_run(broker) != TROUPE_OK);
}

static void make_queue(void) {
    troupe_client *c;
    ck_assert_int_eq(troupe_client_open(&c, &(troupe_client_opts){.url = url, .authkey_file = ""}), TROUPE_OK);
    ck_assert_int_eq(troupe_queue_declare(c, "task", NULL), TROUPE_OK);
    troupe_client_close(&c);
}

/* --- node b, which also serves: in a process of its own --- */

static pid_t there;

_Noreturn static void be_there(int ready) {
    troupe_ref ref;
    system_up_with(&(troupe_system_opts){.threads = 1, .broker = url, .name = "b", .authkey_file = "", .no_processes = true});
    ck_assert_int_eq(troupe_spawn(me, NULL, echoes, NULL, 0, &ref), TROUPE_OK);
    ck_assert_int_eq(troupe_register(me, "echo", ref), TROUPE_OK);
    ck_assert_int_eq(troupe_node_join(me, "b", PATIENCE_MS), TROUPE_OK);
    ck_assert_int_eq(troupe_subscribe(me, "service", NULL), TROUPE_OK);
    ck_assert_int_eq(troupe_publish(me, "ready", troupe_nil(), PATIENCE_MS), TROUPE_OK);
    ck_assert_int_eq(write(ready, "!", 1), 1);
    echoes(me, NULL);
    _exit(0);
}

static pid_t start(void (*be)(int ready)) {
    int fds[2];
    char c;
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0)
        be(fds[1]);
    close(fds[1]);
    ck_assert_int_eq(read(fds[0], &c, 1), 1);
    close(fds[0]);
    return pid;
}

static void stop_process(pid_t pid) {
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

static void up(void) {
    snprintf(dir, sizeof dir, "/tmp/troupe-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(url, sizeof url, "ipc://%s/sock", dir);
    broker_pid = start(be_broker);
    make_queue();
    there = start(be_there);
    scarce_install();
    system_up_with(&(troupe_system_opts){.threads = 1, .broker = url, .name = "a", .authkey_file = ""});
}

static void down(void) {
    char path[96];
    troupe_system_close(&sys);
    stop_process(there);
    stop_process(broker_pid);
    snprintf(path, sizeof path, "%s/sock", dir);
    (void)unlink(path);
    (void)rmdir(dir);
}

/* --- scenes --- */

static troupe_status receive(void) {
    troupe_msg *m;
    TRY(troupe_receive(me, MOMENT_MS, &m));
    troupe_msg_free(&m);
    return TROUPE_OK;
}

static troupe_status topics(void) {
    TRY(troupe_subscribe(me, "news.*", NULL));
    TRY(troupe_publish(me, "news.weather", troupe_bytes(large, sizeof large), PATIENCE_MS));
    TRY(receive());
    return troupe_unsubscribe(me, "news.*");
}

static troupe_status requests(void) {
    troupe_msg *m;
    TRY(troupe_request(me, "service", troupe_bytes(large, sizeof large), MOMENT_MS, &m));
    troupe_msg_free(&m);
    return TROUPE_OK;
}

static troupe_status queues(void) {
    troupe_msg *m;
    TRY(troupe_put(me, "task", troupe_bytes(large, sizeof large), NULL, NULL));
    TRY(troupe_submit(me, "task", troupe_int(1), NULL));
    TRY(troupe_put_wait(me, MOMENT_MS));
    TRY(troupe_get(me, "task", MOMENT_MS, &m));
    troupe_status st = troupe_touch(me, m);
    if (st == TROUPE_OK)
        st = troupe_ack(me, &m);
    troupe_msg_free(&m);
    TRY(st);
    TRY(troupe_consume(me, "task", 1));
    TRY(troupe_receive(me, MOMENT_MS, &m));
    st = troupe_ack_with(me, &m, "task", troupe_int(2), NULL);
    troupe_msg_free(&m);
    TRY(st);
    TRY(troupe_put_wait(me, MOMENT_MS));
    return troupe_consume_stop(me, "task");
}

static troupe_status nodes(void) {
    char address[TROUPE_ADDRESS_MAX + 1];
    troupe_ref ref;
    troupe_msg *m;
    if (!troupe_node_name(me))
        TRY(troupe_node_join(me, "a", PATIENCE_MS));
    TRY(troupe_lookup(me, "echo@b", MOMENT_MS, &ref));
    TRY(troupe_address(me, troupe_self_ref(me), address));
    TRY(troupe_ask(me, ref, troupe_bytes(large, sizeof large), MOMENT_MS, &m));
    troupe_status st = troupe_msg_error(m) ? TROUPE_NO_MEMORY : TROUPE_OK;
    troupe_msg_free(&m);
    return st;
}

static void says_so(troupe_self *self, troupe_stream *s, void *arg) {
    (void)arg;
    (void)!troupe_stream_write(self, s, "here\n", 5, MOMENT_MS);
}

static troupe_status converse(troupe_listener *door) {
    troupe_stream *s, *peer;
    const char *line;
    size_t n;
    TRY(troupe_stream_connect(me, troupe_listener_url(door), MOMENT_MS, &s));
    troupe_status st = troupe_listener_accept(me, door, MOMENT_MS, &peer);
    if (st == TROUPE_OK) {
        st = troupe_stream_spawn(me, NULL, says_so, &peer, large, sizeof large, NULL);
        troupe_stream_close(&peer);
    }
    if (st == TROUPE_OK)
        st = troupe_stream_read_line(me, s, 100, MOMENT_MS, &line, &n);
    troupe_stream_close(&s);
    return st;
}

static troupe_status streams(void) {
    troupe_listener *door;
    TRY(troupe_listener_open(me, "tcp://127.0.0.1:0", &door));
    troupe_status st = converse(door);
    troupe_listener_close(&door);
    return st;
}

/* Nothing comes. */
static troupe_status descriptors(void) {
    unsigned ready;
    int fds[2];
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    troupe_status st = troupe_wait_fd(me, fds[0], TROUPE_READABLE, 1, &ready);
    close(fds[0]);
    close(fds[1]);
    return st == TROUPE_TIMEOUT ? TROUPE_OK : st;
}

static troupe_status programs(void) {
    static const char *const cat[] = {"cat", NULL};
    troupe_msg *output;
    troupe_exit exit;
    TRY(troupe_command_run(me, NULL, cat, troupe_bytes(large, sizeof large), PATIENCE_MS, &output, &exit));
    troupe_msg_free(&output);
    return TROUPE_OK;
}

static troupe_status actors(troupe_kind kind) {
    troupe_ref ref;
    troupe_msg *m;
    TRY(troupe_spawn(me, &(troupe_spawn_opts){.kind = kind}, echoes, NULL, 0, &ref));
    troupe_status st = troupe_ask(me, ref, troupe_bytes(large, sizeof large), PATIENCE_MS, &m);
    if (st == TROUPE_OK)
        troupe_msg_free(&m);
    TRY(troupe_close(me, ref));
    TRY(troupe_join(me, ref, PATIENCE_MS, NULL));
    return st;
}

static troupe_status threads(void) {
    return actors(TROUPE_THREAD);
}

static troupe_status processes(void) {
    return actors(TROUPE_PROCESS);
}

static troupe_status stat_of(troupe_client *c, troupe_msg **out) {
    return troupe_queue_stat(c, "mail", out);
}

static troupe_status list_of(troupe_client *c, troupe_msg **out) {
    return troupe_queue_list(c, NULL, 0, out);
}

static troupe_status peek_at(troupe_client *c, troupe_msg **out) {
    return troupe_queue_peek(c, "mail", "ready", 0, out);
}

static troupe_status browse_in(troupe_client *c, troupe_msg **out) {
    return troupe_queue_browse(c, "mail", "ready", 0, 0, 10, out);
}

static troupe_status look_at(troupe_client *c) {
    troupe_status (*const looks[])(troupe_client * c, troupe_msg * *out) = {stat_of, list_of, peek_at, browse_in};
    troupe_msg *m;
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        TRY(looks[i](c, &m));
        troupe_msg_free(&m);
    }
    return TROUPE_OK;
}

/* One is given back, one is buried, one is acknowledged. */
static troupe_status settle(troupe_client *c) {
    troupe_msg *m = NULL;
    troupe_status st = troupe_queue_get(c, "mail", MOMENT_MS, &m);
    if (st == TROUPE_OK)
        st = troupe_queue_touch(c, m);
    if (st == TROUPE_OK)
        st = troupe_queue_nack(c, &m, 0);
    if (st == TROUPE_OK)
        st = troupe_queue_get(c, "mail", MOMENT_MS, &m);
    if (st == TROUPE_OK)
        st = troupe_queue_bury(c, &m, "no good");
    if (st == TROUPE_OK)
        st = troupe_queue_get(c, "mail", MOMENT_MS, &m);
    if (st == TROUPE_OK)
        st = troupe_queue_ack(c, &m);
    troupe_msg_free(&m);
    return st;
}

static troupe_status use_queue(troupe_client *c) {
    uint64_t number;
    troupe_msg *m;
    TRY(troupe_queue_declare(c, "mail", NULL));
    TRY(troupe_queue_put(c, "mail", troupe_bytes(large, sizeof large), &(troupe_put_opts){.id = "a"}, NULL));
    TRY(troupe_queue_put(c, "mail", troupe_int(2), NULL, NULL));
    TRY(troupe_queue_submit(c, "mail", troupe_int(3), NULL, false, &number));
    TRY(troupe_client_collect(c, MOMENT_MS, &number, &m));
    troupe_msg_free(&m);
    TRY(look_at(c));
    TRY(settle(c));
    TRY(troupe_queue_pause(c, "mail", true));
    TRY(troupe_queue_pause(c, "mail", false));
    TRY(troupe_queue_retry(c, "mail.dead", 10, &number));
    TRY(troupe_queue_purge(c, "mail", true, &number));
    return troupe_queue_delete(c, "mail");
}

static troupe_status with_client(troupe_status (*use)(troupe_client *c)) {
    troupe_client *c;
    TRY(troupe_client_open(&c, &(troupe_client_opts){.url = url, .authkey_file = "", .connect_timeout_ms = MOMENT_MS}));
    troupe_status st = use(c);
    troupe_client_close(&c);
    return st;
}

static troupe_status clients_of_queues(void) {
    return with_client(use_queue);
}

/* It asks itself. */
static troupe_status answer_oneself(troupe_client *c) {
    troupe_msg *question = NULL, *answer = NULL;
    troupe_sub sub;
    uint64_t number;
    TRY(troupe_client_subscribe(c, "me", NULL, &sub));
    for (int error = 0; error < 2; error++) {
        TRY(troupe_client_submit(c, "me", troupe_bytes(large, sizeof large), false, &number));
        TRY(troupe_client_receive(c, MOMENT_MS, &question));
        troupe_status st =
            error ? troupe_client_reply_error(c, question, "NO", "no") : troupe_client_reply(c, question, troupe_int(1));
        troupe_msg_free(&question);
        TRY(st);
        TRY(troupe_client_collect(c, MOMENT_MS, &number, &answer));
        troupe_msg_free(&answer);
    }
    TRY(troupe_client_unsubscribe(c, sub));
    return troupe_client_drain(c, MOMENT_MS);
}

static troupe_status clients_that_answer(void) {
    return with_client(answer_oneself);
}

static troupe_status brokers(void) {
    troupe_broker *b;
    const char *why;
    TRY(troupe_broker_new(&b, &(troupe_broker_opts){0}));
    troupe_status st = troupe_broker_listen(b, "tcp://127.0.0.1:0", &why);
    if (st == TROUPE_OK)
        st = troupe_broker_gateway(b, "tcp://127.0.0.1:0/fib", &why);
    troupe_broker_free(&b);
    return st;
}

/* --- what a scene may leave, when it has been broken off --- */

static void clear_topics(void) {
    (void)!troupe_unsubscribe(me, "news.*");
}

static void clear_queue(void) {
    troupe_msg *m;
    (void)!troupe_put_wait(me, MOMENT_MS);
    (void)!troupe_consume_stop(me, "task");
    while (troupe_receive(me, 0, &m) == TROUPE_OK)
        (void)!troupe_ack(me, &m);
    while (troupe_get(me, "task", 20, &m) == TROUPE_OK)
        (void)!troupe_ack(me, &m);
}

static void clear_mail(void) {
    troupe_msg *m;
    while (troupe_receive(me, 0, &m) == TROUPE_OK)
        troupe_msg_free(&m);
}

static void delete_queue(void) {
    troupe_client *c;
    ck_assert_int_eq(troupe_client_open(&c, &(troupe_client_opts){.url = url, .authkey_file = ""}), TROUPE_OK);
    (void)!troupe_queue_delete(c, "mail");
    (void)!troupe_queue_delete(c, "mail.dead");
    troupe_client_close(&c);
}

static const struct scene scenes[] = {
    {.name = "topics", .play = topics, .clear = clear_topics},
    {.name = "requests", .play = requests},
    {.name = "queues", .play = queues, .clear = clear_queue},
    {.name = "nodes", .play = nodes},
    {.name = "streams", .play = streams},
    {.name = "descriptors", .play = descriptors},
    {.name = "programs", .play = programs},
    {.name = "threads", .play = threads},
    {.name = "processes", .play = processes},
    {.name = "clients of queues", .play = clients_of_queues, .clear = delete_queue},
    {.name = "clients that answer", .play = clients_that_answer},
    {.name = "brokers", .play = brokers},
};

/* A connection that had no memory is lost, and so is what was under way on it. */
static bool is_clear(troupe_status st) {
    return st == TROUPE_NO_MEMORY || st == TROUPE_DISCONNECTED || st == TROUPE_TIMEOUT;
}

static bool play(const struct scene *scene, long n) {
    scarce_at(n);
    troupe_status st = scene->play();
    bool met = scarce_met();
    scene_ends(scene, n, st, met && is_clear(st));
    if (scene->clear)
        scene->clear();
    clear_mail();
    return met;
}

START_TEST(each_allocation_of_one_thread_fails_once) {
    up();
    scene_repeat(&scenes[_i], play);
    down();
}
END_TEST

int main(void) {
    return scene_suite("scarce outside", each_allocation_of_one_thread_fails_once, sizeof scenes / sizeof *scenes);
}
