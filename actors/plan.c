/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A child is kept as its birth: whatever can be said of an actor at its spawn goes along, and is checked, by the same
 * code. */
#include "actors/plan.h"

#include <stdio.h>

enum { RESTARTS = 3, PERIOD_MS = 5000, SHUTDOWN_MS = 5000 };

static bool opts_are_valid(const troupe_supervisor_opts *o) {
    return (unsigned)o->strategy <= TROUPE_REST_FOR_ONE && o->period_ms >= 0 && o->count < UINT32_MAX &&
           (o->restarts <= TROUPE_RESTARTS_MOST || o->restarts == TROUPE_NO_LIMIT) && (o->children || !o->count);
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

troupe_status trp_plan_write_child(struct trp_buf *out, const troupe_child *child, unsigned number) {
    struct trp_plan_child c = {.shutdown_ms = shutdown_of(child), .supervisor = child->supervisor != NULL};
    struct trp_slice arg = {child->arg, child->arg_size};
    struct trp_buf below = {0};
    troupe_body *body = child->body;
    troupe_spawn_opts opts = child->opts;
    char name[32];
    snprintf(name, sizeof name, "child-%u", number);
    if (!opts.name || !*opts.name)
        opts.name = name;
    troupe_status st = TROUPE_OK;
    if (child->supervisor) {
        st = body || arg.n ? TROUPE_INVALID : trp_plan_write(&below, child->supervisor);
        arg = (struct trp_slice){below.p, below.n};
        body = trp_supervisor_main;
    }
    if (st == TROUPE_OK)
        st = put_child(out, &c, &opts, body, arg);
    trp_buf_fini(&below);
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

troupe_status trp_plan_write(struct trp_buf *out, const troupe_supervisor_opts *o) {
    if (!opts_are_valid(o))
        return TROUPE_INVALID;
    struct trp_plan plan = {.strategy = o->strategy,
                            .restarts = o->restarts ? o->restarts : RESTARTS,
                            .count = (uint32_t)o->count,
                            .period_ms = o->period_ms ? o->period_ms : PERIOD_MS};
    troupe_status st = trp_buf_put(out, &plan, sizeof plan);
    size_t at = out->n;
    for (uint32_t i = 0; st == TROUPE_OK && i < plan.count; i++)
        st = trp_plan_write_child(out, &o->children[i], i + 1);
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
