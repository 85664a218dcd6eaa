/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * ipc://, stream sockets in the file system. A socket file outlives a process that was killed, so a listener finds
 * out whether somebody answers there and takes the path over when nobody does. Two processes that start at once must
 * not take it from each other: the one that binds but does not listen yet looks dead to the other. So from before the
 * first look until after the listen, the folder is locked; what is not a socket is never removed. */
#include "transports/alloc.h"
#include "transports/transport.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LOCK_TRIES = 100, LOCK_PAUSE_MS = 10 };

static int ipc_init(uv_loop_t *loop, uv_stream_t *s) {
    return uv_pipe_init(loop, (uv_pipe_t *)s, 0);
}

/* libuv 1.44 would cut a longer path in silence. */
static int check_path(const char *path, const char **why) {
    size_t n = strlen(path);
    if (n > 0 && n < sizeof((struct sockaddr_un *)NULL)->sun_path)
        return 0;
    *why = n == 0 ? "the socket's path is missing: write ipc:///run/troupe.sock"
                  : "the socket's path is longer than the 107 bytes the system takes";
    return UV_EINVAL;
}

/* --- listening --- */

/* A descriptor whose close ends the lock; -1: the folder can't be locked, and we do without; -2: others hold on to
 * the lock. */
static int lock_folder(const char *path) {
    char folder[sizeof((struct trp_url *)NULL)->path];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (errno != EWOULDBLOCK || i == LOCK_TRIES) {
            int result = errno == EWOULDBLOCK ? -2 : -1;
            close(fd);
            return result;
        }
        uv_sleep(LOCK_PAUSE_MS);
    }
    return fd;
}

/* Does nobody answer at the socket? Only a plain refusal says so; whatever else goes wrong counts as somebody. */
static bool is_stale(const char *path) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool stale = connect(fd, (struct sockaddr *)&a, sizeof a) != 0 && (errno == ECONNREFUSED || errno == ENOENT);
    close(fd);
    return stale;
}

/* Removes what a dead process left at the path. */
static int make_way(const char *path, const char **why) {
    struct stat st;
    if (lstat(path, &st) != 0)
        return 0;
    if (!S_ISSOCK(st.st_mode)) {
        *why = "the path exists and is not a socket";
        return UV_EADDRINUSE;
    }
    if (!is_stale(path))
        return UV_EADDRINUSE;
    return unlink(path) == 0 || errno == ENOENT ? 0 : uv_translate_sys_error(errno);
}

static int bind_and_listen(uv_stream_t *s, const char *path, int backlog, uv_connection_cb cb, const char **why) {
    int err = make_way(path, why);
    if (err == 0)
        err = uv_pipe_bind((uv_pipe_t *)s, path);
    return err ? err : uv_listen(s, backlog, cb);
}

static int ipc_listen(uv_stream_t *s, const struct trp_url *u, int backlog, uv_connection_cb cb, const char **why) {
    int err = check_path(u->path, why);
    if (err)
        return err;
    int lock = lock_folder(u->path);
    if (lock == -2) {
        *why = "another process is taking the path";
        return UV_EADDRINUSE;
    }
    err = bind_and_listen(s, u->path, backlog, cb, why);
    if (lock >= 0)
        close(lock);
    return err;
}

/* --- dialling --- */

struct dialling {
    uv_connect_t connect;
    trp_dialled_fn *done;
    void *ctx;
};

static void on_connected(uv_connect_t *connect, int err) {
    struct dialling d = *(struct dialling *)connect->data;
    trp_free(connect->data);
    d.done(d.ctx, err);
}

static int ipc_dial(uv_stream_t *s, const struct trp_url *u, trp_dialled_fn *done, void *ctx, const char **why) {
    int err = check_path(u->path, why);
    if (err)
        return err;
    struct dialling *d = trp_calloc(1, sizeof *d);
    if (!d)
        return UV_ENOMEM;
    d->done = done;
    d->ctx = ctx;
    d->connect.data = d;
    uv_pipe_connect(&d->connect, (uv_pipe_t *)s, u->path, on_connected);
    return 0;
}

/* --- names --- */

static void ipc_near_url(uv_stream_t *s, const struct trp_url *u, char *out, size_t cap) {
    (void)s;
    snprintf(out, cap, "ipc://%s", u->path);
}

static void ipc_far_url(uv_stream_t *s, char *out, size_t cap) {
    struct ucred who;
    socklen_t n = sizeof who;
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)s, &fd) == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0)
        snprintf(out, cap, "ipc://(pid %ld, uid %ld)", (long)who.pid, (long)who.uid);
    else
        snprintf(out, cap, "ipc://(unknown)");
}

const struct trp_transport trp_ipc = {
    .scheme = "ipc",
    .framing = TRP_FRAMING_IPC,
    .handle_size = sizeof(uv_pipe_t),
    .init = ipc_init,
    .listen = ipc_listen,
    .dial = ipc_dial,
    .near_url = ipc_near_url,
    .far_url = ipc_far_url,
};
