/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Our own invariants, on in every build. Never for anything that a peer can cause. */
#ifndef TRP_ASSERT_H
#define TRP_ASSERT_H

_Noreturn void trp_assert_failed(const char *expr, const char *file, int line);

#define trp_assert(expr) ((expr) ? (void)0 : trp_assert_failed(#expr, __FILE__, __LINE__))

#endif
