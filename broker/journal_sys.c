/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The real system calls, repeated when a signal interrupts them. close(2) is not among them: what it says comes too
 * late to act on, and everything that matters was synced before. */
#include "broker/journal_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define AGAIN_WHILE_INTERRUPTED(result, call)                                                                                  \
    do {                                                                                                                       \
        (result) = (call);                                                                                                     \
    } while ((result) < 0 && errno == EINTR)

static int real_open(void *ctx, int dir, const char *name, int flags) {
    (void)ctx;
    int fd;
    AGAIN_WHILE_INTERRUPTED(fd, openat(dir, name, flags | O_CLOEXEC, 0600));
    return fd;
}

static ssize_t real_pread(void *ctx, int fd, void *p, size_t n, off_t at) {
    (void)ctx;
    ssize_t got;
    AGAIN_WHILE_INTERRUPTED(got, pread(fd, p, n, at));
    return got;
}

static ssize_t real_pwritev(void *ctx, int fd, const struct iovec *iov, int n, off_t at) {
    (void)ctx;
    ssize_t put;
    AGAIN_WHILE_INTERRUPTED(put, pwritev(fd, iov, n, at));
    return put;
}

static int real_fdatasync(void *ctx, int fd) {
    (void)ctx;
    int rc;
    AGAIN_WHILE_INTERRUPTED(rc, fdatasync(fd));
    return rc;
}

static int real_fsync(void *ctx, int fd) {
    (void)ctx;
    int rc;
    AGAIN_WHILE_INTERRUPTED(rc, fsync(fd));
    return rc;
}

static int real_ftruncate(void *ctx, int fd, off_t size) {
    (void)ctx;
    int rc;
    AGAIN_WHILE_INTERRUPTED(rc, ftruncate(fd, size));
    return rc;
}

static int real_allocate(void *ctx, int fd, off_t size) {
    (void)ctx;
    int error;
    do
        error = posix_fallocate(fd, 0, size);
    while (error == EINTR);
    errno = error;
    return error ? -1 : 0;
}

static int real_rename(void *ctx, int dir, const char *from, const char *to) {
    (void)ctx;
    return renameat(dir, from, dir, to);
}

static int real_unlink(void *ctx, int dir, const char *name) {
    (void)ctx;
    return unlinkat(dir, name, 0);
}

const struct trp_journal_sys trp_journal_sys_real = {
    .open = real_open,
    .pread = real_pread,
    .pwritev = real_pwritev,
    .fdatasync = real_fdatasync,
    .fsync = real_fsync,
    .ftruncate = real_ftruncate,
    .allocate = real_allocate,
    .rename = real_rename,
    .unlink = real_unlink,
};
