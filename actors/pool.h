/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The object behind a troupe_pool. */
#ifndef TRP_POOL_H
#define TRP_POOL_H

#include "actors/object.h"

enum { TRP_POOL_WORKERS_MOST = 4096 };

/* What it is opened with. */
struct trp_pool_seed {
    unsigned workers;
    size_t backlog;
};

extern const struct trp_object_ops trp_pool_ops;

#endif
