/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What ties actors together beside messages: monitors, links and names. A body asks for it by one call, which a
 * process sends to its system as one frame; so this table is all there is to carry. */
#ifndef TRP_TIE_H
#define TRP_TIE_H

#include <troupe/monitor.h>
#include <troupe/names.h>

struct trp_actor;

enum trp_tie {
    TRP_TIE_MONITOR,    /* id: whom; out: the watch */
    TRP_TIE_DEMONITOR,  /* id: the watch */
    TRP_TIE_LINK,       /* id: with whom */
    TRP_TIE_UNLINK,     /* id: with whom */
    TRP_TIE_TRAP,       /* id: 1 on, 0 off */
    TRP_TIE_REGISTER,   /* name, id: of whom */
    TRP_TIE_UNREGISTER, /* name */
    TRP_TIE_WHEREIS,    /* name; out: who */
    TRP_TIE_SHUT,       /* id: whom its supervisor asks to end */
    TRP_TIE_LETTERS,    /* id: 1 on, 0 off */
    TRP_TIE_TOPICS,     /* out: the object of the local topics */
};

/* On behalf of `who`. name NULL where none is said. INVALID: there is no such thing. Any thread; does not block. */
TROUPE_NODISCARD troupe_status trp_tie(struct trp_actor *who, enum trp_tie what, uint64_t id, const char *name, uint64_t *out);

/* 1 to TROUPE_NAME_MAX bytes. */
bool trp_name_is_valid(const char *name);

#endif
