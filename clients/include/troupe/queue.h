/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Queues of a broker, from a client: a queue keeps each message until one consumer has acknowledged it.
 *
 *     troupe_queue_declare(c, "mail", &(troupe_queue_opts){.durable = true});
 *     troupe_queue_put(c, "mail", troupe_text("dear..."), NULL, NULL);           // returns when it is on disk
 *
 *     troupe_msg *m;
 *     while (troupe_queue_get(c, "mail", 1000, &m) == TROUPE_OK) {               // or consume, and troupe_client_receive
 *         send_it(troupe_msg_value(m));
 *         troupe_queue_ack(c, &m);
 *     }
 *
 * A message in hand that is freed without ack goes back at once (a nack); so does what was in hand when its consumer dies, or
 * longer than the queue's ack time-out. What failed too often goes to the dead-letter queue. Delivered at least once: a
 * message may come again (troupe_msg_deliveries above 1).
 *
 * A queue's name is a topic of at most 252 bytes.
 * Its own topic, to which whoever knows no queues may publish and subscribe, is "_q.NAME".
 *
 * All calls here: Context: owner thread; they block for the broker's answer, 5,000 ms at most where no time-out is given
 * (connecting included). Statuses that all can return: DISCONNECTED, TIMEOUT (it is unknown whether it was done), NOT_FOUND (no
 * such queue), REFUSED (troupe_client_why has a sentence), FULL (max_queued, see client.h),
 * and the faults INVALID, NO_MEMORY, TOO_BIG. */
#ifndef TROUPE_QUEUE_H
#define TROUPE_QUEUE_H

#include <troupe/client.h>

/* What a full queue does. */
typedef enum troupe_queue_overflow {
    TROUPE_QUEUE_REJECT,      /* puts are FULL */
    TROUPE_QUEUE_DROP_OLDEST, /* of what is ready, for dead letters if there is a queue for them */
} troupe_queue_overflow;

/* What a confirmation means. */
typedef enum troupe_level {
    TROUPE_LEVEL_DEFAULT, /* what the queue gives: synced if it is durable, else memory */
    TROUPE_LEVEL_MEMORY,  /* survives nothing */
    TROUPE_LEVEL_WRITTEN, /* survives the death of every process */
    TROUPE_LEVEL_SYNCED,  /* survives a power cut: fdatasync has returned */
} troupe_level;

/* Zero is the default everywhere; where zero means something, TROUPE_NONE says it. */
#define TROUPE_NONE UINT64_MAX

typedef struct troupe_queue_opts {
    bool durable;
    const char *const *bind;          /* topic patterns whose messages it keeps, too; NULL-terminated */
    uint64_t max_messages, max_bytes; /* 1,000,000; 1 GiB */
    troupe_queue_overflow overflow;
    uint64_t ttl_ms;          /* of messages put without one; for ever */
    uint64_t ack_timeout_ms;  /* 30,000; NONE: never */
    uint64_t max_deliveries;  /* 16; NONE: no limit */
    uint64_t max_crashes;     /* 3; NONE: no limit */
    const char *dead;         /* NAME.dead; "": what is dead is dropped */
    uint64_t dedup_window_ms; /* 120,000; NONE: no deduplication */
} troupe_queue_opts;

/* Makes the queue, or finds it as it is. REFUSED: it is there, and declared differently; why names the difference. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_declare(troupe_client *c, const char *queue,
                                                               const troupe_queue_opts *opts);
/* With all that is in it. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_delete(troupe_client *c, const char *queue);

typedef struct troupe_put_opts {
    int64_t delay_ms;
    int priority;         /* 1..10: priority + 1, so that zero is the default, 5 (priority 4). See TROUPE_PRIORITY */
    int64_t ttl_ms;       /* 0: the queue's */
    const char *id;       /* a message with the same id in the queue's window is not put again (but confirmed all the same) */
    troupe_level level;   /* what its confirmation is to mean. Less than the queue's comes sooner; more is REFUSED */
    int64_t timeout_ms;   /* for the connection and the confirmation; 0: 5,000 */
    troupe_value headers; /* a packed map; zero: none. Go with the message; those above are headers, too, and win */
} troupe_put_opts;
/* 0 is the most urgent, 9 the least. */
#define TROUPE_PRIORITY(p) ((p) + 1)

/* Puts, and waits for the confirmation; *level (may be NULL) is what it is worth. FULL: the queue, or the disk (why). BUSY: too
 * much waits for the disk. DISCONNECTED, TIMEOUT: it may have been put; put again with the same id it is there once. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_put(troupe_client *c, const char *queue, troupe_value payload,
                                                           const troupe_put_opts *opts, troupe_level *level);
/* Many at a time: sends without waiting and gives a number; troupe_client_collect gives the confirmations (OK and a NULL
 * message, or FULL, BUSY, NOT_FOUND, REFUSED, INVALID, DISCONNECTED). `more`: as in troupe_pub_opts. DISCONNECTED: not
 * connected; FULL: 65,536 are not collected yet. Does not block but for the kernel's buffer. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_submit(troupe_client *c, const char *queue, troupe_value payload,
                                                              const troupe_put_opts *opts, bool more, uint64_t *number);

/* The next message, given. The broker counts timeout_ms: TIMEOUT is its word that there was none (0: that there is none now),
 * or 5,000 ms more without a word. A connection that is lost meanwhile is made again, and the rest of the time waited there;
 * DISCONNECTED: not in time. CLOSED: the client has been drained. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_get(troupe_client *c, const char *queue, int64_t timeout_ms,
                                                           troupe_msg **out);
/* Messages come by themselves, to troupe_client_receive; at most `credit` in hand (1 to 65,535), those that receive has not
 * handed out yet included. Renewed at reconnects; if the queue is not there any more, receive says NOT_FOUND. Ended by
 * troupe_client_unsubscribe; what is here by then can still be received and acknowledged. out may be NULL. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_consume(troupe_client *c, const char *queue, uint32_t credit,
                                                               troupe_sub *out);

/* Done with it: it will not come again. Frees it and does not wait; written as answers are (troupe_client_reply). NOT_FOUND: it
 * is not from a queue, and still yours; so for all that settle. DISCONNECTED: it came by a connection that is gone, and will
 * come again; freed all the same. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_ack(troupe_client *c, troupe_msg **m);
/* The same, and waits until the broker has it on disk, timeout_ms at most. NOT_FOUND, and *m is NULL: it was somebody else's
 * already, after an ack time-out. TIMEOUT, DISCONNECTED: it may come again. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_ack_confirm(troupe_client *c, troupe_msg **m, int64_t timeout_ms);
/* Somebody else shall have it, not before delay_ms. Frees it and does not wait. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_nack(troupe_client *c, troupe_msg **m, int64_t delay_ms);
/* It makes no sense: to the dead-letter queue, with this reason (255 bytes of it; NULL: "buried"). Frees it, does not wait. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_bury(troupe_client *c, troupe_msg **m, const char *reason);
/* Still at it: the ack time-out begins again. NOT_FOUND: it is not ours any more. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_touch(troupe_client *c, troupe_msg *m);

/* How often it was delivered, this time included; 0: it is not from a queue. */
TROUPE_API uint32_t troupe_msg_deliveries(const troupe_msg *m);

/* What the broker knows: a map (stat), an array of maps (list: name NULL or "" is all, else a queue and those below it; as many
 * as one answer takes, behind the queue with the number `after`, 0: from the first; an empty one: that was all), a map (peek:
 * `state` ready, held, delayed or buried, NULL: ready; the at-th from 0; EMPTY: there are not so many). The answer is a message
 * like any other, given; read it with troupe_msg_json or troupe_msg_packed. PROTOCOL.md has the keys. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_stat(troupe_client *c, const char *queue, troupe_msg **out);
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_list(troupe_client *c, const char *queue, uint64_t after,
                                                            troupe_msg **out);
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_peek(troupe_client *c, const char *queue, const char *state, uint64_t at,
                                                            troupe_msg **out);
/* An array of at most `count` of them, as many as one answer takes, to page through a queue: `at` is how many were seen so far,
 * `after` the `seq` of the last of those (0 at first), with which the broker goes on where it was,
 * whatever came and went since. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_browse(troupe_client *c, const char *queue, const char *state,
                                                              uint64_t at, uint64_t after, uint64_t count, troupe_msg **out);

/* Throws away what is ready and delayed (`all`: also what is in hand and buried).
 * count, here and below: how many it were; may be NULL. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_purge(troupe_client *c, const char *queue, bool all, uint64_t *count);
/* Paused: takes puts and gives nothing. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_pause(troupe_client *c, const char *queue, bool paused);
/* Dead letters back to where they came from, and what is buried here back to work; most 0: all.
 * FULL: where one came from, before any went. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_queue_retry(troupe_client *c, const char *queue, uint64_t most,
                                                             uint64_t *count);

#endif
