/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Reading. Bytes go straight to the caller; what a search for a line end has read beyond it stays in the stream's
 * buffer and is handed out first.
 *
 *     in: [ handed out | a line \n the next li ]
 *                      taken            scanned n */
#include <errno.h>
#include <unistd.h>

#include "actors/self.h"
#include "actors/stream.h"

enum { ROOM = 512 }; /* the least that a read for lines offers */

troupe_status trp_stream_read_some(troupe_stream *s, void *buf, size_t size, size_t *n) {
    if (s->fd < 0)
        return TROUPE_EOF;
    for (;;) {
        trp_watch_take(&s->watch, TRP_WATCH_IN);
        ssize_t got = read(s->fd, buf, size);
        if (got > 0) {
            *n = (size_t)got;
            return TROUPE_OK;
        }
        if (got == 0)
            return TROUPE_EOF;
        switch (errno) {
        case EINTR:
            continue;
        case EAGAIN:
            return TROUPE_AGAIN;
        case ECONNRESET:
        case ETIMEDOUT:
        case EPIPE:
            return TROUPE_RESET;
        default:
            return TROUPE_SYSTEM;
        }
    }
}

static troupe_status read_waiting(troupe_self *self, troupe_stream *s, void *buf, size_t size, int64_t deadline, size_t *n) {
    for (;;) {
        troupe_status st = trp_actor_killed(self->actor) ? TROUPE_CLOSED : trp_stream_read_some(s, buf, size, n);
        if (st != TROUPE_AGAIN)
            return st;
        st = trp_fd_wait(&s->watch, s->fd, TRP_WATCH_IN, self, deadline);
        if (st != TROUPE_OK)
            return st;
    }
}

/* What the caller has been given is forgotten. */
static void settle(troupe_stream *s) {
    trp_buf_drop(&s->in, s->taken);
    s->scanned -= s->taken;
    s->taken = 0;
}

troupe_status troupe_stream_read(troupe_self *self, troupe_stream *s, void *buf, size_t size, int64_t timeout_ms, size_t *n) {
    if (size == 0)
        return TROUPE_INVALID;
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    trp_self_spend(self);
    size_t kept = s->in.n - s->taken;
    if (kept == 0)
        return read_waiting(self, s, buf, size, trp_deadline(timeout_ms), n);
    *n = kept < size ? kept : size;
    memcpy(buf, s->in.p + s->taken, *n);
    s->taken += *n;
    if (s->scanned < s->taken)
        s->scanned = s->taken;
    return TROUPE_OK;
}

/* --- lines --- */

/* Hands out `n` bytes from `taken` on, of which the last `end` are the line's end. A zero byte takes its place. */
static void hand_out(troupe_stream *s, size_t n, size_t end, const char **line, size_t *size) {
    uint8_t *p = s->in.p + s->taken;
    s->taken += n;
    s->scanned = s->taken;
    n -= end;
    if (end && n && p[n - 1] == '\r')
        n--;
    p[n] = '\0';
    *line = (const char *)p;
    *size = n;
}

/* AGAIN: there is no whole line. */
static troupe_status find_line(troupe_stream *s, size_t max, const char **line, size_t *size) {
    const uint8_t *from = s->in.p + s->scanned;
    size_t left = s->in.n - s->scanned;
    const uint8_t *end = left ? memchr(from, '\n', left) : NULL;
    size_t length = (end ? (size_t)(end - s->in.p) : s->in.n) - s->taken;
    if (length > max && !(end && length == max + 1 && end[-1] == '\r'))
        return end || length > max + 1 || s->in.p[s->in.n - 1] != '\r' ? TROUPE_TOO_BIG : TROUPE_AGAIN;
    if (!end) {
        s->scanned = s->in.n;
        return TROUPE_AGAIN;
    }
    hand_out(s, length + 1, 1, line, size);
    return TROUPE_OK;
}

/* More bytes behind those that are there; always with room for a zero byte after them. */
static troupe_status fill(troupe_self *self, troupe_stream *s, int64_t deadline) {
    size_t got;
    troupe_status st = trp_buf_room(&s->in, ROOM);
    if (st != TROUPE_OK)
        return st;
    st = read_waiting(self, s, s->in.p + s->in.n, s->in.cap - s->in.n - 1, deadline, &got);
    if (st == TROUPE_OK)
        s->in.n += got;
    return st;
}

troupe_status troupe_stream_read_line(troupe_self *self, troupe_stream *s, size_t max, int64_t timeout_ms, const char **line,
                                      size_t *n) {
    int64_t deadline = trp_deadline(timeout_ms);
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    trp_self_spend(self);
    settle(s);
    troupe_status st = find_line(s, max, line, n);
    while (st == TROUPE_AGAIN) {
        st = fill(self, s, deadline);
        if (st == TROUPE_OK)
            st = find_line(s, max, line, n);
        else if (st == TROUPE_EOF && s->in.n > 0) {
            hand_out(s, s->in.n, 0, line, n);
            st = TROUPE_OK;
        }
    }
    return st;
}
