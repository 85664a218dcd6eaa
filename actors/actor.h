/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * An actor as the system knows it: identity, state of life, mailbox, who waits for what. Everything here may be
 * touched from any thread; what belongs to the running body alone is its troupe_self (self.h), and how a body runs is
 * its backend (backend.h).
 *
 * Life, changed by life_set() in actor.c alone:
 *
 *     state      next                         sends say   receive says (nothing queued)
 *     STARTING   RUNNING CLOSING ENDED        OK          -
 *     RUNNING    STARTING CLOSING ENDED       OK          (waits)
 *     CLOSING    ENDED                        CLOSED      CLOSED
 *     ENDED      -                            NOT_FOUND   -
 *
 * STARTING is the time between a crash and the restart; RUNNING, from the birth on, may end or restart. An actor that waits for
 * its first turn is RUNNING and has not lived yet (lives): so its first life begins without the lock.
 *
 * Waking: an actor that waits gives up its thread until somebody says that something has happened to it. Which thing
 * is not said: the actor looks again. One word per actor, three values:
 *
 *     AWAKE --park--> PARKED --unpark--> NOTIFIED --(runs again)--> AWAKE
 *       `------------unpark-------------/ ^ (then the next park returns at once)
 *
 * What waits for mail alone, the common case, does not park but listens: a bit of its mailbox says so, and the push that takes
 * the bit away has the actor run, without a change of this word. Unpark looks for that bit, too.
 *
 * Locks: an actor's lock is a leaf: nobody takes a second lock, calls libuv or wakes anybody while holding it. */
#ifndef TRP_ACTOR_H
#define TRP_ACTOR_H

#include <pthread.h>
#include <string.h>

#include "actors/birth.h"
#include "actors/bond.h"
#include "actors/mailbox.h"

struct trp_backend;
struct trp_worker;

enum trp_life { TRP_STARTING, TRP_RUNNING, TRP_CLOSING, TRP_ENDED };
enum trp_wake { TRP_AWAKE, TRP_PARKED, TRP_NOTIFIED };

/* (c) constant from spawn to the end, (m) under lock, (a) atomic, (o) whoever runs it, (q) the queue it is on */
struct trp_actor {
    /* What a message looks at on its way in and out lies in the first two lines of a slot (registry.h). */
    _Atomic uint64_t id;                       /* (a) 0: the slot is free */
    struct trp_actor *next;                    /* (q) a worker's run queue or inbound list; the registry's free list */
    const struct trp_backend *_Atomic backend; /* (c) */
    void *run;                                 /* (o) the backend's own */
    struct trp_worker *worker;                 /* (o) where it last ran */
    struct trp_birth *birth;                   /* (c) owned */
    atomic_uint wake;                          /* (a) enum trp_wake */
    atomic_uint lives;                         /* (a) begun so far: written by whoever runs it */
    uint32_t deep;                             /* (o) so far below `run` a coroutine waits on its stack: a hint */
    atomic_bool killed;                        /* (a) set once, under lock */
    bool roams;                                /* (o) it may run on any worker of its crew */
    bool again;                                /* (o) used up: its next life begins even if it is closing */
    bool begun;                                /* (o) a handler is in a life */
    troupe_system *sys;                        /* (c) */
    struct trp_mailbox mailbox;                /* its own rules, see there */

    uint32_t slot, generation; /* (c) of the registry */
    atomic_uint refs;          /* (a) one is the life's own */
    atomic_uint dropped;       /* (a) messages to it that nobody will see */
    _Atomic uint32_t cpu_ms;   /* (a) of a coroutine or handler: see usage.h */
    enum trp_life life;        /* (m) */
    pthread_mutex_t lock;
    struct trp_waits asks;             /* (m) struct trp_ask: its own questions */
    struct trp_waits joins;            /* (m) struct trp_join: who waits for its end */
    struct trp_wait *_Atomic finished; /* (a) operations of an actor in another process that are done: the steward's */
    struct trp_bonds *_Atomic bonds;   /* (m) monitors, links, names; NULL: none so far. Stays, once it is there; (a) is it? */

    int64_t backoff_ms; /* (o) before the latest restart */
    int64_t born;       /* (o) when this life began, of what may be restarted */
};

/* --- actor.c: identity --- */

static inline uint64_t trp_actor_id(const struct trp_actor *a) {
    /* Relaxed: whoever holds a reference knows an id that can't change. */
    return atomic_load_explicit(&a->id, memory_order_relaxed);
}
/* Lives begun so far. */
static inline unsigned trp_actor_lives(const struct trp_actor *a) {
    /* Acquire pairs with the release in trp_actor_enter: what its runner made for it is there. */
    return atomic_load_explicit(&a->lives, memory_order_acquire);
}
/* Has it had anything to do with others' ends, or with a name? A hint, but to who runs it of what it did itself. */
static inline bool trp_actor_bound(const struct trp_actor *a) {
    /* Relaxed: what is there is read under the lock. */
    return atomic_load_explicit(&a->bonds, memory_order_relaxed) != NULL;
}
static inline bool trp_actor_killed(const struct trp_actor *a) {
    /* Relaxed: a hint to stop; what must be seen with it is under the lock. */
    return atomic_load_explicit(&a->killed, memory_order_relaxed);
}
struct trp_actor *trp_actor_ref(struct trp_actor *a);
/* The last one gives the slot back: any thread. */
void trp_actor_unref(struct trp_actor *a);

/* Once for the memory (type-stable: the lock is made here and lives as long as the registry). */
void trp_actor_init(struct trp_actor *a);
void trp_actor_fini(struct trp_actor *a);
/* For each use of it: a new actor that nobody knows. Takes the birth. */
void trp_actor_begin(struct trp_actor *a, troupe_system *sys, struct trp_birth *birth);

/* --- mail.c: waking --- */

/* Something has happened to it. Any thread, no lock held, with a reference; cheap when it is awake. */
void trp_actor_unpark(struct trp_actor *a);
/* It waits, on a thread of its own or without any: from now on somebody may see to it that it runs on. False: it has been
 * notified. */
TROUPE_NODISCARD static inline bool trp_actor_parks(struct trp_actor *a) {
    unsigned awake = TRP_AWAKE;
    /* Release pairs with the acquire in trp_actor_unpark. */
    return atomic_compare_exchange_strong_explicit(&a->wake, &awake, TRP_PARKED, memory_order_release, memory_order_relaxed);
}
/* It is awake by itself. False: somebody has notified it, and calls its backend's resume. */
TROUPE_NODISCARD static inline bool trp_actor_unparks(struct trp_actor *a) {
    unsigned parked = TRP_PARKED;
    return atomic_compare_exchange_strong_explicit(&a->wake, &parked, TRP_AWAKE, memory_order_relaxed, memory_order_relaxed);
}
/* Has it been notified since it was asked last? */
static inline bool trp_actor_notified(struct trp_actor *a) {
    /* Acquire pairs with the release in trp_actor_unpark: what it was notified of can be seen. */
    return atomic_load_explicit(&a->wake, memory_order_relaxed) == TRP_NOTIFIED &&
           atomic_exchange_explicit(&a->wake, TRP_AWAKE, memory_order_acquire) == TRP_NOTIFIED;
}
/* It has given its thread back because it waits for mail (and whatever else unparks it). False: something has come already, it
 * is to be run on. True: it is not the caller's any more. By its worker.
 *
 * Who unparks sets NOTIFIED and then looks for LISTENING; here it is the other way round, so one of us sees the other. From the
 * moment that LISTENING is set the actor may run, end, and its memory be another's: what is done then is right for whoever it
 * is. */
TROUPE_NODISCARD static inline bool trp_actor_listen(struct trp_actor *a) {
    if (!trp_mailbox_listen(&a->mailbox))
        return false;
    return atomic_load(&a->wake) != TRP_NOTIFIED || !trp_mailbox_unlisten(&a->mailbox);
}

/* --- mail.c: mail --- */

/* The short way: a small message, to an actor that trp_registry_peek gave. False: nothing has happened; trp_actor_send will do
 * or say what is to be done. */
TROUPE_NODISCARD bool trp_actor_post(struct trp_actor *to, uint64_t id, struct troupe_msg *m);
/* After a push that has taken these bits away. */
void trp_actor_mail_wakes(struct trp_actor *a, uint64_t wake);
/* Puts s->msg into the mailbox and sets it to NULL; or leaves it: NOT_FOUND, CLOSED, FULL. AGAIN: it waits in line (only with
 * may_wait, only where the receiver wants that) and s completes with OK, CLOSED or NOT_FOUND. */
TROUPE_NODISCARD troupe_status trp_actor_send(struct trp_actor *to, struct trp_send *s, bool may_wait);
/* A message of a subscription. Taken always: what there is no room or no ear for is dropped, and handed back to the broker if
 * it counts it. */
void trp_actor_deliver(struct trp_actor *to, struct troupe_msg *m, bool credited);
/* A list of messages from the thread that runs it, each with its `to`, where no other thread has anything to do with it: as
 * trp_actor_deliver does with credited ones. */
void trp_actor_keep(struct trp_actor *me, struct troupe_msg *all);
/* A message that was sent to it by a way of its own and has not been received there: it comes behind what is in the mailbox,
 * which may be full of it, and closed: a close that came after the send is not its business. Taken. */
void trp_actor_restore(struct trp_actor *to, struct troupe_msg *m);
/* A message that may be lost: only if there is room that nothing has to be dropped for. True: taken. No lock held, nor the
 * `down` of a proxy. */
TROUPE_NODISCARD bool trp_actor_offer(struct trp_actor *to, struct troupe_msg *m);
/* The next message. EMPTY: none (with `want`, the next one unparks it: not for what listens); CLOSED: and none will come. */
TROUPE_NODISCARD troupe_status trp_actor_take(struct trp_actor *a, bool want, struct troupe_msg **out);
/* The same without taking it: OK: there is one. Else the next one unparks it, and it has to park, not to listen. */
TROUPE_NODISCARD troupe_status trp_actor_await(struct trp_actor *a);
/* The receiver is about to wait for something else than mail: room that it has made is given away first. */
void trp_actor_settle_down(struct trp_actor *a);
/* Is there a next message? The receiver's thread. */
TROUPE_NODISCARD bool trp_actor_has_mail(struct trp_actor *a);
/* As take, for a process: the message goes on counting until trp_actor_settle. What turns out to be for one that had this
 * memory before comes in front of *strays, to be buried (DIED) when the caller holds no lock: that tells others. */
TROUPE_NODISCARD troupe_status trp_actor_lend(struct trp_actor *a, struct troupe_msg **out, struct troupe_msg **strays);
/* So many lent messages count no more. False: there are not so many. Who stands in line is let in by trp_actor_admit. */
TROUPE_NODISCARD bool trp_actor_settle(struct trp_actor *a, size_t count, size_t bytes);
/* Those in line for whom there is room come in, and are woken. No lock held. */
void trp_actor_admit(struct trp_actor *a);
/* The next note of its mailbox, which is not lent; NULL: there is none, or it has to wait for messages. */
struct troupe_msg *trp_actor_take_note(struct trp_actor *a);
/* Puts a note into its mailbox. */
void trp_actor_tell(struct trp_actor *a, struct troupe_msg *note);
/* Does anybody wait for room in its mailbox? */
TROUPE_NODISCARD bool trp_actor_has_line(struct trp_actor *a);
/* Lent messages (a list, its end, how many, how many bytes) go back to the front. */
void trp_actor_return(struct trp_actor *a, struct troupe_msg *all, struct troupe_msg **end, size_t count, size_t bytes);

/* --- question.c: questions --- */

/* A question is a message whose `owner` is the asker (with a reference) and whose `ask` is the number. Whatever frees it
 * without an answer gives one, so that no asker waits for nothing. */
void trp_question_make(struct troupe_msg *m, struct trp_actor *asker, uint64_t number);
/* It was never sent: a message like any other. */
void trp_question_unmake(struct troupe_msg *m);
/* Gives an answer: a message, which is taken, or a status and NULL. NOT_FOUND: it was answered, or the asker waits no more. */
TROUPE_NODISCARD troupe_status trp_question_answer(struct troupe_msg *m, troupe_status st, struct troupe_msg **answer);
/* Does its asker still wait for the answer? */
TROUPE_NODISCARD bool trp_question_waits(const struct troupe_msg *m);
/* The body frees a question: an asker that has no answer yet gets the error UNANSWERED. */
void trp_question_settle(struct troupe_msg *m);
/* That error, as an answer. NULL: no memory. */
struct troupe_msg *trp_unanswered(void);
/* Frees a list of messages that no body will see, or sees any longer: askers are told st, the broker that it may give them to
 * others. How many. On the thread of the actor that they were for, if any of them came from the broker. */
size_t trp_messages_bury(struct troupe_msg *all, troupe_status st);

/* The asker's side: waits for `number` from now on. */
void trp_ask_begin(struct trp_actor *asker, struct trp_ask *ask);

/* --- wait.c: waiting --- */

/* Takes back an operation that hangs on `a` (mailbox, asks or joins). False: it is done. */
TROUPE_NODISCARD bool trp_wait_withdraw(struct trp_actor *a, struct trp_waits *list, struct trp_wait *wait);

/* --- actor.c: life --- */

TROUPE_NODISCARD troupe_status trp_actor_close(struct trp_actor *a);
TROUPE_NODISCARD troupe_status trp_actor_kill(struct trp_actor *a);
/* Is it closing, or has it ended? */
bool trp_actor_is_closing(struct trp_actor *a);
/* A body begins. False: it was killed, or closed while it waited for its restart: it must not begin. */
TROUPE_NODISCARD bool trp_actor_enter(struct trp_actor *a);
/* A body has ended that had received as many messages as it may. Will there be another at once? Yes, while there is mail. */
TROUPE_NODISCARD bool trp_actor_recycle(struct trp_actor *a);
/* A body has ended. Will there be another? Then *delay_ms says when. */
TROUPE_NODISCARD bool trp_actor_leave(struct trp_actor *a, const troupe_exit *exit, int64_t *delay_ms);
/* The last end: everybody who waits is told, nobody finds it any more, and the life's own reference is dropped. */
void trp_actor_end(struct trp_actor *a, const troupe_exit *exit);
/* The same, but for that reference: the caller still needs it. */
void trp_actor_finish(struct trp_actor *a, const troupe_exit *exit);

/* Waits for the end of `a`: AGAIN; OK: it is over, look at the ends. */
TROUPE_NODISCARD troupe_status trp_actor_join(struct trp_actor *a, struct trp_join *j);

/* It could not be started: nobody has heard of it, and nobody ever will. */
void trp_actor_abort(struct trp_actor *a);

/* --- exit.c: how it ended --- */

troupe_exit trp_exit_normal(void);
troupe_exit trp_exit_killed(void);
troupe_exit trp_exit_status(int wait_status);            /* of waitpid(2) */
void trp_exit_hint(troupe_exit *exit, const char *hint); /* behind the text, in brackets */
troupe_exit trp_exit_unborn(const char *why);            /* a process that could not be forked */
troupe_exit trp_exit_given(int code, const char *text);  /* by its body */
troupe_exit trp_exit_linked(const troupe_exit *first);   /* to one that has ended so */
troupe_exit trp_exit_shutdown(void);                     /* by its supervisor */
troupe_exit trp_exit_noproc(void);                       /* before anybody could have seen it */
/* As trp_exit_normal says it, and no words besides. */
static inline bool trp_exit_is_plain(const troupe_exit *exit) {
    static const char plain[] = "normal";
    return exit->how == TROUPE_END_NORMAL && exit->code == 0 && memcmp(exit->text, plain, sizeof plain) == 0;
}
/* Did it end by a fault, its own or that of one it is linked to? Neither as it should, nor by somebody's will. */
bool trp_exit_is_crash(const troupe_exit *exit);

#endif
