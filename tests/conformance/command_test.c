/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Programs as actors: what goes in and out, how they end, and that nothing is left of them: no process, no zombie, no
 * descriptor. The programs are sh and what comes with it. */
#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <troupe/command.h>
#include <unistd.h>
#include <uv.h>

#include "actors/program.h"
#include "tests/support/actors.h"
#include "tests/support/descriptors.h"
#include "tests/support/faults.h"

static int open_before;

/* libuv keeps a pipe of its own from its first loop on. */
static void up(void) {
    uv_loop_t loop;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    uv_loop_close(&loop);
    open_before = descriptors();
    system_up_with(&(troupe_system_opts){.threads = 1});
}

static void down(void) {
    system_down();
    ck_assert_int_eq(descriptors(), open_before);
}

static troupe_ref command(const troupe_command_opts *opts, const char *const *argv) {
    troupe_ref ref;
    ck_assert_int_eq(troupe_command_spawn(me, opts, argv, &ref), TROUPE_OK);
    return ref;
}

static troupe_ref shell(const troupe_command_opts *opts, const char *script) {
    const char *const argv[] = {"sh", "-c", script, NULL};
    return command(opts, argv);
}

/* The next message is this text, from there. */
static void hears(const char *topic, const char *text) {
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    troupe_value v = troupe_msg_value(m);
    ck_assert_int_eq(v.kind, TROUPE_TEXT);
    ck_assert_msg(v.size == strlen(text) && memcmp(v.data, text, v.size) == 0, "%.*s instead of %s", (int)v.size,
                  (const char *)v.data, text);
    ck_assert_str_eq(troupe_msg_topic(m), topic);
    troupe_msg_free(&m);
}

/* The same without a word, for many of them: each assertion that holds costs a system call. */
static bool is_said(const char *topic, const char *text) {
    troupe_msg *m;
    if (troupe_receive(me, PATIENCE_MS, &m) != TROUPE_OK)
        return false;
    troupe_value v = troupe_msg_value(m);
    bool same = v.kind == TROUPE_TEXT && v.size == strlen(text) && memcmp(v.data, text, v.size) == 0 &&
                strcmp(troupe_msg_topic(m), topic) == 0;
    troupe_msg_free(&m);
    return same;
}

static int64_t hear_number(void) {
    char text[32];
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    snprintf(text, sizeof text, "%.*s", (int)troupe_msg_value(m).size, (const char *)troupe_msg_value(m).data);
    troupe_msg_free(&m);
    return atoll(text);
}

static void send_text(troupe_ref to, const char *text) {
    ck_assert_int_eq(troupe_send(me, to, troupe_text(text)), TROUPE_OK);
}

static void answers(troupe_ref to, const char *question, const char *expected) {
    troupe_msg *m;
    ck_assert_int_eq(troupe_ask(me, to, troupe_text(question), PATIENCE_MS, &m), TROUPE_OK);
    ck_assert_ptr_null(troupe_msg_error(m));
    troupe_value v = troupe_msg_value(m);
    ck_assert_msg(v.size == strlen(expected) && memcmp(v.data, expected, v.size) == 0, "%.*s", (int)v.size,
                  (const char *)v.data);
    troupe_msg_free(&m);
}

/* Gone, or a zombie of somebody else's. */
static void is_gone(pid_t pid) {
    char path[64], state = 0;
    for (int i = 0; i < PATIENCE_MS / 10; i++) {
        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        FILE *f = fopen(path, "re");
        if (!f || fscanf(f, "%*d %*s %c", &state) != 1)
            state = 'Z';
        if (f)
            fclose(f);
        if (state == 'Z')
            return;
        usleep(10000);
    }
    ck_abort_msg("%d lives", (int)pid);
}

/* --- in and out --- */

START_TEST(lines_go_in_and_out) {
    const char *const argv[] = {"cat", NULL};
    troupe_ref cat = command(NULL, argv);
    send_text(cat, "one");
    hears("stdout", "one");
    send_text(cat, "two\nthree");
    ck_assert_int_eq(troupe_send(me, cat, troupe_int(4)), TROUPE_OK);
    ck_assert_int_eq(troupe_send(me, cat, troupe_bytes("\xff", 1)), TROUPE_OK);
    hears("stdout", "two");
    hears("stdout", "three");
    hears("stdout", "4");
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    ck_assert_int_eq(troupe_msg_value(m).kind, TROUPE_BYTES);
    ck_assert_uint_eq(troupe_msg_sender(m).id, cat.id);
    troupe_msg_free(&m);
    stop(cat);
}
END_TEST

START_TEST(questions_are_answered_in_order) {
    const char *const argv[] = {"cat", NULL};
    char text[32];
    troupe_ref cat = command(NULL, argv);
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "question %d", i);
        answers(cat, text, text);
    }
    stop(cat);
}
END_TEST

START_TEST(what_is_queued_is_written_before_the_end) {
    troupe_ref ref = shell(NULL, "sleep 0.05; wc -l");
    for (int i = 0; i < 500; i++)
        send_text(ref, "a line");
    stop(ref);
    ck_assert_int_eq(hear_number(), 500);
}
END_TEST

START_TEST(a_last_line_needs_no_end_and_a_long_one_comes_in_pieces) {
    troupe_ref ref = shell(&(troupe_command_opts){.max_line = 4}, "printf 'abcdefghij\\nabcd\\n\\nend'");
    hears("stdout", "abcd");
    hears("stdout", "efgh");
    hears("stdout", "ij");
    hears("stdout", "abcd");
    hears("stdout", "");
    hears("stdout", "end");
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

/* Between two pipes there is no order but that of what is said when the other has been heard. */
START_TEST(errors_go_where_they_are_told) {
    static const char script[] = "echo bad >&2; read go; echo good";
    static const char *const from[] = {[TROUPE_ERRORS_SEND] = "stderr", [TROUPE_ERRORS_MERGE] = "stdout"};
    static const troupe_command_errors errors[] = {TROUPE_ERRORS_SEND, TROUPE_ERRORS_MERGE, TROUPE_ERRORS_DISCARD};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        troupe_ref ref = shell(&(troupe_command_opts){.errors = errors[i]}, script);
        if (errors[i] != TROUPE_ERRORS_DISCARD)
            hears(from[errors[i]], "bad");
        send_text(ref, "go");
        hears("stdout", "good");
        ends(ref, TROUPE_END_NORMAL);
    }
}
END_TEST

START_TEST(it_has_the_environment_and_the_place_it_was_given) {
    const char *const env[] = {"TROUPE_TEST=new", "HOME=/elsewhere", NULL};
    ck_assert_int_eq(setenv("TROUPE_TEST_LATER", "too late", 1), 0); /* the system has been opened */
    troupe_ref ref = shell(&(troupe_command_opts){.env = env, .dir = "/usr"},
                           "echo $TROUPE_TEST $HOME $PWD ${PATH:+path} ${TROUPE_TEST_LATER:-none}");
    hears("stdout", "new /elsewhere /usr path none");
    ends(ref, TROUPE_END_NORMAL);
    const char *const argv[] = {"/usr/bin/env", NULL};
    ref = command(&(troupe_command_opts){.env = env, .clear_env = true}, argv);
    hears("stdout", "TROUPE_TEST=new");
    hears("stdout", "HOME=/elsewhere");
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

START_TEST(it_has_three_descriptors_and_no_blocked_signals) {
    troupe_ref other = shell(NULL, "cat"); /* whose descriptors it might have */
    troupe_ref ref =
        shell(NULL, "echo $(ls /proc/self/fd | grep -v '^3$'); grep -E 'SigBlk|SigIgn' /proc/self/status | tr -d '0\\t'");
    hears("stdout", "0 1 2"); /* and 3, the directory */
    hears("stdout", "SigBlk:");
    hears("stdout", "SigIgn:");
    ends(ref, TROUPE_END_NORMAL);
    stop(other);
}
END_TEST

START_TEST(arguments_may_be_large) {
    static char large[100001];
    const char *const argv[] = {"sh", "-c", "printf %s \"$1\" | wc -c", "sh", large, NULL};
    memset(large, 'x', sizeof large - 1);
    troupe_ref ref = command(NULL, argv);
    ck_assert_int_eq(hear_number(), sizeof large - 1);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

/* --- ends --- */

START_TEST(its_end_is_the_programs_end) {
    troupe_exit exit = ends(shell(NULL, "exit 3"), TROUPE_END_EXIT);
    ck_assert_int_eq(exit.code, 3);
    exit = ends(shell(NULL, "kill -TERM $$"), TROUPE_END_SIGNAL);
    ck_assert_int_eq(exit.code, SIGTERM);
    ck_assert_str_eq(exit.text, "SIGTERM");
    const char *const none[] = {"/no/such/program", NULL};
    exit = ends(command(NULL, none), TROUPE_END_EXIT);
    ck_assert_str_eq(exit.text, "cannot be started: No such file or directory");
    exit = ends(shell(&(troupe_command_opts){.dir = "/no/such/place"}, "true"), TROUPE_END_EXIT);
    ck_assert_str_eq(exit.text, "cannot be started: No such file or directory");
}
END_TEST

START_TEST(a_time_out_kills_all_of_it) {
    troupe_ref ref = shell(&(troupe_command_opts){.timeout_ms = 200}, "sleep 1000 & echo $!; echo $$; wait");
    pid_t grandchild = (pid_t)hear_number(), child = (pid_t)hear_number();
    troupe_exit exit = ends(ref, TROUPE_END_SIGNAL);
    ck_assert_str_eq(exit.text, "SIGKILL (time-out)");
    ck_assert_int_eq(kill(child, 0), -1);
    is_gone(grandchild);
}
END_TEST

START_TEST(a_kill_leaves_nothing_behind) {
    troupe_ref ref = shell(NULL, "trap '' TERM; sleep 1000 & echo $!; echo $$; wait");
    pid_t grandchild = (pid_t)hear_number(), child = (pid_t)hear_number();
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK);
    ends(ref, TROUPE_END_KILLED);
    ck_assert_int_eq(kill(child, 0), -1); /* not even a zombie */
    is_gone(grandchild);
}
END_TEST

START_TEST(who_asks_one_that_ends_is_told) {
    troupe_msg *m;
    troupe_ref ref = shell(NULL, "read line; exit 1");
    ck_assert_int_eq(troupe_ask(me, ref, troupe_text("?"), PATIENCE_MS, &m), TROUPE_DIED);
    ends(ref, TROUPE_END_EXIT);
}
END_TEST

START_TEST(what_a_descendant_writes_later_is_not_waited_for) {
    troupe_ref ref = shell(NULL, "sleep 1000 & echo $!");
    pid_t pid = (pid_t)hear_number();
    ends(ref, TROUPE_END_NORMAL);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
}
END_TEST

START_TEST(it_is_restarted_as_any_actor) {
    troupe_command_opts opts = {.restart = TROUPE_TRANSIENT, .backoff_min_ms = 1};
    troupe_ref ref = shell(&opts, "echo $$; exit 1");
    int64_t first = hear_number(), second = hear_number();
    ck_assert_int_ne(first, second);
    (void)hear_number();
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK);
    troupe_exit exit;
    ck_assert_int_eq(troupe_join(me, ref, PATIENCE_MS, &exit), TROUPE_OK);
}
END_TEST

/* --- much --- */

START_TEST(ten_megabytes_go_in_before_any_is_received) {
    enum { LINES = 100000 };
    const char *const argv[] = {"cat", NULL};
    char text[128];
    troupe_ref cat = command(NULL, argv);
    troupe_status st = TROUPE_OK;
    int heard = 0;
    for (int i = 0; i < LINES && st == TROUPE_OK; i++) {
        snprintf(text, sizeof text, "%099d", i);
        st = troupe_send(me, cat, troupe_text(text));
    }
    ck_assert_int_eq(st, TROUPE_OK);
    ck_assert_int_eq(troupe_close(me, cat), TROUPE_OK);
    for (bool same = true; same && heard < LINES; heard += same) {
        snprintf(text, sizeof text, "%099d", heard);
        same = is_said("stdout", text);
    }
    ck_assert_int_eq(heard, LINES);
    ends(cat, TROUPE_END_NORMAL);
}
END_TEST

START_TEST(who_does_not_receive_stops_the_program) {
    troupe_ref ref = shell(&(troupe_command_opts){.max_output = 100000}, "yes 0123456789");
    int heard = 0;
    while (heard < 30000 && is_said("stdout", "0123456789"))
        heard++;
    ck_assert_int_eq(heard, 30000);
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK);
    ends(ref, TROUPE_END_KILLED);
}
END_TEST

START_TEST(a_program_may_read_nothing) {
    static char much[1 << 20];
    char fifo[] = "/tmp/troupe-command-XXXXXX", script[100];
    int fd = mkstemp(fifo); /* a name that nobody has */
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert_int_eq(unlink(fifo), 0);
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    snprintf(script, sizeof script, "exec <&-; read line < %s; echo done", fifo);
    troupe_ref ref = shell(NULL, script);
    memset(much, 'x', sizeof much);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(troupe_send(me, ref, troupe_bytes(much, sizeof much)), TROUPE_OK);
    ck_assert_int_ge(fd = open(fifo, O_WRONLY), 0); /* once it reads */
    close(fd);
    unlink(fifo);
    hears("stdout", "done");
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

/* --- whole --- */

START_TEST(all_of_it_comes_as_one) {
    troupe_ref ref =
        shell(&(troupe_command_opts){.output = TROUPE_WHOLE, .errors = TROUPE_ERRORS_SEND}, "sort; echo two words >&2");
    send_text(ref, "b\nc\n");
    send_text(ref, "a\n");
    ck_assert_int_eq(troupe_close(me, ref), TROUPE_OK);
    hears("stdout", "a\nb\nc\n");
    hears("stderr", "two words\n");
    ends(ref, TROUPE_END_NORMAL);
    ref = shell(&(troupe_command_opts){.output = TROUPE_WHOLE}, "true");
    hears("stdout", "");
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

START_TEST(a_question_is_all_that_it_reads) {
    troupe_ref ref = shell(&(troupe_command_opts){.output = TROUPE_WHOLE}, "sort -n");
    answers(ref, "10\n9\n100\n", "9\n10\n100\n");
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

START_TEST(more_than_was_allowed_is_an_end) {
    troupe_ref ref = shell(&(troupe_command_opts){.output = TROUPE_WHOLE, .max_output = 1 << 20}, "yes");
    ck_assert_str_eq(ends(ref, TROUPE_END_SIGNAL).text, "SIGKILL (too much output)");
    for (int i = 0; i < 10; i++) { /* it may have ended when that is found */
        troupe_exit exit;
        ref = shell(&(troupe_command_opts){.output = TROUPE_WHOLE, .max_output = 100000}, "head -c 101000 /dev/zero");
        ck_assert_int_eq(troupe_join(me, ref, PATIENCE_MS, &exit), TROUPE_OK);
        ck_assert_ptr_nonnull(strstr(exit.text, "too much output"));
    }
}
END_TEST

START_TEST(four_megabytes_through_cat) {
    enum { SIZE = 4 << 20 };
    const char *const argv[] = {"cat", NULL};
    char *much = malloc(SIZE);
    troupe_msg *out;
    troupe_exit exit;
    for (size_t i = 0; i < SIZE; i++)
        much[i] = (char)(i * 7 / 5);
    ck_assert_int_eq(troupe_command_run(me, NULL, argv, troupe_bytes(much, SIZE), PATIENCE_MS, &out, &exit), TROUPE_OK);
    ck_assert_uint_eq(troupe_msg_value(out).size, SIZE);
    ck_assert_mem_eq(troupe_msg_value(out).data, much, SIZE);
    ck_assert_int_eq(exit.how, TROUPE_END_NORMAL);
    troupe_msg_free(&out);
    free(much);
}
END_TEST

/* --- run --- */

static void run_says(const char *script, troupe_value input, const char *expected, troupe_end how) {
    const char *const argv[] = {"sh", "-c", script, NULL};
    troupe_msg *out;
    troupe_exit exit;
    ck_assert_int_eq(troupe_command_run(me, NULL, argv, input, PATIENCE_MS, &out, &exit), TROUPE_OK);
    ck_assert_uint_eq(troupe_msg_value(out).size, strlen(expected));
    ck_assert_mem_eq(troupe_msg_value(out).data, expected, strlen(expected));
    ck_assert_int_eq(exit.how, how);
    troupe_msg_free(&out);
}

START_TEST(a_run_gives_output_and_exit) {
    const char *const none[] = {"/no/such/program", NULL}, *const sleeps[] = {"sleep", "1000", NULL};
    troupe_exit exit;
    send_text(troupe_self_ref(me), "stays where it is");
    run_says("sort", troupe_text("b\na\n"), "a\nb\n", TROUPE_END_NORMAL);
    run_says("echo so far; exit 3", troupe_nil(), "so far\n", TROUPE_END_EXIT);
    run_says("echo so far; kill -KILL $$", troupe_nil(), "so far\n", TROUPE_END_SIGNAL);
    run_says("true", troupe_nil(), "", TROUPE_END_NORMAL);
    ck_assert_int_eq(troupe_command_run(me, NULL, none, troupe_nil(), PATIENCE_MS, NULL, &exit), TROUPE_OK);
    ck_assert_str_eq(exit.text, "cannot be started: No such file or directory");
    ck_assert_int_eq(troupe_command_run(me, NULL, sleeps, troupe_nil(), 30, NULL, &exit), TROUPE_TIMEOUT);
    hears("", "stays where it is");
}
END_TEST

static void runs_one(troupe_self *self, void *arg) {
    const char *const argv[] = {"sh", "-c", "echo $(($1 * 2))", "sh", "21", NULL};
    troupe_msg *out;
    if (troupe_command_run(self, NULL, argv, troupe_nil(), PATIENCE_MS, &out, NULL) != TROUPE_OK)
        return;
    (void)!troupe_send(self, *(troupe_ref *)arg, troupe_msg_value(out));
    troupe_msg_free(&out);
}

START_TEST(every_kind_runs_programs) {
    troupe_ref to = troupe_self_ref(me), ref = spawn(_i, runs_one, &to, sizeof to);
    ck_assert_int_eq(hear_number(), 42);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

START_TEST(two_hundred_at_once) {
    enum { MANY = 200 };
    troupe_ref refs[MANY];
    int64_t sum = 0;
    for (int i = 0; i < MANY; i++)
        refs[i] = shell(NULL, "read n; echo $((n + 1))");
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(troupe_send(me, refs[i], troupe_int(i)), TROUPE_OK);
    for (int i = 0; i < MANY; i++)
        sum += hear_number();
    ck_assert_int_eq(sum, MANY * (MANY + 1) / 2);
    for (int i = 0; i < MANY; i++)
        ends(refs[i], TROUPE_END_NORMAL);
}
END_TEST

/* --- refused --- */

START_TEST(options_are_checked) {
    const char *const none[] = {NULL}, *const empty[] = {"", NULL}, *const cat[] = {"cat", NULL};
    troupe_ref ref;
    ck_assert_int_eq(troupe_command_spawn(me, NULL, NULL, &ref), TROUPE_INVALID);
    ck_assert_int_eq(troupe_command_spawn(me, NULL, none, &ref), TROUPE_INVALID);
    ck_assert_int_eq(troupe_command_spawn(me, NULL, empty, &ref), TROUPE_INVALID);
    troupe_command_opts opts = {.restart = TROUPE_PERMANENT};
    ck_assert_int_eq(troupe_command_run(me, &opts, cat, troupe_nil(), 0, NULL, NULL), TROUPE_INVALID);
}
END_TEST

START_TEST(packing_survives_without_memory) {
    const char *const argv[] = {"cat", "-", NULL}, *const env[] = {"A=1", NULL};
    for (long n = 1;; n++) {
        struct trp_buf out = {0};
        faults_fail_at(n);
        troupe_status st = trp_program_pack(&out, "/", argv, env, false);
        trp_buf_fini(&out);
        long live = faults.live;
        faults_off();
        ck_assert_int_eq(live, 0);
        if (st == TROUPE_OK) {
            ck_assert_int_gt(n, 1);
            return;
        }
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
    }
}
END_TEST

START_TEST(without_a_nursery_there_are_none) {
    const char *const cat[] = {"cat", NULL};
    troupe_ref ref;
    system_up_with(&(troupe_system_opts){.no_processes = true});
    ck_assert_int_eq(troupe_command_spawn(me, NULL, cat, &ref), TROUPE_UNSUPPORTED);
    system_down();
}
END_TEST

/* --- the program that spawned it --- */

START_TEST(it_does_not_outlive_the_program) {
    int told[2];
    char text[32] = "";
    ck_assert_int_eq(pipe(told), 0);
    pid_t program = fork();
    if (program == 0) {
        system_up();
        (void)shell(NULL, "echo $$; exec sleep 1000");
        snprintf(text, sizeof text, "%d", (int)hear_number());
        (void)!write(told[1], text, sizeof text);
        for (;;)
            pause();
    }
    ck_assert_int_eq(read(told[0], text, sizeof text), sizeof text);
    ck_assert_int_eq(kill(program, SIGKILL), 0);
    ck_assert_int_eq(waitpid(program, NULL, 0), program);
    is_gone((pid_t)atoi(text));
    close(told[0]);
    close(told[1]);
}
END_TEST

START_TEST(closing_the_system_ends_them) {
    (void)shell(NULL, "trap '' TERM; echo $$; sleep 1000");
    pid_t pid = (pid_t)hear_number();
    system_down();
    is_gone(pid);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {lines_go_in_and_out,
                                  questions_are_answered_in_order,
                                  what_is_queued_is_written_before_the_end,
                                  a_last_line_needs_no_end_and_a_long_one_comes_in_pieces,
                                  errors_go_where_they_are_told,
                                  it_has_the_environment_and_the_place_it_was_given,
                                  it_has_three_descriptors_and_no_blocked_signals,
                                  arguments_may_be_large,
                                  its_end_is_the_programs_end,
                                  a_time_out_kills_all_of_it,
                                  a_kill_leaves_nothing_behind,
                                  who_asks_one_that_ends_is_told,
                                  what_a_descendant_writes_later_is_not_waited_for,
                                  it_is_restarted_as_any_actor,
                                  ten_megabytes_go_in_before_any_is_received,
                                  who_does_not_receive_stops_the_program,
                                  a_program_may_read_nothing,
                                  all_of_it_comes_as_one,
                                  a_question_is_all_that_it_reads,
                                  more_than_was_allowed_is_an_end,
                                  four_megabytes_through_cat,
                                  a_run_gives_output_and_exit,
                                  two_hundred_at_once,
                                  options_are_checked};
    const TTest *const without[] = {packing_survives_without_memory, without_a_nursery_there_are_none,
                                    it_does_not_outlive_the_program};
    Suite *s = suite_create("command");
    TCase *c = run_case(s, "command", tests, sizeof tests / sizeof *tests);
    tcase_add_checked_fixture(c, up, down);
    tcase_add_loop_test(c, every_kind_runs_programs, TROUPE_COROUTINE, TROUPE_PROCESS + 1);
    tcase_set_timeout(c, 60);
    c = run_case(s, "systems", without, sizeof without / sizeof *without);
    tcase_set_timeout(c, 60);
    c = tcase_create("closing");
    tcase_add_checked_fixture(c, system_up, NULL);
    tcase_add_test(c, closing_the_system_ends_them);
    suite_add_tcase(s, c);
    return run_suite(s);
}
