/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The blocking client: one connection on a loop of its own, which turns while a call waits and not otherwise.
 *
 * When is written? At once, unless the caller said that more follows. Answers and acknowledgements are written at once,
 * too, when nothing more is queued here; while messages wait they gather for a moment (see receive.c), because whoever works
 * through a queue of small requests would otherwise pay a system call for each.
 *
 * When is read? When a call waits, and every so often while a caller does nothing but publish, so that what the broker
 * has to say to it (an ERR, a PING) is heard. What arrives is queued here in order; when that is too much, reading
 * stops, and the broker feels it. A call that waits for an answer reads on, for the answer may be behind what is
 * queued, up to twice as much: then it says FULL. */
#include "clients/client_state.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "transports/alloc.h"
#include "transports/assert.h"

enum {
    CONNECT_MS = 5000,
    CLOSE_MS = 1000,
    TURN_EVERY = 256,       /* publishes */
    TURN_NS = 10 * 1000000, /* or so long */
};

#define DEFAULT_MAX_QUEUED ((size_t)16 << 20)

static _Thread_local char open_why[256];

/* --- fork --- */

/* Counted in the child: a client opened before is the parent's. Comparing numbers costs a load, getpid(2) a system
 * call. The loop must not even be closed there, since its epoll set is the parent's, too. */
static atomic_uint forks;
static pthread_once_t forks_once = PTHREAD_ONCE_INIT;

static void forks_count(void) {
    atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed); /* relaxed: a new process has one thread */
}

static void forks_watch(void) {
    (void)pthread_atfork(NULL, NULL, forks_count); /* out of memory: then the child is not told, as with any library */
}

bool trp_client_here(const struct troupe_client *c) {
    return c && c->born == atomic_load_explicit(&forks, memory_order_relaxed);
}

/* --- sentences --- */

troupe_status trp_client_say(struct troupe_client *c, troupe_status st, const char *why) {
    if (why != c->why)
        (void)snprintf(c->why, sizeof c->why, "%s", why);
    return st;
}

troupe_status trp_client_plainly(struct troupe_client *c, troupe_status st) {
    if (st == TROUPE_OK)
        return st;
    return trp_client_say(c, st, st == TROUPE_DISCONNECTED ? trp_conn_why(c->conn) : troupe_status_text(st));
}

const char *troupe_client_why(const troupe_client *c) {
    return c ? c->why : open_why;
}

/* --- the connection's handler --- */

static void on_up(void *user, struct trp_conn *conn) {
    (void)user, (void)conn; /* whoever waits for it looks at trp_conn_is_up */
}

static void on_lost(void *user, struct trp_conn *conn, troupe_status st, const char *why, bool fatal) {
    struct troupe_client *c = user;
    (void)conn, (void)st, (void)fatal;
    (void)trp_client_say(c, st, why);
}

void trp_client_throttle(struct troupe_client *c) {
    bool full = c->queued >= (c->waiting ? c->max_queued * 2 : c->max_queued);
    bool low = c->queued <= c->max_queued / 2 || (c->waiting && !full);
    if (c->pausing ? !low : !full)
        return;
    c->pausing = !c->pausing;
    trp_conn_pause(c->conn, c->pausing);
}

static void on_msg(void *user, struct trp_conn *conn, void *sub_user, struct troupe_msg *m) {
    struct troupe_client *c = user;
    (void)conn, (void)sub_user;
    if (m->origin.settle)
        m->origin.settle = trp_client_settle;
    m->next = NULL;
    *c->end = m;
    c->end = &m->next;
    c->queued += m->size;
    if (c->queued >= c->max_queued)
        trp_client_throttle(c);
}

static void on_subscribed(void *user, struct trp_conn *conn, void *sub_user, uint64_t sid, troupe_status st, const char *why) {
    struct troupe_client *c = user;
    struct trp_pull *pull = sub_user;
    (void)conn;
    if (st != TROUPE_OK)
        (void)trp_client_say(c, st, why);
    if (pull && st != TROUPE_OK)
        trp_pull_lost(pull, sid, st);
    if (sid == c->sub_sid) {
        c->sub_done = true;
        c->sub_status = st;
    } else if (!pull && st == TROUPE_NOT_FOUND) {
        c->consumer_lost = true; /* who waits for its messages must not wait for ever */
        (void)snprintf(c->consumer_why, sizeof c->consumer_why, "%s", why);
    }
}

static void on_gone(void *user) {
    struct troupe_client *c = user;
    c->gone = true;
}

static const struct trp_conn_handler handler = {
    .up = on_up, .lost = on_lost, .msg = on_msg, .subscribed = on_subscribed, .gone = on_gone};

/* --- waiting --- */

static int64_t now_ms(void) {
    return (int64_t)(uv_hrtime() / 1000000);
}

int64_t trp_client_deadline(int64_t timeout_ms) {
    if (timeout_ms < 0)
        return TROUPE_FOREVER;
    int64_t now = now_ms();
    return timeout_ms > INT64_MAX - now ? TROUPE_FOREVER : now + timeout_ms;
}

void trp_client_once(struct troupe_client *c, int64_t ms) {
    trp_loop_once(&c->loop, ms);
    c->since_turn = 0;
    c->turn_ns = uv_hrtime();
    c->unsent_ns = 0;
}

bool trp_client_turn(struct troupe_client *c, int64_t deadline) {
    int64_t left = deadline == TROUPE_FOREVER ? -1 : deadline - now_ms();
    if (deadline != TROUPE_FOREVER && left <= 0) {
        trp_client_once(c, 0); /* also for who does not wait: what is there already is in time */
        return false;
    }
    trp_client_once(c, left);
    return true;
}

troupe_status trp_client_await(struct troupe_client *c, const bool *done, int64_t deadline) {
    troupe_status st = TROUPE_OK;
    bool in_time = true;
    c->waiting++;
    trp_client_throttle(c);
    while (!*done && st == TROUPE_OK) {
        if (!in_time)
            st = trp_client_say(c, TROUPE_TIMEOUT, troupe_status_text(TROUPE_TIMEOUT));
        else if (c->pausing)
            st = trp_client_say(c, TROUPE_FULL, "too many messages wait to be received: the answer cannot be read");
        else
            in_time = trp_client_turn(c, deadline);
    }
    c->waiting--;
    trp_client_throttle(c);
    return *done ? TROUPE_OK : st;
}

troupe_status trp_client_connected(struct troupe_client *c, int64_t deadline) {
    bool in_time = true;
    while (!trp_conn_is_up(c->conn)) {
        if (trp_conn_is_dead(c->conn))
            return trp_client_say(c, TROUPE_REFUSED, trp_conn_why(c->conn));
        if (!in_time)
            return trp_client_say(c, TROUPE_DISCONNECTED, trp_conn_why(c->conn));
        in_time = trp_client_turn(c, deadline);
    }
    return TROUPE_OK;
}

/* --- writing --- */

void trp_client_wait_low(struct troupe_client *c) {
    while (trp_conn_pending(c->conn) > TRP_CLIENT_HIGH)
        trp_client_once(c, -1);
}

void trp_client_push(struct troupe_client *c, bool more) {
    c->since_turn++;
    if (more && trp_conn_pending(c->conn) < TRP_FRAME_SOFT)
        return;
    if (c->since_turn >= TURN_EVERY || uv_hrtime() - c->turn_ns >= TURN_NS)
        trp_client_once(c, 0);
    else
        trp_loop_flush(&c->loop);
    c->unsent_ns = 0;
    if (trp_conn_pending(c->conn) > TRP_CLIENT_HIGH)
        trp_client_wait_low(c);
}

void trp_client_push_answer(struct troupe_client *c) {
    if (!c->first) {
        trp_loop_flush(&c->loop);
        c->unsent_ns = 0;
    } else if (c->unsent_ns == 0) {
        c->unsent_ns = uv_hrtime();
    }
}

void trp_client_settle(struct troupe_msg *m, bool nack) {
    struct trp_conn *conn = m->origin.conn;
    if (!conn)
        return;
    /* A message that was kept after troupe_client_close finds the rest of the connection, but no client. */
    struct troupe_client *c = trp_conn_is_gone(conn) ? NULL : trp_conn_user(conn);
    if (c && !trp_client_here(c))
        return;
    trp_conn_settle(m, nack);
    if (c)
        trp_client_push_answer(c);
}

/* --- life --- */

static void client_free(struct troupe_client *c) {
    while (c->first) {
        struct troupe_msg *m = c->first;
        c->first = m->next;
        trp_msg_drop(m);
    }
    trp_client_drop_flights(c);
    trp_client_drop_pulls(c);
    trp_buf_fini(&c->packed);
    if (c->loop.open)
        trp_loop_fini(&c->loop);
    trp_free(c);
}

static struct troupe_client *client_alloc(const troupe_client_opts *opts) {
    struct troupe_client *c = trp_calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->end = &c->first;
    c->ended_end = &c->ended;
    c->max_queued = opts->max_queued ? opts->max_queued : DEFAULT_MAX_QUEUED;
    if (c->max_queued > SIZE_MAX / 2)
        c->max_queued = SIZE_MAX / 2;
    (void)pthread_once(&forks_once, forks_watch);
    c->born = atomic_load_explicit(&forks, memory_order_relaxed);
    return c;
}

static troupe_status client_connect(struct troupe_client *c, const troupe_client_opts *opts) {
    int64_t ms = opts->connect_timeout_ms ? opts->connect_timeout_ms : CONNECT_MS;
    struct trp_conn_opts conn = {
        .url = opts->url, .name = opts->name, .max_payload = opts->max_payload, .authkey_file = opts->authkey_file};
    const char *why = "";
    troupe_status st = trp_loop_init(&c->loop);
    if (st != TROUPE_OK)
        return trp_client_say(c, st, "no event loop can be made");
    st = trp_conn_new(&c->conn, &c->loop, &conn, &handler, c, &why);
    if (st != TROUPE_OK)
        return trp_client_say(c, st, why);
    st = trp_client_connected(c, trp_client_deadline(ms));
    return st == TROUPE_DISCONNECTED ? TROUPE_TIMEOUT : st;
}

/* Whatever has been made of it so far. */
static void client_end(struct troupe_client *c, int64_t flush_ms) {
    bool wait = c->conn != NULL;
    trp_conn_close(&c->conn, flush_ms);
    while (wait && !c->gone)
        trp_loop_once(&c->loop, -1);
    client_free(c);
}

troupe_status troupe_client_open(troupe_client **out, const troupe_client_opts *opts) {
    static const troupe_client_opts defaults = {0};
    struct troupe_client *c = client_alloc(opts ? opts : &defaults);
    if (!c) {
        (void)snprintf(open_why, sizeof open_why, "%s", troupe_status_text(TROUPE_NO_MEMORY));
        return TROUPE_NO_MEMORY;
    }
    troupe_status st = client_connect(c, opts ? opts : &defaults);
    if (st == TROUPE_OK) {
        *out = c;
        return TROUPE_OK;
    }
    (void)snprintf(open_why, sizeof open_why, "%s", c->why);
    client_end(c, 0);
    return st;
}

/* What was never received goes to somebody else. */
static void give_back(struct troupe_client *c) {
    while (c->first) {
        struct troupe_msg *m = c->first;
        c->first = m->next;
        trp_conn_settle(m, true);
        trp_msg_drop(m);
    }
    c->end = &c->first;
}

void troupe_client_close(troupe_client **client) {
    struct troupe_client *c = *client;
    if (!c)
        return;
    *client = NULL;
    if (!trp_client_here(c))
        return;
    give_back(c);
    client_end(c, CLOSE_MS);
}

/* --- on other people's loops --- */

int troupe_client_fd(const troupe_client *c) {
    return trp_client_here(c) ? uv_backend_fd(&c->loop.uv) : -1;
}

int64_t troupe_client_wait_ms(const troupe_client *c) {
    if (!trp_client_here(c))
        return TROUPE_FOREVER;
    return c->first ? 0 : uv_backend_timeout(&c->loop.uv);
}
