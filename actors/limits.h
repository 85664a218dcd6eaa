/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What the process of a process actor may use. Resource limits of the kernel (setrlimit): they need no privilege, and hold for
 * the one process. What it and all that it starts touch together is a control group's to limit, if there is one (cgroup.h). */
#ifndef TRP_LIMITS_H
#define TRP_LIMITS_H

#include <stdatomic.h>
#include <troupe/actor.h>

/* In the body's process, before the body. What it has mapped by now is beside the memory limit. A death near that limit leaves
 * TRP_MARK_MEMORY in *mark. SYSTEM: a limit is not allowed. */
TROUPE_NODISCARD troupe_status trp_limits_apply(const troupe_limits *limits, _Atomic uint32_t *mark);

/* Only what a program needs everywhere (PATH, HOME, ...) and what is ours (TROUPE_*) stays. NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_limits_clean_env(void);

#endif
