/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A link is one connection that carries SP frames, on a libuv loop, whatever the transport. A listener makes links
 * from accepted connections, trp_link_dial makes one to an address.
 *
 *     dialling -> greeting -> up -> closing -> closed
 *
 * A link calls its handler and is told what to send; it knows nothing of envelopes. A frame's body is one or more
 * envelopes: bytes appended between two flushes travel in one frame (until TRP_FRAME_SOFT), one write a turn.
 *
 * Context: everything here on the loop's thread; nothing blocks (but trp_listen, while it looks up a name). No handler
 * is called from inside a call into the link: they all come from the loop, and close and send may be called from every
 * one of them, on any link. */
#ifndef TRP_LINK_H
#define TRP_LINK_H

#include "transports/framing.h"
#include "transports/loop.h"
#include "transports/url.h"

enum {
    TRP_FLUSH_AT = 256 * 1024, /* a link that has gathered so much is written in the midst of the turn */
    TRP_FLIGHT = 256 * 1024,   /* so much, or one larger blob, is with the loop's writer when the kernel takes no more */
};

struct trp_link;
struct trp_listener;
struct trp_transport;

/* Who hears of a link. `user` is the link's user pointer (trp_link_user). */
struct trp_link_handler {
    /* The greetings are done; `protocol` is the peer's number. A listener's link has not answered the greeting yet:
     * the handler calls trp_link_greet with the number to answer, or trp_link_close, before it returns. (A dialler has
     * greeted first.) */
    void (*up)(void *user, struct trp_link *l, uint16_t protocol);
    /* One whole frame. The bytes are borrowed until it returns. */
    void (*frame)(void *user, struct trp_link *l, struct trp_slice body);
    /* Exactly once, the last call: the connection is gone, by us or by the peer, or never came up. Status CLOSED: an
     * orderly end; DISCONNECTED: torn off; TRUNCATED: ended inside a frame; TIMEOUT: a deadline passed; others as
     * found. `why` is a sentence, borrowed. The link is freed when this returns. */
    void (*down)(void *user, struct trp_link *l, troupe_status st, const char *why);
    /* Optional: pending output fell to zero after having been handed to the loop's writer. */
    void (*drained)(void *user, struct trp_link *l);
    /* Optional, listeners' links: the peer broke the framing or a deadline (the sentence is in why); called before
     * the link closes by itself, so that a last frame may be written (after trp_link_greet, when it never came up).
     * `down` follows with the same status and sentence. */
    void (*broken)(void *user, struct trp_link *l, troupe_status st, const char *why);
};

struct trp_link_opts {
    size_t max_frame;    /* largest body taken; 0: 1 MiB + 1 KiB (a 1 MiB payload and its envelope) */
    int64_t greeting_ms; /* deadline of dial and greeting together; 0: 10,000 */
    int64_t frame_ms;    /* deadline of a frame that has begun; 0: 30,000 */
    uint16_t protocol;   /* diallers: the number to greet with; 0: TRP_SP_PAIR0 */
};

/* --- making one --- */

/* `accept` is called for each connection: it returns the user pointer of the new link, or NULL to refuse it (the
 * connection is closed at once and no handler hears of it). */
typedef void *trp_accept_fn(void *ctx, struct trp_link *l);

/* Listens. Port 0 takes a free one: trp_listener_url tells which. An ipc path left behind by a dead process is taken
 * over; one on which somebody answers is ADDRESS_IN_USE. Faults: BAD_URL, ADDRESS_IN_USE, UNSUPPORTED (scheme),
 * SYSTEM; *why is a sentence in a static buffer per thread. */
TROUPE_NODISCARD troupe_status trp_listen(struct trp_listener **out, struct trp_loop *loop, const char *url,
                                          const struct trp_link_opts *opts, const struct trp_link_handler *handler,
                                          trp_accept_fn *accept, void *ctx, const char **why);
/* The address it is bound to, as a URL ("tcp://127.0.0.1:41234"); borrowed from the listener. */
const char *trp_listener_url(const struct trp_listener *s);
/* Stops accepting and frees itself; an ipc socket file is removed. Its links go on. */
void trp_listener_close(struct trp_listener **s);

/* Dials; the result comes as `up` or `down`. Names are resolved by libuv's pool; every address of a name is tried.
 * Faults at once: BAD_URL, UNSUPPORTED, NO_MEMORY, SYSTEM (then no handler is called). */
TROUPE_NODISCARD troupe_status trp_link_dial(struct trp_link **out, struct trp_loop *loop, const char *url,
                                             const struct trp_link_opts *opts, const struct trp_link_handler *handler,
                                             void *user, const char **why);

/* --- living with one --- */

void *trp_link_user(const struct trp_link *l);
/* "tcp://127.0.0.1:51234" of the far end, "ipc://(pid 123, uid 0)" by SO_PEERCRED; what was dialled until that is
 * known. Borrowed until `down` returns. */
const char *trp_link_peer(struct trp_link *l);

/* Listeners' links, from `up`: answer the greeting with this number. Frames follow only after it. */
void trp_link_greet(struct trp_link *l, uint16_t protocol);
/* The largest body taken from now on: who is known may say more than who is not. */
void trp_link_limit(struct trp_link *l, size_t max_frame);
/* Bytes put at the start of every frame from now on that trp_link_begin does not begin (PAIR1's hop header). */
void trp_link_prefix(struct trp_link *l, const void *p, size_t n); /* n <= 8 */

/* Room for n bytes of whole envelopes in the open frame (a frame is opened, or ended and a new one opened, as
 * needed). Write them, then commit how many, before any other call into the link. A dialler may send before `up`.
 * NULL: the link is closing, and the bytes would go nowhere; or no memory, and it closes itself at the end of the
 * turn. */
uint8_t *trp_link_reserve(struct trp_link *l, size_t n);
void trp_link_commit(struct trp_link *l, size_t n);
/* The same from ready bytes. */
void trp_link_send(struct trp_link *l, const void *p, size_t n);
/* Head bytes, then the blob's bytes [off, off+n) by reference: they are not copied, the link holds a reference until
 * they are written. Worth it from some 16 KiB on. */
void trp_link_send_blob(struct trp_link *l, const void *head, size_t head_n, struct trp_blob *b, size_t off, size_t n);
/* Ends the open frame and begins one with this prefix of its own (REP0's request id). Ended by trp_link_end, in the
 * same handler. A frame with nothing but its prefix is not sent. */
void trp_link_begin(struct trp_link *l, const void *prefix, size_t n);
void trp_link_end(struct trp_link *l);

/* Bytes accepted and not yet taken by the kernel. */
size_t trp_link_pending(const struct trp_link *l);
/* Stop and go on reading (back-pressure). Frames that were read already, at most TRP_READ_CHUNK bytes of them, still
 * come. */
void trp_link_pause(struct trp_link *l, bool pause);
/* Drops all output that has not begun to leave (whole frames only; a frame partly written stays whole). For a peer
 * that does not read, before its last words. What stays is at most TRP_FLIGHT, which the loop's writer holds. */
void trp_link_discard(struct trp_link *l);
/* Ends it; no frame comes any more. flush_ms > 0: what is pending is written first and the peer is given the time to
 * read it, for that long at most in all; 0, or still dialling: at once. `down` follows, from the loop. Calling it
 * again is harmless; with 0 it cuts a flush short. */
void trp_link_close(struct trp_link *l, int64_t flush_ms);

#endif
