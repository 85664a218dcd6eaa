/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The nursery's own process: one thread, poll(2) on three descriptors (the system's socket, SIGCHLD, the system's
 * process), a table of children, no loop library.
 *
 * It never waits for the system to read: what it has to report stays in the table until the socket takes it. So the
 * system may send orders from any thread without either side waiting for the other in a circle.
 *
 * It ignores the signals that a terminal or a service manager sends to the whole group: the system is asked to end in
 * order, and ends the nursery last. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "actors/cgroup.h"
#include "actors/nursery.h"
#include "actors/program.h"
#include "actors/system.h"
#include "transports/alloc.h"

enum { RETRY_MS = 20, LITTER_MS = 10, SWEEPS = 100 };

/* A child, from its fork (or the failure of it) until its end has been reported. */
struct kid {
    uint64_t id;
    uint32_t life;
    pid_t pid;             /* 0: reaped, or never forked */
    struct trp_report due; /* what 0: nothing */
    bool ended;
    int status;
    bool grouped; /* has a control group */
    bool ran_out; /* that had no memory left for it */
    bool over;    /* its end has been reported; it is here for its group */
    int report;   /* a program's: its own pipe for reports; -1: a body's, over the socket */
};

struct nursery {
    troupe_system *sys;
    int base;                    /* our descriptors are at least this */
    int socket, signals, parent; /* parent: -1 where the kernel has no pidfd */
    struct kid *kids;
    size_t count, room;
    struct trp_cgroups groups; /* looked for when the first is wanted */
    bool litter;               /* a group could not be removed yet */
    int sweeps;                /* of what other nurseries have left, that are to be tried still */
};

/* --- the process itself --- */

static void signals_default(void) {
    struct sigaction sa = {.sa_handler = SIG_DFL};
    for (int s = 1; s < NSIG; s++)
        (void)sigaction(s, &sa, NULL); /* SIGKILL, SIGSTOP and the library's own refuse; so be it */
}

static void signals_ignore(const int *which, size_t count) {
    for (size_t i = 0; i < count; i++)
        signal(which[i], SIG_IGN);
}

static void signals_mask(const int *which, size_t count) {
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < count; i++)
        sigaddset(&set, which[i]);
    sigprocmask(SIG_SETMASK, &set, NULL);
}

/* Descriptors. libuv, if the program has used it before, closes two numbers in every forked child and opens others in their
 * place (its signal pipe), by a handler that runs inside fork(2). We have closed what was behind those numbers, like everything
 * that was open before: so nothing of ours may have a number that was in use then. Ours are moved above all of them, and a
 * child closes ours by name. */
static int highest_fd(void) {
    int most = STDERR_FILENO;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return (int)sysconf(_SC_OPEN_MAX) / 2;
    for (const struct dirent *e; (e = readdir(dir));) {
        int fd = atoi(e->d_name);
        most = fd > most ? fd : most;
    }
    closedir(dir);
    return most;
}

static int move_up(int fd, int base) {
    int moved = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, base);
    if (fd >= 0)
        close(fd);
    return moved;
}

/* All but 0, 1 and 2. */
static void close_below(int base) {
#ifdef SYS_close_range
    if (syscall(SYS_close_range, 3u, (unsigned)base - 1, 0u) == 0)
        return;
#endif
    for (int fd = 3; fd < base; fd++)
        close(fd);
}

static int watch_parent(pid_t parent) {
#ifdef SYS_pidfd_open
    return (int)syscall(SYS_pidfd_open, parent, 0);
#else
    (void)parent;
    return -1;
#endif
}

static void settle_in(struct nursery *n, int fd, pid_t parent) {
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP};
    static const int masked[] = {SIGCHLD};
    sigset_t set;
    signals_default();
    signals_ignore(ignored, sizeof ignored / sizeof *ignored);
    signals_mask(masked, 1);
    n->base = highest_fd() + 1;
    n->socket = move_up(fd, n->base);
    close_below(n->base);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    n->signals = move_up(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), n->base);
    n->parent = move_up(watch_parent(parent), n->base);
    prctl(PR_SET_NAME, "troupe-nursery");
    if (n->socket < 0 || n->signals < 0 || getppid() != parent)
        _exit(1);
}

/* --- children --- */

/* A program is killed with what it has started: its process group. */
static void kid_end(const struct kid *k) {
    if (k->pid)
        kill(k->report >= 0 ? -k->pid : k->pid, SIGKILL);
}

/* --- control groups --- */

static struct trp_cgroup_name group_name(const struct kid *k, pid_t nursery) {
    return trp_cgroup_name(nursery, k->id, k->life);
}

/* Nothing that fails here matters to the fork: see the limits' description. */
static void group_make(struct nursery *n, struct kid *k, const troupe_limits *limits) {
    if (!trp_cgroup_wanted(limits))
        return;
    if (!n->groups.known) {
        trp_cgroups_find(&n->groups, "/proc/self", getenv("TROUPE_CGROUP"));
        n->sweeps = SWEEPS;
    }
    struct trp_cgroup_name name = group_name(k, getpid());
    k->grouped = trp_cgroup_make(&n->groups, &name, limits);
}

/* What others have left behind may be about to die still. */
static void groups_sweep(struct nursery *n) {
    if (n->sweeps == 0)
        return;
    n->sweeps = trp_cgroups_sweep(&n->groups, 0) ? 0 : n->sweeps - 1;
    n->litter |= n->sweeps > 0;
}

/* The process of k has been reaped. What it has left behind has been killed now, and is reaped by others: then later. */
static void group_remove(struct nursery *n, struct kid *k) {
    struct trp_cgroup_name name = group_name(k, getpid());
    if (!k->grouped)
        return;
    k->ran_out |= trp_cgroup_ran_out(&n->groups, &name);
    k->grouped = !trp_cgroup_remove(&n->groups, &name);
}

/* All have ended. Some may be on their way still. */
static void groups_end(struct nursery *n) {
    const struct timespec moment = {.tv_nsec = 2000000};
    for (int tries = 0; n->groups.known && tries < 100 && !trp_cgroups_sweep(&n->groups, getpid()); tries++)
        nanosleep(&moment, NULL);
}

/* The end: of the system, or of our memory for children whose ends it could be told. */
_Noreturn static void go(struct nursery *n) {
    for (size_t i = 0; i < n->count; i++)
        kid_end(&n->kids[i]);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        ;
    groups_end(n);
    _exit(0);
}

static struct kid *kid_add(struct nursery *n, const struct trp_order *o) {
    if (n->count == n->room) {
        size_t room = n->room ? n->room * 2 : 64;
        struct kid *kids = trp_array(n->kids, room, sizeof *kids);
        if (!kids)
            return NULL;
        n->kids = kids;
        n->room = room;
    }
    struct kid *k = &n->kids[n->count++];
    *k = (struct kid){.id = o->id, .life = o->life, .report = -1};
    return k;
}

static void kid_remove(struct nursery *n, struct kid *k) {
    if (k->report >= 0)
        close(k->report);
    *k = n->kids[--n->count];
}

/* The first code of a child: whatever it inherited from here is put right before anything of its own runs. */
_Noreturn static void kid_main(struct nursery *n, const struct kid *k, struct trp_birth *birth, int channel, pid_t nursery) {
    static const int ignored[] = {SIGINT, SIGTERM};
    /* The nursery has one thread, so its death is the death of the thread that forked us. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != nursery)
        _exit(1);
    signals_default();
    signals_ignore(ignored, sizeof ignored / sizeof *ignored);
    signals_mask(NULL, 0);
    close(n->socket);
    close(n->signals);
    close(n->parent);
    for (size_t i = 0; i < n->count; i++) {
        if (n->kids[i].report >= 0)
            close(n->kids[i].report);
    }
    channel = move_up(channel, STDERR_FILENO + 1);
    prctl(PR_SET_NAME, birth->name);
    if (k->grouped) {
        struct trp_cgroup_name name = group_name(k, nursery);
        trp_cgroup_enter(&n->groups, &name);
    }
    trp_standing_read_only(&n->sys->standing);
    trp_lanes_hide(&n->sys->lanes);
    trp_child_main(n->sys, birth, k->id, channel);
}

static void kid_due(struct kid *k, pid_t pid) {
    k->pid = pid > 0 ? pid : 0;
    k->due = (struct trp_report){.what = pid > 0 ? TRP_REPORT_FORKED : TRP_REPORT_FAILED,
                                 .life = k->life,
                                 .id = k->id,
                                 .value = pid > 0 ? (int32_t)pid : errno};
}

static void kid_fork(struct nursery *n, const struct trp_order *o, struct trp_birth *birth, int channel) {
    struct kid *k = kid_add(n, o);
    if (!k)
        go(n);
    group_make(n, k, &birth->limits);
    pid_t self = getpid(), pid = fork();
    if (pid == 0)
        kid_main(n, k, birth, channel, self);
    kid_due(k, pid);
    if (pid < 0)
        group_remove(n, k);
}

/* The first code of a program's process. */
_Noreturn static void program_main(const struct trp_order *o, const uint8_t *program, size_t size, const int *fds,
                                   pid_t nursery) {
    struct trp_report r = {.what = TRP_REPORT_FAILED, .life = o->life, .id = o->id};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != nursery)
        _exit(1);
    setpgid(0, 0);
    signals_default();
    signals_mask(NULL, 0);
    /* Ours are above 2, and closed by the exec. */
    if (dup2(fds[TRP_EXEC_IN], 0) < 0 || dup2(fds[TRP_EXEC_OUT], 1) < 0 || dup2(fds[TRP_EXEC_ERR], 2) < 0)
        r.value = errno;
    else
        r.value = trp_program_exec(program, size);
    (void)!write(fds[TRP_EXEC_REPORT], &r, sizeof r);
    _exit(127);
}

/* Takes the descriptor for reports. */
static void program_fork(struct nursery *n, const struct trp_order *o, const uint8_t *program, size_t size, int *fds) {
    struct kid *k = kid_add(n, o);
    if (!k)
        go(n);
    pid_t self = getpid(), pid = fork();
    if (pid == 0)
        program_main(o, program, size, fds, self);
    if (pid > 0)
        setpgid(pid, pid); /* here, too: a kill may come before it has run */
    k->report = fds[TRP_EXEC_REPORT];
    fds[TRP_EXEC_REPORT] = -1;
    kid_due(k, pid);
}

static void kid_kill(struct nursery *n, const struct trp_order *o) {
    for (size_t i = 0; i < n->count; i++) {
        struct kid *k = &n->kids[i];
        /* Not reaped yet, so the number is still its own. */
        if (k->id == o->id && k->life == o->life)
            kid_end(k);
    }
}

static void reap(struct nursery *n) {
    struct signalfd_siginfo info;
    pid_t pid;
    int status;
    while (read(n->signals, &info, sizeof info) > 0)
        ;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (size_t i = 0; i < n->count; i++) {
            if (n->kids[i].pid == pid) {
                n->kids[i].pid = 0;
                n->kids[i].ended = true;
                n->kids[i].status = status;
                group_remove(n, &n->kids[i]);
            }
        }
    }
}

/* --- orders --- */

/* A birth of our own, as trp_birth_new makes them. NULL: no memory, or an order that makes no sense. */
static struct trp_birth *order_birth(const struct trp_order *o, const uint8_t *arg, size_t got, int far) {
    struct trp_birth *b = NULL;
    troupe_spawn_opts opts = trp_birth_opts(&o->birth);
    size_t size = o->birth.arg_size;
    void *mapped = o->far_arg ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, far, 0) : NULL;
    opts.restart = TROUPE_TEMPORARY; /* the system restarts it, by another order */
    if (mapped == MAP_FAILED || (!mapped && got != size))
        return NULL;
    troupe_status st = trp_birth_new(&b, &opts, o->birth.body, mapped ? mapped : arg, size);
    if (mapped)
        munmap(mapped, size);
    return st == TROUPE_OK ? b : NULL;
}

/* It can't even be tried. */
static void kid_unborn(struct nursery *n, const struct trp_order *o, int why) {
    struct kid *k = kid_add(n, o);
    if (!k)
        go(n);
    k->due = (struct trp_report){.what = TRP_REPORT_FAILED, .life = o->life, .id = o->id, .value = why};
}

/* What descriptors have not come with it there was no room for here. */
static void order_fork(struct nursery *n, const struct trp_order *o, const uint8_t *arg, size_t got, int *fds) {
    if (fds[0] < 0 || (o->far_arg && fds[1] < 0)) {
        kid_unborn(n, o, EMFILE);
        return;
    }
    struct trp_birth *b = order_birth(o, arg, got, fds[1]);
    if (fds[1] >= 0)
        close(fds[1]);
    fds[1] = -1;
    if (b)
        kid_fork(n, o, b, fds[0]);
    else
        kid_unborn(n, o, ENOMEM);
    trp_birth_free(b);
}

/* The argument: in the packet, or in the descriptor behind the others. What makes no sense is told by the end of the pipe. */
static void order_exec(struct nursery *n, const struct trp_order *o, const uint8_t *arg, size_t got, int *fds) {
    size_t size = o->birth.arg_size;
    void *mapped = o->far_arg ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fds[TRP_EXEC_FDS], 0) : NULL;
    if (mapped != MAP_FAILED && (mapped || got == size))
        program_fork(n, o, mapped ? mapped : arg, size, fds);
    if (mapped && mapped != MAP_FAILED)
        munmap(mapped, size);
}

static void take_descriptors(const struct msghdr *h, int fds[TRP_ORDER_FDS]) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)h, c)) {
        size_t n = c->cmsg_len > CMSG_LEN(0) ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            memcpy(fds, CMSG_DATA(c), (n < TRP_ORDER_FDS ? n : TRP_ORDER_FDS) * sizeof(int));
    }
}

static void obey(struct nursery *n, const struct trp_order *o, const uint8_t *arg, size_t got, int *fds) {
    if (o->what == TRP_ORDER_FORK)
        order_fork(n, o, arg, got, fds);
    else if (o->what == TRP_ORDER_EXEC && fds[TRP_EXEC_REPORT] >= 0)
        order_exec(n, o, arg, got, fds);
    else if (o->what == TRP_ORDER_KILL)
        kid_kill(n, o);
}

/* False: the system is gone. */
static bool take_order(struct nursery *n) {
    static uint8_t arg[TRP_ORDER_INLINE];
    struct trp_order o;
    union {
        char bytes[CMSG_SPACE(TRP_ORDER_FDS * sizeof(int))];
        struct cmsghdr align;
    } rights;
    struct iovec parts[2] = {{&o, sizeof o}, {arg, sizeof arg}};
    struct msghdr h = {.msg_iov = parts, .msg_iovlen = 2, .msg_control = rights.bytes, .msg_controllen = sizeof rights.bytes};
    int fds[TRP_ORDER_FDS] = {-1, -1, -1, -1, -1};
    ssize_t got = recvmsg(n->socket, &h, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR)
        return true;
    if (got <= 0)
        return false;
    take_descriptors(&h, fds);
    for (int i = 0; i < TRP_ORDER_FDS; i++)
        fds[i] = move_up(fds[i], n->base);
    if ((size_t)got >= sizeof o)
        obey(n, &o, arg, (size_t)got - sizeof o, fds);
    for (int i = 0; i < TRP_ORDER_FDS; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    return true;
}

/* --- reports --- */

static void due_next(struct kid *k) {
    k->due = k->ended ? (struct trp_report){.what = TRP_REPORT_ENDED,
                                            .life = k->life,
                                            .id = k->id,
                                            .value = k->status,
                                            .ran_out = k->ran_out}
                      : (struct trp_report){0};
    k->ended = false;
}

/* False: not now, or not at all. A program's pipe has room for all that is said of one; nobody reads it any more: so be it. */
static bool report_send(struct nursery *n, const struct kid *k) {
    if (k->report < 0)
        return send(n->socket, &k->due, sizeof k->due, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
    struct trp_report due = k->due;
    (void)!write(k->report, &due, sizeof due);
    return true;
}

/* False: the socket takes no more now. */
static bool report_kid(struct nursery *n, struct kid *k, bool *over) {
    if (!k->due.what)
        due_next(k);
    while (k->due.what) {
        if (!report_send(n, k))
            return errno != EAGAIN && errno != EWOULDBLOCK;
        *over = k->due.what != TRP_REPORT_FORKED;
        due_next(k);
    }
    return true;
}

/* It may go, with its group. */
static void kid_over(struct nursery *n, struct kid *k) {
    k->over = true;
    group_remove(n, k);
    if (k->grouped)
        n->litter = true;
    else
        kid_remove(n, k);
}

/* False: something is left. */
static bool report(struct nursery *n) {
    n->litter = false;
    groups_sweep(n);
    for (size_t i = 0; i < n->count;) {
        struct kid *k = &n->kids[i];
        bool over = k->over;
        size_t before = n->count;
        if (!over && !report_kid(n, k, &over))
            return false;
        if (over)
            kid_over(n, k);
        i += n->count == before;
    }
    return true;
}

/* --- its life --- */

_Noreturn void trp_nursery_main(troupe_system *sys, int fd, pid_t parent) {
    static struct nursery n;
    n.sys = sys;
    settle_in(&n, fd, parent);
    for (;;) {
        short want = report(&n) ? POLLIN : POLLIN | POLLOUT;
        struct pollfd p[3] = {
            {.fd = n.socket, .events = want}, {.fd = n.signals, .events = POLLIN}, {.fd = n.parent, .events = POLLIN}};
        if (poll(p, 3, n.litter ? LITTER_MS : -1) < 0) {
            if (errno != EINTR) /* somebody has limited it to fewer descriptors than that: until it may look again */
                (void)poll(NULL, 0, RETRY_MS);
            continue;
        }
        if (p[2].revents)
            go(&n);
        if (p[1].revents)
            reap(&n);
        if ((p[0].revents & (POLLIN | POLLHUP | POLLERR)) && !take_order(&n))
            go(&n);
    }
}
