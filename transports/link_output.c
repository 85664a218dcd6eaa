/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The output of a link. It gathers in the outbox until the end of the turn, then leaves in one writev. What the kernel
 * does not take becomes one uv_write, `flight`, and new output gathers behind it until that is done.
 *
 * Nobody is called from inside a call: whatever goes wrong there (no memory, a broken pipe) is noted in `failed`, and
 * the flush at the end of the turn ends the link. */
#include "transports/link.h"

#include <sys/socket.h>

#include "transports/assert.h"
#include "transports/link_private.h"

enum {
    PIECES_AT_ONCE = 64,
    PIECES_IN_FLIGHT = 16,
};

/* --- the dirty list --- */

void trp_link_soil(struct trp_link *l) {
    if (l->dirty_at)
        return;
    l->dirty_at = l->loop->dirty_end;
    l->next_dirty = NULL;
    *l->dirty_at = l;
    l->loop->dirty_end = &l->next_dirty;
}

void trp_link_clean(struct trp_link *l) {
    if (!l->dirty_at)
        return;
    *l->dirty_at = l->next_dirty;
    if (l->next_dirty)
        l->next_dirty->dirty_at = l->dirty_at;
    else
        l->loop->dirty_end = l->dirty_at;
    l->dirty_at = NULL;
}

void trp_link_fail(struct trp_link *l, troupe_status st, const char *why) {
    trp_link_note(l, st, why);
    l->failed = true;
    trp_link_soil(l);
}

/* --- writing --- */

static void fly(struct trp_link *l);

/* Gives the kernel what it takes, the rest to one uv_write. */
static void write_out(struct trp_link *l) {
    trp_assert(!l->out.begun);
    trp_outbox_end(&l->out);
    while (l->out.bytes > 0 && !l->writing && !l->failed) {
        uv_buf_t pieces[PIECES_AT_ONCE];
        size_t offered;
        unsigned n = trp_outbox_pieces(&l->out, pieces, PIECES_AT_ONCE, SIZE_MAX, &offered);
        int took = uv_try_write(trp_link_stream(l), pieces, n);
        if (took < 0 && took != UV_EAGAIN) {
            trp_link_fail(l, trp_status_from_uv(took), uv_strerror(took));
            break;
        }
        size_t written = took > 0 ? (size_t)took : 0;
        trp_outbox_written(&l->out, written);
        if (written < offered)
            fly(l);
    }
}

static bool is_drained(const struct trp_link *l) {
    return l->out.bytes == 0 && !l->writing;
}

static void on_written(uv_write_t *write, int err) {
    struct trp_link *l = write->data;
    l->writing = false;
    trp_chunks_free(&l->loop->pool, l->flight);
    l->flight = NULL;
    if (l->state == TRP_LINK_CLOSED)
        return;
    if (err) {
        trp_link_note_uv(l, err);
        trp_link_finish(l);
        return;
    }
    trp_link_flush(l);
    if (trp_link_is_alive(l) && is_drained(l) && l->handler->drained)
        l->handler->drained(l->user, l);
}

static void fly(struct trp_link *l) {
    uv_buf_t pieces[PIECES_IN_FLIGHT];
    size_t bytes;
    unsigned n = trp_outbox_pieces(&l->out, pieces, PIECES_IN_FLIGHT, TRP_FLIGHT, &bytes);
    int err = uv_write(&l->write, trp_link_stream(l), pieces, n, on_written);
    if (err) {
        trp_link_fail(l, trp_status_from_uv(err), uv_strerror(err));
        return;
    }
    l->writing = true;
    l->flight = trp_outbox_take(&l->out, n);
}

/* Everything is written: says our end and waits for the peer's. uv_shutdown would take another turn to do it. */
static void linger(struct trp_link *l) {
    uv_os_fd_t fd;
    if (!l->spoken || l->ended || l->thrown_away > TRP_THROWN_AWAY_MAX ||
        uv_fileno((uv_handle_t *)trp_link_stream(l), &fd) != 0 || shutdown(fd, SHUT_WR) != 0) {
        trp_link_finish(l);
        return;
    }
    trp_link_enter(l, TRP_LINK_LINGERING);
}

void trp_link_flush(struct trp_link *l) {
    if (l->state == TRP_LINK_GREETING || l->state == TRP_LINK_UP || l->state == TRP_LINK_FLUSHING)
        write_out(l);
    if (l->failed)
        trp_link_finish(l);
    else if (l->state == TRP_LINK_FLUSHING && is_drained(l))
        linger(l);
}

/* --- what the handlers say --- */

/* Output was appended. */
static void touch(struct trp_link *l) {
    l->spoken = true;
    trp_link_soil(l);
    if (l->out.bytes >= TRP_FLUSH_AT && !l->writing && !l->out.begun && l->state != TRP_LINK_DIALLING)
        write_out(l);
}

static bool may_send(const struct trp_link *l) {
    if (!trp_link_is_alive(l))
        return false;
    trp_assert(l->greeted);
    return true;
}

static void *fail_memory(struct trp_link *l) {
    trp_link_fail(l, TROUPE_NO_MEMORY, "out of memory for output");
    return NULL;
}

bool trp_link_put_greeting(struct trp_link *l, uint16_t protocol) {
    uint8_t greeting[TRP_GREETING_SIZE];
    trp_greeting_write(greeting, protocol);
    l->greeted = trp_outbox_raw(&l->out, greeting, sizeof greeting);
    return l->greeted;
}

void trp_link_greet(struct trp_link *l, uint16_t protocol) {
    if (!trp_link_is_alive(l))
        return;
    trp_assert(l->accepted && !l->greeted);
    if (trp_link_put_greeting(l, protocol))
        touch(l);
    else
        fail_memory(l);
}

void trp_link_prefix(struct trp_link *l, const void *p, size_t n) {
    trp_assert(n <= TRP_PREFIX_MAX);
    trp_outbox_end(&l->out);
    memcpy(l->out.prefix, p, n);
    l->out.prefix_n = (uint8_t)n;
}

uint8_t *trp_link_reserve(struct trp_link *l, size_t n) {
    if (!may_send(l))
        return NULL;
    uint8_t *p = trp_outbox_reserve(&l->out, n);
    return p ? p : fail_memory(l);
}

void trp_link_commit(struct trp_link *l, size_t n) {
    trp_outbox_commit(&l->out, n);
    touch(l);
}

void trp_link_send(struct trp_link *l, const void *p, size_t n) {
    uint8_t *to = trp_link_reserve(l, n);
    if (!to)
        return;
    memcpy(to, p, n);
    trp_link_commit(l, n);
}

void trp_link_send_blob(struct trp_link *l, const void *head, size_t head_n, struct trp_blob *b, size_t off, size_t n) {
    if (!may_send(l))
        return;
    if (trp_outbox_blob(&l->out, head, head_n, b, off, n))
        touch(l);
    else
        fail_memory(l);
}

void trp_link_begin(struct trp_link *l, const void *prefix, size_t n) {
    if (may_send(l) && !trp_outbox_begin(&l->out, prefix, n))
        fail_memory(l);
}

void trp_link_end(struct trp_link *l) {
    trp_outbox_end(&l->out);
    if (trp_link_is_alive(l))
        touch(l);
}

size_t trp_link_pending(const struct trp_link *l) {
    const uv_stream_t *s = (const uv_stream_t *)l->handle;
    return l->out.bytes + (l->writing ? uv_stream_get_write_queue_size(s) : 0);
}

void trp_link_discard(struct trp_link *l) {
    trp_outbox_discard(&l->out);
}
