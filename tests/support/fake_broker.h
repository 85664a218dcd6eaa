/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A broker for tests of the client side: small, obedient, and scripted where it must not be. It lives on a loop that
 * the test turns itself, or on a thread of its own (fake_thread) under a client that blocks.
 *
 * By itself it WELCOMEs a HELLO, answers SUB, UNSUB, PUB and PING, delivers what is published to the subscriptions of
 * all sessions (exact topics, and patterns that end in '>'), answers a request that nobody hears with NO_RESPONDERS, and
 * passes answers on by inbox. `hook` sees every envelope first and may take it over.
 *
 * The trace is what the sessions said, a line each: "HELLO name=test", "SUB 1 1 fib group=workers credit=1",
 * "PUB 2 fib -> _r.1.2 = 30". */
#ifndef TESTS_FAKE_BROKER_H
#define TESTS_FAKE_BROKER_H

#include <check.h>
#include <pthread.h>

#include "transports/envelope.h"
#include "transports/link.h"

struct fake_broker;
struct fake_session;

struct fake_sub {
    uint64_t sid;
    char pattern[256];
    bool tokens; /* deliveries are counted against a credit */
};

struct fake_session {
    struct fake_session *next;
    struct fake_broker *broker;
    struct trp_link *link;
    unsigned number; /* 1 is the first that ever came */
    struct fake_sub subs[16];
    unsigned n_subs;
};

/* True: it has dealt with the envelope. */
typedef bool fake_hook(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e);

struct fake_broker {
    struct trp_loop *loop;
    struct trp_listener *listener;
    struct fake_session *sessions; /* the newest first */
    unsigned accepted, frames;
    uint64_t token;
    uint16_t protocol; /* what it greets with; 0: PAIR0 */
    fake_hook *hook;
    void *ctx; /* the hook's */
    char url[128];
    struct trp_buf trace; /* ended by a zero byte that is not counted */
};

/* Listens on url ("tcp://127.0.0.1:0" for a free port; b->url says which). Fails the test when it can't. */
void fake_broker_open(struct fake_broker *b, struct trp_loop *loop, const char *url);
/* Closes the listener and all sessions; the loop has to turn for them to end. */
void fake_broker_close(struct fake_broker *b);
/* Stops listening, goes on with what is there; listens again on the same address. */
void fake_broker_deaf(struct fake_broker *b);
void fake_broker_listen(struct fake_broker *b);
/* Tears all sessions off. */
void fake_broker_cut(struct fake_broker *b);
const char *fake_trace(const struct fake_broker *b);

/* To one session; the buffer is given back. */
void fake_send(struct fake_session *s, struct trp_buf *b);
void fake_welcome(struct fake_session *s);
void fake_ok(struct fake_session *s, uint64_t id);
void fake_err(struct fake_session *s, uint64_t id, const char *code, const char *text);
void fake_close(struct fake_session *s, const char *code, const char *text);
void fake_msg(struct fake_session *s, uint64_t sid, uint64_t token, const char *topic, const char *reply, troupe_value v);
/* A hook: answers each request itself, with what it was asked. */
bool fake_answer(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e);

enum { FAKE_PATIENCE_S = 10 };

/* Turns a loop until it is so; `said` is what else helps to see why it never is. */
#define FAKE_UNTIL(loop, broker, said, condition)                                                                              \
    do {                                                                                                                       \
        uint64_t end_ = uv_hrtime() + FAKE_PATIENCE_S * UINT64_C(1000000000);                                                  \
        while (!(condition)) {                                                                                                 \
            ck_assert_msg(uv_hrtime() < end_, "never: %s\nclient:\n%s\nbroker:\n%s", #condition, said, fake_trace(broker));    \
            trp_loop_once(loop, 100);                                                                                          \
        }                                                                                                                      \
    } while (0)

/* --- on a thread --- */

struct fake_thread {
    struct fake_broker broker;
    pthread_t thread;
    struct trp_loop loop;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*job)(struct fake_broker *b, void *arg); /* (lock) to be done on the loop */
    void *job_arg;
    bool ready, stop;   /* (lock) */
    char seen[1 << 16]; /* (lock) the trace, or the end of it, after the last turn */
};

/* Starts it; hook and ctx as above. The address is t->broker.url. */
void fake_thread_start(struct fake_thread *t, const char *url, fake_hook *hook, void *ctx);
void fake_thread_stop(struct fake_thread *t);
/* Runs it on the loop, and returns when it has run. */
void fake_thread_do(struct fake_thread *t, void (*job)(struct fake_broker *b, void *arg), void *arg);
/* Waits until the trace has these words (for ten seconds, then the test fails). */
void fake_thread_saw(struct fake_thread *t, const char *words);

#endif
