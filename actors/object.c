/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The kind of actor that has no body. Its `wake` is always PARKED while nobody is here, so whatever unparks it (close,
 * kill, the end of something it watches) comes to object_resume, on the thread where it happened. */
#include "actors/object.h"

#include "actors/backend.h"
#include "actors/bounded.h"
#include "actors/event.h"
#include "actors/pool.h"
#include "actors/self.h"
#include "actors/system.h"
#include "actors/topics.h"
#include "transports/alloc.h"
#include "transports/assert.h"

static const struct trp_object_ops *const nouns[TRP_NOUNS] = {
    [TRP_NOUN_QUEUE] = &trp_bounded_ops,
    [TRP_NOUN_EVENT] = &trp_event_ops,
    [TRP_NOUN_POOL] = &trp_pool_ops,
    [TRP_NOUN_TOPICS] = &trp_topics_ops,
};

/* What the birth of an object carries as its argument. */
struct seed {
    enum trp_noun noun;
    max_align_t arg[];
};

void trp_object_body(troupe_self *self, void *arg) {
    (void)self, (void)arg;
}

troupe_status trp_object_make(troupe_system *sys, enum trp_noun noun, const char *name, troupe_ref *out) {
    const struct seed seed = {.noun = noun};
    struct trp_birth *birth;
    troupe_spawn_opts opts = {.kind = (troupe_kind)TRP_OBJECT_KIND, .name = name};
    troupe_status st = trp_birth_new(&birth, &opts, trp_object_body, &seed, sizeof seed);
    if (st != TROUPE_OK)
        return st;
    st = trp_system_spawn(sys, &birth, out);
    trp_birth_free(birth);
    return st;
}

troupe_status trp_object_new(troupe_self *self, enum trp_noun noun, const char *name, const void *arg, size_t arg_size,
                             troupe_ref *out) {
    struct seed *seed = trp_calloc(1, sizeof *seed + arg_size);
    if (!seed)
        return TROUPE_NO_MEMORY;
    seed->noun = noun;
    if (arg_size)
        memcpy(seed->arg, arg, arg_size);
    troupe_spawn_opts opts = {.kind = (troupe_kind)TRP_OBJECT_KIND, .name = name};
    troupe_status st = troupe_spawn(self, &opts, trp_object_body, seed, sizeof *seed + arg_size, out);
    trp_free(seed);
    return st;
}

/* --- the backend --- */

static void object_free(struct trp_actor *a) {
    struct trp_object *o = a->run;
    if (!o)
        return;
    o->ops->fini(o);
    pthread_mutex_destroy(&o->lock);
    trp_free(o);
}

static troupe_status object_start(struct trp_actor *a) {
    const struct seed *seed = (const struct seed *)(const void *)a->birth->arg;
    const struct trp_object_ops *ops = nouns[seed->noun];
    struct trp_object *o = trp_calloc(1, ops->size);
    if (!o)
        return TROUPE_NO_MEMORY;
    o->ops = ops;
    o->actor = a;
    pthread_mutex_init(&o->lock, NULL);
    a->run = o;
    troupe_status st = ops->init(o, seed->arg);
    if (st != TROUPE_OK)
        return st;
    /* Somebody may have found it already and closed it: from here on that comes to object_resume, and what came before it is
     * looked at now. */
    trp_actor_ref(a);
    bool entered = trp_actor_enter(a);
    atomic_store(&a->wake, TRP_PARKED);
    if (!entered || trp_actor_is_closing(a))
        trp_actor_unpark(a);
    trp_actor_unref(a);
    return TROUPE_OK;
}

/* Does its noun say that it is over? Then the caller ends it, once, after the lock is dropped. Under the lock. */
static bool ends_now(struct trp_object *o) {
    bool now = (o->over || o->killed) && !o->ended;
    o->ended = o->ended || now;
    return now;
}

/* Under the lock. */
static struct troupe_msg *take_dead(struct trp_object *o) {
    struct troupe_msg *all = o->dead;
    o->dead = NULL;
    return all;
}

static void end(struct trp_object *o) {
    troupe_exit exit = o->killed ? trp_exit_killed() : trp_exit_normal();
    trp_actor_end(o->actor, &exit);
}

/* What there is to be said to others is said without the lock. */
static void leave_unlock(struct trp_object *o) {
    bool last = ends_now(o);
    struct troupe_msg *dead = take_dead(o);
    troupe_status why = o->why;
    pthread_mutex_unlock(&o->lock);
    trp_letters_bury(o->actor->sys, o->actor, dead, why);
    if (last)
        end(o);
}

/* Who calls holds a reference. */
static void object_resume(struct trp_actor *a) {
    struct trp_object *o = a->run;
    /* Acquire: whoever finds it NOTIFIED from now on does not come here, and relies on what we look at next. */
    (void)atomic_exchange_explicit(&a->wake, TRP_PARKED, memory_order_acq_rel);
    bool closing = trp_actor_is_closing(a), killed = trp_actor_killed(a);
    pthread_mutex_lock(&o->lock);
    bool news = (closing && !o->closed) || (killed && !o->killed);
    o->closed = o->closed || closing;
    o->killed = o->killed || killed;
    if (news && !o->ended)
        o->ops->close(o);
    if (o->ops->wake && !o->ended)
        o->ops->wake(o);
    leave_unlock(o);
}

const struct trp_backend trp_object_backend = {
    .kind = (troupe_kind)TRP_OBJECT_KIND,
    .start = object_start,
    .resume = object_resume,
    .free = object_free,
};

troupe_status trp_object_take(struct trp_actor *to, struct trp_send *s) {
    struct trp_object *o = to->run;
    pthread_mutex_lock(&o->lock);
    troupe_status st = o->ended ? TROUPE_NOT_FOUND : o->ops->take(o, s->msg);
    if (st == TROUPE_OK)
        s->msg = NULL;
    leave_unlock(o);
    return st;
}

/* --- words --- */

enum { EXT8 = 0xc7, EXT_WORD = 0x74 };

troupe_value trp_word_value(enum trp_word word, uint64_t number, uint8_t bytes[TRP_WORD_SIZE]) {
    bytes[0] = EXT8;
    bytes[1] = 1 + sizeof number;
    bytes[2] = EXT_WORD;
    bytes[3] = (uint8_t)word;
    memcpy(bytes + 4, &number, sizeof number); /* it never leaves the host */
    return troupe_packed(bytes, TRP_WORD_SIZE);
}

enum trp_word trp_word_of(const struct troupe_msg *m) {
    const uint8_t *p = m->payload.p;
    bool is = m->payload.n == TRP_WORD_SIZE && p[0] == EXT8 && p[2] == EXT_WORD;
    return is ? (enum trp_word)p[3] : TRP_WORD_NONE;
}

uint64_t trp_word_number(const struct troupe_msg *m) {
    uint64_t number;
    memcpy(&number, m->payload.p + 4, sizeof number);
    return number;
}

troupe_status trp_word_send(troupe_self *self, troupe_ref to, enum trp_word word, uint64_t number) {
    uint8_t bytes[TRP_WORD_SIZE];
    return troupe_try_send(self, to, trp_word_value(word, number, bytes));
}

troupe_status trp_word_ask(troupe_self *self, troupe_ref to, enum trp_word word, int64_t timeout_ms, troupe_msg **answer) {
    uint8_t bytes[TRP_WORD_SIZE];
    return troupe_ask(self, to, trp_word_value(word, 0, bytes), timeout_ms, answer);
}
