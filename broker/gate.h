/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Where those stand who have not proved yet that they know the authkey: each with a deadline, and who has failed with
 * the end of a short wait, after which it is told.
 *
 *     enter -> waiting --hold--> held        (at most TRP_GATE_HELD of them)
 *                 |                |
 *                 `--- due, or leave, at any time
 *
 * One timer for all: both lists are in the order of their deadlines, since each gives everybody the same time. */
#ifndef TRP_BROKER_GATE_H
#define TRP_BROKER_GATE_H

#include "broker/auth.h"
#include <uv.h>

enum {
    TRP_GATE_HOLD_MS = 100,   /* what a wrong proof costs, so that guessing is slow */
    TRP_GATE_HELD = 1024,     /* waits at a time: beyond, the answer comes at once, since each wait takes a connection */
    TRP_GATE_FRAME = 8 * 1024 /* the largest frame of a stranger */
};

struct trp_visitor {
    struct trp_visitor *next, **link; /* link NULL: not in the gate */
    int64_t due;
    bool held;
    struct trp_auth auth;
    void *user;
};

struct trp_gate_list {
    struct trp_visitor *first, **end;
};

struct trp_gate {
    struct trp_authkey *key; /* NULL: the gate is open; nobody enters */
    int64_t patience_ms;
    void (*due)(void *user, bool held); /* from the loop; the visitor has left the lists and is still the owner's */
    struct trp_gate_list waiting, held;
    uint32_t held_count;
    uv_timer_t timer;
};

/* key NULL: an open gate, which needs no loop. Else the key is taken, and fini wipes it. */
void trp_gate_init(struct trp_gate *g, uv_loop_t *loop, struct trp_authkey **key, int64_t patience_ms,
                   void (*due)(void *user, bool held));
/* Everybody has left. The timer closes in the loop's next turns: the gate stays where it is until then. */
void trp_gate_fini(struct trp_gate *g);

/* A visitor, waiting, with a fresh nonce. NULL: no memory, or no random bytes. */
struct trp_visitor *trp_gate_enter(struct trp_gate *g, void *user);
/* It has failed: `due` is called when it has waited for that. False: too many wait already; it is to be told at once. */
bool trp_gate_hold(struct trp_gate *g, struct trp_visitor *v);
/* Frees it; accepts NULL inside. */
void trp_gate_leave(struct trp_gate *g, struct trp_visitor **v);

#endif
