/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a link has to say and the kernel has not taken yet: a list of chunks that together are the stream of frames.
 * Pure: it knows neither sockets nor loops.
 *
 *     chunk                      chunk                        chunk
 *     [head body... head body] -> [..body head body][ blob ] -> [body head bo<- room ->]
 *                                                                     ^ the open frame's head, written when it ends
 *
 * Chunks never move and never grow, so a head can be patched through a pointer and a frame may run over any number of
 * them. They come in two sizes from a pool that the links of a loop share: the first chunk of a burst is small, so
 * that telling one thing to ten thousand peers in one turn is cheap; the ones behind it are large, so that a busy peer
 * gets few and long pieces in one writev. An empty outbox holds none. */
#ifndef TRP_OUTBOX_H
#define TRP_OUTBOX_H

#include "transports/framing.h"
#include <uv.h>

enum { TRP_PREFIX_MAX = 8 };

struct trp_chunk {
    struct trp_chunk *next;
    struct trp_blob *blob; /* shared bytes that follow data[start, n); NULL: none. A chunk with one is full */
    const uint8_t *blob_p;
    size_t blob_n;
    size_t start, n, cap; /* data[0, start) is written; data[n, cap) is free */
    size_t first;         /* where the first frame that begins in this chunk does; SIZE_MAX: none does */
    uint8_t data[];
};

/* Zero-initialise. */
struct trp_chunk_pool {
    struct trp_chunk *small, *large;
    unsigned smalls, larges;
};

void trp_chunk_pool_fini(struct trp_chunk_pool *pool);
/* Gives a list of chunks back; its blobs are dropped. */
void trp_chunks_free(struct trp_chunk_pool *pool, struct trp_chunk *list);

struct trp_outbox {
    struct trp_chunk_pool *pool;
    struct trp_chunk *head, *tail;
    struct trp_chunk *frame; /* the chunk with the head of the open frame; NULL: no frame is open */
    size_t frame_at;         /* where in it */
    size_t frame_n;          /* the body's bytes so far, prefix included */
    size_t frame_prefix;     /* the prefix's: a frame that holds no more is not sent */
    size_t bytes;            /* everything in the list that is not written */
    enum trp_framing kind;
    bool begun; /* the open frame was begun by trp_outbox_begin: it ends by trp_outbox_end */
    uint8_t prefix_n;
    uint8_t prefix[TRP_PREFIX_MAX];
};

void trp_outbox_init(struct trp_outbox *o, struct trp_chunk_pool *pool, enum trp_framing kind);
void trp_outbox_fini(struct trp_outbox *o);

/* Bytes outside any frame (the greeting). No frame is open. False: no memory. */
bool trp_outbox_raw(struct trp_outbox *o, const void *p, size_t n);
/* See trp_link_reserve and its neighbours in link.h; NULL and false: no memory. */
uint8_t *trp_outbox_reserve(struct trp_outbox *o, size_t n);
void trp_outbox_commit(struct trp_outbox *o, size_t n);
bool trp_outbox_blob(struct trp_outbox *o, const void *head, size_t head_n, struct trp_blob *b, size_t off, size_t n);
bool trp_outbox_begin(struct trp_outbox *o, const void *prefix, size_t n);
void trp_outbox_end(struct trp_outbox *o); /* any open frame; harmless when none is */

/* The pieces from the front on, whole chunks: at most `most` (2 or more), and no further once they hold `enough` bytes.
 * Returns how many; *bytes: their sum. No frame is open. */
unsigned trp_outbox_pieces(const struct trp_outbox *o, uv_buf_t *pieces, unsigned most, size_t enough, size_t *bytes);
/* The kernel took n bytes from the front. */
void trp_outbox_written(struct trp_outbox *o, size_t n);
/* Takes the chunks out of the list that trp_outbox_pieces gave as so many pieces, for somebody who writes them himself. */
struct trp_chunk *trp_outbox_take(struct trp_outbox *o, unsigned pieces);
/* Drops all frames of which nothing was written or taken. */
void trp_outbox_discard(struct trp_outbox *o);

#endif
