/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What can change is read under the actor's lock, for a moment; what has to be asked of the kernel is asked after that.
 * By then the actor may have ended, and its stack be unmapped or another's: the kernel says so, or the figure is that
 * other's, which is no worse than being late. */
#include <troupe/inspect.h>

#include <sys/mman.h>
#include <unistd.h>

#include "actors/measure.h"
#include "actors/system.h"
#include "transports/alloc.h"

const char *troupe_actor_state_name(troupe_actor_state state) {
    static const char *const names[] = {"starting", "running", "waiting", "closing"};
    return (unsigned)state < sizeof names / sizeof *names ? names[state] : "unknown";
}

/* --- one actor --- */

/* Under its lock; it has not ended. */
static troupe_actor_state state_of(struct trp_actor *a) {
    if (a->life == TRP_STARTING || (a->life == TRP_RUNNING && trp_actor_lives(a) == 0))
        return TROUPE_ACTOR_STARTING;
    if (a->life == TRP_CLOSING)
        return TROUPE_ACTOR_CLOSING;
    if (a->birth->kind == TROUPE_PROCESS)
        return TROUPE_ACTOR_RUNNING; /* the steward parks a proxy while its process computes */
    /* Relaxed, both: a moment's look. */
    bool waits = atomic_load_explicit(&a->wake, memory_order_relaxed) == TRP_PARKED ||
                 atomic_load_explicit(&a->mailbox.head, memory_order_relaxed) & TRP_MAIL_LISTENING;
    return waits ? TROUPE_ACTOR_WAITING : TROUPE_ACTOR_RUNNING;
}

static void look_at_mail(struct trp_actor *a, troupe_actor_info *out) {
    out->queued = trp_mailbox_count(&a->mailbox);
    out->queued_bytes = trp_mailbox_bytes(&a->mailbox);
    out->queued_most = a->birth->mailbox;
    out->handled = trp_mailbox_handled(&a->mailbox);
    out->dropped = atomic_load_explicit(&a->dropped, memory_order_relaxed);
}

/* False: it has ended. */
static bool look(struct trp_actor *a, troupe_actor_info *out, struct trp_measure *m) {
    const struct trp_backend *backend = a->backend;
    pthread_mutex_lock(&a->lock);
    bool alive = a->life != TRP_ENDED;
    unsigned lives = trp_actor_lives(a);
    if (alive) {
        out->state = state_of(a);
        out->restarts = a->birth->restarts + (lives ? lives - 1 : 0);
        look_at_mail(a, out);
    }
    /* Before the first life there may be nothing yet. */
    if (alive && lives > 0 && backend->measure)
        backend->measure(a, m);
    pthread_mutex_unlock(&a->lock);
    return alive;
}

static int64_t cpu_of(const struct trp_measure *m) {
    clockid_t clock = m->clock;
    struct timespec t;
    if (m->pid && clock_getcpuclockid(m->pid, &clock) != 0)
        return -1;
    if (clock == CLOCK_REALTIME || clock_gettime(clock, &t) != 0)
        return m->cpu_ns;
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Stacks grow down, and pages that have been touched stay: those above the lowest one are as many as it has needed. */
static size_t stack_used(const struct trp_measure *m) {
    enum { PAGES = 4096 };
    unsigned char resident[PAGES];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = m->stack_size / page, low = 0;
    uintptr_t bottom = ((uintptr_t)m->stack + page - 1) / page * page;
    /* A deep stack is looked at from its high end, as far as the table goes. */
    size_t skipped = pages > PAGES ? pages - PAGES : 0;
    if (!m->stack || mincore((void *)(bottom + skipped * page), (pages - skipped) * page, resident) != 0)
        return 0;
    while (low < pages - skipped && !(resident[low] & 1))
        low++;
    return (pages - skipped - low) * page;
}

static bool inspect(struct trp_actor *a, troupe_actor_info *out) {
    struct trp_measure m = {.clock = CLOCK_REALTIME, .cpu_ns = -1};
    *out = (troupe_actor_info){.ref = {trp_actor_id(a)}, .kind = a->birth->kind};
    memcpy(out->name, a->birth->name, sizeof out->name);
    if (!look(a, out, &m))
        return false;
    out->pid = m.pid;
    out->queued_bytes += m.straight_bytes;
    out->handled += m.straight;
    out->cpu_ns = cpu_of(&m);
    out->stack_size = m.stack_size;
    out->stack_used = stack_used(&m);
    return true;
}

/* --- all of them --- */

struct collection {
    struct trp_buf buf;
    troupe_status st;
};

static void collect(struct trp_actor *a, void *ctx) {
    struct collection *c = ctx;
    troupe_actor_info info;
    if (c->st == TROUPE_OK && inspect(a, &info))
        c->st = trp_buf_put(&c->buf, &info, sizeof info);
}

troupe_status troupe_system_snapshot(troupe_system *sys, troupe_snapshot **out) {
    struct collection c = {.st = TROUPE_OK};
    if (sys->forks != trp_copy_now())
        return TROUPE_UNSUPPORTED;
    troupe_snapshot head = {.dead_letters = atomic_load_explicit(&sys->letters.count, memory_order_relaxed)}, *s;
    c.st = trp_buf_put(&c.buf, &head, sizeof head);
    trp_registry_each(&sys->registry, collect, &c);
    if (c.st != TROUPE_OK) {
        trp_buf_fini(&c.buf);
        return c.st;
    }
    s = (troupe_snapshot *)(void *)c.buf.p; /* it is the buffer, from now on */
    s->count = (c.buf.n - sizeof head) / sizeof s->actors[0];
    *out = s;
    return TROUPE_OK;
}

void troupe_snapshot_free(troupe_snapshot **s) {
    trp_free(*s);
    *s = NULL;
}

/* --- for people --- */

static void print_kib(FILE *to, size_t bytes) {
    if (bytes)
        fprintf(to, " %7zu", bytes / 1024);
    else
        fprintf(to, " %7s", "-");
}

/* Queues and events are actors, too, of a kind that nobody can spawn. */
static const char *kind_of(const troupe_actor_info *i) {
    return (unsigned)i->kind <= TROUPE_PROCESS ? troupe_kind_name(i->kind) : "object";
}

static void print_actor(FILE *to, const troupe_actor_info *i) {
    fprintf(to, "%-17llx %-9s %-8s %7zu %11llu %7llu %8lu", (unsigned long long)i->ref.id, kind_of(i),
            troupe_actor_state_name(i->state), i->queued, (unsigned long long)i->handled, (unsigned long long)i->dropped,
            (unsigned long)i->restarts);
    if (i->cpu_ns < 0)
        fprintf(to, " %9s", "-");
    else
        fprintf(to, " %9.3f", (double)i->cpu_ns / 1e9);
    print_kib(to, i->stack_used);
    fprintf(to, "  %s", i->name);
    if (i->pid)
        fprintf(to, " (pid %d)", i->pid);
    fputc('\n', to);
}

troupe_status troupe_system_dump(troupe_system *sys, FILE *to) {
    troupe_snapshot *s;
    troupe_status st = troupe_system_snapshot(sys, &s);
    if (st != TROUPE_OK)
        return st;
    fprintf(to, "%-17s %-9s %-8s %7s %11s %7s %8s %9s %7s  %s\n", "reference", "kind", "state", "queued", "handled", "dropped",
            "restarts", "cpu s", "stack K", "name");
    for (size_t i = 0; i < s->count; i++)
        print_actor(to, &s->actors[i]);
    fprintf(to, "%zu actors, %llu dead letters\n", s->count, (unsigned long long)s->dead_letters);
    troupe_snapshot_free(&s);
    return ferror(to) ? TROUPE_SYSTEM : TROUPE_OK;
}
