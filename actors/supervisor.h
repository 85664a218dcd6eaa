/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What is said to a supervisor and what it answers: the bytes of its questions. Each is a struct trp_order, with a child
 * of a plan behind it for ADD; the answer is a struct trp_done, with the children behind it for LIST. */
#ifndef TRP_SUPERVISOR_H
#define TRP_SUPERVISOR_H

#include <troupe/supervisor.h>

#include "actors/birth.h"

enum trp_order_what { TRP_ORDER_HELLO = 1, TRP_ORDER_ADD, TRP_ORDER_REMOVE, TRP_ORDER_RESTART, TRP_ORDER_LIST };

enum { TRP_ORDER_MAGIC = 0x53757076 }; /* messages that are none are not taken for orders */

struct trp_order {
    uint32_t magic, what;
    char name[TRP_NAME_MAX + 1]; /* REMOVE, RESTART */
};

struct trp_done {
    uint32_t magic;
    int32_t status;
    uint64_t ref;   /* ADD, RESTART */
    uint64_t count; /* LIST: troupe_child_info behind it */
};

#endif
