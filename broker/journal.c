/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The owner's half of the durable log: open, append, commit, drop, close. An append computes a checksum and copies into the
 * backlog; it takes no lock but where a segment begins, and makes no system call.
 *
 * Each commit's first bytes are a mark (segment.h). That is also why a mark which the sync thread left behind the end
 * is always covered whole by what comes next. */
#include "broker/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/journal_state.h"
#include "broker/recovery.h"
#include "transports/alloc.h"
#include "transports/assert.h"
#include "transports/spin.h"

static const uint64_t default_segment = 64ull << 20;
static const size_t default_buffer = (size_t)64 << 20;
/* A disk slower than this is waited for asleep: being woken is little beside it. */
static const unsigned spin_pays_us = 500;
/* What being woken costs, on top of the sync. */
static const unsigned wake_us = 20;

int64_t trp_journal_now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- open ---- */

static _Thread_local char why_text[512];

TROUPE_PRINTF(2, 3)
static troupe_status say(troupe_status st, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(why_text, sizeof why_text, fmt, args);
    va_end(args);
    return st;
}

/* A directory that we made must itself be there after a power cut. */
static void parent_sync(const char *dir) {
    char path[4096];
    if (snprintf(path, sizeof path, "%s/..", dir) >= (int)sizeof path)
        return;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

static troupe_status dir_open(struct trp_journal *j) {
    bool made = mkdir(j->path, 0700) == 0;
    if (!made && errno != EEXIST)
        return say(TROUPE_SYSTEM, "cannot make %s: %s", j->path, strerror(errno));
    j->dir = open(j->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (j->dir < 0)
        return say(TROUPE_SYSTEM, "cannot open %s: %s", j->path, strerror(errno));
    if (made)
        parent_sync(j->path);
    return TROUPE_OK;
}

static troupe_status lock_busy(const struct trp_journal *j) {
    char pid[24] = "";
    ssize_t n = pread(j->lock_fd, pid, sizeof pid - 1, 0);
    while (n > 0 && (pid[n - 1] < '0' || pid[n - 1] > '9'))
        n--;
    pid[n > 0 ? n : 0] = 0;
    return say(TROUPE_EXISTS, "%s is in use by another broker%s%s", j->path, *pid ? ", process " : "", pid);
}

/* flock, not fcntl: two logs in one process exclude each other, and closing another descriptor frees nothing. */
static troupe_status lock_take(struct trp_journal *j) {
    char pid[24];
    j->lock_fd = j->opts.sys->open(j->opts.sys->ctx, j->dir, "lock", O_RDWR | O_CREAT);
    if (j->lock_fd < 0)
        return say(TROUPE_SYSTEM, "cannot open %s/lock: %s", j->path, strerror(errno));
    if (flock(j->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? lock_busy(j) : say(TROUPE_SYSTEM, "cannot lock %s/lock: %s", j->path, strerror(errno));
    /* Who holds it, for the sentence above; on a full disk it goes without. */
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(j->lock_fd, 0) != 0 || pwrite(j->lock_fd, pid, (size_t)n, 0) != n)
        errno = 0;
    return TROUPE_OK;
}

static troupe_status segment_add(struct trp_journal *j, uint64_t number, uint64_t first) {
    if (j->n == j->cap) {
        size_t cap = j->cap ? j->cap * 2 : 16;
        struct trp_journal_segment *more = trp_array(j->segments, cap, sizeof *more);
        if (!more)
            return TROUPE_NO_MEMORY;
        j->segments = more;
        j->cap = cap;
    }
    j->segments[j->n++] = (struct trp_journal_segment){number, first};
    return TROUPE_OK;
}

/* What recovery found becomes the writer's and the owner's view of the files. */
static troupe_status files_take(struct trp_journal *j, struct trp_recovery *r) {
    struct trp_writer *w = &j->writer;
    troupe_status st = r->n ? TROUPE_OK : segment_add(j, 1, 0);
    for (size_t i = 0; st == TROUPE_OK && i < r->n; i++)
        if (i == 0 || r->files[i].id.number != r->files[i - 1].id.number)
            st = segment_add(j, r->files[i].id.number, r->files[i].first);
    w->files = st == TROUPE_OK ? trp_array(NULL, r->n + 1, sizeof *w->files) : NULL;
    if (!w->files)
        return TROUPE_NO_MEMORY;
    for (w->n = 0; w->n < r->n; w->n++)
        w->files[w->n] = r->files[w->n].id;
    if (r->n) {
        const struct trp_recovery_file *last = &r->files[r->n - 1];
        w->id = last->id;
        w->first = last->first;
        w->extent = (uint64_t)last->size;
        w->fd = r->fd;
        r->fd = -1;
    }
    return TROUPE_OK;
}

static void positions_init(struct trp_journal *j, uint64_t end) {
    j->writer.at = j->writer.synced = j->told = j->told_written = j->told_synced = end;
    atomic_init(&j->committed, end);
    atomic_init(&j->want_written, end);
    atomic_init(&j->want_synced, end);
    atomic_init(&j->written, end);
    atomic_init(&j->synced, end);
    j->newest = j->segments[j->n - 1].number;
    j->first = j->declared = j->segments[j->n - 1].first;
}

static troupe_status recover(struct trp_journal *j, uint64_t *cut) {
    struct trp_recovery r = {.sys = j->opts.sys, .dir = j->dir, .path = j->path, .owner = &j->owner, .ctx = j->ctx, .fd = -1};
    troupe_status st = trp_recovery_run(&r);
    (void)say(st, "%s", r.why);
    if (st == TROUPE_OK)
        st = files_take(j, &r);
    if (st == TROUPE_OK) {
        positions_init(j, r.end);
        *cut = r.cut;
        st = trp_backlog_init(&j->backlog, r.end);
    }
    trp_recovery_fini(&r);
    return st;
}

/* Signals are the business of the other threads; and SIGXFSZ, blocked, leaves it at EFBIG. */
static troupe_status thread_start(struct trp_journal *j) {
    sigset_t all, before;
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&j->lock, NULL);
    (void)pthread_cond_init(&j->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&j->thread, NULL, trp_journal_thread, j);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!error)
        return TROUPE_OK;
    (void)pthread_mutex_destroy(&j->lock);
    (void)pthread_cond_destroy(&j->wake);
    return say(TROUPE_SYSTEM, "cannot start the thread of the log: %s", strerror(error));
}

static bool many_processors(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 1;
}

static void opts_take(struct trp_journal *j, const struct trp_journal_opts *opts) {
    struct trp_journal_opts *o = &j->opts;
    *o = opts ? *opts : (struct trp_journal_opts){0};
    o->segment_bytes = o->segment_bytes ? o->segment_bytes : default_segment;
    o->buffer_bytes = o->buffer_bytes ? o->buffer_bytes : default_buffer;
    o->reserve_bytes = o->reserve_bytes ? o->reserve_bytes : (int64_t)(o->segment_bytes / 16);
    o->lazy_ms = o->lazy_ms ? o->lazy_ms : 1000;
    o->retry_ms = o->retry_ms ? o->retry_ms : 1000;
    o->sys = o->sys ? o->sys : &trp_journal_sys_real;
}

static void journal_free(struct trp_journal *j) {
    trp_writer_fini(&j->writer);
    trp_reserve_fini(&j->reserve);
    trp_backlog_fini(&j->backlog);
    if (j->lock_fd >= 0)
        close(j->lock_fd);
    if (j->dir >= 0)
        close(j->dir);
    trp_free(j->segments);
    trp_free(j->path);
    trp_free(j);
}

static troupe_status journal_begin(struct trp_journal *j, uint64_t *cut) {
    troupe_status st = dir_open(j);
    if (st == TROUPE_OK)
        st = lock_take(j);
    j->writer.dir = j->reserve.dir = j->dir;
    if (st == TROUPE_OK)
        st = recover(j, cut);
    return st == TROUPE_OK ? thread_start(j) : st;
}

static struct trp_journal *journal_new(const char *dir, const struct trp_journal_opts *opts,
                                       const struct trp_journal_owner *owner, void *ctx) {
    struct trp_journal *j = trp_calloc(1, sizeof *j);
    char *path = trp_strdup(dir);
    if (!j || !path) {
        trp_free(j);
        trp_free(path);
        return NULL;
    }
    opts_take(j, opts);
    j->owner = *owner;
    j->ctx = ctx;
    j->path = path;
    j->dir = j->lock_fd = -1;
    j->may_spin = many_processors();
    j->writer = (struct trp_writer){.sys = j->opts.sys,
                                    .path = path,
                                    .backlog = &j->backlog,
                                    .sync_delay_ms = j->opts.sync_delay_ms,
                                    .id = {1, 0},
                                    .fd = -1};
    j->reserve = (struct trp_reserve){.sys = j->opts.sys, .bytes = j->opts.reserve_bytes};
    return j;
}

troupe_status trp_journal_open(struct trp_journal **out, const char *dir, const struct trp_journal_opts *opts,
                               const struct trp_journal_owner *owner, void *ctx, uint64_t *cut, const char **why) {
    uint64_t ignored;
    why_text[0] = 0;
    struct trp_journal *j = journal_new(dir, opts, owner, ctx);
    troupe_status st = j ? journal_begin(j, cut ? cut : &ignored) : TROUPE_NO_MEMORY;
    if (st == TROUPE_OK)
        *out = j;
    else if (j)
        journal_free(j);
    if (st == TROUPE_NO_MEMORY && !why_text[0])
        (void)say(st, "out of memory while opening %s", dir);
    *why = why_text[0] ? why_text : NULL;
    return st;
}

/* ---- append ---- */

static void mark_put(struct trp_journal *j, uint64_t oldest) {
    uint8_t mark[TRP_RECORD_MARK];
    trp_record_mark_write(mark, j->backlog.head, (struct trp_segment_mark){trp_journal_synced(j), oldest});
    trp_backlog_put(&j->backlog, mark, sizeof mark);
}

static troupe_status record_put(struct trp_journal *j, const struct trp_slice *parts, size_t n, size_t size) {
    uint8_t head[TRP_RECORD_HEADER];
    bool begins = j->backlog.head == j->told;
    troupe_status st = trp_backlog_room(&j->backlog, sizeof head + size + (begins ? TRP_RECORD_MARK : 0));
    if (st != TROUPE_OK)
        return st;
    if (begins)
        mark_put(j, trp_journal_oldest(j));
    trp_record_head_write(head, j->backlog.head, parts, n, size);
    trp_backlog_put(&j->backlog, head, sizeof head);
    for (size_t i = 0; i < n; i++)
        trp_backlog_put(&j->backlog, parts[i].p, parts[i].n);
    return TROUPE_OK;
}

static troupe_status catalog_put(struct trp_journal *j) {
    if (!j->owner.catalog)
        return TROUPE_OK;
    j->in_catalog = true;
    troupe_status st = j->owner.catalog(j->ctx);
    j->in_catalog = false;
    return st;
}

/* The sync thread learns of the segment last, when nothing can fail any more: it must not turn for one that is taken
 * back. */
static troupe_status segment_begin(struct trp_journal *j) {
    struct trp_backlog_point before = trp_backlog_point(&j->backlog);
    uint64_t first = j->first;
    j->newest++;
    j->first = before.head;
    troupe_status st = catalog_put(j);
    if (st == TROUPE_OK) {
        pthread_mutex_lock(&j->lock);
        st = segment_add(j, j->newest, j->first);
        pthread_mutex_unlock(&j->lock);
    }
    if (st != TROUPE_OK) {
        trp_backlog_rewind(&j->backlog, before);
        j->first = first;
        j->newest--;
        return st;
    }
    j->declared = j->backlog.head;
    return TROUPE_OK;
}

/* A segment takes at least one record besides its catalog, however large. */
static bool segment_is_over(const struct trp_journal *j, size_t size) {
    uint64_t used = j->backlog.head - j->first;
    return !j->in_catalog && j->backlog.head > j->declared && used + TRP_RECORD_HEADER + size > j->opts.segment_bytes;
}

static bool too_much_waits(const struct trp_journal *j, size_t size) {
    uint64_t waits = j->backlog.head - trp_journal_synced(j);
    return waits && waits + size > j->opts.buffer_bytes;
}

static troupe_status may_append(const struct trp_journal *j, size_t size, bool must) {
    if (size == 0)
        return TROUPE_INVALID;
    if (size > TRP_RECORD_MAX)
        return TROUPE_TOO_BIG;
    if (must || j->in_catalog)
        return TROUPE_OK;
    if (trp_journal_state(j) == TRP_JOURNAL_FULL)
        return TROUPE_FULL;
    return too_much_waits(j, size) ? TROUPE_AGAIN : TROUPE_OK;
}

static size_t parts_size(const struct trp_slice *parts, size_t n) {
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size = parts[i].n > SIZE_MAX - size ? SIZE_MAX : size + parts[i].n;
    return size;
}

troupe_status trp_journal_appendv(struct trp_journal *j, const struct trp_slice *parts, size_t n, bool must, uint64_t *lsn,
                                  uint64_t *segment) {
    size_t size = parts_size(parts, n);
    troupe_status st = may_append(j, size, must);
    if (st == TROUPE_OK && segment_is_over(j, size))
        st = segment_begin(j);
    if (st == TROUPE_OK)
        st = record_put(j, parts, n, size);
    if (st != TROUPE_OK)
        return st;
    if (lsn)
        *lsn = j->backlog.head;
    if (segment)
        *segment = j->newest;
    return TROUPE_OK;
}

troupe_status trp_journal_append(struct trp_journal *j, struct trp_slice record, bool must, uint64_t *lsn, uint64_t *segment) {
    return trp_journal_appendv(j, &record, 1, must, lsn, segment);
}

/* ---- commit ---- */

static void bell_ring(struct trp_journal *j) {
    unsigned long long now = atomic_load_explicit(&j->bell, memory_order_relaxed) + 1;
    /* Sequentially consistent, with `sleeping` after it: either the sync thread sees this bell before it sleeps, or we
     * see that it sleeps (bell_wait in journal_thread.c does the same the other way round). */
    atomic_store(&j->bell, now);
    if (!atomic_load(&j->sleeping))
        return;
    /* It sleeps, or is between saying so and doing it: which it does under the lock. */
    pthread_mutex_lock(&j->lock);
    pthread_mutex_unlock(&j->lock);
    pthread_cond_signal(&j->wake);
}

/* Release pairs with the acquire in read_position (journal_thread.c): the bytes up to the position are there. */
static bool want(atomic_ullong *wanted, uint64_t position) {
    if (atomic_load_explicit(wanted, memory_order_relaxed) >= position)
        return false;
    atomic_store_explicit(wanted, position, memory_order_release); /* pairs with read_position() of the sync thread */
    return true;
}

void trp_journal_commit(struct trp_journal *j, unsigned levels) {
    uint64_t head = j->backlog.head;
    trp_assert(!j->in_catalog);
    bool news = want(&j->committed, head);
    if (levels & TRP_JOURNAL_WRITTEN)
        news |= want(&j->want_written, head);
    if (levels & TRP_JOURNAL_SYNCED)
        news |= want(&j->want_synced, head);
    j->told = head;
    if (!news)
        return;
    atomic_store_explicit(&j->spinning, false, memory_order_relaxed);
    bell_ring(j);
}

static unsigned sync_us(const struct trp_journal *j, bool spun) {
    return atomic_load_explicit(&j->sync_us[spun], memory_order_relaxed); /* a hint */
}

/* Chosen once for each commit, however often it is asked. Being woken is counted for sleeping. */
static bool spin_chosen(struct trp_journal *j) {
    if (!j->may_spin)
        return false;
    if (j->spin_at != j->told) {
        j->spin_at = j->told;
        bool spin = trp_spin_choose(sync_us(j, false) + wake_us, sync_us(j, true), spin_pays_us, &j->spins);
        atomic_store_explicit(&j->spinning, spin, memory_order_relaxed); /* a hint, too */
    }
    return atomic_load_explicit(&j->spinning, memory_order_relaxed);
}

bool trp_journal_spin(struct trp_journal *j, uint64_t lsn, unsigned at_most_us) {
    if (trp_journal_synced(j) >= lsn)
        return true;
    if (!spin_chosen(j))
        return false;
    int64_t until = trp_journal_now() + (int64_t)at_most_us * 1000;
    do {
        for (int i = 0; i < 32; i++) {
            if (trp_journal_synced(j) >= lsn)
                return true;
            trp_spin_relax();
        }
    } while (trp_journal_now() < until);
    return false;
}

/* ---- what is known ---- */

/* Acquire pairs with the sync thread's release in publish: the files say what the position promises. */
uint64_t trp_journal_written(const struct trp_journal *j) {
    return atomic_load_explicit(&j->written, memory_order_acquire);
}

uint64_t trp_journal_synced(const struct trp_journal *j) {
    return atomic_load_explicit(&j->synced, memory_order_acquire);
}

enum trp_journal_state trp_journal_state(const struct trp_journal *j) {
    return (enum trp_journal_state)atomic_load_explicit(&j->state, memory_order_acquire);
}

const char *trp_journal_why(struct trp_journal *j) {
    pthread_mutex_lock(&j->lock);
    memcpy(j->said, j->why, sizeof j->said);
    pthread_mutex_unlock(&j->lock);
    if (trp_journal_state(j) == TRP_JOURNAL_OK)
        j->said[0] = 0;
    return j->said;
}

/* The owner alone changes the table, so it may read it without the lock. */
uint64_t trp_journal_oldest(const struct trp_journal *j) {
    return j->segments[0].number;
}

uint64_t trp_journal_newest(const struct trp_journal *j) {
    return j->newest;
}

uint64_t trp_journal_bytes(const struct trp_journal *j) {
    return j->backlog.head - j->segments[0].first + j->n * TRP_SEGMENT_HEADER;
}

/* ---- drop and close ---- */

/* The mark says that the segment need not be there any more; it is synced before the segment goes. */
troupe_status trp_journal_drop_oldest(struct trp_journal *j) {
    trp_assert(j->n > 1 && !j->in_catalog);
    troupe_status st = trp_backlog_room(&j->backlog, TRP_RECORD_MARK);
    if (st != TROUPE_OK)
        return st;
    mark_put(j, j->segments[1].number);
    pthread_mutex_lock(&j->lock);
    j->drop = j->segments[0].number;
    j->drop_after = j->backlog.head;
    j->n--;
    memmove(j->segments, j->segments + 1, j->n * sizeof *j->segments);
    pthread_mutex_unlock(&j->lock);
    return TROUPE_OK;
}

troupe_status trp_journal_close(struct trp_journal **jp) {
    struct trp_journal *j = *jp;
    if (!j)
        return TROUPE_OK;
    trp_journal_commit(j, TRP_JOURNAL_SYNCED);
    atomic_store_explicit(&j->closing, true, memory_order_relaxed); /* published by the bell */
    bell_ring(j);
    (void)pthread_join(j->thread, NULL);
    troupe_status st = trp_journal_synced(j) == j->backlog.head ? TROUPE_OK : TROUPE_SYSTEM;
    (void)pthread_mutex_destroy(&j->lock);
    (void)pthread_cond_destroy(&j->wake);
    journal_free(j);
    *jp = NULL;
    return st;
}
