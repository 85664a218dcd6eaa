/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Asking, and answering: what was asked by an actor goes back by the way that it came, what was asked through the broker by the
 * broker. */
#include "actors/actor.h"
#include "actors/deadline.h"
#include "actors/self.h"
#include "transports/log.h"

troupe_status troupe_ask(troupe_self *self, troupe_ref to, troupe_value v, int64_t timeout_ms, troupe_msg **answer) {
    struct troupe_msg *m;
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    if (trp_actor_killed(self->actor))
        return TROUPE_CLOSED;
    if (to.id == trp_actor_id(self->actor))
        return TROUPE_INVALID; /* it could not answer while it waits */
    troupe_status st = trp_msg_from_value(&m, v, (struct trp_slice){0});
    if (st != TROUPE_OK)
        return st;
    trp_self_spend(self);
    m->from = trp_actor_id(self->actor);
    st = self->reach->ask(self, to, &m, trp_deadline(timeout_ms), answer);
    trp_msg_drop(m);
    return st;
}

/* A code of an error: [A-Z0-9_], as on the wire. */
static bool code_valid(const char *code) {
    size_t n = strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return n > 0 && code[n] == 0 && n < sizeof((struct troupe_msg *)0)->error;
}

static troupe_status answer_actor(troupe_self *self, troupe_msg *m, const char *code, troupe_value v) {
    struct troupe_msg *answer;
    if (m->answered)
        return TROUPE_NOT_FOUND;
    if (code && !code_valid(code))
        return TROUPE_INVALID;
    troupe_status st = trp_msg_from_value(&answer, v, (struct trp_slice){0});
    if (st != TROUPE_OK)
        return st;
    answer->from = trp_actor_id(self->actor);
    if (code)
        memcpy(answer->error, code, strlen(code) + 1);
    st = self->reach->reply(self, m, &answer);
    trp_msg_drop(answer);
    return st;
}

static troupe_status answer(troupe_self *self, troupe_msg *m, const char *code, troupe_value v) {
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    trp_self_spend(self);
    if (m->ask)
        return answer_actor(self, m, code, v);
    if (m->reply.n)
        return trp_bus_reply(self, m, code, v);
    if (code)
        trp_log(TROUPE_LOG_WARN, "actor.error_unread", "%s: an error that nobody asked for: %s: %.*s", troupe_self_name(self),
                code, (int)v.size, (const char *)v.data);
    return TROUPE_NOT_FOUND;
}

troupe_status troupe_reply(troupe_self *self, troupe_msg *m, troupe_value v) {
    return answer(self, m, NULL, v);
}

troupe_status troupe_reply_error(troupe_self *self, troupe_msg *m, const char *code, const char *text) {
    return code ? answer(self, m, code, troupe_text(text)) : TROUPE_INVALID;
}
