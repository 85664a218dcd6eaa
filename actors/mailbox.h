/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A mailbox: messages in the order of arrival, bounded in number and in bytes, and the senders that wait for room.
 *
 *     senders --> [ parked, oldest first ] --> ( head: newest first ) --> [ first: oldest first ] --> [ lent ] --> the body
 *                                              `--------------------- counted ----------------------------'
 *
 * Any thread pushes onto `head` by one compare-and-swap, without a lock. The one receiver fetches all that is new at once and
 * turns it round, and leaves the word as it is: to fetch costs nothing that is atomic. The word carries, besides the newest
 * message (which may have been fetched, and freed, long ago: it is followed only as far as the number says that there are new
 * ones),
 *
 * - in the high bits, how many have been pushed, modulo 65,536: less those fetched, what is new; less those taken, what is
 * queued, so that the bound costs no instruction of its own that is atomic, either;
 * - WAITING: the receiver wants to be unparked, by whoever pushes next;
 * - LISTENING: the receiver has given its thread back and does not run until somebody has taken this bit away, who then sees to
 *   it that it runs (trp_actor_listen);
 * - SHUT: nothing more is taken (closing, ended);
 * - CROWDED: senders wait in line: whoever comes goes to its end.
 *
 * SHUT and CROWDED mean to a sender: take the actor's lock, and look there (trp_mailbox_put). So do all messages that are not
 * small: their bytes are added up. A small one counts as `small` bytes whatever it has.
 *
 * So no more than some are in the list at a time (MOST, WINDOW). What a larger bound admits, or comes beyond it
 * (trp_mailbox_force), lies in `more` then, behind all others, and the mailbox is CROWDED until it has been fetched.
 *
 * A mailbox is `exact` for what a word can't do: each push and take is made under the lock, none is small, and what is fetched
 * is taken off the word. Those are: dropping the oldest, lending. Lent messages have left for
 * another process and have not been asked for by the body there: they count against the bounds all the same, so that a process
 * that does not receive is as full as any other actor.
 *
 * What the runtime itself has to tell an actor (close, kill, answers to its questions, ends it waits for) does not come this
 * way: those are bits and operations of the actor, need no room, and are neither refused nor dropped. Ends that it watches come
 * as notes, in a lane of their own (note.h); while there are any, the receiver takes the lock, too.
 *
 * Locking, below: (any) any thread, no lock; (l) under the owning actor's lock; (r) the receiver, and where the mailbox is
 * EXACT under the lock besides. Nothing here calls back. */
#ifndef TRP_MAILBOX_H
#define TRP_MAILBOX_H

#include "actors/note.h"
#include "actors/wait.h"
#include "clients/msg.h"

enum {
    TRP_MAIL_WAITING = 1,
    TRP_MAIL_SHUT = 2,
    TRP_MAIL_CROWDED = 4,
    TRP_MAIL_LISTENING = 8,
    TRP_MAIL_FLAGS = 15,
    TRP_MAIL_WAKE = TRP_MAIL_LISTENING | TRP_MAIL_WAITING,
    TRP_MAIL_MOST = 16384, /* that count towards the bounds */
    TRP_MAIL_WINDOW =
        49151, /* those beyond the bounds included, when another of them comes; with MOST, less than there are numbers */
};
enum {
    TRP_BEYOND = 1,
    TRP_BEYOND_MORE,
    TRP_MORE
}; /* counted in `head`; beyond the bounds and in `more`; within them, and there */
enum { TRP_LOOK_LINE = 1, TRP_LOOK_NOTES = 2, TRP_LOOK_MORE = 4, TRP_LOOK_KILLED = 8 };
/* The flags are the lowest bits, since blocks are aligned to 16 bytes; the number the highest, since addresses have 48 bits. */
enum { TRP_MAIL_COUNT = 48 };
#define TRP_MAIL_ONE     ((uint64_t)1 << TRP_MAIL_COUNT)
#define TRP_MAIL_MESSAGE (TRP_MAIL_ONE - 1 - TRP_MAIL_FLAGS)

/* (c) is constant from init on, and atomic all the same: a sender that holds no reference may come while the actor's memory is
 * made another's (registry.h). It is then refused, or its message is found by its `to` to be for somebody else. */
struct trp_mailbox {
    /* What each message looks at: 56 bytes, see struct trp_actor. */
    _Atomic uint64_t head;                 /* (any) see above */
    struct troupe_msg *first;              /* (r) */
    _Atomic uint64_t taken;                /* written (r), read (any): of those that have been counted in `head` */
    _Atomic uint64_t others;               /* written (r), read (any): taken that have not been counted in `head` */
    _Atomic size_t bytes;                  /* added (l), subtracted (r): of the messages that are not small */
    _Atomic uint32_t small;                /* (c) bytes up to which a message is small; 0: none is */
    _Atomic uint32_t quick;                /* (c) how many at a time come by the short way */
    uint16_t fetched;                      /* (r) of those that have been counted in `head`; not exact only */
    uint8_t overflow;                      /* (c) troupe_overflow */
    bool exact;                            /* (c) see above */
    atomic_uchar look;                     /* written (l), read (r): TRP_LOOK_, what else there is under the lock; a hint */
    _Atomic size_t max, max_bytes;         /* (c) */
    _Atomic uint32_t beyond, beyond_taken; /* written (l), and (r): beyond the bounds, counted in `head` */
    struct trp_waits parked;               /* (l) struct trp_send */
    struct trp_notes notes;                /* (l) of the runtime itself; not counted */
    union {
        struct {                                 /* not exact */
            struct troupe_msg *more, **more_end; /* (l) see above */
            uint32_t more_in;                    /* (l) that count towards the bounds: so many have been put there, */
            _Atomic uint32_t more_out;           /* written (r), and taken */
        };
        struct {                     /* exact */
            size_t count;            /* (l) queued */
            size_t lent, lent_bytes; /* (l) */
        };
    };
};

/* `exact`: somebody will lend. */
void trp_mailbox_init(struct trp_mailbox *mb, size_t max, size_t max_bytes, troupe_overflow overflow, bool exact);

static inline struct troupe_msg *trp_mail_message(uint64_t head) {
    return (struct troupe_msg *)(uintptr_t)(head & TRP_MAIL_MESSAGE);
}

static inline uint32_t trp_mail_queued(uint64_t head, uint64_t taken) {
    return (uint16_t)((head >> TRP_MAIL_COUNT) - taken);
}

/* (any) So many small ones beside so many bytes? */
static inline bool trp_mail_fits(struct trp_mailbox *mb, size_t bytes, size_t queued) {
    size_t small = atomic_load_explicit(&mb->small, memory_order_relaxed);
    return bytes + queued * small <= atomic_load_explicit(&mb->max_bytes, memory_order_relaxed);
}

/* (any) The short way in. False: take the lock and use trp_mailbox_put. *wake: the bits of TRP_MAIL_WAKE that it has taken
 * away. */
static inline bool trp_mailbox_post(struct trp_mailbox *mb, struct troupe_msg *m, uint64_t *wake) {
    /* Acquire pairs with the release in trp_mailbox_init: the bounds are those of the actor that it is. */
    uint64_t head = atomic_load_explicit(&mb->head, memory_order_acquire), next;
    do {
        if ((head & (TRP_MAIL_SHUT | TRP_MAIL_CROWDED)) || m->size > atomic_load_explicit(&mb->small, memory_order_relaxed))
            return false;
        /* Relaxed: a number. An old one makes the mailbox look fuller than it is, and then the lock decides. */
        uint32_t queued = trp_mail_queued(head, atomic_load_explicit(&mb->taken, memory_order_relaxed));
        size_t bytes = atomic_load_explicit(&mb->bytes, memory_order_relaxed);
        if (queued >= atomic_load_explicit(&mb->quick, memory_order_relaxed) ||
            (bytes && !trp_mail_fits(mb, bytes, queued + 1)))
            return false;
        m->next = trp_mail_message(head);
        next = ((head & ~(TRP_MAIL_MESSAGE | TRP_MAIL_WAKE)) | (uintptr_t)m) + TRP_MAIL_ONE;
        /* Release pairs with the acquire in trp_mailbox_gather: the message can be read when it can be seen. Acquire pairs with
         * the release in trp_mailbox_listen: who is to be run has stopped. */
    } while (!atomic_compare_exchange_weak_explicit(&mb->head, &head, next, memory_order_acq_rel, memory_order_acquire));
    *wake = head & TRP_MAIL_WAKE;
    return true;
}

static inline void trp_mailbox_count_other(struct trp_mailbox *mb) {
    /* Relaxed, one writer: a statistic. */
    atomic_store_explicit(&mb->others, atomic_load_explicit(&mb->others, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* For who has the receiver in hand: it waits for mail and can't run. The message goes to where it would be fetched, and nothing
 * atomic is changed. False: there is something to heed (mail that has not been fetched, a flag, bytes to be counted): post it.
 */
static inline bool trp_mailbox_hand(struct trp_mailbox *mb, struct troupe_msg *m) {
    /* Relaxed: what the sender has pushed before, it sees; who is quicker or slower than that makes no difference. */
    uint64_t head = atomic_load_explicit(&mb->head, memory_order_relaxed);
    if ((head & TRP_MAIL_FLAGS) || (uint16_t)(head >> TRP_MAIL_COUNT) != mb->fetched || mb->first ||
        m->size > atomic_load_explicit(&mb->small, memory_order_relaxed))
        return false;
    m->next = NULL;
    mb->first = m;
    /* It is queued, as if pushed and fetched, and has not been handled: relaxed, one writer. */
    atomic_store_explicit(&mb->taken, atomic_load_explicit(&mb->taken, memory_order_relaxed) - 1, memory_order_relaxed);
    trp_mailbox_count_other(mb);
    return true;
}

/* (l) Takes the message, or says FULL. With TROUPE_DROP_OLDEST it always takes it, and gives the messages that had to go as a
 * list in *dropped; but FULL while some are lent, which are the oldest. An empty mailbox takes a message of any size. */
TROUPE_NODISCARD troupe_status trp_mailbox_put(struct trp_mailbox *mb, struct troupe_msg *m, struct troupe_msg **dropped,
                                               uint64_t *wake);
/* (l) So many messages, linked newest first, if there is room for all of them, and nothing else to heed. False: nothing has
 * happened, but to the oldest one's `next`. */
TROUPE_NODISCARD bool trp_mailbox_put_all(struct trp_mailbox *mb, struct troupe_msg *newest, struct troupe_msg *oldest,
                                          unsigned count, uint64_t *wake);
/* (l) Beyond the bounds: for what another bound limits (the credit of a subscription). */
void trp_mailbox_force(struct trp_mailbox *mb, struct troupe_msg *m, uint64_t *wake);
/* (r) A list, from the receiver itself, beyond the bounds: behind all others, since there are none. It costs nothing that is
 * atomic. False: there are others, or it is exact or SHUT; nothing has happened. */
TROUPE_NODISCARD bool trp_mailbox_keep(struct trp_mailbox *mb, struct troupe_msg *all);
/* (l) After FULL: the sender waits behind those that wait already. False: there is room by now, put it once more. */
TROUPE_NODISCARD bool trp_mailbox_park(struct trp_mailbox *mb, struct trp_send *s);

/* (r) How many new ones are there? */
static inline unsigned trp_mail_new(const struct trp_mailbox *mb, uint64_t head) {
    return mb->exact ? trp_mail_message(head) != NULL : (uint16_t)((head >> TRP_MAIL_COUNT) - mb->fetched);
}

/* (r) Fetches what has been pushed. False: nothing. Only when `first` is NULL. */
bool trp_mailbox_gather_exact(struct trp_mailbox *mb);
static inline void trp_mailbox_fetch(struct trp_mailbox *mb) {
    /* Acquire pairs with the release of every push that is new: each was made upon the one before it. */
    uint64_t head = atomic_load_explicit(&mb->head, memory_order_acquire);
    unsigned count = (uint16_t)((head >> TRP_MAIL_COUNT) - mb->fetched);
    if (count == 0)
        return;
    mb->fetched = (uint16_t)(head >> TRP_MAIL_COUNT);
    struct troupe_msg *m = trp_mail_message(head), *first = NULL;
    for (; count > 0; count--) {
        struct troupe_msg *older = m->next;
        m->next = first;
        first = m;
        m = older;
    }
    mb->first = first;
}
static inline bool trp_mailbox_gather(struct trp_mailbox *mb) {
    if (mb->exact)
        return trp_mailbox_gather_exact(mb);
    trp_mailbox_fetch(mb);
    return mb->first != NULL;
}

/* Is nothing queued? (r) */
static inline bool trp_mailbox_empty(struct trp_mailbox *mb) {
    /* Relaxed: what is there is read after the acquire in gather. */
    return !mb->first && !trp_mail_new(mb, atomic_load_explicit(&mb->head, memory_order_relaxed)) &&
           !(atomic_load_explicit(&mb->look, memory_order_relaxed) & TRP_LOOK_MORE);
}

/* (any) How many messages have been taken out so far. */
static inline uint64_t trp_mailbox_handled(struct trp_mailbox *mb) {
    return atomic_load_explicit(&mb->taken, memory_order_relaxed) + atomic_load_explicit(&mb->others, memory_order_relaxed);
}

/* What has come in beyond the bounds is taken. */
void trp_mailbox_take_beyond(struct trp_mailbox *mb, const struct troupe_msg *m);

/* (r) Not exact, and without a look at the notes or at `more`: the oldest, or NULL. */
static inline struct troupe_msg *trp_mailbox_take(struct trp_mailbox *mb) {
    if (!mb->first && !trp_mailbox_gather(mb))
        return NULL;
    struct troupe_msg *m = mb->first;
    mb->first = m->next;
    m->next = NULL;
    if (m->beyond) {
        trp_mailbox_take_beyond(mb, m);
        return m;
    }
    /* Relaxed, one writer; see trp_mailbox_park for who depends on it. */
    atomic_store_explicit(&mb->taken, atomic_load_explicit(&mb->taken, memory_order_relaxed) + 1, memory_order_relaxed);
    if (m->size > atomic_load_explicit(&mb->small, memory_order_relaxed))
        /* Release pairs with the acquire in has_room: the room is there when it can be seen. */
        atomic_fetch_sub_explicit(&mb->bytes, m->size, memory_order_release);
    return m;
}

/* (r) As trp_mailbox_take, if the oldest is one that is small and does count; NULL: it is not, or there is none. Not exact. */
static inline struct troupe_msg *trp_mailbox_take_small(struct trp_mailbox *mb) {
    struct troupe_msg *m = mb->first;
    if (!m) {
        trp_mailbox_fetch(mb);
        m = mb->first;
    }
    if (!m || !m->plain)
        return NULL;
    mb->first = m->next;
    m->next = NULL;
    /* As in take. */
    atomic_store_explicit(&mb->taken, atomic_load_explicit(&mb->taken, memory_order_relaxed) + 1, memory_order_relaxed);
    return m;
}

/* (l) Puts a note into its lane. */
void trp_mailbox_note(struct trp_mailbox *mb, struct troupe_msg *note);
/* (r, l) The first note; NULL: there is none, or it has to wait for messages. */
struct troupe_msg *trp_mailbox_take_note(struct trp_mailbox *mb);
/* (r, l) The oldest message, whether exact or not, while there are notes or not; NULL. */
struct troupe_msg *trp_mailbox_take_mail(struct trp_mailbox *mb);
/* (r, l) Exact: the same, but it goes on counting until it is settled. */
struct troupe_msg *trp_mailbox_lend(struct trp_mailbox *mb);
/* (l) Exact: this one, taken or lent, had come by trp_mailbox_post from a sender that took the mailbox for the one before it:
 * it had not been counted, so it is not subtracted. */
void trp_mailbox_recount(struct trp_mailbox *mb, const struct troupe_msg *m, bool lent);
/* (l) So many lent messages have been received. More than were lent: false, and nothing is changed. */
TROUPE_NODISCARD bool trp_mailbox_settle(struct trp_mailbox *mb, size_t count, size_t bytes);
/* (r, l) Exact: lent messages, in their order, are the first again. `end` is the last one's `next`. */
void trp_mailbox_return(struct trp_mailbox *mb, struct troupe_msg *all, struct troupe_msg **end, size_t count, size_t bytes);

/* (r) Nothing is queued: whoever pushes next is to wake the receiver. Gives the flags; if WAITING is not among them, it was not
 * set: something has come, or nothing will (SHUT). */
unsigned trp_mailbox_await(struct trp_mailbox *mb);
/* For the receiver, by whoever has been given its thread back: true: LISTENING is set, and whoever takes it away runs the
 * receiver. False: there is something to do for it. */
static inline bool trp_mailbox_listen(struct trp_mailbox *mb) {
    uint64_t head = atomic_load_explicit(&mb->head, memory_order_relaxed);
    do {
        if (trp_mail_new(mb, head) || (head & (TRP_MAIL_SHUT | TRP_MAIL_CROWDED)))
            return false;
        /* Release pairs with the acquire of whoever takes it away. Sequentially consistent besides, see trp_actor_listen. */
    } while (!atomic_compare_exchange_weak_explicit(&mb->head, &head, head | TRP_MAIL_LISTENING, memory_order_seq_cst,
                                                    memory_order_relaxed));
    return true;
}
/* (any) Takes LISTENING away. False: it wasn't there. */
bool trp_mailbox_unlisten(struct trp_mailbox *mb);
/* (r) The flags, as await does, but without asking to be woken: with all that the receiver has taken made known to who parks
 * meanwhile.
 */
unsigned trp_mailbox_fence(struct trp_mailbox *mb);
static inline bool trp_mailbox_looks(struct trp_mailbox *mb, unsigned what) {
    /* Relaxed: who has set it wakes the receiver, or is found by it in await or fence. */
    return atomic_load_explicit(&mb->look, memory_order_relaxed) & what;
}
/* (any) The flags; a hint. */
static inline unsigned trp_mailbox_flags(struct trp_mailbox *mb) {
    return (unsigned)(atomic_load_explicit(&mb->head, memory_order_acquire) & TRP_MAIL_FLAGS);
}

/* (l) When there is room: takes the first parked sender's message and the sender off the list; NULL: none, or no room. */
struct trp_send *trp_mailbox_admit(struct trp_mailbox *mb);
/* (l) Takes the first parked sender off, its message still in it; NULL: none. */
struct trp_send *trp_mailbox_expel(struct trp_mailbox *mb);
/* (l) Its receiver has been killed, and is to look at that. */
void trp_mailbox_kill(struct trp_mailbox *mb);
/* (l) Takes nothing more from now on. Fetches nothing, sends nobody away. */
void trp_mailbox_shut(struct trp_mailbox *mb);
/* (r, l) Takes all messages, as a list. Notes are freed: nobody is there to read them. */
struct troupe_msg *trp_mailbox_drain(struct trp_mailbox *mb);
/* (l) Messages queued or lent, and their bytes (small ones counted as such). */
size_t trp_mailbox_count(struct trp_mailbox *mb);
size_t trp_mailbox_bytes(struct trp_mailbox *mb);

#endif
