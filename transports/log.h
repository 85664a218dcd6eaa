/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#ifndef TRP_LOG_H
#define TRP_LOG_H

#include <stdbool.h>
#include <troupe/log.h>

bool trp_log_wants(troupe_log_level level);
void trp_log(troupe_log_level level, const char *event, const char *fmt, ...) TROUPE_PRINTF(3, 4);

#endif
