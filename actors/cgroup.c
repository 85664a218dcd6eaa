/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_ROOM = TRP_CGROUP_FOLDER + 128, LINE_ROOM = 4096, PERIOD_US = 100000 };

static const char *const controllers[TRP_CGROUP_KINDS] = {
    [TRP_CGROUP_MEMORY] = "memory", [TRP_CGROUP_CPU] = "cpu", [TRP_CGROUP_TASKS] = "pids"};

/* --- files --- */

struct path {
    char s[PATH_ROOM];
};

/* Too long: a path that is not there. */
static struct path join(const char *folder, const char *name, const char *file) {
    struct path p;
    int n = snprintf(p.s, sizeof p.s, "%s/%s%s%s", folder, name, *file ? "/" : "", file);
    if (n < 0 || (size_t)n >= sizeof p.s)
        p.s[0] = 0;
    return p;
}

static bool write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = write(fd, text, strlen(text));
    close(fd);
    return n == (ssize_t)strlen(text);
}

static void read_text(const char *path, char *out, size_t room) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, room - 1);
    out[n > 0 ? n : 0] = 0;
    if (fd >= 0)
        close(fd);
}

/* Is `word` among those between separators? */
static bool has_word(const char *list, const char *word) {
    size_t n = strlen(word);
    for (const char *p = list; (p = strstr(p, word)); p += n) {
        if ((p == list || strchr(", \n", p[-1])) && strchr(", \n", p[n])) /* the end, too */
            return true;
    }
    return false;
}

/* --- where --- */

/* Our own group in the hierarchy of a controller, "": version 2; as /proc/PID/cgroup says. */
static bool own_group(const char *proc, const char *controller, char *out, size_t room) {
    char line[LINE_ROOM], list[256];
    struct path p = join(proc, "cgroup", "");
    FILE *f = fopen(p.s, "re");
    bool found = false;
    while (f && !found && fgets(line, sizeof line, f)) {
        int at = 0;
        line[strcspn(line, "\n")] = 0;
        list[0] = 0;
        if (sscanf(line, "%*d:%255[^:]:%n", list, &at) < 1 && sscanf(line, "%*d::%n", &at) == EOF)
            continue;
        found = at > 0 && (*controller ? has_word(list, controller) : list[0] == 0);
        if (found)
            found = snprintf(out, room, "%s", line + at) < (int)room;
    }
    if (f)
        fclose(f);
    return found;
}

struct mount {
    char root[TRP_CGROUP_FOLDER], at[TRP_CGROUP_FOLDER], type[32], options[512];
};

static bool mount_parse(const char *line, struct mount *m) {
    const char *rest = strstr(line, " - ");
    return rest && sscanf(line, "%*s %*s %*s %511s %511s", m->root, m->at) == 2 &&
           sscanf(rest, " - %31s %*s %511s", m->type, m->options) == 2 && !strchr(m->at, '\\');
}

/* The group's folder below the mount. */
static void set_folder(struct trp_cgroups *g, enum trp_cgroup_kind kind, const struct mount *m, const char *group) {
    size_t n = strcmp(m->root, "/") == 0 ? 0 : strlen(m->root);
    if (n && (strncmp(group, m->root, n) != 0 || (group[n] && group[n] != '/')))
        return;
    char *out = g->in[kind].folder;
    if (snprintf(out, TRP_CGROUP_FOLDER, "%s%s", m->at, group + n) >= TRP_CGROUP_FOLDER || access(out, W_OK) != 0)
        out[0] = 0;
    n = strlen(out);
    if (n && out[n - 1] == '/')
        out[n - 1] = 0;
}

static void find_old(struct trp_cgroups *g, const char *proc, const struct mount *m) {
    char group[TRP_CGROUP_FOLDER];
    for (int i = 0; i < TRP_CGROUP_KINDS; i++) {
        if (has_word(m->options, controllers[i]) && own_group(proc, controllers[i], group, sizeof group))
            set_folder(g, (enum trp_cgroup_kind)i, m, group);
    }
}

static void find_mounts(struct trp_cgroups *g, const char *proc, struct mount *unified) {
    char line[LINE_ROOM];
    struct path p = join(proc, "mountinfo", "");
    FILE *f = fopen(p.s, "re");
    while (f && fgets(line, sizeof line, f)) {
        struct mount m;
        if (!mount_parse(line, &m))
            continue;
        if (strcmp(m.type, "cgroup") == 0)
            find_old(g, proc, &m);
        else if (strcmp(m.type, "cgroup2") == 0)
            *unified = m;
    }
    if (f)
        fclose(f);
}

/* May groups below have it? Asks for it, where that has not been done. */
static bool is_passed_on(const char *folder, const char *controller) {
    char text[512], ask[32];
    struct path p = join(folder, "cgroup.subtree_control", "");
    snprintf(ask, sizeof ask, "+%s", controller);
    read_text(p.s, text, sizeof text);
    if (has_word(text, controller))
        return true;
    if (!write_text(p.s, ask))
        return false;
    read_text(p.s, text, sizeof text);
    return has_word(text, controller);
}

/* What version 1 does not have. */
static void find_new(struct trp_cgroups *g, const struct mount *m, const char *group) {
    for (int i = 0; i < TRP_CGROUP_KINDS; i++) {
        if (g->in[i].folder[0])
            continue;
        set_folder(g, (enum trp_cgroup_kind)i, m, group);
        g->in[i].unified = g->in[i].folder[0] && is_passed_on(g->in[i].folder, controllers[i]);
        if (!g->in[i].unified)
            g->in[i].folder[0] = 0;
    }
}

void trp_cgroups_find(struct trp_cgroups *g, const char *proc, const char *delegated) {
    char group[TRP_CGROUP_FOLDER];
    struct mount unified = {.root = ""};
    *g = (struct trp_cgroups){.known = true};
    if (delegated) {
        snprintf(unified.at, sizeof unified.at, "%s", delegated);
        find_new(g, &unified, "");
    }
    unified = (struct mount){.root = ""};
    find_mounts(g, proc, &unified);
    if (unified.at[0] && !delegated && own_group(proc, "", group, sizeof group))
        find_new(g, &unified, group);
}

/* --- one --- */

struct trp_cgroup_name trp_cgroup_name(pid_t nursery, uint64_t actor, uint32_t life) {
    struct trp_cgroup_name name;
    snprintf(name.s, sizeof name.s, "troupe-%d-%" PRIx64 "-%" PRIu32, (int)nursery, actor, life);
    return name;
}

bool trp_cgroup_wanted(const troupe_limits *l) {
    return l->memory || l->cpu_percent || l->tasks;
}

static bool set(const char *folder, const char *name, const char *file, uint64_t value, const char *behind) {
    char text[64];
    snprintf(text, sizeof text, "%" PRIu64 "%s", value, behind);
    return write_text(join(folder, name, file).s, text);
}

static bool set_memory(const char *folder, const char *name, bool unified, size_t limit) {
    uint64_t bytes = trp_cgroup_memory(limit);
    if (!set(folder, name, unified ? "memory.max" : "memory.limit_in_bytes", bytes, ""))
        return false;
    /* Where swap is counted, there is none of it; and who is killed is not only a part of it. */
    (void)(unified ? set(folder, name, "memory.swap.max", 0, "") : set(folder, name, "memory.memsw.limit_in_bytes", bytes, ""));
    (void)(unified && set(folder, name, "memory.oom.group", 1, ""));
    return true;
}

static bool set_cpu(const char *folder, const char *name, bool unified, unsigned percent) {
    char period[32];
    uint64_t quota = (uint64_t)percent * (PERIOD_US / 100);
    snprintf(period, sizeof period, " %d", PERIOD_US);
    if (unified)
        return set(folder, name, "cpu.max", quota, period);
    return set(folder, name, "cpu.cfs_period_us", PERIOD_US, "") && set(folder, name, "cpu.cfs_quota_us", quota, "");
}

/* Nothing asked of it: true. */
static bool set_limit(const char *folder, const char *name, enum trp_cgroup_kind kind, bool unified, const troupe_limits *l) {
    switch (kind) {
    case TRP_CGROUP_MEMORY:
        return l->memory && set_memory(folder, name, unified, l->memory);
    case TRP_CGROUP_CPU:
        return l->cpu_percent && set_cpu(folder, name, unified, l->cpu_percent);
    case TRP_CGROUP_TASKS:
        return l->tasks && set(folder, name, "pids.max", l->tasks, "");
    default:
        return false;
    }
}

/* True: it does something there. Version 2 has one folder for all of them. */
static bool make_in(const struct trp_cgroups *g, enum trp_cgroup_kind kind, const char *name, const troupe_limits *l) {
    const char *folder = g->in[kind].folder;
    struct path p = join(folder, name, "");
    if (!folder[0])
        return false;
    bool ours = mkdir(p.s, 0755) == 0;
    if (!ours && errno != EEXIST)
        return false;
    bool does = set_limit(folder, name, kind, g->in[kind].unified, l);
    if (!does && ours)
        (void)rmdir(p.s);
    return does;
}

bool trp_cgroup_make(const struct trp_cgroups *g, const struct trp_cgroup_name *name, const troupe_limits *limits) {
    bool made = false;
    for (int i = 0; i < TRP_CGROUP_KINDS; i++)
        made |= make_in(g, (enum trp_cgroup_kind)i, name->s, limits);
    return made;
}

void trp_cgroup_enter(const struct trp_cgroups *g, const struct trp_cgroup_name *name) {
    for (int i = 0; i < TRP_CGROUP_KINDS; i++) {
        if (g->in[i].folder[0])
            (void)write_text(join(g->in[i].folder, name->s, "cgroup.procs").s, "0"); /* where it has not been made it is not */
    }
}

bool trp_cgroup_ran_out(const struct trp_cgroups *g, const struct trp_cgroup_name *name) {
    char text[1024];
    bool unified = g->in[TRP_CGROUP_MEMORY].unified;
    if (!g->in[TRP_CGROUP_MEMORY].folder[0])
        return false;
    read_text(join(g->in[TRP_CGROUP_MEMORY].folder, name->s, unified ? "memory.events" : "memory.oom_control").s, text,
              sizeof text);
    const char *said = strstr(text, "oom_kill ");
    return said && strtoull(said + strlen("oom_kill "), NULL, 10) > 0;
}

/* --- the end --- */

static void kill_all_in(const char *folder, const char *name) {
    char line[32];
    FILE *f = fopen(join(folder, name, "cgroup.procs").s, "re");
    while (f && fgets(line, sizeof line, f)) {
        if (atoi(line) > 0)
            kill(atoi(line), SIGKILL);
    }
    if (f)
        fclose(f);
}

static bool remove_in(const char *folder, const char *name) {
    struct path p = join(folder, name, "");
    if (rmdir(p.s) == 0 || errno == ENOENT)
        return true;
    kill_all_in(folder, name);
    return rmdir(p.s) == 0;
}

bool trp_cgroup_remove(const struct trp_cgroups *g, const struct trp_cgroup_name *name) {
    bool gone = true;
    for (int i = 0; i < TRP_CGROUP_KINDS; i++) {
        if (g->in[i].folder[0])
            gone &= remove_in(g->in[i].folder, name->s);
    }
    return gone;
}

/* Does its maker live? A nursery's name is its own; a dead one may be waited for still. */
static bool is_kept(pid_t maker) {
    static const char name[] = "(troupe-nursery) ";
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)maker);
    read_text(path, text, sizeof text);
    const char *found = strstr(text, name);
    return found && !strchr("ZX", found[sizeof name - 1]);
}

static bool sweep_in(const char *folder, pid_t nursery) {
    DIR *dir = opendir(folder);
    bool clean = true;
    for (const struct dirent *e; dir && (e = readdir(dir));) {
        int maker = 0;
        if (sscanf(e->d_name, "troupe-%d-", &maker) == 1 && maker > 0 && (nursery ? maker == nursery : !is_kept(maker)))
            clean &= remove_in(folder, e->d_name);
    }
    if (dir)
        closedir(dir);
    return clean;
}

bool trp_cgroups_sweep(const struct trp_cgroups *g, pid_t nursery) {
    bool clean = true;
    for (int i = 0; i < TRP_CGROUP_KINDS; i++) {
        if (g->in[i].folder[0])
            clean &= sweep_in(g->in[i].folder, nursery);
    }
    return clean;
}
