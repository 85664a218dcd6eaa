/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What an actor keeps of its own (<troupe/own.h>): a list with its bonds, touched by whoever runs it. */
#ifndef TRP_OWN_H
#define TRP_OWN_H

#include <troupe/own.h>

/* A life is over: all of it is freed. */
void trp_own_leave(troupe_self *self);

#endif
