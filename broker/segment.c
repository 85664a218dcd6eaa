/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The format of segment files. Nothing here believes a length: a record is compared with the bytes there are, and a
 * reader that is told MORE compares with the size of its file before it makes room. */
#include "broker/segment.h"

#include <endian.h>
#include <stdio.h>

#include "broker/crc32c.h"
#include "transports/assert.h"

static const uint8_t magic[6] = {'T', 'R', 'P', 'L', 'O', 'G'};

enum { MARK_BYTES = TRP_RECORD_MARK - TRP_RECORD_HEADER, HEAD_CHECKED = TRP_SEGMENT_HEADER - 4 };
static const uint32_t mark_length = 0x80000000u | MARK_BYTES;

static void put16(uint8_t *p, uint16_t v) {
    v = htole16(v);
    memcpy(p, &v, sizeof v);
}
static void put32(uint8_t *p, uint32_t v) {
    v = htole32(v);
    memcpy(p, &v, sizeof v);
}
static void put64(uint8_t *p, uint64_t v) {
    v = htole64(v);
    memcpy(p, &v, sizeof v);
}
static uint16_t get16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return le16toh(v);
}
static uint32_t get32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}
static uint64_t get64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

void trp_segment_name(char out[TRP_SEGMENT_NAME], struct trp_segment_id id) {
    int n = id.part ? snprintf(out, TRP_SEGMENT_NAME, "%016llx+%04x.log", (unsigned long long)id.number, id.part)
                    : snprintf(out, TRP_SEGMENT_NAME, "%016llx.log", (unsigned long long)id.number);
    trp_assert(n > 0 && n < TRP_SEGMENT_NAME);
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *hex_read(const char *p, uint64_t *out) {
    int digits = 0;
    for (*out = 0; digits < 16 && hex_digit(*p) >= 0; p++, digits++)
        *out = *out << 4 | (uint64_t)hex_digit(*p);
    return p;
}

/* A name is ours when it is written exactly as we would: so 1.log, or capitals, are left alone. */
bool trp_segment_name_read(const char *name, struct trp_segment_id *out) {
    uint64_t number, part = 0;
    char again[TRP_SEGMENT_NAME];
    const char *p = hex_read(name, &number);
    if (*p == '+')
        hex_read(p + 1, &part);
    if (number == 0 || part > UINT32_MAX)
        return false;
    *out = (struct trp_segment_id){number, (uint32_t)part};
    trp_segment_name(again, *out);
    return strcmp(again, name) == 0;
}

int trp_segment_id_cmp(struct trp_segment_id a, struct trp_segment_id b) {
    if (a.number != b.number)
        return a.number < b.number ? -1 : 1;
    return (a.part > b.part) - (a.part < b.part);
}

void trp_segment_head_write(uint8_t out[TRP_SEGMENT_HEADER], struct trp_segment_id id, uint64_t first) {
    memcpy(out, magic, sizeof magic);
    put16(out + 6, TRP_SEGMENT_VERSION);
    put64(out + 8, id.number);
    put32(out + 16, id.part);
    put64(out + 20, first);
    put32(out + HEAD_CHECKED, trp_crc32c(0, out, HEAD_CHECKED));
}

const char *trp_segment_head_read(const uint8_t in[TRP_SEGMENT_HEADER], struct trp_segment_head *out) {
    if (memcmp(in, magic, sizeof magic) != 0)
        return "does not begin as a segment does";
    out->version = get16(in + 6);
    if (out->version != TRP_SEGMENT_VERSION)
        return "has a version that this program does not read";
    if (get32(in + HEAD_CHECKED) != trp_crc32c(0, in, HEAD_CHECKED))
        return "has a damaged header";
    out->id = (struct trp_segment_id){get64(in + 8), get32(in + 16)};
    out->first = get64(in + 20);
    return NULL;
}

/* The position is checked, not stored. */
static uint32_t record_crc_begin(const uint8_t length[4], uint64_t position) {
    uint8_t checked[12];
    memcpy(checked, length, 4);
    put64(checked + 4, position);
    return trp_crc32c(0, checked, sizeof checked);
}

void trp_record_head_write(uint8_t out[TRP_RECORD_HEADER], uint64_t position, const struct trp_slice *parts, size_t n,
                           size_t size) {
    trp_assert(size > 0 && size <= TRP_RECORD_MAX);
    put32(out, (uint32_t)size);
    uint32_t crc = record_crc_begin(out, position);
    for (size_t i = 0; i < n; i++)
        crc = trp_crc32c(crc, parts[i].p, parts[i].n);
    put32(out + 4, crc);
}

void trp_record_mark_write(uint8_t out[TRP_RECORD_MARK], uint64_t position, struct trp_segment_mark mark) {
    uint8_t *bytes = out + TRP_RECORD_HEADER;
    put32(out, mark_length);
    put64(bytes, mark.synced);
    put64(bytes + 8, mark.oldest);
    put32(out + 4, trp_crc32c(record_crc_begin(out, position), bytes, MARK_BYTES));
}

static bool all_zero(const uint8_t *p, size_t n) {
    while (n && *p == 0)
        p++, n--;
    return n == 0;
}

enum trp_record_kind trp_record_read(struct trp_slice in, uint64_t position, struct trp_record *out) {
    out->size = TRP_RECORD_HEADER;
    if (in.n < TRP_RECORD_HEADER)
        return TRP_RECORD_MORE;
    if (all_zero(in.p, TRP_RECORD_HEADER))
        return TRP_RECORD_ZERO;
    uint32_t length = get32(in.p);
    bool is_mark = length == mark_length;
    size_t n = is_mark ? MARK_BYTES : length;
    if (n == 0 || n > TRP_RECORD_MAX)
        return TRP_RECORD_BAD;
    out->size = TRP_RECORD_HEADER + n;
    if (in.n < out->size)
        return TRP_RECORD_MORE;
    out->bytes = (struct trp_slice){in.p + TRP_RECORD_HEADER, n};
    if (get32(in.p + 4) != trp_crc32c(record_crc_begin(in.p, position), out->bytes.p, n))
        return TRP_RECORD_BAD;
    if (is_mark)
        out->mark = (struct trp_segment_mark){get64(out->bytes.p), get64(out->bytes.p + 8)};
    return is_mark ? TRP_RECORD_MARKED : TRP_RECORD_GOOD;
}

bool trp_segment_marked_beyond(struct trp_slice in, uint64_t position, uint64_t beyond) {
    for (size_t i = 0; in.n - i >= TRP_RECORD_MARK; i++) {
        struct trp_record r;
        /* The length is looked at here first: a walk over megabytes of anything else has to be quick. */
        if (in.p[i + 3] == 0x80 && get32(in.p + i) == mark_length &&
            trp_record_read((struct trp_slice){in.p + i, TRP_RECORD_MARK}, position + i, &r) == TRP_RECORD_MARKED &&
            r.mark.synced > beyond)
            return true;
    }
    return false;
}
