/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The life of a command actor: pipes and an order to the nursery, then turns until the program has ended and all that
 * it has said has been delivered. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "actors/command.h"
#include "actors/system.h"
#include "transports/assert.h"

enum { KILL_MS = 1000 }; /* after a SIGKILL: what the kernel may take */

/* --- begun --- */

struct pipes {
    int theirs[TRP_EXEC_FDS]; /* -1: none */
    int ours[TRP_EXEC_FDS];
};

static bool open_pipe(struct pipes *p, unsigned which, bool we_write) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    p->ours[which] = ends[we_write];
    p->theirs[which] = ends[!we_write];
    return true;
}

static bool open_errors(struct pipes *p, troupe_command_errors errors) {
    switch (errors) {
    case TROUPE_ERRORS_SEND:
        return open_pipe(p, TRP_EXEC_ERR, false);
    case TROUPE_ERRORS_DISCARD:
        p->theirs[TRP_EXEC_ERR] = open("/dev/null", O_WRONLY | O_CLOEXEC);
        break;
    case TROUPE_ERRORS_MERGE:
        p->theirs[TRP_EXEC_ERR] = fcntl(p->theirs[TRP_EXEC_OUT], F_DUPFD_CLOEXEC, 0);
        break;
    case TROUPE_ERRORS_INHERIT:
        p->theirs[TRP_EXEC_ERR] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
        if (p->theirs[TRP_EXEC_ERR] < 0) /* it is closed here */
            p->theirs[TRP_EXEC_ERR] = open("/dev/null", O_WRONLY | O_CLOEXEC);
        break;
    }
    return p->theirs[TRP_EXEC_ERR] >= 0;
}

static void close_all(int *fds) {
    for (unsigned i = 0; i < TRP_EXEC_FDS; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

static troupe_status adopt(int *fd, troupe_stream **out) {
    troupe_status st = *fd >= 0 ? troupe_stream_adopt(*fd, out) : TROUPE_OK;
    if (st == TROUPE_OK)
        *fd = -1;
    return st;
}

static troupe_status order(struct trp_command *c, struct pipes *p) {
    struct trp_actor *a = c->self->actor;
    if (!open_pipe(p, TRP_EXEC_IN, true) || !open_pipe(p, TRP_EXEC_OUT, false) || !open_pipe(p, TRP_EXEC_REPORT, false) ||
        !open_errors(p, c->plan->errors))
        return TROUPE_SYSTEM;
    troupe_status st = adopt(&p->ours[TRP_EXEC_IN], &c->in);
    if (st == TROUPE_OK)
        st = adopt(&p->ours[TRP_EXEC_OUT], &c->text[TRP_COMMAND_OUT].from);
    if (st == TROUPE_OK)
        st = adopt(&p->ours[TRP_EXEC_ERR], &c->text[TRP_COMMAND_ERR].from);
    if (st == TROUPE_OK)
        st = adopt(&p->ours[TRP_EXEC_REPORT], &c->reports);
    if (st == TROUPE_OK)
        st = trp_nursery_exec(&a->sys->nursery, trp_actor_id(a), c->life, c->plan->program, c->plan->size, p->theirs);
    return st;
}

static troupe_status start(struct trp_command *c) {
    struct pipes p;
    memset(&p, -1, sizeof p);
    troupe_status st = order(c, &p);
    close_all(p.theirs);
    close_all(p.ours);
    return st;
}

static void kill_program(const struct trp_command *c) {
    struct trp_actor *a = c->self->actor;
    if (!c->ended)
        trp_nursery_kill(&a->sys->nursery, trp_actor_id(a), c->life);
}

/* --- its turns --- */

static void end(struct trp_command *c, troupe_exit exit) {
    if (!c->ended)
        c->exit = exit;
    c->ended = true;
}

static void on_report(struct trp_command *c, const struct trp_report *r) {
    if (r->what == TRP_REPORT_FAILED)
        end(c, trp_exit_unborn(strerror(r->value)));
    else if (r->what == TRP_REPORT_ENDED)
        end(c, trp_exit_status(r->value));
    if (c->ended && c->exit.how == TROUPE_END_SIGNAL && c->exit.code == SIGKILL && (c->over_time || c->too_much))
        snprintf(c->exit.text, sizeof c->exit.text, "SIGKILL (%s)", c->over_time ? "time-out" : "too much output");
}

/* A report comes whole: a pipe does not cut what is smaller than PIPE_BUF. */
static bool hear_reports(struct trp_command *c) {
    struct trp_report r;
    size_t n;
    troupe_status st = c->reports && !c->ended ? trp_stream_read_some(c->reports, &r, sizeof r, &n) : TROUPE_AGAIN;
    if (st == TROUPE_AGAIN)
        return false;
    if (st == TROUPE_OK && n == sizeof r)
        on_report(c, &r);
    else
        end(c, trp_exit_unborn("the nursery is gone"));
    return true;
}

/* It has ended, so all that it has written is there to be read; whoever else has its pipe is not waited for. */
static void finish_texts(struct trp_command *c) {
    for (unsigned i = 0; i < TRP_COMMAND_TEXTS; i++) {
        if (c->ended && c->text[i].blocked)
            troupe_stream_close(&c->text[i].from);
    }
}

/* Too much for what is to be kept whole, or for the memory there is: it is killed, once. */
static void judge_size(struct trp_command *c) {
    bool before = c->too_much;
    for (unsigned i = 0; i < TRP_COMMAND_TEXTS; i++) {
        c->too_much |= c->text[i].lost;
        c->too_much |= c->plan->output == TROUPE_WHOLE && c->text[i].bytes.n - c->text[i].given > c->plan->max_output;
    }
    if (c->too_much && !before)
        kill_program(c);
}

static bool turn(struct trp_command *c) {
    bool on = hear_reports(c);
    if (on && c->ended)
        c->text[0].blocked = c->text[1].blocked = false; /* one last look */
    on |= trp_command_feed(c);
    on |= trp_command_take(c);
    for (unsigned i = 0; i < TRP_COMMAND_TEXTS; i++)
        on |= trp_command_fetch(c, i);
    judge_size(c);
    for (unsigned i = 0; i < TRP_COMMAND_TEXTS && !c->too_much; i++)
        on |= trp_command_deliver(c, i);
    finish_texts(c);
    return on;
}

static bool is_over(const struct trp_command *c) {
    return c->ended && (trp_command_is_delivered(c) || c->too_much);
}

/* --- waiting for all of it --- */

/* True: it is ready by now. */
static bool want(struct trp_command *c, troupe_stream *s, unsigned what, troupe_status *st) {
    if (!s || *st != TROUPE_OK)
        return false;
    *st = trp_watch_open(&s->watch, s->fd, c->self->worker);
    return *st == TROUPE_OK && trp_watch_want(&s->watch, what, c->self->actor);
}

static void leave(troupe_stream *s) {
    if (s)
        trp_watch_leave(&s->watch);
}

static troupe_status park(struct trp_command *c, int64_t deadline) {
    troupe_status st = TROUPE_OK;
    bool now = want(c, c->ended ? NULL : c->reports, TRP_WATCH_IN, &st);
    if (c->in_blocked && want(c, c->in, TRP_WATCH_OUT, &st))
        now = true, c->in_blocked = false;
    for (unsigned i = 0; i < TRP_COMMAND_TEXTS; i++) {
        struct trp_command_text *t = &c->text[i];
        if (t->blocked && want(c, t->from, TRP_WATCH_IN, &st))
            now = true, t->blocked = false;
    }
    if (st == TROUPE_OK && !now)
        st = trp_self_wait(c->self, deadline);
    leave(c->reports);
    leave(c->in);
    for (unsigned i = 0; i < TRP_COMMAND_TEXTS; i++)
        leave(c->text[i].from);
    /* Who woke us is not said: all are tried again. */
    c->in_blocked = c->text[0].blocked = c->text[1].blocked = false;
    return st;
}

/* --- its life --- */

/* The end of a killed one is waited for all the same: whoever joins it may rely on the program being gone. */
static void await_end(struct trp_command *c) {
    int64_t deadline = trp_deadline(KILL_MS);
    troupe_status st = TROUPE_OK;
    kill_program(c);
    while (!c->ended && st == TROUPE_OK) {
        if (hear_reports(c))
            continue;
        if (!want(c, c->reports, TRP_WATCH_IN, &st) && st == TROUPE_OK && !c->self->backend->park(c->self, deadline))
            st = TROUPE_TIMEOUT;
        leave(c->reports);
    }
}

static troupe_status serve(struct trp_command *c) {
    int64_t deadline = c->plan->timeout_ms ? trp_deadline(c->plan->timeout_ms) : TRP_NEVER;
    troupe_status st = TROUPE_OK;
    while (st == TROUPE_OK && !is_over(c)) {
        if (turn(c))
            continue;
        if (is_over(c)) /* what is only found to be over is no step */
            break;
        st = park(c, deadline);
        if (st == TROUPE_TIMEOUT && !c->ended) {
            c->over_time = true;
            kill_program(c);
        }
        if (st == TROUPE_TIMEOUT) {
            deadline = TRP_NEVER;
            st = TROUPE_OK;
        }
    }
    return st;
}

static void close_pipes(struct trp_command *c) {
    troupe_stream_close(&c->in);
    troupe_stream_close(&c->reports);
    for (unsigned i = 0; i < TRP_COMMAND_TEXTS; i++)
        troupe_stream_close(&c->text[i].from);
}

static troupe_exit live(struct trp_command *c, troupe_msg *question) {
    troupe_status st = start(c);
    if (st != TROUPE_OK) {
        troupe_msg_free(&question);
        return trp_exit_unborn(troupe_status_text(st));
    }
    if (question)
        trp_command_take_one(c, question);
    if (serve(c) != TROUPE_OK)
        await_end(c);
    if (c->too_much && c->exit.how != TROUPE_END_SIGNAL) /* it has ended by itself in the same moment */
        return (troupe_exit){.how = TROUPE_END_EXIT, .code = EX_SOFTWARE, .text = "too much output"};
    return c->ended ? c->exit : trp_exit_unborn("it does not end");
}

void trp_command_body(troupe_self *self, void *plan) {
    struct trp_command c = {.self = self, .plan = plan, .life = trp_actor_lives(self->actor)};
    troupe_msg *question = NULL;
    c.text[TRP_COMMAND_OUT].topic = "stdout";
    c.text[TRP_COMMAND_ERR].topic = "stderr";
    if (c.plan->asked && troupe_receive(self, TROUPE_FOREVER, &question) != TROUPE_OK)
        return;
    self->given = live(&c, question);
    trp_command_abandon(&c);
    close_pipes(&c);
}
