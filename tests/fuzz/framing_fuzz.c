/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The deframer gives the same events however its input is cut, never holds more than twice what it was fed, and what
 * it gives, framed again, is the input again. The first byte of an input chooses framing and limit, the next two are
 * the seed of the cuts, the rest is what a peer sends. */
#include "transports/assert.h"
#include "transports/framing.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct trp_deframer d;
    struct trp_buf events; /* the greeting and the frames, written again; then a fault's number */
    size_t fed;
    bool dead;
};

static void put(struct run *r, const void *p, size_t n) {
    trp_assert(trp_buf_put(&r->events, p, n) == TROUPE_OK);
}

static void put_event(struct run *r, enum trp_frame_event ev, uint16_t protocol, struct trp_slice body) {
    uint8_t head[TRP_FRAME_HEAD_MAX];
    if (ev == TRP_FRAME_GREETING) {
        trp_greeting_write(head, protocol);
        put(r, head, TRP_GREETING_SIZE);
    } else if (ev == TRP_FRAME_BODY) {
        trp_assert(body.n <= r->d.limit);
        put(r, head, (size_t)(trp_frame_head(head, r->d.kind, body.n) - head));
        put(r, body.p, body.n);
    }
}

static void put_fault(struct run *r, troupe_status st, const char *why) {
    uint8_t number = (uint8_t)-st;
    trp_assert(st < 0 && why && *why);
    put(r, &number, 1);
    r->dead = true;
}

static void feed(struct run *r, const uint8_t *p, size_t n) {
    const uint8_t *end = p + n;
    enum trp_frame_event ev = TRP_FRAME_BODY;
    r->fed += n;
    while (!r->dead && ev != TRP_FRAME_MORE) {
        uint16_t protocol = 0;
        struct trp_slice body = {0};
        const char *why = NULL;
        troupe_status st = trp_deframer_next(&r->d, &p, end, &ev, &protocol, &body, &why);
        if (st != TROUPE_OK)
            put_fault(r, st, why);
        else
            put_event(r, ev, protocol, body);
        trp_assert(r->d.part.cap <= 2 * r->fed + 64);
    }
    trp_assert(r->dead || p == end);
}

/* Every piece lies at the end of its memory, so that a sanitizer sees a byte too far, and is overwritten by the next,
 * so that nothing of it may be needed later. */
static void feed_cut(struct run *r, const uint8_t *stream, size_t n, unsigned seed, unsigned most) {
    uint8_t *window = malloc(most);
    trp_assert(window);
    for (size_t at = 0, piece; at < n && !r->dead; at += piece) {
        seed = seed * 1103515245u + 12345u;
        piece = 1 + (seed >> 16) % most;
        if (piece > n - at)
            piece = n - at;
        memcpy(window + most - piece, stream + at, piece);
        feed(r, window + most - piece, piece);
    }
    free(window);
}

static void fini(struct run *r) {
    trp_deframer_fini(&r->d);
    trp_buf_fini(&r->events);
}

/* What was understood is a prefix of what was sent, and all of it but what is partial. */
static void check_round_trip(const struct run *r, const uint8_t *stream, size_t n) {
    size_t written = r->events.n - (r->dead ? 1 : 0);
    trp_assert(written <= n && (written == 0 || memcmp(r->events.p, stream, written) == 0));
    trp_assert(r->dead || trp_deframer_partial(&r->d) == (written < n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3)
        return 0;
    enum trp_framing kind = data[0] & 1 ? TRP_FRAMING_IPC : TRP_FRAMING_TCP;
    size_t limit = data[0] & 2 ? 300 : SIZE_MAX;
    unsigned seed = (unsigned)(data[1] | data[2] << 8);
    const uint8_t *stream = data + 3;
    size_t n = size - 3;
    struct run whole = {0}, cut = {0};
    trp_deframer_init(&whole.d, kind, limit);
    trp_deframer_init(&cut.d, kind, limit);
    feed(&whole, stream, n);
    check_round_trip(&whole, stream, n);
    feed_cut(&cut, stream, n, seed, data[0] & 4 ? 40 : 3);
    trp_assert(whole.dead == cut.dead && whole.events.n == cut.events.n);
    trp_assert(whole.events.n == 0 || memcmp(whole.events.p, cut.events.p, whole.events.n) == 0);
    fini(&whole);
    fini(&cut);
    return 0;
}
