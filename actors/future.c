/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A future is a struct trp_ask on the heap instead of the stack: answered like any question, and the asker, who is unparked
 * by that, looks which of its futures are done. All is on the asker's thread but the answering itself. */
#include "actors/future.h"

#include "actors/actor.h"
#include "actors/deadline.h"
#include "actors/self.h"
#include "clients/msg.h"
#include "transports/alloc.h"
#include "transports/log.h"

struct troupe_future {
    struct trp_ask ask;
    troupe_future *next, **link; /* of its body's */
    troupe_self *self;
    troupe_future_fn *fn; /* NULL: somebody will await it */
    void *arg;
};

static bool done(troupe_future *f) {
    return trp_wait_done(&f->ask.wait);
}

static troupe_future *future_new(troupe_self *self) {
    troupe_future *f = trp_calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->self = self;
    f->ask.wait.who = self->actor;
    f->ask.wait.role = TRP_WAIT_ASK;
    f->next = self->futures;
    f->link = &self->futures;
    if (f->next)
        f->next->link = &f->next;
    self->futures = f;
    return f;
}

/* It is done, or withdrawn. Gives its answer, which may be NULL. */
static struct troupe_msg *future_end(troupe_future *f) {
    struct troupe_msg *answer = f->ask.answer;
    *f->link = f->next;
    if (f->next)
        f->next->link = f->link;
    f->self->thens -= f->fn != NULL;
    trp_free(f);
    return answer;
}

/* What it has said without anybody reading it. */
static void log_unread(const troupe_future *f) {
    const struct troupe_msg *a = f->ask.answer;
    if (f->ask.wait.st != TROUPE_OK)
        trp_log(TROUPE_LOG_WARN, "actor.error_unread", "%s: a question whose future was not read: %s",
                troupe_self_name(f->self), troupe_status_name(f->ask.wait.st));
    else if (a && a->error[0])
        trp_log(TROUPE_LOG_WARN, "actor.error_unread", "%s: an answer that was not read is an error: %s: %.*s",
                troupe_self_name(f->self), a->error, (int)troupe_msg_value(a).size, (const char *)troupe_msg_value(a).data);
}

troupe_status troupe_ask_async(troupe_self *self, troupe_ref to, troupe_value v, troupe_future **out) {
    struct troupe_msg *m;
    troupe_status st = trp_self_may(self);
    if (st != TROUPE_OK)
        return st;
    st = trp_msg_from_value(&m, v, (struct trp_slice){0});
    if (st != TROUPE_OK)
        return st;
    trp_self_spend(self);
    troupe_future *f = future_new(self);
    if (!f) {
        trp_msg_drop(m);
        return TROUPE_NO_MEMORY;
    }
    m->from = trp_actor_id(self->actor);
    st = self->reach->question(self, to, &m, TRP_NEVER, &f->ask);
    trp_msg_drop(m);
    if (st != TROUPE_OK) {
        f->ask.wait.st = st;
        atomic_store_explicit(&f->ask.wait.done, true, memory_order_relaxed); /* nobody else knows it */
    }
    *out = f;
    return TROUPE_OK;
}

bool troupe_future_ready(troupe_self *self, troupe_future *f) {
    if (trp_self_is_copy(self))
        return false;
    bool ready = done(f);
    if (!ready) {
        troupe_yield(self);
        ready = done(f);
    }
    trp_futures_run(self);
    return ready;
}

troupe_status troupe_future_await(troupe_self *self, troupe_future **future, int64_t timeout_ms, troupe_msg **answer) {
    troupe_future *f = *future;
    size_t which;
    troupe_status st = troupe_future_any(self, future, 1, timeout_ms, &which);
    if (st == TROUPE_TIMEOUT)
        return st;
    *future = NULL;
    if (st != TROUPE_OK) {
        troupe_future_free(&f); /* killed: it has no use for the answer */
        return st;
    }
    st = f->ask.wait.st;
    struct troupe_msg *m = future_end(f);
    if (st == TROUPE_OK)
        *answer = m;
    return st;
}

enum ready { NONE_THERE, NONE_READY, ONE_READY };

static enum ready first_ready(troupe_future *const *f, size_t n, size_t *which) {
    enum ready r = NONE_THERE;
    for (size_t i = 0; i < n; i++) {
        if (!f[i])
            continue;
        r = NONE_READY;
        if (done(f[i])) {
            *which = i;
            return ONE_READY;
        }
    }
    return r;
}

troupe_status troupe_future_any(troupe_self *self, troupe_future *const *f, size_t n, int64_t timeout_ms, size_t *which) {
    int64_t deadline = trp_deadline(timeout_ms);
    troupe_status st = TROUPE_OK;
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    for (;;) {
        trp_futures_run(self);
        switch (first_ready(f, n, which)) {
        case NONE_THERE:
            return TROUPE_NOT_FOUND;
        case NONE_READY:
            break;
        case ONE_READY:
            return TROUPE_OK;
        }
        if (st != TROUPE_OK)
            return st;
        st = trp_self_wait(self, deadline);
    }
}

troupe_status troupe_future_all(troupe_self *self, troupe_future *const *f, size_t n, int64_t timeout_ms) {
    int64_t deadline = trp_deadline(timeout_ms);
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    for (size_t i = 0; i < n; i++) {
        troupe_status st = TROUPE_OK;
        trp_futures_run(self);
        while (f[i] && !done(f[i]) && st == TROUPE_OK) {
            st = trp_self_wait(self, deadline);
            trp_futures_run(self);
        }
        if (f[i] && !done(f[i]))
            return st;
    }
    return TROUPE_OK;
}

void troupe_future_then(troupe_future **future, troupe_future_fn *fn, void *arg) {
    troupe_future *f = *future;
    *future = NULL;
    f->fn = fn;
    f->arg = arg;
    f->self->thens++;
}

/* One whose function is to be called now. NULL: none. */
static troupe_future *next_then(troupe_self *self) {
    for (troupe_future *f = self->futures; f; f = f->next) {
        if (f->fn && done(f))
            return f;
    }
    return NULL;
}

void trp_futures_run(troupe_self *self) {
    troupe_future *f;
    /* From the start each time: the function may have done anything to the list. */
    while (self->thens > 0 && !trp_self_is_copy(self) && (f = next_then(self))) {
        troupe_future_fn *fn = f->fn;
        void *arg = f->arg;
        troupe_status st = f->ask.wait.st;
        fn(self, st, future_end(f), arg);
    }
}

void troupe_future_free(troupe_future **future) {
    troupe_future *f = *future;
    if (!f)
        return;
    *future = NULL;
    if (trp_self_is_copy(f->self))
        return; /* the original's */
    if (!done(f) && f->self->reach->withdraw(f->self, &f->ask))
        f->ask.wait.st = TROUPE_OK;
    else
        log_unread(f);
    trp_msg_drop(future_end(f));
}

void trp_futures_leave(troupe_self *self) {
    while (self->futures) {
        troupe_future *f = self->futures;
        troupe_future_free(&f);
    }
}
