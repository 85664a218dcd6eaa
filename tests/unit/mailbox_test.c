/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/mailbox.h"

#include <pthread.h>
#include <sched.h>

#include "actors/sheaf.h"
#include "tests/support/run.h"

static struct trp_mailbox mb;
static uint64_t wake;

static struct troupe_msg *message(int64_t n) {
    struct troupe_msg *m;
    CHECK(trp_msg_from_value(&m, troupe_int(n), (struct trp_slice){0}) == TROUPE_OK);
    return m;
}

static struct troupe_msg *of_size(size_t n) {
    static const uint8_t bytes[4096];
    struct troupe_msg *m;
    ck_assert_int_eq(trp_msg_from_value(&m, troupe_bytes(bytes, n), (struct trp_slice){0}), TROUPE_OK);
    return m;
}

static int64_t number(struct troupe_msg *m) {
    int64_t n = -1;
    CHECK(m);
    CHECK(troupe_msg_int(m, &n));
    trp_msg_drop(m);
    return n;
}

static struct troupe_msg *take(void) {
    return mb.exact ? trp_mailbox_take_mail(&mb) : trp_mailbox_take(&mb);
}

static troupe_status put(struct troupe_msg *m) {
    struct troupe_msg *dropped;
    troupe_status st = trp_mailbox_put(&mb, m, &dropped, &wake);
    CHECK(!dropped);
    if (st != TROUPE_OK)
        trp_msg_drop(m);
    return st;
}

static void empty(void) {
    struct troupe_msg *next;
    for (struct troupe_msg *m = trp_mailbox_drain(&mb); m; m = next) {
        next = m->next;
        trp_msg_drop(m);
    }
    ck_assert_uint_eq(trp_mailbox_count(&mb) + trp_mailbox_bytes(&mb), 0);
    ck_assert_ptr_null(take());
}

START_TEST(first_in_first_out) {
    trp_mailbox_init(&mb, 100, 100000, TROUPE_PARK, false);
    ck_assert_ptr_null(take());
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 50; i++)
            ck_assert_int_eq(put(message(i)), TROUPE_OK);
        for (int i = 0; i < 50; i++)
            ck_assert_int_eq(number(take()), i);
        ck_assert_uint_eq(trp_mailbox_count(&mb) + trp_mailbox_bytes(&mb), 0);
    }
}
END_TEST

/* What the receiver keeps itself takes nobody's room, and comes before what is sent after it. */
START_TEST(the_receiver_keeps_what_it_has_fetched_itself) {
    trp_mailbox_init(&mb, 3, SIZE_MAX, TROUPE_FAIL, false);
    struct troupe_msg *all = message(0);
    all->next = message(1);
    ck_assert(trp_mailbox_keep(&mb, all));
    ck_assert_uint_eq(trp_mailbox_count(&mb), 0);
    for (int i = 2; i < 5; i++)
        ck_assert_int_eq(put(message(i)), TROUPE_OK);
    ck_assert_int_eq(put(message(5)), TROUPE_FULL);
    struct troupe_msg *late = message(6);
    ck_assert(!trp_mailbox_keep(&mb, late)); /* there are others */
    for (int i = 0; i < 5; i++) {
        ck_assert(!trp_mailbox_keep(&mb, late));
        ck_assert_int_eq(number(take()), i);
    }
    ck_assert(trp_mailbox_keep(&mb, late));
    ck_assert_int_eq(number(take()), 6);
    ck_assert_uint_eq(trp_mailbox_handled(&mb), 6);
    trp_mailbox_shut(&mb);
    late = message(7);
    ck_assert(!trp_mailbox_keep(&mb, late));
    trp_msg_drop(late);
    empty();
}
END_TEST

static struct trp_sheaf sheaf_of(int64_t from, unsigned count, size_t bytes) {
    struct trp_sheaf s = {0};
    for (unsigned i = 0; i < count; i++)
        trp_sheaf_add(&s, bytes ? of_size(bytes) : message(from + i));
    return s;
}

static bool put_all(const struct trp_sheaf *s) {
    return trp_mailbox_put_all(&mb, s->newest, s->oldest, s->count, &wake);
}

static void undo(struct trp_sheaf *s, int64_t from) {
    struct troupe_msg *next;
    for (struct troupe_msg *m = trp_sheaf_undo(s); m; m = next) {
        next = m->next;
        if (from >= 0)
            ck_assert_int_eq(number(m), from++);
        else
            trp_msg_drop(m);
    }
    ck_assert_uint_eq(s->count, 0);
}

START_TEST(many_at_once_are_put_all_or_none) {
    trp_mailbox_init(&mb, 10, 100000, TROUPE_FAIL, false);
    ck_assert_int_eq(put(message(0)), TROUPE_OK);
    struct trp_sheaf s = sheaf_of(1, 5, 0), t = sheaf_of(6, 5, 0);
    ck_assert(put_all(&s));
    ck_assert_uint_eq(trp_mailbox_count(&mb), 6);
    ck_assert(!put_all(&t)); /* eleven */
    ck_assert_uint_eq(trp_mailbox_count(&mb), 6);
    ck_assert_int_eq(put(message(6)), TROUPE_OK);
    for (int i = 0; i < 7; i++)
        ck_assert_int_eq(number(take()), i);
    ck_assert(put_all(&t));
    for (int i = 6; i < 11; i++)
        ck_assert_int_eq(number(take()), i);
    ck_assert_uint_eq(trp_mailbox_count(&mb) + trp_mailbox_bytes(&mb), 0);
}
END_TEST

START_TEST(many_at_once_keep_the_bound_of_bytes) {
    trp_mailbox_init(&mb, 1000, 10000, TROUPE_FAIL, false);
    struct trp_sheaf s = sheaf_of(0, 8, 1000), t = sheaf_of(0, 8, 1000);
    ck_assert(put_all(&s));
    ck_assert(!put_all(&t));
    size_t bytes = trp_mailbox_bytes(&mb);
    ck_assert_uint_ge(bytes, 8000);
    ck_assert_uint_le(bytes, 10000);
    trp_msg_drop(take());
    ck_assert_uint_eq(trp_mailbox_bytes(&mb), bytes / 8 * 7);
    undo(&t, -1);
    empty();
}
END_TEST

START_TEST(many_at_once_do_not_overtake_who_waits) {
    struct trp_send waits = {.msg = message(1)};
    trp_mailbox_init(&mb, 1, 100000, TROUPE_PARK, false);
    ck_assert_int_eq(put(message(0)), TROUPE_OK);
    ck_assert(trp_mailbox_park(&mb, &waits));
    ck_assert_int_eq(number(take()), 0);
    struct trp_sheaf s = sheaf_of(2, 1, 0);
    ck_assert(!put_all(&s)); /* there is room, but for who came first */
    ck_assert_ptr_eq(trp_mailbox_admit(&mb), &waits);
    ck_assert_int_eq(number(take()), 1);
    undo(&s, 2);
    s = sheaf_of(3, 1, 0);
    trp_mailbox_init(&mb, 10, 100000, TROUPE_DROP_OLDEST, false);
    ck_assert(!put_all(&s)); /* each is judged */
    undo(&s, 3);
}
END_TEST

START_TEST(bounded_in_number) {
    trp_mailbox_init(&mb, 3, SIZE_MAX, TROUPE_FAIL, false);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(put(message(i)), TROUPE_OK);
    ck_assert_int_eq(put(message(3)), TROUPE_FULL);
    ck_assert_int_eq(number(take()), 0);
    ck_assert_int_eq(put(message(3)), TROUPE_OK);
    empty();
}
END_TEST

START_TEST(bounded_in_bytes) {
    struct troupe_msg *one = of_size(1000);
    trp_mailbox_init(&mb, 100, 3 * one->size, TROUPE_FAIL, false);
    ck_assert_int_eq(put(one), TROUPE_OK);
    ck_assert_int_eq(put(of_size(1000)), TROUPE_OK);
    ck_assert_int_eq(put(of_size(1001)), TROUPE_FULL);
    ck_assert_int_eq(put(of_size(1000)), TROUPE_OK);
    empty();
    ck_assert_int_eq(put(of_size(4096)), TROUPE_OK); /* alone, it may be of any size */
    ck_assert_int_eq(put(of_size(0)), TROUPE_FULL);
    empty();
}
END_TEST

START_TEST(the_oldest_may_have_to_go) {
    struct troupe_msg *dropped;
    trp_mailbox_init(&mb, 3, SIZE_MAX, TROUPE_DROP_OLDEST, false);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(put(message(i)), TROUPE_OK);
    ck_assert_int_eq(trp_mailbox_put(&mb, message(3), &dropped, &wake), TROUPE_OK);
    ck_assert_ptr_null(dropped->next);
    ck_assert_int_eq(number(dropped), 0);
    ck_assert_int_eq(number(take()), 1);
    empty();
    struct troupe_msg *small = of_size(100);
    trp_mailbox_init(&mb, 100, 4 * small->size, TROUPE_DROP_OLDEST, false);
    ck_assert_int_eq(put(small), TROUPE_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(put(of_size(100)), TROUPE_OK);
    /* A large one takes the place of several, and they come as a list. */
    ck_assert_int_eq(trp_mailbox_put(&mb, of_size(300), &dropped, &wake), TROUPE_OK);
    size_t n = 0;
    for (struct troupe_msg *m = dropped, *next; m; m = next, n++) {
        next = m->next;
        trp_msg_drop(m);
    }
    ck_assert_uint_ge(n, 2);
    ck_assert_uint_eq(trp_mailbox_count(&mb), 5 - n);
    empty();
}
END_TEST

/* What a broker counts against a credit is bounded by that; whoever drops could not hand it back. */
START_TEST(what_is_owed_is_not_dropped) {
    static char conn;
    struct troupe_msg *dropped, *owed = message(0);
    owed->origin.conn = (struct trp_conn *)&conn;
    trp_mailbox_init(&mb, 2, SIZE_MAX, TROUPE_DROP_OLDEST, false);
    trp_mailbox_force(&mb, owed, &wake);
    ck_assert_int_eq(put(message(1)), TROUPE_OK);
    ck_assert_int_eq(trp_mailbox_put(&mb, message(2), &dropped, &wake), TROUPE_OK);
    ck_assert_int_eq(number(dropped), 1);
    ck_assert_int_eq(number(take()), 0);
    ck_assert_int_eq(number(take()), 2);
    trp_mailbox_force(&mb, message(5), &wake);
    trp_mailbox_force(&mb, message(6), &wake);
    trp_mailbox_force(&mb, message(7), &wake); /* beyond the bound */
    ck_assert_uint_eq(trp_mailbox_count(&mb), 3);
    empty();
}
END_TEST

/* What is lent is older than what is here: whoever lends drops that first. */
START_TEST(what_is_lent_goes_first) {
    struct troupe_msg *dropped;
    trp_mailbox_init(&mb, 2, SIZE_MAX, TROUPE_DROP_OLDEST, true);
    ck_assert_int_eq(put(message(0)), TROUPE_OK);
    ck_assert_int_eq(put(message(1)), TROUPE_OK);
    ck_assert_int_eq(number(trp_mailbox_lend(&mb)), 0);
    struct troupe_msg *m = message(2);
    ck_assert_int_eq(trp_mailbox_put(&mb, m, &dropped, &wake), TROUPE_FULL);
    ck_assert_ptr_null(dropped);
    ck_assert(trp_mailbox_settle(&mb, 1, m->size));
    ck_assert_int_eq(put(m), TROUPE_OK);
    ck_assert_int_eq(trp_mailbox_put(&mb, message(3), &dropped, &wake), TROUPE_OK);
    ck_assert_int_eq(number(dropped), 1);
    empty();
}
END_TEST

START_TEST(senders_come_in_in_their_order) {
    struct trp_send s[3] = {{.msg = message(10)}, {.msg = message(11)}, {.msg = message(12)}};
    trp_mailbox_init(&mb, 2, SIZE_MAX, TROUPE_PARK, false);
    ck_assert_int_eq(put(message(0)), TROUPE_OK);
    ck_assert_int_eq(put(message(1)), TROUPE_OK);
    for (int i = 0; i < 3; i++)
        ck_assert(trp_mailbox_park(&mb, &s[i]));
    ck_assert_ptr_null(trp_mailbox_admit(&mb));
    ck_assert_int_eq(number(take()), 0);
    /* There is room now, but not for who comes later. */
    ck_assert_int_eq(put(message(99)), TROUPE_FULL);
    ck_assert_ptr_eq(trp_mailbox_admit(&mb), &s[0]);
    ck_assert_ptr_null(s[0].msg);
    ck_assert_ptr_null(trp_mailbox_admit(&mb));
    /* The second gives up. */
    trp_waits_remove(&mb.parked, &s[1].wait);
    trp_msg_drop(s[1].msg);
    ck_assert_int_eq(number(take()), 1);
    ck_assert_ptr_eq(trp_mailbox_admit(&mb), &s[2]);
    ck_assert_ptr_null(trp_mailbox_expel(&mb));
    ck_assert_int_eq(number(take()), 10);
    ck_assert_int_eq(number(take()), 12);
}
END_TEST

START_TEST(the_last_in_line_may_leave) {
    struct trp_send s[3] = {{.msg = message(0)}, {.msg = message(1)}, {.msg = message(2)}};
    trp_mailbox_init(&mb, 1, SIZE_MAX, TROUPE_PARK, false);
    ck_assert(!trp_mailbox_park(&mb, &s[0])); /* there is room: it need not wait */
    ck_assert_int_eq(put(message(9)), TROUPE_OK);
    ck_assert(trp_mailbox_park(&mb, &s[0]));
    ck_assert(trp_mailbox_park(&mb, &s[1]));
    trp_waits_remove(&mb.parked, &s[1].wait);
    ck_assert(trp_mailbox_park(&mb, &s[2]));
    ck_assert_ptr_eq(trp_mailbox_expel(&mb), &s[0]);
    ck_assert_ptr_eq(trp_mailbox_expel(&mb), &s[2]);
    ck_assert_ptr_null(trp_mailbox_expel(&mb));
    for (int i = 0; i < 3; i++)
        trp_msg_drop(s[i].msg);
    empty();
}
END_TEST

START_TEST(what_is_lent_counts) {
    trp_mailbox_init(&mb, 2, SIZE_MAX, TROUPE_FAIL, true);
    ck_assert_int_eq(put(message(0)), TROUPE_OK);
    ck_assert_int_eq(put(message(1)), TROUPE_OK);
    size_t size = trp_mailbox_bytes(&mb) / 2;
    ck_assert_int_eq(number(trp_mailbox_lend(&mb)), 0);
    struct troupe_msg *lent = trp_mailbox_lend(&mb);
    ck_assert_ptr_null(trp_mailbox_lend(&mb));
    ck_assert_int_eq(put(message(2)), TROUPE_FULL);
    ck_assert(!trp_mailbox_settle(&mb, 3, 0));
    ck_assert(!trp_mailbox_settle(&mb, 1, 3 * size));
    ck_assert(trp_mailbox_settle(&mb, 1, size));
    ck_assert_int_eq(put(message(2)), TROUPE_OK);
    ck_assert_int_eq(put(message(3)), TROUPE_FULL);
    /* What is lent comes back, and is the first again. */
    trp_mailbox_return(&mb, lent, &lent->next, 1, size);
    ck_assert_int_eq(put(message(3)), TROUPE_FULL);
    ck_assert_int_eq(number(trp_mailbox_take(&mb)), 1);
    ck_assert_int_eq(number(trp_mailbox_take(&mb)), 2);
    empty();
}
END_TEST

START_TEST(the_short_way_in_and_when_it_is_closed) {
    trp_mailbox_init(&mb, 2, (size_t)1 << 20, TROUPE_FAIL, false);
    struct troupe_msg *m = message(1), *large = of_size(TRP_MSG_TINY + 1);
    ck_assert(!trp_mailbox_post(&mb, large, &wake));
    ck_assert(trp_mailbox_post(&mb, m, &wake));
    ck_assert(!wake);
    ck_assert(trp_mailbox_post(&mb, message(2), &wake));
    m = message(3);
    ck_assert(!trp_mailbox_post(&mb, m, &wake)); /* full */
    ck_assert_int_eq(put(large), TROUPE_FULL);
    ck_assert_int_eq(number(take()), 1);
    ck_assert(trp_mailbox_post(&mb, m, &wake));
    ck_assert_int_eq(number(take()), 2);
    ck_assert_int_eq(number(take()), 3);
    ck_assert_ptr_null(take());
    trp_mailbox_shut(&mb);
    m = message(4);
    ck_assert(!trp_mailbox_post(&mb, m, &wake));
    ck_assert_uint_eq(trp_mailbox_await(&mb), TRP_MAIL_SHUT);
    trp_msg_drop(m);
}
END_TEST

/* Of those who push, the first after the receiver has said that it waits wakes it, and no other does. */
START_TEST(handed_is_as_if_pushed_and_fetched) {
    trp_mailbox_init(&mb, 2, 100000, TROUPE_PARK, false);
    for (int round = 0; round < 3; round++) {
        uint64_t handled = trp_mailbox_handled(&mb);
        struct troupe_msg *first = message(1), *second = message(2);
        ck_assert(trp_mailbox_hand(&mb, first));
        ck_assert(!trp_mailbox_empty(&mb));
        ck_assert_uint_eq(trp_mailbox_count(&mb), 1);
        ck_assert_uint_eq(trp_mailbox_handled(&mb), handled);
        ck_assert(!trp_mailbox_hand(&mb, second)); /* there is one already */
        ck_assert(trp_mailbox_post(&mb, second, &wake));
        ck_assert_int_eq(put(message(3)), TROUPE_FULL);
        ck_assert_int_eq(number(take()), 1);
        ck_assert_int_eq(number(take()), 2);
        ck_assert_uint_eq(trp_mailbox_handled(&mb), handled + 2);
        empty();
    }
}
END_TEST

START_TEST(handed_is_only_where_there_is_nothing_to_heed) {
    struct troupe_msg *m = message(2), *large = of_size(4000);
    trp_mailbox_init(&mb, 10, 100000, TROUPE_PARK, false);
    ck_assert(!trp_mailbox_hand(&mb, large)); /* its bytes count */
    ck_assert_int_eq(put(message(1)), TROUPE_OK);
    ck_assert(!trp_mailbox_hand(&mb, m)); /* it would overtake */
    ck_assert_int_eq(number(take()), 1);
    ck_assert(trp_mailbox_listen(&mb));
    ck_assert(!trp_mailbox_hand(&mb, m)); /* somebody would have to see to it */
    ck_assert(trp_mailbox_unlisten(&mb));
    ck_assert(trp_mailbox_hand(&mb, m));
    ck_assert_int_eq(number(take()), 2);
    trp_mailbox_shut(&mb);
    m = message(3);
    ck_assert(!trp_mailbox_hand(&mb, m));
    trp_msg_drop(m);
    trp_mailbox_init(&mb, 10, 100000, TROUPE_DROP_OLDEST, false);
    m = message(4);
    ck_assert(!trp_mailbox_hand(&mb, m)); /* exact */
    trp_msg_drop(m);
    trp_msg_drop(large);
    empty();
}
END_TEST

START_TEST(one_wakes) {
    trp_mailbox_init(&mb, 100, (size_t)1 << 20, TROUPE_PARK, false);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(trp_mailbox_await(&mb), TRP_MAIL_WAITING);
        ck_assert_uint_eq(trp_mailbox_await(&mb), TRP_MAIL_WAITING); /* it may say so twice */
        ck_assert(trp_mailbox_post(&mb, message(1), &wake));
        ck_assert(wake);
        ck_assert(trp_mailbox_post(&mb, message(2), &wake));
        ck_assert(!wake);
        ck_assert_uint_eq(trp_mailbox_await(&mb), 0); /* something is there */
        ck_assert_int_eq(number(take()), 1);
        ck_assert_int_eq(number(take()), 2);
    }
    ck_assert_uint_eq(trp_mailbox_await(&mb), TRP_MAIL_WAITING);
    ck_assert_int_eq(put(of_size(1000)), TROUPE_OK);
    ck_assert(wake);
    empty();
}
END_TEST

START_TEST(what_is_beyond_the_bounds_does_not_count) {
    trp_mailbox_init(&mb, 2, (size_t)1 << 20, TROUPE_FAIL, false);
    for (int i = 0; i < 5; i++)
        trp_mailbox_force(&mb, message(i), &wake);
    ck_assert_uint_eq(trp_mailbox_count(&mb), 0);
    ck_assert_int_eq(put(message(5)), TROUPE_OK);
    ck_assert_int_eq(put(message(6)), TROUPE_OK);
    ck_assert_int_eq(put(message(7)), TROUPE_FULL);
    for (int i = 0; i < 7; i++)
        ck_assert_int_eq(number(take()), i);
    ck_assert_uint_eq(trp_mailbox_count(&mb), 0);
}
END_TEST

/* More than there are numbers for: the rest is kept aside, and nobody comes before it. */
START_TEST(any_number_beyond_the_bounds) {
    enum { ALL = 100000 };
    trp_mailbox_init(&mb, 10, (size_t)1 << 20, TROUPE_FAIL, false);
    for (int i = 0; i < ALL; i++)
        trp_mailbox_force(&mb, message(i), &wake);
    struct troupe_msg *late = message(ALL);
    ck_assert(!trp_mailbox_post(&mb, late, &wake));
    ck_assert_int_eq(put(late), TROUPE_OK); /* it has room, behind the others */
    for (int i = 0; i <= ALL; i++)
        CHECK(number(trp_mailbox_take_mail(&mb)) == i);
    ck_assert(trp_mailbox_empty(&mb));
    ck_assert(trp_mailbox_post(&mb, message(ALL), &wake));
    ck_assert_int_eq(number(take()), ALL);
    for (int i = 0; i < ALL; i++)
        trp_mailbox_force(&mb, message(i), &wake);
    trp_mailbox_shut(&mb);
    empty();
}
END_TEST

/* The same within a large bound, which is exact all the same. */
START_TEST(any_number_within_the_bounds) {
    enum { ALL = 70000, LARGE = 100 };
    trp_mailbox_init(&mb, ALL, (size_t)1 << 30, TROUPE_FAIL, false);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < ALL; i++) {
            struct troupe_msg *m = i % LARGE ? message(i) : of_size(500);
            if (!trp_mailbox_post(&mb, m, &wake))
                CHECK(put(m) == TROUPE_OK);
        }
        ck_assert_uint_eq(trp_mailbox_count(&mb), ALL);
        ck_assert_int_eq(put(message(0)), TROUPE_FULL);
        for (int i = 0; i < ALL; i++) {
            struct troupe_msg *m = trp_mailbox_take_mail(&mb);
            if (i % LARGE)
                CHECK(number(m) == i);
            else
                trp_msg_drop(m);
            if (i % 1000 == 999)
                ck_assert_uint_eq(trp_mailbox_count(&mb), (size_t)(ALL - i - 1));
        }
        ck_assert_uint_eq(trp_mailbox_count(&mb) + trp_mailbox_bytes(&mb), 0);
        ck_assert_uint_eq(trp_mailbox_await(&mb) & ~TRP_MAIL_WAITING, 0); /* open again */
    }
}
END_TEST

/* --- many at once --- */

/* The count of those pushed is kept in 16 bits: more than that must come. */
enum { SENDERS = 4, EACH = 25000, BOUND = 50 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static troupe_status put_locked(struct troupe_msg *m) {
    struct troupe_msg *dropped;
    uint64_t w;
    pthread_mutex_lock(&lock);
    troupe_status st = trp_mailbox_put(&mb, m, &dropped, &w);
    pthread_mutex_unlock(&lock);
    return st;
}

/* Small messages and large ones, as fast as the mailbox takes them. */
static void *pours(void *arg) {
    static const uint8_t large[300];
    int64_t who = (int64_t)(intptr_t)arg;
    for (int64_t i = 0; i < EACH; i++) {
        struct troupe_msg *m;
        uint64_t w;
        if (i % 16 == 15) {
            if (trp_msg_from_value(&m, troupe_bytes(large, sizeof large), (struct trp_slice){0}) != TROUPE_OK)
                return &lock;
        } else {
            m = message(i);
        }
        m->from = (uint64_t)who;
        m->ask = (uint64_t)i;
        while (!trp_mailbox_post(&mb, m, &w) && put_locked(m) != TROUPE_OK)
            sched_yield();
    }
    return NULL;
}

START_TEST(many_senders_and_one_receiver) {
    pthread_t threads[SENDERS];
    uint64_t next[SENDERS] = {0};
    size_t got = 0;
    trp_mailbox_init(&mb, BOUND, 64 * BOUND * TRP_MSG_TINY, TROUPE_FAIL, false);
    for (intptr_t i = 0; i < SENDERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, pours, (void *)i), 0);
    while (got < SENDERS * EACH) {
        struct troupe_msg *m = trp_mailbox_take(&mb);
        if (!m) {
            sched_yield();
            continue;
        }
        CHECK(m->ask == next[m->from]++); /* in each sender's order, none twice, none lost */
        trp_msg_drop(m);
        if (++got % 64 == 0) {
            pthread_mutex_lock(&lock);
            CHECK(trp_mailbox_count(&mb) <= BOUND);
            pthread_mutex_unlock(&lock);
        }
    }
    for (int i = 0; i < SENDERS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        ck_assert_ptr_null(wrong);
    }
    empty();
}
END_TEST

int main(void) {
    const TTest *const tests[] = {first_in_first_out,
                                  the_receiver_keeps_what_it_has_fetched_itself,
                                  many_at_once_are_put_all_or_none,
                                  many_at_once_keep_the_bound_of_bytes,
                                  many_at_once_do_not_overtake_who_waits,
                                  bounded_in_number,
                                  bounded_in_bytes,
                                  the_oldest_may_have_to_go,
                                  what_is_owed_is_not_dropped,
                                  what_is_lent_goes_first,
                                  senders_come_in_in_their_order,
                                  the_last_in_line_may_leave,
                                  what_is_lent_counts,
                                  the_short_way_in_and_when_it_is_closed,
                                  handed_is_as_if_pushed_and_fetched,
                                  handed_is_only_where_there_is_nothing_to_heed,
                                  one_wakes,
                                  what_is_beyond_the_bounds_does_not_count,
                                  any_number_beyond_the_bounds,
                                  any_number_within_the_bounds,
                                  many_senders_and_one_receiver};
    Suite *s = suite_create("mailbox");
    tcase_set_timeout(run_case(s, "mailbox", tests, sizeof tests / sizeof *tests), 60);
    return run_suite(s);
}
