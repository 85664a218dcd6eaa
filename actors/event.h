/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The object behind a troupe_event. */
#ifndef TRP_EVENT_H
#define TRP_EVENT_H

#include "actors/object.h"

extern const struct trp_object_ops trp_event_ops;

#endif
