/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Both ends of a tie call: the public functions, which know only how their body reaches the system, and what is done
 * there. */
#include "actors/tie.h"

#include <string.h>

#include "actors/self.h"
#include "actors/system.h"
#include "actors/topics.h"

/* --- in the system --- */

bool trp_name_is_valid(const char *name) {
    return name && *name && strnlen(name, TROUPE_NAME_MAX + 1) <= TROUPE_NAME_MAX;
}

static troupe_status with(troupe_system *sys, uint64_t id, enum trp_tie what, const char *name) {
    struct trp_actor *a = trp_registry_get(&sys->registry, id);
    if (!a)
        return TROUPE_NOT_FOUND;
    troupe_status st = what == TRP_TIE_SHUT ? trp_bond_shut(a) : trp_names_add(&sys->names, name, a);
    trp_actor_unref(a);
    return st;
}

static troupe_status tie_by_name(troupe_system *sys, enum trp_tie what, uint64_t id, const char *name, uint64_t *out) {
    if (!trp_name_is_valid(name))
        return TROUPE_INVALID;
    if (what == TRP_TIE_REGISTER)
        return with(sys, id, what, name);
    return what == TRP_TIE_WHEREIS ? trp_names_find(&sys->names, name, out) : trp_names_remove(&sys->names, name);
}

troupe_status trp_tie(struct trp_actor *who, enum trp_tie what, uint64_t id, const char *name, uint64_t *out) {
    switch (what) {
    case TRP_TIE_MONITOR:
        return trp_bond_monitor(who, id, out);
    case TRP_TIE_DEMONITOR:
        return trp_bond_demonitor(who, id);
    case TRP_TIE_LINK:
        return trp_bond_link(who, id);
    case TRP_TIE_UNLINK:
        return trp_bond_unlink(who, id);
    case TRP_TIE_TRAP:
        return trp_bond_trap(who, id != 0);
    case TRP_TIE_SHUT:
        return with(who->sys, id, what, NULL);
    case TRP_TIE_LETTERS:
        return trp_letters_listen(who, id != 0);
    case TRP_TIE_TOPICS:
        return trp_topics_find(who->sys, out);
    case TRP_TIE_REGISTER:
    case TRP_TIE_UNREGISTER:
    case TRP_TIE_WHEREIS:
        return tie_by_name(who->sys, what, id, name, out);
    }
    return TROUPE_INVALID;
}

/* --- in the body --- */

static troupe_status call(troupe_self *self, enum trp_tie what, uint64_t id, const char *name, uint64_t *out) {
    uint64_t unused;
    troupe_status st = trp_self_may(self);
    if (st != TROUPE_OK)
        return st;
    trp_self_spend(self);
    return self->reach->tie(self, what, id, name, out ? out : &unused);
}

static troupe_status call_name(troupe_self *self, enum trp_tie what, uint64_t id, const char *name, uint64_t *out) {
    return trp_name_is_valid(name) ? call(self, what, id, name, out) : TROUPE_INVALID;
}

troupe_status troupe_monitor(troupe_self *self, troupe_ref ref, troupe_watch *out) {
    return call(self, TRP_TIE_MONITOR, ref.id, NULL, out ? &out->id : NULL);
}

troupe_status troupe_demonitor(troupe_self *self, troupe_watch watch) {
    return call(self, TRP_TIE_DEMONITOR, watch.id, NULL, NULL);
}

troupe_status troupe_link(troupe_self *self, troupe_ref ref) {
    return call(self, TRP_TIE_LINK, ref.id, NULL, NULL);
}

troupe_status troupe_unlink(troupe_self *self, troupe_ref ref) {
    return call(self, TRP_TIE_UNLINK, ref.id, NULL, NULL);
}

troupe_status troupe_trap_exits(troupe_self *self, bool on) {
    return call(self, TRP_TIE_TRAP, on, NULL, NULL);
}

troupe_status troupe_dead_letters(troupe_self *self, bool on) {
    return call(self, TRP_TIE_LETTERS, on, NULL, NULL);
}

troupe_status troupe_register(troupe_self *self, const char *name, troupe_ref ref) {
    return call_name(self, TRP_TIE_REGISTER, ref.id, name, NULL);
}

troupe_status troupe_unregister(troupe_self *self, const char *name) {
    return call_name(self, TRP_TIE_UNREGISTER, 0, name, NULL);
}

troupe_status troupe_whereis(troupe_self *self, const char *name, troupe_ref *out) {
    return call_name(self, TRP_TIE_WHEREIS, 0, name, &out->id);
}

void troupe_exit_with(troupe_self *self, int code, const char *text) {
    self->given = trp_exit_given(code, text);
}
