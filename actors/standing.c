/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/standing.h"

#include <sys/mman.h>

#include "actors/object.h"
#include "actors/registry.h"

enum { OPEN = 1, CLOSING = 2, REFUSES = 4 }; /* none of the first two: it has ended */
enum { AHEAD_MOST = 512, AHEAD_PART = 2 };

static const size_t slots = (size_t)TRP_SLAB * TRP_SLABS;
static const size_t size = ((size_t)TRP_SLAB * TRP_SLABS + 1) * sizeof(uint64_t); /* and whether letters are heeded */

void trp_standing_init(struct trp_standing *s) {
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    s->words = p == MAP_FAILED ? NULL : p;
}

void trp_standing_fini(struct trp_standing *s) {
    if (s->words)
        munmap((void *)(uintptr_t)s->words, size);
    s->words = NULL;
}

void trp_standing_read_only(const struct trp_standing *s) {
    if (s->words)
        (void)!mprotect((void *)(uintptr_t)s->words, size, PROT_READ);
}

/* An object says itself what it still takes when it is closing. */
static unsigned takes(const struct trp_actor *a) {
    bool is_object = a->backend == &trp_object_backend;
    unsigned refuses = a->birth->overflow != TROUPE_FAIL && !is_object ? 0 : REFUSES;
    switch (a->life) {
    case TRP_STARTING:
    case TRP_RUNNING:
        return OPEN | refuses;
    case TRP_CLOSING:
        return is_object ? OPEN | REFUSES : CLOSING;
    case TRP_ENDED:
        break;
    }
    return 0;
}

static unsigned ahead_of(const struct trp_actor *a) {
    size_t n = a->birth->mailbox / AHEAD_PART;
    return n < 1 ? 1 : n > AHEAD_MOST ? AHEAD_MOST : (unsigned)n;
}

void trp_standing_set(const struct trp_standing *s, const struct trp_actor *a) {
    if (!s->words)
        return;
    /* Release: who is told by somebody that it has ended, finds it so. */
    atomic_store_explicit(&s->words[a->slot], (uint64_t)a->generation << 32 | (uint64_t)(ahead_of(a) - 1) << 8 | takes(a),
                          memory_order_release);
}

/* 0: there is no such actor. */
static unsigned find(const struct trp_standing *s, uint64_t id) {
    uint32_t slot = (uint32_t)id;
    uint64_t word = slot < slots ? atomic_load_explicit(&s->words[slot], memory_order_acquire) : 0;
    return word >> 32 == id >> 32 ? (unsigned)word : 0;
}

troupe_status trp_standing_status(const struct trp_standing *s, uint64_t id) {
    unsigned known = s->words ? find(s, id) : OPEN;
    return known & OPEN ? TROUPE_OK : known & CLOSING ? TROUPE_CLOSED : TROUPE_NOT_FOUND;
}

unsigned trp_standing_ahead(const struct trp_standing *s, uint64_t id) {
    unsigned known = s->words ? find(s, id) : 0;
    return (known & (OPEN | REFUSES)) == OPEN ? (known >> 8) + 1 : 0;
}

void trp_standing_heed(const struct trp_standing *s, bool letters) {
    if (s->words)
        atomic_store(&s->words[slots], letters);
}

bool trp_standing_heeds(const struct trp_standing *s) {
    /* Relaxed: who has just begun to listen may miss one. */
    return s->words && atomic_load_explicit(&s->words[slots], memory_order_relaxed);
}
