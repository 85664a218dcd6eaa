/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What fails is of two kinds. A write that is refused changed nothing that was promised: the same bytes are put at the
 * same place later. A sync that failed leaves the file in doubt for good: it is closed, and all from `synced` on goes
 * into a new part of the segment, which is read back from the disk before it takes its name. */
#include "broker/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "transports/alloc.h"
#include "transports/assert.h"

enum {
    PIECES = 32,             /* of one pwritev */
    ZEROS = 16 * 1024,       /* one piece of zeros */
    BATCH = 4 * 1024 * 1024, /* most bytes of one pwritev, so that `written` moves while much is written */
    SMALL = 32 * 1024,       /* a write below that gets zeros ahead */
    VERIFY = 64 * 1024,      /* bytes read back at once */
    NEW_NAME = TRP_SEGMENT_NAME + 4
};

static const uint8_t zeros[ZEROS];

static void new_name(char out[NEW_NAME], struct trp_segment_id id) {
    trp_segment_name(out, id);
    memcpy(out + strlen(out), ".new", 5);
}

static void note(struct trp_writer *w, const char *doing) {
    char name[TRP_SEGMENT_NAME];
    w->error = errno;
    trp_segment_name(name, w->id);
    (void)snprintf(w->why, sizeof w->why, "cannot %s %s/%s: %s", doing, w->path, name, strerror(w->error));
}

static uint64_t offset_of(const struct trp_writer *w, uint64_t position) {
    return TRP_SEGMENT_HEADER + (position - w->first);
}

static void file_close(struct trp_writer *w) {
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

/* ---- writing ---- */

/* Zeros behind `end` up to the next multiple of the extent. */
static int zeros_add(struct iovec *iov, int n, uint64_t end) {
    size_t left = TRP_WRITER_AHEAD - (size_t)(end % TRP_WRITER_AHEAD);
    for (; left && n < PIECES; n++) {
        size_t size = left < ZEROS ? left : ZEROS;
        iov[n] = (struct iovec){(void *)(uintptr_t)zeros, size};
        left -= size;
    }
    return n;
}

static size_t iov_bytes(const struct iovec *iov, int n) {
    size_t bytes = 0;
    for (int i = 0; i < n; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

/* One pwritev at `at`; true: it got further. */
static bool write_some(struct trp_writer *w, uint64_t upto) {
    struct iovec iov[PIECES];
    int n = trp_backlog_read(w->backlog, w->at, upto, iov, PIECES / 2, BATCH);
    size_t bytes = iov_bytes(iov, n);
    uint64_t offset = offset_of(w, w->at);
    if (offset + bytes > w->extent && bytes < SMALL)
        n = zeros_add(iov, n, offset + bytes);
    ssize_t put = w->sys->pwritev(w->sys->ctx, w->fd, iov, n, (off_t)offset);
    if (put <= 0) {
        errno = put == 0 ? ENOSPC : errno;
        note(w, "write");
        return false;
    }
    w->extent = offset + (uint64_t)put > w->extent ? offset + (uint64_t)put : w->extent;
    w->at += (size_t)put < bytes ? (size_t)put : bytes;
    return true;
}

static troupe_status write_all(struct trp_writer *w, uint64_t upto) {
    while (w->at < upto)
        if (!write_some(w, upto))
            return TROUPE_FULL;
    return TROUPE_OK;
}

/* ---- syncing ---- */

static void delay(int64_t ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    if (ms > 0)
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

/* Nothing behind `synced` counts: it will be written once more, elsewhere. */
static troupe_status poisoned(struct trp_writer *w) {
    file_close(w);
    w->suspect = true;
    w->at = w->synced;
    return TROUPE_SYSTEM;
}

static bool data_sync(struct trp_writer *w) {
    delay(w->sync_delay_ms);
    if (w->sys->fdatasync(w->sys->ctx, w->fd) == 0)
        return true;
    note(w, "sync");
    return false;
}

troupe_status trp_writer_sync(struct trp_writer *w) {
    if (w->synced == w->at)
        return TROUPE_OK;
    trp_assert(w->fd >= 0);
    if (data_sync(w)) {
        w->synced = w->at;
        return TROUPE_OK;
    }
    w->id.part++;
    return poisoned(w);
}

/* ---- a new file ---- */

static troupe_status file_remember(struct trp_writer *w) {
    struct trp_segment_id *files = trp_array(w->files, w->n + 1, sizeof *files);
    if (!files)
        return TROUPE_NO_MEMORY;
    w->files = files;
    w->files[w->n] = w->id;
    return TROUPE_OK;
}

static bool head_put(struct trp_writer *w) {
    uint8_t head[TRP_SEGMENT_HEADER];
    struct iovec iov = {head, sizeof head};
    trp_segment_head_write(head, w->id, w->first);
    ssize_t put = w->sys->pwritev(w->sys->ctx, w->fd, &iov, 1, 0);
    if (put == (ssize_t)sizeof head)
        return true;
    errno = put >= 0 ? ENOSPC : errno;
    note(w, "write");
    return false;
}

static bool piece_verify(struct trp_writer *w, const uint8_t *expected, size_t n, uint64_t offset, uint8_t *room) {
    for (size_t done = 0; done < n;) {
        size_t most = n - done < VERIFY ? n - done : VERIFY;
        ssize_t got = w->sys->pread(w->sys->ctx, w->fd, room, most, (off_t)(offset + done));
        if (got <= 0 || memcmp(room, expected + done, (size_t)got) != 0) {
            errno = got < 0 ? errno : EIO;
            note(w, "read back");
            return false;
        }
        done += (size_t)got;
    }
    return true;
}

/* Compares the file with the backlog, past the cache: the kernel is told to forget its pages first. */
static bool verify(struct trp_writer *w, uint64_t upto, uint8_t *room) {
    uint8_t head[TRP_SEGMENT_HEADER];
    (void)posix_fadvise(w->fd, 0, 0, POSIX_FADV_DONTNEED);
    trp_segment_head_write(head, w->id, w->first);
    bool good = piece_verify(w, head, sizeof head, 0, room);
    for (uint64_t at = w->first; good && at < upto;) {
        struct iovec iov;
        (void)trp_backlog_read(w->backlog, at, upto, &iov, 1, BATCH);
        good = piece_verify(w, iov.iov_base, iov.iov_len, offset_of(w, at), room);
        at += iov.iov_len;
    }
    return good;
}

static troupe_status verify_suspect(struct trp_writer *w) {
    if (!w->suspect)
        return TROUPE_OK;
    uint8_t *room = trp_malloc(VERIFY);
    if (!room)
        return TROUPE_NO_MEMORY;
    bool good = verify(w, w->at, room);
    trp_free(room);
    return good ? TROUPE_OK : TROUPE_SYSTEM;
}

/* FULL, SYSTEM and NO_MEMORY leave at most the file NAME.new, which nobody looks at. */
static troupe_status new_fill(struct trp_writer *w, uint64_t upto) {
    if (!head_put(w))
        return TROUPE_FULL;
    troupe_status st = write_all(w, upto);
    if (st != TROUPE_OK)
        return st;
    return data_sync(w) ? verify_suspect(w) : TROUPE_SYSTEM;
}

static troupe_status new_named(struct trp_writer *w, const char *temporary) {
    char name[TRP_SEGMENT_NAME];
    trp_segment_name(name, w->id);
    if (w->sys->rename(w->sys->ctx, w->dir, temporary, name) != 0) {
        note(w, "name");
        return TROUPE_FULL;
    }
    if (w->sys->fsync(w->sys->ctx, w->dir) == 0)
        return TROUPE_OK;
    note(w, "sync the directory of");
    /* Nothing was told of it; but if it stays nevertheless, the next part will have another name. */
    (void)w->sys->unlink(w->sys->ctx, w->dir, name);
    w->id.part++;
    return TROUPE_SYSTEM;
}

static troupe_status file_new(struct trp_writer *w, uint64_t upto) {
    char name[NEW_NAME];
    new_name(name, w->id);
    w->fd = w->sys->open(w->sys->ctx, w->dir, name, O_RDWR | O_CREAT | O_TRUNC);
    if (w->fd < 0) {
        note(w, "make");
        return TROUPE_FULL;
    }
    w->first = w->synced;
    w->extent = 0;
    troupe_status st = new_fill(w, upto);
    if (st == TROUPE_OK)
        st = new_named(w, name);
    if (st == TROUPE_OK)
        return st;
    (void)w->sys->unlink(w->sys->ctx, w->dir, name);
    file_close(w);
    w->at = w->synced;
    return st;
}

troupe_status trp_writer_write(struct trp_writer *w, uint64_t upto) {
    if (w->fd >= 0)
        return write_all(w, upto);
    trp_assert(w->at == w->synced);
    troupe_status st = file_remember(w);
    if (st == TROUPE_OK)
        st = file_new(w, upto);
    if (st == TROUPE_SYSTEM)
        return poisoned(w);
    if (st != TROUPE_OK)
        return st;
    w->n++;
    w->synced = w->at;
    w->suspect = false;
    return TROUPE_OK;
}

/* ---- the end of a segment, and of segments ---- */

/* Zeros written ahead are given back. If that fails they stay: recovery knows where the next segment begins. */
static void trim(struct trp_writer *w) {
    uint64_t end = offset_of(w, w->at);
    if (w->extent > end && w->sys->ftruncate(w->sys->ctx, w->fd, (off_t)end) == 0)
        w->extent = end;
}

troupe_status trp_writer_turn(struct trp_writer *w, uint64_t next) {
    if (w->fd >= 0)
        trim(w);
    troupe_status st = trp_writer_sync(w);
    if (st != TROUPE_OK)
        return st;
    file_close(w);
    w->id = (struct trp_segment_id){next, 0};
    return TROUPE_OK;
}

static bool mark_put(struct trp_writer *w) {
    uint8_t bytes[TRP_RECORD_MARK];
    struct iovec iov = {bytes, sizeof bytes};
    trp_record_mark_write(bytes, w->at, (struct trp_segment_mark){w->synced, w->files[0].number});
    uint64_t offset = offset_of(w, w->at), end = offset + sizeof bytes;
    ssize_t put = w->sys->pwritev(w->sys->ctx, w->fd, &iov, 1, (off_t)offset);
    if (put > 0 && offset + (uint64_t)put > w->extent)
        w->extent = offset + (uint64_t)put;
    return put > 0 && offset + (uint64_t)put == end;
}

void trp_writer_mark(struct trp_writer *w) {
    if (w->fd >= 0 && w->synced == w->at)
        (void)mark_put(w);
}

static troupe_status file_drop(struct trp_writer *w) {
    char name[TRP_SEGMENT_NAME];
    trp_segment_name(name, w->files[0]);
    if (w->sys->unlink(w->sys->ctx, w->dir, name) != 0 && errno != ENOENT)
        return TROUPE_SYSTEM;
    /* Before the next one goes: if this one came back with the power and the next one did not, there would be a hole. */
    if (w->sys->fsync(w->sys->ctx, w->dir) != 0)
        return TROUPE_SYSTEM;
    w->n--;
    memmove(w->files, w->files + 1, w->n * sizeof *w->files);
    return TROUPE_OK;
}

troupe_status trp_writer_drop(struct trp_writer *w, uint64_t number) {
    troupe_status st = TROUPE_OK;
    while (st == TROUPE_OK && w->n && w->files[0].number <= number)
        st = file_drop(w);
    return st;
}

void trp_writer_finish(struct trp_writer *w) {
    if (w->fd < 0 || w->synced != w->at)
        return;
    trim(w);
    if (mark_put(w))
        (void)w->sys->fdatasync(w->sys->ctx, w->fd);
}

void trp_writer_fini(struct trp_writer *w) {
    if (w->files)
        file_close(w);
    trp_free(w->files);
    w->files = NULL;
    w->n = 0;
}
