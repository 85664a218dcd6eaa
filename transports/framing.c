/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The deframer is always in one of three places:
 *
 *     between   part is empty, or holds a frame that was handed out and is dropped at the next call
 *     gathering part holds the beginning of a unit (greeting, head or frame) that the last read cut off
 *     dead      after a fault; the caller hangs up
 *
 * A unit that lies whole in the caller's bytes never touches part. Once a unit is gathered, part takes no byte beyond
 * its end, so whatever follows it in the same read is handed out in place again. What can be refused is refused at the
 * first byte that shows it: a stranger is not waited for. */
#include "transports/framing.h"

#include "transports/assert.h"

static const uint8_t greeting_start[4] = {0x00, 'S', 'P', 0x00};

void trp_greeting_write(uint8_t out[TRP_GREETING_SIZE], uint16_t protocol) {
    memcpy(out, greeting_start, sizeof greeting_start);
    out[4] = (uint8_t)(protocol >> 8);
    out[5] = (uint8_t)protocol;
    out[6] = 0;
    out[7] = 0;
}

uint8_t *trp_frame_head(uint8_t *p, enum trp_framing kind, uint64_t n) {
    if (kind == TRP_FRAMING_IPC)
        *p++ = 1;
    for (int shift = 56; shift >= 0; shift -= 8)
        *p++ = (uint8_t)(n >> shift);
    return p;
}

static uint64_t read_be64(const uint8_t *p) {
    uint64_t n = 0;
    for (int i = 0; i < 8; i++)
        n = n << 8 | p[i];
    return n;
}

void trp_deframer_init(struct trp_deframer *d, enum trp_framing kind, size_t limit) {
    *d = (struct trp_deframer){.kind = kind};
    trp_deframer_limit(d, limit);
}

void trp_deframer_limit(struct trp_deframer *d, size_t limit) {
    const size_t most = SIZE_MAX - TRP_FRAME_HEAD_MAX; /* head and body together have a size */
    d->limit = limit < most ? limit : most;
}

void trp_deframer_fini(struct trp_deframer *d) {
    trp_buf_fini(&d->part);
}

bool trp_deframer_partial(const struct trp_deframer *d) {
    return d->part.n > 0 && !d->handed;
}

/* Checks the n bytes of a greeting that are there. */
static troupe_status check_greeting(const uint8_t *p, size_t n, const char **why) {
    size_t start = n < sizeof greeting_start ? n : sizeof greeting_start;
    if (memcmp(p, greeting_start, start) != 0) {
        *why = "this is not the scalability protocol: its greeting begins with 00 'S' 'P' 00";
        return TROUPE_PROTOCOL;
    }
    if ((n > 6 && p[6] != 0) || (n > 7 && p[7] != 0)) {
        *why = "the last two bytes of the greeting are not zero";
        return TROUPE_PROTOCOL;
    }
    return TROUPE_OK;
}

/* Checks the n bytes of a frame's head that are there; *body is set once all of them are. */
static troupe_status check_head(const struct trp_deframer *d, const uint8_t *p, size_t n, size_t *body, const char **why) {
    size_t head = trp_frame_head_size(d->kind);
    if (d->kind == TRP_FRAMING_IPC && n > 0 && p[0] != 1) {
        *why = "a frame on ipc begins with the byte 01";
        return TROUPE_PROTOCOL;
    }
    if (n < head)
        return TROUPE_OK;
    uint64_t length = read_be64(p + head - 8);
    if (length > d->limit) {
        *why = "the frame is larger than the limit";
        return TROUPE_TOO_BIG;
    }
    *body = (size_t)length;
    return TROUPE_OK;
}

/* Checks the n bytes at p as the beginning of a unit and says how many bytes the unit has, as far as can be told:
 * all of it for a greeting, the head for a frame whose head is cut, else head and body. So the unit is whole exactly
 * when n has reached what is said here. */
static troupe_status measure(const struct trp_deframer *d, const uint8_t *p, size_t n, size_t *unit, const char **why) {
    if (!d->greeted) {
        *unit = TRP_GREETING_SIZE;
        return check_greeting(p, n, why);
    }
    size_t body = 0;
    troupe_status st = check_head(d, p, n, &body, why);
    *unit = trp_frame_head_size(d->kind) + body;
    return st;
}

/* A whole unit lies at p. */
static enum trp_frame_event hand_out(struct trp_deframer *d, const uint8_t *p, size_t unit, uint16_t *protocol,
                                     struct trp_slice *body) {
    if (!d->greeted) {
        d->greeted = true;
        *protocol = (uint16_t)(p[4] << 8 | p[5]);
        return TRP_FRAME_GREETING;
    }
    size_t head = trp_frame_head_size(d->kind);
    *body = (struct trp_slice){p + head, unit - head};
    return TRP_FRAME_BODY;
}

/* Moves at most `most` bytes from the caller to part. */
static troupe_status gather(struct trp_deframer *d, const uint8_t **p, const uint8_t *end, size_t most, const char **why) {
    size_t n = (size_t)(end - *p);
    if (n > most)
        n = most;
    troupe_status st = trp_buf_put(&d->part, *p, n);
    if (st != TROUPE_OK)
        *why = "out of memory for a frame";
    else
        *p += n;
    return st;
}

/* Goes on with a unit that was cut. Twice round at most: once to the end of the head, once to the end of the body. */
static troupe_status go_on(struct trp_deframer *d, const uint8_t **p, const uint8_t *end, enum trp_frame_event *ev,
                           uint16_t *protocol, struct trp_slice *body, const char **why) {
    for (;;) {
        size_t unit = 0;
        troupe_status st = measure(d, d->part.p, d->part.n, &unit, why);
        if (st != TROUPE_OK)
            return st;
        if (d->part.n >= unit) {
            *ev = hand_out(d, d->part.p, unit, protocol, body);
            d->handed = true;
            return TROUPE_OK;
        }
        if (*p == end)
            return TROUPE_OK;
        st = gather(d, p, end, unit - d->part.n, why);
        if (st != TROUPE_OK)
            return st;
    }
}

/* The frame handed out last is done with. Its buffer is kept while more bytes are at hand, since a stream that is cut
 * once is cut again; a connection that falls silent gives it back. */
static void drop_handed(struct trp_deframer *d, bool more) {
    d->part.n = 0;
    d->handed = false;
    if (!more)
        trp_buf_fini(&d->part);
}

troupe_status trp_deframer_next(struct trp_deframer *d, const uint8_t **p, const uint8_t *end, enum trp_frame_event *ev,
                                uint16_t *protocol, struct trp_slice *body, const char **why) {
    trp_assert(*p <= end);
    *ev = TRP_FRAME_MORE;
    if (d->handed)
        drop_handed(d, *p < end);
    if (d->part.n > 0)
        return go_on(d, p, end, ev, protocol, body, why);
    size_t n = (size_t)(end - *p), unit = 0;
    if (n == 0) {
        trp_buf_fini(&d->part);
        return TROUPE_OK;
    }
    troupe_status st = measure(d, *p, n, &unit, why);
    if (st != TROUPE_OK)
        return st;
    if (n < unit)
        return gather(d, p, end, n, why);
    *ev = hand_out(d, *p, unit, protocol, body);
    *p += unit;
    return TROUPE_OK;
}
