/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORDS = 65536, FILE_SIZE = WORDS + 2 * TRP_RING_SIZE, MAPPED = WORDS + 4 * TRP_RING_SIZE };

_Static_assert(sizeof(struct trp_shared_words) <= WORDS, "the words fit into their part");

/* --- mapping --- */

static bool map_at(uint8_t *at, size_t size, int fd, off_t offset) {
    return mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, offset) != MAP_FAILED;
}

/* The place is reserved whole, then each part put where it belongs. */
troupe_status trp_shared_map(struct trp_shared *s, int fd) {
    uint8_t *at = mmap(NULL, MAPPED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return TROUPE_SYSTEM;
    bool ok = map_at(at, WORDS, fd, 0);
    for (unsigned i = 0; ok && i < 4; i++)
        ok = map_at(at + WORDS + i * TRP_RING_SIZE, TRP_RING_SIZE, fd, WORDS + (off_t)(i / 2) * TRP_RING_SIZE);
    if (!ok) {
        munmap(at, MAPPED);
        return TROUPE_SYSTEM;
    }
    s->words = (struct trp_shared_words *)(void *)at;
    s->door = NULL;
    s->data[0] = at + WORDS;
    s->data[1] = at + WORDS + 2 * (size_t)TRP_RING_SIZE;
    return TROUPE_OK;
}

void trp_shared_unmap(struct trp_shared *s) {
    if (s->words)
        munmap(s->words, MAPPED);
    *s = (struct trp_shared){0};
}

bool trp_shared_allowed(size_t size) {
    struct rlimit most;
    return getrlimit(RLIMIT_FSIZE, &most) == 0 && (most.rlim_cur == RLIM_INFINITY || most.rlim_cur >= size);
}

troupe_status trp_shared_new(struct trp_shared *s, int *fd) {
    int made = trp_shared_allowed(FILE_SIZE) ? memfd_create("troupe-rings", MFD_CLOEXEC | MFD_ALLOW_SEALING) : -1;
    if (made < 0)
        return TROUPE_SYSTEM;
    if (ftruncate(made, FILE_SIZE) != 0 || fcntl(made, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0 ||
        trp_shared_map(s, made) != TROUPE_OK) {
        close(made);
        return TROUPE_SYSTEM;
    }
    *fd = made;
    return TROUPE_OK;
}

void trp_shared_ring(const struct trp_shared *s, enum trp_side side, struct trp_ring *out) {
    trp_ring_init(out, &s->words->ring[side], s->data[side], TRP_RING_SIZE);
}

/* --- the descriptor's way --- */

union rights {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

troupe_status trp_shared_send(int socket, int fd) {
    union rights rights = {0};
    char byte = 0;
    struct iovec part = {&byte, 1};
    struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = rights.bytes, .msg_controllen = sizeof rights.bytes};
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    return sendmsg(socket, &h, MSG_NOSIGNAL) == 1 ? TROUPE_OK : TROUPE_SYSTEM;
}

int trp_shared_receive(int socket) {
    union rights rights = {0};
    char byte;
    int fd = -1;
    struct iovec part = {&byte, 1};
    struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = rights.bytes, .msg_controllen = sizeof rights.bytes};
    ssize_t n;
    do
        n = recvmsg(socket, &h, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    struct cmsghdr *c = n == 1 ? CMSG_FIRSTHDR(&h) : NULL;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof fd))
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}
