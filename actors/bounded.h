/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The object behind a troupe_queue. */
#ifndef TRP_BOUNDED_H
#define TRP_BOUNDED_H

#include "actors/object.h"

extern const struct trp_object_ops trp_bounded_ops;

#endif
