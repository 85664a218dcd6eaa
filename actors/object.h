/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * An object: what has a reference and takes messages like an actor, but no body. What it does with a message it does on the
 * spot, on the thread of whoever sends it, under its own lock; so a message to it costs no turn of anybody, and a
 * process reaches it like any actor, by its proxy. Queues, events, pools and the local topics are objects.
 *
 *     a sender's thread --> trp_object_take --> the noun's take(): keeps the message, or answers it and others
 *
 * What waits at an object is a question (trp_question_make) that it has not answered yet. A time-out needs nothing of the
 * object: an answer to who waits no more says NOT_FOUND, and the object goes on as if it had not been asked. Such questions
 * are swept out before they are many (struct trp_asked).
 *
 * Life: running --close--> closed (the noun says when it is over) --> ended. A kill ends it at once. It does not
 * count among the actors that the system waits for.
 *
 * Locks: an object's lock comes before any actor's, which are leaves: answering and sending under it is allowed,
 * reaching another object is not. */
#ifndef TRP_OBJECT_H
#define TRP_OBJECT_H

#include "actors/actor.h"

struct trp_object;

/* One noun. All are called under the object's lock, but for fini. */
struct trp_object_ops {
    /* Begins: the memory is zeroed, `size` of it; arg as given to trp_object_new. Faults: fini is called all the same. */
    troupe_status (*init)(struct trp_object *o, const void *arg);
    /* Sent to it. OK: taken. FULL: no room now. CLOSED, INVALID: whoever sent it is told. */
    troupe_status (*take)(struct trp_object *o, struct troupe_msg *m);
    /* It has just been closed, or (o->killed) ended: nothing may wait in vain from now on. */
    void (*close)(struct trp_object *o);
    /* Something that it watches (a trp_join with its actor as `who`) has happened. May be NULL. */
    void (*wake)(struct trp_object *o);
    /* Frees what init and take have allocated. The last reference is gone. */
    void (*fini)(struct trp_object *o);
    size_t size;
};

/* (c) constant, (m) under lock; embedded first in each noun's struct */
struct trp_object {
    const struct trp_object_ops *ops; /* (c) */
    struct trp_actor *actor;          /* (c) */
    pthread_mutex_t lock;
    bool closed, killed;     /* (m) */
    bool over;               /* (m) set by the noun when it is closed and nothing is left to do */
    bool ended;              /* (m) */
    struct troupe_msg *dead; /* (m) since the lock was taken: messages that nobody will see, a list */
    troupe_status why;       /* (m) of them */
};

enum trp_noun { TRP_NOUN_QUEUE, TRP_NOUN_EVENT, TRP_NOUN_POOL, TRP_NOUN_TOPICS, TRP_NOUNS };

/* Makes one. From any body: an object lives in the system, also if a process asks for it. Statuses as troupe_spawn. */
TROUPE_NODISCARD troupe_status trp_object_new(troupe_self *self, enum trp_noun noun, const char *name, const void *arg,
                                              size_t arg_size, troupe_ref *out);

/* The same, for the system itself. */
TROUPE_NODISCARD troupe_status trp_object_make(troupe_system *sys, enum trp_noun noun, const char *name, troupe_ref *out);

/* trp_actor_send for one: takes s->msg with OK. Any thread, no lock held. */
TROUPE_NODISCARD troupe_status trp_object_take(struct trp_actor *to, struct trp_send *s);

/* The kind and the body that say that a birth is an object's; no user of the API can name them. */
enum { TRP_OBJECT_KIND = TROUPE_PROCESS + 1 };
void trp_object_body(troupe_self *self, void *arg);
extern const struct trp_backend trp_object_backend;

/* --- what is said to objects beside values: one word and a number --- */

enum trp_word {
    TRP_WORD_NONE,
    TRP_WORD_GET,
    TRP_WORD_TRY,
    TRP_WORD_COUNT,
    TRP_WORD_SET,
    TRP_WORD_CLEAR,
    TRP_WORD_WAIT,
    TRP_WORD_JOIN,
    TRP_WORD_WORKER,
    TRP_WORD_READY
};

/* A word as a value: a msgpack ext of a type of ours. The bytes belong to the caller. */
enum { TRP_WORD_SIZE = 12 };
troupe_value trp_word_value(enum trp_word word, uint64_t number, uint8_t bytes[TRP_WORD_SIZE]);
/* NONE: it is an ordinary value. */
enum trp_word trp_word_of(const struct troupe_msg *m);
uint64_t trp_word_number(const struct troupe_msg *m);

/* Says a word and nothing else; asks a word and waits for the answer. */
TROUPE_NODISCARD troupe_status trp_word_send(troupe_self *self, troupe_ref to, enum trp_word word, uint64_t number);
TROUPE_NODISCARD troupe_status trp_word_ask(troupe_self *self, troupe_ref to, enum trp_word word, int64_t timeout_ms,
                                            troupe_msg **answer);

/* CLOSED for NOT_FOUND: to its users an object that is gone is one that is closed. */
static inline troupe_status trp_or_closed(troupe_status st) {
    return st == TROUPE_NOT_FOUND ? TROUPE_CLOSED : st;
}

/* --- questions that wait --- */

/* Oldest first. */
struct trp_asked {
    struct troupe_msg *head, **tail;
    size_t count, sweep_at;
};

void trp_asked_init(struct trp_asked *q);
/* Takes the question. Those whose askers have gone are dropped when they may be half of them. */
void trp_asked_add(struct trp_asked *q, struct troupe_msg *m);
struct troupe_msg *trp_asked_take(struct trp_asked *q);
/* Answers a question, and frees it. A message as the answer is taken where somebody gets it. NOT_FOUND: nobody waits. */
TROUPE_NODISCARD troupe_status trp_asked_answer(struct troupe_msg *m, struct troupe_msg **answer);
/* Answers it with nil, or with a status. */
void trp_asked_yes(struct troupe_msg *m);
/* Answers it with nil: if its asker has waited for that, it is now a message like any other. NULL: freed. */
struct troupe_msg *trp_asked_accept(struct troupe_msg *m);
void trp_asked_no(struct troupe_msg *m, troupe_status st);
/* All of them. */
void trp_asked_all_no(struct trp_asked *q, troupe_status st);

#endif
