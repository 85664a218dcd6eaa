/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The sync thread of the durable log: write what was committed, sync it when somebody waits for that, say how far it is,
 * wait for more. While an fdatasync runs, the next records gather; they share the next one. No batch is ever waited for.
 *
 * Trouble is kept as two facts. `refused`: the last try to write failed, the next is at retry_at. `spaceless`: the
 * reserve was given up to a full disk and cannot be had again. Either is the state FULL. A writer that is `suspect` is the
 * state POISONED. */
#include <errno.h>
#include <stdio.h>

#include "broker/journal_state.h"
#include "transports/assert.h"
#include "transports/spin.h"

static const int64_t millisecond = 1000000;
/* Longest look for the next bell before sleeping. */
static const unsigned spin_most_us = 50;
/* A silence is remembered as no longer than this, so that a few short ones tell that times have changed. */
static const unsigned gap_most_us = 200;
/* Syncs in between, when much is written at once: what is synced leaves memory. */
static const uint64_t unsynced_most = 8 << 20;
/* What is written in one go, before `written` is told. */
static const uint64_t step_most = 4 << 20;

static uint64_t read_position(const atomic_ullong *position) {
    return atomic_load_explicit(position, memory_order_acquire); /* pairs with want(): it may be newer than the bell heard */
}

/* ---- telling ---- */

/* Is somebody waiting for a position beyond what was told, and is there more to tell? A position may be wanted after it was
 * reached: so this is asked again at every bell, behind which the wish is to be seen. */
static bool tell_is_due(const atomic_ullong *wanted, uint64_t now, uint64_t *told) {
    if (now <= *told || read_position(wanted) <= *told)
        return false;
    *told = now;
    return true;
}

static bool state_store(struct trp_journal *j) {
    enum trp_journal_state state = TRP_JOURNAL_OK;
    if (j->writer.suspect)
        state = TRP_JOURNAL_POISONED;
    else if (j->refused || j->spaceless)
        state = TRP_JOURNAL_FULL;
    if (state == trp_journal_state(j))
        return false;
    pthread_mutex_lock(&j->lock);
    memcpy(j->why, j->writer.why, sizeof j->why);
    pthread_mutex_unlock(&j->lock);
    atomic_store_explicit(&j->state, state, memory_order_release);
    return true;
}

static void level_store(atomic_ullong *level, uint64_t position) {
    atomic_store_explicit(level, position, memory_order_release); /* pairs with trp_journal_written and _synced */
}

/* While the writer is suspect, what it writes is not `written`: it may have to be written again. */
static void publish(struct trp_journal *j) {
    const struct trp_writer *w = &j->writer;
    uint64_t written = trp_journal_written(j), synced = trp_journal_synced(j);
    uint64_t now_written = !w->suspect && w->at > written ? w->at : written;
    bool tell = state_store(j);
    if (now_written > written)
        level_store(&j->written, now_written);
    if (w->synced > synced) {
        level_store(&j->synced, w->synced);
        trp_backlog_release(&j->backlog, w->synced);
    }
    tell |= tell_is_due(&j->want_written, now_written, &j->told_written);
    tell |= tell_is_due(&j->want_synced, w->synced, &j->told_synced);
    if (tell && j->owner.moved)
        j->owner.moved(j->ctx);
}

/* ---- trouble ---- */

static void retry_later(struct trp_journal *j) {
    j->retry_at = trp_journal_now() + j->opts.retry_ms * millisecond;
}

/* What to do about a write that was refused; true: try again now. */
static bool refused(struct trp_journal *j) {
    const struct trp_writer *w = &j->writer;
    j->refused = true;
    if ((w->error == ENOSPC || w->error == EDQUOT) && trp_reserve_release(&j->reserve)) {
        j->spaceless = true;
        return true;
    }
    retry_later(j);
    return false;
}

/* After a write or a sync: true: go on at once. `was_suspect`: a fresh part was already being tried, so the next try waits. */
static bool judge(struct trp_journal *j, troupe_status st, bool was_suspect) {
    bool go_on = true;
    if (st == TROUPE_OK)
        j->refused = false;
    else if (st == TROUPE_FULL)
        go_on = refused(j);
    else if (st != TROUPE_SYSTEM || was_suspect) {
        retry_later(j);
        go_on = false;
    }
    publish(j);
    return go_on;
}

/* Tries to have the reserve, which tells whether the disk has room. */
static void reserve_try(struct trp_journal *j) {
    struct trp_writer *w = &j->writer;
    j->spaceless = !trp_reserve_take(&j->reserve);
    if (j->spaceless) {
        if (!j->refused)
            (void)snprintf(w->why, sizeof w->why, "cannot keep %lld bytes in reserve in %s: %s",
                           (long long)j->opts.reserve_bytes, j->path, strerror(ENOSPC));
        retry_later(j);
    }
    publish(j);
}

/* ---- work ---- */

struct boundary {
    uint64_t position, number;
};

/* Where the segment that is written ends, if it is known already, and which one follows. */
static struct boundary boundary_of(struct trp_journal *j) {
    struct boundary b = {UINT64_MAX, 0};
    pthread_mutex_lock(&j->lock);
    for (size_t i = j->n; i-- > 0 && j->segments[i].number > j->writer.id.number;)
        b = (struct boundary){j->segments[i].first, j->segments[i].number};
    pthread_mutex_unlock(&j->lock);
    return b;
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static bool write_step(struct trp_journal *j, uint64_t to) {
    struct trp_writer *w = &j->writer;
    bool was_suspect = w->suspect;
    struct boundary b = boundary_of(j);
    if (w->at == b.position)
        return judge(j, trp_writer_turn(w, b.number), was_suspect);
    /* A fresh part must hold all that was ever told to be written before it replaces where that is. */
    uint64_t upto = least(to, b.position);
    if (!was_suspect)
        upto = least(upto, w->at + step_most);
    if (w->at == w->synced)
        j->lazy_at = trp_journal_now() + j->opts.lazy_ms * millisecond;
    return judge(j, trp_writer_write(w, upto), was_suspect);
}

static bool sync_step(struct trp_journal *j) {
    bool was_suspect = j->writer.suspect;
    return judge(j, trp_writer_sync(&j->writer), was_suspect);
}

static bool sync_is_due(const struct trp_journal *j, int64_t now) {
    const struct trp_writer *w = &j->writer;
    return w->at > w->synced && (read_position(&j->want_synced) > w->synced || now >= j->lazy_at);
}

/* All that was committed by now; false: something could not be done now. */
static bool write_and_sync(struct trp_journal *j) {
    const struct trp_writer *w = &j->writer;
    uint64_t to = read_position(&j->committed);
    bool go_on = true;
    while (go_on) {
        if (w->at < to && w->at - w->synced < unsynced_most)
            go_on = write_step(j, to);
        else if (w->at > w->synced && (w->at < to || sync_is_due(j, trp_journal_now())))
            go_on = sync_step(j);
        else
            break;
    }
    return go_on;
}

static bool drop_pending(struct trp_journal *j, uint64_t *number) {
    pthread_mutex_lock(&j->lock);
    *number = j->drop && j->writer.synced >= j->drop_after ? j->drop : 0;
    pthread_mutex_unlock(&j->lock);
    return *number != 0;
}

static void drop_done(struct trp_journal *j, uint64_t number) {
    pthread_mutex_lock(&j->lock);
    if (j->drop == number)
        j->drop = 0;
    pthread_mutex_unlock(&j->lock);
}

static void drop_step(struct trp_journal *j) {
    uint64_t number;
    if (!drop_pending(j, &number))
        return;
    j->undropped = trp_writer_drop(&j->writer, number) != TROUPE_OK;
    if (j->undropped) {
        retry_later(j);
        return;
    }
    drop_done(j, number);
    /* There may be room now. */
    if (j->refused || j->spaceless)
        j->retry_at = 0;
}

static void measure(struct trp_journal *j, int64_t began, uint64_t synced) {
    if (j->writer.synced == synced)
        return;
    bool spun = atomic_load_explicit(&j->spinning, memory_order_relaxed); /* hints, all of them */
    unsigned us = (unsigned)least((uint64_t)(trp_journal_now() - began) / 1000, 1000000);
    unsigned old = atomic_load_explicit(&j->sync_us[spun], memory_order_relaxed);
    atomic_store_explicit(&j->sync_us[spun], trp_spin_learn(old, us), memory_order_relaxed);
}

static void serve(struct trp_journal *j) {
    int64_t now = trp_journal_now();
    uint64_t synced = j->writer.synced;
    if (now < j->retry_at)
        return;
    if (write_and_sync(j))
        measure(j, now, synced);
    publish(j);
    drop_step(j);
    if (j->spaceless && trp_journal_now() >= j->retry_at)
        reserve_try(j);
}

/* ---- waiting ---- */

static bool is_trouble(const struct trp_journal *j) {
    const struct trp_writer *w = &j->writer;
    return j->refused || j->spaceless || j->undropped || w->suspect || w->at < read_position(&j->committed);
}

/* When to look again without a bell; 0: never. */
static int64_t deadline(const struct trp_journal *j) {
    if (is_trouble(j))
        return j->retry_at ? j->retry_at : 1;
    return j->writer.at > j->writer.synced ? j->lazy_at : 0;
}

static uint64_t bell_look(const struct trp_journal *j) {
    /* Acquire: what was stored before the bell was rung is seen by who heard it. */
    return atomic_load_explicit(&j->bell, memory_order_acquire);
}

static bool bell_spin(const struct trp_journal *j, uint64_t heard) {
    int64_t until = trp_journal_now() + spin_most_us * 1000;
    do {
        for (int i = 0; i < 32; i++) {
            if (bell_look(j) != heard)
                return true;
            trp_spin_relax();
        }
    } while (trp_journal_now() < until);
    return false;
}

/* Sequentially consistent, with the bell after `sleeping`: see bell_ring. */
static void bell_wait(struct trp_journal *j, uint64_t heard, int64_t until) {
    struct timespec t = {until / 1000000000, until % 1000000000};
    int rc = 0;
    pthread_mutex_lock(&j->lock);
    atomic_store(&j->sleeping, true);
    while (rc == 0 && atomic_load(&j->bell) == heard)
        rc = until ? pthread_cond_timedwait(&j->wake, &j->lock, &t) : pthread_cond_wait(&j->wake, &j->lock);
    atomic_store(&j->sleeping, false);
    pthread_mutex_unlock(&j->lock);
}

/* Before a sleep there is time to leave a mark behind the end. */
static void mark_leave(struct trp_journal *j) {
    struct trp_writer *w = &j->writer;
    if (w->at != w->synced || w->at == j->marked || is_trouble(j))
        return;
    trp_writer_mark(w);
    j->marked = w->at;
}

static void rest(struct trp_journal *j, uint64_t heard) {
    if (bell_look(j) != heard)
        return;
    int64_t began = trp_journal_now();
    bool spin = j->may_spin && trp_spin_choose(j->gap_us[0], j->gap_us[1], spin_most_us, &j->rests);
    if (!spin || !bell_spin(j, heard)) {
        mark_leave(j);
        bell_wait(j, heard, deadline(j));
    }
    uint64_t us = (uint64_t)(trp_journal_now() - began) / 1000;
    j->gap_us[spin] = trp_spin_learn(j->gap_us[spin], (unsigned)least(us, gap_most_us));
}

void *trp_journal_thread(void *arg) {
    struct trp_journal *j = arg;
    (void)pthread_setname_np(pthread_self(), "troupe-journal");
    reserve_try(j);
    for (;;) {
        uint64_t heard = bell_look(j);
        bool closing = atomic_load_explicit(&j->closing, memory_order_relaxed); /* ordered by the bell */
        if (closing)
            j->retry_at = 0;
        serve(j);
        if (closing)
            break;
        rest(j, heard);
    }
    trp_writer_finish(&j->writer);
    return NULL;
}
