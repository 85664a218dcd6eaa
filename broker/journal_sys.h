/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The system calls that the durable log makes on its files, as a table: the tests put a disk behind it that is full,
 * slow or broken at a chosen moment. Each member says what the call of the same name says: -1 and errno on failure. They are
 * called from the thread that opens the log until that returns, then from the log's sync thread; all may block but must not
 * call back into the log. */
#ifndef TRP_BROKER_JOURNAL_SYS_H
#define TRP_BROKER_JOURNAL_SYS_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct trp_journal_sys {
    void *ctx;
    /* Files are named relative to the log's directory; mode 0600, close-on-exec. */
    int (*open)(void *ctx, int dir, const char *name, int flags);
    ssize_t (*pread)(void *ctx, int fd, void *p, size_t n, off_t at);
    ssize_t (*pwritev)(void *ctx, int fd, const struct iovec *iov, int n, off_t at);
    int (*fdatasync)(void *ctx, int fd);
    int (*fsync)(void *ctx, int fd); /* of the directory */
    int (*ftruncate)(void *ctx, int fd, off_t size);
    int (*allocate)(void *ctx, int fd, off_t size); /* the disk keeps so many bytes for the file */
    int (*rename)(void *ctx, int dir, const char *from, const char *to);
    int (*unlink)(void *ctx, int dir, const char *name);
};

extern const struct trp_journal_sys trp_journal_sys_real;

#endif
