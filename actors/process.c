/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Processes. Here, in the system, such an actor is a proxy on the steward's worker: woken like any actor, it does what
 * there is to do, in this order, and parks.
 *
 *     attach the channel of a new life; answer the body's calls that are done; kill, if that has been asked for;
 *     end the life whose end has been reported; move messages from the mailbox to the channel; write
 *
 * So all that happens to a proxy happens in process_run or in a handler of its channel, on one thread, and its end
 * only in process_run.
 *
 * A message leaves when the body has room for it (the window) and counts against the mailbox until the body has
 * received it. With TROUPE_DROP_OLDEST it does not: the oldest of all is dropped over there. */
#include "actors/process.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actors/system.h"
#include "transports/alloc.h"
#include "transports/log.h"

enum { PENDING_MOST = 256 * 1024 };

/* --- one life --- */

static const struct trp_channel_handler channel_handler;

/* All is set before the order is sent: the report of the life's end may be there before this returns. */
static troupe_status fork_life(struct trp_proxy *p) {
    struct trp_actor *a = p->actor;
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return TROUPE_SYSTEM;
    p->life++;
    p->fd = fds[0];
    p->pid = 0;
    p->alive = true;
    p->over = p->kill_sent = p->close_sent = false;
    p->given = trp_exit_normal();
    troupe_status st = trp_nursery_fork(&a->sys->nursery, trp_actor_id(a), p->life, a->birth, fds[1]);
    close(fds[1]);
    if (st != TROUPE_OK) {
        p->alive = false;
        p->fd = -1;
        close(fds[0]);
    }
    return st;
}

static void attach(struct trp_proxy *p) {
    int fd = p->fd;
    if (fd < 0)
        return;
    p->fd = -1;
    if (trp_channel_new(&p->channel, &p->actor->worker->loop, fd, &channel_handler, p) != TROUPE_OK)
        trp_nursery_kill(&p->actor->sys->nursery, trp_actor_id(p->actor), p->life);
}

/* It broke the rules of the channel, or we have no memory for it: it is ended, and that is what will be reported. */
static void put_down(struct trp_proxy *p, const char *why) {
    trp_log(TROUPE_LOG_ERROR, "actor.channel", "%s (pid %d): %s", p->actor->birth->name, (int)p->pid, why);
    trp_nursery_kill(&p->actor->sys->nursery, trp_actor_id(p->actor), p->life);
}

/* --- messages --- */

static bool window_open(const struct trp_proxy *p) {
    if (!p->channel || trp_channel_pending(p->channel) > PENDING_MOST)
        return false;
    if (p->actor->birth->overflow == TROUPE_DROP_OLDEST)
        return true;
    return p->count < TRP_WINDOW && (p->count == 0 || p->bytes < TRP_WINDOW_BYTES);
}

static troupe_status next_message(struct trp_proxy *p, struct troupe_msg **out) {
    if (p->actor->birth->overflow == TROUPE_DROP_OLDEST)
        return trp_actor_take(p->actor, true, out);
    troupe_status st = trp_actor_lend(p->actor, out);
    if (st == TROUPE_OK) {
        p->sizes[(p->first + p->count++) % TRP_WINDOW] = (*out)->size;
        p->bytes += (*out)->size;
    }
    return st;
}

static void hand_add(struct trp_proxy *p, struct troupe_msg *m) {
    m->next = p->hand;
    m->link = &p->hand;
    if (m->next)
        m->next->link = &m->next;
    p->hand = m;
}

static void hand_remove(struct troupe_msg *m) {
    *m->link = m->next;
    if (m->next)
        m->next->link = m->link;
    m->next = NULL;
    m->link = NULL;
}

static void move_note(struct trp_proxy *p, struct troupe_msg *note) {
    troupe_down down;
    trp_note_read(note, &down);
    struct trp_frame f = {.type = TRP_FRAME_NOTE, .ref = note->from, .number = note->kind};
    if (trp_channel_put(p->channel, f, (struct trp_slice){(const uint8_t *)&down, sizeof down}) != TROUPE_OK)
        put_down(p, "no memory for a note to it");
    trp_msg_drop(note);
}

/* They need no window: there are no more of them than monitors and links. */
static void move_notes(struct trp_proxy *p) {
    struct troupe_msg *note;
    while ((note = trp_actor_take_note(p->actor)))
        move_note(p, note);
}

static void move_message(struct trp_proxy *p, struct troupe_msg *m) {
    if (trp_is_note(m)) {
        move_note(p, m);
        return;
    }
    struct trp_frame f = {.type = TRP_FRAME_MSG, .ref = m->from, .number = m->ask};
    if (trp_channel_put(p->channel, f, m->payload) != TROUPE_OK)
        put_down(p, "no memory for a message to it");
    if (m->ask)
        hand_add(p, m);
    else
        trp_msg_drop(m);
}

static void move_messages(struct trp_proxy *p) {
    struct troupe_msg *m;
    troupe_status st = TROUPE_OK;
    move_notes(p);
    while (st == TROUPE_OK && window_open(p)) {
        st = next_message(p, &m);
        if (st == TROUPE_OK)
            move_message(p, m);
    }
    move_notes(p); /* those that had to wait for messages */
    if (st == TROUPE_CLOSED && !p->close_sent)
        /* No memory: it will not know, and has to be killed when the patience of whoever closes it ends. */
        p->close_sent =
            trp_channel_put(p->channel, (struct trp_frame){.type = TRP_FRAME_CLOSE}, (struct trp_slice){0}) == TROUPE_OK;
}

/* --- frames of the body --- */

static bool taken(struct trp_proxy *p, uint64_t count) {
    size_t bytes = 0;
    if (p->actor->birth->overflow == TROUPE_DROP_OLDEST)
        return true;
    if (count > p->count)
        return false;
    for (uint64_t i = 0; i < count; i++)
        bytes += p->sizes[(p->first + i) % TRP_WINDOW];
    p->first = (p->first + (size_t)count) % TRP_WINDOW;
    p->count -= (size_t)count;
    p->bytes -= bytes;
    return trp_actor_settle(p->actor, (size_t)count, bytes);
}

/* NULL: the question is not at the body. Mostly there are few; the oldest is the last. */
static struct troupe_msg *question(struct trp_proxy *p, uint64_t from, uint64_t number) {
    for (struct troupe_msg *m = p->hand; m; m = m->next) {
        if (m->from == from && m->ask == number)
            return m;
    }
    return NULL;
}

static bool replied(struct trp_proxy *p, const struct trp_frame *f, struct trp_slice body) {
    struct troupe_msg *q = question(p, f->ref, f->number), *answer = NULL;
    if (!q)
        return true; /* dropped on the way by the mailbox over there, or answered twice by a body that is confused */
    troupe_status st = (troupe_status)f->status;
    if (st == TROUPE_OK) {
        answer = trp_msg_from_wire(&(struct trp_message){.payload = body});
        st = answer ? TROUPE_OK : TROUPE_NO_MEMORY;
    }
    if (answer) {
        answer->from = trp_actor_id(p->actor);
        memcpy(answer->error, f->error, sizeof answer->error);
    }
    /* NOT_FOUND: the asker waits no more. */
    (void)(trp_question_answer(q, st, &answer) == TROUPE_OK);
    trp_msg_drop(answer);
    hand_remove(q);
    (void)trp_messages_bury(q, TROUPE_OK);
    return true;
}

static bool given(struct trp_proxy *p, const struct trp_frame *f, struct trp_slice text) {
    char s[sizeof p->given.text];
    size_t n = text.n < sizeof s ? text.n : sizeof s - 1;
    memcpy(s, text.p, n);
    s[n] = 0;
    p->given = trp_exit_given((int)f->number, s);
    return true;
}

static bool on_frame(void *user, const struct trp_frame *f, struct trp_slice body) {
    struct trp_proxy *p = user;
    bool ok;
    switch (f->type) {
    case TRP_FRAME_TAKEN:
        ok = taken(p, f->number);
        break;
    case TRP_FRAME_REPLY:
        ok = replied(p, f, body);
        break;
    case TRP_FRAME_GIVEN:
        ok = given(p, f, body);
        break;
    default:
        ok = trp_far_call(p, f, body);
    }
    trp_actor_unpark(p->actor); /* to move what there is room for now, and to write the results */
    return ok;
}

/* The other end is closed: its process has ended or is about to, and the nursery will tell how. One that makes no sense is
 * helped. */
static void on_broken(void *user) {
    struct trp_proxy *p = user;
    if (p->alive && !p->over)
        trp_nursery_kill(&p->actor->sys->nursery, trp_actor_id(p->actor), p->life);
}

static void on_drained(void *user) {
    struct trp_proxy *p = user;
    trp_actor_unpark(p->actor);
}

static const struct trp_channel_handler channel_handler = {.frame = on_frame, .broken = on_broken, .drained = on_drained};

/* --- reports of the nursery --- */

static struct trp_proxy *proxy_of(struct trp_actor *a) {
    return a->backend == &trp_process_backend ? a->run : NULL;
}

static void end_reported(struct trp_proxy *p, troupe_exit exit) {
    if (!p->alive || p->over)
        return;
    p->exit = exit;
    p->over = true;
    trp_actor_unpark(p->actor);
}

static void report(struct trp_proxy *p, const struct trp_report *r) {
    switch ((enum trp_report_what)r->what) {
    case TRP_REPORT_FORKED:
        p->pid = r->value;
        trp_log(TROUPE_LOG_DEBUG, "actor.forked", "%s: pid %d", p->actor->birth->name, (int)p->pid);
        break;
    case TRP_REPORT_FAILED:
        end_reported(p, trp_exit_unborn(strerror(r->value)));
        break;
    case TRP_REPORT_ENDED:
        end_reported(p, trp_exit_status(r->value));
        break;
    }
}

void trp_process_report(troupe_system *sys, const struct trp_report *r) {
    struct trp_actor *a = trp_registry_get(&sys->registry, r->id);
    struct trp_proxy *p = a ? proxy_of(a) : NULL;
    if (p && p->life == r->life)
        report(p, r);
    if (a)
        trp_actor_unref(a);
}

static void nursery_gone(struct trp_actor *a, void *ctx) {
    struct trp_proxy *p = proxy_of(a);
    (void)ctx;
    if (p)
        end_reported(p, trp_exit_status(SIGKILL)); /* a wait status that is a bare number is a signal's */
}

void trp_process_nursery_gone(troupe_system *sys) {
    trp_registry_each(&sys->registry, nursery_gone, NULL);
}

/* --- from life to life --- */

static void on_restart(struct trp_timer *t) {
    struct trp_proxy *p = (struct trp_proxy *)((char *)t - offsetof(struct trp_proxy, restart));
    trp_actor_unpark(p->actor);
}

/* What the last life leaves behind. */
static void clear_away(struct trp_proxy *p) {
    if (p->channel)
        trp_channel_read(p->channel); /* its last words: they were written before it died */
    trp_channel_close(&p->channel);
    trp_far_abandon(p);
    while (p->hand) {
        struct troupe_msg *m = p->hand;
        hand_remove(m);
        (void)trp_messages_bury(m, TROUPE_DIED);
    }
    p->first = p->count = p->bytes = 0;
    trp_actor_forget_lent(p->actor);
    p->alive = p->over = false;
}

static enum trp_ran end(struct trp_proxy *p) {
    trp_timer_stop(&p->actor->worker->timers, &p->restart);
    trp_actor_end(p->actor, &p->exit);
    return TRP_RAN_GONE;
}

static enum trp_ran life_over(struct trp_proxy *p) {
    struct trp_actor *a = p->actor;
    int64_t ms;
    clear_away(p);
    if (trp_actor_killed(a))
        p->exit = trp_exit_killed();
    else if (p->exit.how == TROUPE_END_NORMAL)
        p->exit = p->given;
    if (!trp_actor_leave(a, &p->exit, &ms))
        return end(p);
    trp_timer_start(&a->worker->timers, &p->restart, trp_deadline(ms));
    return TRP_RAN_PARKED;
}

/* Between two lives. */
static enum trp_ran try_again(struct trp_proxy *p) {
    struct trp_actor *a = p->actor;
    if (!trp_actor_is_closing(a)) {
        if (trp_timer_runs(&p->restart))
            return TRP_RAN_PARKED;
        if (trp_actor_enter(a)) {
            troupe_status st = fork_life(p);
            if (st == TROUPE_OK)
                return TRP_RAN_YIELDED; /* to attach it */
            p->exit = trp_exit_unborn(troupe_status_text(st));
            if (st == TROUPE_NO_NURSERY)
                (void)(trp_actor_close(a) == TROUPE_OK); /* there is no use in trying again */
            return life_over(p);
        }
    }
    return end(p);
}

static enum trp_ran process_run(struct trp_actor *a) {
    struct trp_proxy *p = a->run;
    if (!p->alive)
        return try_again(p);
    attach(p);
    trp_far_finish(p);
    if (p->over)
        return life_over(p);
    if (trp_actor_killed(a)) {
        if (!p->kill_sent)
            trp_nursery_kill(&a->sys->nursery, trp_actor_id(a), p->life);
        p->kill_sent = true;
        return TRP_RAN_PARKED;
    }
    if (p->channel) {
        move_messages(p);
        trp_channel_flush(p->channel);
    }
    return TRP_RAN_PARKED;
}

/* --- the backend --- */

static void process_free(struct trp_actor *a) {
    struct trp_proxy *p = a->run;
    if (!p)
        return;
    if (p->fd >= 0)
        close(p->fd);
    trp_free(p);
}

static troupe_status process_start(struct trp_actor *a) {
    struct trp_proxy *p = trp_calloc(1, sizeof *p);
    if (!p)
        return TROUPE_NO_MEMORY;
    p->actor = a;
    p->fd = -1;
    p->restart.fire = on_restart;
    p->exit = trp_exit_killed();
    a->run = p;
    troupe_status st = trp_system_steward(a->sys, &a->worker);
    if (st != TROUPE_OK)
        return st;
    /* False: the system is closing, and has found it already. */
    if (trp_actor_enter(a))
        st = fork_life(p);
    if (st != TROUPE_OK)
        return st;
    /* Relaxed: the push publishes it. */
    atomic_store_explicit(&a->wake, TRP_NOTIFIED, memory_order_relaxed);
    trp_worker_push(a->worker, a);
    return TROUPE_OK;
}

static void process_resume(struct trp_actor *a) {
    trp_worker_push(a->worker, a);
}

const struct trp_backend trp_process_backend = {
    .kind = TROUPE_PROCESS,
    .start = process_start,
    .resume = process_resume,
    .run = process_run,
    .free = process_free,
};
