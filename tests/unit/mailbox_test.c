/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/mailbox.h"

#include "tests/support/run.h"

static struct trp_mailbox mb;

static struct troupe_msg *message(int64_t n) {
    struct troupe_msg *m;
    ck_assert_int_eq(trp_msg_from_value(&m, troupe_int(n), (struct trp_slice){0}), TROUPE_OK);
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
    ck_assert_ptr_nonnull(m);
    ck_assert(troupe_msg_int(m, &n));
    trp_msg_drop(m);
    return n;
}

static troupe_status put(struct troupe_msg *m) {
    struct troupe_msg *dropped;
    troupe_status st = trp_mailbox_put(&mb, m, &dropped);
    ck_assert_ptr_null(dropped);
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
    ck_assert_uint_eq(mb.count + mb.bytes, 0);
    ck_assert_ptr_null(trp_mailbox_take(&mb));
}

START_TEST(first_in_first_out) {
    trp_mailbox_init(&mb, 100, 100000, TROUPE_PARK);
    ck_assert_ptr_null(trp_mailbox_take(&mb));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 50; i++)
            ck_assert_int_eq(put(message(i)), TROUPE_OK);
        for (int i = 0; i < 50; i++)
            ck_assert_int_eq(number(trp_mailbox_take(&mb)), i);
        ck_assert_uint_eq(mb.count + mb.bytes, 0);
    }
}
END_TEST

START_TEST(bounded_in_number) {
    trp_mailbox_init(&mb, 3, SIZE_MAX, TROUPE_FAIL);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(put(message(i)), TROUPE_OK);
    ck_assert_int_eq(put(message(3)), TROUPE_FULL);
    ck_assert_int_eq(number(trp_mailbox_take(&mb)), 0);
    ck_assert_int_eq(put(message(3)), TROUPE_OK);
    empty();
}
END_TEST

START_TEST(bounded_in_bytes) {
    struct troupe_msg *one = of_size(1000);
    trp_mailbox_init(&mb, 100, 3 * one->size, TROUPE_FAIL);
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
    trp_mailbox_init(&mb, 3, SIZE_MAX, TROUPE_DROP_OLDEST);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(put(message(i)), TROUPE_OK);
    ck_assert_int_eq(trp_mailbox_put(&mb, message(3), &dropped), TROUPE_OK);
    ck_assert_ptr_null(dropped->next);
    ck_assert_int_eq(number(dropped), 0);
    ck_assert_int_eq(number(trp_mailbox_take(&mb)), 1);
    empty();
    struct troupe_msg *small = of_size(100);
    trp_mailbox_init(&mb, 100, 4 * small->size, TROUPE_DROP_OLDEST);
    ck_assert_int_eq(put(small), TROUPE_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(put(of_size(100)), TROUPE_OK);
    /* A large one takes the place of several, and they come as a list. */
    ck_assert_int_eq(trp_mailbox_put(&mb, of_size(300), &dropped), TROUPE_OK);
    size_t n = 0;
    for (struct troupe_msg *m = dropped, *next; m; m = next, n++) {
        next = m->next;
        trp_msg_drop(m);
    }
    ck_assert_uint_ge(n, 2);
    ck_assert_uint_eq(mb.count, 5 - n);
    empty();
}
END_TEST

/* What a broker counts against a credit is bounded by that; whoever drops could not hand it back. */
START_TEST(what_is_owed_is_not_dropped) {
    static char conn;
    struct troupe_msg *dropped, *owed = message(0);
    owed->origin.conn = (struct trp_conn *)&conn;
    trp_mailbox_init(&mb, 2, SIZE_MAX, TROUPE_DROP_OLDEST);
    trp_mailbox_force(&mb, owed);
    ck_assert_int_eq(put(message(1)), TROUPE_OK);
    ck_assert_int_eq(trp_mailbox_put(&mb, message(2), &dropped), TROUPE_OK);
    ck_assert_int_eq(number(dropped), 1);
    ck_assert_int_eq(number(trp_mailbox_take(&mb)), 0);
    ck_assert_int_eq(number(trp_mailbox_take(&mb)), 2);
    trp_mailbox_force(&mb, message(5));
    trp_mailbox_force(&mb, message(6));
    trp_mailbox_force(&mb, message(7)); /* beyond the bound */
    ck_assert_uint_eq(mb.count, 3);
    empty();
}
END_TEST

START_TEST(senders_come_in_in_their_order) {
    struct trp_send s[3] = {{.msg = message(10)}, {.msg = message(11)}, {.msg = message(12)}};
    trp_mailbox_init(&mb, 2, SIZE_MAX, TROUPE_PARK);
    ck_assert_int_eq(put(message(0)), TROUPE_OK);
    ck_assert_int_eq(put(message(1)), TROUPE_OK);
    for (int i = 0; i < 3; i++)
        trp_mailbox_park(&mb, &s[i]);
    ck_assert_ptr_null(trp_mailbox_admit(&mb));
    ck_assert_int_eq(number(trp_mailbox_take(&mb)), 0);
    /* There is room now, but not for who comes later. */
    ck_assert_int_eq(put(message(99)), TROUPE_FULL);
    ck_assert_ptr_eq(trp_mailbox_admit(&mb), &s[0]);
    ck_assert_ptr_null(s[0].msg);
    ck_assert_ptr_null(trp_mailbox_admit(&mb));
    /* The second gives up. */
    trp_waits_remove(&mb.parked, &s[1].wait);
    trp_msg_drop(s[1].msg);
    ck_assert_int_eq(number(trp_mailbox_take(&mb)), 1);
    ck_assert_ptr_eq(trp_mailbox_admit(&mb), &s[2]);
    ck_assert_ptr_null(trp_mailbox_expel(&mb));
    ck_assert_int_eq(number(trp_mailbox_take(&mb)), 10);
    ck_assert_int_eq(number(trp_mailbox_take(&mb)), 12);
}
END_TEST

START_TEST(the_last_in_line_may_leave) {
    struct trp_send s[3] = {{.msg = message(0)}, {.msg = message(1)}, {.msg = message(2)}};
    trp_mailbox_init(&mb, 1, SIZE_MAX, TROUPE_PARK);
    trp_mailbox_park(&mb, &s[0]);
    trp_mailbox_park(&mb, &s[1]);
    trp_waits_remove(&mb.parked, &s[1].wait);
    trp_mailbox_park(&mb, &s[2]);
    ck_assert_ptr_eq(trp_mailbox_expel(&mb), &s[0]);
    ck_assert_ptr_eq(trp_mailbox_expel(&mb), &s[2]);
    ck_assert_ptr_null(trp_mailbox_expel(&mb));
    for (int i = 0; i < 3; i++)
        trp_msg_drop(s[i].msg);
}
END_TEST

START_TEST(what_is_lent_counts) {
    struct troupe_msg *m;
    trp_mailbox_init(&mb, 2, SIZE_MAX, TROUPE_FAIL);
    ck_assert_int_eq(put(message(0)), TROUPE_OK);
    ck_assert_int_eq(put(message(1)), TROUPE_OK);
    size_t size = mb.bytes / 2;
    for (int i = 0; (m = trp_mailbox_lend(&mb)); i++)
        ck_assert_int_eq(number(m), i);
    ck_assert_int_eq(put(message(2)), TROUPE_FULL);
    ck_assert(!trp_mailbox_settle(&mb, 3, 0));
    ck_assert(!trp_mailbox_settle(&mb, 1, 3 * size));
    ck_assert(trp_mailbox_settle(&mb, 1, size));
    ck_assert_int_eq(put(message(2)), TROUPE_OK);
    ck_assert_int_eq(put(message(3)), TROUPE_FULL);
    trp_mailbox_forget_lent(&mb);
    ck_assert_int_eq(put(message(3)), TROUPE_OK);
    empty();
}
END_TEST

int main(void) {
    const TTest *const tests[] = {first_in_first_out,         bounded_in_number,           bounded_in_bytes,
                                  the_oldest_may_have_to_go,  what_is_owed_is_not_dropped, senders_come_in_in_their_order,
                                  the_last_in_line_may_leave, what_is_lent_counts};
    Suite *s = suite_create("mailbox");
    (void)run_case(s, "mailbox", tests, sizeof tests / sizeof *tests);
    return run_suite(s);
}
