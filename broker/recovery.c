/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Steps: list the directory; read all headers, which say where each file's records begin, so where those of the file
 * before it end; walk the records; decide about what follows the last one; make it durable.
 *
 * Files are read through a window of a megabyte, which stays in the cache while its records are checked and replayed. */
#include "broker/recovery.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transports/alloc.h"

enum { WINDOW = 1024 * 1024 };

/* A file being read. The bytes p[at..n] are those at `offset` of the file. */
struct window {
    int fd;
    int64_t size; /* of the file */
    int64_t offset;
    uint8_t *p;
    size_t at, n, cap;
};

TROUPE_PRINTF(3, 4)
static troupe_status say(struct trp_recovery *r, troupe_status st, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(r->why, sizeof r->why, fmt, args);
    va_end(args);
    return st;
}

static troupe_status say_errno(struct trp_recovery *r, const char *doing, const char *name) {
    return say(r, TROUPE_SYSTEM, "cannot %s %s%s%s: %s", doing, r->path, name ? "/" : "", name ? name : "", strerror(errno));
}

static troupe_status say_file_errno(struct trp_recovery *r, const char *doing, const struct trp_recovery_file *f) {
    char name[TRP_SEGMENT_NAME];
    trp_segment_name(name, f->id);
    return say_errno(r, doing, name);
}

static troupe_status say_damage(struct trp_recovery *r, const struct trp_recovery_file *f, uint64_t offset, const char *what) {
    char name[TRP_SEGMENT_NAME];
    trp_segment_name(name, f->id);
    return say(r, TROUPE_PROTOCOL, "%s/%s is damaged at offset %" PRIu64 ": %s", r->path, name, offset, what);
}

static uint64_t offset_of(const struct trp_recovery_file *f, uint64_t position) {
    return TRP_SEGMENT_HEADER + (position - f->first);
}

/* ---- the window ---- */

static size_t window_has(const struct window *w) {
    return w->n - w->at;
}

static struct trp_slice window_slice(const struct window *w) {
    return (struct trp_slice){w->p ? w->p + w->at : NULL, window_has(w)};
}

static void window_skip(struct window *w, size_t n) {
    w->at += n;
    w->offset += (int64_t)n;
}

static void window_seek(struct window *w, int64_t offset) {
    w->offset = offset;
    w->at = w->n = 0;
}

/* Room for `need` bytes from `at` on. The caller has compared `need` with the file's size. */
static troupe_status window_room(struct window *w, size_t need) {
    if (w->at) /* never for an empty window: p may be NULL then */
        memmove(w->p, w->p + w->at, window_has(w));
    w->n -= w->at;
    w->at = 0;
    if (w->cap >= need && w->cap)
        return TROUPE_OK;
    size_t cap = need > WINDOW ? need : WINDOW;
    uint8_t *p = trp_realloc(w->p, cap);
    if (!p)
        return TROUPE_NO_MEMORY;
    w->p = p;
    w->cap = cap;
    return TROUPE_OK;
}

/* At least `need` bytes, or all that are left. */
static troupe_status window_fill(struct trp_recovery *r, struct window *w, size_t need) {
    troupe_status st = window_room(w, need);
    while (st == TROUPE_OK && w->n < need) {
        ssize_t got = r->sys->pread(r->sys->ctx, w->fd, w->p + w->n, w->cap - w->n, (off_t)(w->offset + (int64_t)w->n));
        if (got < 0)
            return say(r, TROUPE_SYSTEM, "cannot read %s: %s", r->path, strerror(errno));
        if (got == 0)
            break;
        w->n += (size_t)got;
    }
    return st;
}

/* ---- the directory ---- */

static bool is_leftover(const char *name) {
    struct trp_segment_id id;
    char base[TRP_SEGMENT_NAME];
    size_t n = strlen(name);
    if (n <= 4 || n - 4 >= sizeof base || strcmp(name + n - 4, ".new") != 0)
        return false;
    memcpy(base, name, n - 4);
    base[n - 4] = 0;
    return trp_segment_name_read(base, &id);
}

static troupe_status file_add(struct trp_recovery *r, struct trp_segment_id id) {
    struct trp_recovery_file *files = trp_array(r->files, r->n + 1, sizeof *files);
    if (!files)
        return TROUPE_NO_MEMORY;
    r->files = files;
    r->files[r->n++] = (struct trp_recovery_file){.id = id};
    return TROUPE_OK;
}

static troupe_status name_take(struct trp_recovery *r, const char *name) {
    struct trp_segment_id id;
    if (trp_segment_name_read(name, &id))
        return file_add(r, id);
    /* A segment that was being made: nothing in it was confirmed, or it would have its name. */
    if (is_leftover(name))
        (void)r->sys->unlink(r->sys->ctx, r->dir, name);
    return TROUPE_OK;
}

static int file_order(const void *a, const void *b) {
    return trp_segment_id_cmp(((const struct trp_recovery_file *)a)->id, ((const struct trp_recovery_file *)b)->id);
}

static troupe_status files_list(struct trp_recovery *r) {
    int fd = openat(r->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        (void)say_errno(r, "list", NULL);
        if (fd >= 0)
            close(fd);
        return TROUPE_SYSTEM;
    }
    troupe_status st = TROUPE_OK;
    const struct dirent *entry;
    while (st == TROUPE_OK && (errno = 0, entry = readdir(d)))
        st = name_take(r, entry->d_name);
    if (st == TROUPE_OK && errno)
        st = say_errno(r, "list", NULL);
    closedir(d);
    if (r->n)
        qsort(r->files, r->n, sizeof *r->files, file_order);
    return st;
}

/* ---- the headers ---- */

static int file_open(struct trp_recovery *r, const struct trp_recovery_file *f, int flags) {
    char name[TRP_SEGMENT_NAME];
    trp_segment_name(name, f->id);
    return r->sys->open(r->sys->ctx, r->dir, name, flags);
}

static troupe_status head_check(struct trp_recovery *r, struct trp_recovery_file *f, const uint8_t *bytes) {
    struct trp_segment_head head;
    char name[TRP_SEGMENT_NAME];
    const char *wrong = trp_segment_head_read(bytes, &head);
    trp_segment_name(name, f->id);
    if (wrong && head.version != TRP_SEGMENT_VERSION && memcmp(bytes, "TRPLOG", 6) == 0)
        return say(r, TROUPE_PROTOCOL, "%s/%s has version %u, this program reads version %d", r->path, name, head.version,
                   TRP_SEGMENT_VERSION);
    if (wrong)
        return say(r, TROUPE_PROTOCOL, "%s/%s %s at offset 0", r->path, name, wrong);
    if (trp_segment_id_cmp(head.id, f->id) != 0)
        return say(r, TROUPE_PROTOCOL, "%s/%s was renamed: its header at offset 0 has another number", r->path, name);
    f->first = head.first;
    return TROUPE_OK;
}

static troupe_status head_of(struct trp_recovery *r, struct trp_recovery_file *f, int fd) {
    struct stat s;
    uint8_t bytes[TRP_SEGMENT_HEADER];
    if (fstat(fd, &s) != 0)
        return say_file_errno(r, "look at", f);
    f->size = s.st_size;
    if (f->size < TRP_SEGMENT_HEADER)
        return say_damage(r, f, (uint64_t)f->size, "it ends within its header");
    ssize_t got = r->sys->pread(r->sys->ctx, fd, bytes, sizeof bytes, 0);
    if (got != (ssize_t)sizeof bytes)
        return got < 0 ? say_file_errno(r, "read", f) : say_damage(r, f, (uint64_t)got, "it ends within its header");
    return head_check(r, f, bytes);
}

static troupe_status head_read(struct trp_recovery *r, struct trp_recovery_file *f) {
    int fd = file_open(r, f, O_RDONLY);
    if (fd < 0)
        return say_file_errno(r, "open", f);
    troupe_status st = head_of(r, f, fd);
    close(fd);
    return st;
}

/* The newest file may be cut within its header by what repairs file systems: it holds no record then. */
static bool drop_headless(struct trp_recovery *r) {
    struct trp_recovery_file *f = &r->files[r->n - 1];
    char name[TRP_SEGMENT_NAME];
    trp_segment_name(name, f->id);
    if (f->size >= TRP_SEGMENT_HEADER || r->sys->unlink(r->sys->ctx, r->dir, name) != 0)
        return false;
    r->cut += (uint64_t)f->size;
    r->n--;
    (void)say(r, TROUPE_OK, "%s/%s ended within its header, at offset %" PRId64 ": it was removed", r->path, name, f->size);
    return true;
}

static troupe_status heads_read(struct trp_recovery *r) {
    for (size_t i = 0; i < r->n; i++) {
        struct trp_recovery_file *f = &r->files[i];
        f->size = INT64_MAX;
        troupe_status st = head_read(r, f);
        if (st == TROUPE_PROTOCOL && i + 1 == r->n && drop_headless(r))
            return TROUPE_OK;
        if (st != TROUPE_OK)
            return st;
        if (i && f->first < r->files[i - 1].first)
            return say_damage(r, f, 20, "it begins before the file before it");
        r->total += (uint64_t)f->size;
    }
    return TROUPE_OK;
}

/* ---- the records ---- */

static troupe_status take(struct trp_recovery *r, const struct trp_recovery_file *f, enum trp_record_kind kind,
                          const struct trp_record *record, uint64_t at) {
    r->end += record->size;
    if (kind == TRP_RECORD_MARKED) {
        r->synced = record->mark.synced > r->synced ? record->mark.synced : r->synced;
        r->oldest = record->mark.oldest > r->oldest ? record->mark.oldest : r->oldest;
        return TROUPE_OK;
    }
    troupe_status st = r->owner->replay(r->ctx, record->bytes, r->end, f->id.number);
    if (st == TROUPE_PROTOCOL)
        return say_damage(r, f, offset_of(f, at), "the record there makes no sense");
    return st == TROUPE_OK ? st : say(r, st, "cannot replay %s: %s", r->path, troupe_status_text(st));
}

static void tell_progress(struct trp_recovery *r, uint64_t done) {
    r->done = done;
    if (r->owner->progress)
        r->owner->progress(r->ctx, r->done, r->total);
}

/* Replays records up to `limit`, or to the first place where none is: r->end tells. */
static troupe_status records_read(struct trp_recovery *r, const struct trp_recovery_file *f, struct window *w, uint64_t limit) {
    uint64_t before = r->done;
    while (r->end < limit) {
        struct trp_record record = {0};
        uint64_t at = r->end;
        enum trp_record_kind kind = trp_record_read(window_slice(w), at, &record);
        if (kind == TRP_RECORD_MORE) {
            /* Compared before any room is made for it. */
            r->stop = kind;
            if ((int64_t)record.size > w->size - w->offset)
                return TROUPE_OK;
            troupe_status st = window_fill(r, w, record.size);
            if (st != TROUPE_OK)
                return st;
            if (window_has(w) < record.size)
                return TROUPE_OK;
            tell_progress(r, before + (uint64_t)w->offset);
            continue;
        }
        r->stop = kind;
        if (kind == TRP_RECORD_ZERO || kind == TRP_RECORD_BAD || record.size > limit - at)
            return TROUPE_OK;
        troupe_status st = take(r, f, kind, &record, at);
        if (st != TROUPE_OK)
            return st;
        window_skip(w, record.size);
    }
    return TROUPE_OK;
}

/* ---- what follows the last record ---- */

/* Bytes behind the end up to the last one that is not zero; *marked: a mark among them says that the end was synced
 * further than it now reaches. */
static troupe_status rest_read(struct trp_recovery *r, struct window *w, uint64_t *used, bool *marked) {
    uint64_t position = r->end;
    *used = 0;
    *marked = false;
    for (;;) {
        troupe_status st = window_fill(r, w, WINDOW);
        if (st != TROUPE_OK)
            return st;
        struct trp_slice s = window_slice(w);
        *marked |= trp_segment_marked_beyond(s, position, r->end);
        for (size_t i = s.n; i > 0; i--) {
            if (s.p[i - 1]) {
                *used = position - r->end + i;
                break;
            }
        }
        if (s.n < WINDOW)
            return TROUPE_OK;
        /* The next window begins within this one: a mark may lie across the seam. */
        window_skip(w, s.n - TRP_RECORD_MARK);
        position += s.n - TRP_RECORD_MARK;
    }
}

static troupe_status tail_cut(struct trp_recovery *r, const struct trp_recovery_file *f, uint64_t used) {
    char name[TRP_SEGMENT_NAME];
    uint64_t offset = offset_of(f, r->end);
    if (r->sys->ftruncate(r->sys->ctx, r->fd, (off_t)offset) != 0)
        return say_file_errno(r, "cut the torn tail of", f);
    r->cut += used;
    trp_segment_name(name, f->id);
    return say(r, TROUPE_OK, "%s/%s had a torn tail: %" PRIu64 " bytes were cut at offset %" PRIu64, r->path, name, used,
               offset);
}

static troupe_status tail_settle(struct trp_recovery *r, struct trp_recovery_file *f, struct window *w) {
    uint64_t used;
    bool marked;
    window_seek(w, (int64_t)offset_of(f, r->end));
    troupe_status st = rest_read(r, w, &used, &marked);
    if (st != TROUPE_OK)
        return st;
    if (marked || r->synced > r->end)
        return say_damage(r, f, offset_of(f, r->end), "what was there had been synced");
    st = used ? tail_cut(r, f, used) : TROUPE_OK;
    if (used)
        f->size = (int64_t)offset_of(f, r->end);
    return st;
}

/* Writes again what no mark says to be synced. If an fdatasync of the process before this one failed, the kernel may
 * hold those pages as clean though they never reached the disk: another fdatasync alone would lie. */
static troupe_status rewrite(struct trp_recovery *r, const struct trp_recovery_file *f, struct window *w) {
    uint64_t from = r->synced > f->first ? r->synced : f->first;
    while (from < r->end) {
        window_seek(w, (int64_t)offset_of(f, from));
        troupe_status st = window_fill(r, w, WINDOW);
        if (st != TROUPE_OK)
            return st;
        size_t n = window_has(w) < r->end - from ? window_has(w) : (size_t)(r->end - from);
        struct iovec iov = {w->p, n};
        ssize_t put = n ? r->sys->pwritev(r->sys->ctx, r->fd, &iov, 1, (off_t)offset_of(f, from)) : 0;
        if (put <= 0)
            return say_file_errno(r, "write", f);
        from += (uint64_t)put;
    }
    return TROUPE_OK;
}

static troupe_status make_durable(struct trp_recovery *r, const struct trp_recovery_file *f, struct window *w) {
    troupe_status st = rewrite(r, f, w);
    if (st != TROUPE_OK)
        return st;
    if (r->sys->fdatasync(r->sys->ctx, r->fd) != 0)
        return say_file_errno(r, "sync", f);
    return r->sys->fsync(r->sys->ctx, r->dir) == 0 ? TROUPE_OK : say_errno(r, "sync", NULL);
}

/* ---- a file, all files ---- */

static troupe_status last_read(struct trp_recovery *r, struct trp_recovery_file *f, struct window *w) {
    r->fd = w->fd = file_open(r, f, O_RDWR);
    if (w->fd < 0)
        return say_file_errno(r, "open", f);
    troupe_status st = records_read(r, f, w, UINT64_MAX);
    if (st == TROUPE_OK)
        st = tail_settle(r, f, w);
    return st == TROUPE_OK ? make_durable(r, f, w) : st;
}

static troupe_status older_read(struct trp_recovery *r, const struct trp_recovery_file *f, struct window *w, uint64_t limit) {
    w->fd = file_open(r, f, O_RDONLY);
    if (w->fd < 0)
        return say_file_errno(r, "open", f);
    troupe_status st = records_read(r, f, w, limit);
    close(w->fd);
    if (st != TROUPE_OK || r->end == limit)
        return st;
    bool empty = r->stop == TRP_RECORD_ZERO || (int64_t)offset_of(f, r->end) >= f->size;
    return say_damage(r, f, offset_of(f, r->end),
                      empty ? "it ends there, before the next segment begins, or one is missing" : "the record there is bad");
}

static troupe_status file_read(struct trp_recovery *r, size_t i, struct window *w) {
    struct trp_recovery_file *f = &r->files[i];
    uint64_t before = r->done;
    window_seek(w, TRP_SEGMENT_HEADER);
    w->size = f->size;
    troupe_status st = i + 1 == r->n ? last_read(r, f, w) : older_read(r, f, w, r->files[i + 1].first);
    tell_progress(r, before + (uint64_t)w->size);
    return st;
}

static troupe_status files_read(struct trp_recovery *r) {
    struct window w = {.fd = -1};
    troupe_status st = TROUPE_OK;
    r->end = r->n ? r->files[0].first : 0;
    for (size_t i = 0; st == TROUPE_OK && i < r->n; i++)
        st = file_read(r, i, &w);
    trp_free(w.p);
    if (st != TROUPE_OK || r->n == 0)
        return st;
    if (r->files[0].id.number > r->oldest && r->files[0].first > 0) {
        char name[TRP_SEGMENT_NAME];
        trp_segment_name(name, (struct trp_segment_id){r->oldest ? r->oldest : 1, 0});
        return say(r, TROUPE_PROTOCOL, "%s/%s is missing", r->path, name);
    }
    return TROUPE_OK;
}

troupe_status trp_recovery_run(struct trp_recovery *r) {
    r->fd = -1;
    troupe_status st = files_list(r);
    if (st == TROUPE_OK)
        st = heads_read(r);
    if (st == TROUPE_OK)
        st = files_read(r);
    if (st == TROUPE_NO_MEMORY && !r->why[0])
        return say(r, st, "out of memory while reading %s", r->path);
    return st;
}

void trp_recovery_fini(struct trp_recovery *r) {
    if (r->fd >= 0)
        close(r->fd);
    trp_free(r->files);
    r->files = NULL;
    r->n = 0;
    r->fd = -1;
}
