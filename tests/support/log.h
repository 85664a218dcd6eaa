/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A durable log in a folder of its own, with an owner that knows what it appended: record i is i in eight bytes and a
 * filler made from i, of a length made from i. So what is replayed can be checked without being remembered. */
#ifndef TESTS_LOG_H
#define TESTS_LOG_H

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/journal.h"
#include "broker/segment.h"
#include "tests/support/folder.h"

enum { LOG_RECORD_MOST = 8 + 300 };

struct log {
    char path[64];
    struct trp_journal *j;
    struct trp_journal_opts opts;
    struct trp_journal_owner owner;
    const char *why;       /* of the last open */
    uint64_t cut;          /* of the last open */
    uint64_t next;         /* number of the record that is appended next */
    uint64_t replayed;     /* numbers below are replayed */
    uint64_t first;        /* number of the first one replayed */
    uint64_t lsn, segment; /* of the last append, or the last replayed */
    uint64_t declared;     /* catalogs seen in replay */
    unsigned catalogs;     /* catalogs written */
    bool wrong;            /* something replayed was not what was appended */
    sem_t moved;
    atomic_uint moves;
};

static inline void log_wake(void *ctx) {
    struct log *l = ctx;
    atomic_fetch_add(&l->moves, 1);
    sem_post(&l->moved);
}

static inline struct trp_slice log_record(uint64_t i, uint8_t out[LOG_RECORD_MOST]) {
    size_t n = 8 + (i * 7919) % (LOG_RECORD_MOST - 8);
    memcpy(out, &i, 8);
    for (size_t k = 8; k < n; k++)
        out[k] = (uint8_t)(i * 31 + k);
    return (struct trp_slice){out, n};
}

static const char log_catalog_text[] = "catalog";

static inline troupe_status log_catalog(void *ctx) {
    struct log *l = ctx;
    l->catalogs++;
    return trp_journal_append(l->j, trp_slice_str(log_catalog_text), false, NULL, NULL);
}

/* Records must be consecutive. The first may be any: what came before it was dropped. */
static inline troupe_status log_replay(void *ctx, struct trp_slice record, uint64_t lsn, uint64_t segment) {
    struct log *l = ctx;
    uint8_t expected[LOG_RECORD_MOST];
    uint64_t i;
    l->wrong |= lsn <= l->lsn || segment < l->segment;
    l->lsn = lsn;
    l->segment = segment;
    if (trp_slice_eq(record, trp_slice_str(log_catalog_text))) {
        l->declared++;
        return TROUPE_OK;
    }
    l->wrong |= record.n < 8;
    if (l->wrong)
        return TROUPE_OK;
    memcpy(&i, record.p, 8);
    if (l->replayed == l->first)
        l->first = l->replayed = i;
    l->wrong |= i != l->replayed++ || !trp_slice_eq(record, log_record(i, expected));
    return TROUPE_OK;
}

static inline int log_no_sync(void *ctx, int fd) {
    (void)ctx;
    return fd < 0 ? -1 : 0;
}

/* For tests that open a log a thousand times and lose no power: the disk is not waited for. */
static inline const struct trp_journal_sys *log_sys_hasty(void) {
    static struct trp_journal_sys hasty;
    hasty = trp_journal_sys_real;
    hasty.fdatasync = hasty.fsync = log_no_sync;
    return &hasty;
}

static inline void log_make_in(struct log *l, const char *parent) {
    *l = (struct log){.owner = {.replay = log_replay, .catalog = log_catalog, .moved = log_wake}};
    l->opts = (struct trp_journal_opts){.reserve_bytes = 4096, .retry_ms = 2, .lazy_ms = 50};
    sem_init(&l->moved, 0, 0);
    ck_assert_int_lt(snprintf(l->path, sizeof l->path, "%s/troupe-log-XXXXXX", parent), (int)sizeof l->path);
    ck_assert_msg(mkdtemp(l->path) != NULL, "mkdtemp %s", l->path);
}

static inline void log_make(struct log *l) {
    log_make_in(l, "/tmp");
}

static inline void log_make_hasty(struct log *l) {
    log_make_in(l, fast_folder());
    l->opts.sys = log_sys_hasty();
}

static inline troupe_status log_try_open(struct log *l) {
    l->replayed = l->first = l->lsn = l->segment = l->declared = l->cut = 0;
    l->wrong = false;
    troupe_status st = trp_journal_open(&l->j, l->path, &l->opts, &l->owner, l, &l->cut, &l->why);
    l->next = l->replayed;
    return st;
}

static inline void log_open(struct log *l) {
    troupe_status st = log_try_open(l);
    ck_assert_msg(st == TROUPE_OK, "%s: %s", troupe_status_name(st), l->why ? l->why : "");
    ck_assert(!l->wrong);
}

static inline troupe_status log_append_must(struct log *l, bool must) {
    uint8_t bytes[LOG_RECORD_MOST];
    troupe_status st = trp_journal_append(l->j, log_record(l->next, bytes), must, &l->lsn, &l->segment);
    l->next += st == TROUPE_OK;
    return st;
}

static inline void log_append(struct log *l, unsigned n) {
    while (n--)
        ck_assert_int_eq(log_append_must(l, false), TROUPE_OK);
}

/* Until `moved` is called; a minute is for ever. */
static inline void log_wait_move(struct log *l) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += 60;
    ck_assert_msg(sem_timedwait(&l->moved, &t) == 0, "the log does not move: %s", trp_journal_why(l->j));
}

static inline void log_wait_synced(struct log *l, uint64_t lsn) {
    while (trp_journal_synced(l->j) < lsn)
        log_wait_move(l);
}

static inline void log_wait_state(struct log *l, enum trp_journal_state state) {
    while (trp_journal_state(l->j) != state)
        log_wait_move(l);
}

static inline void log_sync(struct log *l) {
    trp_journal_commit(l->j, TRP_JOURNAL_SYNCED);
    log_wait_synced(l, l->lsn);
}

static inline void log_close(struct log *l) {
    ck_assert_int_eq(trp_journal_close(&l->j), TROUPE_OK);
    ck_assert_ptr_null(l->j);
}

/* Opens again what was closed and finds first..next. */
static inline void log_check(struct log *l, uint64_t first, uint64_t next) {
    log_open(l);
    ck_assert_uint_eq(l->first, first);
    ck_assert_uint_eq(l->replayed, next);
}

static inline void log_remove(struct log *l) {
    DIR *d = opendir(l->path);
    const struct dirent *e;
    ck_assert_ptr_nonnull(d);
    while ((e = readdir(d)))
        if (e->d_name[0] != '.')
            ck_assert_int_eq(unlinkat(dirfd(d), e->d_name, 0), 0);
    closedir(d);
    ck_assert_int_eq(rmdir(l->path), 0);
    sem_destroy(&l->moved);
}

/* ---- files of the folder ---- */

static inline void log_file(const struct log *l, const char *name, char out[128]) {
    ck_assert_int_lt(snprintf(out, 128, "%s/%s", l->path, name), 128);
}

/* The whole file; free it. NULL: there is none. */
static inline uint8_t *log_file_read(const struct log *l, const char *name, size_t *n) {
    char path[128];
    struct stat s;
    log_file(l, name, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    ck_assert_int_eq(fstat(fd, &s), 0);
    uint8_t *bytes = malloc((size_t)s.st_size + 1);
    ck_assert_int_eq(pread(fd, bytes, (size_t)s.st_size, 0), s.st_size);
    close(fd);
    *n = (size_t)s.st_size;
    return bytes;
}

static inline void log_file_write(const struct log *l, const char *name, const uint8_t *bytes, size_t n) {
    char path[128];
    log_file(l, name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
    close(fd);
}

static inline bool log_file_is_there(const struct log *l, const char *name) {
    char path[128];
    log_file(l, name, path);
    return access(path, F_OK) == 0;
}

static inline uint64_t log_random(uint64_t *seed, uint64_t below) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 33) % below;
}

#endif
