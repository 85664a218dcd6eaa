/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Layout: [ struct trp_birth | arg | spare ], arg and spare aligned for anything. The spare exists only where a
 * restart may need what the first body was given. */
#include "actors/birth.h"

#include <stdalign.h>

#include "actors/object.h"
#include "actors/sanitizer.h"
#include "actors/worker.h"
#include "transports/alloc.h"
#include "transports/log.h"

enum { MAILBOX = 1024, BACKOFF_MIN_MS = 100, BACKOFF_MAX_MS = 10000, ALIGN = alignof(max_align_t) };
enum { USUAL = 256, NEAR_MOST = 32 };
#define MAILBOX_BYTES ((size_t)64 << 20)

static size_t aligned(size_t n) {
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* What only a process can have. */
static bool wants_process(const troupe_spawn_opts *o) {
    return o->deadline_ms || o->limits.memory || o->limits.cpu_seconds || o->limits.files || o->limits.cpu_percent ||
           o->limits.tasks || o->clean_env;
}

/* What is wrong with them; NULL: nothing. */
static const char *fault_of(const troupe_spawn_opts *o, troupe_body *body) {
    if ((unsigned)o->kind > TROUPE_PROCESS && body != trp_object_body)
        return "no such .kind";
    if ((unsigned)o->restart > TROUPE_PERMANENT)
        return "no such .restart";
    if ((unsigned)o->overflow > TROUPE_DROP_OLDEST)
        return "no such .overflow";
    if (o->backoff_min_ms < 0 || o->backoff_max_ms < 0 || o->deadline_ms < 0)
        return "a time is negative: .backoff_min_ms, .backoff_max_ms or .deadline_ms";
    if (o->kind != TROUPE_PROCESS && wants_process(o))
        return ".deadline_ms, .limits and .clean_env are for .kind = TROUPE_PROCESS";
    return NULL;
}

static const char *fault_of_birth(const troupe_spawn_opts *o, troupe_body *body, const void *arg, size_t arg_size) {
    if (!body)
        return "there is no body";
    if (arg_size && !arg)
        return "an argument of NULL has a size";
    if (arg_size > SIZE_MAX / 4)
        return "no argument is so large";
    return o ? fault_of(o, body) : NULL;
}

static troupe_status refuse(const troupe_spawn_opts *o, const char *why) {
    trp_log(TROUPE_LOG_ERROR, "actor.invalid", "%.*s is not spawned: %s", TRP_NAME_MAX, o && o->name ? o->name : "an actor",
            why);
    return TROUPE_INVALID;
}

static int64_t at_least(int64_t ms, int64_t floor) {
    return ms > floor ? ms : floor;
}

/* What it is without options. */
static const struct trp_birth plain = {
    .refs = 1,
    .mailbox = MAILBOX,
    .mailbox_bytes = MAILBOX_BYTES,
    .backoff_min_ms = BACKOFF_MIN_MS,
    .backoff_max_ms = BACKOFF_MAX_MS,
};

static void fill(struct trp_birth *b, const troupe_spawn_opts *o) {
    b->kind = o->kind;
    b->restart = o->restart;
    b->overflow = o->overflow;
    b->link = o->link;
    b->registered = o->registered;
    b->mailbox = o->mailbox ? o->mailbox : MAILBOX;
    b->mailbox_bytes = o->mailbox_bytes ? o->mailbox_bytes : MAILBOX_BYTES;
    b->stack = o->stack;
    b->backoff_min_ms = o->backoff_min_ms ? o->backoff_min_ms : BACKOFF_MIN_MS;
    b->backoff_max_ms = at_least(o->backoff_max_ms ? o->backoff_max_ms : BACKOFF_MAX_MS, b->backoff_min_ms);
    b->max_messages = o->max_messages;
    b->deadline_ms = o->deadline_ms;
    b->limits = o->limits;
    b->clean_env = o->clean_env;
    if (o->name)
        memcpy(b->name, o->name, strnlen(o->name, TRP_NAME_MAX));
}

/* --- blocks --- */

/* Where an actor spawns others and they end, the same few blocks are used again. Not under AddressSanitizer, which is to see
 * what is used after its end. */
static struct trp_births_near *near_here(void) {
    struct trp_runner *here = TRP_ASAN ? NULL : trp_runner_here();
    return here ? &here->births : NULL;
}

static struct trp_birth *block_get(size_t size) {
    struct trp_births_near *near = near_here();
    if (size > USUAL || !near || !near->spare)
        return trp_malloc(size > USUAL ? size : USUAL);
    struct trp_birth *b = near->spare;
    near->spare = b->luggage;
    near->spares--;
    return b;
}

static void block_put(struct trp_birth *b) {
    struct trp_births_near *near = near_here();
    if (b->size > USUAL || !near || near->spares >= NEAR_MOST) {
        trp_free(b);
        return;
    }
    b->luggage = near->spare;
    near->spare = b;
    near->spares++;
}

void trp_births_near_fini(struct trp_births_near *near) {
    while (near->spare) {
        struct trp_birth *b = near->spare;
        near->spare = b->luggage;
        trp_free(b);
    }
    near->spares = 0;
}

/* --- birth --- */

troupe_status trp_birth_new(struct trp_birth **out, const troupe_spawn_opts *opts, troupe_body *body, const void *arg,
                            size_t arg_size) {
    const char *fault = fault_of_birth(opts, body, arg, arg_size);
    if (fault)
        return refuse(opts, fault);
    bool spare = arg_size && opts && opts->restart != TROUPE_TEMPORARY;
    size_t head = aligned(sizeof(struct trp_birth)), room = aligned(arg_size), size = head + room * (spare ? 2 : 1);
    struct trp_birth *b = block_get(size);
    if (!b)
        return TROUPE_NO_MEMORY;
    memcpy(b, &plain, sizeof plain);
    if (opts)
        fill(b, opts);
    b->body = body;
    b->size = size;
    b->arg_size = arg_size;
    if (arg_size) {
        b->arg = (uint8_t *)b + head;
        b->spare = spare ? b->arg + room : NULL;
        memcpy(b->arg, arg, arg_size);
    }
    *out = b;
    return TROUPE_OK;
}

struct trp_birth *trp_birth_move(struct trp_birth *b, void *to) {
    struct trp_birth *moved = memcpy(to, b, b->size);
    moved->size = 0;
    if (b->arg)
        moved->arg = (uint8_t *)to + (b->arg - (uint8_t *)b);
    if (b->spare)
        moved->spare = (uint8_t *)to + (b->spare - (uint8_t *)b);
    block_put(b);
    return moved;
}

struct trp_birth *trp_birth_ref(struct trp_birth *b) {
    /* Relaxed: whoever takes a reference holds one already. */
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

bool trp_birth_like(const struct trp_birth *b, const troupe_spawn_opts *opts) {
    static const troupe_spawn_opts defaults;
    struct trp_birth other = {0};
    opts = opts ? opts : &defaults;
    if (opts->name || opts->registered)
        return false;
    fill(&other, opts);
    return b->kind == other.kind && b->restart == other.restart && b->overflow == other.overflow && b->link == other.link &&
           !b->registered && b->mailbox == other.mailbox && b->mailbox_bytes == other.mailbox_bytes &&
           b->stack == other.stack && b->max_messages == other.max_messages && !wants_process(opts) &&
           b->kind != TROUPE_PROCESS;
}

static void destroy(struct trp_birth *b) {
    if (b->luggage)
        b->luggage_free(b->luggage);
    if (b->size)
        block_put(b);
}

void trp_birth_free(struct trp_birth *b) {
    /* The only reference is the caller's: nobody can take another meanwhile. Acquire what the others did; release what this
     * thread did with it, acquire what the others did. */
    if (b && (atomic_load_explicit(&b->refs, memory_order_acquire) == 1 ||
              atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1))
        destroy(b);
}

void *trp_birth_arg(struct trp_birth *b) {
    if (!b->spare)
        return b->arg;
    memcpy(b->spare, b->arg, b->arg_size);
    return b->spare;
}

troupe_spawn_opts trp_birth_opts(const struct trp_birth *b) {
    return (troupe_spawn_opts){.kind = b->kind,
                               .name = b->name,
                               .mailbox = b->mailbox,
                               .mailbox_bytes = b->mailbox_bytes,
                               .overflow = b->overflow,
                               .link = b->link,
                               .registered = b->registered,
                               .stack = b->stack,
                               .restart = b->restart,
                               .backoff_min_ms = b->backoff_min_ms,
                               .backoff_max_ms = b->backoff_max_ms,
                               .max_messages = b->max_messages,
                               .deadline_ms = b->deadline_ms,
                               .limits = b->limits,
                               .clean_env = b->clean_env};
}
