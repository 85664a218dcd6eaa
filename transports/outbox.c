/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Invariants: bytes is the sum over the list of n - start + blob_n; only the tail has free room, and only while it
 * has no blob; when a frame is open, its head's bytes lie in `frame` at frame_at and nothing of it has been given
 * away, since whoever takes pieces ends the frame first. */
#include "transports/outbox.h"

#include "transports/alloc.h"
#include "transports/assert.h"

enum {
    SMALL_CAP = 2048 - (int)sizeof(struct trp_chunk),
    LARGE_CAP = 64 * 1024,
    SMALLS_KEPT = 256, /* 512 KiB */
    LARGES_KEPT = 16,  /* 1 MiB: four links at the flush threshold */
};

static const size_t none = SIZE_MAX;

/* --- chunks --- */

static struct trp_chunk *pop(struct trp_chunk **list, unsigned *count) {
    struct trp_chunk *c = *list;
    if (c) {
        *list = c->next;
        --*count;
    }
    return c;
}

static bool push(struct trp_chunk **list, unsigned *count, unsigned most, struct trp_chunk *c) {
    if (*count >= most)
        return false;
    c->next = *list;
    *list = c;
    ++*count;
    return true;
}

static struct trp_chunk *chunk_new(struct trp_chunk_pool *pool, size_t cap) {
    struct trp_chunk *c = NULL;
    if (cap == SMALL_CAP)
        c = pop(&pool->small, &pool->smalls);
    else if (cap == LARGE_CAP)
        c = pop(&pool->large, &pool->larges);
    if (!c)
        c = trp_malloc(sizeof *c + cap);
    if (c)
        *c = (struct trp_chunk){.cap = cap, .first = none};
    return c;
}

static void chunk_free(struct trp_chunk_pool *pool, struct trp_chunk *c) {
    if (c->blob)
        trp_blob_unref(c->blob);
    if (c->cap == SMALL_CAP && push(&pool->small, &pool->smalls, SMALLS_KEPT, c))
        return;
    if (c->cap == LARGE_CAP && push(&pool->large, &pool->larges, LARGES_KEPT, c))
        return;
    trp_free(c);
}

void trp_chunks_free(struct trp_chunk_pool *pool, struct trp_chunk *list) {
    while (list) {
        struct trp_chunk *next = list->next;
        chunk_free(pool, list);
        list = next;
    }
}

static void free_plainly(struct trp_chunk *list) {
    while (list) {
        struct trp_chunk *next = list->next;
        trp_free(list);
        list = next;
    }
}

void trp_chunk_pool_fini(struct trp_chunk_pool *pool) {
    free_plainly(pool->small);
    free_plainly(pool->large);
    *pool = (struct trp_chunk_pool){0};
}

/* --- room at the end --- */

/* Large when a chunk has just been filled. Behind a blob it is small again: between two blobs there is often no more
 * than the head of an envelope. */
static size_t cap_for(const struct trp_outbox *o, size_t n) {
    if (n > LARGE_CAP)
        return n;
    bool busy = o->tail && !o->tail->blob;
    return n > SMALL_CAP || busy ? LARGE_CAP : SMALL_CAP;
}

/* Makes the tail have n free bytes in a row. */
static bool room(struct trp_outbox *o, size_t n) {
    struct trp_chunk *t = o->tail;
    if (t && !t->blob && t->cap - t->n >= n)
        return true;
    trp_assert(n <= SIZE_MAX / 2);
    struct trp_chunk *c = chunk_new(o->pool, cap_for(o, n));
    if (!c)
        return false;
    if (t)
        t->next = c;
    else
        o->head = c;
    o->tail = c;
    return true;
}

static void put(struct trp_outbox *o, const void *p, size_t n) {
    if (n > 0)
        memcpy(o->tail->data + o->tail->n, p, n);
    o->tail->n += n;
    o->bytes += n;
}

void trp_outbox_init(struct trp_outbox *o, struct trp_chunk_pool *pool, enum trp_framing kind) {
    *o = (struct trp_outbox){.pool = pool, .kind = kind};
}

void trp_outbox_fini(struct trp_outbox *o) {
    trp_chunks_free(o->pool, o->head);
    *o = (struct trp_outbox){.pool = o->pool, .kind = o->kind};
}

bool trp_outbox_raw(struct trp_outbox *o, const void *p, size_t n) {
    trp_assert(!o->frame);
    if (!room(o, n))
        return false;
    put(o, p, n);
    return true;
}

/* --- frames --- */

/* Opens a frame with room for its prefix and n bytes of body in one piece. */
static bool open_frame(struct trp_outbox *o, const void *prefix, size_t prefix_n, size_t n) {
    size_t head = trp_frame_head_size(o->kind);
    if (!room(o, head + prefix_n + n))
        return false;
    struct trp_chunk *t = o->tail;
    o->frame = t;
    o->frame_at = t->n;
    o->frame_n = o->frame_prefix = prefix_n;
    if (t->first == none)
        t->first = t->n;
    t->n += head;
    o->bytes += head;
    put(o, prefix, prefix_n);
    return true;
}

/* Takes back the head and prefix of a frame into which nothing was put. */
static void withdraw_frame(struct trp_outbox *o) {
    struct trp_chunk *c = o->frame;
    o->bytes -= c->n - o->frame_at;
    c->n = o->frame_at;
    if (c->first == o->frame_at)
        c->first = none;
}

void trp_outbox_end(struct trp_outbox *o) {
    if (!o->frame)
        return;
    if (o->frame_n == o->frame_prefix)
        withdraw_frame(o);
    else
        trp_frame_head(o->frame->data + o->frame_at, o->kind, o->frame_n);
    o->frame = NULL;
    o->begun = false;
    if (o->bytes == 0)
        trp_outbox_written(o, 0);
}

bool trp_outbox_begin(struct trp_outbox *o, const void *prefix, size_t n) {
    trp_assert(!o->begun);
    trp_outbox_end(o);
    o->begun = open_frame(o, prefix, n, 0);
    return o->begun;
}

/* Sees that a frame is open that may take n more bytes, with `run` of them in one piece. */
static bool frame_for(struct trp_outbox *o, size_t n, size_t run) {
    if (o->frame && !o->begun && o->frame_n + n > TRP_FRAME_SOFT)
        trp_outbox_end(o);
    return o->frame ? room(o, run) : open_frame(o, o->prefix, o->prefix_n, run);
}

uint8_t *trp_outbox_reserve(struct trp_outbox *o, size_t n) {
    return frame_for(o, n, n) ? o->tail->data + o->tail->n : NULL;
}

void trp_outbox_commit(struct trp_outbox *o, size_t n) {
    trp_assert(o->frame && n <= o->tail->cap - o->tail->n);
    o->tail->n += n;
    o->frame_n += n;
    o->bytes += n;
}

bool trp_outbox_blob(struct trp_outbox *o, const void *head, size_t head_n, struct trp_blob *b, size_t off, size_t n) {
    trp_assert(off <= b->n && n <= b->n - off);
    if (!frame_for(o, head_n + n, head_n))
        return false;
    put(o, head, head_n);
    o->frame_n += head_n + n;
    if (n == 0)
        return true;
    o->tail->blob = trp_blob_ref(b);
    o->tail->blob_p = b->p + off;
    o->tail->blob_n = n;
    o->bytes += n;
    return true;
}

/* --- the front --- */

unsigned trp_outbox_pieces(const struct trp_outbox *o, uv_buf_t *pieces, unsigned most, size_t enough, size_t *bytes) {
    trp_assert(!o->frame);
    unsigned k = 0;
    *bytes = 0;
    for (struct trp_chunk *c = o->head; c && k + 2 <= most && *bytes < enough; c = c->next) {
        if (c->n > c->start) {
            pieces[k++] = uv_buf_init((char *)c->data + c->start, (unsigned)(c->n - c->start));
            *bytes += c->n - c->start;
        }
        if (c->blob) {
            /* uv_buf_t is shared with reads and so wants a pointer to non-const; a write leaves the bytes alone. */
            pieces[k++] = (uv_buf_t){.base = (char *)(uintptr_t)c->blob_p, .len = c->blob_n};
            *bytes += c->blob_n;
        }
    }
    return k;
}

static struct trp_chunk *unlink_first(struct trp_outbox *o) {
    struct trp_chunk *c = o->head;
    o->head = c->next;
    if (!o->head)
        o->tail = NULL;
    c->next = NULL;
    return c;
}

void trp_outbox_written(struct trp_outbox *o, size_t n) {
    trp_assert(n <= o->bytes && !o->frame);
    o->bytes -= n;
    while (o->head) {
        struct trp_chunk *c = o->head;
        size_t own = c->n - c->start;
        if (n < own + c->blob_n) {
            size_t from_own = n < own ? n : own;
            c->start += from_own;
            c->blob_p += n - from_own;
            c->blob_n -= n - from_own;
            return;
        }
        n -= own + c->blob_n;
        chunk_free(o->pool, unlink_first(o));
    }
}

struct trp_chunk *trp_outbox_take(struct trp_outbox *o, unsigned pieces) {
    trp_assert(!o->frame);
    struct trp_chunk *list = NULL, **end = &list;
    unsigned k = 0;
    while (o->head && k < pieces) {
        struct trp_chunk *c = unlink_first(o);
        k += (c->n > c->start) + (c->blob != NULL);
        o->bytes -= c->n - c->start + c->blob_n;
        *end = c;
        end = &c->next;
    }
    trp_assert(k == pieces);
    return list;
}

static void recount(struct trp_outbox *o) {
    o->bytes = 0;
    for (const struct trp_chunk *c = o->head; c; c = c->next)
        o->bytes += c->n - c->start + c->blob_n;
}

/* Drops everything from offset `at` of chunk c on. */
static void cut(struct trp_outbox *o, struct trp_chunk *c, size_t at) {
    trp_chunks_free(o->pool, c->next);
    trp_blob_unref(c->blob);
    c->next = NULL;
    c->blob = NULL;
    c->blob_n = 0;
    c->n = at;
    if (c->first != none && c->first >= at)
        c->first = none;
    o->tail = c;
    recount(o);
}

/* What lies before the first frame that begins in the list belongs to a frame that is on its way. In a chunk that is
 * partly written the frames can't be told apart any more, so all of it stays. */
void trp_outbox_discard(struct trp_outbox *o) {
    if (o->frame)
        cut(o, o->frame, o->frame_at);
    o->frame = NULL;
    o->begun = false;
    struct trp_chunk *c = o->head;
    while (c && (c->first == none || c->start > 0))
        c = c->next;
    if (c)
        cut(o, c, c->first);
    if (o->bytes == 0)
        trp_outbox_written(o, 0);
}
