/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * An eventfd in the loop's epoll set. `rung` spares the system call to whoever comes second. It is taken back before
 * the turn looks at what it was rung for, so whoever comes after that look rings again. */
#include "transports/bell.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "transports/assert.h"

static void on_ring(uv_poll_t *poll, int status, int events) {
    struct trp_bell *b = poll->data;
    uint64_t times;
    (void)status, (void)events;
    /* Before the mark goes: a ring in between is then not read away. EAGAIN can't come, nobody else reads. */
    if (read(b->fd, &times, sizeof times) < 0)
        return;
    /* An exchange, not a store: what the last who found it rung had done before can be seen from here on. */
    (void)atomic_exchange(&b->rung, false);
}

int trp_bell_open(struct trp_bell *b, uv_loop_t *loop) {
    b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->fd < 0)
        return uv_translate_sys_error(errno);
    int err = uv_poll_init(loop, &b->poll, b->fd);
    if (err) {
        close(b->fd);
        return err;
    }
    b->poll.data = b;
    atomic_init(&b->rung, false);
    uv_poll_start(&b->poll, UV_READABLE, on_ring);
    uv_unref((uv_handle_t *)&b->poll);
    return 0;
}

static void on_closed(uv_handle_t *handle) {
    struct trp_bell *b = handle->data;
    close(b->fd);
    b->fd = -1;
}

void trp_bell_close(struct trp_bell *b) {
    uv_close((uv_handle_t *)&b->poll, on_closed);
}

void trp_bell_ring(struct trp_bell *b) {
    static const uint64_t once = 1;
    if (atomic_exchange(&b->rung, true))
        return;
    /* An eventfd is full at 2^64 - 2 only. */
    ssize_t n = write(b->fd, &once, sizeof once);
    trp_assert(n == sizeof once);
}
