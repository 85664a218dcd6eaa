/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Queues of a broker, from inside an actor: <troupe/queue.h> for bodies of every kind. What waits here parks the actor alone.
 *
 *     static void worker(troupe_self *self, void *arg) {
 *         troupe_msg *task;
 *         if (troupe_consume(self, "task", 16) != TROUPE_OK)
 *             return;
 *         while (troupe_receive(self, TROUPE_FOREVER, &task) == TROUPE_OK) {
 *             troupe_value result = work_on(troupe_msg_value(task));
 *             if (troupe_ack_with(self, &task, "result", result, NULL) != TROUPE_OK)
 *                 troupe_msg_free(&task);                              // it goes back, and comes again
 *         }
 *     }
 *
 * A message of a queue is in hand until it is acknowledged (troupe_ack, troupe_ack_with, or an answer to it). Freed without, it
 * goes back to its queue at once; so does what an actor holds when its body returns, when its process dies, or longer than the
 * queue's ack time-out. Every message is handled at least once; it may come again (troupe_msg_deliveries above 1).
 *
 *     queue --credit--> mailbox --troupe_receive--> in hand --ack, answer-----------> gone
 *        ^                                            | `-----ack_with--> put under way --confirmed--> gone
 *        `-------------- nack, free, end of the body -+------- not confirmed ------'
 *
 * A row of messages that wait in the mailbox is acknowledged together: an actor with a thread or a process of its own writes
 * what it has said when its mailbox is empty, or after 100 us. Who mixes short and long work takes one message at a time
 * (credit 1).
 *
 * Statuses that all can return: CLOSED (this actor was killed) and the faults INVALID and NO_MEMORY. Those that open the
 * connection also BAD_URL. */
#ifndef TROUPE_ACTOR_QUEUE_H
#define TROUPE_ACTOR_QUEUE_H

#include <troupe/actor.h>
#include <troupe/queue.h>

/* --- taking --- */

/* Messages of the queue come to troupe_receive, at most `credit` in hand or in the mailbox (1 to 65,535); whatever the
 * mailbox's bounds, for the credit bounds them. Waits for the broker's receipt, 5,000 ms at most. NOT_FOUND: no such queue;
 * REFUSED: the broker said no (its reason is logged). DISCONNECTED: no connection in that time; it is kept, and made when the
 * connection is there. Renewed at reconnects; when the queue is not there (any more) troupe_receive says NOT_FOUND, once.
 * Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_consume(troupe_self *self, const char *queue, uint32_t credit);
/* No more of them. What is in the mailbox already still comes, and what is in hand may be settled. NOT_FOUND: it does not
 * consume that queue. Context: self; does not park. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_consume_stop(troupe_self *self, const char *queue);

/* The next message of the queue, given, without consuming it. TIMEOUT: there was none; NOT_FOUND: no such queue; DISCONNECTED:
 * no connection in that time; CLOSED: also when this actor was asked to close. Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_get(troupe_self *self, const char *queue, int64_t timeout_ms,
                                                     troupe_msg **out);

/* --- settling --- */

/* Done with it: it will not come again. Frees it. NOT_FOUND: it is not from a queue, and is still yours. DISCONNECTED: it came
 * by a connection that is gone and will come again; freed all the same. Context: self; does not park. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_ack(troupe_self *self, troupe_msg **m);
/* Somebody else shall have it, not before delay_ms. Also for a message of a group that is counted against a credit, without
 * delay. Otherwise as troupe_ack. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_nack(troupe_self *self, troupe_msg **m, int64_t delay_ms);
/* It makes no sense: to the dead-letter queue, with this reason (255 bytes at most; NULL: none). As troupe_ack. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_bury(troupe_self *self, troupe_msg **m, const char *reason);
/* Still at it: the ack time-out begins again. NOT_FOUND: it is not ours any more, or not from a queue; DISCONNECTED; TIMEOUT
 * (5,000 ms). Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_touch(troupe_self *self, troupe_msg *m);

/* --- putting --- */

/* Puts, and waits for the confirmation; *level (may be NULL) is what it is worth. opts NULL: all defaults. FULL: the queue, or
 * the disk; NOT_FOUND: no such queue; REFUSED (a level it can't give); DISCONNECTED: no connection in time, or lost under way;
 * TIMEOUT (opts' timeout_ms, 0: 5,000): in both it is unknown whether it was done, which an id makes harmless: put again.
 * TOO_BIG. Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_put(troupe_self *self, const char *queue, troupe_value v,
                                                     const troupe_put_opts *opts, troupe_level *level);

/* Many at a time: sends without waiting for the confirmation, for which see troupe_put_wait. DISCONNECTED, TOO_BIG: nothing was
 * sent. Context: self; parks while there is no connection (opts' timeout_ms, 0: 5,000), while too much is unsent, or 16,384 are
 * not confirmed. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_submit(troupe_self *self, const char *queue, troupe_value v,
                                                        const troupe_put_opts *opts);

/* What came of the message *m: puts it as troupe_submit does, and acknowledges *m when the broker has confirmed that, so that
 * neither a crash here nor one there loses both. Not confirmed: *m goes back to its queue, after a second unless the connection
 * was lost, and the work is done again; with an id in opts (the one of the task, say) its result is kept once all the same.
 * With OK the message is taken; else it is still yours. NOT_FOUND: it is not from a queue. Context: as troupe_submit. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_ack_with(troupe_self *self, troupe_msg **m, const char *queue, troupe_value v,
                                                          const troupe_put_opts *opts);

/* Waits until all that was put by submit and ack_with is confirmed, or not: OK, or how the first that was not ended since the
 * last call (FULL, NOT_FOUND, REFUSED, DISCONNECTED). TIMEOUT: some are still under way. The end of a body waits for them, too,
 * 1,000 ms at most and not if it was killed. Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_put_wait(troupe_self *self, int64_t timeout_ms);

#endif
