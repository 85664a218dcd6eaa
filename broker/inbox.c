/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * base64url of a fixed width; the peer's slot is written in front of its nonce, big-endian. */
#include "broker/inbox.h"

enum { SLOT_AT = 3, SLOT_CHARS = 6, NONCE_AT = SLOT_AT + SLOT_CHARS };

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static uint32_t digit_value(uint8_t c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26u;
    if (c >= '0' && c <= '9')
        return c - '0' + 52u;
    return c == '-' ? 62 : c == '_' ? 63 : UINT32_MAX;
}

void trp_inbox_write(uint8_t prefix[TRP_INBOX_PREFIX], uint32_t slot, const uint8_t nonce[TRP_INBOX_NONCE]) {
    memcpy(prefix, "_r.", SLOT_AT);
    for (unsigned i = 0; i < SLOT_CHARS; i++)
        prefix[SLOT_AT + i] = (uint8_t)digits[((uint64_t)slot >> (6 * (SLOT_CHARS - 1 - i))) & 63];
    uint8_t *out = prefix + NONCE_AT;
    for (const uint8_t *in = nonce; in < nonce + TRP_INBOX_NONCE; in += 3, out += 4) {
        uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        for (unsigned i = 0; i < 4; i++)
            out[i] = (uint8_t)digits[bits >> (18 - 6 * i) & 63];
    }
    prefix[TRP_INBOX_PREFIX - 1] = '.';
}

uint32_t trp_inbox_slot(struct trp_slice topic) {
    if (topic.n <= TRP_INBOX_PREFIX)
        return UINT32_MAX;
    uint64_t slot = 0;
    for (unsigned i = 0; i < SLOT_CHARS; i++) {
        uint32_t v = digit_value(topic.p[SLOT_AT + i]);
        if (v == UINT32_MAX)
            return UINT32_MAX;
        slot = slot << 6 | v;
    }
    return slot < UINT32_MAX ? (uint32_t)slot : UINT32_MAX;
}
