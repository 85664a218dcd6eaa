/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Where control groups are looked for and what is written there, on trees of plain files. What the kernel makes of it is
 * process_limits_test's. */
#include "actors/cgroup.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/folder.h"
#include "tests/support/run.h"

static char top[256];
static struct trp_cgroups g;

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw) {
    (void)st, (void)what, (void)ftw;
    return remove(path);
}

static void up(void) {
    snprintf(top, sizeof top, "%s/troupe-groups-XXXXXX", fast_folder());
    ck_assert_ptr_nonnull(mkdtemp(top));
    memset(&g, 0, sizeof g);
}

static void down(void) {
    (void)nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *at(const char *format, ...) {
    static char path[1024];
    int n = snprintf(path, sizeof path, "%s/", top);
    va_list args;
    va_start(args, format);
    vsnprintf(path + n, sizeof path - (size_t)n, format, args);
    va_end(args);
    return path;
}

static void put(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    ck_assert_msg(f != NULL, "%s", path);
    fputs(text, f);
    fclose(f);
}

static const char *got(const char *path) {
    static char text[256];
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s", path);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return text;
}

static void folder(const char *path) {
    ck_assert_int_eq(mkdir(path, 0755), 0);
}

/* proc/cgroup and proc/mountinfo; %s in the second: the top. */
static void says(const char *groups, const char *mounts) {
    char text[2048];
    folder(at("proc"));
    put(at("proc/cgroup"), groups);
    snprintf(text, sizeof text, mounts, top, top, top);
    put(at("proc/mountinfo"), text);
}

static void find(const char *delegated) {
    char proc[300];
    snprintf(proc, sizeof proc, "%s", at("proc"));
    trp_cgroups_find(&g, proc, delegated);
}

/* A group as the kernel would fill it. */
static void group(const char *path, const char *const *files) {
    char file[600];
    folder(path);
    for (; *files; files++) {
        snprintf(file, sizeof file, "%s/%s", path, *files);
        put(file, "");
    }
}

static const troupe_limits all = {.memory = 64 << 20, .cpu_percent = 20, .tasks = 7};

START_TEST(version_1) {
    static const char *const memory[] = {"memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cgroup.procs", NULL};
    static const char *const cpu[] = {"cpu.cfs_period_us", "cpu.cfs_quota_us", "cgroup.procs", NULL};
    says("4:memory:/docker/x/mine\n1:cpu,cpuacct:/\n9:name=systemd:/\n0::/\n",
         "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
         "32 31 0:29 / %s/cpu rw,relatime shared:7 - cgroup cgroup rw,cpu,cpuacct\n"
         "33 31 0:30 /docker/x %s/mem rw - cgroup cgroup rw,memory\n"
         "34 31 0:31 / %s/none rw - cgroup2 cgroup2 rw\n");
    folder(at("cpu"));
    folder(at("mem"));
    folder(at("mem/mine"));
    find(NULL);
    ck_assert_str_eq(g.in[TRP_CGROUP_MEMORY].folder, at("mem/mine"));
    ck_assert_str_eq(g.in[TRP_CGROUP_CPU].folder, at("cpu"));
    ck_assert_str_eq(g.in[TRP_CGROUP_TASKS].folder, "");
    struct trp_cgroup_name name = trp_cgroup_name(17, 0xabc, 2);
    ck_assert_str_eq(name.s, "troupe-17-abc-2");
    group(at("mem/mine/troupe-17-abc-2"), memory);
    group(at("cpu/troupe-17-abc-2"), cpu);
    ck_assert(trp_cgroup_make(&g, &name, &all));
    ck_assert_int_eq(atoll(got(at("mem/mine/troupe-17-abc-2/memory.limit_in_bytes"))), (80 << 20) + (16 << 20));
    ck_assert_str_eq(got(at("cpu/troupe-17-abc-2/cpu.cfs_quota_us")), "20000");
    ck_assert_str_eq(got(at("cpu/troupe-17-abc-2/cpu.cfs_period_us")), "100000");
    trp_cgroup_enter(&g, &name);
    ck_assert_str_eq(got(at("cpu/troupe-17-abc-2/cgroup.procs")), "0");
    ck_assert_str_eq(got(at("mem/mine/troupe-17-abc-2/cgroup.procs")), "0");
    ck_assert(!trp_cgroup_ran_out(&g, &name));
    put(at("mem/mine/troupe-17-abc-2/memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
    ck_assert(trp_cgroup_ran_out(&g, &name));
}
END_TEST

START_TEST(version_2) {
    static const char *const files[] = {
        "memory.max", "memory.swap.max", "memory.oom.group", "cpu.max", "pids.max", "cgroup.procs", NULL};
    says("0::/mine\n", "31 23 0:28 / %s rw - cgroup2 cgroup2 rw\n");
    folder(at("mine"));
    put(at("mine/cgroup.subtree_control"), "cpu memory pids\n");
    find(NULL);
    for (int i = 0; i < TRP_CGROUP_KINDS; i++) {
        ck_assert_str_eq(g.in[i].folder, at("mine"));
        ck_assert(g.in[i].unified);
    }
    struct trp_cgroup_name name = trp_cgroup_name(17, 1, 1);
    group(at("mine/%s", name.s), files);
    ck_assert(trp_cgroup_make(&g, &name, &all));
    ck_assert_int_eq(atoll(got(at("mine/%s/memory.max", name.s))), (80 << 20) + (16 << 20));
    ck_assert_str_eq(got(at("mine/%s/memory.swap.max", name.s)), "0");
    ck_assert_str_eq(got(at("mine/%s/memory.oom.group", name.s)), "1");
    ck_assert_str_eq(got(at("mine/%s/cpu.max", name.s)), "20000 100000");
    ck_assert_str_eq(got(at("mine/%s/pids.max", name.s)), "7");
    put(at("mine/%s/memory.events", name.s), "low 0\noom 3\noom_kill 3\n");
    ck_assert(trp_cgroup_ran_out(&g, &name));
}
END_TEST

/* Where a controller is not passed on to groups below, it is not to be had; what was made for nothing is removed. */
START_TEST(what_cannot_be_had) {
    says("0::/mine\n", "31 23 0:28 / %s rw - cgroup2 cgroup2 rw\n");
    folder(at("mine"));
    find(NULL);
    for (int i = 0; i < TRP_CGROUP_KINDS; i++)
        ck_assert_str_eq(g.in[i].folder, "");
    strcpy(g.in[TRP_CGROUP_TASKS].folder, at("mine"));
    struct trp_cgroup_name name = trp_cgroup_name(17, 1, 1);
    ck_assert(!trp_cgroup_make(&g, &name, &all)); /* no file of that name there */
    ck_assert_int_eq(access(at("mine/%s", name.s), F_OK), -1);
    ck_assert(trp_cgroup_remove(&g, &name));
    find("/nowhere/at/all");
    for (int i = 0; i < TRP_CGROUP_KINDS; i++)
        ck_assert_str_eq(g.in[i].folder, "");
}
END_TEST

/* A mount that shows another part of the hierarchy, whose name begins like ours. */
START_TEST(a_mount_of_others) {
    says("4:memory:/docker/xz\n", "33 31 0:30 /docker/x %s/mem rw - cgroup cgroup rw,memory\n");
    folder(at("mem"));
    folder(at("memz"));
    find(NULL);
    ck_assert_str_eq(g.in[TRP_CGROUP_MEMORY].folder, "");
}
END_TEST

START_TEST(a_folder_that_was_handed_to_us) {
    says("0::/not/ours\n", "31 23 0:28 / %s rw - cgroup2 cgroup2 rw\n");
    folder(at("handed"));
    put(at("handed/cgroup.subtree_control"), "memory\n");
    char handed[300];
    snprintf(handed, sizeof handed, "%s", at("handed"));
    find(handed);
    ck_assert_str_eq(g.in[TRP_CGROUP_MEMORY].folder, handed);
    ck_assert_str_eq(g.in[TRP_CGROUP_CPU].folder, "");
}
END_TEST

START_TEST(nothing_that_can_be_read) {
    find(NULL);
    for (int i = 0; i < TRP_CGROUP_KINDS; i++)
        ck_assert_str_eq(g.in[i].folder, "");
    folder(at("proc"));
    put(at("proc/cgroup"), "\n:\n::\nx\n4:memory\n");
    put(at("proc/mountinfo"), "\n - \n - cgroup\nx - cgroup x memory\n1 2 3 / /nowhere - cgroup cgroup memory\n");
    find(NULL);
    ck_assert_str_eq(g.in[TRP_CGROUP_MEMORY].folder, "");
}
END_TEST

/* Those whose nursery is gone; neither a living one's nor a stranger's. */
START_TEST(what_others_left_behind) {
    pid_t dead = fork();
    if (dead == 0)
        _exit(0);
    waitpid(dead, NULL, 0);
    strcpy(g.in[TRP_CGROUP_MEMORY].folder, top);
    char left[64];
    snprintf(left, sizeof left, "troupe-%d-1-1", (int)dead);
    folder(at("%s", left));
    folder(at("troupe-shop"));
    folder(at("other"));
    ck_assert(trp_cgroups_sweep(&g, 0));
    ck_assert_int_eq(access(at("%s", left), F_OK), -1);
    ck_assert_int_eq(access(at("troupe-shop"), F_OK), 0);
    ck_assert_int_eq(access(at("other"), F_OK), 0);
    folder(at("troupe-%d-1-1", (int)getpid()));
    folder(at("troupe-%d-2-1", (int)getpid()));
    ck_assert(trp_cgroups_sweep(&g, getpid()));
    ck_assert_int_eq(access(at("troupe-%d-1-1", (int)getpid()), F_OK), -1);
    ck_assert_int_eq(access(at("troupe-%d-2-1", (int)getpid()), F_OK), -1);
    folder(at("%s", left));
    put(at("%s/held", left), ""); /* as one with processes in it: it can't be removed */
    ck_assert(!trp_cgroups_sweep(&g, dead));
}
END_TEST

int main(void) {
    Suite *s = suite_create("cgroup");
    TCase *c = tcase_create("trees");
    tcase_add_checked_fixture(c, up, down);
    tcase_add_test(c, version_1);
    tcase_add_test(c, version_2);
    tcase_add_test(c, what_cannot_be_had);
    tcase_add_test(c, a_mount_of_others);
    tcase_add_test(c, a_folder_that_was_handed_to_us);
    tcase_add_test(c, nothing_that_can_be_read);
    tcase_add_test(c, what_others_left_behind);
    suite_add_tcase(s, c);
    return run_suite(s);
}
