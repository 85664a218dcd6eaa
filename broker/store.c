/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Copying forward: the log may grow to twice what lives in it and two segments more; then the oldest segment's messages are
 * appended again, COPY_STEP a turn, and it is dropped. So every byte is copied about once for each time the log doubles, and
 * the loop is never held up. */
#include "broker/store.h"

#include "transports/alloc.h"
#include "transports/log.h"
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>

enum {
    SEGMENT = 32 << 20,
    COPY_STEP = 256,
    LOOK_MS = 1000, /* how often it is asked whether there is something to copy forward */
    SPIN_SLICE_US = 15,
    SPIN_SLICES = 20,
};

struct trp_store {
    struct trp_core *core;
    struct trp_loop *loop;
    struct trp_journal *journal;
    uint64_t segment_bytes;
    uint64_t appended;  /* the last record's end */
    uint64_t committed; /* what was handed to the sync thread */
    uint64_t confirmed; /* synced, as the core was told */
    uint64_t written;
    unsigned asked; /* levels of the last commit */
    enum trp_journal_state state;
    uint64_t look_at_ns;
    bool copying;
    bool hurried;                   /* the broker drains */
    uint64_t progress_ms, began_ms; /* of the recovery */
    struct trp_when recovered_at;   /* one moment for all that is replayed */
    const char *replay_why;
};

static uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct trp_when when_now(void) {
    struct timespec m, w;
    clock_gettime(CLOCK_MONOTONIC, &m);
    clock_gettime(CLOCK_REALTIME, &w);
    return (struct trp_when){.mono_ns = (uint64_t)m.tv_sec * 1000000000 + (uint64_t)m.tv_nsec,
                             .wall_ms = (uint64_t)w.tv_sec * 1000 + (uint64_t)w.tv_nsec / 1000000};
}

/* --- the journal's owner --- */

static troupe_status on_replay(void *ctx, struct trp_slice record, uint64_t lsn, uint64_t segment) {
    struct trp_store *s = ctx;
    return trp_queues_apply(trp_core_queues(s->core), s->recovered_at, record, lsn, segment, &s->replay_why);
}

static void on_progress(void *ctx, uint64_t done, uint64_t total) {
    struct trp_store *s = ctx;
    uint64_t now = now_ms();
    if (now - s->progress_ms < 1000)
        return;
    s->progress_ms = now;
    trp_log(TROUPE_LOG_INFO, "store.recovering", "%" PRIu64 " of %" PRIu64 " MiB", done >> 20, total >> 20);
}

static troupe_status on_catalog(void *ctx) {
    struct trp_store *s = ctx;
    return trp_queues_catalog(trp_core_queues(s->core));
}

static void on_moved(void *ctx) {
    struct trp_store *s = ctx;
    trp_loop_wake(s->loop);
}

static const struct trp_journal_owner owner = {on_replay, on_progress, on_catalog, on_moved};

/* --- opening --- */

static void log_recovered(const struct trp_store *s, const char *dir, uint64_t cut, const char *why) {
    uint64_t messages = 0, queues = 0;
    struct trp_queue_stat stat;
    for (struct trp_queue *q = NULL; (q = trp_queues_next(trp_core_queues(s->core), q)); queues++) {
        trp_queue_stat(q, when_now(), &stat);
        for (int i = 0; i < TRP_QUEUE_STATES; i++)
            messages += stat.messages[i];
    }
    trp_log(TROUPE_LOG_INFO, "store.recovered",
            "%s: %" PRIu64 " queues, %" PRIu64 " messages, %" PRIu64 " MiB of log in %" PRIu64 " ms", dir, queues, messages,
            trp_journal_bytes(s->journal) >> 20, now_ms() - s->began_ms);
    if (cut > 0 || why) /* a file of no bytes at all is worth a word, too */
        trp_log(TROUPE_LOG_WARN, "store.cut", "%s: the end of the log was torn, %" PRIu64 " bytes were cut: %s", dir, cut,
                why ? why : "");
}

troupe_status trp_store_open(struct trp_store **out, struct trp_core *core, struct trp_loop *loop,
                             const struct trp_store_opts *opts, const char **why) {
    struct trp_store *s = trp_calloc(1, sizeof *s);
    uint64_t cut = 0;
    if (!s)
        return TROUPE_NO_MEMORY;
    s->core = core;
    s->loop = loop;
    s->segment_bytes = opts->segment_bytes ? opts->segment_bytes : SEGMENT;
    s->began_ms = s->progress_ms = now_ms();
    s->recovered_at = when_now();
    struct trp_journal_opts journal = {.segment_bytes = s->segment_bytes, .sync_delay_ms = opts->sync_delay_ms};
    *why = NULL;
    *out = s; /* records may come from now on: the first segment's catalog */
    troupe_status st = trp_journal_open(&s->journal, opts->dir, &journal, &owner, s, &cut, why);
    if (st != TROUPE_OK) {
        if (!*why)
            *why = s->replay_why ? s->replay_why : troupe_status_text(st);
        *out = NULL;
        trp_free(s);
        return st;
    }
    st = trp_core_recovered(core);
    if (st != TROUPE_OK) {
        *why = troupe_status_text(st);
        trp_store_close(out);
        return st;
    }
    log_recovered(s, opts->dir, cut, *why);
    s->appended = s->committed = s->confirmed = s->written = trp_journal_synced(s->journal);
    trp_core_logged(core, s->written, s->confirmed, NULL);
    return TROUPE_OK;
}

troupe_status trp_store_record(struct trp_store *s, struct trp_slice head, struct trp_slice body, bool must, uint64_t *lsn,
                               uint64_t *segment) {
    struct trp_slice parts[2] = {head, body};
    troupe_status st = trp_journal_appendv(s->journal, parts, body.n > 0 ? 2 : 1, must, lsn, segment);
    if (st == TROUPE_OK)
        s->appended = *lsn;
    return st;
}

/* --- a turn --- */

static void tell_core(struct trp_store *s) {
    uint64_t written = trp_journal_written(s->journal), synced = trp_journal_synced(s->journal);
    enum trp_journal_state state = trp_journal_state(s->journal);
    if (written == s->written && synced == s->confirmed && state == s->state)
        return;
    if (state != s->state)
        trp_log(state == TRP_JOURNAL_OK ? TROUPE_LOG_INFO : TROUPE_LOG_ERROR, "store.state", "%s", trp_journal_why(s->journal));
    s->state = state;
    s->written = written;
    s->confirmed = synced;
    trp_core_logged(s->core, written, synced, state == TRP_JOURNAL_OK ? NULL : trp_journal_why(s->journal));
}

static void commit(struct trp_store *s) {
    unsigned awaits = trp_core_awaits(s->core) | (s->hurried ? TRP_JOURNAL_SYNCED : 0);
    if (s->appended == s->committed && (awaits & ~s->asked) == 0)
        return;
    s->committed = s->appended;
    s->asked = awaits;
    trp_journal_commit(s->journal, awaits);
}

/* One producer with one message in flight waits for the disk alone: being woken would cost it as much again as a fast disk. So
 * while nothing else comes in, look at the log for a moment before sleeping. */
static void spin(struct trp_store *s) {
    if (!(trp_core_awaits(s->core) & TRP_JOURNAL_SYNCED))
        return;
    trp_loop_flush(s->loop);
    struct pollfd idle = {.fd = uv_backend_fd(&s->loop->uv), .events = POLLIN};
    for (int i = 0; i < SPIN_SLICES && (trp_core_awaits(s->core) & TRP_JOURNAL_SYNCED); i++) {
        if (trp_journal_spin(s->journal, s->committed, SPIN_SLICE_US)) {
            tell_core(s);
            return;
        }
        if (poll(&idle, 1, 0) != 0)
            return;
    }
}

/* What lives: all messages of durable queues, with a record's head each. */
static uint64_t live_bytes(const struct trp_store *s) {
    uint64_t bytes = 0;
    struct trp_queue_stat stat;
    struct trp_when when = {0};
    for (struct trp_queue *q = NULL; (q = trp_queues_next(trp_core_queues(s->core), q));) {
        if (!trp_queue_config_of(q)->durable)
            continue;
        trp_queue_stat(q, when, &stat);
        bytes += stat.bytes;
        for (int i = 0; i < TRP_QUEUE_STATES; i++)
            bytes += stat.messages[i] * 64;
    }
    return bytes;
}

static bool copy_is_due(struct trp_store *s, uint64_t now_ns) {
    if (s->copying || now_ns < s->look_at_ns)
        return s->copying;
    s->look_at_ns = now_ns + (uint64_t)LOOK_MS * 1000000;
    return trp_journal_newest(s->journal) > trp_journal_oldest(s->journal) &&
           trp_journal_bytes(s->journal) > 2 * live_bytes(s) + 2 * s->segment_bytes;
}

static void copy_forward(struct trp_store *s, uint64_t now_ns) {
    if (s->state != TRP_JOURNAL_OK || !copy_is_due(s, now_ns))
        return;
    uint64_t oldest = trp_journal_oldest(s->journal);
    bool done = false;
    s->copying = true;
    troupe_status st = trp_queues_rewrite(trp_core_queues(s->core), when_now(), oldest, COPY_STEP, &done);
    if (st != TROUPE_OK) {
        s->copying = false; /* the log is full, or memory is short: later */
    } else if (done) {
        s->copying = false;
        s->look_at_ns = trp_journal_drop_oldest(s->journal) == TROUPE_OK ? 0 : s->look_at_ns;
    }
}

bool trp_store_turn(struct trp_store *s, uint64_t now_ns) {
    tell_core(s);
    copy_forward(s, now_ns);
    commit(s);
    spin(s);
    return s->copying;
}

void trp_store_hurry(struct trp_store *s) {
    s->hurried = true;
}

bool trp_store_busy(const struct trp_store *s) {
    return trp_journal_synced(s->journal) < s->appended;
}

void trp_store_close(struct trp_store **ps) {
    struct trp_store *s = *ps;
    if (!s)
        return;
    if (s->journal && trp_journal_close(&s->journal) != TROUPE_OK)
        trp_log(TROUPE_LOG_ERROR, "store.close", "not all could be written to the log");
    *ps = NULL;
    trp_free(s);
}
