/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Who sends back what it gets, as a body and as a handler: an answer to who asks, a message to who sends. Who asks is told in
 * any case: if there is no memory for the answer, that. */
#ifndef TESTS_ECHO_H
#define TESTS_ECHO_H

#include <troupe/handler.h>

static inline void echo(troupe_self *self, troupe_msg *m) {
    if (!troupe_msg_wants_reply(m))
        (void)!troupe_send(self, troupe_msg_sender(m), troupe_msg_value(m));
    else if (troupe_reply(self, m, troupe_msg_value(m)) == TROUPE_NO_MEMORY)
        (void)!troupe_reply_error(self, m, "NO_MEMORY", "");
}

static inline void echoes(troupe_self *self, void *arg) {
    troupe_msg *m;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        echo(self, m);
        troupe_msg_free(&m);
    }
}

static inline void echo_message(troupe_self *self, void *state, troupe_msg **m) {
    (void)state;
    echo(self, *m);
}

static const troupe_handler echoing = {.on_message = echo_message};

#endif
