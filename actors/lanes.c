/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/lanes.h"

#include <sys/mman.h>
#include <unistd.h>

#include "actors/shared.h"
#include "transports/alloc.h"
#include "transports/assert.h"

/* --- the memory --- */

static size_t lane_size(const struct trp_lanes *l) {
    return l->page + TRP_LANE_SIZE;
}

/* A page at either end is nobody's: what runs over elsewhere does not get here. */
static size_t all_size(const struct trp_lanes *l) {
    return (TRP_DOORS + 2) * l->page + TRP_LANES * lane_size(l);
}

static uint8_t *door_at(const struct trp_lanes *l, unsigned door) {
    trp_assert(door > 0 && door < TRP_DOORS);
    return l->memory + (door + 1) * l->page;
}

static uint8_t *lane_at(const struct trp_lanes *l, uint64_t serial) {
    return l->memory + (TRP_DOORS + 1) * l->page + serial % TRP_LANES * lane_size(l);
}

static void guard(const struct trp_lanes *l) {
    (void)!mprotect(l->memory, l->page, PROT_NONE);
    (void)!mprotect(l->memory + all_size(l) - l->page, l->page, PROT_NONE);
}

troupe_status trp_lanes_init(struct trp_lanes *l) {
    *l = (struct trp_lanes){.page = (size_t)sysconf(_SC_PAGESIZE)};
    pthread_mutex_init(&l->lock, NULL);
    l->records = trp_calloc(TRP_LANES, sizeof *l->records);
    l->doors = trp_calloc(TRP_DOORS, sizeof *l->doors);
    if (!l->records || !l->doors)
        return TROUPE_NO_MEMORY;
    void *p = mmap(NULL, all_size(l), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return TROUPE_OK;
    l->memory = p;
    (void)!madvise(p, all_size(l), MADV_DONTDUMP);
    guard(l);
    return TROUPE_OK;
}

void trp_lanes_fini(struct trp_lanes *l) {
    if (!l->page)
        return; /* never made */
    if (l->memory)
        munmap(l->memory, all_size(l));
    trp_free(l->records);
    trp_free(l->doors);
    pthread_mutex_destroy(&l->lock);
    *l = (struct trp_lanes){0};
}

_Atomic uint32_t *trp_lanes_door(const struct trp_lanes *l, unsigned door) {
    return (_Atomic uint32_t *)(void *)door_at(l, door);
}

struct trp_lane trp_lanes_at(const struct trp_lanes *l, uint64_t serial) {
    uint8_t *at = lane_at(l, serial);
    return (struct trp_lane){(struct trp_lane_words *)(void *)at, at + l->page};
}

/* --- in the system --- */

unsigned trp_lanes_door_take(struct trp_lanes *l) {
    unsigned door = 1;
    if (!l->memory)
        return 0;
    pthread_mutex_lock(&l->lock);
    while (door < TRP_DOORS && l->doors[door])
        door++;
    if (door < TRP_DOORS) {
        l->doors[door] = 1;
        atomic_store(trp_lanes_door(l, door), TRP_SLEEP_NOT);
    }
    pthread_mutex_unlock(&l->lock);
    return door < TRP_DOORS ? door : 0;
}

static void door_drop(struct trp_lanes *l, unsigned door) {
    trp_assert(l->doors[door] > 0);
    l->doors[door]--;
}

void trp_lanes_door_drop(struct trp_lanes *l, unsigned door) {
    if (!door)
        return;
    pthread_mutex_lock(&l->lock);
    door_drop(l, door);
    pthread_mutex_unlock(&l->lock);
}

static struct trp_lane_record *free_record(struct trp_lanes *l) {
    for (unsigned i = 0; i < TRP_LANES; i++) {
        struct trp_lane_record *r = &l->records[++l->serial % TRP_LANES];
        if (atomic_load_explicit(&r->to, memory_order_relaxed) == 0)
            return r;
    }
    return NULL;
}

struct trp_lane_record *trp_lanes_new(struct trp_lanes *l, uint64_t from, unsigned from_door, uint64_t to, unsigned to_door) {
    struct trp_lane_record *r = free_record(l);
    if (!r)
        return NULL;
    r->from = from;
    r->serial = l->serial;
    r->doors[0] = from_door;
    r->doors[1] = to_door;
    r->stretch = 0;
    r->mute = r->blind = false;
    l->doors[from_door]++;
    l->doors[to_door]++;
    /* Release: who finds it by a hint finds its memory as it is. */
    atomic_store_explicit(&r->to, to, memory_order_release);
    return r;
}

struct trp_lane_record *trp_lanes_find(struct trp_lanes *l, uint64_t serial) {
    struct trp_lane_record *r = &l->records[serial % TRP_LANES];
    bool there = l->memory && atomic_load_explicit(&r->to, memory_order_relaxed) && r->serial == serial;
    return there ? r : NULL;
}

/* The memory is all zero again, and costs nothing. */
void trp_lanes_end(struct trp_lanes *l, struct trp_lane_record *r) {
    uint8_t *at = lane_at(l, r->serial);
    if (madvise(at, lane_size(l), MADV_REMOVE) != 0)
        memset(at, 0, l->page);
    door_drop(l, r->doors[0]);
    door_drop(l, r->doors[1]);
    atomic_store_explicit(&r->to, 0, memory_order_release);
}

/* --- in a process --- */

static troupe_status protect(uint8_t *at, size_t size, int how) {
    return mprotect(at, size, how) == 0 ? TROUPE_OK : TROUPE_SYSTEM;
}

void trp_lanes_hide(const struct trp_lanes *l) {
    if (l->memory)
        (void)!mprotect(l->memory, all_size(l), PROT_NONE);
}

troupe_status trp_lanes_reach_door(const struct trp_lanes *l, unsigned door) {
    return protect(door_at(l, door), l->page, PROT_READ | PROT_WRITE);
}

troupe_status trp_lanes_reach(const struct trp_lanes *l, uint64_t serial) {
    return protect(lane_at(l, serial), lane_size(l), PROT_READ | PROT_WRITE);
}

void trp_lanes_leave(const struct trp_lanes *l, uint64_t serial) {
    (void)!mprotect(lane_at(l, serial), lane_size(l), PROT_NONE);
}
