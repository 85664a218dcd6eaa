/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Blocks of memory for messages: two sizes that are pooled, anything larger from the allocator. Each thread has a list of each
 * size; threads that only make and threads that only free meet in a depot where whole lists change hands, so that in the steady
 * state nothing is allocated, whoever frees. */
#ifndef TRP_BLOCK_H
#define TRP_BLOCK_H

#include <stddef.h>

enum { TRP_BLOCK_TINY = 256, TRP_BLOCK_SMALL = 512 };

/* `size` bytes, aligned for anything. NULL: no memory. Any thread. */
void *trp_block_get(size_t size);
/* Gives back what was got with the same size. Any thread. */
void trp_block_put(void *block, size_t size);
/* Gives what the depot holds back to the allocator; threads keep theirs. Any thread. */
void trp_block_trim(void);

#endif
