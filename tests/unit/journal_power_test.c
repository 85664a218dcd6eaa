/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Power cuts and kills at random moments, some of them while syncs fail: what was confirmed as synced survives each of
 * them, what was confirmed as written survives a kill, and the log always opens again, for it is never damaged. */
#include "tests/support/chance.h"
#include "tests/support/effort.h"
#include "tests/support/log.h"
#include "tests/support/power.h"
#include "tests/support/run.h"
#include "transports/spin.h"

enum { CHAINS = 40, ROUNDS = 25, STEPS = 60 };

struct chain {
    struct log l;
    struct power p;
    uint64_t seed;
    uint64_t confirmed[64 * 1024]; /* lsn of record i, modulo */
    uint64_t starts[4096];         /* first record of a segment, modulo */
    uint64_t dropped;              /* records below may be gone */
    uint64_t survives;             /* records below must be there */
    unsigned cuts, kills;
};

static struct chain chain;

enum { LSNS = sizeof chain.confirmed / sizeof *chain.confirmed, STARTS = sizeof chain.starts / sizeof *chain.starts };

/* What the log says about segments counts: one whose successors were dropped while it was written may hold their records. */
static troupe_status replay(void *ctx, struct trp_slice record, uint64_t lsn, uint64_t segment) {
    uint64_t before = chain.l.segment, replayed = chain.l.replayed;
    troupe_status st = log_replay(ctx, record, lsn, segment);
    if (segment != before)
        chain.starts[segment % STARTS] = replayed ? replayed : chain.l.first;
    return st;
}

static void append(struct chain *c) {
    struct log *l = &c->l;
    uint64_t segment = trp_journal_newest(l->j);
    troupe_status st = log_append_must(l, log_random(&c->seed, 4) == 0);
    if (st != TROUPE_OK)
        return; /* full, for a while */
    c->confirmed[(l->next - 1) % LSNS] = l->lsn;
    if (l->segment != segment)
        c->starts[l->segment % STARTS] = l->next - 1;
}

/* A segment whose records nobody wants any more. */
static void drop(struct chain *c) {
    struct trp_journal *j = c->l.j;
    if (trp_journal_newest(j) < trp_journal_oldest(j) + 3)
        return;
    uint64_t next = trp_journal_oldest(j) + 1;
    while (c->starts[next % STARTS] == UINT64_MAX)
        next++;
    c->dropped = c->starts[next % STARTS];
    ck_assert_int_eq(trp_journal_drop_oldest(j), TROUPE_OK);
}

/* The sync thread gets none, some or all of the time that it needs. (Yielding in a loop would do it, too, but on a busy machine
 * each time costs a time slice.) */
static void pass_time(struct chain *c) {
    struct timespec t;
    for (uint64_t n = log_random(&c->seed, 4) ? log_random(&c->seed, 1000) : 0; n; n--)
        trp_spin_relax();
    if (log_random(&c->seed, 3))
        return;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += (long)log_random(&c->seed, 1000000);
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    (void)sem_timedwait(&c->l.moved, &t);
}

static void step(struct chain *c) {
    static const unsigned levels[] = {TRP_JOURNAL_SYNCED, TRP_JOURNAL_SYNCED, TRP_JOURNAL_WRITTEN, TRP_JOURNAL_NOTHING};
    for (uint64_t n = log_random(&c->seed, 12); n; n--)
        append(c);
    if (log_random(&c->seed, 10) == 0)
        drop(c);
    trp_journal_commit(c->l.j, levels[log_random(&c->seed, 4)]);
    pass_time(c);
}

/* Records below are confirmed by `position`. */
static uint64_t confirmed_by(const struct chain *c, uint64_t position) {
    uint64_t i = c->l.next, least = c->l.replayed;
    while (i > least && c->confirmed[(i - 1) % LSNS] > position)
        i--;
    return i;
}

static void check(struct chain *c) {
    struct log *l = &c->l;
    ck_assert_msg(!l->wrong, "something replayed was not appended");
    ck_assert_msg(l->replayed >= c->survives, "records from %llu on are lost, %llu were confirmed",
                  (unsigned long long)l->replayed, (unsigned long long)c->survives);
    ck_assert_msg(l->first == l->replayed || l->first <= c->dropped, "it begins with %llu, below %llu was dropped",
                  (unsigned long long)l->first, (unsigned long long)c->dropped);
}

static void round_run(struct chain *c) {
    static struct power_generation g;
    struct log *l = &c->l;
    power_begin(&g, &c->p);
    l->opts.sys = &g.sys;
    memset(c->starts, 0xff, sizeof c->starts);
    power_sync_fails(&c->p, 0); /* an open that fails is no news */
    log_open(l);
    check(c);
    c->survives = l->replayed; /* recovery made it durable */
    power_sync_fails(&c->p, log_random(&c->seed, 3) == 0 ? 10 : 0);
    for (uint64_t n = log_random(&c->seed, STEPS); n; n--)
        step(c);
    uint64_t event = log_random(&c->seed, 8);
    if (event == 0) {
        power_sync_fails(&c->p, 0);
        uint64_t next = l->next;
        log_close(l);
        c->survives = next;
        return;
    }
    bool kill = event < 4;
    uint64_t position = kill ? trp_journal_written(l->j) : trp_journal_synced(l->j);
    power_kill(&g);
    c->survives = confirmed_by(c, position);
    (void)trp_journal_close(&l->j);
    c->kills += kill;
    c->cuts += !kill;
    if (!kill)
        power_cut(&c->p);
}

START_TEST(what_is_confirmed_survives) {
    memset(&chain, 0, sizeof chain);
    chain.seed = seed_of_run() + (uint64_t)_i;
    log_make_hasty(&chain.l);
    chain.l.owner.replay = replay;
    power_init(&chain.p, chain.l.path, chain.seed);
    chain.l.opts.segment_bytes = 2000 + log_random(&chain.seed, 20000);
    chain.l.opts.lazy_ms = 3;
    chain.l.opts.retry_ms = 1;
    for (int i = 0; i < ROUNDS; i++)
        round_run(&chain);
    printf("%u power cuts, %u kills, %llu records, %u syncs failed in the last generation\n", chain.cuts, chain.kills,
           (unsigned long long)chain.l.next, chain.p.sync_failed);
    power_forget(&chain.p);
    log_remove(&chain.l);
}
END_TEST

int main(void) {
    Suite *s = suite_create("journal_power");
    TCase *c = run_case(s, "power", NULL, 0);
    tcase_add_loop_test(c, what_is_confirmed_survives, 0, effort_rounds(CHAINS));
    tcase_set_timeout(c, 300);
    return run_suite(s);
}
