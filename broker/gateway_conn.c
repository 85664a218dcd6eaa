/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A gateway's connection. A line is a request on the gateway's topic; the answers go out in the order of the lines,
 * however the workers finish.
 *
 *     ring    head (oldest unsent) ......... tail (newest asked)      at most max-pending slots
 *             ready? its text : waiting
 *
 * A connection is a peer of the core like any session, so a client that leaves takes its waiting requests along. What a
 * client can make us keep is bounded: max-line bytes of a line, max-pending answers, OUT_MOST bytes of answers it does
 * not read; then its socket is not read until there is room. */
#include "broker/gateway.h"
#include "transports/alloc.h"
#include "transports/json.h"
#include <inttypes.h>
#include <stdio.h>

enum {
    OUT_MOST = 256 * 1024, /* answers kept for a client that does not read */
    STALL_MS = 60000,      /* a client that reads nothing for so long while answers wait, or leaves a line half sent, is left */
    LINGER_MS = 1000,
};

struct answer {
    struct trp_buf text; /* when it is ready before its turn */
    int64_t deadline;
    bool ready;
};

struct gateway_conn {
    struct trp_endpoint ep;
    struct trp_gateway *gw;
    uv_stream_t *stream;
    struct gateway_conn *next_active, **active_link; /* active_link NULL: not on the list */
    struct gateway_conn *next_touched;
    struct trp_lines lines;
    struct trp_buf rest; /* read and not yet parsed, while the ring is full */
    struct answer *ring;
    uint64_t head, tail; /* numbers of the oldest unsent and of the next request; ids are these + 1 */
    size_t slots;        /* of the ring: a power of two */
    struct trp_buf out, writing;
    uv_write_t write;
    int64_t moved;        /* when the client last read or sent something */
    int64_t linger_until; /* after an orderly end: what still comes in is ignored until then */
    bool write_busy, reading, touched;
    bool first;     /* no line has come yet */
    bool eof, quit; /* the client sends no more; we take no more */
    bool orderly, closing;
};

/* --- a connection's output --- */

static void conn_abort(struct gateway_conn *c) {
    trp_broker_doom(&c->ep);
}

/* There is something to do for it at the end of the turn. Effects do no more than this, for they must not call the core. */
static void touch(struct gateway_conn *c) {
    struct troupe_broker *b = c->ep.broker;
    if (c->touched)
        return;
    c->touched = true;
    c->next_touched = b->touched;
    b->touched = c;
}

static void out_put(struct gateway_conn *c, const void *p, size_t n) {
    if (trp_buf_put(&c->out, p, n) != TROUPE_OK)
        conn_abort(c);
}

static void on_written(uv_write_t *w, int err) {
    struct gateway_conn *c = w->data;
    c->write_busy = false;
    trp_buf_fini(&c->writing);
    c->moved = trp_loop_now(&c->ep.broker->loop);
    if (err)
        conn_abort(c);
    touch(c);
    trp_loop_wake(&c->ep.broker->loop);
}

/* What the kernel does not take at once goes to one outstanding write. */
static void out_flush(struct gateway_conn *c) {
    if (c->write_busy || c->out.n == 0 || c->closing)
        return;
    uv_buf_t b = uv_buf_init((char *)c->out.p, (unsigned)c->out.n);
    int n = uv_try_write(c->stream, &b, 1);
    if (n < 0 && trp_status_from_uv(n) != TROUPE_AGAIN) {
        conn_abort(c);
        return;
    }
    if (n > 0)
        c->moved = trp_loop_now(&c->ep.broker->loop);
    if (n == (int)c->out.n) {
        c->out.n = 0;
        if (c->out.cap > 4096)
            trp_buf_fini(&c->out);
        return;
    }
    if (n > 0)
        trp_buf_drop(&c->out, (size_t)n);
    c->writing = c->out;
    c->out = (struct trp_buf){0};
    b = uv_buf_init((char *)c->writing.p, (unsigned)c->writing.n);
    c->write.data = c;
    c->write_busy = uv_write(&c->write, c->stream, &b, 1, on_written) == 0;
    if (!c->write_busy)
        conn_abort(c);
}

/* --- answers, in order --- */

static size_t waiting(const struct gateway_conn *c) {
    return (size_t)(c->tail - c->head);
}

static struct answer *slot(struct gateway_conn *c, uint64_t number) {
    return &c->ring[number & (c->slots - 1)];
}

/* A slot for the next request; NULL: no memory. The ring grows to max-pending. */
static struct answer *slot_add(struct gateway_conn *c) {
    if (waiting(c) == c->slots) {
        size_t n = c->slots ? c->slots * 2 : 4;
        struct answer *ring = trp_calloc(n, sizeof *ring);
        if (!ring)
            return NULL;
        for (uint64_t i = c->head; i < c->tail; i++)
            ring[i & (n - 1)] = *slot(c, i);
        trp_free(c->ring);
        c->ring = ring;
        c->slots = n;
    }
    struct answer *a = slot(c, c->tail++);
    *a = (struct answer){.deadline = trp_loop_now(&c->ep.broker->loop) + c->gw->timeout_ms};
    return a;
}

/* Answers at the head that are ready go out. */
static void release(struct gateway_conn *c) {
    while (c->head < c->tail && slot(c, c->head)->ready) {
        struct answer *a = slot(c, c->head++);
        out_put(c, a->text.p, a->text.n);
        trp_buf_fini(&a->text);
    }
}

/* The text of answer `number`: straight into the output when it is its turn. */
static void settle(struct gateway_conn *c, uint64_t number, const void *p, size_t n) {
    if (number < c->head || number >= c->tail || slot(c, number)->ready)
        return; /* late: it has been given up */
    struct answer *a = slot(c, number);
    a->ready = true;
    if (number == c->head) {
        c->head++;
        out_put(c, p, n);
        release(c);
    } else if (trp_buf_put(&a->text, p, n) != TROUPE_OK) {
        conn_abort(c);
    }
}

static void settle_error(struct gateway_conn *c, uint64_t number, const char *code, const char *text) {
    char line[512];
    int n = snprintf(line, sizeof line - 1, "ERR %s %s", code, text);
    n = n < 0 ? 0 : n > (int)sizeof line - 2 ? (int)sizeof line - 2 : n;
    line[n] = '\n';
    c->ep.broker->gateway_errors++;
    settle(c, number, line, (size_t)n + 1);
}

/* --- effects: what the core says of our requests --- */

/* Text goes out as it is, unless it would break the line. */
static troupe_status print_text(struct trp_buf *b, const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i] < 0x20 && p[i] != '\t')
            return TROUPE_INVALID;
    return trp_buf_put(b, p, n);
}

static troupe_status print_value(struct trp_buf *b, struct trp_slice packed) {
    const uint8_t *p = packed.p;
    troupe_value v;
    char number[24];
    troupe_status st = trp_unpack_value(&p, packed.p + packed.n, &v);
    if (st != TROUPE_OK)
        return st;
    if (v.kind == TROUPE_INT)
        return trp_buf_put(b, number, (size_t)snprintf(number, sizeof number, "%" PRId64, v.i));
    if (v.kind == TROUPE_TEXT && print_text(b, v.data, v.size) == TROUPE_OK)
        return TROUPE_OK;
    return trp_json_from_pack(b, packed.p, packed.n);
}

static uint64_t number_of(struct gateway_conn *c, struct trp_slice topic) {
    uint64_t id = 0;
    for (size_t i = trp_peer_inbox(c->ep.peer).n; i < topic.n && topic.p[i] >= '0' && topic.p[i] <= '9'; i++)
        id = id * 10 + (topic.p[i] - '0');
    return id - 1;
}

static void on_msg(void *ctx, void *user, uint64_t sid, uint64_t token, const struct trp_message *m) {
    struct gateway_conn *c = user;
    struct trp_buf *b = &((struct troupe_broker *)ctx)->scratch;
    struct trp_slice code;
    (void)sid, (void)token;
    b->n = 0;
    troupe_status st = TROUPE_OK;
    if (m->headers.n > 0 && trp_map_str(m->headers, "t-error", &code)) {
        c->ep.broker->gateway_errors++;
        st = trp_buf_put(b, "ERR ", 4);
        if (st == TROUPE_OK && print_text(b, code.p, code.n) != TROUPE_OK)
            st = trp_buf_put(b, "FAILED", 6);
        if (st == TROUPE_OK)
            st = trp_buf_put(b, " ", 1);
    }
    if (st == TROUPE_OK)
        st = print_value(b, m->payload);
    if (st == TROUPE_OK)
        st = trp_buf_put(b, "\n", 1);
    if (st == TROUPE_OK)
        settle(c, number_of(c, m->topic), b->p, b->n);
    else
        settle_error(c, number_of(c, m->topic), "BAD_ANSWER", "the answer cannot be shown");
    touch(c);
}

static void on_err(void *ctx, void *user, uint64_t id, const char *code, const char *text) {
    (void)ctx;
    settle_error(user, id - 1, code, text);
    touch(user);
}

/* The rest never comes: a gateway connection sends requests alone. */
static void on_ok(void *ctx, void *user, uint64_t id, uint64_t level, uint64_t count) {
    (void)ctx, (void)user, (void)id, (void)level, (void)count;
}
static void on_welcome(void *ctx, void *user, uint64_t session, struct trp_slice inbox) {
    (void)ctx, (void)user, (void)session, (void)inbox;
}
static void on_pong(void *ctx, void *user, uint64_t id) {
    (void)ctx, (void)user, (void)id;
}
static void on_close(void *ctx, void *user, const char *code, const char *text) {
    (void)ctx, (void)code, (void)text;
    conn_abort(user);
}

/* --- lines --- */

static const char help[] = "a number or text is a request to this gateway's topic, /topic text to another one\n"
                           "answers come in the order of the requests, errors as ERR CODE sentence\n"
                           "/help shows this, /quit ends after the answers that are due\n";

static void request(struct gateway_conn *c, const struct trp_line *line, uint64_t number) {
    struct troupe_broker *b = c->ep.broker;
    struct trp_slice inbox = trp_peer_inbox(c->ep.peer), topic = line->topic.n ? line->topic : trp_slice_str(c->gw->topic);
    char reply[TRP_TOPIC_MAX + 1];
    int n = snprintf(reply, sizeof reply, "%.*s%" PRIu64, (int)inbox.n, (const char *)inbox.p, number + 1);
    struct trp_envelope e = {.op = TRP_PUB, .id = number + 1};
    size_t used;
    const char *why = "out of memory";
    b->compose.n = 0;
    troupe_status st = trp_put_message(&b->compose, topic, (struct trp_slice){(const uint8_t *)reply, (size_t)n},
                                       (struct trp_slice){NULL, 0}, line->value);
    if (st == TROUPE_OK)
        st = trp_message_read(b->compose.p, b->compose.n, &e.msg, &used, &why);
    if (st == TROUPE_OK)
        trp_core_feed(b->core, trp_broker_now(b), c->ep.peer, &e);
    else
        settle_error(c, number, "BAD_LINE", why);
}

static void take_line(struct gateway_conn *c, struct trp_slice text) {
    if (c->first && trp_line_is_http(text)) {
        trp_broker_warn(c->ep.broker, "gateway.http", "%s: an HTTP request came in on a gateway of lines", c->gw->bound);
        conn_abort(c);
        return;
    }
    c->first = false;
    struct trp_line line = trp_line_parse(text);
    if (line.kind == TRP_LINE_EMPTY && c->gw->chunk)
        return;
    uint64_t number = c->tail;
    if (!slot_add(c)) {
        conn_abort(c);
        return;
    }
    c->ep.broker->gateway_lines++;
    switch (line.kind) {
    case TRP_LINE_REQUEST:
        request(c, &line, number);
        break;
    case TRP_LINE_HELP:
        settle(c, number, help, sizeof help - 1);
        break;
    case TRP_LINE_QUIT:
        settle(c, number, "", 0);
        c->quit = true;
        break;
    default:
        settle_error(c, number, "BAD_LINE", line.why);
    }
}

static void too_long(struct gateway_conn *c) {
    char why[80];
    snprintf(why, sizeof why, "a line has at most %zu bytes here", c->gw->max_line);
    c->first = false;
    uint64_t number = c->tail;
    if (slot_add(c))
        settle_error(c, number, "TOO_LONG", why);
    else
        conn_abort(c);
}

static bool has_room(const struct gateway_conn *c) {
    return waiting(c) < c->gw->max_pending && c->out.n + c->writing.n < OUT_MOST;
}

/* Parses until the bytes or the room are used up; gives how many bytes are left. */
static size_t parse(struct gateway_conn *c, const uint8_t *p, size_t n) {
    const uint8_t *end = p + n;
    while (!c->ep.doomed && !c->quit && has_room(c)) {
        enum trp_lines_event ev;
        struct trp_slice line;
        if (trp_lines_next(&c->lines, &p, end, true, &ev, &line) != TROUPE_OK) {
            conn_abort(c);
            return 0;
        }
        if (ev == TRP_LINES_MORE)
            return 0;
        if (ev == TRP_LINES_LINE)
            take_line(c, line);
        else
            too_long(c);
    }
    return c->quit || c->ep.doomed ? 0 : (size_t)(end - p);
}

/* --- reading, and when not to --- */

static void conn_close(struct gateway_conn *c);

static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *b) {
    struct gateway_conn *c = h->data;
    (void)n;
    *b = uv_buf_init((char *)c->ep.broker->loop.chunk, 64 * 1024);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b) {
    struct gateway_conn *c = s->data;
    if (n < 0 && c->linger_until) {
        conn_close(c);
        return;
    }
    if (n == 0 || c->ep.doomed)
        return;
    bool ended = n < 0 && trp_status_from_uv((int)n) == TROUPE_CLOSED;
    if (n < 0 && !ended) {
        conn_abort(c);
        return;
    }
    c->moved = trp_loop_now(&c->ep.broker->loop);
    if (ended) {
        c->eof = true;
    } else {
        size_t left = parse(c, (const uint8_t *)b->base, (size_t)n);
        if (left && trp_buf_put(&c->rest, b->base + (size_t)n - left, left) != TROUPE_OK)
            conn_abort(c);
    }
    touch(c);
}

static void set_reading(struct gateway_conn *c, bool on) {
    if (on == c->reading || c->closing)
        return;
    c->reading = on;
    if (!on)
        uv_read_stop(c->stream);
    else if (uv_read_start(c->stream, on_alloc, on_read) != 0)
        conn_abort(c);
}

static void set_active(struct gateway_conn *c, bool on) {
    struct trp_gateway *g = c->gw;
    if (on == (c->active_link != NULL))
        return;
    if (on) {
        c->next_active = g->active;
        c->active_link = &g->active;
        if (g->active)
            g->active->active_link = &c->next_active;
        g->active = c;
        if (!uv_is_active((uv_handle_t *)&g->tick))
            uv_timer_start(&g->tick, trp_gateway_tick, TRP_GATEWAY_TICK_MS, TRP_GATEWAY_TICK_MS);
    } else {
        *c->active_link = c->next_active;
        if (c->next_active)
            c->next_active->active_link = c->active_link;
        c->active_link = NULL;
        if (!g->active)
            uv_timer_stop(&g->tick);
    }
}

bool trp_gateway_idle(const struct trp_endpoint *e) {
    const struct gateway_conn *c = (const struct gateway_conn *)e;
    return waiting(c) == 0 && c->out.n == 0 && !c->write_busy && c->rest.n == 0;
}

/* --- a connection's turn --- */

/* A last line without its newline counts when the client ends its side. */
static void take_last_line(struct gateway_conn *c) {
    struct trp_slice line;
    if (trp_lines_end(&c->lines, &line))
        take_line(c, line);
}

static void parse_rest(struct gateway_conn *c) {
    if (c->rest.n > 0 && has_room(c)) {
        size_t left = parse(c, c->rest.p, c->rest.n);
        trp_buf_drop(&c->rest, c->rest.n - left);
        if (left == 0)
            trp_buf_fini(&c->rest);
    }
    if (c->eof && c->rest.n == 0 && !c->quit && has_room(c))
        take_last_line(c);
}

static void work(struct gateway_conn *c) {
    if (c->ep.doomed)
        return;
    parse_rest(c);
    out_flush(c);
    if (c->ep.doomed)
        return;
    set_reading(c, !c->eof && !c->quit && c->rest.n == 0 && has_room(c));
    set_active(c, !trp_gateway_idle(&c->ep) || trp_lines_partial(&c->lines));
    if ((c->eof || c->quit) && trp_gateway_idle(&c->ep)) {
        c->orderly = true;
        trp_broker_doom(&c->ep);
    }
}

void trp_gateway_work(struct troupe_broker *b) {
    while (b->touched) {
        struct gateway_conn *c = b->touched;
        b->touched = c->next_touched;
        c->touched = false;
        work(c);
    }
}

void trp_gateway_drain(struct trp_endpoint *e) {
    struct gateway_conn *c = (struct gateway_conn *)e;
    c->quit = true;
    c->rest.n = 0;
    touch(c);
}

/* Deadlines of one connection: answers that do not come, a client that does not move. */
static void look_after(struct gateway_conn *c, int64_t now) {
    if (c->linger_until) {
        if (now >= c->linger_until)
            conn_close(c);
        return;
    }
    for (uint64_t i = c->head; i < c->tail; i++) {
        struct answer *a = slot(c, i);
        if (a->ready)
            continue;
        if (a->deadline > now)
            break;
        settle_error(c, i, "TIMEOUT", "no answer came in time");
    }
    if (now - c->moved >= STALL_MS && (c->out.n > 0 || c->write_busy)) {
        trp_broker_warn(c->ep.broker, "gateway.stalled", "%s: a client does not read its answers", c->gw->bound);
        conn_abort(c);
    } else if (now - c->moved >= STALL_MS && trp_lines_partial(&c->lines) && !c->quit) {
        c->quit = true;
        uint64_t number = c->tail;
        if (slot_add(c))
            settle_error(c, number, "TIMEOUT", "the line was not finished in time");
    }
    touch(c);
}

void trp_gateway_tick(uv_timer_t *t) {
    struct trp_gateway *g = t->data;
    int64_t now = trp_loop_now(&g->broker->loop);
    for (struct gateway_conn *c = g->active, *next; c; c = next) {
        next = c->next_active;
        look_after(c, now);
    }
    trp_loop_wake(&g->broker->loop);
}

/* --- coming and going --- */

static void conn_free(uv_handle_t *h) {
    struct gateway_conn *c = h->data;
    struct trp_gateway *g = c->gw;
    struct gateway_conn **at = &c->ep.broker->touched;
    while (c->touched && *at != c)
        at = &(*at)->next_touched;
    if (c->touched)
        *at = c->next_touched;
    c->ep.broker->gateway_connections--;
    trp_broker_leave(&c->ep);
    for (uint64_t i = c->head; i < c->tail; i++)
        trp_buf_fini(&slot(c, i)->text);
    trp_free(c->ring);
    trp_lines_fini(&c->lines);
    trp_buf_fini(&c->rest);
    trp_buf_fini(&c->out);
    trp_buf_fini(&c->writing);
    trp_free(c->stream);
    trp_free(c);
    trp_gateway_conn_gone(g);
}

static void conn_close(struct gateway_conn *c) {
    if (c->closing)
        return;
    c->closing = true;
    set_active(c, false);
    uv_close((uv_handle_t *)c->stream, conn_free);
}

static void on_shut(uv_shutdown_t *r, int err) {
    (void)err;
    trp_free(r);
}

/* An orderly end with the client still sending: a close now could reset the connection before the last answers are read. So
 * only our side ends, and what comes in is ignored for a while. */
static void linger(struct gateway_conn *c) {
    uv_shutdown_t *r = trp_malloc(sizeof *r);
    if (!r || uv_shutdown(r, c->stream, on_shut) != 0) {
        trp_free(r);
        conn_close(c);
        return;
    }
    c->linger_until = trp_loop_now(&c->ep.broker->loop) + LINGER_MS;
    set_active(c, true);
    c->reading = false;
    set_reading(c, true);
}

static void on_end(struct trp_endpoint *e) {
    struct gateway_conn *c = (struct gateway_conn *)e;
    if (c->orderly && !c->eof)
        linger(c);
    else
        conn_close(c);
}

static const struct trp_endpoint_ops conn_ops = {{on_msg, on_ok, on_err, on_welcome, on_pong, on_close}, on_end};

bool trp_gateway_conn_open(struct trp_gateway *g, uv_stream_t *stream) {
    struct gateway_conn *c = trp_calloc(1, sizeof *c);
    if (!c || !trp_broker_enter(g->broker, &c->ep, &conn_ops)) {
        static const char busy[] = "ERR BUSY too many connections\n";
        uv_buf_t b = uv_buf_init((char *)(uintptr_t)busy, sizeof busy - 1);
        uv_try_write(stream, &b, 1);
        trp_broker_warn(g->broker, "gateway.refused", "%s: %s", g->bound, c ? "too many connections" : "out of memory");
        trp_free(c);
        return false;
    }
    g->broker->gateway_connections++;
    c->gw = g;
    c->stream = stream;
    c->stream->data = c;
    c->first = true;
    c->moved = trp_loop_now(&g->broker->loop);
    trp_lines_init(&c->lines, g->max_line, g->chunk);
    if (trp_broker_attach(&c->ep, TRP_PEER_FULL) != TROUPE_OK)
        conn_abort(c);
    else
        set_reading(c, true);
    return true;
}
