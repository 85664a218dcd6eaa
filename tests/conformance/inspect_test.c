/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Looking inside: what is said of actors of every kind is so, and looking while all of them are born, work and die
 * disturbs nobody. */
#include <pthread.h>
#include <stdatomic.h>
#include <troupe/inspect.h>
#include <troupe/supervisor.h>

#include "actors/sanitizer.h"
#include "tests/support/actors.h"
#include "tests/support/faults.h"

enum { KINDS = 3, DEEP = 40 * 1024, COMPUTED_NS = 5 * 1000 * 1000 };

static bool find(troupe_ref ref, troupe_actor_info *out) {
    troupe_snapshot *s;
    bool found = false;
    ck_assert_int_eq(troupe_system_snapshot(sys, &s), TROUPE_OK);
    for (size_t i = 0; i < s->count && !found; i++) {
        found = s->actors[i].ref.id == ref.id;
        if (found)
            *out = s->actors[i];
    }
    troupe_snapshot_free(&s);
    ck_assert_ptr_null(s);
    return found;
}

static troupe_actor_info info_of(troupe_ref ref) {
    troupe_actor_info info;
    ck_assert(find(ref, &info));
    return info;
}

/* --- what is said --- */

static unsigned touch(unsigned depth) {
    volatile char here[4096];
    for (size_t i = 0; i < sizeof here; i++)
        here[i] = (char)depth;
    return depth ? touch(depth - 1) + (unsigned)here[0] : (unsigned)here[17];
}

/* Goes deep, computes for a while, says so, takes three messages and then none until it is told to. */
static void worker(troupe_self *self, void *arg) {
    troupe_ref test = *(troupe_ref *)arg;
    troupe_msg *m;
    volatile unsigned work = touch(DEEP / 4096);
    struct timespec t = {0};
    while (t.tv_sec == 0 && t.tv_nsec < COMPUTED_NS) {
        work++;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    }
    for (int i = 0; i < 3 && troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK; i++)
        troupe_msg_free(&m);
    say(self, test, 1);
    (void)!troupe_ask(self, test, troupe_int(2), TROUPE_FOREVER, &m); /* answered with the end of the test */
}

static void waits(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)arg;
    if (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK)
        troupe_msg_free(&m);
}

static void until_it_waits(troupe_ref ref, int kind) {
    while (kind != TROUPE_PROCESS && info_of(ref).state != TROUPE_ACTOR_WAITING)
        troupe_yield(me);
}

START_TEST(what_is_said_is_so) {
    system_up();
    troupe_ref test = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {
        .kind = (troupe_kind)_i, .name = "worker", .stack = _i == TROUPE_COROUTINE ? 256 * 1024 : 0, .mailbox = 9};
    ck_assert_int_eq(troupe_spawn(me, &opts, worker, &test, sizeof test, &ref), TROUPE_OK);
    for (int i = 0; i < 7; i++)
        ck_assert_int_eq(troupe_send(me, ref, troupe_int(i)), TROUPE_OK);
    troupe_msg *question;
    ck_assert_int_eq(hear(), 1);
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &question), TROUPE_OK);
    until_it_waits(ref, _i);
    troupe_actor_info info = info_of(ref);
    ck_assert_str_eq(info.name, "worker");
    ck_assert_int_eq(info.kind, _i);
    ck_assert_uint_eq(info.queued_most, 9);
    ck_assert_int_eq(info.restarts, 0);
    ck_assert_uint_eq(info.dropped, 0);
    if (_i == TROUPE_PROCESS) {
        ck_assert_uint_ge(info.queued, 4); /* what its process has taken is told now and then */
        ck_assert_int_gt(info.pid, 0);
        ck_assert_int_eq(info.state, TROUPE_ACTOR_RUNNING);
    } else {
        ck_assert_uint_eq(info.queued, 4);
        ck_assert_uint_eq(info.handled, 3);
        ck_assert_int_eq(info.pid, 0);
        if (!TRP_ASAN) /* which has stacks of its own */
            ck_assert_uint_ge(info.stack_used, DEEP);
        ck_assert_uint_le(info.stack_used, info.stack_size);
    }
    ck_assert_int_ge(info.cpu_ns, _i == TROUPE_COROUTINE ? 0 : COMPUTED_NS);
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK);
    ends(ref, TROUPE_END_KILLED);
    ck_assert(!find(ref, &info));
    troupe_msg_free(&question);
    system_down();
}
END_TEST

/* --- the processor time of those that have no clock of their own --- */

static atomic_bool enough;

static int64_t thread_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Computes until it is told, without a call, so on one thread; says what that has used. */
static int64_t compute(void) {
    int64_t began = thread_ns();
    while (!atomic_load(&enough))
        ;
    return thread_ns() - began;
}

static void hog(troupe_self *self, void *arg) {
    troupe_msg *m;
    int64_t ns = compute();
    say(self, *(troupe_ref *)arg, ns);
    (void)!troupe_receive(self, TROUPE_FOREVER, &m);
}

static void hog_message(troupe_self *self, void *state, troupe_msg **m) {
    (void)m;
    say(self, *(troupe_ref *)state, compute());
}

static troupe_ref hog_new(bool handler) {
    static const troupe_handler calls = {.on_message = hog_message};
    troupe_ref test = troupe_self_ref(me), ref;
    if (!handler)
        return spawn(TROUPE_COROUTINE, hog, &test, sizeof test);
    ck_assert_int_eq(troupe_spawn_handler(me, NULL, &calls, &test, sizeof test, &ref), TROUPE_OK);
    ck_assert_int_eq(troupe_send(me, ref, troupe_nil()), TROUPE_OK);
    return ref;
}

/* One of two hogs is taken over from, since somebody waits for its worker; both are counted also when no worker has had
 * anything to do for longer than the watch stays awake then. */
START_TEST(a_hogs_time_is_counted) {
    enum { LEAST = 100 * 1000 * 1000, LONG_MS = 1200 };
    system_up_with(&(troupe_system_opts){.threads = 1});
    troupe_ref refs[] = {hog_new(_i), hog_new(_i)}, idle = spawn(TROUPE_COROUTINE, waits, NULL, 0);
    until_it_waits(idle, TROUPE_COROUTINE);
    ck_assert_int_eq(troupe_sleep(me, LONG_MS), TROUPE_OK);
    for (int i = 0; i < 2; i++) {
        int64_t more = info_of(refs[i]).cpu_ns + LEAST;
        while (info_of(refs[i]).cpu_ns < more)
            ck_assert_int_eq(troupe_sleep(me, 5), TROUPE_OK);
    }
    atomic_store(&enough, true);
    int64_t used = hear() + hear(), counted = info_of(refs[0]).cpu_ns + info_of(refs[1]).cpu_ns;
    ck_assert_int_ge(counted, used / 3);
    ck_assert_int_le(counted, used + used / 3);
    ck_assert_int_le(info_of(idle).cpu_ns, counted / 10);
    troupe_actor_info info = info_of(refs[0]);
    ck_assert_int_eq(info.stack_size == 0, _i);
    system_down();
}
END_TEST

/* Short turns get their share of the whole. */
static void plays(troupe_self *self, void *arg) {
    troupe_ref other = *(troupe_ref *)arg;
    troupe_msg *m;
    if (other.id)
        say(self, other, 1);
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        say(self, troupe_msg_sender(m), 1);
        troupe_msg_free(&m);
    }
}

START_TEST(short_turns_are_counted_on_average) {
    enum { LEAST = 20 * 1000 * 1000 };
    system_up_with(&(troupe_system_opts){.threads = 1});
    troupe_ref nobody = {0}, a = spawn(TROUPE_COROUTINE, plays, &nobody, sizeof nobody), b;
    b = spawn(TROUPE_COROUTINE, plays, &a, sizeof a);
    while (info_of(a).cpu_ns < LEAST || info_of(b).cpu_ns < LEAST)
        ck_assert_int_eq(troupe_sleep(me, 5), TROUPE_OK);
    system_down();
}
END_TEST

/* Answers one question, and leaves the rest. */
static void answers_one(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)arg;
    if (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK)
        troupe_msg_free(&m);
    (void)!troupe_sleep(self, 3600 * 1000);
}

START_TEST(dead_letters_are_counted) {
    system_up();
    troupe_spawn_opts opts = {.kind = (troupe_kind)_i, .mailbox = 2, .overflow = TROUPE_DROP_OLDEST};
    troupe_ref ref;
    troupe_snapshot *s;
    ck_assert_int_eq(troupe_spawn(me, &opts, answers_one, NULL, 0, &ref), TROUPE_OK);
    troupe_msg *answer;
    ck_assert_int_eq(troupe_ask(me, ref, troupe_nil(), PATIENCE_MS, &answer), TROUPE_OK);
    troupe_msg_free(&answer);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(troupe_send(me, ref, troupe_int(i)), TROUPE_OK);
    ck_assert_uint_eq(info_of(ref).dropped, 8);
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK);
    ends(ref, TROUPE_END_KILLED);
    ck_assert_int_eq(troupe_system_snapshot(sys, &s), TROUPE_OK);
    ck_assert_uint_eq(s->dead_letters, 10);
    troupe_snapshot_free(&s);
    system_down();
}
END_TEST

START_TEST(restarts_are_counted_through_a_supervisor) {
    system_up();
    troupe_child child = {.opts = {.kind = (troupe_kind)_i, .name = "kid", .restart = TROUPE_PERMANENT}, .body = waits};
    troupe_ref boss, kid;
    ck_assert_int_eq(troupe_supervise(me, NULL, &(troupe_supervisor_opts){.children = &child, .count = 1}, &boss), TROUPE_OK);
    for (uint32_t n = 1; n <= 3; n++) {
        ck_assert_int_eq(troupe_supervisor_restart(me, boss, "kid", &kid), TROUPE_OK);
        ck_assert_uint_eq(info_of(kid).restarts, n);
    }
    ck_assert_int_eq(troupe_close(me, boss), TROUPE_OK);
    ends(boss, TROUPE_END_NORMAL);
    system_down();
}
END_TEST

/* --- for people --- */

START_TEST(a_dump_has_a_line_for_each) {
    system_up();
    troupe_ref ref;
    ck_assert_int_eq(troupe_spawn(me, &(troupe_spawn_opts){.name = "sleeper"}, waits, NULL, 0, &ref), TROUPE_OK);
    until_it_waits(ref, TROUPE_COROUTINE);
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    ck_assert_int_eq(troupe_system_dump(sys, f), TROUPE_OK);
    fclose(f);
    ck_assert_ptr_nonnull(strstr(text, "coroutine waiting "));
    ck_assert_ptr_nonnull(strstr(text, "  sleeper\n"));
    ck_assert_ptr_nonnull(strstr(text, "  main\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n2 actors, 0 dead letters\n"));
    free(text);
    f = fopen("/dev/full", "w");
    ck_assert_ptr_nonnull(f);
    setvbuf(f, NULL, _IONBF, 0);
    ck_assert_int_eq(troupe_system_dump(sys, f), TROUPE_SYSTEM);
    fclose(f);
    stop(ref);
    system_down();
}
END_TEST

START_TEST(states_have_names) {
    ck_assert_str_eq(troupe_actor_state_name(TROUPE_ACTOR_STARTING), "starting");
    ck_assert_str_eq(troupe_actor_state_name(TROUPE_ACTOR_CLOSING), "closing");
    ck_assert_str_eq(troupe_actor_state_name((troupe_actor_state)9), "unknown");
}
END_TEST

START_TEST(no_memory_to_look) {
    system_up();
    for (long n = 1;; n++) {
        troupe_snapshot *s = NULL;
        faults_fail_at(n);
        troupe_status st = troupe_system_snapshot(sys, &s);
        if (st == TROUPE_OK)
            troupe_snapshot_free(&s);
        faults_off();
        ck_assert_int_eq(faults.live, 0);
        if (st == TROUPE_OK) {
            ck_assert_int_ge(n, 2);
            break;
        }
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
    }
    system_down();
}
END_TEST

/* --- while everything runs --- */

static atomic_bool over;
static atomic_uint looks;

static void *looks_all_the_time(void *arg) {
    (void)arg;
    while (!atomic_load(&over)) {
        troupe_snapshot *s;
        ck_assert_int_eq(troupe_system_snapshot(sys, &s), TROUPE_OK);
        ck_assert_uint_ge(s->count, 1);
        troupe_snapshot_free(&s);
        atomic_fetch_add(&looks, 1);
    }
    return NULL;
}

/* Sends itself a few messages and ends. */
static void short_life(troupe_self *self, void *arg) {
    troupe_msg *m;
    for (int i = 0; i < 5; i++) {
        say(self, troupe_self_ref(self), i);
        if (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK)
            troupe_msg_free(&m);
    }
    say(self, *(troupe_ref *)arg, 1);
}

START_TEST(looking_while_everything_runs) {
    enum { ROUNDS = TRP_TSAN || TRP_ASAN ? 30 : 200, CROWD = 10 };
    pthread_t looker;
    troupe_ref test;
    system_up();
    test = troupe_self_ref(me);
    ck_assert_int_eq(pthread_create(&looker, NULL, looks_all_the_time, NULL), 0);
    for (int r = 0; r < ROUNDS || atomic_load(&looks) < 10; r++) {
        for (int i = 0; i < CROWD; i++)
            spawn(i == 0 && r % 4 == 0 ? TROUPE_PROCESS
                  : i < 3              ? TROUPE_THREAD
                                       : TROUPE_COROUTINE,
                  short_life, &test, sizeof test);
        for (int i = 0; i < CROWD; i++)
            ck_assert_int_eq(hear(), 1);
    }
    atomic_store(&over, true);
    pthread_join(looker, NULL);
    system_down();
}
END_TEST

int main(void) {
    const TTest *const once[] = {a_dump_has_a_line_for_each, states_have_names, no_memory_to_look,
                                 looking_while_everything_runs, short_turns_are_counted_on_average};
    const TTest *const kinds[] = {what_is_said_is_so, dead_letters_are_counted, restarts_are_counted_through_a_supervisor};
    Suite *s = suite_create("inspect");
    TCase *c = run_case(s, "inspect", once, sizeof once / sizeof *once);
    tcase_set_timeout(c, 60);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        tcase_add_loop_test(c, kinds[i], 0, KINDS);
    tcase_add_loop_test(c, a_hogs_time_is_counted, 0, 2);
    return run_suite(s);
}
