/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The durable log on a disk that is full, broken, slow or read-only: nothing confirmed is lost, nothing is confirmed
 * that could be, nothing is there twice, and it heals. */
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "broker/writer.h"
#include "tests/support/chance.h"
#include "tests/support/disk.h"
#include "tests/support/faults.h"
#include "tests/support/log.h"
#include "tests/support/run.h"

/* In memory, where that can be: all that goes wrong here is made up, and a real disk would only be waited for. */
static void start(struct log *l, struct disk *d) {
    log_make_hasty(l);
    disk_init(d);
    l->opts.sys = &d->sys;
    log_open(l);
}

/* Closes, and finds all records once with a disk that works. */
static void end(struct log *l, uint64_t next) {
    log_close(l);
    l->opts.sys = NULL;
    log_check(l, 0, next);
    log_close(l);
    log_remove(l);
}

static void say(struct log *l, const char *text) {
    ck_assert_msg(strstr(trp_journal_why(l->j), text) != NULL, "%s", trp_journal_why(l->j));
}

/* Appends, a record at a time, until the log refuses. */
static void fill(struct log *l) {
    troupe_status st;
    while ((st = log_append_must(l, false)) == TROUPE_OK) {
        trp_journal_commit(l->j, TRP_JOURNAL_SYNCED);
        while (trp_journal_synced(l->j) < l->lsn && trp_journal_state(l->j) == TRP_JOURNAL_OK)
            log_wait_move(l);
    }
    ck_assert_int_eq(st, TROUPE_FULL);
}

/* ---- full ---- */

START_TEST(a_full_disk_refuses_takes_must_and_heals) {
    struct log l;
    struct disk d;
    start(&l, &d);
    disk_room(&d, 50000);
    fill(&l);
    ck_assert_int_eq(trp_journal_state(l.j), TRP_JOURNAL_FULL);
    say(&l, "No space left on device");
    /* The reserve takes what frees space, and it is confirmed. */
    ck_assert_int_eq(log_append_must(&l, true), TROUPE_OK);
    log_sync(&l);
    ck_assert_int_eq(trp_journal_state(l.j), TRP_JOURNAL_FULL);
    ck_assert_int_eq(log_append_must(&l, false), TROUPE_FULL);
    disk_room(&d, 1 << 30);
    log_wait_state(&l, TRP_JOURNAL_OK);
    ck_assert_str_eq(trp_journal_why(l.j), "");
    log_append(&l, 100);
    log_sync(&l);
    end(&l, l.next);
}
END_TEST

/* The disk ends at each byte of a commit of three records. */
START_TEST(a_disk_that_ends_in_a_record_loses_none) {
    struct log l;
    struct disk d;
    start(&l, &d);
    l.next = _i; /* records of different lengths */
    log_append(&l, 1);
    log_sync(&l);
    /* What is written ahead is used up first. */
    while (l.lsn < TRP_WRITER_AHEAD) {
        log_append(&l, 1);
        log_sync(&l);
    }
    disk_fail(&d, DISK_FTRUNCATE, 0, 1000000, EIO); /* the reserve stays */
    disk_room(&d, _i * 17);
    log_append(&l, 2000);
    trp_journal_commit(l.j, TRP_JOURNAL_SYNCED);
    log_wait_state(&l, TRP_JOURNAL_FULL);
    ck_assert_uint_lt(trp_journal_synced(l.j), l.lsn);
    for (int i = 0; i < 10; i++)
        disk_room(&d, 1000 * i);
    disk_fail(&d, DISK_FTRUNCATE, 0, 0, 0);
    disk_room(&d, 1 << 30);
    log_wait_synced(&l, l.lsn);
    log_wait_state(&l, TRP_JOURNAL_OK);
    log_close(&l);
    l.opts.sys = NULL;
    uint64_t next = l.next;
    log_check(&l, (uint64_t)_i, next);
    log_close(&l);
    log_remove(&l);
}
END_TEST

/* A log whose disk is full from the beginning; and one that starts again on a full disk. */
START_TEST(it_opens_on_a_full_disk) {
    struct log l;
    struct disk d;
    log_make(&l);
    disk_init(&d);
    disk_room(&d, 0);
    l.opts.sys = &d.sys;
    log_open(&l);
    log_wait_state(&l, TRP_JOURNAL_FULL);
    say(&l, "No space left on device");
    ck_assert_int_eq(log_append_must(&l, false), TROUPE_FULL);
    disk_room(&d, 50000);
    log_wait_state(&l, TRP_JOURNAL_OK);
    fill(&l);
    uint64_t next = l.next;
    log_sync(&l); /* the last one, from the reserve */
    log_close(&l);
    disk_room(&d, 0);
    log_check(&l, 0, next);
    log_wait_state(&l, TRP_JOURNAL_FULL);
    disk_room(&d, 1 << 20);
    log_wait_state(&l, TRP_JOURNAL_OK);
    log_append(&l, 1);
    end(&l, next + 1);
}
END_TEST

START_TEST(dropping_a_segment_heals_a_full_disk) {
    struct log l;
    struct disk d;
    log_make(&l);
    disk_init(&d);
    l.opts.sys = &d.sys;
    l.opts.segment_bytes = 20000;
    l.opts.reserve_bytes = 150000;
    disk_room(&d, 400000);
    log_open(&l);
    fill(&l);
    ck_assert_uint_gt(trp_journal_newest(l.j), 3);
    while (trp_journal_oldest(l.j) < trp_journal_newest(l.j))
        ck_assert_int_eq(trp_journal_drop_oldest(l.j), TROUPE_OK);
    trp_journal_commit(l.j, TRP_JOURNAL_SYNCED);
    log_wait_state(&l, TRP_JOURNAL_OK);
    log_append(&l, 1);
    log_sync(&l);
    uint64_t next = l.next;
    log_close(&l);
    l.opts.sys = NULL;
    log_open(&l);
    ck_assert_uint_eq(l.replayed, next);
    log_close(&l);
    log_remove(&l);
}
END_TEST

START_TEST(a_close_that_cannot_write_says_so) {
    struct log l;
    struct disk d;
    start(&l, &d);
    log_append(&l, 3);
    log_sync(&l);
    uint64_t synced = l.next;
    disk_fail(&d, DISK_PWRITEV, 0, 1000000, EROFS);
    log_append(&l, 3);
    ck_assert_int_eq(trp_journal_close(&l.j), TROUPE_SYSTEM);
    ck_assert_ptr_null(l.j);
    l.opts.sys = NULL;
    log_check(&l, 0, synced);
    log_close(&l);
    log_remove(&l);
}
END_TEST

/* ---- writes that fail ---- */

START_TEST(a_write_that_fails_is_tried_again) {
    static const int errors[] = {EIO, EROFS, EFBIG, EDQUOT, ENOSPC};
    struct log l;
    struct disk d;
    start(&l, &d);
    log_append(&l, 1);
    log_sync(&l);
    disk_fail(&d, DISK_PWRITEV, 0, 1000000, errors[_i]);
    log_append(&l, 10);
    trp_journal_commit(l.j, TRP_JOURNAL_SYNCED);
    log_wait_state(&l, TRP_JOURNAL_FULL);
    say(&l, strerror(errors[_i]));
    say(&l, "0000000000000001.log");
    ck_assert_int_eq(log_append_must(&l, false), TROUPE_FULL);
    disk_wait_failed(&d, DISK_PWRITEV, 5);
    disk_fail(&d, DISK_PWRITEV, 0, 0, 0);
    log_wait_synced(&l, l.lsn);
    log_wait_state(&l, TRP_JOURNAL_OK);
    log_append(&l, 10);
    end(&l, 21);
}
END_TEST

/* Making a file, each call of it failing once. */
START_TEST(a_new_segment_that_fails_is_made_again) {
    static const struct {
        enum disk_call call;
        unsigned skip;
    } cases[] = {{DISK_OPEN, 0},   {DISK_PWRITEV, 0}, {DISK_PWRITEV, 1},   {DISK_FDATASYNC, 0}, {DISK_FDATASYNC, 1},
                 {DISK_RENAME, 0}, {DISK_FSYNC, 0},   {DISK_FTRUNCATE, 0}, {DISK_UNLINK, 0}};
    struct log l;
    struct disk d;
    log_make(&l);
    disk_init(&d);
    l.opts.sys = &d.sys;
    l.opts.segment_bytes = 2000;
    log_open(&l);
    log_append(&l, 1);
    log_sync(&l);
    while (l.segment < 8) {
        disk_fail(&d, cases[_i].call, cases[_i].skip, 2, EIO);
        log_append(&l, 10);
        log_sync(&l);
    }
    disk_fail(&d, cases[_i].call, 0, 0, 0);
    end(&l, l.next);
}
END_TEST

/* ---- syncs that fail ---- */

START_TEST(a_failed_sync_confirms_nothing_until_it_is_written_anew) {
    struct log l;
    struct disk d;
    start(&l, &d);
    log_append(&l, 20);
    log_sync(&l);
    uint64_t synced = l.lsn;
    disk_fail(&d, DISK_FDATASYNC, 0, 1000000, EIO);
    log_append(&l, 20);
    trp_journal_commit(l.j, TRP_JOURNAL_SYNCED);
    log_wait_state(&l, TRP_JOURNAL_POISONED);
    say(&l, "cannot sync");
    ck_assert_uint_eq(trp_journal_synced(l.j), synced);
    uint64_t written = trp_journal_written(l.j);
    /* New work is taken, though not confirmed. */
    log_append(&l, 5);
    trp_journal_commit(l.j, TRP_JOURNAL_SYNCED);
    disk_wait_failed(&d, DISK_FDATASYNC, 4);
    ck_assert_uint_eq(trp_journal_synced(l.j), synced);
    ck_assert_uint_eq(trp_journal_written(l.j), written);
    disk_fail(&d, DISK_FDATASYNC, 0, 0, 0);
    log_wait_synced(&l, l.lsn);
    ck_assert_int_eq(trp_journal_state(l.j), TRP_JOURNAL_OK);
    ck_assert(log_file_is_there(&l, "0000000000000001+0001.log"));
    log_append(&l, 20);
    log_sync(&l);
    end(&l, 65);
}
END_TEST

START_TEST(what_reads_back_wrong_is_not_confirmed) {
    struct log l;
    struct disk d;
    start(&l, &d);
    log_append(&l, 20);
    log_sync(&l);
    uint64_t synced = l.lsn;
    disk_lie(&d, true);
    disk_fail(&d, DISK_FDATASYNC, 0, 1, EIO);
    unsigned reads = disk_calls(&d, DISK_PREAD);
    log_append(&l, 20);
    trp_journal_commit(l.j, TRP_JOURNAL_SYNCED);
    log_wait_state(&l, TRP_JOURNAL_POISONED);
    while (disk_calls(&d, DISK_PREAD) < reads + 3)
        sched_yield();
    ck_assert_uint_eq(trp_journal_synced(l.j), synced);
    ck_assert(!log_file_is_there(&l, "0000000000000001+0001.log"));
    disk_lie(&d, false);
    log_wait_synced(&l, l.lsn);
    end(&l, 40);
}
END_TEST

/* Every sync, then every other one, fails, over several segments. */
START_TEST(failing_syncs_lose_and_double_nothing) {
    struct log l;
    struct disk d;
    log_make(&l);
    disk_init(&d);
    l.opts.sys = &d.sys;
    l.opts.segment_bytes = 3000;
    log_open(&l);
    uint64_t seed = seed_of_run();
    for (int i = 0; i < 100; i++) {
        disk_fail(&d, DISK_FDATASYNC, (unsigned)log_random(&seed, 4), (unsigned)log_random(&seed, 3), EIO);
        disk_fail(&d, DISK_FSYNC, (unsigned)log_random(&seed, 3), (unsigned)log_random(&seed, 2), EIO);
        log_append(&l, 1 + (unsigned)log_random(&seed, 20));
        log_sync(&l);
    }
    uint64_t next = l.next, segments = l.segment, declared = l.catalogs;
    disk_fail(&d, DISK_FDATASYNC, 0, 0, 0);
    disk_fail(&d, DISK_FSYNC, 0, 0, 0);
    log_close(&l);
    l.opts.sys = NULL;
    log_check(&l, 0, next);
    ck_assert_uint_eq(l.segment, segments);
    ck_assert_uint_eq(l.declared, declared);
    /* Dropping takes a segment's parts along. */
    while (trp_journal_oldest(l.j) < trp_journal_newest(l.j))
        ck_assert_int_eq(trp_journal_drop_oldest(l.j), TROUPE_OK);
    log_close(&l);
    ck_assert(!log_file_is_there(&l, "0000000000000001.log"));
    ck_assert(!log_file_is_there(&l, "0000000000000001+0001.log"));
    log_open(&l);
    ck_assert_uint_eq(l.replayed, next);
    log_close(&l);
    log_remove(&l);
}
END_TEST

/* The kill comes while nothing can be synced: what was told to be written is there all the same. */
START_TEST(written_survives_a_kill_in_a_poisoned_log) {
    struct log l;
    struct disk d;
    start(&l, &d);
    log_append(&l, 20);
    log_sync(&l);
    disk_fail(&d, DISK_FDATASYNC, 0, 1000000, EIO);
    log_append(&l, 20);
    trp_journal_commit(l.j, TRP_JOURNAL_WRITTEN);
    while (trp_journal_written(l.j) < l.lsn)
        log_wait_move(&l);
    trp_journal_commit(l.j, TRP_JOURNAL_SYNCED);
    log_wait_state(&l, TRP_JOURNAL_POISONED);
    disk_wait_failed(&d, DISK_FDATASYNC, 3);
    /* As after a kill: the files as they are, without the lock. */
    struct log killed;
    size_t n = 0;
    log_make(&killed);
    uint8_t *bytes = log_file_read(&l, "0000000000000001.log", &n);
    log_file_write(&killed, "0000000000000001.log", bytes, n);
    free(bytes);
    log_check(&killed, 0, 40);
    log_close(&killed);
    log_remove(&killed);
    disk_fail(&d, DISK_FDATASYNC, 0, 0, 0);
    log_wait_synced(&l, l.lsn);
    end(&l, 40);
}
END_TEST

START_TEST(a_slow_sync_holds_up_nobody) {
    struct log l;
    log_make(&l);
    l.opts.sync_delay_ms = 100;
    log_open(&l);
    int64_t began = 0;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    began = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
    for (int i = 0; i < 1000; i++) {
        log_append(&l, 10);
        trp_journal_commit(l.j, TRP_JOURNAL_SYNCED);
    }
    log_sync(&l);
    clock_gettime(CLOCK_MONOTONIC, &t);
    ck_assert_int_ge((int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 - began, 100);
    log_close(&l);
    log_check(&l, 0, 10000);
    log_close(&l);
    log_remove(&l);
}
END_TEST

/* ---- memory ---- */

START_TEST(a_sync_thread_without_memory_tries_again) {
    struct log l;
    log_make(&l);
    log_open(&l);
    uint8_t bytes[LOG_RECORD_MOST];
    struct trp_slice record = log_record(l.next++, bytes);
    ck_assert_int_eq(trp_journal_append(l.j, record, false, &l.lsn, NULL), TROUPE_OK);
    faults_fail_at(1); /* the sync thread's, which remembers the file that it makes */
    trp_journal_commit(l.j, TRP_JOURNAL_SYNCED);
    log_wait_synced(&l, l.lsn);
    ck_assert_int_ge(faults.calls, 2);
    faults_off();
    log_close(&l);
    log_check(&l, 0, 1);
    log_close(&l);
    log_remove(&l);
}
END_TEST

/* ---- real limits ---- */

START_TEST(a_file_size_limit_is_a_full_disk) {
    struct log l;
    struct rlimit limit, before;
    log_make(&l);
    log_open(&l);
    log_append(&l, 1);
    log_sync(&l);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 200000;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    fill(&l);
    say(&l, "File too large");
    ck_assert_uint_gt(trp_journal_synced(l.j), 100000);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    log_wait_synced(&l, l.lsn);
    log_wait_state(&l, TRP_JOURNAL_OK);
    log_append(&l, 100);
    end(&l, l.next);
}
END_TEST

/* In a mount namespace of its own, which goes with the process. false: not ours to do. */
static bool small_disk(char path[64]) {
    strcpy(path, "/tmp/troupe-disk-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(path));
    if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("tmpfs", path, "tmpfs", 0, "size=1m") == 0)
        return true;
    rmdir(path);
    return false;
}

static bool ballast(const char *path, const char *name) {
    char file[128], block[4096] = {1};
    snprintf(file, sizeof file, "%s/%s", path, name);
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t n = 0;
    while (write(fd, block, sizeof block) == (ssize_t)sizeof block)
        n++;
    close(fd);
    return n > 0;
}

START_TEST(a_small_disk_fills_and_heals) {
    struct log l;
    char disk[64], file[128];
    if (!small_disk(disk))
        return; /* needs root */
    log_make_in(&l, disk);
    l.opts.reserve_bytes = 64 * 1024;
    log_open(&l);
    log_append(&l, 1);
    log_sync(&l);
    ck_assert(ballast(disk, "ballast"));
    fill(&l);
    ck_assert_int_eq(log_append_must(&l, true), TROUPE_OK);
    log_sync(&l);
    uint64_t next = l.next;
    log_close(&l);
    /* A restart on the full disk, which is filled again up to the brim. */
    (void)ballast(disk, "more");
    log_check(&l, 0, next);
    log_wait_state(&l, TRP_JOURNAL_FULL);
    snprintf(file, sizeof file, "%s/ballast", disk);
    ck_assert_int_eq(unlink(file), 0);
    log_wait_state(&l, TRP_JOURNAL_OK);
    log_append(&l, 100);
    end(&l, next + 100);
    ck_assert_int_eq(umount2(disk, MNT_DETACH), 0);
    rmdir(disk);
}
END_TEST

START_TEST(a_read_only_disk_refuses_and_heals) {
    struct log l;
    char disk[64];
    if (!small_disk(disk))
        return; /* needs root */
    log_make_in(&l, disk);
    log_open(&l);
    log_append(&l, 10);
    log_close(&l);
    ck_assert_int_eq(mount("none", disk, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    ck_assert_int_eq(log_try_open(&l), TROUPE_SYSTEM);
    ck_assert_msg(strstr(l.why, "Read-only file system") && strstr(l.why, l.path), "%s", l.why);
    ck_assert_int_eq(mount("none", disk, NULL, MS_REMOUNT, "size=1m"), 0);
    log_check(&l, 0, 10);
    log_close(&l);
    log_remove(&l);
    ck_assert_int_eq(umount2(disk, MNT_DETACH), 0);
    rmdir(disk);
}
END_TEST

int main(void) {
    const TTest *const full[] = {a_full_disk_refuses_takes_must_and_heals, it_opens_on_a_full_disk,
                                 dropping_a_segment_heals_a_full_disk, a_close_that_cannot_write_says_so};
    const TTest *const syncs[] = {a_failed_sync_confirms_nothing_until_it_is_written_anew,
                                  what_reads_back_wrong_is_not_confirmed, failing_syncs_lose_and_double_nothing,
                                  written_survives_a_kill_in_a_poisoned_log, a_slow_sync_holds_up_nobody};
    const TTest *const memory[] = {a_sync_thread_without_memory_tries_again};
    const TTest *const limits[] = {a_file_size_limit_is_a_full_disk, a_small_disk_fills_and_heals,
                                   a_read_only_disk_refuses_and_heals};
    Suite *s = suite_create("journal_faults");
    TCase *c = run_case(s, "full", full, sizeof full / sizeof *full);
    tcase_add_loop_test(c, a_disk_that_ends_in_a_record_loses_none, 0, 40);
    tcase_set_timeout(c, 120);
    c = run_case(s, "writes", NULL, 0);
    tcase_add_loop_test(c, a_write_that_fails_is_tried_again, 0, 5);
    tcase_add_loop_test(c, a_new_segment_that_fails_is_made_again, 0, 9);
    tcase_set_timeout(c, 120);
    tcase_set_timeout(run_case(s, "syncs", syncs, sizeof syncs / sizeof *syncs), 120);
    tcase_set_timeout(run_case(s, "memory", memory, sizeof memory / sizeof *memory), 60);
    tcase_set_timeout(run_case(s, "limits", limits, sizeof limits / sizeof *limits), 120);
    return run_suite(s);
}
