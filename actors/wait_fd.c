/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A wait for a descriptor that is somebody else's: asked about first, and registered for this one wait only. Mail may be waited
 * for with it: whoever unparks does not say why, so both are looked at each time. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <troupe/stream.h>
#include <unistd.h>

#include "actors/poller.h"
#include "actors/self.h"

/* What it is ready for now. INVALID: it is no descriptor. */
static troupe_status look_at_fd(int fd, unsigned events, unsigned *ready) {
    struct pollfd p = {.fd = fd,
                       .events = (short)((events & TROUPE_READABLE ? POLLIN : 0) | (events & TROUPE_WRITABLE ? POLLOUT : 0))};
    while (poll(&p, 1, 0) < 0) {
        if (errno != EINTR)
            return TROUPE_SYSTEM;
    }
    if (p.revents & POLLNVAL)
        return TROUPE_INVALID;
    bool over = p.revents & (POLLHUP | POLLERR);
    *ready = over ? events : (p.revents & POLLIN ? TROUPE_READABLE : 0u) | (p.revents & POLLOUT ? TROUPE_WRITABLE : 0u);
    return TROUPE_OK;
}

static troupe_status look(troupe_self *self, int fd, unsigned events, unsigned *ready) {
    troupe_status st = look_at_fd(fd, events & ~(unsigned)TROUPE_MAIL, ready);
    if (st == TROUPE_OK && (events & TROUPE_MAIL) && trp_self_has_news(self))
        *ready |= TROUPE_MAIL;
    return st;
}

/* Until the kernel says one of them, or there is mail. */
static troupe_status wait_watched(troupe_self *self, struct trp_watch *w, unsigned events, int64_t deadline) {
    unsigned what = events & ~(unsigned)TROUPE_MAIL;
    if (!(events & TROUPE_MAIL))
        return trp_watch_wait(w, what, self, deadline);
    troupe_status st = TROUPE_OK;
    if (!trp_watch_want(w, what, self->actor) && !trp_self_has_news(self))
        st = trp_self_wait(self, deadline);
    trp_watch_leave(w);
    return st;
}

/* Two waits for one descriptor on one worker: the second has a number of its own. */
static troupe_status wait_registered(troupe_self *self, int fd, unsigned events, int64_t deadline) {
    struct trp_watch w = {0};
    int other = -1;
    troupe_status st = trp_watch_open(&w, fd, self->worker);
    if (st == TROUPE_EXISTS) {
        other = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        st = other < 0 ? TROUPE_SYSTEM : trp_watch_open(&w, other, self->worker);
    }
    if (st == TROUPE_OK)
        st = wait_watched(self, &w, events, deadline);
    trp_watch_close(&w);
    if (other >= 0)
        close(other);
    return st;
}

troupe_status troupe_wait_fd(troupe_self *self, int fd, unsigned events, int64_t timeout_ms, unsigned *ready) {
    unsigned now = 0;
    const unsigned of_fd = TROUPE_READABLE | TROUPE_WRITABLE;
    if (!(events & of_fd) || events & ~(of_fd | TROUPE_MAIL))
        return TROUPE_INVALID;
    int64_t deadline = trp_deadline(timeout_ms);
    troupe_status st = trp_self_may(self);
    if (st != TROUPE_OK)
        return st;
    trp_self_spend(self);
    if (events & TROUPE_MAIL)
        troupe_yield(self); /* what has arrived may be on its way to the mailbox: a descriptor that is always ready must not
                               keep it out */
    st = look(self, fd, events, &now);
    while (st == TROUPE_OK && !now) {
        /* What was said may be over by now (somebody else has read it): look again. */
        st = timeout_ms == 0 ? TROUPE_TIMEOUT : wait_registered(self, fd, events, deadline);
        if (st == TROUPE_OK)
            st = look(self, fd, events, &now);
    }
    if (st == TROUPE_OK && ready)
        *ready = now;
    return st;
}
