/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Declarations: defaults, rules, differences, the packed form. The numbers of a declaration are in one table, so that each
 * is compared, packed and read, or none. */
#include "broker/queue_config.h"
#include "broker/topics.h"
#include <inttypes.h>
#include <stdio.h>

enum { FIELDS = 11 };

struct trp_queue_config trp_queue_config(struct trp_slice name) {
    return (struct trp_queue_config){
        .name = name,
        .max_messages = 1000000,
        .max_bytes = UINT64_C(1) << 30,
        .ack_timeout_ms = 30000,
        .max_deliveries = 16,
        .max_crashes = 3,
        .dedup_ms = 120000,
    };
}

/* ---- rules ---- */

static troupe_status invalid(char why[TRP_QUEUE_WHY], const char *sentence) {
    snprintf(why, TRP_QUEUE_WHY, "%s", sentence);
    return TROUPE_INVALID;
}

static troupe_status check_patterns(const struct trp_queue_config *c, char why[TRP_QUEUE_WHY]) {
    if (c->n_patterns > TRP_QUEUE_PATTERNS_MAX) {
        snprintf(why, TRP_QUEUE_WHY, "it has %zu patterns, and may have %d", c->n_patterns, TRP_QUEUE_PATTERNS_MAX);
        return TROUPE_INVALID;
    }
    for (size_t i = 0; i < c->n_patterns; i++)
        if (!trp_is_pattern(c->patterns[i])) {
            snprintf(why, TRP_QUEUE_WHY, "pattern %zu is not a valid pattern", i + 1);
            return TROUPE_INVALID;
        }
    return TROUPE_OK;
}

static troupe_status check_dead_letter(const struct trp_queue_config *c, char why[TRP_QUEUE_WHY]) {
    if (c->dead_letter.n > 0 && !trp_is_topic(c->dead_letter))
        return invalid(why, "dead_letter is not a valid queue name");
    if (trp_slice_eq(c->dead_letter, c->name))
        return invalid(why, "dead_letter is the queue itself");
    return TROUPE_OK;
}

static troupe_status check(const struct trp_queue_config *c, char why[TRP_QUEUE_WHY]) {
    if (!trp_is_topic(c->name))
        return invalid(why, "the name is not valid: at most 255 bytes, words joined by '.', without blanks, '*' and '>'");
    if (c->max_messages == 0 || c->max_bytes == 0)
        return invalid(why, "max_messages and max_bytes must not be 0");
    if (c->overflow > TRP_QUEUE_DROP_OLDEST)
        return invalid(why, "overflow is neither reject-new nor drop-oldest");
    if (c->max_crashes > UINT16_MAX)
        return invalid(why, "max_crashes is more than 65535");
    troupe_status st = check_patterns(c, why);
    return st ? st : check_dead_letter(c, why);
}

/* NAME.dead, unless that is too long. */
static troupe_status name_dead_letter(struct trp_queue_declared *d, char why[TRP_QUEUE_WHY]) {
    static const char suffix[] = {'.', 'd', 'e', 'a', 'd'};
    struct trp_slice name = d->config.name;
    if (name.n + sizeof suffix > sizeof d->dead_letter)
        return invalid(why, "the name is too long for NAME.dead: name a dead_letter queue");
    if (name.n)
        memcpy(d->dead_letter, name.p, name.n);
    memcpy(d->dead_letter + name.n, suffix, sizeof suffix);
    d->config.dead_letter = (struct trp_slice){d->dead_letter, name.n + sizeof suffix};
    return TROUPE_OK;
}

troupe_status trp_queue_config_resolve(const struct trp_queue_config *in, struct trp_queue_declared *out,
                                       char why[TRP_QUEUE_WHY]) {
    out->config = *in;
    if (!in->dead_letter.p) {
        troupe_status st = name_dead_letter(out, why);
        if (st)
            return st;
    }
    return check(&out->config, why);
}

/* ---- the table ---- */

struct number {
    const char *name;
    uint64_t value;
};

enum { NUMBERS = 8 };

/* In the order in which they are packed; the dead-letter queue's name stands before the last one. */
static void numbers_of(const struct trp_queue_config *c, struct number out[NUMBERS]) {
    const struct number all[NUMBERS] = {
        {"max_messages", c->max_messages},   {"max_bytes", c->max_bytes},
        {"overflow", (uint64_t)c->overflow}, {"ttl", c->ttl_ms},
        {"ack_timeout", c->ack_timeout_ms},  {"max_deliveries", c->max_deliveries},
        {"max_crashes", c->max_crashes},     {"dedup", c->dedup_ms},
    };
    memcpy(out, all, sizeof all);
}

/* ---- differences ---- */

static bool differs_in_word(char why[TRP_QUEUE_WHY], const char *name, const char *is, const char *asked) {
    snprintf(why, TRP_QUEUE_WHY, "%s is %s, not %s", name, is, asked);
    return true;
}

static bool differs_in_slice(char why[TRP_QUEUE_WHY], const char *name, struct trp_slice is, struct trp_slice asked) {
    snprintf(why, TRP_QUEUE_WHY, "%s is '%.*s', not '%.*s'", name, (int)is.n, (const char *)is.p, (int)asked.n,
             (const char *)asked.p);
    return true;
}

static bool differs_in_patterns(const struct trp_queue_config *is, const struct trp_queue_config *asked,
                                char why[TRP_QUEUE_WHY]) {
    for (size_t i = 0; i < is->n_patterns && i < asked->n_patterns; i++)
        if (!trp_slice_eq(is->patterns[i], asked->patterns[i])) {
            char name[32];
            snprintf(name, sizeof name, "pattern %zu", i + 1);
            return differs_in_slice(why, name, is->patterns[i], asked->patterns[i]);
        }
    if (is->n_patterns == asked->n_patterns)
        return false;
    snprintf(why, TRP_QUEUE_WHY, "it has %zu patterns, not %zu", is->n_patterns, asked->n_patterns);
    return true;
}

bool trp_queue_config_differs(const struct trp_queue_config *is, const struct trp_queue_config *asked,
                              char why[TRP_QUEUE_WHY]) {
    static const char *const durable[] = {"in memory", "durable"}, *const overflow[] = {"reject-new", "drop-oldest"};
    struct number a[NUMBERS], b[NUMBERS];
    numbers_of(is, a);
    numbers_of(asked, b);
    if (is->durable != asked->durable)
        return differs_in_word(why, "it", durable[is->durable], durable[asked->durable]);
    if (is->overflow != asked->overflow)
        return differs_in_word(why, "overflow", overflow[is->overflow], overflow[asked->overflow]);
    for (int i = 0; i < NUMBERS; i++)
        if (a[i].value != b[i].value) {
            snprintf(why, TRP_QUEUE_WHY, "%s is %" PRIu64 ", not %" PRIu64, a[i].name, a[i].value, b[i].value);
            return true;
        }
    if (!trp_slice_eq(is->dead_letter, asked->dead_letter))
        return differs_in_slice(why, "dead_letter", is->dead_letter, asked->dead_letter);
    return differs_in_patterns(is, asked, why);
}

/* ---- packed ---- */

size_t trp_queue_config_size(const struct trp_queue_config *c) {
    size_t n = (4 + NUMBERS) * TRP_PACK_MAX_HEAD + c->name.n + c->dead_letter.n;
    for (size_t i = 0; i < c->n_patterns; i++)
        n += TRP_PACK_MAX_HEAD + c->patterns[i].n;
    return n;
}

uint8_t *trp_queue_config_pack(uint8_t *p, const struct trp_queue_config *c) {
    struct number numbers[NUMBERS];
    numbers_of(c, numbers);
    p = trp_pack_str(trp_pack_array(p, FIELDS), c->name);
    for (int i = 0; i < NUMBERS - 1; i++)
        p = trp_pack_uint(p, numbers[i].value);
    p = trp_pack_str(p, c->dead_letter);
    p = trp_pack_uint(p, numbers[NUMBERS - 1].value);
    p = trp_pack_array(p, (uint32_t)c->n_patterns);
    for (size_t i = 0; i < c->n_patterns; i++)
        p = trp_pack_str(p, c->patterns[i]);
    return p;
}

static bool read_numbers(const uint8_t **p, const uint8_t *end, uint64_t *v, int n) {
    for (int i = 0; i < n; i++)
        if (!trp_unpack_uint(p, end, &v[i]))
            return false;
    return true;
}

static bool read_patterns(const uint8_t **p, const uint8_t *end, struct trp_queue_config *c, struct trp_slice *patterns) {
    uint32_t n;
    if (!trp_unpack_array(p, end, &n) || n > TRP_QUEUE_PATTERNS_MAX)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!trp_unpack_str(p, end, &patterns[i]))
            return false;
    c->patterns = patterns;
    c->n_patterns = n;
    return *p == end;
}

bool trp_queue_config_read(struct trp_slice packed, struct trp_queue_config *c, struct trp_slice *patterns) {
    const uint8_t *p = packed.p, *end = packed.p + packed.n;
    uint32_t fields;
    uint64_t v[NUMBERS];
    *c = (struct trp_queue_config){0};
    if (!trp_unpack_array(&p, end, &fields) || fields != FIELDS || !trp_unpack_str(&p, end, &c->name) ||
        !read_numbers(&p, end, v, NUMBERS - 1) || !trp_unpack_str(&p, end, &c->dead_letter) ||
        !read_numbers(&p, end, v + NUMBERS - 1, 1) || !read_patterns(&p, end, c, patterns))
        return false;
    if (v[2] > TRP_QUEUE_DROP_OLDEST || v[5] > UINT32_MAX || v[6] > UINT16_MAX)
        return false;
    c->max_messages = v[0];
    c->max_bytes = v[1];
    c->overflow = (enum trp_queue_overflow)v[2];
    c->ttl_ms = v[3];
    c->ack_timeout_ms = v[4];
    c->max_deliveries = (uint32_t)v[5];
    c->max_crashes = (uint32_t)v[6];
    c->dedup_ms = v[7];
    return true;
}
