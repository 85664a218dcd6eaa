/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A message as it was received: from the broker, or from another actor. Immutable.
 *
 * A message belongs to whoever received it, until troupe_msg_free. Everything read from it (topic, text, bytes)
 * borrows from it and ends with it. A message that the broker counts against a credit is acknowledged when it is
 * answered or freed, whichever comes first: as long as you hold it, you are working on it. One from a queue is acknowledged
 * when it is answered or by troupe_queue_ack alone; freed without, it goes back (<troupe/queue.h>).
 *
 *     troupe_msg *msg;
 *     if (troupe_client_receive(c, 1000, &msg) == TROUPE_OK) {
 *         troupe_value v = troupe_msg_value(msg);
 *         ...
 *         troupe_msg_free(&msg);
 *     } */
#ifndef TROUPE_MSG_H
#define TROUPE_MSG_H

#include <troupe/status.h>
#include <troupe/value.h>

typedef struct troupe_msg troupe_msg;

/* The topic, ended by a zero byte; "" for a message that was sent from actor to actor. Never NULL. */
TROUPE_API const char *troupe_msg_topic(const troupe_msg *m);

/* The payload. Text, bytes and packed values borrow from the message. */
TROUPE_API troupe_value troupe_msg_value(const troupe_msg *m);

/* Reads the payload as an integer. False: it is none, or out of range; *out is untouched. */
TROUPE_API bool troupe_msg_int(const troupe_msg *m, int64_t *out);

/* The payload as the msgpack bytes it came in; borrowed. */
TROUPE_API const void *troupe_msg_packed(const troupe_msg *m, size_t *size);

/* The payload as one line of JSON, ended by a zero byte; give it to free(3). NULL: no memory. */
TROUPE_API char *troupe_msg_json(const troupe_msg *m);

/* Does the sender wait for an answer? */
TROUPE_API bool troupe_msg_wants_reply(const troupe_msg *m);

/* An answer that is an error: its code ("NOT_A_NUMBER"), ended by a zero byte; the payload is the sentence. NULL: an
 * ordinary message. */
TROUPE_API const char *troupe_msg_error(const troupe_msg *m);

/* Reads a header. False: not there. A message from a queue has some that its sender did not write: "t-deliveries",
 * "t-first-seen" (milliseconds since 1970), "t-crashes" and "t-signal", and in a dead-letter queue "t-queue", "t-reason",
 * "t-died-deliveries", "t-died-crashes", "t-died-signal". */
TROUPE_API bool troupe_msg_header(const troupe_msg *m, const char *key, troupe_value *out);

/* Frees it, acknowledging it if that is still owed, and sets *m to NULL. Accepts NULL inside.
 * Context: the thread or actor that received it; never blocks. */
TROUPE_API void troupe_msg_free(troupe_msg **m);

#endif
