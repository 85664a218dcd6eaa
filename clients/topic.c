/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * `*` and `>` mean something only as whole tokens, and are allowed nowhere else, so that nobody can mistake `a*` for a
 * prefix. Topics are checked at every publish, hence the table. */
#include "clients/topic.h"

#include "transports/envelope.h"
#include "transports/json.h"

enum { PLAIN, DOT, WILD, BAD };

/* What a byte is to us. Bytes from 0x80 on are parts of UTF-8, looked at as a whole afterwards. */
static int byte_class(uint8_t b) {
    if (b <= 0x20 || b == 0x7f)
        return BAD;
    if (b == '.')
        return DOT;
    return b == '*' || b == '>' ? WILD : PLAIN;
}

/* Is the wildcard at s.p[i] a token by itself, and a `>` the last one? */
static bool wild_is_token(struct trp_slice s, size_t i) {
    bool first = i == 0 || s.p[i - 1] == '.', last = i + 1 == s.n;
    return first && (last || (s.p[i] == '*' && s.p[i + 1] == '.'));
}

static bool tokens_valid(struct trp_slice s, bool wild) {
    uint8_t high = 0;
    int before = DOT;
    if (s.n == 0 || s.n > TRP_TOPIC_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        int class = byte_class(s.p[i]);
        if (class == BAD || (class == DOT && before == DOT) || (class == WILD && !(wild && wild_is_token(s, i))))
            return false;
        high |= s.p[i];
        before = class;
    }
    return before != DOT && (high < 0x80 || trp_utf8_valid(s.p, s.n));
}

bool trp_is_topic(struct trp_slice s) {
    return tokens_valid(s, false);
}

bool trp_is_pattern(struct trp_slice s) {
    return tokens_valid(s, true);
}
