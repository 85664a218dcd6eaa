/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/sheaf.h"

#include "actors/actor.h"
#include "actors/backend.h"
#include "actors/object.h"
#include "transports/assert.h"

void trp_sheaf_add(struct trp_sheaf *s, struct troupe_msg *m) {
    trp_assert(s->count < TRP_SHEAF_MOST);
    m->next = s->newest;
    s->newest = m;
    if (s->count++ == 0)
        s->oldest = m;
}

struct troupe_msg *trp_sheaf_undo(struct trp_sheaf *s) {
    struct troupe_msg *first = NULL, *m = s->count ? s->newest : NULL, *older;
    for (unsigned n = s->count; n > 0; n--, m = older) {
        older = m->next;
        m->next = first;
        first = m;
    }
    *s = (struct trp_sheaf){0};
    return first;
}

/* An object takes each message by itself, and a process settles what it has received before it is said to be full. */
static bool takes_many(const struct trp_actor *to) {
    return to->backend != &trp_object_backend && to->backend != &trp_process_backend;
}

bool trp_sheaf_send(struct trp_sheaf *s, struct trp_actor *to) {
    uint64_t wake = 0;
    if (!takes_many(to))
        return false;
    pthread_mutex_lock(&to->lock);
    bool open = to->life == TRP_STARTING || to->life == TRP_RUNNING;
    bool sent = open && trp_mailbox_put_all(&to->mailbox, s->newest, s->oldest, s->count, &wake);
    pthread_mutex_unlock(&to->lock);
    if (sent)
        *s = (struct trp_sheaf){0};
    trp_actor_mail_wakes(to, wake);
    return sent;
}
