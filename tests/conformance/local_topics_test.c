/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Publish and subscribe inside a system, without a broker, between every kind. */
#include "tests/support/actors.h"
#include "tests/support/faults.h"

enum { KINDS = TROUPE_PROCESS + 1, PAIRS = KINDS * KINDS };

struct job {
    troupe_ref test;
    const char *pattern, *group; /* string constants: every process has them */
    int64_t count;
};

/* Subscribes, says so (-1), and what comes; a topic's last letter times 1000 is added. Text ends it. */
static void listens(troupe_self *self, void *arg) {
    const struct job *job = arg;
    troupe_msg *m;
    troupe_sub_opts opts = {.group = job->group};
    say(self, job->test, -1 - (int64_t)troupe_subscribe(self, job->pattern, &opts));
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        const char *topic = troupe_msg_topic(m);
        int64_t n;
        bool more = troupe_msg_int(m, &n);
        if (troupe_msg_wants_reply(m))
            (void)!troupe_reply(self, m, troupe_int(n * n));
        else if (more)
            say(self, job->test, n + 1000 * (topic[0] ? topic[strlen(topic) - 1] : 0));
        troupe_msg_free(&m);
        if (!more)
            return;
    }
}

static troupe_ref listener(int kind, const char *pattern, const char *group) {
    struct job job = {.test = troupe_self_ref(me), .pattern = pattern, .group = group};
    troupe_ref ref = spawn(kind, listens, &job, sizeof job);
    ck_assert_int_eq(hear(), -1);
    return ref;
}

static void publish(const char *topic, int64_t n) {
    ck_assert_int_eq(troupe_publish(me, topic, troupe_int(n), 0), TROUPE_OK);
}

static void publishes(troupe_self *self, void *arg) {
    const struct job *job = arg;
    for (int64_t i = 0; i < job->count; i++) {
        if (troupe_publish(self, "local.x", troupe_int(i), 0) != TROUPE_OK)
            say(self, job->test, -2);
    }
}

START_TEST(every_kind_hears_every_kind_in_order) {
    enum { COUNT = 100 };
    struct job job = {.test = troupe_self_ref(me), .count = COUNT};
    troupe_ref a = listener(_i % KINDS, "local.*", NULL), b = spawn(_i / KINDS, publishes, &job, sizeof job);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(hear(), i + 1000 * 'x');
    ends(b, TROUPE_END_NORMAL);
    stop(a);
}
END_TEST

START_TEST(each_gets_what_its_pattern_says) {
    static const char *const patterns[] = {"local.a.b", "local.*.b", "local.a.>", "local.>", "local.a", "local.*"};
    static const char *const topics[] = {"local.a.b", "local.a", "local.c.b", "local.a.b.c"};
    static const int expected[] = {4, 3, 2, 2}; /* of how many it is heard */
    troupe_ref refs[6];
    for (int i = 0; i < 6; i++)
        refs[i] = listener((i + _i) % KINDS, patterns[i], NULL);
    for (int t = 0; t < 4; t++) {
        publish(topics[t], t);
        for (int i = 0; i < expected[t]; i++)
            ck_assert_int_eq(hear(), t + 1000 * topics[t][strlen(topics[t]) - 1]);
    }
    for (int i = 0; i < 6; i++)
        stop(refs[i]);
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, 0, &m), TROUPE_TIMEOUT); /* and nobody heard more */
}
END_TEST

START_TEST(of_a_group_one_hears_it) {
    enum { MEMBERS = KINDS, COUNT = 60 };
    troupe_ref refs[MEMBERS];
    troupe_msg *m;
    int64_t seen[COUNT] = {0}, n;
    int by[MEMBERS] = {0};
    for (int i = 0; i < MEMBERS; i++)
        refs[i] = listener(i, "local.work", "crew");
    for (int i = 0; i < COUNT; i++)
        publish("local.work", i);
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
        ck_assert(troupe_msg_int(m, &n));
        seen[n - 1000 * 'k']++;
        for (int w = 0; w < MEMBERS; w++)
            by[w] += refs[w].id == troupe_msg_sender(m).id;
        troupe_msg_free(&m);
    }
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(seen[i], 1);
    for (int w = 0; w < MEMBERS; w++)
        ck_assert_int_eq(by[w], COUNT / MEMBERS); /* in turn */
    for (int i = 0; i < MEMBERS; i++)
        stop(refs[i]);
}
END_TEST

START_TEST(the_death_of_one_is_nothing_to_the_others) {
    troupe_ref a = listener(_i, "local.x", NULL), b = listener(TROUPE_COROUTINE, "local.x", NULL);
    ck_assert_int_eq(troupe_kill(me, a), TROUPE_OK);
    ends(a, TROUPE_END_KILLED);
    for (int i = 0; i < 3; i++) {
        publish("local.x", i);
        ck_assert_int_eq(hear(), i + 1000 * 'x');
    }
    stop(b);
    publish("local.x", 9); /* to nobody */
}
END_TEST

/* Subscribes twice, unsubscribes in between. */
static void comes_and_goes(troupe_self *self, void *arg) {
    const struct job *job = arg;
    troupe_msg *m;
    int64_t n;
    say(self, job->test, troupe_subscribe(self, "local.x", NULL));
    say(self, job->test, troupe_subscribe(self, "local.x", NULL));
    say(self, job->test, troupe_publish(self, "local.x", troupe_int(1), 0));
    say(self, job->test, troupe_unsubscribe(self, "local.x"));
    say(self, job->test, troupe_unsubscribe(self, "local.x"));
    say(self, job->test, troupe_publish(self, "local.x", troupe_int(2), 0));
    while (troupe_receive(self, 50, &m) == TROUPE_OK) {
        say(self, job->test, troupe_msg_int(m, &n) ? n : -1);
        troupe_msg_free(&m);
    }
    say(self, job->test, 99);
}

START_TEST(who_unsubscribes_hears_no_more) {
    const int64_t said[] = {TROUPE_OK, TROUPE_OK, TROUPE_OK, TROUPE_OK, TROUPE_NOT_FOUND, TROUPE_OK, 1, 99};
    struct job job = {.test = troupe_self_ref(me)};
    troupe_ref a = spawn(_i, comes_and_goes, &job, sizeof job);
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        ck_assert_int_eq(hear(), said[i]);
    ends(a, TROUPE_END_NORMAL);
}
END_TEST

static void requests(troupe_self *self, void *arg) {
    const struct job *job = arg;
    troupe_msg *answer;
    troupe_status st = troupe_request(self, "local.square", troupe_int(job->count), PATIENCE_MS, &answer);
    say(self, job->test, st == TROUPE_OK ? troupe_msg_value(answer).i : -10 - (int64_t)st);
    if (st == TROUPE_OK)
        troupe_msg_free(&answer);
}

START_TEST(a_request_is_answered_by_one) {
    struct job job = {.test = troupe_self_ref(me), .count = 7};
    ends(spawn(_i / KINDS, requests, &job, sizeof job), TROUPE_END_NORMAL);
    ck_assert_int_eq(hear(), -10 - TROUPE_NO_RESPONDERS);
    troupe_ref a = listener(_i % KINDS, "local.square", "squares"), b = listener(TROUPE_THREAD, "local.square", "squares");
    for (int i = 0; i < 4; i++) {
        ends(spawn(_i / KINDS, requests, &job, sizeof job), TROUPE_END_NORMAL);
        ck_assert_int_eq(hear(), 49);
    }
    stop(a);
    stop(b);
}
END_TEST

/* In its second life it has subscribed to nothing. */
static void subscribes_once(troupe_self *self, void *arg) {
    const struct job *job = arg;
    troupe_msg *m;
    troupe_ref ref;
    if (troupe_unsubscribe(self, "local.x") == TROUPE_OK)
        say(self, job->test, -3);
    (void)!troupe_subscribe(self, "local.x", NULL);
    ref = troupe_self_ref(self);
    (void)!troupe_send(self, job->test, troupe_ref_value(ref));
    if (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK)
        troupe_msg_free(&m);
}

START_TEST(a_new_life_has_subscribed_to_nothing) {
    struct job job = {.test = troupe_self_ref(me)};
    troupe_spawn_opts opts = {.kind = (troupe_kind)_i, .restart = TROUPE_PERMANENT, .backoff_min_ms = 1};
    troupe_ref ref;
    ck_assert_int_eq(troupe_spawn(me, &opts, subscribes_once, &job, sizeof job, &ref), TROUPE_OK);
    ck_assert_int_eq(hear(), (int64_t)ref.id);
    publish("local.x", 1);
    ck_assert_int_eq(hear(), (int64_t)ref.id); /* and not -3 before it */
    stop(ref);
}
END_TEST

START_TEST(topics_are_checked) {
    ck_assert_int_eq(troupe_subscribe(me, "local.", NULL), TROUPE_INVALID);
    ck_assert_int_eq(troupe_subscribe(me, "local.a..b", NULL), TROUPE_INVALID);
    ck_assert_int_eq(troupe_publish(me, "local.*", troupe_nil(), 0), TROUPE_INVALID);
    ck_assert_int_eq(troupe_publish(me, "local.a", troupe_packed("\xc1", 1), 0), TROUPE_INVALID);
}
END_TEST

START_TEST(without_memory_nobody_subscribes) {
    troupe_status st = TROUPE_NO_MEMORY;
    for (long n = 1; st != TROUPE_OK; n++) {
        faults_fail_at(n);
        st = troupe_subscribe(me, "local.x", NULL);
        faults_off();
        ck_assert(st == TROUPE_OK || (st == TROUPE_NO_MEMORY && n < 30));
    }
    troupe_msg *m;
    publish("local.x", 5);
    ck_assert_int_eq(troupe_receive(me, 0, &m), TROUPE_OK);
    ck_assert_str_eq(troupe_msg_topic(m), "local.x");
    ck_assert_uint_eq(troupe_msg_sender(m).id, troupe_self_ref(me).id);
    troupe_msg_free(&m);
}
END_TEST

static void alone_up(void) {
    system_up_with(&(troupe_system_opts){.threads = 1, .no_processes = true});
}

int main(void) {
    Suite *s = suite_create("local topics");
    TCase *c = tcase_create("every kind");
    tcase_add_checked_fixture(c, system_up, system_down);
    tcase_add_loop_test(c, every_kind_hears_every_kind_in_order, 0, PAIRS);
    tcase_add_loop_test(c, each_gets_what_its_pattern_says, 0, KINDS);
    tcase_add_test(c, of_a_group_one_hears_it);
    tcase_add_loop_test(c, the_death_of_one_is_nothing_to_the_others, 0, KINDS);
    tcase_add_loop_test(c, who_unsubscribes_hears_no_more, 0, KINDS);
    tcase_add_loop_test(c, a_request_is_answered_by_one, 0, PAIRS);
    tcase_add_loop_test(c, a_new_life_has_subscribed_to_nothing, 0, KINDS);
    tcase_add_test(c, topics_are_checked);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    TCase *m = tcase_create("memory");
    tcase_add_checked_fixture(m, alone_up, system_down);
    tcase_add_test(m, without_memory_nobody_subscribes);
    suite_add_tcase(s, m);
    return run_suite(s);
}
