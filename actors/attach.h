/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The birth of an actor whose thread is there already. */
#ifndef TRP_ATTACH_H
#define TRP_ATTACH_H

#include <troupe/attach.h>

#include "actors/backend.h"

void trp_attached_body(troupe_self *self, void *arg);
extern const struct trp_backend trp_attached_backend;

#endif
