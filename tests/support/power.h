/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A disk that loses what was not synced when the power goes. The files are real, so that a process sees what it wrote;
 * beside each, this keeps what the disk has: sector by sector, and which names the directory has. Between a write and
 * the sync, each sector may have reached the disk or not, in any order; a file's size, a rename and an unlink likewise.
 * A sync that fails leaves sectors which the kernel holds as clean and the disk does not have.
 *
 * A generation is one process's use of the disk: when it is dead, its calls change nothing any more. */
#ifndef TESTS_POWER_H
#define TESTS_POWER_H

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/journal_sys.h"
#include "broker/segment.h"

enum { POWER_SECTOR = 512, POWER_SECTORS = 2048, POWER_NODES = 512, POWER_NAME = 48 };

struct power_node {
    ino_t ino;
    int fd;           /* keeps the content, and the inode's number from being used again */
    uint8_t *durable; /* POWER_SECTORS of them, zeros behind `size` */
    int64_t size;     /* durable */
    size_t used;      /* sectors that the file ever had, here or on the disk; nothing is behind them */
    bool dirty[POWER_SECTORS];
};

struct power_name {
    char name[POWER_NAME];
    ino_t ino;
};

struct power {
    pthread_mutex_t lock;
    char path[64];
    struct power_node nodes[POWER_NODES];
    size_t n;
    struct power_name names[POWER_NODES]; /* durable */
    size_t names_n;
    uint64_t seed;
    unsigned sync_fails;  /* of a hundred */
    unsigned sync_failed; /* so far */
};

struct power_generation {
    struct power *power;
    bool dead;
    struct trp_journal_sys sys;
};

static inline uint64_t power_random(struct power *p, uint64_t below) {
    p->seed = p->seed * 6364136223846793005u + 1442695040888963407u;
    return (p->seed >> 33) % below;
}

static inline struct power_node *power_find(struct power *p, ino_t ino) {
    for (size_t i = 0; i < p->n; i++)
        if (p->nodes[i].ino == ino)
            return &p->nodes[i];
    return NULL;
}

/* Forgets files that neither the directory nor the disk has a name for. */
static inline void power_reap(struct power *p) {
    size_t kept = 0;
    for (size_t i = 0; i < p->n; i++) {
        struct stat s;
        bool named = fstat(p->nodes[i].fd, &s) == 0 && s.st_nlink > 0;
        for (size_t k = 0; k < p->names_n; k++)
            named |= p->names[k].ino == p->nodes[i].ino;
        if (named) {
            p->nodes[kept++] = p->nodes[i];
        } else {
            close(p->nodes[i].fd);
            free(p->nodes[i].durable);
        }
    }
    p->n = kept;
}

static inline struct power_node *power_node_of(struct power *p, int fd) {
    struct stat s;
    ck_assert_int_eq(fstat(fd, &s), 0);
    struct power_node *node = power_find(p, s.st_ino);
    if (node)
        return node;
    if (p->n == POWER_NODES)
        power_reap(p);
    ck_assert_uint_lt(p->n, POWER_NODES);
    node = &p->nodes[p->n++];
    memset(node, 0, sizeof *node);
    node->ino = s.st_ino;
    node->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    node->durable = calloc(POWER_SECTORS, POWER_SECTOR);
    return node;
}

static inline void power_dirty(struct power_node *node, int64_t from, int64_t to) {
    ck_assert_int_le(to, POWER_SECTORS * POWER_SECTOR);
    for (int64_t k = from / POWER_SECTOR; k * POWER_SECTOR < to; k++)
        node->dirty[k] = true;
    size_t used = (size_t)(to + POWER_SECTOR - 1) / POWER_SECTOR;
    node->used = used > node->used ? used : node->used;
}

static inline int64_t power_size(const struct power_node *node) {
    struct stat s;
    ck_assert_int_eq(fstat(node->fd, &s), 0);
    return s.st_size;
}

/* The sector as the process sees it. */
static inline void power_sector(const struct power_node *node, size_t k, uint8_t out[POWER_SECTOR]) {
    memset(out, 0, POWER_SECTOR);
    ck_assert_int_ge(pread(node->fd, out, POWER_SECTOR, (off_t)k * POWER_SECTOR), 0);
}

/* Sectors that are dirty reach the disk, each with so many chances of a hundred. */
static inline void power_flush(struct power *p, struct power_node *node, unsigned chance) {
    for (size_t k = 0; k < node->used; k++) {
        if (node->dirty[k] && power_random(p, 100) < chance)
            power_sector(node, k, node->durable + k * POWER_SECTOR);
        node->dirty[k] = false;
    }
    if (power_random(p, 100) < chance) {
        node->size = power_size(node);
        ck_assert_int_le(node->size, (int64_t)node->used * POWER_SECTOR);
        memset(node->durable + node->size, 0, node->used * POWER_SECTOR - (size_t)node->size);
    }
}

static inline bool power_enter(struct power_generation *g) {
    pthread_mutex_lock(&g->power->lock);
    if (!g->dead)
        return true;
    pthread_mutex_unlock(&g->power->lock);
    errno = EIO;
    return false;
}

static inline void power_leave(struct power_generation *g) {
    int error = errno;
    pthread_mutex_unlock(&g->power->lock);
    errno = error;
}

static inline int power_open(void *ctx, int dir, const char *name, int flags) {
    struct power_generation *g = ctx;
    struct stat s;
    bool tracked = strcmp(name, "lock") != 0;
    if (!power_enter(g))
        return -1;
    struct power_node *was =
        tracked && flags & O_TRUNC && fstatat(dir, name, &s, 0) == 0 ? power_find(g->power, s.st_ino) : NULL;
    if (was)
        power_dirty(was, 0, (int64_t)was->used * POWER_SECTOR);
    int fd = trp_journal_sys_real.open(NULL, dir, name, flags);
    if (fd >= 0 && tracked)
        (void)power_node_of(g->power, fd);
    power_leave(g);
    return fd;
}

static inline ssize_t power_pread(void *ctx, int fd, void *p, size_t n, off_t at) {
    (void)ctx;
    return trp_journal_sys_real.pread(NULL, fd, p, n, at);
}

static inline ssize_t power_pwritev(void *ctx, int fd, const struct iovec *iov, int n, off_t at) {
    struct power_generation *g = ctx;
    if (!power_enter(g))
        return -1;
    ssize_t put = trp_journal_sys_real.pwritev(NULL, fd, iov, n, at);
    if (put > 0)
        power_dirty(power_node_of(g->power, fd), at, at + put);
    power_leave(g);
    return put;
}

static inline int power_fdatasync(void *ctx, int fd) {
    struct power_generation *g = ctx;
    if (!power_enter(g))
        return -1;
    bool fails = power_random(g->power, 100) < g->power->sync_fails;
    power_flush(g->power, power_node_of(g->power, fd), fails ? 50 : 100);
    g->power->sync_failed += fails;
    errno = EIO;
    power_leave(g);
    return fails ? -1 : 0;
}

/* The names as the process sees them. */
static inline size_t power_list(struct power *p, struct power_name *out) {
    struct stat s;
    size_t n = 0;
    DIR *d = opendir(p->path);
    const struct dirent *e;
    while ((e = readdir(d))) {
        if (e->d_name[0] == '.' || strcmp(e->d_name, "lock") == 0)
            continue;
        ck_assert_uint_lt(n, POWER_NODES);
        ck_assert_int_eq(fstatat(dirfd(d), e->d_name, &s, 0), 0);
        out[n].ino = s.st_ino;
        ck_assert_int_lt(snprintf(out[n++].name, POWER_NAME, "%.47s", e->d_name), POWER_NAME);
    }
    closedir(d);
    return n;
}

static inline int power_fsync(void *ctx, int fd) {
    struct power_generation *g = ctx;
    (void)fd;
    if (!power_enter(g))
        return -1;
    g->power->names_n = power_list(g->power, g->power->names);
    power_leave(g);
    return 0;
}

static inline int power_ftruncate(void *ctx, int fd, off_t size) {
    struct power_generation *g = ctx;
    if (!power_enter(g))
        return -1;
    struct power_node *node = power_node_of(g->power, fd);
    int64_t before = power_size(node);
    int rc = trp_journal_sys_real.ftruncate(NULL, fd, size);
    power_dirty(node, size, before > size ? before : size);
    power_leave(g);
    return rc;
}

static inline int power_allocate(void *ctx, int fd, off_t size) {
    (void)ctx, (void)fd, (void)size;
    return 0;
}

static inline int power_rename(void *ctx, int dir, const char *from, const char *to) {
    struct power_generation *g = ctx;
    if (!power_enter(g))
        return -1;
    int rc = trp_journal_sys_real.rename(NULL, dir, from, to);
    power_leave(g);
    return rc;
}

static inline int power_unlink(void *ctx, int dir, const char *name) {
    struct power_generation *g = ctx;
    if (!power_enter(g))
        return -1;
    int rc = trp_journal_sys_real.unlink(NULL, dir, name);
    power_leave(g);
    return rc;
}

static inline void power_begin(struct power_generation *g, struct power *p) {
    *g = (struct power_generation){.power = p};
    g->sys = (struct trp_journal_sys){g,           power_open,      power_pread,    power_pwritev, power_fdatasync,
                                      power_fsync, power_ftruncate, power_allocate, power_rename,  power_unlink};
}

/* So many of a hundred syncs fail. */
static inline void power_sync_fails(struct power *p, unsigned of_hundred) {
    pthread_mutex_lock(&p->lock);
    p->sync_fails = of_hundred;
    pthread_mutex_unlock(&p->lock);
}

/* The process dies: from here on it changes nothing. */
static inline void power_kill(struct power_generation *g) {
    pthread_mutex_lock(&g->power->lock);
    g->dead = true;
    pthread_mutex_unlock(&g->power->lock);
}

static inline void power_forget(struct power *p) {
    for (size_t i = 0; i < p->n; i++) {
        close(p->nodes[i].fd);
        free(p->nodes[i].durable);
    }
    p->n = 0;
}

static inline void power_write(const struct power *p, const char *name, const struct power_node *node) {
    char path[128];
    snprintf(path, sizeof path, "%.63s/%.47s", p->path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, node->durable, (size_t)node->size), node->size);
    close(fd);
}

static inline void power_names_remove(const struct power *p, const struct power_name *names, size_t n) {
    char path[128];
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%.63s/%.47s", p->path, names[i].name);
        ck_assert_int_eq(unlink(path), 0);
    }
}

static inline const struct power_name *power_lookup(const struct power_name *names, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i].name, name) == 0)
            return &names[i];
    return NULL;
}

/* Which of two states of a name the disk has. A name that it does not have has no inode. */
static inline ino_t power_either(struct power *p, ino_t before, ino_t now) {
    return power_random(p, 2) ? before : now;
}

/* The names that the disk comes back with. */
static inline size_t power_outcome(struct power *p, const struct power_name *now, size_t now_n, struct power_name *out) {
    size_t n = 0;
    for (size_t i = 0; i < now_n; i++) {
        const struct power_name *old = power_lookup(p->names, p->names_n, now[i].name);
        out[n] = now[i];
        out[n].ino = power_either(p, old ? old->ino : 0, now[i].ino);
        n += out[n].ino != 0;
    }
    for (size_t i = 0; i < p->names_n; i++) {
        if (power_lookup(now, now_n, p->names[i].name))
            continue;
        out[n] = p->names[i];
        n += power_random(p, 2);
    }
    return n;
}

/* The power goes, and comes back: the directory is as the disk has it. The process that used it is dead. */
static inline void power_cut(struct power *p) {
    static struct power_name now[POWER_NODES], after[2 * POWER_NODES];
    static const unsigned chances[] = {0, 10, 50, 90, 100};
    unsigned chance = chances[power_random(p, 5)];
    size_t n = power_list(p, now), after_n = power_outcome(p, now, n, after);
    for (size_t i = 0; i < p->n; i++)
        power_flush(p, &p->nodes[i], chance);
    power_names_remove(p, now, n);
    for (size_t i = 0; i < after_n; i++)
        if (power_find(p, after[i].ino))
            power_write(p, after[i].name, power_find(p, after[i].ino));
    power_forget(p);
    p->names_n = power_list(p, p->names);
    /* What came back is on the disk, whoever opens it first. */
    for (size_t i = 0; i < p->names_n; i++) {
        char path[128];
        snprintf(path, sizeof path, "%.63s/%.47s", p->path, p->names[i].name);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        struct power_node *node = power_node_of(p, fd);
        power_dirty(node, 0, power_size(node));
        power_flush(p, node, 100);
        close(fd);
    }
}

static inline void power_init(struct power *p, const char *path, uint64_t seed) {
    memset(p, 0, sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    p->seed = seed;
    snprintf(p->path, sizeof p->path, "%s", path);
}

#endif
