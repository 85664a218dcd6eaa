/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Messages in hand. A question, or a message that the broker counts against a credit, is linked into the body's list
 * when it is received and out of it when it is freed. What is still there when the body returns is given up on its
 * behalf: the asker is told that it died, the broker may give the message to another. */
#include "actors/actor.h"
#include "actors/copy.h"
#include "actors/letters.h"
#include "actors/self.h"
#include "actors/system.h"
#include "clients/conn.h"

void trp_self_take_out_of_hand(struct troupe_msg *m) {
    if (!m->link)
        return;
    *m->link = m->next;
    if (m->next)
        m->next->link = m->link;
    m->link = NULL;
    m->next = NULL;
}

static void question_freed(struct troupe_msg *m, bool nack) {
    const struct trp_actor *asker = m->owner;
    (void)nack;
    trp_self_take_out_of_hand(m);
    if (asker->sys->forks == trp_copy_now())
        trp_local_reach.settle(m);
}

static void far_question_freed(struct troupe_msg *m, bool nack) {
    (void)nack;
    trp_self_take_out_of_hand(m);
    trp_child_reach.settle(m);
}

static void delivery_freed(struct troupe_msg *m, bool nack) {
    trp_self_take_out_of_hand(m);
    trp_bus_freed(m, nack);
}

static void hand_link(troupe_self *self, struct troupe_msg *m) {
    m->next = self->hand;
    m->link = &self->hand;
    if (m->next)
        m->next->link = &m->next;
    self->hand = m;
}

void trp_self_take_in_hand(troupe_self *self, struct troupe_msg *m) {
    if (m->ask)
        m->origin.settle = self->reach == &trp_local_reach ? question_freed : far_question_freed;
    else if (m->origin.conn)
        m->origin.settle = delivery_freed;
    else
        return;
    hand_link(self, m);
}

void trp_self_empty_hand(troupe_self *self) {
    struct troupe_msg *m;
    while ((m = self->hand)) {
        trp_self_take_out_of_hand(m);
        if (self->reach == &trp_local_reach)
            (void)trp_messages_bury(m, TROUPE_DIED);
        else
            trp_conn_settle(m, true); /* the system that forked us knows its questions, and the process is about to end */
    }
}
