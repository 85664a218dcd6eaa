/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The life of a link; its states are in link_private.h.
 *
 * Reading: the loop's chunk goes through the deframer, whose frames go to the handler in place. Writing is in
 * link_output.c. One message that comes when all is quiet costs one wait, one read and one write, and no memory is
 * taken or given back for it.
 *
 * Time: one timer, which is set anew only when a deadline comes before it would fire; when it fires early it looks at
 * the deadline and goes on. A stream of frames, each cut by a read, so costs no timer work.
 *
 * The end: closing a socket with unread input makes TCP send a reset, and a reset may destroy our last words on their
 * way. So after a flush the link says its own end, throws away what still comes, and waits for the peer's end. */
#include "transports/link.h"

#include <stdio.h>

#include "transports/alloc.h"
#include "transports/assert.h"
#include "transports/link_private.h"

enum {
    DEFAULT_MAX_FRAME = 1024 * 1024 + 1024,
    DEFAULT_GREETING_MS = 10 * 1000,
    DEFAULT_FRAME_MS = 30 * 1000,
    LAST_WORDS_MS = 1000, /* for a link that ends by itself */
};

/* --- states --- */

void trp_link_enter(struct trp_link *l, enum trp_link_state to) {
    static const uint8_t next[] = {
        [TRP_LINK_DIALLING] = 1 << TRP_LINK_GREETING | 1 << TRP_LINK_CLOSED,
        [TRP_LINK_GREETING] = 1 << TRP_LINK_UP | 1 << TRP_LINK_FLUSHING | 1 << TRP_LINK_CLOSED,
        [TRP_LINK_UP] = 1 << TRP_LINK_FLUSHING | 1 << TRP_LINK_CLOSED,
        [TRP_LINK_FLUSHING] = 1 << TRP_LINK_LINGERING | 1 << TRP_LINK_CLOSED,
        [TRP_LINK_LINGERING] = 1 << TRP_LINK_CLOSED,
        [TRP_LINK_CLOSED] = 0,
    };
    trp_assert(next[l->state] & 1 << to);
    if (l->state <= TRP_LINK_UP && to > TRP_LINK_UP)
        l->loop->owned--;
    l->state = to;
}

bool trp_link_is_alive(const struct trp_link *l) {
    return l->state <= TRP_LINK_UP && !l->failed;
}

/* The first reason is the one that is told, unless it was our own orderly close and its last words are lost. */
void trp_link_note(struct trp_link *l, troupe_status st, const char *why) {
    bool lost = l->state == TRP_LINK_FLUSHING && l->status == TROUPE_CLOSED && !l->ended;
    if (l->status != TROUPE_OK && !lost)
        return;
    l->status = st;
    l->why = why;
}

void trp_link_note_uv(struct trp_link *l, int err) {
    trp_link_note(l, trp_status_from_uv(err), uv_strerror(err));
}

/* --- the end --- */

static void last_call(struct trp_link *l) {
    trp_assert(!l->writing && !l->dirty_at);
    trp_outbox_fini(&l->out);
    trp_deframer_fini(&l->in);
    if (l->handler)
        l->handler->down(l->user, l, l->status, l->why);
    if (!l->dialling)
        trp_free(l);
}

static void on_handle_closed(uv_handle_t *handle) {
    struct trp_link *l = handle->data;
    if (--l->handles == 0)
        last_call(l);
}

void trp_link_finish(struct trp_link *l) {
    if (l->state == TRP_LINK_CLOSED)
        return;
    trp_link_enter(l, TRP_LINK_CLOSED);
    trp_link_clean(l);
    uv_close((uv_handle_t *)trp_link_stream(l), on_handle_closed);
    uv_close((uv_handle_t *)&l->timer, on_handle_closed);
}

void trp_link_abandon(struct trp_link *l) {
    l->handler = NULL;
    trp_link_finish(l);
}

/* --- deadlines --- */

static void on_timer(uv_timer_t *timer);

static void set_timer(struct trp_link *l, int64_t at) {
    int64_t now = trp_loop_now(l->loop);
    uv_timer_start(&l->timer, on_timer, at > now ? (uint64_t)(at - now) : 0, 0);
    l->timer_due = at;
}

static void set_deadline(struct trp_link *l, int64_t at) {
    l->deadline = at;
    l->late = false;
    if (at < l->timer_due)
        set_timer(l, at);
}

/* For calls from outside the loop, too, whose clock stands still while the program is away. */
static void set_deadline_in(struct trp_link *l, int64_t ms) {
    uv_update_time(&l->loop->uv);
    set_deadline(l, trp_loop_now(l->loop) + ms);
}

static void break_off(struct trp_link *l, troupe_status st, const char *why);

static void on_deadline(struct trp_link *l) {
    switch (l->state) {
    case TRP_LINK_DIALLING:
        trp_link_note(l, TROUPE_TIMEOUT, "no connection in time");
        trp_link_finish(l);
        break;
    case TRP_LINK_GREETING:
        break_off(l, TROUPE_TIMEOUT, "no greeting in time");
        break;
    case TRP_LINK_UP:
        break_off(l, TROUPE_TIMEOUT, "a frame was begun and not ended in time");
        break;
    case TRP_LINK_FLUSHING:
    case TRP_LINK_LINGERING:
    case TRP_LINK_CLOSED:
        trp_link_note(l, TROUPE_TIMEOUT, "the other side did not read our last words in time");
        trp_link_finish(l);
        break;
    }
}

/* A deadline that has passed counts one turn later. The program may have been away from its loop, or stopped: what has
 * come in time is to be read first. */
static void on_timer(uv_timer_t *timer) {
    struct trp_link *l = timer->data;
    int64_t now = trp_loop_now(l->loop);
    l->timer_due = INT64_MAX;
    if (l->deadline == INT64_MAX)
        return;
    if (l->deadline > now) {
        set_timer(l, l->deadline);
    } else if (!l->late) {
        l->late = true;
        set_timer(l, now + 1);
    } else {
        on_deadline(l);
    }
}

/* --- closing --- */

static void start_reading(struct trp_link *l);

static void close_after_flush(struct trp_link *l, int64_t ms) {
    trp_link_enter(l, TRP_LINK_FLUSHING);
    set_deadline_in(l, ms);
    if (l->paused && !l->ended)
        start_reading(l);
    trp_link_soil(l);
}

void trp_link_close(struct trp_link *l, int64_t flush_ms) {
    trp_link_note(l, TROUPE_CLOSED, "closed by this side");
    if (flush_ms <= 0 || l->state == TRP_LINK_DIALLING || l->failed)
        trp_link_finish(l);
    else if (l->state <= TRP_LINK_UP)
        close_after_flush(l, flush_ms);
}

/* The peer broke a rule: the handler may say so to it, then the link ends by itself. */
static void break_off(struct trp_link *l, troupe_status st, const char *why) {
    trp_link_note(l, st, why);
    if (l->accepted && l->handler->broken)
        l->handler->broken(l->user, l, st, why);
    trp_link_close(l, LAST_WORDS_MS);
}

/* --- reading --- */

static void on_greeting(struct trp_link *l, uint16_t protocol) {
    trp_link_enter(l, TRP_LINK_UP);
    l->deadline = INT64_MAX;
    l->handler->up(l->user, l, protocol);
    trp_assert(l->greeted || !trp_link_is_alive(l));
}

/* Puts a deadline on a frame that has begun; `fresh`: it began in this read. */
static void watch_frame(struct trp_link *l, bool fresh) {
    if (!trp_deframer_partial(&l->in))
        l->deadline = INT64_MAX;
    else if (fresh || l->deadline == INT64_MAX)
        set_deadline(l, trp_loop_now(l->loop) + l->frame_ms);
}

static void feed(struct trp_link *l, const uint8_t *p, const uint8_t *end) {
    bool fresh = false;
    while (trp_link_is_alive(l)) {
        enum trp_frame_event ev;
        uint16_t protocol = 0;
        struct trp_slice body = {0};
        const char *why = NULL;
        troupe_status st = trp_deframer_next(&l->in, &p, end, &ev, &protocol, &body, &why);
        if (st != TROUPE_OK) {
            break_off(l, st, why);
            return;
        }
        if (ev == TRP_FRAME_MORE)
            break;
        fresh = true;
        if (ev == TRP_FRAME_GREETING)
            on_greeting(l, protocol);
        else
            l->handler->frame(l->user, l, body);
    }
    if (l->state == TRP_LINK_UP && !l->paused)
        watch_frame(l, fresh);
}

/* A closed link is still told something. */
static void throw_away(struct trp_link *l, size_t n) {
    l->thrown_away += n;
    if (l->thrown_away <= TRP_THROWN_AWAY_MAX)
        return;
    if (l->state == TRP_LINK_LINGERING)
        trp_link_finish(l);
    else
        uv_read_stop(trp_link_stream(l));
}

/* The peer says that nothing more comes from it; it may still read. */
static void on_end(struct trp_link *l) {
    l->ended = true;
    if (l->state == TRP_LINK_FLUSHING)
        return;
    if (trp_deframer_partial(&l->in))
        trp_link_note(l, TROUPE_TRUNCATED, "the connection ended inside a frame");
    else
        trp_link_note(l, TROUPE_CLOSED, "closed by the other side");
    if (l->state != TRP_LINK_LINGERING && trp_link_pending(l) > 0)
        trp_link_close(l, LAST_WORDS_MS);
    else
        trp_link_finish(l);
}

/* A frame that is half read when the limit falls below it is refused. */
void trp_link_limit(struct trp_link *l, size_t max_frame) {
    trp_deframer_limit(&l->in, max_frame);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    struct trp_link *l = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)l->loop->chunk, TRP_READ_CHUNK);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct trp_link *l = stream->data;
    const uint8_t *p = (const uint8_t *)buf->base;
    if (n > 0 && l->state <= TRP_LINK_UP)
        feed(l, p, p + n);
    else if (n > 0)
        throw_away(l, (size_t)n);
    else if (n == UV_EOF)
        on_end(l);
    else if (n < 0) {
        trp_link_note_uv(l, (int)n);
        trp_link_finish(l);
    }
}

static void start_reading(struct trp_link *l) {
    int err = uv_read_start(trp_link_stream(l), on_alloc, on_read);
    if (err)
        trp_link_fail(l, trp_status_from_uv(err), uv_strerror(err));
}

/* A frame that waits because we don't read is not late. */
void trp_link_pause(struct trp_link *l, bool pause) {
    if (l->paused == pause || !trp_link_is_alive(l))
        return;
    l->paused = pause;
    if (l->state == TRP_LINK_DIALLING || l->ended)
        return;
    if (pause) {
        uv_read_stop(trp_link_stream(l));
        if (l->state == TRP_LINK_UP)
            l->deadline = INT64_MAX;
        return;
    }
    start_reading(l);
    if (l->state == TRP_LINK_UP)
        watch_frame(l, true);
}

/* --- making one --- */

struct trp_link *trp_link_new(struct trp_loop *loop, const struct trp_transport *t, const struct trp_link_opts *opts,
                              const struct trp_link_handler *handler) {
    struct trp_link *l = trp_calloc(1, sizeof *l + t->handle_size);
    if (!l)
        return NULL;
    if (t->init(&loop->uv, trp_link_stream(l)) != 0) {
        trp_free(l);
        return NULL;
    }
    uv_timer_init(&loop->uv, &l->timer);
    trp_link_stream(l)->data = l->timer.data = l->write.data = l;
    l->handles = 2;
    l->loop = loop;
    l->transport = t;
    l->handler = handler;
    l->frame_ms = opts && opts->frame_ms ? opts->frame_ms : DEFAULT_FRAME_MS;
    l->deadline = l->timer_due = INT64_MAX;
    trp_deframer_init(&l->in, t->framing, opts && opts->max_frame ? opts->max_frame : DEFAULT_MAX_FRAME);
    trp_outbox_init(&l->out, &loop->pool, t->framing);
    loop->owned++;
    return l;
}

static int64_t greeting_ms(const struct trp_link_opts *opts) {
    return opts && opts->greeting_ms ? opts->greeting_ms : DEFAULT_GREETING_MS;
}

/* The stream is open: awaits the peer's greeting. */
static void connected(struct trp_link *l) {
    trp_link_enter(l, TRP_LINK_GREETING);
    if (!l->paused)
        start_reading(l);
}

void trp_link_accepted(struct trp_link *l, trp_accept_fn *accept, void *ctx, const struct trp_link_opts *opts) {
    l->accepted = true;
    l->transport->far_url(trp_link_stream(l), l->peer, sizeof l->peer);
    l->user = accept(ctx, l);
    if (!l->user)
        trp_link_abandon(l);
    if (l->state == TRP_LINK_CLOSED)
        return;
    set_deadline_in(l, greeting_ms(opts));
    connected(l);
}

static void on_dialled(void *ctx, int err) {
    struct trp_link *l = ctx;
    l->dialling = false;
    if (l->handles == 0) {
        trp_free(l); /* `down` was called long ago */
    } else if (l->state == TRP_LINK_CLOSED) {
        return;
    } else if (err) {
        trp_link_note_uv(l, err);
        trp_link_finish(l);
    } else {
        if (l->transport->tune)
            l->transport->tune(trp_link_stream(l));
        l->transport->far_url(trp_link_stream(l), l->peer, sizeof l->peer);
        connected(l);
        trp_link_soil(l);
    }
}

/* What is wrong with the URL, or with us, is said at once. That nobody answers is the network's affair, and comes as
 * `down` even when it is known now: a caller that tries again later then has one place to do so. */
static troupe_status dial(struct trp_link *l, const struct trp_url *u, const struct trp_link_opts *opts, const char **why) {
    *why = "out of memory";
    if (!trp_link_put_greeting(l, opts && opts->protocol ? opts->protocol : TRP_SP_PAIR0))
        return TROUPE_NO_MEMORY;
    l->spoken = true;
    set_deadline_in(l, greeting_ms(opts));
    int err = l->transport->dial(trp_link_stream(l), u, on_dialled, l, why);
    if (err == UV_EINVAL)
        return TROUPE_BAD_URL;
    if (err == UV_ENOMEM)
        return TROUPE_NO_MEMORY;
    l->dialling = err == 0;
    if (err) {
        trp_link_note_uv(l, err);
        trp_link_finish(l);
    }
    return TROUPE_OK;
}

troupe_status trp_link_dial(struct trp_link **out, struct trp_loop *loop, const char *url, const struct trp_link_opts *opts,
                            const struct trp_link_handler *handler, void *user, const char **why) {
    struct trp_url u;
    const struct trp_transport *t;
    troupe_status st = trp_transport_for(url, &u, &t, why);
    if (st != TROUPE_OK)
        return st;
    struct trp_link *l = trp_link_new(loop, t, opts, handler);
    if (!l) {
        *why = "out of memory";
        return TROUPE_NO_MEMORY;
    }
    l->user = user;
    snprintf(l->peer, sizeof l->peer, "%s", url);
    st = dial(l, &u, opts, why);
    if (st == TROUPE_OK)
        *out = l;
    else
        trp_link_abandon(l);
    return st;
}

void *trp_link_user(const struct trp_link *l) {
    return l->user;
}

const char *trp_link_peer(struct trp_link *l) {
    return l->peer;
}
