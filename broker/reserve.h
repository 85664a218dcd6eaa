/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Disk space kept back, in a file DIR/reserve, for the day when the disk is full: a log frees space by writing (that
 * a message was acknowledged, that a segment is dropped), so a full disk that takes no byte more would stay full. The
 * reserve is given up then; to have it again is what "healed" means. */
#ifndef TRP_BROKER_RESERVE_H
#define TRP_BROKER_RESERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/journal_sys.h"

struct trp_reserve {
    const struct trp_journal_sys *sys; /* given, as the next two */
    int dir;
    int64_t bytes;
    bool opened, held;
    int fd; /* when opened */
};

/* Takes the space. false: there is none. Where it cannot be taken for another reason (a file system without such
 * things), we do without and say true. */
bool trp_reserve_take(struct trp_reserve *r);
/* Gives the space up; false: there was none to give. */
bool trp_reserve_release(struct trp_reserve *r);
void trp_reserve_fini(struct trp_reserve *r); /* the file stays, with its space; accepts zeroes */

#endif
