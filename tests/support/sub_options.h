/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The options of a SUB, as a client packs them. */
#ifndef TESTS_SUB_OPTIONS_H
#define TESTS_SUB_OPTIONS_H

#include "transports/pack.h"

/* group NULL and credit 0: not said. buf: 512 bytes, which the slice borrows. */
static inline struct trp_slice sub_options(uint8_t *buf, const char *group, int64_t credit) {
    uint8_t *p = trp_pack_map(buf, (group ? 1 : 0) + (credit ? 1 : 0));
    if (group)
        p = trp_pack_str(trp_pack_str(p, trp_slice_str("group")), trp_slice_str(group));
    if (credit)
        p = trp_pack_int(trp_pack_str(p, trp_slice_str("credit")), credit);
    return (struct trp_slice){buf, (size_t)(p - buf)};
}

#endif
