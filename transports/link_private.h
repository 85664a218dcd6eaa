/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What the loop and the listener know of a link. */
#ifndef TRP_LINK_PRIVATE_H
#define TRP_LINK_PRIVATE_H

#include "transports/link.h"
#include "transports/transport.h"
#include <stdalign.h>

/*  state       next                        what happens in it
 *  DIALLING    GREETING CLOSED             the transport connects; output gathers
 *  GREETING    UP FLUSHING CLOSED          connected; the peer's greeting is awaited
 *  UP          FLUSHING CLOSED             frames go both ways
 *  FLUSHING    LINGERING CLOSED            closed by somebody: output leaves, input is thrown away
 *  LINGERING   CLOSED                      all is written and the end said; waits for the peer to say so too
 *  CLOSED                                  the handles are closing, then `down`, then freed */
enum trp_link_state {
    TRP_LINK_DIALLING,
    TRP_LINK_GREETING,
    TRP_LINK_UP,
    TRP_LINK_FLUSHING,
    TRP_LINK_LINGERING,
    TRP_LINK_CLOSED,
};

struct trp_link {
    struct trp_loop *loop;
    const struct trp_transport *transport;
    const struct trp_link_handler *handler; /* NULL: nobody hears of this link */
    void *user;

    struct trp_link *next_dirty, **dirty_at; /* the loop's list; dirty_at NULL: not in it */

    enum trp_link_state state;
    bool accepted; /* by a listener; else dialled */
    bool dialling; /* the transport holds a pointer to us until it says `done` */
    bool writing;  /* uv_write is out, with the chunks of `flight` */
    bool paused;
    bool ended;      /* the peer has said that nothing more comes */
    bool spoken;     /* some output was made: its last bytes are worth waiting for */
    bool greeted;    /* our greeting is in the output */
    bool late;       /* the deadline has passed, and counts in the next turn */
    bool failed;     /* inside a call: the loop ends it at the next flush */
    uint8_t handles; /* not closed yet */

    troupe_status status; /* why it ends; OK: it does not yet */
    const char *why;

    int64_t frame_ms;
    int64_t deadline;   /* of what the state waits for; INT64_MAX: nothing */
    int64_t timer_due;  /* when the timer fires; INT64_MAX: it is not running */
    size_t thrown_away; /* bytes read since it was closed */

    struct trp_deframer in;
    struct trp_outbox out;
    struct trp_chunk *flight;
    uv_write_t write;
    uv_timer_t timer;
    char peer[80];
    alignas(max_align_t) unsigned char handle[]; /* transport->handle_size */
};

static inline uv_stream_t *trp_link_stream(struct trp_link *l) {
    return (uv_stream_t *)l->handle;
}

/* A link with initialised handles, or NULL. trp_link_abandon is its end until it has come to life. */
struct trp_link *trp_link_new(struct trp_loop *loop, const struct trp_transport *t, const struct trp_link_opts *opts,
                              const struct trp_link_handler *handler);
void trp_link_abandon(struct trp_link *l);
/* The stream is open: asks `accept` whether to take it, and begins or abandons it. */
void trp_link_accepted(struct trp_link *l, trp_accept_fn *accept, void *ctx, const struct trp_link_opts *opts);

/* --- between link.c and link_output.c --- */

enum { TRP_THROWN_AWAY_MAX = 4 * 1024 * 1024 }; /* a peer that goes on talking to a closed link is waited for no longer */

/* Goes to the next state; asserts the table above. */
void trp_link_enter(struct trp_link *l, enum trp_link_state to);
/* Nobody has closed it and nothing has gone wrong: it takes output, and its input is listened to. */
bool trp_link_is_alive(const struct trp_link *l);
/* Why it will end. */
void trp_link_note(struct trp_link *l, troupe_status st, const char *why);
void trp_link_note_uv(struct trp_link *l, int err);
/* Ends it at once. */
void trp_link_finish(struct trp_link *l);
/* Notes why, and lets the flush at the end of the turn end it: for calls, in which no handler may run. */
void trp_link_fail(struct trp_link *l, troupe_status st, const char *why);
/* False: no memory. */
bool trp_link_put_greeting(struct trp_link *l, uint16_t protocol);
/* Puts it on the loop's dirty list; takes it off. */
void trp_link_soil(struct trp_link *l);
void trp_link_clean(struct trp_link *l);

/* The loop's, for what trp_link_clean gave it: gives its output to the kernel, or ends it if it has failed. */
void trp_link_flush(struct trp_link *l);

#endif
