/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The durable log against its disk: records confirmed after fdatasync with 1, 64 and 256 in flight, between runs of a
 * bare append and fdatasync of 4 KiB and 64 KiB to the same file system; the same at level written; the owner's time for
 * an append; and recovery. The works take turns in each round, and medians over the rounds are printed, since a disk's
 * speed changes from second to second. Use:
 * journal_bench [--json] [--rounds=N] [--seconds=S] [--only=TEXT] [DIR] */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "broker/journal.h"

enum { RECORD = 200, LATENCIES = 1 << 20, ROUNDS_MOST = 64, APPENDS = 200000, SPIN_US = 150 };

struct work {
    const char *name, *unit;
    double (*run)(const struct work *w);
    unsigned in_flight; /* or KiB of a bare append */
    unsigned level;
    double results[ROUNDS_MOST], p50[ROUNDS_MOST], p99[ROUNDS_MOST];
};

static char dir[4000] = "journal_bench.tmp";
static double seconds = 1.0, p50, p99;
static double *latencies;
static size_t latency_count;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

_Noreturn static void die(const char *what) {
    perror(what);
    exit(EXIT_FAILURE);
}

static int order(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void latency_add(double s) {
    if (latency_count < LATENCIES)
        latencies[latency_count++] = s;
}

static void percentiles(void) {
    p50 = p99 = 0;
    if (!latency_count)
        return;
    qsort(latencies, latency_count, sizeof *latencies, order);
    p50 = latencies[latency_count / 2] * 1e6;
    p99 = latencies[latency_count * 99 / 100] * 1e6;
    latency_count = 0;
}

static void folder_remove(void) {
    DIR *d = opendir(dir);
    const struct dirent *e;
    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.')
            (void)unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    (void)rmdir(dir);
}

/* ---- the bare disk ---- */

static double bare(const struct work *w) {
    char path[4096];
    size_t size = (size_t)w->in_flight * 1024;
    char *bytes = malloc(size);
    snprintf(path, sizeof path, "%s.bare", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || !bytes)
        die(path);
    memset(bytes, 'x', size);
    double began = now(), t = began;
    long n = 0;
    for (; t - began < seconds; n++) {
        double before = t;
        if (write(fd, bytes, size) != (ssize_t)size || fdatasync(fd) != 0)
            die(path);
        t = now();
        latency_add(t - before);
    }
    close(fd);
    unlink(path);
    free(bytes);
    return (double)n / (t - began);
}

/* ---- the log ---- */

static int wakeup;

static void moved(void *ctx) {
    (void)ctx;
    if (eventfd_write(wakeup, 1) != 0)
        die("eventfd");
}

static uint64_t replayed_bytes;
static troupe_status replay(void *ctx, struct trp_slice record, uint64_t lsn, uint64_t segment) {
    (void)ctx, (void)lsn, (void)segment;
    replayed_bytes += record.n;
    return TROUPE_OK;
}

static struct trp_journal *log_open(void) {
    static const struct trp_journal_owner owner = {.replay = replay, .moved = moved};
    struct trp_journal *j;
    const char *why;
    troupe_status st = trp_journal_open(&j, dir, NULL, &owner, NULL, NULL, &why);
    if (st != TROUPE_OK) {
        fprintf(stderr, "%s\n", why);
        exit(EXIT_FAILURE);
    }
    return j;
}

static void log_close(struct trp_journal *j) {
    if (trp_journal_close(&j) != TROUPE_OK)
        die("close");
}

static uint64_t confirmed(const struct trp_journal *j, unsigned level) {
    return level == TRP_JOURNAL_SYNCED ? trp_journal_synced(j) : trp_journal_written(j);
}

/* As an event loop would: looks for a while, then sleeps until it is woken. */
static void log_wait(struct trp_journal *j, unsigned level, uint64_t lsn, bool few) {
    eventfd_t ignored;
    if (few && level == TRP_JOURNAL_SYNCED && trp_journal_spin(j, lsn, SPIN_US))
        return;
    while (confirmed(j, level) < lsn)
        if (eventfd_read(wakeup, &ignored) != 0)
            die("eventfd");
}

/* A ring of what is in flight: each confirmation is followed by a new record. */
static double in_flight(const struct work *w) {
    static char bytes[RECORD];
    uint64_t lsn[1024];
    double at[1024];
    struct trp_journal *j = log_open();
    unsigned long put = 0, done = 0;
    double began = now(), t = began;
    while (t - began < seconds) {
        for (; put - done < w->in_flight; put++) {
            if (trp_journal_append(j, (struct trp_slice){(uint8_t *)bytes, RECORD}, false, &lsn[put % 1024], NULL) != TROUPE_OK)
                die("append");
            at[put % 1024] = t;
        }
        trp_journal_commit(j, w->level);
        log_wait(j, w->level, lsn[done % 1024], w->in_flight == 1);
        t = now();
        uint64_t upto = confirmed(j, w->level);
        for (; done < put && lsn[done % 1024] <= upto; done++)
            latency_add(t - at[done % 1024]);
    }
    log_close(j);
    folder_remove();
    return (double)done / (t - began);
}

static double append_ns(const struct work *w) {
    static char bytes[RECORD];
    struct trp_journal *j = log_open();
    uint64_t lsn = 0;
    double spent = 0;
    (void)w;
    for (int i = 0; i < APPENDS; i += 1000) {
        double before = now();
        for (int k = 0; k < 1000; k++)
            if (trp_journal_append(j, (struct trp_slice){(uint8_t *)bytes, RECORD}, false, &lsn, NULL) != TROUPE_OK)
                die("append");
        trp_journal_commit(j, TRP_JOURNAL_SYNCED);
        spent += now() - before;
        log_wait(j, TRP_JOURNAL_SYNCED, lsn, false);
    }
    log_close(j);
    folder_remove();
    return spent / APPENDS * 1e9;
}

static double recovery(const struct work *w) {
    static char bytes[RECORD];
    struct trp_journal *j = log_open();
    (void)w;
    for (int i = 0; i < 1000000;) {
        troupe_status st = trp_journal_append(j, (struct trp_slice){(uint8_t *)bytes, RECORD}, false, NULL, NULL);
        i += st == TROUPE_OK;
        if (i % 1000 == 0 || st == TROUPE_AGAIN)
            trp_journal_commit(j, TRP_JOURNAL_NOTHING);
    }
    log_close(j);
    replayed_bytes = 0;
    double began = now();
    j = log_open();
    double took = now() - began;
    log_close(j);
    folder_remove();
    return (double)replayed_bytes / took / 1e6;
}

static struct work works[] = {
    {"bare append and fdatasync, 4 KiB", "/s", bare, 4, 0, {0}, {0}, {0}},
    {"log, synced, 1 in flight", "/s", in_flight, 1, TRP_JOURNAL_SYNCED, {0}, {0}, {0}},
    {"log, synced, 64 in flight", "/s", in_flight, 64, TRP_JOURNAL_SYNCED, {0}, {0}, {0}},
    {"bare append and fdatasync, 64 KiB", "/s", bare, 64, 0, {0}, {0}, {0}},
    {"log, synced, 256 in flight", "/s", in_flight, 256, TRP_JOURNAL_SYNCED, {0}, {0}, {0}},
    {"log, written, 1 in flight", "/s", in_flight, 1, TRP_JOURNAL_WRITTEN, {0}, {0}, {0}},
    {"log, written, 256 in flight", "/s", in_flight, 256, TRP_JOURNAL_WRITTEN, {0}, {0}, {0}},
    {"log, an append and its share of the commit", "ns", append_ns, 0, 0, {0}, {0}, {0}},
    {"log, recovery of a million records", "MB/s", recovery, 0, 0, {0}, {0}, {0}},
};
enum { WORKS = sizeof works / sizeof *works };

static double median(double *v, int n) {
    qsort(v, (size_t)n, sizeof *v, order);
    return v[n / 2];
}

/* Round by round, since the disk is the same only within one. */
static void report_ratio(const struct work *w, const struct work *bare_work, int rounds, bool json) {
    double ratios[ROUNDS_MOST];
    for (int r = 0; r < rounds; r++)
        ratios[r] = w->results[r] / bare_work->results[r];
    double middle = median(ratios, rounds);
    if (json)
        printf("{\"work\":\"%s\",\"to\":\"%s\",\"ratio\":%.2f,\"min\":%.2f,\"max\":%.2f}\n", w->name, bare_work->name, middle,
               ratios[0], ratios[rounds - 1]);
    else
        printf("%s: %.2f times the %s (%.2f to %.2f)\n", w->name, middle, bare_work->name, ratios[0], ratios[rounds - 1]);
}

static void report(struct work *w, int rounds, bool json) {
    double result = median(w->results, rounds), middle = median(w->p50, rounds), late = median(w->p99, rounds);
    if (json)
        printf("{\"work\":\"%s\",\"unit\":\"%s\",\"median\":%.0f,\"min\":%.0f,\"max\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n",
               w->name, w->unit, result, w->results[0], w->results[rounds - 1], middle, late);
    else
        printf("%-44s %9.0f %-4s (%.0f to %.0f)  p50 %.0f us, p99 %.0f us\n", w->name, result, w->unit, w->results[0],
               w->results[rounds - 1], middle, late);
}

int main(int argc, char **argv) {
    bool json = false;
    int rounds = 5;
    const char *only = "";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (strncmp(argv[i], "--only=", 7) == 0)
            only = argv[i] + 7;
        else if (sscanf(argv[i], "--rounds=%d", &rounds) != 1 && sscanf(argv[i], "--seconds=%lf", &seconds) != 1)
            snprintf(dir, sizeof dir, "%s/journal_bench.tmp", argv[i]);
    }
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MOST ? ROUNDS_MOST : rounds;
    latencies = calloc(LATENCIES, sizeof *latencies);
    wakeup = eventfd(0, EFD_CLOEXEC);
    if (!latencies || wakeup < 0)
        die("set up");
    folder_remove();
    /* Round 0 warms up. */
    for (int r = -1; r < rounds; r++) {
        for (struct work *w = works; w < works + WORKS; w++) {
            if (!strstr(w->name, only))
                continue;
            double result = w->run(w);
            percentiles();
            if (r < 0)
                continue;
            w->results[r] = result;
            w->p50[r] = p50;
            w->p99[r] = p99;
        }
    }
    if (!*only) {
        report_ratio(&works[1], &works[0], rounds, json);
        report_ratio(&works[4], &works[3], rounds, json);
    }
    for (struct work *w = works; w < works + WORKS; w++)
        if (strstr(w->name, only))
            report(w, rounds, json);
    free(latencies);
    return EXIT_SUCCESS;
}
