/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What the libraries call instead of malloc(3). */
#ifndef TRP_ALLOC_H
#define TRP_ALLOC_H

#include <stddef.h>
#include <troupe/alloc.h>

void *trp_malloc(size_t size);               /* NULL: no memory */
void *trp_calloc(size_t count, size_t size); /* zeroed; checks the product for overflow */
void *trp_realloc(void *old, size_t size);
void *trp_array(void *old, size_t count, size_t size); /* realloc to count * size, overflow-checked */
char *trp_strdup(const char *s);
char *trp_strndup(const char *s, size_t n); /* n bytes and a zero */
void trp_free(void *p);                     /* accepts NULL */

#endif
