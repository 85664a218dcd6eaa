/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The durable log on a disk that works: append, confirm, replay, segments, catalogs, drops, the lock, memory. */
#include <signal.h>

#include "tests/support/disk.h"
#include "tests/support/faults.h"
#include "tests/support/log.h"
#include "tests/support/run.h"
#include <sched.h>

static const char first_segment[] = "0000000000000001.log";

START_TEST(what_was_synced_is_replayed) {
    struct log l;
    log_make(&l);
    log_open(&l);
    ck_assert_ptr_null(l.why);
    for (int i = 0; i < 10; i++) {
        log_append(&l, 20);
        log_sync(&l);
    }
    ck_assert_uint_eq(trp_journal_written(l.j), l.lsn);
    uint64_t lsn = l.lsn;
    log_close(&l);
    log_check(&l, 0, 200);
    ck_assert_uint_eq(l.lsn, lsn);
    ck_assert_uint_eq(l.segment, 1);
    ck_assert_uint_eq(l.cut, 0);
    log_close(&l);
    log_remove(&l);
}
END_TEST

START_TEST(it_goes_on_where_it_was) {
    struct log l;
    log_make(&l);
    for (unsigned i = 0; i < 20; i++) {
        log_check(&l, 0, i * 3);
        uint64_t before = l.lsn;
        log_append(&l, 3);
        ck_assert_uint_gt(l.lsn, before);
        log_close(&l);
    }
    log_check(&l, 0, 60);
    log_close(&l);
    log_remove(&l);
}
END_TEST

START_TEST(an_empty_log_opens_again) {
    struct log l;
    log_make(&l);
    for (int i = 0; i < 3; i++) {
        log_check(&l, 0, 0);
        ck_assert_uint_eq(trp_journal_oldest(l.j), 1);
        ck_assert_uint_eq(trp_journal_newest(l.j), 1);
        log_close(&l);
    }
    ck_assert(!log_file_is_there(&l, first_segment));
    log_remove(&l);
}
END_TEST

START_TEST(close_syncs_what_was_not_committed) {
    struct log l;
    log_make(&l);
    log_open(&l);
    log_append(&l, 5);
    log_close(&l);
    log_check(&l, 0, 5);
    log_close(&l);
    ck_assert_int_eq(trp_journal_close(&l.j), TROUPE_OK);
    log_remove(&l);
}
END_TEST

START_TEST(the_folder_is_made) {
    struct log l, inner;
    log_make(&l);
    inner = l;
    ck_assert_int_lt(snprintf(inner.path, sizeof inner.path, "%.50s/inner", l.path), (int)sizeof inner.path);
    log_open(&inner);
    log_append(&inner, 1);
    log_close(&inner);
    log_check(&inner, 0, 1);
    log_close(&inner);
    log_remove(&inner);
    ck_assert_int_eq(rmdir(l.path), 0);
}
END_TEST

START_TEST(parts_are_one_record) {
    struct log l;
    uint8_t bytes[LOG_RECORD_MOST];
    log_make(&l);
    log_open(&l);
    struct trp_slice whole = log_record(0, bytes);
    const struct trp_slice parts[] = {{whole.p, 3}, {NULL, 0}, {whole.p + 3, whole.n - 3}};
    ck_assert_int_eq(trp_journal_appendv(l.j, parts, 3, false, NULL, NULL), TROUPE_OK);
    log_close(&l);
    log_check(&l, 0, 1);
    log_close(&l);
    log_remove(&l);
}
END_TEST

START_TEST(a_record_has_bytes_but_not_too_many) {
    struct log l;
    log_make(&l);
    log_open(&l);
    uint8_t byte = 0;
    ck_assert_int_eq(trp_journal_append(l.j, (struct trp_slice){NULL, 0}, false, NULL, NULL), TROUPE_INVALID);
    ck_assert_int_eq(trp_journal_append(l.j, (struct trp_slice){&byte, TRP_RECORD_MAX + 1ul}, true, NULL, NULL),
                     TROUPE_TOO_BIG);
    const struct trp_slice two[] = {{&byte, SIZE_MAX}, {&byte, SIZE_MAX}};
    ck_assert_int_eq(trp_journal_appendv(l.j, two, 2, true, NULL, NULL), TROUPE_TOO_BIG);
    log_close(&l);
    log_remove(&l);
}
END_TEST

static uint64_t big_seen;
static troupe_status big_replay(void *ctx, struct trp_slice record, uint64_t lsn, uint64_t segment) {
    (void)ctx, (void)lsn, (void)segment;
    for (size_t i = 0; i < record.n; i++)
        if (record.p[i] != (uint8_t)(record.n + i / 1000))
            return TROUPE_PROTOCOL;
    big_seen += record.n;
    return TROUPE_OK;
}

START_TEST(records_may_be_large) {
    const size_t sizes[] = {1, 100, 1 << 20, 3000000, (16 << 20) + 1, 5};
    uint64_t total = 0;
    struct log l;
    log_make(&l);
    l.owner = (struct trp_journal_owner){.replay = big_replay, .moved = log_wake};
    log_open(&l);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *bytes = malloc(sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++)
            bytes[k] = (uint8_t)(sizes[i] + k / 1000);
        ck_assert_int_eq(trp_journal_append(l.j, (struct trp_slice){bytes, sizes[i]}, false, &l.lsn, NULL), TROUPE_OK);
        trp_journal_commit(l.j, TRP_JOURNAL_NOTHING);
        total += sizes[i];
        free(bytes);
    }
    log_sync(&l);
    log_close(&l);
    big_seen = 0;
    log_open(&l);
    ck_assert_uint_eq(big_seen, total);
    log_close(&l);
    log_remove(&l);
}
END_TEST

static uint64_t progress_done, progress_total, progress_calls;
static void progress(void *ctx, uint64_t done, uint64_t total) {
    (void)ctx;
    ck_assert_uint_ge(done, progress_done);
    ck_assert_uint_le(done, total);
    progress_done = done;
    progress_total = total;
    progress_calls++;
}

START_TEST(recovery_tells_its_progress) {
    struct log l;
    log_make(&l);
    l.owner.progress = progress;
    l.opts.segment_bytes = 1 << 20;
    log_open(&l);
    ck_assert_uint_eq(progress_calls, 0);
    log_append(&l, 30000);
    log_close(&l);
    log_check(&l, 0, 30000);
    ck_assert_uint_gt(progress_calls, 4);
    ck_assert_uint_gt(progress_total, 30000 * 100);
    ck_assert_uint_eq(progress_done, progress_total);
    log_close(&l);
    log_remove(&l);
}
END_TEST

static troupe_status refuse(void *ctx, struct trp_slice record, uint64_t lsn, uint64_t segment) {
    (void)record, (void)lsn, (void)segment;
    return *(troupe_status *)ctx;
}

START_TEST(what_replay_says_ends_the_open) {
    struct log l;
    log_make(&l);
    log_open(&l);
    log_append(&l, 3);
    log_close(&l);
    const struct trp_journal_owner owner = {.replay = refuse};
    troupe_status says = TROUPE_PROTOCOL;
    ck_assert_int_eq(trp_journal_open(&l.j, l.path, &l.opts, &owner, &says, NULL, &l.why), TROUPE_PROTOCOL);
    /* Behind the header and a mark. */
    ck_assert_ptr_nonnull(strstr(l.why, "0000000000000001.log is damaged at offset 56"));
    says = TROUPE_NO_MEMORY;
    ck_assert_int_eq(trp_journal_open(&l.j, l.path, &l.opts, &owner, &says, NULL, &l.why), TROUPE_NO_MEMORY);
    ck_assert_ptr_nonnull(strstr(l.why, "out of memory"));
    log_check(&l, 0, 3);
    log_close(&l);
    log_remove(&l);
}
END_TEST

/* ---- levels ---- */

START_TEST(what_nobody_waits_for_is_written_and_later_synced) {
    struct log l;
    log_make(&l);
    log_open(&l);
    log_append(&l, 10);
    trp_journal_commit(l.j, TRP_JOURNAL_WRITTEN);
    while (trp_journal_written(l.j) < l.lsn)
        log_wait_move(&l);
    /* Nobody is told of the lazy sync, so look. */
    while (trp_journal_synced(l.j) < l.lsn)
        sched_yield();
    ck_assert_uint_eq(atomic_load(&l.moves), 1);
    log_close(&l);
    log_remove(&l);
}
END_TEST

START_TEST(synced_may_be_asked_for_afterwards) {
    struct log l;
    log_make(&l);
    l.opts.lazy_ms = 3600 * 1000;
    log_open(&l);
    for (int i = 0; i < 5; i++) {
        log_append(&l, 10);
        trp_journal_commit(l.j, TRP_JOURNAL_NOTHING);
        log_sync(&l);
    }
    log_close(&l);
    log_remove(&l);
}
END_TEST

/* A wish that comes when all is synced already is told at its bell: else who waited would wait for ever. */
START_TEST(what_was_reached_before_it_was_wanted_is_told) {
    struct log l;
    log_make(&l);
    l.opts.lazy_ms = 1;
    log_open(&l);
    log_append(&l, 3);
    trp_journal_commit(l.j, TRP_JOURNAL_NOTHING);
    while (trp_journal_synced(l.j) < l.lsn)
        sched_yield();
    ck_assert_uint_eq(atomic_load(&l.moves), 0);
    trp_journal_commit(l.j, TRP_JOURNAL_SYNCED);
    log_wait_move(&l);
    trp_journal_commit(l.j, TRP_JOURNAL_WRITTEN | TRP_JOURNAL_SYNCED);
    log_wait_move(&l);
    log_close(&l);
    log_remove(&l);
}
END_TEST

START_TEST(written_is_told_before_the_sync) {
    struct log l;
    struct disk d;
    log_make(&l);
    disk_init(&d);
    l.opts.sys = &d.sys;
    log_open(&l);
    log_append(&l, 1); /* makes the file */
    log_sync(&l);
    disk_gate(&d, true);
    log_append(&l, 1);
    trp_journal_commit(l.j, TRP_JOURNAL_WRITTEN | TRP_JOURNAL_SYNCED);
    disk_wait_held(&d);
    ck_assert_uint_eq(trp_journal_written(l.j), l.lsn);
    ck_assert_uint_lt(trp_journal_synced(l.j), l.lsn);
    disk_gate(&d, false);
    log_wait_synced(&l, l.lsn);
    log_close(&l);
    log_remove(&l);
}
END_TEST

START_TEST(many_commits_share_one_sync) {
    struct log l;
    struct disk d;
    log_make(&l);
    disk_init(&d);
    l.opts.sys = &d.sys;
    log_open(&l);
    log_append(&l, 1);
    log_sync(&l);
    disk_gate(&d, true);
    log_append(&l, 1);
    trp_journal_commit(l.j, TRP_JOURNAL_SYNCED);
    disk_wait_held(&d);
    unsigned syncs = disk_calls(&d, DISK_FDATASYNC), writes = disk_calls(&d, DISK_PWRITEV), moves = atomic_load(&l.moves);
    for (int i = 0; i < 1000; i++) {
        log_append(&l, 1);
        trp_journal_commit(l.j, TRP_JOURNAL_SYNCED);
    }
    disk_gate(&d, false);
    log_wait_synced(&l, l.lsn);
    /* The one that was held, and one for all the others. */
    ck_assert_uint_eq(disk_calls(&d, DISK_FDATASYNC) - syncs, 2);
    /* Nobody waited for `written`: a move a sync. */
    ck_assert_uint_eq(atomic_load(&l.moves) - moves, 2);
    log_close(&l);
    ck_assert_uint_le(disk_calls(&d, DISK_PWRITEV) - writes, 4);
    log_check(&l, 0, 1002);
    log_close(&l);
    log_remove(&l);
}
END_TEST

START_TEST(spinning_sees_what_waiting_sees) {
    struct log l;
    log_make(&l);
    log_open(&l);
    for (int i = 0; i < 200; i++) {
        log_append(&l, 1);
        trp_journal_commit(l.j, TRP_JOURNAL_SYNCED);
        if (trp_journal_spin(l.j, l.lsn, 100))
            ck_assert_uint_ge(trp_journal_synced(l.j), l.lsn);
        log_wait_synced(&l, l.lsn);
        ck_assert(trp_journal_spin(l.j, l.lsn, 0));
    }
    log_close(&l);
    log_remove(&l);
}
END_TEST

START_TEST(too_much_waiting_is_again_but_for_must) {
    struct log l;
    struct disk d;
    log_make(&l);
    disk_init(&d);
    l.opts.sys = &d.sys;
    l.opts.buffer_bytes = 100000;
    log_open(&l);
    disk_gate(&d, true);
    troupe_status st;
    while ((st = log_append_must(&l, false)) == TROUPE_OK)
        trp_journal_commit(l.j, TRP_JOURNAL_SYNCED);
    ck_assert_int_eq(st, TROUPE_AGAIN);
    ck_assert_uint_gt(l.lsn, 100000 - 600);
    ck_assert_uint_lt(l.lsn, 100001);
    for (int i = 0; i < 5000; i++)
        ck_assert_int_eq(log_append_must(&l, true), TROUPE_OK);
    ck_assert_int_eq(log_append_must(&l, false), TROUPE_AGAIN);
    disk_gate(&d, false);
    log_sync(&l);
    log_append(&l, 1);
    log_close(&l);
    log_check(&l, 0, l.next);
    ck_assert_uint_gt(l.next, 5000);
    log_close(&l);
    log_remove(&l);
}
END_TEST

/* ---- segments ---- */

START_TEST(segments_follow_each_other) {
    struct log l;
    log_make(&l);
    l.opts.segment_bytes = 4096;
    log_open(&l);
    for (int i = 0; i < 30; i++) {
        log_append(&l, 10);
        log_sync(&l);
    }
    ck_assert_uint_gt(l.segment, 10);
    ck_assert_uint_eq(trp_journal_newest(l.j), l.segment);
    ck_assert_uint_eq(trp_journal_oldest(l.j), 1);
    ck_assert_uint_eq(l.catalogs, l.segment - 1);
    uint64_t segments = l.segment, bytes = trp_journal_bytes(l.j);
    log_close(&l);
    log_check(&l, 0, 300);
    ck_assert_uint_eq(l.segment, segments);
    ck_assert_uint_eq(l.declared, segments - 1);
    ck_assert_uint_ge(trp_journal_bytes(l.j), bytes);
    ck_assert_uint_le(trp_journal_bytes(l.j), bytes + TRP_RECORD_MARK);
    log_close(&l);
    log_remove(&l);
}
END_TEST

START_TEST(many_segments_in_one_commit) {
    struct log l;
    log_make(&l);
    l.opts.segment_bytes = 1000;
    log_open(&l);
    log_append(&l, 1000);
    ck_assert_uint_gt(l.segment, 100);
    log_sync(&l);
    log_close(&l);
    log_check(&l, 0, 1000);
    log_close(&l);
    log_remove(&l);
}
END_TEST

START_TEST(a_record_larger_than_a_segment_has_its_own) {
    struct log l;
    log_make(&l);
    l.opts.segment_bytes = 20;
    log_open(&l);
    log_append(&l, 10);
    ck_assert_uint_eq(l.segment, 10);
    log_close(&l);
    log_check(&l, 0, 10);
    log_close(&l);
    log_remove(&l);
}
END_TEST

static troupe_status catalog_fails(void *ctx) {
    struct log *l = ctx;
    ck_assert_int_eq(log_catalog(l), TROUPE_OK);
    ck_assert_int_eq(log_catalog(l), TROUPE_OK);
    return TROUPE_NO_MEMORY;
}

START_TEST(a_failed_catalog_leaves_no_trace) {
    struct log l;
    log_make(&l);
    l.opts.segment_bytes = 1000;
    l.owner.catalog = catalog_fails;
    log_open(&l);
    troupe_status st;
    while ((st = log_append_must(&l, false)) == TROUPE_OK)
        log_sync(&l);
    ck_assert_int_eq(st, TROUPE_NO_MEMORY);
    ck_assert_uint_eq(trp_journal_newest(l.j), 1);
    ck_assert_int_eq(log_append_must(&l, false), TROUPE_NO_MEMORY);
    uint64_t next = l.next;
    log_close(&l);
    l.owner.catalog = log_catalog;
    log_check(&l, 0, next);
    ck_assert_uint_eq(l.declared, 0);
    log_append(&l, 1);
    ck_assert_uint_eq(l.segment, 2);
    log_close(&l);
    log_check(&l, 0, next + 1);
    log_close(&l);
    log_remove(&l);
}
END_TEST

static void wait_gone(const struct log *l, const char *name) {
    while (log_file_is_there(l, name))
        sched_yield();
}

START_TEST(the_oldest_segments_are_dropped) {
    struct log l;
    log_make(&l);
    l.opts.segment_bytes = 4096;
    log_open(&l);
    uint64_t first = 0;
    while (l.next == 0 || l.segment < 10) {
        log_append(&l, 1);
        first = l.segment <= 4 ? l.next : first;
    }
    log_sync(&l);
    uint64_t bytes = trp_journal_bytes(l.j);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(trp_journal_drop_oldest(l.j), TROUPE_OK);
    ck_assert_uint_eq(trp_journal_oldest(l.j), 5);
    ck_assert_uint_lt(trp_journal_bytes(l.j), bytes - 3 * 3500);
    ck_assert(log_file_is_there(&l, "0000000000000004.log")); /* not committed */
    trp_journal_commit(l.j, TRP_JOURNAL_SYNCED);
    wait_gone(&l, "0000000000000004.log");
    ck_assert(!log_file_is_there(&l, first_segment));
    uint64_t next = l.next;
    log_close(&l);
    log_check(&l, first, next);
    ck_assert_uint_eq(trp_journal_oldest(l.j), 5);
    log_close(&l);
    log_remove(&l);
}
END_TEST

START_TEST(a_drop_nobody_waits_for_happens_too) {
    struct log l;
    log_make(&l);
    l.opts.segment_bytes = 1000;
    l.opts.lazy_ms = 5;
    log_open(&l);
    log_append(&l, 20);
    log_sync(&l);
    ck_assert_int_eq(trp_journal_drop_oldest(l.j), TROUPE_OK);
    trp_journal_commit(l.j, TRP_JOURNAL_NOTHING);
    wait_gone(&l, first_segment);
    log_close(&l);
    log_remove(&l);
}
END_TEST

START_TEST(the_newest_is_not_dropped) {
    struct log l;
    log_make(&l);
    log_open(&l);
    ck_assert_int_eq(trp_journal_drop_oldest(l.j), TROUPE_OK);
}
END_TEST

/* ---- the lock ---- */

START_TEST(one_log_has_one_owner) {
    struct log l;
    log_make(&l);
    log_open(&l);
    struct log other = l;
    other.j = NULL;
    ck_assert_int_eq(log_try_open(&other), TROUPE_EXISTS);
    ck_assert_ptr_null(other.j);
    char pid[24];
    snprintf(pid, sizeof pid, "process %d", (int)getpid());
    ck_assert_ptr_nonnull(strstr(other.why, pid));
    ck_assert_ptr_nonnull(strstr(other.why, l.path));
    log_close(&l);
    log_check(&l, 0, 0);
    log_close(&l);
    log_remove(&l);
}
END_TEST

START_TEST(a_file_is_no_folder) {
    struct log l;
    log_make(&l);
    log_file_write(&l, "file", (const uint8_t *)"x", 1);
    const char *why;
    char path[128];
    log_file(&l, "file", path);
    ck_assert_int_eq(trp_journal_open(&l.j, path, NULL, &l.owner, &l, NULL, &why), TROUPE_SYSTEM);
    ck_assert_ptr_nonnull(strstr(why, "Not a directory"));
    log_file(&l, "no/such", path);
    ck_assert_int_eq(trp_journal_open(&l.j, path, NULL, &l.owner, &l, NULL, &why), TROUPE_SYSTEM);
    ck_assert_ptr_nonnull(strstr(why, "cannot make"));
    log_remove(&l);
}
END_TEST

/* ---- memory ---- */

START_TEST(open_without_memory_leaks_nothing) {
    struct log l;
    log_make(&l);
    l.opts.segment_bytes = 1000;
    log_open(&l);
    log_append(&l, 50);
    log_close(&l);
    for (long n = 1;; n++) {
        faults_fail_at(n);
        troupe_status st = log_try_open(&l);
        long live = faults.live;
        faults_off();
        if (st == TROUPE_OK)
            break;
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
        ck_assert_ptr_nonnull(strstr(l.why, "out of memory"));
        ck_assert_int_eq(live, 0);
    }
    ck_assert_uint_eq(l.replayed, 50);
    log_close(&l);
    log_remove(&l);
}
END_TEST

START_TEST(append_without_memory_changes_nothing) {
    struct log l;
    log_make(&l);
    l.opts.segment_bytes = 300000;
    log_open(&l);
    unsigned failed = 0;
    /* Nothing is committed, so the sync thread does not allocate meanwhile. */
    while (l.next < 20000) {
        faults_fail_at(l.next % 3 ? 0 : 1);
        troupe_status st = log_append_must(&l, l.next & 1);
        faults_off();
        if (st == TROUPE_OK)
            continue;
        ck_assert_int_eq(st, TROUPE_NO_MEMORY);
        failed++;
        log_append(&l, 1);
    }
    ck_assert_uint_gt(failed, 3);
    log_sync(&l);
    log_close(&l);
    log_check(&l, 0, l.next);
    ck_assert_uint_ge(l.replayed, 20000);
    log_close(&l);
    log_remove(&l);
}
END_TEST

START_TEST(a_steady_log_allocates_nothing) {
    struct log l;
    log_make(&l);
    log_open(&l);
    for (int i = 0; i < 500; i++) {
        log_append(&l, 20);
        log_sync(&l);
    }
    uint8_t bytes[LOG_RECORD_MOST];
    faults_fail_at(0);
    for (int i = 0; i < 10000; i++) {
        ck_assert_int_eq(trp_journal_append(l.j, log_record(l.next++, bytes), false, &l.lsn, NULL), TROUPE_OK);
        if (i % 20 == 0)
            log_sync(&l);
    }
    log_sync(&l);
    ck_assert_int_le(faults.calls, 2); /* a second chunk, when the sync thread lags behind */
    faults_off();
    log_close(&l);
    log_remove(&l);
}
END_TEST

int main(void) {
    const TTest *const basics[] = {what_was_synced_is_replayed,         it_goes_on_where_it_was, an_empty_log_opens_again,
                                   close_syncs_what_was_not_committed,  the_folder_is_made,      parts_are_one_record,
                                   a_record_has_bytes_but_not_too_many, records_may_be_large,    recovery_tells_its_progress,
                                   what_replay_says_ends_the_open};
    const TTest *const levels[] = {what_nobody_waits_for_is_written_and_later_synced,
                                   synced_may_be_asked_for_afterwards,
                                   what_was_reached_before_it_was_wanted_is_told,
                                   written_is_told_before_the_sync,
                                   many_commits_share_one_sync,
                                   spinning_sees_what_waiting_sees,
                                   too_much_waiting_is_again_but_for_must};
    const TTest *const segments[] = {
        segments_follow_each_other,       many_segments_in_one_commit,     a_record_larger_than_a_segment_has_its_own,
        a_failed_catalog_leaves_no_trace, the_oldest_segments_are_dropped, a_drop_nobody_waits_for_happens_too};
    const TTest *const locks[] = {one_log_has_one_owner, a_file_is_no_folder};
    const TTest *const memory[] = {open_without_memory_leaks_nothing, append_without_memory_changes_nothing,
                                   a_steady_log_allocates_nothing};
    Suite *s = suite_create("journal");
    tcase_set_timeout(run_case(s, "basics", basics, sizeof basics / sizeof *basics), 60);
    tcase_set_timeout(run_case(s, "levels", levels, sizeof levels / sizeof *levels), 60);
    TCase *c = run_case(s, "segments", segments, sizeof segments / sizeof *segments);
    tcase_add_test_raise_signal(c, the_newest_is_not_dropped, SIGABRT);
    tcase_set_timeout(c, 60);
    tcase_set_timeout(run_case(s, "locks", locks, sizeof locks / sizeof *locks), 60);
    tcase_set_timeout(run_case(s, "memory", memory, sizeof memory / sizeof *memory), 60);
    return run_suite(s);
}
