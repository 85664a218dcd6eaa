/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The timer runs to the earliest deadline there was when it was set. Most visitors leave long before theirs, and setting
 * it anew for each would be work for nothing: when it fires early it looks, and goes on. */
#include "broker/gate.h"

#include "transports/alloc.h"
#include "transports/assert.h"

static void on_timer(uv_timer_t *timer);

static int64_t now_ms(const struct trp_gate *g) {
    return (int64_t)uv_now(g->timer.loop);
}

/* A hold may end before the patience with somebody who came earlier. */
static void timer_for(struct trp_gate *g, int64_t due) {
    int64_t in = due - now_ms(g);
    in = in > 0 ? in : 0;
    if (uv_is_active((uv_handle_t *)&g->timer) && (int64_t)uv_timer_get_due_in(&g->timer) <= in)
        return;
    int err = uv_timer_start(&g->timer, on_timer, (uint64_t)in, 0);
    trp_assert(err == 0); /* it fails only on a closing timer */
}

static void list_init(struct trp_gate_list *list) {
    list->first = NULL;
    list->end = &list->first;
}

static void append(struct trp_gate *g, struct trp_gate_list *list, struct trp_visitor *v, int64_t ms) {
    v->due = now_ms(g) + ms;
    v->next = NULL;
    v->link = list->end;
    *list->end = v;
    list->end = &v->next;
    timer_for(g, v->due);
}

static void unlink_visitor(struct trp_gate *g, struct trp_visitor *v) {
    struct trp_gate_list *list = v->held ? &g->held : &g->waiting;
    if (!v->link)
        return;
    *v->link = v->next;
    if (v->next)
        v->next->link = v->link;
    else
        list->end = v->link;
    v->link = NULL;
    g->held_count -= v->held;
}

static void end_due(struct trp_gate *g, struct trp_gate_list *list) {
    int64_t now = now_ms(g);
    while (list->first && list->first->due <= now) {
        struct trp_visitor *v = list->first;
        unlink_visitor(g, v);
        g->due(v->user, v->held);
    }
    if (list->first)
        timer_for(g, list->first->due);
}

static void on_timer(uv_timer_t *timer) {
    struct trp_gate *g = timer->data;
    end_due(g, &g->waiting);
    end_due(g, &g->held);
}

void trp_gate_init(struct trp_gate *g, uv_loop_t *loop, struct trp_authkey **key, int64_t patience_ms,
                   void (*due)(void *user, bool held)) {
    *g = (struct trp_gate){.key = *key, .patience_ms = patience_ms, .due = due};
    *key = NULL;
    list_init(&g->waiting);
    list_init(&g->held);
    if (!g->key)
        return;
    int err = uv_timer_init(loop, &g->timer);
    trp_assert(err == 0); /* it never fails */
    g->timer.data = g;
}

void trp_gate_fini(struct trp_gate *g) {
    if (!g->key)
        return;
    trp_assert(!g->waiting.first && !g->held.first);
    uv_close((uv_handle_t *)&g->timer, NULL);
    trp_authkey_free(&g->key);
}

struct trp_visitor *trp_gate_enter(struct trp_gate *g, void *user) {
    uint8_t nonce[TRP_AUTH_BYTES];
    struct trp_visitor *v = trp_nonce_make(nonce) == TROUPE_OK ? trp_calloc(1, sizeof *v) : NULL;
    if (!v)
        return NULL;
    v->user = user;
    trp_auth_init(&v->auth, nonce);
    append(g, &g->waiting, v, g->patience_ms);
    return v;
}

bool trp_gate_hold(struct trp_gate *g, struct trp_visitor *v) {
    if (g->held_count >= TRP_GATE_HELD)
        return false;
    unlink_visitor(g, v);
    v->held = true;
    g->held_count++;
    append(g, &g->held, v, TRP_GATE_HOLD_MS);
    return true;
}

void trp_gate_leave(struct trp_gate *g, struct trp_visitor **visitor) {
    struct trp_visitor *v = *visitor;
    if (!v)
        return;
    *visitor = NULL;
    unlink_visitor(g, v);
    trp_auth_fini(&v->auth);
    trp_free(v);
}
