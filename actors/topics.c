/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The object: a list of subscriptions, and what it does with a message: a copy to each that matches, and one to a member of
 * each group. All on the publisher's thread, one publisher at a time: so every subscriber sees the same order.
 *
 * A subscriber that has ended is found by that, and dropped, when something is published or the list has doubled. */
#include "actors/topics.h"

#include "actors/system.h"
#include "transports/alloc.h"
#include "transports/topic.h"

enum { SWEEP_FIRST = 64 };

struct sub {
    struct sub *next;
    uint64_t who;
    struct trp_slice pattern, group; /* group.n 0: none */
    uint64_t turn;                   /* of a group: the publication that served it last */
    uint8_t bytes[];
};

struct topics {
    struct trp_object o; /* first */
    struct sub *first, **end;
    size_t count, sweep_at;
    uint64_t publications;
};

/* What is said, taken apart; borrowed from its message. */
struct said {
    enum trp_topics_op op;
    struct trp_slice topic, value;
};

static troupe_status topics_init(struct trp_object *o, const void *arg) {
    struct topics *t = (struct topics *)o;
    (void)arg;
    t->end = &t->first;
    t->sweep_at = SWEEP_FIRST;
    return TROUPE_OK;
}

static bool read_said(const struct troupe_msg *m, struct said *s) {
    const uint8_t *p = m->payload.p, *end = p + m->payload.n;
    uint32_t n;
    uint64_t op;
    if (!trp_unpack_array(&p, end, &n) || n != 3 || !trp_unpack_uint(&p, end, &op) || !trp_unpack_str(&p, end, &s->topic))
        return false;
    s->op = (enum trp_topics_op)op;
    s->value = (struct trp_slice){p, (size_t)(end - p)};
    return true;
}

/* --- subscriptions --- */

static void sub_drop(struct topics *t, struct sub **at) {
    struct sub *sub = *at;
    *at = sub->next;
    if (!sub->next)
        t->end = at;
    t->count--;
    trp_free(sub);
}

static void drop_where(struct topics *t, bool (*gone)(struct topics *t, const struct sub *sub, const void *ctx),
                       const void *ctx) {
    for (struct sub **at = &t->first; *at;) {
        if (gone(t, *at, ctx))
            sub_drop(t, at);
        else
            at = &(*at)->next;
    }
}

static bool has_ended(struct topics *t, const struct sub *sub, const void *ctx) {
    (void)ctx;
    struct trp_actor *a = trp_registry_get(&t->o.actor->sys->registry, sub->who);
    if (!a)
        return true;
    trp_actor_unref(a);
    return false;
}

static bool is_of(struct topics *t, const struct sub *sub, const void *id) {
    (void)t;
    return sub->who == *(const uint64_t *)id;
}

static struct sub **find(struct topics *t, uint64_t who, struct trp_slice pattern) {
    struct sub **at = &t->first;
    while (*at && ((*at)->who != who || !trp_slice_eq((*at)->pattern, pattern)))
        at = &(*at)->next;
    return at;
}

static troupe_status sub_add(struct topics *t, uint64_t who, struct trp_slice pattern, struct trp_slice group) {
    struct sub *sub = trp_calloc(1, sizeof *sub + pattern.n + group.n);
    if (!sub)
        return TROUPE_NO_MEMORY;
    memcpy(sub->bytes, pattern.p, pattern.n);
    if (group.n)
        memcpy(sub->bytes + pattern.n, group.p, group.n);
    sub->who = who;
    sub->pattern = (struct trp_slice){sub->bytes, pattern.n};
    sub->group = (struct trp_slice){sub->bytes + pattern.n, group.n};
    *t->end = sub;
    t->end = &sub->next;
    t->count++;
    return TROUPE_OK;
}

static troupe_status subscribe(struct topics *t, uint64_t who, const struct said *s) {
    const uint8_t *p = s->value.p;
    struct trp_slice group;
    if (!trp_unpack_str(&p, p + s->value.n, &group))
        return TROUPE_INVALID;
    if (*find(t, who, s->topic))
        return TROUPE_OK;
    if (t->count >= t->sweep_at) {
        drop_where(t, has_ended, NULL);
        t->sweep_at = t->count * 2 > SWEEP_FIRST ? t->count * 2 : SWEEP_FIRST;
    }
    return sub_add(t, who, s->topic, group);
}

static troupe_status unsubscribe(struct topics *t, uint64_t who, struct trp_slice pattern) {
    struct sub **at = find(t, who, pattern);
    if (!*at)
        return TROUPE_NOT_FOUND;
    sub_drop(t, at);
    return TROUPE_OK;
}

/* --- matching --- */

static struct trp_slice token(struct trp_slice s) {
    const uint8_t *dot = memchr(s.p, '.', s.n);
    return (struct trp_slice){s.p, dot ? (size_t)(dot - s.p) : s.n};
}

static struct trp_slice behind(struct trp_slice s, struct trp_slice first) {
    size_t skip = first.n < s.n ? first.n + 1 : s.n;
    return (struct trp_slice){s.p + skip, s.n - skip};
}

static bool is(struct trp_slice s, char c) {
    return s.n == 1 && s.p[0] == (uint8_t)c;
}

static bool matches(struct trp_slice pattern, struct trp_slice topic) {
    while (pattern.n && topic.n) {
        struct trp_slice p = token(pattern), t = token(topic);
        if (is(p, '>'))
            return true;
        if (!is(p, '*') && !trp_slice_eq(p, t))
            return false;
        pattern = behind(pattern, p);
        topic = behind(topic, t);
    }
    return pattern.n == 0 && topic.n == 0;
}

/* --- publishing --- */

/* Nobody will see it. Without memory it is not even told. */
static void lose(struct topics *t, const struct sub *sub, const struct said *s, const struct troupe_msg *from) {
    struct troupe_msg *m = trp_msg_from_wire(&(struct trp_message){.topic = s->topic, .payload = s->value});
    if (!m)
        return;
    m->from = from->from;
    m->to = sub->who;
    m->next = t->o.dead;
    t->o.dead = m;
    t->o.why = TROUPE_FULL;
}

/* Not OK: it has no room, or is closing, or (NOT_FOUND) has ended. m is taken if it is given: a question goes to one alone. */
static troupe_status deliver(struct topics *t, const struct sub *sub, const struct said *s, struct troupe_msg *from,
                             bool question) {
    struct trp_actor *a = trp_registry_get(&t->o.actor->sys->registry, sub->who);
    struct troupe_msg *m = a ? trp_msg_from_wire(&(struct trp_message){.topic = s->topic, .payload = s->value}) : NULL;
    troupe_status st = a ? TROUPE_NO_MEMORY : TROUPE_NOT_FOUND;
    if (m) {
        struct trp_send send = {.msg = m};
        m->from = from->from;
        if (question) {
            m->ask = from->ask;
            m->owner = from->owner;
        }
        st = trp_actor_send(a, &send, false);
        trp_msg_drop(send.msg);
    }
    if (a)
        trp_actor_unref(a);
    return st;
}

/* One member of the group, whose turn it is, and who takes it. NOT_FOUND: all have ended. */
static troupe_status deliver_to_group(struct topics *t, struct sub *first, const struct said *s, struct troupe_msg *m,
                                      bool question) {
    troupe_status st = TROUPE_NOT_FOUND;
    for (;;) {
        struct sub *next = NULL;
        for (struct sub *sub = first; sub; sub = sub->next) {
            if (sub->turn < t->publications && trp_slice_eq(sub->group, first->group) && matches(sub->pattern, s->topic) &&
                (!next || sub->turn < next->turn))
                next = sub;
        }
        if (!next)
            return st;
        next->turn = t->publications;
        troupe_status tried = deliver(t, next, s, m, question);
        if (tried == TROUPE_OK)
            return tried;
        if (tried != TROUPE_NOT_FOUND)
            st = tried;
    }
}

/* Has an earlier member of its group stood for it? */
static bool is_led(const struct topics *t, const struct sub *sub, const struct said *s) {
    for (const struct sub *f = t->first; f != sub; f = f->next) {
        if (trp_slice_eq(f->group, sub->group) && matches(f->pattern, s->topic))
            return true;
    }
    return false;
}

static void publish(struct topics *t, const struct said *s, struct troupe_msg *m) {
    bool missed = false;
    t->publications++;
    for (struct sub *sub = t->first; sub; sub = sub->next) {
        if (!matches(sub->pattern, s->topic) || (sub->group.n && is_led(t, sub, s)))
            continue;
        troupe_status st = sub->group.n ? deliver_to_group(t, sub, s, m, false) : deliver(t, sub, s, m, false);
        missed = missed || st != TROUPE_OK;
        if (st != TROUPE_OK && st != TROUPE_NOT_FOUND)
            lose(t, sub, s, m);
    }
    if (missed)
        drop_where(t, has_ended, NULL);
}

/* To the first who takes it: groups and single ones alike. */
static troupe_status request(struct topics *t, const struct said *s, struct troupe_msg *m) {
    t->publications++;
    for (struct sub *sub = t->first; sub; sub = sub->next) {
        if (!matches(sub->pattern, s->topic))
            continue;
        if ((sub->group.n ? deliver_to_group(t, sub, s, m, true) : deliver(t, sub, s, m, true)) == TROUPE_OK) {
            m->owner = NULL; /* the other one's now */
            m->ask = 0;
            return TROUPE_OK;
        }
    }
    return TROUPE_NO_RESPONDERS;
}

/* --- the object --- */

static troupe_status topics_take(struct trp_object *o, struct troupe_msg *m) {
    struct topics *t = (struct topics *)o;
    struct said s;
    troupe_status st = TROUPE_INVALID;
    if (!read_said(m, &s) || (m->ask != 0) != (s.op == TRP_TOPICS_ASK))
        return TROUPE_INVALID;
    switch (s.op) {
    case TRP_TOPICS_SUB:
        st = subscribe(t, m->from, &s);
        break;
    case TRP_TOPICS_UNSUB:
        st = unsubscribe(t, m->from, s.topic);
        break;
    case TRP_TOPICS_PUB:
        publish(t, &s, m);
        st = TROUPE_OK;
        break;
    case TRP_TOPICS_ASK:
        st = request(t, &s, m);
        break;
    }
    if (st == TROUPE_OK)
        trp_msg_drop(m);
    return st;
}

static void topics_close(struct trp_object *o) {
    o->over = true;
}

static void topics_fini(struct trp_object *o) {
    struct topics *t = (struct topics *)o;
    while (t->first)
        sub_drop(t, &t->first);
}

const struct trp_object_ops trp_topics_ops = {
    .init = topics_init, .take = topics_take, .close = topics_close, .fini = topics_fini, .size = sizeof(struct topics)};

troupe_status trp_topics_find(troupe_system *sys, uint64_t *out) {
    troupe_ref ref = {0};
    troupe_status st = TROUPE_OK;
    pthread_mutex_lock(&sys->lock);
    *out = atomic_load_explicit(&sys->topics, memory_order_relaxed);
    if (*out == 0 && (st = trp_object_make(sys, TRP_NOUN_TOPICS, "topics", &ref)) == TROUPE_OK) {
        *out = ref.id;
        /* Release pairs with the acquire of who does without the lock. */
        atomic_store_explicit(&sys->topics, ref.id, memory_order_release);
    }
    pthread_mutex_unlock(&sys->lock);
    return st;
}

void trp_topics_forget(struct trp_actor *a) {
    uint64_t id = atomic_load_explicit(&a->sys->topics, memory_order_acquire), who = trp_actor_id(a);
    struct trp_actor *object = id ? trp_registry_get(&a->sys->registry, id) : NULL;
    if (!object)
        return;
    struct topics *t = object->run;
    pthread_mutex_lock(&t->o.lock);
    drop_where(t, is_of, &who);
    pthread_mutex_unlock(&t->o.lock);
    trp_actor_unref(object);
}
