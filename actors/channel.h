/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The line between a process actor and the system that had it forked: frames over a socket pair, the same code at both
 * ends. Native byte order and layout, since both ends are the same program; lengths are checked all the same, since
 * one of them may have lost its mind.
 *
 * From the system, to the body's process:
 *     MSG     ref: who sent it; number: its question's number, or 0; body: the payload
 *     NOTE    number: its kind; body: the troupe_down
 *     CLOSE   nothing comes after what came before, but notes
 *     RESULT  op, status; ref: of a SPAWN, or what a TIE gives; error and body: the answer of an ASK; body: the troupe_exit of a JOIN
 * From the body's process:
 *     TAKEN   number: so many more MSG have been received by the body
 *     REPLY   ref, number: whose question; error; body: the payload
 *     SEND TRY_SEND ASK   op; ref: to whom; body: the payload
 *     SPAWN   op; body: struct trp_birth and the argument
 *     SHUT KILL JOIN      op; ref: whom
 *     TIE     op; number: what (tie.h); ref: the id; body: the name
 *     GIVEN   number: the code; body: the text: how the body says that it has ended
 *     CANCEL  op: no time is left for it; its RESULT is AGAIN, unless it has been done meanwhile
 * Each with an op is answered by one RESULT. */
#ifndef TRP_CHANNEL_H
#define TRP_CHANNEL_H

#include <troupe/actor.h>

#include "transports/loop.h"

enum trp_frame_type {
    TRP_FRAME_MSG = 1,
    TRP_FRAME_CLOSE,
    TRP_FRAME_RESULT,
    TRP_FRAME_TAKEN,
    TRP_FRAME_REPLY,
    TRP_FRAME_SEND,
    TRP_FRAME_TRY_SEND,
    TRP_FRAME_ASK,
    TRP_FRAME_SPAWN,
    TRP_FRAME_SHUT,
    TRP_FRAME_KILL,
    TRP_FRAME_JOIN,
    TRP_FRAME_CANCEL,
    TRP_FRAME_NOTE,
    TRP_FRAME_TIE,
    TRP_FRAME_GIVEN,
};

struct trp_frame {
    uint32_t size; /* of the body behind; set by trp_channel_put */
    uint16_t type;
    int16_t status;
    uint64_t op, ref, number;
    char error[32]; /* "" or a code, ended by a zero byte */
};

struct trp_channel_handler {
    /* A whole frame; the body is borrowed until it returns. May close the channel. False: it makes no sense, and the channel is
     * broken. */
    bool (*frame)(void *user, const struct trp_frame *f, struct trp_slice body);
    /* The other end is gone, or makes no sense; the last call. */
    void (*broken)(void *user);
    /* Output that had to wait has left. May be NULL. */
    void (*drained)(void *user);
};

struct trp_channel;

/* On this loop from now on; takes the descriptor, also on failure. NO_MEMORY, SYSTEM. Context: the loop's thread, for all of
 * these. */
TROUPE_NODISCARD troupe_status trp_channel_new(struct trp_channel **out, struct trp_loop *loop, int fd,
                                               const struct trp_channel_handler *handler, void *user);
/* Frees itself from the loop; calls nothing any more. Accepts NULL inside. */
void trp_channel_close(struct trp_channel **ch);

/* Appends a frame to what is to be written. NO_MEMORY, TOO_BIG (4 GiB). */
TROUPE_NODISCARD troupe_status trp_channel_put(struct trp_channel *ch, struct trp_frame f, struct trp_slice body);
/* Writes what the kernel takes; the rest leaves when it can. */
void trp_channel_flush(struct trp_channel *ch);
/* Writes all of it. For the end whose other end always reads. */
void trp_channel_flush_all(struct trp_channel *ch);
size_t trp_channel_pending(const struct trp_channel *ch);
/* Handles what is there already, without waiting. */
void trp_channel_read(struct trp_channel *ch);

#endif
