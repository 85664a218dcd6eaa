/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A look-up can't be cut short once it runs, but its asker may go: so it lies on the heap and belongs to whichever of
 * the two comes last.
 *
 *     RUNNING --(libuv's callback)--> DONE       then the asker frees it
 *        `------(asker goes)-------> LEFT        then the callback does */
#include "actors/lookup.h"

#include <uv.h>

#include "actors/self.h"
#include "actors/system.h"
#include "transports/alloc.h"

enum { RUNNING, DONE, LEFT };

struct lookup {
    uv_getaddrinfo_t req;  /* the loop's */
    struct trp_actor *who; /* a reference */
    int error;             /* with DONE */
    atomic_int state;
};

static void lookup_free(struct lookup *l) {
    trp_actor_unref(l->who);
    trp_free(l);
}

static void on_found(uv_getaddrinfo_t *req, int error, struct addrinfo *list) {
    struct lookup *l = (struct lookup *)req;
    struct trp_actor *who = trp_actor_ref(l->who);
    l->error = error;
    (void)list; /* it is in the request */
    if (atomic_exchange(&l->state, DONE) == LEFT) {
        uv_freeaddrinfo(req->addrinfo);
        lookup_free(l);
    } else {
        trp_actor_unpark(who);
    }
    trp_actor_unref(who);
}

static troupe_status await(troupe_self *self, struct lookup *l, int64_t deadline, struct addrinfo **out) {
    troupe_status st = TROUPE_OK;
    while (st == TROUPE_OK && atomic_load(&l->state) == RUNNING)
        st = trp_self_wait(self, deadline);
    if (st != TROUPE_OK && atomic_exchange(&l->state, LEFT) == RUNNING)
        return st;
    if (l->error == 0)
        *out = l->req.addrinfo;
    st = l->error == 0 ? TROUPE_OK : TROUPE_NOT_FOUND;
    lookup_free(l);
    return st;
}

static troupe_status by_name(troupe_self *self, const char *host, const char *port, const struct addrinfo *hints,
                             int64_t deadline, struct addrinfo **out) {
    if (self->actor->sys->stage)
        return TROUPE_UNSUPPORTED;
    struct lookup *l = trp_calloc(1, sizeof *l);
    if (!l)
        return TROUPE_NO_MEMORY;
    l->who = trp_actor_ref(self->actor);
    bool roamed = trp_self_bind(self);
    int error = uv_getaddrinfo(&self->worker->loop.uv, &l->req, on_found, host, port, hints);
    if (roamed)
        trp_self_roam(self);
    if (error != 0) {
        lookup_free(l);
        return TROUPE_SYSTEM;
    }
    return await(self, l, deadline, out);
}

troupe_status trp_lookup(troupe_self *self, const char *host, const char *port, bool passive, int64_t deadline,
                         struct addrinfo **out) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | (passive ? AI_PASSIVE : 0)};
    int error = getaddrinfo(host[0] ? host : NULL, port, &hints, out); /* numbers only: asks nobody */
    if (error == 0)
        return TROUPE_OK;
    if (error == EAI_MEMORY)
        return TROUPE_NO_MEMORY;
    if (!host[0])
        return TROUPE_NOT_FOUND;
    hints.ai_flags &= ~AI_NUMERICHOST;
    return by_name(self, host, port, &hints, deadline, out);
}
