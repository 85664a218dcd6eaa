/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A listener that has ended leaves its reference in the table; it is found by that when something is told, or when the table is
 * full. */
#include "actors/letters.h"

#include "actors/system.h"
#include "transports/log.h"

/* Its first token is empty, so it is no topic that anybody could publish. */
static const char letter_topic[] = ".dead-letter";

bool trp_is_letter(const struct troupe_msg *m) {
    return trp_slice_eq(m->topic, trp_slice_str(letter_topic));
}

/* --- who listens --- */

/* False: it has been changed meanwhile. */
static bool replace(_Atomic uint64_t *at, uint64_t old, uint64_t new) {
    return atomic_compare_exchange_strong(at, &old, new);
}

static bool has_ended(troupe_system *sys, uint64_t id) {
    struct trp_actor *a = trp_registry_get(&sys->registry, id);
    bool ended = true;
    if (a) {
        pthread_mutex_lock(&a->lock);
        ended = a->life == TRP_ENDED;
        pthread_mutex_unlock(&a->lock);
        trp_actor_unref(a);
    }
    return ended;
}

static _Atomic uint64_t *find(struct trp_letters *l, uint64_t id) {
    for (unsigned i = 0; i < TROUPE_DEAD_LETTER_LISTENERS; i++) {
        if (atomic_load_explicit(&l->listeners[i], memory_order_relaxed) == id)
            return &l->listeners[i];
    }
    return NULL;
}

static troupe_status enlist(troupe_system *sys, uint64_t id) {
    struct trp_letters *l = &sys->letters;
    for (unsigned i = 0; i < TROUPE_DEAD_LETTER_LISTENERS; i++) {
        uint64_t who = atomic_load_explicit(&l->listeners[i], memory_order_relaxed);
        if ((who == 0 || has_ended(sys, who)) && replace(&l->listeners[i], who, id))
            return TROUPE_OK;
    }
    return TROUPE_FULL;
}

static bool somebody_listens(struct trp_letters *l) {
    for (unsigned i = 0; i < TROUPE_DEAD_LETTER_LISTENERS; i++) {
        if (atomic_load(&l->listeners[i]))
            return true;
    }
    return false;
}

/* Processes are told whether it is worth while to say what they lose. Once more, if somebody came or went meanwhile. */
static void tell_processes(troupe_system *sys) {
    bool heed;
    do {
        heed = somebody_listens(&sys->letters);
        trp_standing_heed(&sys->standing, heed);
    } while (heed != somebody_listens(&sys->letters));
}

troupe_status trp_letters_listen(struct trp_actor *a, bool on) {
    uint64_t id = trp_actor_id(a);
    _Atomic uint64_t *at = find(&a->sys->letters, id);
    troupe_status st = on && !at ? enlist(a->sys, id) : TROUPE_OK;
    if (!on && !at)
        return TROUPE_OK;
    if (!on)
        (void)replace(at, id, 0);
    tell_processes(a->sys);
    return st;
}

/* --- telling --- */

/* The zero byte goes along, so that it is a string where it is read. */
static troupe_status put_text(struct trp_buf *b, const char *text, size_t n) {
    return trp_pack_value(b, (troupe_value){.kind = TROUPE_TEXT, .data = text, .size = n + 1});
}

static troupe_status put_letter(struct trp_buf *b, const struct troupe_msg *m, uint64_t number, const char *name,
                                troupe_status why) {
    const troupe_value numbers[] = {troupe_int((int64_t)number), troupe_ref_value((troupe_ref){m->to})};
    uint8_t head[1];
    trp_pack_array(head, 7);
    troupe_status st = trp_buf_put(b, head, sizeof head);
    for (size_t i = 0; st == TROUPE_OK && i < sizeof numbers / sizeof *numbers; i++)
        st = trp_pack_value(b, numbers[i]);
    if (st == TROUPE_OK)
        st = put_text(b, name, strlen(name));
    if (st == TROUPE_OK)
        st = trp_pack_value(b, troupe_int(why));
    if (st == TROUPE_OK)
        st = trp_pack_value(b, troupe_int(m->ask != 0));
    if (st == TROUPE_OK)
        st = put_text(b, troupe_msg_topic(m), m->topic.n);
    return st == TROUPE_OK ? trp_buf_put(b, m->payload.p, m->payload.n) : st;
}

static void tell_one(troupe_system *sys, _Atomic uint64_t *at, const struct trp_message *letter, uint64_t from) {
    uint64_t id = atomic_load_explicit(at, memory_order_relaxed);
    struct trp_actor *a = id ? trp_registry_get(&sys->registry, id) : NULL;
    if (!a) {
        if (id && replace(at, id, 0))
            tell_processes(sys);
        return;
    }
    struct troupe_msg *m = trp_msg_from_wire(letter);
    if (m) {
        m->from = from;
        if (!trp_actor_offer(a, m))
            trp_msg_drop(m);
    }
    trp_actor_unref(a);
}

/* Whom it was for, with a reference; NULL: that one is forgotten. */
static struct trp_actor *addressee(troupe_system *sys, struct trp_actor *to, const struct troupe_msg *m) {
    return to && trp_actor_id(to) == m->to ? trp_actor_ref(to) : trp_registry_get(&sys->registry, m->to);
}

static void tell(troupe_system *sys, struct trp_actor *to, const struct troupe_msg *m, uint64_t number, troupe_status why) {
    struct trp_buf b = {0};
    struct trp_actor *whom = addressee(sys, to, m);
    if (put_letter(&b, m, number, whom ? whom->birth->name : "", why) == TROUPE_OK) {
        struct trp_message letter = {.topic = trp_slice_str(letter_topic), .payload = {b.p, b.n}};
        for (unsigned i = 0; i < TROUPE_DEAD_LETTER_LISTENERS; i++)
            tell_one(sys, &sys->letters.listeners[i], &letter, m->from);
    }
    trp_buf_fini(&b);
    if (whom)
        trp_actor_unref(whom);
}

/* --- burying --- */

/* Takes those out that are letters themselves, or nobody's message (note.h): no one is to hear of them. */
static struct troupe_msg *without_letters(struct troupe_msg *all) {
    struct troupe_msg **at = &all;
    while (*at) {
        struct troupe_msg *m = *at;
        if (!trp_is_letter(m) && m->kind != TRP_NOTE_STRETCH) {
            at = &m->next;
            continue;
        }
        *at = m->next;
        trp_msg_drop(m);
    }
    return all;
}

static size_t length(const struct troupe_msg *all) {
    size_t n = 0;
    for (; all; all = all->next)
        n++;
    return n;
}

void trp_letters_bury(troupe_system *sys, struct trp_actor *to, struct troupe_msg *all, troupe_status why) {
    all = without_letters(all);
    size_t n = length(all);
    if (n == 0)
        return;
    if (sys->letters.relay) {
        for (const struct troupe_msg *m = all; m; m = m->next)
            sys->letters.relay(m, why);
        (void)trp_messages_bury(all, why);
        return;
    }
    /* Relaxed: a statistic, both. */
    uint64_t number = atomic_fetch_add_explicit(&sys->letters.count, n, memory_order_relaxed);
    if (to)
        atomic_fetch_add_explicit(&to->dropped, (unsigned)n, memory_order_relaxed);
    trp_log(TROUPE_LOG_DEBUG, "actor.dead_letters", "%s: %zu messages dropped", to ? to->birth->name : "nobody", n);
    if (somebody_listens(&sys->letters)) {
        for (const struct troupe_msg *m = all; m; m = m->next)
            tell(sys, to, m, ++number, why);
    }
    (void)trp_messages_bury(all, why);
}

void trp_letters_count(struct trp_actor *to, size_t n) {
    /* Relaxed: a statistic, both. */
    atomic_fetch_add_explicit(&to->sys->letters.count, n, memory_order_relaxed);
    atomic_fetch_add_explicit(&to->dropped, (unsigned)n, memory_order_relaxed);
}

/* --- what a body calls --- */

static bool read_text(const uint8_t **p, const uint8_t *end, const char **out) {
    struct trp_slice s;
    if (!trp_unpack_str(p, end, &s) || s.n == 0 || s.p[s.n - 1] != 0)
        return false;
    *out = (const char *)s.p;
    return true;
}

bool troupe_msg_dead_letter(const troupe_msg *m, troupe_dead_letter *out) {
    const uint8_t *p = m->payload.p, *end = p + m->payload.n;
    troupe_dead_letter d = {.from = {m->from}};
    uint32_t n;
    uint64_t question;
    troupe_value why;
    if (!trp_is_letter(m) || !trp_unpack_array(&p, end, &n) || n != 7 || !trp_unpack_uint(&p, end, &d.number) ||
        !trp_unpack_uint(&p, end, &d.to.id) || !read_text(&p, end, &d.name) || trp_unpack_value(&p, end, &why) != TROUPE_OK ||
        !trp_unpack_uint(&p, end, &question) || !read_text(&p, end, &d.topic) ||
        trp_unpack_value(&p, end, &d.value) != TROUPE_OK)
        return false;
    d.why = (troupe_status)why.i;
    d.question = question != 0;
    if (out)
        *out = d;
    return true;
}
