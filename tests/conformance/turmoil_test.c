/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Actors of every kind do all that there is to do with each other, and are killed in the middle of it: told to end, or their
 * process by a signal, at once or after it was stopped. Each end is told once, whoever is not meant goes on, and nothing of the
 * dead is left: no name, no process, no descriptor, nobody who waits. */
#include <dirent.h>
#include <signal.h>
#include <troupe/bounded.h>
#include <troupe/event.h>
#include <troupe/inspect.h>
#include <troupe/monitor.h>
#include <troupe/names.h>
#include <troupe/pool.h>
#include <troupe/timer.h>

#include "tests/support/actors.h"
#include "tests/support/chance.h"
#include "tests/support/descriptors.h"
#include "tests/support/echo.h"
#include "tests/support/effort.h"

enum { KINDS = 3, CAST = 12, MOMENT_MS = 5, STEPS = 300 };

/* What they all have to do with. */
struct stage {
    troupe_queue queue;
    troupe_event event;
    troupe_pool pool;
    troupe_ref servers[KINDS];
};

struct part {
    struct stage stage;
    int number;
    uint32_t chance;
};

/* --- what they do --- */

static uint32_t draw(struct part *p, uint32_t n) {
    p->chance = p->chance * 1103515245u + 12345u;
    return (p->chance >> 16) % n;
}

static void drop_answer(troupe_status st, troupe_msg **m) {
    if (st == TROUPE_OK)
        troupe_msg_free(m);
}

static void passes_items(troupe_self *self, struct part *p) {
    static const uint8_t large[400 * 1024];
    troupe_msg *m;
    for (int i = 0; i < 4; i++) {
        troupe_value v = draw(p, 30) ? troupe_int(i) : troupe_bytes(large, sizeof large);
        (void)!troupe_queue_push(self, p->stage.queue, v, draw(p, MOMENT_MS));
        drop_answer(troupe_queue_pop(self, p->stage.queue, draw(p, MOMENT_MS), &m), &m);
    }
}

static void asks(troupe_self *self, struct part *p) {
    troupe_future *f = NULL;
    troupe_msg *m;
    troupe_ref server = p->stage.servers[draw(p, KINDS)];
    drop_answer(troupe_ask(self, server, troupe_int(1), MOMENT_MS, &m), &m);
    if (troupe_ask_async(self, server, troupe_int(2), &f) == TROUPE_OK)
        drop_answer(troupe_future_await(self, &f, draw(p, MOMENT_MS), &m), &m);
    troupe_future_free(&f);
    if (troupe_pool_submit(self, p->stage.pool, troupe_int(3), MOMENT_MS, &f) == TROUPE_OK)
        drop_answer(troupe_future_await(self, &f, MOMENT_MS, &m), &m);
    troupe_future_free(&f);
}

static void hears_news(troupe_self *self, struct part *p) {
    troupe_msg *m;
    const char *group = draw(p, 2) ? "readers" : NULL;
    (void)!troupe_subscribe(self, "local.news", &(troupe_sub_opts){.group = group});
    (void)!troupe_publish(self, "local.news", troupe_int(1), MOMENT_MS);
    drop_answer(troupe_request(self, "local.news", troupe_int(2), 1, &m), &m);
    if (draw(p, 2))
        (void)!troupe_unsubscribe(self, "local.news");
}

static void short_life(troupe_self *self, void *arg) {
    (void)arg;
    (void)!troupe_sleep(self, 1);
}

static void has_children(troupe_self *self, struct part *p) {
    troupe_spawn_opts opts = {.kind = (troupe_kind)draw(p, KINDS), .link = draw(p, 2) != 0};
    troupe_ref child;
    troupe_watch w;
    if (troupe_spawn(self, &opts, short_life, NULL, 0, &child) != TROUPE_OK)
        return;
    (void)!troupe_monitor(self, child, &w);
    if (draw(p, 2))
        (void)!troupe_join(self, child, MOMENT_MS, NULL);
    else
        (void)!troupe_demonitor(self, w);
}

static void name_of(int number, char name[24]) {
    snprintf(name, 24, "actor no %d", number);
}

/* In streams: straight to it, where it is a process. */
static void talks(troupe_self *self, struct part *p) {
    char name[24];
    troupe_ref other;
    name_of((int)draw(p, CAST), name);
    if (troupe_whereis(self, name, &other) != TROUPE_OK)
        return;
    for (int i = 0; i < 40; i++)
        (void)!troupe_send(self, other, troupe_int(i));
    (void)!troupe_try_send(self, other, troupe_nil());
    (void)!troupe_send_after(self, draw(p, MOMENT_MS), other, troupe_int(-1), NULL);
}

static void minds_the_event(troupe_self *self, struct part *p) {
    (void)!(draw(p, 2) ? troupe_event_set(self, p->stage.event) : troupe_event_clear(self, p->stage.event));
    (void)!troupe_event_wait(self, p->stage.event, draw(p, MOMENT_MS));
}

static void hears(troupe_self *self, int64_t ms) {
    troupe_msg *m;
    while (troupe_receive(self, ms, &m) == TROUPE_OK) {
        if (troupe_msg_wants_reply(m) && troupe_msg_int(m, &ms))
            (void)!troupe_reply(self, m, troupe_int(ms));
        troupe_msg_free(&m);
        ms = 0;
    }
}

static void plays(troupe_self *self, void *arg) {
    static void (*const acts[])(troupe_self *, struct part *) = {passes_items, asks,  hears_news,
                                                                 has_children, talks, minds_the_event};
    struct part *p = arg;
    (void)!troupe_trap_exits(self, true);
    for (;;) {
        acts[draw(p, sizeof acts / sizeof *acts)](self, p);
        hears(self, draw(p, 2));
        if (troupe_sleep(self, 0) == TROUPE_CLOSED)
            return;
    }
}

static void does_task(troupe_self *self, troupe_msg *task, void *arg) {
    (void)arg;
    (void)!troupe_reply(self, task, troupe_msg_value(task));
}

/* --- the cast --- */

static struct stage stage;
static struct actor {
    troupe_ref ref;
    troupe_watch watch;
    int pid;
} cast[CAST];

static void set_stage(void) {
    ck_assert_int_eq(troupe_queue_open(me, &(troupe_queue_bounds){.messages = 4}, &stage.queue), TROUPE_OK);
    ck_assert_int_eq(troupe_event_open(me, NULL, &stage.event), TROUPE_OK);
    troupe_pool_opts opts = {.kind = TROUPE_PROCESS, .workers = 2, .backlog = 8, .max_tasks = 20};
    ck_assert_int_eq(troupe_pool_open(me, &opts, does_task, NULL, 0, &stage.pool), TROUPE_OK);
    for (int kind = 0; kind < KINDS; kind++)
        stage.servers[kind] = spawn(kind, echoes, NULL, 0);
    /* The first one makes the topics. */
    ck_assert_int_eq(troupe_subscribe(me, "local.news", NULL), TROUPE_OK);
    ck_assert_int_eq(troupe_unsubscribe(me, "local.news"), TROUPE_OK);
}

static int pid_of(troupe_ref ref) {
    troupe_snapshot *s;
    int pid = 0;
    ck_assert_int_eq(troupe_system_snapshot(sys, &s), TROUPE_OK);
    for (size_t i = 0; i < s->count; i++)
        pid = s->actors[i].ref.id == ref.id ? s->actors[i].pid : pid;
    troupe_snapshot_free(&s);
    return pid;
}

static void enter(int i) {
    struct part p = {.stage = stage, .number = i, .chance = (uint32_t)random64()};
    char name[24];
    name_of(i, name);
    troupe_spawn_opts opts = {.kind = (troupe_kind)(i % KINDS), .name = name, .registered = true, .mailbox = 200};
    opts.overflow = i % 4 == 3 ? TROUPE_DROP_OLDEST : i % 4 == 2 ? TROUPE_FAIL : TROUPE_PARK;
    ck_assert_int_eq(troupe_spawn(me, &opts, plays, &p, sizeof p, &cast[i].ref), TROUPE_OK);
    ck_assert_int_eq(troupe_monitor(me, cast[i].ref, &cast[i].watch), TROUPE_OK);
    cast[i].pid = 0;
}

static void be_killed(struct actor *a) {
    if (!a->pid)
        a->pid = pid_of(a->ref);
    uint32_t how = a->pid ? roll(4) : 0;
    if (how == 3)
        kill(a->pid, SIGSTOP);
    if (how > 0)
        kill(a->pid, SIGKILL);
    else
        ck_assert_int_eq(troupe_kill(me, a->ref), TROUPE_OK);
}

/* Told once, and before anything else of another's end. */
static void hear_of_end(const struct actor *a) {
    troupe_down down;
    troupe_msg *m;
    do {
        ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    } while (!troupe_msg_down(m, &down) && (troupe_msg_free(&m), true));
    ck_assert_uint_eq(down.watch.id, a->watch.id);
    ck_assert_uint_eq(down.ref.id, a->ref.id);
    ck_assert(down.exit.how == TROUPE_END_KILLED || down.exit.how == TROUPE_END_SIGNAL);
    troupe_msg_free(&m);
}

static void dies(int i) {
    char name[24];
    troupe_ref ref;
    be_killed(&cast[i]);
    hear_of_end(&cast[i]);
    name_of(i, name);
    ck_assert_int_eq(troupe_whereis(me, name, &ref), TROUPE_NOT_FOUND);
}

static void servers_answer(void) {
    troupe_msg *m;
    for (int kind = 0; kind < KINDS; kind++) {
        ck_assert_int_eq(troupe_ask(me, stage.servers[kind], troupe_int(9), PATIENCE_MS, &m), TROUPE_OK);
        troupe_msg_free(&m);
    }
}

/* What is shared has not been hurt. */
static void stage_works(void) {
    troupe_msg *m;
    servers_answer();
    while (troupe_queue_pop(me, stage.queue, 0, &m) == TROUPE_OK)
        troupe_msg_free(&m);
    ck_assert_int_eq(troupe_queue_push(me, stage.queue, troupe_int(5), 0), TROUPE_OK);
    ck_assert_int_eq(troupe_queue_pop(me, stage.queue, 0, &m), TROUPE_OK);
    troupe_msg_free(&m);
    ck_assert_int_eq(troupe_event_set(me, stage.event), TROUPE_OK);
    ck_assert_int_eq(troupe_event_wait(me, stage.event, 0), TROUPE_OK);
    ck_assert_int_eq(troupe_request(me, "local.news", troupe_int(1), PATIENCE_MS, &m), TROUPE_NO_RESPONDERS);
}

/* Who is left: us, servers, objects, the pool's workers; and their descriptors. */
static void nobody_is_left(size_t most, int most_descriptors) {
    size_t count = most + 1;
    for (int i = 0; i < PATIENCE_MS && (count > most || descriptors() > most_descriptors); i++) {
        troupe_snapshot *s;
        ck_assert_int_eq(troupe_sleep(me, 1), TROUPE_OK);
        ck_assert_int_eq(troupe_system_snapshot(sys, &s), TROUPE_OK);
        count = s->count;
        troupe_snapshot_free(&s);
    }
    ck_assert_uint_le(count, most);
    ck_assert_int_le(descriptors(), most_descriptors);
}

static size_t population(void) {
    troupe_snapshot *s;
    ck_assert_int_eq(troupe_system_snapshot(sys, &s), TROUPE_OK);
    size_t count = s->count;
    troupe_snapshot_free(&s);
    return count;
}

START_TEST(killed_in_the_middle) {
    chance_begin(seed_of_run());
    system_up();
    set_stage();
    servers_answer();
    size_t before = population();
    int open_before = descriptors();
    for (int i = 0; i < CAST; i++)
        enter(i);
    for (int n = effort_rounds(STEPS); n > 0; n--) {
        int i = (int)roll(CAST);
        ck_assert_int_eq(troupe_sleep(me, roll(MOMENT_MS)), TROUPE_OK);
        dies(i);
        enter(i);
        if (n % 10 == 0)
            servers_answer();
    }
    for (int i = 0; i < CAST; i++)
        dies(i);
    stage_works();
    nobody_is_left(before, open_before);
    system_down();
}
END_TEST

/* By the end of the system. */
START_TEST(closed_in_the_middle) {
    chance_begin(seed_of_run());
    for (int n = effort_rounds(10); n > 0; n--) {
        int before = descriptors();
        system_up();
        set_stage();
        for (int i = 0; i < CAST; i++)
            enter(i);
        ck_assert_int_eq(troupe_sleep(me, roll(4 * MOMENT_MS)), TROUPE_OK);
        system_down();
        ck_assert(n == effort_rounds(10) || descriptors() == before);
    }
}
END_TEST

/* --- who is being born --- */

/* Sends to whoever has that name, from the moment on that it can be found. */
static void greets(troupe_self *self, void *arg) {
    troupe_ref ref;
    (void)arg;
    for (;;) {
        troupe_status st = troupe_whereis(self, "newborn", &ref);
        if (st == TROUPE_CLOSED)
            return;
        if (st == TROUPE_OK)
            (void)!troupe_send(self, ref, troupe_int(1));
    }
}

static void hears_one(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)arg;
    if (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK)
        troupe_msg_free(&m);
}

START_TEST(the_newborn_are_greeted) {
    system_up();
    troupe_ref greeters[KINDS], ref;
    for (int kind = 0; kind < KINDS; kind++)
        greeters[kind] = spawn(kind, greets, NULL, 0);
    troupe_spawn_opts opts = {.kind = (troupe_kind)_i, .name = "newborn", .registered = true};
    for (int n = effort_rounds(_i == TROUPE_PROCESS ? 100 : 1000); n > 0; n--) {
        ck_assert_int_eq(troupe_spawn(me, &opts, hears_one, NULL, 0, &ref), TROUPE_OK);
        ends(ref, TROUPE_END_NORMAL);
    }
    for (int kind = 0; kind < KINDS; kind++)
        ck_assert_int_eq(troupe_kill(me, greeters[kind]), TROUPE_OK);
    system_down();
}
END_TEST

/* --- a crowd that waits --- */

enum { CROWD = 10000, PEERS = 20 };

static _Atomic int done, odd;

/* Asks somebody who never answers, and ends; again and again until its own time is over. */
static void waits_for_the_dying(troupe_self *self, void *arg) {
    const troupe_ref *peers = arg;
    troupe_msg *m;
    for (int i = 0; i < 3; i++) {
        troupe_ref peer = peers[(troupe_self_ref(self).id + (uint64_t)i) % PEERS];
        troupe_status st = troupe_ask(self, peer, troupe_nil(), 1 + (int64_t)(troupe_self_ref(self).id % 50), &m);
        odd += st != TROUPE_TIMEOUT && st != TROUPE_DIED && st != TROUPE_NOT_FOUND && st != TROUPE_CLOSED;
        drop_answer(st, &m);
        (void)!troupe_join(self, peer, 1, NULL);
    }
    done++;
}

static void holds_all(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK)
        ; /* in hand until its end */
}

START_TEST(a_crowd_waits_for_the_dying) {
    troupe_ref peers[PEERS];
    int crowd = effort_rounds(CROWD);
    system_up();
    done = odd = 0;
    for (int i = 0; i < PEERS; i++) {
        troupe_spawn_opts opts = {.kind = (troupe_kind)(i % KINDS), .mailbox = CROWD};
        ck_assert_int_eq(troupe_spawn(me, &opts, holds_all, NULL, 0, &peers[i]), TROUPE_OK);
    }
    for (int i = 0; i < crowd; i++) {
        ck_assert_int_eq(troupe_spawn(me, NULL, waits_for_the_dying, peers, sizeof peers, NULL), TROUPE_OK);
        if (i % (crowd / PEERS) == 0 && i / (crowd / PEERS) < PEERS)
            ck_assert_int_eq(troupe_kill(me, peers[i / (crowd / PEERS)]), TROUPE_OK);
    }
    for (int i = 0; i < PATIENCE_MS && done < crowd; i++)
        ck_assert_int_eq(troupe_sleep(me, 1), TROUPE_OK);
    ck_assert_int_eq(done, crowd);
    ck_assert_int_eq(odd, 0);
    system_down();
}
END_TEST

int main(void) {
    Suite *s = suite_create("turmoil");
    const TTest *const tests[] = {killed_in_the_middle, closed_in_the_middle, a_crowd_waits_for_the_dying};
    TCase *c = run_case(s, "turmoil", tests, sizeof tests / sizeof *tests);
    tcase_add_loop_test(c, the_newborn_are_greeted, 0, KINDS);
    tcase_set_timeout(c, 60);
    return run_suite(s);
}
