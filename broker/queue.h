/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Queues, pure: a queue keeps each message until one consumer has acknowledged it. As in core.h an event and the time
 * go in and effects come out into a sink; no socket, no file, no clock, no thread, no log in here.
 *
 *        put                          put with delay
 *         |                                |
 *         v        the delay is over       v
 *      [ready] <----------------------- [delayed]
 *       |   ^                              ^
 *       |   '------------------------.     |
 *       | deliver                    |     |
 *       v                            |     |
 *      [in hand] --- ack --> gone    |     |
 *       |  |  '----- nack, ack time-out, consumer lost
 *       |  '--------------------------------'  nack with a delay
 *       |
 *       | delivered too often, consumers crashed too often, bury      ready or delayed: ttl is over; overflow
 *       v                                                                  |
 *      the dead-letter queue, [ready] there <------------------------------'
 *      or gone, if there is none; or [buried] here while that queue can't take it
 *
 * What it promises, each with a test:
 *
 *   - ready messages go out by priority (0 first, 9 last), within a priority in the order they were put; what comes back
 *     from a hand or a delay takes its old place. The consumer served is the one that has least in hand, among equals
 *     the longest idle; a pull counts as a consumer that wants one;
 *   - never more than `credit` in a hand, nor one more pushed to a hand that has max_hand bytes; and after every event nothing
 *     is ready while somebody could be given it
 *     (unless the queue is paused, or what stands before it has expired in such numbers that the next tick goes on);
 *   - an ack counts for the delivery it names: after a time-out the old token is refused, whoever has the message now;
 *   - a message is never lost without being counted: `put` is acked, dropped, purged, dead or still here;
 *   - delays, ttl and ack time-outs run on the monotonic clock, so a jump of the wall clock moves none of them. What must
 *     survive a restart is written as wall-clock time and remaining time; after a restart a delay is never longer than
 *     what was left of it when it was written;
 *   - no call leaves anything half done: if it says NO_MEMORY, FULL or AGAIN, nothing has changed.
 *
 * A ttl runs while a message waits (ready or delayed). In a hand it is not looked at; what comes back too late expires
 * then. What lies in a dead-letter queue begins a new life there, with that queue's ttl and counts, and keeps the
 * evidence of its death (struct trp_death).
 *
 * Durability is by effects: each change of a durable queue is a record that the owner appends to a log (journal.h) and
 * gives back through trp_queues_apply after a restart. What was in a hand is then ready again.
 *
 * Not thread-safe: one thread, the loop's. Sink functions must not call back in here, but for trp_queues_catalog. */
#ifndef TRP_BROKER_QUEUE_H
#define TRP_BROKER_QUEUE_H

#include "transports/buf.h"

struct trp_queues;
struct trp_queue;
struct trp_consumer;

#define TRP_QUEUE_NEVER UINT64_MAX

enum {
    TRP_QUEUE_PRIORITIES = 10,
    TRP_QUEUE_PRIORITY = 4, /* what a put without one should get */
    TRP_QUEUE_PATTERNS_MAX = 64,
    TRP_QUEUE_TEXT_MAX = 255, /* bytes of a dedup id, of a reason, of a name */
    TRP_QUEUE_CREDIT_MAX = 65535,
};

/* The time of an event. Monotonic nanoseconds never go back; wall-clock milliseconds may. */
struct trp_when {
    uint64_t mono_ns, wall_ms;
};

/* ---- what there is to see ---- */

enum trp_queue_state {
    TRP_QUEUE_READY,
    TRP_QUEUE_HELD, /* in a hand */
    TRP_QUEUE_DELAYED,
    TRP_QUEUE_BURIED,
    TRP_QUEUE_STATES,
};

/* How a message came into a dead-letter queue: from which queue, why ("expired", "overflow", "max_deliveries",
 * "crashed", or what the consumer said), and what had happened to it there. */
struct trp_death {
    struct trp_slice queue, reason; /* queue.n == 0: it is no dead letter; reason alone: it is buried */
    uint32_t deliveries, crashes;
    int signal; /* of the last crash; 0: none, or no signal */
};

/* A message as delivered or peeked at. All slices are borrowed until the function returns (peek: until the next call). */
struct trp_queue_message {
    struct trp_slice raw;
    struct trp_blob *blob; /* set when raw lies in shared bytes that may be referenced */
    struct trp_slice queue;
    uint64_t seq; /* its number: grows with each message of the set, kept over restarts */
    unsigned priority;
    uint64_t first_seen_ms; /* wall clock */
    uint32_t deliveries;    /* how often it was given to somebody; a delivery counts itself */
    uint32_t crashes;       /* consumers that crashed with it in hand */
    int signal;             /* of the last such crash */
    struct trp_death death;
    enum trp_queue_state state;
    uint64_t due_ns;     /* delayed: until; in hand: its ack time-out. Monotonic, or NEVER */
    uint64_t expires_ns; /* monotonic, or NEVER */
    void *user;          /* in hand: the consumer's */
};

/* Effects. `user` is what trp_queue_attach was given. */
struct trp_queue_sink {
    void (*deliver)(void *ctx, void *user, uint64_t token, const struct trp_queue_message *m);
    /* A delivery is not theirs any more: its ack time-out passed, or it was purged. An ack of it will be NOT_FOUND. */
    void (*lapsed)(void *ctx, void *user, uint64_t token);
    /* A pull's deadline passed and there was nothing. */
    void (*empty)(void *ctx, void *user);
    /* The queue was deleted. All of the consumer's deliveries are void; it is to be detached, and is CLOSED until then. */
    void (*ended)(void *ctx, void *user);
    /* Append `head` and `body` (which may be empty) as one record; says its position and segment as trp_journal_append
     * does: FULL, AGAIN (never to `must`), NO_MEMORY. May call trp_queues_catalog, when it begins a segment, before the
     * record is placed. Segments are numbered from 1. NULL: no queue can be durable. */
    troupe_status (*record)(void *ctx, struct trp_slice head, struct trp_slice body, bool must, uint64_t *lsn,
                            uint64_t *segment);
};

/* Since it was declared, or since the restart. put + came = acked + dropped + purged + left + what is in it. */
struct trp_queue_totals {
    uint64_t put, came;                    /* came: from another queue, or over a restart */
    uint64_t acked, dropped, purged, left; /* left: for another queue */
    uint64_t duplicates, refused, delivered, nacked;
    uint64_t stale;                     /* acks and the like of what is not in that hand */
    uint64_t returned, lapsed, crashed; /* came back from a hand; for its time was over; for its holder crashed */
    uint64_t expired, overflowed, dead, buried, retried; /* retried: got another life */
    uint64_t unrecorded; /* records that memory was lacking for: a restart would know an older state of those messages */
};

struct trp_queue_stat {
    uint64_t messages[TRP_QUEUE_STATES], bytes; /* bytes of all */
    uint64_t oldest_ms;                         /* age of the oldest ready message; 0: none */
    uint64_t consumers, pulls;                  /* attached; waiting for one message */
    uint64_t dedup_ids;
    bool paused;
    struct trp_queue_totals totals;
};

/* ---- the set of queues ---- */

struct trp_queues_opts {
    uint32_t max_queues; /* 0: 10,000 */
    uint64_t max_hand;   /* bytes in one hand, 256 a message beside its own; 0: no bound */
    uint64_t seed;       /* of the hash tables (collision attacks) */
};

TROUPE_NODISCARD troupe_status trp_queues_new(struct trp_queues **out, const struct trp_queues_opts *opts,
                                              const struct trp_queue_sink *sink, void *ctx);
/* All consumers have been detached. No effects. Accepts NULL. */
void trp_queues_free(struct trp_queues *s);

/* The first queue, in the order of their declaration, or the one behind q; NULL: none. */
struct trp_queue *trp_queues_next(const struct trp_queues *s, const struct trp_queue *q);
/* NULL: no such queue. A queue is there until it is deleted. */
struct trp_queue *trp_queues_find(const struct trp_queues *s, struct trp_slice name);

/* Puts are CLOSED from now on, and nothing is delivered any more: what a consumer would make of it could not be put. All else
 * goes on. */
void trp_queues_drain(struct trp_queues *s);

/* Does what the time asks for, in the order it fell due, at most so many events; says how many. If it is `most`, more may be
 * due. Then a step of emptying what was deleted. */
size_t trp_queues_tick(struct trp_queues *s, struct trp_when now, size_t most);
/* When to tick next (monotonic; may be early), or NEVER. */
uint64_t trp_queues_next_deadline(const struct trp_queues *s);

/* ---- a queue ---- */

enum trp_queue_overflow {
    TRP_QUEUE_REJECT_NEW,
    TRP_QUEUE_DROP_OLDEST, /* of the ready ones; FULL when there is not enough of them */
};

struct trp_queue_config {
    struct trp_slice name; /* a topic (topics.h) */
    bool durable;
    const struct trp_slice *patterns; /* kept for whoever routes */
    size_t n_patterns;
    uint64_t max_messages, max_bytes; /* all that it holds, in whatever state */
    enum trp_queue_overflow overflow;
    uint64_t ttl_ms;              /* of messages put without one; 0: for ever */
    uint64_t ack_timeout_ms;      /* 0: never */
    uint32_t max_deliveries;      /* dead with "max_deliveries" when the so-manieth fails; 0: never */
    uint32_t max_crashes;         /* dead with "crashed" when so many consumers crashed with it in hand; 0: never */
    struct trp_slice dead_letter; /* queue for the dead, made when it is needed; p NULL: NAME.dead; n 0: drop them */
    uint64_t dedup_ms;            /* for how long an id is remembered; 0: not at all */
};

/* What a declaration that says no more gets: in memory, 1,000,000 messages or 1 GiB, then reject; 30 s to acknowledge, 16
 * deliveries, 3 crashes, NAME.dead, 120 s of deduplication. A dead-letter queue made on demand is as durable and as large
 * as the queue that needs it, and has no ttl, limits of deliveries, deduplication or dead letters of its own. */
struct trp_queue_config trp_queue_config(struct trp_slice name);

/* Makes the queue, or finds it as it is declared. *lsn: the position of its declaration, 0 if it is not durable.
 * Otherwise *why is a sentence, borrowed until the next call ("max_messages is 100, not 200"). REFUSED: it is there, and
 * different; INVALID: the declaration makes no sense; UNSUPPORTED: durable, and the sink has no `record`; FULL: max_queues,
 * or the log; AGAIN, NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_queues_declare(struct trp_queues *s, const struct trp_queue_config *config,
                                                  struct trp_queue **q, uint64_t *lsn, const char **why);
/* With all that is in it; its consumers are `ended`. The memory of many messages comes back in steps, by tick. NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_queue_delete(struct trp_queue **q, uint64_t *lsn);

/* As declared, with nothing left to defaults. Borrowed from the queue. */
const struct trp_queue_config *trp_queue_config_of(const struct trp_queue *q);
/* For whoever routes to it. */
void trp_queue_set_user(struct trp_queue *q, void *user);
void *trp_queue_user(const struct trp_queue *q);
void trp_queue_stat(const struct trp_queue *q, struct trp_when now, struct trp_queue_stat *out);
/* Its number, which grows with each queue of the set, in the order of trp_queues_next. */
uint64_t trp_queue_number(const struct trp_queue *q);

/* Looking at messages one after the other: ready in the order they would go out, in hand by consumer and time, the others in
 * the order they came there. The place where a look ended is kept over events, for a few at a time; it passes over what leaves
 * its state. look_at: to the n-th, from 0; takes time in proportion to n. look: the one there; EMPTY: that was all.
 * look_on: to the next. */
void trp_queue_look_at(struct trp_queue *q, enum trp_queue_state state, uint64_t n);
TROUPE_NODISCARD troupe_status trp_queue_look(const struct trp_queue *q, struct trp_queue_message *m);
void trp_queue_look_on(struct trp_queue *q);
/* Has a look passed the one with that number last? Then it is gone on with. */
bool trp_queue_look_behind(struct trp_queue *q, enum trp_queue_state state, uint64_t number);
/* look_at and look. */
TROUPE_NODISCARD troupe_status trp_queue_peek(struct trp_queue *q, enum trp_queue_state state, uint64_t n,
                                              struct trp_queue_message *m);

/* Paused: nothing is delivered; all else goes on. A durable queue stays so over restarts. FULL, AGAIN, NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_queue_pause(struct trp_queue *q, struct trp_when now, bool paused);
struct trp_queue_purge {
    bool all;       /* also what is buried and in hand (`lapsed`) */
    uint64_t below; /* only messages with lower numbers */
    uint64_t most;  /* at most so many in this step */
};

/* Throws away what is ready and delayed. *count: how many, also on NO_MEMORY, when the rest is still there; fewer than `most`:
 * that was all. *lsn: as for an ack. */
TROUPE_NODISCARD troupe_status trp_queue_purge(struct trp_queue *q, struct trp_when now, const struct trp_queue_purge *p,
                                               uint64_t *count, uint64_t *lsn);
/* The number of the next message that is put. */
uint64_t trp_queues_next_number(const struct trp_queues *s);
/* Giving dead messages another life, in steps: those buried in q become ready, and those in q that died elsewhere go back to
 * where they came from (if that still is), in the order they would go out. Only what is there when it begins. */
struct trp_queue_retry {
    uint64_t left;          /* so many more may have another life */
    uint64_t ready, buried; /* so many more are to be looked at */
    uint64_t last;          /* the number of the last one that stayed where it was; 0: none has */
    unsigned priority;      /* of that one */
};

struct trp_queue_retry trp_queue_retry_begin(const struct trp_queue *q, uint64_t most);
static inline bool trp_queue_retry_is_over(const struct trp_queue_retry *r) {
    return r->left == 0 || (r->ready == 0 && r->buried == 0);
}
/* One step, which looks at so many messages at most. *count: how many have another life, also when it
 * ends early: FULL (where one came from, or the log), AGAIN, NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_queue_retry(struct trp_queue *q, struct trp_when now, struct trp_queue_retry *r,
                                               uint64_t looks, uint64_t *count);

struct trp_queue_put {
    struct trp_slice raw;   /* the message: anything, at least one byte */
    struct trp_blob *blob;  /* where raw lies in shared bytes; may be NULL */
    struct trp_slice dedup; /* n == 0: none */
    uint64_t delay_ms;
    uint64_t ttl_ms; /* 0: the queue's; NEVER: for ever */
    unsigned priority;
};

/* *lsn: what to wait for before it is confirmed, 0 if there is nothing to wait for. EXISTS: a message with that id was put
 * already; it is to be confirmed as if this had been it (*lsn is that one's). FULL: the queue or the log; AGAIN: the log.
 * CLOSED: draining. INVALID: empty, 4 GiB or more, no such priority, an id of more than TEXT_MAX bytes. NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_queue_put(struct trp_queue *q, struct trp_when now, const struct trp_queue_put *put,
                                             uint64_t *lsn);

/* ---- a consumer ---- */

/* Push: up to `credit` messages in hand at a time, sent as they come. Credit 0: one for each pull, or none.
 * More credit than CREDIT_MAX is taken for that. NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_queue_attach(struct trp_queue *q, struct trp_when now, uint32_t credit, void *user,
                                                struct trp_consumer **out);
TROUPE_NODISCARD troupe_status trp_consumer_credit(struct trp_consumer *c, struct trp_when now, uint32_t credit);
/* Wants one message (beyond its credit) until a monotonic deadline, after which it gets `empty`; at once if that is not in
 * the future and there is none. AGAIN: it waits for one already. FULL: CREDIT_MAX in hand. CLOSED: ended. NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_consumer_pull(struct trp_consumer *c, struct trp_when now, uint64_t deadline_ns);

/* For each of these NOT_FOUND says that this consumer does not have a delivery with that token (any more); CLOSED: ended;
 * NO_MEMORY: it still has it. *lsn as for put: the message can't come again once the log is that far. */
TROUPE_NODISCARD troupe_status trp_consumer_ack(struct trp_consumer *c, struct trp_when now, uint64_t token, uint64_t *lsn);
/* Give it to somebody else, not before the delay is over. */
TROUPE_NODISCARD troupe_status trp_consumer_nack(struct trp_consumer *c, struct trp_when now, uint64_t token,
                                                 uint64_t delay_ms);
/* It is being worked on: its ack time-out begins again. */
TROUPE_NODISCARD troupe_status trp_consumer_touch(struct trp_consumer *c, struct trp_when now, uint64_t token);
/* It makes no sense to anybody: to the dead-letter queue with that reason (cut at TEXT_MAX; empty: "buried"). */
TROUPE_NODISCARD troupe_status trp_consumer_bury(struct trp_consumer *c, struct trp_when now, uint64_t token,
                                                 struct trp_slice reason);

enum trp_consumer_loss {
    TRP_CONSUMER_LEFT,    /* it closed, or its connection broke */
    TRP_CONSUMER_CRASHED, /* its process died; what it had in hand is told so */
};

/* It is gone, and how is about to be told: what it has stays in its hand, on the old time-outs, until it is detached; it gets
 * nothing more, and effects name it NULL. False: it has nothing in hand, or no queue; detach it. */
TROUPE_NODISCARD bool trp_consumer_orphan(struct trp_consumer *c);
/* It is gone; what it had goes back. `signal`: what killed it, 0 if it was none or nobody knows. Sets *c to NULL; accepts NULL
 * in it. */
void trp_consumer_detach(struct trp_consumer **c, struct trp_when now, enum trp_consumer_loss loss, int signal);

/* ---- the log ----
 *
 * Records (queue_record.h) are of seven kinds. A message's records are PUT (all of it), then any number of STATE (it came
 * back from a hand) and PUT (it was copied forward, see rewrite), then DONE. The log's owner drops whole segments, oldest
 * first, each after all that lives in it was copied forward. So of a message's records some suffix is left:
 *
 *   - it begins with a PUT: the message is rebuilt from it;
 *   - it begins with a STATE: its PUT was dropped. It then had been copied forward or was done, so a PUT or DONE follows
 *     (the drop waits until that is synced); the STATE is passed over, which is exact since a PUT holds everything;
 *   - it is a DONE alone: it is passed over.
 *
 * Passed over is only what can be so: each segment begins with a MARK (see catalog) that holds the next number to be given
 * out, and a STATE or DONE of an unknown message numbered below the first MARK read is one of those. Any other is damage. */

/* Rebuilds the set from its records, in order, before anything else happens to it. *why: a static sentence. PROTOCOL: the
 * record makes no sense here. NO_MEMORY. After either the set is good for nothing but free. */
TROUPE_NODISCARD troupe_status trp_queues_apply(struct trp_queues *s, struct trp_when now, struct trp_slice record,
                                                uint64_t lsn, uint64_t segment, const char **why);
/* That was all. */
void trp_queues_recovered(struct trp_queues *s);

/* A segment begins: appends (`must`) the next number and the declarations of all durable queues. NO_MEMORY: the segment
 * lacks some and must not become the oldest. May be called from `record`. */
TROUPE_NODISCARD troupe_status trp_queues_catalog(struct trp_queues *s);
/* Copies forward what lives in segments up to this one, at most so many messages and dedup ids. *done: nothing is left in
 * them (they may be dropped). FULL, AGAIN, NO_MEMORY: as `record` said; go on later. */
TROUPE_NODISCARD troupe_status trp_queues_rewrite(struct trp_queues *s, struct trp_when now, uint64_t segment, size_t most,
                                                  bool *done);

#endif
