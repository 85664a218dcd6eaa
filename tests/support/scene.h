/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Scenes: a few calls that have to do with each other, played again and again, with the first allocation failing, then with the
 * second, until a play gets through without meeting the n-th. What fails (anybody's allocations, those of one thread) is the
 * suite's part, its play():
 *
 *     static bool play(const struct scene *scene, long n) {
 *         scarce_at(n);
 *         troupe_status st = scene->play();
 *         bool met = scarce_met();
 *         scene_ends(scene, n, st, met && st == TROUPE_NO_MEMORY);
 *         return met;
 *     }
 *     START_TEST(each_allocation_fails_once) { scene_repeat(&scenes[_i], play); } END_TEST */
#ifndef TESTS_SCENE_H
#define TESTS_SCENE_H

#include <stdint.h>
#include <troupe/status.h>

#include "tests/support/run.h"

enum { SCENE_MOST = 1000 }; /* allocations of one scene: more are a scene that never gets through */

struct scene {
    const char *name;
    troupe_status (*play)(void);
    troupe_status also;  /* what it may say besides NO_MEMORY when the n-th has failed; OK: nothing */
    void (*clear)(void); /* takes away what it leaves, when it has been broken off; NULL: it leaves nothing */
};

/* More than a block of the lists of blocks. */
static const uint8_t large[3000];

/* Ends the scene with what went wrong. */
#define TRY(call)                                                                                                              \
    do {                                                                                                                       \
        troupe_status st_ = (call);                                                                                            \
        if (st_ != TROUPE_OK)                                                                                                  \
            return st_;                                                                                                        \
    } while (0)

/* `excused`: the n-th allocation has failed, and so it may end like that. */
static inline void scene_ends(const struct scene *scene, long n, troupe_status st, bool excused) {
    ck_assert_msg(st == TROUPE_OK || excused, "%s, allocation %ld: %s", scene->name, n, troupe_status_text(st));
}

/* play: was the n-th met? */
static inline void scene_repeat(const struct scene *scene, bool (*play)(const struct scene *scene, long n)) {
    long n = 1;
    while (play(scene, n))
        ck_assert_int_lt(n++, SCENE_MOST);
    ck_assert_msg(n > 1, "%s allocates nothing", scene->name);
}

/* `test` calls scene_repeat with the scene of its number. */
static inline int scene_suite(const char *name, const TTest *test, size_t scenes) {
    Suite *s = suite_create(name);
    TCase *c = tcase_create("scarce");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, test, 0, (int)scenes);
    suite_add_tcase(s, c);
    return run_suite(s);
}

#endif
