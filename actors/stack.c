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
enum { LEAST = 16 * 1024, SPARES_MOST = 1024, NEAR_MOST = 32, SLAB = 16 };

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

/* `count` stacks of `size` in one mapping, each with its guard below it; the lowest. NULL: no memory. */
static char *stacks_map(size_t size, unsigned count) {
    size_t each = size + page(), all = each * count;
    char *base = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    for (unsigned i = 0; i < count; i++) {
        if (!guard(base + i * each)) {
            munmap(base, all);
            return NULL;
        }
    }
    /* A huge page would make each stack of a crowd cost 2 MiB. Old kernels without them refuse; so be it. */
    (void)madvise(base, all, MADV_NOHUGEPAGE);
    return base + page();
}

static troupe_status stack_map(struct trp_stack *out, size_t size) {
    char *bottom = stacks_map(size, 1);
    if (!bottom)
        return TROUPE_NO_MEMORY;
    *out = (struct trp_stack){bottom, size};
    return TROUPE_OK;
}

static void stack_unmap(const struct trp_stack *stack) {
    munmap((char *)stack->bottom - page(), stack->size + page());
}

/* The highest word of a spare stack points to the next one's bottom. */
static void **link_of(void *bottom, size_t size) {
    return (void **)(void *)((char *)bottom + size - sizeof(void *));
}

static void slab_unmap(struct trp_stacks *s, char *bottom, unsigned left) {
    if (left)
        munmap(bottom - page(), left * (s->usual + page()));
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
    slab_unmap(s, s->slab, s->left);
    pthread_mutex_destroy(&s->lock);
}

static size_t rounded(size_t size) {
    if (size < LEAST)
        size = LEAST;
    return (size + page() - 1) / page() * page();
}

/* What is left of a slab is cut from its low end: a list through the stacks would touch, and so cost, a page of each. */
static troupe_status slab_map(struct trp_stacks *s, struct trp_stack *out) {
    char *bottom = stacks_map(s->usual, SLAB);
    if (!bottom)
        return stack_map(out, s->usual); /* there may be room for one */
    *out = (struct trp_stack){bottom, s->usual};
    pthread_mutex_lock(&s->lock);
    char *next = s->slab;
    unsigned left = s->left;
    s->slab = bottom + s->usual + page();
    s->left = SLAB - 1;
    pthread_mutex_unlock(&s->lock);
    slab_unmap(s, next, left); /* another thread has made one at the same time */
    return TROUPE_OK;
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
    } else if (s->left) {
        bottom = s->slab;
        s->slab += s->usual + page();
        s->left--;
    }
    pthread_mutex_unlock(&s->lock);
    if (!bottom)
        return slab_map(s, out);
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

/* --- near --- */

troupe_status trp_stack_get_near(struct trp_stacks_near *near, struct trp_stacks *s, size_t size, struct trp_stack *out) {
    if (!near || !near->spare || size > s->usual)
        return trp_stack_get(s, size, out);
    *out = (struct trp_stack){near->spare, s->usual};
    near->spare = *link_of(near->spare, s->usual);
    near->spares--;
    return TROUPE_OK;
}

void trp_stack_put_near(struct trp_stacks_near *near, struct trp_stacks *s, const struct trp_stack *stack) {
    if (!near || near->spares >= NEAR_MOST || stack->size != s->usual) {
        trp_stack_put(s, stack);
        return;
    }
    *link_of(stack->bottom, s->usual) = near->spare;
    near->spare = stack->bottom;
    near->spares++;
}

void trp_stacks_near_fini(struct trp_stacks_near *near, struct trp_stacks *s) {
    struct trp_stack stack;
    while (near->spare && trp_stack_get_near(near, s, 0, &stack) == TROUPE_OK)
        trp_stack_put(s, &stack);
}
