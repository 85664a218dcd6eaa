/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What the calls of a body have to do with its futures. */
#ifndef TRP_FUTURE_H
#define TRP_FUTURE_H

#include <troupe/future.h>

/* Calls those whose time has come (troupe_future_then). The body's thread, in none of its calls that keep something. */
void trp_futures_run(troupe_self *self);
/* The body is over: all are given up. */
void trp_futures_leave(troupe_self *self);

#endif
