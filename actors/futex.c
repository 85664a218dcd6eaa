/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/futex.h"

_Atomic uint64_t trp_futex_calls;
