/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Is this compiled for a sanitizer? gcc says so by a macro, clang by a feature. */
#ifndef TRP_SANITIZER_H
#define TRP_SANITIZER_H

#if defined(__SANITIZE_ADDRESS__)
#define TRP_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TRP_ASAN 1
#endif
#endif
#ifndef TRP_ASAN
#define TRP_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__)
#define TRP_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TRP_TSAN 1
#endif
#endif
#ifndef TRP_TSAN
#define TRP_TSAN 0
#endif

#endif
