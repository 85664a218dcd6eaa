/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The file stays open and is cut to nothing to give its blocks back: the directory, which may have no room for a
 * change, is not touched. */
#include "broker/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool no_space(void) {
    return errno == ENOSPC || errno == EDQUOT;
}

bool trp_reserve_take(struct trp_reserve *r) {
    if (r->held)
        return true;
    if (!r->opened) {
        r->fd = r->sys->open(r->sys->ctx, r->dir, "reserve", O_RDWR | O_CREAT);
        if (r->fd < 0)
            return !no_space();
        r->opened = true;
    }
    r->held = r->sys->allocate(r->sys->ctx, r->fd, (off_t)r->bytes) == 0;
    if (r->held || !no_space())
        return true;
    /* What it did get would be missing elsewhere. */
    (void)r->sys->ftruncate(r->sys->ctx, r->fd, 0);
    return false;
}

bool trp_reserve_release(struct trp_reserve *r) {
    bool given = r->held && r->sys->ftruncate(r->sys->ctx, r->fd, 0) == 0;
    if (given)
        r->held = false;
    return given;
}

void trp_reserve_fini(struct trp_reserve *r) {
    if (r->opened)
        close(r->fd);
    r->opened = r->held = false;
}
