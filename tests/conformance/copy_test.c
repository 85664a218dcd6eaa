/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A program that forks by itself, from a body of any kind: in the copy each call says UNSUPPORTED, what gives something back
 * does nothing, and nothing of it is noticed by the original. */
#include <sys/socket.h>
#include <unistd.h>

#include <troupe/actor_queue.h>
#include <troupe/attach.h>
#include <troupe/bounded.h>
#include <troupe/command.h>
#include <troupe/dead_letter.h>
#include <troupe/event.h>
#include <troupe/future.h>
#include <troupe/handler.h>
#include <troupe/inspect.h>
#include <troupe/monitor.h>
#include <troupe/names.h>
#include <troupe/node.h>
#include <troupe/own.h>
#include <troupe/pool.h>
#include <troupe/stream.h>
#include <troupe/supervisor.h>
#include <troupe/timer.h>

#include "actors/sanitizer.h"
#include "tests/support/actors.h"

enum { KINDS = 3 };

/* What a body has when it forks. */
struct things {
    troupe_self *self;
    troupe_ref to;
    troupe_msg *m; /* a question in hand */
    troupe_queue queue;
    troupe_event event;
    troupe_pool pool;
    troupe_stream *near, *far;
    troupe_listener *listener;
    troupe_future *future, *other;
    troupe_timer timer;
    char path[64];
};

static int refused(bool is, const char *what) {
    if (!is)
        fprintf(stderr, "not refused: %s\n", what);
    return !is;
}

#define REFUSED(call) refused((call) == TROUPE_UNSUPPORTED, #call)

static void nothing(troupe_self *self, void *arg) {
    (void)self, (void)arg;
}

static void on_message(troupe_self *self, void *state, troupe_msg **m) {
    (void)self, (void)state, (void)m;
}

static void with_stream(troupe_self *self, troupe_stream *s, void *arg) {
    (void)self, (void)s, (void)arg;
}

static void task(troupe_self *self, troupe_msg *m, void *arg) {
    (void)arg;
    (void)!troupe_reply(self, m, troupe_nil());
}

/* --- the calls, by header --- */

static int actor_calls(struct things *t) {
    troupe_self *self = t->self;
    troupe_msg *m;
    int bad = REFUSED(troupe_send(self, t->to, troupe_int(1)));
    bad += REFUSED(troupe_try_send(self, t->to, troupe_int(1)));
    bad += REFUSED(troupe_receive(self, 10, &m));
    bad += REFUSED(troupe_ask(self, t->to, troupe_int(1), 10, &m));
    bad += REFUSED(troupe_reply(self, t->m, troupe_int(1)));
    bad += REFUSED(troupe_reply_error(self, t->m, "NO", "no"));
    bad += REFUSED(troupe_spawn(self, NULL, nothing, NULL, 0, NULL));
    bad += REFUSED(troupe_close(self, t->to));
    bad += REFUSED(troupe_kill(self, t->to));
    bad += REFUSED(troupe_join(self, t->to, 10, NULL));
    bad += REFUSED(troupe_sleep(self, 10));
    bad += REFUSED(troupe_subscribe(self, "local.a", NULL));
    bad += REFUSED(troupe_unsubscribe(self, "local.a"));
    bad += REFUSED(troupe_publish(self, "local.a", troupe_nil(), 10));
    bad += REFUSED(troupe_request(self, "local.a", troupe_nil(), 10, &m));
    bad += REFUSED(troupe_subscribe(self, "a", NULL));
    bad += REFUSED(troupe_unsubscribe(self, "a"));
    bad += REFUSED(troupe_publish(self, "a", troupe_nil(), 10));
    bad += REFUSED(troupe_request(self, "a", troupe_nil(), 10, &m));
    for (int i = 0; i < 1000; i++)
        troupe_yield(self); /* does nothing, and comes back */
    return bad;
}

static int tie_calls(struct things *t) {
    troupe_self *self = t->self;
    static int key;
    troupe_ref ref;
    char address[TROUPE_ADDRESS_MAX + 1];
    int bad = REFUSED(troupe_monitor(self, t->to, NULL));
    bad += REFUSED(troupe_demonitor(self, (troupe_watch){1}));
    bad += REFUSED(troupe_link(self, t->to));
    bad += REFUSED(troupe_unlink(self, t->to));
    bad += REFUSED(troupe_trap_exits(self, true));
    bad += REFUSED(troupe_dead_letters(self, true));
    bad += REFUSED(troupe_register(self, "name", t->to));
    bad += REFUSED(troupe_unregister(self, "name"));
    bad += REFUSED(troupe_whereis(self, "name", &ref));
    bad += REFUSED(troupe_send_after(self, 1, t->to, troupe_nil(), NULL));
    bad += REFUSED(troupe_cancel(self, t->timer));
    bad += REFUSED(troupe_own_set(self, &key, &key, NULL));
    bad += refused(!troupe_own_get(self, &key), "troupe_own_get");
    bad += REFUSED(troupe_node_join(self, "node", 10));
    bad += REFUSED(troupe_address(self, t->to, address));
    bad += REFUSED(troupe_lookup(self, "name", 10, &ref));
    return bad;
}

static int more_kinds(struct things *t) {
    static const troupe_handler handler = {.on_message = on_message};
    static const char *const argv[] = {"true", NULL};
    const troupe_child child = {.opts = {.name = "child"}, .body = nothing};
    const troupe_supervisor_opts opts = {.children = &child, .count = 1};
    troupe_self *self = t->self;
    size_t n;
    int bad = REFUSED(troupe_spawn_handler(self, NULL, &handler, NULL, 0, NULL));
    bad += REFUSED(troupe_command_spawn(self, NULL, argv, NULL));
    bad += REFUSED(troupe_command_run(self, NULL, argv, troupe_nil(), 10, NULL, NULL));
    bad += REFUSED(troupe_supervise(self, NULL, &opts, NULL));
    bad += REFUSED(troupe_supervisor_add(self, t->to, &child, NULL));
    bad += REFUSED(troupe_supervisor_remove(self, t->to, "child"));
    bad += REFUSED(troupe_supervisor_restart(self, t->to, "child", NULL));
    bad += REFUSED(troupe_supervisor_children(self, t->to, NULL, 0, &n));
    return bad;
}

static int pattern_calls(struct things *t) {
    troupe_self *self = t->self;
    troupe_value one = troupe_nil();
    troupe_msg *m;
    troupe_future *f;
    troupe_event event;
    troupe_queue queue;
    troupe_pool pool;
    size_t n;
    int bad = REFUSED(troupe_queue_open(self, NULL, &queue));
    bad += REFUSED(troupe_queue_push(self, t->queue, troupe_nil(), 10));
    bad += REFUSED(troupe_queue_pop(self, t->queue, 10, &m));
    bad += REFUSED(troupe_queue_length(self, t->queue, &n));
    bad += REFUSED(troupe_event_open(self, NULL, &event));
    bad += REFUSED(troupe_event_set(self, t->event));
    bad += REFUSED(troupe_event_clear(self, t->event));
    bad += REFUSED(troupe_event_wait(self, t->event, 10));
    bad += REFUSED(troupe_event_wait_async(self, t->event, &f));
    bad += REFUSED(troupe_pool_open(self, NULL, task, NULL, 0, &pool));
    bad += REFUSED(troupe_pool_submit(self, t->pool, troupe_nil(), 10, &f));
    bad += REFUSED(troupe_pool_map(self, t->pool, &one, 1, 10, &m));
    bad += REFUSED(troupe_pool_close(self, t->pool));
    bad += REFUSED(troupe_pool_join(self, t->pool, 10));
    bad += REFUSED(troupe_ask_async(self, t->to, troupe_nil(), &f));
    bad += REFUSED(troupe_future_any(self, &t->future, 1, 10, &n));
    bad += REFUSED(troupe_future_all(self, &t->future, 1, 10));
    bad += refused(!troupe_future_ready(self, t->future), "troupe_future_ready");
    bad += REFUSED(troupe_future_await(self, &t->future, 10, &m));
    troupe_future_free(&t->other);
    return bad;
}

static int queue_calls(struct things *t) {
    troupe_self *self = t->self;
    troupe_msg *m;
    int bad = REFUSED(troupe_consume(self, "q", 1));
    bad += REFUSED(troupe_consume_stop(self, "q"));
    bad += REFUSED(troupe_get(self, "q", 10, &m));
    bad += REFUSED(troupe_ack(self, &t->m));
    bad += REFUSED(troupe_nack(self, &t->m, 0));
    bad += REFUSED(troupe_bury(self, &t->m, NULL));
    bad += REFUSED(troupe_touch(self, t->m));
    bad += REFUSED(troupe_put(self, "q", troupe_nil(), NULL, NULL));
    bad += REFUSED(troupe_submit(self, "q", troupe_nil(), NULL));
    bad += REFUSED(troupe_put_wait(self, 10));
    bad += REFUSED(troupe_ack_with(self, &t->m, "q", troupe_nil(), NULL));
    return bad;
}

static int stream_calls(struct things *t) {
    troupe_self *self = t->self;
    troupe_stream *s;
    troupe_listener *l;
    const char *line;
    char byte;
    size_t n;
    unsigned ready;
    int bad = REFUSED(troupe_wait_fd(self, troupe_stream_fd(t->near), TROUPE_WRITABLE, 10, &ready));
    bad += REFUSED(troupe_stream_write(self, t->near, "x", 1, 10));
    bad += REFUSED(troupe_stream_read(self, t->near, &byte, 1, 10, &n));
    bad += REFUSED(troupe_stream_read_line(self, t->near, 10, 10, &line, &n));
    bad += REFUSED(troupe_stream_finish(t->near));
    bad += REFUSED(troupe_stream_connect(self, troupe_listener_url(t->listener), 10, &s));
    bad += REFUSED(troupe_listener_open(self, "tcp://127.0.0.1:0", &l));
    bad += REFUSED(troupe_listener_accept(self, t->listener, 10, &s));
    bad += REFUSED(troupe_stream_spawn(self, NULL, with_stream, &t->far, NULL, 0, NULL));
    troupe_stream_close(&t->near);
    troupe_stream_close(&t->far);
    troupe_listener_close(&t->listener);
    return bad;
}

static int all_calls(struct things *t) {
    int bad = actor_calls(t) + tie_calls(t) + more_kinds(t) + pattern_calls(t) + queue_calls(t) + stream_calls(t);
    troupe_msg_free(&t->m); /* answers nothing */
    return bad;
}

/* --- the original --- */

#define DO(call)                                                                                                               \
    do {                                                                                                                       \
        if ((call) != TROUPE_OK)                                                                                               \
            return __LINE__;                                                                                                   \
    } while (0)

/* Both streams are registered with the poller by a wait in vain. */
static int streams_up(struct things *t) {
    int fds[2];
    char byte, url[80];
    size_t n;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return __LINE__;
    DO(troupe_stream_adopt(fds[0], &t->near));
    DO(troupe_stream_adopt(fds[1], &t->far));
    if (troupe_stream_read(t->self, t->near, &byte, 1, 1, &n) != TROUPE_TIMEOUT)
        return __LINE__;
    snprintf(t->path, sizeof t->path, "/tmp/troupe-copy-%d", (int)getpid());
    snprintf(url, sizeof url, "ipc://%s", t->path);
    DO(troupe_listener_open(t->self, url, &t->listener));
    return 0;
}

static int things_up(struct things *t) {
    troupe_queue_bounds bounds = {0};
    DO(troupe_queue_open(t->self, &bounds, &t->queue));
    DO(troupe_event_open(t->self, NULL, &t->event));
    DO(troupe_pool_open(t->self, NULL, task, NULL, 0, &t->pool));
    DO(troupe_ask_async(t->self, t->to, troupe_int(1), &t->future));
    DO(troupe_ask_async(t->self, t->to, troupe_int(2), &t->other));
    DO(troupe_send_after(t->self, 3600 * 1000, t->to, troupe_nil(), &t->timer));
    return streams_up(t);
}

/* All that the copy has closed, freed and tried is as it was. */
static int things_work(struct things *t) {
    troupe_msg *m;
    char byte = 0;
    size_t n;
    DO(troupe_stream_write(t->self, t->far, "y", 1, PATIENCE_MS));
    DO(troupe_stream_read(t->self, t->near, &byte, 1, PATIENCE_MS, &n));
    if (byte != 'y' || access(t->path, F_OK) != 0)
        return __LINE__;
    DO(troupe_future_await(t->self, &t->future, PATIENCE_MS, &m));
    troupe_msg_free(&m);
    DO(troupe_future_await(t->self, &t->other, PATIENCE_MS, &m));
    troupe_msg_free(&m);
    DO(troupe_cancel(t->self, t->timer));
    DO(troupe_queue_length(t->self, t->queue, &n));
    if (n != 0 || troupe_event_wait(t->self, t->event, 0) != TROUPE_TIMEOUT)
        return __LINE__;
    DO(troupe_pool_map(t->self, t->pool, (troupe_value[]){troupe_nil()}, 1, PATIENCE_MS, &m));
    troupe_msg_free(&m);
    DO(troupe_pool_close(t->self, t->pool));
    DO(troupe_close(t->self, t->queue.ref));
    DO(troupe_close(t->self, t->event.ref));
    return 0;
}

static int fork_with(struct things *t) {
    int status = -1, bad = things_up(t);
    pid_t pid = bad ? -1 : fork();
    if (pid == 0)
        _exit(all_calls(t));
    if (bad || waitpid(pid, &status, 0) != pid || status != 0)
        return bad ? bad : -status;
    bad = things_work(t);
    troupe_stream_close(&t->near);
    troupe_stream_close(&t->far);
    troupe_listener_close(&t->listener);
    return bad;
}

/* With each question in hand it forks, and answers it. */
static void forks(troupe_self *self, void *arg) {
    struct things t = {.self = self, .to = *(troupe_ref *)arg};
    if (troupe_receive(self, TROUPE_FOREVER, &t.m) != TROUPE_OK)
        return;
    int bad = fork_with(&t);
    (void)!troupe_reply(self, t.m, troupe_int(bad));
    troupe_msg_free(&t.m);
}

static void answers(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        (void)!troupe_reply(self, m, troupe_nil());
        troupe_msg_free(&m);
    }
}

START_TEST(a_copy_of_every_kind_is_refused) {
    system_up();
    troupe_ref other = spawn(TROUPE_COROUTINE, answers, NULL, 0), ref = spawn(_i, forks, &other, sizeof other);
    troupe_msg *m;
    int64_t bad = -1;
    ck_assert_int_eq(troupe_ask(me, ref, troupe_nil(), PATIENCE_MS, &m), TROUPE_OK);
    ck_assert_ptr_null(troupe_msg_error(m));
    ck_assert(troupe_msg_int(m, &bad));
    ck_assert_int_eq(bad, 0);
    troupe_msg_free(&m);
    ends(ref, TROUPE_END_NORMAL);
    stop(other);
    system_down();
}
END_TEST

/* --- the opener's --- */

static int system_calls(void) {
    troupe_snapshot *s;
    troupe_self *attached;
    int bad = REFUSED(troupe_system_run(sys, 10));
    bad += REFUSED(troupe_system_snapshot(sys, &s));
    bad += REFUSED(troupe_system_dump(sys, stderr));
    bad += REFUSED(troupe_attach(sys, "x", &attached));
    troupe_system_close(&sys);
    return bad + (sys != NULL);
}

/* One of its own works there, all the same. */
static int own_system_works(void) {
    troupe_msg *m;
    troupe_ref ref;
    DO(troupe_system_open(&sys, &(troupe_system_opts){.threads = 1}));
    DO(troupe_spawn(troupe_system_self(sys), NULL, answers, NULL, 0, &ref));
    DO(troupe_ask(troupe_system_self(sys), ref, troupe_nil(), PATIENCE_MS, &m));
    troupe_msg_free(&m);
    troupe_system_close(&sys);
    return 0;
}

START_TEST(a_copy_of_the_opener_is_refused) {
    system_up();
    troupe_ref ref = spawn(TROUPE_COROUTINE, answers, NULL, 0);
    troupe_msg *m;
    int status;
    pid_t pid = fork();
    if (pid == 0) /* the sanitizers' locks may be held in the copy for ever */
        _exit(system_calls() + (TRP_TSAN || TRP_ASAN ? 0 : own_system_works()));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(troupe_ask(me, ref, troupe_nil(), PATIENCE_MS, &m), TROUPE_OK);
    troupe_msg_free(&m);
    stop(ref);
    system_down();
}
END_TEST

/* A process's body that has forked, and whose copy returns from it: that is not the end of the actor. */
static void returns_twice(troupe_self *self, void *arg) {
    pid_t pid = fork();
    if (pid == 0)
        return;
    int status = -1;
    (void)!waitpid(pid, &status, 0);
    say(self, *(troupe_ref *)arg, status);
    say(self, *(troupe_ref *)arg, 7);
}

START_TEST(a_copy_that_returns_is_no_end) {
    system_up();
    troupe_ref test = troupe_self_ref(me), ref = spawn(TROUPE_PROCESS, returns_twice, &test, sizeof test);
    ck_assert_int_eq(hear(), 0);
    ck_assert_int_eq(hear(), 7);
    ends(ref, TROUPE_END_NORMAL);
    system_down();
}
END_TEST

int main(void) {
    Suite *s = suite_create("copy");
    const TTest *const once[] = {a_copy_of_the_opener_is_refused, a_copy_that_returns_is_no_end};
    TCase *c = run_case(s, "copy", once, sizeof once / sizeof *once);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, a_copy_of_every_kind_is_refused, 0, KINDS);
    return run_suite(s);
}
