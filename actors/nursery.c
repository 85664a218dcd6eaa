/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The system's end of the nursery. Orders are packets of a SOCK_SEQPACKET socket, sent by whichever thread has one: the nursery
 * always reads, so sending does not wait for anything but its turn. Reports are read by the steward.
 *
 * Unless somebody stops it. Then births are ordered until the socket is full, and begin when it goes on; what comes after that
 * is refused, once it has been waited for in vain, at once from then on. A packet is sent whole or not at all, so nothing that
 * was refused is carried out later. A kill can't be refused, and is owed instead. */
#include "actors/nursery.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "actors/deadline.h"
#include "actors/sanitizer.h"
#include "actors/shared.h"
#include "actors/system.h"
#include "transports/assert.h"
#include "transports/log.h"

/* --- forking it --- */

/* 0: it can't be told. */
static int count_threads(void) {
    DIR *dir = opendir("/proc/self/task");
    int n = 0;
    if (!dir)
        return 0;
    for (const struct dirent *e; (e = readdir(dir));)
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

/* A thread that has been joined may be listed for a moment longer: the kernel wakes the joiner first. */
static bool is_threaded(void) {
    const struct timespec moment = {.tv_nsec = 1000000};
    /* ThreadSanitizer adds threads of its own. */
    for (int tries = 0; !TRP_TSAN && count_threads() > 1; tries++) {
        if (tries == 200)
            return true;
        nanosleep(&moment, NULL);
    }
    return false;
}

enum { PATIENCE_MS = 5000 };

void trp_nursery_none(struct trp_nursery *n) {
    *n = (struct trp_nursery){.fd = -1, .patience_ms = PATIENCE_MS};
    pthread_mutex_init(&n->lock, NULL);
}

troupe_status trp_nursery_open(struct trp_nursery *n, troupe_system *sys) {
    int fds[2];
    trp_nursery_none(n);
    if (is_threaded())
        return TROUPE_INVALID;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        return TROUPE_SYSTEM;
    /* What stdio holds would be written by both. */
    fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        trp_nursery_main(sys, fds[1], parent);
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return TROUPE_SYSTEM;
    }
    n->sys = sys;
    n->fd = fds[0];
    n->pid = pid;
    return TROUPE_OK;
}

static void reap(struct trp_nursery *n) {
    /* ECHILD: the program reaps all its children itself, or wants none reaped. */
    while (n->pid && waitpid(n->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    n->pid = 0;
}

/* Until it has been reaped, which is after it has been seen to be gone, the number is its own. */
void trp_nursery_rouse(struct trp_nursery *n) {
    pthread_mutex_lock(&n->lock);
    if (n->pid && !n->gone)
        kill(n->pid, SIGCONT);
    pthread_mutex_unlock(&n->lock);
}

void trp_nursery_close(struct trp_nursery *n) {
    trp_assert(!n->attached);
    if (n->fd >= 0)
        close(n->fd);
    trp_nursery_rouse(n);
    reap(n);
    trp_buf_fini(&n->owed);
    pthread_mutex_destroy(&n->lock);
    *n = (struct trp_nursery){.fd = -1};
}

/* --- reports --- */

static void nursery_gone(struct trp_nursery *n) {
    uv_poll_stop(&n->poll);
    pthread_mutex_lock(&n->lock);
    n->gone = true;
    pthread_mutex_unlock(&n->lock);
    trp_log(TROUPE_LOG_ERROR, "nursery.gone", "the nursery (pid %d) has died: its process actors with it", (int)n->pid);
    reap(n);
    trp_process_nursery_gone(n->sys);
}

static troupe_status pay(struct trp_nursery *n);

/* Whoever sent the order that is reported on wrote what it is about before, and holds the lock until it has been sent: to pass
 * through the lock is to see it. And it has gone on, if it had been stopped. */
static void see_orders(struct trp_nursery *n) {
    pthread_mutex_lock(&n->lock);
    n->stuck = false;
    (void)(pay(n) == TROUPE_OK); /* what still finds no room is tried again at the next report */
    pthread_mutex_unlock(&n->lock);
}

static void on_report(uv_poll_t *poll, int status, int events) {
    struct trp_nursery *n = poll->data;
    struct trp_report r;
    (void)status, (void)events;
    for (;;) {
        ssize_t got = recv(n->fd, &r, sizeof r, MSG_DONTWAIT);
        if (got == sizeof r) {
            see_orders(n);
            trp_process_report(n->sys, &r);
        } else if (got < 0 && errno == EINTR) {
            continue;
        } else {
            if (got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
                nursery_gone(n);
            return;
        }
    }
}

troupe_status trp_nursery_attach(struct trp_nursery *n, struct trp_loop *loop) {
    if (n->fd < 0)
        return TROUPE_UNSUPPORTED;
    if (uv_poll_init(&loop->uv, &n->poll, n->fd) != 0)
        return TROUPE_SYSTEM;
    n->poll.data = n;
    n->attached = true;
    uv_poll_start(&n->poll, UV_READABLE, on_report);
    return TROUPE_OK;
}

void trp_nursery_detach(struct trp_nursery *n) {
    if (n->attached)
        uv_close((uv_handle_t *)&n->poll, NULL);
    n->attached = false;
}

/* --- orders --- */

/* An argument that is too large for a packet, as a file that is nowhere. -1: errno. */
static int arg_file(const uint8_t *arg, size_t size) {
    int fd = trp_shared_allowed(size) ? memfd_create("troupe-argument", MFD_CLOEXEC) : -1;
    for (size_t done = 0; fd >= 0 && done < size;) {
        ssize_t n = write(fd, arg + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            close(fd);
            return -1;
        }
        done += (size_t)n;
    }
    return fd;
}

union rights {
    char bytes[CMSG_SPACE(TRP_ORDER_FDS * sizeof(int))];
    struct cmsghdr align;
};

static void add_descriptors(struct msghdr *h, union rights *r, const int *fds, size_t count) {
    *r = (union rights){0};
    h->msg_control = r->bytes;
    h->msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *c = CMSG_FIRSTHDR(h);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(c), fds, count * sizeof(int));
}

/* Under the lock. AGAIN: there is no room for it, and nothing has been sent. */
static troupe_status send_packet(struct trp_nursery *n, const struct msghdr *h) {
    while (!n->gone) {
        if (sendmsg(n->fd, h, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return TROUPE_OK;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return TROUPE_AGAIN;
        if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
            break;
        if (errno != EINTR)
            return TROUPE_SYSTEM;
    }
    return TROUPE_NO_NURSERY;
}

static troupe_status send_kill(struct trp_nursery *n, const struct trp_nursery_kill *k) {
    struct trp_order order = {.what = TRP_ORDER_KILL, .life = k->life, .id = k->id};
    struct iovec part = {&order, sizeof order};
    return send_packet(n, &(struct msghdr){.msg_iov = &part, .msg_iovlen = 1});
}

/* Under the lock: the kills that are owed. AGAIN: not all of them. */
static troupe_status pay(struct trp_nursery *n) {
    troupe_status st = TROUPE_OK;
    struct trp_nursery_kill last;
    while (n->owed.n > 0) {
        memcpy(&last, n->owed.p + n->owed.n - sizeof last, sizeof last);
        if ((st = send_kill(n, &last)) == TROUPE_AGAIN)
            break;
        n->owed.n -= sizeof last; /* NO_NURSERY: it is dead already */
    }
    return st;
}

enum { SLICE_MS = 50 };

/* Who was stopped together with it, and has gone on with it, has not waited meanwhile: so no slice counts for more. */
static bool wait_for_room(const struct trp_nursery *n) {
    struct pollfd p = {.fd = n->fd, .events = POLLOUT};
    for (int64_t left = n->patience_ms * TRP_NS_PER_MS; left > 0;) {
        int64_t before = trp_now();
        if (poll(&p, 1, SLICE_MS) > 0)
            return true;
        int64_t took = trp_now() - before;
        left -= took < SLICE_MS * TRP_NS_PER_MS ? took : SLICE_MS * TRP_NS_PER_MS;
    }
    return false;
}

/* Under the lock. */
static troupe_status send_in_turn(struct trp_nursery *n, const struct msghdr *h) {
    troupe_status st = pay(n);
    return st == TROUPE_AGAIN ? st : send_packet(n, h);
}

static troupe_status send_patiently(struct trp_nursery *n, const struct msghdr *h) {
    pthread_mutex_lock(&n->lock);
    bool before = n->stuck;
    troupe_status st = send_in_turn(n, h);
    while (st == TROUPE_AGAIN && !n->stuck) {
        n->stuck = !wait_for_room(n);
        st = send_in_turn(n, h);
    }
    n->stuck = st == TROUPE_AGAIN;
    pthread_mutex_unlock(&n->lock);
    if (st != TROUPE_AGAIN)
        return st;
    if (!before)
        trp_log(TROUPE_LOG_ERROR, "nursery.stuck", "the nursery (pid %d) takes no orders: has it been stopped?", (int)n->pid);
    return TROUPE_SYSTEM;
}

/* The order with its descriptors, then the argument: in the packet, or in a file as one more descriptor. `fds` has room for it.
 */
static troupe_status send_order(struct trp_nursery *n, struct trp_order *order, const uint8_t *arg, size_t size, int *fds,
                                size_t count) {
    union rights rights;
    int file = -1;
    if (n->fd < 0)
        return TROUPE_UNSUPPORTED;
    order->far_arg = size > TRP_ORDER_INLINE;
    if (order->far_arg && (file = arg_file(arg, size)) < 0)
        return TROUPE_SYSTEM;
    if (order->far_arg)
        fds[count++] = file;
    struct iovec parts[2] = {{order, sizeof *order}, {(void *)(uintptr_t)arg, size}};
    struct msghdr h = {.msg_iov = parts, .msg_iovlen = order->far_arg || !size ? 1 : 2};
    add_descriptors(&h, &rights, fds, count);
    troupe_status st = send_patiently(n, &h);
    if (file >= 0)
        close(file);
    return st;
}

troupe_status trp_nursery_fork(struct trp_nursery *n, uint64_t id, uint32_t life, const struct trp_birth *birth, int channel) {
    struct trp_order order = {.what = TRP_ORDER_FORK, .life = life, .id = id, .birth = *birth};
    int fds[2] = {channel};
    return send_order(n, &order, birth->arg, birth->arg_size, fds, 1);
}

troupe_status trp_nursery_exec(struct trp_nursery *n, uint64_t id, uint32_t life, const void *program, size_t size,
                               const int fds[TRP_EXEC_FDS]) {
    struct trp_order order = {.what = TRP_ORDER_EXEC, .life = life, .id = id, .birth.arg_size = size};
    int all[TRP_EXEC_FDS + 1];
    memcpy(all, fds, TRP_EXEC_FDS * sizeof *fds);
    return send_order(n, &order, program, size, all, TRP_EXEC_FDS);
}

void trp_nursery_kill(struct trp_nursery *n, uint64_t id, uint32_t life) {
    const struct trp_nursery_kill k = {id, life};
    pthread_mutex_lock(&n->lock);
    /* NO_NURSERY: then it is dead already. Without memory there is nothing but to wait: it must not be lost. */
    while ((pay(n) == TROUPE_AGAIN || send_kill(n, &k) == TROUPE_AGAIN) && trp_buf_put(&n->owed, &k, sizeof k) != TROUPE_OK)
        (void)wait_for_room(n);
    pthread_mutex_unlock(&n->lock);
}
