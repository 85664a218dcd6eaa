/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * exec-sort: an external program as an actor. First all in one call, as one would with subprocess.run; then as an actor
 * that is sent lines and sends lines back, and whose end is the program's. */
#include <stdio.h>
#include <string.h>
#include <troupe/command.h>

static void print(const troupe_msg *m) {
    troupe_value v = troupe_msg_value(m);
    printf("%.*s", (int)v.size, (const char *)v.data);
}

static int run_to_its_end(troupe_self *me) {
    const char *const argv[] = {"sort", NULL};
    troupe_msg *sorted;
    troupe_exit exit;
    if (troupe_command_run(me, NULL, argv, troupe_text("pear\napple\nfig\n"), 10000, &sorted, &exit) != TROUPE_OK)
        return 1;
    print(sorted);
    printf("sort ended: %s\n", exit.text);
    troupe_msg_free(&sorted);
    return 0;
}

static int talk_to_it(troupe_self *me) {
    const char *const argv[] = {"sh", "-c", "sort -n; echo sorted >&2; exit 3", NULL};
    troupe_command_opts opts = {.errors = TROUPE_ERRORS_SEND, .timeout_ms = 10000};
    troupe_ref sorter;
    troupe_msg *m;
    troupe_exit exit;
    int errors = 0;
    if (troupe_command_spawn(me, &opts, argv, &sorter) != TROUPE_OK)
        return 1;
    for (int n = 10; n >= 8; n--) {
        if (troupe_send(me, sorter, troupe_int(n)) != TROUPE_OK)
            return 1;
    }
    /* It reads the end of its input, sorts, writes, and ends. */
    if (troupe_close(me, sorter) != TROUPE_OK || troupe_join(me, sorter, TROUPE_FOREVER, &exit) != TROUPE_OK)
        return 1;
    while (troupe_receive(me, 0, &m) == TROUPE_OK) {
        if (strcmp(troupe_msg_topic(m), "stdout") == 0) {
            print(m);
            putchar('\n');
        } else {
            errors++;
        }
        troupe_msg_free(&m);
    }
    printf("and %d line of errors\n", errors);
    printf("sh ended: %s\n", exit.text);
    return 0;
}

int main(void) {
    troupe_system *sys;
    if (troupe_system_open(&sys, NULL) != TROUPE_OK)
        return 1;
    troupe_self *me = troupe_system_self(sys);
    int failed = run_to_its_end(me) || talk_to_it(me);
    troupe_system_close(&sys);
    return failed;
}
