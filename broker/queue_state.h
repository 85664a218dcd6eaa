/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What the files of the queues share: their state, and the steps that events are made of.
 *
 *     queue_set.c       the set: declare, delete, tick         queue_item, queue_order    messages and their order
 *     queue.c           put, and the states of a message       queue_timers, dedup        deadlines, ids put lately
 *     queue_consumer.c  credit, hands, who gets the next       queue_config, queue_record declarations and records, packed
 *     queue_dead.c      expiry, dead letters, retry            queue_log.c                records out, records in
 *     queue_view.c      stat, what a message looks like    queue_sweep.c              purge, the remains of the deleted
 *     queue_look.c      peek
 *
 * A message is adopted by a queue (counted), is linked into a state, moves between states, and is forgotten at its end.
 * A queue that may have something to give away is touched, and looked at when the event is over: effects of one event on
 * several queues neither nest nor recurse. */
#ifndef TRP_BROKER_QUEUE_STATE_H
#define TRP_BROKER_QUEUE_STATE_H

#include "broker/dedup.h"
#include "broker/queue_config.h"
#include "broker/queue_order.h"
#include "broker/queue_record.h"
#include "broker/table.h"

enum { TRP_NOT_OPEN = INT32_MAX };

struct trp_consumer {
    struct trp_queues *set;
    struct trp_queue *queue; /* NULL: ended */
    struct trp_consumer *prev, *next;
    void *user;
    uint64_t number;             /* in the order they came */
    struct trp_timer timer;      /* its next deadline, or earlier */
    struct trp_queue_items hand; /* by ack deadline: all have the same time-out, so by delivery and touch */
    uint32_t holding, credit;
    uint64_t bytes;   /* in hand, as max_hand counts them */
    uint32_t open_at; /* its place among those that want something, or TRP_NOT_OPEN */
    bool pulling;
    bool starved; /* there was no memory for one more in hand */
    uint64_t pull_deadline;
    uint64_t served;              /* the queue's count when it was last given something */
    struct trp_queue_item **ring; /* in hand by token & mask; a token whose place is taken is skipped */
    uint64_t mask;                /* at least half of the places are free, so skips are few */
    uint64_t next_token;
};

/* Where a look ended (queue_look.c). */
enum { TRP_QUEUE_LOOKS = 4 };
struct trp_queue_look {
    enum trp_queue_state state;
    uint32_t priority;          /* ready: of the walk */
    struct trp_queue_walk walk; /* not ready: the list alone */
    uint64_t last;              /* the number of the one before it */
};

struct trp_queue {
    struct trp_queues *set;
    struct trp_queue *prev, *next; /* in the order of declaration */
    struct trp_queue *next_touched;
    bool touched, paused;
    bool deleted; /* in no list but that of the deleted; what is in it still has timers, and lies in the log */
    void *user;
    uint64_t number; /* in the log */
    uint64_t hash;
    uint64_t declared; /* the position of its declaration */
    struct trp_queue_config config;
    struct trp_slice packed;
    uint32_t ready_mask; /* priorities that have something ready */
    struct trp_queue_order ready[TRP_QUEUE_PRIORITIES];
    struct trp_queue_items delayed, buried;
    uint64_t messages[TRP_QUEUE_STATES], bytes, ready_bytes;
    struct trp_consumer *first, *last;
    struct trp_consumer **open; /* a heap of those that want something; room for all */
    uint32_t n_open, cap_open, n_consumers, pulls;
    uint64_t served;
    struct trp_dedup dedup;
    struct trp_timer timer; /* the end of the oldest dedup id */
    struct trp_queue_totals totals;
    struct trp_queue_look looks[TRP_QUEUE_LOOKS]; /* the last one first */
    uint32_t n_looks;                             /* so many of them are of any meaning */
    /* then: the patterns' slices, the packed configuration */
};

struct trp_queues {
    struct trp_queue_sink sink;
    void *ctx;
    struct trp_hash_key key;
    uint32_t max_queues;
    uint64_t max_hand;
    bool draining;
    struct trp_table names;
    struct trp_queue *first, *last;
    struct trp_queue *first_touched, *last_touched;
    struct trp_queue *deleted; /* by `next` */
    struct trp_timers timers;
    uint64_t next_seq, next_queue, next_consumer;
    struct trp_queue_items live; /* all that lies in the log, by where */
    struct trp_dedup_live live_ids;
    struct {
        bool on;
        uint64_t floor;                 /* the first MARK; 0: none was read */
        struct trp_table items, queues; /* by number */
    } replay;
    char why[TRP_QUEUE_WHY];
};

/* ---- time ---- */

/* now + ms; at the end of time: NEVER. */
static inline uint64_t trp_queue_later(struct trp_when now, uint64_t ms) {
    return ms > (UINT64_MAX - now.mono_ns) / 1000000 ? TRP_QUEUE_NEVER : now.mono_ns + ms * 1000000;
}
/* Until then, in whole milliseconds, no less. */
static inline uint64_t trp_queue_left(struct trp_when now, uint64_t then) {
    return then > now.mono_ns ? (then - now.mono_ns - 1) / 1000000 + 1 : 0;
}

/* ---- a message's states (queue.c) ---- */

static inline struct trp_queue *trp_queue_of(const struct trp_queue_item *it) {
    return it->state == TRP_QUEUE_HELD ? it->holder->queue : it->queue;
}
static inline uint64_t trp_queue_count(const struct trp_queue *q) {
    return q->messages[TRP_QUEUE_READY] + q->messages[TRP_QUEUE_HELD] + q->messages[TRP_QUEUE_DELAYED] +
           q->messages[TRP_QUEUE_BURIED];
}
/* Room for one more of that size, without dropping anything. */
static inline bool trp_queue_fits(const struct trp_queue *q, size_t size) {
    return trp_queue_count(q) < q->config.max_messages && q->bytes + size <= q->config.max_bytes;
}

/* Can it take one of that size, by dropping the oldest if it is declared so? */
bool trp_queue_accepts(const struct trp_queue *q, size_t size);
/* The ready message that would go out next; NULL: none. */
struct trp_queue_item *trp_queue_first_ready(const struct trp_queue *q);
/* The ready message with the lowest number; NULL: none. */
struct trp_queue_item *trp_queue_oldest_ready(const struct trp_queue *q);

/* Has a message in there with that time to live (NEVER: none), or might it get one in another life there? */
static inline bool trp_queue_is_mortal(const struct trp_queue *q, uint64_t ttl_ms) {
    return ttl_ms != TRP_QUEUE_NEVER || q->config.ttl_ms;
}
/* The item has a timer reserved from now on. NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_queue_reserve_timer(struct trp_queues *s, struct trp_queue_item *it);
/* Into the state that it->state and it->due say: ready, delayed or buried; it is the queue's from now on. */
void trp_queue_link(struct trp_queue *q, struct trp_queue_item *it);
/* Out of its state (not for what is in hand). It is to be linked again or forgotten. */
void trp_queue_unlink(struct trp_queue *q, struct trp_queue_item *it);
/* The end of an item that was never linked, or is no more. */
void trp_queue_forget(struct trp_queues *s, struct trp_queue_item *it);

/* The queue may have something to give to somebody. */
void trp_queue_touch(struct trp_queue *q);

/* ---- consumers (queue_consumer.c) ---- */

/* The end of an event: all that is touched gives away what it can. */
void trp_queues_settle(struct trp_queues *s, struct trp_when now);
/* The consumer's timer went off. True: something was due. */
bool trp_consumer_fire(struct trp_consumer *c, struct trp_when now);
/* Out of the hand of its holder; it is in no state then. */
void trp_consumer_unhold(struct trp_queue_item *it);
/* What it holds or wants has changed. */
void trp_consumer_reorder(struct trp_consumer *c);
/* Its queue is going: it has nothing any more. */
void trp_consumer_end(struct trp_consumer *c);

/* ---- what can't be worked on (queue_dead.c) ---- */

/* In no state: too old, one too many, or dead for that reason (text: a reason of its own, or none). */
void trp_queue_expire(struct trp_queue *q, struct trp_queue_item *it, struct trp_when now);
void trp_queue_overflow(struct trp_queue *q, struct trp_queue_item *it, struct trp_when now);
void trp_queue_die(struct trp_queue *q, struct trp_queue_item *it, enum trp_queue_reason reason, struct trp_slice text,
                   struct trp_when now);
/* Why it would die now if it came back from a hand; NONE: it may live. */
enum trp_queue_reason trp_queue_verdict(const struct trp_queue *q, const struct trp_queue_item *it);
/* It was in a hand, and is in no state: back to where it belongs. */
void trp_queue_come_back(struct trp_queue *q, struct trp_queue_item *it, struct trp_when now);

/* ---- the set (queue_set.c) ---- */

/* A queue with that configuration, which is resolved and not there yet. In no list. NULL: no memory. */
struct trp_queue *trp_queue_new(struct trp_queues *s, const struct trp_queue_config *config);
void trp_queue_free(struct trp_queue *q);
/* Room was made by trp_queue_new. */
void trp_queue_enlist(struct trp_queue *q);
/* All that it has, and itself, at once. */
void trp_queue_destroy(struct trp_queue *q);
/* trp_queues_declare for what is resolved already. */
TROUPE_NODISCARD troupe_status trp_queues_declare_resolved(struct trp_queues *s, const struct trp_queue_config *config,
                                                           struct trp_queue **q);
/* The end of a dedup id. */
void trp_queue_forget_id(struct trp_queue *q, struct trp_dedup_id *id);
/* The end of the oldest id is the queue's next deadline. */
void trp_queue_arm_ids(struct trp_queue *q);

/* ---- records (queue_log.c); all of them do nothing for a queue in memory ---- */

/* Appends all of the item, which may be in any state or is about to be. `was`: takes its place, 0: nothing. */
TROUPE_NODISCARD troupe_status trp_queue_log_put(struct trp_queue *q, struct trp_queue_item *it, struct trp_when now,
                                                 uint64_t was, struct trp_slice dedup, uint64_t *lsn);
/* The item is about to be ready, or delayed for so long, or buried. */
TROUPE_NODISCARD troupe_status trp_queue_log_state(struct trp_queue *q, const struct trp_queue_item *it, struct trp_when now,
                                                   uint64_t delay_ms, bool buried);
TROUPE_NODISCARD troupe_status trp_queue_log_done(struct trp_queue *q, const struct trp_queue_item *it, uint64_t *lsn);
TROUPE_NODISCARD troupe_status trp_queue_log_batch(struct trp_queue *q, const struct trp_queue_record_batch *b, uint64_t *lsn);
TROUPE_NODISCARD troupe_status trp_queue_log_declare(struct trp_queue *q, bool paused, bool must, uint64_t *lsn);
TROUPE_NODISCARD troupe_status trp_queue_log_delete(struct trp_queue *q, uint64_t *lsn);
/* An id whose message has just been logged lies in the log, too. */
void trp_queue_log_id(struct trp_queue *q, struct trp_dedup_id *id, const struct trp_queue_item *it, uint64_t lsn);
/* A record that could not be made is counted where the event can't be refused any more. */
static inline void trp_queue_unrecorded(struct trp_queue *q, troupe_status st) {
    q->totals.unrecorded += st != TROUPE_OK;
}

/* Replay's books, while there is a replay. */
void trp_queues_unindex(struct trp_queues *s, const struct trp_queue_item *it);

/* ---- emptying (queue_sweep.c) ---- */

/* All that is in it but in hands, and its ids, without a word. */
void trp_queue_empty(struct trp_queue *q);
/* The same for one that is in no list and has no consumers any more, in steps; at the end it is freed. */
void trp_queue_bury_remains(struct trp_queue *q);
/* The next step of those, at most so many messages; true: there is more to do. */
bool trp_queues_sweep(struct trp_queues *s, size_t most);

/* ---- views (queue_view.c, queue_look.c) ---- */

/* The look stands on it, and it is about to leave its place. */
void trp_queue_look_past(struct trp_queue *q, struct trp_queue_look *l, struct trp_queue_item *it);
/* It is about to leave its place. */
static inline void trp_queue_look_leave(struct trp_queue *q, struct trp_queue_item *it) {
    for (uint32_t i = 0; i < q->n_looks; i++) {
        if (it == q->looks[i].walk.list || it == q->looks[i].walk.tree)
            trp_queue_look_past(q, &q->looks[i], it);
    }
}
/* Where the last look stands; NULL: at the end. */
static inline struct trp_queue_item *trp_queue_look_here(const struct trp_queue *q) {
    return trp_queue_walk_here(&q->looks[0].walk);
}

void trp_queue_view(const struct trp_queue *q, const struct trp_queue_item *it, struct trp_queue_message *m);

#endif
