/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The line between a process actor and the system that had it forked: frames through a ring each way in shared memory
 * (shared.h), and a socket pair that wakes who sleeps in its loop and tells the death of the other. The same code at both
 * ends. Native byte order and layout, since both ends are the same program; lengths are checked all the same, since
 * one of them may have lost its mind.
 *
 * From the system, to the body's process:
 *     MSG         ref: who sent it; number: its question's number, or 0; op: bytes of its topic;
 *                 body: topic and a zero byte, if it has one; payload
 *     NOTE        number: its kind; body: the troupe_down
 *     CLOSE       nothing comes after what came before, but notes
 *     RESULT      op, status; ref: of a SPAWN, or what a TIE or SEND_AFTER gives; error and body: the answer of an ASK;
 *                 body: the troupe_exit of a JOIN
 *
 * From the body's process; each with an op is answered by one RESULT:
 *     REPLY       ref, number: whose question; error; body: the payload
 *     SEND TRY_SEND ASK
 *                 op, or 0 for a SEND whose RESULT nobody waits for; ref: to whom; body: the payload
 *     SPAWN       op; body: struct trp_birth and the argument
 *     SHUT KILL JOIN
 *                 op; ref: whom
 *     TIE         op; number: what (tie.h); ref: the id; body: the name
 *     SEND_AFTER  op; ref: to whom; number: milliseconds; body: the payload. The result's ref: its number
 *     UNSEND      op; number: of what is not to be sent after all
 *     GIVEN       number: the code; body: the text: how the body says that it has ended; status not 0: as one it was linked to
 *     LETTER      a message that it has lost; status: why; ref: who sent it; error: not empty, it was a question;
 *                 op: bytes of its topic; body: as MSG. With a number: so many have been lost, and nobody wanted to know more
 *     CANCEL      op: no time is left for it; its RESULT is AGAIN, unless it has been done meanwhile
 *
 * About lanes from process to process (lane.h), whose number is the lane's serial:
 *     LANE        from a body: ref: to whom it would like one. The answer: ref; status; number; op: the door there
 *     LANE_IN     from the system: one leads here; number; ref: from whom; op: the door there
 *     STRETCH     from a body: what it puts into the lane from now on comes after what it has sent through the system;
 *                 ref: to whom; number; op: the stretch. From the system, among the messages; ref: from whom
 *     LANE_OVER   from the system: the other end is gone; number. From a body: it touches it no more
 *     RING        from a body: ref: who sleeps where only the system can wake him, and is to be woken */
#ifndef TRP_CHANNEL_H
#define TRP_CHANNEL_H

#include <troupe/actor.h>

#include "actors/parcel.h"
#include "transports/loop.h"

enum trp_frame_type {
    TRP_FRAME_MSG = 1,
    TRP_FRAME_CLOSE,
    TRP_FRAME_RESULT,
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
    TRP_FRAME_SEND_AFTER,
    TRP_FRAME_UNSEND,
    TRP_FRAME_LETTER,
    TRP_FRAME_LANE,
    TRP_FRAME_LANE_IN,
    TRP_FRAME_STRETCH,
    TRP_FRAME_LANE_OVER,
    TRP_FRAME_RING,
};

struct trp_frame {
    uint32_t size; /* of the body behind; set by trp_channel_put */
    uint8_t type;
    uint8_t parcel; /* the body comes as a file (parcel.h); the channel's own */
    int16_t status;
    uint64_t op, ref, number;
    char error[32]; /* "" or a code, ended by a zero byte */
};

struct trp_channel_handler {
    /* A whole frame; the body is borrowed until it returns. May close the channel. False: it makes no sense, and the channel is
     * broken. Called by trp_channel_read. */
    bool (*frame)(void *user, const struct trp_frame *f, struct trp_slice body);
    /* The other end is gone (by the loop), or makes no sense (by trp_channel_read, which does nothing from then on). */
    void (*broken)(void *user);
    /* Frames are there and are about to be handled: what happened before any of them was sent can be seen by now. NULL: nobody
     * cares. By trp_channel_read. */
    void (*before)(void *user);
    /* Frames have been handled, and others may follow. NULL: nobody cares. By trp_channel_read. */
    void (*after)(void *user);
    /* The other end has woken this one: there may be frames to read, or room to write. By the loop. */
    void (*rung)(void *user);
};

struct trp_channel;

/* On this loop from now on; takes the descriptor and the mapping, also on failure. NO_MEMORY, SYSTEM. Context: the loop's
 * thread, and for close. */
TROUPE_NODISCARD troupe_status trp_channel_new(struct trp_channel **out, struct trp_loop *loop, int fd,
                                               struct trp_shared shared, enum trp_side side,
                                               const struct trp_channel_handler *handler, void *user);
/* Frees itself from the loop; calls nothing any more. Accepts NULL inside. */
void trp_channel_close(struct trp_channel **ch);
/* For a thread that sleeps on its word: the memory stays while there is a reference, also after close. */
struct trp_channel *trp_channel_ref(struct trp_channel *ch);
void trp_channel_unref(struct trp_channel *ch);

/* The words of the shared memory. */
struct trp_shared_words *trp_channel_words(const struct trp_channel *ch);

/* --- writing: one thread at a time --- */

/* Into the ring, or behind what waits for room there; a large body as a file. NO_MEMORY, TOO_BIG (4 GiB). */
TROUPE_NODISCARD troupe_status trp_channel_put(struct trp_channel *ch, struct trp_frame f, struct trp_slice body);
/* The same with a body in two parts. */
TROUPE_NODISCARD troupe_status trp_channel_put_parts(struct trp_channel *ch, struct trp_frame f, struct trp_slice head,
                                                     struct trp_slice body);
/* A checked value as the body, of so many bytes at most, packed where it is read. False: it is large, or there is no room now,
 * and nothing has happened. */
TROUPE_NODISCARD bool trp_channel_pack(struct trp_channel *ch, struct trp_frame f, troupe_value v, size_t most);
/* Moves what waits as far as there is room, and wakes the other end if it sleeps and there is something new for it. */
void trp_channel_flush(struct trp_channel *ch);
/* Until all is in the ring. For the body, whose other end always reads. */
void trp_channel_flush_all(struct trp_channel *ch);
/* Has room been made for what waits, since the last flush? */
bool trp_channel_roomy(const struct trp_channel *ch);
/* Bytes that wait for room. */
size_t trp_channel_pending(const struct trp_channel *ch);

/* --- reading: one thread at a time, which may be another one --- */

/* Handles the frames that are there, as much as a ring holds at most. */
void trp_channel_read(struct trp_channel *ch);
/* For the handler's `frame`: a message of its body's parts; takes a large body as it lies, at most once. NULL: no memory. */
struct troupe_msg *trp_channel_message(struct trp_channel *ch, struct trp_slice topic, struct trp_slice payload);
/* What has broken it: PROTOCOL, NO_MEMORY. OK: nothing here; the other end is gone, if anything. The reader. */
troupe_status trp_channel_why(const struct trp_channel *ch);
/* Would trp_channel_read find something? A hint, and cheap. */
bool trp_channel_has(struct trp_channel *ch);

/* --- sleeping --- */

/* This end is about to sleep in the way `how`. False: there is something to read, and it had better not. What this end waits
 * for beside that is to be looked at after this. */
TROUPE_NODISCARD bool trp_channel_sleep(struct trp_channel *ch, enum trp_sleep how);
/* It does not sleep any more. */
void trp_channel_awake(struct trp_channel *ch);
/* Sleeps on the word, after trp_channel_sleep with TRP_SLEEP_FUTEX, until it is woken, in vain at times, or it is time. */
void trp_channel_doze(struct trp_channel *ch, int64_t deadline);
/* How it sleeps by its own word. */
enum trp_sleep trp_channel_sleeps(const struct trp_channel *ch);
/* With a reference alone: may there be something since trp_channel_read? */
bool trp_channel_stirs(const struct trp_channel *ch);
/* Makes this end come out of a doze. Any thread. */
void trp_channel_rouse(const struct trp_channel *ch);
/* Wakes the other end, if it sleeps: something has been noted for it. Any thread. */
void trp_channel_ring(const struct trp_channel *ch);

#endif
