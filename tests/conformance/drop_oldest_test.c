/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A full mailbox that drops its oldest message: which that is, also where it has left for another process already, and what
 * becomes of the rest. Of each message it is heard once, from its receiver or as a dead letter. */
#include <signal.h>
#include <troupe/dead_letter.h>
#include <unistd.h>

#include "actors/child.h"
#include "tests/support/actors.h"
#include "tests/support/effort.h"

enum { KINDS = 3, ROOM = 2 };

/* Says its process, and then each number that it receives, or that a block of bytes begins with; nil ends it. */
static void tells(troupe_self *self, void *arg) {
    troupe_ref test = *(troupe_ref *)arg;
    troupe_msg *m;
    say(self, test, getpid());
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        troupe_value v = troupe_msg_value(m);
        bool over = v.kind == TROUPE_NIL;
        if (v.kind == TROUPE_BYTES)
            memcpy(&v.i, v.data, sizeof v.i);
        if (!over)
            say(self, test, v.i);
        troupe_msg_free(&m);
        if (over)
            return;
    }
}

static troupe_ref teller(troupe_spawn_opts opts) {
    troupe_ref test = troupe_self_ref(me), ref;
    opts.overflow = TROUPE_DROP_OLDEST;
    ck_assert_int_eq(troupe_spawn(me, &opts, tells, &test, sizeof test, &ref), TROUPE_OK);
    return ref;
}

static void listen_in(void) {
    ck_assert_int_eq(troupe_dead_letters(me, true), TROUPE_OK);
}

static char state_of(pid_t pid) {
    char path[40], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
    fclose(f);
    return state;
}

/* From here on it does not even read. */
static pid_t stopped(void) {
    pid_t pid = (pid_t)hear();
    ck_assert_int_eq(kill(pid, SIGSTOP), 0);
    while (state_of(pid) != 'T')
        troupe_yield(me);
    return pid;
}

static void post(troupe_ref ref, int64_t n) {
    ck_assert_int_eq(troupe_send(me, ref, troupe_int(n)), TROUPE_OK);
}

/* So large that not many of them are on their way. */
static void post_large(troupe_ref ref, int64_t n) {
    static uint8_t large[64 * 1024];
    memcpy(large, &n, sizeof n);
    ck_assert_int_eq(troupe_send(me, ref, troupe_bytes(large, sizeof large)), TROUPE_OK);
}

static int64_t number_in(troupe_value v) {
    int64_t n = v.i;
    if (v.kind == TROUPE_BYTES)
        memcpy(&n, v.data, sizeof n);
    return n;
}

/* The next message is a letter of this one. */
static void letter(int64_t n, troupe_status why) {
    troupe_dead_letter d;
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
    ck_assert(troupe_msg_dead_letter(m, &d));
    ck_assert_int_eq(number_in(d.value), n);
    ck_assert_int_eq(d.why, why);
    troupe_msg_free(&m);
}

static void nothing_more(void) {
    troupe_msg *m;
    ck_assert_int_eq(troupe_receive(me, 0, &m), TROUPE_TIMEOUT);
}

/* --- which --- */

static void post_some(troupe_ref ref, int64_t count, bool large) {
    for (int64_t n = 0; n < count; n++)
        large ? post_large(ref, n) : post(ref, n);
}

/* Those that its process has, those in between and those that have not left: of all of them the oldest goes, at once. */
START_TEST(the_oldest_goes_wherever_it_is) {
    enum { MANY = 40 };
    listen_in();
    troupe_ref ref = teller((troupe_spawn_opts){.kind = TROUPE_PROCESS, .mailbox = ROOM});
    pid_t pid = stopped();
    post_some(ref, MANY, _i);
    for (int n = 0; n < MANY - ROOM; n++)
        letter(n, TROUPE_FULL);
    nothing_more();
    ck_assert_int_eq(kill(pid, SIGCONT), 0);
    for (int n = MANY - ROOM; n < MANY; n++)
        ck_assert_int_eq(hear(), n);
    ck_assert_int_eq(troupe_send(me, ref, troupe_nil()), TROUPE_OK);
    ends(ref, TROUPE_END_NORMAL);
    nothing_more();
}
END_TEST

/* The same by bytes. */
START_TEST(so_many_bytes_stay) {
    enum { MANY = 40, STAY = 3 };
    listen_in();
    troupe_ref ref = teller((troupe_spawn_opts){.kind = TROUPE_PROCESS, .mailbox_bytes = STAY * (64 * 1024 + 512)});
    pid_t pid = stopped();
    post_some(ref, MANY, true);
    for (int n = 0; n < MANY - STAY; n++)
        letter(n, TROUPE_FULL);
    ck_assert_int_eq(kill(pid, SIGCONT), 0);
    for (int n = MANY - STAY; n < MANY; n++)
        ck_assert_int_eq(hear(), n);
    ck_assert_int_eq(troupe_send(me, ref, troupe_nil()), TROUPE_OK);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

/* --- each once --- */

struct heard {
    int64_t last_seen, last_lost;
    size_t count;
    uint8_t of[20000];
};

static void hear_of(struct heard *h, troupe_msg *m) {
    troupe_dead_letter d;
    int64_t n = 0, *last = &h->last_seen;
    if (troupe_msg_dead_letter(m, &d)) {
        n = d.value.i;
        last = &h->last_lost;
    } else {
        ck_assert(troupe_msg_int(m, &n));
    }
    CHECK_MSG(n > *last, "%lld after %lld", (long long)n, (long long)*last);
    CHECK_MSG(h->of[n]++ == 0, "%lld twice", (long long)n);
    *last = n;
    h->count++;
    troupe_msg_free(&m);
}

/* While its receiver takes as many as it can. */
START_TEST(each_is_received_or_told) {
    static struct heard h;
    int64_t many = effort_rounds(sizeof h.of);
    troupe_msg *m;
    h = (struct heard){.last_seen = -1, .last_lost = -1};
    listen_in();
    troupe_ref ref = teller((troupe_spawn_opts){.kind = (troupe_kind)_i, .mailbox = 2 * ROOM});
    (void)hear();
    for (int64_t n = 0; n < many; n++) {
        post(ref, n);
        /* To look and find nothing is to give way, which takes long where others compute. */
        while (n % 50 == 0 && troupe_receive(me, 0, &m) == TROUPE_OK)
            hear_of(&h, m);
    }
    while (h.count < (size_t)many) {
        ck_assert_int_eq(troupe_receive(me, PATIENCE_MS, &m), TROUPE_OK);
        hear_of(&h, m);
    }
    ck_assert_int_eq(h.last_seen, many - 1);
    ck_assert_int_eq(troupe_send(me, ref, troupe_nil()), TROUPE_OK);
    ends(ref, TROUPE_END_NORMAL);
    nothing_more();
}
END_TEST

static void floods(troupe_self *self, void *arg) {
    troupe_ref to = *(troupe_ref *)arg;
    for (int64_t n = effort_rounds(20000); n > 0; n--)
        (void)!troupe_send(self, to, troupe_int(n));
}

/* Several that push each other's out, of every kind, one of them through its own process. */
START_TEST(many_push_each_other_out) {
    troupe_ref ref = teller((troupe_spawn_opts){.kind = (troupe_kind)_i, .mailbox = 2 * ROOM}), senders[2 * KINDS];
    (void)hear();
    for (int i = 0; i < 2 * KINDS; i++)
        senders[i] = spawn(i % KINDS, floods, &ref, sizeof ref);
    for (int i = 0; i < 2 * KINDS; i++) {
        troupe_msg *m;
        while (troupe_join(me, senders[i], 0, NULL) == TROUPE_TIMEOUT) {
            if (troupe_receive(me, 1, &m) == TROUPE_OK)
                troupe_msg_free(&m);
        }
        ends(senders[i], TROUPE_END_NORMAL);
    }
    post(ref, -1);
    while (hear() != -1)
        ;
    ck_assert_int_eq(troupe_send(me, ref, troupe_nil()), TROUPE_OK);
    ends(ref, TROUPE_END_NORMAL);
}
END_TEST

static void asks(troupe_self *self, void *arg) {
    troupe_ref to[2];
    troupe_msg *answer;
    memcpy(to, arg, sizeof to);
    say(self, to[1], 1000 + (int64_t)troupe_ask(self, to[0], troupe_int(-1), TROUPE_FOREVER, &answer));
}

/* One that its process has already is answered at once when it goes. */
START_TEST(a_question_that_goes_is_answered) {
    troupe_ref ref = teller((troupe_spawn_opts){.kind = TROUPE_PROCESS, .mailbox = ROOM}), to[] = {ref, troupe_self_ref(me)};
    pid_t pid = stopped();
    troupe_ref asker = spawn(_i, asks, to, sizeof to);
    troupe_msg *m;
    int64_t n = 0;
    while (troupe_receive(me, 0, &m) != TROUPE_OK) /* it has been pushed out */
        post(ref, n++);
    ck_assert(troupe_msg_int(m, &n));
    ck_assert_int_eq(n, 1000 + TROUPE_FULL);
    troupe_msg_free(&m);
    ends(asker, TROUPE_END_NORMAL);
    ck_assert_int_eq(kill(pid, SIGCONT), 0);
    ck_assert_int_eq(troupe_kill(me, ref), TROUPE_OK);
    ends(ref, TROUPE_END_KILLED);
}
END_TEST

/* --- a death --- */

START_TEST(what_it_had_not_received_goes_to_its_next_life) {
    listen_in();
    troupe_ref ref =
        teller((troupe_spawn_opts){.kind = TROUPE_PROCESS, .mailbox = ROOM, .restart = TROUPE_TRANSIENT, .backoff_min_ms = 1});
    pid_t pid = stopped();
    for (int n = 0; n < 5; n++)
        post(ref, n);
    for (int n = 0; n < 5 - ROOM; n++)
        letter(n, TROUPE_FULL);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_ne(hear(), pid);
    for (int n = 5 - ROOM; n < 5; n++)
        ck_assert_int_eq(hear(), n);
    ck_assert_int_eq(troupe_send(me, ref, troupe_nil()), TROUPE_OK);
    ends(ref, TROUPE_END_NORMAL);
    nothing_more();
}
END_TEST

START_TEST(what_dies_with_it_is_told) {
    listen_in();
    troupe_ref ref = teller((troupe_spawn_opts){.kind = TROUPE_PROCESS, .mailbox = ROOM});
    pid_t pid = stopped();
    for (int n = 0; n < 5; n++)
        post(ref, n);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    for (int n = 0; n < 5; n++)
        letter(n, n < 5 - ROOM ? TROUPE_FULL : TROUPE_DIED);
    ends(ref, TROUPE_END_SIGNAL);
    nothing_more();
}
END_TEST

/* Says that it has received what it was never sent. */
static void lies(troupe_self *self, void *arg) {
    say(self, *(troupe_ref *)arg, 0);
    for (uint64_t n = 1000;; n++)
        atomic_store(&trp_child.words->taken, n);
}

/* It is ended, and holds up nobody meanwhile. */
START_TEST(a_body_that_lies_is_ended) {
    troupe_ref test = troupe_self_ref(me), ref;
    troupe_spawn_opts opts = {.kind = TROUPE_PROCESS, .mailbox = ROOM, .overflow = TROUPE_DROP_OLDEST};
    ck_assert_int_eq(troupe_spawn(me, &opts, lies, &test, sizeof test, &ref), TROUPE_OK);
    ck_assert_int_eq(hear(), 0);
    troupe_status st;
    while ((st = troupe_send(me, ref, troupe_int(1))) == TROUPE_OK)
        ;
    ck_assert_int_eq(st, TROUPE_NOT_FOUND);
    ends(ref, TROUPE_END_SIGNAL);
}
END_TEST

int main(void) {
    Suite *s = suite_create("drop oldest");
    const TTest *const once[] = {so_many_bytes_stay, what_it_had_not_received_goes_to_its_next_life, what_dies_with_it_is_told,
                                 a_body_that_lies_is_ended};
    TCase *c = run_case(s, "drop oldest", once, sizeof once / sizeof *once);
    const TTest *const kinds[] = {each_is_received_or_told, many_push_each_other_out, a_question_that_goes_is_answered};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        tcase_add_loop_test(c, kinds[i], 0, KINDS);
    tcase_add_loop_test(c, the_oldest_goes_wherever_it_is, 0, 2);
    tcase_add_checked_fixture(c, system_up, system_down);
    tcase_set_timeout(c, 60);
    return run_suite(s);
}
