/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The life of a connection. One link at a time, one timer whose meaning goes with the state, one function that changes
 * the state (see the table in conn_state.h). However a link ends, it ends in link_down, and there alone is decided what
 * comes next: requests end first, then the handler hears of it, then the back-off runs.
 *
 * A broker that goes away without a word (its host lost power, a firewall forgot us) is found by the keepalive: when
 * nothing has come for a tick we ask, and after three silent ticks we give up. The ticks count turns of the loop, not
 * time on a clock, so that a program which does not come back for an hour does not blame the broker. */
#include "clients/conn_state.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transports/alloc.h"
#include "transports/assert.h"
#include "transports/log.h"

enum {
    WELCOME_MS = 5000,
    KEEPALIVE_MS = 15000,
    SILENT_MOST = 3,
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 2000,
    DENIED_MAX_MS = 30000, /* the key is wrong: somebody has to do something */
    LAST_WORDS_MS = 100,
    NAME_MOST = 255,
};

#define DEFAULT_MAX_PAYLOAD ((size_t)1 << 20)

static void timer_fired(uv_timer_t *t);
static void link_up(void *user, struct trp_link *l, uint16_t protocol);
static void link_frame(void *user, struct trp_link *l, struct trp_slice body);
static void link_down(void *user, struct trp_link *l, troupe_status st, const char *why);

static const struct trp_link_handler link_handler = {.up = link_up, .frame = link_frame, .down = link_down};

/* --- state --- */

#define TO(state) (1u << TRP_CONN_##state)

static const unsigned conn_next[] = {
    [TRP_CONN_DIALLING] = TO(HELLO) | TO(LOSING) | TO(WAITING) | TO(CLOSING),
    [TRP_CONN_HELLO] = TO(UP) | TO(LOSING) | TO(CLOSING),
    [TRP_CONN_UP] = TO(LOSING) | TO(CLOSING),
    [TRP_CONN_LOSING] = TO(WAITING) | TO(DEAD) | TO(CLOSING),
    [TRP_CONN_WAITING] = TO(DIALLING) | TO(CLOSING),
    [TRP_CONN_DEAD] = TO(CLOSING),
    [TRP_CONN_CLOSING] = TO(GONE),
    [TRP_CONN_GONE] = 0,
};

static void conn_set(struct trp_conn *c, enum trp_conn_state next) {
    trp_assert(conn_next[c->state] & (1u << next));
    c->state = next;
}

static void timer_start(struct trp_conn *c, int64_t ms, int64_t repeat) {
    int err = uv_timer_start(&c->timer, timer_fired, (uint64_t)ms, (uint64_t)repeat);
    trp_assert(err == 0); /* it fails only on a closing timer */
}

static void why_set(struct trp_conn *c, const char *why) {
    (void)snprintf(c->why, sizeof c->why, "%s", why);
}

/* --- dialling --- */

static troupe_status dial(struct trp_conn *c, const char **why) {
    struct trp_link_opts opts = {.max_frame = c->max_payload + TRP_FRAME_EXTRA + TRP_FRAME_INFO, .protocol = TRP_SP_PAIR0};
    c->cause = TROUPE_OK;
    c->fatal = false;
    return trp_link_dial(&c->link, c->loop, c->url, &opts, &link_handler, c, why);
}

static void wait_for_next_try(struct trp_conn *c) {
    conn_set(c, TRP_CONN_WAITING);
    timer_start(c, trp_backoff_next(&c->backoff), 0);
}

/* What is over, over: tells everybody, then waits or stays dead. Every callback may have closed us. */
static void conn_lost(struct trp_conn *c, troupe_status st, bool fatal) {
    if (c->state != TRP_CONN_LOSING)
        conn_set(c, TRP_CONN_LOSING); /* first: what the callbacks send now must not look for a link */
    c->again = c->told[0] && strcmp(c->told, c->why) == 0;
    memcpy(c->told, c->why, sizeof c->told);
    trp_log(c->again ? TROUPE_LOG_DEBUG : TROUPE_LOG_INFO, "client.lost", "%s: %s", c->url, c->why);
    trp_requests_end_all(&c->requests, TROUPE_DISCONNECTED, c->why);
    if (c->state != TRP_CONN_CLOSING)
        c->handler->lost(c->user, c, st, c->why, fatal);
    if (c->state == TRP_CONN_CLOSING)
        return;
    if (fatal)
        conn_set(c, TRP_CONN_DEAD);
    else
        wait_for_next_try(c);
}

static void dial_again(struct trp_conn *c) {
    const char *why = "";
    conn_set(c, TRP_CONN_DIALLING);
    troupe_status st = dial(c, &why);
    if (st == TROUPE_OK)
        return;
    why_set(c, why);
    conn_lost(c, st, false);
}

static void heard(struct trp_request *r, troupe_status st, struct troupe_msg *answer, const char *why) {
    (void)r, (void)st, (void)answer, (void)why; /* that a frame came is what counts */
}

static void keepalive(struct trp_conn *c) {
    if (c->paused || trp_conn_pending(c) > 0) {
        c->silent = 0; /* we do not read, or have told it nothing yet: no news is no evidence */
        return;
    }
    if (++c->silent > SILENT_MOST) {
        trp_conn_lose(c, TROUPE_TIMEOUT, false, "the broker has been silent for %lld ms",
                      (long long)(SILENT_MOST * c->keepalive_ms));
        return;
    }
    if (c->silent > 1 && !c->alive.link && trp_conn_ping(c, &c->alive) == TROUPE_NO_MEMORY)
        trp_conn_lose(c, TROUPE_NO_MEMORY, false, "no memory");
}

static void timer_fired(uv_timer_t *t) {
    struct trp_conn *c = t->data;
    if (c->state == TRP_CONN_WAITING)
        dial_again(c);
    else if (c->state == TRP_CONN_UP)
        keepalive(c);
    else if (c->state == TRP_CONN_HELLO)
        trp_conn_lose(c, TROUPE_TIMEOUT, false, "no WELCOME within %lld ms", (long long)c->welcome_ms);
}

/* --- the link --- */

static void hello(struct trp_conn *c) {
    uint8_t map[96 + NAME_MOST + TRP_AUTH_ENTRY], *p = trp_pack_map(map, 2 + (c->auth.key ? 1 : 0) + (c->obituary[0] ? 1 : 0));
    struct trp_slice name = trp_slice_str(c->name);
    struct trp_buf b;
    if (name.n > NAME_MOST)
        name.n = NAME_MOST;
    p = trp_pack_str(p, trp_slice_str("name"));
    p = trp_pack_str(p, name);
    p = trp_pack_str(p, trp_slice_str("version"));
    p = trp_pack_uint(p, 1);
    if (c->auth.key)
        p = trp_auth_put(p, "nonce", c->auth.nonces.client);
    if (c->obituary[0])
        p = trp_pack_str(trp_pack_str(p, trp_slice_str("obituary")), trp_slice_str(c->obituary));
    struct trp_slice info = {map, (size_t)(p - map)};
    if (trp_conn_out(c, info.n, &b) == TROUPE_OK)
        trp_conn_out_end(c, &b, trp_put_info(&b, TRP_HELLO, info));
}

static void link_up(void *user, struct trp_link *l, uint16_t protocol) {
    struct trp_conn *c = user;
    (void)l;
    if (c->state != TRP_CONN_DIALLING)
        return;
    if (protocol != TRP_SP_PAIR0) {
        trp_conn_lose(c, TROUPE_PROTOCOL, false, "%s is no broker: it greets with SP protocol 0x%02x", c->url, protocol);
        return;
    }
    if (trp_conn_auth_begin(&c->auth) != TROUPE_OK) {
        trp_conn_lose(c, TROUPE_SYSTEM, false, "the system has no random numbers");
        return;
    }
    conn_set(c, TRP_CONN_HELLO);
    timer_start(c, c->welcome_ms, 0);
    hello(c);
}

void trp_conn_welcomed(struct trp_conn *c) {
    c->generation++;
    c->up_since = trp_loop_now(c->loop);
    c->silent = 0;
    c->told[0] = 0;
    trp_backoff_limit(&c->backoff, BACKOFF_MAX_MS);
    conn_set(c, TRP_CONN_UP);
    timer_start(c, c->keepalive_ms, c->keepalive_ms);
    trp_link_pause(c->link, c->paused);
    if (trp_subs_renew(c) == TROUPE_NO_MEMORY) {
        trp_conn_lose(c, TROUPE_NO_MEMORY, false, "no memory");
        return;
    }
    trp_log(TROUPE_LOG_INFO, "client.up", "%s", c->url);
    c->handler->up(c->user, c);
}

static void link_frame(void *user, struct trp_link *l, struct trp_slice body) {
    struct trp_conn *c = user;
    (void)l;
    c->silent = 0;
    trp_conn_frame(c, body);
}

static void timer_closed(uv_handle_t *h);

static void link_down(void *user, struct trp_link *l, troupe_status st, const char *why) {
    struct trp_conn *c = user;
    (void)l;
    c->link = NULL;
    (void)uv_timer_stop(&c->timer);
    if (c->state == TRP_CONN_CLOSING) {
        uv_close((uv_handle_t *)&c->timer, timer_closed);
        return;
    }
    if (c->cause != TROUPE_OK)
        st = c->cause;
    else
        why_set(c, why);
    if (c->up_since)
        trp_backoff_lasted(&c->backoff, trp_loop_now(c->loop) - c->up_since);
    c->up_since = 0;
    conn_lost(c, st, c->fatal);
}

void trp_conn_lose(struct trp_conn *c, troupe_status st, bool fatal, const char *fmt, ...) {
    va_list ap;
    if (c->state > TRP_CONN_UP)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(c->why, sizeof c->why, fmt, ap);
    va_end(ap);
    c->cause = st;
    c->fatal = fatal;
    conn_set(c, TRP_CONN_LOSING);
    trp_link_close(c->link, LAST_WORDS_MS);
}

void trp_conn_deny(struct trp_conn *c, const char *why) {
    c->auth.denied = true;
    trp_backoff_limit(&c->backoff, DENIED_MAX_MS);
    trp_conn_lose(c, TROUPE_REFUSED, c->generation == 0 && !c->keep_trying, "authentication failed: %s", why);
}

/* --- birth and death --- */

static const char *url_or_default(const char *url) {
    const char *env = url ? NULL : getenv("TROUPE_BROKER");
    if (url)
        return url;
    return env && *env ? env : TROUPE_DEFAULT_BROKER;
}

/* What needs no closing. Takes half-made ones. */
static void conn_free(struct trp_conn *c) {
    trp_conn_auth_fini(&c->auth);
    trp_free(c->url);
    trp_free(c->name);
    trp_free(c);
}

static struct trp_conn *conn_alloc(const struct trp_conn_opts *opts) {
    struct trp_conn *c = trp_calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->url = trp_strdup(url_or_default(opts->url));
    c->name = trp_strdup(opts->name ? opts->name : program_invocation_short_name);
    if (c->url && c->name)
        return c;
    conn_free(c);
    return NULL;
}

static void conn_init(struct trp_conn *c, struct trp_loop *loop, const struct trp_conn_opts *opts) {
    c->loop = loop;
    c->keep_trying = opts->keep_trying;
    if (opts->obituary)
        (void)snprintf(c->obituary, sizeof c->obituary, "%s", opts->obituary);
    c->max_payload = opts->max_payload ? opts->max_payload : DEFAULT_MAX_PAYLOAD;
    c->welcome_ms = opts->welcome_ms ? opts->welcome_ms : WELCOME_MS;
    c->keepalive_ms = opts->keepalive_ms ? opts->keepalive_ms : KEEPALIVE_MS;
    c->state = TRP_CONN_DIALLING;
    trp_backoff_init(&c->backoff, BACKOFF_MIN_MS, BACKOFF_MAX_MS, 0);
    int err = uv_timer_init(&loop->uv, &c->timer);
    trp_assert(err == 0); /* it never fails */
    c->timer.data = c;
    c->alive.done = heard;
}

/* The timer belongs to the loop already: a connection that could not dial is freed when it is closed. */
static void unborn_closed(uv_handle_t *h) {
    conn_free(h->data);
}

troupe_status trp_conn_new(struct trp_conn **out, struct trp_loop *loop, const struct trp_conn_opts *opts,
                           const struct trp_conn_handler *handler, void *user, const char **why) {
    struct trp_conn *c = conn_alloc(opts);
    *why = troupe_status_text(TROUPE_NO_MEMORY);
    if (!c)
        return TROUPE_NO_MEMORY;
    troupe_status st = trp_conn_auth_init(&c->auth, opts->authkey_file, why);
    if (st != TROUPE_OK) {
        conn_free(c);
        return st;
    }
    conn_init(c, loop, opts);
    c->handler = handler;
    c->user = user;
    st = dial(c, why);
    if (st == TROUPE_SYSTEM) { /* out of descriptors, say: may pass */
        why_set(c, *why);
        wait_for_next_try(c);
    } else if (st != TROUPE_OK) {
        uv_close((uv_handle_t *)&c->timer, unborn_closed);
        return st;
    }
    *out = c;
    return TROUPE_OK;
}

static void timer_closed(uv_handle_t *h) {
    struct trp_conn *c = h->data;
    trp_requests_end_all(&c->requests, TROUPE_CLOSED, "the connection is closed");
    trp_requests_fini(&c->requests);
    trp_subs_fini(&c->subs);
    conn_set(c, TRP_CONN_GONE);
    if (c->handler->gone)
        c->handler->gone(c->user);
    if (c->owed == 0)
        conn_free(c);
}

void trp_conn_forget_one(struct trp_conn *c) {
    trp_assert(c->owed > 0);
    if (--c->owed == 0 && c->state == TRP_CONN_GONE)
        conn_free(c);
}

static void bye(struct trp_conn *c) {
    struct trp_buf b;
    struct trp_slice code = trp_slice_str("BYE"), text = trp_slice_str("the client is done");
    if (trp_conn_out(c, code.n + text.n, &b) == TROUPE_OK)
        trp_conn_out_end(c, &b, trp_put_close(&b, code, text));
}

void trp_conn_close(struct trp_conn **conn, int64_t flush_ms) {
    struct trp_conn *c = *conn;
    if (!c)
        return;
    *conn = NULL;
    if (c->state == TRP_CONN_UP && flush_ms > 0)
        bye(c);
    conn_set(c, TRP_CONN_CLOSING);
    (void)uv_timer_stop(&c->timer);
    if (c->link)
        trp_link_close(c->link, flush_ms);
    else
        uv_close((uv_handle_t *)&c->timer, timer_closed);
}

/* --- looking at it --- */

bool trp_conn_is_up(const struct trp_conn *c) {
    return c->state == TRP_CONN_UP;
}

bool trp_conn_is_dead(const struct trp_conn *c) {
    return c->state == TRP_CONN_DEAD;
}

bool trp_conn_is_gone(const struct trp_conn *c) {
    return c->state == TRP_CONN_GONE;
}

void *trp_conn_user(const struct trp_conn *c) {
    return c->user;
}

const char *trp_conn_why(const struct trp_conn *c) {
    return c->why[0] ? c->why : "the broker has not answered yet";
}

bool trp_conn_lost_again(const struct trp_conn *c) {
    return c->again;
}

uint64_t trp_conn_generation(const struct trp_conn *c) {
    return c->generation;
}

size_t trp_conn_pending(const struct trp_conn *c) {
    return c->link ? trp_link_pending(c->link) : 0;
}

void trp_conn_pause(struct trp_conn *c, bool pause) {
    c->paused = pause;
    if (c->state == TRP_CONN_UP)
        trp_link_pause(c->link, pause);
}
