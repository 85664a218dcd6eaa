/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What is said about a queue: each call here is one question to the broker, [QUEUE, id, verb, name, options], and its answer.
 * Options are packed into the client's own buffer, which stays as large as it once had to be. */
#include <troupe/queue.h>

#include "clients/client_state.h"
#include "transports/topic.h"

enum { PAIR_MOST = 32, PATTERNS_MOST = 64, FIXED_PAIRS = 12 };

/* Asks; the receipt tells what was answered. A queue named NULL is none. */
static troupe_status ask(struct troupe_client *c, const char *verb, const char *queue, struct trp_slice options,
                         struct trp_receipt *receipt) {
    int64_t deadline = trp_client_deadline(TRP_CLIENT_RECEIPT_MS);
    struct trp_slice name = trp_slice_str(queue ? queue : "");
    *receipt = (struct trp_receipt){.r = {.done = trp_receipt_done, .user = receipt}, .c = c};
    if (queue && (name.n > TRP_QUEUE_NAME_MAX || !trp_is_topic(name)))
        return trp_client_say(c, TROUPE_INVALID, "a queue's name is a topic of at most 252 bytes");
    troupe_status st = trp_client_connected(c, deadline);
    if (st != TROUPE_OK)
        return st;
    st = trp_conn_queue(c->conn, verb, name, options, &receipt->r);
    return st == TROUPE_OK ? trp_receipt_await(c, receipt, deadline) : trp_client_plainly(c, st);
}

/* The same where all that matters is whether it was done, and to how many. count may be NULL. */
static troupe_status tell(struct troupe_client *c, const char *verb, const char *queue, struct trp_slice options,
                          uint64_t *count) {
    struct trp_receipt receipt;
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    troupe_status st = ask(c, verb, queue, options, &receipt);
    if (st == TROUPE_OK && count)
        *count = receipt.r.count;
    trp_msg_drop(receipt.answer);
    return st;
}

/* The same where the answer is a value. */
static troupe_status look(struct troupe_client *c, const char *verb, const char *queue, struct trp_slice options,
                          troupe_msg **out) {
    struct trp_receipt receipt;
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    troupe_status st = ask(c, verb, queue, options, &receipt);
    if (st != TROUPE_OK)
        return st;
    if (!receipt.answer)
        return trp_client_say(c, TROUPE_PROTOCOL, "the broker's answer has no value");
    *out = receipt.answer;
    return TROUPE_OK;
}

/* --- packing --- */

static const struct trp_slice no_options;

/* The caller has made room, here and below. */
static uint8_t *pack_key(uint8_t *p, const char *key) {
    return trp_pack_str(p, trp_slice_str(key));
}

static uint8_t *pack_word(uint8_t *p, const char *key, const char *word) {
    return trp_pack_str(pack_key(p, key), trp_slice_str(word));
}

static uint8_t *pack_true(uint8_t *p, const char *key) {
    return trp_pack_checked(pack_key(p, key), troupe_bool(true));
}

/* A map of one number. */
static struct trp_slice number_option(uint8_t out[PAIR_MOST], const char *key, uint64_t v) {
    uint8_t *p = trp_pack_uint(pack_key(trp_pack_map(out, 1), key), v);
    return (struct trp_slice){out, (size_t)(p - out)};
}

/* --- declare --- */

/* The numbers of a declaration. Where none at all is the default or makes no sense, NONE means a great many. */
struct number {
    const char *key;
    uint64_t v;
    bool none_is_zero;
};

enum { NUMBERS = 7 };

static void numbers_of(const troupe_queue_opts *o, struct number out[NUMBERS]) {
    const struct number all[NUMBERS] = {
        {"max_messages", o->max_messages, false},
        {"max_bytes", o->max_bytes, false},
        {"ttl", o->ttl_ms, true},
        {"ack_timeout", o->ack_timeout_ms, true},
        {"max_deliveries", o->max_deliveries, true},
        {"max_crashes", o->max_crashes, true},
        {"dedup_window", o->dedup_window_ms, true},
    };
    memcpy(out, all, sizeof all);
}

static uint8_t *pack_number(uint8_t *p, const struct number *n) {
    return trp_pack_uint(pack_key(p, n->key), n->v == TROUPE_NONE && n->none_is_zero ? 0 : n->v);
}

static uint8_t *pack_patterns(uint8_t *p, const char *const *bind, uint32_t n) {
    p = trp_pack_array(pack_key(p, "bind"), n);
    for (uint32_t i = 0; i < n; i++)
        p = trp_pack_str(p, trp_slice_str(bind[i]));
    return p;
}

/* How many patterns, and how many bytes they take. */
static uint32_t count_patterns(const troupe_queue_opts *o, size_t *size) {
    uint32_t n = 0;
    for (*size = 0; o->bind && o->bind[n] && n <= PATTERNS_MOST; n++)
        *size += TRP_PACK_MAX_HEAD + strlen(o->bind[n]);
    return n;
}

static uint8_t *pack_declaration(uint8_t *p, const troupe_queue_opts *o, uint32_t patterns) {
    struct number numbers[NUMBERS];
    uint32_t pairs = (uint32_t)o->durable + (o->overflow == TROUPE_QUEUE_DROP_OLDEST) + (o->dead != NULL) + (patterns > 0);
    numbers_of(o, numbers);
    for (int i = 0; i < NUMBERS; i++)
        pairs += numbers[i].v != 0;
    p = trp_pack_map(p, pairs);
    if (o->durable)
        p = pack_true(p, "durable");
    if (o->overflow == TROUPE_QUEUE_DROP_OLDEST)
        p = pack_word(p, "overflow", "drop-oldest");
    if (o->dead)
        p = pack_word(p, "dead", o->dead);
    if (patterns > 0)
        p = pack_patterns(p, o->bind, patterns);
    for (int i = 0; i < NUMBERS; i++)
        if (numbers[i].v != 0)
            p = pack_number(p, &numbers[i]);
    return p;
}

troupe_status troupe_queue_declare(troupe_client *c, const char *queue, const troupe_queue_opts *opts) {
    static const troupe_queue_opts defaults = {0};
    const troupe_queue_opts *o = opts ? opts : &defaults;
    size_t size;
    if (!trp_client_here(c))
        return TROUPE_INVALID;
    uint32_t patterns = count_patterns(o, &size);
    if (patterns > PATTERNS_MOST)
        return trp_client_say(c, TROUPE_INVALID, "a queue binds at most 64 patterns");
    c->packed.n = 0;
    troupe_status st = trp_buf_room(&c->packed, (size_t)FIXED_PAIRS * PAIR_MOST + size + (o->dead ? strlen(o->dead) : 0));
    if (st != TROUPE_OK)
        return trp_client_plainly(c, st);
    uint8_t *p = pack_declaration(c->packed.p, o, patterns);
    return tell(c, "declare", queue, (struct trp_slice){c->packed.p, (size_t)(p - c->packed.p)}, NULL);
}

troupe_status troupe_queue_delete(troupe_client *c, const char *queue) {
    return tell(c, "delete", queue, no_options, NULL);
}

/* --- looking --- */

troupe_status troupe_queue_stat(troupe_client *c, const char *queue, troupe_msg **out) {
    return look(c, "stat", queue, no_options, out);
}

troupe_status troupe_queue_list(troupe_client *c, const char *queue, uint64_t after, troupe_msg **out) {
    uint8_t map[PAIR_MOST];
    return look(c, "list", queue && *queue ? queue : NULL, after ? number_option(map, "after", after) : no_options, out);
}

/* count 0: one, not in an array. */
static troupe_status peek(troupe_client *c, const char *queue, const char *state, uint64_t at, uint64_t after, uint64_t count,
                          troupe_msg **out) {
    uint8_t map[5 * PAIR_MOST], *p = trp_pack_map(map, count ? 4 : 2);
    if (state && strlen(state) > PAIR_MOST / 2)
        return TROUPE_INVALID;
    p = pack_word(p, "state", state ? state : "ready");
    p = trp_pack_uint(pack_key(p, "at"), at);
    if (count) {
        p = trp_pack_uint(pack_key(p, "after"), after);
        p = trp_pack_uint(pack_key(p, "count"), count);
    }
    return look(c, "peek", queue, (struct trp_slice){map, (size_t)(p - map)}, out);
}

troupe_status troupe_queue_peek(troupe_client *c, const char *queue, const char *state, uint64_t at, troupe_msg **out) {
    return peek(c, queue, state, at, 0, 0, out);
}

troupe_status troupe_queue_browse(troupe_client *c, const char *queue, const char *state, uint64_t at, uint64_t after,
                                  uint64_t count, troupe_msg **out) {
    return peek(c, queue, state, at, after, count ? count : 1, out);
}

/* --- changing --- */

troupe_status troupe_queue_purge(troupe_client *c, const char *queue, bool all, uint64_t *count) {
    uint8_t map[PAIR_MOST], *p = pack_true(trp_pack_map(map, 1), "all");
    return tell(c, "purge", queue, all ? (struct trp_slice){map, (size_t)(p - map)} : no_options, count);
}

troupe_status troupe_queue_pause(troupe_client *c, const char *queue, bool paused) {
    return tell(c, paused ? "pause" : "resume", queue, no_options, NULL);
}

troupe_status troupe_queue_retry(troupe_client *c, const char *queue, uint64_t most, uint64_t *count) {
    uint8_t map[PAIR_MOST];
    return tell(c, "retry", queue, most ? number_option(map, "count", most) : no_options, count);
}
