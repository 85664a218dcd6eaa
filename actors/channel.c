/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Reads go through the loop's chunk: whole frames are handled where they lie, and only what is cut by the end of a
 * chunk is copied and waits for the rest. Memory grows with the bytes that have come, never with a claimed length.
 * Writes gather in one buffer; whoever puts frames flushes once when it has put all. */
#include "actors/channel.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transports/alloc.h"
#include "transports/assert.h"

struct trp_channel {
    uv_poll_t poll;
    struct trp_loop *loop;
    int fd;
    const struct trp_channel_handler *handler;
    void *user;
    struct trp_buf in;  /* the beginning of a frame */
    struct trp_buf out; /* from `sent` on */
    size_t sent;
    bool writing; /* waits until it can write */
    bool dead;    /* closed, or broken and told */
};

static void on_event(uv_poll_t *poll, int status, int events);

/* --- life --- */

troupe_status trp_channel_new(struct trp_channel **out, struct trp_loop *loop, int fd,
                              const struct trp_channel_handler *handler, void *user) {
    struct trp_channel *ch = trp_calloc(1, sizeof *ch);
    if (!ch) {
        close(fd);
        return TROUPE_NO_MEMORY;
    }
    ch->loop = loop;
    ch->fd = fd;
    ch->handler = handler;
    ch->user = user;
    ch->poll.data = ch;
    /* Makes the descriptor non-blocking. Fails only where the epoll set has no room for it. */
    if (uv_poll_init(&loop->uv, &ch->poll, fd) != 0) {
        close(fd);
        trp_free(ch);
        return TROUPE_SYSTEM;
    }
    uv_poll_start(&ch->poll, UV_READABLE, on_event);
    *out = ch;
    return TROUPE_OK;
}

static void on_closed(uv_handle_t *handle) {
    struct trp_channel *ch = handle->data;
    close(ch->fd);
    trp_buf_fini(&ch->in);
    trp_buf_fini(&ch->out);
    trp_free(ch);
}

void trp_channel_close(struct trp_channel **channel) {
    struct trp_channel *ch = *channel;
    if (!ch)
        return;
    *channel = NULL;
    ch->dead = true;
    uv_close((uv_handle_t *)&ch->poll, on_closed);
}

static void channel_break(struct trp_channel *ch) {
    if (ch->dead)
        return;
    ch->dead = true;
    uv_poll_stop(&ch->poll);
    ch->handler->broken(ch->user);
}

/* --- reading --- */

/* One frame at p. 0: it is not whole. */
static size_t frame_at(struct trp_channel *ch, const uint8_t *p, size_t n) {
    struct trp_frame f;
    if (n < sizeof f)
        return 0;
    memcpy(&f, p, sizeof f);
    if (n - sizeof f < f.size)
        return 0;
    f.error[sizeof f.error - 1] = 0;
    if (!ch->handler->frame(ch->user, &f, (struct trp_slice){p + sizeof f, f.size}))
        channel_break(ch);
    return sizeof f + f.size;
}

/* How much of it was whole frames. */
static size_t frames_at(struct trp_channel *ch, const uint8_t *p, size_t n) {
    size_t done = 0, used;
    while (!ch->dead && (used = frame_at(ch, p + done, n - done)) > 0)
        done += used;
    return done;
}

static void gather(struct trp_channel *ch, const uint8_t *p, size_t n) {
    if (trp_buf_put(&ch->in, p, n) != TROUPE_OK) {
        channel_break(ch);
        return;
    }
    size_t done = frames_at(ch, ch->in.p, ch->in.n);
    if (ch->dead)
        return;
    trp_buf_drop(&ch->in, done);
    if (ch->in.n == 0 && ch->in.cap > TRP_READ_CHUNK)
        trp_buf_fini(&ch->in); /* one huge message is not the rule */
}

static void take(struct trp_channel *ch, const uint8_t *p, size_t n) {
    size_t done = ch->in.n ? 0 : frames_at(ch, p, n);
    if (!ch->dead && done < n)
        gather(ch, p + done, n - done);
}

/* False: there is nothing more now. */
static bool read_once(struct trp_channel *ch) {
    ssize_t n = recv(ch->fd, ch->loop->chunk, TRP_READ_CHUNK, MSG_DONTWAIT);
    if (n > 0) {
        take(ch, ch->loop->chunk, (size_t)n);
        return !ch->dead;
    }
    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return false;
    channel_break(ch);
    return false;
}

void trp_channel_read(struct trp_channel *ch) {
    while (!ch->dead && read_once(ch))
        ;
}

/* --- writing --- */

size_t trp_channel_pending(const struct trp_channel *ch) {
    return ch->out.n - ch->sent;
}

troupe_status trp_channel_put(struct trp_channel *ch, struct trp_frame f, struct trp_slice body) {
    if (body.n > UINT32_MAX)
        return TROUPE_TOO_BIG;
    f.size = (uint32_t)body.n;
    troupe_status st = trp_buf_room(&ch->out, sizeof f + body.n);
    if (st != TROUPE_OK)
        return st;
    memcpy(ch->out.p + ch->out.n, &f, sizeof f);
    if (body.n)
        memcpy(ch->out.p + ch->out.n + sizeof f, body.p, body.n);
    ch->out.n += sizeof f + body.n;
    return TROUPE_OK;
}

/* What is left goes to the front now and then, so that the buffer does not grow under a steady stream. */
static void all_sent(struct trp_channel *ch) {
    if (ch->sent == ch->out.n) {
        ch->sent = ch->out.n = 0;
        if (ch->out.cap > TRP_READ_CHUNK)
            trp_buf_fini(&ch->out);
    } else if (ch->sent > ch->out.n / 2) {
        trp_buf_drop(&ch->out, ch->sent);
        ch->sent = 0;
    }
}

/* False: the kernel takes no more now, or never will. */
static bool write_once(struct trp_channel *ch) {
    ssize_t n = send(ch->fd, ch->out.p + ch->sent, trp_channel_pending(ch), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) {
        ch->sent += (size_t)n;
        return true;
    }
    if (errno == EINTR)
        return true;
    if (errno != EAGAIN && errno != EWOULDBLOCK)
        ch->sent = ch->out.n; /* nobody reads it: reading will say so */
    return false;
}

static void watch(struct trp_channel *ch, bool writing) {
    if (ch->writing == writing || ch->dead)
        return;
    ch->writing = writing;
    uv_poll_start(&ch->poll, writing ? UV_READABLE | UV_WRITABLE : UV_READABLE, on_event);
}

void trp_channel_flush(struct trp_channel *ch) {
    while (trp_channel_pending(ch) > 0 && write_once(ch))
        ;
    all_sent(ch);
    watch(ch, trp_channel_pending(ch) > 0);
}

void trp_channel_flush_all(struct trp_channel *ch) {
    while (trp_channel_pending(ch) > 0) {
        struct pollfd p = {.fd = ch->fd, .events = POLLOUT};
        if (!write_once(ch) && trp_channel_pending(ch) > 0)
            (void)poll(&p, 1, -1);
    }
    all_sent(ch);
}

/* --- the loop --- */

static void on_event(uv_poll_t *poll, int status, int events) {
    struct trp_channel *ch = poll->data;
    if (status < 0) {
        channel_break(ch);
        return;
    }
    if (events & UV_WRITABLE) {
        trp_channel_flush(ch);
        if (!ch->writing && ch->handler->drained)
            ch->handler->drained(ch->user);
    }
    if ((events & UV_READABLE) && !ch->dead)
        (void)read_once(ch);
}
