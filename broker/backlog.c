/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A list of chunks from the oldest position to the newest. The lock is for the spare chunks only, taken once for each
 * chunk's worth of bytes. */
#include "broker/backlog.h"

#include "transports/alloc.h"
#include "transports/assert.h"

struct trp_backlog_chunk {
    /* Set once by the owner, before it tells of a position in the next one; the consumer acquires it in release, where
     * it asks whether there is a next one at all. */
    _Atomic(struct trp_backlog_chunk *) next;
    uint64_t start;
    uint8_t bytes[TRP_BACKLOG_CHUNK];
};

static struct trp_backlog_chunk *chunk_next(const struct trp_backlog_chunk *c) {
    return atomic_load_explicit(&c->next, memory_order_acquire);
}

static struct trp_backlog_chunk *spare_take(struct trp_backlog *b) {
    pthread_mutex_lock(&b->lock);
    struct trp_backlog_chunk *c = b->spare;
    if (c) {
        b->spare = chunk_next(c);
        b->spares--;
    }
    pthread_mutex_unlock(&b->lock);
    return c;
}

static void spare_give(struct trp_backlog *b, struct trp_backlog_chunk *c) {
    pthread_mutex_lock(&b->lock);
    if (b->spares < TRP_BACKLOG_SPARE) {
        atomic_store_explicit(&c->next, b->spare, memory_order_relaxed);
        b->spare = c;
        b->spares++;
        c = NULL;
    }
    pthread_mutex_unlock(&b->lock);
    trp_free(c);
}

static struct trp_backlog_chunk *chunk_new(struct trp_backlog *b, uint64_t start) {
    struct trp_backlog_chunk *c = spare_take(b);
    if (!c)
        c = trp_malloc(sizeof *c);
    if (!c)
        return NULL;
    atomic_store_explicit(&c->next, NULL, memory_order_relaxed);
    c->start = start;
    return c;
}

troupe_status trp_backlog_init(struct trp_backlog *b, uint64_t position) {
    *b = (struct trp_backlog){.head = position, .lock = PTHREAD_MUTEX_INITIALIZER};
    b->fill = b->tail = chunk_new(b, position);
    return b->fill ? TROUPE_OK : TROUPE_NO_MEMORY;
}

static void chunks_free(struct trp_backlog_chunk *c) {
    while (c) {
        struct trp_backlog_chunk *next = chunk_next(c);
        trp_free(c);
        c = next;
    }
}

void trp_backlog_fini(struct trp_backlog *b) {
    if (!b->tail)
        return;
    chunks_free(b->tail);
    chunks_free(b->spare);
    pthread_mutex_destroy(&b->lock);
    *b = (struct trp_backlog){0};
}

troupe_status trp_backlog_room(struct trp_backlog *b, size_t n) {
    struct trp_backlog_chunk *last = b->fill;
    while (b->head + n - last->start > TRP_BACKLOG_CHUNK) {
        struct trp_backlog_chunk *next = chunk_next(last);
        if (!next) {
            next = chunk_new(b, last->start + TRP_BACKLOG_CHUNK);
            if (!next)
                return TROUPE_NO_MEMORY;
            /* Release: pairs with chunk_next in the consumer's release of the chunk before it. */
            atomic_store_explicit(&last->next, next, memory_order_release);
        }
        last = next;
    }
    return TROUPE_OK;
}

void trp_backlog_put(struct trp_backlog *b, const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    while (n) {
        size_t at = (size_t)(b->head - b->fill->start);
        if (at == TRP_BACKLOG_CHUNK) {
            b->fill = chunk_next(b->fill);
            trp_assert(b->fill);
            at = 0;
        }
        size_t fits = TRP_BACKLOG_CHUNK - at < n ? TRP_BACKLOG_CHUNK - at : n;
        memcpy(b->fill->bytes + at, p, fits);
        b->head += fits;
        p += fits;
        n -= fits;
    }
}

struct trp_backlog_point trp_backlog_point(const struct trp_backlog *b) {
    return (struct trp_backlog_point){b->fill, b->head};
}

/* The chunks behind the point stay linked: room finds them. */
void trp_backlog_rewind(struct trp_backlog *b, struct trp_backlog_point point) {
    trp_assert(point.head <= b->head);
    b->fill = point.fill;
    b->head = point.head;
}

int trp_backlog_read(const struct trp_backlog *b, uint64_t from, uint64_t to, struct iovec *out, int most, size_t bytes) {
    struct trp_backlog_chunk *c = b->tail;
    trp_assert(from >= c->start);
    to = to - from > bytes ? from + bytes : to;
    int n = 0;
    for (; from < to && n < most; n++) {
        while (from - c->start >= TRP_BACKLOG_CHUNK)
            c = chunk_next(c);
        size_t at = (size_t)(from - c->start);
        size_t size = to - from < TRP_BACKLOG_CHUNK - at ? (size_t)(to - from) : TRP_BACKLOG_CHUNK - at;
        out[n] = (struct iovec){c->bytes + at, size};
        from += size;
    }
    return n;
}

/* A chunk goes when it is passed and has a successor. The owner may still have `fill` at the chunk's very end, so one
 * that ends at `upto` stays until more than its end is told. */
void trp_backlog_release(struct trp_backlog *b, uint64_t upto) {
    while (upto > b->tail->start + TRP_BACKLOG_CHUNK) {
        struct trp_backlog_chunk *c = b->tail;
        b->tail = chunk_next(c);
        trp_assert(b->tail);
        spare_give(b, c);
    }
}
