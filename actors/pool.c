/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The object passes tasks on as they are: a question goes to a worker's mailbox with its asker in it, so the answer goes
 * straight to whoever submitted, and a worker that dies with it answers DIED as any actor does. The object only knows
 * who is idle: a worker says READY when its life begins and after each task.
 *
 *     backlog --> idle worker (READY) --> busy --READY--> idle ...         ends are watched by a join each
 *
 * A question is never refused for want of room, since its asker can't ask again meanwhile; a submit without a future is, and
 * troupe_pool_submit waits for room (WAIT) before it asks. */
#include "actors/pool.h"

#include "actors/registry.h"
#include "actors/system.h"
#include "transports/alloc.h"

struct worker {
    struct trp_actor *actor; /* a reference; NULL: it has ended */
    uint64_t id;
    struct trp_join join;
    bool ready;
};

struct pool {
    struct trp_object o; /* first */
    unsigned most, known, living;
    struct worker *workers; /* `most` of them, `known` in use */
    unsigned *idle;         /* a stack of those that are ready: the one that was last is still warm */
    unsigned idles;
    struct troupe_msg *head, **tail; /* the backlog */
    size_t count, bound;
    struct trp_asked rooms; /* who waits for room in it */
    bool dismissed;         /* the workers have been closed */
};

static troupe_status pool_init(struct trp_object *o, const void *arg) {
    struct pool *p = (struct pool *)o;
    const struct trp_pool_seed *seed = arg;
    p->most = seed->workers;
    p->bound = seed->backlog;
    p->tail = &p->head;
    trp_asked_init(&p->rooms);
    p->workers = trp_calloc(p->most, sizeof *p->workers);
    p->idle = trp_calloc(p->most, sizeof *p->idle);
    return p->workers && p->idle ? TROUPE_OK : TROUPE_NO_MEMORY;
}

/* --- the backlog --- */

static void append(struct pool *p, struct troupe_msg *m) {
    m->next = NULL;
    *p->tail = m;
    p->tail = &m->next;
    p->count++;
}

static void unlink_first(struct pool *p) {
    struct troupe_msg *m = p->head;
    p->head = m->next;
    if (!p->head)
        p->tail = &p->head;
    m->next = NULL;
    p->count--;
}

/* Room for one: the first who still waits for it is told. */
static void tell_of_room(struct pool *p) {
    struct troupe_msg *m;
    while (p->count < p->bound && (m = trp_asked_take(&p->rooms))) {
        struct troupe_msg *told = trp_asked_accept(m);
        if (told) {
            trp_msg_drop(told);
            return;
        }
    }
}

/* Nobody will do what is left. */
static void bury_backlog(struct pool *p, troupe_status st) {
    while (p->head) {
        struct troupe_msg *m = p->head;
        unlink_first(p);
        if (m->owner) {
            (void)trp_messages_bury(m, st);
        } else {
            m->next = p->o.dead;
            p->o.dead = m;
            p->o.why = TROUPE_DIED;
        }
    }
}

/* --- the workers --- */

/* Takes a task out of the backlog, unless the worker can't have it. */
static void hand_to(struct pool *p, struct worker *w) {
    struct troupe_msg *m = p->head;
    unlink_first(p);
    struct trp_send send = {.msg = m};
    if (w->actor && trp_actor_send(w->actor, &send, false) == TROUPE_OK) {
        tell_of_room(p);
        return;
    }
    m->next = p->head;
    if (!p->head)
        p->tail = &m->next;
    p->head = m;
    p->count++;
}

/* They do what is in their mailboxes, and end. */
static void dismiss(struct pool *p) {
    p->dismissed = true;
    for (unsigned i = 0; i < p->known; i++) {
        if (p->workers[i].actor)
            (void)(trp_actor_close(p->workers[i].actor) == TROUPE_OK);
    }
}

static void go_on(struct pool *p) {
    while (p->head && p->idles > 0) {
        struct worker *w = &p->workers[p->idle[--p->idles]];
        w->ready = false;
        hand_to(p, w);
    }
    if (p->known == p->most && p->living == 0) {
        bury_backlog(p, TROUPE_DIED);
        trp_asked_all_no(&p->rooms, TROUPE_CLOSED);
        p->o.over = true;
    } else if (p->o.closed && !p->head && !p->dismissed && p->known == p->most) {
        dismiss(p);
    }
}

/* Has heard of it, from its opener or from itself. NULL: it is none of ours. */
static struct worker *meet(struct pool *p, uint64_t id) {
    for (unsigned i = 0; i < p->known; i++) {
        if (p->workers[i].id == id)
            return &p->workers[i];
    }
    if (p->known == p->most)
        return NULL;
    struct worker *w = &p->workers[p->known++];
    w->id = id;
    w->join.wait.who = p->o.actor;
    w->join.wait.role = TRP_WAIT_JOIN;
    struct trp_actor *a = trp_registry_get(&p->o.actor->sys->registry, id);
    if (a && trp_actor_join(a, &w->join) == TROUPE_AGAIN) {
        w->actor = a;
        p->living++;
    } else if (a) {
        trp_actor_unref(a);
    }
    return w;
}

static void be_ready(struct pool *p, struct worker *w) {
    if (w->ready || !w->actor)
        return;
    w->ready = true;
    p->idle[p->idles++] = (unsigned)(w - p->workers);
}

/* --- the object --- */

static troupe_status task(struct pool *p, struct troupe_msg *m) {
    if (p->o.closed)
        return TROUPE_CLOSED;
    if (!m->ask && p->count >= p->bound)
        return TROUPE_FULL;
    append(p, m);
    go_on(p);
    return TROUPE_OK;
}

static troupe_status room(struct pool *p, struct troupe_msg *m) {
    if (!m->ask)
        return TROUPE_INVALID;
    if (p->o.closed)
        return TROUPE_CLOSED;
    if (p->count < p->bound)
        trp_asked_yes(m);
    else
        trp_asked_add(&p->rooms, m);
    return TROUPE_OK;
}

static troupe_status news(struct pool *p, struct troupe_msg *m, enum trp_word word) {
    struct worker *w = m->ask ? NULL : meet(p, word == TRP_WORD_READY ? m->from : trp_word_number(m));
    if (!w)
        return TROUPE_INVALID;
    if (word == TRP_WORD_READY)
        be_ready(p, w);
    trp_msg_drop(m);
    go_on(p);
    return TROUPE_OK;
}

static troupe_status pool_take(struct trp_object *o, struct troupe_msg *m) {
    struct pool *p = (struct pool *)o;
    enum trp_word word = trp_word_of(m);
    switch (word) {
    case TRP_WORD_NONE:
        return task(p, m);
    case TRP_WORD_WAIT:
        return room(p, m);
    case TRP_WORD_READY:
    case TRP_WORD_WORKER:
        return news(p, m, word);
    case TRP_WORD_JOIN:
        if (!m->ask || !o->closed)
            return TROUPE_INVALID;
        trp_asked_yes(m);
        return TROUPE_OK;
    default:
        return TROUPE_INVALID;
    }
}

static void forget(struct pool *p, struct worker *w) {
    trp_actor_unref(w->actor);
    w->actor = NULL;
    p->living--;
}

static void kill_all(struct pool *p) {
    for (unsigned i = 0; i < p->known; i++) {
        struct worker *w = &p->workers[i];
        if (!w->actor)
            continue;
        if (!trp_wait_done(&w->join.wait))
            (void)(trp_wait_withdraw(w->actor, &w->actor->joins, &w->join.wait) == true);
        (void)(trp_actor_kill(w->actor) == TROUPE_OK);
        forget(p, w);
    }
}

static void pool_close(struct trp_object *o) {
    struct pool *p = (struct pool *)o;
    trp_asked_all_no(&p->rooms, TROUPE_CLOSED);
    if (o->killed) {
        bury_backlog(p, TROUPE_CLOSED);
        kill_all(p);
    } else {
        go_on(p);
    }
}

static void pool_wake(struct trp_object *o) {
    struct pool *p = (struct pool *)o;
    for (unsigned i = 0; i < p->known; i++) {
        struct worker *w = &p->workers[i];
        if (w->actor && trp_wait_done(&w->join.wait))
            forget(p, w);
    }
    go_on(p);
}

static void pool_fini(struct trp_object *o) {
    struct pool *p = (struct pool *)o;
    trp_free(p->workers);
    trp_free(p->idle);
}

const struct trp_object_ops trp_pool_ops = {.init = pool_init,
                                            .take = pool_take,
                                            .close = pool_close,
                                            .wake = pool_wake,
                                            .fini = pool_fini,
                                            .size = sizeof(struct pool)};
