/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * kill -9 at random moments, fifty times on one log: a child appends and reports what is confirmed over a pipe; what it
 * reported is replayed after it was killed, as written or as synced. The lock goes with the process. */
#include <signal.h>
#include <sys/wait.h>

#include "tests/support/chance.h"
#include "tests/support/log.h"
#include "tests/support/run.h"

enum { KILLS = 50 };

/* So many records are confirmed. */
static void report(int to, uint64_t next) {
    if (write(to, &next, sizeof next) != (ssize_t)sizeof next)
        _exit(3);
}

/* Appends for ever, a few records a commit, and reports each level in turn. */
_Noreturn static void child(struct log *l, int to, uint64_t seed) {
    static const unsigned levels[] = {TRP_JOURNAL_SYNCED, TRP_JOURNAL_WRITTEN};
    if (log_try_open(l) != TROUPE_OK || l->wrong)
        _exit(2);
    report(to, l->replayed);
    for (;;) {
        uint8_t bytes[LOG_RECORD_MOST];
        unsigned level = levels[log_random(&seed, 2)];
        for (uint64_t n = 1 + log_random(&seed, 50); n; n--)
            if (trp_journal_append(l->j, log_record(l->next++, bytes), true, &l->lsn, NULL) != TROUPE_OK)
                _exit(4);
        trp_journal_commit(l->j, level);
        while ((level == TRP_JOURNAL_SYNCED ? trp_journal_synced(l->j) : trp_journal_written(l->j)) < l->lsn)
            sem_wait(&l->moved);
        report(to, l->next);
    }
}

/* The child is killed after so many reports, whatever it does then; what it still had to say counts, too. */
static uint64_t watch(int from, pid_t pid, uint64_t reports) {
    uint64_t next, last = 0;
    ssize_t n;
    for (uint64_t i = 0; (n = read(from, &next, sizeof next)) == (ssize_t)sizeof next; i++) {
        last = next;
        if (i == reports)
            ck_assert_int_eq(kill(pid, SIGKILL), 0);
    }
    ck_assert_int_eq(n, 0);
    return last;
}

static uint64_t life(struct log *l, uint64_t confirmed, uint64_t *seed) {
    int ends[2], status;
    ck_assert_int_eq(pipe(ends), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        close(ends[0]);
        child(l, ends[1], *seed);
    }
    close(ends[1]);
    uint64_t last = watch(ends[0], pid, log_random(seed, 60));
    close(ends[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the child ended with %d", WEXITSTATUS(status));
    ck_assert_uint_ge(last, confirmed);
    return last;
}

START_TEST(what_is_confirmed_survives_a_kill) {
    struct log l;
    uint64_t seed = seed_of_run(), confirmed = 0;
    log_make(&l);
    l.opts.segment_bytes = 50000;
    for (int i = 0; i < KILLS; i++) {
        confirmed = life(&l, confirmed, &seed);
        log_open(&l);
        ck_assert_uint_ge(l.replayed, confirmed);
        ck_assert_uint_eq(l.first, 0);
        confirmed = l.replayed;
        log_close(&l);
    }
    printf("%d kills, %llu records confirmed, none lost\n", KILLS, (unsigned long long)confirmed);
    log_remove(&l);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {what_is_confirmed_survives_a_kill};
    Suite *s = suite_create("journal_crash");
    tcase_set_timeout(run_case(s, "kill", tests, sizeof tests / sizeof *tests), 300);
    return run_suite(s);
}
