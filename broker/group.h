/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A group: the members that share one pattern under one name, each message going to one of them.
 *
 *     publish -> [backlog: oldest ... newest] -> the ready member with least in hand, longest idle first -> its hand
 *                     ^------------------------ NACK, or it left: back to the head -----------------------'
 *
 * Invariant, at the end of every event: a message waits only while no member is ready. Ready: it gave no credit, or has
 * some left. A group lives while it has members or former ones that still hold something of it; bound to its pattern
 * while it has members. */
#ifndef TRP_BROKER_GROUP_H
#define TRP_BROKER_GROUP_H

#include "broker/peer.h"

struct trp_core;

enum { TRP_GROUP_NAME_MAX = 255 };

struct trp_group {
    struct trp_binding binding;
    struct trp_sub **ready; /* binary heap; room for every member */
    uint32_t n_ready, cap_ready;
    uint32_t members, subs; /* now; with those gone that still hold something */
    uint64_t served;        /* the clock of idleness: deliveries and joins */
    struct trp_item_list backlog;
    struct trp_group *next_touched; /* while messages come back */
    bool touched;
    uint64_t hash;
    size_t pattern_n, name_n;
    uint8_t text[]; /* the pattern, then the name */
};

/* s becomes a member, with its credit set; dispatch afterwards. NO_MEMORY: nothing changed. */
TROUPE_NODISCARD troupe_status trp_group_join(struct trp_core *c, struct trp_sub *s, struct trp_slice pattern,
                                              struct trp_slice name);
/* s is no member any more; what it holds stays in its hand. With the last one the backlog is given up. */
void trp_group_leave(struct trp_core *c, struct trp_sub *s);
/* A former member's last trace is gone: the group may be, too. */
void trp_group_forget(struct trp_core *c, struct trp_sub *s);

/* One message for one member, a request's if ask is not NULL (OK: it has a share then). BUSY: the backlog is full. NO_MEMORY.
 */
TROUPE_NODISCARD troupe_status trp_group_put(struct trp_core *c, struct trp_group *g, struct trp_parcel *parcel,
                                             struct trp_ask *ask);
/* An item that is in no hand any more comes back to the head of the backlog; dispatch afterwards. */
void trp_group_put_back(struct trp_core *c, struct trp_group *g, struct trp_item *it);
/* Gives away what waits, as far as members are ready. */
void trp_group_dispatch(struct trp_core *c, struct trp_group *g);
/* What the member holds or may hold has changed. */
void trp_group_reorder(struct trp_sub *s);

#endif
