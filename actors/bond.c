/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A watcher finds its bonds by key (the number of a monitor, the other's reference of a link) in a hash table, which
 * grows as it can. The two bonds of a link are one block with one count of references: an end that is open and hangs
 * somewhere holds one.
 *
 * Both actors of a link may make it at the same time, so each hangs it on the one with the lower number first: who
 * finds it there already leaves it to the other. */
#include "actors/bond.h"

#include "actors/actor.h"
#include "actors/note.h"
#include "actors/registry.h"
#include "actors/system.h"
#include "transports/alloc.h"
#include "transports/assert.h"

enum { WATCHER, WATCHED, SIDES };

struct bond;
struct tie;

/* (m) under the lock of the actor that it hangs on */
struct end {
    struct bond *next, **link; /* (m) link NULL: hangs nowhere */
    bool closed;               /* (m) */
};

struct bond {
    struct tie *tie;
    enum trp_note_kind kind; /* (c) what it tells */
    uint64_t key;            /* (c) among its watcher's */
    uint64_t who[SIDES];     /* (c) */
    struct end end[SIDES];
    struct troupe_msg *note; /* given away by who closes the watcher's end to tell */
};

struct tie {
    atomic_uint refs;
    unsigned count;
    struct bond bond[2]; /* a monitor is the first alone */
};

/* (m) under the actor's lock, (n) under the lock of the names */
struct trp_bonds {
    struct bond *on_me;      /* (m) ends WATCHED, oldest first: that is the order in which they are told */
    struct bond **on_me_end; /* (m) */
    struct bond **mine;      /* (m) ends WATCHER: `size` chains, a power of two */
    struct bond *few;        /* (m) the first table */
    size_t size, count;      /* (m) */
    uint64_t monitors;       /* (m) ever made */
    bool traps, shut, fated; /* (m) */
    troupe_exit fate;        /* (m) once fated: what a link has killed it with */
    struct trp_name *names;  /* (n) */
    struct trp_own *own;     /* of whoever runs it */
};

/* --- ties --- */

static void tie_unref(struct tie *t) {
    /* Release what this thread did with it, acquire what the others did. */
    if (atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (unsigned i = 0; i < t->count; i++) {
        trp_assert(!t->bond[i].end[WATCHER].link && !t->bond[i].end[WATCHED].link);
        trp_msg_drop(t->bond[i].note);
    }
    trp_free(t);
}

static void tie_ref(struct tie *t) {
    /* Relaxed: whoever takes a reference holds one already. */
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
}

static bool bond_init(struct tie *t, unsigned i, enum trp_note_kind kind, uint64_t watcher, uint64_t watched) {
    t->bond[i] = (struct bond){.tie = t, .kind = kind, .key = watched, .who = {watcher, watched}, .note = trp_note_new(kind)};
    return t->bond[i].note != NULL;
}

/* With one reference. NULL: no memory. */
static struct tie *tie_new(enum trp_note_kind kind, uint64_t watcher, uint64_t watched) {
    struct tie *t = trp_calloc(1, sizeof *t);
    if (!t)
        return NULL;
    atomic_init(&t->refs, 1);
    t->count = kind == TRP_NOTE_EXIT ? 2 : 1;
    bool ok = bond_init(t, 0, kind, watcher, watched);
    if (ok && t->count == 2)
        ok = bond_init(t, 1, kind, watched, watcher);
    if (ok)
        return t;
    tie_unref(t);
    return NULL;
}

/* --- an actor's bonds: under its lock --- */

static struct trp_bonds *bonds_of(struct trp_actor *a) {
    struct trp_bonds *b = a->bonds;
    if (b)
        return b;
    b = trp_calloc(1, sizeof *b);
    if (b) {
        b->mine = &b->few;
        b->size = 1;
        b->on_me_end = &b->on_me;
        a->bonds = b;
    }
    return b;
}

static struct bond **chain(struct trp_bonds *b, uint64_t key) {
    /* Slots and numbers are dense in their low bits, generations lie above. */
    return &b->mine[(key ^ key >> 32) & (b->size - 1)];
}

static void push(struct bond **at, struct bond *bond, int side) {
    struct end *e = &bond->end[side];
    e->next = *at;
    e->link = at;
    if (e->next)
        e->next->end[side].link = &e->next;
    *at = bond;
}

static void take_off(struct bond *bond, int side) {
    struct end *e = &bond->end[side];
    *e->link = e->next;
    if (e->next)
        e->next->end[side].link = e->link;
    e->link = NULL;
    e->next = NULL;
}

/* No memory: the chains get longer. */
static void grow(struct trp_bonds *b) {
    struct bond **old = b->mine, **table = trp_calloc(b->size * 8, sizeof *table);
    size_t was = b->size;
    if (!table)
        return;
    b->mine = table;
    b->size *= 8;
    for (size_t i = 0; i < was; i++) {
        while (old[i]) {
            struct bond *bond = old[i];
            take_off(bond, WATCHER);
            push(chain(b, bond->key), bond, WATCHER);
        }
    }
    if (old != &b->few)
        trp_free((void *)old);
}

static void hang(struct trp_bonds *b, struct bond *bond, int side) {
    if (bond->end[side].closed)
        return;
    if (side == WATCHER && ++b->count > b->size * 2)
        grow(b);
    push(side == WATCHER ? chain(b, bond->key) : b->on_me_end, bond, side);
    if (side == WATCHED)
        b->on_me_end = &bond->end[side].next;
    tie_ref(bond->tie);
}

/* Was it open? What it held is the caller's: it drops the lock first. */
static bool shut_end(struct trp_actor *a, struct bond *bond, int side, bool *held) {
    struct end *e = &bond->end[side];
    bool open = !e->closed;
    e->closed = true;
    *held = e->link != NULL;
    if (*held) {
        if (side == WATCHED && !e->next)
            a->bonds->on_me_end = e->link;
        take_off(bond, side);
        a->bonds->count -= side == WATCHER;
    }
    return open;
}

static struct bond *find(struct trp_bonds *b, enum trp_note_kind kind, uint64_t key) {
    struct bond *bond = b ? *chain(b, key) : NULL;
    while (bond && (bond->kind != kind || bond->key != key))
        bond = bond->end[WATCHER].next;
    return bond;
}

/* --- telling --- */

/* What kills the others of a link. */
static bool is_fatal(const troupe_exit *exit) {
    return exit->how != TROUPE_END_NORMAL;
}

/* Under the watcher's lock. True: it wants a wake. */
static bool hand_note(struct trp_actor *watcher, struct bond *bond, const troupe_exit *exit) {
    troupe_down down = {.ref = {bond->who[WATCHED]}, .exit = *exit};
    if (bond->kind == TRP_NOTE_DOWN)
        down.watch.id = bond->key;
    trp_note_write(bond->note, &down);
    trp_mailbox_note(&watcher->mailbox, bond->note);
    bond->note = NULL;
    return true;
}

/* Under the watcher's lock. True: it is to be killed. */
static bool doom(struct trp_actor *watcher, const troupe_exit *exit) {
    struct trp_bonds *b = watcher->bonds;
    if (!is_fatal(exit) || trp_actor_killed(watcher))
        return false;
    if (b && !b->fated) {
        b->fate = trp_exit_linked(exit);
        b->fated = true;
    }
    return true;
}

static bool traps(const struct trp_actor *a) {
    return a->bonds && a->bonds->traps;
}

/* The watched one has ended: its own end is closed. Keeps the reference. */
static void tell(troupe_system *sys, struct bond *bond, const troupe_exit *exit) {
    struct trp_actor *w = trp_registry_get(&sys->registry, bond->who[WATCHER]);
    bool held, note = false, kill = false;
    if (!w)
        return; /* it has closed its end, or is about to */
    pthread_mutex_lock(&w->lock);
    if (shut_end(w, bond, WATCHER, &held) && w->life != TRP_ENDED) {
        if (bond->kind == TRP_NOTE_DOWN || traps(w))
            note = hand_note(w, bond, exit);
        else
            kill = doom(w, exit);
    }
    pthread_mutex_unlock(&w->lock);
    if (note)
        trp_actor_unpark(w);
    if (kill)
        (void)(trp_actor_kill(w) == TROUPE_OK);
    if (held)
        tie_unref(bond->tie);
    trp_actor_unref(w);
}

/* --- taking back --- */

/* Closes one end. A note of it that has not been received is withdrawn; true: there was one. */
static bool close_end(troupe_system *sys, struct bond *bond, int side) {
    struct trp_actor *a = trp_registry_get(&sys->registry, bond->who[side]);
    struct troupe_msg *note = NULL;
    bool held;
    if (!a)
        return false;
    pthread_mutex_lock(&a->lock);
    if (!shut_end(a, bond, side, &held) && side == WATCHER)
        note = trp_notes_withdraw(&a->mailbox.notes, bond->kind, bond->key);
    pthread_mutex_unlock(&a->lock);
    trp_msg_drop(note);
    if (held)
        tie_unref(bond->tie);
    trp_actor_unref(a);
    return note != NULL;
}

/* The lower number first, see above. */
static void close_tie(troupe_system *sys, struct tie *t) {
    uint64_t a = t->bond[0].who[WATCHER], b = t->bond[0].who[WATCHED];
    for (int high = 0; high < 2; high++) {
        bool watcher = (a < b) == (high == 0);
        (void)close_end(sys, &t->bond[0], watcher ? WATCHER : WATCHED);
        if (t->count == 2)
            (void)close_end(sys, &t->bond[1], watcher ? WATCHED : WATCHER);
    }
}

/* --- monitors --- */

static troupe_status hang_mine(struct trp_actor *who, struct bond *bond) {
    pthread_mutex_lock(&who->lock);
    struct trp_bonds *b = bonds_of(who);
    if (b) {
        bond->key = ++b->monitors;
        hang(b, bond, WATCHER);
    }
    pthread_mutex_unlock(&who->lock);
    return b ? TROUPE_OK : TROUPE_NO_MEMORY;
}

static troupe_status hang_on(struct trp_actor *a, struct bond *bond) {
    troupe_status st = TROUPE_NOT_FOUND;
    pthread_mutex_lock(&a->lock);
    if (a->life != TRP_ENDED) {
        struct trp_bonds *b = bonds_of(a);
        st = b ? TROUPE_OK : TROUPE_NO_MEMORY;
        if (b)
            hang(b, bond, WATCHED);
    }
    pthread_mutex_unlock(&a->lock);
    return st;
}

static troupe_status watch(troupe_system *sys, struct bond *bond) {
    struct trp_actor *a = trp_registry_get(&sys->registry, bond->who[WATCHED]);
    troupe_status st = a ? hang_on(a, bond) : TROUPE_NOT_FOUND;
    if (a)
        trp_actor_unref(a);
    if (st == TROUPE_NOT_FOUND) {
        troupe_exit noproc = trp_exit_noproc();
        tell(sys, bond, &noproc);
        st = TROUPE_OK;
    }
    return st;
}

troupe_status trp_bond_monitor(struct trp_actor *who, uint64_t ref, uint64_t *number) {
    struct tie *t = tie_new(TRP_NOTE_DOWN, trp_actor_id(who), ref);
    if (!t)
        return TROUPE_NO_MEMORY;
    troupe_status st = hang_mine(who, &t->bond[0]);
    if (st == TROUPE_OK)
        st = watch(who->sys, &t->bond[0]);
    if (st == TROUPE_OK)
        *number = t->bond[0].key;
    else
        close_tie(who->sys, t);
    tie_unref(t);
    return st;
}

/* With a reference; NULL: it is not there, but perhaps what it had to say. */
static struct bond *seek(struct trp_actor *who, enum trp_note_kind kind, uint64_t key, bool *withdrawn) {
    pthread_mutex_lock(&who->lock);
    struct bond *bond = find(who->bonds, kind, key);
    struct troupe_msg *note = bond ? NULL : trp_notes_withdraw(&who->mailbox.notes, kind, key);
    if (bond)
        tie_ref(bond->tie);
    pthread_mutex_unlock(&who->lock);
    *withdrawn = note != NULL;
    trp_msg_drop(note);
    return bond;
}

troupe_status trp_bond_demonitor(struct trp_actor *who, uint64_t watch) {
    bool withdrawn;
    struct bond *bond = seek(who, TRP_NOTE_DOWN, watch, &withdrawn);
    if (!bond)
        return withdrawn ? TROUPE_OK : TROUPE_NOT_FOUND;
    close_tie(who->sys, bond->tie);
    tie_unref(bond->tie);
    return TROUPE_OK;
}

/* --- links --- */

/* Both ends of a link that hang on one actor. EXISTS: `first`, and there is one already. */
static troupe_status hang_both(struct trp_actor *a, struct tie *t, bool first) {
    struct bond *mine = &t->bond[t->bond[0].who[WATCHER] != trp_actor_id(a)], *other = &t->bond[mine == &t->bond[0]];
    troupe_status st = TROUPE_OK;
    pthread_mutex_lock(&a->lock);
    struct trp_bonds *b = a->life == TRP_ENDED ? NULL : bonds_of(a);
    if (!b)
        st = a->life == TRP_ENDED ? TROUPE_NOT_FOUND : TROUPE_NO_MEMORY;
    else if (first && find(b, TRP_NOTE_EXIT, mine->key))
        st = TROUPE_EXISTS;
    if (st == TROUPE_OK) {
        hang(b, mine, WATCHER);
        hang(b, other, WATCHED);
    }
    pthread_mutex_unlock(&a->lock);
    return st;
}

static troupe_status link_both(struct trp_actor *low, struct trp_actor *high, struct tie *t) {
    troupe_status st = hang_both(low, t, true);
    if (st == TROUPE_OK)
        st = hang_both(high, t, false);
    return st;
}

static troupe_status link_with(struct trp_actor *who, struct trp_actor *a) {
    struct tie *t = tie_new(TRP_NOTE_EXIT, trp_actor_id(who), trp_actor_id(a));
    if (!t)
        return TROUPE_NO_MEMORY;
    bool lower = trp_actor_id(who) < trp_actor_id(a);
    troupe_status st = link_both(lower ? who : a, lower ? a : who, t);
    if (st != TROUPE_OK)
        close_tie(who->sys, t);
    tie_unref(t);
    return st == TROUPE_EXISTS ? TROUPE_OK : st;
}

troupe_status trp_bond_link(struct trp_actor *who, uint64_t ref) {
    if (ref == trp_actor_id(who))
        return TROUPE_OK;
    struct trp_actor *a = trp_registry_get(&who->sys->registry, ref);
    if (!a)
        return TROUPE_NOT_FOUND;
    troupe_status st = link_with(who, a);
    trp_actor_unref(a);
    return st;
}

troupe_status trp_bond_unlink(struct trp_actor *who, uint64_t ref) {
    bool withdrawn;
    struct bond *bond = seek(who, TRP_NOTE_EXIT, ref, &withdrawn);
    if (bond) {
        close_tie(who->sys, bond->tie);
        tie_unref(bond->tie);
    }
    return TROUPE_OK;
}

troupe_status trp_bond_trap(struct trp_actor *who, bool on) {
    pthread_mutex_lock(&who->lock);
    struct trp_bonds *b = bonds_of(who);
    if (b)
        b->traps = on;
    pthread_mutex_unlock(&who->lock);
    return b ? TROUPE_OK : TROUPE_NO_MEMORY;
}

/* --- ends --- */

troupe_status trp_bond_shut(struct trp_actor *a) {
    pthread_mutex_lock(&a->lock);
    struct trp_bonds *b = bonds_of(a); /* no memory: then its end is called normal */
    if (b)
        b->shut = true;
    pthread_mutex_unlock(&a->lock);
    return trp_actor_close(a);
}

struct trp_name **trp_bonds_names(struct trp_actor *a) {
    struct trp_bonds *b = bonds_of(a);
    return b ? &b->names : NULL;
}

struct trp_own **trp_bonds_own(struct trp_actor *a) {
    struct trp_bonds *b = bonds_of(a);
    return b ? &b->own : NULL;
}

void trp_bonds_judge(struct trp_actor *a, troupe_exit *exit) {
    pthread_mutex_lock(&a->lock);
    struct trp_bonds *b = a->bonds;
    if (b && b->fated && exit->how == TROUPE_END_KILLED)
        *exit = b->fate;
    else if (b && b->shut && exit->how == TROUPE_END_NORMAL)
        *exit = trp_exit_shutdown();
    pthread_mutex_unlock(&a->lock);
}

/* The next bond on it, whose end there is closed now; with its reference. */
static struct bond *next_on_me(struct trp_actor *a) {
    bool held;
    pthread_mutex_lock(&a->lock);
    struct bond *bond = a->bonds->on_me;
    if (bond)
        (void)shut_end(a, bond, WATCHED, &held);
    pthread_mutex_unlock(&a->lock);
    return bond;
}

static struct bond *first_of(struct trp_bonds *b, size_t *at) {
    while (*at < b->size && !b->mine[*at])
        ++*at;
    return *at < b->size ? b->mine[*at] : NULL;
}

static struct bond *next_mine(struct trp_actor *a, size_t *at) {
    bool held;
    pthread_mutex_lock(&a->lock);
    struct bond *bond = first_of(a->bonds, at);
    if (bond)
        (void)shut_end(a, bond, WATCHER, &held);
    pthread_mutex_unlock(&a->lock);
    return bond;
}

/* ENDED: nobody hangs anything on it any more, and `bonds` stays what it is. exit NULL: nobody is told. */
static void end(struct trp_actor *a, const troupe_exit *exit) {
    struct bond *bond;
    size_t at = 0;
    while ((bond = next_on_me(a))) {
        if (exit)
            tell(a->sys, bond, exit);
        else
            (void)close_end(a->sys, bond, WATCHER);
        tie_unref(bond->tie);
    }
    while ((bond = next_mine(a, &at))) {
        (void)close_end(a->sys, bond, WATCHED);
        tie_unref(bond->tie);
    }
}

static bool has_bonds(struct trp_actor *a) {
    pthread_mutex_lock(&a->lock);
    bool has = a->bonds != NULL;
    pthread_mutex_unlock(&a->lock);
    return has;
}

void trp_bonds_end(struct trp_actor *a, const troupe_exit *exit) {
    if (has_bonds(a))
        end(a, exit);
}

void trp_bonds_abort(struct trp_actor *a) {
    if (has_bonds(a))
        end(a, NULL);
}

void trp_bonds_free(struct trp_bonds *b) {
    if (!b)
        return;
    trp_assert(!b->on_me && b->count == 0 && !b->names && !b->own);
    if (b->mine != &b->few)
        trp_free((void *)b->mine);
    trp_free(b);
}
