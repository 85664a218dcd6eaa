/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What messages between two processes can cost at the least: two rings in shared memory, a futex for who has nothing to do,
 * and nothing else; no actors, no mailboxes, nobody who may die. process_bench is compared with it, on the same processors:
 *
 *     floor pp|stream [N]          one line of JSON, as process_bench
 *
 *     pp       an integer there and back, N round trips
 *     stream   N messages of 128 bytes, numbered, one way; one back at the end
 *
 * Who waits sleeps at once, with pp; with stream it looks a while before. A hundredth of it before is warming up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "actors/futex.h"
#include "transports/spin.h"

enum { SLOTS = 1024, FREE = SLOTS / 4, PAYLOAD = 128, LINE = 64, LOOKS = 2000 };

/* One writes, one reads. Positions count for ever. */
struct ring {
    _Alignas(LINE) _Atomic uint32_t written;
    _Alignas(LINE) _Atomic uint32_t read;
    _Alignas(LINE) _Atomic uint32_t reader_sleeps;
    _Alignas(LINE) _Atomic uint32_t writer_sleeps;
    _Alignas(LINE) unsigned char slots[SLOTS][PAYLOAD];
};

struct rings {
    struct ring there, back;
};

_Noreturn static void give_up(const char *what) {
    fprintf(stderr, "floor: %s\n", what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* How often one looks before it sleeps: never where one waits for the other at each message: there the wake is measured. */
static unsigned looks;

/* Until *word is not `seen` any more; gives what it is. Who sleeps says so before it looks again, so whoever changes the word
 * after that wakes it; and it sleeps on what it has said, so that a late wake, for an earlier sleep, ends this one, too. */
static uint32_t wait_for(_Atomic uint32_t *word, uint32_t seen, _Atomic uint32_t *sleeps) {
    uint32_t is;
    for (unsigned i = 0; i < looks && atomic_load_explicit(word, memory_order_acquire) == seen; i++)
        trp_spin_relax();
    while ((is = atomic_load_explicit(word, memory_order_acquire)) == seen) {
        atomic_store(sleeps, 1);
        if (atomic_load(word) == seen)
            trp_futex_wait(sleeps, 1, TRP_NEVER);
        atomic_store_explicit(sleeps, 0, memory_order_relaxed);
    }
    return is;
}

static void tell(_Atomic uint32_t *word, uint32_t value, _Atomic uint32_t *sleeps) {
    atomic_store(word, value); /* sequentially consistent: before the look at who sleeps */
    /* One wake is enough, though the other may take its time. */
    if (atomic_load(sleeps) && atomic_exchange(sleeps, 0))
        trp_futex_wake(sleeps);
}

/* What this process last saw of the other's positions: it writes one ring and reads one. */
static uint32_t seen_read, seen_written;

static void put(struct ring *r, uint64_t n, size_t size) {
    /* Relaxed: our own. */
    uint32_t at = atomic_load_explicit(&r->written, memory_order_relaxed);
    if (at - seen_read == SLOTS)
        seen_read = wait_for(&r->read, at - SLOTS, &r->writer_sleeps);
    unsigned char *slot = r->slots[at % SLOTS];
    memset(slot, (int)n, size);
    memcpy(slot, &n, sizeof n);
    tell(&r->written, at + 1, &r->reader_sleeps);
}

static uint64_t get(struct ring *r, size_t size) {
    static unsigned char message[PAYLOAD];
    uint32_t at = atomic_load_explicit(&r->read, memory_order_relaxed);
    uint64_t n;
    if (at == seen_written)
        seen_written = wait_for(&r->written, at, &r->reader_sleeps);
    memcpy(message, r->slots[at % SLOTS], size);
    memcpy(&n, message, sizeof n);
    /* Who has filled the ring is woken when a part of it is free, not for each place. */
    if ((at + 1) % FREE == 0)
        tell(&r->read, at + 1, &r->writer_sleeps);
    else
        atomic_store_explicit(&r->read, at + 1, memory_order_release);
    return n;
}

/* --- the two works --- */

static void sends_back(struct rings *r, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        put(&r->back, get(&r->there, sizeof i) + 1, sizeof i);
}

static void plays(struct rings *r, uint64_t from, uint64_t count) {
    for (uint64_t i = from; i < from + count; i++) {
        put(&r->there, i, sizeof i);
        if (get(&r->back, sizeof i) != i + 1)
            give_up("wrong answer");
    }
}

static void drinks(struct rings *r, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        if (get(&r->there, PAYLOAD) != i)
            exit(1); /* and the parent waits no more: see main */
    }
    put(&r->back, count, sizeof count);
}

static void pours(struct rings *r, uint64_t from, uint64_t count) {
    for (uint64_t i = from; i < from + count; i++)
        put(&r->there, i, PAYLOAD);
}

static void follow(struct rings *r, bool to_and_fro, uint64_t count) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (to_and_fro)
        sends_back(r, count);
    else
        drinks(r, count);
    exit(0);
}

/* A child that has failed can't answer. */
static void on_child(int sig) {
    int status;
    (void)sig;
    if (wait(&status) > 0 && status != 0)
        _exit(1);
}

int main(int argc, char **argv) {
    bool to_and_fro = argc < 2 || strcmp(argv[1], "pp") == 0;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : to_and_fro ? 100000 : 5000000, warm = count / 100 + 1;
    struct rings *r = mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r == MAP_FAILED)
        give_up("no memory");
    looks = to_and_fro ? 0 : LOOKS;
    signal(SIGCHLD, on_child);
    pid_t child = fork();
    if (child < 0)
        give_up("no process");
    if (child == 0)
        follow(r, to_and_fro, warm + count);
    (to_and_fro ? plays : pours)(r, 0, warm);
    double from = now();
    (to_and_fro ? plays : pours)(r, warm, count);
    if (!to_and_fro && get(&r->back, sizeof count) != warm + count)
        give_up("wrong count");
    double seconds = now() - from, n = (double)count * (to_and_fro ? 2 : 1);
    printf("{\"metric\":\"msgs_per_s\",\"value\":%.0f,\"n\":%.0f,\"seconds\":%.4f}\n", n / seconds, n, seconds);
    return 0;
}
