/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A bit, and the questions of those who wait for it. */
#include "actors/event.h"

#include <troupe/event.h>

struct event {
    struct trp_object o; /* first */
    bool set;
    struct trp_asked waits;
};

static troupe_status event_init(struct trp_object *o, const void *arg) {
    (void)arg;
    trp_asked_init(&((struct event *)o)->waits);
    return TROUPE_OK;
}

static void happen(struct event *e) {
    struct troupe_msg *m;
    e->set = true;
    while ((m = trp_asked_take(&e->waits)))
        trp_asked_yes(m);
}

static troupe_status wait(struct event *e, struct troupe_msg *m, bool patient) {
    if (!m->ask)
        return TROUPE_INVALID;
    if (e->set)
        trp_asked_yes(m);
    else if (patient)
        trp_asked_add(&e->waits, m);
    else
        return TROUPE_FULL; /* not now */
    return TROUPE_OK;
}

static troupe_status event_take(struct trp_object *o, struct troupe_msg *m) {
    struct event *e = (struct event *)o;
    enum trp_word word = trp_word_of(m);
    if (word == TRP_WORD_WAIT || word == TRP_WORD_TRY)
        return wait(e, m, word == TRP_WORD_WAIT);
    if (m->ask || (word != TRP_WORD_SET && word != TRP_WORD_CLEAR))
        return TROUPE_INVALID;
    if (word == TRP_WORD_SET)
        happen(e);
    else
        e->set = false;
    trp_msg_drop(m);
    return TROUPE_OK;
}

static void event_close(struct trp_object *o) {
    trp_asked_all_no(&((struct event *)o)->waits, TROUPE_CLOSED);
    o->over = true;
}

static void event_fini(struct trp_object *o) {
    (void)o;
}

const struct trp_object_ops trp_event_ops = {
    .init = event_init, .take = event_take, .close = event_close, .fini = event_fini, .size = sizeof(struct event)};

/* --- the calls --- */

troupe_status troupe_event_open(troupe_self *self, const char *name, troupe_event *out) {
    return trp_object_new(self, TRP_NOUN_EVENT, name, NULL, 0, &out->ref);
}

troupe_status troupe_event_set(troupe_self *self, troupe_event e) {
    return trp_or_closed(trp_word_send(self, e.ref, TRP_WORD_SET, 0));
}

troupe_status troupe_event_clear(troupe_self *self, troupe_event e) {
    return trp_or_closed(trp_word_send(self, e.ref, TRP_WORD_CLEAR, 0));
}

troupe_status troupe_event_wait(troupe_self *self, troupe_event e, int64_t timeout_ms) {
    troupe_msg *yes;
    troupe_status st =
        trp_word_ask(self, e.ref, timeout_ms ? TRP_WORD_WAIT : TRP_WORD_TRY, timeout_ms ? timeout_ms : TROUPE_FOREVER, &yes);
    if (st == TROUPE_OK)
        troupe_msg_free(&yes);
    return st == TROUPE_FULL ? TROUPE_TIMEOUT : trp_or_closed(st);
}

troupe_status troupe_event_wait_async(troupe_self *self, troupe_event e, troupe_future **out) {
    uint8_t bytes[TRP_WORD_SIZE];
    return troupe_ask_async(self, e.ref, trp_word_value(TRP_WORD_WAIT, 0, bytes), out);
}
