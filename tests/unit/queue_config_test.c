/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Declarations: which make sense, which agree, and what is said of those that do not. */
#include "tests/support/queue_rig.h"
#include "tests/support/run.h"

static void setup(void) {
    rig_start();
    struct trp_queue_config c = rig_config("q");
    rig_use(&c);
}

/* ---- declarations ---- */

static void expect_declare(const struct trp_queue_config *c, troupe_status want, const char *sentence) {
    struct trp_queue *q = NULL;
    uint64_t lsn;
    const char *why = "";
    ck_assert_int_eq(trp_queues_declare(rig.set, c, &q, &lsn, &why), want);
    if (want)
        ck_assert_str_eq(why, sentence);
    else
        ck_assert_ptr_nonnull(q);
}

START_TEST(a_declaration_may_be_repeated) {
    struct trp_queue_config c = rig_config("q");
    expect_declare(&c, TROUPE_OK, "");
    c.dead_letter = trp_slice_str("q.dead");
    expect_declare(&c, TROUPE_OK, "");
}
END_TEST

START_TEST(a_conflict_names_the_difference) {
    const struct trp_slice patterns[] = {trp_slice_str("a.*"), trp_slice_str("b.>"), trp_slice_str("c")};
    struct trp_queue_config c = rig_config("d");
    c.patterns = patterns;
    c.n_patterns = 2;
    c.max_messages = 100;
    (void)rig_declare(&c);
    struct trp_queue_config other[] = {c, c, c, c, c, c, c, c};
    other[0].max_messages = 200;
    expect_declare(&other[0], TROUPE_REFUSED, "max_messages is 100, not 200");
    other[1].durable = true;
    expect_declare(&other[1], TROUPE_REFUSED, "it is in memory, not durable");
    other[2].overflow = TRP_QUEUE_DROP_OLDEST;
    expect_declare(&other[2], TROUPE_REFUSED, "overflow is reject-new, not drop-oldest");
    other[3].dead_letter = trp_slice_str("");
    expect_declare(&other[3], TROUPE_REFUSED, "dead_letter is 'd.dead', not ''");
    other[4].patterns = patterns + 1;
    expect_declare(&other[4], TROUPE_REFUSED, "pattern 1 is 'a.*', not 'b.>'");
    other[5].n_patterns = 3;
    expect_declare(&other[5], TROUPE_REFUSED, "it has 2 patterns, not 3");
    other[6].dedup_ms = 0;
    expect_declare(&other[6], TROUPE_REFUSED, "dedup is 120000, not 0");
    other[7].max_deliveries = 1;
    expect_declare(&other[7], TROUPE_REFUSED, "max_deliveries is 16, not 1");
}
END_TEST

START_TEST(a_declaration_must_make_sense) {
    char name[300];
    const struct trp_slice bad = trp_slice_str("a..b");
    struct trp_slice many[TRP_QUEUE_PATTERNS_MAX + 1];
    struct trp_queue_config c = rig_config("");
    memset(name, 'n', sizeof name);
    expect_declare(&c, TROUPE_INVALID,
                   "the name is not valid: at most 255 bytes, words joined by '.', without blanks, '*' and '>'");
    c.name = (struct trp_slice){(uint8_t *)name, 251};
    expect_declare(&c, TROUPE_INVALID, "the name is too long for NAME.dead: name a dead_letter queue");
    c.name.n = 250;
    expect_declare(&c, TROUPE_OK, "");
    c = rig_config("x");
    c.max_bytes = 0;
    expect_declare(&c, TROUPE_INVALID, "max_messages and max_bytes must not be 0");
    c = rig_config("x");
    c.patterns = &bad, c.n_patterns = 1;
    expect_declare(&c, TROUPE_INVALID, "pattern 1 is not a valid pattern");
    for (size_t i = 0; i < sizeof many / sizeof *many; i++)
        many[i] = trp_slice_str("ok");
    c.patterns = many, c.n_patterns = sizeof many / sizeof *many;
    expect_declare(&c, TROUPE_INVALID, "it has 65 patterns, and may have 64");
    c.n_patterns--;
    expect_declare(&c, TROUPE_OK, "");
    c = rig_config("y");
    c.dead_letter = trp_slice_str("y");
    expect_declare(&c, TROUPE_INVALID, "dead_letter is the queue itself");
    c.dead_letter = trp_slice_str("*");
    expect_declare(&c, TROUPE_INVALID, "dead_letter is not a valid queue name");
    c = rig_config("y");
    c.max_crashes = 65536;
    expect_declare(&c, TROUPE_INVALID, "max_crashes is more than 65535");
}
END_TEST

START_TEST(queues_are_listed_in_order) {
    const struct trp_slice pattern = trp_slice_str("some.>");
    struct trp_queue_config c = rig_config("z");
    c.patterns = &pattern;
    c.n_patterns = 1;
    (void)rig_declare(&c);
    c.name = trp_slice_str("y");
    struct trp_queue *y = rig_declare(&c), *q = NULL;
    ck_assert_ptr_eq(q = trp_queues_next(rig.set, q), rig.q);
    ck_assert_ptr_eq(q = trp_queues_next(rig.set, q), rig_find("z"));
    ck_assert_ptr_eq(q = trp_queues_next(rig.set, q), y);
    ck_assert_ptr_null(trp_queues_next(rig.set, q));
    ck_assert(trp_slice_eq(trp_queue_config_of(y)->patterns[0], pattern));
    trp_queue_set_user(y, &q);
    ck_assert_ptr_eq(trp_queue_user(y), &q);
}
END_TEST

START_TEST(there_may_be_so_many_queues) {
    rig_close_set();
    const struct trp_queue_sink sink = {rig_deliver, rig_lapsed, rig_empty, rig_ended, NULL};
    ck_assert_int_eq(trp_queues_new(&rig.set, &(struct trp_queues_opts){.max_queues = 2}, &sink, NULL), TROUPE_OK);
    struct trp_queue_config a = rig_config("a"), b = rig_config("b"), c = rig_config("c");
    struct trp_queue *q;
    uint64_t lsn;
    const char *why;
    (void)rig_declare(&a), (void)rig_declare(&b);
    ck_assert_int_eq(trp_queues_declare(rig.set, &c, &q, &lsn, &why), TROUPE_FULL);
    c.durable = true;
    ck_assert_int_eq(trp_queues_declare(rig.set, &c, &q, &lsn, &why), TROUPE_UNSUPPORTED);
}
END_TEST

int main(void) {
    Suite *s = suite_create("queue_config");
    const TTest *const declarations[] = {a_declaration_may_be_repeated, a_conflict_names_the_difference,
                                         a_declaration_must_make_sense, queues_are_listed_in_order,
                                         there_may_be_so_many_queues};
#define CASE(name) tcase_add_checked_fixture(run_case(s, #name, name, sizeof name / sizeof *name), setup, rig_stop)
    CASE(declarations);
    return run_suite(s);
}
