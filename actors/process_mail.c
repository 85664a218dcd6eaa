/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Messages to the body of a process actor: from its mailbox into the channel, on the thread of whoever has sent them.
 *
 * A message leaves when the body has room for it (the window) and is kept here, lent, until the body notes that it has
 * received it: it counts against the mailbox as long, and goes back to its front if the process dies before.
 *
 * With TROUPE_DROP_OLDEST the oldest of all is one of those that are lent. Whether it is received or dropped is decided by one
 * word that both sides count up, `taken`: whoever is the first to count it has it, and the body throws away what comes to it
 * and has been counted. There is nothing that such a mailbox could make anybody wait for, so what is lent here and what its
 * mailbox knows of that change together, under `down`. */
#include "actors/process.h"

#include "actors/letters.h"
#include "actors/system.h"
#include "transports/assert.h"
#include "transports/log.h"

enum { PENDING_MOST = 256 * 1024 };

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

static bool window_open(const struct trp_proxy *p) {
    if (trp_channel_pending(p->channel) > PENDING_MOST)
        return false;
    return p->count == 0 || (p->count < window(p) && p->bytes < TRP_WINDOW_BYTES);
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

/* From here on the body may read what its sender puts into their lane. */
static void move_mark(struct trp_proxy *p, struct troupe_msg *m) {
    struct trp_frame f = {.type = TRP_FRAME_STRETCH, .ref = m->from, .number = m->origin.sid, .op = m->origin.token};
    if (trp_channel_put(p->channel, f, (struct trp_slice){0}) != TROUPE_OK)
        put_down(p, "no memory for a mark to it");
    lent_add(p, m);
}

static void move_message(struct trp_proxy *p, struct troupe_msg *m) {
    if (m->kind == TRP_NOTE_STRETCH) {
        move_mark(p, m);
        return;
    }
    if (trp_is_note(m)) {
        move_note(p, m);
        return;
    }
    struct trp_frame f = {.type = TRP_FRAME_MSG, .ref = m->from, .number = m->ask, .op = m->topic.n};
    struct trp_slice topic = {m->topic.p, m->topic.n ? m->topic.n + 1 : 0}; /* with the zero byte */
    if (trp_channel_put_parts(p->channel, f, topic, m->payload) != TROUPE_OK)
        put_down(p, "no memory for a message to it");
    lent_add(p, m);
}

/* False: the window is closed. */
static bool move_messages(struct trp_proxy *p, struct troupe_msg **strays) {
    struct troupe_msg *m;
    troupe_status st = TROUPE_OK;
    move_notes(p);
    while (window_open(p) && (st = trp_actor_lend(p->actor, &m, strays)) == TROUPE_OK)
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

static void take_back_one(struct trp_proxy *p, struct settled *s) {
    struct troupe_msg *m = lent_take(p);
    s->count++;
    s->bytes += m->size;
    give(p, m);
}

/* The body does not count them. */
static void take_back_marks(struct trp_proxy *p, struct settled *s) {
    while (p->lent && p->lent->kind == TRP_NOTE_STRETCH)
        take_back_one(p, s);
}

/* Under `down`. False: it claims what can't be. */
static bool take_back(struct trp_proxy *p, struct settled *s) {
    /* Acquire: a message that has been received is not looked at over there any more. */
    uint64_t taken = atomic_load_explicit(&trp_channel_words(p->channel)->taken, memory_order_acquire);
    if (taken - p->taken > p->count)
        return false;
    take_back_marks(p, s);
    for (; p->taken < taken; p->taken++) {
        if (!p->lent)
            return false;
        take_back_one(p, s);
        take_back_marks(p, s);
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
    if (!p->channel)
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

static void lies(struct trp_proxy *p) {
    put_down(p, "it has received more than it was sent");
}

/* Under `down`: who looks after this thread finds the room that has been made. */
static void make_room(struct trp_proxy *p, const struct settled *s) {
    bool sane = s->count == 0 || trp_actor_settle(p->actor, s->count, s->bytes);
    trp_assert(sane);
}

/* And not under it, since it wakes others: who stood in line comes in, and there is room for it over there. */
static void use_room(struct trp_proxy *p, const struct settled *s) {
    if (s->count == 0)
        return;
    trp_actor_admit(p->actor);
    trp_actor_unpark(p->actor);
}

/* `wants`: when it receives more than it has, it shall tell. True: there is room. */
bool trp_proxy_settle(struct trp_proxy *p, bool wants) {
    struct settled s = {0};
    pthread_mutex_lock(&p->down);
    bool sane = settle_down(p, wants, &s);
    make_room(p, &s);
    pthread_mutex_unlock(&p->down);
    if (!sane)
        lies(p);
    use_room(p, &s);
    return s.count > 0;
}

void trp_process_settle(struct trp_actor *a) {
    struct trp_proxy *p = trp_proxy_of(a);
    if (p)
        (void)trp_proxy_settle(p, true);
}

/* --- the oldest goes --- */

/* Under `down`. False: the body has been the first. */
static bool is_ours(struct trp_proxy *p) {
    uint64_t at = p->taken;
    return !p->channel || atomic_compare_exchange_strong(&trp_channel_words(p->channel)->taken, &at, at + 1);
}

/* Under `down`. The oldest on its way; NULL: there is room, since more has been received, or nothing is on its way. */
static struct troupe_msg *drop_lent(struct trp_proxy *p, struct settled *s, bool *sane) {
    *sane = settle_down(p, false, s);
    if (s->count > 0 || !p->lent)
        return NULL;
    if (*sane && !is_ours(p)) {
        *sane = settle_down(p, false, s);
        if (s->count > 0)
            return NULL;
        *sane = false; /* what it had counted is not there any more */
    }
    /* What a liar says does not matter: it is being killed. */
    struct troupe_msg *m = lent_take(p);
    p->taken++;
    s->count++;
    s->bytes += m->size;
    return m;
}

void trp_process_drop_oldest(struct trp_actor *a) {
    struct trp_proxy *p = trp_proxy_of(a);
    struct settled s = {0};
    bool sane;
    if (!p)
        return;
    pthread_mutex_lock(&p->down);
    struct troupe_msg *m = drop_lent(p, &s, &sane);
    make_room(p, &s);
    pthread_mutex_unlock(&p->down);
    if (!sane)
        lies(p);
    trp_letters_bury(a->sys, a, m, TROUPE_FULL);
    use_room(p, &s);
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
    struct troupe_msg *strays = NULL;
    pthread_mutex_lock(&p->down);
    bool open = move_messages(p, &strays), pays = settling_pays(p);
    trp_proxy_flush(p);
    pthread_mutex_unlock(&p->down);
    trp_letters_bury(p->actor->sys, p->actor, strays, TROUPE_DIED);
    if (open && pays)
        (void)trp_proxy_settle(p, false);
    return open;
}

void trp_proxy_deliver(struct trp_proxy *p) {
    while (!deliver_once(p) && trp_proxy_settle(p, true))
        ;
}

/* The body may have made room for those who wait. */
void trp_proxy_settle_line(struct trp_proxy *p) {
    (void)trp_proxy_settle(p, false);
    if (trp_actor_has_line(p->actor))
        (void)trp_proxy_settle(p, true);
}

/* --- questions at the body, and the end --- */

/* Off the hand. NULL: the question is not at the body. Mostly there are few; the oldest is the last. */
struct troupe_msg *trp_proxy_question(struct trp_proxy *p, uint64_t from, uint64_t number) {
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

/* What it had received dies with it, what it had not goes back, with what had not left here at all: each message that came by a
 * lane finds its place among them. */
static void sort_in(struct trp_proxy *p) {
    struct troupe_msg *m, *strays = NULL;
    while (trp_actor_lend(p->actor, &m, &strays) == TROUPE_OK)
        lent_add(p, m);
    trp_letters_bury(p->actor->sys, p->actor, strays, TROUPE_DIED);
    trp_proxy_lanes_sort(&p->lent);
    p->tail = &p->lent;
    while (*p->tail)
        p->tail = &(*p->tail)->next;
}

void trp_proxy_return_lent(struct trp_proxy *p, bool sorts) {
    if (sorts)
        sort_in(p);
    pthread_mutex_lock(&p->down);
    trp_actor_return(p->actor, p->lent, p->tail, p->count, p->bytes);
    p->lent = NULL;
    p->tail = &p->lent;
    p->count = p->bytes = 0;
    pthread_mutex_unlock(&p->down);
    while (p->hand) {
        struct troupe_msg *m = p->hand;
        hand_remove(m);
        (void)trp_messages_bury(m, TROUPE_DIED);
    }
}
