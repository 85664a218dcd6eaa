/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Gateway lines: cut at arbitrary points, the same lines come out as when they come at once; each is parsed; what is
 * kept never exceeds the limit. The first byte picks the limit and the framing, the second seeds the cuts. */
#include "broker/lines.h"
#include "transports/json.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_meaning(struct trp_slice text) {
    struct trp_line l = trp_line_parse(text);
    (void)trp_line_is_http(text);
    switch (l.kind) {
    case TRP_LINE_REQUEST:
        assert(l.value.kind == TROUPE_INT || l.value.kind == TROUPE_UINT || l.value.kind == TROUPE_TEXT);
        if (l.value.kind == TROUPE_TEXT)
            assert(trp_utf8_valid(l.value.data, l.value.size));
        break;
    case TRP_LINE_BAD:
    case TRP_LINE_EMPTY:
        assert(l.why && *l.why);
        break;
    default:
        break;
    }
}

/* A transcript of the events: 'L', the line and a newline; or 'X'. */
static void feed(struct trp_lines *l, const uint8_t *p, size_t n, struct trp_buf *out, bool parse) {
    const uint8_t *end = p + n;
    for (;;) {
        enum trp_lines_event ev;
        struct trp_slice line;
        troupe_status st = trp_lines_next(l, &p, end, true, &ev, &line);
        assert(st == TROUPE_OK);
        if (ev == TRP_LINES_MORE)
            break;
        if (ev == TRP_LINES_LINE) {
            assert(line.n <= l->max);
            st = trp_buf_put(out, "L", 1);
            st = st ? st : trp_buf_put(out, line.p, line.n);
            st = st ? st : trp_buf_put(out, "\n", 1);
            if (parse)
                check_meaning(line);
        } else {
            st = trp_buf_put(out, "X", 1);
        }
        assert(st == TROUPE_OK);
    }
    assert(p == end);
    assert(l->part.n <= l->max + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    size_t max = 1 + (data[0] & 0x3f);
    uint32_t cut = data[1] + 1u;
    bool chunk = data[0] & 0x80;
    struct trp_lines once, cuts;
    struct trp_buf a = {0}, b = {0};
    trp_lines_init(&once, max, chunk);
    trp_lines_init(&cuts, max, false);
    feed(&once, data + 2, size - 2, &a, true);
    for (size_t at = 2; at < size;) {
        cut = cut * 1103515245u + 12345u;
        size_t n = 1 + (cut >> 16) % 7;
        n = n > size - at ? size - at : n;
        feed(&cuts, data + at, n, &b, false);
        at += n;
    }
    if (!chunk)
        assert(a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0));
    trp_lines_fini(&once);
    trp_lines_fini(&cuts);
    trp_buf_fini(&a);
    trp_buf_fini(&b);
    return 0;
}
