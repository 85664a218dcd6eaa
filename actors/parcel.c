/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/parcel.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transports/assert.h"

/* Nobody can make it shorter or write to it any more, so it may be read where it lies. */
enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL };
enum { HEAD = sizeof(struct troupe_msg) };

/* --- the spare descriptor --- */

/* One for all channels of the process: only for the moment between its being closed and the other one's being mapped. Forked
 * memory says of another process what it has. */
static struct {
    pthread_mutex_t lock;
    pid_t pid;
    unsigned users;
    int fd;
} spare = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void spare_keep(void) {
    pthread_mutex_lock(&spare.lock);
    if (spare.pid != getpid()) {
        spare.pid = getpid();
        spare.users = 0;
    }
    if (spare.users++ == 0)
        spare.fd = eventfd(0, EFD_CLOEXEC); /* of nothing, so that it keeps nothing open */
    pthread_mutex_unlock(&spare.lock);
}

static void spare_drop(void) {
    pthread_mutex_lock(&spare.lock);
    if (--spare.users == 0 && spare.fd >= 0)
        close(spare.fd);
    pthread_mutex_unlock(&spare.lock);
}

/* --- both ends --- */

void trp_parcels_init(struct trp_parcels *p, int socket, const struct trp_shared *shared, enum trp_side side) {
    *p = (struct trp_parcels){.socket = socket,
                              .least = side == TRP_SIDE_SYSTEM ? TRP_PARCEL_TO_BODY : TRP_PARCEL_TO_SYSTEM,
                              .to = &shared->words->parcels[trp_side_other(side)],
                              .from = &shared->words->parcels[side]};
    pthread_mutex_init(&p->lock, NULL);
    spare_keep();
}

void trp_parcels_fini(struct trp_parcels *p) {
    for (uint32_t i = 0; i < p->count; i++)
        close(p->come[i]);
    pthread_mutex_destroy(&p->lock);
    spare_drop();
}

/* --- sending --- */

static bool write_at(int fd, struct trp_slice bytes, size_t at) {
    for (size_t done = 0; done < bytes.n;) {
        ssize_t n = pwrite(fd, bytes.p + done, bytes.n - done, (off_t)(at + done));
        if (n <= 0 && errno != EINTR)
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* -1: it can't be had. */
static int file_of(struct trp_slice head, struct trp_slice body) {
    int fd = trp_shared_allowed(HEAD + head.n + body.n) ? memfd_create("troupe-parcel", MFD_CLOEXEC | MFD_ALLOW_SEALING) : -1;
    if (fd >= 0 && write_at(fd, head, HEAD) && write_at(fd, body, HEAD + head.n) && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

bool trp_parcels_send(struct trp_parcels *p, struct trp_slice head, struct trp_slice body) {
    if (head.n + body.n < p->least)
        return false;
    /* Acquire pairs with the release in open: what is said to be opened is. A reader that is mad bounds itself wrong. */
    if (p->sent - atomic_load_explicit(&p->to->opened, memory_order_acquire) >= TRP_PARCELS)
        return false;
    int fd = file_of(head, body);
    if (fd < 0)
        return false;
    /* Before it is there, so that who reads the socket knows that it may be. */
    atomic_store(&p->to->sent, p->sent + 1);
    bool sent = trp_shared_send(p->socket, fd) == TROUPE_OK;
    close(fd);
    if (sent)
        p->sent++;
    else
        atomic_store(&p->to->sent, p->sent);
    return sent;
}

/* --- receiving --- */

union rights {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

/* As recv(2), with at most one descriptor. *lost: one was there, and no number free for it. */
static ssize_t receive(int socket, int flags, int *fd, bool *lost) {
    union rights rights = {0};
    char wakes[64];
    struct iovec part = {wakes, sizeof wakes};
    struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = rights.bytes, .msg_controllen = sizeof rights.bytes};
    ssize_t n = recvmsg(socket, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | flags);
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&h) : NULL;
    *fd = -1;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof *fd))
        memcpy(fd, CMSG_DATA(c), sizeof *fd);
    *lost = n > 0 && *fd < 0 && (h.msg_flags & MSG_CTRUNC);
    return n;
}

/* The same with the spare one given for it. Another thread may be faster: then once more. */
static ssize_t receive_sparing(int socket, int *fd, bool *lost) {
    ssize_t n = -1;
    pthread_mutex_lock(&spare.lock);
    for (int tries = 0; *lost && tries < 100; tries++) {
        if (spare.fd >= 0)
            close(spare.fd);
        n = receive(socket, MSG_PEEK, fd, lost);
        spare.fd = -1;
    }
    pthread_mutex_unlock(&spare.lock);
    return n;
}

/* It is looked at first, since what finds no number free is gone. */
static ssize_t receive_carefully(int socket, int *fd, bool *lost) {
    ssize_t n = receive(socket, MSG_PEEK, fd, lost);
    if (*lost)
        n = receive_sparing(socket, fd, lost);
    if (*lost) { /* it stays: there will be a number when another one has been mapped */
        errno = EAGAIN;
        return -1;
    }
    char seen[64];
    return n > 0 ? recv(socket, seen, (size_t)n, MSG_DONTWAIT) : n;
}

static void spare_again(void) {
    pthread_mutex_lock(&spare.lock);
    if (spare.fd < 0)
        spare.fd = eventfd(0, EFD_CLOEXEC);
    pthread_mutex_unlock(&spare.lock);
}

/* Under the lock. */
static ssize_t listen_once(struct trp_parcels *p) {
    int fd;
    bool lost;
    /* Sequentially consistent, as its store: mostly there is none, and then one call does. */
    bool due = atomic_load(&p->from->sent) != p->received;
    ssize_t n = due ? receive_carefully(p->socket, &fd, &lost) : receive(p->socket, 0, &fd, &lost);
    if (fd >= 0 && p->count < TRP_PARCELS)
        p->come[p->count++] = fd;
    else if (fd >= 0)
        close(fd); /* more than we ever send: one of the frames will miss its body */
    p->received += fd >= 0;
    return n;
}

ssize_t trp_parcels_listen(struct trp_parcels *p) {
    pthread_mutex_lock(&p->lock);
    ssize_t n = listen_once(p);
    pthread_mutex_unlock(&p->lock);
    return n;
}

/* -1: none has come. */
static int next_come(struct trp_parcels *p, bool *rung) {
    int fd = -1;
    pthread_mutex_lock(&p->lock);
    for (ssize_t n = 1; p->count == 0 && (n > 0 || (n < 0 && errno == EINTR));) {
        n = listen_once(p);
        *rung |= n > 1 || (n == 1 && p->count == 0);
    }
    if (p->count > 0) {
        fd = p->come[0];
        memmove(p->come, p->come + 1, --p->count * sizeof *p->come);
    }
    pthread_mutex_unlock(&p->lock);
    return fd;
}

static troupe_status map(int fd, struct trp_parcel *out) {
    struct stat s;
    if (fstat(fd, &s) != 0 || s.st_size < HEAD || s.st_size - HEAD > UINT32_MAX || fcntl(fd, F_GET_SEALS) != SEALS)
        return TROUPE_PROTOCOL;
    void *at = mmap(NULL, (size_t)s.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        return TROUPE_NO_MEMORY;
    out->at = at;
    out->mapped = (size_t)s.st_size;
    out->body = (struct trp_slice){(uint8_t *)at + HEAD, out->mapped - HEAD};
    return TROUPE_OK;
}

troupe_status trp_parcels_open(struct trp_parcels *p, struct trp_parcel *out, bool *rung) {
    *rung = false;
    int fd = next_come(p, rung);
    troupe_status st = fd >= 0 ? map(fd, out) : TROUPE_PROTOCOL;
    if (fd >= 0)
        close(fd);
    spare_again();
    atomic_store_explicit(&p->from->opened, ++p->opened, memory_order_release);
    return st;
}

/* --- what is in it --- */

struct troupe_msg *trp_parcel_message(struct trp_parcel *parcel, struct trp_slice topic, struct trp_slice payload) {
    if (!parcel->at)
        return trp_msg_from_wire(&(struct trp_message){.topic = topic, .payload = payload});
    struct troupe_msg *m = parcel->at;
    parcel->at = NULL;
    trp_assert(m->bytes == parcel->body.p);
    trp_msg_mapped(m, parcel->body.n, topic, payload);
    return m;
}

void trp_parcel_close(struct trp_parcel *parcel) {
    if (parcel->at)
        munmap(parcel->at, parcel->mapped);
    parcel->at = NULL;
}
