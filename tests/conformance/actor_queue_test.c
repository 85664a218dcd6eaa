/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Queues from inside actors of every kind, with the real broker, which runs on a thread of this program and may be stopped and
 * started again. The test looks at the queues with a client of its own: what it finds there is what everybody would. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <troupe/actor_queue.h>
#include <troupe/broker.h>

#include "tests/support/actors.h"
#include "tests/support/folder.h"

static char url[96], dir[64];
static troupe_broker *broker;
static pthread_t broker_thread;
static troupe_client *client;

static void *broker_main(void *arg) {
    (void)arg;
    ck_assert_int_eq(troupe_broker_run(broker), TROUPE_OK);
    return NULL;
}

static void broker_up(void) {
    const char *why = "";
    ck_assert_int_eq(troupe_broker_new(&broker, &(troupe_broker_opts){.data = dir}), TROUPE_OK);
    ck_assert_msg(troupe_broker_listen(broker, url, &why) == TROUPE_OK, "%s", why);
    ck_assert_int_eq(pthread_create(&broker_thread, NULL, broker_main, NULL), 0);
}

static void broker_down(void) {
    troupe_broker_stop(broker);
    ck_assert_int_eq(pthread_join(broker_thread, NULL), 0);
    troupe_broker_free(&broker);
}

static void client_up(void) {
    ck_assert_int_eq(troupe_client_open(&client, &(troupe_client_opts){.url = url, .authkey_file = ""}), TROUPE_OK);
}

/* Another broker with the same data. The test's client says goodbye before: it would answer the old one's only when it is
 * called. */
static void broker_again(void) {
    troupe_client_close(&client);
    broker_down();
    broker_up();
    client_up();
}

/* The system first: it must be opened before there are threads. In memory, where that can be: thousands of results are waited
 * for one by one, and how long a disk takes is not the matter here. */
static void up(void) {
    snprintf(dir, sizeof dir, "%s/troupe-test-XXXXXX", fast_folder());
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(url, sizeof url, "ipc://%s/sock", dir);
    system_up_with(&(troupe_system_opts){.threads = 1, .broker = url, .name = "test", .authkey_file = ""});
    broker_up();
    client_up();
    ck_assert_int_eq(troupe_queue_declare(client, "task", &(troupe_queue_opts){.durable = true}), TROUPE_OK);
    ck_assert_int_eq(troupe_queue_declare(client, "result", &(troupe_queue_opts){.durable = true}), TROUPE_OK);
}

static void down(void) {
    char command[96];
    troupe_system_close(&sys);
    troupe_client_close(&client);
    broker_down();
    snprintf(command, sizeof command, "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
}

/* --- what the test does to queues --- */

static void put(const char *queue, int64_t n) {
    ck_assert_int_eq(troupe_queue_put(client, queue, troupe_int(n), NULL, NULL), TROUPE_OK);
}

/* The next number of a queue, acknowledged. */
static int64_t take_with(const char *queue, uint32_t *deliveries) {
    troupe_msg *m;
    int64_t n;
    ck_assert_int_eq(troupe_queue_get(client, queue, PATIENCE_MS, &m), TROUPE_OK);
    ck_assert(troupe_msg_int(m, &n));
    if (deliveries)
        *deliveries = troupe_msg_deliveries(m);
    ck_assert_int_eq(troupe_queue_ack_confirm(client, &m, PATIENCE_MS), TROUPE_OK);
    return n;
}

static int64_t take(const char *queue) {
    return take_with(queue, NULL);
}

/* A number that the broker knows of a queue. */
static int64_t stat_of(const char *queue, const char *key) {
    troupe_msg *m;
    char name[64], *json, *at;
    ck_assert_int_eq(troupe_queue_stat(client, queue, &m), TROUPE_OK);
    ck_assert_ptr_nonnull(json = troupe_msg_json(m));
    snprintf(name, sizeof name, "\"%s\":", key);
    ck_assert_msg((at = strstr(json, name)) != NULL, "%s has no %s", json, key);
    int64_t n = strtoll(at + strlen(name), NULL, 10);
    free(json);
    troupe_msg_free(&m);
    return n;
}

/* Settling is not confirmed: what it leads to is waited for. */
static void becomes(const char *queue, const char *key, int64_t n) {
    for (int i = 0; i < PATIENCE_MS / 2; i++) {
        if (stat_of(queue, key) == n)
            return;
        ck_assert_int_eq(troupe_sleep(me, 2), TROUPE_OK);
    }
    ck_abort_msg("%s of %s is %lld, not %lld", key, queue, (long long)stat_of(queue, key), (long long)n);
}

static void nothing_in(const char *queue) {
    becomes(queue, "ready", 0);
    becomes(queue, "held", 0);
    becomes(queue, "delayed", 0);
}

/* --- consuming --- */

/* What a body is told to do with the message of such a number. */
enum { ACK, NACK, NACK_LATER, BURY, FREE, KEEP_AND_RETURN, CRASH, TOUCH };

/* Consumes with credit 2, does as each message says the first time, acknowledges it the second time, and tells the test. */
static void consumer(troupe_self *self, void *arg) {
    troupe_ref test = *(troupe_ref *)arg;
    troupe_msg *m;
    troupe_status st = troupe_consume(self, "task", 2);
    say(self, test, st);
    while (st == TROUPE_OK && troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        int64_t how = -1;
        if (!troupe_msg_int(m, &how) || strcmp(troupe_msg_topic(m), "_q.task") != 0)
            return;
        bool first = troupe_msg_deliveries(m) == 1;
        troupe_status done = TROUPE_OK;
        if (first && how == NACK)
            done = troupe_nack(self, &m, 0);
        else if (first && how == NACK_LATER)
            done = troupe_nack(self, &m, 30);
        else if (how == BURY)
            done = troupe_bury(self, &m, "makes no sense");
        else if (first && how == FREE)
            troupe_msg_free(&m);
        else if (first && how == KEEP_AND_RETURN)
            return;
        else if (first && how == CRASH)
            raise(SIGKILL);
        else if (how == TOUCH)
            done = troupe_touch(self, m);
        if (m && done == TROUPE_OK)
            done = troupe_ack(self, &m);
        troupe_msg_free(&m);
        say(self, test, done == TROUPE_OK ? how : -done);
    }
}

static troupe_ref consume(int kind) {
    troupe_ref test = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.kind = (troupe_kind)kind, .restart = TROUPE_PERMANENT, .backoff_min_ms = 1, .backoff_max_ms = 2};
    ck_assert_int_eq(troupe_spawn(me, &opts, consumer, &test, sizeof test, &ref), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_OK);
    return ref;
}

START_TEST(settles_in_every_way) {
    static const int64_t ways[] = {ACK, NACK, NACK_LATER, FREE, TOUCH};
    troupe_ref ref = consume(_i);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        put("task", ways[i]);
        ck_assert_int_eq(hear(), ways[i]);
        if (ways[i] != ACK && ways[i] != TOUCH)
            ck_assert_int_eq(hear(), ways[i]); /* and once more */
        nothing_in("task");
    }
    put("task", BURY);
    ck_assert_int_eq(hear(), BURY);
    nothing_in("task");
    becomes("task.dead", "ready", 1);
    stop(ref);
}
END_TEST

START_TEST(what_a_body_keeps_goes_back_when_it_returns) {
    uint32_t deliveries;
    troupe_ref ref = consume(_i);
    put("task", KEEP_AND_RETURN);
    ck_assert_int_eq(hear(), TROUPE_OK); /* its next life consumes, too */
    ck_assert_int_eq(hear(), KEEP_AND_RETURN);
    stop(ref);
    nothing_in("task");
    put("task", 42);
    ck_assert_int_eq(take_with("task", &deliveries), 42);
    ck_assert_uint_eq(deliveries, 1);
}
END_TEST

START_TEST(what_a_dead_process_had_comes_back) {
    troupe_ref ref = consume(TROUPE_PROCESS);
    put("task", CRASH);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_eq(hear(), CRASH);
    nothing_in("task");
    stop(ref);
}
END_TEST

/* What is known of those who had the message before. */
static int64_t how_they_died(const troupe_msg *m, const char *crashes_key, const char *signal_key) {
    troupe_value crashes = troupe_int(0), signal = troupe_int(0);
    troupe_msg_header(m, crashes_key, &crashes);
    troupe_msg_header(m, signal_key, &signal);
    return crashes.i * 1000 + signal.i;
}

/* Tells the test so, and dies of it, too. */
static void dies_of_it(troupe_self *self, void *arg) {
    troupe_ref test = *(troupe_ref *)arg;
    troupe_msg *m;
    if (troupe_consume(self, "task", 1) != TROUPE_OK || troupe_receive(self, TROUPE_FOREVER, &m) != TROUPE_OK)
        return;
    say(self, test, how_they_died(m, "t-crashes", "t-signal"));
    setrlimit(RLIMIT_CORE, &(struct rlimit){0});
    signal(SIGSEGV, SIG_DFL); /* no report of a sanitizer */
    raise(SIGSEGV);
}

static int64_t dead_of(void) {
    troupe_msg *m;
    ck_assert_int_eq(troupe_queue_get(client, "task.dead", PATIENCE_MS, &m), TROUPE_OK);
    int64_t how = how_they_died(m, "t-died-crashes", "t-died-signal");
    ck_assert_int_eq(troupe_queue_ack_confirm(client, &m, PATIENCE_MS), TROUPE_OK);
    return how;
}

/* On a machine that does nothing for half a second nobody may be told of a signal in time: several tries. */
START_TEST(who_gets_it_next_is_told_the_signal) {
    troupe_ref test = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.kind = TROUPE_PROCESS, .restart = TROUPE_PERMANENT, .backoff_min_ms = 1, .backoff_max_ms = 2};
    bool told = false;
    ck_assert_int_eq(troupe_queue_declare(client, "task.dead", &(troupe_queue_opts){.durable = true}), TROUPE_OK);
    ck_assert_int_eq(troupe_spawn(me, &opts, dies_of_it, &test, sizeof test, &ref), TROUPE_OK);
    for (int i = 0; i < 5 && !told; i++) {
        put("task", i);
        ck_assert_int_eq(hear(), 0);
        int64_t second = hear(), third = hear(), dead = dead_of();
        ck_assert_int_eq(second / 1000, 1);
        ck_assert_int_eq(third / 1000, 2);
        told = second % 1000 == SIGSEGV && third % 1000 == SIGSEGV && dead == 3000 + SIGSEGV;
    }
    ck_assert(told);
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK);
    ck_assert_int_eq(troupe_join(me, ref, PATIENCE_MS, NULL), TROUPE_OK);
}
END_TEST

START_TEST(credit_is_the_bound) {
    troupe_ref ref = consume(_i);
    ck_assert_int_eq(troupe_queue_pause(client, "task", true), TROUPE_OK);
    for (int i = 0; i < 100; i++)
        put("task", ACK);
    ck_assert_int_eq(troupe_queue_pause(client, "task", false), TROUPE_OK);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(hear(), ACK);
    nothing_in("task");
    stop(ref);
}
END_TEST

static void consumes_nothing(troupe_self *self, void *arg) {
    troupe_ref test = *(troupe_ref *)arg;
    troupe_msg *m;
    say(self, test, troupe_consume(self, "nowhere", 1));
    say(self, test, troupe_get(self, "nowhere", 100, &m));
    say(self, test, troupe_consume(self, "not a name", 1));
    say(self, test, troupe_consume(self, "task", 0));
    say(self, test, troupe_consume_stop(self, "task"));
}

START_TEST(a_queue_that_is_not_there_is_said) {
    troupe_ref test = troupe_self_ref(me);
    troupe_ref ref = spawn(_i, consumes_nothing, &test, sizeof test);
    ck_assert_int_eq(hear(), TROUPE_NOT_FOUND);
    ck_assert_int_eq(hear(), TROUPE_NOT_FOUND);
    ck_assert_int_eq(hear(), TROUPE_INVALID);
    ck_assert_int_eq(hear(), TROUPE_INVALID);
    ck_assert_int_eq(hear(), TROUPE_NOT_FOUND);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

static void receives_once(troupe_self *self, void *arg) {
    troupe_ref test = *(troupe_ref *)arg;
    troupe_msg *m;
    say(self, test, troupe_consume(self, "task", 1));
    say(self, test, troupe_receive(self, TROUPE_FOREVER, &m));
    say(self, test, troupe_receive(self, 10, &m));
}

START_TEST(a_queue_that_is_deleted_is_said_once) {
    troupe_ref test = troupe_self_ref(me);
    troupe_ref ref = spawn(_i, receives_once, &test, sizeof test);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_eq(troupe_queue_delete(client, "task"), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_NOT_FOUND);
    ck_assert_int_eq(hear(), TROUPE_TIMEOUT);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

static void stops_consuming(troupe_self *self, void *arg) {
    troupe_ref test = *(troupe_ref *)arg;
    troupe_msg *m;
    say(self, test, troupe_consume(self, "task", 1));
    say(self, test, troupe_receive(self, TROUPE_FOREVER, &m));
    say(self, test, troupe_consume_stop(self, "task"));
    say(self, test, troupe_ack(self, &m)); /* what is in hand can still be settled */
    say(self, test, troupe_receive(self, TROUPE_FOREVER, &m));
}

START_TEST(consuming_ends_and_the_rest_stays) {
    troupe_ref test = troupe_self_ref(me);
    troupe_ref ref = spawn(_i, stops_consuming, &test, sizeof test);
    put("task", 1);
    put("task", 2);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(hear(), TROUPE_OK);
    becomes("task", "consumers", 0);
    becomes("task", "ready", 1);
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_CLOSED);
    ends(ref, TROUPE_END_NORMAL);
    ck_assert_int_eq(take("task"), 2);
}
END_TEST

START_TEST(consumers_come_back_after_the_broker) {
    troupe_ref ref = consume(_i);
    put("task", ACK);
    ck_assert_int_eq(hear(), ACK);
    nothing_in("task"); /* an ack on its way to a broker that goes would be one that was never given */
    broker_again();
    put("task", TOUCH);
    ck_assert_int_eq(hear(), TOUCH);
    nothing_in("task");
    stop(ref);
}
END_TEST

/* --- getting --- */

static void gets(troupe_self *self, void *arg) {
    troupe_ref test = *(troupe_ref *)arg;
    troupe_msg *m;
    int64_t n = -1;
    troupe_status st = TROUPE_DISCONNECTED;
    while (st == TROUPE_DISCONNECTED) /* dialling may take longer */
        st = troupe_get(self, "task", 10, &m);
    say(self, test, st); /* TIMEOUT */
    st = troupe_get(self, "task", TROUPE_FOREVER, &m);
    if (st == TROUPE_OK && troupe_msg_int(m, &n))
        st = troupe_ack(self, &m);
    say(self, test, st == TROUPE_OK ? n : -1);
    say(self, test, troupe_get(self, "task", TROUPE_FOREVER, &m));   /* kept to the end */
    say(self, test, troupe_get(self, "result", TROUPE_FOREVER, &m)); /* CLOSED */
}

START_TEST(gets_one_at_a_time) {
    uint32_t deliveries;
    troupe_ref test = troupe_self_ref(me);
    troupe_ref ref = spawn(_i, gets, &test, sizeof test);
    ck_assert_int_eq(hear(), TROUPE_TIMEOUT);
    put("task", 17);
    ck_assert_int_eq(hear(), 17);
    becomes("task", "held", 0);
    put("task", 18);
    ck_assert_int_eq(hear(), TROUPE_OK);
    becomes("result", "waiting", 1); /* it waits there */
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_CLOSED);
    ends(ref, TROUPE_END_NORMAL);
    ck_assert_int_eq(take_with("task", &deliveries), 18);
    ck_assert_uint_eq(deliveries, 2);
    put("result", 1); /* nobody is left who would swallow it */
    ck_assert_int_eq(take("result"), 1);
}
END_TEST

START_TEST(a_get_finds_the_broker_again) {
    troupe_ref test = troupe_self_ref(me);
    troupe_ref ref = spawn(_i, gets, &test, sizeof test);
    ck_assert_int_eq(hear(), TROUPE_TIMEOUT);
    becomes("task", "waiting", 1);
    broker_again();
    put("task", 19);
    ck_assert_int_eq(hear(), 19);
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK);
    (void)!troupe_join(me, ref, PATIENCE_MS, NULL);
}
END_TEST

/* --- putting --- */

static void puts_some(troupe_self *self, void *arg) {
    troupe_ref test = *(troupe_ref *)arg;
    troupe_level level = TROUPE_LEVEL_DEFAULT;
    uint8_t headers[] = {0x81, 0xa1, 'k', 0x07};
    troupe_put_opts plain = {.headers = {.kind = TROUPE_PACKED, .data = headers, .size = sizeof headers},
                             .priority = TROUPE_PRIORITY(0)};
    say(self, test, troupe_put(self, "task", troupe_int(1), NULL, &level));
    say(self, test, level);
    say(self, test, troupe_put(self, "task", troupe_int(2), &plain, NULL)); /* overtakes the first */
    say(self, test, troupe_put(self, "task", troupe_int(3), &(troupe_put_opts){.id = "one"}, NULL));
    say(self, test, troupe_put(self, "task", troupe_int(4), &(troupe_put_opts){.id = "one"}, NULL)); /* as if it were put */
    say(self, test, troupe_put(self, "nowhere", troupe_int(5), NULL, NULL));
    say(self, test, troupe_put(self, "task", troupe_int(6), &(troupe_put_opts){.delay_ms = -1}, NULL));
    say(self, test, troupe_put(self, "a b", troupe_int(7), NULL, NULL));
}

START_TEST(puts_and_hears_what_it_is_worth) {
    troupe_ref test = troupe_self_ref(me);
    troupe_ref ref = spawn(_i, puts_some, &test, sizeof test);
    static const int expected[] = {TROUPE_OK, TROUPE_LEVEL_SYNCED, TROUPE_OK,      TROUPE_OK,
                                   TROUPE_OK, TROUPE_NOT_FOUND,    TROUPE_INVALID, TROUPE_INVALID};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        ck_assert_int_eq(hear(), expected[i]);
    ends(ref, TROUPE_END_NORMAL);
    troupe_msg *m;
    troupe_value v;
    ck_assert_int_eq(troupe_queue_get(client, "task", PATIENCE_MS, &m), TROUPE_OK);
    ck_assert(troupe_msg_header(m, "k", &v));
    ck_assert_int_eq(troupe_queue_ack(client, &m), TROUPE_OK);
    ck_assert_int_eq(take("task"), 1);
    ck_assert_int_eq(take("task"), 3);
    nothing_in("task");
}
END_TEST

enum { MANY = 20000 };

static void submits_many(troupe_self *self, void *arg) {
    troupe_ref test = *(troupe_ref *)arg;
    for (int i = 0; i < MANY; i++)
        if (troupe_submit(self, "task", troupe_int(i), &(troupe_put_opts){.level = TROUPE_LEVEL_WRITTEN}) != TROUPE_OK)
            return;
    say(self, test, troupe_put_wait(self, PATIENCE_MS));
    (void)!troupe_submit(self, "nowhere", troupe_int(1), NULL);
    (void)!troupe_submit(self, "task", troupe_int(MANY), NULL);
    say(self, test, troupe_put_wait(self, PATIENCE_MS));            /* NOT_FOUND */
    say(self, test, troupe_put_wait(self, PATIENCE_MS));            /* told */
    (void)!troupe_submit(self, "task", troupe_int(MANY + 1), NULL); /* its end waits for it */
}

START_TEST(submits_many_and_hears_once) {
    troupe_ref test = troupe_self_ref(me);
    troupe_ref ref = spawn(_i, submits_many, &test, sizeof test);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ck_assert_int_eq(hear(), TROUPE_NOT_FOUND);
    ck_assert_int_eq(hear(), TROUPE_OK);
    ends(ref, TROUPE_END_NORMAL);
    ck_assert_int_eq(stat_of("task", "ready"), MANY + 2);
    troupe_msg *m;
    troupe_sub sub;
    ck_assert_int_eq(troupe_queue_consume(client, "task", 1000, &sub), TROUPE_OK);
    for (int64_t i = 0, n; i < MANY + 2; i++) {
        ck_assert_int_eq(troupe_client_receive(client, PATIENCE_MS, &m), TROUPE_OK);
        ck_assert(troupe_msg_int(m, &n));
        ck_assert_int_eq(n, i);
        ck_assert_int_eq(troupe_queue_ack(client, &m), TROUPE_OK);
    }
}
END_TEST

/* --- ack_with --- */

/* Squares tasks into `result` with the task's id; a second delivery is told to the test. */
static void squares(troupe_self *self, void *arg) {
    troupe_ref test = *(troupe_ref *)arg;
    troupe_msg *m;
    int64_t n;
    if (troupe_consume(self, "task", 64) != TROUPE_OK)
        return;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        char id[32];
        if (!troupe_msg_int(m, &n))
            return;
        snprintf(id, sizeof id, "task-%lld", (long long)n);
        if (troupe_msg_deliveries(m) > 1)
            say(self, test, n);
        if (troupe_ack_with(self, &m, n == -1 ? "nowhere" : "result", troupe_int(n * n), &(troupe_put_opts){.id = id}) !=
            TROUPE_OK)
            troupe_msg_free(&m);
        if (n == -1)
            say(self, test, troupe_put_wait(self, PATIENCE_MS));
        if (n == -2)
            return;
    }
}

START_TEST(acknowledges_by_results) {
    enum { TASKS = 1000 };
    troupe_ref test = troupe_self_ref(me);
    uint64_t number;
    troupe_msg *m;
    for (int i = 0; i < TASKS; i++)
        ck_assert_int_eq(troupe_queue_submit(client, "task", troupe_int(i), NULL, true, &number), TROUPE_OK);
    for (int i = 0; i < TASKS; i++)
        ck_assert_int_eq(troupe_client_collect(client, PATIENCE_MS, &number, &m), TROUPE_OK);
    troupe_ref ref = spawn(_i, squares, &test, sizeof test);
    for (int64_t i = 0; i < TASKS; i++)
        ck_assert_int_eq(take("result"), i * i);
    nothing_in("task");
    nothing_in("result");
    put("task", -2); /* it returns at once: the end of a body waits until its result is confirmed */
    ends(ref, TROUPE_END_NORMAL);
    ck_assert_int_eq(take("result"), 4);
    nothing_in("task");
}
END_TEST

START_TEST(a_task_without_a_result_comes_again) {
    troupe_ref test = troupe_self_ref(me);
    troupe_ref ref = spawn(_i, squares, &test, sizeof test);
    put("task", -1);
    ck_assert_int_eq(hear(), TROUPE_NOT_FOUND); /* of put_wait */
    becomes("task", "delayed", 1);
    put("task", 3);
    ck_assert_int_eq(take("result"), 9);
    ck_assert_int_eq(hear(), -1); /* it is back */
    ck_assert_int_eq(hear(), TROUPE_NOT_FOUND);
    stop(ref);
}
END_TEST

/* The broker goes away with results under way, again and again: none is lost, none is there twice. */
START_TEST(each_result_once_though_the_broker_restarts) {
    enum { TASKS = 3000 };
    troupe_ref test = troupe_self_ref(me);
    static bool seen[TASKS];
    uint64_t number;
    troupe_msg *m;
    for (int i = 0; i < TASKS; i++)
        ck_assert_int_eq(troupe_queue_submit(client, "task", troupe_int(i), NULL, true, &number), TROUPE_OK);
    for (int i = 0; i < TASKS; i++)
        ck_assert_int_eq(troupe_client_collect(client, PATIENCE_MS, &number, &m), TROUPE_OK);
    troupe_ref ref;
    troupe_spawn_opts opts = {.kind = (troupe_kind)_i, .mailbox = 100000};
    ck_assert_int_eq(troupe_spawn(me, &opts, squares, &test, sizeof test, &ref), TROUPE_OK);
    for (int round = 0; round < 5; round++) {
        ck_assert_int_eq(troupe_sleep(me, round), TROUPE_OK); /* somewhere in the work */
        broker_again();
    }
    for (int i = 0; i < TASKS; i++) {
        int64_t square = take("result"), n = 0;
        while (n * n < square)
            n++;
        ck_assert_int_eq(n * n, square);
        ck_assert_msg(!seen[n], "%lld twice", (long long)n);
        seen[n] = true;
    }
    nothing_in("task");
    nothing_in("result");
    while (troupe_receive(me, 0, &m) == TROUPE_OK)
        troupe_msg_free(&m); /* the second deliveries */
    stop(ref);
}
END_TEST

/* --- others beside it --- */

static void talks_and_consumes(troupe_self *self, void *arg) {
    (void)arg;
    troupe_msg *m;
    int64_t n;
    if (troupe_consume(self, "task", 4) != TROUPE_OK)
        return;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        if (!troupe_msg_int(m, &n))
            return;
        if (troupe_msg_sender(m).id)
            (void)!troupe_reply(self, m, troupe_int(troupe_ack(self, &m) == TROUPE_NOT_FOUND ? n : -1));
        else if (troupe_ack_with(self, &m, "result", troupe_int(n), NULL) != TROUPE_OK)
            return;
        troupe_msg_free(&m);
    }
}

START_TEST(one_mailbox_for_queues_and_actors) {
    troupe_ref ref = spawn(_i, talks_and_consumes, NULL, 0);
    for (int64_t i = 0; i < 50; i++) {
        troupe_msg *answer;
        int64_t n;
        put("task", i);
        ck_assert_int_eq(troupe_ask(me, ref, troupe_int(i), PATIENCE_MS, &answer), TROUPE_OK);
        ck_assert(troupe_msg_int(answer, &n));
        ck_assert_int_eq(n, i);
        troupe_msg_free(&answer);
        ck_assert_int_eq(take("result"), i);
    }
    stop(ref);
}
END_TEST

/* A body that parks in a get does not hold up those that share its thread. */
START_TEST(coroutines_park_alone) {
    troupe_ref test = troupe_self_ref(me);
    enum { BODIES = 20 };
    troupe_ref ref[BODIES];
    for (int i = 0; i < BODIES; i++)
        ref[i] = spawn(TROUPE_COROUTINE, gets, &test, sizeof test);
    for (int i = 0; i < BODIES; i++)
        ck_assert_int_eq(hear(), TROUPE_TIMEOUT);
    becomes("task", "waiting", BODIES);
    for (int i = 0; i < BODIES; i++)
        put("task", 7);
    for (int i = 0; i < BODIES; i++)
        ck_assert_int_eq(hear(), 7);
    for (int i = 0; i < BODIES; i++)
        ck_assert_int_eq(troupe_kill(me, ref[i]), TROUPE_OK);
    for (int i = 0; i < BODIES; i++)
        (void)!troupe_join(me, ref[i], PATIENCE_MS, NULL);
    becomes("task", "waiting", 0);
}
END_TEST

int main(void) {
    Suite *s = suite_create("actor_queue");
    const TTest *const every[] = {settles_in_every_way,
                                  what_a_body_keeps_goes_back_when_it_returns,
                                  credit_is_the_bound,
                                  a_queue_that_is_not_there_is_said,
                                  a_queue_that_is_deleted_is_said_once,
                                  consuming_ends_and_the_rest_stays,
                                  consumers_come_back_after_the_broker,
                                  gets_one_at_a_time,
                                  a_get_finds_the_broker_again,
                                  puts_and_hears_what_it_is_worth,
                                  submits_many_and_hears_once,
                                  acknowledges_by_results,
                                  a_task_without_a_result_comes_again,
                                  each_result_once_though_the_broker_restarts,
                                  one_mailbox_for_queues_and_actors};
    const TTest *const once[] = {what_a_dead_process_had_comes_back, who_gets_it_next_is_told_the_signal,
                                 coroutines_park_alone};
    TCase *c = tcase_create("every kind");
    for (size_t i = 0; i < sizeof every / sizeof *every; i++)
        tcase_add_loop_test(c, every[i], TROUPE_COROUTINE, TROUPE_PROCESS + 1);
    tcase_add_checked_fixture(c, up, down);
    tcase_set_timeout(c, 40);
    suite_add_tcase(s, c);
    c = run_case(s, "one kind", once, sizeof once / sizeof *once);
    tcase_add_checked_fixture(c, up, down);
    tcase_set_timeout(c, 40);
    return run_suite(s);
}
