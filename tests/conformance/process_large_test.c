/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Messages to and from processes that are larger than what lies between them, whole and in order, and bounded like all others;
 * what else of a message crosses; and that a death in the middle leaves nothing behind. */
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <troupe/command.h>
#include <unistd.h>

#include "actors/parcel.h"
#include "actors/sanitizer.h"
#include "tests/support/actors.h"
#include "tests/support/descriptors.h"
#include "tests/support/echo.h"

enum { MOST = 16 << 20 };

static const size_t sizes[] = {1, TRP_PARCEL_TO_SYSTEM - 8, TRP_PARCEL_TO_SYSTEM, TRP_PARCEL_TO_BODY, 3 << 20, MOST};
enum { SIZES = sizeof sizes / sizeof *sizes };

static uint8_t *pattern(void) {
    static uint8_t bytes[MOST + 256];
    for (size_t i = 0; bytes[1] == 0 && i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i + i / 255);
    return bytes;
}

static bool is_pattern(const troupe_msg *m, size_t size, size_t shift) {
    troupe_value v = troupe_msg_value(m);
    return v.kind == TROUPE_BYTES && v.size == size && memcmp(v.data, pattern() + shift, size) == 0;
}

static void expect(size_t size, size_t shift) {
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    ck_assert(is_pattern(m, size, shift));
    troupe_msg_free(&m);
}

START_TEST(any_size_there_and_back) {
    troupe_ref ref = spawn(TROUPE_PROCESS, echoes, NULL, 0);
    troupe_msg *m;
    for (size_t i = 0; i < SIZES; i++) {
        ck_assert_int_eq(troupe_ask(me, ref, troupe_bytes(pattern() + i, sizes[i]), PATIENCE_MS, &m), TROUPE_OK);
        ck_assert(is_pattern(m, sizes[i], i));
        troupe_msg_free(&m);
    }
    stop(ref);
}
END_TEST

/* More than may be under way, so some go in pieces, small ones between them. */
START_TEST(order_is_kept) {
    enum { MANY = 40 };
    troupe_ref ref = spawn(TROUPE_PROCESS, echoes, NULL, 0);
    for (size_t i = 0; i < MANY; i++)
        ck_assert_int_eq(troupe_send(me, ref, troupe_bytes(pattern() + i, sizes[i % (SIZES - 1)])), TROUPE_OK);
    for (size_t i = 0; i < MANY; i++)
        expect(sizes[i % (SIZES - 1)], i);
    stop(ref);
}
END_TEST

struct relay {
    troupe_ref to, home;
};

static void asks_the_other(troupe_self *self, void *arg) {
    const struct relay *r = arg;
    troupe_msg *m;
    bool ok = true;
    for (size_t i = 0; i < SIZES && ok; i++) {
        ok = troupe_ask(self, r->to, troupe_bytes(pattern() + i, sizes[i]), PATIENCE_MS, &m) == TROUPE_OK &&
             is_pattern(m, sizes[i], i);
        if (ok)
            troupe_msg_free(&m);
    }
    say(self, r->home, ok);
}

START_TEST(between_two_processes) {
    struct relay r = {spawn(TROUPE_PROCESS, echoes, NULL, 0), troupe_self_ref(me)};
    ends(spawn(TROUPE_PROCESS, asks_the_other, &r, sizeof r), TROUPE_END_NORMAL);
    ck_assert_int_eq(hear(), 1);
    stop(r.to);
}
END_TEST

struct heavy {
    troupe_ref home;
    uint8_t bytes[3 << 20];
};

static void weighs(troupe_self *self, void *arg) {
    const struct heavy *h = arg;
    say(self, h->home, memcmp(h->bytes, pattern(), sizeof h->bytes) == 0);
}

/* What a process asks for may be large, too. */
static void spawns(troupe_self *self, void *arg) {
    static struct heavy h;
    troupe_ref ref;
    h.home = *(troupe_ref *)arg;
    memcpy(h.bytes, pattern(), sizeof h.bytes);
    if (troupe_spawn(self, &(troupe_spawn_opts){.kind = TROUPE_PROCESS}, weighs, &h, sizeof h, &ref) == TROUPE_OK)
        (void)!troupe_join(self, ref, PATIENCE_MS, NULL);
}

START_TEST(an_argument_from_a_process) {
    troupe_ref to = troupe_self_ref(me);
    ends(spawn(TROUPE_PROCESS, spawns, &to, sizeof to), TROUPE_END_NORMAL);
    ck_assert_int_eq(hear(), 1);
}
END_TEST

/* --- bounds --- */

static void tells_and_echoes(troupe_self *self, void *arg) {
    say(self, *(troupe_ref *)arg, getpid());
    echoes(self, NULL);
}

enum { EACH = 2 << 20, FIT = 3 };

/* What a body has not received counts, however large it is and wherever it is on its way. */
START_TEST(what_is_not_received_is_bounded) {
    troupe_spawn_opts opts = {.kind = TROUPE_PROCESS, .mailbox_bytes = FIT * (EACH + 64), .overflow = TROUPE_FAIL};
    troupe_ref to = troupe_self_ref(me), ref;
    int sent = 0;
    ck_assert_int_eq(troupe_spawn(me, &opts, tells_and_echoes, &to, sizeof to, &ref), TROUPE_OK);
    pid_t pid = (pid_t)hear();
    kill(pid, SIGSTOP);
    while (sent < 10 * FIT && troupe_send(me, ref, troupe_bytes(pattern() + sent, EACH)) == TROUPE_OK)
        sent++;
    kill(pid, SIGCONT);
    ck_assert_int_ge(sent, FIT);
    ck_assert_int_le(sent, FIT + 1); /* one may have been received before it stopped */
    for (int i = 0; i < sent; i++)
        expect(EACH, (size_t)i);
    stop(ref);
}
END_TEST

/* Tells how far it has come. */
static void pours(troupe_self *self, void *arg) {
    const struct relay *r = arg;
    for (int i = 0; i < 10 * FIT; i++) {
        (void)!troupe_send(self, r->to, troupe_bytes(pattern(), EACH));
        say(self, r->home, i);
    }
}

/* Waits for one word before it receives. */
static void begins_late(troupe_self *self, void *arg) {
    troupe_msg *m;
    if (troupe_ask(self, *(troupe_ref *)arg, troupe_int(-1), TROUPE_FOREVER, &m) == TROUPE_OK)
        troupe_msg_free(&m);
    for (int i = 0; i < 10 * FIT && troupe_receive(self, PATIENCE_MS, &m) == TROUPE_OK; i++) {
        say(self, *(troupe_ref *)arg, is_pattern(m, EACH, 0) ? 1000 + i : -2);
        troupe_msg_free(&m);
    }
}

/* A process is not further ahead of who does not receive than its bound and what may be under way. */
START_TEST(a_process_that_sends_is_held_back) {
    troupe_ref to = troupe_self_ref(me);
    troupe_spawn_opts opts = {.kind = TROUPE_THREAD, .mailbox_bytes = FIT * (EACH + 64)};
    struct relay r = {.home = to};
    troupe_msg *question, *m;
    int64_t n, far = -1, got = 0;
    ck_assert_int_eq(troupe_spawn(me, &opts, begins_late, &to, sizeof to, &r.to), TROUPE_OK);
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &question), TROUPE_OK);
    troupe_ref ref = spawn(TROUPE_PROCESS, pours, &r, sizeof r);
    while (troupe_receive(me, far < FIT - 1 ? PATIENCE_MS : 200, &m) == TROUPE_OK) {
        ck_assert(troupe_msg_int(m, &far));
        troupe_msg_free(&m);
    }
    ck_assert_int_ge(far, FIT - 1);
    ck_assert_int_le(far, FIT + 1);
    ck_assert_int_eq(troupe_reply(me, question, troupe_nil()), TROUPE_OK);
    troupe_msg_free(&question);
    while (got < 10 * FIT) {
        n = hear();
        ck_assert_int_ne(n, -2);
        if (n >= 1000)
            ck_assert_int_eq(n, 1000 + got++);
    }
    ends(ref, TROUPE_END_NORMAL);
    ends(r.to, TROUPE_END_NORMAL);
}
END_TEST

/* --- deaths in the middle --- */

/* The steward closes channels in its own time. Not to be counted once more: threads have a file open for a moment now and then.
 */
static void until_descriptors(int most) {
    int n = descriptors();
    for (int i = 0; i < 2000 && n > most; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        n = descriptors();
    }
    ck_assert_int_le(n, most);
}

static void take_all(void) {
    troupe_msg *m;
    while (troupe_receive(me, 0, &m) == TROUPE_OK)
        troupe_msg_free(&m);
}

START_TEST(a_death_in_the_middle_leaves_nothing) {
    enum { ROUNDS = TRP_ASAN || TRP_TSAN ? 10 : 40 };
    troupe_ref to = troupe_self_ref(me);
    int before = 0;
    srand(7);
    for (int i = 0; i < ROUNDS; i++) {
        troupe_ref ref = spawn(TROUPE_PROCESS, tells_and_echoes, &to, sizeof to);
        pid_t pid = (pid_t)hear();
        for (int k = 0; k < 4; k++)
            ck_assert_int_eq(troupe_send(me, ref, troupe_bytes(pattern(), EACH)), TROUPE_OK);
        nanosleep(&(struct timespec){.tv_nsec = rand() % 3000000}, NULL); /* some moment of it */
        kill(pid, SIGKILL);
        ends(ref, TROUPE_END_SIGNAL);
        take_all();
        if (i == 0)
            before = descriptors();
    }
    until_descriptors(before);
}
END_TEST

/* --- without descriptors --- */

static void uses_up_descriptors(troupe_self *self, void *arg) {
    while (dup(STDIN_FILENO) >= 0)
        ;
    tells_and_echoes(self, arg);
}

START_TEST(a_body_without_descriptors) {
    troupe_ref to = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.kind = TROUPE_PROCESS, .limits.files = 40};
    ck_assert_int_eq(troupe_spawn(me, &opts, uses_up_descriptors, &to, sizeof to, &ref), TROUPE_OK);
    (void)hear();
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(troupe_send(me, ref, troupe_bytes(pattern() + i, EACH)), TROUPE_OK);
        expect(EACH, (size_t)i);
    }
    stop(ref);
}
END_TEST

/* It could not even look at it: so it ends, and why is said. */
START_TEST(more_than_a_body_may_have) {
    troupe_ref to = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.kind = TROUPE_PROCESS, .limits.memory = 8 << 20};
    if (TRP_ASAN || TRP_TSAN)
        return; /* no limit of address space there */
    ck_assert_int_eq(troupe_spawn(me, &opts, tells_and_echoes, &to, sizeof to, &ref), TROUPE_OK);
    (void)hear();
    ck_assert_int_eq(troupe_send(me, ref, troupe_bytes(pattern(), MOST)), TROUPE_OK);
    troupe_exit exit = ends(ref, TROUPE_END_EXIT);
    ck_assert_msg(strstr(exit.text, "(memory limit)") != NULL, "%s", exit.text);
}
END_TEST

/* --- where files may not be large, in memory, too --- */

enum { SMALL_FILES = 2 << 20 };

static void limit_files(rlim_t most) {
    struct rlimit now;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &now), 0);
    now.rlim_cur = most < now.rlim_max ? most : now.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &now), 0);
}

static void echoes_with_small_files(troupe_self *self, void *arg) {
    limit_files(SMALL_FILES);
    echoes(self, arg);
}

/* Messages come some other way; what can't be begun without one is told so, and nobody dies of a signal. */
START_TEST(without_large_files) {
    static struct heavy heavy; /* larger than that */
    troupe_ref ref;
    troupe_msg *m;
    troupe_spawn_opts opts = {.kind = TROUPE_PROCESS};
    limit_files(SMALL_FILES);
    ref = spawn(TROUPE_PROCESS, echoes_with_small_files, NULL, 0);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(troupe_ask(me, ref, troupe_bytes(pattern() + i, MOST), PATIENCE_MS, &m), TROUPE_OK);
        ck_assert(is_pattern(m, MOST, i));
        troupe_msg_free(&m);
    }
    stop(ref);
    ck_assert_int_eq(troupe_spawn(me, &opts, weighs, &heavy, sizeof heavy, &ref), TROUPE_SYSTEM);
    limit_files(4096);
    ck_assert_int_eq(troupe_spawn(me, &opts, echoes, NULL, 0, &ref), TROUPE_SYSTEM);
    limit_files(RLIM_INFINITY);
    heavy.home = troupe_self_ref(me);
    memcpy(heavy.bytes, pattern(), sizeof heavy.bytes);
    ends(spawn(TROUPE_PROCESS, weighs, &heavy, sizeof heavy), TROUPE_END_NORMAL);
    ck_assert_int_eq(hear(), 1);
}
END_TEST

/* --- what else crosses --- */

/* Hears from a program of its own; tells how many lines came as they should. */
static void runs_a_program(troupe_self *self, void *arg) {
    static const char *const argv[] = {"sh", "-c", "echo out; echo err >&2", NULL};
    troupe_command_opts opts = {.to = troupe_self_ref(self), .errors = TROUPE_ERRORS_SEND};
    troupe_ref command;
    troupe_msg *m;
    int right = 0;
    if (troupe_command_spawn(self, &opts, argv, &command) != TROUPE_OK)
        return;
    for (int i = 0; i < 2 && troupe_receive(self, PATIENCE_MS, &m) == TROUPE_OK; i++) {
        troupe_value v = troupe_msg_value(m);
        const char *topic = troupe_msg_topic(m);
        right += v.kind == TROUPE_TEXT && v.size == 3 && strncmp(topic, "std", 3) == 0 && memcmp(topic + 3, v.data, 3) == 0 &&
                 troupe_msg_sender(m).id == command.id && !troupe_msg_wants_reply(m) && !troupe_msg_error(m);
        troupe_msg_free(&m);
    }
    say(self, *(troupe_ref *)arg, right);
}

START_TEST(a_topic_crosses) {
    troupe_ref to = troupe_self_ref(me);
    ends(spawn(_i, runs_a_program, &to, sizeof to), TROUPE_END_NORMAL);
    ck_assert_int_eq(hear(), 2);
}
END_TEST

/* Refuses the first, with a text; asks the asker back. */
static void refuses(troupe_self *self, void *arg) {
    troupe_msg *m, *answer;
    if (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        (void)!troupe_reply_error(self, m, "NOT_TODAY", "come back tomorrow");
        troupe_msg_free(&m);
    }
    if (troupe_ask(self, *(troupe_ref *)arg, troupe_int(1), PATIENCE_MS, &answer) == TROUPE_OK) {
        say(self, *(troupe_ref *)arg, strcmp(troupe_msg_error(answer) ? troupe_msg_error(answer) : "", "NOR_HERE") == 0);
        troupe_msg_free(&answer);
    }
}

START_TEST(an_error_crosses) {
    troupe_ref to = troupe_self_ref(me), ref = spawn(TROUPE_PROCESS, refuses, &to, sizeof to);
    troupe_msg *m;
    ck_assert_int_eq(troupe_ask(me, ref, troupe_int(1), PATIENCE_MS, &m), TROUPE_OK);
    ck_assert_str_eq(troupe_msg_error(m), "NOT_TODAY");
    ck_assert_int_eq(troupe_msg_value(m).size, strlen("come back tomorrow"));
    ck_assert_uint_eq(troupe_msg_sender(m).id, ref.id);
    troupe_msg_free(&m);
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    ck_assert(troupe_msg_wants_reply(m));
    ck_assert_int_eq(troupe_reply_error(me, m, "NOR_HERE", ""), TROUPE_OK);
    troupe_msg_free(&m);
    ck_assert_int_eq(hear(), 1);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

int main(void) {
    Suite *s = suite_create("process_large");
    TCase *c = tcase_create("large");
    tcase_add_checked_fixture(c, system_up, system_down);
    tcase_add_test(c, any_size_there_and_back);
    tcase_add_test(c, order_is_kept);
    tcase_add_test(c, between_two_processes);
    tcase_add_test(c, an_argument_from_a_process);
    tcase_add_test(c, what_is_not_received_is_bounded);
    tcase_add_test(c, a_process_that_sends_is_held_back);
    tcase_add_test(c, a_death_in_the_middle_leaves_nothing);
    tcase_add_test(c, a_body_without_descriptors);
    tcase_add_test(c, more_than_a_body_may_have);
    tcase_add_test(c, without_large_files);
    tcase_add_loop_test(c, a_topic_crosses, TROUPE_COROUTINE, TROUPE_PROCESS + 1);
    tcase_add_test(c, an_error_crosses);
    tcase_set_timeout(c, 100);
    suite_add_tcase(s, c);
    return run_suite(s);
}
