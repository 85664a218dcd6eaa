/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 *     mapping: [ struct trp_expanse_part | cut | cut | ... | left ]     aligned to a huge page
 *
 * What is not touched costs nothing, but for the rest of the huge page that was touched last. */
#include "actors/expanse.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

struct trp_expanse_part {
    alignas(64) struct trp_expanse_part *older;
};

static const size_t huge = (size_t)2 << 20, part_size = (size_t)32 << 20;

/* Aligned: a mapping that is larger by one huge page, without what is too much at both ends. */
static void *map_aligned(size_t size) {
    char *p = mmap(NULL, size + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    size_t before = (huge - (uintptr_t)p % huge) % huge;
    if (before)
        munmap(p, before);
    if (huge - before)
        munmap(p + before + size, huge - before);
    return p + before;
}

static bool part_add(struct trp_expanse *c) {
    struct trp_expanse_part *part = map_aligned(part_size);
    if (!part)
        return false;
    /* Refused where there are none: then they are small ones. */
    (void)madvise(part, part_size, MADV_HUGEPAGE);
    part->older = c->all;
    *c = (struct trp_expanse){.all = part, .at = (char *)(part + 1), .left = part_size - sizeof *part};
    return true;
}

void *trp_expanse_get(struct trp_expanse *c, size_t size) {
    const size_t align = alignof(struct trp_expanse_part);
    if (size > part_size / 4)
        return NULL;
    size = (size + align - 1) / align * align;
    if (c->left < size && !part_add(c))
        return NULL;
    void *p = c->at;
    c->at += size;
    c->left -= size;
    return p;
}

void trp_expanse_free(struct trp_expanse *c) {
    while (c->all) {
        struct trp_expanse_part *part = c->all;
        c->all = part->older;
        munmap(part, part_size);
    }
    *c = (struct trp_expanse){0};
}
