/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Questions: a message that somebody waits to have answered, from the asker's side and from the one who has it in hand. An
 * answer and the end of the wait are decided under the asker's lock; whatever frees a question answers it. */
#include "actors/actor.h"
#include "transports/log.h"

void trp_question_make(struct troupe_msg *m, struct trp_actor *asker, uint64_t number) {
    m->ask = number;
    m->owner = trp_actor_ref(asker);
}

void trp_question_unmake(struct troupe_msg *m) {
    struct trp_actor *asker = m->owner;
    m->owner = NULL;
    m->ask = 0;
    trp_actor_unref(asker);
}

void trp_ask_begin(struct trp_actor *asker, struct trp_ask *ask) {
    pthread_mutex_lock(&asker->lock);
    trp_waits_add(&asker->asks, &ask->wait);
    pthread_mutex_unlock(&asker->lock);
}

bool trp_question_waits(const struct troupe_msg *m) {
    struct trp_actor *asker = m->owner;
    if (!asker || m->answered)
        return false;
    pthread_mutex_lock(&asker->lock);
    bool waits = trp_ask_find(&asker->asks, m->ask) != NULL;
    pthread_mutex_unlock(&asker->lock);
    return waits;
}

/* Errors of questions that nobody asks for any more: said here, since nobody else will. */
static void unheard(const struct troupe_msg *answer) {
    if (answer && answer->error[0] && strcmp(answer->error, "UNANSWERED") != 0)
        trp_log(TROUPE_LOG_WARN, "actor.error_unread", "an answer that nobody waits for is an error: %s: %.*s", answer->error,
                (int)troupe_msg_value(answer).size, (const char *)troupe_msg_value(answer).data);
}

troupe_status trp_question_answer(struct troupe_msg *m, troupe_status st, struct troupe_msg **answer) {
    struct trp_actor *asker = m->owner;
    struct trp_wakes w;
    w.n = 0;
    if (!asker || m->answered)
        return TROUPE_NOT_FOUND;
    m->answered = true;
    pthread_mutex_lock(&asker->lock);
    struct trp_ask *ask = trp_ask_find(&asker->asks, m->ask);
    if (ask) {
        trp_waits_remove(&asker->asks, &ask->wait);
        ask->answer = *answer;
        *answer = NULL;
        trp_wait_finish(&ask->wait, st, &w);
    }
    pthread_mutex_unlock(&asker->lock);
    trp_wakes_run(&w);
    if (!ask)
        unheard(*answer);
    return ask ? TROUPE_OK : TROUPE_NOT_FOUND;
}

/* The asker is told a status, and forgotten. */
static void question_end(struct troupe_msg *m, troupe_status st, struct troupe_msg *answer) {
    struct trp_actor *asker = m->owner;
    /* NOT_FOUND: it has its answer, or does not wait any more. Either is fine. */
    (void)(trp_question_answer(m, st, &answer) == TROUPE_OK);
    trp_msg_drop(answer);
    m->owner = NULL;
    trp_actor_unref(asker);
}

struct troupe_msg *trp_unanswered(void) {
    struct troupe_msg *m;
    if (trp_msg_from_value(&m, troupe_text("the question was freed without an answer"), (struct trp_slice){0}) != TROUPE_OK)
        return NULL;
    memcpy(m->error, "UNANSWERED", sizeof "UNANSWERED");
    return m;
}

void trp_question_settle(struct troupe_msg *m) {
    struct troupe_msg *answer = m->answered ? NULL : trp_unanswered();
    question_end(m, answer ? TROUPE_OK : TROUPE_NO_MEMORY, answer);
}

size_t trp_messages_bury(struct troupe_msg *all, troupe_status st) {
    size_t n = 0;
    for (struct troupe_msg *m = all, *next; m; m = next, n++) {
        next = m->next;
        if (m->owner)
            question_end(m, st, NULL);
        else if (m->origin.settle)
            m->origin.settle(m, true);
        trp_msg_drop(m);
    }
    return n;
}
