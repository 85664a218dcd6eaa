/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The guard is a page that faults. Where the kernel can (6.13), it is marked in the page table: neighbouring stacks
 * then share one mapping, and their number is not bounded by vm.max_map_count. Elsewhere mprotect(2) splits it off. */
#include "actors/stack.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "actors/sanitizer.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* Sanitizers need several times the room for the same frames. */
enum { USUAL = (TRP_ASAN || TRP_TSAN ? 512 : 64) * 1024 };
enum { LEAST = 16 * 1024, SPARES_MOST = 1024 };

static size_t page(void) {
    /* Relaxed: whoever asks first writes what all would. */
    static _Atomic size_t size;
    size_t n = atomic_load_explicit(&size, memory_order_relaxed);
    if (!n) {
        n = (size_t)sysconf(_SC_PAGESIZE);
        atomic_store_explicit(&size, n, memory_order_relaxed);
    }
    return n;
}

static bool guard(void *base) {
    return madvise(base, page(), MADV_GUARD_INSTALL) == 0 || mprotect(base, page(), PROT_NONE) == 0;
}

static troupe_status stack_map(struct trp_stack *out, size_t size) {
    size_t all = size + page();
    void *base = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return TROUPE_NO_MEMORY;
    if (!guard(base)) {
        munmap(base, all);
        return TROUPE_NO_MEMORY;
    }
    /* A huge page would make each stack of a crowd cost 2 MiB. Old kernels without them refuse; so be it. */
    (void)madvise(base, all, MADV_NOHUGEPAGE);
    *out = (struct trp_stack){(char *)base + page(), size};
    return TROUPE_OK;
}

static void stack_unmap(const struct trp_stack *stack) {
    munmap((char *)stack->bottom - page(), stack->size + page());
}

/* The highest word of a spare stack points to the next one's bottom. */
static void **link_of(void *bottom, size_t size) {
    return (void **)(void *)((char *)bottom + size - sizeof(void *));
}

void trp_stacks_init(struct trp_stacks *s) {
    *s = (struct trp_stacks){.usual = USUAL};
    pthread_mutex_init(&s->lock, NULL);
}

void trp_stacks_fini(struct trp_stacks *s) {
    while (s->spare) {
        struct trp_stack stack = {s->spare, s->usual};
        s->spare = *link_of(s->spare, s->usual);
        stack_unmap(&stack);
    }
    pthread_mutex_destroy(&s->lock);
}

static size_t rounded(size_t size) {
    if (size < LEAST)
        size = LEAST;
    return (size + page() - 1) / page() * page();
}

troupe_status trp_stack_get(struct trp_stacks *s, size_t size, struct trp_stack *out) {
    if (size > SIZE_MAX / 2)
        return TROUPE_NO_MEMORY;
    if (size && size > s->usual)
        return stack_map(out, rounded(size));
    pthread_mutex_lock(&s->lock);
    void *bottom = s->spare;
    if (bottom) {
        s->spare = *link_of(bottom, s->usual);
        s->spares--;
    }
    pthread_mutex_unlock(&s->lock);
    if (!bottom)
        return stack_map(out, s->usual);
    *out = (struct trp_stack){bottom, s->usual};
    return TROUPE_OK;
}

void trp_stack_put(struct trp_stacks *s, const struct trp_stack *stack) {
    bool kept = false;
    if (stack->size == s->usual) {
        pthread_mutex_lock(&s->lock);
        if ((kept = s->spares < SPARES_MOST)) {
            *link_of(stack->bottom, s->usual) = s->spare;
            s->spare = stack->bottom;
            s->spares++;
        }
        pthread_mutex_unlock(&s->lock);
    }
    if (!kept)
        stack_unmap(stack);
}
