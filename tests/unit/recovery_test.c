/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Segment files that were cut, flipped, lost or exchanged: recovered as far as a crash can have gone, else refused with
 * a sentence that names file and offset. Whatever happens, what is replayed was appended (log_replay checks). */
#include "tests/support/chance.h"
#include "tests/support/disk.h"
#include "tests/support/effort.h"
#include "tests/support/log.h"
#include "tests/support/run.h"

static const char one[] = "0000000000000001.log";
static const char two[] = "0000000000000002.log";
static const char three[] = "0000000000000003.log";

/* The file as it is while the log is open and idle, which is what a kill -9 leaves. */
struct image {
    uint8_t *p;
    size_t n;
};

static struct image image_of(const struct log *l, const char *name) {
    struct image i = {0};
    i.p = log_file_read(l, name, &i.n);
    ck_assert_ptr_nonnull(i.p);
    return i;
}

static void image_put(const struct log *l, const char *name, struct image i) {
    log_file_write(l, name, i.p, i.n);
}

/* A log of `n` records in commits of `group`, synced one by one if `each`. `crash`: the last segment as a kill would leave it.
 */
static struct image make(struct log *l, unsigned n, unsigned group, bool crash) {
    char name[TRP_SEGMENT_NAME];
    log_make_hasty(l);
    log_open(l);
    for (unsigned i = 0; i < n; i += group) {
        log_append(l, group);
        log_sync(l);
    }
    trp_segment_name(name, (struct trp_segment_id){l->segment, 0});
    struct image live = image_of(l, name);
    log_close(l);
    if (!crash) {
        free(live.p);
        return image_of(l, name);
    }
    image_put(l, name, live);
    return live;
}

/* Where each record ends in the file; returns how many there are. */
static unsigned ends_of(struct image i, size_t *ends, unsigned most) {
    struct trp_record r;
    uint64_t at = 0;
    unsigned n = 0;
    while (n < most) {
        struct trp_slice rest = {i.p + TRP_SEGMENT_HEADER + at, i.n - TRP_SEGMENT_HEADER - at};
        enum trp_record_kind kind = trp_record_read(rest, at, &r);
        if (kind != TRP_RECORD_GOOD && kind != TRP_RECORD_MARKED)
            break;
        at += r.size;
        if (kind == TRP_RECORD_GOOD)
            ends[n++] = TRP_SEGMENT_HEADER + at;
    }
    return n;
}

static void refused(struct log *l, const char *file, const char *text) {
    ck_assert_int_eq(log_try_open(l), TROUPE_PROTOCOL);
    ck_assert_msg(l->why && strstr(l->why, file) && strstr(l->why, text), "%s", l->why ? l->why : "no sentence");
    ck_assert(!l->wrong);
}

/* ---- cut ---- */

START_TEST(every_prefix_gives_its_whole_records) {
    struct log l;
    size_t ends[40];
    struct image whole = make(&l, 30, 3, _i), part = whole;
    unsigned n = ends_of(whole, ends, 40), records = 0;
    ck_assert_uint_eq(n, 30);
    for (part.n = 0; part.n <= ends[n - 1] + 100 && part.n <= whole.n; part.n += effort_stride()) {
        image_put(&l, one, part);
        while (records < n && ends[records] <= part.n)
            records++;
        ck_assert_int_eq(log_try_open(&l), TROUPE_OK);
        ck_assert(!l.wrong);
        ck_assert_uint_eq(l.replayed, records);
        /* What is not a whole record was cut and told, unless it is zeros. */
        size_t good = records ? ends[records - 1] : TRP_SEGMENT_HEADER;
        ck_assert_uint_le(l.cut, part.n < TRP_SEGMENT_HEADER ? part.n : part.n - good);
        ck_assert(l.cut ? l.why != NULL : !l.why || part.n == 0);
        log_close(&l);
    }
    free(whole.p);
    log_remove(&l);
}
END_TEST

START_TEST(a_cut_log_goes_on) {
    struct log l;
    size_t ends[40];
    struct image whole = make(&l, 30, 3, true), part = whole;
    ends_of(whole, ends, 40);
    part.n = ends[20] - 1;
    image_put(&l, one, part);
    log_check(&l, 0, 20);
    ck_assert_uint_eq(l.cut, ends[20] - 1 - ends[19]);
    char text[80];
    snprintf(text, sizeof text, "%s had a torn tail: %u bytes were cut at offset %u", one, (unsigned)l.cut, (unsigned)ends[19]);
    ck_assert_msg(strstr(l.why, text) != NULL, "%s", l.why);
    log_append(&l, 1);
    log_close(&l);
    log_check(&l, 0, 21);
    ck_assert_uint_eq(l.cut, 0);
    log_close(&l);
    free(whole.p);
    log_remove(&l);
}
END_TEST

/* What was cut must not come back behind shorter records that take its place. */
START_TEST(cut_bytes_never_come_back) {
    struct log l;
    struct image whole = make(&l, 30, 30, true);
    size_t ends[40];
    ends_of(whole, ends, 40);
    whole.p[ends[4] + 3] ^= 1;
    whole.n = ends[29]; /* without the mark that it was synced */
    for (int round = 0; round < 3; round++) {
        image_put(&l, one, whole);
        log_check(&l, 0, 5);
        ck_assert_uint_gt(l.cut, 1000);
        log_append(&l, (unsigned)round);
        log_close(&l);
        log_check(&l, 0, 5 + (uint64_t)round);
        log_close(&l);
    }
    free(whole.p);
    log_remove(&l);
}
END_TEST

START_TEST(zeros_behind_the_end_are_no_damage) {
    struct log l;
    struct image live = make(&l, 10, 1, false);
    const size_t lengths[] = {1, 7, 8, 9, 4096, 1 << 20, (1 << 20) + 5, 3 << 20};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct image longer = {calloc(1, live.n + lengths[i]), live.n + lengths[i]};
        memcpy(longer.p, live.p, live.n);
        image_put(&l, one, longer);
        log_check(&l, 0, 10);
        ck_assert_uint_eq(l.cut, 0);
        log_close(&l);
        /* One bit far behind is a torn tail as long as it reaches. */
        longer.p[longer.n - 1] = 4;
        image_put(&l, one, longer);
        log_check(&l, 0, 10);
        ck_assert_uint_eq(l.cut, lengths[i]);
        log_close(&l);
        free(longer.p);
    }
    free(live.p);
    log_remove(&l);
}
END_TEST

START_TEST(rubbish_behind_the_end_is_a_torn_tail) {
    struct log l;
    struct image live = make(&l, 10, 1, false);
    uint64_t seed = seed_of_run();
    for (int i = 0; i < 200; i++) {
        size_t more = 1 + log_random(&seed, 3000);
        struct image longer = {malloc(live.n + more), live.n + more};
        memcpy(longer.p, live.p, live.n);
        for (size_t k = live.n; k < longer.n; k++)
            longer.p[k] = (uint8_t)(1 + log_random(&seed, 255));
        image_put(&l, one, longer);
        log_check(&l, 0, 10);
        ck_assert_uint_eq(l.cut, more);
        log_close(&l);
        free(longer.p);
    }
    free(live.p);
    log_remove(&l);
}
END_TEST

/* ---- flipped ---- */

static void flip(struct image i, size_t bit) {
    i.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

/* After a clean close all was synced, and a mark at the end says so: any flip but in that mark is refused. */
START_TEST(every_flip_in_a_closed_log_is_refused) {
    struct log l;
    size_t ends[20];
    struct image i = make(&l, 12, 4, false);
    unsigned n = ends_of(i, ends, 20);
    ck_assert_uint_eq(i.n, ends[n - 1] + TRP_RECORD_MARK);
    for (size_t bit = 0; bit < 8 * i.n; bit += effort_stride()) {
        flip(i, bit);
        image_put(&l, one, i);
        if (bit < 8 * ends[n - 1]) {
            refused(&l, one, bit < 32 * 8 ? "" : "offset");
        } else {
            log_check(&l, 0, 12);
            ck_assert(l.cut > 0 && l.cut <= TRP_RECORD_MARK);
            log_close(&l);
        }
        flip(i, bit);
    }
    free(i.p);
    log_remove(&l);
}
END_TEST

/* A killed log: refused, or cut where nothing says that it was synced. */
START_TEST(every_flip_in_a_killed_log_is_refused_or_cut) {
    struct log l;
    size_t ends[20];
    struct image i = make(&l, 12, 4, true);
    unsigned n = ends_of(i, ends, 20), cuts = 0;
    size_t until = ends[n - 1] + 100 < i.n ? ends[n - 1] + 100 : i.n;
    for (size_t bit = 0; bit < 8 * until; bit += effort_stride()) {
        flip(i, bit);
        image_put(&l, one, i);
        troupe_status st = log_try_open(&l);
        ck_assert(!l.wrong);
        if (st == TROUPE_OK) {
            ck_assert_uint_gt(l.cut, 0);
            ck_assert_ptr_nonnull(strstr(l.why, one));
            /* The second commit's mark says that the first was synced, and so on. */
            ck_assert_uint_ge(l.replayed, 8);
            cuts++;
            log_close(&l);
        } else {
            ck_assert_int_eq(st, TROUPE_PROTOCOL);
            ck_assert_ptr_nonnull(strstr(l.why, one));
        }
        flip(i, bit);
    }
    ck_assert_uint_gt(cuts, 0);
    free(i.p);
    log_remove(&l);
}
END_TEST

/* ---- several segments ---- */

/* Records in three segments or more. */
static void make_three(struct log *l) {
    log_make_hasty(l);
    l->opts.segment_bytes = 1000;
    log_open(l);
    while (l->segment < 4)
        log_append(l, 1);
    log_close(l);
}

START_TEST(every_flip_in_an_older_segment_is_refused) {
    struct log l;
    make_three(&l);
    uint64_t next = l.next;
    const char *const names[] = {one, two, three};
    for (size_t k = 0; k < 3; k++) {
        struct image i = image_of(&l, names[k]);
        for (size_t bit = 0; bit < 8 * i.n; bit += 3 * effort_stride()) {
            flip(i, bit);
            image_put(&l, names[k], i);
            ck_assert_int_eq(log_try_open(&l), TROUPE_PROTOCOL);
            ck_assert(!l.wrong);
            ck_assert_ptr_nonnull(strstr(l.why, ".log"));
            flip(i, bit);
        }
        image_put(&l, names[k], i);
        free(i.p);
    }
    log_check(&l, 0, next);
    log_close(&l);
    log_remove(&l);
}
END_TEST

START_TEST(an_older_segment_cut_short_is_refused) {
    struct log l;
    make_three(&l);
    struct image whole = image_of(&l, two), part = whole;
    for (part.n = 0; part.n < whole.n; part.n += effort_stride()) {
        image_put(&l, two, part);
        refused(&l, two, "offset");
    }
    free(whole.p);
    log_remove(&l);
}
END_TEST

START_TEST(a_missing_segment_is_refused) {
    struct log l;
    make_three(&l);
    uint64_t next = l.next;
    char path[128];
    struct image first = image_of(&l, one), second = image_of(&l, two);
    log_file(&l, two, path);
    ck_assert_int_eq(unlink(path), 0);
    refused(&l, one, "or one is missing");
    image_put(&l, two, second);
    log_file(&l, one, path);
    ck_assert_int_eq(unlink(path), 0);
    refused(&l, one, "is missing");
    image_put(&l, one, first);
    log_check(&l, 0, next);
    log_close(&l);
    free(first.p);
    free(second.p);
    log_remove(&l);
}
END_TEST

START_TEST(exchanged_segments_are_refused) {
    struct log l;
    make_three(&l);
    struct image a = image_of(&l, two), b = image_of(&l, three);
    image_put(&l, two, b);
    image_put(&l, three, a);
    refused(&l, two, "was renamed");
    free(a.p);
    free(b.p);
    log_remove(&l);
}
END_TEST

/* A segment dropped by a process that was killed before the file went, or the file came back with the power. */
START_TEST(a_dropped_segment_may_still_be_there) {
    struct log l;
    make_three(&l);
    struct image first = image_of(&l, one);
    log_check(&l, 0, l.next);
    uint64_t next = l.next;
    ck_assert_int_eq(trp_journal_drop_oldest(l.j), TROUPE_OK);
    log_close(&l);
    ck_assert(!log_file_is_there(&l, one));
    log_open(&l);
    ck_assert_uint_gt(l.first, 0);
    log_close(&l);
    image_put(&l, one, first);
    log_check(&l, 0, next);
    ck_assert_uint_eq(trp_journal_oldest(l.j), 1);
    log_close(&l);
    free(first.p);
    log_remove(&l);
}
END_TEST

/* ---- what is not ours ---- */

START_TEST(a_version_from_the_future_is_refused) {
    struct log l;
    struct image i = make(&l, 3, 1, false);
    i.p[6] = 9;
    image_put(&l, one, i);
    refused(&l, one, "has version 9, this program reads version 1");
    free(i.p);
    log_remove(&l);
}
END_TEST

START_TEST(another_file_by_our_name_is_refused) {
    struct log l;
    log_make(&l);
    uint8_t text[100];
    memset(text, 'x', sizeof text);
    log_file_write(&l, one, text, sizeof text);
    refused(&l, one, "does not begin as a segment does");
    memset(text, 0, sizeof text);
    log_file_write(&l, one, text, sizeof text);
    refused(&l, one, "does not begin as a segment does");
    log_remove(&l);
}
END_TEST

START_TEST(other_files_are_left_alone) {
    struct log l;
    struct image i = make(&l, 3, 1, false);
    const char *const names[] = {"0000000000000001.log.bak", "notes.txt", "1.log", "x.new"};
    for (size_t k = 0; k < 4; k++)
        log_file_write(&l, names[k], (const uint8_t *)"mine", 4);
    log_file_write(&l, "0000000000000002.log.new", (const uint8_t *)"TRPL", 4);
    log_check(&l, 0, 3);
    log_close(&l);
    for (size_t k = 0; k < 4; k++)
        ck_assert_msg(log_file_is_there(&l, names[k]), "%s", names[k]);
    ck_assert(!log_file_is_there(&l, "0000000000000002.log.new"));
    free(i.p);
    log_remove(&l);
}
END_TEST

/* ---- a disk that refuses ---- */

START_TEST(a_disk_that_refuses_has_a_sentence) {
    static const struct {
        enum disk_call call;
        int error;
        const char *text;
    } cases[] = {
        {DISK_OPEN, EROFS, "/lock: Read-only file system"},
        {DISK_PREAD, EIO, "Input/output error"},
        {DISK_PWRITEV, EIO, "cannot write"},
        {DISK_FDATASYNC, EIO, "cannot sync"},
        {DISK_FSYNC, EIO, "cannot sync"},
        {DISK_FTRUNCATE, EROFS, "cannot cut the torn tail of"},
    };
    struct log l;
    struct disk d;
    struct image i = make(&l, 30, 10, true);
    size_t ends[40];
    ends_of(i, ends, 40);
    i.n = ends[29] + 1;
    i.p[ends[29]] = 1; /* something to cut */
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        image_put(&l, one, i);
        disk_init(&d);
        l.opts.sys = &d.sys;
        disk_fail(&d, cases[k].call, 0, 1000, cases[k].error);
        ck_assert_int_eq(log_try_open(&l), TROUPE_SYSTEM);
        ck_assert_msg(strstr(l.why, cases[k].text) && strstr(l.why, l.path), "%s", l.why);
        l.opts.sys = NULL;
        log_check(&l, 0, 30);
        log_close(&l);
    }
    free(i.p);
    log_remove(&l);
}
END_TEST

/* Reads that fail later than at the headers, each once. */
START_TEST(a_read_that_fails_is_no_end_of_the_log) {
    struct log l;
    struct disk d;
    make_three(&l);
    for (unsigned n = 0;; n++) {
        disk_init(&d);
        l.opts.sys = &d.sys;
        disk_fail(&d, DISK_PREAD, n, 1, EIO);
        troupe_status st = log_try_open(&l);
        if (st == TROUPE_OK)
            break;
        ck_assert_int_eq(st, TROUPE_SYSTEM);
        ck_assert_ptr_nonnull(strstr(l.why, "cannot read"));
        ck_assert_uint_lt(n, 100);
    }
    log_close(&l);
    log_remove(&l);
}
END_TEST

int main(void) {
    const TTest *const cut[] = {a_cut_log_goes_on, cut_bytes_never_come_back, zeros_behind_the_end_are_no_damage,
                                rubbish_behind_the_end_is_a_torn_tail};
    const TTest *const flipped[] = {every_flip_in_a_closed_log_is_refused, every_flip_in_a_killed_log_is_refused_or_cut};
    const TTest *const several[] = {every_flip_in_an_older_segment_is_refused, an_older_segment_cut_short_is_refused,
                                    a_missing_segment_is_refused, exchanged_segments_are_refused,
                                    a_dropped_segment_may_still_be_there};
    const TTest *const foreign[] = {a_version_from_the_future_is_refused, another_file_by_our_name_is_refused,
                                    other_files_are_left_alone};
    const TTest *const disk[] = {a_disk_that_refuses_has_a_sentence, a_read_that_fails_is_no_end_of_the_log};
    Suite *s = suite_create("recovery");
    TCase *c = run_case(s, "cut", cut, sizeof cut / sizeof *cut);
    tcase_add_loop_test(c, every_prefix_gives_its_whole_records, 0, 2);
    tcase_set_timeout(c, 300);
    tcase_set_timeout(run_case(s, "flipped", flipped, sizeof flipped / sizeof *flipped), 300);
    tcase_set_timeout(run_case(s, "several segments", several, sizeof several / sizeof *several), 300);
    tcase_set_timeout(run_case(s, "foreign", foreign, sizeof foreign / sizeof *foreign), 60);
    tcase_set_timeout(run_case(s, "disk", disk, sizeof disk / sizeof *disk), 60);
    return run_suite(s);
}
