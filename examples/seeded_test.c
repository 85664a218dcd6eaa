/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * seeded-test: how actors are tested without sleeping (<troupe/test.h>). The actors are ordinary ones; the system that
 * they run in has a clock that passes only while all wait, and an order that is drawn from a seed. So a night takes no
 * time, and a race that is seen once is seen again by its number. */
#include <inttypes.h>
#include <stdio.h>
#include <troupe/test.h>

enum { HOUR_MS = 3600 * 1000, SEEDS = 100 };

/* --- what is tested: a watchman, and an account --- */

/* Tells its post each hour that all is well, until it is closed. */
static void watchman(troupe_self *self, void *arg) {
    troupe_ref post = *(troupe_ref *)arg;
    troupe_msg *msg;
    while (troupe_receive(self, HOUR_MS, &msg) == TROUPE_TIMEOUT) {
        if (troupe_send(self, post, troupe_text("all is well")) != TROUPE_OK)
            return;
    }
}

/* A number sets the balance, nil asks for it, and a text adds one. */
static void account(troupe_self *self, void *arg) {
    troupe_msg *msg;
    int64_t balance = 0, n;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &msg) == TROUPE_OK) {
        if (troupe_msg_int(msg, &n))
            balance = n;
        else if (troupe_msg_value(msg).kind == TROUPE_TEXT)
            balance++;
        if (troupe_reply(self, msg, troupe_int(balance)) != TROUPE_OK)
            fprintf(stderr, "nobody waits for the balance\n");
        troupe_msg_free(&msg);
    }
}

static int64_t ask(troupe_self *self, troupe_ref to, troupe_value v) {
    troupe_msg *answer;
    int64_t n = -1;
    if (troupe_ask(self, to, v, HOUR_MS, &answer) == TROUPE_OK) {
        (void)troupe_msg_int(answer, &n);
        troupe_msg_free(&answer);
    }
    return n;
}

struct customer {
    troupe_ref account;
    bool careful;
};

/* Pays in one: in one step, or, carelessly, in two. */
static void customer(troupe_self *self, void *arg) {
    const struct customer *c = arg;
    (void)ask(self, c->account, c->careful ? troupe_text("one more") : troupe_int(ask(self, c->account, troupe_nil()) + 1));
}

/* --- the tests --- */

static void night(void) {
    troupe_system *sys;
    troupe_ref ref;
    troupe_msg *msg;
    int heard = 0;
    if (troupe_test_open(&sys, 1) != TROUPE_OK)
        return;
    troupe_self *me = troupe_system_self(sys);
    troupe_ref post = troupe_self_ref(me);
    if (troupe_spawn(me, NULL, watchman, &post, sizeof post, &ref) == TROUPE_OK &&
        troupe_sleep(me, 8 * HOUR_MS + 1) == TROUPE_OK) {
        while (troupe_receive(me, 0, &msg) == TROUPE_OK) {
            heard++;
            troupe_msg_free(&msg);
        }
    }
    printf("%d hours have passed, %d times all was well\n", (int)(troupe_test_now(sys) / HOUR_MS), heard);
    troupe_system_close(&sys);
}

/* What the account has in the end, after two customers, in the order of that seed. */
static int64_t two_pay_in(uint64_t seed, bool careful) {
    struct customer c = {.careful = careful};
    troupe_system *sys;
    troupe_ref who[2];
    int64_t balance = -1;
    if (troupe_test_open(&sys, seed) != TROUPE_OK)
        return -1;
    troupe_self *me = troupe_system_self(sys);
    bool ok = troupe_spawn(me, NULL, account, NULL, 0, &c.account) == TROUPE_OK;
    for (int i = 0; i < 2 && ok; i++)
        ok = troupe_spawn(me, NULL, customer, &c, sizeof c, &who[i]) == TROUPE_OK;
    for (int i = 0; i < 2 && ok; i++)
        ok = troupe_join(me, who[i], HOUR_MS, NULL) == TROUPE_OK;
    if (ok)
        balance = ask(me, c.account, troupe_nil());
    troupe_system_close(&sys);
    return balance;
}

static void search(bool careful) {
    uint64_t seed = 0;
    while (seed < SEEDS && two_pay_in(seed, careful) == 2)
        seed++;
    if (seed == SEEDS) {
        printf("%s: no seed of %d loses a deposit\n", careful ? "careful" : "careless", SEEDS);
        return;
    }
    bool again = two_pay_in(seed, careful) == 1 && two_pay_in(seed, careful) == 1;
    printf("%s: seed %" PRIu64 " loses a deposit, %s\n", careful ? "careful" : "careless", seed, again ? "each time" : "once");
}

int main(void) {
    night();
    search(false);
    search(true);
    return 0;
}
