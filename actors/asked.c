/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Questions that wait at an object. Most are answered by the next event; those of askers who have given up stay until they
 * are met, or swept: a sweep looks at each of them and comes when they are twice as many as the last one left, so it costs
 * each question a constant. */
#include "actors/object.h"
#include "actors/self.h"

enum { SWEEP_FIRST = 32 };

void trp_asked_init(struct trp_asked *q) {
    *q = (struct trp_asked){.tail = &q->head, .sweep_at = SWEEP_FIRST};
}

static void append(struct trp_asked *q, struct troupe_msg *m) {
    m->next = NULL;
    *q->tail = m;
    q->tail = &m->next;
    q->count++;
}

/* Nobody waits for its answer. */
static void forget(struct troupe_msg *m) {
    m->answered = true;
    (void)trp_messages_bury(m, TROUPE_CLOSED);
}

static void sweep(struct trp_asked *q) {
    struct troupe_msg *m = q->head;
    q->head = NULL;
    q->tail = &q->head;
    q->count = 0;
    while (m) {
        struct troupe_msg *next = m->next;
        m->next = NULL;
        if (trp_question_waits(m))
            append(q, m);
        else
            forget(m);
        m = next;
    }
    q->sweep_at = q->count * 2 > SWEEP_FIRST ? q->count * 2 : SWEEP_FIRST;
}

void trp_asked_add(struct trp_asked *q, struct troupe_msg *m) {
    append(q, m);
    if (q->count >= q->sweep_at)
        sweep(q);
}

struct troupe_msg *trp_asked_take(struct trp_asked *q) {
    struct troupe_msg *m = q->head;
    if (!m)
        return NULL;
    q->head = m->next;
    if (!q->head)
        q->tail = &q->head;
    m->next = NULL;
    q->count--;
    return m;
}

troupe_status trp_asked_answer(struct troupe_msg *m, struct troupe_msg **answer) {
    troupe_status st = trp_question_answer(m, TROUPE_OK, answer);
    (void)trp_messages_bury(m, TROUPE_CLOSED); /* answered, so this is only the freeing */
    return st;
}

struct troupe_msg *trp_asked_accept(struct troupe_msg *m) {
    struct troupe_msg *yes = NULL;
    troupe_status st = trp_msg_from_value(&yes, troupe_nil(), (struct trp_slice){0});
    bool heard = trp_question_answer(m, st, &yes) == TROUPE_OK && st == TROUPE_OK;
    trp_msg_drop(yes);
    trp_question_unmake(m);
    m->answered = false;
    if (heard)
        return m;
    trp_msg_drop(m);
    return NULL;
}

void trp_asked_yes(struct troupe_msg *m) {
    trp_msg_drop(trp_asked_accept(m));
}

void trp_asked_no(struct troupe_msg *m, troupe_status st) {
    (void)trp_messages_bury(m, st);
}

void trp_asked_all_no(struct trp_asked *q, troupe_status st) {
    struct troupe_msg *m;
    while ((m = trp_asked_take(q)))
        trp_asked_no(m, st);
}
