/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A child is kept as its birth: whatever can be said of an actor at its spawn goes along, and is checked, by the same
 * code. */
#include "actors/plan.h"

#include <stdio.h>

#include "actors/command.h"
#include "actors/handler.h"
#include "transports/log.h"

enum { RESTARTS = 3, PERIOD_MS = 5000, SHUTDOWN_MS = 5000 };

/* What is wrong with them; NULL: nothing. */
static const char *fault_of(const troupe_supervisor_opts *o) {
    if ((unsigned)o->strategy > TROUPE_REST_FOR_ONE)
        return "no such .strategy";
    if (o->period_ms < 0)
        return ".period_ms is negative";
    if (o->restarts > TROUPE_RESTARTS_MOST && o->restarts != TROUPE_NO_LIMIT)
        return ".restarts is more than TROUPE_RESTARTS_MOST";
    if (o->count >= UINT32_MAX || (o->count && !o->children))
        return ".count says more than there are .children";
    return NULL;
}

static troupe_status refuse(const char *name, const char *why) {
    trp_log(TROUPE_LOG_ERROR, "supervisor.invalid", "%s: %s", name, why);
    return TROUPE_INVALID;
}

static troupe_status put_child(struct trp_buf *out, struct trp_plan_child *c, const troupe_spawn_opts *opts, troupe_body *body,
                               struct trp_slice arg) {
    struct trp_birth *birth;
    troupe_status st = trp_birth_new(&birth, opts, body, arg.p, arg.n);
    if (st != TROUPE_OK)
        return st;
    c->birth = *birth;
    trp_birth_free(birth);
    st = trp_buf_put(out, c, sizeof *c);
    return st == TROUPE_OK ? trp_buf_put(out, arg.p, arg.n) : st;
}

static int64_t shutdown_of(const troupe_child *child) {
    if (child->shutdown_ms)
        return child->shutdown_ms;
    return child->supervisor ? TROUPE_FOREVER : SHUTDOWN_MS;
}

/* What a child runs: a body and its argument, which may have to be made first. */
struct role {
    troupe_body *body;
    struct trp_slice arg;
    struct trp_buf made;
};

static troupe_status role_make(struct role *r, const troupe_self *self, const troupe_child *child) {
    static const troupe_command_opts defaults;
    struct trp_slice arg = {child->arg, child->arg_size};
    if (child->handler) {
        r->body = trp_handler_body;
        return trp_handler_pack(&r->made, child->handler, arg);
    }
    if (child->argv) {
        r->body = trp_command_body;
        return trp_command_pack(&r->made, self, child->command ? child->command : &defaults, child->argv, false);
    }
    r->body = trp_supervisor_main;
    return trp_plan_write(&r->made, self, child->supervisor);
}

static const char *fault_of_child(const troupe_child *c) {
    int roles = (c->body != NULL) + (c->handler != NULL) + (c->argv != NULL) + (c->supervisor != NULL);
    if (roles != 1)
        return "it has to have one of .body, .handler, .argv and .supervisor";
    if (c->arg_size > 0 && (!(c->body || c->handler) || !c->arg))
        return ".arg_size is for a .body or a .handler that has an .arg";
    if (c->command && !c->argv)
        return ".command is for one that has an .argv";
    if (c->argv && c->opts.kind != TROUPE_COROUTINE)
        return "one that has an .argv has no .kind of its own";
    return NULL;
}

static troupe_status role_of(struct role *r, const troupe_self *self, const troupe_child *child, const char *name) {
    *r = (struct role){.body = child->body, .arg = {child->arg, child->arg_size}};
    const char *fault = fault_of_child(child);
    if (fault)
        return refuse(name, fault);
    if (child->body)
        return TROUPE_OK;
    troupe_status st = role_make(r, self, child);
    r->arg = (struct trp_slice){r->made.p, r->made.n};
    return st;
}

troupe_status trp_plan_write_child(struct trp_buf *out, const troupe_self *self, const troupe_child *child, unsigned number) {
    struct trp_plan_child c = {.shutdown_ms = shutdown_of(child), .supervisor = child->supervisor != NULL};
    struct role role;
    troupe_spawn_opts opts = child->opts;
    char name[32];
    snprintf(name, sizeof name, "child-%u", number);
    if (!opts.name || !*opts.name)
        opts.name = name;
    troupe_status st = role_of(&role, self, child, opts.name);
    if (st == TROUPE_OK)
        st = put_child(out, &c, &opts, role.body, role.arg);
    trp_buf_fini(&role.made);
    return st;
}

/* Are the names told apart, as far as they are kept? */
static bool names_differ(struct trp_slice children, uint32_t count) {
    struct trp_plan_child a, b;
    struct trp_slice arg;
    for (uint32_t i = 0; i < count; i++) {
        if (!trp_plan_read_child(&children, &a, &arg))
            return false;
        struct trp_slice rest = children;
        while (trp_plan_read_child(&rest, &b, &arg)) {
            if (strcmp(a.birth.name, b.birth.name) == 0)
                return false;
        }
    }
    return true;
}

troupe_status trp_plan_write(struct trp_buf *out, const troupe_self *self, const troupe_supervisor_opts *o) {
    const char *fault = fault_of(o);
    if (fault)
        return refuse("a supervisor", fault);
    struct trp_plan plan = {.strategy = o->strategy,
                            .restarts = o->restarts ? o->restarts : RESTARTS,
                            .count = (uint32_t)o->count,
                            .period_ms = o->period_ms ? o->period_ms : PERIOD_MS};
    troupe_status st = trp_buf_put(out, &plan, sizeof plan);
    size_t at = out->n;
    for (uint32_t i = 0; st == TROUPE_OK && i < plan.count; i++)
        st = trp_plan_write_child(out, self, &o->children[i], i + 1);
    if (st == TROUPE_OK && !names_differ((struct trp_slice){out->p + at, out->n - at}, plan.count))
        st = TROUPE_EXISTS;
    return st;
}

static bool take(struct trp_slice *in, void *out, size_t n) {
    if (in->n < n)
        return false;
    memcpy(out, in->p, n);
    in->p += n;
    in->n -= n;
    return true;
}

bool trp_plan_read(struct trp_slice *in, struct trp_plan *out) {
    return take(in, out, sizeof *out) && (unsigned)out->strategy <= TROUPE_REST_FOR_ONE;
}

bool trp_plan_read_child(struct trp_slice *in, struct trp_plan_child *out, struct trp_slice *arg) {
    if (!take(in, out, sizeof *out) || in->n < out->birth.arg_size)
        return false;
    out->birth.name[TRP_NAME_MAX] = 0;
    *arg = (struct trp_slice){in->p, out->birth.arg_size};
    in->p += arg->n;
    in->n -= arg->n;
    return true;
}
