/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#ifndef TROUPE_EXPORT_H
#define TROUPE_EXPORT_H

/* TROUPE_API marks what the shared libraries export; everything else is hidden.
 * TROUPE_NODISCARD: the status must be looked at. */
#if defined(__GNUC__)
#define TROUPE_API               __attribute__((visibility("default")))
#define TROUPE_NODISCARD         __attribute__((warn_unused_result))
#define TROUPE_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define TROUPE_API
#define TROUPE_NODISCARD
#define TROUPE_PRINTF(fmt, args)
#endif

#endif
