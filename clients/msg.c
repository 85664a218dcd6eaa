/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * One block a message:
 *
 *     [ struct troupe_msg | topic 0 | reply | headers | payload | info ]
 *
 * Blocks of the usual size are all of one size and go to a list of the thread that frees them, from where its next
 * messages come: in the steady state of a thread that receives and frees, nothing is allocated. The list is bounded;
 * where one thread only makes and another only frees, the allocator does the work as ever. A thread that ends gives
 * its list back. Under AddressSanitizer there is no list, since it would hide a use after free. */
#include "clients/msg.h"

#include <pthread.h>
#include <stdlib.h>

#include "clients/conn.h"
#include "transports/alloc.h"
#include "transports/json.h"

enum {
    BLOCK = 512,        /* a small message, its struct included */
    BLOCKS_MOST = 2048, /* kept by a thread: what one large read may bring */
};

#if defined(__SANITIZE_ADDRESS__)
#define POOLED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOLED 0
#else
#define POOLED 1
#endif
#else
#define POOLED 1
#endif

/* --- the blocks --- */

static _Thread_local struct {
    struct troupe_msg *free;
    unsigned count;
    bool known; /* blocks_end has been announced for this thread */
} blocks;

static pthread_key_t blocks_key;
static pthread_once_t blocks_once = PTHREAD_ONCE_INIT;
static bool blocks_ok;

static void blocks_end(void *unused) {
    (void)unused;
    while (blocks.free) {
        struct troupe_msg *m = blocks.free;
        blocks.free = m->next;
        trp_free(m);
    }
    blocks.count = 0;
    blocks.known = false; /* another key's destructor may still free messages: then this one runs again */
}

static void blocks_make_key(void) {
    blocks_ok = pthread_key_create(&blocks_key, blocks_end) == 0;
}

/* Has this thread's end been arranged for? */
static bool blocks_known(void) {
    if (blocks.known)
        return true;
    (void)pthread_once(&blocks_once, blocks_make_key);
    blocks.known = blocks_ok && pthread_setspecific(blocks_key, &blocks) == 0;
    return blocks.known;
}

static bool is_small(size_t size) {
    return size <= BLOCK - sizeof(struct troupe_msg);
}

static struct troupe_msg *block_get(size_t size) {
    if (size > SIZE_MAX - sizeof(struct troupe_msg))
        return NULL;
    if (!is_small(size) || !POOLED)
        return trp_malloc(sizeof(struct troupe_msg) + size);
    struct troupe_msg *m = blocks.free;
    if (!m)
        return trp_malloc(BLOCK);
    blocks.free = m->next;
    blocks.count--;
    return m;
}

static void block_put(struct troupe_msg *m) {
    if (!POOLED || !is_small(m->size) || blocks.count >= BLOCKS_MOST || !blocks_known()) {
        trp_free(m);
        return;
    }
    m->next = blocks.free;
    blocks.free = m;
    blocks.count++;
}

/* --- making one --- */

static struct trp_slice keep(uint8_t **at, struct trp_slice from) {
    struct trp_slice kept = {*at, from.n};
    if (from.n)
        memcpy(*at, from.p, from.n);
    *at += from.n;
    return kept;
}

/* Everything but the bytes. */
static struct troupe_msg *msg_new(size_t size) {
    struct troupe_msg *m = block_get(size);
    if (!m)
        return NULL;
    *m = (struct troupe_msg){.size = size};
    return m;
}

static void find_error(struct troupe_msg *m) {
    struct trp_slice code;
    if (m->headers.n == 0 || !trp_map_str(m->headers, "t-error", &code) || code.n == 0)
        return;
    size_t n = code.n < sizeof m->error ? code.n : sizeof m->error - 1;
    memcpy(m->error, code.p, n);
    m->error[n] = 0;
}

struct troupe_msg *trp_msg_from_queue(const struct trp_message *w, struct trp_slice info) {
    struct troupe_msg *m = msg_new(w->topic.n + 1 + w->reply.n + w->headers.n + w->payload.n + info.n);
    if (!m)
        return NULL;
    uint8_t *at = m->bytes;
    m->topic = keep(&at, w->topic);
    *at++ = 0;
    m->reply = keep(&at, w->reply);
    m->headers = keep(&at, w->headers);
    m->payload = keep(&at, w->payload);
    m->info = keep(&at, info);
    find_error(m);
    return m;
}

struct troupe_msg *trp_msg_from_wire(const struct trp_message *w) {
    return trp_msg_from_queue(w, (struct trp_slice){0});
}

troupe_status trp_msg_from_value(struct troupe_msg **out, troupe_value v, struct trp_slice headers) {
    static const struct trp_pack_limits inner = {.depth = TRP_INNER_DEPTH};
    size_t most;
    troupe_status st = trp_pack_check(v, &inner, &most);
    if (st != TROUPE_OK)
        return st;
    struct troupe_msg *m = msg_new(1 + headers.n + most);
    if (!m)
        return TROUPE_NO_MEMORY;
    uint8_t *at = m->bytes;
    m->topic = (struct trp_slice){at, 0};
    *at++ = 0;
    m->headers = keep(&at, headers);
    m->payload = (struct trp_slice){at, (size_t)(trp_pack_checked(at, v) - at)};
    find_error(m);
    *out = m;
    return TROUPE_OK;
}

void trp_msg_drop(struct troupe_msg *m) {
    if (m)
        block_put(m);
}

void troupe_msg_free(troupe_msg **m) {
    struct troupe_msg *gone = *m;
    if (!gone)
        return;
    *m = NULL;
    if (gone->origin.settle)
        gone->origin.settle(gone,
                            gone->info.n > 0); /* a queue's message is done when it is acknowledged, not when it is forgotten */
    trp_msg_drop(gone);
}

/* --- reading it --- */

const char *troupe_msg_topic(const troupe_msg *m) {
    return (const char *)m->topic.p;
}

troupe_value troupe_msg_value(const troupe_msg *m) {
    const uint8_t *p = m->payload.p;
    troupe_value v;
    if (m->payload.n == 0 || trp_unpack_value(&p, p + m->payload.n, &v) != TROUPE_OK)
        return troupe_nil(); /* never: it was scanned, or packed by us */
    return v;
}

bool troupe_msg_int(const troupe_msg *m, int64_t *out) {
    troupe_value v = troupe_msg_value(m);
    if (v.kind != TROUPE_INT)
        return false;
    *out = v.i;
    return true;
}

const void *troupe_msg_packed(const troupe_msg *m, size_t *size) {
    *size = m->payload.n;
    return m->payload.p;
}

char *troupe_msg_json(const troupe_msg *m) {
    struct trp_buf text = {0};
    char *out = NULL;
    if (trp_json_from_pack(&text, m->payload.p, m->payload.n) == TROUPE_OK && (out = malloc(text.n + 1))) {
        if (text.n)
            memcpy(out, text.p, text.n);
        out[text.n] = 0;
    }
    trp_buf_fini(&text);
    return out;
}

bool troupe_msg_wants_reply(const troupe_msg *m) {
    return !m->answered && (m->reply.n || m->ask);
}

const char *troupe_msg_error(const troupe_msg *m) {
    return m->error[0] ? m->error : NULL;
}

bool troupe_msg_header(const troupe_msg *m, const char *key, troupe_value *out) {
    return (m->info.n && trp_map_value(m->info, key, out)) || (m->headers.n && trp_map_value(m->headers, key, out));
}
