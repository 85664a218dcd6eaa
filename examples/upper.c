/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * upper: the echo server that answers in upper case, as a service behind the broker's gateway: sockets, lines, slow
 * clients and broken ones are the broker's business, and any number of these may run.
 *
 *     brokerd --gateway=tcp://127.0.0.1:8080/upper &
 *     upper &
 *     echo hello | nc -N 127.0.0.1 8080      HELLO */
#include <argp.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <troupe/actor.h>
#include <troupe/log.h>
#include <troupe/version.h>

static troupe_status answer(troupe_self *self, troupe_msg *msg) {
    troupe_value v = troupe_msg_value(msg);
    if (v.kind != TROUPE_TEXT)
        return troupe_reply(self, msg, v); /* a number has no upper case */
    char *text = malloc(v.size + 1);
    if (!text)
        return troupe_reply_error(self, msg, "NO_MEMORY", "out of memory");
    for (size_t i = 0; i < v.size; i++)
        text[i] = (char)toupper(((const unsigned char *)v.data)[i]); /* in the C locale: what is not ASCII stays */
    troupe_status st = troupe_reply(self, msg, troupe_textn(text, v.size));
    free(text);
    return st;
}

static void upper(troupe_self *self, void *arg) {
    (void)arg;
    troupe_msg *msg;
    if (troupe_subscribe(self, "upper", &(troupe_sub_opts){.group = "workers", .credit = 64}) != TROUPE_OK)
        return;
    while (troupe_receive(self, TROUPE_FOREVER, &msg) == TROUPE_OK) {
        if (answer(self, msg) < 0)
            fprintf(stderr, "upper: no answer could be given\n");
        troupe_msg_free(&msg);
    }
}

const char *argp_program_version = "upper " TROUPE_VERSION;

int main(int argc, char **argv) {
    static const struct argp argp = {
        .doc = "Answers text in upper case on the topic upper of the broker that TROUPE_BROKER names."};
    troupe_system *sys;
    argp_err_exit_status = EX_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    troupe_log_set(troupe_log_stderr, NULL, TROUPE_LOG_WARN);
    if (troupe_system_open(&sys, NULL) != TROUPE_OK ||
        troupe_spawn(troupe_system_self(sys), &(troupe_spawn_opts){.name = "upper"}, upper, NULL, 0, NULL) != TROUPE_OK)
        return 1;
    troupe_status st = troupe_system_run(sys, 0); /* until SIGTERM */
    troupe_system_close(&sys);
    return st == TROUPE_OK ? 0 : 1;
}
