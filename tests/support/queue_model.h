/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Queues as plainly as they can be written: arrays, searched from end to end, nothing kept that can be looked for. It
 * says what it does in a line of text, and queue_model_test.c compares that with what the real ones say.
 *
 *     c3=17*2^1/11!why@q(4,1,6)     consumer 3 gets message 17, for the second time, after a crash by signal 11, ...
 *     c3-17 lapsed    c3 empty    c3 ended
 *     MARK5 DECLARE:q DELETE PUT17<9 STATE17 DONE17,18 DEDUP:id        records
 *
 * After a restart it remembers of each durable message what was last written of it. */
#ifndef TESTS_QUEUE_MODEL_H
#define TESTS_QUEUE_MODEL_H

#include "broker/queue.h"

enum { MODEL_CONSUMERS = 12, MODEL_TRACE = 1 << 17, MODEL_NAME = 16 };

extern char model_trace[MODEL_TRACE];
extern struct trp_when model_now;
extern bool model_log_full;    /* the log takes nothing that need not be */
extern bool model_new_segment; /* one begins with the next record */
extern uint64_t model_segment;

void model_forget_trace(void);
void model_reset(void);

/* Queues go by name, consumers by their seat, messages by their number. */
troupe_status model_declare(const struct trp_queue_config *resolved, uint64_t *lsn);
bool model_has(const char *name);
troupe_status model_delete(const char *name, uint64_t *lsn);
troupe_status model_pause(const char *name, bool paused);
troupe_status model_purge(const char *name, bool all, uint64_t *count, uint64_t *lsn);
troupe_status model_retry(const char *name, uint64_t most, uint64_t *count);
troupe_status model_put(const char *name, const struct trp_queue_put *put, uint64_t *lsn);

void model_attach(const char *name, int seat, uint32_t credit);
bool model_attached(int seat);
troupe_status model_credit(int seat, uint32_t credit);
troupe_status model_pull(int seat, uint64_t deadline);
troupe_status model_ack(int seat, uint64_t seq, uint64_t *lsn);
troupe_status model_nack(int seat, uint64_t seq, uint64_t delay_ms);
troupe_status model_touch(int seat, uint64_t seq);
troupe_status model_bury(int seat, uint64_t seq, struct trp_slice reason);
void model_detach(int seat, enum trp_consumer_loss loss, int signal);
/* The n-th message in that hand; 0: there is none. */
uint64_t model_held(int seat, uint64_t n);

size_t model_tick(size_t most);
uint64_t model_next_deadline(void);
troupe_status model_rewrite(uint64_t segment, size_t most, bool *done);
void model_drop_segment(uint64_t segment);
void model_restart(void);

/* One line for each queue: all that is to be seen of it. */
void model_describe(char *out, size_t cap);

#endif
