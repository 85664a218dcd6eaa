/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a thread actor is, without its thread: a worker that is alone, and a self on the heap instead of a stack. It counts
 * among the system's threads until its last touch of the system, as theirs do until they are joined. */
#include "actors/attach.h"

#include "actors/copy.h"
#include "actors/self.h"
#include "actors/straight.h"
#include "actors/system.h"
#include "transports/alloc.h"
#include "transports/assert.h"

void trp_attached_body(troupe_self *self, void *arg) {
    (void)self, (void)arg;
}

/* --- the backend: a thread's, but that none is started --- */

static troupe_status attached_start(struct trp_actor *a) {
    troupe_status st = trp_worker_new(&a->worker, a->sys, a->birth->name);
    if (st != TROUPE_OK)
        return st;
    a->worker->alone = true;
    trp_patience_init(&a->worker->patience);
    return TROUPE_OK;
}

static void attached_resume(struct trp_actor *a) {
    trp_thread_backend.resume(a);
}

static bool attached_park(troupe_self *self, int64_t deadline) {
    return trp_thread_backend.park(self, deadline);
}

static bool attached_listen(troupe_self *self, int64_t deadline) {
    return trp_thread_backend.listen(self, deadline);
}

static void attached_yield(troupe_self *self) {
    trp_thread_backend.yield(self);
}

static void attached_free(struct trp_actor *a) {
    trp_thread_backend.free(a);
}

const struct trp_backend trp_attached_backend = {
    .kind = TROUPE_THREAD,
    .start = attached_start,
    .resume = attached_resume,
    .park = attached_park,
    .yield = attached_yield,
    .listen = attached_listen,
    .free = attached_free,
};

/* --- coming and going --- */

static void count(troupe_system *sys, int more) {
    pthread_mutex_lock(&sys->lock);
    sys->threads += (unsigned)more;
    pthread_cond_signal(&sys->threads_over);
    pthread_mutex_unlock(&sys->lock);
}

static troupe_status actor_new(troupe_system *sys, const char *name, troupe_ref *out) {
    struct trp_birth *birth;
    troupe_spawn_opts opts = {.kind = TROUPE_THREAD, .name = name};
    troupe_status st = trp_birth_new(&birth, &opts, trp_attached_body, NULL, 0);
    if (st != TROUPE_OK)
        return st;
    st = trp_system_spawn(sys, &birth, out);
    trp_birth_free(birth);
    return st;
}

static void leave(troupe_system *sys, struct trp_actor *a) {
    troupe_exit exit = trp_actor_killed(a) ? trp_exit_killed() : trp_exit_normal();
    trp_actor_end(a, &exit);
    count(sys, -1);
}

/* Only its own thread ends it, so it is there. */
static troupe_status enter(troupe_system *sys, troupe_ref ref, troupe_self *self) {
    struct trp_actor *a = trp_registry_get(&sys->registry, ref.id);
    trp_assert(a);
    trp_actor_unref(a); /* the life's own reference stays */
    if (!trp_actor_enter(a)) {
        leave(sys, a);
        return TROUPE_CLOSED;
    }
    trp_worker_enter(a->worker);
    trp_self_init(self, a, &trp_attached_backend, &trp_local_reach);
    return TROUPE_OK;
}

troupe_status troupe_attach(troupe_system *sys, const char *name, troupe_self **out) {
    troupe_ref ref;
    if (sys->stage || sys->forks != trp_copy_now())
        return TROUPE_UNSUPPORTED;
    if (trp_worker_here())
        return TROUPE_INVALID;
    troupe_self *self = trp_calloc(1, sizeof *self);
    if (!self)
        return TROUPE_NO_MEMORY;
    count(sys, 1);
    troupe_status st = actor_new(sys, name, &ref);
    if (st != TROUPE_OK)
        count(sys, -1);
    else
        st = enter(sys, ref, self);
    if (st == TROUPE_OK)
        *out = self;
    else
        trp_free(self);
    return st;
}

void troupe_detach(troupe_self **attached) {
    troupe_self *self = *attached;
    if (!self)
        return;
    *attached = NULL;
    if (trp_self_is_copy(self))
        return; /* the original's */
    struct trp_actor *a = self->actor;
    trp_self_leave(self);
    trp_bus_close(&a->worker->bus, TRP_BUS_FLUSH_MS);
    trp_straight_free(&a->worker->straight);
    trp_nap_leave(&a->worker->nap);
    trp_worker_enter(NULL);
    leave(a->sys, a);
    trp_free(self);
}
