/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A frame goes whole into the ring if there is room, and is handled there, where it lies. What finds no room, or is
 * larger than any room, waits in a buffer of the writer and follows in pieces; the reader puts pieces together in a
 * buffer of its own. Its memory grows with the bytes that have come, never with a claimed length. Each read leaves the
 * ring empty, so that "there is something in it" means that there is something new. Large bodies have a way of their own
 * (parcel.h), their frames go like all others. */
#include "actors/channel.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actors/futex.h"
#include "transports/alloc.h"
#include "transports/assert.h"
#include "transports/pack.h"

/* (c) constant, (l) the loop's thread, (w) the writer, (r) the reader, (a) any thread */
struct trp_channel {
    uv_poll_t poll; /* (l) */
    int fd;         /* (c) until it is closed */
    enum trp_side side;
    struct trp_shared shared;                  /* (c) */
    const struct trp_channel_handler *handler; /* (c) */
    void *user;                                /* (c) */
    struct trp_ring out;                       /* (w) */
    struct trp_buf waiting;                    /* (w) from `sent` on */
    size_t sent;                               /* (w) */
    bool unsaid;                               /* (w) there is something in the ring that the other may not know of */
    struct trp_parcels parcels;
    struct trp_parcel parcel; /* (r) the body of the frame that is being handled */
    struct trp_ring in;       /* (r) */
    struct trp_buf gathered;  /* (r) the beginning of a frame */
    bool dead;                /* (r) it made no sense */
    troupe_status why;        /* (r) and how */
    _Atomic uint64_t read;    /* (a) where the reader stands */
    atomic_uint refs;         /* (a) one is the loop's */
};

enum { BUFFER_KEPT = 256 * 1024 };

static void on_event(uv_poll_t *poll, int status, int events);

/* --- life --- */

troupe_status trp_channel_new(struct trp_channel **out, struct trp_loop *loop, int fd, struct trp_shared shared,
                              enum trp_side side, const struct trp_channel_handler *handler, void *user) {
    struct trp_channel *ch = trp_calloc(1, sizeof *ch);
    /* Makes the descriptor non-blocking. Fails only where the epoll set has no room for it. */
    if (!ch || uv_poll_init(&loop->uv, &ch->poll, fd) != 0) {
        troupe_status st = ch ? TROUPE_SYSTEM : TROUPE_NO_MEMORY;
        close(fd);
        trp_shared_unmap(&shared);
        trp_free(ch);
        return st;
    }
    ch->fd = fd;
    ch->side = side;
    ch->shared = shared;
    ch->handler = handler;
    ch->user = user;
    trp_shared_ring(&shared, trp_side_other(side), &ch->out);
    trp_shared_ring(&shared, side, &ch->in);
    trp_parcels_init(&ch->parcels, fd, &shared, side);
    atomic_init(&ch->refs, 1);
    ch->poll.data = ch;
    uv_poll_start(&ch->poll, UV_READABLE, on_event);
    *out = ch;
    return TROUPE_OK;
}

struct trp_channel *trp_channel_ref(struct trp_channel *ch) {
    /* Relaxed: whoever takes a reference knows that there is one. */
    atomic_fetch_add_explicit(&ch->refs, 1, memory_order_relaxed);
    return ch;
}

void trp_channel_unref(struct trp_channel *ch) {
    /* Release what was done with it, acquire what the others did. */
    if (atomic_fetch_sub_explicit(&ch->refs, 1, memory_order_acq_rel) != 1)
        return;
    trp_parcels_fini(&ch->parcels);
    trp_shared_unmap(&ch->shared);
    trp_buf_fini(&ch->waiting);
    trp_buf_fini(&ch->gathered);
    trp_free(ch);
}

static void on_closed(uv_handle_t *handle) {
    struct trp_channel *ch = handle->data;
    close(ch->fd);
    trp_channel_unref(ch);
}

void trp_channel_close(struct trp_channel **channel) {
    struct trp_channel *ch = *channel;
    if (!ch)
        return;
    *channel = NULL;
    ch->dead = true;
    uv_close((uv_handle_t *)&ch->poll, on_closed);
}

struct trp_shared_words *trp_channel_words(const struct trp_channel *ch) {
    return ch->shared.words;
}

/* --- waking the other end --- */

void trp_channel_ring(const struct trp_channel *ch) {
    enum trp_side other = trp_side_other(ch->side);
    switch (trp_shared_rouse(&ch->shared, other)) {
    case TRP_SLEEP_SOCKET:
    case TRP_SLEEP_CALLED:
        /* Full: then it is full of wakes. Broken: then nobody is there to be woken. */
        trp_futex_count();
        (void)!send(ch->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    case TRP_SLEEP_FUTEX:
        trp_futex_wake(trp_shared_how(&ch->shared, other));
        break;
    case TRP_SLEEP_NOT:
        break;
    }
}

/* --- reading --- */

troupe_status trp_channel_why(const struct trp_channel *ch) {
    return ch->why;
}

static void channel_break(struct trp_channel *ch, troupe_status why) {
    if (ch->dead)
        return;
    ch->dead = true;
    ch->why = why;
    ch->handler->broken(ch->user);
}

static void handle(struct trp_channel *ch, const struct trp_frame *f, struct trp_slice body) {
    if (!ch->handler->frame(ch->user, f, body))
        channel_break(ch, TROUPE_PROTOCOL);
}

/* Whoever slept in the loop may have been woken by what was read with the descriptor. */
static void handle_parcel(struct trp_channel *ch, struct trp_frame f) {
    bool rung;
    troupe_status st = trp_parcels_open(&ch->parcels, &ch->parcel, &rung);
    if (rung)
        ch->handler->rung(ch->user);
    if (st == TROUPE_OK) {
        f.size = (uint32_t)ch->parcel.body.n;
        handle(ch, &f, ch->parcel.body);
    } else {
        channel_break(ch, st);
    }
    trp_parcel_close(&ch->parcel);
}

struct troupe_msg *trp_channel_message(struct trp_channel *ch, struct trp_slice topic, struct trp_slice payload) {
    return trp_parcel_message(&ch->parcel, topic, payload);
}

/* One frame at p. 0: it is not whole. */
static size_t frame_at(struct trp_channel *ch, const uint8_t *p, size_t n) {
    struct trp_frame f;
    if (n < sizeof f)
        return 0;
    memcpy(&f, p, sizeof f);
    if (n - sizeof f < f.size)
        return 0;
    f.error[sizeof f.error - 1] = 0;
    if (f.parcel)
        handle_parcel(ch, f);
    else
        handle(ch, &f, (struct trp_slice){p + sizeof f, f.size});
    return f.parcel ? sizeof f : sizeof f + f.size;
}

/* How much of it was whole frames. */
static size_t frames_at(struct trp_channel *ch, const uint8_t *p, size_t n) {
    size_t done = 0, used;
    while (!ch->dead && (used = frame_at(ch, p + done, n - done)) > 0)
        done += used;
    return done;
}

static void gather(struct trp_channel *ch, const uint8_t *p, size_t n) {
    if (trp_buf_put(&ch->gathered, p, n) != TROUPE_OK) {
        channel_break(ch, TROUPE_NO_MEMORY);
        return;
    }
    size_t done = frames_at(ch, ch->gathered.p, ch->gathered.n);
    if (ch->dead)
        return;
    trp_buf_drop(&ch->gathered, done);
    if (ch->gathered.n == 0 && ch->gathered.cap > BUFFER_KEPT)
        trp_buf_fini(&ch->gathered); /* one huge message is not the rule */
}

static void take(struct trp_channel *ch, struct trp_slice all) {
    size_t done = ch->gathered.n ? 0 : frames_at(ch, all.p, all.n);
    if (!ch->dead && done < all.n)
        gather(ch, all.p + done, all.n - done);
}

/* There is room again, for which the other end may wait. */
static void consumed(struct trp_channel *ch, size_t n) {
    trp_ring_consume(&ch->in, n);
    _Atomic uint32_t *starved = &ch->in.words->starved;
    /* Sequentially consistent, as what the writer does: it says that it starves and then looks for room. */
    if (atomic_load(starved) && atomic_exchange(starved, 0))
        trp_channel_ring(ch);
}

void trp_channel_read(struct trp_channel *ch) {
    struct trp_slice all;
    for (size_t n = 0; !ch->dead && n < TRP_RING_SIZE && (all = trp_ring_peek(&ch->in)).n > 0; n += all.n) {
        if (ch->handler->before)
            ch->handler->before(ch->user);
        take(ch, all);
        if (ch->handler->after)
            ch->handler->after(ch->user);
        if (!ch->dead)
            consumed(ch, all.n);
    }
    /* Relaxed: a hint for who looks. */
    atomic_store_explicit(&ch->read, ch->in.at, memory_order_relaxed);
    if (ch->in.broken)
        channel_break(ch, TROUPE_PROTOCOL);
}

bool trp_channel_has(struct trp_channel *ch) {
    return !ch->dead && trp_ring_has(&ch->in);
}

/* --- writing --- */

size_t trp_channel_pending(const struct trp_channel *ch) {
    return ch->waiting.n - ch->sent;
}

static troupe_status put_behind(struct trp_channel *ch, const struct trp_frame *f, struct trp_slice head,
                                struct trp_slice body) {
    troupe_status st = trp_buf_room(&ch->waiting, sizeof *f + head.n + body.n);
    if (st == TROUPE_OK && (st = trp_buf_put(&ch->waiting, f, sizeof *f)) == TROUPE_OK &&
        (st = trp_buf_put(&ch->waiting, head.p, head.n)) == TROUPE_OK)
        st = trp_buf_put(&ch->waiting, body.p, body.n);
    return st;
}

static void put_here(struct trp_channel *ch, const struct trp_frame *f, struct trp_slice head, struct trp_slice body) {
    uint8_t *at = trp_ring_place(&ch->out);
    memcpy(at, f, sizeof *f);
    if (head.n)
        memcpy(at + sizeof *f, head.p, head.n);
    if (body.n)
        memcpy(at + sizeof *f + head.n, body.p, body.n);
    trp_ring_publish(&ch->out, sizeof *f + head.n + body.n);
    ch->unsaid = true;
}

troupe_status trp_channel_put_parts(struct trp_channel *ch, struct trp_frame f, struct trp_slice head, struct trp_slice body) {
    if (head.n > UINT32_MAX - sizeof f || body.n > UINT32_MAX - sizeof f - head.n)
        return TROUPE_TOO_BIG;
    f.parcel = trp_parcels_send(&ch->parcels, head, body);
    if (f.parcel)
        head = body = (struct trp_slice){0};
    size_t n = sizeof f + head.n + body.n;
    f.size = (uint32_t)(n - sizeof f);
    if (trp_channel_pending(ch) > 0 || trp_ring_room(&ch->out, n) < n)
        return put_behind(ch, &f, head, body);
    put_here(ch, &f, head, body);
    return TROUPE_OK;
}

bool trp_channel_pack(struct trp_channel *ch, struct trp_frame f, troupe_value v, size_t most) {
    size_t n = sizeof f + most;
    if (most >= ch->parcels.least || trp_channel_pending(ch) > 0 || trp_ring_room(&ch->out, n) < n)
        return false;
    uint8_t *at = trp_ring_place(&ch->out), *body = at + sizeof f;
    f.size = (uint32_t)(trp_pack_checked(body, v) - body);
    memcpy(at, &f, sizeof f);
    trp_ring_publish(&ch->out, sizeof f + f.size);
    ch->unsaid = true;
    return true;
}

troupe_status trp_channel_put(struct trp_channel *ch, struct trp_frame f, struct trp_slice body) {
    return trp_channel_put_parts(ch, f, (struct trp_slice){0}, body);
}

/* What is left goes to the front now and then, so that the buffer does not grow under a steady stream. */
static void tidy(struct trp_channel *ch) {
    if (ch->sent == ch->waiting.n) {
        ch->sent = ch->waiting.n = 0;
        if (ch->waiting.cap > BUFFER_KEPT)
            trp_buf_fini(&ch->waiting);
    } else if (ch->sent > ch->waiting.n / 2) {
        trp_buf_drop(&ch->waiting, ch->sent);
        ch->sent = 0;
    }
}

/* False: there is no room now. */
static bool move_piece(struct trp_channel *ch) {
    size_t left = trp_channel_pending(ch), room = trp_ring_room(&ch->out, left), n = left < room ? left : room;
    if (n == 0)
        return false;
    memcpy(trp_ring_place(&ch->out), ch->waiting.p + ch->sent, n);
    trp_ring_publish(&ch->out, n);
    ch->sent += n;
    ch->unsaid = true;
    return true;
}

/* Before it gives up for now, it says so and looks once more: see consumed. */
static void move_waiting(struct trp_channel *ch) {
    while (trp_channel_pending(ch) > 0) {
        if (move_piece(ch))
            continue;
        atomic_store(&ch->out.words->starved, 1);
        (void)atomic_load(&ch->out.words->tail);
        if (!move_piece(ch))
            break;
    }
    tidy(ch);
}

bool trp_channel_roomy(const struct trp_channel *ch) {
    return trp_channel_pending(ch) > 0 && atomic_load(&ch->out.words->starved) == 0;
}

void trp_channel_flush(struct trp_channel *ch) {
    if (trp_channel_pending(ch) > 0)
        move_waiting(ch);
    if (ch->out.broken)
        ch->handler->broken(ch->user);
    if (!ch->unsaid)
        return;
    ch->unsaid = false;
    trp_channel_ring(ch);
}

void trp_channel_flush_all(struct trp_channel *ch) {
    trp_channel_flush(ch);
    while (trp_channel_pending(ch) > 0 && !ch->out.broken) {
        _Atomic uint32_t *how = trp_shared_how(&ch->shared, ch->side);
        atomic_store(how, TRP_SLEEP_FUTEX);
        trp_channel_flush(ch);
        if (trp_channel_pending(ch) > 0)
            trp_futex_wait(how, TRP_SLEEP_FUTEX, TRP_NEVER);
        atomic_store(how, TRP_SLEEP_NOT);
    }
}

/* --- sleeping --- */

bool trp_channel_sleep(struct trp_channel *ch, enum trp_sleep how) {
    atomic_store(trp_shared_how(&ch->shared, ch->side), how);
    if (!trp_channel_has(ch))
        return true;
    trp_channel_awake(ch);
    return false;
}

void trp_channel_awake(struct trp_channel *ch) {
    _Atomic uint32_t *how = trp_shared_how(&ch->shared, ch->side);
    /* Relaxed: our own word; who wakes us says the same. */
    if (atomic_load_explicit(how, memory_order_relaxed) != TRP_SLEEP_NOT)
        atomic_store(how, TRP_SLEEP_NOT);
}

void trp_channel_doze(struct trp_channel *ch, int64_t deadline) {
    trp_futex_wait(trp_shared_how(&ch->shared, ch->side), TRP_SLEEP_FUTEX, deadline);
}

enum trp_sleep trp_channel_sleeps(const struct trp_channel *ch) {
    return (enum trp_sleep)atomic_load(trp_shared_how(&ch->shared, ch->side));
}

bool trp_channel_stirs(const struct trp_channel *ch) {
    return atomic_load_explicit(&ch->in.words->head, memory_order_relaxed) !=
           atomic_load_explicit(&ch->read, memory_order_relaxed);
}

void trp_channel_rouse(const struct trp_channel *ch) {
    _Atomic uint32_t *how = trp_shared_how(&ch->shared, ch->side);
    uint32_t dozes = TRP_SLEEP_FUTEX;
    (void)atomic_compare_exchange_strong(how, &dozes, TRP_SLEEP_NOT);
    trp_futex_wake(how);
}

/* --- the loop --- */

/* Bytes on the socket mean that it has been woken, and may bring descriptors. */
static void on_event(uv_poll_t *poll, int status, int events) {
    struct trp_channel *ch = poll->data;
    (void)events;
    ssize_t n = status < 0 ? 0 : trp_parcels_listen(&ch->parcels);
    if (n > 0) {
        ch->handler->rung(ch->user);
    } else if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
        uv_poll_stop(poll);
        ch->handler->broken(ch->user);
    }
}
