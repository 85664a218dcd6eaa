/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A program to be started, as bytes that a packet can carry: this head, then strings, each ended by a zero byte: the
 * directory ("": none), the arguments, the environment. */
#ifndef TRP_PROGRAM_H
#define TRP_PROGRAM_H

#include "transports/buf.h"

struct trp_program {
    uint32_t argc, envc;
    bool clear_env;
};

/* Appends it. INVALID: no argv[0]; NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_program_pack(struct trp_buf *out, const char *dir, const char *const *argv,
                                                const char *const *env, bool clear_env);

/* Becomes it: in a child that has one thread, with descriptors 0 to 2 as it is to have them. Returns only if it can't: errno.
 */
int trp_program_exec(const uint8_t *bytes, size_t size);

#endif
