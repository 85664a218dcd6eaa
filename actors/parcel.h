/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The body of a large frame, as a file of its own that is nowhere but in memory. The writer fills and seals it and sends its
 * descriptor over the socket pair; then the frame, without a body, goes through the ring. The reader maps the file: a message
 * that is made of it is the mapping itself, and nothing is copied there.
 *
 *     file:  [ room for a struct troupe_msg ][ body ]       mapped privately: the message's head is this process's own page
 *
 * Descriptors and frames keep their order, so the next frame that misses its body belongs to the next descriptor. Few are under
 * way at a time: the reader counts in shared memory those that it has opened. Whoever dies, the kernel closes what is in the
 * socket. What can't be had of all that (a descriptor, memory, room in the socket) makes the frame go as any other, in pieces.
 *
 * A reader without a free descriptor would lose what comes: a process that has channels keeps one for that. */
#ifndef TRP_PARCEL_H
#define TRP_PARCEL_H

#include <pthread.h>
#include <sys/types.h>

#include "actors/shared.h"
#include "clients/msg.h"

/* From here on a file costs no more than pieces, measured (DESIGN.md); so many may be under way each way. */
enum { TRP_PARCEL_TO_SYSTEM = 256 * 1024, TRP_PARCEL_TO_BODY = 2 * 1024 * 1024, TRP_PARCELS = 4 };

/* One end of a channel. (w) the writer's, (r) the reader's, (m) under `lock` */
struct trp_parcels {
    int socket;
    size_t least;                       /* bytes */
    struct trp_parcel_words *to, *from; /* what goes out, what comes in */
    uint32_t sent;                      /* (w) */
    pthread_mutex_t lock;               /* of whoever reads the socket: the reader, or the loop */
    int come[TRP_PARCELS];              /* (m) descriptors that wait for their frames, in order */
    uint32_t count, received;           /* (m) of them; of all */
    uint32_t opened;                    /* (r) */
};

/* The socket stays the caller's. */
void trp_parcels_init(struct trp_parcels *p, int socket, const struct trp_shared *shared, enum trp_side side);
/* Closes what has come and was not opened. */
void trp_parcels_fini(struct trp_parcels *p);

/* Both slices, one after the other, are on their way. False: they are small, or can't be sent so now: they are to go in the
 * ring or in pieces. The writer; does not block. */
TROUPE_NODISCARD bool trp_parcels_send(struct trp_parcels *p, struct trp_slice head, struct trp_slice body);

/* What is in the socket: wakes, and descriptors, which are kept. As recv(2). Any thread; does not block. */
ssize_t trp_parcels_listen(struct trp_parcels *p);

struct trp_parcel {
    void *at; /* NULL: none, or a message has taken it */
    size_t mapped;
    struct trp_slice body;
};
/* Maps the next one. *rung: wakes have been read on the way. PROTOCOL: none has come, or it is not what we send; NO_MEMORY. The
 * reader. */
TROUPE_NODISCARD troupe_status trp_parcels_open(struct trp_parcels *p, struct trp_parcel *out, bool *rung);
/* A message of it, of which both slices are parts. Takes it; accepts none, then the slices are copied: NULL: no memory. */
struct troupe_msg *trp_parcel_message(struct trp_parcel *parcel, struct trp_slice topic, struct trp_slice payload);
/* Accepts none. */
void trp_parcel_close(struct trp_parcel *parcel);

#endif
