/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Control groups of process actors that have limits: one for each life, made by the nursery before the fork, entered by the
 * body's process before the body, and removed when that has ended, with whatever it has started and left behind.
 *
 *     <our own group>/troupe-<nursery>-<actor>-<life>         in each hierarchy that there is: one (version 2), or one for each
 * of memory, cpu and pids (version 1)
 *
 * Our own group, because what we run stays within the limits that others have set us; in version 2 that works where it is the
 * root or has no process of its own, so another folder may be given (TROUPE_CGROUP). What can't be had is not applied: the
 * limits of the kernel for a process (limits.c) hold anyway. A nursery that is killed leaves groups behind: the next one that
 * needs groups removes them.
 *
 * The nursery's alone, which has one thread; enter is the child's. */
#ifndef TRP_CGROUP_H
#define TRP_CGROUP_H

#include <sys/types.h>
#include <troupe/actor.h>

enum trp_cgroup_kind { TRP_CGROUP_MEMORY, TRP_CGROUP_CPU, TRP_CGROUP_TASKS, TRP_CGROUP_KINDS };
enum { TRP_CGROUP_FOLDER = 512 };

/* Where groups may be made. */
struct trp_cgroups {
    bool known;
    struct {
        char folder[TRP_CGROUP_FOLDER]; /* "": not to be had */
        bool unified;                   /* version 2 */
    } in[TRP_CGROUP_KINDS];
};

struct trp_cgroup_name {
    char s[64];
};
struct trp_cgroup_name trp_cgroup_name(pid_t nursery, uint64_t actor, uint32_t life);

/* Is there something among these that a group does? */
bool trp_cgroup_wanted(const troupe_limits *limits);

/* Looks for them. proc: "/proc/self"; delegated: a folder of version 2 instead of our own group, or NULL. */
void trp_cgroups_find(struct trp_cgroups *g, const char *proc, const char *delegated);
/* Removes what others have left behind whose nursery is gone; of `nursery`, if that is not 0: all. False: some is left, since
 * there is somebody in it still. */
bool trp_cgroups_sweep(const struct trp_cgroups *g, pid_t nursery);

/* Makes it where it can be had, with these limits. False: nowhere. */
bool trp_cgroup_make(const struct trp_cgroups *g, const struct trp_cgroup_name *name, const troupe_limits *limits);
/* The calling process belongs to it from now on. */
void trp_cgroup_enter(const struct trp_cgroups *g, const struct trp_cgroup_name *name);
/* Has somebody in it been killed because it had no memory left? */
bool trp_cgroup_ran_out(const struct trp_cgroups *g, const struct trp_cgroup_name *name);
/* Kills who is left in it, and removes it. False: it is still there, until they are gone. */
bool trp_cgroup_remove(const struct trp_cgroups *g, const struct trp_cgroup_name *name);

/* What its memory is limited to: more than the address space, so that malloc says NULL first in a process that is alone. */
static inline uint64_t trp_cgroup_memory(size_t limit) {
    return (uint64_t)limit + limit / 4 + (16u << 20);
}

#endif
