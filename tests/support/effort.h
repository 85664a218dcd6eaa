/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * How much of an exhaustive or random test is done: all of it in an ordinary build, a part under sanitizers, where each step
 * takes ten times as long and shows no other outcome. TROUPE_EFFORT says it in per cent for any build: 100 for all of it under
 * sanitizers, 1000 for a long night. */
#ifndef TESTS_EFFORT_H
#define TESTS_EFFORT_H

#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define EFFORT_DEFAULT 15
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define EFFORT_DEFAULT 15
#endif
#endif
#ifndef EFFORT_DEFAULT
#define EFFORT_DEFAULT 100
#endif

static inline int effort(void) {
    const char *text = getenv("TROUPE_EFFORT");
    int n = text ? atoi(text) : 0;
    return n > 0 ? n : EFFORT_DEFAULT;
}

/* So many rounds of what would be `all`; at least one. */
static inline int effort_rounds(int all) {
    int n = (int)((long)all * effort() / 100);
    return n > 0 ? n : 1;
}

/* Every how many-th of all cases: 1 is each. It is odd, so that a walk over bits meets each bit of a byte. */
static inline size_t effort_stride(void) {
    int n = 100 / effort();
    return n > 1 ? (size_t)n | 1 : 1;
}

#endif
