/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Monitors and links: how bonds are made, taken back, and what an end does with them. Both actors of a link may make it at the
 * same time, so each hangs it on the one with the lower number first: who finds it there already leaves it to the other. */
#include "actors/bond.h"

#include "actors/bonds.h"
#include "actors/registry.h"
#include "actors/system.h"

/* --- telling --- */

/* What kills the others of a link. */
static bool is_fatal(const troupe_exit *exit) {
    return exit->how != TROUPE_END_NORMAL;
}

/* Under the watcher's lock. True: it wants a wake. */
static bool hand_note(struct trp_actor *watcher, struct trp_bond *bond, const troupe_exit *exit) {
    troupe_down down = {.ref = {bond->who[TRP_WATCHED]}, .exit = *exit};
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
static void tell(troupe_system *sys, struct trp_bond *bond, const troupe_exit *exit) {
    struct trp_actor *w = trp_registry_get(&sys->registry, bond->who[TRP_WATCHER]);
    bool held, note = false, kill = false;
    if (!w)
        return; /* it has closed its end, or is about to */
    pthread_mutex_lock(&w->lock);
    if (trp_bonds_shut_end(w, bond, TRP_WATCHER, &held) && w->life != TRP_ENDED) {
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
        trp_knot_unref(bond->knot);
    trp_actor_unref(w);
}

/* --- taking back --- */

/* Closes one end. A note of it that has not been received is withdrawn; true: there was one. */
static bool close_end(troupe_system *sys, struct trp_bond *bond, int side) {
    struct trp_actor *a = trp_registry_get(&sys->registry, bond->who[side]);
    struct troupe_msg *note = NULL;
    bool held;
    if (!a)
        return false;
    pthread_mutex_lock(&a->lock);
    if (!trp_bonds_shut_end(a, bond, side, &held) && side == TRP_WATCHER)
        note = trp_notes_withdraw(&a->mailbox.notes, bond->kind, bond->key);
    pthread_mutex_unlock(&a->lock);
    trp_msg_drop(note);
    if (held)
        trp_knot_unref(bond->knot);
    trp_actor_unref(a);
    return note != NULL;
}

/* The lower number first, see above. */
static void close_knot(troupe_system *sys, struct trp_knot *t) {
    uint64_t a = t->bond[0].who[TRP_WATCHER], b = t->bond[0].who[TRP_WATCHED];
    for (int high = 0; high < 2; high++) {
        bool watcher = (a < b) == (high == 0);
        (void)close_end(sys, &t->bond[0], watcher ? TRP_WATCHER : TRP_WATCHED);
        if (t->count == 2)
            (void)close_end(sys, &t->bond[1], watcher ? TRP_WATCHED : TRP_WATCHER);
    }
}

/* --- monitors --- */

static troupe_status hang_mine(struct trp_actor *who, struct trp_bond *bond) {
    pthread_mutex_lock(&who->lock);
    struct trp_bonds *b = trp_bonds_of(who);
    if (b) {
        bond->key = ++b->monitors;
        trp_bonds_hang(b, bond, TRP_WATCHER);
    }
    pthread_mutex_unlock(&who->lock);
    return b ? TROUPE_OK : TROUPE_NO_MEMORY;
}

static troupe_status hang_on(struct trp_actor *a, struct trp_bond *bond) {
    troupe_status st = TROUPE_NOT_FOUND;
    pthread_mutex_lock(&a->lock);
    if (a->life != TRP_ENDED) {
        struct trp_bonds *b = trp_bonds_of(a);
        st = b ? TROUPE_OK : TROUPE_NO_MEMORY;
        if (b)
            trp_bonds_hang(b, bond, TRP_WATCHED);
    }
    pthread_mutex_unlock(&a->lock);
    return st;
}

static troupe_status watch(troupe_system *sys, struct trp_bond *bond) {
    struct trp_actor *a = trp_registry_get(&sys->registry, bond->who[TRP_WATCHED]);
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
    struct trp_knot *t = trp_knot_new(TRP_NOTE_DOWN, trp_actor_id(who), ref);
    if (!t)
        return TROUPE_NO_MEMORY;
    troupe_status st = hang_mine(who, &t->bond[0]);
    if (st == TROUPE_OK)
        st = watch(who->sys, &t->bond[0]);
    if (st == TROUPE_OK)
        *number = t->bond[0].key;
    else
        close_knot(who->sys, t);
    trp_knot_unref(t);
    return st;
}

/* With a reference; NULL: it is not there, but perhaps what it had to say. */
static struct trp_bond *seek(struct trp_actor *who, enum trp_note_kind kind, uint64_t key, bool *withdrawn) {
    pthread_mutex_lock(&who->lock);
    struct trp_bond *bond = trp_bonds_find(who->bonds, kind, key);
    struct troupe_msg *note = bond ? NULL : trp_notes_withdraw(&who->mailbox.notes, kind, key);
    if (bond)
        trp_knot_ref(bond->knot);
    pthread_mutex_unlock(&who->lock);
    *withdrawn = note != NULL;
    trp_msg_drop(note);
    return bond;
}

troupe_status trp_bond_demonitor(struct trp_actor *who, uint64_t watch) {
    bool withdrawn;
    struct trp_bond *bond = seek(who, TRP_NOTE_DOWN, watch, &withdrawn);
    if (!bond)
        return withdrawn ? TROUPE_OK : TROUPE_NOT_FOUND;
    close_knot(who->sys, bond->knot);
    trp_knot_unref(bond->knot);
    return TROUPE_OK;
}

/* --- links --- */

/* Both ends of a link that hang on one actor. EXISTS: `first`, and there is one already. */
static troupe_status hang_both(struct trp_actor *a, struct trp_knot *t, bool first) {
    struct trp_bond *mine = &t->bond[t->bond[0].who[TRP_WATCHER] != trp_actor_id(a)], *other = &t->bond[mine == &t->bond[0]];
    troupe_status st = TROUPE_OK;
    pthread_mutex_lock(&a->lock);
    struct trp_bonds *b = a->life == TRP_ENDED ? NULL : trp_bonds_of(a);
    if (!b)
        st = a->life == TRP_ENDED ? TROUPE_NOT_FOUND : TROUPE_NO_MEMORY;
    else if (first && trp_bonds_find(b, TRP_NOTE_EXIT, mine->key))
        st = TROUPE_EXISTS;
    if (st == TROUPE_OK) {
        trp_bonds_hang(b, mine, TRP_WATCHER);
        trp_bonds_hang(b, other, TRP_WATCHED);
    }
    pthread_mutex_unlock(&a->lock);
    return st;
}

static troupe_status link_both(struct trp_actor *low, struct trp_actor *high, struct trp_knot *t) {
    troupe_status st = hang_both(low, t, true);
    if (st == TROUPE_OK)
        st = hang_both(high, t, false);
    return st;
}

static troupe_status link_with(struct trp_actor *who, struct trp_actor *a) {
    struct trp_knot *t = trp_knot_new(TRP_NOTE_EXIT, trp_actor_id(who), trp_actor_id(a));
    if (!t)
        return TROUPE_NO_MEMORY;
    bool lower = trp_actor_id(who) < trp_actor_id(a);
    troupe_status st = link_both(lower ? who : a, lower ? a : who, t);
    if (st != TROUPE_OK)
        close_knot(who->sys, t);
    trp_knot_unref(t);
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
    struct trp_bond *bond = seek(who, TRP_NOTE_EXIT, ref, &withdrawn);
    if (bond) {
        close_knot(who->sys, bond->knot);
        trp_knot_unref(bond->knot);
    }
    return TROUPE_OK;
}

troupe_status trp_bond_trap(struct trp_actor *who, bool on) {
    pthread_mutex_lock(&who->lock);
    struct trp_bonds *b = trp_bonds_of(who);
    if (b)
        b->traps = on;
    pthread_mutex_unlock(&who->lock);
    return b ? TROUPE_OK : TROUPE_NO_MEMORY;
}

/* --- ends --- */

troupe_status trp_bond_shut(struct trp_actor *a) {
    pthread_mutex_lock(&a->lock);
    struct trp_bonds *b = trp_bonds_of(a); /* no memory: then its end is called normal */
    if (b)
        b->shut = true;
    pthread_mutex_unlock(&a->lock);
    return trp_actor_close(a);
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
static struct trp_bond *next_on_me(struct trp_actor *a) {
    bool held;
    pthread_mutex_lock(&a->lock);
    struct trp_bond *bond = a->bonds->on_me;
    if (bond)
        (void)trp_bonds_shut_end(a, bond, TRP_WATCHED, &held);
    pthread_mutex_unlock(&a->lock);
    return bond;
}

static struct trp_bond *next_mine(struct trp_actor *a, size_t *at) {
    bool held;
    pthread_mutex_lock(&a->lock);
    struct trp_bond *bond = trp_bonds_first(a->bonds, at);
    if (bond)
        (void)trp_bonds_shut_end(a, bond, TRP_WATCHER, &held);
    pthread_mutex_unlock(&a->lock);
    return bond;
}

/* ENDED: nobody hangs anything on it any more, and `bonds` stays what it is. exit NULL: nobody is told. */
static void end(struct trp_actor *a, const troupe_exit *exit) {
    struct trp_bond *bond;
    size_t at = 0;
    while ((bond = next_on_me(a))) {
        if (exit)
            tell(a->sys, bond, exit);
        else
            (void)close_end(a->sys, bond, TRP_WATCHER);
        trp_knot_unref(bond->knot);
    }
    while ((bond = next_mine(a, &at))) {
        (void)close_end(a->sys, bond, TRP_WATCHED);
        trp_knot_unref(bond->knot);
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
