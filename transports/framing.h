/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * SP framing, the mapping that nng and nanomsg speak: an 8-byte greeting each way, then frames. Pure: bytes in,
 * events out; no socket, no clock.
 *
 *     tcp:  00 'S' 'P' 00 pp pp 00 00 | length (8, big endian) body | ...
 *     ipc:  00 'S' 'P' 00 pp pp 00 00 | 01 length (8, big endian) body | ...
 *
 * The reader hands out frames that lie whole inside the caller's bytes without copying them; only a frame that is
 * cut by the end of a read is gathered in a buffer, which grows with the bytes that really came, never from the
 * claimed length. */
#ifndef TRP_FRAMING_H
#define TRP_FRAMING_H

#include "transports/buf.h"

enum trp_framing { TRP_FRAMING_TCP, TRP_FRAMING_IPC };

/* SP protocol numbers. */
enum trp_sp {
    TRP_SP_PAIR0 = 0x10,
    TRP_SP_PAIR1 = 0x11,
    TRP_SP_REQ0 = 0x30,
    TRP_SP_REP0 = 0x31,
    TRP_SP_PUSH0 = 0x50,
    TRP_SP_PULL0 = 0x51,
};

enum {
    TRP_GREETING_SIZE = 8,
    TRP_FRAME_HEAD_MAX = 9,
    TRP_FRAME_SOFT = 64 * 1024, /* a frame of several envelopes is ended when it would grow past this */
};

void trp_greeting_write(uint8_t out[TRP_GREETING_SIZE], uint16_t protocol);
/* The head of a frame whose body has n bytes, written at p; returns the byte behind (8 or 9 bytes). */
uint8_t *trp_frame_head(uint8_t *p, enum trp_framing kind, uint64_t n);
static inline size_t trp_frame_head_size(enum trp_framing kind) {
    return kind == TRP_FRAMING_IPC ? 9 : 8;
}

struct trp_deframer {
    enum trp_framing kind;
    bool greeted;
    size_t limit;        /* the largest body accepted */
    struct trp_buf part; /* a cut greeting, head or frame: its head and the bytes of its body so far */
    bool handed;         /* the last frame handed out lies in part: clear it at the next call */
};

enum trp_frame_event {
    TRP_FRAME_MORE,     /* all bytes are used, nothing is complete */
    TRP_FRAME_GREETING, /* protocol is set */
    TRP_FRAME_BODY,     /* body is set; valid until the next call, or until the caller's bytes go */
};

void trp_deframer_init(struct trp_deframer *d, enum trp_framing kind, size_t limit);
void trp_deframer_fini(struct trp_deframer *d);
/* The largest body accepted from now on. */
void trp_deframer_limit(struct trp_deframer *d, size_t limit);
/* Is something half done (a greeting or frame begun and not ended)? The caller puts a deadline on that. */
bool trp_deframer_partial(const struct trp_deframer *d);

/* Takes bytes from *p .. end, moves *p behind what it used, and gives at most one event. Call until TRP_FRAME_MORE.
 * Faults, with a static sentence in *why: PROTOCOL (no SP greeting, ipc's first byte not 01), TOO_BIG (the claimed
 * length is over the limit: said before any of the body is taken), NO_MEMORY. After a fault the deframer is dead. */
TROUPE_NODISCARD troupe_status trp_deframer_next(struct trp_deframer *d, const uint8_t **p, const uint8_t *end,
                                                 enum trp_frame_event *ev, uint16_t *protocol, struct trp_slice *body,
                                                 const char **why);

#endif
