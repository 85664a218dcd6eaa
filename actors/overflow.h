/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Who has used up its stack is named before the process dies of it. A stack ends at a guard, so an overflow is a SIGSEGV
 * close to the stack pointer; a handler on a stack of its own writes one line to stderr, and lets the signal have its
 * way. A program that handles SIGSEGV itself (or a sanitizer that does) is left alone. */
#ifndef TRP_OVERFLOW_H
#define TRP_OVERFLOW_H

/* For the process: once, or again after a fork that has reset signals. */
void trp_overflow_install(void);

/* The calling thread runs bodies from now on: of the actor of this name, or (NULL) the coroutines that its runner enters. The
 * name is borrowed until the end. Nothing to undo it with, no memory: then an overflow is not named. */
void trp_overflow_begin(const char *name);
void trp_overflow_end(void);

#endif
