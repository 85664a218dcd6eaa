/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * In place, a switch is in the header, and here is only how a stack is made. Otherwise each switch hands over the fiber that is
 * left; whoever arrives notes there where it can be gone on with. The two functions of Boost.Context have C linkage and are
 * declared here as its fcontext.hpp declares them. */
#include "actors/fiber.h"

#include <stdint.h>

#if TRP_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
/* A stack that is used again still carries the red zones of frames that were never returned from. */
void trp_fiber_clean(void *bottom, size_t size) {
    __asan_unpoison_memory_region(bottom, size);
}
#else
void trp_fiber_clean(void *bottom, size_t size) {
    (void)bottom, (void)size;
}
#endif

#if TRP_TSAN
#include <sanitizer/tsan_interface.h>
static void *tsan_new(void) {
    return __tsan_create_fiber(0);
}
static void *tsan_here(void) {
    return __tsan_get_current_fiber();
}
static void tsan_free(void *fiber) {
    __tsan_destroy_fiber(fiber);
}
#else
static void *tsan_new(void) {
    return NULL;
}
static void *tsan_here(void) {
    return NULL;
}
static void tsan_free(void *fiber) {
    (void)fiber;
}
#endif

#if TRP_FIBER_IN_PLACE

/* Jumped to, with the stack as after a call from nowhere. */
static void entry(struct trp_fiber *from, struct trp_fiber *here) {
    (void)from;
    here->main(here->arg);
}

static void context_make(struct trp_fiber *f, void *bottom, size_t size) {
    uintptr_t top = ((uintptr_t)bottom + size) & ~(uintptr_t)15;
    void **sp = (void **)top - 1;
    *sp = NULL; /* here a debugger sees the end of the stack */
    f->context = (struct trp_context){.sp = sp, .pc = (void *)(uintptr_t)entry};
}

#else

typedef struct {
    void *fctx;
    void *data;
} transfer_t;

transfer_t jump_fcontext(void *to, void *vp);
void *make_fcontext(void *sp, size_t size, void (*fn)(transfer_t));

#if TRP_ASAN
static void leave(struct trp_fiber *from, struct trp_fiber *to, bool last) {
    __sanitizer_start_switch_fiber(last ? NULL : &from->fake, to->bottom, to->size);
}
static void arrive(struct trp_fiber *here, struct trp_fiber *from) {
    __sanitizer_finish_switch_fiber(here->fake, &from->bottom, &from->size);
}
#else
static void arrive(struct trp_fiber *here, struct trp_fiber *from) {
    (void)here, (void)from;
}
#endif

#if TRP_TSAN
static void leave(struct trp_fiber *from, struct trp_fiber *to, bool last) {
    (void)from, (void)last;
    /* It orders what comes before the switch before what comes after it, as it does for a function call. */
    __tsan_switch_to_fiber(to->tsan, 0);
}
#elif !TRP_ASAN
static void leave(struct trp_fiber *from, struct trp_fiber *to, bool last) {
    (void)from, (void)to, (void)last;
}
#endif

static void landed(struct trp_fiber *here, transfer_t t) {
    struct trp_fiber *from = t.data;
    from->context.fcontext = t.fctx;
    arrive(here, from);
}

/* The first arrival on a stack: whoever came says where to. */
static void entry(transfer_t t) {
    struct trp_fiber *here = ((struct trp_fiber *)t.data)->to;
    landed(here, t);
    here->main(here->arg);
}

void trp_fiber_switch(struct trp_fiber *from, struct trp_fiber *to, bool last) {
    from->to = to;
    leave(from, to, last);
    landed(from, jump_fcontext(to->context.fcontext, from));
}

static void context_make(struct trp_fiber *f, void *bottom, size_t size) {
    f->context.fcontext = make_fcontext((char *)bottom + size, size, entry);
}

#endif

void trp_fiber_init(struct trp_fiber *f, void *bottom, size_t size, void (*main)(void *arg), void *arg) {
    *f = (struct trp_fiber){.bottom = bottom, .size = size, .main = main, .arg = arg, .tsan = tsan_new()};
    context_make(f, bottom, size);
}

void trp_fiber_adopt(struct trp_fiber *f) {
    *f = (struct trp_fiber){.tsan = tsan_here()};
}

void trp_fiber_fini(struct trp_fiber *f) {
    if (f->tsan)
        tsan_free(f->tsan);
}
