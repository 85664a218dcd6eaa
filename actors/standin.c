/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A stand-in for an actor of another node: its mailbox is the way there. What it receives it sends on, in order, over its
 * worker's connection, at most WINDOW unanswered; a watch on the actor is under way as long as both live, and what ends it
 * ends the stand-in, with the same exit.
 *
 * There is one for each actor, found by its address among the names of the system: the first question to a new one is the
 * look-up's, and is answered with the reference to use. A second one for the same actor answers with the first's, and ends. */
#include "actors/node.h"

#include <stddef.h>
#include <stdio.h>

#include "actors/note.h"
#include "actors/self.h"
#include "actors/system.h"
#include "clients/conn.h"
#include "transports/alloc.h"

enum { WINDOW = 256, CONNECT_MS = 5000 };

struct standin {
    troupe_self *self;
    struct trp_standin_birth actor;
    char topic[TRP_NODE_TOPIC_MAX];
    struct relay *relays; /* under way */
    unsigned count;
    struct trp_request watch;
    struct troupe_msg *note; /* wakes the body when the actor has ended; NULL: it has been given */
    troupe_exit exit;
    bool over;
};

/* One message under way. */
struct relay {
    struct trp_request r; /* first */
    struct relay *next, **link;
    struct standin *s;
    struct troupe_msg *m; /* a question, or a plain one: kept until it is known to have arrived */
};

/* --- the watch --- */

static void exit_set(troupe_exit *exit, troupe_end how, int code, struct trp_slice text) {
    size_t n = text.n < sizeof exit->text ? text.n : sizeof exit->text - 1;
    *exit = (troupe_exit){.how = how, .code = code};
    memcpy(exit->text, text.p, n);
}

/* Whether it has gone with the watch in hand, or between two of them, is chance, and no news to anybody. */
static void node_lost(struct standin *s, troupe_status st) {
    char text[sizeof s->exit.text];
    if (st == TROUPE_NO_RESPONDERS)
        st = TROUPE_WORKER_LOST;
    snprintf(text, sizeof text, "node %s: %s", s->actor.node, troupe_status_name(st));
    exit_set(&s->exit, TROUPE_END_NODE, 0, trp_slice_str(text));
}

static bool exit_read(struct standin *s, const struct troupe_msg *m) {
    size_t n;
    const uint8_t *p = troupe_msg_packed(m, &n), *end = p + n;
    uint32_t count;
    uint64_t how;
    troupe_value code;
    struct trp_slice text;
    if (!trp_unpack_array(&p, end, &count) || count != 3 || !trp_unpack_uint(&p, end, &how) || how > TROUPE_END_NODE ||
        trp_unpack_value(&p, end, &code) != TROUPE_OK || !trp_unpack_str(&p, end, &text))
        return false;
    exit_set(&s->exit, (troupe_end)how, (int)(code.kind == TROUPE_INT ? code.i : (int64_t)code.u), text);
    return true;
}

static void over(struct standin *s) {
    struct troupe_msg *note = s->note;
    s->over = true;
    s->note = NULL;
    trp_note_write(note, &(troupe_down){.exit = s->exit});
    trp_actor_tell(s->self->actor, note);
    trp_actor_unpark(s->self->actor);
}

static void watch_begin(struct standin *s);

static void watch_done(struct trp_request *r, troupe_status st, struct troupe_msg *answer, const char *why) {
    struct standin *s = r->user;
    (void)why;
    bool again = st == TROUPE_OK && troupe_msg_value(answer).kind == TROUPE_NIL;
    if (again) {
        watch_begin(s);
    } else {
        if (st != TROUPE_OK || !exit_read(s, answer))
            node_lost(s, st == TROUPE_OK ? TROUPE_PROTOCOL : st);
        over(s);
    }
    trp_msg_drop(answer);
}

/* verb, id */
static troupe_status say(struct standin *s, struct trp_request *r, const char *verb) {
    struct trp_buf b = {0};
    troupe_status st = trp_node_verb(&b, verb, 1);
    if (st == TROUPE_OK)
        st = trp_node_uint(&b, s->actor.id);
    if (st == TROUPE_OK)
        st = trp_conn_request(s->self->worker->bus.conn, trp_slice_str(s->topic), (struct trp_slice){0}, trp_node_value(&b), r);
    trp_buf_fini(&b);
    return st;
}

static void watch_begin(struct standin *s) {
    s->watch = (struct trp_request){.done = watch_done, .user = s};
    troupe_status st = say(s, &s->watch, "watch");
    if (st == TROUPE_OK)
        return;
    node_lost(s, st);
    over(s);
}

/* --- relays --- */

static void relay_free(struct relay *y) {
    *y->link = y->next;
    if (y->next)
        y->next->link = y->link;
    y->s->count--;
    trp_free(y);
}

static void answer(struct relay *y, troupe_status st, struct troupe_msg *m) {
    (void)!trp_question_answer(y->m, st, &m);
    trp_msg_drop(m);
    (void)trp_messages_bury(y->m, TROUPE_CLOSED); /* answered, so this is only the freeing */
}

/* [0, value] or [1, code, text]. NULL: it is neither. */
static struct troupe_msg *answer_read(struct standin *s, const struct troupe_msg *m) {
    size_t n;
    const uint8_t *p = troupe_msg_packed(m, &n), *end = p + n;
    uint32_t count;
    uint64_t how;
    struct trp_slice code = {0};
    struct troupe_msg *out;
    if (!trp_unpack_array(&p, end, &count) || !trp_unpack_uint(&p, end, &how) || how > 1 || count != 2 + how)
        return NULL;
    if (how == 1 && (!trp_unpack_str(&p, end, &code) || code.n >= sizeof out->error))
        return NULL;
    if (trp_msg_from_value(&out, troupe_packed(p, (size_t)(end - p)), (struct trp_slice){0}) != TROUPE_OK)
        return NULL;
    if (code.n)
        memcpy(out->error, code.p, code.n);
    out->error[code.n] = 0;
    out->from = trp_actor_id(s->self->actor);
    return out;
}

/* Whoever is told by the broker that nobody is there any more is told here that it died: the end of the stand-in follows. */
static troupe_status asked(troupe_status st) {
    return st == TROUPE_WORKER_LOST || st == TROUPE_NO_RESPONDERS || st == TROUPE_DISCONNECTED ? TROUPE_DIED : st;
}

static void relay_done(struct trp_request *r, troupe_status st, struct troupe_msg *m, const char *why) {
    struct relay *y = (struct relay *)r;
    struct standin *s = y->s;
    (void)why;
    const char *error = m ? troupe_msg_error(m) : NULL;
    if (error)
        st = trp_node_status(error);
    if (y->m->ask) {
        struct troupe_msg *yes = st == TROUPE_OK ? answer_read(s, m) : NULL;
        answer(y, st == TROUPE_OK && !yes ? TROUPE_PROTOCOL : asked(st), yes);
    } else if (st != TROUPE_OK) {
        trp_letters_bury(s->self->actor->sys, s->self->actor, y->m, asked(st));
    } else {
        trp_msg_drop(y->m);
    }
    trp_msg_drop(m);
    relay_free(y);
    trp_actor_unpark(s->self->actor);
}

static troupe_status relay_send(struct standin *s, struct relay *y, const struct troupe_msg *m) {
    struct trp_buf b = {0};
    size_t n;
    const void *value = troupe_msg_packed(m, &n);
    troupe_status st = trp_node_verb(&b, m->ask ? "ask" : "send", 2);
    if (st == TROUPE_OK)
        st = trp_node_uint(&b, s->actor.id);
    if (st == TROUPE_OK)
        st = trp_buf_put(&b, value, n);
    if (st == TROUPE_OK)
        st = trp_conn_request(s->self->worker->bus.conn, trp_slice_str(s->topic), (struct trp_slice){0}, trp_node_value(&b),
                              &y->r);
    trp_buf_fini(&b);
    return st;
}

static struct relay *relay_new(struct standin *s) {
    struct relay *y = trp_calloc(1, sizeof *y);
    if (!y)
        return NULL;
    y->r.done = relay_done;
    y->s = s;
    y->next = s->relays;
    y->link = &s->relays;
    if (y->next)
        y->next->link = &y->next;
    s->relays = y;
    s->count++;
    return y;
}

/* Takes m. */
static void pass_on(struct standin *s, struct troupe_msg *m) {
    struct relay *y = relay_new(s);
    troupe_status st = y ? relay_send(s, y, m) : TROUPE_NO_MEMORY;
    trp_self_take_out_of_hand(m);
    if (st == TROUPE_OK) {
        y->m = m;
        return;
    }
    if (y)
        relay_free(y);
    if (m->ask)
        (void)trp_messages_bury(m, asked(st));
    else
        trp_letters_bury(s->self->actor->sys, s->self->actor, m, asked(st));
}

/* What is under way is not waited for: its askers are told. */
static void relays_end(struct standin *s) {
    while (s->relays) {
        struct relay *y = s->relays;
        trp_conn_cancel(s->self->worker->bus.conn, &y->r);
        (void)trp_messages_bury(y->m, TROUPE_DIED);
        relay_free(y);
    }
}

/* --- a life --- */

/* The name by which others find it. False: another one has it, which *first is then. */
static bool take_name(struct standin *s, troupe_ref *first) {
    char address[TROUPE_ADDRESS_MAX + 1];
    snprintf(address, sizeof address, "#%llu@%s", (unsigned long long)s->actor.id, s->actor.node);
    *first = troupe_self_ref(s->self);
    return troupe_register(s->self, address, *first) != TROUPE_EXISTS || troupe_whereis(s->self, address, first) != TROUPE_OK;
}

/* Answers the look-up: which reference to use. It is watched by then, so that what is done to it reaches the actor. False: it
 * is another's, or there is no broker. */
static bool introduce(struct standin *s) {
    troupe_ref first;
    troupe_msg *m;
    if (troupe_receive(s->self, CONNECT_MS, &m) != TROUPE_OK)
        return false;
    bool first_one = take_name(s, &first);
    troupe_status st = first_one ? trp_bus_up(s->self, trp_deadline(CONNECT_MS)) : TROUPE_OK;
    if (first_one && st == TROUPE_OK)
        watch_begin(s);
    (void)!(st == TROUPE_OK ? troupe_reply(s->self, m, troupe_ref_value(first))
                            : troupe_reply_error(s->self, m, troupe_status_name(st), troupe_status_text(st)));
    troupe_msg_free(&m);
    return first_one && st == TROUPE_OK;
}

static bool by_the_system(struct standin *s) {
    return atomic_load(&s->self->actor->sys->closing);
}

static void ended(struct trp_request *r, troupe_status st, struct troupe_msg *m, const char *why) {
    (void)st, (void)why;
    trp_msg_drop(m);
    trp_free(r);
}

/* It has been closed or killed here. The answer is nobody's: the end will tell. */
static void tell_end(struct standin *s) {
    bool killed = trp_actor_killed(s->self->actor);
    struct trp_request *r = by_the_system(s) ? NULL : trp_calloc(1, sizeof *r);
    if (!r)
        return;
    r->done = ended;
    if (say(s, r, killed ? "kill" : "close") != TROUPE_OK) {
        trp_free(r);
        return;
    }
    trp_bus_push(s->self);
    while (!s->over && !killed && trp_self_wait(s->self, TRP_NEVER) == TROUPE_OK)
        ;
}

static void serve(struct standin *s) {
    troupe_status st = TROUPE_OK;
    troupe_msg *m;
    while (st == TROUPE_OK && !s->over) {
        if ((st = troupe_receive(s->self, TROUPE_FOREVER, &m)) != TROUPE_OK)
            break;
        if (trp_is_note(m)) {
            troupe_msg_free(&m);
            continue;
        }
        pass_on(s, m);
        trp_bus_push(s->self);
        while (s->count >= WINDOW && !s->over && st == TROUPE_OK)
            st = trp_self_wait(s->self, TRP_NEVER);
    }
    if (!s->over)
        tell_end(s);
}

void trp_standin_body(troupe_self *self, void *arg) {
    struct standin s = {.self = self, .actor = *(const struct trp_standin_birth *)arg, .note = trp_note_new(TRP_NOTE_DOWN)};
    trp_node_topic(s.topic, s.actor.node);
    if (s.note && introduce(&s)) {
        serve(&s);
        relays_end(&s);
        trp_conn_cancel(self->worker->bus.conn, &s.watch);
    }
    trp_msg_drop(s.note);
    if (s.over)
        self->given = s.exit;
}
