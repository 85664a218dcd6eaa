/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A disk that fails when it is told to: the real system calls behind a table of faults and a number of bytes that are
 * free. A fault is "the next n calls of this kind give errno e"; a gate holds fdatasync until it is opened. */
#ifndef TESTS_DISK_H
#define TESTS_DISK_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "broker/journal_sys.h"

enum disk_call {
    DISK_OPEN,
    DISK_PREAD,
    DISK_PWRITEV,
    DISK_FDATASYNC,
    DISK_FSYNC,
    DISK_FTRUNCATE,
    DISK_ALLOCATE,
    DISK_RENAME,
    DISK_UNLINK,
    DISK_CALLS
};

struct disk {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t room; /* bytes by which files may grow */
    struct {
        unsigned skip, fail; /* so many calls pass, then so many fail */
        int error;
        unsigned calls, failed;
    } calls[DISK_CALLS];
    bool gated, held; /* fdatasync is to be held; one is */
    bool lies;        /* what is read is not what was written */
    struct trp_journal_sys sys;
};

/* The error of this call, or 0. */
static inline int disk_fault(struct disk *d, enum disk_call call) {
    int error = 0;
    pthread_mutex_lock(&d->lock);
    d->calls[call].calls++;
    if (d->calls[call].skip) {
        d->calls[call].skip--;
    } else if (d->calls[call].fail) {
        d->calls[call].fail--;
        d->calls[call].failed++;
        error = d->calls[call].error;
    }
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->lock);
    return error;
}

#define DISK_FAULT(d, call)                                                                                                    \
    do {                                                                                                                       \
        int error_ = disk_fault((d), (call));                                                                                  \
        if (error_) {                                                                                                          \
            errno = error_;                                                                                                    \
            return -1;                                                                                                         \
        }                                                                                                                      \
    } while (0)

static inline int64_t disk_size(int fd) {
    struct stat s;
    return fstat(fd, &s) == 0 ? s.st_size : 0;
}

/* How many of `end - size` bytes the disk has; it has that many less. */
static inline int64_t disk_grow(struct disk *d, int64_t size, int64_t end) {
    pthread_mutex_lock(&d->lock);
    int64_t more = end > size ? end - size : 0;
    more = more > d->room ? d->room : more;
    d->room -= more;
    pthread_mutex_unlock(&d->lock);
    return more;
}

static inline void disk_give(struct disk *d, int64_t bytes) {
    pthread_mutex_lock(&d->lock);
    d->room += bytes;
    pthread_mutex_unlock(&d->lock);
}

static inline int disk_open(void *ctx, int dir, const char *name, int flags) {
    struct disk *d = ctx;
    struct stat s;
    DISK_FAULT(d, DISK_OPEN);
    if (flags & O_TRUNC && fstatat(dir, name, &s, 0) == 0)
        disk_give(d, s.st_size);
    return trp_journal_sys_real.open(NULL, dir, name, flags);
}

static inline ssize_t disk_pread(void *ctx, int fd, void *p, size_t n, off_t at) {
    struct disk *d = ctx;
    DISK_FAULT(d, DISK_PREAD);
    ssize_t got = trp_journal_sys_real.pread(NULL, fd, p, n, at);
    pthread_mutex_lock(&d->lock);
    if (d->lies && got > 0)
        *(unsigned char *)p ^= 1;
    pthread_mutex_unlock(&d->lock);
    return got;
}

static inline ssize_t disk_pwritev(void *ctx, int fd, const struct iovec *iov, int n, off_t at) {
    struct disk *d = ctx;
    DISK_FAULT(d, DISK_PWRITEV);
    int64_t size = disk_size(fd), end = at, put = 0;
    for (int i = 0; i < n; i++)
        end += (int64_t)iov[i].iov_len;
    int64_t until = size + disk_grow(d, size, end);
    until = until > end || end <= size ? end : until;
    for (int i = 0; i < n && at + put < until; i++) {
        struct iovec piece = iov[i];
        if (at + put + (int64_t)piece.iov_len > until)
            piece.iov_len = (size_t)(until - at - put);
        ssize_t once = trp_journal_sys_real.pwritev(NULL, fd, &piece, 1, at + put);
        if (once < 0)
            return -1;
        put += once;
    }
    if (put == 0)
        errno = ENOSPC;
    return put ? put : -1;
}

static inline int disk_fdatasync(void *ctx, int fd) {
    struct disk *d = ctx;
    pthread_mutex_lock(&d->lock);
    d->held = d->gated;
    pthread_cond_broadcast(&d->changed);
    while (d->gated)
        pthread_cond_wait(&d->changed, &d->lock);
    d->held = false;
    pthread_mutex_unlock(&d->lock);
    DISK_FAULT(d, DISK_FDATASYNC);
    return trp_journal_sys_real.fdatasync(NULL, fd);
}

static inline int disk_fsync(void *ctx, int fd) {
    DISK_FAULT(ctx, DISK_FSYNC);
    return trp_journal_sys_real.fsync(NULL, fd);
}

static inline int disk_ftruncate(void *ctx, int fd, off_t size) {
    struct disk *d = ctx;
    DISK_FAULT(d, DISK_FTRUNCATE);
    disk_give(d, disk_size(fd) > size ? disk_size(fd) - size : 0);
    return trp_journal_sys_real.ftruncate(NULL, fd, size);
}

static inline int disk_allocate(void *ctx, int fd, off_t size) {
    struct disk *d = ctx;
    DISK_FAULT(d, DISK_ALLOCATE);
    int64_t had = disk_size(fd), more = disk_grow(d, had, size);
    if (had + more >= size)
        return trp_journal_sys_real.allocate(NULL, fd, size);
    disk_give(d, more);
    errno = ENOSPC;
    return -1;
}

static inline int disk_rename(void *ctx, int dir, const char *from, const char *to) {
    DISK_FAULT(ctx, DISK_RENAME);
    return trp_journal_sys_real.rename(NULL, dir, from, to);
}

static inline int disk_unlink(void *ctx, int dir, const char *name) {
    struct disk *d = ctx;
    struct stat s;
    DISK_FAULT(d, DISK_UNLINK);
    if (fstatat(dir, name, &s, 0) == 0)
        disk_give(d, s.st_size);
    return trp_journal_sys_real.unlink(NULL, dir, name);
}

static inline void disk_init(struct disk *d) {
    *d = (struct disk){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .room = INT64_MAX / 2};
    d->sys = (struct trp_journal_sys){d,          disk_open,      disk_pread,    disk_pwritev, disk_fdatasync,
                                      disk_fsync, disk_ftruncate, disk_allocate, disk_rename,  disk_unlink};
}

static inline void disk_fail(struct disk *d, enum disk_call call, unsigned skip, unsigned n, int error) {
    pthread_mutex_lock(&d->lock);
    d->calls[call].skip = skip;
    d->calls[call].fail = n;
    d->calls[call].error = error;
    pthread_mutex_unlock(&d->lock);
}

static inline void disk_room(struct disk *d, int64_t room) {
    pthread_mutex_lock(&d->lock);
    d->room = room;
    pthread_mutex_unlock(&d->lock);
}

static inline void disk_lie(struct disk *d, bool lies) {
    pthread_mutex_lock(&d->lock);
    d->lies = lies;
    pthread_mutex_unlock(&d->lock);
}

static inline void disk_gate(struct disk *d, bool gated) {
    pthread_mutex_lock(&d->lock);
    d->gated = gated;
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->lock);
}

/* Until an fdatasync stands at the gate. */
static inline void disk_wait_held(struct disk *d) {
    pthread_mutex_lock(&d->lock);
    while (!d->held)
        pthread_cond_wait(&d->changed, &d->lock);
    pthread_mutex_unlock(&d->lock);
}

/* Until so many calls have failed. */
static inline void disk_wait_failed(struct disk *d, enum disk_call call, unsigned n) {
    pthread_mutex_lock(&d->lock);
    while (d->calls[call].failed < n)
        pthread_cond_wait(&d->changed, &d->lock);
    pthread_mutex_unlock(&d->lock);
}

static inline unsigned disk_calls(struct disk *d, enum disk_call call) {
    pthread_mutex_lock(&d->lock);
    unsigned calls = d->calls[call].calls;
    pthread_mutex_unlock(&d->lock);
    return calls;
}

#endif
