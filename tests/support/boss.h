/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A supervisor of the test's, and the children that it has, by their names. */
#ifndef TESTS_BOSS_H
#define TESTS_BOSS_H

#include <troupe/names.h>
#include <troupe/supervisor.h>

#include "tests/support/actors.h"

static inline troupe_ref supervise(int kind, const troupe_supervisor_opts *opts) {
    troupe_ref ref;
    ck_assert_int_eq(troupe_supervise(me, &(troupe_spawn_opts){.kind = (troupe_kind)kind, .name = "boss"}, opts, &ref),
                     TROUPE_OK);
    return ref;
}

static inline troupe_ref whereis(const char *name) {
    troupe_ref ref;
    ck_assert_int_eq(troupe_whereis(me, name, &ref), TROUPE_OK);
    return ref;
}

#endif
