/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Crowds: as many actors at once as are promised, each of which answers. Sanitizers get smaller ones: what they look for does
 * not depend on the number. */
#include <troupe/handler.h>

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "actors/sanitizer.h"
#include "tests/support/actors.h"

enum { SANITIZED = TRP_ASAN || TRP_TSAN };
enum { HANDLERS = SANITIZED ? 20000 : 1000000, COROUTINES = SANITIZED ? 1000 : 100000, HANDLER_BYTES = 400 };

static long rss_kb(void) {
    FILE *f = fopen("/proc/self/status", "r");
    char line[128];
    long kb = -1;
    while (f && fgets(line, sizeof line, f))
        (void)sscanf(line, "VmRSS: %ld", &kb);
    if (f)
        fclose(f);
    return kb;
}

struct crowd {
    troupe_ref tell;
    int64_t count;
};

/* Tells the sum of so many answers. */
static void gathers(troupe_self *self, void *arg) {
    const struct crowd *c = arg;
    int64_t sum = 0;
    troupe_msg *m;
    for (int64_t i = 0, n = 0; i < c->count && troupe_receive(self, PATIENCE_MS, &m) == TROUPE_OK; i++) {
        (void)troupe_msg_int(m, &n);
        sum += n;
        troupe_msg_free(&m);
    }
    say(self, c->tell, sum);
}

static troupe_ref gatherer(int64_t count) {
    struct crowd c = {troupe_self_ref(me), count};
    troupe_ref ref;
    troupe_spawn_opts opts = {.mailbox = (size_t)count + 1};
    ck_assert_int_eq(troupe_spawn(me, &opts, gathers, &c, sizeof c, &ref), TROUPE_OK);
    return ref;
}

/* Each is asked for its double, the sum of which is known. */
static void all_answer(const troupe_ref *all, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        ck_assert_int_eq(troupe_send(me, all[i], troupe_int(i)), TROUPE_OK);
    ck_assert_int_eq(hear(), count * (count - 1));
}

static void doubles(troupe_self *self, void *state, troupe_msg **m) {
    const troupe_ref *to = state;
    int64_t n = 0;
    (void)troupe_msg_int(*m, &n);
    (void)!troupe_send(self, *to, troupe_int(2 * n));
}

START_TEST(a_million_handler_actors) {
    static const troupe_handler doubling = {.on_message = doubles};
    troupe_ref *all = calloc(HANDLERS, sizeof *all), to = gatherer(HANDLERS);
    ck_assert_ptr_nonnull(all);
    memset(all, 1, HANDLERS * sizeof *all); /* the memory is there before it is measured */
    long before = rss_kb();
    for (int64_t i = 0; i < HANDLERS; i++)
        ck_assert_int_eq(troupe_spawn_handler(me, NULL, &doubling, &to, sizeof to, &all[i]), TROUPE_OK);
    long each = (rss_kb() - before) * 1024 / HANDLERS;
    if (!SANITIZED)
        ck_assert_int_le(each, HANDLER_BYTES);
    all_answer(all, HANDLERS);
    free(all);
}
END_TEST

static void doubles_all(troupe_self *self, void *arg) {
    const troupe_ref *to = arg;
    troupe_msg *m;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        int64_t n = 0;
        (void)troupe_msg_int(m, &n);
        troupe_msg_free(&m);
        say(self, *to, 2 * n);
    }
}

/* Before Linux 6.13 a guard is a mapping of its own, and so is the stack above; a process may have vm.max_map_count of them. */
static bool guards_cost_mappings(void) {
    enum { GUARD_INSTALL = 102 };
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool cheap = p != MAP_FAILED && madvise(p, size, GUARD_INSTALL) == 0;
    munmap(p, size);
    return !cheap;
}

static int64_t coroutines(void) {
    FILE *f = fopen("/proc/sys/vm/max_map_count", "r");
    long most = 0;
    bool known = f && fscanf(f, "%ld", &most) == 1;
    if (f)
        fclose(f);
    long fit = (most - 5000) / 2;
    return known && guards_cost_mappings() && fit < COROUTINES ? fit : COROUTINES;
}

START_TEST(a_hundred_thousand_coroutines) {
    int64_t n = coroutines();
    ck_assert_int_gt(n, 0);
    troupe_ref *all = calloc((size_t)n, sizeof *all), to = gatherer(n);
    ck_assert_ptr_nonnull(all);
    for (int64_t i = 0; i < n; i++)
        all[i] = spawn(TROUPE_COROUTINE, doubles_all, &to, sizeof to);
    all_answer(all, n);
    free(all);
}
END_TEST

int main(void) {
    Suite *s = suite_create("crowd");
    TCase *c = tcase_create("coroutines");
    tcase_add_checked_fixture(c, system_up, system_down);
    tcase_add_test(c, a_million_handler_actors);
    tcase_add_test(c, a_hundred_thousand_coroutines);
    tcase_set_timeout(c, 100);
    suite_add_tcase(s, c);
    return run_suite(s);
}
