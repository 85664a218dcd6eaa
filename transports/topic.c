/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * `*` and `>` mean something only as whole tokens, and are allowed nowhere else, so that nobody can mistake `a*` for a
 * prefix. Topics are checked at every publish: nearly all of their bytes are letters, and for those one look into a
 * table of bits is all. */
#include "transports/topic.h"

#include "transports/envelope.h"
#include "transports/json.h"

#define BIT(b) (UINT64_C(1) << ((b)&63))

/* The bytes to be looked at more closely: blanks and controls, `*`, `.`, `>`, DEL, and all above ASCII. */
static const uint64_t special[4] = {
    (BIT(0x21) - 1) | BIT('*') | BIT('.') | BIT('>'),
    BIT(0x7f),
    UINT64_MAX,
    UINT64_MAX,
};

static inline bool is_special(uint8_t b) {
    return special[b >> 6] & BIT(b);
}

/* Is the wildcard at s.p[i] a token by itself, and a `>` the last one? */
static bool wild_is_token(struct trp_slice s, size_t i) {
    bool first = i == 0 || s.p[i - 1] == '.', last = i + 1 == s.n;
    return first && (last || (s.p[i] == '*' && s.p[i + 1] == '.'));
}

/* A dot ends a token: there must be one before it, and one must follow. */
static bool dot_is_good(struct trp_slice s, size_t i) {
    return i > 0 && i + 1 < s.n && s.p[i - 1] != '.';
}

static bool special_is_good(struct trp_slice s, size_t i, bool wild, bool *high) {
    uint8_t b = s.p[i];
    if (b == '.')
        return dot_is_good(s, i);
    if (b == '*' || b == '>')
        return wild && wild_is_token(s, i);
    *high = true; /* part of UTF-8, or not: seen as a whole afterwards */
    return b >= 0x80;
}

static bool tokens_valid(struct trp_slice s, bool wild) {
    bool high = false;
    if (s.n == 0 || s.n > TRP_TOPIC_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (is_special(s.p[i]) && !special_is_good(s, i, wild, &high))
            return false;
    return !high || trp_utf8_valid(s.p, s.n);
}

bool trp_is_topic(struct trp_slice s) {
    return tokens_valid(s, false);
}

bool trp_is_pattern(struct trp_slice s) {
    return tokens_valid(s, true);
}

static const uint8_t queue_prefix[] = {'_', 'q', '.'};

struct trp_slice trp_queue_topic(struct trp_slice name, uint8_t *out) {
    if (name.n == 0 || name.n > TRP_QUEUE_NAME_MAX)
        return (struct trp_slice){0};
    memcpy(out, queue_prefix, sizeof queue_prefix);
    memcpy(out + sizeof queue_prefix, name.p, name.n);
    return (struct trp_slice){out, sizeof queue_prefix + name.n};
}

bool trp_queue_of_topic(struct trp_slice topic, struct trp_slice *name) {
    if (topic.n < sizeof queue_prefix || memcmp(topic.p, queue_prefix, sizeof queue_prefix) != 0)
        return false;
    *name = (struct trp_slice){topic.p + sizeof queue_prefix, topic.n - sizeof queue_prefix};
    return true;
}
