/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The private expedited membarrier has been in Linux since 4.14. What it does to the processors on which this process runs is a
 * full barrier between what they did before and what they do after the call. */
#include "actors/guard.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "transports/spin.h"

enum { PATIENCE = 128 };

bool trp_guards_cheap;

static bool membarrier(int what) {
    return syscall(SYS_membarrier, what, 0, 0) == 0;
}

static void make_ready(void) {
    trp_guards_cheap = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
}

void trp_guards_ready(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_ready);
}

/* A process that was forked has to say again that it will do this. One that may not any more (seccomp(2)) waits for as long as
 * no processor holds a store back. */
static void make_all_hear(void) {
    if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED))
        return;
    if (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED))
        return;
    struct timespec t = {.tv_nsec = 1000000};
    (void)nanosleep(&t, NULL);
}

void trp_guard_init(struct trp_guard *g) {
    atomic_init(&g->owner, 0);
    g->lock = (struct trp_spinlock){false};
}

/* Relaxed: changed under the lock, or by us. */
static uintptr_t word_of(struct trp_guard *g) {
    return atomic_load_explicit(&g->owner, memory_order_relaxed);
}

static uintptr_t owner_of(struct trp_guard *g) {
    return word_of(g) & ~TRP_GUARD_WANTED;
}

void trp_guard_give(struct trp_guard *g, struct trp_guest *owner) {
    uintptr_t wanted = trp_guards_cheap ? word_of(g) & TRP_GUARD_WANTED : TRP_GUARD_WANTED;
    atomic_store_explicit(&g->owner, (uintptr_t)owner | wanted, memory_order_relaxed);
}

/* Gives the processor up when it takes long: whoever is inside may have lost his. */
static void wait_until_out(struct trp_guest *owner) {
    /* Acquire pairs with the release in trp_guard_exit. */
    for (unsigned tries = 0; atomic_load_explicit(&owner->inside, memory_order_acquire);) {
        trp_spin_relax();
        if (++tries % PATIENCE == 0)
            sched_yield();
    }
}

/* With the others' lock in hand nobody wants it: who comes then finds us inside. */
bool trp_guard_enter_late(struct trp_guard *g, struct trp_guest *me) {
    atomic_store_explicit(&me->inside, false, memory_order_release);
    trp_spinlock_lock(&g->lock);
    bool ours = owner_of(g) == (uintptr_t)me;
    if (ours)
        atomic_store_explicit(&me->inside, true, memory_order_relaxed);
    trp_spinlock_unlock(&g->lock);
    return ours;
}

void trp_guard_lock(struct trp_guard *g) {
    trp_spinlock_lock(&g->lock);
    uintptr_t owner = owner_of(g);
    atomic_store(&g->owner, owner | TRP_GUARD_WANTED);
    if (trp_guards_cheap)
        make_all_hear();
    if (owner)
        wait_until_out((struct trp_guest *)owner);
}

void trp_guard_unlock(struct trp_guard *g) {
    if (trp_guards_cheap)
        /* Release pairs with the acquire in trp_guard_enter. */
        atomic_store_explicit(&g->owner, owner_of(g), memory_order_release);
    trp_spinlock_unlock(&g->lock);
}
