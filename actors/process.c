/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Processes. Here, in the system, such an actor is a proxy, woken like any actor. What there is to do then depends:
 *
 *     mail alone: whoever wakes it moves the messages into the ring to the body, on its own thread (deliver)
 *     anything else: the steward runs it, in this order, and parks it: attach the channel of a new life; read what the body
 *     says and answer its calls that are done; kill, if that has been asked for; end the life whose end has been reported; mail
 *
 * The word of waking (actor.h) sees to it that it is run by one thread at a time.
 *
 * A message leaves when the body has room for it (the window) and is kept here, lent, until the body notes that it has
 * received it: it counts against the mailbox as long, and goes back to its front if the process dies before. With
 * TROUPE_DROP_OLDEST it is given away: the oldest of all is dropped over there. */
#include "actors/process.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actors/system.h"
#include "transports/alloc.h"
#include "transports/assert.h"
#include "transports/log.h"

enum { PENDING_MOST = 256 * 1024 };

/* --- one life --- */

static const struct trp_channel_handler channel_handler;

/* The near ends of a new channel in p; *far is the body's. */
static troupe_status make_channel(struct trp_proxy *p, int *far) {
    int fds[2], memory;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return TROUPE_SYSTEM;
    troupe_status st = trp_shared_new(&p->shared, &memory);
    if (st == TROUPE_OK) {
        st = trp_shared_send(fds[0], memory);
        close(memory);
    }
    if (st != TROUPE_OK) {
        close(fds[0]);
        close(fds[1]);
        trp_shared_unmap(&p->shared);
        return st;
    }
    p->fd = fds[0];
    *far = fds[1];
    return TROUPE_OK;
}

static void drop_channel(struct trp_proxy *p) {
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    trp_shared_unmap(&p->shared);
}

/* All is set before the order is sent: the report of the life's end may be there before this returns. */
static troupe_status fork_life(struct trp_proxy *p) {
    struct trp_actor *a = p->actor;
    int far;
    troupe_status st = make_channel(p, &far);
    if (st != TROUPE_OK)
        return st;
    p->life++;
    p->pid = 0;
    p->alive = true;
    p->kill_sent = p->close_sent = p->wants = false;
    atomic_store_explicit(&p->blocked, false, memory_order_relaxed);
    p->taken = p->accepted = 0;
    p->given = trp_exit_normal();
    p->watch.overdue = false;
    p->mark = TRP_MARK_NONE;
    atomic_store(&p->over, false);
    st = trp_nursery_fork(&a->sys->nursery, trp_actor_id(a), p->life, a->birth, far);
    close(far);
    if (st != TROUPE_OK) {
        p->alive = false;
        drop_channel(p);
    }
    return st;
}

static void attach(struct trp_proxy *p) {
    struct trp_channel *ch = NULL;
    int fd = p->fd;
    if (fd < 0)
        return;
    p->fd = -1;
    if (trp_channel_new(&ch, &p->actor->worker->loop, fd, p->shared, TRP_SIDE_SYSTEM, &channel_handler, p) != TROUPE_OK)
        trp_nursery_kill(&p->actor->sys->nursery, trp_actor_id(p->actor), p->life);
    p->shared = (struct trp_shared){0};
    pthread_mutex_lock(&p->up);
    pthread_mutex_lock(&p->down);
    p->channel = ch;
    pthread_mutex_unlock(&p->down);
    pthread_mutex_unlock(&p->up);
    trp_overdue_begin(p);
}

/* It broke the rules of the channel, or we have no memory for it: it is ended, and that is what will be reported. */
static void put_down(struct trp_proxy *p, const char *why) {
    trp_log(TROUPE_LOG_ERROR, "actor.channel", "%s (pid %d): %s", p->actor->birth->name, (int)p->pid, why);
    trp_nursery_kill(&p->actor->sys->nursery, trp_actor_id(p->actor), p->life);
}

/* --- messages to the body; under `down` --- */

static size_t window(const struct trp_proxy *p) {
    size_t most = p->actor->birth->mailbox;
    return most < TRP_WINDOW ? most : TRP_WINDOW;
}

static bool drops(const struct trp_proxy *p) {
    return p->actor->birth->overflow == TROUPE_DROP_OLDEST;
}

static bool window_open(const struct trp_proxy *p) {
    if (trp_channel_pending(p->channel) > PENDING_MOST)
        return false;
    return drops(p) || p->count == 0 || (p->count < window(p) && p->bytes < TRP_WINDOW_BYTES);
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
    while (trp_mailbox_looks(&p->actor->mailbox, TRP_LOOK_NOTES) && (note = trp_actor_take_note(p->actor)))
        move_note(p, note);
}

static void lent_add(struct trp_proxy *p, struct troupe_msg *m) {
    m->next = NULL;
    *p->tail = m;
    p->tail = &m->next;
    p->count++;
    p->bytes += m->size;
}

static struct troupe_msg *lent_take(struct trp_proxy *p) {
    struct troupe_msg *m = p->lent;
    p->lent = m->next;
    if (!p->lent)
        p->tail = &p->lent;
    p->count--;
    p->bytes -= m->size;
    m->next = NULL;
    return m;
}

/* Given away: a question is in its hand, the rest is forgotten. */
static void give(struct trp_proxy *p, struct troupe_msg *m) {
    if (m->ask)
        hand_add(p, m);
    else
        trp_msg_drop(m);
}

static void move_message(struct trp_proxy *p, struct troupe_msg *m) {
    if (trp_is_note(m)) {
        move_note(p, m);
        return;
    }
    struct trp_frame f = {.type = TRP_FRAME_MSG, .ref = m->from, .number = m->ask, .op = m->topic.n};
    struct trp_slice body = m->payload;
    if (m->topic.n > 0) /* a published one has nothing between them but the zero byte */
        body = (struct trp_slice){m->topic.p, (size_t)(m->payload.p + m->payload.n - m->topic.p)};
    if (trp_channel_put(p->channel, f, body) != TROUPE_OK)
        put_down(p, "no memory for a message to it");
    if (drops(p))
        give(p, m);
    else
        lent_add(p, m);
}

static troupe_status next_message(struct trp_proxy *p, struct troupe_msg **out) {
    return drops(p) ? trp_actor_take(p->actor, true, out) : trp_actor_lend(p->actor, out);
}

/* False: the window is closed. */
static bool move_messages(struct trp_proxy *p) {
    struct troupe_msg *m;
    troupe_status st = TROUPE_OK;
    move_notes(p);
    while (window_open(p) && (st = next_message(p, &m)) == TROUPE_OK)
        move_message(p, m);
    move_notes(p); /* those that had to wait for messages */
    if (st == TROUPE_CLOSED && !p->close_sent)
        /* No memory: it will not know, and has to be killed when the patience of whoever closes it ends. */
        p->close_sent =
            trp_channel_put(p->channel, (struct trp_frame){.type = TRP_FRAME_CLOSE}, (struct trp_slice){0}) == TROUPE_OK;
    return st != TROUPE_OK;
}

/* --- what the body has received --- */

struct settled {
    size_t count, bytes;
};

/* Under `down`. False: it claims what can't be. */
static bool take_back(struct trp_proxy *p, struct settled *s) {
    /* Acquire: a message that has been received is not looked at over there any more. */
    uint64_t taken = atomic_load_explicit(&trp_channel_words(p->channel)->taken, memory_order_acquire);
    if (taken - p->taken > p->count)
        return false;
    for (; p->taken < taken; p->taken++) {
        struct troupe_msg *m = lent_take(p);
        s->count++;
        s->bytes += m->size;
        give(p, m);
    }
    return true;
}

/* Under `down`. The body shall tell when it has received more: sequentially consistent, before the look at what it has taken;
 * over there it is the other way round. */
static void set_want(struct trp_proxy *p) {
    p->wants = true;
    atomic_store(&trp_channel_words(p->channel)->want, p->taken + 1 + window(p) / 2);
    /* Relaxed: a hint. */
    atomic_store_explicit(&p->blocked, true, memory_order_relaxed);
}

/* Under `down`. False: it claims what can't be. */
static bool settle_down(struct trp_proxy *p, bool wants, struct settled *s) {
    size_t before;
    if (!p->channel || drops(p))
        return true;
    if (!wants && atomic_load(&trp_channel_words(p->channel)->want) == 0) {
        p->wants = false;
        atomic_store_explicit(&p->blocked, trp_channel_pending(p->channel) > 0, memory_order_relaxed);
    }
    do {
        before = s->count;
        if (wants)
            set_want(p);
        if (!take_back(p, s))
            return false;
    } while (wants && s->count > before);
    return true;
}

/* `wants`: when it receives more than it has, it shall tell. True: there is room. */
static bool settle(struct trp_proxy *p, bool wants) {
    struct settled s = {0};
    pthread_mutex_lock(&p->down);
    bool sane = settle_down(p, wants, &s);
    pthread_mutex_unlock(&p->down);
    if (!sane)
        put_down(p, "it has received more than it was sent");
    if (s.count == 0)
        return false;
    sane = trp_actor_settle(p->actor, s.count, s.bytes);
    trp_assert(sane);
    trp_actor_unpark(p->actor); /* who stood in line has come in, and there is room for it over there */
    return true;
}

void trp_process_settle(struct trp_actor *a) {
    if (a->backend == &trp_process_backend)
        (void)settle(a->run, true);
}

/* To look at what it has received costs a miss of the cache: only when it may matter. */
static bool settling_pays(struct trp_proxy *p) {
    return p->count >= (window(p) + 1) / 2 || p->bytes >= TRP_WINDOW_BYTES / 2;
}

void trp_proxy_flush(struct trp_proxy *p) {
    trp_channel_flush(p->channel);
    if (trp_channel_pending(p->channel) > 0)
        atomic_store_explicit(&p->blocked, true, memory_order_relaxed);
}

/* False: the window is closed. */
static bool deliver_once(struct trp_proxy *p) {
    pthread_mutex_lock(&p->down);
    bool open = move_messages(p), pays = settling_pays(p);
    trp_proxy_flush(p);
    pthread_mutex_unlock(&p->down);
    if (open && pays)
        (void)settle(p, false);
    return open;
}

static void deliver(struct trp_proxy *p) {
    while (!deliver_once(p) && settle(p, true))
        ;
}

/* The body may have made room for those who wait. */
static void settle_line(struct trp_proxy *p) {
    (void)settle(p, false);
    if (trp_actor_has_line(p->actor))
        (void)settle(p, true);
}

/* --- frames of the body; under `up` --- */

/* Off the hand. NULL: the question is not at the body. Mostly there are few; the oldest is the last. */
static struct troupe_msg *question(struct trp_proxy *p, uint64_t from, uint64_t number) {
    struct troupe_msg *m;
    pthread_mutex_lock(&p->down);
    for (m = p->hand; m; m = m->next) {
        if (m->from == from && m->ask == number) {
            hand_remove(m);
            break;
        }
    }
    pthread_mutex_unlock(&p->down);
    return m;
}

static bool replied(struct trp_proxy *p, const struct trp_frame *f, struct trp_slice body) {
    (void)settle(p, false); /* it had received the question before it answered */
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
    p->frames++;
    switch (f->type) {
    case TRP_FRAME_REPLY:
        return replied(p, f, body);
    case TRP_FRAME_GIVEN:
        return given(p, f, body);
    default:
        return trp_far_call(p, f, body);
    }
}

/* The other end is closed: its process has ended or is about to, and the nursery will tell how. One that makes no sense is
 * helped. */
static void on_broken(void *user) {
    struct trp_proxy *p = user;
    trp_nursery_kill(&p->actor->sys->nursery, trp_actor_id(p->actor), p->life);
}

static void on_rung(void *user) {
    struct trp_proxy *p = user;
    atomic_store(&p->rung, true);
    trp_actor_unpark(p->actor);
}

/* The body is to wake the steward from now on. False: there is something to be read first. */
static bool rest(struct trp_proxy *p) {
    /* Somebody sleeps on the word: then it is for him. */
    return trp_channel_sleeps(p->channel) == TRP_SLEEP_FUTEX || trp_channel_sleep(p->channel, TRP_SLEEP_SOCKET);
}

/* All that the body has to say. */
static void listen_to(struct trp_proxy *p) {
    bool more = false;
    pthread_mutex_lock(&p->up);
    trp_far_finish(p);
    if (p->channel) {
        trp_channel_read(p->channel);
        more = !p->streams && !rest(p);
    }
    pthread_mutex_unlock(&p->up);
    if (more)
        on_rung(p); /* after the others have had their turn */
}

/* --- a thread that listens to the body itself --- */

/* While a thread reads a stream, the body wakes nobody, so that it costs no system call: the thread looks again as soon as it
 * has handled what it has read. Should that take longer than a tick, the steward listens again. */
enum { TICK_MS = 1, STREAM = 16 };

static void on_tick(struct trp_timer *t) {
    struct trp_proxy *p = (struct trp_proxy *)((char *)t - offsetof(struct trp_proxy, tick));
    pthread_mutex_lock(&p->up);
    p->streams = p->looked;
    p->looked = false;
    pthread_mutex_unlock(&p->up);
    on_rung(p);
}

static void tick(struct trp_proxy *p) {
    pthread_mutex_lock(&p->up);
    bool streams = p->streams;
    pthread_mutex_unlock(&p->up);
    if (streams && !trp_timer_runs(&p->tick))
        trp_timer_start(&p->actor->worker->timers, &p->tick, trp_deadline(TICK_MS));
}

static void unblock(struct trp_proxy *p) {
    if (!atomic_load_explicit(&p->blocked, memory_order_relaxed))
        return;
    settle_line(p);
    trp_actor_unpark(p->actor);
}

struct trp_channel *trp_process_hear(struct trp_proxy *p) {
    struct trp_channel *ch = NULL;
    pthread_mutex_lock(&p->up);
    if (p->channel) {
        ch = trp_channel_ref(p->channel);
        p->heard = p->frames;
        p->looked = true;
        trp_channel_awake(ch);
        trp_channel_read(ch);
    }
    pthread_mutex_unlock(&p->up);
    if (ch)
        unblock(p);
    return ch;
}

/* Has the body done what it was asked to tell of: received more, or made room in the ring? Sequentially consistent, after it
 * has been said how this side sleeps. */
static bool has_told(struct trp_proxy *p) {
    pthread_mutex_lock(&p->down);
    bool told =
        p->channel && ((p->wants && atomic_load(&trp_channel_words(p->channel)->want) == 0) || trp_channel_roomy(p->channel));
    pthread_mutex_unlock(&p->down);
    return told;
}

bool trp_process_doze(struct trp_proxy *p, struct trp_channel *ch) {
    pthread_mutex_lock(&p->up);
    bool dozes = p->channel == ch && trp_channel_sleep(ch, TRP_SLEEP_FUTEX);
    if (dozes && has_told(p)) {
        trp_channel_awake(ch);
        dozes = false;
    }
    pthread_mutex_unlock(&p->up);
    return dozes;
}

/* True: the steward has to know. Under `up`. */
static bool leave(struct trp_proxy *p) {
    trp_channel_awake(p->channel);
    trp_channel_read(p->channel);
    if (p->streams)
        return false;
    p->streams = p->frames - p->heard >= STREAM;
    p->looked = true;
    return p->streams || !rest(p);
}

void trp_process_leave(struct trp_proxy *p, struct trp_channel *ch) {
    pthread_mutex_lock(&p->up);
    bool tells = p->channel == ch && leave(p);
    pthread_mutex_unlock(&p->up);
    trp_channel_unref(ch);
    if (tells)
        on_rung(p);
    unblock(p);
}

static const struct trp_channel_handler channel_handler = {.frame = on_frame, .broken = on_broken, .rung = on_rung};

/* --- reports of the nursery --- */

static struct trp_proxy *proxy_of(struct trp_actor *a) {
    return a->backend == &trp_process_backend ? a->run : NULL;
}

static void end_reported(struct trp_proxy *p, troupe_exit exit) {
    if (atomic_load(&p->over))
        return;
    p->exit = exit;
    atomic_store(&p->over, true);
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

/* What it had received dies with it, what it had not goes back. */
static void return_lent(struct trp_proxy *p) {
    (void)settle(p, false);
    trp_actor_return(p->actor, p->lent, p->tail, p->count, p->bytes);
    p->lent = NULL;
    p->tail = &p->lent;
    p->count = p->bytes = 0;
    while (p->hand) {
        struct troupe_msg *m = p->hand;
        hand_remove(m);
        (void)trp_messages_bury(m, TROUPE_DIED);
    }
}

/* What the last life leaves behind. Nobody else delivers meanwhile: this runs the actor. */
static void clear_away(struct trp_proxy *p) {
    pthread_mutex_lock(&p->up);
    trp_overdue_end(p);
    p->epitaph[0] = 0;
    if (p->channel) {
        trp_channel_read(p->channel); /* its last words: they were written before it died */
        p->mark = atomic_load(&trp_channel_words(p->channel)->mark);
        memcpy(p->epitaph, trp_channel_words(p->channel)->epitaph, sizeof p->epitaph - 1); /* its process is gone */
    }
    return_lent(p);
    pthread_mutex_lock(&p->down);
    trp_channel_close(&p->channel);
    pthread_mutex_unlock(&p->down);
    trp_far_abandon(p);
    p->streams = false;
    pthread_mutex_unlock(&p->up);
    trp_timer_stop(&p->actor->worker->timers, &p->tick);
    drop_channel(p);
    p->alive = false;
}

static enum trp_ran end(struct trp_proxy *p) {
    trp_timer_stop(&p->actor->worker->timers, &p->restart);
    trp_actor_end(p->actor, &p->exit);
    return TRP_RAN_GONE;
}

/* Why it broke down, where that is known. */
static void explain(struct trp_proxy *p) {
    char hint[40];
    if (p->watch.overdue) {
        snprintf(hint, sizeof hint, "deadline of %lld ms", (long long)p->actor->birth->deadline_ms);
        trp_exit_hint(&p->exit, hint);
    } else if (p->mark == TRP_MARK_MEMORY) {
        trp_exit_hint(&p->exit, "memory limit");
    } else if (p->exit.code == SIGXCPU && p->actor->birth->limits.cpu_seconds) {
        trp_exit_hint(&p->exit, "CPU limit");
    }
    trp_log(TROUPE_LOG_DEBUG, "actor.broke_down", "%s (pid %d): %s", p->actor->birth->name, (int)p->pid, p->exit.text);
}

static enum trp_ran begin_life(struct trp_proxy *p);

static enum trp_ran life_over(struct trp_proxy *p) {
    struct trp_actor *a = p->actor;
    int64_t ms;
    clear_away(p);
    trp_epitaph_say(&a->worker->bus, p->epitaph, &p->exit);
    if (trp_actor_killed(a))
        p->exit = trp_exit_killed();
    else if (p->exit.how == TROUPE_END_NORMAL)
        p->exit = p->given;
    else if (p->exit.how == TROUPE_END_SIGNAL || p->mark == TRP_MARK_MEMORY)
        explain(p);
    if (p->mark == TRP_MARK_RECYCLE && p->exit.how == TROUPE_END_NORMAL && trp_actor_recycle(a))
        return begin_life(p);
    if (!trp_actor_leave(a, &p->exit, &ms))
        return end(p);
    trp_timer_start(&a->worker->timers, &p->restart, trp_deadline(ms));
    return TRP_RAN_PARKED;
}

/* Between two lives. */
static enum trp_ran try_again(struct trp_proxy *p) {
    if (trp_actor_is_closing(p->actor))
        return end(p);
    return trp_timer_runs(&p->restart) ? TRP_RAN_PARKED : begin_life(p);
}

static enum trp_ran begin_life(struct trp_proxy *p) {
    if (!trp_actor_enter(p->actor))
        return end(p);
    troupe_status st = fork_life(p);
    if (st == TROUPE_OK)
        return TRP_RAN_YIELDED; /* to attach it */
    p->exit = trp_exit_unborn(troupe_status_text(st));
    if (st == TROUPE_NO_NURSERY)
        (void)(trp_actor_close(p->actor) == TROUPE_OK); /* there is no use in trying again */
    return life_over(p);
}

static enum trp_ran process_run(struct trp_actor *a) {
    struct trp_proxy *p = a->run;
    if (!p->alive)
        return try_again(p);
    attach(p);
    atomic_store(&p->rung, false);
    listen_to(p);
    if (atomic_load(&p->over))
        return life_over(p);
    if (trp_actor_killed(a)) {
        if (!p->kill_sent)
            trp_nursery_kill(&a->sys->nursery, trp_actor_id(a), p->life);
        p->kill_sent = true;
        return TRP_RAN_PARKED;
    }
    if (p->channel) {
        if (atomic_load_explicit(&p->blocked, memory_order_relaxed))
            settle_line(p);
        deliver(p);
    }
    tick(p);
    return TRP_RAN_PARKED;
}

/* Is mail all there can be to see to? Whoever brings anything else notes it before it wakes the actor. */
static bool has_mail_alone(struct trp_proxy *p) {
    struct trp_actor *a = p->actor;
    return p->alive && p->channel && !atomic_load(&p->over) && !atomic_load(&p->rung) && !trp_actor_killed(a) &&
           !atomic_load(&a->finished);
}

/* --- the backend --- */

static void process_free(struct trp_actor *a) {
    struct trp_proxy *p = a->run;
    if (!p)
        return;
    drop_channel(p);
    pthread_mutex_destroy(&p->down);
    pthread_mutex_destroy(&p->up);
    trp_free(p);
}

static troupe_status process_start(struct trp_actor *a) {
    struct trp_proxy *p = trp_calloc(1, sizeof *p);
    if (!p)
        return TROUPE_NO_MEMORY;
    p->actor = a;
    p->fd = -1;
    p->tail = &p->lent;
    pthread_mutex_init(&p->down, NULL);
    pthread_mutex_init(&p->up, NULL);
    p->restart.fire = on_restart;
    p->tick.fire = on_tick;
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

/* On the thread of whoever has woken it, if there is nothing to do but to deliver: then a message costs no thread in between.
 */
static void process_resume(struct trp_actor *a) {
    unsigned awake;
    do {
        /* Acquire pairs with the release in trp_actor_unpark: what it was woken for can be seen. */
        atomic_exchange_explicit(&a->wake, TRP_AWAKE, memory_order_acquire);
        if (!has_mail_alone(a->run)) {
            /* Relaxed: the push publishes it. */
            atomic_store_explicit(&a->wake, TRP_NOTIFIED, memory_order_relaxed);
            trp_worker_push(a->worker, a);
            return;
        }
        deliver(a->run);
        awake = TRP_AWAKE;
        /* Release pairs with the acquire in trp_actor_unpark: all that was done here comes before its next run. */
    } while (
        !atomic_compare_exchange_strong_explicit(&a->wake, &awake, TRP_PARKED, memory_order_release, memory_order_relaxed));
}

static void process_measure(struct trp_actor *a, struct trp_measure *out) {
    out->pid = ((struct trp_proxy *)a->run)->pid;
}

const struct trp_backend trp_process_backend = {
    .kind = TROUPE_PROCESS,
    .start = process_start,
    .resume = process_resume,
    .run = process_run,
    .measure = process_measure,
    .free = process_free,
};
