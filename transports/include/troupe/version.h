/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#ifndef TROUPE_VERSION_H
#define TROUPE_VERSION_H

#define TROUPE_VERSION "0.1.0"

#endif
