/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A segment's bytes. The first byte picks: rubbish is read as it is, without a step outside of it; or records are made
 * from the input, damaged in one place, and read: up to the damage they are what was made, and at it the reading ends. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "broker/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_rubbish(struct trp_slice in, uint64_t position) {
    struct trp_segment_head head;
    struct trp_segment_id id;
    if (in.n >= TRP_SEGMENT_HEADER)
        (void)trp_segment_head_read(in.p, &head);
    char *name = malloc(in.n + 1);
    memcpy(name, in.n ? (const void *)in.p : "", in.n);
    name[in.n] = 0;
    if (trp_segment_name_read(name, &id)) {
        char again[TRP_SEGMENT_NAME];
        trp_segment_name(again, id);
        assert(strcmp(again, name) == 0);
    }
    free(name);
    (void)trp_segment_marked_beyond(in, position, 0);
    for (size_t at = 0; at <= in.n; at++) {
        struct trp_record r;
        enum trp_record_kind kind = trp_record_read((struct trp_slice){in.p + at, in.n - at}, position + at, &r);
        if (kind == TRP_RECORD_GOOD || kind == TRP_RECORD_MARKED) {
            assert(r.size <= in.n - at && r.bytes.n == r.size - TRP_RECORD_HEADER);
            assert(r.bytes.p == in.p + at + TRP_RECORD_HEADER);
        }
        assert(kind != TRP_RECORD_MORE || r.size > in.n - at);
    }
}

/* Records and marks from the input: a byte says how long the next is, 0 makes a mark. */
static struct trp_buf build(struct trp_slice in, uint64_t position) {
    struct trp_buf out = {0};
    while (in.n) {
        size_t n = *in.p;
        in.p++, in.n--;
        n = n > in.n ? in.n : n;
        struct trp_slice part = {in.p, n};
        uint8_t head[TRP_RECORD_MARK];
        size_t head_n = n ? TRP_RECORD_HEADER : TRP_RECORD_MARK;
        if (n)
            trp_record_head_write(head, position + out.n, &part, 1, n);
        else
            trp_record_mark_write(head, position + out.n, (struct trp_segment_mark){position + out.n, 1});
        troupe_status st = trp_buf_put(&out, head, head_n);
        st = st ? st : trp_buf_put(&out, part.p, n);
        assert(st == TROUPE_OK);
        in.p += n;
        in.n -= n;
    }
    return out;
}

/* Where reading ends. */
static size_t walk(const struct trp_buf *b, uint64_t position) {
    size_t at = 0;
    struct trp_record r;
    for (;;) {
        enum trp_record_kind kind = trp_record_read((struct trp_slice){b->p + at, b->n - at}, position + at, &r);
        if (kind != TRP_RECORD_GOOD && kind != TRP_RECORD_MARKED)
            return at;
        at += r.size;
    }
}

static void damage_and_read(struct trp_slice in, uint64_t position) {
    if (in.n < 4)
        return;
    uint32_t where;
    memcpy(&where, in.p, 3);
    where &= 0xffffff;
    uint8_t how = in.p[3];
    struct trp_buf b = build((struct trp_slice){in.p + 4, in.n - 4}, position);
    assert(!b.n || walk(&b, position) == b.n);
    if (b.n && how) {
        where %= (uint32_t)b.n;
        b.p[where] ^= how;
        size_t end = walk(&b, position);
        assert(end <= where);
        /* It is the record with the damage that is not read: marks behind it tell that it had been written. */
        b.p[where] ^= how;
        struct trp_record r;
        assert(trp_record_read((struct trp_slice){b.p + end, b.n - end}, position + end, &r) != TRP_RECORD_BAD);
        assert(end + r.size > where);
    }
    trp_buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    struct trp_slice in = {data + 2, size - 2};
    uint64_t position = (uint64_t)data[1] << 20;
    if (data[0] & 1)
        damage_and_read(in, position);
    else
        read_rubbish(in, position);
    return 0;
}
